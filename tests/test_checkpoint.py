import contextlib
import dataclasses
import io
import os
import pickle
import random
import zipfile

import numpy as np
import pytest
import torch
from states import parts
from torch import nn

from gantutor import losses, models, penalties
from gantutor.data import Images, toy
from gantutor.errors import BadInput
from gantutor.runs import checkpoint
from gantutor.scale import ensemble
from gantutor.train import Recipe, Run, accelerate

POINTS = toy.ring().sample(64, seed=0)
RECIPE = Recipe(batch_size=8, penalty=penalties.wgan_gp, penalty_every=3, ema_decay=0.9)


def trained(steps=4, recipe=RECIPE, data=POINTS):
    """A run of ten steps, broken off after some."""
    nets = models.mlp(shape=data.shape[1:], latent_dim=3, g_hidden=(16,), d_hidden=(16,), output="linear")
    run = Run(*nets, data, recipe, seed=1)
    for step in run.steps(10):
        if step.index == steps:
            return run
    return run


def rewrite(path, state):
    """Put another state into a saved file, with a checksum that fits."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(checkpoint.sealed(buffer.getvalue()))


def test_a_loaded_run_goes_on_bit_for_bit(tmp_path):
    run = trained()
    checkpoint.save(run, tmp_path)
    again = checkpoint.load(tmp_path, POINTS)
    assert again.recipe == run.recipe
    assert again.step == 4
    assert again.source.order.get_state().equal(run.source.order.get_state())
    for a, b in zip(run.steps(), again.steps(), strict=True):  # to the end of the ten steps, with the same decay
        assert a.index == b.index
        assert torch.equal(a.d_loss, b.d_loss)
    for name in ("G", "D", "G_ema"):
        for a, b in zip(
            getattr(run, name).state_dict().values(), getattr(again, name).state_dict().values(), strict=True
        ):
            assert torch.equal(a, b)


def few_images(classes: int = 3) -> Images:
    random = torch.Generator().manual_seed(0)
    pixels = torch.rand(20, 1, 28, 28, generator=random) * 2 - 1
    return Images("some", pixels, torch.arange(20) % classes, tuple("abcdefgh"[:classes]))


PAIRS = {
    "mlp": lambda classes: models.mlp(latent_dim=3, g_hidden=(8,), d_hidden=(8,), classes=classes),
    "dcgan": lambda classes: models.dcgan(latent_dim=3, g_width=2, d_width=2, hidden=8, classes=classes, spectral=True),
}


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("pair", PAIRS)
def test_an_image_run_goes_on_as_if_never_interrupted(tmp_path, pair, classes):
    images, recipe = few_images(), Recipe(batch_size=4, penalty_every=2)
    unbroken, broken = (Run(*PAIRS[pair](classes), images, recipe) for _ in range(2))
    expected = list(unbroken.steps(6))
    for step in broken.steps(6):
        if step.index == 3:
            break
    checkpoint.save(broken, tmp_path)
    again = checkpoint.load(tmp_path, images)
    for a, b in zip(expected[3:], again.steps(), strict=True):
        assert torch.equal(a.real_logits, b.real_logits)  # the same images, labels and noise
        assert torch.equal(a.fake_logits, b.fake_logits)
    for name in ("G", "D", "G_ema"):
        saved, loaded = getattr(unbroken, name).state_dict(), getattr(again, name).state_dict()
        assert all(torch.equal(saved[key], loaded[key]) for key in saved)
    assert torch.equal(
        again.sample(5, labels=2 if classes else None), unbroken.sample(5, labels=2 if classes else None)
    )


def test_a_conditional_run_on_data_with_other_classes_is_refused(tmp_path):
    path = checkpoint.save(Run(*PAIRS["mlp"](3), few_images(), Recipe(batch_size=4)), tmp_path)
    with pytest.raises(BadInput, match="made for 3 classes, but some has 5") as caught:
        checkpoint.load(tmp_path, few_images(5))
    assert str(path) in str(caught.value)
    with pytest.raises(BadInput, match="the data has no labels") as caught:
        checkpoint.load(tmp_path, few_images().pixels)
    assert str(path) in str(caught.value)


def test_a_file_of_another_format_is_told_apart(tmp_path):
    path = checkpoint.save(trained(), tmp_path)
    rewrite(path, torch.load(path, weights_only=True) | {"format": 2})
    with pytest.raises(BadInput, match="has format 2, this gantutor reads 3: use the one that wrote it"):
        checkpoint.load(tmp_path, POINTS)


def test_the_optimizers_of_another_device_lend_their_state_not_their_options(tmp_path):
    run = trained()
    path = checkpoint.save(run, tmp_path)
    state = torch.load(path, weights_only=True)
    for name in ("opt_g", "opt_d"):  # as a captured run on CUDA would have them, which Adam refuses on a CPU
        state[name]["param_groups"][0] |= {"lr": torch.tensor(9.0), "capturable": True, "betas": (0.5, 0.5)}
    rewrite(path, state)
    again = checkpoint.load(tmp_path, POINTS)
    (group,) = again.opt_d.param_groups
    assert not group["capturable"]
    assert group["betas"] == RECIPE.betas
    for a, b in zip(run.steps(), again.steps(), strict=True):
        assert torch.equal(a.d_loss, b.d_loss)


def test_learning_rates_are_saved_as_plain_numbers(tmp_path):
    run = trained()
    for optimizer in (run.opt_g, run.opt_d):
        optimizer.param_groups[0]["lr"] = torch.tensor(0.25)  # as in a captured run
    state = torch.load(checkpoint.save(run, tmp_path), weights_only=True)
    for name in ("opt_g", "opt_d"):
        lr = state[name]["param_groups"][0]["lr"]
        assert type(lr) is float
        assert lr == 0.25
    assert isinstance(run.opt_g.param_groups[0]["lr"], torch.Tensor)  # the run itself is left as it was


def test_how_to_compute_is_chosen_when_loading(tmp_path, monkeypatch):
    def cannot(device):
        raise BadInput("there is no compiler.")

    checkpoint.save(trained(), tmp_path)
    again = checkpoint.load(tmp_path, POINTS, precision="bf16", capture=False)
    assert (again.G_pass.precision, again.D_pass.precision, again.capture) == ("bf16", "bf16", False)
    with pytest.raises(BadInput, match="capture is True"):
        checkpoint.load(tmp_path, POINTS, device="cpu", capture=True)
    monkeypatch.setattr(accelerate, "check_compile", cannot)
    with pytest.raises(BadInput, match="no compiler"):
        checkpoint.load(tmp_path, POINTS, compile=True)


def test_the_loaded_generator_is_the_averaged_one(tmp_path):
    run = trained()
    checkpoint.save(run, tmp_path)
    G = checkpoint.load_generator(tmp_path)
    z = torch.randn(5, 3)
    assert torch.equal(G(z), run.G_ema(z))
    assert not any(p.requires_grad for p in G.parameters())
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
    rewrite(tmp_path / checkpoint.FILE, state)
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
        ({"format": checkpoint.FORMAT, "G": {}}, "the checksum of the whole is missing"),
    ],
)
def test_foreign_files_are_told_apart(tmp_path, content, message):
    torch.save(content, tmp_path / checkpoint.FILE)
    with pytest.raises(BadInput, match=message):
        checkpoint.load_generator(tmp_path)


def test_what_a_file_lacks_is_named(tmp_path):
    rewrite(tmp_path / checkpoint.FILE, {"format": checkpoint.FORMAT, "G": {}})
    with pytest.raises(BadInput, match=r"it lacks D, G_ema, data, .*, step"):
        checkpoint.load_generator(tmp_path)


def test_a_flipped_byte_is_found_out(tmp_path):
    run = trained()
    path = checkpoint.save(run, tmp_path)
    content = bytearray(path.read_bytes())
    content[content.index(run.D.net[1].weight.detach().numpy().tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match="damaged"):
        checkpoint.load(tmp_path, POINTS)


@pytest.mark.parametrize(
    "change",
    [
        {"nets": []},
        {"nets": {"G": {"class": "MLPGenerator", "config": None}, "D": {"class": "MLPDiscriminator", "config": {}}}},
        {"G_ema": [1, 2]},
        {"randomness": []},
        {"randomness": [torch.zeros(3)]},
        {"step": "x"},
        {"plan": 7},
        {"plan": [1, 2, 3]},
        {"order": []},
        {"members": 2},
        {"format": 99},
        {"G": {}},
        {"D": {"net.1.weight": torch.zeros(1)}},
        {"opt_g": {"state": {0: {"step": "x"}}}},
        {"opt_d": {}},
        {"recipe": {"loss": "minimax"}},
        {"recipe": {"no such field": 1}},
    ],
)
def test_a_well_formed_file_with_the_wrong_things_in_it_gives_one_sentence(tmp_path, change):
    path = checkpoint.save(trained(), tmp_path)
    rewrite(path, torch.load(path, weights_only=True) | change)
    with pytest.raises(BadInput) as caught:
        checkpoint.load(tmp_path, POINTS)
    assert "\n" not in str(caught.value)


def test_a_run_of_another_kind_of_device_is_loaded_and_trains_on(tmp_path):
    path = checkpoint.save(trained(), tmp_path)
    elsewhere = {"device": "cuda", "order": [torch.zeros(16, dtype=torch.uint8)], "randomness": [torch.zeros(16)] * 2}
    rewrite(path, torch.load(path, weights_only=True) | elsewhere)
    again = checkpoint.load(tmp_path, POINTS)
    assert [step.index for step in again.steps()] == [5, 6, 7, 8, 9, 10]


def test_other_data_than_it_was_trained_on_is_refused(tmp_path):
    pixels, labels = torch.zeros(16, 1, 2, 2), torch.zeros(16, dtype=torch.int64)
    some, other = (Images(name, pixels, labels, ("a",)) for name in ("mnist", "fashion-mnist"))
    nets = models.mlp(shape=(1, 2, 2), latent_dim=3, g_hidden=(16,), d_hidden=(16,))
    checkpoint.save(Run(*nets, some, RECIPE), tmp_path)
    with pytest.raises(BadInput, match="was trained on 'mnist', not on 'fashion-mnist'"):
        checkpoint.load(tmp_path, other)
    checkpoint.load(tmp_path, some)


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


def test_a_recipe_with_numbers_of_numpy_can_be_loaded_again(tmp_path):
    recipe = Recipe(batch_size=np.int64(8), lr_g=np.float64(1e-3), betas=(np.float32(0.5), np.float64(0.9)))
    run = Run(*models.mlp(shape=(2,), latent_dim=2, g_hidden=(4,), d_hidden=(4,)), torch.zeros(8, 2), recipe)
    checkpoint.save(run, tmp_path)
    assert checkpoint.load(tmp_path, torch.zeros(8, 2)).recipe == recipe


def test_means_in_the_memory_layout_of_another_device_go_to_their_weights(tmp_path):
    """On CPUs and CUDA weights of convolutions, and Adam's means with them, are channels-last. A file keeps that."""
    images = few_images()
    nets = models.dcgan(latent_dim=3, g_width=2, d_width=2, hidden=4)
    run = Run(*nets, images, Recipe(batch_size=4), seed=1)
    list(run.steps(3))
    path = checkpoint.save(run, tmp_path)
    state = torch.load(path, weights_only=True)
    turned = 0
    for name in ("opt_g", "opt_d"):
        for means in state[name]["state"].values():
            for key, value in means.items():
                if value.ndim == 4:
                    means[key] = value.contiguous()
                    turned += means[key].stride() != value.stride()
    rewrite(path, state)
    assert turned > 0
    again = checkpoint.load(tmp_path, images)
    assert [s.g_loss.item() for s in again.steps(3)] == [s.g_loss.item() for s in run.steps(3)]


