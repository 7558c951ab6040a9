"""Lesson 06: bringing the variety back."""

import dataclasses
import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gantutor import losses, metrics, models, penalties, train
from gantutor.checks.exercise import Calls, Exercise, Mistake, as_array, as_number, blank, check_callable, same
from gantutor.data import toy
from gantutor.errors import BadInput
from gantutor.scale import ensemble


def fixed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- 06.1

PACKS = Exercise(
    id="06.1",
    title="what packs of three give away",
    hints=(
        "Here TV = ½. For dropped modes, packs of m have 1 − (1 − TV)^m: section 2 of the lesson.",
        "The best D that sees one of two distributions is right with probability ½(1 + TV).",
        "TV is 1 − ½³ = 7/8 for packs of three. Put that into ½(1 + TV).",
    ),
    observe=as_number,
    right=15 / 16,
    mistakes=(
        Mistake(
            7 / 8, "That is the total variation of the packs. How often is a D right that can only guess at TV = 0?"
        ),
        Mistake(3 / 4, "That is how often D is right with single points. A pack of three gives more away."),
        Mistake(
            9 / 16,
            "That would be ½(1 + TV³): packs would hide the fault. A pack of real points gives itself away if *any* of "
            "the three lies where G never goes.",
        ),
        Mistake(1.0, "Some packs of real points lie wholly in the modes that G has. There D can be wrong."),
        Mistake(93.75, "The number is right as a percentage. Write it as a probability, from 0 to 1."),
    ),
    otherwise="Not that. First the TV of the packs, then the share that the best D gets right.",
    tolerance=3e-3,
    praise="From 75% to almost 94%, by a reshape. A missing mode is what packs make dear.",
)

# ---------------------------------------------------------------- 06.2


def steep_d(shape: tuple[int, ...]) -> nn.Module:
    """A D with slopes large enough to be measured."""
    D = models.mlp(shape, d_hidden=(16,), seed=3)[1]
    with torch.no_grad():
        for weight in D.parameters():
            weight.mul_(4)
    return D


def penalty_and_gradients(answer: Callable) -> tuple | None:
    """The penalty of a D for points and of one for images, each with its slope in the weights of D."""
    check_callable(answer)
    shapes = (2,), (1, 4, 4)
    seen = tuple(
        value_and_gradient(answer, steep_d(shape), torch.randn(6, *shape, generator=fixed(0))) for shape in shapes
    )
    return None if blank(seen) else seen


def value_and_gradient(answer: Callable, D: nn.Module, x: Tensor) -> tuple | None:
    value = answer(D, x)
    if value is None:
        return None
    if not isinstance(value, Tensor) or value.ndim:
        raise BadInput(
            "give back a tensor without dimensions, one for the whole batch: D must be able to learn from it."
        )
    slopes = torch.autograd.grad(value, list(D.parameters()), allow_unused=True) if value.requires_grad else []
    slopes = [slope.flatten() for slope in slopes if slope is not None]
    return value.detach(), torch.cat(slopes) if slopes else "nothing"


