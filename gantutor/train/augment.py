"""Pictures changed at random before D sees them, real and generated ones alike, so that D cannot learn a few by heart.

    run = Run(G, D, images, augment=augment.DiffAugment())    # or augment.ADA(), which finds out how much is needed

D never sees an unchanged picture for certain, but G does not learn to draw changed ones: its pictures, once changed,
have to look like real ones that were changed in the same ways. All changes are differentiable, so that G's gradient
passes through them. They draw from torch's global random stream, in a run that of the run.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gantutor.errors import BadInput, real_number, unknown
from gantutor.losses import Loss


class Augment:
    """Changes images (B, C, H, W) in [−1, 1], C being 1 or 3, each in its own way."""

    name: str

    def __call__(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def check(self, loss: Loss) -> None:
        """Raise `BadInput` for a loss that this augmentation does not go with."""

    def to(self, device: torch.device) -> None:
        """Move whatever changes during training to a device, where it stays."""

    def adapt(self, real_logits: Tensor) -> None:
        """Learn from what D said about a batch of real images, (B,)."""

    def state(self) -> dict[str, Any]:
        """Plain values and tensors from which `restore` goes on."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""


class DiffAugment(Augment):
    """Colour, translation and cutout, always (Zhao et al. 2020, section 3.2; the names of the three are theirs)."""

    name = "diff"

    def __call__(self, x: Tensor) -> Tensor:
        return cut_out(translated(recoloured(x)))


class ADA(Augment):
    """Each of many changes with a probability that is steered by how sure D is of the real images.

    The changes are those of "bgc": turns and flips, scaling and translation, and colour. Each is made with probability
    `p`, which rises while D gives a positive logit to more real images than `target` says, and falls while to fewer
    (Karras et al. 2020, section 3).

    Args:
        target: the mean sign of D's logits of real images, from −1 to 1, that `p` is steered to.
        images: so many real images take `p` from 0 to 1 where it rises all the time. The paper has 500,000; trainings
            on few pictures are shorter.

    Attributes:
        p: 0-d tensor on the device of the images; at most 0.85, so that every change can be told apart from its
            opposite (section 2.2).
    """

    name = "ada"
    most = 0.85

    def __init__(self, target: float = 0.6, images: float = 100_000):
        self.target = real_number("target", target, above=-1, below=1)
        self.images = real_number("images", images, above=0)
        self.p = torch.zeros(())

    def __call__(self, x: Tensor) -> Tensor:
        return colour_changed(moved(x, self.p), self.p)

    def check(self, loss: Loss) -> None:
        if loss.name in ("wasserstein", "relativistic"):
            raise BadInput(
                f"augment is ADA, which asks for the sign of D's logits, but with the {loss.name} loss their zero has "
                "no meaning: take DiffAugment, or another loss."
            )

    def to(self, device: torch.device) -> None:
        self.p = self.p.to(device)

    def adapt(self, real_logits: Tensor) -> None:
        sure = real_logits.sign().mean() - self.target
        self.p.add_(sure.sign() * len(real_logits) / self.images).clamp_(0, self.most)

    def state(self) -> dict[str, Any]:
        return {"target": self.target, "images": self.images, "p": self.p.item()}

    def restore(self, state: dict[str, Any]) -> None:
        self.target, self.images = float(state["target"]), float(state["images"])
        self.p.fill_(float(state["p"]))


AUGMENTS: dict[str, type[Augment]] = {"diff": DiffAugment, "ada": ADA}


def made(name: str) -> Augment:
    """The augmentation of this name. Raises `BadInput` for others."""
    if name not in AUGMENTS:
        raise unknown("augmentation", name, AUGMENTS)
    return AUGMENTS[name]()


# --- DiffAugment -----------------------------------------------------------------------------------------------------


