"""Lesson 07: the museum of bugs. Broken pieces to repair, and bugs to name from their loss curves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from gantutor import models, museum
from gantutor.checks.exercise import Answer, Calls, Exercise, Mistake, blank, brief, check_callable, same
from gantutor.checks.mutation_tests import CHECK_OF_A_RUN, CHECK_OF_NETS
from gantutor.data import Images, strokes
from gantutor.errors import BadInput
from gantutor.losses import Loss
from gantutor.museum import room_losses, room_plumbing
from gantutor.museum.settings import train_side
from gantutor.penalties import squared_gradient_norm, wgan_gp

# ---------------------------------------------------------------- 07.1

REAL, FAKE = torch.tensor([2.0, -0.5, 5.0]), torch.tensor([-1.0, 0.4, 3.0])


class LossCalls:
    """Observe a loss of D: its values, and whether the exhibit's own check stops it."""

    def __init__(self, *cases: tuple):
        self.calls = Calls(*cases)

    def __call__(self, answer: Answer) -> dict | None:
        values = self.calls(answer)
        if blank(values):
            return None
        loss = cast(Loss, museum.exhibit("22b").sound)._replace(d=lambda *logits: as_loss(answer(*logits)))
        return {"values": values, "stopped": museum.stops(museum.exhibit("22b").check, loss)}

    def explain(self, seen: dict, expected: dict, tolerance: float) -> str:
        if not same(seen["values"], expected["values"], tolerance):
            return self.calls.explain(seen["values"], expected["values"], tolerance)
        return (
            "The values are right, but the exhibit's own check stops it: is there a gradient, and does it have the "
            "right sign?"
        )


def one_number(value: object) -> Tensor:
    if not (isinstance(value, Tensor) and value.numel() == 1):
        raise BadInput(f"the function returns {brief(value)}: return one number as a tensor, a mean over the batch.")
    return value.reshape(())


def as_loss(value: object) -> Tensor:
    """The value as a number that has a gradient; `BadInput` for anything else."""
    if not one_number(value).requires_grad:
        raise BadInput(
            "the result has no gradient, so no net can learn from it: look for what cuts it off from the logits."
        )
    return one_number(value)


