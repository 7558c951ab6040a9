"""Lesson 09: scaling up."""

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gantutor import train
from gantutor.checks.exercise import Calls, Exercise, Mistake, as_number, brief, check_callable, same
from gantutor.errors import BadInput

# ---------------------------------------------------------------- 09.1

LAYERS = (
    (nn.Linear(30, 20), (30,)),
    (nn.Conv2d(3, 8, 4, 2, 1), (3, 16, 16)),
    (nn.ConvTranspose2d(8, 4, 4, 2, 1), (8, 7, 7)),
    (nn.Conv2d(8, 8, 3, padding=1, groups=4), (8, 6, 6)),
)


def places_out(layer: nn.Module, shape: tuple[int, ...]) -> int:
    """Places of what the layer gives for one example."""
    return layer(torch.zeros(1, *shape))[0, 0].numel()


def places(layer: nn.Module, shape: tuple[int, ...]) -> int:
    """How often each weight is used for one example."""
    return math.prod(shape[1:]) if isinstance(layer, nn.ConvTranspose2d) else places_out(layer, shape)


def multiply_adds(layer: nn.Module, shape: tuple[int, ...]) -> int:
    return layer.weight.numel() * places(layer, shape)


def without_groups(layer: nn.Module, shape: tuple[int, ...]) -> int:
    return multiply_adds(layer, shape) * getattr(layer, "groups", 1)


ARITHMETIC = Exercise(
    id="09.1",
    title="the arithmetic of a layer",
    hints=(
        "Each weight of a dense layer is used once. How often is a weight of a convolution used?",
        "A convolution lays its windows at each place of its output; a transposed one stamps them from each place of "
        "its input. layer(torch.zeros(1, *shape)) tells the size of the output.",
        "layer.weight.numel() times the places: 1 for a dense layer, H · W of the output for a convolution, H · W of "
        "the input (shape[1] * shape[2]) for a transposed one.",
    ),
    observe=Calls(*LAYERS),
    right=multiply_adds,
    mistakes=(
        Mistake(
            lambda layer, shape: layer.weight.numel(),
            "That is how many weights there are. A convolution uses each of them once per place.",
        ),
        Mistake(
            lambda layer, shape: 2 * multiply_adds(layer, shape),
            "Those are FLOPs. A multiply-add counts as one here.",
        ),
        Mistake(
            lambda layer, shape: layer.weight.numel() * places_out(layer, shape),
            "Right but for the transposed convolution: each number of its *input* stamps all windows once. Where the "
            "stamps overlap, several are added.",
        ),
        Mistake(
            lambda layer, shape: layer.weight.numel() * math.prod(shape[1:]),
            "The transposed one is right. An ordinary convolution lays its windows at the places of its *output*, and "
            "a stride leaves places out.",
        ),
        Mistake(
            without_groups,
            "Right but for the last case: with groups=4 each window sees a quarter of the channels. The shape of "
            "layer.weight knows that.",
        ),
        Mistake(
            lambda layer, shape: (layer.weight.numel() + layer.bias.numel()) * places(layer, shape),
            "You count the biases too. They are added and not multiplied, and we leave them out.",
        ),
    ),
    praise="With this one line a net of any size is counted before it is built anywhere.",
)

# ---------------------------------------------------------------- 09.2

F_D, F_G = 10e6, 4e6  # multiply-adds of one image forward
GIGA = 2 * 64 / 1e9  # from the multiply-adds of one image to the GFLOP of a batch

