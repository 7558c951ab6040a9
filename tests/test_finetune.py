"""Starting from the weights of another run."""

import pytest
import torch

from gantutor import cli, data, models
from gantutor.data import faces
from gantutor.errors import BadInput
from gantutor.runs import checkpoint, finetune, pretrained
from gantutor.scale import Ensemble
from gantutor.train import Recipe, Run


def pictures(size=32, seed=0) -> data.Images:
    drawn = faces.draw(80, seed, size)
    return data.Images("drawn", drawn.pixels, drawn.factors["hat"], faces.FACTORS["hat"])


def pair(seed=0, shape=(3, 32, 32), **options):
    return models.dcgan(shape, g_width=4, d_width=4, hidden=16, seed=seed, **options)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    run = Run(*pair(), pictures(), Recipe(batch_size=8, ema_decay=0.9))
    for _ in run.steps(5):
        pass
    checkpoint.save(run, folder)
    return folder, run


def same(one, other) -> bool:
    return all(torch.equal(one.state_dict()[key], value) for key, value in other.state_dict().items())


def test_the_averaged_g_and_the_latest_d_are_taken(saved):
    folder, run = saved
    G, D = pair(seed=7)
    finetune.start_from(folder, G, D)
    assert same(G, run.G_ema)
    assert not same(G, run.G)
    assert same(D, run.D)
    assert all(p.requires_grad for net in (G, D) for p in net.parameters())


def test_nets_that_are_not_given_are_made_as_they_were(saved):
    folder, run = saved
    G, D = finetune.start_from(folder)
    assert (G.config, D.config) == (run.G.config, run.D.config)
    assert same(G, run.G_ema)
    assert same(D, run.D)
    assert all(p.requires_grad for net in (G, D) for p in net.parameters())
    assert not same(G, run.G)  # the run itself has not changed


def test_a_net_of_ones_own_has_to_be_given(tmp_path):
    class Mine(models.DCGANGenerator):
        """One's own."""

    G = Mine(4, 4, (3, 32, 32))
    run = Run(G, pair()[1], pictures(), Recipe(batch_size=8))
    checkpoint.save(run, tmp_path)
    with pytest.raises(BadInput, match="trained with a net of your own, Mine: pass it in, as G=…"):
        finetune.start_from(tmp_path)
    again, D = finetune.start_from(tmp_path, G=Mine(4, 4, (3, 32, 32), seed=1))
    assert same(again, run.G_ema)
    assert same(D, run.D)


def test_the_pair_that_ships_is_taken_where_there_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    G, D = models.for_images((3, 64, 64), seed=7)
    finetune.start_from("faces", G, D, freeze=1)
    for net, shipped in zip((G, D), pretrained.pair("faces"), strict=True):
        assert same(net, shipped)
    assert [p.requires_grad for p in D.parameters()][:3] == [False, False, True]
    with pytest.raises(BadInput, match="the image size of G in faces is"):
        finetune.start_from("faces", *models.for_images((3, 32, 32)))
    (tmp_path / "faces").mkdir()  # of pictures, perhaps
    finetune.start_from("faces", G, D)
    mine = Run(*models.for_images((3, 64, 64), seed=3), pictures(64), Recipe(batch_size=8))
    checkpoint.save(mine, "faces")
    finetune.start_from("faces", G, D)
    assert same(G, mine.G_ema)


@pytest.mark.parametrize("layers", [0, 1, 3, 4])
def test_frozen_layers_stay_as_they_are_and_the_others_learn(saved, layers):
    G, D = pair(seed=7)
    finetune.start_from(saved[0], G, D, freeze=layers)
    run = Run(G, D, pictures(seed=1), Recipe(batch_size=8))
    before = [p.detach().clone() for p in run.D.parameters()]
    for _ in run.steps(2):
        pass
    changed = [not torch.equal(old, new) for old, new in zip(before, run.D.parameters(), strict=True)]
    assert changed == [False] * 2 * layers + [True] * (len(changed) - 2 * layers)  # a weight and a bias each
    assert any(p.requires_grad for p in run.D.parameters())


def test_batch_norms_between_frozen_layers_are_frozen_too():
    D = models.DCGANDiscriminator(4, (3, 32, 32), norm="batch")
    finetune.freeze_first(D, 2)
    frozen = [type(m).__name__ for m in D.modules() if list(m.parameters(recurse=False)) and not m.weight.requires_grad]
    assert frozen == ["Conv2d", "Conv2d", "BatchNorm2d"]


def test_the_last_layer_of_a_conditional_d_is_never_frozen():
    _, D = pair(classes=4)
    with pytest.raises(BadInput, match="5 layers of D are to be frozen, but it has 5: leave some to be trained"):
        finetune.freeze_first(D, 5)
    finetune.freeze_first(D, 4)
    assert [name for name, p in D.named_parameters() if p.requires_grad] == [
        "net.9.weight",
        "net.9.bias",
        "table.weight",
    ]


@pytest.mark.parametrize(
    ("nets", "said"),
    [
        (lambda: pair(shape=(3, 64, 64)), r"the image size of G in .* is \[3, 32, 32\], here it is \[3, 64, 64\]"),
        (lambda: pair(classes=4), "the number of classes of G in .* is 0, here it is 4"),
        (
            lambda: models.mlp((3, 32, 32)),
            "holds a net of class DCGANGenerator, but G is a MLPGenerator here: take the same model",
        ),
        (lambda: (pair()[0], models.dcgan((3, 32, 32), d_width=8)[1]), "the width of D in .* is 4, here it is 8"),
    ],
)
def test_other_nets_are_refused_with_the_difference(saved, nets, said):
    with pytest.raises(BadInput, match=said):
        finetune.start_from(saved[0], *nets())


