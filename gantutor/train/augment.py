"""Random changes of the images before D sees them, real and generated alike, so that D cannot learn a few by heart.

    run = Run(G, D, images, augment=augment.DiffAugment())    # or augment.ADA(), which finds out how much is needed

G does not learn to draw changed images: its images, once changed, have to look like real ones that were changed in the
same ways. All changes are differentiable, so that G's gradient passes through them. They draw from torch's global
random stream, in a run that of the run, and are computed in 32 bits.

What differs from the papers: the penalty is taken at changed images, with respect to these; ADA resamples bilinearly,
without the filters that the paper has against aliasing, so that moved images are a little blurred, real and generated
alike; its probability is adapted after every step and not after every fourth, and stays below 0.85. (On CUDA the
gradient of the resampling is not deterministic, so that there a resumed run with ADA is not the same to the last bit.)
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gantutor.errors import BadInput, real_number, unknown
from gantutor.losses import Loss


class Augment:
    """Changes square images (B, C, H, W) in [−1, 1], C being 1 or 3, each in its own way."""

    name: str

    def __call__(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def check(self, loss: Loss) -> None:
        """Raise `BadInput` for a loss that this augmentation does not go with."""

    def move_to(self, device: torch.device) -> None:
        """Put whatever changes during training on a device, where it stays."""

    def adapt(self, real_logits: Tensor, images: int) -> None:
        """Learn from what D said about real images, (B,), in a step in which it was shown so many."""

    def state(self) -> dict[str, Any]:
        """Plain values from which `restore` goes on."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""


class DiffAugment(Augment):
    """Colour, translation and cutout, always (Zhao et al. 2020, section 3.2)."""

    name = "diff"

    def __call__(self, x: Tensor) -> Tensor:
        return cutout(translation(color(x)))


class ADA(Augment):
    """Many changes, each with a probability that is steered by how sure D is of the real images.

    They are those of "bgc": flips and turns, scaling and translation, and colour. Each is made with probability `p`,
    which rises while rₜ, the mean sign of D's logits of real images, is above `target`, and falls while it is below
    (Karras et al. 2020, section 3 and appendix B).

    Args:
        target: of rₜ, from −1 to 1.
        images: so many real images take `p` from 0 to 1 where it rises all the time. The paper has 500,000; trainings
            on few images are shorter.

    Attributes:
        p: 0-d tensor on the device of the images, at most `p_max`: where a change is made nearly always, D cannot tell
            whether the real images had it before (section 2.2).
    """

    name = "ada"
    p_max = 0.85

    def __init__(self, target: float = 0.6, images: float = 100_000):
        self.target = real_number("target", target, above=-1, below=1)
        self.images = real_number("images", images, above=0)
        self.p = torch.zeros(())

    def __call__(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return color_transform(geometric_transform(x, self.p), self.p)

    def check(self, loss: Loss) -> None:
        if loss.name in ("wasserstein", "relativistic", "least-squares"):
            raise BadInput(
                f"augment is ADA, which asks for the sign of D's logits, but with the {loss.name} loss 0 does not part "
                "real from generated: take DiffAugment, or another loss."
            )

    def move_to(self, device: torch.device) -> None:
        self.p = self.p.to(device)

    def adapt(self, real_logits: Tensor, images: int) -> None:
        r_t = real_logits.sign().mean()
        self.p.add_((r_t - self.target).sign() * images / self.images).clamp_(0, self.p_max)

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


def color(x: Tensor) -> Tensor:
    """Another brightness, saturation and contrast."""
    x = x + uniform_per_image(x, -0.5, 0.5)
    if x.shape[1] > 1:
        grey = x.mean(1, keepdim=True)
        x = grey + (x - grey) * uniform_per_image(x, 0, 2)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * uniform_per_image(x, 0.5, 1.5)


def translation(x: Tensor, ratio: float = 1 / 8) -> Tensor:
    """Moved by whole pixels, at most a share of the side each way; what comes in is 0, a middle grey."""
    for axis in (2, 3):
        n, shape = x.shape[axis], per_image_along(axis, x)
        most = int(n * ratio + 0.5)
        source = torch.arange(n, device=x.device) - torch.randint(-most, most + 1, (len(x), 1), device=x.device)
        inside = ((source >= 0) & (source < n)).to(x.dtype).view(shape)  # (B, n), with 1 for the other axes
        x = x.gather(axis, source.clamp(0, n - 1).view(shape).expand_as(x)) * inside
    return x


def cutout(x: Tensor, ratio: float = 1 / 2) -> Tensor:
    """A square of a share of the side is 0, anywhere, and may reach out of the image."""
    hidden = x.new_ones(())
    for axis in (2, 3):
        n = x.shape[axis]
        side = int(n * ratio + 0.5)
        first = torch.randint(0, n + 1 - side % 2, (len(x), 1), device=x.device) - side // 2
        behind = torch.arange(n, device=x.device) - first  # (B, n), of the first hidden row or column
        hidden = hidden * ((behind >= 0) & (behind < side)).to(x.dtype).view(per_image_along(axis, x))
    return x * (1 - hidden)


def per_image_along(axis: int, x: Tensor) -> list[int]:
    """The shape of one number for each image and each place along an axis."""
    return [x.shape[i] if i in (0, axis) else 1 for i in range(4)]


def uniform_per_image(x: Tensor, low: float, high: float) -> Tensor:
    """A uniform number for each image, (B, 1, 1, 1)."""
    return torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype) * (high - low) + low


