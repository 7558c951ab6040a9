"""Lesson 00: reading pictures, shapes and value ranges, and points in the plane."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from gantutor.checks.exercise import Calls, Exercise, Mistake, as_number, blank, brief
from gantutor.data import toy
from gantutor.errors import BadInput

RING = toy.ring()


def measure(points: Tensor) -> tuple[float, int, float]:
    """The three measures of exercise 00.1 for points (N, 2), compared with the ring.

    Returns the mean distance to the nearest centre, the number of clusters (of eight) with over 2% of the points within
    0.2, and the share of good points (within three standard deviations). Raises `BadInput` for anything but points.
    """
    points = as_points(points)
    distance, nearest = torch.cdist(points, RING.means).min(dim=1)  # (N,), (N,)
    share = torch.bincount(nearest[distance < 0.2], minlength=len(RING)) / len(points)  # (8,)
    return distance.mean().item(), int((share > 0.02).sum()), (distance < 3 * RING.std).float().mean().item()


def as_points(points: object) -> Tensor:
    """A tensor, an array or a list of pairs as float32 (N, 2); `BadInput` for anything else."""
    try:
        points = torch.as_tensor(points, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"the answer is {brief(points)}: hand in a tensor of points, (N, 2).") from error
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise BadInput(f"the points have shape {tuple(points.shape)}: give (N, 2), two numbers for each point.")
    if not points.isfinite().all():
        raise BadInput("some of the points are NaN or infinite: give finite numbers, and look for a division by 0.")
    return points


# ---------------------------------------------------------------- 00.1

ROW_CLOUDS = ("D", "A", "B", "C")  # the cloud on which each row of numbers was measured


def clouds() -> dict[str, Tensor]:
    """The points (600, 2) of four imperfect generators, by letter."""
    angles = 2 * math.pi * torch.rand(600, generator=torch.Generator().manual_seed(1))
    circle = torch.stack([angles.cos(), angles.sin()], dim=1)
    return {
        "A": replace(RING, means=RING.means[[0, 1, 2, 3, 4, 6, 7]]).sample(600, seed=0),
        "B": circle + RING.std * torch.randn(600, 2, generator=torch.Generator().manual_seed(2)),
        "C": replace(RING, means=RING.means[[1]]).sample(600, seed=0),
        "D": replace(RING, std=0.08).sample(600, seed=0),
    }


def measured_rows() -> list[tuple[float, int, float]]:
    """The four rows of numbers, in the order of `ROW_CLOUDS`."""
    made = clouds()
    return [measure(made[name]) for name in ROW_CLOUDS]


def matched_rows(answer: object) -> dict[str, str] | None:
    """For each cloud, the cloud whose numbers it was matched with; None while the answer is empty."""
    if not isinstance(answer, dict) or set(answer) != set(ROW_CLOUDS):
        raise BadInput('hand in a dict such as {"A": 1, "B": 2, "C": 3, "D": 4}: a row for each picture.')
    if blank(list(answer.values())):
        return None
    chosen = {name: as_number(value, f"the row of {name}") for name, value in sorted(answer.items())}
    if sorted(chosen.values()) != [1, 2, 3, 4]:
        raise BadInput(f"the rows are {brief(list(chosen.values()))}: use each of 1, 2, 3 and 4 once.")
    return {name: ROW_CLOUDS[int(row) - 1] for name, row in chosen.items()}


PICTURES = Exercise(
    id="00.1",
    title="four pictures, four rows of numbers",
    hints=(
        "Start with what is easiest to see: how many tight clusters does each picture have?",
        "In A and C nearly every point is good, because good means within 0.03 of a centre. Then count their clusters.",
        "B and D both reach all eight clusters. In B there are points halfway between two centres, as far from both as "
        "the circle allows; in D there are hardly any.",
    ),
    observe=matched_rows,
    right={name: ROW_CLOUDS.index(name) + 1 for name in sorted(ROW_CLOUDS)},
    mistakes=(
        Mistake(
            {"A": 1, "B": 2, "C": 4, "D": 3},
            "A and C consist of tight clusters on the centres, while B and D do not: what does that say about the "
            "share of good points?",
            sign=lambda seen: {seen["A"], seen["C"]} != {"A", "C"},
        ),
        Mistake(
            {"A": 4, "B": 3, "C": 2, "D": 1},
            'B and D are right. Now count the clusters you see in A and in C, and compare with the column "clusters".',
            sign=lambda seen: seen["A"] == "C" and seen["B"] == "B",
        ),
        Mistake(
            {"A": 2, "B": 1, "C": 4, "D": 3},
            "A and C are right, B and D not yet. On a circle many points lie halfway between two centres: what does "
            "that do to the mean distance?",
            sign=lambda seen: seen["A"] == "A" and seen["B"] == "D",
        ),
        Mistake(
            {"A": 4, "B": 1, "C": 2, "D": 3},
            "You have distinguished the tight clouds from the loose ones, but within each pair the two rows are "
            "swapped. Start by counting the clusters of A.",
            sign=lambda seen: seen["A"] == "C" and seen["B"] == "D",
        ),
    ),
    praise="A and C agree in distance and good points, yet C is by far the worse copy: a single number can be fooled.",
)

# ---------------------------------------------------------------- 00.2

STORED = torch.arange(0, 256, 51, dtype=torch.uint8).reshape(1, 2, 3)  # 0, 51 … 255: -1, -0.6 … 1
TWO = torch.tensor([[[0], [255]], [[128], [127]]], dtype=torch.uint8)  # two pictures, two rows of one pixel
GREY = torch.tensor([[[51, 102]]], dtype=torch.uint8)  # neither black nor white

PIXELS = Exercise(
    id="00.2",
    title="from stored pictures to a net's input",
    hints=(
        "First the values: 0 has to become -1, and 255 has to become 1. Which straight line does that?",
        "pixels / 127.5 - 1 does it. (Divide first: the type uint8 holds only whole numbers from 0 to 255, so nothing "
        "negative.)",
        "Then the shape: the channel dimension, of length 1, comes after N. unsqueeze(1) or pixels[:, None] inserts "
        "it.",
    ),
    observe=Calls((STORED,), (TWO,), (GREY,)),
    right=lambda pixels: torch.lerp(torch.tensor(-1.0), torch.tensor(1.0), pixels.unsqueeze(1) / 255),
    mistakes=(
        Mistake(
            lambda pixels: pixels[:, None] / 255,
            "The shape is right, but black is 0 here and the lessons use -1. Double the range and shift it.",
        ),
        Mistake(
            lambda pixels: pixels / 127.5 - 1,
            "The values are right. The shape is still (N, H, W), but the nets expect a channel dimension.",
        ),
        Mistake(
            lambda pixels: (pixels / 127.5 - 1)[..., None],
            "The values are right. The channel comes last, as in picture files, but PyTorch expects it right after N.",
        ),
        Mistake(
            lambda pixels: (pixels / 127.5 - 1)[None],
            "The values are right. The new dimension comes first, where the number of images belongs: (1, N, H, W).",
        ),
        Mistake(
            lambda pixels: ((pixels - 128) / 128)[:, None],
            "Small values came out large, because uint8 cannot go below 0: 0 - 128 becomes 128. Divide first.",
        ),
        Mistake(
            lambda pixels: pixels[:, None] * 2 / 255 - 1,
            "Light pixels came out dark, because uint8 cannot go above 255: 2 · 153 becomes 50. Divide first.",
        ),
        Mistake(
            lambda pixels: ((pixels - pixels.min()) / (pixels.max() - pixels.min()) * 2 - 1)[:, None],
            "You stretch each batch from its own darkest to its own lightest value. But 0 is black and 255 is white "
            "even in a batch where neither occurs.",
        ),
        Mistake(
            lambda pixels: (pixels / 128 - 1)[:, None],
            "Almost: white comes out as 0.992 instead of 1. Which number, doubled, is 255?",
        ),
        Mistake(
            lambda pixels: (pixels.float() - 127.5)[:, None],
            "The values are centred on 0, but they run from -127.5 to 127.5: scale them down.",
        ),
        Mistake(
            lambda pixels: 1 - pixels[:, None] / 127.5,
            "This is a negative: black has become white. Black is stored as 0 and has to become -1.",
        ),
    ),
    praise="Whenever a net does something odd, check the shape and the value range of its input first.",
)

# ---------------------------------------------------------------- 00.3

FEWEST, CLOSE = 800, 0.01


def measures_of_points(answer: object) -> dict[str, float]:
    """The three measures of the points handed in, and what distinguishes the usual mistakes."""
    points = as_points(answer)
    if len(points) < FEWEST:
        raise BadInput(f"you handed in {len(points)} points: give {FEWEST} or more.")
    distance, clusters, good = measure(points)
    off_circle = (points.norm(dim=1) - 1).abs().max().item()
    places = len(torch.unique((points * 100).round(), dim=0))
    return {"distance": distance, "clusters": clusters, "good": good, "off circle": off_circle, "places": places}


def on_circle(angles: Tensor, radius: float = 1.0) -> list[list[float]]:
    """Points on a circle at these angles (K,), repeated until there are at least `FEWEST`."""
    places = radius * torch.stack([angles.cos(), angles.sin()], dim=1)  # (K, 2)
    return places.repeat(math.ceil(FEWEST / len(angles)), 1).tolist()


EIGHTHS = 2 * math.pi * torch.arange(8) / 8

FOOLED = Exercise(
    id="00.3",
    title="fool all three measures",
    hints=(
        "None of the measures asks for randomness. Where would you put a point so that its distance is as small as "
        "possible?",
        "On the centres: (cos a, sin a) with the angles a = 0, 2π/8, 2 · 2π/8 … up to 7 · 2π/8. Every centre needs its "
        "share of the points.",
        "torch.stack([a.cos(), a.sin()], dim=1) makes (8, 2) of eight angles, and .repeat(100, 1) makes that (800, 2).",
    ),
    observe=measures_of_points,
    right=on_circle(EIGHTHS),
    accepts=lambda seen: seen["distance"] < CLOSE and seen["clusters"] == 8 and seen["good"] == 1,
    mistakes=(
        Mistake(
            [*on_circle(EIGHTHS), *[[0.0, 0.0]] * 4],
            "Near on average, and complete, but a few points are not good. Every point must lie on a centre.",
            sign=lambda seen: seen["clusters"] == 8 and seen["distance"] < CLOSE,
        ),
        Mistake(
            on_circle(EIGHTHS, radius=0.985),
            "Every point is good and no cluster is missing, but they are not near enough: put the points exactly on "
            "the centres.",
            sign=lambda seen: seen["clusters"] == 8 and seen["good"] == 1,
        ),
        Mistake(
            RING.sample(2000, seed=0).tolist(),
            "As good as the real data, but no better. Real points scatter around their centres; yours need not.",
            sign=lambda seen: seen["clusters"] == 8 and seen["good"] > 0.95 and seen["places"] > 8,
        ),
        Mistake(
            on_circle(EIGHTHS[:1]),
            "Near and good, but all in one cluster. That is mode collapse, and the second measure detects it.",
            sign=lambda seen: seen["clusters"] == 1 and seen["good"] == 1,
        ),
        Mistake(
            on_circle(EIGHTHS[:7]),
            "Every point is good, but some clusters are empty. How many centres does your list of angles reach?",
            sign=lambda seen: seen["good"] == 1,
        ),
        Mistake(
            on_circle(torch.linspace(0, 2 * math.pi, 8)),
            "These are seven places, not eight: your last angle, 2π, is the same as the first. Eight angles are 2π/8 "
            "apart.",
            sign=lambda seen: seen["places"] == 7 and seen["off circle"] < 0.05,
        ),
        Mistake(
            on_circle(EIGHTHS * 180 / math.pi),
            "The points lie on the circle, but not on the centres. The first angle is 0, and a full turn is 2π "
            "(radians, not degrees).",
            sign=lambda seen: seen["places"] <= 16 and seen["off circle"] < 0.05,
        ),
        Mistake(
            on_circle(2 * math.pi * torch.arange(FEWEST) / FEWEST),
            "You filled the whole circle, so many points lie between two centres and far from both. Use only eight "
            "angles.",
            sign=lambda seen: seen["places"] > 16 and seen["off circle"] < 0.05,
        ),
        Mistake(
            on_circle(EIGHTHS, radius=2.0),
            "Some points are not at distance 1 from the origin, where the centres are.",
            sign=lambda seen: seen["off circle"] >= 0.05,
        ),
    ),
    otherwise="Not yet. Print measure(my_points) and compare it with the three goals.",
    praise="Perfect by all three measures, and still not a sample of the ring, because no measure asked how the points "
    "spread. A metric sees only what it was built to see.",
)

EXERCISES = (PICTURES, PIXELS, FOOLED)