def smoothed(of_real: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """D's loss with this term for the real images and the usual one for the fakes."""
    return lambda real, fake: of_real(real).mean() + softplus(fake).mean()


SMOOTHING = Exercise(
    id="07.1",
    title="label smoothing that has an effect",
    hints=(
        "Which line computes something without storing it?",
        "Arithmetic does not change a tensor: targets * 0.9 is a new one.",
        "targets = 0.9 * torch.ones_like(real_logits), and the rest stays as it is.",
    ),
    observe=LossCalls((REAL, FAKE), (FAKE, REAL)),
    right=room_losses.smooth_d,
    mistakes=(
        Mistake(
            room_losses.unsmoothed_d,
            "It does what it did before: the target of a real image is still 1. Where is the product stored?",
        ),
        Mistake(
            room_losses.two_sided_d,
            "The real images are right. But now the fakes are smoothed too, which is exhibit 22a: leave their target "
            "at 0.",
        ),
        Mistake(
            smoothed(lambda s: 0.9 * softplus(-s)),
            "That scales the loss but keeps the target. A target of 0.9 also means: fake with probability 0.1.",
        ),
        Mistake(
            smoothed(lambda s: 0.1 * softplus(-s) + 0.9 * softplus(s)),
            "The two weights are swapped: real images have the target 0.1 here, so D learns to call them fake.",
        ),
        Mistake(
            smoothed(lambda s: softplus(-0.9 * s)),
            "You multiplied the logits by 0.9. It is the target that should be 0.9.",
        ),
        Mistake(
            lambda real, fake: softplus(-real).mean() + (0.1 * softplus(-fake) + 0.9 * softplus(fake)).mean(),
            "You smoothed the fakes, and the real images still have the target 1. Smooth the real images instead.",
        ),
    ),
    praise="Arithmetic returns a new tensor, so a result that is not stored has no effect.",
)

# ---------------------------------------------------------------- 07.2

SIZE = 784 * 256 + 256 + 256 + 1  # learnable parameters of both layers, with their biases
MANY = 784 * 16  # more parameters than the last layer has, and fewer than the hidden one


def d_facts(answer: Answer) -> dict | None:
    """What a D of this class does: with the same images twice, with extreme images, and in one optimizer step."""
    check_callable(answer, "class")
    if isinstance(answer, nn.Module):
        raise BadInput("the answer is a single D: hand in the class itself, without calling it.")
    D, x = answer(), torch.rand(16, 1, 28, 28) * 2 - 1
    if blank(D):
        return None
    if not isinstance(D, nn.Module):
        raise BadInput(f"calling it gives {brief(D)}: hand in a subclass of nn.Module.")
    known = list(D.parameters())  # the optimizer is made before the first batch, as in every run
    if any(isinstance(p, nn.UninitializedParameter) for p in known):
        raise BadInput(
            "a lazy layer has no weights until the first call, but the optimizer is made before that: state both sizes."
        )
    optimizer = torch.optim.Adam(known or [torch.zeros(1)], 1e-3)
    before, stream = [p.detach().clone() for p in known], torch.get_rng_state()
    logits = D(x)
    if not isinstance(logits, Tensor):
        raise BadInput(f"D returns {brief(logits)}: return a tensor with one logit for each image.")
    if logits.numel() < len(x):
        raise BadInput(f"for {len(x)} images D returns {brief(logits)}: return one number for each.")
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
    complete = seen["numbers"] == 16 and seen["known"] == SIZE
    return complete and seen["moved"] and not (seen["stopped"] or seen["bounded"])


class Seeded(room_plumbing.MadeAnew):
    """Makes the same random layer at each call."""

    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().forward(x)


class Lazy(room_plumbing.MadeAnew):
    """Makes the layer once, but only at the first call."""

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "first"):
            self.first = nn.Linear(784, 256)
        return self.last(torch.relu(self.first(x.flatten(1)))).squeeze(1)


class Listed(room_plumbing.MadeAnew):
    """Makes the layer in time, but keeps it in a list, where PyTorch does not find it."""

    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(784, 256)]

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.layers[0](x.flatten(1)))).squeeze(1)


class OneLayer(nn.Module):
    """Has no hidden layer, so none is made at each call."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(784, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.flatten(1)).squeeze(1)


class Held(room_plumbing.MadeOnce):
    """Runs the hidden layer without gradients."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            hidden = self.first(x.flatten(1))
        return self.last(torch.relu(hidden)).squeeze(1)


