"""Lesson 03: convolutional nets."""

import copy
import math
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from gantutor import models, state
from gantutor.checks.exercise import Answer, Calls, Exercise, Mistake, Seen, as_number, brief, check_callable, same
from gantutor.data import strokes
from gantutor.errors import BadInput

# ---------------------------------------------------------------- 03.1

SIZE_IN = 5
LAYERS = ((4, 2), (3, 2), (5, 2), (4, 3), (5, 3), (7, 4))  # kernel, stride


def least_padding(kernel: int, stride: int) -> tuple[int, int]:
    """Padding and output padding of the layer that enlarges exactly `stride` times, found by trying all."""
    for output_padding in range(stride):
        for padding in range(kernel):
            if size_out(kernel, stride, padding, output_padding) == stride * SIZE_IN:
                return padding, output_padding
    raise BadInput(
        f"no layer with kernel {kernel} and stride {stride} enlarges {stride} times: at stride 1 take an odd kernel."
    )


def size_out(kernel: int, stride: int, padding: int, output_padding: int) -> int:
    x, w = torch.zeros(1, 1, SIZE_IN), torch.zeros(1, 1, kernel)
    return F.conv_transpose1d(x, w, None, stride, padding, output_padding).shape[-1]


class WholeNumberCalls(Calls):
    """Observe a function that must return whole numbers: a float would fail only later, in the layer."""

    def __call__(self, answer: Answer) -> tuple:
        seen = super().__call__(answer)
        for made in seen:
            parts = made if isinstance(made, tuple | list) else (made,)
            if any(isinstance(part, float | np.floating) for part in parts):
                are = "these are" if len(parts) > 1 else "this is"
                raise BadInput(f"{are} {' and '.join(map(str, parts))}: PyTorch needs whole numbers, so use //.")
        return seen


def sizes_are_exact(seen: tuple) -> bool:
    def exact(layer: tuple[int, int], answer: Seen) -> bool:
        try:
            padding, output_padding = map(as_number, answer)
        except (TypeError, ValueError, BadInput):
            return False
        return -2 * padding + layer[0] + output_padding == layer[1]

    return all(map(exact, LAYERS, seen))


