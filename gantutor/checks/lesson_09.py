"""Lesson 09: scaling up."""

import dataclasses
import math
from collections.abc import Callable
from typing import cast

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
    """The number of positions in the layer's output for one example."""
    return layer(torch.zeros(1, *shape))[0, 0].numel()


def places(layer: nn.Module, shape: tuple[int, ...]) -> int:
    """How many times each weight is used for one example."""
    return math.prod(shape[1:]) if isinstance(layer, nn.ConvTranspose2d) else places_out(layer, shape)


def multiply_adds(layer: nn.Module, shape: tuple[int, ...]) -> int:
    return cast(Tensor, layer.weight).numel() * places(layer, shape)


def without_groups(layer: nn.Module, shape: tuple[int, ...]) -> int:
    return multiply_adds(layer, shape) * getattr(layer, "groups", 1)


ARITHMETIC = Exercise(
    id="09.1",
    title="the arithmetic of a layer",
    hints=(
        "A dense layer uses each weight once. How often does a convolution use each weight?",
        "A convolution applies its kernels at each position of its output; a transposed one stamps them from each "
        "position of its input. layer(torch.zeros(1, *shape)) shows the size of the output.",
        "layer.weight.numel() times the number of positions: 1 for a dense layer, H · W of the output for a "
        "convolution, H · W of the input (shape[1] * shape[2]) for a transposed one.",
    ),
    observe=Calls(*LAYERS),
    right=multiply_adds,
    mistakes=(
        Mistake(
            lambda layer, shape: layer.weight.numel(),
            "That is the number of weights. A convolution uses each of them once per position.",
        ),
        Mistake(
            lambda layer, shape: 2 * multiply_adds(layer, shape),
            "Those are FLOPs. A multiply-add counts as one here.",
        ),
        Mistake(
            lambda layer, shape: layer.weight.numel() * places_out(layer, shape),
            "Right except for the transposed convolution: each number of its *input* stamps all kernels once. Where "
            "the stamps overlap, several are added.",
        ),
        Mistake(
            lambda layer, shape: layer.weight.numel() * math.prod(shape[1:]),
            "The transposed one is right. An ordinary convolution applies its kernels at the positions of its "
            "*output*, and a stride skips some.",
        ),
        Mistake(
            without_groups,
            "Right except for the last case: with groups=4 each kernel sees a quarter of the channels. The shape of "
            "layer.weight already takes that into account.",
        ),
        Mistake(
            lambda layer, shape: (layer.weight.numel() + layer.bias.numel()) * places(layer, shape),
            "You count the biases too. They are added but not multiplied, so we leave them out.",
        ),
    ),
    praise="With this one line you can compute the cost of a net of any size before you train it.",
)

# ---------------------------------------------------------------- 09.2

F_D, F_G = 10e6, 4e6  # multiply-adds of one image in a forward pass
GIGA = 2 * 64 / 1e9  # from the multiply-adds of one image to the GFLOP of a batch of 64

TURN = Exercise(
    id="09.2",
    title="a turn with two D steps",
    hints=(
        "Write down every pass: forward, gradient in the weights, gradient in the input. Each of them costs F.",
        "G generates fakes for each D step but learns once: 2 + 1 + 1. Each D step has two forward passes, each with "
        "gradients in weights and inputs: 6.",
        "In G's turn D has one forward pass and one backward pass, in the input only. So the sum is 4 F_G + 14 F_D; "
        "then times 2, and times 64.",
    ),
    observe=as_number,
    right=(4 * F_G + 14 * F_D) * GIGA,
    mistakes=(
        Mistake(
            (4 * F_G + 14 * F_D) * GIGA / 2,
            "Those are multiply-adds, in units of 10⁹. Each is two FLOPs.",
        ),
        Mistake((4 * F_G + 14 * F_D) * GIGA / 64, "That is for one image. The batch has 64."),
        Mistake((4 * F_G + 14 * F_D) * GIGA * 1e9, "The number is right in FLOPs. Give it in GFLOP, 10⁹ of them."),
        Mistake((3 * F_G + 8 * F_D) * GIGA, "That is a turn with one D step. Here there are two."),
        Mistake(
            (3 * F_G + 14 * F_D) * GIGA,
            "D's part is right. But each D step gets new fakes, which G has to generate.",
        ),
        Mistake(
            (4 * F_G + 15 * F_D) * GIGA,
            "Close: you count three for each of D's five passes. But in G's turn D is frozen, so its weights need no "
            "gradient.",
        ),
        Mistake(
            (6 * F_G + 15 * F_D) * GIGA,
            "You count three for each pass. But G learns from only one of its two passes, and in G's turn D's weights "
            "need no gradient.",
        ),
        Mistake(
            (4 * F_G + 13 * F_D) * GIGA,
            "G's part is right. In G's turn the gradient has to pass *through* D, from the logit to the pixels: a "
            "backward pass in addition to the forward pass.",
        ),
        Mistake(
            (3 * F_G + 3 * F_D) * GIGA,
            "That is one forward and one backward pass through each net. Count how often D sees a batch in such a "
            "turn.",
        ),
    ),
    otherwise="Not yet. Make a table: G and D; forward, gradient in the weights, gradient in the input. Section 1 of "
    "the lesson has it for one D step.",
    tolerance=1e-3,
    praise="D accounts for 90% of it, which is why the number of D steps is the most expensive setting of a recipe.",
)

