"""Exercises 01.4 and 02.5: a whole training loop, written and mended. What is handed in is run on a small game."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gantutor import metrics
from gantutor.checks.exercise import Answer, Exercise, Mistake, Seen, brief, check_callable
from gantutor.checks.training_turns import weights
from gantutor.errors import BadInput

# ---------------------------------------------------------------- 01.4

STEPS, NEAR = 600, 0.3


def slanted_points(n: int = 2000) -> Tensor:
    """Points of a slanted Gaussian around (2, -1), (n, 2)."""
    z = torch.randn(n, 2, generator=torch.Generator().manual_seed(5))
    return z @ torch.tensor([[1.2, 0.6], [0.0, 0.4]]) + torch.tensor([2.0, -1.0])


def small_players() -> tuple[nn.Module, nn.Module]:
    """A generator (B, 2) -> (B, 2) and a discriminator (B, 2) -> (B, 1), always with the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        G = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
        D = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    return G, D


def distance_to(points: Tensor, G: nn.Module) -> float:
    """The Fréchet distance in the plane between 2,000 points that G makes and those of the data; inf where G fails."""
    with torch.no_grad():
        made = G(torch.randn(2000, 2, generator=torch.Generator().manual_seed(7)))
    return metrics.frechet(made, points) if made.isfinite().all() else float("inf")


def trained(answer: Answer) -> dict[str, Seen] | None:
    """What a training loop has done to two players; None while it does nothing."""
    check_callable(answer)
    points, (G, D) = slanted_points(), small_players()
    start, asked = distance_to(points, G), []
    before = weights(G), weights(D)
    D.register_forward_pre_hook(lambda net, batch: asked.append(len(batch[0])))
    returned = answer(G, D, points.clone(), STEPS)
    if not asked and returned is None:
        return None
    if not asked:
        raise BadInput(f"the loop returns {brief(returned)} and never shows anything to D: train G and D in place.")
    return {
        "G learns": not torch.equal(weights(G), before[0]),
        "D learns": not torch.equal(weights(D), before[1]),
        "steps": len(asked),
        "start": start,
        "end": distance_to(points, G),
    }


def loop(
    G: nn.Module,
    D: nn.Module,
    points: Tensor,
    steps: int,
    *,
    betas: tuple[float, float] = (0.0, 0.99),
    learn: str = "GD",
    g_sign: float = 1,
) -> None:
    """A right answer, and options that each add one mistake."""
    opt_g = torch.optim.Adam(G.parameters(), lr=2e-3, betas=betas)
    opt_d = torch.optim.Adam(D.parameters(), lr=2e-3, betas=betas)
    for _ in range(steps):
        real = points[torch.randint(len(points), (64,))]
        fake = G(torch.randn(64, 2))
        d_loss = softplus(-D(real)).mean() + softplus(D(fake.detach())).mean()
        opt_d.zero_grad()
        d_loss.backward()
        if "D" in learn:
            opt_d.step()
        g_loss = softplus(-g_sign * D(fake)).mean()
        opt_g.zero_grad()
        g_loss.backward()
        if "G" in learn:
            opt_g.step()


def with_options(**options) -> Callable:
    return lambda G, D, points, steps: loop(G, D, points, steps, **options)


LOOP = Exercise(
    id="01.4",
    title="the whole loop, on points of your own",
    hints=(
        "Make the two optimizers before the loop. In each step draw 64 real points and 64 latents, and let D move "
        "first.",
        "D's loss: softplus(-D(real)).mean() + softplus(D(fake.detach())).mean(). G's: softplus(-D(fake)).mean(). Each "
        "move is zero_grad, backward, step.",
        "If your points circle round the data, look at lesson 01, section 7: betas=(0.0, 0.99), and a rate near 2e-3.",
    ),
    observe=trained,
    right=with_options(),
    accepts=lambda seen: seen["G learns"] and seen["D learns"] and seen["end"] < NEAR,
    mistakes=(
        Mistake(
            with_options(learn="G"),
            "D has the same weights as before: whose parameters does its optimizer hold, and does it take a step?",
            sign=lambda seen: not seen["D learns"],
        ),
        Mistake(
            with_options(learn="D"),
            "G has the same weights as before. Does its loss reach it (no detach there), and does its optimizer take a "
            "step?",
            sign=lambda seen: not seen["G learns"],
        ),
        Mistake(
            with_options(g_sign=-1),
            "The fakes end farther from the data than they began, so one of the losses pulls the wrong way. D wants "
            "high logits for real points and low ones for fakes, and G wants high ones for its fakes.",
            sign=lambda seen: seen["end"] > 1.5 * seen["start"],
        ),
        Mistake(
            lambda G, D, points, steps: loop(G, D, points, 20),
            "The loop plays fewer steps than it was asked for.",
            sign=lambda seen: seen["steps"] < STEPS,
        ),
        Mistake(
            with_options(betas=(0.9, 0.999)),
            "The fakes have come nearer but do not settle. Which optimizer settings did the loops of lessons 00 and 01 "
            "use, and what does momentum do to two players?",
            sign=lambda seen: seen["end"] >= NEAR,
        ),
    ),
    praise="This loop is all there is to a GAN. Later lessons change the networks and add to the loop, but its two "
    "moves stay.",
)

