"""Generators and discriminators. Sizes are arguments; `seed` fixes the initial weights.

Every G maps latents (B, latent_dim) to (B, *shape), with values in [-1, 1] when its output is tanh; every D maps
(B, *shape) to logits (B,), or (B / pack,) where it judges `pack` examples at a time. A conditional pair (classes > 0)
takes labels, int64 (B,), as a second argument: G(z, y) and D(x, y). Each net keeps the arguments it was made with in
`.config`, so a checkpoint can make it again.

All nets work under `torch.func.functional_call` and `torch.vmap` over stacked weights and buffers, in train mode too.
"""

import contextlib
import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrize import register_parametrization

from gantutor.errors import BadInput, real, unknown, whole
from gantutor.labels import D_LABELS, G_LABELS, Join, projected

# --- small parts -----------------------------------------------------------------------------------------------------


def fold(x: Tensor, pack: int) -> Tensor:
    """Join `pack` consecutive examples (PacGAN, Lin et al. 2018): (B, C, …) -> (B / pack, pack · C, …).

    Raises `BadInput` where `pack` does not divide B.
    """
    if pack == 1:
        return x
    if len(x) % pack:
        raise BadInput(f"D was given {len(x)} examples, but it judges packs of {pack}: give it a multiple of {pack}.")
    return x.reshape(len(x) // pack, pack * x.shape[1], *x.shape[2:])


def pack_of(net: object) -> int:
    """How many examples D judges at a time: its attribute `pack` where that is a whole number above 0, else 1."""
    try:
        return max(operator.index(getattr(net, "pack", 1)), 1)
    except TypeError:
        return 1


class MinibatchStd(nn.Module):
    """One feature more, the same for a whole group: how much its examples differ (Karras et al. 2018, section 3).

    s = mean over the features f of √(varᵢ h[i, f] + ε), i over the group. (B, C, …) -> (B, C + 1, …).

    Args:
        group: consecutive examples that are compared. It must divide B; a smaller batch is one group. After a packed
            first layer the examples are packs.

    Raises:
        BadInput: the batch cannot be cut into groups.
    """

    def __init__(self, group: int):
        super().__init__()
        self.group = group

    def size(self, n: int) -> int:
        """How many of n examples make up a group."""
        if n > self.group and n % self.group:
            raise BadInput(f"minibatch_std is {self.group}, which does not divide the {n} that D judges at a time: "
                           f"choose a multiple of {self.group}.")  # fmt: skip
        return max(min(n, self.group), 1)

    def forward(self, h: Tensor) -> Tensor:
        size = self.size(len(h))
        groups = h.unflatten(0, (-1, size))  # (B / size, size, C, …)
        spread = (groups.var(1, correction=0) + 1e-8).sqrt()  # (B / size, C, …); ε: √ has no slope at 0
        s = spread.flatten(1).mean(1).repeat_interleave(size)  # (B,)
        return torch.cat([h, s.view(-1, *[1] * (h.ndim - 1)).expand(-1, 1, *h.shape[2:])], 1)

    def extra_repr(self) -> str:
        return f"group={self.group}"


class Maxout(nn.Module):
    """The largest of `pieces` linear units each: h[k], h[K + k], h[2K + k], … (Goodfellow et al. 2013, section 3).

    (B, pieces · K) -> (B, K).
    """

    def __init__(self, pieces: int):
        super().__init__()
        self.pieces = pieces

    def forward(self, h: Tensor) -> Tensor:
        return h.unflatten(1, (self.pieces, -1)).amax(1)  # (B, pieces, K) -> (B, K)

    def extra_repr(self) -> str:
        return f"pieces={self.pieces}"


class SpectralNorm(nn.Module):
    """W / σ(W), with σ ≈ uᵀWv from one step of power iteration per pass in train mode (Miyato et al. 2018, appendix A).

    The numbers and the names of the buffers are those of `torch.nn.utils.parametrizations.spectral_norm`, which cannot
    be used under `torch.vmap`.

    Args:
        weight: (out, in, …), or an Embedding's (classes, features); taken as a matrix, its first dimension the rows.
    """

    def __init__(self, weight: Tensor):
        super().__init__()
        rows, columns = weight.flatten(1).shape
        u, v = weight.new_empty(rows).normal_(), weight.new_empty(columns).normal_()
        self.register_buffer("_u", normalize(u, dim=0))
        self.register_buffer("_v", normalize(v, dim=0))
        for _ in range(15):
            self.iterate(weight.flatten(1))

    @torch.no_grad()
    def iterate(self, matrix: Tensor) -> None:
        self._u.copy_(normalize(matrix.mv(self._v), dim=0))
        self._v.copy_(normalize(matrix.t().mv(self._u), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)  # (out, in · …)
        if self.training:
            self.iterate(matrix)
        u, v = self._u.clone(), self._v.clone()  # the next pass changes them before this one's gradients are computed
        return weight / u.dot(matrix.mv(v))


# --- fully connected -------------------------------------------------------------------------------------------------


class MLPGenerator(nn.Module):
    """Fully connected generator: z -> hidden layers (batch norm, ReLU) -> one value per pixel.

    Args:
        latent_dim: length of z; z is drawn from N(0, I).
        hidden: widths of the hidden layers. (128,) with batch_norm=False is the 128-wide net of early tutorials.
        shape: shape of one example, (C, H, W) for images or (2,) for points in the plane.
        batch_norm: normalise each hidden layer over the batch (Ioffe & Szegedy 2015).
        output: "tanh" (images in [-1, 1]) or "linear" (any real value).
        seed: fixes the initial weights.
        classes: 0, or the number of classes of a conditional G.
        label: how it is told the class, "concat" or "embed"; see `Join`.
        init_std: weights from N(0, init_std²), as in `init_weights`; None leaves PyTorch's own.
        activation: of the hidden layers: "relu", "leaky" (slope 0.2), "tanh" or "sigmoid".
    """

    def __init__(self, latent_dim=64, hidden=(256, 512), shape=(1, 28, 28), batch_norm=True, output="tanh", seed=0,
                 classes=0, label="concat", init_std=None, activation="relu"):  # fmt: skip
        super().__init__()
        if output not in ("tanh", "linear"):
            raise BadInput(f"output is {output!r}: choose 'tanh' (images in [-1, 1]) or 'linear' (any value).")
        check_sizes(latent_dim=[latent_dim], hidden=hidden, shape=shape)
        check_choices(activation=(activation, ACTIVATIONS))
        check_conditioning(classes, label, G_LABELS)
        self.config = native(latent_dim=latent_dim, hidden=list(hidden), shape=list(shape), batch_norm=batch_norm,
                             output=output, seed=seed, classes=classes, label=label, init_std=init_std,
                             activation=activation)  # fmt: skip
        self.latent_dim, self.classes = self.config["latent_dim"], self.config["classes"]
        with seeded(seed):
            self.join = Join(classes, label, (latent_dim,))
            layers, width = [], self.join.width
            for size in hidden:
                layers += dense(width, size, batch_norm, activation)
                width = size
            layers += [nn.Linear(width, math.prod(shape)), *([nn.Tanh()] if output == "tanh" else [])]
            self.net = nn.Sequential(*layers, nn.Unflatten(1, tuple(self.config["shape"])))
            init_weights(self, init_std)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.net(self.join(z, y))  # (B, latent_dim) -> (B, *shape)


class MLPDiscriminator(nn.Module):
    """Fully connected discriminator: pixels -> hidden layers (leaky ReLU, slope 0.2) -> one logit.

    Args:
        hidden: widths of the hidden layers.
        shape: shape of one example.
        seed: fixes the initial weights.
        classes: 0, or the number of classes of a conditional D.
        label: how it is told the class, "concat", "embed" or "projection".
        spectral: divide the weights of each layer by their largest singular value (Miyato et al. 2018).
        init_std: weights from N(0, init_std²), as in `init_weights`; None leaves PyTorch's own.
        activation: of the hidden layers, as in `MLPGenerator`.
        maxout: 0, or the pieces of each hidden unit: the largest of so many takes the place of the activation.
        batch_norm: normalise each hidden layer over the batch (Ioffe & Szegedy 2015).
        pack: examples that are judged together, as one: x (B, *shape) -> (B / pack,) (Lin et al. 2018).
        minibatch_std: 0, or the group size of a `MinibatchStd` before the last hidden layer.
    """

    def __init__(self, hidden=(512, 256), shape=(1, 28, 28), seed=0, classes=0, label="projection", spectral=False,
                 init_std=None, activation="leaky", maxout=0, batch_norm=False, pack=1, minibatch_std=0):  # fmt: skip
        super().__init__()
        check_sizes(hidden=hidden, shape=shape)
        check_choices(activation=(activation, ACTIVATIONS))
        check_conditioning(classes, label, D_LABELS)
        check_groups(pack, classes, maxout=maxout, minibatch_std=minibatch_std)
        if minibatch_std and not hidden:
            raise BadInput(f"minibatch_std is {minibatch_std}, but D has no hidden layer to look at it: give it one.")
        self.config = native(hidden=list(hidden), shape=list(shape), seed=seed, classes=classes, label=label,
                             spectral=spectral, init_std=init_std, activation=activation, maxout=maxout,
                             batch_norm=batch_norm, pack=pack, minibatch_std=minibatch_std)  # fmt: skip
        self.classes, self.pack = self.config["classes"], self.config["pack"]
        with seeded(seed):
            self.join = Join(classes, label, (self.pack * math.prod(shape),))
            layers, width = [nn.Flatten()], self.join.width
            for i, size in enumerate(hidden, start=1):
                if minibatch_std and i == len(hidden):
                    layers, width = [*layers, MinibatchStd(minibatch_std)], width + 1
                layers += dense(width, size, batch_norm, activation, maxout)
                width = size
            self.net = nn.Sequential(*layers, nn.Linear(width, 1))
            self.table = nn.Embedding(classes, width) if classes and label == "projection" else None
            if self.table is not None:
                init_weights(self.table)
            init_weights(self, init_std)
            if spectral:
                bound(self)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = fold(x.flatten(1), self.pack)  # (B / pack, pack · prod(shape))
        return projected(self.net, self.table, self.join(x, y), y)  # (B / pack,)


def dense(width: int, size: int, batch_norm: bool, activation: str, maxout: int = 0) -> list[nn.Module]:
    """A hidden layer (B, width) -> (B, size): linear, batch norm where asked for, then activation or maxout."""
    wide = size * max(maxout, 1)
    norm = [nn.BatchNorm1d(wide)] if batch_norm else []
    bend = Maxout(maxout) if maxout else ACTIVATIONS[activation]()
    return [nn.Linear(width, wide, bias=not batch_norm), *norm, bend]


# --- convolutional ---------------------------------------------------------------------------------------------------

FIRST = {28: 7, 32: 4, 64: 4}  # image size -> size of the smallest feature map; each layer between doubles it
NORMS = ("batch", "none")
DOWN, UP = ("stride", "pool"), ("transposed", "resize")


class DCGANGenerator(nn.Module):
    """z -> a small feature map -> doubled until it is an image (Radford et al. 2016).

    Each doubling is a transposed convolution of stride 2, batch norm and ReLU, and halves the channels; the last one
    makes the image, with tanh. For 28 pixels 7 → 14 → 28, for 32 and 64 from 4 on.

    Args:
        latent_dim: length of z; z is drawn from N(0, I).
        width: channels of the last feature map, before the image; the first one has width · 2ⁿ.
        shape: (C, 28, 28), (C, 32, 32) or (C, 64, 64).
        up: "transposed", or "resize": enlarge by repeating pixels, then convolve (Odena et al. 2016).
        kernel: side of the kernels. One that 2 does not divide gives checkerboards with "transposed".
        norm: "batch" or "none".
        activation: between the layers: "relu", "leaky" (slope 0.2), "tanh" or "sigmoid".
        init_std: weights from N(0, init_std²) as in the paper; None leaves PyTorch's own.
        seed: fixes the initial weights.
        classes, label: as in `MLPGenerator`.

    Raises:
        BadInput: another image size, or a value that is not offered.
    """

    def __init__(self, latent_dim=64, width=32, shape=(1, 28, 28), up="transposed", kernel=4, norm="batch",
                 activation="relu", init_std=0.02, seed=0, classes=0, label="concat"):  # fmt: skip
        super().__init__()
        doublings = check_conv(shape, width=width, kernel=kernel, latent_dim=latent_dim)
        check_choices(up=(up, UP), norm=(norm, NORMS), activation=(activation, ACTIVATIONS))
        check_conditioning(classes, label, G_LABELS)
        self.config = native(latent_dim=latent_dim, width=width, shape=list(shape), up=up, kernel=kernel, norm=norm,
                             activation=activation, init_std=init_std, seed=seed, classes=classes,
                             label=label)  # fmt: skip
        self.latent_dim, self.classes = self.config["latent_dim"], self.config["classes"]
        first, plain = FIRST[shape[1]], norm == "none"

        def rest(channels):
            return [*([] if plain else [nn.BatchNorm2d(channels)]), ACTIVATIONS[activation]()]

        with seeded(seed):
            self.join = Join(classes, label, (latent_dim,))
            wide = self.config["width"] * 2 ** (doublings - 1)
            layers = [nn.Linear(self.join.width, wide * first * first, bias=plain),
                      nn.Unflatten(1, (wide, first, first)), *rest(wide)]  # fmt: skip
            for _ in range(doublings - 1):
                layers += [*double(wide, wide // 2, kernel, up, bias=plain), *rest(wide // 2)]
                wide //= 2
            self.net = nn.Sequential(*layers, *double(wide, shape[0], kernel, up), nn.Tanh())
            init_weights(self, init_std)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.net(self.join(z, y))  # (B, latent_dim) -> (B, C, H, W)


class DCGANDiscriminator(nn.Module):
    """An image halved until it is a small feature map -> one logit (Radford et al. 2016).

    Each halving is a convolution of stride 2 with leaky ReLU, and doubles the channels. The paper puts batch norm
    between them; the default here is none, because a gradient penalty asks for the slope at *each* image, and batch
    norm lets the images of a batch talk to each other.

    Args:
        width: channels after the first halving; the last feature map has width · 2ⁿ.
        shape: (C, 28, 28), (C, 32, 32) or (C, 64, 64).
        down: "stride", or "pool": convolve at full size, then take the maximum of each 2×2.
        kernel: side of the kernels.
        norm: "none", or "batch" (in all halvings but the first, as in the paper).
        slope: of the leaky ReLU below 0; 0 is a plain ReLU.
        hidden: units of a fully connected layer before the logit; 0, as in the paper, for none.
        spectral: divide the weights of each layer by their largest singular value (Miyato et al. 2018).
        init_std, seed: as in `DCGANGenerator`.
        classes, label, pack: as in `MLPDiscriminator`; packed images become channels, image by image.
        minibatch_std: 0, or the group size of a `MinibatchStd` on the last feature map.

    Raises:
        BadInput: another image size, or a value that is not offered.
    """

    def __init__(self, width=32, shape=(1, 28, 28), down="stride", kernel=4, norm="none", slope=0.2, hidden=0,
                 spectral=False, init_std=0.02, seed=0, classes=0, label="projection", pack=1,
                 minibatch_std=0):  # fmt: skip
        super().__init__()
        halvings = check_conv(shape, width=width, kernel=kernel)
        check_choices(down=(down, DOWN), norm=(norm, NORMS))
        check_conditioning(classes, label, D_LABELS)
        check_groups(pack, classes, minibatch_std=minibatch_std)
        slope = real("slope", slope, least=0)
        whole("hidden", hidden)
        self.config = native(width=width, shape=list(shape), down=down, kernel=kernel, norm=norm, slope=slope,
                             hidden=hidden, spectral=spectral, init_std=init_std, seed=seed, classes=classes,
                             label=label, pack=pack, minibatch_std=minibatch_std)  # fmt: skip
        self.classes, self.pack = self.config["classes"], self.config["pack"]
        with seeded(seed):
            self.join = Join(classes, label, (self.pack * shape[0], *shape[1:]))
            layers, before, after = [], self.join.width, width
            for i in range(halvings):
                normed = norm == "batch" and i > 0
                layers += [*halve(before, after, kernel, down, bias=not normed),
                           *([nn.BatchNorm2d(after)] if normed else []), nn.LeakyReLU(slope)]  # fmt: skip
                before, after = after, after * 2
            watch = [MinibatchStd(minibatch_std)] if minibatch_std else []
            features = (before + len(watch)) * FIRST[shape[1]] ** 2
            layers += [*watch, nn.Flatten()]
            if hidden:
                layers += [nn.Linear(features, hidden), nn.LeakyReLU(slope)]
            self.net = nn.Sequential(*layers, nn.Linear(hidden or features, 1))
            self.table = nn.Embedding(classes, hidden or features) if classes and label == "projection" else None
            init_weights(self, init_std)
            if spectral:
                bound(self)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = fold(x, self.pack)  # (B / pack, pack · C, H, W)
        return projected(self.net, self.table, self.join(x, y), y)  # (B / pack,)


def double(before: int, after: int, kernel: int, up: str, bias: bool = True) -> list[nn.Module]:
    """Layers (B, before, n, n) -> (B, after, 2n, 2n)."""
    if up == "resize":
        return [nn.Upsample(scale_factor=2), *same(before, after, kernel, bias)]
    padding = (kernel - 1) // 2  # (n − 1)·2 − 2·padding + kernel + output_padding = 2n
    return [nn.ConvTranspose2d(before, after, kernel, 2, padding, 2 + 2 * padding - kernel, bias=bias)]


def halve(before: int, after: int, kernel: int, down: str, bias: bool) -> list[nn.Module]:
    """Layers (B, before, 2n, 2n) -> (B, after, n, n)."""
    if down == "pool":
        return [*same(before, after, kernel, bias), nn.MaxPool2d(2)]
    return [nn.Conv2d(before, after, kernel, 2, (kernel - 1) // 2, bias=bias)]


def same(before: int, after: int, kernel: int, bias: bool) -> list[nn.Module]:
    """Layers (B, before, n, n) -> (B, after, n, n)."""
    if kernel % 2:
        return [nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=bias)]
    low, high = (kernel - 1) // 2, kernel // 2
    return [nn.ZeroPad2d((low, high, low, high)), nn.Conv2d(before, after, kernel, bias=bias)]


WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)
NORMALISING = (nn.BatchNorm1d, nn.BatchNorm2d)
ACTIVATIONS = {"relu": nn.ReLU, "leaky": lambda: nn.LeakyReLU(0.2), "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


@torch.no_grad()
def init_weights(net: nn.Module, std: float | None = 0.02) -> None:
    """Weights from N(0, std²), those of batch norm from N(1, std²), biases 0 (Radford et al. 2016, section 4).

    None leaves the net as it is.
    """
    if std is None:
        return
    std = real("the standard deviation of the first weights", std, least=0)
    for layer in net.modules():
        if isinstance(layer, (*WEIGHTED, *NORMALISING)):
            bounded = hasattr(layer, "parametrizations")  # then `layer.weight` is a copy, divided
            weight = layer.parametrizations.weight.original if bounded else layer.weight
            weight.normal_(1.0 if isinstance(layer, NORMALISING) else 0.0, std)
            if getattr(layer, "bias", None) is not None:
                layer.bias.zero_()


def bound(net: nn.Module) -> None:
    """Divide the weights of every layer by their largest singular value, from now on (Miyato et al. 2018)."""
    for layer in [m for m in net.modules() if isinstance(m, WEIGHTED)]:
        register_parametrization(layer, "weight", SpectralNorm(layer.weight))


# --- pairs -----------------------------------------------------------------------------------------------------------


def mlp(
    shape: Sequence[int] = (1, 28, 28),
    latent_dim: int = 64,
    g_hidden: Sequence[int] = (256, 512),
    d_hidden: Sequence[int] = (512, 256),
    batch_norm: bool = True,
    output: str = "tanh",
    seed: int = 0,
    classes: int = 0,
    label: str = "projection",
    spectral: bool = False,
    pack: int = 1,
    minibatch_std: int = 0,
) -> tuple[MLPGenerator, MLPDiscriminator]:
    """The MLP pair (G, D). G's first weights come from `seed`, D's from `seed + 1`.

    `label` is D's; G has the same, but "concat" where D has "projection". What follows it is for D.
    """
    G = MLPGenerator(latent_dim, g_hidden, shape, batch_norm, output, seed, classes, g_label(label))
    return G, MLPDiscriminator(
        d_hidden, shape, seed + 1, classes, label, spectral, pack=pack, minibatch_std=minibatch_std
    )


def plane(seed: int = 0, pack: int = 1, minibatch_std: int = 0) -> tuple[MLPGenerator, MLPDiscriminator]:
    """The pair (G, D) for points in the plane: three layers of 64, no normalisation; `train.PLANE` suits it.

    The points should have a standard deviation of about 1: divide them by `toy.Mixture.spread`.
    """
    return mlp((2,), 2, (64,) * 3, (64,) * 3, False, "linear", seed, pack=pack, minibatch_std=minibatch_std)


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
) -> tuple[DCGANGenerator, DCGANDiscriminator]:
    """The DCGAN pair (G, D). G's first weights come from `seed`, D's from `seed + 1`; labels as in `mlp`.

    Narrow, so that it learns on a CPU, and with a fully connected layer in D, which the paper leaves out; the paper's
    own have width 128, hidden 0 and images of 64 pixels.
    """
    G = DCGANGenerator(latent_dim, g_width, shape, seed=seed, classes=classes, label=g_label(label))
    return G, DCGANDiscriminator(d_width, shape, hidden=hidden, spectral=spectral, seed=seed + 1, classes=classes,
                                 label=label, pack=pack, minibatch_std=minibatch_std)  # fmt: skip


def g_label(label: str) -> str:
    """How G is told the class where D is told so: G has no projection."""
    check_choices(label=(label, D_LABELS))
    return "concat" if label == "projection" else label


# --- tools -----------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """One line of `table`."""

    layer: str
    shape: tuple[int, ...]  # of what the layer gives for one example
    parameters: int


def rows(net: nn.Module, *inputs: Tensor) -> list[Row]:
    """What each layer of a net gives, and its parameters, as `inputs` (B, …) pass through it in eval mode.

    Layers that keep their own layers (`nn.Sequential`) or are never called are left out.
    """
    found, handles = [], []

    def look(layer: nn.Module, arguments: tuple, result: Tensor) -> None:
        found.append(Row(type(layer).__name__.removeprefix("Parametrized"), tuple(result.shape[1:]), parameters(layer)))

    for name, layer in net.named_modules():
        inner = {child for child, _ in layer.named_children()} - {"parametrizations"}
        idle = isinstance(layer, Join) and layer.width == layer.shape[0]
        if not (inner or idle or "parametrizations" in name):
            handles.append(layer.register_forward_hook(look))
    try:
        with evaluating(net), torch.no_grad():
            net(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def table(net: nn.Module, *inputs: Tensor) -> str:
    """`rows` as text to print, with the sum of all parameters: ``print(models.table(G, torch.zeros(1, 64)))``."""
    lines = [f"{row.layer:16} {' × '.join(map(str, row.shape)) or '1':>14} {row.parameters:11,}"
             for row in rows(net, *inputs)]  # fmt: skip
    title = f"{'layer':16} {'gives':>14} {'parameters':>11}"
    return "\n".join([title, *lines, f"{'together':31} {parameters(net):11,}"])


def parameters(net: nn.Module) -> int:
    """How many numbers of a net are learned."""
    return sum(p.numel() for p in net.parameters())


def check_sizes(**sizes: Sequence[int]) -> None:
    """Raise `BadInput` naming the first size that is not a whole number of 1 or more."""
    for name, values in sizes.items():
        if not isinstance(values, Sequence):
            raise BadInput(f"{name} is {values!r}: give a list of sizes, such as ({values!r},).")
        for value in values:
            whole(name, value, least=1)


def check_conv(shape: Sequence[int], **sizes: int) -> int:
    """How many doublings lead from the first feature map to an image of this shape; `BadInput` where there is none."""
    check_sizes(shape=shape, **{name: [size] for name, size in sizes.items()})
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] not in FIRST:
        raise BadInput(f"the shape is {tuple(shape)}: a DCGAN makes (C, H, W) images of 28×28, 32×32 or 64×64 pixels.")
    return int(shape[1] // FIRST[shape[1]]).bit_length() - 1


def check_conditioning(classes: int, label: str, choices: Sequence[str]) -> None:
    whole("classes", classes)
    check_choices(label=(label, choices))


def check_groups(pack: int, classes: int, **groups: int) -> None:
    """Raise `BadInput` unless `pack` is 1 or more (1 for a conditional D) and each group is 0 or has at least two."""
    if whole("pack", pack, least=1) > 1 and classes:
        raise BadInput(f"pack is {pack} and classes is {classes}: a conditional D cannot be packed; leave one out.")
    for name, size in groups.items():
        if whole(name, size) == 1:
            raise BadInput(f"{name} is 1, and there is nothing to compare one with: give 0 for none, or 2 or more.")


def check_choices(**given: tuple[str, Iterable[str]]) -> None:
    """Raise `BadInput` naming the first value that is not among its choices."""
    for name, (value, choices) in given.items():
        if value not in choices:
            raise unknown(name, value, choices)


def native(**arguments: object) -> dict[str, object]:
    """The arguments with Python's own numbers and lists in the place of NumPy's: a checkpoint holds nothing else."""

    def own(value: object) -> object:
        if isinstance(value, (list, tuple)):
            return [own(part) for part in value]
        return value.item() if isinstance(value, np.generic) else value

    return {name: own(value) for name, value in arguments.items()}


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the block's random numbers from `seed`, and leave torch's global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(whole("seed", seed))  # torch.manual_seed would seed GPUs too
        yield


@contextlib.contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; every module gets its own mode back."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


NETS = {cls.__name__: cls for cls in (MLPGenerator, MLPDiscriminator, DCGANGenerator, DCGANDiscriminator)}
