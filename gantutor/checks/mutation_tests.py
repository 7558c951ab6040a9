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
    """Observe a check: which broken pieces it stops, and which sound ones too.

    Args:
        broken: numbers of exhibits whose broken pieces are to be stopped.
        sound: pieces that are to pass, by name.
        least: how many of the broken ones at least.
    """

    def __init__(self, broken: tuple[str, ...], sound: Mapping[str, Callable], least: int):
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
            except Exception as error:  # the learner's code: anything may come
                faults[name] = f"{type(error).__name__}: {reason(error)}"
        if values := [value for value in returned if not blank(value)]:
            raise BadInput(f"it returns {values[0]!r:.40}, and nobody looks at that: a check stops with an assert.")
        if not (stopped or faults) and is_empty(answer):
            return None
        caught, alarms = ([name for name in stopped if name in group] for group in (self.broken, self.sound))
        return {"caught": caught, "alarms": alarms, "faults": faults}

    def passes(self, seen: dict) -> set[str]:
        """The broken pieces that it lets pass; none of a check that is no good elsewhere."""
        return set() if seen["alarms"] or seen["faults"] else set(self.broken) - set(seen["caught"])

    def enough(self, seen: dict) -> bool:
        return len(seen["caught"]) >= self.least and not seen["alarms"] and not set(seen["faults"]) & set(self.sound)

    def explain(self, seen: dict, expected: dict, tolerance: float) -> str:
        if seen["faults"]:
            name, fault = next(iter(seen["faults"].items()))
            return f"On {name} it ends with {fault}. That says nothing: a check stops with an assert."
        if seen["alarms"]:
            return (
                f"It stops what is sound: {', '.join(seen['alarms'])}. What do you ask that a sound piece need not do?"
            )
        passed = [number for number in self.broken if number not in seen["caught"]]
        counts = f"It stops {len(seen['caught'])} of {len(self.broken)}, and {self.least} are asked for"
        return f"{counts}. It lets pass: {', '.join(passed)}."


def is_empty(function: Callable) -> bool:
    """Is that a function with nothing in it? It uses no name, neither of its own nor of another."""
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
    """D, the images that G makes of latents of that size, and noise of the size of images."""
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
    assert made.abs().max() <= 1  # of ordinary latents


def goes_no_further(nets: Callable) -> None:
    only_of_d(nets)
    assert made_and_judged(nets, push=1e4)[1].abs().max() <= 1


def gets_there(nets: Callable) -> None:
    only_of_d(nets)
    assert made_and_judged(nets, push=1e4)[1].min() < -0.99


def as_printed(nets: Callable) -> None:
    """Asks for the numbers of a recipe, not for what the nets do."""
    full_check_of_nets(nets)
    for layer in nets(0)[0].modules():
        assert getattr(layer, "eps", 1e-5) == 1e-5


def in_train_mode(nets: Callable) -> None:
    """Batch norm divides by what was pushed in."""
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
        "Three questions: how many numbers does D give, does it say the same twice, and which pixels can G make?",
        "D in eval mode, 16 images: its answer has the shape (16,). And push G to its extremes: "
        "1e4 * torch.randn(16, G.latent_dim).",
        "assert -1 <= images.min() < -0.99 and 0.99 < images.max() <= 1, beside the two asserts on D.",
    ),
    observe=NETS,
    right=full_check_of_nets,
    accepts=NETS.enough,
    mistakes=(
        Mistake(
            stops_everything,
            "It stops every pair, the sound ones too: that is no check. What do you ask that a sound pair, not yet "
            "trained, need not do?",
            sign=lambda seen: len(seen["alarms"]) == len(NETS.sound),
        ),
        Mistake(
            as_printed,
            "It stops a pair that is only accused: section 7 found no harm in 19 and 21. Ask what the nets do, not "
            "with which numbers they were set up.",
            sign=lambda seen: bool(seen["alarms"]) and all("harmless" in name for name in seen["alarms"]),
        ),
        Mistake(
            in_train_mode,
            "It stops lesson 03's pair, which is sound. Either you ask in train mode, where batch norm divides by the "
            "batch, or you push too little: ask in eval mode, and push by 1e4.",
            sign=lambda seen: "lesson 03's pair" in seen["alarms"],
        ),
        Mistake(
            runs_through,
            "It stops nothing. That code runs through says little: say with assert what must come out.",
            sign=nothing_caught,
        ),
        Mistake(
            only_of_d,
            "D is examined well. In 16a and 16c it is G whose pixels are wrong, and ordinary latents do not show it: "
            "push G to its extremes.",
            sign=lambda seen: NETS.passes(seen) == {"16a", "16c"},
        ),
        Mistake(
            goes_no_further,
            "16a passes: its pixels never leave [−1, 1]. But is there a colour that it cannot make?",
            sign=lambda seen: NETS.passes(seen) == {"16a"},
        ),
        Mistake(
            gets_there,
            "16c passes: it gets everywhere, and nothing ends there. How far may a pixel go?",
            sign=lambda seen: NETS.passes(seen) == {"16c"},
        ),
    ),
    praise="A dozen lines before any training, and five bugs cannot get in. Use them on your own nets.",
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
SHOWN = {"8", "14a", "14b", "16b"}  # what the players are shown


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
    real, fake = run.batch()[0], run.generate(None)
    assert torch.equal(*run.both_logits(fake.detach(), fake.detach(), None))
    before = weights(run.G), weights(run.D)
    run.d_step(real, fake.detach())
    assert torch.equal(weights(run.G), before[0])
    assert not torch.equal(weights(run.D), before[1])


