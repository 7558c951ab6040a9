"""The generators that ship: their files, what they draw, and that others are refused."""

import re
import shutil
from pathlib import Path

import pytest
import torch

from gantutor import cli, data, metrics, models, train
from gantutor.data import faces
from gantutor.errors import BadInput, DataUnavailable
from gantutor.metrics import classifier
from gantutor.models import shipped
from gantutor.runs import pretrained

COURSE = Path(__file__).resolve().parents[1]
MOST_BYTES = 1_500_000
CONDITIONAL = [name for name, made in pretrained.SHIPPED.items() if name != "faces"]


@pytest.mark.parametrize("name", pretrained.SHIPPED)
def test_a_shipped_file_is_small_and_known_by_its_hash(name):
    path = COURSE / "data" / "generators" / f"{name}.pt"
    assert path.stat().st_size <= MOST_BYTES
    assert shipped.digest(path) == pretrained.SHIPPED[name].digest


def test_the_pair_of_faces_is_small_and_ready_to_go_on():
    path = COURSE / "data" / "generators" / "faces-discriminator.pt"
    assert path.stat().st_size <= MOST_BYTES
    assert shipped.digest(path) == pretrained.SHIPPED["faces"].digest_of_d
    G, D = pretrained.pair("faces")
    assert G.training
    assert all(p.requires_grad for net in (G, D) for p in net.parameters())
    real, fake = faces.draw(800, seed=9).pixels / 127.5 - 1, train.sample(G, 800)
    with torch.no_grad():
        assert (D.eval()(real) > 0).double().mean() > (D(fake) > 0).double().mean() + 0.2  # it knows which is which
    with pytest.raises(BadInput, match="digits ships without its discriminator: start from faces, or from a run"):
        pretrained.pair("digits")


def test_the_faces_have_everything_that_faces_have():
    """Seen by their judge, no value is missing, and 53 of 56 are half to twice as frequent as they should be."""
    j, images = classifier.load("faces"), train.sample(pretrained.generator("faces"), 3000)
    assert images.shape == (3000, 3, 64, 64)
    made, real = (classifier.factor_shares(j, x) for x in (images, faces.draw(3000, seed=9).pixels / 127.5 - 1))
    assert min(shares.min() for shares in made.values()) > 0.01
    assert sum(which.sum() for which in classifier.off_balance(made, real).values()) <= 3


@pytest.mark.parametrize(("factor", "value"), [("glasses", "dark"), ("mouth", "laughing"), ("hat", "beanie")])
def test_a_direction_puts_things_on(factor, value):
    G, j = pretrained.generator("faces"), classifier.load("faces")
    (way,) = metrics.attribute_directions(G, j, {factor: value})
    z = torch.randn(300, 64, generator=torch.Generator().manual_seed(5))
    number = j.factors[factor].index(value)
    before, after = (classifier.factor_shares(j, G(led))[factor][number] for led in (z, z + 4 * way))
    assert before < 0.4
    assert after > 0.9


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_generator_draws_the_class_that_was_asked_for(name):
    """Seen by the judge of its data set, in 500 samples of each class; a fresh net gets about one in ten."""
    G = pretrained.generator(name)
    assert not G.training
    assert not any(p.requires_grad for p in G.parameters())
    images = train.sample(G, 5000)
    assert images.shape == (5000, 1, 28, 28)
    assert images.dtype == torch.float32
    j = classifier.load(pretrained.SHIPPED[name].data)
    wanted = torch.arange(5000) % 10
    right = classifier.features_and_logits(j, images)[1].argmax(1) == wanted
    least = 0.97 * pretrained_accuracy(name)
    assert right.float().mean() > least
    assert all(right[wanted == y].float().mean() > 0.6 for y in range(10))
    spread = torch.stack([images[wanted == y].std(0).mean() for y in range(10)])
    assert spread.min() > 0.1  # not one picture for each class

    fresh = train.sample(models.dcgan(classes=10)[0], 1000)
    assert (classifier.features_and_logits(j, fresh)[1].argmax(1) == wanted[:1000]).float().mean() < 0.3


def pretrained_accuracy(name: str) -> float:
    """Of the judge, on real test images: what a generator can be measured against."""
    return classifier.SHIPPED[pretrained.SHIPPED[name].data][0]


@pytest.mark.slow
@pytest.mark.parametrize("name", pretrained.SHIPPED)
def test_the_score_is_the_one_that_is_told(name):
    try:
        measured = pretrained.score(pretrained.generator(name), pretrained.SHIPPED[name].data)
    except DataUnavailable as error:
        pytest.skip(f"the test images are not here: {error}")
    assert measured == pytest.approx(pretrained.SHIPPED[name].score, rel=0.1, abs=0.02)


def test_the_table_tells_what_ships():
    text = (COURSE / "data" / "generators" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([\w-]+) \|[^|]*\| ([\d.]+) \|", text, re.MULTILINE)
    assert rows == [(name, made.data, f"{made.score:.2f}") for name, made in pretrained.SHIPPED.items()]
    assert all(made.digest in text for made in pretrained.SHIPPED.values())
    assert all(f"python -m gantutor.runs.pretrained {name}" in text for name in pretrained.SHIPPED)


@pytest.mark.parametrize("spoil", ["changed", "missing"])
def test_another_file_is_refused(spoil, tmp_path, monkeypatch):
    shutil.copytree(shipped.folder("generators"), tmp_path / "generators")
    monkeypatch.setattr(shipped, "folder", lambda kind: tmp_path / kind)
    assert pretrained.generator("digits")
    path = tmp_path / "generators" / "digits.pt"
    if spoil == "changed":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()
    with pytest.raises(BadInput, match="missing or damaged"):
        pretrained.generator("digits")


def test_an_unknown_name_is_refused():
    with pytest.raises(BadInput, match="did you mean 'digits'"):
        pretrained.generator("digit")


def test_what_is_saved_is_read_again(tmp_path):
    G = models.dcgan(classes=10, seed=3)[0].eval()
    shipped.save_half(G, tmp_path / "g.pt", config=G.config)
    again = pretrained.from_file(tmp_path / "g.pt")
    assert torch.allclose(train.sample(again, 20), train.sample(G, 20), atol=0.01)  # 16 bits keep three digits
    assert not torch.equal(next(again.parameters()), next(G.parameters()))


@pytest.mark.slow
def test_fit_learns_and_is_the_same_for_the_same_seed():
    images = data.load("strokes")
    few = data.Images("strokes", images.pixels[:2000], images.labels[:2000], images.classes)
    a, b = (train.sample(pretrained.fit(few, steps=60).G_ema, 200) for _ in range(2))
    assert torch.equal(a, b)
    real, fresh = few.pixels.mean(), train.sample(models.dcgan(classes=10)[0], 200).mean()
    assert (a.mean() - real).abs() < (fresh - real).abs() / 2


def test_sample_takes_a_name_where_there_is_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sample", "clothes", "--label", "sneaker", "--count", "4", "--out", "s.png"]) == 0
    assert "of class sneaker" in capsys.readouterr().out
    (tmp_path / "clothes").mkdir()
    assert cli.main(["sample", "clothes", "--out", "s.png"]) == 2
    assert "there is no run in clothes" in capsys.readouterr().err
