import dataclasses
import os
import pickle

import pytest
import torch
from torch import nn

from gantutor import checkpoint, losses, models, penalties, toy
from gantutor.errors import BadInput
from gantutor.train import Recipe, Run

POINTS = toy.ring().sample(64, seed=0)
RECIPE = Recipe(batch_size=8, penalty=penalties.wgan_gp, penalty_every=3, average=0.9, decay_from=1.0)


def trained(steps=4, recipe=RECIPE, **sizes):
    sizes = dict(shape=(2,), latent_dim=3, g_hidden=(16,), d_hidden=(16,), output="linear") | sizes
    run = Run(*models.mlp(**sizes), POINTS, recipe, seed=1)
    list(run.steps(steps))
    return run


def test_a_loaded_run_goes_on_bit_for_bit(tmp_path):
    run = trained()
    checkpoint.save(run, tmp_path)
    again = checkpoint.load(tmp_path, POINTS)
    assert again.recipe == run.recipe
    assert again.step == 4
    for a, b in zip(run.steps(4), again.steps(4), strict=True):
        assert a.index == b.index
        assert torch.equal(a.d_loss, b.d_loss)
    for name in ("G", "D", "G_average"):
        for a, b in zip(
            getattr(run, name).state_dict().values(), getattr(again, name).state_dict().values(), strict=True
        ):
            assert torch.equal(a, b)


def test_the_loaded_generator_is_the_averaged_one(tmp_path):
    run = trained()
    checkpoint.save(run, tmp_path)
    G = checkpoint.load_generator(tmp_path)
    z = torch.randn(5, 3)
    assert torch.equal(G(z), run.G_average(z))
    assert not torch.allclose(G(z), run.G.eval()(z))


class Own(nn.Module):
    latent_dim = 3

    def __init__(self, width=2):
        super().__init__()
        self.layer = nn.Linear(3, width)

    def forward(self, z):
        return self.layer(z)


def test_nets_of_ones_own_are_passed_in(tmp_path):
    D = models.MLPDiscriminator((8,), (2,))
    run = Run(Own(), D, POINTS, RECIPE)
    list(run.steps(2))
    checkpoint.save(run, tmp_path)
    with pytest.raises(BadInput, match="a net of your own, Own: pass it in, as G="):
        checkpoint.load(tmp_path, POINTS)
    again = checkpoint.load(tmp_path, POINTS, G=Own())
    assert torch.equal(again.G.layer.weight, run.G.layer.weight)
    with pytest.raises(BadInput, match="do not fit Own"):
        checkpoint.load_generator(tmp_path, G=Own(width=5))


def test_another_model_in_the_file_is_named(tmp_path):
    checkpoint.save(trained(), tmp_path)
    state = torch.load(tmp_path / checkpoint.FILE, weights_only=True)
    state["nets"]["G"]["config"]["hidden"] = [17]
    torch.save(state, tmp_path / checkpoint.FILE)
    with pytest.raises(BadInput, match="weights of G .* do not fit MLPGenerator: size mismatch"):
        checkpoint.load_generator(tmp_path)


class Hostile:
    def __reduce__(self):
        return os.system, ("echo owned > owned.txt",)


@pytest.mark.parametrize(
    "write", [lambda f: torch.save(Hostile(), f), lambda f: f.write_bytes(pickle.dumps(Hostile()))]
)
def test_code_in_the_file_is_not_run(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / checkpoint.FILE)
    with pytest.raises(BadInput, match="which could be code. It was not loaded"):
        checkpoint.load_generator(tmp_path)
    assert not (tmp_path / "owned.txt").exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_gives_one_sentence_and_stays_as_it_is(tmp_path, share):
    path = checkpoint.save(trained(), tmp_path)
    part = path.read_bytes()[: int(path.stat().st_size * share)]
    path.write_bytes(part)
    with pytest.raises(BadInput, match="damaged") as caught:
        checkpoint.load(tmp_path, POINTS)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == part


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": torch.zeros(2)}, "another program"),
        ({"format": 99}, "format 99"),
        ({"format": 1, "G": {}}, "it lacks"),
    ],
)
def test_foreign_files_are_told_apart(tmp_path, content, message):
    torch.save(content, tmp_path / checkpoint.FILE)
    with pytest.raises(BadInput, match=message):
        checkpoint.load_generator(tmp_path)


def test_no_run_in_the_folder(tmp_path):
    with pytest.raises(BadInput, match="there is no run in"):
        checkpoint.load_generator(tmp_path / "nowhere")


def test_a_save_that_fails_leaves_the_old_run(tmp_path, monkeypatch):
    run = trained()
    path = checkpoint.save(run, tmp_path)
    before = path.read_bytes()
    list(run.steps(2))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput, match="No space left on device"):
        checkpoint.save(run, tmp_path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [checkpoint.FILE]


def test_code_cannot_be_saved(tmp_path):
    own = losses.Loss("own", losses.hinge_d, losses.minimax_g)
    for recipe in (
        dataclasses.replace(RECIPE, loss=own),
        dataclasses.replace(RECIPE, penalty=lambda D, real, fake: D(real).sum()),
    ):
        with pytest.raises(BadInput, match="holds no code"):
            checkpoint.save(trained(1, recipe), tmp_path)
    assert os.listdir(tmp_path) == []
