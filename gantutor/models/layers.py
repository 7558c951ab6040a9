"""What nets are made of: layers that PyTorch lacks, packing, and the initial weights."""

import operator
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, normalize
from torch.nn.utils.parametrize import register_parametrization

from gantutor.errors import BadInput, real_number


def fold(x: Tensor, pack: int) -> Tensor:
    """Join `pack` consecutive examples (PacGAN, Lin et al. 2018): (B, C, …) -> (B / pack, pack · C, …).

    Raises `BadInput` if `pack` does not divide B.
    """
    if pack == 1:
        return x
    if len(x) % pack:
        raise BadInput(f"D was given {len(x)} examples, but it judges packs of {pack}: give it a multiple of {pack}.")
    return x.reshape(len(x) // pack, pack * x.shape[1], *x.shape[2:])


def pack_of(net: object) -> int:
    """How many examples D judges at a time: its attribute `pack` if that is a whole number above 0, else 1."""
    try:
        return max(operator.index(getattr(net, "pack", 1)), 1)
    except TypeError:
        return 1


class MinibatchStd(nn.Module):
    """Adds one feature, the same for a whole group: how much its examples differ (Karras et al. 2018, section 3).

    s = mean over the features f of √(varᵢ h[i, f] + ε), i over the group. (B, C, …) -> (B, C + 1, …).

    Args:
        group: number of consecutive examples that are compared. It must divide B; a smaller batch is one group. In a D
            that is packed, the examples here are packs. In eval mode the group need not divide B: the examples that are
            left over are compared with those before them. A single example has no spread at all, like a collapsed G.

    Raises:
        BadInput: in train mode, the batch cannot be divided into groups.
    """

    def __init__(self, group: int):
        super().__init__()
        self.group = group

    def size(self, n: int) -> int:
        """The number of examples in a group, if there are n in all."""
        if n > self.group and n % self.group:
            raise BadInput(f"minibatch_std is {self.group}, which does not divide the {n} examples (or packs) in the "
                           f"batch: choose a multiple of {self.group}.")  # fmt: skip
        return max(min(n, self.group), 1)

    def forward(self, h: Tensor) -> Tensor:
        left = 0 if self.training or len(h) < self.group else len(h) % self.group
        whole = len(h) - left
        size = self.size(whole)
        s = spread(h[:whole], size)
        if left:
            s = torch.cat([s, spread(h[-size:], size)[-left:]])  # (B,)
        return torch.cat([h, s.view(-1, *[1] * (h.ndim - 1)).expand(-1, 1, *h.shape[2:])], 1)

    def extra_repr(self) -> str:
        return f"group={self.group}"


def spread(h: Tensor, size: int) -> Tensor:
    """How much the examples of each group of `size` differ: (B, C, …) -> (B,), the same for all of a group."""
    variance = h.unflatten(0, (-1, size)).var(1, correction=0)  # (B / size, C, …)
    return (variance + 1e-8).sqrt().flatten(1).mean(1).repeat_interleave(size)  # ε: the gradient of √ at 0 is infinite


class Blur(nn.Module):
    """Each channel convolved with the binomial filter [1 2 1]ᵀ[1 2 1] / 16 (Zhang 2019).

    What alternates from pixel to pixel vanishes. (B, channels, H, W), 0 outside -> the same shape.
    """

    kernel: Tensor

    def __init__(self, channels: int):
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0])
        kernel = torch.outer(row, row) / 16
        self.register_buffer("kernel", kernel.expand(channels, 1, 3, 3).contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.kernel.to(x.dtype), padding=1, groups=len(self.kernel))

    def extra_repr(self) -> str:
        return f"channels={len(self.kernel)}"


class SelfModulatedBatchNorm(nn.Module):
    """BN(h) · (1 + Az) + Bz: batch norm that z scales and shifts, channel by channel (Chen et al. 2019, section 2).

    So z acts on every feature map, not on the first alone. A and B are linear here; the paper has a net with one hidden
    layer. h (B, channels, H, W), z (B, inputs) -> the shape of h.
    """

    def __init__(self, channels: int, inputs: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.modulation = nn.Linear(inputs, 2 * channels)  # (A, B)

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        scale, shift = self.modulation(z)[:, :, None, None].chunk(2, 1)  # (B, channels, 1, 1) each
        return self.norm(h) * (1 + scale) + shift


class Modulated(nn.Sequential):
    """Layers one after the other, of which the `SelfModulatedBatchNorm`s are given the input of the first as well."""

    def forward(self, z: Tensor) -> Tensor:
        h = z
        for layer in self:
            h = layer(h, z) if isinstance(layer, SelfModulatedBatchNorm) else layer(h)
        return h


class Maxout(nn.Module):
    """Of `pieces` linear units each the largest: h[k], h[K + k], h[2K + k], … (Goodfellow et al. 2013, section 3).

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

    Values and buffer names are those of `torch.nn.utils.parametrizations.spectral_norm`, which cannot be used under
    `torch.vmap`.

    Args:
        weight: (out, in, …), or an Embedding's (classes, features); taken as a matrix whose rows are its first
            dimension.
    """

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor):
        super().__init__()
        rows, columns = weight.flatten(1).shape
        u, v = weight.new_empty(rows).normal_(), weight.new_empty(columns).normal_()
        self.register_buffer("_u", normalize(u, dim=0))
        self.register_buffer("_v", normalize(v, dim=0))
        for _ in range(15):
            self.power_iteration(weight.flatten(1))

    @torch.no_grad()
    def power_iteration(self, matrix: Tensor) -> None:
        self._u.copy_(normalize(matrix.mv(self._v), dim=0))
        self._v.copy_(normalize(matrix.t().mv(self._u), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)  # (out, in · …)
        if self.training:
            self.power_iteration(matrix)
        u, v = self._u.clone(), self._v.clone()  # the next pass changes them before this one's gradients are computed
        return weight / u.dot(matrix.mv(v))


WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)
NORMALISING = (nn.BatchNorm1d, nn.BatchNorm2d)
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky": lambda: nn.LeakyReLU(0.2),
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


@torch.no_grad()
def init_weights(net: nn.Module, std: float | None = 0.02) -> None:
    """Draw weights from N(0, std²), those of batch norm from N(1, std²), and set biases to 0; None changes nothing.

    Source: Radford et al. 2016, section 4.
    """
    if std is None:
        return
    std = real_number("the standard deviation of the initial weights", std, least=0)
    for layer in net.modules():
        if isinstance(layer, (*WEIGHTED, *NORMALISING)):
            spectral = getattr(layer, "parametrizations", None)  # if not None, `layer.weight` is a normalised copy
            weight = layer.weight if spectral is None else spectral.weight.original
            weight.normal_(1.0 if isinstance(layer, NORMALISING) else 0.0, std)
            if (bias := getattr(layer, "bias", None)) is not None:
                bias.zero_()


def add_spectral_norm(net: nn.Module) -> None:
    """From now on, divide the weights of every layer by their largest singular value (Miyato et al. 2018)."""
    for layer in [m for m in net.modules() if isinstance(m, WEIGHTED)]:
        register_parametrization(layer, "weight", SpectralNorm(layer.weight))
