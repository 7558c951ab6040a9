"""Lesson 03: convolutional nets."""

import copy
import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from gantutor import models, state
from gantutor.checks.exercise import Answer, Calls, Exercise, Mistake, as_number, brief, check_callable, same
from gantutor.data import strokes
from gantutor.errors import BadInput

# ---------------------------------------------------------------- 03.1

SIZE_IN = 5
LAYERS = ((4, 2), (3, 2), (5, 2), (4, 3), (5, 3), (7, 4))  # kernel, stride


def least_padding(kernel: int, stride: int) -> tuple[int, int]:
    """Padding and output padding of the layer that enlarges `stride` times, found by trying."""
    for output_padding in range(stride):
        for padding in range(kernel):
            if size_out(kernel, stride, padding, output_padding) == stride * SIZE_IN:
                return padding, output_padding
    raise BadInput(f"no layer with kernel {kernel} and stride {stride} enlarges {stride} times.")


def size_out(kernel: int, stride: int, padding: int, output_padding: int) -> int:
    x, w = torch.zeros(1, 1, SIZE_IN), torch.zeros(1, 1, kernel)
    return F.conv_transpose1d(x, w, None, stride, padding, output_padding).shape[-1]


class WholeNumberCalls(Calls):
    """Observe a function of whole numbers: a float would go wrong in the layer only."""

    def __call__(self, answer: Answer) -> tuple:
        seen = super().__call__(answer)
        for made in seen:
            parts = made if isinstance(made, tuple | list) else (made,)
            if any(isinstance(part, float | np.floating) for part in parts):
                are = "these are" if len(parts) > 1 else "this is"
                raise BadInput(f"{are} {' and '.join(map(str, parts))}: PyTorch wants whole numbers, use //.")
        return seen