def recoloured(x: Tensor) -> Tensor:
    """Another brightness, saturation and contrast."""
    B = len(x)
    x = x + one_each(x, -0.5, 0.5)
    if x.shape[1] > 1:
        grey = x.mean(1, keepdim=True)
        x = grey + (x - grey) * one_each(x, 0, 2)
    middle = x.reshape(B, -1).mean(1).view(B, 1, 1, 1)
    return middle + (x - middle) * one_each(x, 0.5, 1.5)


def translated(x: Tensor, ratio: float = 1 / 8) -> Tensor:
    """Moved by whole pixels, at most a share of the side each way; what comes in is 0, a middle grey."""
    for axis in (2, 3):
        n, shape = x.shape[axis], along(axis, x)
        most = round(n * ratio)
        source = torch.arange(n, device=x.device) - torch.randint(-most, most + 1, (len(x), 1), device=x.device)
        inside = ((source >= 0) & (source < n)).to(x.dtype).view(shape)  # (B, n), with 1 for the other axes
        x = x.gather(axis, source.clamp(0, n - 1).view(shape).expand_as(x)) * inside
    return x


def cut_out(x: Tensor, ratio: float = 1 / 2) -> Tensor:
    """A square of a share of the side is 0, anywhere, and may reach out of the picture."""
    hidden = x.new_ones(())
    for axis in (2, 3):
        n = x.shape[axis]
        middle = torch.randint(0, n + 1, (len(x), 1), device=x.device)
        distance = (torch.arange(n, device=x.device) + 0.5 - middle).abs()  # (B, n)
        hidden = hidden * (distance < n * ratio / 2).to(x.dtype).view(along(axis, x))
    return x * (1 - hidden)


def along(axis: int, x: Tensor) -> list[int]:
    """The shape of one number for each image and each place along an axis."""
    return [x.shape[i] if i in (0, axis) else 1 for i in range(4)]


def one_each(x: Tensor, low: float, high: float) -> Tensor:
    """A uniform number for each image, (B, 1, 1, 1)."""
    return torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype) * (high - low) + low


# --- ADA -------------------------------------------------------------------------------------------------------------
# Karras et al. 2020, appendix B. Matrices are (B, 3, 3) or (B, 4, 4); those of changes that are not made are the unit.


def moved(x: Tensor, p: Tensor) -> Tensor:
    """Mirrored, turned, scaled and shifted, by one matrix for each image; edges are reflected."""
    B, size = len(x), x.shape[3]
    unit = torch.eye(3, device=x.device, dtype=x.dtype)
    quarter, full = math.pi / 2, 2 * math.pi
    each_half = 1 - (1 - p).sqrt()  # of the two turns, before and after the stretching, that make one together
    steps = [
        some(x, p, scaling(1 - 2 * whole(x, 2), x.new_ones(B))),  # a mirror image
        some(x, p, rotation(quarter * whole(x, 4))),
        some(x, p, shift((uniform(x, 2) / 4 * size).round() * 2 / size)),  # whole pixels, up to an eighth
        some(x, p, scaling(*[2 ** (0.2 * normal(x))] * 2)),
        some(x, each_half, rotation(full * uniform(x, 1)[:, 0])),
        some(x, p, stretching(2 ** (0.2 * normal(x)))),
        some(x, each_half, rotation(full * uniform(x, 1)[:, 0])),
        some(x, p, shift(0.25 * torch.randn(B, 2, device=x.device, dtype=x.dtype))),
    ]
    matrix = unit.expand(B, 3, 3)
    for step in steps:
        matrix = matrix @ step
    places = F.affine_grid(matrix[:, :2], list(x.shape), align_corners=False)
    return F.grid_sample(x, places, padding_mode="reflection", align_corners=False)


