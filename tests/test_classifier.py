import math
import os
from dataclasses import replace

import pytest
import torch
from drawn import digits

from gantutor import data, metrics
from gantutor.data import Images, faces
from gantutor.data import images as data_images
from gantutor.errors import BadInput
from gantutor.metrics import classifier
from gantutor.models import shipped

NEEDS_FILES = pytest.mark.skipif(
    not os.environ.get("GANTUTOR_DATA"), reason="GANTUTOR_DATA names no folder of real images"
)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("strokes", 0.99),
        pytest.param("mnist", 0.99, marks=NEEDS_FILES),
        pytest.param("fashion-mnist", 0.895, marks=NEEDS_FILES),
    ],
)
def test_shipped_classifiers_know_their_test_set(name, least):
    share = classifier.accuracy(classifier.load(name), data.load(name, "test"))
    assert share >= least
    assert share == pytest.approx(classifier.SHIPPED[name][0], abs=0.0005)


def test_the_judge_of_faces_knows_every_factor_that_can_be_seen():
    test = data.load("faces", "test")
    j = classifier.load("faces")
    shares = classifier.factor_accuracy(j, test)
    assert set(shares) == set(faces.FACTORS)
    assert min(shares.values()) >= 0.97
    assert classifier.accuracy(j, test) == pytest.approx(classifier.SHIPPED["faces"][0], abs=0.0005)
    assert (shipped.folder("classifiers") / "faces.pt").stat().st_size < 400_000


def test_the_judge_of_small_faces_is_the_same_and_almost_as_good():
    test = data.load("faces:hat", "test", size=32)
    j = classifier.load("faces:hat", size=32)
    assert j.classes == faces.FACTORS["hat"]
    assert classifier.accuracy(j, test) > 0.99
    shares = classifier.factor_accuracy(j, test)
    assert min(shares.values()) > 0.9
    large = classifier.load("faces")
    assert all(torch.equal(value, large.state_dict()[name]) for name, value in j.state_dict().items())


def test_the_classes_of_faces_are_those_of_the_factor_in_the_name():
    j, hair = classifier.load("faces:glasses"), classifier.load("faces")
    drawn = faces.draw(60, seed=3)
    pixels = drawn.pixels / 127.5 - 1
    assert j(pixels).shape == (60, 4)
    assert (j(pixels).argmax(1) == drawn.factors["glasses"]).double().mean() > 0.95
    assert torch.equal(hair.by_factor(hair.features(pixels))["glasses"], j(pixels))
    shares = classifier.factor_shares(j, pixels)
    found = torch.bincount(drawn.factors["hat"], minlength=4) / 60
    assert (shares["hat"] - found).abs().max() < 0.02


def test_only_known_sets_have_a_judge():
    drawn = faces.draw(100, seed=0, size=32)
    images = data.Images("faces", drawn.pixels, drawn.factors["hair"], faces.FACTORS["hair"])
    assert classifier.of(images).shape == (3, 32, 32)
    assert classifier.of(data.Images("my faces", *[images.stored, images.labels, images.classes])) is None
    odd = data.Images("faces", images.stored[..., :30], images.labels, images.classes)
    assert classifier.of(odd) is None
    assert classifier.of(digits(50, 0, "strokes")).name == "strokes"
    with pytest.raises(BadInput, match="size is 28: the classifier of faces takes 64 or 32 pixels"):
        classifier.load("faces", size=28)


def test_features_and_logits_belong_together_whatever_the_batch():
    j = classifier.load("strokes")
    pixels = data.load("strokes", "test").pixels[:50]
    features, logits = classifier.features_and_logits(j, pixels, batch_size=7)
    assert features.shape == (50, 64)
    torch.testing.assert_close(logits, j(pixels), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits, features @ j.head.weight.T + j.head.bias, rtol=1e-4, atol=1e-4)


def test_the_smoothing_of_the_labels_is_taken_back():
    logits = torch.tensor([[1000.0, 0, 0], [0, 0, 0], [math.log(0.9), math.log(0.08), math.log(0.02)]])
    p = classifier.probabilities(logits)
    by_hand = [[1, 0, 0], [1 / 3] * 3, [(x - 0.05 / 3) / 0.95 for x in (0.9, 0.08, 0.02)]]
    torch.testing.assert_close(p, torch.tensor(by_hand))
    logits = classifier.features_and_logits(classifier.load("strokes"), data.load("strokes", "test").pixels[:1000])[1]
    smoothed, sharp = (metrics.inception_score(x) for x in (logits.softmax(1), classifier.probabilities(logits)))
    assert smoothed < 8 < 9 < sharp <= 10


def test_stacked_pictures_are_read_channel_by_channel():
    images = digits(300, 4, "drawn")
    pictures = data.stacked(images, 200, seed=1)
    modes = classifier.stacked_modes(classifier.load("strokes"), pictures.pixels)
    assert (modes == pictures.labels).float().mean() > 0.97
    images.pixels[:] = images.pixels[:1]  # all channels alike: the same digit three times
    assert (
        classifier.stacked_modes(classifier.load("strokes"), data.stacked(images, 5, seed=1).pixels) % 111 == 0
    ).all()


