"""Lesson 07: the museum of bugs. Repaired pieces, curves without a name, and checks that are checked themselves."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from gantutor import models, museum
from gantutor.checks.exercise import Answer, Calls, Exercise, Mistake, blank, brief, check_callable, same
from gantutor.checks.mutation_tests import CHECK_OF_A_RUN, CHECK_OF_NETS
from gantutor.data import Images, strokes
from gantutor.errors import BadInput
from gantutor.museum import room_losses, room_plumbing
from gantutor.museum.settings import play
from gantutor.penalties import squared_gradient_norm, wgan_gp

# ---------------------------------------------------------------- 07.1

REAL, FAKE = torch.tensor([2.0, -0.5, 5.0]), torch.tensor([-1.0, 0.4, 3.0])


class LossCalls(Calls):
    """Observe a loss of D: its values, and whether the exhibit's own check still stops it."""

    def __call__(self, answer: Answer) -> dict | None:
        values = super().__call__(answer)
        if blank(values):
            return None
        loss = museum.exhibit("22b").sound._replace(d=lambda *logits: as_loss(answer(*logits)))
        return {"values": values, "stopped": museum.stops(museum.exhibit("22b").check, loss)}

    def explain(self, seen: dict, expected: dict, tolerance: float) -> str:
        if not same(seen["values"], expected["values"], tolerance):
            return super().explain(seen["values"], expected["values"], tolerance)
        return "The values are right, but the exhibit's own check stops it: is the slope there, and of the right sign?"


def one_number(value: object) -> Tensor:
    if not (isinstance(value, Tensor) and value.numel() == 1):
        raise BadInput(f"it gives {brief(value)}: give one number as a tensor, a mean over the batch.")
    return value.reshape(())


def as_loss(value: object) -> Tensor:
    """One number, and somebody can learn from it."""
    if not one_number(value).requires_grad:
        raise BadInput("the number that comes out has no gradient, so nobody can learn from it: what has cut it off?")
    return one_number(value)