ENLARGE = Exercise(
    id="03.1",
    title="a layer that enlarges exactly",
    hints=(
        "Set the output size, (n − 1)s − 2p + k + o, equal to sn. Does n remain in the equation?",
        "What remains is 2p − o = k − s. For which k − s is o = 0 possible?",
        "o is 0 where k − s is even, and 1 where it is odd. Then p = (k − s + o) / 2.",
    ),
    observe=WholeNumberCalls(*LAYERS),
    right=least_padding,
    mistakes=(
        Mistake(
            lambda k, s: ((k - 1) // 2, s + 2 * ((k - 1) // 2) - k),
            "Every size is right, but some of these layers first cut off more than they need to and then add it again. "
            "Make the output padding as small as possible.",
            sign=sizes_are_exact,
        ),
        Mistake(
            lambda k, s: ((k - s) // 2, 0),
            "It is right where k − s is even. Elsewhere the picture is one pixel too large, because // rounds the half "
            "down.",
        ),
        Mistake(
            lambda k, s: ((k - s) // 2, (k - s) % 2),
            "The output padding is right. It makes the picture larger, so the padding must cut off more, not less.",
        ),
        Mistake(
            lambda k, s: (-(-(k - s) // 2), 0),
            "It is right where k − s is even. Elsewhere the picture is one pixel too small, and output padding is made "
            "for that.",
        ),
        Mistake(
            lambda k, s: ((k - 1) // 2, 0),
            "That padding keeps the size of an ordinary convolution of stride 1. Start from the formula for the "
            "transposed one.",
        ),
        Mistake(
            lambda k, s: ((k - s) % 2, (k - s + (k - s) % 2) // 2),
            "The numbers are right but in the wrong order: padding first, then output padding.",
        ),
    ),
    praise="Output padding is needed only where one of kernel and stride is odd and the other even.",
)

# ---------------------------------------------------------------- 03.2

CONTRAST = Exercise(
    id="03.2",
    title="a checkerboard on a checkerboard",
    hints=(
        "Begin with one dimension. The first layer gives 2 1 2 1 …, and the second layer stamps each of these numbers.",
        "In the second layer an even position gets two stamps, from two neighbours, and an odd one gets one.",
        "An even position adds a 2 and a 1. An odd one gets a 2 or a 1. In two dimensions the ratio is squared.",
    ),
    observe=as_number,
    right=9.0,
    mistakes=(
        Mistake(
            16.0,
            "That is 4 · 4, as if the contrasts multiplied. But neighbours in the first map are a 2 and a 1, and "
            "the second layer adds them.",
        ),
        Mistake(
            4.0, "That is one layer in two dimensions. The second one stamps numbers that already form a checkerboard."
        ),
        Mistake(3.0, "That is the ratio in one dimension. In two dimensions rows and columns multiply."),
        Mistake(2.0, "That is one layer in one dimension. There are two layers, and the map has two dimensions."),
        Mistake(1.0, "With a kernel of 3 and a stride of 2 not all positions get the same number of stamps."),
    ),
    otherwise="Not yet. Write down eight positions in one dimension after each of the two layers, and compare the "
    "largest with the smallest.",
    tolerance=1e-2,
    praise="Nine times and not sixteen, because the second layer adds up neighbours of the first pattern.",
)

# ---------------------------------------------------------------- 03.3


Net = TypeVar("Net", bound=nn.Module)


def set_name(name: str, net: Net) -> Net:
    """The net with a name, which `brief` uses in hints."""
    cast(Any, net).__name__ = name
    return net


def layer_and_norm(out: int, into: int, kernel: int, seed: int) -> tuple[Tensor, Tensor, nn.BatchNorm2d]:
    """Weight and bias of a convolution, and a batch norm in eval mode with statistics unlike the initial ones."""
    noise = torch.Generator().manual_seed(seed)
    norm = set_name("norm", nn.BatchNorm2d(out, eps=0.3).eval())
    with torch.no_grad():
        for values, low in ((mean(norm), -1.0), (variance(norm), 0.5), (norm.weight, 0.5), (norm.bias, -1.0)):
            values.copy_(low + 2 * torch.rand(out, generator=noise))
    return torch.randn(out, into, kernel, kernel, generator=noise), torch.randn(out, generator=noise), norm


def mean(norm: nn.BatchNorm2d) -> Tensor:
    """The running mean, which only a norm without statistics lacks."""
    return cast(Tensor, norm.running_mean)


def variance(norm: nn.BatchNorm2d) -> Tensor:
    """The running variance, likewise."""
    return cast(Tensor, norm.running_var)


def fused(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The folding of PyTorch."""
    return fuse_conv_bn_weights(weight, bias, mean(norm), variance(norm), norm.eps, norm.weight, norm.bias)


def folded_with(
    scale: Callable[[nn.BatchNorm2d], Tensor] = lambda norm: norm.weight / (variance(norm) + norm.eps).sqrt(),
    shift: Callable[[nn.BatchNorm2d], Tensor | float] = lambda norm: norm.bias,
) -> Callable:
    """The right folding with another scale or another final shift."""

    def folded(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
        s = scale(norm)
        return weight * s[:, None, None, None], (bias - mean(norm)) * s + shift(norm)

    return folded


def bias_not_scaled(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    weight, shift = fused(weight, 0 * bias, norm)
    return weight, bias + shift


def without_mean(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    return fused(weight, bias + mean(norm), norm)


def along_the_columns(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    return weight * norm.weight / (variance(norm) + norm.eps).sqrt(), fused(weight, bias, norm)[1]


FOLD_CALLS = Calls(layer_and_norm(3, 2, 3, seed=0), layer_and_norm(3, 3, 3, seed=1))


def folded_pairs(answer: Answer) -> tuple | None:
    """The new weight and bias for each case."""
    seen = FOLD_CALLS(answer)
    for pair in seen:
        if pair is not None and not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise BadInput(f"the function returns {brief(pair)}: return two tensors, the new weight and the new bias.")
    return seen


def weights_are_right(seen: tuple) -> bool:
    return all(
        pair is not None and same(pair[0], right[0], 1e-4) for pair, right in zip(seen, FOLD_CALLS(fused), strict=True)
    )


FOLD = Exercise(
    id="03.3",
    title="fold batch norm away",
    hints=(
        "In eval mode batch norm is s · x + t for each channel, with numbers s and t that do not depend on the batch. "
        "Find them.",
        "s = γ / √(running variance + ε). What does s · (w ∗ x + b − running mean) + β look like, multiplied out?",
        "The weights become s · w, with one s for each output channel, and the bias becomes (b − running mean) · s + "
        "β.",
    ),
    observe=folded_pairs,
    right=fused,
    mistakes=(
        Mistake(
            folded_with(lambda norm: norm.weight / (variance(norm) + norm.eps)),
            "Batch norm divides by a standard deviation, but you divide by a variance.",
        ),
        Mistake(
            folded_with(lambda norm: norm.weight / variance(norm).sqrt()),
            "The variance is not all there is under the root. This layer has an unusually large ε, so the difference "
            "shows.",
        ),
        Mistake(
            bias_not_scaled,
            "The weights are right. The old bias is added before batch norm, so it is scaled like everything else.",
        ),
        Mistake(
            without_mean,
            "The weights are right, the bias is not. Set x = 0 on both sides of the formula: what remains?",
            sign=weights_are_right,
        ),
        Mistake(
            folded_with(lambda norm: (variance(norm) + norm.eps).rsqrt(), lambda norm: 0.0),
            "The two learned parameters of each channel, γ and β, are missing.",
        ),
        Mistake(
            along_the_columns,
            "The bias is right. You scaled along the last dimension of the weights, the columns of the kernel. The "
            "scale belongs to the output channel, the first dimension.",
        ),
    ),
    otherwise="The weights are not right yet. Write batch norm as s · x + t first. How does s enter w?",
    praise="So in eval mode batch norm is free and treats each image separately: it becomes part of the convolution "
    "before it.",
)

# ---------------------------------------------------------------- 03.4


def preview_effects(answer: Answer) -> dict[str, bool] | None:
    """What a preview returns, and what it does to a G in train mode and to one in eval mode."""
    check_callable(answer)
    in_train, in_eval = (effects_in_mode(answer, training) for training in (True, False))
    if in_train is None or in_eval is None:
        return None
    return {f"{name}, {mode}": value for mode, fact in (("train", in_train), ("eval", in_eval))
            for name, value in fact.items()}  # fmt: skip


def effects_in_mode(preview: Callable, training: bool) -> dict[str, bool] | None:
    G = models.DCGANGenerator(latent_dim=8, width=4).train(training)
    z, before, sound = torch.randn(6, 8), copy.deepcopy(G.state_dict()), copy.deepcopy(G).eval()
    made = preview(G, z)
    if made is None:
        return None
    if not isinstance(made, Tensor) or made.shape != (6, 1, 28, 28):
        raise BadInput(f"for 6 latents the preview returns {brief(made)}: return a tensor of images, (6, 1, 28, 28).")
    kept = G.training == training and all(layer.training == training for layer in G.modules())
    written = any(not torch.equal(old, new) for old, new in zip(before.values(), G.state_dict().values(), strict=True))
    return {
        "mode kept": kept,
        "written": written,
        "gradients": made.requires_grad,
        "by latent alone": torch.allclose(made, sound(z), atol=1e-4),
    }


def preview(G: nn.Module, z: Tensor) -> Tensor:
    with state.evaluating(G), torch.no_grad():
        return G(z)


def as_given(G: nn.Module, z: Tensor) -> Tensor:
    return G.train()(z).detach()


def stays_in_eval(G: nn.Module, z: Tensor) -> Tensor:
    return G.eval()(z).detach()


def always_to_train(G: nn.Module, z: Tensor) -> Tensor:
    images = G.eval()(z).detach()
    G.train()
    return images


def with_gradients(G: nn.Module, z: Tensor) -> Tensor:
    with state.evaluating(G):
        return G(z)


def copy_in_train_mode(G: nn.Module, z: Tensor) -> Tensor:
    return copy.deepcopy(G).train()(z).detach()


PREVIEW = Exercise(
    id="03.4",
    title="a preview without side effects",
    hints=(
        "Four things can go wrong: what an image depends on, the running statistics, the mode afterwards, and the "
        "gradients.",
        "Only in eval mode does an image depend on its latent alone, and only then are the running statistics left as "
        "they are. Which mode was G in before?",
        "Store was = G.training, call G.eval(), make the images under torch.no_grad(), and end with G.train(was).",
    ),
    observe=preview_effects,
    right=preview,
    mistakes=(
        Mistake(
            as_given,
            "It generates in train mode, where batch norm uses the statistics of this batch (or of the single image), "
            "and every preview changes G's running statistics.",
            sign=lambda seen: seen["written, train"] or seen["written, eval"],
        ),
        Mistake(
            copy_in_train_mode,
            "G itself stays as it was. But the images are made in train mode, where batch norm uses the statistics of "
            "this batch (or of the single image) instead of the running ones.",
            sign=lambda seen: not (seen["by latent alone, train"] and seen["by latent alone, eval"]),
        ),
        Mistake(
            stays_in_eval,
            "The images are right. But a G in train mode is left in eval mode, and from then on its running statistics "
            "are no longer updated.",
            sign=lambda seen: not seen["mode kept, train"],
        ),
        Mistake(
            always_to_train,
            "The images are right. But a G in eval mode is left in train mode. Restore the mode that you found.",
            sign=lambda seen: not seen["mode kept, eval"],
        ),
        Mistake(
            with_gradients,
            "Images and modes are right. But the images still keep the whole graph back to G's weights in memory: "
            "generate them without gradients.",
            sign=lambda seen: seen["gradients, train"] or seen["gradients, eval"],
        ),
    ),
    praise="It borrows G and gives it back as it was. The context manager state.evaluating does that for you.",
)

# ---------------------------------------------------------------- 03.5

STD = 0.02
LEARNED = nn.Linear, nn.Conv2d, nn.ConvTranspose2d


def after_weights_init() -> nn.Module:
    """A G after the tutorials' weights_init, which looks for "Conv" in class names and so misses dense layers."""
    G = models.DCGANGenerator(width=16, init_std=None)
    for layer in G.modules():
        if "Conv" in type(layer).__name__:
            models.init_weights(layer, STD)
    return G


def with_a_new_end() -> nn.Module:
    """A D whose last layer was replaced after initialisation."""
    D = models.DCGANDiscriminator(width=16, hidden=32)
    D.net[-1] = nn.Linear(32, 1)
    return D


def right_std_by_chance() -> nn.Module:
    """A layer with m = 833 inputs: PyTorch's default weights are uniform, here with a std of 1/√(3m) = 0.02."""
    return nn.Sequential(nn.Linear(833, 64), nn.ReLU(), models.DCGANDiscriminator().net[0])


def nets_to_audit() -> list[tuple[nn.Module]]:
    with state.seeded(1):
        return [
            (set_name("an untouched G", models.DCGANGenerator(width=16, init_std=None)),),
            (set_name("a G after weights_init", after_weights_init()),),
            (set_name("the package's G", models.DCGANGenerator(width=16)),),
            (set_name("a D with a new last layer", with_a_new_end()),),
            (set_name("a net with 833 inputs", right_std_by_chance()),),
        ]


def is_gaussian(w: Tensor) -> bool:
    """Whether w can come from N(0, STD²). (Kolmogorov-Smirnov test; 2/√n is exceeded once in 1,500 times.)"""
    w = w.detach().flatten().double().sort().values
    steps = torch.arange(1, len(w) + 1) / len(w)
    return (torch.special.ndtr(w / STD) - steps).abs().max().item() < 2 / math.sqrt(len(w))


def layers_with(
    wrong: Callable[[Tensor], bool], kinds: tuple[type[nn.Module], ...] = LEARNED, named: bool = True
) -> Callable:
    """A function: net -> names of its layers of these kinds whose weights are wrong."""
    return lambda net: [name if named else type(layer).__name__ for name, layer in net.named_modules()
                        if isinstance(layer, kinds) and wrong(cast(Tensor, layer.weight))]  # fmt: skip


def wrong_std(w: Tensor) -> bool:
    return abs(w.std().item() / STD - 1) > 0.1


def not_gaussian(w: Tensor) -> bool:
    return not is_gaussian(w)


AUDIT = Exercise(
    id="03.5",
    title="which layers were not initialised?",
    hints=(
        "Go through net.named_modules(), keep the three kinds of layer with isinstance, and look at "
        "layer.weight.std().",
        "Random weights never have a std of exactly 0.02, so allow 10%. Then look at the net with 833 inputs, where "
        "1/√(3 · 833) is 0.0200. What distinguishes a uniform distribution from a Gaussian?",
        "PyTorch's default weights end at ±1.73 standard deviations. A Gaussian has about 5% of its values beyond 2.",
    ),
    observe=Calls(*nets_to_audit()),
    right=layers_with(not_gaussian),
    mistakes=(
        Mistake(
            layers_with(not_gaussian, (nn.Conv2d, nn.ConvTranspose2d)),
            "The dense layers are missing, which is the very mistake of weights_init. They hold most of the weights.",
        ),
        Mistake(
            layers_with(wrong_std),
            "You missed one: a layer with 833 inputs, whose default weights happen to have a std of 0.02. Their "
            "distribution is not Gaussian.",
        ),
        Mistake(
            layers_with(not_gaussian, (*LEARNED, nn.BatchNorm2d)),
            "There are batch norms on your list. Their weights should lie around 1, so leave them out.",
        ),
        Mistake(
            layers_with(wrong_std, (*LEARNED, nn.BatchNorm2d)),
            "There are batch norms on your list: leave them out. And you missed one layer with 833 inputs.",
        ),
        Mistake(
            layers_with(is_gaussian),
            "These are the layers that are right. List the ones that were not initialised.",
        ),
        Mistake(
            layers_with(not_gaussian, named=False),
            "These are types of layers, of which a net can have several. Give the names from named_modules().",
        ),
        Mistake(
            layers_with(lambda w: w.std().item() != STD),
            "It reports every layer. Random weights never have a std of exactly 0.02: allow a few percent.",
        ),
    ),
    praise="Ten lines find a forgotten call, a forgotten type of layer, and a layer that is right only in its std.",
)

# ---------------------------------------------------------------- 03.6

BETTER, EVEN = 0.95, 0.02  # share of the error of repeating pixels; how much a constant map may vary


@cache
def small_and_large() -> tuple[Tensor, Tensor]:
    """A hundred digits as (100, 1, 14, 14) and (100, 1, 28, 28), in [0, 1]."""
    large = strokes.draw(100, 0).pixels / 255
    return F.avg_pool2d(large, 2), large


def error(window: Tensor) -> float:
    """The root mean squared error of digits enlarged with this kernel."""
    small, large = small_and_large()
    return (enlarged(small, window) - large).square().mean().sqrt().item()


def enlarged(x: Tensor, window: Tensor) -> Tensor:
    return F.conv_transpose2d(x, window[None, None], stride=2, padding=1)  # (N, 1, n, n) -> (N, 1, 2n, 2n)


def window_of(*line: float) -> list[list[float]]:
    """The separable kernel with this profile in both directions."""
    return [[a * b for b in line] for a in line]


REPEATING = window_of(0.0, 1.0, 1.0, 0.0)


def window_measures(answer: Answer) -> dict[str, float]:
    """How well a kernel enlarges digits, and what it makes of a constant map."""
    window = as_window(answer)
    flat = enlarged(torch.ones(1, 1, 8, 8), window)[0, 0, 2:-2, 2:-2]  # away from the border
    total = window.sum().item()
    places = torch.arange(4.0) - 1.5
    off = max(abs((window.sum(d) * places).sum().item()) for d in (0, 1)) / abs(total) if total else 0.0
    return {
        "error": error(window) / error(as_window(REPEATING)),
        "varies": (flat.max() - flat.min()).item(),
        "bright": flat.mean().item(),
        "off centre": off,
        "outside": 1 - window[1:3, 1:3].sum().item() / total if total else 0.0,
    }


def as_window(answer: Answer) -> Tensor:
    if not isinstance(answer, Tensor | np.ndarray | list | tuple):
        raise BadInput(
            f"the answer is {brief(answer)}: hand in a kernel of 4 rows of 4 numbers, as a tensor or as lists."
        )
    try:
        window = torch.as_tensor(answer, dtype=torch.float32).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as reason:
        raise BadInput("the kernel does not consist of numbers alone: hand in 4 rows of 4 numbers.") from reason
    if window.shape != (4, 4) or not window.isfinite().all():
        raise BadInput(f"the kernel is {brief(window)}: hand in 4 rows of 4 finite numbers.")
    return window


WINDOW = Exercise(
    id="03.6",
    title="a kernel that beats repeating pixels",
    hints=(
        "Begin with one dimension and 4 weights a b c d. Even positions get a + c, odd ones b + d. What must these "
        "sums be?",
        "Both sums must be 1 to keep the brightness. Repeating is 0 1 1 0. Let each position use both of its "
        "neighbours.",
        "Give the near neighbour the weight ¾ and the far one ¼, and take the product of rows and columns.",
    ),
    observe=window_measures,
    right=window_of(0.25, 0.75, 0.75, 0.25),
    accepts=lambda seen: seen["error"] < BETTER and seen["varies"] < EVEN,
    mistakes=(
        Mistake(
            window_of(0.2, 0.4, 0.6, 0.8),
            "It turns a constant map into a checkerboard, because some positions get more than others. Make the sums "
            "of the even and of the odd weights equal, in both directions.",
            sign=lambda seen: seen["varies"] >= EVEN,
        ),
        Mistake(
            window_of(1.0, 3.0, 3.0, 1.0),
            "There is no checkerboard. But a constant map of ones does not stay at 1, so the picture becomes too "
            "bright or too dark.",
            sign=lambda seen: abs(seen["bright"] - 1) > 0.05,
        ),
        Mistake(
            REPEATING,
            "That is repeating itself, so it is exactly as good and not better. Let the stamps of neighbours overlap.",
            sign=lambda seen: abs(seen["error"] - 1) < 1e-3,
        ),
        Mistake(
            window_of(0.0, 0.0, 1.0, 1.0),
            "There is no checkerboard, and the brightness is right. But the kernel is off centre, so it shifts the "
            "picture.",
            sign=lambda seen: seen["off centre"] > 0.1,
        ),
        Mistake(
            window_of(0.5, 0.5, 0.5, 0.5),
            "There is no checkerboard, and the brightness is right. But the picture is too blurred, because distant "
            "pixels have too much weight.",
            sign=lambda seen: seen["outside"] > 0.5,
        ),
    ),
    otherwise="There is no checkerboard, and the brightness is about right. But the error is not 5% below that of "
    "repeating: change how much of the weight lies in the middle.",
    praise="A transposed convolution can avoid the checkerboard and beat repeating. But nothing forces it to learn "
    "that.",
)

EXERCISES = (ENLARGE, CONTRAST, FOLD, PREVIEW, AUDIT, WINDOW)
