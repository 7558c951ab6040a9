"""The doctor on images with a planted ailment, on sound ones, on nets and on curves.

The default run uses drawn digits; `-m slow` examines everything in `ailments.py`, on whatever data is at hand.
"""

import functools
import json
import math
import os

import ailments
import pytest
import torch
from torch import nn

from gantutor import data, doctor, judge, models, strokes
from gantutor.ailments import AILMENTS
from gantutor.data import Images
from gantutor.errors import BadInput

N = 500


def digits(n: int, seed: int, name: str = "") -> Images:
    d = strokes.draw(n, seed)
    return Images(name, d.pixels / 127.5 - 1, d.digit, tuple("0123456789"))


@pytest.fixture(scope="module")
def train() -> Images:
    return digits(2000, 0, "strokes")


@pytest.fixture(scope="module")
def held() -> Images:
    return digits(1000, 1, "strokes")


@pytest.fixture(scope="module")
def sound() -> Images:
    return digits(1500, 2)


@pytest.fixture(scope="module")
def ward(sound, train) -> ailments.Ward:
    clouds = torch.rand(600, 1, 7, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    other = Images("", nn.functional.interpolate(clouds, 28, mode="bilinear"), torch.zeros(600).long(), ("clouds",))
    return ailments.Ward(sound, train, other, N, torch.Generator())


@pytest.fixture(scope="module")
def examine(train, held):
    def look(x, real=train, **options):
        return doctor.examine(x, real, **{"held_out": held, **options})

    return look


PLANTED = [
    ("healthy", "held-out images"),
    ("non_finite", "NaN in 5%"),
    ("range_mismatch", "[0, 1]"),
    ("range_mismatch", "inverted"),
    ("range_mismatch", "standardised"),
    ("total_collapse", "one image, noise 0.1"),
    ("total_collapse", "black"),
    ("memorisation", "with noise 0.05"),
    ("memorisation", "15% copies"),
    ("checkerboard", "checks 0.1"),
    ("noisy", "normal 0.2"),
    ("noisy", "normal 0.8"),
    ("noisy", "salt and pepper 3%"),
    ("blurred", "normal 1 px"),
    ("low_fidelity", "turned by 90°"),
    ("low_fidelity", "mean of two images"),
    ("low_fidelity", "another data set"),
    ("partial_collapse", "8 classes"),
    ("partial_collapse", "30 images"),
    ("mode_imbalance", "one class 30%"),
]


@pytest.mark.parametrize(("ailment", "variant"), PLANTED, ids=[f"{a}: {v}" for a, v in PLANTED])
def test_the_planted_ailment_is_the_first_finding(examine, ward, ailment, variant):
    ward.draw.manual_seed(len(variant))
    d = examine(ailments.PLANTS[ailment][variant](ward))
    assert (d.names[0] if d.names else "healthy") == ailment, str(d)
    assert all(name in AILMENTS for name in d.names)


def test_cases_that_are_not_in_the_table(examine, ward, train):
    ward.draw.manual_seed(0)
    x, copies = ward.some(), train.pixels[:N]
    dead = x.clone()
    dead[:, 0, [8, 9, 11, 12, 13, 15, 16, 18, 19], [12, 16, 9, 13, 18, 11, 15, 9, 14]] = -1
    one = x.clone()
    one[: N // 10] = x[0]
    small = nn.functional.avg_pool2d(x, 4)
    expected = [
        (copies.roll((1, 1), (2, 3)), "memorisation"),
        (copies.flip(3), "memorisation"),
        ((copies + 1) * 0.95 - 1, "memorisation"),
        (x * 0.5 - 0.5, "range_mismatch"),
        (torch.where(x > 0, 1.0, -1.0), "range_mismatch"),
        (dead, "noisy"),
        (nn.functional.interpolate(small, scale_factor=4), "checkerboard"),
        (one, "partial_collapse"),
    ]
    assert [examine(y).names[:1] for y, _ in expected] == [(name,) for _, name in expected]


@pytest.mark.parametrize("start", [0, 500, 1000])
def test_sound_images_raise_no_alarm(examine, sound, train, start):
    x = sound.pixels[start : start + N]
    assert examine(x, labels=sound.labels[start : start + N]).healthy
    assert examine(x, train.pixels, held_out=None).healthy
    assert examine(x, train.pixels[:300], held_out=None).healthy  # a small reference


def test_images_that_nobody_knows(sound, train):
    """Turned, so that no shipped judge knows them: with a judge of one's own, and with random features."""
    x, labels, real = sound.pixels[:N].flip(2), sound.labels[:N], train.pixels.flip(2)
    own = judge.fit(Images("", real, train.labels, train.classes), epochs=4)
    sighted = functools.partial(doctor.examine, real=real, judge=own)
    assert sighted(x, labels=labels).healthy
    assert sighted(x, labels=labels.roll(1)).names == ("labels_ignored",)
    assert sighted(x[labels != 3]).names == ("partial_collapse",)
    humble = doctor.examine(x, real, labels=labels)
    assert humble.healthy
    assert "random convolutions" in humble.judge
    assert "give real_labels" in humble.notes[0]
    assert doctor.examine(sound.pixels[sound.labels < 2].flip(2), real).names == ("partial_collapse",)


def test_labels_that_are_not_obeyed(examine, sound):
    x, labels = sound.pixels[:N], sound.labels[:N]
    d = examine(x, labels=labels.roll(1))
    assert d.names == ("labels_ignored",)
    assert d.findings[0].evidence[0].value == pytest.approx((labels == labels.roll(1)).double().mean().item(), abs=0.02)


def test_the_cause_comes_first_and_the_rest_follows_in_order(examine, ward, train):
    x = train.pixels[:N].clone()
    x = (x + 0.3 * ailments.tiles(x, 1, 1)).clamp(-1, 1) / 2
    x[0] = math.nan
    d = examine(x, history={"d_loss": [0.0] * 50})
    order = list(AILMENTS)
    assert d.names[:2] == ("non_finite", "range_mismatch")
    assert {"memorisation", "checkerboard", "discriminator_saturated"} <= set(d.names)
    assert list(d.names) == sorted(d.names, key=order.index)


def test_a_diagnosis_is_data_and_text(examine, ward):
    ward.draw.manual_seed(1)
    x = ward.normal(ward.some(), 0.3)
    x[0] = math.nan
    d = examine(x)
    content = json.loads(d.to_json())
    assert list(content) == ["data", "judge", "findings"]
    assert [list(finding) for finding in content["findings"]] == [
        ["name", "severity", "evidence", "meaning", "try", "lesson"]
    ] * len(d.findings)
    assert content["findings"][0]["evidence"][0]["value"] == pytest.approx(1 / N)
    for part in (d.data, d.judge, *d.names, *map(str, d.findings[0].evidence), *d.findings[0].to_try, *d.notes):
        assert part in str(d)
    assert examine(x) == d  # the same seed
    state = torch.get_rng_state()
    examine(x, seed=3)
    assert torch.equal(torch.get_rng_state(), state)


def test_numbers_that_are_not_finite_become_null():
    evidence = (doctor.Evidence("a", math.nan, "0"), doctor.Evidence("b", math.inf, "0"))
    d = doctor.Diagnosis((doctor.Finding("noisy", "mild", evidence),), "data", "judge")
    assert [e["value"] for e in json.loads(d.to_json())["findings"][0]["evidence"]] == [None, None]
    healthy = doctor.Diagnosis((), "data", "judge")
    assert json.loads(healthy.to_json())["findings"] == []
    assert "Healthy" in str(healthy)


# --- nets ------------------------------------------------------------------------------------------------------------


def learn(real, fake, steps: int, seed: int = 0) -> nn.Module:
    """A discriminator trained for real, on these images only."""
    torch.manual_seed(seed)
    D = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(128, 1))
    adam = torch.optim.Adam(D.parameters(), 2e-3)
    for _ in range(steps):
        i, j = torch.randint(len(real), (64,)), torch.randint(len(fake), (64,))
        loss = nn.functional.softplus(-D(real[i])).mean() + nn.functional.softplus(D(fake[j])).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return D


def plain(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 1))