def test_nothing_is_changed_where_something_does_not_fit(saved):
    G, D = pair(seed=7)[0], models.dcgan((3, 32, 32), d_width=8)[1]
    before = [p.clone() for p in G.parameters()]
    for nets, layers in (((G, D), 0), ((G, pair()[1]), 9)):
        with pytest.raises(BadInput):
            finetune.start_from(saved[0], *nets, layers)
        assert all(torch.equal(old, new) for old, new in zip(before, G.parameters(), strict=True))


def test_a_saved_run_keeps_its_frozen_layers(saved, tmp_path):
    G, D = pair(seed=7)
    finetune.start_from(saved[0], G, D, freeze=2)
    checkpoint.save(Run(G, D, pictures(), Recipe(batch_size=8)), tmp_path)
    again = checkpoint.load(tmp_path, pictures())
    assert [p.requires_grad for p in again.D.parameters()] == [p.requires_grad for p in D.parameters()]


def test_an_ensemble_is_named(tmp_path):
    nets = [pair(seed=s) for s in (0, 2)]
    checkpoint.save(Ensemble(nets, pictures(), Recipe(batch_size=8), seeds=[0, 1]), tmp_path)
    with pytest.raises(BadInput, match=r"it holds an ensemble: load it with scale\.load_ensemble"):
        finetune.start_from(tmp_path)


def test_some_of_d_has_to_be_left(saved):
    with pytest.raises(BadInput, match="5 layers of D are to be frozen, but it has 5"):
        finetune.start_from(saved[0], freeze=5)


def test_the_command_starts_from_a_run_and_keeps_to_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gantutor.data.images.FACES", {"train": (70, 0), "test": (50, 1)})
    line = ["train", "dcgan", "--data", "faces", "--size", "32", "--device", "cpu", "--steps"]
    assert cli.main([*line, "1", "--out", "old"]) == 0
    assert cli.main([*line, "1", "--out", "new", "--from", "old", "--freeze-d", "2", "--seed", "5"]) == 0
    assert cli.main([*line, "2", "--out", "new", "--resume"]) == 0
    images = data.load("faces", size=32)
    old, new = (checkpoint.load(folder, images) for folder in ("old", "new"))
    shared = [torch.equal(a, b) for a, b in zip(old.D.parameters(), new.D.parameters(), strict=True)]
    assert shared == [True] * 4 + [False] * (len(shared) - 4)
    capsys.readouterr()
    checkpoint.save(Run(*models.mlp((3, 32, 32)), pictures(), Recipe(batch_size=8)), "mlp")
    for flags, said in (
        (
            ["--from", "mlp"],
            "mlp holds a net of class MLPGenerator, but G is a DCGANGenerator here: take the same model",
        ),
        (["--size", "64", "--from", "old"], "image size of G in old is [3, 32, 32], here it is [3, 64, 64]"),
        (["--freeze-d", "1"], "--freeze-d keeps what D knows from another run"),
        (["--freeze-d", "1", "--resume"], "--freeze-d keeps what D knows from another run"),
        (["--from", "gone"], "there is no run in gone"),
        (["--from", "old", "--freeze-d", "9"], "9 layers of D are to be frozen, but it has"),
    ):
        assert cli.main([*line, "1", "--out", "third", *flags]) == 2
        assert said in capsys.readouterr().err


def test_the_command_starts_from_nets_of_other_widths(tmp_path, monkeypatch):
    """Such as those of an earlier version, or of a run in Python."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gantutor.data.images.FACES", {"train": (70, 0), "test": (50, 1)})
    old = Run(*pair(), pictures(), Recipe(batch_size=8))
    checkpoint.save(old, "old")
    line = ["train", "dcgan", "--data", "faces", "--size", "32", "--device", "cpu", "--steps", "1"]
    assert cli.main([*line, "--from", "old", "--out", "new"]) == 0
    new = checkpoint.load("new", data.load("faces", size=32))
    assert (new.G.config, new.D.config) == (old.G.config, old.D.config)


def test_the_command_starts_from_the_pair_that_ships(tmp_path, monkeypatch, capsys):
    """Also into a folder that is called as the pair is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gantutor.data.images.FACES", {"train": (70, 0), "test": (50, 1)})
    line = ["--data", "faces", "--device", "cpu", "--steps", "1", "--from", "faces"]
    assert cli.main(["train", "dcgan", *line, "--out", "faces", "--freeze-d", "2"]) == 0
    made = checkpoint.load("faces", data.load("faces"))
    _, shipped = pretrained.pair("faces")
    kept = [torch.equal(a, b) for a, b in zip(made.D.parameters(), shipped.parameters(), strict=True)]
    assert kept == [True] * 4 + [False] * (len(kept) - 4)
    capsys.readouterr()
    monkeypatch.chdir(tmp_path / "faces")
    assert cli.main(["train", "cdcgan", *line, "--out", "other"]) == 2
    assert "the number of classes of G in faces is 0, here it is 8" in capsys.readouterr().err