def smoothed(of_real: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """D's loss, with its usual term for the fakes."""
    return lambda real, fake: of_real(real).mean() + softplus(fake).mean()


SMOOTHING = Exercise(
    id="07.1",
    title="label smoothing that smooths",
    hints=(
        "Which line computes something that nobody keeps?",
        "A tensor is not changed by arithmetic: targets * 0.9 is a new one.",
        "targets = 0.9 * torch.ones_like(real_logits), and the rest stays as it is.",
    ),
    observe=LossCalls((REAL, FAKE), (FAKE, REAL)),
    right=room_losses.smooth_d,
    mistakes=(
        Mistake(
            room_losses.unsmoothed_d,
            "It does what it did before: the target of a real image is 1. Who keeps the product?",
        ),
        Mistake(
            room_losses.two_sided_d,
            "The real images are right. Now the fakes are smoothed too, and that is exhibit 22a: leave their target 0.",
        ),
        Mistake(
            smoothed(lambda s: 0.9 * softplus(-s)),
            "That is a smaller loss, and no other target. A target of 0.9 also says: with 0.1 it is a fake.",
        ),
        Mistake(
            smoothed(lambda s: 0.1 * softplus(-s) + 0.9 * softplus(s)),
            "The two weights are exchanged: real images have the target 0.1 here, and D learns to call them fake.",
        ),
        Mistake(
            smoothed(lambda s: softplus(-0.9 * s)),
            "The 0.9 is with the logits here. It is the target that is to be 0.9.",
        ),
        Mistake(
            lambda real, fake: softplus(-real).mean() + (0.1 * softplus(-fake) + 0.9 * softplus(fake)).mean(),
            "It is the fakes that are smoothed here, and the real images still have the target 1. Exchange that.",
        ),
    ),
    praise="Arithmetic makes a new tensor: what nobody keeps has not happened.",
)

# ---------------------------------------------------------------- 07.2

SIZE = 784 * 256 + 256 + 256 + 1  # numbers to be learned, of both layers with their biases
MANY = 784 * 16  # of them: more than the last layer has, fewer than the hidden one


def d_facts(answer: Answer) -> dict | None:
    """What a class of D's does: asked twice, asked with other images, and after one step of an optimizer."""
    check_callable(answer, "class")
    if isinstance(answer, nn.Module):
        raise BadInput("that is one D: hand in the class itself, without brackets.")
    D, x = answer(), torch.rand(16, 1, 28, 28) * 2 - 1
    if blank(D):
        return None
    if not isinstance(D, nn.Module):
        raise BadInput(f"called, it gives {brief(D)}: hand in a class made from nn.Module.")
    known = list(D.parameters())  # an optimizer is made before the first batch, as in every run
    if any(isinstance(p, nn.UninitializedParameter) for p in known):
        raise BadInput(
            "a lazy layer has no weights until the first call, and the optimizer is made before that: give both sizes."
        )
    optimizer = torch.optim.Adam(known or [torch.zeros(1)], 1e-3)
    before, stream = [p.detach().clone() for p in known], torch.get_rng_state()
    logits = D(x)
    if not isinstance(logits, Tensor):
        raise BadInput(f"D says {brief(logits)}: it is to give a tensor with one logit for each image.")
    if logits.numel() < len(x):
        raise BadInput(f"for {len(x)} images D gives {brief(logits)}: it is to give one number for each.")
    drawn = not torch.equal(stream, torch.get_rng_state())
    softplus(-logits).mean().backward()
    optimizer.step()
    return {
        "numbers": logits.numel(),
        "bounded": D(1e4 * x).detach().abs().max().item() <= 1,
        "stopped": museum.stops(museum.exhibit("10b").check, lambda seed: (None, D)),
        "drawn": drawn,
        "known": sum(p.numel() for p in known),
        "late": sum(p.numel() for p in D.parameters()) > sum(p.numel() for p in known),
        "moved": sum((old != p).sum().item() for old, p in zip(before, known, strict=True)) >= MANY,
    }


def sound_d(seen: dict) -> bool:
    whole = seen["numbers"] == 16 and seen["known"] == SIZE
    return whole and seen["moved"] and not (seen["stopped"] or seen["bounded"])


class Seeded(room_plumbing.MadeAnew):
    """The same random layer at each call."""

    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().forward(x)


class Lazy(room_plumbing.MadeAnew):
    """The layer is made once, at the first call."""

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "first"):
            self.first = nn.Linear(784, 256)
        return self.last(torch.relu(self.first(x.flatten(1)))).squeeze(1)


class Listed(room_plumbing.MadeAnew):
    """The layer is made in time, and kept where PyTorch does not look."""

    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(784, 256)]

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.layers[0](x.flatten(1)))).squeeze(1)


class OneLayer(nn.Module):
    """Without a hidden layer nothing is made anew."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(784, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.flatten(1)).squeeze(1)


class Held(room_plumbing.MadeOnce):
    """The layer is asked without gradients."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            hidden = self.first(x.flatten(1))
        return self.last(torch.relu(hidden)).squeeze(1)