class Squashed(room_plumbing.MadeOnce):
    """Ends in a sigmoid, as exhibit 1 does."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sigmoid()


LAYERS = Exercise(
    id="07.2",
    title="layers that persist between calls",
    hints=(
        "What does the optimizer know about a layer that is made in forward?",
        "Make both layers in __init__, as attributes, so that D.parameters() contains the weights of both.",
        "self.first = nn.Linear(784, hidden) in __init__, and self.first(x.flatten(1)) in forward.",
    ),
    observe=d_facts,
    right=room_plumbing.MadeOnce,
    accepts=sound_d,
    mistakes=(
        Mistake(
            room_plumbing.RowJudge,
            "D returns more numbers than there are images. Without flatten it judges each row of 28 pixels separately, "
            "as in exhibit 17.",
            sign=lambda seen: seen["numbers"] != 16,
        ),
        Mistake(
            room_plumbing.MadeAnew,
            "It gives two different answers for the same images, because each call still makes a new hidden layer.",
            sign=lambda seen: seen["stopped"],
        ),
        Mistake(
            Seeded,
            "It passes the exhibit's check now, because it draws the same random layer each time. But is that layer "
            "ever trained?",
            sign=lambda seen: seen["drawn"] and not seen["late"],
        ),
        Mistake(
            Lazy,
            "The layer is made once, but only at the first call. The optimizer was made before that and does not know "
            "it.",
            sign=lambda seen: seen["late"],
        ),
        Mistake(
            Listed,
            "The layer persists, but D.parameters() does not contain it. Where does nn.Module look for layers?",
            sign=lambda seen: seen["known"] < 784,  # even a single hidden unit has that many weights
        ),
        Mistake(
            OneLayer,
            "The optimizer does not get the original number of parameters. Keep both layers, 784 to 256 and 256 to 1, "
            "each with its biases.",
            sign=lambda seen: seen["known"] != SIZE,
        ),
        Mistake(
            Held,
            "The optimizer knows the hidden layer, but a step does not change it, because no gradient reaches it.",
            sign=lambda seen: not seen["moved"],
        ),
        Mistake(
            Squashed,
            "The layers are right. But the output never leaves [0, 1], while a logit may be any number: see exhibit 1.",
            sign=lambda seen: seen["bounded"],
        ),
    ),
    praise="A repair can pass the exhibit's own check and still never learn: giving the same answer twice is necessary "
    "but not enough.",
)

# ---------------------------------------------------------------- 07.3


EXACT = {"flat": 1.0, "gentle": 0.25, "steep": 4.0, "mixed": 2.0}
RANDOM = {"curved": 4 / 3}  # up to the randomness of t, about 0.02 with 4,000 draws

CRITICS = {
    "flat": lambda x: 0 * x.flatten(1).sum(1),  # gradient norm 0 everywhere: (0 − 1)²
    "gentle": lambda x: x.flatten(1).sum(1) / 4,  # ½: (½ − 1)²
    "steep": lambda x: x.flatten(1).sum(1) * 1.5,  # 3: (3 − 1)²
    "curved": lambda x: x.flatten(1).square().sum(1) / 2,  # ‖x‖ = 1 + 2t: E(2t)² = 4/3
}
LENGTHS = torch.tensor([0.5, 1.5] * 50)[:, None, None, None].expand(-1, 1, 2, 2)  # for "mixed": images of norm 1 and 3


class PenaltyValues:
    """Observe a penalty: its value for critics of known gradient norm, and whether the exhibit's check stops it."""

    def __call__(self, answer: Answer) -> dict | None:
        check_callable(answer)
        fake = torch.full((4000, 1, 2, 2), 0.5)  # of norm 1; the real ones have norm 3
        given = {name: answer(critic, 3 * fake, fake.clone()) for name, critic in CRITICS.items()}
        given["mixed"] = answer(
            CRITICS["curved"], LENGTHS.clone(), LENGTHS.clone()
        )  # gradient norms 1 and 3: (0 + 4) / 2
        if blank(list(given.values())):
            return None
        stopped = museum.stops(museum.exhibit("26d").check, lambda *nets: as_loss(answer(*nets)))
        return {name: one_number(value).item() for name, value in given.items()} | {"stopped": stopped}

    def explain(self, seen: dict, expected: dict, tolerance: float) -> str:
        """The first critic for which the value is wrong."""
        for name, norm in (("flat", "0"), ("gentle", "½"), ("steep", "3")):
            if not values_are(seen, **{name: EXACT[name]}):
                return f"For critics of gradient norm {norm}: {brief(seen[name])}, but {brief(EXACT[name])} is right."
        return "It is right where the gradient norm is the same everywhere, but wrong where it varies between images."


def values_are(seen: dict, tolerance: float = 5e-3, **expected: float) -> bool:
    return all(same(seen[name], value, tolerance) for name, value in expected.items())


def with_norm(of_square: Callable[[Tensor], Tensor], t: float | None = None) -> Callable:
    """WGAN-GP's penalty with the norm `of_square(‖g‖²)`, at points (1 − t)·real + t·fake; by default t is drawn."""

    def penalty(D, real: Tensor, fake: Tensor) -> Tensor:
        share = torch.rand(len(real), *[1] * (real.ndim - 1)) if t is None else t
        return (of_square(squared_gradient_norm(D, real.lerp(fake, share))) - 1).square().mean()

    return penalty


