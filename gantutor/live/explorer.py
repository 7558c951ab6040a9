"""The latent explorer: a point of the latent space, and the directions in which its image changes most."""

import random
import warnings
from functools import partial
from typing import Any, cast

import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F

from gantutor import show, state
from gantutor import train as training
from gantutor.data import Images
from gantutor.errors import BadInput
from gantutor.live.panels import Pad, Panel, Player, button, control, displayable, row
from gantutor.metrics import neighbours
from gantutor.models import classes_of, with_labels

DIRECTIONS = 4
MAX_ANGLE = 1.5  # the largest angle of the map and the sliders; at π/2 nothing of the old latent is left
MAP_SIDE = 9  # images along a side of the map
THUMBNAIL = 28  # most pixels of an image on the map; larger ones are reduced
NEAREST = 5
WALK_STEP = 0.04  # fraction of the path between two seeds for each picture of the random walk
SEEDS = 50


def latent(run: training.Run | nn.Module, *, nearest: Images | Tensor | None = None) -> "LatentExplorer":
    """Explore what a generator draws: walk between two seeds, and move in the directions of the largest changes.

    The sliders `start`, `end` and `position` choose a base point on the great circle between two latents. The map shows
    the images around it in the first two of four directions: the right singular vectors of G's Jacobian with the
    largest singular values, in which a small step changes the pixels most. A click on the map or the four sliders move
    there; both rotate the latent by an angle and keep its length. "Walk" wanders from seed to seed.

    Args:
        run: a run, for its averaged generator, or a generator of images. A conditional one also gets a menu of its
            classes, by name for a run on `Images`.
        nearest: the images in which the tick box searches for the five nearest ones by pixel distance: floats
            (N, C, H, W) or `Images`. By default the training images of the run; a generator alone has none.

    Raises `BadInput` for a G that does not generate images, or whose `latent_dim` is missing or below 2.
    """
    names: tuple[str, ...] = ()
    if isinstance(run, training.Run):
        G, names = run.G_ema, run.data.classes if isinstance(run.data, Images) else ()
        nearest = run.data if nearest is None else nearest
    else:
        G = run
    images = nearest.pixels if isinstance(nearest, Images) else nearest
    return LatentExplorer(G, checked_shape(G, images), images, names)


def checked_shape(G: nn.Module, images: Tensor | None) -> tuple[int, int, int]:
    """The shape (C, H, W) of G's images. Raises `BadInput` if G cannot be explored or the images do not fit it."""
    if getattr(G, "latent_dim", 0) < 2:
        raise BadInput("G has no latent_dim of 2 or more, so there is no direction to explore: give another generator.")
    shape = tuple(generate(G, training.latents(G, 1, 0), 0 if classes_of(G) else None).shape[1:])
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise BadInput(f"G generates examples of shape {shape}: give a generator of images (C, H, W).")
    if images is not None and tuple(images.shape[1:]) != shape:
        raise BadInput(
            f"the images to compare with have shape {tuple(images.shape[1:])}, but those of G {shape}: give images of "
            "the same shape."
        )
    return shape


def walk(G: nn.Module, start: int, end: int, positions: Tensor, label: int | None = None) -> Tensor:
    """Images (T, *shape) along the great circle between two seeds of `train.sample`, at `positions` (T,) in [0, 1].

    A conditional G draws all of them in the class `label`, which it needs.

    A latent z ~ N(0, I) of length d has a norm near √d. A straight line between two latents would pass far inside that
    shell, where G was never trained, but the great circle stays on it (White 2016, arXiv 1609.04468).
    """
    if label is None and (classes := classes_of(G)):
        raise BadInput(f"G is conditional, but label is None: give the class to draw, 0 to {classes - 1}.")
    return generate(G, great_circle(G, start, end, positions), label)