def test_what_is_no_image_or_no_number_of_epochs_is_named():
    images = Images("few", torch.zeros(60, 1, 28, 28), torch.arange(60) % 2, ("a", "b"))
    with pytest.raises(BadInput, match="the images are a Images: give a tensor"):
        classifier.features_and_logits(classifier.load("strokes"), images)
    with pytest.raises(BadInput, match="epochs is 0"):
        classifier.fit(images, epochs=0)


def test_looking_changes_nothing_in_a_classifier_that_is_in_train_mode():
    j = classifier.load("strokes").train()
    pixels = data.load("strokes", "test").pixels[:50]
    before = j.body[1].running_mean.clone()
    features, _ = classifier.features_and_logits(j, pixels)
    assert j.training
    assert torch.equal(j.body[1].running_mean, before)
    torch.testing.assert_close(features, classifier.features_and_logits(j.eval(), pixels)[0])


@pytest.mark.parametrize("name", ["strokes", "faces"])
def test_the_command_trains_a_classifier_and_prints_its_line(name, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(data_images, "STROKES", {"train": (200, 0), "test": (60, 1)})
    monkeypatch.setattr(data_images, "FACES", {"train": (200, 0), "test": (60, 1)})
    monkeypatch.setattr(shipped, "folder", lambda kind: tmp_path)
    monkeypatch.setattr("sys.argv", ["classifier", name, "--epochs", "1"])
    classifier.main()
    said = capsys.readouterr().out
    assert f'"{name}": (' in said
    assert shipped.digest(tmp_path / f"{name}.pt") in said
    assert said.count("\n") == 1 + len(faces.FACTORS) * (name == "faces")


def test_factors_that_no_image_of_a_batch_shows_teach_nothing():
    """Where ears are hidden in all faces, their loss is 0 and not NaN."""
    drawn = faces.draw(60, seed=0, fixed={"hair": "long"})
    known = {"ears": data.Factor(faces.FACTORS["ears"], drawn.seen("ears")),
             "hat": data.Factor(faces.FACTORS["hat"], drawn.seen("hat"))}  # fmt: skip
    images = data.Images("drawn", drawn.pixels, drawn.factors["hat"], faces.FACTORS["hat"], known)
    values = {name: factor.values for name, factor in known.items()}
    net = classifier.Classifier("drawn", images.classes, (3, 64, 64), values)
    index = torch.arange(20)
    loss = classifier.loss_of(net, images, index, images[index])
    hats = replace(images, factors={"hat": known["hat"]})
    alone = classifier.loss_of(net, hats, index, images[index])
    assert loss.isfinite()
    assert torch.equal(loss, alone)


def test_a_classifier_learns_from_few_drawn_digits():
    """Trained for real on 2,000 strokes, a classifier knows most of the others, and is the same for the same seed."""
    images, held_out = data.load("strokes"), data.load("strokes", "test")
    some = data.Images("strokes", images.pixels[:2000], images.labels[:2000], images.classes)
    others = data.Images("strokes", held_out.pixels[:1000], held_out.labels[:1000], images.classes)
    j = classifier.fit(some, epochs=2)
    assert classifier.accuracy(j, others) > 0.6
    assert classifier.accuracy(classifier.Classifier("untrained", images.classes).eval(), others) < 0.4
    again = classifier.fit(some, epochs=2)
    assert torch.equal(j.head.weight, again.head.weight)


def test_a_classifier_recognises_its_own_data_and_no_other():
    own = data.load("strokes", "test").pixels[:1000]
    assert classifier.recognise(own).name == "strokes"
    for other in (own.flip(2), -own, own * 0.5, own[:50], own.expand(-1, 3, -1, -1), torch.zeros(200, 1, 28, 28)):
        assert classifier.recognise(other) is None


def test_saved_weights_come_back(tmp_path, monkeypatch):
    j = classifier.Classifier("strokes", data.load("strokes", "test").classes).eval()
    path = tmp_path / "strokes.pt"
    shipped.save_half(j, path, classes=list(j.classes))
    monkeypatch.setattr(shipped, "folder", lambda kind: tmp_path)
    monkeypatch.setitem(classifier.SHIPPED, "strokes", (0.1, shipped.digest(path)))
    again = classifier.load("strokes")
    assert again.classes == j.classes
    x = torch.rand(4, 1, 28, 28) * 2 - 1
    torch.testing.assert_close(again(x), j(x), rtol=0.02, atol=0.02)  # stored in 16 bits
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadInput, match="missing or damaged"):
        classifier.load("strokes")


def test_unknown_names_and_wrong_shapes_are_named():
    with pytest.raises(BadInput, match="did you mean 'mnist'"):
        classifier.load("minst")
    with pytest.raises(BadInput, match=r"\(1, 28, 28\), not \(3, 28, 28\)"):
        classifier.features_and_logits(classifier.Classifier("mnist").eval(), torch.zeros(2, 3, 28, 28))


def test_values_off_balance_by_hand():
    made = {"hat": torch.tensor([0.1, 0.45, 0.45]), "eyes": torch.tensor([0.26, 0.74])}
    usual = {"hat": torch.tensor([0.4, 0.4, 0.2]), "eyes": torch.tensor([0.5, 0.5])}
    found = classifier.off_balance(made, usual)
    assert found["hat"].tolist() == [True, False, True]  # less than half, nearly as usual, more than twice
    assert found["eyes"].tolist() == [False, False]
