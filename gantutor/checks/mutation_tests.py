"""Exercises 07.5 and 07.6: the learner writes checks, which are tested on broken and on sound pieces of the museum."""

import types
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from gantutor import museum
from gantutor.checks.exercise import Answer, Exercise, Mistake, blank, check_callable
from gantutor.errors import BadInput, reason
from gantutor.museum import room_plumbing
from gantutor.museum.probes import small_run, weights
from gantutor.train import Run


class MutationTest:
    """Observe a check: which broken pieces it stops, and which sound ones.

    Args:
        broken: numbers of exhibits whose broken pieces it should stop.
        sound: pieces that it should let pass, by name.
        least: how many of the broken ones it must stop.
    """

    def __init__(self, broken: tuple[str, ...], sound: Mapping[str, object], least: int):
        self.broken, self.sound, self.least = broken, sound, least

    def __call__(self, answer: Answer) -> dict | None:
        check_callable(answer, "check")
        pieces = {number: museum.exhibit(number).broken for number in self.broken} | dict(self.sound)
        stopped, faults, returned = [], {}, []
        for name, piece in pieces.items():
            try:
                stopped += [name] * museum.stops(lambda piece: returned.append(answer(piece)), piece)
            except NotImplementedError:
                raise
            except Exception as error:  # the learner's code may raise anything
                faults[name] = f"{type(error).__name__}: {reason(error)}"
        if values := [value for value in returned if not blank(value)]:
            raise BadInput(f"the check returns {values[0]!r:.40}, which is ignored: stop a piece with an assert.")
        if not (stopped or faults) and is_empty(answer):
            return None
        caught, alarms = ([name for name in stopped if name in group] for group in (self.broken, self.sound))
        return {"caught": caught, "alarms": alarms, "faults": faults}

    def passes(self, seen: dict) -> set[str]:
        """The broken pieces that it lets pass; empty for a check that stops sound pieces or raises other errors."""
        return set() if seen["alarms"] or seen["faults"] else set(self.broken) - set(seen["caught"])

    def enough(self, seen: dict) -> bool:
        return len(seen["caught"]) >= self.least and not seen["alarms"] and not set(seen["faults"]) & set(self.sound)

    def explain(self, seen: dict, expected: dict, tolerance: float) -> str:
        if seen["faults"]:
            name, fault = next(iter(seen["faults"].items()))
            return f"On {name} it ends with {fault}. An error proves nothing: stop a piece with an assert."
        if seen["alarms"]:
            return (
                f"It stops sound pieces: {', '.join(seen['alarms'])}. What do you require that a sound piece need not "
                "do?"
            )
        passed = [number for number in self.broken if number not in seen["caught"]]
        counts = f"It stops {len(seen['caught'])} of {len(self.broken)} broken pieces, and {self.least} are needed"
        return f"{counts}. It lets pass: {', '.join(passed)}."


def is_empty(function: Callable) -> bool:
    """Whether the function has an empty body: its code uses no names and it has no default arguments."""
    return isinstance(function, types.FunctionType) and not (function.__code__.co_names or function.__defaults__)


def stops_everything(piece: object) -> None:
    raise AssertionError


def nothing_caught(seen: dict) -> bool:
    return not (seen["caught"] or seen["alarms"] or seen["faults"])


NETS = MutationTest(
    broken=("10b", "16a", "16c", "17", "30"),
    sound={
        "lesson 02's pair": museum.exhibit("16a").sound,
        "the sound twin of 10b": museum.exhibit("10b").sound,
        "the sound twin of 17": museum.exhibit("17").sound,
        "lesson 03's pair": museum.exhibit("20b").sound,
        "19, which is harmless": museum.exhibit("19").broken,
        "21, which is harmless": museum.exhibit("21").broken,
    },
    least=5,
)


def made_and_judged(nets: Callable, push: float = 1.0) -> tuple[nn.Module, Tensor, Tensor]:
    """D, the images that G makes from latents scaled by `push`, and noise of the shape of images, all in eval mode."""
    G, D = (net.eval() for net in nets(0))
    with torch.no_grad():
        return D, G(push * torch.randn(16, G.latent_dim)), torch.randn(16, 1, 28, 28)