def test_a_mean_of_the_wrong_shape_is_damage(tmp_path):
    run = trained()
    path = checkpoint.save(run, tmp_path)
    state = torch.load(path, weights_only=True)
    state["opt_g"]["state"][0]["exp_avg"] = torch.zeros(3)
    rewrite(path, state)
    with pytest.raises(BadInput, match="run.pt is damaged .*shape"):
        checkpoint.load(tmp_path, POINTS)


def test_an_unrolled_recipe_is_loaded_again_and_goes_on(tmp_path):
    run = trained(recipe=dataclasses.replace(RECIPE, unroll=2))
    checkpoint.save(run, tmp_path)
    again = checkpoint.load(tmp_path, POINTS)
    assert again.recipe.unroll == 2
    for a, b in zip(run.steps(), again.steps(), strict=True):
        assert torch.equal(a.g_loss, b.g_loss)


# --- ensembles -------------------------------------------------------------------------------------------------------


def gathered(steps, recipe=RECIPE, **pair):
    """An ensemble of three, of a training of eight steps broken off after some."""
    sizes = {"shape": (2,), "latent_dim": 3, "g_hidden": (16,), "d_hidden": (16,), "output": "linear"}
    pairs = [models.mlp(seed=s, **{**sizes, **pair}) for s in (0, 2, 4)]
    run = ensemble.Ensemble(pairs, POINTS, recipe, seeds=[5, 6, 9], order_seeds=3)
    for step in run.steps(8):
        if step.index == steps:
            break
    return run


