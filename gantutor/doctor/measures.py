"""What the doctor measures: numbers that compare samples with real images. `image_tests` and `net_tests` judge them.

Most of them are *matched*: each sample is compared with the real images that look like it in a thumbnail. So a G that
draws nothing but ones is not said to blur because ones have few edges, nor to copy because ones resemble each other.

Images are float32 (N, C, H, W), in [-1, 1] unless stated otherwise.
"""

import copy
import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantutor.data import floats
from gantutor.metrics import nearest_neighbours
from gantutor.state import seeded

# --- pixel values ----------------------------------------------------------------------------------------------------


def thumbnails(x: Tensor, side: int) -> Tensor:
    """Each image averaged down to at most side × side and flattened: (N, C, H, W) -> (N, C·side·side)."""
    return F.adaptive_avg_pool2d(x, (min(side, x.shape[2]), min(side, x.shape[3]))).flatten(1)


def thumbnail_variance(x: Tensor) -> float:
    """How much images differ: the summed variances of their thumbnails, 7×7 of 28×28, which average out pixel noise."""
    return thumbnails(x, max(2, min(7, min(x.shape[2:]) // 4))).var(0).sum().item()


def quantiles(x: Tensor, count: int = 512) -> Tensor:
    """`count` evenly spaced quantiles of all pixel values."""
    values = x.flatten().sort().values
    return values[torch.linspace(0, len(values) - 1, count, dtype=torch.float64).long()]


def value_gap(x: Tensor, real: Tensor) -> float:
    """Mean difference between the quantiles of the pixel values."""
    return (quantiles(x) - quantiles(real)).abs().mean().item()


class Rescaling(NamedTuple):
    """A way in which pixel values may have been changed, and how to undo it: a·x + b."""

    name: str
    a: float
    b: float

    def undo(self, x: Tensor) -> Tensor:
        return (self.a * x + self.b).clamp(-1, 1)

    def share_cut_off(self, x: Tensor) -> float:
        """Share of pixel values that `undo` would have to cut off."""
        return ((self.a * x + self.b).abs() > 1.1).double().mean().item()


def candidate_rescalings(x: Tensor, real: Tensor) -> list[Rescaling]:
    """The usual ways to get the range wrong, and the one that stretches the samples to the range of the real images."""
    candidates = [
        Rescaling("in [0, 1]", 2, -1), Rescaling("in [0, 255]", 2 / 255, -1), Rescaling("in [-0.5, 0.5]", 2, 0),
        Rescaling("in [-1, 0]", 2, 1), Rescaling("inverted", -1, 0), Rescaling("inverted, in [0, 1]", -2, 1),
        Rescaling("inverted, in [0, 255]", -2 / 255, 1), Rescaling("in [0, 1], stored as bytes", 255, 254),
        Rescaling("standardised", real.std().item(), real.mean().item()),
    ]  # fmt: skip
    low, high = quantiles(x)[[5, -6]].tolist()
    real_low, real_high = quantiles(real)[[5, -6]].tolist()
    if high - low > 1e-3:
        a = (real_high - real_low) / (high - low)
        candidates.append(Rescaling(f"stretched to [{low:.2g}, {high:.2g}]", a, real_low - a * low))
    return candidates


def thumbnail_distance(x: Tensor, real: Tensor) -> float:
    """Median distance between the thumbnail of a sample and the nearest real one."""
    return nearest_neighbours(thumbnails(x, 7), thumbnails(real, 7))[0].median().item()


def grey_levels(x: Tensor) -> int:
    """How many grey values there are between black and white: of 190 steps, those that hold 99% of such pixels.

    Bytes and floats have more than 100, black-and-white images none.
    """
    counts = torch.histc(x[x.abs() < 0.95], 190, -0.95, 0.95).sort(descending=True).values  # (190,)
    return int((counts.cumsum(0) < 0.99 * counts.sum()).sum()) + int(counts.sum() > 0.01 * x.numel())


# --- texture: too smooth, too rough ----------------------------------------------------------------------------------


class TextureDifference(NamedTuple):
    """Fine structure of samples minus that of their matched real images: 0 means equal.

    All but `flat` are natural logarithms.
    """

    middle: float  # power of the middle frequencies, a quarter to 0.6 of the highest along an axis
    high: float  # power of the high frequencies, 0.6 to 1
    corner: float  # power beyond: detail that is fine in both directions at once
    residual: float  # mean |x − median of the 3×3 pixels around it|
    flat: float  # the same in the flattest half of the pixels, as a root mean square and a plain difference


def texture_difference(x: Tensor, real: Tensor, k: int = 8) -> TextureDifference:
    """Compare each sample with the `k` real images whose 7×7 thumbnails are nearest; medians over the samples."""
    near = nearest_neighbours(thumbnails(x, 7), thumbnails(real, 7), k)[1]  # (N, k)
    mine, theirs = texture(x), texture(real)[near].mean(1)  # (N, 5)
    small = torch.tensor([1e-3, 1e-3, 1e-3, 1e-4])  # keeps the logarithms away from 0
    logs = (mine[:, :4] + small).log() - (theirs[:, :4] + small).log()
    middle, high, corner, residual = logs.median(0).values.tolist()
    return TextureDifference(middle, high, corner, residual, (mine[:, 4] - theirs[:, 4]).median().item())


def texture(x: Tensor) -> Tensor:
    """The five numbers of a `TextureDifference` for each image, before they are compared: (N, 5)."""
    return torch.cat([torch.cat([band_power(part), roughness(part)], 1) for part in x.split(250)])


def band_power(x: Tensor) -> Tensor:
    """Mean power in three frequency bands, (N, 3). The highest frequency along an axis, every second pixel, is 1."""
    fy, fx = torch.fft.fftfreq(x.shape[2]), torch.fft.rfftfreq(x.shape[3])
    radius = 2 * (fy[:, None] ** 2 + fx**2).sqrt()  # (H, W/2 + 1)
    power = torch.fft.rfft2(x.mean(1)).abs().square()
    masks = (radius > 0.25) & (radius <= 0.6), (radius > 0.6) & (radius <= 1), radius > 1.05
    return torch.stack([power[:, mask].mean(1) for mask in masks], 1)


def roughness(x: Tensor) -> Tensor:
    """Mean deviation from the median of 3×3 pixels, and its root mean square where the image is flattest: (N, 2)."""
    smooth = median_filter(x)
    residual = (x - smooth).flatten(1)  # (N, C·H·W)
    variance = local_mean(smooth * smooth) - local_mean(smooth).square()
    flattest = variance.flatten(1).topk(residual.shape[1] // 2, largest=False).indices
    return torch.stack([residual.abs().mean(1), residual.gather(1, flattest).square().mean(1).sqrt()], 1)


# Pairs of nine numbers to be exchanged where they are not in order; then the middle one is the median (Smith 1996).
# Five times as fast as sorting.
EXCHANGES = ((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3), (5, 8), (4, 7), (3, 6),
             (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2))  # fmt: skip


def median_filter(x: Tensor) -> Tensor:
    """Each pixel replaced by the median of the 3×3 pixels around it."""
    H, W = x.shape[2:]
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    near = [wide[..., i : i + H, j : j + W] for i in range(3) for j in range(3)]
    for low, high in EXCHANGES:
        near[low], near[high] = torch.minimum(near[low], near[high]), torch.maximum(near[low], near[high])
    return near[4]


def local_mean(x: Tensor) -> Tensor:
    """Each pixel replaced by the mean of the 5×5 pixels around it."""
    return F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5, 1)


class PeriodicPattern(NamedTuple):
    """The regular pattern of `period` pixels that stands out most."""

    excess: float  # log₁₀ of its power over that of real images
    strength: float  # its root mean square over the pixels
    period: int
    direction: str


def periodic_pattern(x: Tensor, real: Tensor, least: float = 0.0) -> PeriodicPattern:
    """Does the spectrum have a peak at a period of 2, 3 or 4 pixels that real images do not have?

    A peak is measured against the frequencies around it, so that neither noise nor sharpness counts as one. Where real
    images have a gap, as pictures made of blocks do, the samples need a peak of their own. Beside the empty frequencies
    of smooth images any trace is a peak: patterns whose root mean square is below `least` are passed over.
    """
    mine, theirs = power_spectrum(x), power_spectrum(real)
    found = [PeriodicPattern(-math.inf, 0.0, 2, "")]
    for period in (2, 3, 4):
        v, u = (round(size / period) for size in x.shape[2:])
        for direction, (row, column) in {"across": (0, u), "down": (v, 0), "both ways": (v, u)}.items():
            if min(row or 99, column or 99) < 4:  # nearer to 0, the frequencies around it would include the mean
                continue
            if (strength := pattern_strength(mine, row, column)) >= least:
                excess = peak_height(mine, row, column) - max(peak_height(theirs, row, column), 0.0)
                found.append(PeriodicPattern(excess, strength, period, direction))
    return max(found)


def power_spectrum(x: Tensor) -> Tensor:
    """Power at each frequency, averaged over the images: (H, W)."""
    power: Tensor = torch.fft.fft2(x.mean(1)).abs().square()  # (N, H, W)
    return power.mean(0)


def peak_height(power: Tensor, row: int, column: int) -> float:
    """log₁₀ of the power at a frequency over the mean of those two steps away."""
    return math.log10((power[row, column].item() + 1e-6) / (power_around(power, row, column) + 1e-6))


def pattern_strength(power: Tensor, row: int, column: int) -> float:
    """Root mean square, over the pixels, of what a frequency has beyond the power of those two steps away."""
    H, W = power.shape
    its_own_mirror_image = 2 * row % H == 2 * column % W == 0  # other waves have half of their power at -row, -column
    power_here = (1 if its_own_mirror_image else 2) * (power[row, column].item() - power_around(power, row, column))
    return math.sqrt(max(power_here, 0.0)) / (H * W)


def power_around(power: Tensor, row: int, column: int) -> float:
    """Mean power of the frequencies two steps away."""
    ring = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if max(abs(i), abs(j)) == 2]
    H, W = power.shape
    return torch.stack([power[(row + i) % H, (column + j) % W] for i, j in ring]).mean().item()


class BlockPattern(NamedTuple):
    """Edges at every `period`-th pixel; `excess` is how much stronger they are there, as a natural logarithm."""

    excess: float
    period: int


def block_pattern(x: Tensor, real: Tensor) -> BlockPattern:
    """Are the images made of blocks of 2, 4 or 8 pixels, as no real image is?

    The differences between neighbouring columns (or rows) are averaged over the samples and compared with those of real
    images. In blocks, every period-th one exceeds the two beside it. The weakest of them counts, because one seam alone
    does not make blocks.
    """
    found = [BlockPattern(0.0, 2)]
    for axis in (2, 3):
        mine, theirs = edge_strength(x, axis), edge_strength(real, axis)  # (L - 1,)
        ratio = ((mine + 0.2 * theirs.mean()) / (theirs + 0.2 * theirs.mean())).log()
        excess = ratio[1:-1] - (ratio[:-2] + ratio[2:]) / 2  # (L - 3,)
        position, busy = torch.arange(1, len(ratio) - 1), theirs[1:-1] > 0.3 * theirs.mean()
        for period in (2, 4, 8):
            for phase in range(period):
                at_edges = busy & (position % period == phase)
                if at_edges.sum() >= 3:
                    found.append(BlockPattern(excess[at_edges].min().item(), period))
    return max(found)


def edge_strength(x: Tensor, axis: int) -> Tensor:
    """Mean |difference| between neighbouring rows (axis 2) or columns (axis 3): (L - 1,)."""
    return x.diff(dim=axis).abs().mean([i for i in range(4) if i != axis]).clamp(min=1e-6)


def dead_pixel_share(x: Tensor, real: Tensor) -> float:
    """Share of pixels that hardly vary from sample to sample although those around them do, minus that of real images.

    A pixel is dead if its standard deviation is less than 0.3 of the third smallest among the 3×3 pixels around it, and
    that one is above 0.2. So three or more dead pixels side by side are taken for a shape and not counted.
    """
    shares = []
    for images in (x, real):
        std = images.std(0, keepdim=True)  # (1, C, H, W)
        patches = F.unfold(F.pad(std, (1, 1, 1, 1), mode="replicate"), 3).view(std.shape[1], 9, -1)
        third = patches.kthvalue(3, dim=1).values.view_as(std)
        shares.append(((std < 0.3 * third) & (third > 0.2)).double().mean().item())
    return shares[0] - shares[1]


# --- copies and repetitions ------------------------------------------------------------------------------------------


class CopySearch:
    """Looks for copies of training images in two views: as they are, and aligned (see `aligned_thumbnails`).

    Args:
        train: float32 or bytes, which are converted a few at a time.
    """

    def __init__(self, train: Tensor):
        views = [(thumbnails(part, 14), aligned_thumbnails(part)) for part in map(floats, train.split(1000))]
        self.plain, self.aligned = map(torch.cat, zip(*views, strict=True))

    def among(self, some: Tensor) -> "CopySearch":
        """The same search among some of the training images only, which are given by their indices (M,)."""
        part = copy.copy(self)
        part.plain, part.aligned = self.plain[some], self.aligned[some]
        return part

    def nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """For each image, distance to the nearest training image over that to the second nearest, and its index: (N,).

        A new image has neighbours at similar distances; a copy, even a noisy one, has one that is much nearer (Lowe's
        ratio test), and the ratio is the same in dense and in sparse regions of the data. The smallest of three ratios
        counts: that of the image as it is, and those of the aligned image and its mirror image.
        """
        views = (thumbnails(x, 14), self.plain), *((aligned_thumbnails(y), self.aligned) for y in (x, x.flip(3)))
        ratios, nearest = map(torch.stack, zip(*(lowe_ratio(*view) for view in views), strict=True))  # (3, N) each
        best = ratios.argmin(0, keepdim=True)
        return ratios.gather(0, best)[0], nearest.gather(0, best)[0]


def lowe_ratio(queries: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest over second nearest distance (0 for what is in the base) and the index of the nearest, (N,) each.

    The base may hold an image several times: the second nearest is the first of the next three that is another image.
    """
    distances, index = nearest_neighbours(queries, base, min(4, len(base)))  # (N, 4) each
    others = torch.stack([(base[i] - base[index[:, 0]]).abs().amax(1) > 1e-3 for i in index.T[1:]], 1)  # (N, 3)
    second = distances.gather(1, 1 + others.double().argmax(1, keepdim=True))[:, 0]
    ratio = distances[:, 0] / second.clamp(min=1e-6)
    return torch.where(distances[:, 0] < 1e-3, 0, ratio), index[:, 0]


def share_by_target(hit: Tensor, target: Tensor) -> tuple[float, int]:
    """Share of hits (N,) when all examples with the same target (N,) count as one; and the number of targets."""
    _, position, counts = target.unique(return_inverse=True, return_counts=True)
    share = torch.zeros(len(counts), dtype=torch.float64).index_add_(0, position, hit.double()) / counts
    return share.mean().item(), len(counts)


def aligned_thumbnails(x: Tensor) -> Tensor:
    """10×10 thumbnails that do not change with shift, brightness or contrast: (N, C·10·10), each of norm 1.

    Each image is rolled so that the centre of what differs from its median value lies in the middle.
    """
    ink = (x - x.flatten(1).median(1).values[:, None, None, None]).abs().mean(1)  # (N, H, W)
    rolled = []
    for axis, size in ((1, x.shape[2]), (2, x.shape[3])):
        along = ink.sum(3 - axis)  # (N, L)
        centre = (along * torch.arange(size)).sum(1) / along.sum(1).clamp(min=1e-6)
        shift = (centre - (size - 1) / 2).round().long()
        rolled.append((torch.arange(size) + shift[:, None]) % size)  # (N, L)
    x = x.gather(2, rolled[0][:, None, :, None].expand_as(x)).gather(3, rolled[1][:, None, None, :].expand_as(x))
    small = thumbnails(x, 10)
    small = small - small.mean(1, keepdim=True)
    norm: Tensor = small.norm(dim=1, keepdim=True)
    return small / norm.clamp(min=1e-3)


def repetition_ratio(x: Tensor, real: Tensor) -> Tensor:
    """For each sample, distance to the nearest other sample over that to the nearest of as many real images, (N,).

    About 1 for samples that are as varied as the data; near 0 where samples repeat each other.
    """
    mine, theirs = thumbnails(x, 14), thumbnails(real[: len(x)], 14)
    among = nearest_neighbours(mine, mine, 1, exclude_self=True)[0][:, 0]
    return among / nearest_neighbours(mine, theirs, 1)[0][:, 0].clamp(min=1e-6)


def outlier_ratio(x: Tensor, real: Tensor) -> Tensor:
    """For each sample, distance to the nearest real image over that image's distance to its own nearest one, (N,).

    Near 1 for images of the same kind, in crowded and in empty regions alike; above 1 for images of another kind.
    """
    mine, theirs = thumbnails(x, 14), thumbnails(real, 14)
    distances, index = nearest_neighbours(mine, theirs)  # (N, 1) each
    own = nearest_neighbours(theirs[index[:, 0]], theirs, 2)[0][:, 1]  # (N,): the nearest is the image itself
    return distances[:, 0] / own.clamp(min=1e-6)


# --- features and class shares ---------------------------------------------------------------------------------------


class RandomFeatures:
    """Features of images that no classifier knows: random convolutions, then the 64 main directions of the real images.

    Untrained convolutions tell coarse shapes apart (Saxe et al. 2011), but not what only a trained net sees.
    """

    def __init__(self, real: Tensor, seed: int = 0):
        width = 32
        with seeded(seed):
            first, second = nn.Conv2d(real.shape[1], width, 5, 2, 2), nn.Conv2d(width, 2 * width, 3, 2, 1)
            self.net = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
            for layer in (first, second):
                nn.init.orthogonal_(layer.weight)
                nn.init.uniform_(cast(Tensor, layer.bias), -0.1, 0.1)
        raw = self._convolve(real[:4000])  # (N, 1024)
        self.mean = raw.mean(0)
        _, values, directions = torch.linalg.svd(raw - self.mean, full_matrices=False)
        kept = slice(min(64, int((values > 1e-4 * values[0]).sum())))
        self.map: Tensor = directions[kept].T / (values[kept] / math.sqrt(len(raw))).sqrt()  # (1024, d): half whitened

    @torch.no_grad()
    def _convolve(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, (32, 32), mode="bilinear", antialias=True) if max(x.shape[2:]) > 32 else x
        return torch.cat([self.net(part) for part in x.split(1000)])

    def __call__(self, x: Tensor) -> Tensor:
        return (self._convolve(x) - self.mean) @ self.map  # (N, C, H, W) -> (N, d)


def class_shares(logits: Tensor, prior: Tensor, steps: int = 100) -> Tensor:
    """Share of each class among the images, (K,), estimated with a classifier that errs: Saerens et al. 2002, eq. 2.4.

    Counting predicted classes would count each confusion as a fact. Instead, expectation-maximisation finds the shares
    w that explain the predicted probabilities best.

    Args:
        logits: (N, K), of a classifier trained on a set with the class shares `prior` (K,).
    """
    p = logits.double().softmax(1) / prior  # (N, K)
    w = prior.double()
    for _ in range(steps):
        q = p * w
        w = (q / q.sum(1, keepdim=True)).mean(0)
    return w


def class_share_errors(logits: Tensor, prior: Tensor, w: Tensor) -> Tensor:
    """Standard errors (K,) of the shares w (K,) that `class_shares` found, from their Fisher information."""
    p = logits.double().softmax(1) / prior
    p = p / (p @ w)[:, None]  # (N, K): the derivatives of the log likelihoods
    inverse: Tensor = torch.linalg.pinv(p.T @ p)
    along = inverse.sum(1)  # the shares sum to 1, so there is no error in that direction
    return (inverse - torch.outer(along, along) / along.sum()).diagonal().clamp(min=0).sqrt()


# --- nets and curves -------------------------------------------------------------------------------------------------


def roc_auc(high: Tensor, low: Tensor) -> float:
    """Area under the ROC curve: the probability that a number of `high` (N,) exceeds one of `low` (M,), ties half."""
    both = torch.cat([high, low]).double()
    _, rank, counts = both.unique(return_inverse=True, return_counts=True)
    ranks: Tensor = (counts.cumsum(0) - (counts.double() - 1) / 2)[rank]  # mean rank of ties, from 1
    n, m = len(high), len(low)
    return ((ranks[:n].sum() - n * (n + 1) / 2) / (n * m)).item()


def mismatched_halves(x: Tensor) -> Tensor:
    """Each image's left half beside the right half of another: right in every detail, wrong as a whole."""
    y = x.clone()
    y[..., x.shape[3] // 2 :] = x.roll(1, 0)[..., x.shape[3] // 2 :]
    return y


def outer_quarter_medians(curve: Tensor) -> tuple[float, float]:
    """Medians of the first and of the last quarter of a curve."""
    quarter = max(1, len(curve) // 4)
    return curve[:quarter].median().item(), curve[-quarter:].median().item()