class Squashed(room_plumbing.MadeOnce):
    """Exhibit 1 begins so."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sigmoid()


LAYERS = Exercise(
    id="07.2",
    title="layers that are the same tomorrow",
    hints=(
        "What does the optimizer know of a layer that is made in forward?",
        "Make both layers in __init__, as attributes: then D.parameters() holds the weights of both.",
        "self.first = nn.Linear(784, hidden) in __init__, and self.first(x.flatten(1)) in forward.",
    ),
    observe=d_facts,
    right=room_plumbing.MadeOnce,
    accepts=sound_d,
    mistakes=(
        Mistake(
            room_plumbing.RowJudge,
            "D gives more numbers than images. Without flatten each row of 28 pixels is judged by itself: exhibit 17.",
            sign=lambda seen: seen["numbers"] != 16,
        ),
        Mistake(
            room_plumbing.MadeAnew,
            "Asked twice about the same images, it gives two answers: the hidden layer is still another one each time.",
            sign=lambda seen: seen["stopped"],
        ),
        Mistake(
            Seeded,
            "It passes the exhibit's check now, for it draws the same random layer each time. But is it ever trained?",
            sign=lambda seen: seen["drawn"] and not seen["late"],
        ),
        Mistake(
            Lazy,
            "It is made once, but at the first call. The optimizer was made before that and does not know it.",
            sign=lambda seen: seen["late"],
        ),
        Mistake(
            Listed,
            "The layer stays the same, but D.parameters() does not find it. Where does nn.Module look for layers?",
            sign=lambda seen: seen["known"] < 784,  # even one hidden number has so many weights
        ),
        Mistake(
            OneLayer,
            "The D that the optimizer knows is not of the old size. Keep both layers, from 784 to 256 to 1, each with "
            "its biases.",
            sign=lambda seen: seen["known"] != SIZE,
        ),
        Mistake(
            Held,
            "The optimizer knows the hidden layer, and a step does not move it: no gradient comes back that far.",
            sign=lambda seen: not seen["moved"],
        ),
        Mistake(
            Squashed,
            "The layers are in order. But the answer never leaves [0, 1], and a logit may be any number: exhibit 1.",
            sign=lambda seen: seen["bounded"],
        ),
    ),
    praise="A repair can pass the exhibit's own check and learn nothing: that D answers alike is not all.",
)

# ---------------------------------------------------------------- 07.3


ON_PAPER = {"flat": 1.0, "gentle": 0.25, "steep": 4.0, "mixed": 2.0}
DRAWN = {"curved": 4 / 3}  # up to the chance of t: 4,000 draws scatter by 0.02

CRITICS = {
    "flat": lambda x: 0 * x.flatten(1).sum(1),  # the slope is 0 everywhere: (0 − 1)²
    "gentle": lambda x: x.flatten(1).sum(1) / 4,  # ½: (½ − 1)²
    "steep": lambda x: x.flatten(1).sum(1) * 1.5,  # 3: (3 − 1)²
    "curved": lambda x: x.flatten(1).square().sum(1) / 2,  # ‖x‖ = 1 + 2t: E(2t)² = 4/3
}
LENGTHS = torch.tensor([0.5, 1.5] * 50)[:, None, None, None].expand(-1, 1, 2, 2)  # of "mixed": images of length 1 and 3


class PenaltyValues:
    """Observe a penalty: what critics pay whose slope is known on paper, and whether the exhibit's check stops it."""

    def __call__(self, answer: Answer) -> dict | None:
        check_callable(answer)
        fake = torch.full((4000, 1, 2, 2), 0.5)  # of length 1, and the real ones of length 3
        given = {name: answer(critic, 3 * fake, fake.clone()) for name, critic in CRITICS.items()}
        given["mixed"] = answer(CRITICS["curved"], LENGTHS.clone(), LENGTHS.clone())  # slopes 1 and 3: (0 + 4) / 2
        if blank(list(given.values())):
            return None
        stopped = museum.stops(museum.exhibit("26d").check, lambda *nets: as_loss(answer(*nets)))
        return {name: one_number(value).item() for name, value in given.items()} | {"stopped": stopped}

    def explain(self, seen: dict, expected: dict, tolerance: float) -> str:
        """The first critic that pays something else."""
        for name, slope in (("flat", "0"), ("gentle", "½"), ("steep", "3")):
            if not pays(seen, **{name: ON_PAPER[name]}):
                return f"A critic of slope {slope} pays {brief(seen[name])} here, and {brief(ON_PAPER[name])} on paper."
        return "Critics of one slope pay the right sum. One whose slope differs from place to place does not."


def pays(seen: dict, tolerance: float = 5e-3, **expected: float) -> bool:
    return all(same(seen[name], value, tolerance) for name, value in expected.items())


def with_norm(of_square: Callable[[Tensor], Tensor], t: float | None = None) -> Callable:
    """The penalty of WGAN-GP with that norm, made from its square; at t = 0 only where the real images are."""

    def penalty(D, real: Tensor, fake: Tensor) -> Tensor:
        share = torch.rand(len(real), *[1] * (real.ndim - 1)) if t is None else t
        return (of_square(squared_gradient_norm(D, real.lerp(fake, share))) - 1).square().mean()

    return penalty