# ---------------------------------------------------------------- 02.5

IMAGES, LATENT, BATCH = 500, 4, 64
KEPT = ("fresh latents", "G learns", "D learns", "average moves", "average lags")  # what was right before


def watched_loop(answer: Answer) -> dict[str, Seen] | None:
    """What a training loop shows to the players; None while nothing is written."""
    check_callable(answer)
    images = torch.arange(IMAGES, dtype=torch.float32)[:, None].expand(-1, 3) / IMAGES  # each tells which one it is
    G, D = nn.Linear(LATENT, 3), nn.Linear(3, 1)
    before = weights(G), weights(D)
    shown: list[Tensor] = []
    latents: list[Tensor] = []
    D.register_forward_pre_hook(lambda net, batch: shown.append(batch[0].detach().clone()))
    G.register_forward_pre_hook(lambda net, batch: latents.append(batch[0].detach().clone()))
    average = answer(G, D, images, LATENT, 100)
    if average is None and not shown:
        return None
    if not isinstance(average, nn.Module):
        raise BadInput("the loop does not return the averaged G: end it with `return average`.")
    real = torch.cat([x for x in shown if x.shape[1:] == (3,) and (x[:, 0] == x[:, 1]).all()] or [images[:0]])
    drawn = torch.cat(latents)
    return {
        "share of the images": len(real[:, 0].unique()) / IMAGES,
        "first images": bool((real[:, 0] < BATCH / IMAGES).all()),
        "fresh latents": len(drawn[:, 0].unique()) > 50 * BATCH,
        "G learns": not torch.equal(weights(G), before[0]),
        "D learns": not torch.equal(weights(D), before[1]),
        "average moves": not torch.equal(weights(average), before[0]),
        "average lags": not torch.equal(weights(average), weights(G)),
    }


def averaged_loop(G, D, images, latent_dim, steps, *, first=False, fixed=None, d_learns=True, weight=0.01):
    """A right answer, and options that each add one mistake; `first` is that of the task."""
    average = copy.deepcopy(G)
    opt_g = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.0, 0.99))
    opt_d = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.0, 0.99))
    index = torch.randint(len(images), (BATCH,))
    for _ in range(steps):
        index = torch.randint(BATCH if first else len(images), (BATCH,)) if fixed != "batch" else index
        real = images[index]
        z = torch.randn(BATCH, latent_dim, generator=torch.Generator().manual_seed(0) if fixed == "latents" else None)
        fake = G(z)
        d_loss = softplus(-D(real)).mean() + softplus(D(fake.detach())).mean()
        opt_d.zero_grad()
        d_loss.backward()
        if d_learns:
            opt_d.step()
        g_loss = softplus(-D(fake)).mean()
        opt_g.zero_grad()
        g_loss.backward()
        opt_g.step()
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), G.parameters(), strict=True):
                slow.lerp_(fast, weight)
    return average


def altered(**options) -> Callable:
    return lambda G, D, images, latent_dim, steps: averaged_loop(G, D, images, latent_dim, steps, **options)


WRONG_LINE = Exercise(
    id="02.5",
    title="find the wrong line",
    hints=(
        "Believe the symptom: D's loss sinks far below log 4 although both networks learn at the usual rate. In which "
        "section of the lesson did you see that?",
        "Count how many different images D gets to see: collect the indices that the loop draws, over many steps.",
        "torch.randint(n, (64,)) draws 64 numbers below n. What is n in the loop, and what should it be?",
    ),
    observe=watched_loop,
    right=altered(),
    accepts=lambda seen: seen["share of the images"] > 0.95 and all(seen[name] for name in KEPT),
    mistakes=(
        Mistake(
            altered(first=True),
            "D still sees only the first 64 images, again and again.",
            sign=lambda seen: seen["first images"] and seen["share of the images"] > 0,
        ),
        Mistake(
            altered(fixed="batch"),
            "D sees other images now, but only a fraction of them. A new batch has to be drawn in every step.",
            sign=lambda seen: 0 < seen["share of the images"] <= 0.95,
        ),
        Mistake(
            altered(fixed="latents"),
            "Now D sees all images, but G gets the same latents in every step. That line was right before.",
            sign=lambda seen: not seen["fresh latents"],
        ),
        Mistake(
            altered(d_learns=False),
            "Now D sees all images, but one of the players has stopped learning. The two moves were right before.",
            sign=lambda seen: not (seen["G learns"] and seen["D learns"]),
        ),
        Mistake(
            altered(weight=1.0),
            "Now D sees all images, but the average is no longer one: it should follow G slowly. That part was right "
            "before.",
            sign=lambda seen: not (seen["average moves"] and seen["average lags"]),
        ),
    ),
    otherwise="D does not see the images of the data set. Change one line only.",
    praise="One small number, no error, and a D loss that sinks: the loop trained on 64 images. Whoever watches D on "
    "held-out images finds such a bug in minutes.",
)
