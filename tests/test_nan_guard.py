"""The watch for NaN and infinity: it stops, names the place where it was made to begin, and costs the run nothing."""

import copy
import re

import pytest
import torch
from torch import nn

from gantutor import losses, models, penalties
from gantutor.data import toy
from gantutor.errors import BadInput, Diverged
from gantutor.runs import nan_guard
from gantutor.scale import ensemble
from gantutor.train import Recipe, Run

POINTS = toy.ring().sample(64, seed=0)
RECIPE = Recipe(batch_size=8, penalty_every=2, ema_decay=0.9)
SIZES = {"shape": (2,), "latent_dim": 3, "g_hidden": (8, 6), "d_hidden": (8, 6), "output": "linear"}


class Bomb(nn.Module):
    """The identity, until its layer has been gone through so many times in training."""

    def __init__(self, at: int, value: float, backward: bool):
        super().__init__()
        self.at, self.value, self.backward = at, value, backward
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        if not (self.training and torch.is_grad_enabled()):
            return x
        self.count += 1
        if self.count < self.at:
            return x
        if self.backward:  # what comes through is unchanged, its slope is not
            x = x * 1
            x.register_hook(lambda slope: slope * self.value)
            return x
        return x * self.value


def mined(net: str, after: int, value: float, at: int, backward: bool = False) -> Run:
    """A run with a bomb behind the layer of that number in one of its nets."""
    G, D = models.mlp(**SIZES)
    layers = list((G if net == "G" else D).net)
    layers.insert(after + 1, Bomb(at, value, backward))
    (G if net == "G" else D).net = nn.Sequential(*layers)
    return Run(G, D, POINTS, RECIPE, seed=1)