ROOT = Exercise(
    id="07.3",
    title="a root that may meet a zero",
    hints=(
        "A gradient is a product. One of its factors is infinite at 0: which?",
        "What you do after the root is too late: the root must not see a 0.",
        "(squared_gradient_norm(…) + 1e-12).sqrt()",
    ),
    observe=PenaltyValues(),
    right=wgan_gp,
    accepts=lambda seen: not seen["stopped"] and pays(seen, **ON_PAPER) and pays(seen, 0.04, **DRAWN),
    mistakes=(
        Mistake(
            lambda D, real, fake: 0 * room_losses.slope_of_one(D, real),
            "That penalty asks for nothing: a critic of slope 3 should pay (3 − 1)² = 4.",
            sign=lambda seen: pays(seen, flat=0, steep=0),
        ),
        Mistake(
            with_norm(lambda square: square),
            "No root, no NaN. But now it is ‖g‖² that is compared with 1: a critic of slope 3 pays 64 instead of 4.",
            sign=lambda seen: pays(seen, steep=64),
        ),
        Mistake(
            with_norm(lambda square: 1 + relu((square + 1e-12).sqrt() - 1)),
            "This one lets slopes below 1 go free. The paper's penalty wants a slope of 1: a slope of ½ pays ¼.",
            sign=lambda seen: pays(seen, flat=0, gentle=0, steep=4),
        ),
        Mistake(
            with_norm(lambda square: torch.where(square > 0, square, 1).sqrt()),
            "It is finite, but a flat critic now pays nothing, so nothing pushes it away from 0. It should pay 1.",
            sign=lambda seen: pays(seen, flat=0, gentle=0.25),
        ),
        Mistake(
            with_norm(lambda square: (square + 0.01).sqrt()),
            "It is finite. But what you add under the root is so large that the penalty is another one: a flat critic "
            "should pay 1 and one of slope ½ a quarter.",
            sign=lambda seen: not (seen["stopped"] or pays(seen, flat=1, gentle=0.25)) and pays(seen, 0.3, **ON_PAPER),
        ),
        Mistake(
            with_norm(lambda square: square.sqrt().clamp(min=1e-6)),
            "The penalty itself is fine, but with a flat critic the weights still get NaN. What comes after the root "
            "cannot help: its slope there is infinite, and infinity times 0 is NaN.",
            sign=lambda seen: seen["stopped"] and pays(seen, **ON_PAPER),
        ),
        Mistake(
            with_norm(lambda square: (square.mean() + 1e-12).sqrt()),
            "Each image pays for its own slope: first the root and the square, then the mean.",
            sign=lambda seen: pays(seen, flat=1, gentle=0.25, steep=4) and not pays(seen, mixed=2),
        ),
        Mistake(
            with_norm(lambda square: (square + 1e-12).sqrt(), t=0),
            "The root is mended. But the points are no longer drawn anywhere between real and fake, each for itself.",
            sign=lambda seen: not seen["stopped"] and pays(seen, **ON_PAPER),
        ),
    ),
    praise="Keep the root away from 0, not its result: the slope is taken where the root is.",
)

# ---------------------------------------------------------------- 07.4

PATIENTS = {"K": "11", "L": "12b", "M": "13a", "N": "9"}
WARD = ("1", "4", "6", "9", "10a", "11", "12a", "12b", "13a", "29")  # who may lie there
CLUES = {
    "K": "K: D's loss rises and D does not answer. Which player does not learn?",
    "L": "L: at the start D's loss is near log 2 = 0.69, and not near log 4. How many terms does it have?",
    "M": "M: in the end D's loss is near log 2, with D sure of the real images and at 0 for the fakes. Whom does that "
    "suit?",
    "N": "N: D is right about everything, and G's loss comes to rest all the same, a little above 0.31. What is 0.313?",
}