def r1_with(
    total: Callable = torch.sum, graph: bool = True, size: Callable = lambda slope: slope.flatten(1).square().sum(1) / 2
) -> Callable:
    """R1 with what can go wrong in it: over what the logits are summed, whether D can learn, what is charged."""

    def penalty(D: nn.Module, x: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(total(D(x)), x, create_graph=graph)
        return size(slope).mean()

    return penalty


R1 = Exercise(
    id="06.2",
    title="R1, repaired",
    hints=(
        "Each example has a slope of its own. What happens to it when you divide by the batch size first?",
        "The penalty itself will be differentiated, in D's weights. Which argument of autograd.grad allows that?",
        "Sum the logits, keep the graph with create_graph=True, and charge ½ of the sum of *squares* over all "
        "dimensions but the first.",
    ),
    observe=penalty_and_gradients,
    right=lambda D, x: penalties.r1(D, x, x),
    mistakes=(
        Mistake(
            r1_with(torch.mean, False, lambda slope: slope.norm(dim=1) / 2),
            "It still does what the broken one does. Begin with the value for a D that is w·x: it should be ½‖w‖².",
        ),
        Mistake(
            r1_with(graph=False),
            "The value is right, but D learns nothing from it: the graph was not kept, and the penalty is a constant.",
        ),
        Mistake(
            r1_with(torch.mean),
            "Too small by the square of the batch size: the mean divides each slope. Every example has its own.",
        ),
        Mistake(
            r1_with(size=lambda slope: slope.flatten(1).norm(dim=1) / 2),
            "You charge the length. R1 charges its square: steep places pay far more than flat ones.",
        ),
        Mistake(r1_with(size=lambda slope: slope.flatten(1).square().sum(1)), "Twice too large: R1 has a ½ in front."),
        Mistake(
            r1_with(size=lambda slope: slope.square().sum(1) / 2),
            "Right for points, not for images: which axes belong to one example?",
            sign=lambda seen: same(seen[0], R1.expected()[0], R1.tolerance),
        ),
        Mistake(
            r1_with(graph=False, size=lambda slope: slope.flatten(1).norm(dim=1) / 2),
            "D learns nothing from it: the graph was not kept. And the value is not right yet.",
            sign=lambda seen: any(part is not None and isinstance(part[1], str) for part in seen),
        ),
    ),
    otherwise="The value, or its slope in D's weights, is not that of R1. Try a D that is w·x: it gives ½‖w‖².",
    praise="It is penalties.r1. A penalty without create_graph is printed, plotted, paid for, and never felt.",
)

# ---------------------------------------------------------------- 06.3

SHEETS = torch.randn(8, 3, 2, 2, generator=fixed(1))
SHEETS[4:] *= 3  # the second half is spread more widely


def with_std_channel(h: Tensor, group: int) -> Tensor:
    """The package's own."""
    return models.MinibatchStd(group)(h)


def std_channel_by(over: Callable[[Tensor], Tensor]) -> Callable:
    """Append what `over` makes of each group of features (G, C, H, W)."""

    def layer(h: Tensor, group: int) -> Tensor:
        parts = [torch.cat([part, over(part).expand(len(part), 1, *h.shape[2:])], 1) for part in h.split(group)]
        return torch.cat(parts)

    return layer


def std(x: Tensor, axis: int = 0, correction: int = 0, least: float = 1e-8) -> Tensor:
    return (x.var(axis, keepdim=True, correction=correction) + least).sqrt()


def interleaved(h: Tensor, group: int) -> Tensor:
    order = torch.arange(len(h)).view(group, -1).T.flatten()
    return with_std_channel(h[order], group)[order.argsort()]


def std_layer_facts(answer: Callable) -> dict[str, object] | None:
    """What the layer gives, the slope of its last channel, and whether it is finite where all members are the same."""
    values = Calls((SHEETS, 4), (SHEETS, 2))(answer)
    if blank(values):
        return None
    if any(not isinstance(out, Tensor) or out.shape != (8, 4, 2, 2) for out in values):
        return {"shaped": False}
    return {
        "shaped": True,
        "kept": all(same(out[:, :-1], SHEETS, 1e-4) for out in values),
        "last": [out[:, -1] for out in values],
        "slope": gradient_of_last(answer, SHEETS),
        "finite": bool(gradient_of_last(answer, torch.ones(4, 3, 2, 2)).isfinite().all()),
    }


def gradient_of_last(answer: Callable, h: Tensor) -> Tensor:
    """The slope of the last channel in h (B, C, H, W), in groups of four; 0 where nothing flows."""
    h = h.clone().requires_grad_()
    out = answer(h, 4)
    if not isinstance(out, Tensor) or not out.requires_grad:
        raise BadInput("give back a tensor that is computed from h: D learns through this layer.")
    return torch.autograd.grad(out[:, -1].sum(), h)[0]


SPREAD = Exercise(
    id="06.3",
    title="minibatch standard deviation for images",
    hints=(
        "h.split(group) gives the groups. Over which axis do the members of a group differ?",
        "Standard deviation over axis 0 of the group, correction=0: (C, H, W). Then one mean over all of it.",
        "s = (part.var(0, correction=0) + 1e-8).sqrt().mean(), then s.expand(len(part), 1, H, W) beside the features.",
    ),
    observe=std_layer_facts,
    right=with_std_channel,
    mistakes=(
        Mistake(
            lambda h, group: with_std_channel(h, len(h)),
            "You compare the whole batch. Each group of consecutive examples has a number of its own.",
        ),
        Mistake(
            interleaved,
            "Your groups take every so-many-th example. Here a group is consecutive: the first ones, then the next.",
        ),
        Mistake(
            std_channel_by(lambda part: std(part, correction=1).mean()),
            "Close: you divide by the group's size less one. The layer divides by its size (correction=0).",
        ),
        Mistake(
            std_channel_by(lambda part: std(part, axis=1).mean()),
            "You measure how much the channels of one example differ. The question is how much the examples do.",
        ),
        Mistake(
            std_channel_by(lambda part: std(part).mean(1, keepdim=True)),
            "You give each place in the image its own number. One number serves the whole group: average over places "
            "as well.",
        ),
        Mistake(
            std_channel_by(lambda part: std(part, least=0.0).mean()),
            "The values are right. But where all members are the same, √ has no slope: NaN, in the very case this "
            "layer is for. Add a little under the root.",
        ),
        Mistake(
            std_channel_by(lambda part: (part.var(0, correction=0) + 1e-8).mean()),
            "That is the mean variance. Take the root of each before you average.",
        ),
        Mistake(
            std_channel_by(lambda part: std(part).mean().detach()),
            "The values are right, but s is cut off from h: D and G cannot learn from it. Keep it a tensor; no "
            "float(), item() or detach().",
        ),
        Mistake(
            lambda h, group: with_std_channel(h, group)[:, -1:],
            "The shape should be (B, C + 1, H, W), the last channel the same number for a whole group.",
            sign=lambda seen: not seen["shaped"],
        ),
        Mistake(
            lambda h, group: with_std_channel(h, group).roll(1, 1),
            "The first C channels should be h as it was, and the new one comes behind them.",
            sign=lambda seen: not seen["kept"],
        ),
    ),
    otherwise="The shape is right, the number is not. First the deviation over the members, for each feature at each "
    "place; then the mean of these.",
    praise="It is models.MinibatchStd, as it stands before the last layers of a convolutional D.",
)

# ---------------------------------------------------------------- 06.4

REAL = torch.tensor([2.0, -1.0, 0.5, 100.0])
FAKE = torch.tensor([-1.0, 1.5, 0.5, -100.0])


def pair_gradient(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """By autograd, from the package's loss."""
    fake_logits = fake_logits.clone().requires_grad_()
    return torch.autograd.grad(losses.RELATIVISTIC.g(real_logits, fake_logits), fake_logits)[0]


PAIR_GRADIENT = Exercise(
    id="06.4",
    title="what G hears from a pair",
    hints=(
        "The i-th fake occurs in one term only, softplus(r − f). The slope of softplus(t) is σ(t).",
        "The derivative of r − f in f is −1, and the mean over the batch divides by B.",
        "−torch.sigmoid(real_logits − fake_logits) / len(fake_logits).",
    ),
    observe=Calls((REAL[:2], FAKE[:2]), (REAL, FAKE), (FAKE, REAL)),
    right=pair_gradient,
    mistakes=(
        Mistake(
            lambda r, f: torch.sigmoid(r - f) / len(f),
            "The size is right, the sign is not. The loss falls when the logit of a fake rises.",
        ),
        Mistake(
            lambda r, f: -torch.sigmoid(f - r) / len(f),
            "This pair is turned round: you push hardest where the fake already looks more real than its partner.",
        ),
        Mistake(
            lambda r, f: -torch.sigmoid(-f) / len(f),
            "That is the non-saturating loss: each fake is judged alone. Here the logit of its partner counts too.",
        ),
        Mistake(
            lambda r, f: -torch.sigmoid(r - f),
            "The slope of each term is right. The loss is the mean of them: each counts for 1/B.",
        ),
        Mistake(
            lambda r, f: -torch.sigmoid(r.mean() - f) / len(f),
            "You compare each fake with the mean of the real ones. In this loss the i-th fake has one partner, the "
            "i-th real.",
        ),
        Mistake(
            lambda r, f: -(r - f).exp() / (1 + (r - f).exp()) / len(f),
            "Right for small logits. For a difference of 200 it is infinity over infinity: use torch.sigmoid.",
        ),
    ),
    praise="A fake is left in peace once it looks more real than its partner, wherever the two logits stand.",
)

# ---------------------------------------------------------------- 06.5

ADVERSARIAL, CHARGE = 1.5, 3.0
LAZINESS = (0.5, 4), (2.0, 16), (0.1, 1)  # γ, every


def cost_and_charge(answer: Callable) -> tuple | None:
    """For each γ and laziness, over 32 steps: how often the penalty was computed, and what D was charged on average."""
    check_callable(answer)
    seen = tuple(charged_over(answer, gamma, every) for gamma, every in LAZINESS)
    return None if blank(seen) else seen


def charged_over(answer: Callable, gamma: float, every: int, steps: int = 32) -> dict[str, float] | None:
    calls = []

    def penalty() -> Tensor:
        calls.append(1)
        return torch.tensor(CHARGE)

    totals = [answer(step, torch.tensor(ADVERSARIAL), penalty, gamma, every) for step in range(steps)]
    if blank(totals):
        return None
    totals = [as_array(total) for total in totals]
    if any(total is None or total.size != 1 for total in totals):
        raise BadInput("give back one number in each step: what D minimises in it.")
    return {"computed": len(calls), "charged": sum(total.item() for total in totals) / steps - ADVERSARIAL}


def busy_and_weak(step: int, loss: Tensor, penalty: Callable, gamma: float, every: int) -> Tensor:
    """The broken one of the task."""
    charge = gamma * penalty()
    return loss if step % every else loss + charge


LAZY = Exercise(
    id="06.5",
    title="a penalty that is lazy, repaired",
    hints=(
        "Count how often penalty() is called in 32 steps. Laziness should save exactly that.",
        "The penalty comes in one step of every `every`. How strong must it be, so that D pays as much on average?",
        "if step % every == 0: return loss + gamma * every * penalty(). Otherwise return loss, and do not call it.",
    ),
    observe=cost_and_charge,
    right=lambda step, loss, penalty, gamma, every: loss if step % every else loss + gamma * every * penalty(),
    mistakes=(
        Mistake(
            busy_and_weak,
            "It still does what the broken one does: it pays for the penalty in every step, and charges too little.",
        ),
        Mistake(
            lambda step, loss, penalty, gamma, every: loss if step % every else loss + gamma * penalty(),
            "The time is saved. But D pays less than it should: a sixteenth, where the penalty comes every 16th step.",
        ),
        Mistake(
            lambda step, loss, penalty, gamma, every: loss + (step % every == 0) * gamma * every * penalty(),
            "D pays the right amount on average, but the penalty is computed in every step: nothing is saved.",
        ),
        Mistake(
            lambda step, loss, penalty, gamma, every: loss + gamma * every * penalty() if step % every else loss,
            "The condition is turned round: step % every is 0 in the steps that you want, and 0 counts as false.",
        ),
        Mistake(
            lambda step, loss, penalty, gamma, every: loss if step % every else loss + gamma / every * penalty(),
            "A penalty that comes rarely must be stronger, not weaker, to weigh as much on average.",
        ),
        Mistake(
            lambda step, loss, penalty, gamma, every: loss if step % every else gamma * every * penalty(),
            "In the steps with a penalty D has lost its own loss. The penalty is added to it.",
        ),
    ),
    otherwise="Count two things over 32 steps: how often penalty() is called, and what D pays beyond its loss, on "
    "average. They should be 32 / every, and γ times the penalty.",
    praise="As strong on average, at a fraction of the price. Section 10 of the lesson shows when that goes wrong.",
)

# ---------------------------------------------------------------- 06.6

RING = toy.ring(std=0.05)
BUDGET, SEEDS, GOOD = 200, 3, 0.20  # of high quality: twice what a cloud without any shape gets
SLOW = train.Recipe(lr_g=1e-3, lr_d=2e-4, betas=(0.5, 0.999), penalty=None, ema_decay=0.0, decay_from=1.0)


def d_steps_per_step(recipe: train.Recipe) -> int:
    """What a step costs, in steps of D: those it makes, and two for each one that G looks ahead."""
    return recipe.d_steps + 2 * recipe.unroll


def trained(recipe: train.Recipe) -> Tensor:
    """Points (3, 1000, 2) of three GANs on the ring, each after as many steps as the budget of 200 D steps pays for.

    Three seeds; nets with 2 × 64 units, as in section 7 of lesson 06. Raises `BadInput` for what costs more.
    """
    if not isinstance(recipe, train.Recipe):
        raise BadInput("hand in a train.Recipe, such as train.Recipe(lr_d=1e-3).")
    if recipe.batch_size > 64:
        raise BadInput(f"the batch_size is {recipe.batch_size}: all must do with 64.")
    if d_steps_per_step(recipe) > BUDGET:
        raise BadInput(f"one step of this recipe costs {d_steps_per_step(recipe)} D steps, and the budget is {BUDGET}.")
    return _trained(dataclasses.replace(recipe, betas=tuple(recipe.betas)))


@functools.lru_cache(maxsize=4)  # the picture and the check ask for the same
def _trained(recipe: train.Recipe) -> Tensor:
    pairs = [models.mlp((2,), 2, (64, 64), (64, 64), False, "linear", 2 * seed) for seed in range(SEEDS)]
    run = ensemble.Ensemble(pairs, RING.sample(20_000, 0), recipe, seeds=0)
    for _ in run.steps(BUDGET // d_steps_per_step(recipe)):
        pass
    return run.sample(1000)


def worst(points: Tensor) -> tuple[int, float]:
    """Modes, and share of high quality, each of the worst seed."""
    found = [metrics.mixture_coverage(cloud, RING) for cloud in points.nan_to_num(1e6, 1e6, -1e6)]
    return min(c.modes for c in found), min(c.high_quality for c in found)


def ring_coverage(answer: object) -> dict[str, object]:
    modes, good = worst(trained(answer))
    return {"modes": modes, "good": good, "recipe": answer}


QUICK = train.Recipe(lr_g=3e-3, lr_d=3e-3, betas=(0.0, 0.99), gamma=0.1, penalty_every=1, ema_decay=0.0, decay_from=0.5)

COVER = Exercise(
    id="06.6",
    title="cover the ring in 200 steps of D",
    hints=(
        "Which trouble has the recipe you start from? D is late, and the players circle. Cure both.",
        "A D as fast as G; no momentum; R1 in every step with a small gamma. In so few steps the rates may be higher.",
        "Both rates at 3e-3, betas=(0.0, 0.99), penalties.r1 with gamma=0.1 and penalty_every=1, decay_from=0.5.",
    ),
    observe=ring_coverage,
    right=QUICK,
    accepts=lambda seen: seen["modes"] == len(RING) and seen["good"] >= GOOD,
    mistakes=(
        Mistake(
            dataclasses.replace(QUICK, d_steps=5),
            "The D steps go into pace or foresight, and few steps are left for G. A larger lr_d costs nothing.",
            sign=lambda seen: d_steps_per_step(seen["recipe"]) > 2,
        ),
        Mistake(
            SLOW,
            "D learns at less than half of G's rate: it comes too late. Section 7 has what makes up for it, but here "
            "the simplest is to let D keep pace.",
            sign=lambda seen: seen["recipe"].lr_d * seen["recipe"].d_steps < seen["recipe"].lr_g / 2,
        ),
        Mistake(
            dataclasses.replace(QUICK, betas=(0.5, 0.99)),
            "Momentum is still on (β₁ above 0). In lesson 01 it threw the players outwards: see what changes without "
            "it. Or is D still too slow?",
            sign=lambda seen: seen["recipe"].betas[0] > 0,
        ),
        Mistake(
            dataclasses.replace(QUICK, lr_g=3e-4, lr_d=3e-4),
            "With such rates 200 steps lead nowhere. Raise both.",
            sign=lambda seen: max(seen["recipe"].lr_g, seen["recipe"].lr_d) < 1e-3,
        ),
        Mistake(
            dataclasses.replace(QUICK, lr_g=0.3, lr_d=0.3),
            "Such steps throw the nets about: each one jumps over what the last one found. Lower the rates.",
            sign=lambda seen: max(seen["recipe"].lr_g, seen["recipe"].lr_d) > 0.01,
        ),
        Mistake(
            dataclasses.replace(SLOW, lr_d=1e-3, betas=(0.0, 0.999)),
            "D keeps pace and there is no momentum, but nothing stops the circling. Which penalty does?",
            sign=lambda seen: seen["recipe"].penalty is None or seen["recipe"].gamma == 0,
        ),
    ),
    otherwise="Not in every seed. Look at the picture: is a mode missing, or are the points not yet in the modes? Vary "
    "one thing at a time: the rates, gamma, how often the penalty comes, when the rates fall.",
    praise="All eight modes in each of three seeds, by ordinary means. With the first recipe the same nets collapsed.",
)

EXERCISES = (PACKS, R1, SPREAD, PAIR_GRADIENT, LAZY, COVER)