def take(run, steps, every=100):
    return [step.index for step in nan_guard.watched(run, run.steps(steps), every)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("every", [1, 7, 100])
@pytest.mark.parametrize("at", [1, 4, 23])
def test_the_step_and_the_layer_where_it_began_are_named(at, every, value):
    """G is gone through once in each step, so the bomb goes off in step `at`. Behind it is the last layer."""
    run = mined("G", 2, value, at, backward=True)
    assert [name for name, _ in run.G.net.named_parameters()][:4] == ["0.weight", "1.weight", "1.bias", "4.weight"]
    word = "NaN" if value != value else "(NaN|infinite)"
    with pytest.raises(Diverged, match=rf"at step {at} the gradient of G's net.1.bias is {word}"):
        take(run, 60, every)


@pytest.mark.parametrize(("net", "after", "step"), [("G", 1, 5), ("G", 3, 5), ("D", 1, 2), ("D", 3, 2)])
def test_the_layer_that_gives_nan_is_named_with_its_net(net, after, step):
    """A NaN of G comes out in D's loss. G is gone through once a step, D three times, or four with the penalty."""
    run = mined(net, after, float("nan"), at=5)
    place = (
        rf"at step {step} {net}'s net.{after + 1} \(Bomb\) gives NaN and D's loss is NaN and the gradient of D's net"
    )
    with pytest.raises(Diverged, match=place):
        take(run, 60)
    assert not any(part._forward_hooks for part in (*run.G.modules(), *run.D.modules()))


def test_it_stops_within_one_interval_and_yields_no_broken_look():
    run = mined("G", 2, float("nan"), at=23, backward=True)
    steps = nan_guard.watched(run, run.steps(60), every=10)
    assert [next(steps).index for _ in range(29)] == list(range(1, 30))
    with pytest.raises(Diverged):
        next(steps)


def breaking(run, step, break_it):
    """Let something from outside break the run after one step, and only the first time that it is taken."""

    def take_step():
        taken = type(run).take_step(run)
        if taken.index == step:
            del run.take_step
            break_it()
        return taken

    run.take_step = take_step
    return run


def test_a_weight_is_named_and_the_member_of_an_ensemble():
    run = ensemble.Ensemble([models.mlp(seed=s, **SIZES) for s in range(3)], POINTS, RECIPE, seeds=0)
    weights = dict(run.D.net.named_parameters())["net.3.weight"].data
    breaking(run, 6, lambda: weights[2, 0, 1].fill_(float("inf")))
    with pytest.raises(Diverged, match=r"by step 6 D's net.3.weight is infinite in member 2"):
        take(run, 20, every=6)
    assert run.step == 0


def test_the_run_is_put_back_to_its_last_sound_state(monkeypatch):
    monkeypatch.setattr(nan_guard, "PAUSE", 0.0)
    monkeypatch.setattr(nan_guard, "SHARE", float("inf"))
    twin, run = mined("G", 2, float("nan"), at=23, backward=True), mined("G", 2, float("nan"), at=23, backward=True)
    for step in twin.steps(60):
        if step.index == 20:
            break
    with pytest.raises(Diverged, match="step 23"):
        take(run, 60, every=10)
    assert run.step == 20
    for name in ("G", "D", "G_ema"):
        for a, b in zip(getattr(run, name).parameters(), getattr(twin, name).parameters(), strict=True):
            assert torch.equal(a, b)
    assert torch.equal(run.take_step().d_loss, twin.take_step().d_loss)  # the same batch and noise, the same Adam


def test_what_comes_from_outside_is_told_as_that():
    run = Run(*models.mlp(**SIZES), POINTS, RECIPE)
    breaking(run, 10, lambda: run.G.net[0].weight.data[0, 0].fill_(float("nan")))
    with pytest.raises(Diverged, match=r"by step 10 G's net.0.weight is NaN. It does not come back") as caught:
        take(run, 20, every=10)
    assert "\n" not in str(caught.value)
    assert run.step == 0
    assert nan_guard.faults(run) == []


def test_an_infinite_gradient_between_two_looks_is_seen_in_what_adam_remembers():
    """Adam divides by its root, so the weight stays finite and never moves again: silent, but for the watch."""
    run = Run(*models.mlp(**SIZES), POINTS, RECIPE)
    list(run.steps(3))
    run.opt_d.state[run.D.net[1].weight]["exp_avg_sq"][0, 0] = float("inf")
    list(run.steps(3))
    assert all(p.isfinite().all() for p in run.D.parameters())
    watch = nan_guard.Watch(run)
    with pytest.raises(Diverged, match=r"the mean squared gradient of D's net.1.weight is infinite"):
        watch.look()


def test_a_running_statistic_counts_as_well():
    run = Run(*models.mlp(**SIZES), POINTS, RECIPE)
    watch = nan_guard.Watch(run)
    run.G.net[1].running_var[0] = float("nan")
    with pytest.raises(Diverged, match=r"G's net.1.running_var is NaN"):
        watch.look()


def test_large_but_finite_numbers_are_no_fault():
    run = Run(*models.mlp(**SIZES), POINTS, RECIPE)
    run.D.net[1].weight.data.fill_(3e38)  # its square is infinite
    nan_guard.Watch(run).look()


@pytest.mark.parametrize("recipe", [RECIPE, Recipe(batch_size=8, penalty=penalties.wgan_gp, d_steps=2, unroll=1)])
def test_a_healthy_run_is_what_it_is_without_the_watch(recipe, monkeypatch):
    plain, watched = (Run(*models.mlp(**SIZES), POINTS, recipe, seed=1) for _ in range(2))
    monkeypatch.setattr(nan_guard, "PAUSE", 0.0)
    monkeypatch.setattr(nan_guard, "SHARE", float("inf"))
    for a, b in zip(plain.steps(12), nan_guard.watched(watched, watched.steps(12), every=2), strict=True):
        assert a.index == b.index
        assert torch.equal(a.d_loss, b.d_loss)
        assert torch.equal(a.g_loss, b.g_loss)
    assert torch.equal(plain.sample(5), watched.sample(5))


def test_a_real_divergence_is_told():
    """Wasserstein without a penalty at an absurd rate."""
    recipe = Recipe(loss=losses.LOSSES["wasserstein"], penalty=None, batch_size=8, lr_d=1e30, lr_g=1e30)
    run = Run(*models.mlp(**SIZES), POINTS, recipe)
    start = copy.deepcopy(run.D.state_dict())
    with pytest.raises(Diverged, match=r"at step \d+ [DG]'s .*net\.\d\.\w+ is (NaN|infinite)") as caught:
        take(run, 200)
    step = int(re.search(r"at step (\d+)", str(caught.value))[1])
    assert all(torch.equal(a, b) for a, b in zip(start.values(), run.D.state_dict().values(), strict=True))
    for _ in range(step - 1):  # up to there all is finite
        run.take_step()
    assert nan_guard.faults(run) == []
    run.take_step()
    assert nan_guard.faults(run) != []


def test_every_is_a_number_of_steps():
    run = Run(*models.mlp(**SIZES), POINTS, RECIPE)
    with pytest.raises(BadInput, match="every is 0"):
        next(nan_guard.watched(run, run.steps(1), every=0))


def test_the_steps_that_are_taken_again_are_the_same_steps():
    """With learning rates that fall from the first step on."""
    run, seen = Run(*models.mlp(**SIZES), POINTS, Recipe(batch_size=8, decay_from=0.0)), []

    def take_step():
        step = Run.take_step(run)
        seen.append((step.index, step.d_loss.item(), step.g_loss.item()))
        if len(seen) == 9:  # the first time, and not the second
            run.D.net[1].weight.data[0].fill_(float("nan"))
        return step

    run.take_step = take_step
    with pytest.raises(Diverged, match="by step 9"):
        take(run, 20, every=9)
    assert len(seen) == 18
    assert seen[:9] == seen[9:]