def sizes_are_exact(seen: tuple) -> bool:
    def exact(layer: tuple[int, int], answer: object) -> bool:
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
        "Set the size out, (n − 1)s − 2p + k + o, equal to sn. Does n stay in the equation?",
        "What is left is 2p − o = k − s. For which k − s is o = 0 possible?",
        "o is 0 where k − s is even, and 1 where it is odd. Then p = (k − s + o) / 2.",
    ),
    observe=WholeNumberCalls(*LAYERS),
    right=least_padding,
    mistakes=(
        Mistake(
            lambda k, s: ((k - 1) // 2, s + 2 * ((k - 1) // 2) - k),
            "Every size is right, but some of these layers first cut off more than they need, and then add it again. "
            "Make the output padding as small as it can be.",
            sign=sizes_are_exact,
        ),
        Mistake(
            lambda k, s: ((k - s) // 2, 0),
            "It is right where k − s is even. Elsewhere the picture is one pixel too large: halves were rounded away.",
        ),
        Mistake(
            lambda k, s: ((k - s) // 2, (k - s) % 2),
            "The output padding is right. It makes the picture larger, so the padding must cut off more, not less.",
        ),
        Mistake(
            lambda k, s: (-(-(k - s) // 2), 0),
            "It is right where k − s is even. Elsewhere the picture is one pixel short: that is what output padding is "
            "for.",
        ),
        Mistake(
            lambda k, s: ((k - 1) // 2, 0),
            "That padding keeps the size of an ordinary convolution of stride 1. Start from the formula for the "
            "transposed one.",
        ),
        Mistake(
            lambda k, s: ((k - s) % 2, (k - s + (k - s) % 2) // 2),
            "The numbers are right, and in the wrong order: padding first, then output padding.",
        ),
    ),
    praise="Output padding is only for a kernel and a stride of which one is odd and the other even.",
)

# ---------------------------------------------------------------- 03.2

CONTRAST = Exercise(
    id="03.2",
    title="chequers upon chequers",
    hints=(
        "Begin on a line. The first layer gives 2 1 2 1 …, and those numbers are what the second one stamps with.",
        "In the second layer an even place gets two stamps, from two neighbours. An odd place gets one.",
        "An even place adds a 2 and a 1. An odd place gets a 2 or a 1. In the plane the ratio of the line is squared.",
    ),
    observe=as_number,
    right=9.0,
    mistakes=(
        Mistake(
            16.0, "That is 4 · 4, one contrast upon the other. But two neighbours of the first map are a 2 and a 1."
        ),
        Mistake(4.0, "That is one layer, in the plane. The second one stamps with numbers that are chequered already."),
        Mistake(3.0, "That is the line. In the plane rows and columns multiply."),
        Mistake(2.0, "That is one layer on a line. There are two layers, and the map is a plane."),
        Mistake(1.0, "A kernel of 3 and a stride of 2: the places do not all get the same number of stamps."),
    ),
    otherwise="Not that. Write eight places of the line down after each of the two layers, and compare largest and "
    "smallest.",
    tolerance=1e-2,
    praise="Nine times. Neighbours soften the first pattern a little, so it is not sixteen.",
)

# ---------------------------------------------------------------- 03.3


def with_name(name: str, net: nn.Module) -> nn.Module:
    """The net, with a name for the sentences about it."""
    net.__name__ = name
    return net


def layer_and_norm(out: int, into: int, kernel: int, seed: int) -> tuple[Tensor, Tensor, nn.BatchNorm2d]:
    """Weight and bias of a convolution, and a batch norm in eval mode that has seen something."""
    noise = torch.Generator().manual_seed(seed)
    norm = with_name("norm", nn.BatchNorm2d(out, eps=0.3).eval())
    with torch.no_grad():
        for values, low in ((norm.running_mean, -1.0), (norm.running_var, 0.5), (norm.weight, 0.5), (norm.bias, -1.0)):
            values.copy_(low + 2 * torch.rand(out, generator=noise))
    return torch.randn(out, into, kernel, kernel, generator=noise), torch.randn(out, generator=noise), norm


def fused(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """PyTorch's own."""
    statistics = norm.running_mean, norm.running_var, norm.eps
    return fuse_conv_bn_weights(weight, bias, *statistics, norm.weight, norm.bias)


def folded_with(
    scale: Callable[[nn.BatchNorm2d], Tensor] = lambda norm: norm.weight / (norm.running_var + norm.eps).sqrt(),
    shift: Callable[[nn.BatchNorm2d], Tensor | float] = lambda norm: norm.bias,
) -> Callable:
    """The right folding, but for the scale or for what is added in the end."""

    def folded(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
        s = scale(norm)
        return weight * s[:, None, None, None], (bias - norm.running_mean) * s + shift(norm)

    return folded


def bias_not_scaled(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    weight, shift = fused(weight, 0 * bias, norm)
    return weight, bias + shift


def without_mean(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    return fused(weight, bias + norm.running_mean, norm)


def along_the_columns(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    return weight * norm.weight / (norm.running_var + norm.eps).sqrt(), fused(weight, bias, norm)[1]


FOLD_CALLS = Calls(layer_and_norm(3, 2, 3, seed=0), layer_and_norm(3, 3, 3, seed=1))


def folded_pairs(answer: Answer) -> tuple | None:
    """The new weight and bias of each case."""
    seen = FOLD_CALLS(answer)
    for pair in seen:
        if pair is not None and not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise BadInput(f"it gives {brief(pair)}: return two tensors, the new weight and the new bias.")
    return seen


def weights_are_right(seen: tuple) -> bool:
    return all(
        pair is not None and same(pair[0], right[0], 1e-4) for pair, right in zip(seen, FOLD_CALLS(fused), strict=True)
    )


FOLD = Exercise(
    id="03.3",
    title="fold batch norm away",
    hints=(
        "In eval mode batch norm is s · x + t for each channel, with numbers s and t that no batch changes. Find them.",
        "s = γ / √(running variance + ε). What does s · (w ∗ x + b − running mean) + β look like, multiplied out?",
        "The weights become s · w, one s for each channel that comes out, and the bias (b − running mean) · s + β.",
    ),
    observe=folded_pairs,
    right=fused,
    mistakes=(
        Mistake(
            folded_with(lambda norm: norm.weight / (norm.running_var + norm.eps)),
            "Batch norm divides by a standard deviation. You divide by a variance.",
        ),
        Mistake(
            folded_with(lambda norm: norm.weight / norm.running_var.sqrt()),
            "The variance is not all that stands under the root. This layer has an unusually large ε, so one sees it.",
        ),
        Mistake(
            bias_not_scaled,
            "The weights are right. The old bias is added before batch norm, so it is stretched like everything else.",
        ),
        Mistake(
            without_mean,
            "The weights are right, the bias is not. Put x = 0 into both sides of the formula: what is left?",
            sign=weights_are_right,
        ),
        Mistake(
            folded_with(lambda norm: (norm.running_var + norm.eps).rsqrt(), lambda norm: 0.0),
            "Batch norm has learned two numbers for each channel, γ and β. They are missing.",
        ),
        Mistake(
            along_the_columns,
            "The bias is right. The scale went along the last dimension of the weights, the columns of the window. It "
            "belongs to the channel that comes out, the first dimension.",
        ),
    ),
    otherwise="The weights are not right yet. Write batch norm as s · x + t first. How does s get into w?",
    praise="So in eval mode batch norm costs nothing and mixes nothing: it is part of the convolution before it.",
)

# ---------------------------------------------------------------- 03.4


def preview_effects(answer: Answer) -> dict[str, bool] | None:
    """What a preview does to the pictures, and to the G that it was lent in train and in eval mode."""
    check_callable(answer)
    facts = [effects_in_mode(answer, training) for training in (True, False)]
    if None in facts:
        return None
    return {f"{name}, {mode}": value for mode, fact in zip(("train", "eval"), facts, strict=True)
            for name, value in fact.items()}  # fmt: skip


def effects_in_mode(preview: Callable, training: bool) -> dict[str, bool] | None:
    G = models.DCGANGenerator(latent_dim=8, width=4).train(training)
    z, before, sound = torch.randn(6, 8), copy.deepcopy(G.state_dict()), copy.deepcopy(G).eval()
    made = preview(G, z)
    if made is None:
        return None
    if not isinstance(made, Tensor) or made.shape != (6, 1, 28, 28):
        raise BadInput(f"for 6 latents the preview gives {brief(made)}: give a tensor of images, (6, 1, 28, 28).")
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
    title="a preview that leaves no trace",
    hints=(
        "Four things can go wrong: what an image depends on, the running numbers, the mode afterwards, the gradients.",
        "Only eval mode makes an image depend on its latent alone, and it writes nothing. Which mode was G in before?",
        "Keep was = G.training, call G.eval(), make the images under torch.no_grad(), and end with G.train(was).",
    ),
    observe=preview_effects,
    right=preview,
    mistakes=(
        Mistake(
            as_given,
            "It draws in train mode: batch norm takes its numbers from this batch (or from the one image), and each "
            "look writes into G.",
            sign=lambda seen: seen["written, train"] or seen["written, eval"],
        ),
        Mistake(
            copy_in_train_mode,
            "G itself stays as it was. But the images are made in train mode, where batch norm takes its numbers from "
            "this batch (or from the one image) and not the running ones.",
            sign=lambda seen: not (seen["by latent alone, train"] and seen["by latent alone, eval"]),
        ),
        Mistake(
            stays_in_eval,
            "The images are right. But a G that was in training is in eval mode afterwards, and from then on its batch "
            "norm learns nothing of the data.",
            sign=lambda seen: not seen["mode kept, train"],
        ),
        Mistake(
            always_to_train,
            "The images are right. But a G that is finished and in eval mode is in train mode afterwards. Give back "
            "the mode that you found.",
            sign=lambda seen: not seen["mode kept, eval"],
        ),
        Mistake(
            with_gradients,
            "Images and modes are right. But the images still hold the whole way back to G's weights in memory: look "
            "without gradients.",
            sign=lambda seen: seen["gradients, train"] or seen["gradients, eval"],
        ),
    ),
    praise="It borrows G and gives it back as it was. models.evaluating does the same for you.",
)

# ---------------------------------------------------------------- 03.5

STD = 0.02
LEARNED = nn.Linear, nn.Conv2d, nn.ConvTranspose2d


def after_weights_init() -> nn.Module:
    """A G after the function of the tutorials, which looks for "Conv" in the name."""
    G = models.DCGANGenerator(width=16, init_std=None)
    for layer in G.modules():
        if "Conv" in type(layer).__name__:
            models.init_weights(layer, STD)
    return G


def with_a_new_end() -> nn.Module:
    """A D whose last layer was put in after the first weights were given."""
    D = models.DCGANDiscriminator(width=16, hidden=32)
    D.net[-1] = nn.Linear(32, 1)
    return D


def right_std_by_chance() -> nn.Module:
    """833 numbers in: PyTorch's own 1/√(3m) is 0.02 there, and the distribution is flat."""
    return nn.Sequential(nn.Linear(833, 64), nn.ReLU(), models.DCGANDiscriminator().net[0])


def nets_to_audit() -> list[tuple[nn.Module]]:
    with state.seeded(1):
        return [
            (with_name("an untouched G", models.DCGANGenerator(width=16, init_std=None)),),
            (with_name("a G after weights_init", after_weights_init()),),
            (with_name("the package's G", models.DCGANGenerator(width=16)),),
            (with_name("a D with a new last layer", with_a_new_end()),),
            (with_name("a net with 833 inputs", right_std_by_chance()),),
        ]


def is_gaussian(w: Tensor) -> bool:
    """Could these be draws from N(0, STD²)? (Kolmogorov and Smirnov: 2/√n is passed once in 1,500 times.)"""
    w = w.detach().flatten().double().sort().values
    steps = torch.arange(1, len(w) + 1) / len(w)
    return (torch.special.ndtr(w / STD) - steps).abs().max().item() < 2 / math.sqrt(len(w))


def layers_with(wrong: Callable[[Tensor], bool], kinds: tuple[type, ...] = LEARNED, named: bool = True) -> Callable:
    """A function from a net to its layers of these kinds whose weights are wrong."""
    return lambda net: [name if named else type(layer).__name__ for name, layer in net.named_modules()
                        if isinstance(layer, kinds) and wrong(layer.weight)]  # fmt: skip


def wrong_std(w: Tensor) -> bool:
    return abs(w.std().item() / STD - 1) > 0.1


def not_gaussian(w: Tensor) -> bool:
    return not is_gaussian(w)


AUDIT = Exercise(
    id="03.5",
    title="who was forgotten?",
    hints=(
        "Go through net.named_modules(), keep the three kinds with isinstance, and look at layer.weight.std().",
        "A draw never hits 0.02 exactly: allow 10%. Then look at the net with 833 inputs: 1/√(3 · 833) is 0.0200. What "
        "tells a flat distribution from a bell curve?",
        "PyTorch's own weights end at ±1.73 standard deviations. A bell curve has some 5% of its draws beyond 2.",
    ),
    observe=Calls(*nets_to_audit()),
    right=layers_with(not_gaussian),
    mistakes=(
        Mistake(
            layers_with(not_gaussian, (nn.Conv2d, nn.ConvTranspose2d)),
            "The dense layers are missing: the same mistake as in weights_init. They hold most of the weights.",
        ),
        Mistake(
            layers_with(wrong_std),
            "One got through: a net with 833 inputs, whose first weights happen to have the spread 0.02. Its "
            "distribution is not a bell curve.",
        ),
        Mistake(
            layers_with(not_gaussian, (*LEARNED, nn.BatchNorm2d)),
            "There are batch norms on the list. Their weights are to lie around 1: leave them out.",
        ),
        Mistake(
            layers_with(wrong_std, (*LEARNED, nn.BatchNorm2d)),
            "There are batch norms on the list: leave them out. And one layer with 833 inputs got through.",
        ),
        Mistake(
            layers_with(is_gaussian),
            "These are the layers that are right. The ones that were forgotten are asked for.",
        ),
        Mistake(
            layers_with(not_gaussian, named=False),
            "These are kinds of layers, and a net has several of a kind. Give the names that named_modules() gives.",
        ),
        Mistake(
            layers_with(lambda w: w.std().item() != STD),
            "It accuses every layer. Numbers that are drawn never have a spread of exactly 0.02: allow some percent.",
        ),
    ),
    praise="Ten lines that find a forgotten call, a forgotten kind of layer, and a layer that only looks right.",
)

# ---------------------------------------------------------------- 03.6

BETTER, EVEN = 0.95, 0.02  # of the error of repeating; what a flat map may vary by


@cache
def small_and_large() -> tuple[Tensor, Tensor]:
    """A hundred digits (100, 1, 14, 14) and (100, 1, 28, 28), ink from 0 to 1."""
    large = strokes.draw(100, 0).pixels / 255
    return F.avg_pool2d(large, 2), large


def error(window: Tensor) -> float:
    """Root of the mean squared error of the enlarged digits."""
    small, large = small_and_large()
    return (enlarged(small, window) - large).square().mean().sqrt().item()


def enlarged(x: Tensor, window: Tensor) -> Tensor:
    return F.conv_transpose2d(x, window[None, None], stride=2, padding=1)  # (N, 1, n, n) -> (N, 1, 2n, 2n)


def window_of(*line: float) -> list[list[float]]:
    """The window with this profile in both directions."""
    return [[a * b for b in line] for a in line]


REPEATING = window_of(0.0, 1.0, 1.0, 0.0)


def window_measures(answer: Answer) -> dict[str, float]:
    """How well a window enlarges digits, and what it makes of a flat map."""
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
        raise BadInput(f"the answer is {brief(answer)}: hand in 4 rows of 4 numbers, a tensor or lists.")
    try:
        window = torch.as_tensor(answer, dtype=torch.float32).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as reason:
        raise BadInput("the window is not made of numbers alone: hand in 4 rows of 4 numbers.") from reason
    if window.shape != (4, 4) or not window.isfinite().all():
        raise BadInput(f"the window is {brief(window)}: 4 rows of 4 finite numbers are asked for.")
    return window


WINDOW = Exercise(
    id="03.6",
    title="a window that beats repeating",
    hints=(
        "Begin on a line, with 4 weights a b c d. Even places get a + c, odd ones b + d. What must these sums be?",
        "Both sums are 1, for the brightness to stay. Repeating is 0 1 1 0. Let each place listen to both neighbours.",
        "Give the near neighbour three quarters and the far one a quarter, and take the product of rows and columns.",
    ),
    observe=window_measures,
    right=window_of(0.25, 0.75, 0.75, 0.25),
    accepts=lambda seen: seen["error"] < BETTER and seen["varies"] < EVEN,
    mistakes=(
        Mistake(
            window_of(0.2, 0.4, 0.6, 0.8),
            "It makes chequers of a flat map: some places get more than others. Make the sums of the even and of the "
            "odd weights equal, in both directions.",
            sign=lambda seen: seen["varies"] >= EVEN,
        ),
        Mistake(
            window_of(1.0, 3.0, 3.0, 1.0),
            "No chequers. But a flat map of ones does not come out as ones: the picture is too bright or too dark.",
            sign=lambda seen: abs(seen["bright"] - 1) > 0.05,
        ),
        Mistake(
            REPEATING,
            "That is repeating itself: exactly as good, not better. Let the stamps of neighbours overlap.",
            sign=lambda seen: abs(seen["error"] - 1) < 1e-3,
        ),
        Mistake(
            window_of(0.0, 0.0, 1.0, 1.0),
            "No chequers, and the brightness is right. But the window leans to one side, and moves the picture.",
            sign=lambda seen: seen["off centre"] > 0.1,
        ),
        Mistake(
            window_of(0.5, 0.5, 0.5, 0.5),
            "No chequers, and the brightness is right. But the picture is too soft: places far away count too much.",
            sign=lambda seen: seen["outside"] > 0.5,
        ),
    ),
    otherwise="No chequers, and the brightness is about right. But the error is not 5% below that of repeating: change "
    "how much of the weight lies in the middle.",
    praise="A transposed convolution can do without chequers, and better than repeating. But nothing makes it do so.",
)

EXERCISES = (ENLARGE, CONTRAST, FOLD, PREVIEW, AUDIT, WINDOW)