def colour_changed(x: Tensor, p: Tensor) -> Tensor:
    """Another brightness and contrast; in colour another hue and saturation, and light and dark exchanged."""
    B, C = x.shape[:2]
    one, zero = x.new_ones(B), x.new_zeros(B)
    luma = x.new_full((3,), 3**-0.5)  # the axis of grey
    onto = torch.outer(luma, luma)  # (3, 3)
    unit = torch.eye(3, device=x.device, dtype=x.dtype)
    matrix, offset = unit.expand(B, 3, 3), some(x, p, 0.2 * normal(x), zero)  # brightness
    contrast = some(x, p, 2 ** (0.5 * normal(x)), one)
    matrix, offset = matrix * contrast[:, None, None], offset * contrast
    flipped = some(x, p, whole(x, 2), zero)[:, None, None]
    change = unit - 2 * onto * flipped
    if C == 3:
        turn = about_grey(2 * math.pi * uniform(x, 1)[:, 0])
        saturation = some(x, p, 2 ** normal(x), one)[:, None, None]
        change = (onto + (unit - onto) * saturation) @ some(x, p, turn, unit) @ change
    offset = offset * (1 - 2 * flipped[:, 0, 0])  # it is grey, so that hue and saturation leave it alone
    matrix = change @ matrix
    if C == 1:
        scale = 1 - 2 * flipped[:, :, :, None]
        return x * contrast.view(B, 1, 1, 1) * scale + offset.view(B, 1, 1, 1)
    return (matrix @ x.flatten(2)).view_as(x) + offset.view(B, 1, 1, 1)


def some(x: Tensor, p: Tensor, change: Tensor, otherwise: Tensor | None = None) -> Tensor:
    """The change of each image, (B, …), with probability p, otherwise the unit matrix or what is given."""
    if otherwise is None:
        otherwise = torch.eye(change.shape[-1], device=x.device, dtype=x.dtype)
    made = torch.rand(len(change), device=x.device) < p
    return torch.where(made.view(-1, *[1] * (change.ndim - 1)), change, otherwise)


def uniform(x: Tensor, columns: int) -> Tensor:
    """(B, columns), from −½ to ½."""
    return torch.rand(len(x), columns, device=x.device, dtype=x.dtype) - 0.5


def normal(x: Tensor) -> Tensor:
    return torch.randn(len(x), device=x.device, dtype=x.dtype)


def whole(x: Tensor, below: int) -> Tensor:
    """A whole number for each image, (B,), as a float."""
    return torch.randint(below, (len(x),), device=x.device).to(x.dtype)


def rows(*entries: tuple[Tensor, ...]) -> Tensor:
    """Matrices (B, n, n) from their entries (B,)."""
    return torch.stack([torch.stack(row, dim=1) for row in entries], dim=1)


def scaling(a: Tensor, b: Tensor) -> Tensor:
    one, zero = torch.ones_like(a), torch.zeros_like(a)
    return rows((a, zero, zero), (zero, b, zero), (zero, zero, one))


def stretching(a: Tensor) -> Tensor:
    return scaling(a, 1 / a)


def rotation(angle: Tensor) -> Tensor:
    one, zero = torch.ones_like(angle), torch.zeros_like(angle)
    return rows((angle.cos(), -angle.sin(), zero), (angle.sin(), angle.cos(), zero), (zero, zero, one))


def shift(by: Tensor) -> Tensor:
    """By (B, 2), to the right and down, in half pictures."""
    one, zero = torch.ones_like(by[:, 0]), torch.zeros_like(by[:, 0])
    return rows((one, zero, by[:, 0]), (zero, one, by[:, 1]), (zero, zero, one))


def about_grey(angle: Tensor) -> Tensor:
    """Rotations (B, 3, 3) of colours about the axis of grey (Rodrigues)."""
    axis = 3**-0.5
    cross = angle.new_tensor([[0, -axis, axis], [axis, 0, -axis], [-axis, axis, 0]])
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    unit = torch.eye(3, device=angle.device, dtype=angle.dtype)
    return cos * unit + sin * cross + (1 - cos) * torch.full_like(unit, 1 / 3)