# --- ADA -------------------------------------------------------------------------------------------------------------
# Karras et al. 2020, appendix B, in its order. Matrices are (B, 3, 3); those of changes that are not made are the unit.


def geometric_transform(x: Tensor, p: Tensor) -> Tensor:
    """Flipped, turned, scaled and shifted, by one matrix for each image; edges are reflected."""
    B, n = len(x), x.shape[3]
    p_turn = 1 - (1 - p).sqrt()  # of each of the two turns that make one together
    fractions = 0.125 * torch.randn(B, 2, device=x.device, dtype=x.dtype)  # of the side; the image spans 2
    steps = [
        with_probability(x, p, scaling(1 - 2 * random_integers(x, 2), x.new_ones(B))),  # flip
        with_probability(x, p, rotation(math.pi / 2 * random_integers(x, 4))),
        with_probability(x, p, shift((uniform(x, 2) / 4 * n).round() * 2 / n)),  # whole pixels, up to an eighth
        with_probability(x, p, scaling(*[2 ** (0.2 * normal(x))] * 2)),
        with_probability(x, p_turn, rotation(2 * math.pi * uniform(x, 1)[:, 0])),
        with_probability(x, p, stretching(2 ** (0.2 * normal(x)))),
        with_probability(x, p_turn, rotation(2 * math.pi * uniform(x, 1)[:, 0])),
        with_probability(x, p, shift(2 * fractions)),
    ]
    matrix = steps[0]
    for step in steps[1:]:
        matrix = matrix @ step
    places = F.affine_grid(matrix[:, :2], list(x.shape), align_corners=False)
    return F.grid_sample(x, places, padding_mode="reflection", align_corners=False)


def color_transform(x: Tensor, p: Tensor) -> Tensor:
    """Another brightness and contrast, light and dark exchanged; in colour another hue and saturation."""
    B, C = x.shape[:2]
    one, zero = x.new_ones(B), x.new_zeros(B)
    brightness = with_probability(x, p, 0.2 * normal(x), zero)
    contrast = with_probability(x, p, 2 ** (0.5 * normal(x)), one)
    flip = 1 - 2 * with_probability(x, p, random_integers(x, 2), zero)  # −1: of luma
    offset = (flip * contrast * brightness).view(B, 1, 1, 1)  # grey, so hue and saturation leave it alone
    if C == 1:
        return (flip * contrast).view(B, 1, 1, 1) * x + offset
    unit = torch.eye(3, device=x.device, dtype=x.dtype)
    grey = torch.full_like(unit, 1 / 3)  # the projection on the axis of grey
    hue = with_probability(x, p, rotation_about_grey(2 * math.pi * uniform(x, 1)[:, 0]), unit)
    saturation = with_probability(x, p, 2 ** normal(x), one)
    on_grey, beside = flip * contrast, saturation * contrast
    matrix = on_grey[:, None, None] * grey + beside[:, None, None] * (hue - grey)
    return (matrix @ x.flatten(2)).view_as(x) + offset


def with_probability(x: Tensor, p: Tensor, change: Tensor, otherwise: Tensor | None = None) -> Tensor:
    """The change of each image, (B, …), with probability p, otherwise the unit matrix or what is given."""
    if otherwise is None:
        otherwise = torch.eye(change.shape[-1], device=x.device, dtype=x.dtype)
    made = torch.rand(len(change), device=x.device) < p
    return torch.where(made.view(-1, *[1] * (change.ndim - 1)), change, otherwise)


def uniform(x: Tensor, columns: int) -> Tensor:
    """(B, columns), from −½ to ½."""
    return torch.rand(len(x), columns, device=x.device, dtype=x.dtype) - 0.5


def normal(x: Tensor) -> Tensor:
    """(B,), from N(0, 1)."""
    return torch.randn(len(x), device=x.device, dtype=x.dtype)


def random_integers(x: Tensor, below: int) -> Tensor:
    """(B,), as floats."""
    return torch.randint(below, (len(x),), device=x.device).to(x.dtype)


def matrices(*rows: tuple[Tensor, ...]) -> Tensor:
    """Matrices (B, n, n) from their entries (B,)."""
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def scaling(a: Tensor, b: Tensor) -> Tensor:
    one, zero = torch.ones_like(a), torch.zeros_like(a)
    return matrices((a, zero, zero), (zero, b, zero), (zero, zero, one))


def stretching(a: Tensor) -> Tensor:
    """The area stays."""
    return scaling(a, 1 / a)


def rotation(angle: Tensor) -> Tensor:
    one, zero = torch.ones_like(angle), torch.zeros_like(angle)
    return matrices((angle.cos(), -angle.sin(), zero), (angle.sin(), angle.cos(), zero), (zero, zero, one))


def shift(by: Tensor) -> Tensor:
    """By (B, 2), to the right and down, in half images."""
    one, zero = torch.ones_like(by[:, 0]), torch.zeros_like(by[:, 0])
    return matrices((one, zero, by[:, 0]), (zero, one, by[:, 1]), (zero, zero, one))


def rotation_about_grey(angle: Tensor) -> Tensor:
    """Rotations (B, 3, 3) of colours about the axis of grey: of (1, 0, 0) into (a, b, c), and so on in a circle."""
    cos, sin = angle.cos(), angle.sin() / math.sqrt(3)
    a, b, c = (1 + 2 * cos) / 3, (1 - cos) / 3 + sin, (1 - cos) / 3 - sin
    return matrices((a, c, b), (b, a, c), (c, b, a))