TURN = Exercise(
    id="09.2",
    title="a turn with two D steps",
    hints=(
        "Write down every pass: forward, slope in the weights, slope in the input. Each of them costs F.",
        "G makes fakes for each step of D, but learns once: 2 + 1 + 1. Each step of D is two passes forward, and each "
        "of these goes back in weights and inputs: 6.",
        "In G's turn D is passed forward once and back once, in the input only. So 4 F_G and 14 F_D; then twice, and "
        "64 times.",
    ),
    observe=as_number,
    right=(4 * F_G + 14 * F_D) * GIGA,
    mistakes=(
        Mistake(
            (4 * F_G + 14 * F_D) * GIGA / 2,
            "Those are multiply-adds, in thousands of millions. Each is two FLOPs.",
        ),
        Mistake((4 * F_G + 14 * F_D) * GIGA / 64, "That is for one image. The batch has 64."),
        Mistake((4 * F_G + 14 * F_D) * GIGA * 1e9, "The number is right in FLOPs. Give it in GFLOP, 10⁹ of them."),
        Mistake((3 * F_G + 8 * F_D) * GIGA, "That is a turn with one step of D. Here it makes two."),
        Mistake(
            (3 * F_G + 14 * F_D) * GIGA,
            "D's part is right. But each step of D gets new fakes, and G has to make them.",
        ),
        Mistake(
            (4 * F_G + 15 * F_D) * GIGA,
            "Nearly: you count three for each of D's five passes. In G's turn D is frozen: its weights need no slope.",
        ),
        Mistake(
            (6 * F_G + 15 * F_D) * GIGA,
            "You count three for each pass. But G learns from one of its two passes only, and in G's turn D's weights "
            "need no slope.",
        ),
        Mistake(
            (4 * F_G + 13 * F_D) * GIGA,
            "G's part is right. In G's turn the slope has to go *through* D, from the logit to the pixels: a pass "
            "back, beside the one forward.",
        ),
        Mistake(
            (3 * F_G + 3 * F_D) * GIGA,
            "That is one pass forward and back through each net. Count how often D sees a batch in such a turn.",
        ),
    ),
    otherwise="Not that. Make a table: G and D; forward, slope in the weights, slope in the input. Section 1 of the "
    "lesson has it for one step of D.",
    tolerance=1e-3,
    praise="90% of it is D's. That is why the number of D steps is the dearest setting of a recipe.",
)

# ---------------------------------------------------------------- 09.3

PARTS = (1, 4)


