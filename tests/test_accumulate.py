"""A batch worked through in parts gives what the whole batch gives."""

import copy

import pytest
import torch
from alike import ALIKE, BASE, POINTS, batch_norm, furthest, outcome, plane
from drawn import digits

from gantutor import cli, data, models
from gantutor.errors import BadInput
from gantutor.train import Recipe, Run


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("name", [name for name in ALIKE if name != "spectral norm"])
def test_the_result_is_that_of_the_whole_batch(name, parts):
    G, D, images, recipe = ALIKE[name]()
    if parts == 4 and name == "groups and packs":
        recipe = Recipe(batch_size=32, gamma=0.5)
    runs = [Run(copy.deepcopy(G), copy.deepcopy(D), images, recipe, seed=3, accumulate=k) for k in (1, parts)]
    whole, found = map(outcome, runs)
    for kind, net in (("G", G), ("D", D)):
        assert max((whole[f"{kind}.{k}"] - t).abs().max() for k, t in net.state_dict().items()) > 1e-3  # it has moved
    assert furthest(found, whole) < 1e-9
    a, b = (run.take_step() for run in runs)
    torch.testing.assert_close(b.real_logits, a.real_logits, rtol=0, atol=1e-9)
    torch.testing.assert_close(b.fake_logits, a.fake_logits, rtol=0, atol=1e-9)


def test_no_net_ever_sees_more_than_a_part():
    G, D = plane()
    run, seen = Run(G, D, POINTS, BASE, accumulate=4), {"G": set(), "D": set()}
    for name, net in (("G", run.G), ("D", run.D)):
        net.register_forward_hook(lambda _, inputs, __, name=name: seen[name].add(len(inputs[0])))
    list(run.steps(4))
    assert seen == {"G": {4}, "D": {4}}


@pytest.mark.parametrize("parts", [batch_norm, ALIKE["spectral norm"]], ids=["batch norm", "spectral norm"])
def test_nets_that_count_their_passes_end_nearby(parts):
    """Nearer than with another seed. Batch norm sees half a batch at a time; spectral norm takes twice the steps."""
    whole, halves, other = (outcome(Run(*parts(), seed=seed, accumulate=k)) for seed, k in ((3, 1), (3, 2), (4, 1)))
    names = [name for name in whole if name.startswith("G.") and "running" not in name and "tracked" not in name]

    def apart(a: dict, b: dict) -> float:
        return torch.cat([(a[name] - b[name]).flatten() for name in names]).norm().item()

    assert 1e-4 < apart(halves, whole) < 0.8 * apart(other, whole)


def test_batch_norm_counts_gs_parts_once_for_each_player():
    whole, halves = (outcome(Run(*batch_norm(), accumulate=k), 3)["G.net.1.num_batches_tracked"] for k in (1, 2))
    assert (whole, halves) == (3, 3 * 2 * 2)


class OwnTurn(Run):
    def g_step(self, real, fake, y=None):
        return super().g_step(real, self.generate(y), y)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(accumulate=3), "batch_size is 16, which is not divisible into 3 parts: choose a multiple of 3."),
        (dict(accumulate=0), "accumulate is 0: give a whole number, 1 or more."),
        (dict(accumulate=2, recipe=Recipe(batch_size=16, unroll=1)), "unroll is 1, and D's further steps need the"),
        (dict(accumulate=8, nets=dict(minibatch_std=4)), "groups of 4, and 8 parts of a batch of 16 would cut them"),
        (dict(accumulate=16, nets=dict(pack=2)), "in each of 16 parts, batch_size is 1, but D judges packs of 2"),
        (dict(accumulate=16, nets=dict(batch_norm=True)), "in each of 16 parts, batch_size is 1, and batch norm needs"),
        (dict(accumulate=2, kind=OwnTurn), "accumulate is 2, but this run has a g_step of its own: leave it out."),
    ],
)
def test_what_cannot_be_divided_is_refused_in_a_sentence(change, said):
    kind, recipe = change.get("kind", Run), change.get("recipe", BASE)
    with pytest.raises(BadInput) as error:
        kind(*plane(**change.get("nets", {})), POINTS, recipe, accumulate=change["accumulate"])
    assert said in str(error.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_steps_in_parts_are_not_recorded():
    G, D = models.mlp()
    points = torch.zeros(64, 1, 28, 28)
    assert not Run(G, D, points, device="cuda", accumulate=2).capture
    with pytest.raises(BadInput, match="accumulate is 2: such steps are not recorded"):
        Run(G, D, points, device="cuda", accumulate=2, capture=True)


def test_the_command_line_accumulates_and_goes_on_otherwise(tmp_path, monkeypatch, capsys):
    images = digits(200, 0, "strokes")
    monkeypatch.setattr(data, "load", lambda *args, **kwargs: images)
    line = f"train mlp --data strokes --steps 3 --device cpu --out {tmp_path / 'run'}"
    assert cli.main([*line.split(), "--accumulate", "4"]) == 0
    assert "batches in 4 parts" in capsys.readouterr().err
    assert cli.main([*line.replace("3", "5").split(), "--resume", "--accumulate", "2"]) == 0
    assert cli.main([*line.replace("run", "other").split(), "--accumulate", "3"]) == 2
    assert "batch_size is 64, which is not divisible into 3 parts" in capsys.readouterr().err
    assert cli.main([*line.replace("run", "other").split(), "--accumulate", "0"]) == 2
    assert "--accumulate is 0: give a whole number, 1 or more." in capsys.readouterr().err