def great_circle(G: nn.Module, start: int, end: int, positions: Tensor) -> Tensor:
    """Latents (T, latent_dim) along the great circle between two seeds, at `positions` (T,) in [0, 1]."""
    a, b = (training.latents(G, 1, s)[0] for s in (start, end))  # (latent_dim,)
    angle = torch.arccos((a @ b / (a.norm() * b.norm())).clamp(-1, 1))
    positions = positions[:, None].to(a)  # (T, 1)
    direction = (
        torch.sin((1 - positions) * angle) * a / a.norm() + torch.sin(positions * angle) * b / b.norm()
    )  # (T, latent_dim)
    if start == end:
        direction = a.expand(len(positions), -1)
    return direction / direction.norm(dim=1, keepdim=True) * a.norm().lerp(b.norm(), positions)


def generate(G: nn.Module, z: Tensor, label: int | None) -> Tensor:
    """Images (T, *shape) of the latents (T, latent_dim), all in one class; G keeps its mode."""
    weight = next(G.parameters(), torch.empty(0))
    y = training.wanted_labels(G, len(z), label)  # (T,), or None
    with state.evaluating(G), torch.no_grad():
        return with_labels(G, None if y is None else y.to(weight.device))(z.to(weight))


# ---------------------------------------------------------------- directions


def directions(G: nn.Module, z: Tensor, label: int | None = None, count: int = DIRECTIONS) -> Tensor:
    """Unit vectors (count, latent_dim), orthogonal to z and to each other, along which the image changes most.

    They are the right singular vectors of the Jacobian of G at z (latent_dim,), restricted to the directions orthogonal
    to z, with the largest singular values first. The largest entry of each is made positive.
    """
    weight, y = next(G.parameters()), training.wanted_labels(G, 1, label)
    G_told = with_labels(G, None if y is None else y.to(weight.device))
    with state.evaluating(G), warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):  # from torch itself, at the first such derivative
            warnings.simplefilter("ignore", category)
        jacobian = torch.func.jacfwd(lambda v: G_told(v[None])[0].flatten())(z.to(weight).detach())  # (pixels, d)
    jacobian, unit = jacobian.detach().cpu().double(), (z / z.norm()).cpu().double()
    jacobian.nan_to_num_(0, 0, 0)  # for a diverged net, in which no direction is better than another
    jacobian -= jacobian @ unit[:, None] * unit  # its component orthogonal to z
    gram = jacobian.T @ jacobian  # (d, d)
    gram -= (gram.diagonal().sum() + 1) * unit[:, None] * unit  # so that z itself comes last
    vectors = torch.linalg.eigh(gram).eigenvectors.flip(1).T[: min(count, len(z) - 1)]  # largest first
    signs = vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    return (vectors * signs).float()


def rotated(z: Tensor, axes: Tensor, angles: Tensor) -> Tensor:
    """z (d,) rotated by angles (T, K) towards unit vectors (K, d) orthogonal to it: (T, d), all as long as z.

    This is the exponential map of the sphere, cos(r) z + sin(r) |z| u, for the direction u and the norm r of the
    angles.
    """
    r = angles.norm(dim=1, keepdim=True)  # (T, 1)
    u = angles @ axes / r.clamp(min=1e-12)  # (T, d)
    return r.cos() * z + r.sin() * z.norm() * u


def weight_sums(G: nn.Module) -> tuple[float, ...]:
    """The sum of each weight tensor, which shows whether G has changed; a captured step leaves no other trace."""
    return tuple(torch.stack([p.detach().sum().float() for p in G.parameters()]).tolist())


# ---------------------------------------------------------------- nearest training images


class NearestImages:
    """A search for the nearest images by the Euclidean distance of their pixels."""

    def __init__(self, images: Tensor):
        self.images = images
        self.flat = images.flatten(1)  # (N, pixels)
        self.squares = self.flat.square().sum(1)  # (N,)

    def nearest(self, image: Tensor, k: int = NEAREST) -> tuple[Tensor, Tensor]:
        """The k images nearest to an image (C, H, W): images (k, C, H, W) and distances (k,), nearest first.

        Candidates come from x² + y² − 2xy in float32, their order from `neighbours.nearest_neighbours`.
        """
        x, k = image.flatten().to(self.flat), min(k, len(self.flat))
        candidates = (self.squares - 2 * self.flat @ x).topk(min(4 * k, len(self.flat)), largest=False).indices
        distances, index = neighbours.nearest_neighbours(x[None], self.flat[candidates], k)
        return self.images[candidates[index[0].to(candidates.device)]], distances[0]