ROOT = Exercise(
    id="07.3",
    title="a square root that may reach 0",
    hints=(
        "A gradient is a product of factors. Which of them is infinite at 0?",
        "Anything you do after the root is too late: the root itself must not get a 0.",
        "(squared_gradient_norm(…) + 1e-12).sqrt()",
    ),
    observe=PenaltyValues(),
    right=wgan_gp,
    accepts=lambda seen: not seen["stopped"] and values_are(seen, **EXACT) and values_are(seen, 0.04, **RANDOM),
    mistakes=(
        Mistake(
            lambda D, real, fake: 0 * room_losses.unit_gradient_penalty(D, real),
            "That penalty is always 0. For a critic of gradient norm 3 it should be (3 − 1)² = 4.",
            sign=lambda seen: values_are(seen, flat=0, steep=0),
        ),
        Mistake(
            with_norm(lambda square: square),
            "Without the root there is no NaN. But now ‖g‖² is compared with 1, so for a gradient norm of 3 you get 64 "
            "instead of 4.",
            sign=lambda seen: values_are(seen, steep=64),
        ),
        Mistake(
            with_norm(lambda square: 1 + relu((square + 1e-12).sqrt() - 1)),
            "This one does not penalise gradient norms below 1. The paper's penalty does: for a norm of ½ it is ¼.",
            sign=lambda seen: values_are(seen, flat=0, gentle=0, steep=4),
        ),
        Mistake(
            with_norm(lambda square: torch.where(square > 0, square, 1).sqrt()),
            "It is finite, but now the penalty is 0 for a flat critic, so nothing moves its gradient away from 0. It "
            "should be 1.",
            sign=lambda seen: values_are(seen, flat=0, gentle=0.25),
        ),
        Mistake(
            with_norm(lambda square: (square + 0.01).sqrt()),
            "It is finite. But what you add under the root is so large that it changes the penalty, which should be 1 "
            "for a flat critic and ¼ for a gradient norm of ½.",
            sign=lambda seen: (
                not (seen["stopped"] or values_are(seen, flat=1, gentle=0.25)) and values_are(seen, 0.3, **EXACT)
            ),
        ),
        Mistake(
            with_norm(lambda square: square.sqrt().clamp(min=1e-6)),
            "The penalty itself is right, but for a flat critic the weights still become NaN. Nothing after the root "
            "can help, because its derivative at 0 is infinite, and infinity times 0 is NaN.",
            sign=lambda seen: seen["stopped"] and values_are(seen, **EXACT),
        ),
        Mistake(
            with_norm(lambda square: (square.mean() + 1e-12).sqrt()),
            "Each image has its own gradient norm: first take the root and the square, then the mean.",
            sign=lambda seen: values_are(seen, flat=1, gentle=0.25, steep=4) and not values_are(seen, mixed=2),
        ),
        Mistake(
            with_norm(lambda square: (square + 1e-12).sqrt(), t=0),
            "The root is repaired. But the points are no longer drawn at random between real and fake, with a t for "
            "each image.",
            sign=lambda seen: not seen["stopped"] and values_are(seen, **EXACT),
        ),
    ),
    praise="Keep the root's argument away from 0, not its result, because the derivative is taken at the argument.",
)

# ---------------------------------------------------------------- 07.4

PATIENTS = {"K": "11", "L": "12b", "M": "13a", "N": "9"}
WARD = ("1", "4", "6", "9", "10a", "11", "12a", "12b", "13a", "29")  # the candidates
CLUES = {
    "K": "K: D's loss rises and D does not react. Which player does not learn?",
    "L": "L: at the start D's loss is near log 2 = 0.69 instead of log 4. How many terms does it have?",
    "M": "M: in the end D's loss is near log 2, with D confident about the real images and undecided about the fakes. "
    "Which player benefits from that?",
    "N": "N: D is right about everything, yet G's loss settles a little above 0.31. Where does the number 0.313 come "
    "from?",
}