@pytest.mark.parametrize("pair", [{}, {"batch_norm": False}, {"spectral": True}], ids=str)
def test_a_loaded_ensemble_goes_on_bit_for_bit(tmp_path, pair):
    unbroken, broken = gathered(8, **pair), gathered(3, **pair)
    checkpoint.save(broken, tmp_path / "half")
    again = ensemble.load_ensemble(tmp_path / "half", POINTS)
    assert type(again) is ensemble.Ensemble
    assert [step.index for step in again.steps()] == [4, 5, 6, 7, 8]
    assert torch.equal(again.sample(7), unbroken.sample(7))
    states = [checkpoint.read_state(checkpoint.save(run, tmp_path / "end").parent)[1] for run in (unbroken, again)]
    assert parts(states[0]) == parts(states[1])
    assert again.member(2)[0].config == unbroken.member(2)[0].config
    assert parts(states[0]) != parts(checkpoint.read_state(checkpoint.save(gathered(7), tmp_path / "end").parent)[1])


def test_of_an_ensemble_there_is_no_one_generator(tmp_path):
    checkpoint.save(gathered(2), tmp_path)
    with pytest.raises(
        BadInput, match="holds an ensemble: load it with scale.load_ensemble, and take one of its members"
    ):
        checkpoint.load_generator(tmp_path)
    with pytest.raises(BadInput, match="holds an ensemble: load it with scale.load_ensemble"):
        checkpoint.load(tmp_path, POINTS)