# ---------------------------------------------------------------- 09.3

PARTS = (1, 4)


class Watched(nn.Module):
    """A linear net that records the size of each batch, and whether it already had gradients before each pass."""

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
    """How a linear net changes in one call, for each number of parts."""
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
    """The broken function of the task."""
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
    """Whether each part's backward pass was done before the next part's forward pass, so that its graph was freed."""
    return all(gradient > 0 for gradient in seen["gradients"][1:])


ACCUMULATE: Exercise = Exercise(
    id="09.3",
    title="accumulation, repaired",
    hints=(
        "backward() adds to the gradients that are already there. When must they be 0, and when not?",
        "You have four means over three examples each. Their sum is not the mean over twelve.",
        "Call zero_grad() once, before the loop; in the loop (loss(net(part)) / parts).backward(); and step() once, "
        "after it.",
    ),
    observe=accumulated,
    right=in_parts,
    accepts=accumulates,
    mistakes=(
        Mistake(
            without_step,
            "The net has not changed, because no step was made. optimizer.step() belongs after the loop.",
            sign=lambda seen: any(part is None or part["steps"] == 0 for part in seen),
        ),
        Mistake(
            hasty,
            "A step after each part amounts to training with small batches: four steps on three examples. You want one "
            "step.",
            sign=lambda seen: seen[1]["steps"] > 1,
        ),
        Mistake(
            at_once,
            "The step is right, but the net saw all examples at once, so no memory was saved.",
            sign=lambda seen: seen[1]["most"] > 12 // PARTS[1],
        ),
        Mistake(
            hoarding,
            "The step is right, but no part was finished before the next one began, so the graphs of all of them are "
            "in memory at once. Call backward() for each part.",
            sign=lambda seen: not frees(seen[1]) and same(seen[1]["moved"], ACCUMULATE.expected()[1]["moved"], 1e-4),
        ),
        Mistake(
            forgetful,
            "It still does what the broken function does: zero_grad() discards the gradients of the earlier parts, so "
            "only the last part counts, as if it were the whole batch.",
            sign=lambda seen: same(seen, ACCUMULATE.expected(4), 1e-4),
        ),
        Mistake(
            forgetful_mean,
            "You divide by the number of parts now. But the gradients are still set to 0 in the loop, so only the last "
            "part counts.",
            sign=lambda seen: same(seen, ACCUMULATE.expected(5), 1e-4),
        ),
        Mistake(
            summed,
            "The gradients add up now, but to *four times* the right value, because each part's loss is a mean over "
            "its own three examples.",
            sign=lambda seen: same(seen, ACCUMULATE.expected(6), 1e-4),
        ),
        Mistake(
            never_cleared,
            "The gradients of an earlier step were still there and were counted again. Set them to 0 once, at the "
            "start.",
            sign=lambda seen: same(seen, ACCUMULATE.expected(7), 1e-4),
        ),
    ),
    otherwise="The step is not that of the whole batch. Work two parts out by hand: what should .grad contain after "
    "the first, and after the second?",
    praise="This is the step of the whole batch with never more than one part in memory, as in Run(accumulate=4).",
)

# ---------------------------------------------------------------- 09.4

MEANS = (5.0, 2.0, 16, 64), (9.0, 3.0, 10, 100), (10.0, 0.9, 10, 100)


def noise_of(small: float, large: float, b: int, B: int) -> float:
    """tr Σ from E‖g‖² at two batch sizes."""
    return (small - large) / (1 / b - 1 / B)