class Watched(nn.Module):
    """A line that remembers how many examples it got at once, and whether slopes had arrived before each pass."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 1)
        with torch.no_grad():
            self.line.weight.copy_(torch.tensor([[0.5, -1.0, 2.0]]))
            self.line.bias.fill_(0.25)
        self.line.weight.grad, self.line.bias.grad = torch.ones(1, 3), torch.ones(1)  # from an earlier step
        self.sizes: list[int] = []
        self.gradients: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        grad = self.line.weight.grad
        self.gradients.append(0.0 if grad is None else grad.abs().sum().item())
        return self.line(x).squeeze(1)


def accumulated(answer: Callable) -> tuple | None:
    """What becomes of a line in one call, for each number of parts."""
    check_callable(answer)
    return tuple(one_step(answer, parts) for parts in PARTS)


def one_step(answer: Callable, parts: int) -> dict[str, object] | None:
    net = Watched()
    before = net.line.weight.detach().clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    steps: list[int] = []
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    given = answer(net, lambda out: (out - 1).square().mean(), x, parts, optimizer)
    if given is None and not net.sizes:
        return None
    moved = torch.cat([(net.line.weight.detach() - before).flatten(), net.line.bias.detach()])
    return {"moved": moved, "steps": len(steps), "most": max(net.sizes, default=0), "gradients": net.gradients}


def in_parts(net: nn.Module, loss: Callable, x: Tensor, parts: int, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    for part in x.chunk(parts):
        (loss(net(part)) / parts).backward()
    optimizer.step()


def without_step(net: nn.Module, loss: Callable, x: Tensor, parts: int, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    for part in x.chunk(parts):
        (loss(net(part)) / parts).backward()


def forgetful(net: nn.Module, loss: Callable, x: Tensor, parts: int, optimizer: torch.optim.Optimizer) -> None:
    """The broken one of the task."""
    for part in x.chunk(parts):
        optimizer.zero_grad()
        loss(net(part)).backward()
    optimizer.step()


def forgetful_mean(net: nn.Module, loss: Callable, x: Tensor, parts: int, optimizer: torch.optim.Optimizer) -> None:
    for part in x.chunk(parts):
        optimizer.zero_grad()
        (loss(net(part)) / parts).backward()
    optimizer.step()


def summed(net: nn.Module, loss: Callable, x: Tensor, parts: int, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    for part in x.chunk(parts):
        loss(net(part)).backward()
    optimizer.step()


def hasty(net: nn.Module, loss: Callable, x: Tensor, parts: int, optimizer: torch.optim.Optimizer) -> None:
    for part in x.chunk(parts):
        optimizer.zero_grad()
        loss(net(part)).backward()
        optimizer.step()


def never_cleared(net: nn.Module, loss: Callable, x: Tensor, parts: int, optimizer: torch.optim.Optimizer) -> None:
    for part in x.chunk(parts):
        (loss(net(part)) / parts).backward()
    optimizer.step()


def at_once(net: nn.Module, loss: Callable, x: Tensor, parts: int, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss(net(x)).backward()
    optimizer.step()


def hoarding(net: nn.Module, loss: Callable, x: Tensor, parts: int, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    sum(loss(net(part)) / parts for part in x.chunk(parts)).backward()
    optimizer.step()


def accumulates(seen: tuple) -> bool:
    return None not in seen and all(
        same(mine["moved"], its["moved"], 1e-4) and (mine["steps"], mine["most"]) == (1, 12 // parts) and frees(mine)
        for mine, its, parts in zip(seen, ACCUMULATE.expected(), PARTS, strict=True)
    )


def frees(seen: dict) -> bool:
    """Whether the slopes of each part had arrived before the next one was looked at."""
    return all(gradient > 0 for gradient in seen["gradients"][1:])


ACCUMULATE = Exercise(
    id="09.3",
    title="accumulation, repaired",
    hints=(
        "backward() adds to the slopes that are there. When must they be 0, and when must they not?",
        "Four means of three examples each: their sum is not the mean of twelve.",
        "zero_grad() once, before the loop. In it (loss(net(part)) / parts).backward(). After it one step.",
    ),
    observe=accumulated,
    right=in_parts,
    accepts=accumulates,
    mistakes=(
        Mistake(
            without_step,
            "The net has not moved: no step was made. optimizer.step() belongs behind the loop.",
            sign=lambda seen: any(part is None or part["steps"] == 0 for part in seen),
        ),
        Mistake(
            hasty,
            "A step after each part is training with small batches: four steps on three examples. You want one.",
            sign=lambda seen: seen[1]["steps"] > 1,
        ),
        Mistake(
            at_once,
            "The step is right, but the net saw all examples at once: that is the memory you wanted to save.",
            sign=lambda seen: seen[1]["most"] > 12 // PARTS[1],
        ),
        Mistake(
            hoarding,
            "The step is right, but no part was finished before the next began: the way back of all of them is kept "
            "in memory at once. Call backward() for each part.",
            sign=lambda seen: not frees(seen[1]) and same(seen[1]["moved"], ACCUMULATE.expected()[1]["moved"], 1e-4),
        ),
        Mistake(
            forgetful,
            "It still does what the broken one does: before each part the slopes of those before are thrown away, so "
            "only the last part counts, as if it were the whole.",
            sign=lambda seen: same(seen, ACCUMULATE.expected(4), 1e-4),
        ),
        Mistake(
            forgetful_mean,
            "You divide by the parts now. But the slopes are still set to 0 in the loop: only the last part counts.",
            sign=lambda seen: same(seen, ACCUMULATE.expected(5), 1e-4),
        ),
        Mistake(
            summed,
            "The slopes add up now, to *four times* the mean: each part's loss is a mean over its own three examples.",
            sign=lambda seen: same(seen, ACCUMULATE.expected(6), 1e-4),
        ),
        Mistake(
            never_cleared,
            "The slopes of an earlier step were still there, and were counted again. Set them to 0 once, at the start.",
            sign=lambda seen: same(seen, ACCUMULATE.expected(7), 1e-4),
        ),
    ),
    otherwise="The step is not that of the whole batch. Try two parts by hand: which numbers should .grad hold after "
    "the first, and after the second?",
    praise="The same step as with the whole batch, and never more than one part in memory. That is Run(accumulate=4).",
)

# ---------------------------------------------------------------- 09.4

MEANS = (5.0, 2.0, 16, 64), (9.0, 3.0, 10, 100), (10.0, 0.9, 10, 100)


def noise_of(small: float, large: float, b: int, B: int) -> float:
    """tr Σ from E‖g‖² at two batch sizes."""
    return (small - large) / (1 / b - 1 / B)


def signal_of(small: float, large: float, b: int, B: int) -> float:
    """‖ḡ‖² from the same."""
    return (B * large - b * small) / (B - b)


def noise_scale(small: float, large: float, b: int, B: int) -> float:
    signal = signal_of(small, large, b, B)
    return noise_of(small, large, b, B) / signal if signal > 0 else math.inf


NOISE = Exercise(
    id="09.4",
    title="the noise scale from two batch sizes",
    hints=(
        "Write E‖g_B‖² = S + T/B twice, for b and for B: two equations, two unknowns.",
        "The difference gives T = (small − large) / (1/b − 1/B). To get rid of T, take B times the one less b times "
        "the other.",
        "S = (B · large − b · small) / (B − b). The answer is T / S, and math.inf where S is not above 0.",
    ),
    observe=Calls(*MEANS),
    right=noise_scale,
    mistakes=(
        Mistake(
            lambda small, large, b, B: noise_of(small, large, b, B) / signal_of(small, large, b, B),
            "Right where there is a signal. In the last case S comes out below 0, which no square can be: so little "
            "signal was not to be seen. Say math.inf there.",
        ),
        Mistake(
            lambda small, large, b, B: noise_of(small, large, b, B) / large,
            "T is right. But the larger batch has luck in it, too: its mean square is S + T/B, and not S.",
        ),
        Mistake(
            lambda small, large, b, B: noise_of(small, large, b, B),
            "That is T, the trace of Σ. The noise scale is T / S.",
        ),
        Mistake(
            lambda small, large, b, B: (
                signal_of(small, large, b, B) / noise_of(small, large, b, B)
                if signal_of(small, large, b, B) > 0
                else math.inf
            ),
            "Upside down: the scale is the luck over the signal, T / S.",
        ),
        Mistake(
            lambda small, large, b, B: b * small / large,
            "That takes all of the small batch for luck and all of the large one for signal. Both hold both: solve "
            "the two equations.",
        ),
        Mistake(
            lambda small, large, b, B: (
                (small - large) / (B - b) / signal_of(small, large, b, B)
                if signal_of(small, large, b, B) > 0
                else math.inf
            ),
            "S is right. T falls with 1/B, so the difference of the two is T · (1/b − 1/B).",
        ),
    ),
    praise="So two trainings at two batch sizes tell how far a third one may grow. Average the squares over many "
    "batches: one pair is mostly luck.",
)

# ---------------------------------------------------------------- 09.5

ONE = train.Recipe()
TWO = train.Recipe(batch_size=32, ema_decay=0.9, penalty_every=8, lr_g=4e-3, lr_d=2e-3)
GROWN = (ONE, 4), (ONE, 16), (TWO, 4)


class RecipeCalls(Calls):
    """Observe a function that gives a recipe: the fields that it may change, and whether it changed another."""

    FIELDS = ("batch_size", "penalty_every", "ema_decay", "lr_g", "lr_d")

    def result(self, answer: Callable, case: tuple) -> dict | None:
        made = super().result(answer, case)
        if made is None:
            return None
        if not isinstance(made, train.Recipe):
            raise BadInput(f"it gives {brief(made)}: give back a train.Recipe, made with dataclasses.replace.")
        kept = dataclasses.replace(made, **{name: getattr(case[0], name) for name in self.FIELDS}) == case[0]
        return {name: getattr(made, name) for name in self.FIELDS} | {"kept": kept}


def grown(recipe: train.Recipe, c: int, **other: object) -> train.Recipe:
    """The recipe at c times the batch, alike for each image; `other` is what is done otherwise."""
    changes = {
        "batch_size": c * recipe.batch_size,
        "penalty_every": recipe.penalty_every // c or 1,
        "ema_decay": recipe.ema_decay**c,
        "lr_g": recipe.lr_g * c**0.5,
        "lr_d": recipe.lr_d * c**0.5,
    }
    return dataclasses.replace(recipe, **changes | other)


def wrong(name: str) -> Callable:
    """Whether this field, of all, is not right."""
    return lambda seen: any(not same(a[name], b[name], 1e-6) for a, b in zip(seen, GROW.expected(), strict=True))


GROW = Exercise(
    id="09.5",
    title="the same recipe at a larger batch",
    hints=(
        "In one step the large batch sees what the small one sees in c steps. What has happened in c steps?",
        "In c steps the average keeps aᶜ of what it knew, and c/16 penalties have come.",
        "replace(recipe, batch_size=c·B, ema_decay=a**c, penalty_every=every // c, at least 1, and both rates times "
        "√c).",
    ),
    observe=RecipeCalls(*GROWN),
    right=grown,
    tolerance=1e-6,
    mistakes=(
        Mistake(
            lambda recipe, c: grown(recipe, c, batch_size=recipe.batch_size),
            "The batch itself has not grown: batch_size should be c times as large.",
            sign=wrong("batch_size"),
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, penalty_every=recipe.penalty_every),
            "R1 still comes once in as many *steps*: for each image it has become c times as rare.",
            sign=lambda seen: all(
                mine["penalty_every"] == case[0].penalty_every for mine, case in zip(seen, GROWN, strict=True)
            ),
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, penalty_every=recipe.penalty_every * c),
            "R1 should come after as many images as before. A step has c times as many now, so it comes after *fewer* "
            "steps, and never after less than one.",
            sign=wrong("penalty_every"),
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, ema_decay=recipe.ema_decay),
            "The average keeps the same share in each step, and a step is c times as many images: it remembers c times "
            "as far back.",
            sign=lambda seen: all(
                same(mine["ema_decay"], case[0].ema_decay, 1e-9) for mine, case in zip(seen, GROWN, strict=True)
            ),
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, ema_decay=recipe.ema_decay ** (1 / c)),
            "The average now remembers *longer*, in images by c². In one large step it must forget what c small ones "
            "would.",
            sign=lambda seen: seen[0]["ema_decay"] > ONE.ema_decay,
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, ema_decay=max(0.0, 1 - c * (1 - recipe.ema_decay))),
            "The average is not right yet. What is kept in c steps is a · a · … · a. (1 − c(1 − a) is near it while a "
            "is near 1, and not exact.)",
            sign=wrong("ema_decay"),
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, lr_g=recipe.lr_g * c, lr_d=recipe.lr_d * c),
            "Rates c times as large are the rule for plain gradient steps. Adam divides by the size of the slope: take "
            "√c.",
            sign=lambda seen: all(
                same(mine["lr_d"], case[0].lr_d * case[1], 1e-9) for mine, case in zip(seen, GROWN, strict=True)
            ),
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, lr_g=recipe.lr_g, lr_d=recipe.lr_d),
            "Batch, R1 and average are right. Both rates should grow with √c.",
            sign=lambda seen: wrong("lr_g")(seen) or wrong("lr_d")(seen),
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, gamma=recipe.gamma * c),
            "All five are right, but you changed something else as well. Begin with replace(recipe, …), and name only "
            "these five.",
            sign=lambda seen: not all(mine["kept"] for mine in seen),
        ),
    ),
    praise="The batch, R1, the average and the rates had to change. (Adam's β₂ is counted in steps as well; we left "
    "it.) What is a share of the training, as decay_from is, stays.",
)

# ---------------------------------------------------------------- 09.6

MACHINES = (  # a, b · B, V, L, δ, most: seconds, seconds, bytes, byte/s, seconds, ranks
    (0.010, 0.400, 4e6, 1e9, 1e-3, 64),
    (0.010, 0.040, 4e6, 1e9, 1e-4, 64),
    (0.001, 0.004, 40e6, 1e9, 1e-5, 64),
    (0.002, 1.000, 4e6, 1e12, 0.0, 16),
)
Cost = Callable[[int, float, float, float, float, float], float]


def time_with(N: int, a: float, work: float, V: float, L: float, delay: float) -> float:
    """Seconds of a step on N ranks: section 8 of the lesson."""
    return a + work / N + 2 * (N - 1) / N * V / L + 2 * (N - 1) * delay


def quickest(time: Cost = time_with) -> Callable:
    """Which number of ranks takes the least time, by this formula."""
    return lambda a, work, V, L, delay, most: min(range(1, most + 1), key=lambda N: time(N, a, work, V, L, delay))


RANKS = Exercise(
    id="09.6",
    title="how many ranks?",
    hints=(
        "Write t(N) as a function, from section 8, and try every N from 1 to the most there are.",
        "a is paid by every rank; the images are shared; the ring moves 2(N − 1)/N · V bytes and waits 2(N − 1) times.",
        "min(range(1, most + 1), key=t) gives the N at which t is smallest.",
    ),
    observe=Calls(*MACHINES),
    right=quickest(),
    mistakes=(
        Mistake(
            lambda a, work, V, L, delay, most: most,
            "You always take all there are. In three of the four cases some of them would only make the others wait.",
        ),
        Mistake(
            lambda a, work, V, L, delay, most: 1,
            "You always take one. Where the ring is cheap the images can be shared.",
        ),
        Mistake(
            quickest(lambda N, a, work, V, L, delay: a + work / N + 2 * (N - 1) / N * V / L),
            "The delay is missing: the ring takes 2(N − 1) hops, and each waits for δ.",
        ),
        Mistake(
            quickest(lambda N, a, work, V, L, delay: a + work / N + 2 * (N - 1) * (V / L + delay)),
            "In your ring each rank sends all of V 2(N − 1) times. A ring sends pieces of V/N: 2(N − 1)/N · V in all.",
        ),
        Mistake(
            quickest(lambda N, a, work, V, L, delay: a + work / N + 2 * (N - 1) * delay),
            "The bytes are missing: the ring moves 2(N − 1)/N · V over a link of L.",
        ),
        Mistake(
            quickest(lambda N, a, work, V, L, delay: time_with(N, a / N, work, V, L, delay)),
            "You share a as well. Adam's whole step and all calls are made by every rank.",
        ),
        Mistake(
            quickest(lambda N, a, work, V, L, delay: a + work / N + (N - 1) / N * V / L + (N - 1) * delay),
            "Your slopes go round once. They go round twice: to be added up, and to be handed out.",
        ),
        Mistake(
            lambda a, work, V, L, delay, most: min(time_with(N, a, work, V, L, delay) for N in range(1, most + 1)),
            "That is the shortest time. The question is for which N: min(…, key=…) gives the N itself.",
        ),
    ),
    praise="A faster device makes this number smaller, and a faster link makes it larger.",
)

EXERCISES = (ARITHMETIC, TURN, ACCUMULATE, NOISE, GROW, RANKS)