def test_a_single_run_is_no_ensemble(tmp_path):
    checkpoint.save(trained(), tmp_path)
    with pytest.raises(BadInput, match="holds a single run: load it with checkpoint.load"):
        ensemble.load_ensemble(tmp_path, POINTS)


def test_an_ensemble_of_other_nets_cannot_be_saved(tmp_path):
    pairs = [(Own(), models.MLPDiscriminator((8,), (2,), seed=s)) for s in (0, 1)]
    with pytest.raises(BadInput, match="an ensemble of Owns cannot be saved"):
        checkpoint.save(ensemble.Ensemble(pairs, POINTS, RECIPE, seeds=0), tmp_path)
    assert os.listdir(tmp_path) == []


# --- broken and hostile files ----------------------------------------------------------------------------------------


def outcome(folder) -> str:
    """What becomes of the run in a folder: "sentence", or "loaded" with all that it holds."""
    try:
        return str(parts(checkpoint.read_state(folder)[1]))
    except BadInput as error:
        return "several lines" if "\n" in str(error) else "sentence"


def test_a_flipped_bit_anywhere_is_told_or_changes_nothing(tmp_path):
    path = checkpoint.save(trained(), tmp_path)
    raw, sound = path.read_bytes(), outcome(tmp_path)
    assert sound != "sentence"
    dice = random.Random(0)
    places = dice.sample(range(len(raw)), 150) + list(range(len(raw) - 150, len(raw)))
    told = 0
    for place in places:
        broken = bytearray(raw)
        broken[place] ^= 1 << dice.randrange(8)
        path.write_bytes(broken)
        result = outcome(tmp_path)
        told += result == "sentence"
        assert result in ("sentence", sound), place
    assert told > len(places) / 2


def test_the_checksum_of_the_archive_alone_would_not_do(tmp_path):
    """A flip in the archive's directory that its own checksums do not see, and ours does."""
    path = checkpoint.save(trained(), tmp_path)
    raw = path.read_bytes()
    place = raw.rindex(b"byteorder")  # its name in the directory
    broken = raw[:place] + b"x" + raw[place + 1 :]
    path.write_bytes(broken)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert any(name.endswith("xyteorder") for name in names)
    with pytest.raises(BadInput, match="its SHA-256 is wrong"):
        checkpoint.read_state(tmp_path)


def test_a_file_cut_anywhere_is_told(tmp_path):
    path = checkpoint.save(trained(), tmp_path)
    raw = path.read_bytes()
    for length in [*random.Random(1).sample(range(len(raw)), 100), *range(len(raw) - 80, len(raw))]:
        path.write_bytes(raw[:length])
        assert outcome(tmp_path) == "sentence", length