def signal_of(small: float, large: float, b: int, B: int) -> float:
    """‖ḡ‖² from E‖g‖² at two batch sizes."""
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
            "Right where S is positive. In the last case S comes out negative, which a square cannot be: the signal "
            "was too small to measure. Return math.inf there.",
        ),
        Mistake(
            lambda small, large, b, B: noise_of(small, large, b, B) / large,
            "T is right. But the larger batch contains noise too: its mean square is S + T/B, not S.",
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
            "That is the reciprocal: the noise scale is noise over signal, T / S.",
        ),
        Mistake(
            lambda small, large, b, B: b * small / large,
            "That treats the small batch as pure noise and the large one as pure signal. Each contains both: solve the "
            "two equations.",
        ),
        Mistake(
            lambda small, large, b, B: (
                (small - large) / (B - b) / signal_of(small, large, b, B)
                if signal_of(small, large, b, B) > 0
                else math.inf
            ),
            "S is right. The noise falls as 1/B, so the difference of the two is T · (1/b − 1/B).",
        ),
    ),
    praise="So measurements at two batch sizes predict up to which batch size a larger batch pays off. Average the "
    "squares over many batches, because a single pair is mostly noise.",
)

# ---------------------------------------------------------------- 09.5

ONE = train.Recipe()
TWO = train.Recipe(batch_size=32, ema_decay=0.9, penalty_every=8, lr_g=4e-3, lr_d=2e-3)
GROWN = (ONE, 4), (ONE, 16), (TWO, 4)


class RecipeCalls(Calls):
    """Observe a function that returns a recipe: the fields that it may change, and whether it kept all others."""

    FIELDS = ("batch_size", "penalty_every", "ema_decay", "lr_g", "lr_d")

    def result(self, answer: Callable, case: tuple) -> dict | None:
        made = super().result(answer, case)
        if made is None:
            return None
        if not isinstance(made, train.Recipe):
            raise BadInput(f"the function returns {brief(made)}: return a train.Recipe, made with dataclasses.replace.")
        kept = dataclasses.replace(made, **{name: getattr(case[0], name) for name in self.FIELDS}) == case[0]
        return {name: getattr(made, name) for name in self.FIELDS} | {"kept": kept}


def grown(recipe: train.Recipe, c: int, **other: object) -> train.Recipe:
    """The recipe for c times the batch size with the same effect per image; `other` fields take their own values."""
    changes = {
        "batch_size": c * recipe.batch_size,
        "penalty_every": recipe.penalty_every // c or 1,
        "ema_decay": recipe.ema_decay**c,
        "lr_g": recipe.lr_g * c**0.5,
        "lr_d": recipe.lr_d * c**0.5,
    }
    return dataclasses.replace(recipe, **changes | other)


def wrong(name: str) -> Callable:
    """A function: seen -> whether this field is wrong in any case."""
    return lambda seen: any(not same(a[name], b[name], 1e-6) for a, b in zip(seen, GROW.expected(), strict=True))


GROW = Exercise(
    id="09.5",
    title="the same recipe at a larger batch",
    hints=(
        "One step of the large batch sees as many images as c steps of the small one. What happens in c steps?",
        "In c steps the moving average keeps aᶜ of its old value, and c/16 penalties are applied.",
        "Use replace with batch_size=c·B, ema_decay=a**c, penalty_every=every // c but at least 1, and both learning "
        "rates times √c.",
    ),
    observe=RecipeCalls(*GROWN),
    right=grown,
    tolerance=1e-6,
    mistakes=(
        Mistake(
            lambda recipe, c: grown(recipe, c, batch_size=recipe.batch_size),
            "The batch size itself has not changed: it should be c times as large.",
            sign=wrong("batch_size"),
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, penalty_every=recipe.penalty_every),
            "R1 still comes after the same number of *steps*, so per image it has become c times as rare.",
            sign=lambda seen: all(
                mine["penalty_every"] == case[0].penalty_every for mine, case in zip(seen, GROWN, strict=True)
            ),
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, penalty_every=recipe.penalty_every * c),
            "R1 should come after as many images as before. A step now has c times as many, so R1 comes after *fewer* "
            "steps, but after at least one.",
            sign=wrong("penalty_every"),
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, ema_decay=recipe.ema_decay),
            "The moving average keeps the same share in each step, but a step has c times as many images, so the "
            "average reaches c times as far back.",
            sign=lambda seen: all(
                same(mine["ema_decay"], case[0].ema_decay, 1e-9) for mine, case in zip(seen, GROWN, strict=True)
            ),
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, ema_decay=recipe.ema_decay ** (1 / c)),
            "The moving average now reaches even *further* back, by c² in images. One large step must forget as much "
            "as c small ones.",
            sign=lambda seen: seen[0]["ema_decay"] > ONE.ema_decay,
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, ema_decay=max(0.0, 1 - c * (1 - recipe.ema_decay))),
            "The moving average is not right yet. What c steps keep is a · a · … · a. (1 − c(1 − a) is close to that "
            "while a is near 1, but not exact.)",
            sign=wrong("ema_decay"),
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, lr_g=recipe.lr_g * c, lr_d=recipe.lr_d * c),
            "Learning rates c times as large are the rule for plain gradient descent. Adam divides by the size of the "
            "gradient: take √c.",
            sign=lambda seen: all(
                same(mine["lr_d"], case[0].lr_d * case[1], 1e-9) for mine, case in zip(seen, GROWN, strict=True)
            ),
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, lr_g=recipe.lr_g, lr_d=recipe.lr_d),
            "Batch size, R1 and moving average are right. Both learning rates should grow by √c.",
            sign=lambda seen: wrong("lr_g")(seen) or wrong("lr_d")(seen),
        ),
        Mistake(
            lambda recipe, c: grown(recipe, c, gamma=recipe.gamma * c),
            "All five fields are right, but you changed something else as well. Begin with replace(recipe, …) and name "
            "only these five.",
            sign=lambda seen: not all(mine["kept"] for mine in seen),
        ),
    ),
    praise="The batch size, R1, the moving average and the learning rates had to change. (Adam's β₂ is counted in "
    "steps as well; we left it.) A share of the training, such as decay_from, stays the same.",
)