def tiny_pair(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.mlp(latent_dim=16, g_hidden=(64,), d_hidden=(64,), seed=seed)


def candidate(number: str) -> museum.Exhibit:
    """The exhibit of the ward with that number (or id), in small or in capital letters.

    Raises `BadInput` for any other.
    """
    for e in map(museum.exhibit, WARD):
        if str(number).strip().lower() in (e.number, e.id):
            return e
    raise BadInput(f"'{number}' is not in the list: choose from {', '.join(WARD)}.")


def curves(id: str, steps: int = 100) -> dict[str, list[float]]:
    """What the broken version of an exhibit does with small nets on drawn digits: one number for each step.

    The curves are "d_loss", "g_loss", and "d_real" and "d_fake", D's mean logits.
    """
    drawn, e = strokes.draw(2000, 0), candidate(id)
    digits = Images("strokes", drawn.pixels / 127.5 - 1, drawn.digit, tuple("0123456789"))
    history = play(replace(e.parts(e.broken, digits), nets=tiny_pair), steps, 0, e.broken, n=1).history
    return {name: history[name] for name in ("d_loss", "g_loss", "d_real", "d_fake")}


def patient(letter: str) -> dict[str, list[float]]:
    """The curves of a patient whose name is not told."""
    return curves(PATIENTS[letter])


class Diagnoses:
    """Observe a diagnosis: which exhibit each patient is taken for."""

    def __call__(self, answer: Answer) -> dict[str, str] | None:
        if not (isinstance(answer, Mapping) and set(answer) <= set(PATIENTS)):
            raise BadInput('hand in a dict with a number for each patient, such as {"K": "1", "L": "4", …}.')
        if blank(list(answer.values())):
            return None
        if missing := [letter for letter in PATIENTS if blank(answer.get(letter))]:
            raise BadInput(f"you have said nothing about {', '.join(missing)}: name all four.")
        return {letter: candidate(answer[letter]).number for letter in PATIENTS}

    def explain(self, seen: dict[str, str], expected: dict[str, str], tolerance: float) -> str:
        """The first wrong one, and where to look."""
        wrong = [letter for letter in PATIENTS if seen[letter] != expected[letter]]
        return f"{len(PATIENTS) - len(wrong)} of {len(PATIENTS)} are right. {CLUES[wrong[0]]}"


def taken_for(letter: str, number: str, hint: str) -> Mistake:
    return Mistake(PATIENTS | {letter: number}, hint, sign=lambda seen: seen[letter] == number)


DIAGNOSIS = Exercise(
    id="07.4",
    title="name the bug from its curves",
    hints=(
        "Begin at the first step, where D knows nothing and every logit is near 0: a sound D's loss is log 4 = 1.39.",
        "Then the ends: who gets what he asks for, and which numbers are familiar? softplus(0) = 0.69, "
        "softplus(−1) = 0.31.",
        "Write down for each candidate where D's logit of a real image goes, and where that of a fake. Only one fits.",
    ),
    observe=Diagnoses(),
    right=PATIENTS,
    mistakes=(
        taken_for("K", "12a", "K: a D that is never shown fakes would be content, with a loss near 0. K's D loses."),
        taken_for("K", "4", "K: a reversed D's loss falls below 0, without a floor. K's rises from the first step on."),
        taken_for(
            "L", "10a", "L: the fakes fit. But that D is also shown real images, and would be sure of them. L's is not."
        ),
        taken_for("L", "12a", "L: one term it is. But a D that pays for real images only would raise their logits."),
        taken_for(
            "M", "6", "M: with one common loss both would come to rest at 2 log 2 = 1.39. M's rest at half of that."
        ),
        taken_for(
            "M", "12a", "M: a D that pays for real images only would be near 0 by now. M's pays for the fakes as well."
        ),
        taken_for(
            "N", "29", "N: nearly. D is not asked in either, but a squared error of pixels has no reason to stop there."
        ),
        taken_for("N", "1", "N: with two sigmoids D's loss cannot fall below 1.006. Here it does."),
    ),
    praise="Start values and resting places are arithmetic: they name a bug where the shape of a curve cannot.",
)

EXERCISES = (SMOOTHING, LAYERS, ROOT, DIAGNOSIS, CHECK_OF_NETS, CHECK_OF_A_RUN)
