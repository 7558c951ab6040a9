"""Convolutional nets: the DCGAN (Radford et al. 2016)."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from gantutor.errors import BadInput, real_number, whole_number
from gantutor.models.arguments import check_choices, check_conditioning, check_groups, check_sizes, plain_values
from gantutor.models.conditioning import D_LABELS, G_LABELS, Join, g_label, projected
from gantutor.models.layers import (
    ACTIVATIONS,
    Blur,
    MinibatchStd,
    Modulated,
    SelfModulatedBatchNorm,
    add_spectral_norm,
    fold,
    init_weights,
)
from gantutor.state import seeded

SMALLEST_MAP = {28: 7, 32: 4, 64: 4}  # image size -> size of the smallest feature map; each layer doubles or halves it
NORMS, G_NORMS = ("batch", "none"), ("batch", "self-modulated", "none")
GROUP = 8  # of the minibatch standard deviation in `for_images`
DOWN, UP = ("stride", "pool"), ("transposed", "resize", "blur")


def check_conv(shape: Sequence[int], **sizes: int) -> int:
    """The number of doublings from the smallest feature map to an image of this shape. Raises `BadInput` for others."""
    check_sizes(shape=shape, **{name: [size] for name, size in sizes.items()})
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] not in SMALLEST_MAP:
        raise BadInput(f"the shape is {tuple(shape)}: a DCGAN makes (C, H, W) images of 28×28, 32×32 or 64×64 pixels.")
    return int(shape[1] // SMALLEST_MAP[shape[1]]).bit_length() - 1


def keep_size(before: int, after: int, kernel: int, bias: bool) -> list[nn.Module]:
    """Layers (B, before, n, n) -> (B, after, n, n)."""
    if kernel % 2:
        return [nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=bias)]
    low, high = (kernel - 1) // 2, kernel // 2
    return [nn.ZeroPad2d((low, high, low, high)), nn.Conv2d(before, after, kernel, bias=bias)]


def double(before: int, after: int, kernel: int, up: str, bias: bool = True) -> list[nn.Module]:
    """Layers (B, before, n, n) -> (B, after, 2n, 2n)."""
    if up == "resize":
        return [nn.Upsample(scale_factor=2), *keep_size(before, after, kernel, bias)]
    padding = (kernel - 1) // 2  # (n − 1)·2 − 2·padding + kernel + output_padding = 2n
    transposed = nn.ConvTranspose2d(before, after, kernel, 2, padding, 2 + 2 * padding - kernel, bias=bias)
    return [transposed, Blur(after)] if up == "blur" else [transposed]


def halve(before: int, after: int, kernel: int, down: str, bias: bool) -> list[nn.Module]:
    """Layers (B, before, 2n, 2n) -> (B, after, n, n)."""
    if down == "pool":
        return [*keep_size(before, after, kernel, bias), nn.MaxPool2d(2)]
    return [nn.Conv2d(before, after, kernel, 2, (kernel - 1) // 2, bias=bias)]


class DCGANGenerator(nn.Module):
    """z -> a small feature map -> doubled in size until it is an image (Radford et al. 2016).

    Each doubling is a transposed convolution of stride 2, batch norm and ReLU, and it halves the channels; the last one
    makes the image and ends in tanh. 28 pixels take 7 → 14 → 28; for 32 and 64 pixels the first map has size 4.

    With `up="blur"` each doubling is smoothed (Karras et al. 2019), so that no checkerboard is there at
    initialisation; and the last doubling makes features, from which a 3×3 convolution makes the image.

    Args:
        latent_dim: length of z; z is drawn from N(0, I).
        width: channels of the feature map half as large as the image; the first one has width · 2ⁿ.
        shape: (C, 28, 28), (C, 32, 32) or (C, 64, 64).
        up: "transposed"; "resize": enlarge by repeating pixels, then convolve (Odena et al. 2016); or "blur".
        kernel: side of the kernels. With "transposed" an odd one gives checkerboards.
        norm: "batch"; "self-modulated", batch norm whose scales and shifts depend on z (and on the class); or "none".
        activation: between the layers: "relu", "leaky" (slope 0.2), "tanh" or "sigmoid".
        init_std: weights from N(0, init_std²) as in the paper; None leaves PyTorch's own.
        seed: fixes the initial weights.
        classes, label: as in `MLPGenerator`.

    Raises:
        BadInput: another image size, or a value that is not among the choices.
    """

    def __init__(self, latent_dim=64, width=32, shape=(1, 28, 28), up="transposed", kernel=4, norm="batch",
                 activation="relu", init_std=0.02, seed=0, classes=0, label="concat"):  # fmt: skip
        super().__init__()
        doublings = check_conv(shape, width=width, kernel=kernel, latent_dim=latent_dim)
        check_choices(up=(up, UP), norm=(norm, G_NORMS), activation=(activation, ACTIVATIONS))
        check_conditioning(classes, label, G_LABELS)
        self.config = plain_values(latent_dim=latent_dim, width=width, shape=list(shape), up=up, kernel=kernel,
                                   norm=norm, activation=activation, init_std=init_std, seed=seed,
                                   classes=classes, label=label)  # fmt: skip
        self.latent_dim, self.classes = self.config["latent_dim"], self.config["classes"]
        side, bias = SMALLEST_MAP[shape[1]], norm == "none"

        def norm_and_activation(channels):
            made = {"batch": nn.BatchNorm2d, "self-modulated": partial(SelfModulatedBatchNorm, inputs=self.join.width)}
            return [*([made[norm](channels)] if norm in made else []), ACTIVATIONS[activation]()]

        with seeded(seed):
            self.join = Join(classes, label, (latent_dim,))
            channels = self.config["width"] * 2 ** (doublings - 1)
            layers = [nn.Linear(self.join.width, channels * side * side, bias=bias),
                      nn.Unflatten(1, (channels, side, side)), *norm_and_activation(channels)]  # fmt: skip
            for _ in range(doublings if up == "blur" else doublings - 1):
                after = max(channels // 2, 1)
                layers += [*double(channels, after, kernel, up, bias), *norm_and_activation(after)]
                channels = after
            last = keep_size(channels, shape[0], 3, True) if up == "blur" else double(channels, shape[0], kernel, up)
            net = Modulated if norm == "self-modulated" else nn.Sequential
            self.net = net(*layers, *last, nn.Tanh())
            init_weights(self, init_std)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.net(self.join(z, y))  # (B, latent_dim) -> (B, C, H, W)


class DCGANDiscriminator(nn.Module):
    """An image, halved in size until it is a small feature map -> one logit (Radford et al. 2016).

    Each halving is a convolution of stride 2 with leaky ReLU, and it doubles the channels. The paper puts batch norm
    between them; the default here is none, because a gradient penalty needs the gradient at *each* image, while with
    batch norm the logit of an image depends on all others in its batch. (With a penalty in one step of 16, MNIST is
    drawn better with it all the same: the experiment `dcgan_guidelines_ours`.)

    Args:
        width: channels after the first halving; the last feature map has width · 2ⁿ.
        shape: (C, 28, 28), (C, 32, 32) or (C, 64, 64).
        down: "stride", or "pool": convolve at full size, then take the maximum of each 2×2.
        kernel: side of the kernels.
        norm: "none", or "batch" (in all halvings but the first, as in the paper).
        slope: of the leaky ReLU below 0; with 0 it is a plain ReLU.
        hidden: units of a fully connected layer before the logit; 0, as in the paper, for none.
        spectral: divide the weights of each layer by their largest singular value (Miyato et al. 2018).
        init_std, seed: as in `DCGANGenerator`.
        classes, label, pack: as in `MLPDiscriminator`; packed images become channels, image by image.
        minibatch_std: 0, or the group size of a `MinibatchStd` on the last feature map.

    Raises:
        BadInput: another image size, or a value that is not among the choices.
    """

    def __init__(self, width=32, shape=(1, 28, 28), down="stride", kernel=4, norm="none", slope=0.2, hidden=0,
                 spectral=False, init_std=0.02, seed=0, classes=0, label="projection", pack=1,
                 minibatch_std=0):  # fmt: skip
        super().__init__()
        halvings = check_conv(shape, width=width, kernel=kernel)
        check_choices(down=(down, DOWN), norm=(norm, NORMS))
        check_conditioning(classes, label, D_LABELS)
        check_groups(pack, classes, minibatch_std=minibatch_std)
        slope = real_number("slope", slope, least=0)
        whole_number("hidden", hidden)
        self.config = plain_values(width=width, shape=list(shape), down=down, kernel=kernel, norm=norm, slope=slope,
                                   hidden=hidden, spectral=spectral, init_std=init_std, seed=seed, classes=classes,
                                   label=label, pack=pack, minibatch_std=minibatch_std)  # fmt: skip
        self.classes, self.pack = self.config["classes"], self.config["pack"]
        with seeded(seed):
            self.join = Join(classes, label, (self.pack * shape[0], *shape[1:]))
            layers, channels = [], self.join.width
            for i in range(halvings):
                normalised, after = norm == "batch" and i > 0, width * 2**i
                layers += [*halve(channels, after, kernel, down, bias=not normalised),
                           *([nn.BatchNorm2d(after)] if normalised else []), nn.LeakyReLU(slope)]  # fmt: skip
                channels = after
            std = [MinibatchStd(minibatch_std)] if minibatch_std else []
            features = (channels + len(std)) * SMALLEST_MAP[shape[1]] ** 2
            layers += [*std, nn.Flatten()]
            if hidden:
                layers += [nn.Linear(features, hidden), nn.LeakyReLU(slope)]
            self.net = nn.Sequential(*layers, nn.Linear(hidden or features, 1))
            self.table = nn.Embedding(classes, hidden or features) if classes and label == "projection" else None
            init_weights(self, init_std)
            if spectral:
                add_spectral_norm(self)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = fold(x, self.pack)  # (B / pack, pack · C, H, W)
        return projected(self.net, self.table, self.join(x, y), y)  # (B / pack,)


def dcgan(
    shape: Sequence[int] = (1, 28, 28),
    latent_dim: int = 64,
    g_width: int = 32,
    d_width: int = 16,
    hidden: int = 256,
    seed: int = 0,
    classes: int = 0,
    label: str = "projection",
    spectral: bool = False,
    pack: int = 1,
    minibatch_std: int = 0,
    up: str = "transposed",
    g_norm: str = "batch",
) -> tuple[DCGANGenerator, DCGANDiscriminator]:
    """The DCGAN pair (G, D). G's initial weights come from `seed`, D's from `seed + 1`; labels as in `mlp`, `up` and
    `g_norm` as in `DCGANGenerator`.

    The nets are narrow, so that they learn on a CPU, and D has a fully connected layer, which the paper leaves out. The
    paper's own nets have width 128, hidden 0 and images of 64 pixels.
    """
    G = DCGANGenerator(latent_dim, g_width, shape, up, norm=g_norm, seed=seed, classes=classes, label=g_label(label))
    return G, DCGANDiscriminator(d_width, shape, hidden=hidden, spectral=spectral, seed=seed + 1, classes=classes,
                                 label=label, pack=pack, minibatch_std=minibatch_std)  # fmt: skip


def for_images(shape: Sequence[int], seed: int = 0, **options: Any) -> tuple[DCGANGenerator, DCGANDiscriminator]:
    """The pair (G, D) that `gantutor train dcgan` takes for images (C, H, W), to go with `Recipe.for_images`.

    For 28×28 it is `dcgan(shape)`. For larger ones G has `up="blur"`, self-modulated batch norm and half the width; and
    D has no fully connected layer, but the standard deviation of its minibatch in groups of 8. What each choice is
    worth the experiment `larger_images` has measured on drawn faces of 64×64, with five seeds and the compute of 2,000
    steps:

    - blur: with plain transposed convolutions the Fréchet distance is no worse (48 for 50, which may be chance), and
      the recall is slightly higher, but a checkerboard shows, at 8 times the level; plain resizing is worse (64).
    - modulation: on these faces the distance tells nothing certain (56 without it), only the recall is lower without
      it; on 2,500 faces in pixel art it lowers the distance from 56 to 26 (`small_data`, three seeds).
    - half the width: twice as wide, G takes only 1,044 steps, and does not become better in them (65, with one run at
      98).
    - minibatch std: no effect is to be seen (48 without). It stays because pixel art lost variety without it, in a
      single trial.

    These are short runs: after ten times as many steps the order may be another.

    Args:
        options: other arguments of `dcgan`, such as `classes`, which go before these choices.

    Raises:
        BadInput: another image size, or a value that is not among the choices.
    """
    check_conv(shape)
    larger = dict(up="blur", g_norm="self-modulated", g_width=16, hidden=0, minibatch_std=GROUP)
    return dcgan(shape, seed=seed, **{**({} if shape[1] == 28 else larger), **options})