def full_check_of_nets(nets: Callable) -> None:
    """Five asserts for five exhibits."""
    D, made, x = made_and_judged(nets, push=1e4)
    assert D(x).shape == (16,)
    assert torch.equal(D(x), D(x))
    assert made.shape == x.shape
    assert -1 <= made.min() < -0.99
    assert 0.99 < made.max() <= 1


def only_of_d(nets: Callable) -> None:
    D, made, x = made_and_judged(nets)
    assert D(x).shape == (16,)
    assert torch.equal(D(x), D(x))
    assert made.abs().max() <= 1  # for ordinary latents


def goes_no_further(nets: Callable) -> None:
    only_of_d(nets)
    assert made_and_judged(nets, push=1e4)[1].abs().max() <= 1


def gets_there(nets: Callable) -> None:
    only_of_d(nets)
    assert made_and_judged(nets, push=1e4)[1].min() < -0.99


def as_printed(nets: Callable) -> None:
    """Checks a setting of the nets instead of what they do."""
    full_check_of_nets(nets)
    for layer in nets(0)[0].modules():
        assert getattr(layer, "eps", 1e-5) == 1e-5


def in_train_mode(nets: Callable) -> None:
    """In train mode batch norm divides the scale of the latents away."""
    G, D = nets(0)
    made, x = G(1e4 * torch.randn(64, G.latent_dim)), torch.randn(16, 1, 28, 28)
    assert D(x).shape == (16,)
    assert torch.equal(D(x), D(x))
    assert -1 <= made.min() < -0.9
    assert made.max() <= 1


def runs_through(nets: Callable) -> None:
    D, made, _ = made_and_judged(nets)
    D(made.flatten(1).unflatten(1, (1, 28, 28)))


CHECK_OF_NETS = Exercise(
    id="07.5",
    title="one check for a pair of nets",
    hints=(
        "Ask three questions: how many numbers does D return, does it give the same answer twice, and which pixel "
        "values can G make?",
        "In eval mode, D's answer for 16 images has the shape (16,). And drive G to its extremes with 1e4 * "
        "torch.randn(16, G.latent_dim).",
        "assert -1 <= images.min() < -0.99 and 0.99 < images.max() <= 1, in addition to the two asserts about D.",
    ),
    observe=NETS,
    right=full_check_of_nets,
    accepts=NETS.enough,
    mistakes=(
        Mistake(
            stops_everything,
            "It stops every pair, including the sound ones. What do you require that a sound pair, not yet trained, "
            "need not do?",
            sign=lambda seen: len(seen["alarms"]) == len(NETS.sound),
        ),
        Mistake(
            as_printed,
            "It stops a pair that is harmless: section 7 found no damage from 19 and 21. Check what the nets do, not "
            "with which settings they were made.",
            sign=lambda seen: bool(seen["alarms"]) and all("harmless" in name for name in seen["alarms"]),
        ),
        Mistake(
            in_train_mode,
            "It stops lesson 03's pair, which is sound. Either you check in train mode, where batch norm normalises "
            "the batch, or your latents are too small: use eval mode and multiply them by 1e4.",
            sign=lambda seen: "lesson 03's pair" in seen["alarms"],
        ),
        Mistake(
            runs_through,
            "It stops nothing. That the code runs without an error says little: state with assert what must come out.",
            sign=nothing_caught,
        ),
        Mistake(
            only_of_d,
            "D is checked well. In 16a and 16c G's pixels are wrong, but ordinary latents do not show it: drive G to "
            "its extremes.",
            sign=lambda seen: NETS.passes(seen) == {"16a", "16c"},
        ),
        Mistake(
            goes_no_further,
            "16a passes, because its pixels never leave [−1, 1]. But are there grey values in that range that it "
            "cannot make?",
            sign=lambda seen: NETS.passes(seen) == {"16a"},
        ),
        Mistake(
            gets_there,
            "16c passes, because it reaches every value. But it also goes beyond: how far may a pixel go?",
            sign=lambda seen: NETS.passes(seen) == {"16c"},
        ),
    ),
    praise="A dozen lines before any training keep five bugs out. Use them on your own nets.",
)

RUNS = MutationTest(
    broken=("8", "9", "10a", "11", "13a", "14a", "14b", "16b", "25", "29"),
    sound={
        "the package's Run": Run,
        "a Run that draws its fakes twice": room_plumbing.DrawnTwice,
        "13b, which is harmless": room_plumbing.Undetached,
    },
    least=7,
)
SHOWN = {"8", "14a", "14b", "16b"}  # bugs in what the players are shown