@pytest.mark.parametrize(
    "D",
    [
        lambda x: torch.zeros(len(x)),
        lambda x: torch.full((len(x), 1), 0.5),
        lambda x: torch.randn(len(x)),
        models.mlp(seed=0)[1],
        models.dcgan(seed=1)[1],
        plain(0),
        plain(3),
    ],
    ids=["0", "0.5", "random", "mlp", "dcgan", "torch's own 0", "torch's own 3"],
)
def test_a_constant_or_untrained_discriminator_is_blind(examine, sound, D):
    assert examine(sound.pixels[:N], discriminator=D).names == ("discriminator_blind",)


def test_discriminators_that_have_learnt(examine, sound, train, held):
    x = sound.pixels[:N]
    spoiled = doctor.symptoms.halved(x)
    assert "discriminator_saturated" not in examine(spoiled, discriminator=learn(train.pixels, spoiled, 40)).names
    saturated = learn(train.pixels, torch.rand(500, 1, 28, 28) * 2 - 1, 300)
    noise = torch.rand(N, 1, 28, 28) * 2 - 1
    assert examine(noise, discriminator=saturated).names[-1] == "discriminator_saturated"
    few = train.pixels[:150]
    overfitted = learn(few, digits(2000, 9).pixels, 700)
    assert examine(x, few, discriminator=overfitted).names == ("discriminator_overfitting",)
    critic = learn(train.pixels, spoiled, 300)
    assert examine(x, discriminator=critic).healthy  # it has learnt something, and finds no fault in sound samples


