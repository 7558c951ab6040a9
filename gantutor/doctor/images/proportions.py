"""Are kinds of image missing, where no classes are known? A comparison of samples with real images in local shapes.

A collapsed G draws only a part of what the data hold. So a classifier of samples against real images finds real images
that look like no sample, but hardly a sample that looks like no real image. Where it goes by traces that G leaves in
all its samples, it finds both. If hardly any real image looks like a sample, the samples are not convincing.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gantutor.doctor.findings import Evidence, Finding, grade, telling
from gantutor.doctor.images.inputs import Case
from gantutor.doctor.measures import roc_auc
from gantutor.state import seeded

FEW = 1000  # samples, and real images: of fewer one kind may be missing without being noticed
MANY = 1500  # samples, and real images, that are compared at most
SIDE = 32  # pixels: larger images are reduced to it
PATCH = 6  # pixels
FILTERS = 200
AT_ONCE = 8  # images: 200 filters make 5 MB of them, which the system need not hand out and clear anew every time


class LocalShapes:
    """How much of each of 200 local shapes is in an image, wherever it lies: (N, C, H, W) -> float64 (N, 400).

    The shapes are patches of the real images, without colour, brought to one contrast and whitened, and images are
    described by how well they fit on average: Coates, Ng & Lee 2011, "An Analysis of Single-Layer Networks", with
    patches drawn at random in place of k-means, and pooled over the whole image.
    """

    def __init__(self, real: Tensor, seed: int = 0):
        x = reduced(real[:500])
        patches = F.unfold(x, PATCH).transpose(1, 2).flatten(0, 1)  # (M, 36)
        with seeded(seed):
            patches = patches[torch.randperm(len(patches))[:20_000]]
            patches = patches - patches.mean(1, keepdim=True)
            patches = patches / (patches.var(1, keepdim=True, correction=0) + 0.02).sqrt()
            centre = patches.mean(0)
            values, directions = torch.linalg.eigh((patches - centre).T.cov())
            whiten = directions / (values + 0.1 * values.max()).sqrt() @ directions.T
            shapes = F.normalize((patches[torch.randperm(len(patches))[:FILTERS]] - centre) @ whiten)
        filters = shapes @ whiten  # (200, 36)
        self.offset = (filters @ centre)[:, None, None]
        self.filters = (filters - filters.mean(1, keepdim=True)).view(-1, 1, PATCH, PATCH)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([self._fits(part) for part in reduced(x).split(AT_ONCE)]).double()

    def _fits(self, x: Tensor) -> Tensor:
        mean, square = (F.avg_pool2d(y, PATCH, 1) for y in (x, x.square()))
        contrast = (square - mean.square()).clamp(min=0).add(0.02).sqrt()  # (N, 1, h, w)
        fit = F.conv2d(x, self.filters).div_(contrast).sub_(self.offset)  # (N, 200, h, w)
        up = (fit - 0.5).relu_().mean((2, 3))
        down = fit.neg_().sub_(0.5).relu_().mean((2, 3))
        return torch.cat([up, down], 1)


def reduced(x: Tensor) -> Tensor:
    """Grey images of at most 32×32 pixels."""
    x = x.mean(1, keepdim=True)
    return F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True) if max(x.shape[2:]) > SIDE else x


class Shares(NamedTuple):
    """What a classifier of samples against real images finds."""

    auc: float  # area under its ROC curve, on images that it was not fitted to; 0.5 means that nothing differs
    error: float  # the standard error of that, if nothing differs
    like_samples: float  # density of real images where the most typical 15% of the samples lie, over that of these
    unlike_samples: float  # density of samples where the least typical 15% of the real images lie, over that of these


def compare(samples: Tensor, real: Tensor, folds: int = 5, ridge: float = 0.1) -> Shares:
    """Linear classifier of features (N, d) against (M, d), by ridge regression with cross-validation."""
    x, n = torch.cat([samples, real]), len(samples)
    x = (x - x.mean(0)) / x.std(0).clamp(min=1e-6)
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    y = torch.ones(len(x), dtype=torch.float64)
    y[n:] = -1
    weight = torch.where(y > 0, 0.5 / n, 0.5 / len(real)) * len(x)  # both sides count the same
    with seeded(0):
        order = torch.randperm(len(x))
    score = torch.empty_like(y)
    for fold in range(folds):
        tested, fitted = order[fold::folds], torch.cat([order[k::folds] for k in range(folds) if k != fold])
        a = x[fitted].T * weight[fitted]  # (d, K)
        matrix = a @ x[fitted] + ridge * len(fitted) * torch.eye(x.shape[1])
        score[tested] = x[tested] @ torch.linalg.solve(matrix, a @ y[fitted])
    mine, theirs = score[:n], score[n:]
    high, low = mine.quantile(0.85), theirs.quantile(0.15)
    error = math.sqrt((1 / len(mine) + 1 / len(theirs)) / 12)
    like, unlike = (part.double().mean().item() / 0.15 for part in (theirs > high, mine < low))
    return Shares(roc_auc(mine, theirs), error, like, unlike)


def judge_shapes(case: Case) -> Finding | None:
    """Does a classifier find a part of the real images among no samples, or hardly any real image among the samples?"""
    if case.resized:  # each way to resize leaves traces that a classifier finds
        case.open.append("whether kinds are missing as far as local shapes tell, because the samples were resized")
        return None
    real = torch.cat([case.real, case.held_out])
    real = real[torch.randperm(len(real))[:MANY]]
    shapes = LocalShapes(real)
    found = compare(shapes(case.samples[:MANY]), shapes(real))
    if found.auc < 0.5 + max(0.06, 5 * found.error):
        if (n := min(len(case.samples), len(real))) < FEW:
            question = f"whether one kind of several is missing; without classes {n} images are too few for that"
            case.open.append(f"{question}: give {FEW:,} samples and real images, or more, or labels")
        return None
    auc = Evidence("area under the ROC curve of a classifier of samples against real images, by local shapes",
                   found.auc, high=0.55)  # fmt: skip
    if found.auc > 0.95 and found.like_samples < 0.05:
        detail = "Their local shapes give them away, like those of a half-trained G."
        return Finding("low_fidelity", grade(found.auc, 0.97, 0.99), (auc,), detail)
    low, high = found.unlike_samples, found.like_samples
    error = math.sqrt(high / len(real) / 0.15 + max(low, 0.2) / len(case.samples) / 0.15)
    one_sided = low < 0.33 * high if high < 0.5 else low < 0.62 * high
    if high < 0.15 or not one_sided or high - low < 2.5 * error:
        return None
    name = "samples where real images are the least like samples, over the real images there"
    evidence = telling(
        auc,
        Evidence(name, low, low=0.7, high=1.3),
        Evidence("real images where samples are the most typical, over the samples there", high, context=True),
    )
    detail = "Some kinds of real image are missing among them, as far as local shapes tell."
    return Finding("partial_collapse", grade(found.auc, 0.62, 0.75), evidence, detail)