def full_check_of_a_run(kind: type[Run]) -> None:
    what_is_shown(kind)
    who_moves(kind)


def what_is_shown(kind: type[Run]) -> None:
    run = small_run(kind)
    real = run.batch()[0]
    assert (real[0] == run.examples).flatten(1).all(1).any()
    assert not torch.equal(real, run.batch()[0])
    assert not torch.equal(run.noise(), run.noise())


def who_moves(kind: type[Run]) -> None:
    run = small_run(kind)
    fake = run.generate(None)
    before = weights(run.G), weights(run.D)
    _, as_real, as_fake = run.d_step(fake.detach(), fake.detach())
    assert torch.equal(as_real, as_fake)
    assert torch.equal(weights(run.G), before[0])
    assert not torch.equal(weights(run.D), before[1])


def forbids_waste(kind: type[Run]) -> None:
    """Treats a missing detach as a mistake."""
    full_check_of_a_run(kind)
    run = small_run(kind)
    run.d_step(run.batch()[0], run.generate(None).detach())
    assert all(p.grad is None for p in run.G.parameters())


def asks_too_early(kind: type[Run]) -> None:
    """Takes a step of D before any fakes were generated, which fails for runs that keep them."""
    run = small_run(kind)
    real = run.batch()[0]
    _, as_real, as_fake = run.d_step(real, real)
    assert torch.equal(as_real, as_fake)


def finite(kind: type[Run]) -> None:
    """Checks only that the losses are finite, which they are in spite of every bug."""
    run = small_run(kind)
    assert all(step.d_loss.isfinite() and step.g_loss.isfinite() for step in run.steps(3))


def moves_after_steps(kind: type[Run]) -> None:
    """Checks that both nets change, but over whole steps, which does not show in whose turn."""
    run = small_run(kind)
    before = weights(run.G), weights(run.D)
    list(run.steps(3))
    assert not torch.equal(weights(run.G), before[0])
    assert not torch.equal(weights(run.D), before[1])


CHECK_OF_A_RUN = Exercise(
    id="07.6",
    title="one check for a training loop",
    hints=(
        "Two groups of questions: what are the players shown (batch, noise), and which step changes which net (d_step, "
        "g_step)?",
        "Compare the weights before and after d_step: D's must have changed, G's not. And an image must get the same "
        "logit as a real one and as a fake.",
        "For 9 and 29: after a d_step set all of D's weights to 0, so that G's turn gets no gradient. Does G change "
        "all the same?",
    ),
    observe=RUNS,
    right=full_check_of_a_run,
    accepts=RUNS.enough,
    mistakes=(
        Mistake(
            stops_everything,
            "It stops every run, including the sound ones. What do you require that a sound run need not do?",
            sign=lambda seen: len(seen["alarms"]) == len(RUNS.sound),
        ),
        Mistake(
            asks_too_early,
            "Some runs keep the fakes they have generated and show D those. Call run.generate first, and pass its "
            "fakes to run.d_step, as real images too.",
            sign=lambda seen: any("'made'" in fault for fault in seen["faults"].values()),
        ),
        Mistake(
            forbids_waste,
            "It stops 13b, the missing detach, which only wastes time (section 5). Check whose weights have changed, "
            "not where a gradient was left, and pass the run's latest fakes to run.d_step.",
            sign=lambda seen: seen["alarms"] == ["13b, which is harmless"],
        ),
        Mistake(
            finite,
            "It stops nothing, because all of these train with finite losses. Check what must be equal and what must "
            "differ.",
            sign=nothing_caught,
        ),
        Mistake(
            what_is_shown,
            "What the players are shown is checked well. Now check which step changes which net: d_step and g_step, "
            "one at a time.",
            sign=lambda seen: RUNS.passes(seen) == set(RUNS.broken) - SHOWN,
        ),
        Mistake(
            moves_after_steps,
            "It stops only 11, in which D does not change. Check after one `d_step` which weights must *not* have "
            "changed, and look at what the players are shown.",
            sign=lambda seen: RUNS.passes(seen) == set(RUNS.broken) - {"11"},
        ),
    ),
    praise="A few asserts on one batch and one turn take milliseconds and catch most mistakes of the plumbing.",
)