def test_a_discriminator_is_left_as_it_was_through_any_wrapping(sound):
    x = sound.pixels[:N]
    D = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Dropout(), nn.Linear(784, 1)).double().train()
    before = {name: value.clone() for name, value in D.state_dict().items()}
    logits = [doctor.logits_of(discriminator, x) for discriminator in (D, D.forward, lambda y: D(y))]
    assert all(torch.equal(given, logits[0]) for given in logits)  # no dropout, and in its own type
    assert all(module.training for module in D.modules())
    assert all(torch.equal(value, before[name]) for name, value in D.state_dict().items())


def test_discriminators_that_fail_are_named(examine, sound):
    x = sound.pixels[:N]
    assert examine(x, discriminator=lambda y: torch.full((len(y),), math.nan)).names == ("non_finite",)
    D = nn.Sequential(nn.Flatten(), nn.Linear(784, 1))
    assert examine(x, discriminator=D.double()).names in ((), ("discriminator_blind",))  # asked in its own type
    for bad in (lambda y: y @ y.new_zeros(3, 3), lambda y: [1.0], lambda y: y[:0], 3, D.to("meta")):
        with pytest.raises(BadInput, match="the discriminator (failed|gave)"):
            doctor.logits_of(bad, x)


class Album(nn.Module):
    """A generator that shows sound images, in eval mode through batch norm's statistics, if need be wrong ones."""

    def __init__(self, pixels, off: float = 0.0):
        super().__init__()
        self.pixels, self.norm = pixels, nn.BatchNorm2d(1)
        self.norm.weight.data.fill_(pixels.std())
        self.norm.bias.data.fill_(pixels.mean())
        self.norm.running_mean.fill_(pixels.mean() + off)
        self.norm.running_var.fill_(pixels.var() * (1 + 2 * off))

    def forward(self, n: int):
        return self.norm(self.pixels[:n]).clamp(-1, 1)


def test_batch_norm_with_wrong_statistics_is_found_through_any_wrapping(examine, sound):
    x = sound.pixels[:N]
    assert examine(x, generator=Album(x)).healthy
    G = Album(x, off=0.8).train()
    before = {name: value.clone() for name, value in G.state_dict().items()}

    class Owner:
        net = None

        def draw(self, n):
            return self.net(n)

    owner = Owner()
    owner.net = G
    box = {"nets": [G]}
    for generator in (
        G, G.forward, owner.draw, lambda n: G(n), lambda n: box["nets"][0](n), functools.partial(Album.forward, G)
    ):  # fmt: skip
        assert doctor.nets_of(generator) == [G]
    assert examine(x, generator=owner.draw).names == ("train_eval_gap",)
    assert G.training
    assert all(torch.equal(value, before[name]) for name, value in G.state_dict().items())


def test_other_images_than_those_given_are_a_gap(examine, sound):
    x = sound.pixels[:N]
    assert examine(x, generator=lambda n: -x[:n]).names == ("train_eval_gap",)
    assert examine(None, generator=lambda n: sound.pixels[torch.randint(1500, (n,))]).names == ("partial_collapse",)


@pytest.mark.parametrize(
    "generator",
    [lambda n: 1 / 0, lambda n: torch.zeros(n, 1, 28, 28).numpy(), lambda n: torch.zeros(n, 3),
     lambda n: torch.rand(1, 1, 28, 28), lambda n: torch.rand(n, 2, 28, 28), 7, nn.Linear(3, 3)],
    ids=["raises", "numpy", "flat", "too few", "two channels", "no function", "wants z"],
)  # fmt: skip
def test_generators_that_fail_are_named(train, sound, generator):
    with pytest.raises(BadInput, match="generator|samples have"):
        doctor.examine(sound.pixels[:64], train.pixels[:200], generator=generator)


def test_a_generator_that_has_hardly_learnt_is_ailing(examine, train):
    from gantutor.train import Run

    run = Run(*models.mlp(), train.pixels)
    for _ in run.steps(20):
        pass
    assert not examine(run.sample(N)).healthy


# --- curves ----------------------------------------------------------------------------------------------------------


