"""Room 5, conditioning: which net gets the class label, and how."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gantutor import models
from gantutor.data import Images
from gantutor.museum.exhibits import Exhibit
from gantutor.museum.measures import Symptom, label_accuracy
from gantutor.museum.probes import any_seed
from gantutor.museum.settings import Parts, Side, as_nets

# --- 23. label maps ---------------------------------------------------------------------------------------------------


def constant_map(hot: Tensor, side: int) -> Tensor:
    """One-hot labels (B, K) -> planes (B, K, side, side): that of the label is 1 everywhere, the others are 0."""
    return hot[:, :, None, None].expand(-1, -1, side, side)


def striped_map(hot: Tensor, side: int) -> Tensor:
    """The row of K numbers is repeated and then cut into planes, which scatters the ones over all of them."""
    return hot.repeat(1, side * side).reshape(len(hot), -1, side, side)


def mingled_map(hot: Tensor, side: int) -> Tensor:
    """The whole batch is repeated and then cut, which fills the map of one image with the labels of all others."""
    return hot.repeat(side * side, 1).reshape(len(hot), -1, side, side)


class MapD(models.DCGANDiscriminator):
    """The DCGAN's D, which gets the class as extra planes, made by `label_map` from one-hot labels."""

    label_map: Callable[[Tensor, int], Tensor]

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None, "this D is told the class"
        hot = one_hot(y, self.classes).to(x.dtype)  # (B, K)
        return self.net(torch.cat([x, self.label_map(hot, x.shape[-1])], 1)).squeeze(1)  # (B,)


# --- 24. only one of the two nets gets the label ----------------------------------------------------------------------
# ----------------------------------------------------------------------------------------------------


class IgnoresLabel(nn.Module):
    """A net that accepts labels and ignores them."""

    def __init__(self, net: nn.Module, classes: int):
        super().__init__()
        self.net, self.classes = net, classes
        self.latent_dim = getattr(net, "latent_dim", None)

    def forward(self, v: Tensor, y: Tensor) -> Tensor:
        return self.net(v)


CLASSES = 10


def conditional_pair(seed: int) -> tuple[nn.Module, nn.Module]:
    """Both nets get the label."""
    return models.mlp(classes=CLASSES, seed=seed)


def unconditional_g(seed: int) -> tuple[nn.Module, nn.Module]:
    """D gets the label, but G ignores it."""
    return IgnoresLabel(models.mlp(seed=seed)[0], CLASSES), conditional_pair(seed)[1]


def unconditional_d(seed: int) -> tuple[nn.Module, nn.Module]:
    """G gets the label, but D ignores it."""
    return conditional_pair(seed)[0], IgnoresLabel(models.mlp(seed=seed)[1], CLASSES)


# --- the checks -------------------------------------------------------------------------------------------------------


def is_one_hot(label_map) -> None:
    """The planes of an image are constant and equal its own one-hot label."""
    hot = one_hot(torch.randperm(CLASSES), CLASSES).float()  # (10, 10)
    planes = label_map(hot, 28)  # (10, 10, 28, 28)
    assert planes.shape == (CLASSES, CLASSES, 28, 28)
    assert torch.equal(planes, hot[:, :, None, None].expand_as(planes))


def both_use_the_label(nets) -> None:
    """The output of each net changes with the label."""
    G, D = (net.eval() for net in nets(any_seed()))
    with torch.no_grad():
        for net, v in ((G, torch.randn(8, G.latent_dim)), (D, torch.randn(8, 1, 28, 28))):
            first, second = (net(v, torch.full((8,), y)) for y in (3, 8))
            assert not torch.equal(first, second)


# --- the catalogue ----------------------------------------------------------------------------------------------------


def as_label_map(parts: Parts, piece) -> Parts:
    """A small conditional DCGAN whose D gets the class by this label map."""

    def nets(seed: int) -> tuple[nn.Module, nn.Module]:
        G, usual = models.dcgan(g_width=16, d_width=8, hidden=128, classes=CLASSES, label="concat", seed=seed)
        D = MapD(**usual.config)  # with the same initial weights
        D.label_map = piece
        return G, D

    return replace(parts, nets=nets)


def share_in_own_plane(side: Side, real: Images) -> float:
    """The share of the ones in the piece's maps that lie in the plane of the image's own label."""
    hot = torch.eye(CLASSES)
    planes = side.piece(hot, 28)  # (10, 10, 28, 28)
    return (planes.sum((2, 3)).diagonal().sum() / planes.sum()).item()


LABEL_ACCURACY = Symptom("share of samples that show the requested class", label_accuracy, low=0.3)

ROOM = (
    Exhibit(
        "23a", "striped-label-map", "a one-hot label map in stripes",
        broken=striped_map, sound=constant_map, plug=as_label_map,
        met="Conditional GANs that repeat a label along one axis and reshape along another.",
        cause="The row of ten numbers is repeated and then cut into planes, so the ones end up in all planes, in "
        "stripes of period ten. The stripes still encode the label, and a D with dense layers learns to read them, so "
        "a run shows little of the mistake; lesson 04, section 8, measures how little.",
        symptom=Symptom("share of a map's ones that lie in the plane of their label", share_in_own_plane, low=1.0),
        check=is_one_hot, steps=60,
    ),
    Exhibit(
        "23b", "mingled-label-map", "a one-hot label map filled with the labels of other images",
        broken=mingled_map, sound=constant_map, plug=as_label_map,
        met="The same line with the two arguments of repeat swapped.",
        cause="The batch is repeated instead of the label, so each image's map contains the labels of all images. D "
        "cannot tell which label belongs to which image, so it gives G no reason to draw the requested class.",
        symptom=LABEL_ACCURACY, check=is_one_hot, findings=("labels_ignored",), steps=900,
        examined=2000,
    ),
    Exhibit(
        "24a", "unconditional-generator", "labels given to D but not to G",
        broken=unconditional_g, sound=conditional_pair, plug=as_nets,
        met="Code that has to pass the labels in two places, one of which was forgotten.",
        cause="A real image matches its label, but a generated one only by chance, one time in ten, so D only needs to "
        "compare the two. Even perfect digits would be rejected nine times in ten, so little of the gradient G "
        "receives leads to better ones.",
        symptom=LABEL_ACCURACY, check=both_use_the_label, findings=("noisy", "low_fidelity"), steps=900,
    ),
    Exhibit(
        "24b", "unconditional-discriminator", "labels given to G but not to D",
        broken=unconditional_d, sound=conditional_pair, plug=as_nets,
        met="Code in which the other of the two places was forgotten.",
        cause="Nothing compares the image with the label, so G has no reason to draw the requested class. Images come "
        "out all the same.",
        symptom=LABEL_ACCURACY, check=both_use_the_label, findings=("labels_ignored",), steps=900,
    ),
)  # fmt: skip