# ---------------------------------------------------------------- the panel


class LatentExplorer(Panel):
    """What `latent` returns: `.pad` is the map, `.player` walks, and `.z` (latent_dim,) is the displayed latent."""

    def __init__(self, G: nn.Module, shape: tuple[int, int, int], images: Tensor | None, names: tuple[str, ...]):
        self.G, self.classes = G, classes_of(G)
        self.images = images
        self.album: NearestImages | None = None
        self.base: tuple[tuple[Any, ...], tuple[float, ...]] | None = None  # what the map was drawn for
        self.frame: tuple[Tensor, Tensor] | None = None  # (z, axes) there
        super().__init__(self.make_controls(names or tuple(map(str, range(self.classes)))))
        reduced = min(1.0, THUMBNAIL / max(shape[1:]))
        self.tile = tuple(
            max(1, round(length * reduced)) for length in shape[1:]
        )  # height and width of an image on the map
        self.zoom = max(1, THUMBNAIL // max(self.tile))
        height, width = (MAP_SIDE * (length * self.zoom + 1) + 1 for length in self.tile)
        self.pad = Pad(width, height, MAP_SIDE, self.go_to)
        self.dice = random.Random(0)
        self.player = Player(self.walk_on, self.show_state, pause=0.1)
        self.walk = button("Walk", self.player.toggle, "play", "From seed to seed, along great circles")
        self.home = button("Back to the middle", lambda: self.go_to(0.0, 0.0))
        self.lay_out()
        for widget in self.controls.values():
            widget.observe(self.on_change, names="value")
        self.quiet = False  # True while several controls are being set
        self.redraw()

    def make_controls(self, names: tuple[str, ...]) -> dict:
        specs: dict[str, object] = {
            "start": (0, SEEDS, 1, 0),
            "end": (0, SEEDS, 1, 1),
            "position": (0.0, 1.0, 0.02, 0.0),
        }
        if self.classes:
            specs["label"] = dict(zip(names, range(self.classes), strict=True))
        count = min(DIRECTIONS, cast(int, self.G.latent_dim) - 1)
        specs |= {f"direction_{i}": (-MAX_ANGLE, MAX_ANGLE, 0.05, 0.0) for i in range(1, count + 1)}
        if self.images is not None:
            specs["nearest_training_images"] = False
        return {name: control(name.replace("_", " "), spec) for name, spec in specs.items()}

    def lay_out(self) -> None:
        first = [widget for name, widget in self.controls.items() if not name.startswith("direction")]
        rest = [widget for name, widget in self.controls.items() if name.startswith("direction")]
        self.picture.layout.margin = "0 0 0 12px"
        shown = row(self.pad, self.picture)
        self.children = [row(*first), row(*rest), row(self.walk, self.home), shown, self.message]

    def snapshot(self) -> bytes:
        """The map and the image side by side."""
        return show.png(show.strip([self.map, self.portrait]))

    # drawing

    def value(self, name: str) -> Any:
        return self.controls[name].value if name in self.controls else None

    def on_change(self, change: object) -> None:
        if not self.quiet:
            self.player.call(self.follow)

    def follow(self) -> None:
        """Redraw for the current values of the controls, or show why that failed."""
        self.attempt(self.redraw)

    def redraw(self) -> None:
        """Draw the image for the controls, and the map if the base point or G has changed."""
        place = tuple(self.value(name) for name in ("start", "end", "position", "label"))
        base = place, weight_sums(self.G)
        if self.frame is None or base != self.base:
            self.base = None  # until the new map is drawn
            z = great_circle(self.G, place[0], place[1], torch.tensor([place[2]]))[0]
            self.frame = z, directions(self.G, z, self.value("label"))
            self.map_without_mark, self.base = self.draw_map(), base
        angles = self.angles()
        self.z = rotated(*self.frame, angles[None])[0]  # (latent_dim,)
        image = generate(self.G, self.z[None], self.value("label"))
        self.map, self.portrait = self.map_with_mark(angles), self.image_and_nearest(image)
        self.pad.picture.value, self.picture.value = show.png(self.map), show.png(self.portrait)
        self.message.value = ""

    def angles(self) -> Tensor:
        return torch.tensor([w.value for name, w in self.controls.items() if name.startswith("direction")])

    def draw_map(self) -> Image.Image:
        """Images at the middles of the pad's cells: the first direction to the right, the second upwards."""
        assert self.frame is not None  # `redraw` finds it first
        z, axes = self.frame
        middle = torch.tensor([self.pad.middle(i) for i in range(MAP_SIDE)]) * MAX_ANGLE
        y, x = torch.meshgrid(middle.flip(0), middle, indexing="ij")
        angles = torch.zeros(MAP_SIDE**2, len(axes))  # (CELLS², K)
        angles[:, 0] = x.flatten()
        if len(axes) > 1:
            angles[:, 1] = y.flatten()
        images = displayable(generate(self.G, rotated(z, axes, angles), self.value("label")))
        if images.shape[2:] != self.tile:
            images = F.interpolate(images, self.tile, mode="area")
        return show.grid(images, MAP_SIDE, scale=self.zoom, gap=1)

    def map_with_mark(self, angles: Tensor) -> Image.Image:
        """The map with a frame at the current point; without one if the third or fourth direction leads off the map."""
        picture = self.map_without_mark.convert("RGB")
        x, y = (angles[:2] / MAX_ANGLE).tolist() if len(angles) > 1 else (angles[0].item() / MAX_ANGLE, 0.0)
        if not angles[2:].any():
            column, line = (x + 1) / 2 * picture.width, (1 - y) / 2 * picture.height
            r, s = picture.width / MAP_SIDE / 2, picture.height / MAP_SIDE / 2
            ImageDraw.Draw(picture).rectangle((column - r, line - s, column + r, line + s), outline=show.FAKE, width=2)
        return picture

    def image_and_nearest(self, image: Tensor) -> show.Picture:
        """The enlarged image; if ticked, the nearest training images with their distances below it."""
        side = max(image.shape[2:])
        large = show.grid(displayable(image), scale=max(1, 224 // side), gap=0)
        if self.images is None or not self.value("nearest_training_images"):
            return large
        if self.album is None:
            self.album = NearestImages(self.images)
        found, distances = self.album.nearest(image[0])
        near = [show.grid(one[None], scale=max(1, 56 // side), gap=0) for one in found]
        return show.stack([large, show.strip(near, [f"{d:.2f}" for d in distances.tolist()])])

    # moving

    def set_controls(self, **values: float) -> None:
        """Set several controls with a single redraw."""
        self.quiet = True
        try:
            for name, value in values.items():
                if name in self.controls:
                    self.controls[name].value = value
        finally:
            self.quiet = False
        self.redraw()

    def go_to(self, x: float, y: float) -> None:
        """Move to a point of the map, (x, y) in [-1, 1]."""
        there = partial(
            self.set_controls, direction_1=x * MAX_ANGLE, direction_2=y * MAX_ANGLE, direction_3=0, direction_4=0
        )
        self.player.call(partial(self.attempt, there))

    def walk_on(self) -> None:
        """One step of the random walk: on towards the end seed, and from there towards a new one."""
        position, end = self.value("position") + WALK_STEP, self.value("end")
        if position < 1:
            self.set_controls(position=round(position, 3))
        else:
            others = [seed for seed in range(SEEDS + 1) if seed != end]
            self.set_controls(start=end, end=self.dice.choice(others), position=0.0)

    def show_state(self, why: str) -> None:
        on = self.player.is_playing
        self.walk.description, self.walk.icon = ("Pause", "pause") if on else ("Walk", "play")
        self.message.value = why

    def close(self) -> None:
        self.player.stop()
        super().close()
