"""Room 5, conditioning: who is told the class, and how."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gantutor import models
from gantutor.data import Images
from gantutor.museum.exhibits import Exhibit
from gantutor.museum.measures import Symptom, obeyed
from gantutor.museum.probes import any_seed
from gantutor.museum.settings import Parts, Side, as_nets

# --- 23. label maps ---------------------------------------------------------------------------------------------------


def constant_map(hot: Tensor, side: int) -> Tensor:
    """One-hot labels (B, K) -> K planes, (B, K, side, side): that of the label is 1 everywhere, the others 0."""
    return hot[:, :, None, None].expand(-1, -1, side, side)


def striped_map(hot: Tensor, side: int) -> Tensor:
    """The row of K numbers again and again, then cut into planes: the ones are scattered over all of them."""
    return hot.repeat(1, side * side).reshape(len(hot), -1, side, side)


def mingled_map(hot: Tensor, side: int) -> Tensor:
    """The batch again and again, then cut: the map of one image is filled with the labels of all the others."""
    return hot.repeat(side * side, 1).reshape(len(hot), -1, side, side)


class MapD(models.DCGANDiscriminator):
    """The DCGAN's D, told the class by planes beside the image that `label_map` makes of one-hot labels."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        hot = one_hot(y, self.classes).to(x.dtype)  # (B, K)
        return self.net(torch.cat([x, self.label_map(hot, x.shape[-1])], 1)).squeeze(1)  # (B,)


# --- 24. half told ----------------------------------------------------------------------------------------------------


class Deaf(nn.Module):
    """A net that takes the labels and does nothing with them."""

    def __init__(self, net: nn.Module, classes: int):
        super().__init__()
        self.net, self.classes = net, classes
        self.latent_dim = getattr(net, "latent_dim", None)

    def forward(self, v: Tensor, y: Tensor) -> Tensor:
        return self.net(v)


CLASSES = 10


def told_pair(seed: int) -> tuple[nn.Module, nn.Module]:
    """Both are told."""
    return models.mlp(classes=CLASSES, seed=seed)


def deaf_g(seed: int) -> tuple[nn.Module, nn.Module]:
    """D is told the label, G is not."""
    return Deaf(models.mlp(seed=seed)[0], CLASSES), told_pair(seed)[1]


def deaf_d(seed: int) -> tuple[nn.Module, nn.Module]:
    """G is told the label, D is not."""
    return told_pair(seed)[0], Deaf(models.mlp(seed=seed)[1], CLASSES)


# --- the checks -------------------------------------------------------------------------------------------------------


def is_one_hot(label_map) -> None:
    """The planes of an image are constant, and they are its own one-hot label."""
    hot = one_hot(torch.randperm(CLASSES), CLASSES).float()  # (10, 10)
    planes = label_map(hot, 28)  # (10, 10, 28, 28)
    assert planes.shape == (CLASSES, CLASSES, 28, 28)
    assert torch.equal(planes, hot[:, :, None, None].expand_as(planes))


def both_listen(nets) -> None:
    """Another label, and each net answers differently."""
    G, D = (net.eval() for net in nets(any_seed()))
    with torch.no_grad():
        for net, v in ((G, torch.randn(8, G.latent_dim)), (D, torch.randn(8, 1, 28, 28))):
            first, second = (net(v, torch.full((8,), y)) for y in (3, 8))
            assert not torch.equal(first, second)


# --- the catalogue ----------------------------------------------------------------------------------------------------


def as_label_map(parts: Parts, piece) -> Parts:
    """A small conditional DCGAN, whose D is told the class by that map."""

    def nets(seed: int) -> tuple[nn.Module, nn.Module]:
        G, D = models.dcgan(g_width=16, d_width=8, hidden=128, classes=CLASSES, label="concat", seed=seed)
        D = MapD(**D.config)  # the same first weights
        D.label_map = piece
        return G, D

    return replace(parts, nets=nets)


def in_place(side: Side, real: Images) -> float:
    """Share of the ones of the piece's maps that lie in the plane of the image's own label."""
    hot = torch.eye(CLASSES)
    planes = side.piece(hot, 28)  # (10, 10, 28, 28)
    return (planes.sum((2, 3)).diagonal().sum() / planes.sum()).item()


OBEYED = Symptom("share of samples of the class that was asked for", obeyed, low=0.3)

ROOM = (
    Exhibit(
        "23a", "striped-label-map", "a one-hot label map in stripes",
        broken=striped_map, sound=constant_map, plug=as_label_map,
        met="Conditional GANs that repeat along one axis and reshape along another.",
        cause="The row of ten numbers is repeated and then cut into planes, so the ones end up in all planes, in "
        "stripes of period ten. The stripes are still a code for the label, which a D with dense layers "
        "learns to read, so little of it shows in a run: lesson 04, section 8, measures how little.",
        symptom=Symptom("share of a map's ones that lie in the plane of their label", in_place, low=1.0),
        check=is_one_hot, steps=60,
    ),
    Exhibit(
        "23b", "mingled-label-map", "a one-hot label map filled with the labels of others",
        broken=mingled_map, sound=constant_map, plug=as_label_map,
        met="The same line with the two numbers of repeat exchanged.",
        cause="The batch is repeated instead of the label, so each image's map holds everybody's labels. D cannot know "
        "whose is whose, and does not ask G to obey.",
        symptom=OBEYED, check=is_one_hot, findings=("labels_ignored",), steps=900,
        examined=2000,
    ),
    Exhibit(
        "24a", "deaf-generator", "labels given to D but not to G",
        broken=deaf_g, sound=told_pair, plug=as_nets,
        met="Two nets that were made conditional in two places, and one place was forgotten.",
        cause="A real image fits its label, and a generated one only by luck, one time in ten: D has only to "
        "compare the two. Even perfect digits would be rejected nine times in ten, so G hears little that "
        "leads to better ones.",
        symptom=OBEYED, check=both_listen, findings=("noisy", "low_fidelity"), steps=900,
    ),
    Exhibit(
        "24b", "deaf-discriminator", "labels given to G but not to D",
        broken=deaf_d, sound=told_pair, plug=as_nets,
        met="The other place was forgotten.",
        cause="Nobody compares the image with the label, so nothing asks G to obey. The images come out all the same.",
        symptom=OBEYED, check=both_listen, findings=("labels_ignored",), steps=900,
    ),
)  # fmt: skip