def tiny_pair(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.mlp(latent_dim=16, g_hidden=(64,), d_hidden=(64,), seed=seed)


def candidate(number: str) -> museum.Exhibit:
    """The candidate with that number or id, in any case of letters. Raises `BadInput` for any other."""
    for e in map(museum.exhibit, WARD):
        if str(number).strip().lower() in (e.number, e.id):
            return e
    raise BadInput(f"'{number}' is not among the candidates: choose from {', '.join(WARD)}.")


def curves(id: str, steps: int = 100) -> dict[str, Sequence[float]]:
    """The curves of an exhibit's broken version with small nets on drawn digits, one number for each step.

    They are "d_loss", "g_loss", and D's mean logits, "d_real" and "d_fake".
    """
    drawn, e = strokes.draw(2000, 0), candidate(id)
    digits = Images("strokes", drawn.pixels / 127.5 - 1, drawn.digit, tuple("0123456789"))
    history = train_side(replace(e.parts(e.broken, digits), nets=tiny_pair), steps, 0, e.broken, n=1).history
    return {name: history[name] for name in ("d_loss", "g_loss", "d_real", "d_fake")}


def patient(letter: str) -> dict[str, Sequence[float]]:
    """The curves of a patient, whose bug the learner has to name."""
    return curves(PATIENTS[letter])


class Diagnoses:
    """Observe a diagnosis: patient -> number of the exhibit."""

    def __call__(self, answer: Answer) -> dict[str, str] | None:
        if not (isinstance(answer, Mapping) and set(answer) <= set(PATIENTS)):
            raise BadInput(
                'hand in a dict with the number of an exhibit for each patient, such as {"K": "1", "L": "4", …}.'
            )
        if blank(list(answer.values())):
            return None
        if missing := [letter for letter in PATIENTS if blank(answer.get(letter))]:
            raise BadInput(f"there is no diagnosis for {', '.join(missing)}: name all four.")
        return {letter: candidate(answer[letter]).number for letter in PATIENTS}

    def explain(self, seen: dict[str, str], expected: dict[str, str], tolerance: float) -> str:
        """How many are right, and where to look for the first wrong one."""
        wrong = [letter for letter in PATIENTS if seen[letter] != expected[letter]]
        return f"{len(PATIENTS) - len(wrong)} of {len(PATIENTS)} are right. {CLUES[wrong[0]]}"


def taken_for(letter: str, number: str, hint: str) -> Mistake:
    return Mistake(PATIENTS | {letter: number}, hint, sign=lambda seen: seen[letter] == number)


DIAGNOSIS = Exercise(
    id="07.4",
    title="name the bug from its curves",
    hints=(
        "Begin at the first step, where D knows nothing and every logit is near 0, so that a sound D's loss is log 4 = "
        "1.39.",
        "Then look at the ends: which player reaches its aim, and which numbers are familiar? softplus(0) = 0.69, "
        "softplus(−1) = 0.31.",
        "Write down for each candidate where D's logits of real images and of fakes must go. Only one candidate fits.",
    ),
    observe=Diagnoses(),
    right=PATIENTS,
    mistakes=(
        taken_for("K", "12a", "K: a D that never sees fakes would reach a loss near 0. K's D has a rising loss."),
        taken_for("K", "4", "K: a reversed D's loss falls below 0 without a bound. K's rises from the first step on."),
        taken_for(
            "L",
            "10a",
            "L: the fakes match. But that D also sees real images and would be confident about them, which L's is not.",
        ),
        taken_for(
            "L",
            "12a",
            "L: it does have only one term. But a D that is trained on real images alone would raise their logits.",
        ),
        taken_for("M", "6", "M: with one common loss both would settle at 2 log 2 = 1.39. M's settle at half of that."),
        taken_for(
            "M",
            "12a",
            "M: a D trained on real images alone would have a loss near 0 by now. M's loss includes the fakes.",
        ),
        taken_for(
            "N",
            "29",
            "N: close. Neither of the two uses D, but a squared error of pixels has no reason to stop at 0.313.",
        ),
        taken_for("N", "1", "N: with two sigmoids D's loss cannot fall below 1.006, but here it does."),
    ),
    praise="Initial and final values follow from arithmetic, so they identify a bug where the shape of a curve cannot.",
)

EXERCISES = (SMOOTHING, LAYERS, ROOT, DIAGNOSIS, CHECK_OF_NETS, CHECK_OF_A_RUN)