def with_pickle(path, change):
    """Write the file anew with another pickle in it, all checksums right: damage is no excuse."""
    with zipfile.ZipFile(path) as archive:
        contents = [(info.filename, archive.read(info)) for info in archive.infolist()]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in contents:
            archive.writestr(name, change(content) if name.endswith("/data.pkl") else content)
    path.write_bytes(checkpoint.sealed(buffer.getvalue()))


def test_a_hostile_pickle_with_right_checksums_gives_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = checkpoint.save(trained(), tmp_path)
    raw = path.read_bytes()
    dice = random.Random(2)
    changes = [lambda _, protocol=p: pickle.dumps(Hostile(), protocol) for p in (0, 2, 4)]
    changes += [lambda content: b"cos\nsystem\n(S'echo owned > owned.txt'\ntR.", lambda content: b"", lambda _: b"N."]
    changes += [lambda content: content[: dice.randrange(len(content))] for _ in range(30)]
    for change in changes:
        path.write_bytes(raw)
        with_pickle(path, change)
        assert outcome(tmp_path) == "sentence"
    for _ in range(150):  # a changed byte may still make a pickle of plain values
        path.write_bytes(raw)
        place = dice.randrange(4000)
        with_pickle(path, lambda content, at=place: content[:at] + bytes([dice.randrange(256)]) + content[at + 1 :])
        with contextlib.suppress(BadInput):
            checkpoint.load(tmp_path, POINTS)
    assert not (tmp_path / "owned.txt").exists()


def test_a_net_too_large_for_its_weights_is_not_even_made(tmp_path, monkeypatch):
    path = checkpoint.save(trained(), tmp_path)
    state = torch.load(path, weights_only=True)
    state["nets"]["G"]["config"]["hidden"] = [30_000, 30_000]  # 3.6 GB
    rewrite(path, state)
    made = models.MLPGenerator.__init__

    def watched(self, *args, **kwargs):
        assert torch.empty(0).device.type == "meta"
        made(self, *args, **kwargs)

    monkeypatch.setattr(models.MLPGenerator, "__init__", watched)
    for read in (lambda: checkpoint.load(tmp_path, POINTS), lambda: checkpoint.load_generator(tmp_path)):
        with pytest.raises(BadInput, match="weights of G .* do not fit MLPGenerator: size mismatch"):
            read()


def test_a_run_that_is_damaged_gives_way_to_the_one_before(tmp_path):
    run = trained(3)
    checkpoint.save(run, tmp_path)
    next(run.steps())
    path = checkpoint.save(run, tmp_path, keep_previous=True)
    assert sorted(os.listdir(tmp_path)) == ["run.previous.pt", "run.pt"]
    assert checkpoint.recover(tmp_path) == ""
    path.write_bytes(path.read_bytes()[:-1])
    assert "the run before it has taken its place" in checkpoint.recover(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["run.damaged.pt", "run.pt"]
    assert checkpoint.load(tmp_path, POINTS).step == 3
    path.write_bytes(b"")
    with pytest.raises(BadInput, match="damaged"):
        checkpoint.recover(tmp_path)


def test_where_only_the_run_before_is_left_it_is_the_run(tmp_path):
    path = checkpoint.save(trained(3), tmp_path)
    os.rename(path, path.with_name(checkpoint.PREVIOUS))
    assert checkpoint.recover(tmp_path) == ""
    assert checkpoint.load(tmp_path, POINTS).step == 3


def test_flags_are_given_back(tmp_path):
    checkpoint.save(trained(), tmp_path, flags={"model": "mlp", "seed": 3})
    assert checkpoint.read_state(tmp_path)[1]["flags"] == {"model": "mlp", "seed": 3}


def test_saving_leaves_no_trace_in_the_run(tmp_path):
    quiet, saved = trained(1), trained(1)
    for a, b in zip(quiet.steps(), saved.steps(), strict=True):
        checkpoint.save(saved, tmp_path, keep_previous=True)
        assert torch.equal(a.d_loss, b.d_loss)
    paths = [checkpoint.save(run, tmp_path / name) for run, name in ((quiet, "quiet"), (saved, "saved"))]
    states = [parts(checkpoint.read_state(path.parent)[1]) for path in paths]
    assert states[0] == states[1]