def noise(n: int, std: float, seed: int = 0) -> torch.Tensor:
    return std * torch.randn(n, generator=torch.Generator().manual_seed(seed))


T = torch.arange(1000.0)
CURVES = [
    ({"d_loss": 1.3 + noise(1000, 0.1), "g_loss": 0.9 + noise(1000, 0.2, 1)}, ()),
    ({"d_loss": 1.4 - 0.3 * (1 - torch.exp(-T / 200)) + noise(1000, 0.1)}, ()),
    ({"d_loss": -20 * torch.exp(-T / 300) + noise(1000, 1), "g_loss": noise(1000, 3)}, ()),  # a Wasserstein GAN
    ({"d_loss": [1.3, None, 1.2], "g_loss": []}, ()),
    ({"d_real": 0.6 + noise(100, 0.05), "d_fake": 0.4 + noise(100, 0.05, 1)}, ()),
    ({"d_real": 1 + noise(100, 1), "d_fake": -1 + noise(100, 1, 1)}, ()),
    ({"g_grad_norm": 0.2 + torch.exp(-T / 100)}, ()),
    ({"d_loss": 0.01 + noise(1000, 0.005).abs(), "g_loss": 6 + noise(1000, 1)}, ("discriminator_saturated",)),
    ({"d_real": torch.full((100,), 0.99), "d_fake": 0.01 + noise(100, 1e-3)}, ("discriminator_saturated",)),
    ({"d_real": 8 + noise(100, 1), "d_fake": -8 + noise(100, 1)}, ("discriminator_saturated",)),
    ({"d_loss": [torch.tensor(2 * math.log(2), requires_grad=True)] * 100}, ("discriminator_blind",)),
    ({"d_real": [0.5] * 100, "d_fake": [0.5] * 100}, ("discriminator_blind",)),
    ({"g_grad_norm": torch.exp(-T / 100)}, ("vanishing_generator_signal",)),
    ({"d_loss": 1.3 + 0.2 * torch.sin(T / 10) + noise(1000, 0.1)}, ("oscillation",)),
    ({"d_loss": 1.3 + T / 5000 * torch.sin(T / 20)}, ("oscillation",)),
    ({"anything": [0.0] * 59 + [math.inf]}, ("non_finite",)),
]  # fmt: skip


@pytest.mark.parametrize(("history", "names"), CURVES)
def test_curves(history, names):
    curves = {name: doctor.curve(name, values) for name, values in history.items()}
    patient = type("Patient", (), {"raw": torch.zeros(64, 1), "x": torch.zeros(64, 1), "notes": []})()
    found = [*doctor.infinities(patient, curves), *doctor.course(curves)]
    assert tuple(finding.name for finding in found) == names


@pytest.mark.parametrize("bad", [[1], "abc", {"d_loss": "abc"}, {"d_loss": 1.0}, {"d_loss": torch.ones(3, 2)}])
def test_a_history_that_is_none_is_named(train, sound, bad):
    with pytest.raises(BadInput, match="history"):
        doctor.examine(sound.pixels[:64], train.pixels[:200], history=bad)


# --- bad input -------------------------------------------------------------------------------------------------------


def test_bad_input_is_one_sentence(examine, sound):
    x = sound.pixels[:N]
    with pytest.raises(BadInput, match="neither samples nor a generator"):
        examine(None)
    with pytest.raises(BadInput, match="63 samples"):
        examine(x[:63])
    with pytest.raises(BadInput, match="seed"):
        examine(x, seed=-1)
    assert examine(x * math.inf).names == ("non_finite",)
    assert examine(x[:2].repeat(250, 1, 1, 1)).names == ("partial_collapse",)
    assert "resized" in examine(nn.functional.interpolate(x, 56)).notes[0]


# --- the whole table -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.hours
@pytest.mark.parametrize("reference", ailments.REFERENCES)
@pytest.mark.parametrize("name", data.NAMES)
def test_the_whole_table(name, reference):
    """95% right and no false alarm; the images of `mnist` and `fashion-mnist` where GANTUTOR_DATA names them."""
    if not os.environ.get("GANTUTOR_DATA"):
        pytest.skip("GANTUTOR_DATA names no folder of real images")
    exam = ailments.Exam(name, reference, N, seed=len(name) + len(reference))
    wrong, total = [], 0
    for ailment, variant, x in (*ailments.planted(exam.ward, exam.seed), *ailments.healthy(exam)):
        names, total = exam.examine(x).names, total + 1
        if (names[0] if names else "healthy") != ailment:
            wrong.append((ailment, variant, names))
    assert len(wrong) <= 0.05 * total, wrong
    assert "healthy" not in [ailment for ailment, _, _ in wrong], wrong