# ---------------------------------------------------------------- 09.6

MACHINES = (  # a (s), b · B (s), V (bytes), L (bytes/s), δ (s), most (ranks)
    (0.010, 0.400, 4e6, 1e9, 1e-3, 64),
    (0.010, 0.040, 4e6, 1e9, 1e-4, 64),
    (0.001, 0.004, 40e6, 1e9, 1e-5, 64),
    (0.002, 1.000, 4e6, 1e12, 0.0, 16),
)
Cost = Callable[[int, float, float, float, float, float], float]


def time_with(N: int, a: float, work: float, V: float, L: float, delay: float) -> float:
    """Seconds for a step on N ranks, as in section 8 of the lesson."""
    return a + work / N + 2 * (N - 1) / N * V / L + 2 * (N - 1) * delay


def quickest(time: Cost = time_with) -> Callable:
    """A function that finds the number of ranks with the least time by this formula."""
    return lambda a, work, V, L, delay, most: min(range(1, most + 1), key=lambda N: time(N, a, work, V, L, delay))


RANKS = Exercise(
    id="09.6",
    title="how many ranks?",
    hints=(
        "Write t(N) from section 8 as a function, and try every N from 1 to most.",
        "Every rank needs the time a; the images are divided among the ranks; the ring moves 2(N − 1)/N · V bytes and "
        "waits 2(N − 1) times.",
        "min(range(1, most + 1), key=t) gives the N at which t is smallest.",
    ),
    observe=Calls(*MACHINES),
    right=quickest(),
    mistakes=(
        Mistake(
            lambda a, work, V, L, delay, most: most,
            "You always take all ranks. In three of the four cases some of them would only make the others wait.",
        ),
        Mistake(
            lambda a, work, V, L, delay, most: 1,
            "You always take one rank. Where communication is cheap it pays to divide the images among several.",
        ),
        Mistake(
            quickest(lambda N, a, work, V, L, delay: a + work / N + 2 * (N - 1) / N * V / L),
            "The delay is missing: the ring takes 2(N − 1) hops, and each costs δ.",
        ),
        Mistake(
            quickest(lambda N, a, work, V, L, delay: a + work / N + 2 * (N - 1) * (V / L + delay)),
            "In your formula each rank sends all V bytes 2(N − 1) times. A ring sends pieces of V/N, so 2(N − 1)/N · V "
            "in total.",
        ),
        Mistake(
            quickest(lambda N, a, work, V, L, delay: a + work / N + 2 * (N - 1) * delay),
            "The transfer is missing: the ring moves 2(N − 1)/N · V bytes over a link of L bytes per second.",
        ),
        Mistake(
            quickest(lambda N, a, work, V, L, delay: time_with(N, a / N, work, V, L, delay)),
            "You divide a among the ranks as well. But every rank performs the whole Adam step and all the calls.",
        ),
        Mistake(
            quickest(lambda N, a, work, V, L, delay: a + work / N + (N - 1) / N * V / L + (N - 1) * delay),
            "Your gradients go round the ring once. They go round twice: once to be added up, and once to be "
            "distributed.",
        ),
        Mistake(
            lambda a, work, V, L, delay, most: min(time_with(N, a, work, V, L, delay) for N in range(1, most + 1)),
            "That is the shortest time. The question is which N achieves it: min(…, key=…) returns the N itself.",
        ),
    ),
    praise="A faster device lowers the best number of ranks, and a faster link raises it.",
)

EXERCISES = (ARITHMETIC, TURN, ACCUMULATE, NOISE, GROW, RANKS)