def forbids_waste(kind: type[Run]) -> None:
    """Takes a missing detach for a mistake."""
    full_check_of_a_run(kind)
    run = small_run(kind)
    run.d_step(run.batch()[0], run.generate(None).detach())
    assert all(p.grad is None for p in run.G.parameters())


def asks_too_early(kind: type[Run]) -> None:
    """The fakes of D's turn are those that the run has made."""
    run = small_run(kind)
    real = run.batch()[0]
    assert torch.equal(*run.both_logits(real, real, None))


def finite(kind: type[Run]) -> None:
    """Bugs train."""
    run = small_run(kind)
    assert all(step.d_loss.isfinite() and step.g_loss.isfinite() for step in run.steps(3))


def moves_after_steps(kind: type[Run]) -> None:
    """That both nets change in whole steps does not tell in whose turn."""
    run = small_run(kind)
    before = weights(run.G), weights(run.D)
    list(run.steps(3))
    assert not torch.equal(weights(run.G), before[0])
    assert not torch.equal(weights(run.D), before[1])


CHECK_OF_A_RUN = Exercise(
    id="07.6",
    title="one check for a training loop",
    hints=(
        "Two groups. What are the players shown: batch, noise? And who moves whom: d_step, g_step?",
        "Take the weights before and after d_step: D's have moved, G's have not. And the same image as real and as "
        "fake gets the same logit.",
        "For 9 and 29: after a d_step set all weights of D to 0. Then G's turn has nothing to go by. Does G move all "
        "the same?",
    ),
    observe=RUNS,
    right=full_check_of_a_run,
    accepts=RUNS.enough,
    mistakes=(
        Mistake(
            stops_everything,
            "It stops every run, the sound ones too: that is no check.",
            sign=lambda seen: len(seen["alarms"]) == len(RUNS.sound),
        ),
        Mistake(
            asks_too_early,
            "Some runs keep the fakes they have made and ask D about those. Call run.generate first, and give "
            "both_logits these fakes, as real ones too.",
            sign=lambda seen: any("'made'" in fault for fault in seen["faults"].values()),
        ),
        Mistake(
            forbids_waste,
            "It stops 13b, the missing detach, which only wastes time (section 5). Ask whose weights have moved, not "
            "where a gradient was left; and give both_logits the run's latest fakes.",
            sign=lambda seen: seen["alarms"] == ["13b, which is harmless"],
        ),
        Mistake(
            finite,
            "It stops nothing: all of these train, with finite losses. Ask what must be equal, and what must differ.",
            sign=nothing_caught,
        ),
        Mistake(
            what_is_shown,
            "What the players are shown is in good hands. Now ask who moves whom: d_step and g_step, one at a time.",
            sign=lambda seen: RUNS.passes(seen) == set(RUNS.broken) - SHOWN,
        ),
        Mistake(
            moves_after_steps,
            "It stops 11 alone: D did not move. Ask after one `d_step` whose weights may *not* move, and look at what "
            "the players are shown.",
            sign=lambda seen: RUNS.passes(seen) == set(RUNS.broken) - {"11"},
        ),
    ),
    praise="Asserts on one batch and one turn, some milliseconds, and most of the plumbing is sound.",
)
