"""The monitor in loops as people write them: it names the fault, keeps still in the sound twin, and leaves no trace."""

import copy
import csv

import numpy as np
import pytest
import torch
from public_loops import EXCHANGED, FAULTS, G_FAST, LOOPS, Discriminator, Generator, pictures
from torch import nn

from gantutor import doctor
from gantutor.errors import BadInput

STEPS, EVERY = 300, 10


@pytest.fixture(scope="module")
def real():
    return pictures(1200)


def watched(loop: str, fault: str, seed: int, real: torch.Tensor, steps: int = STEPS) -> doctor.Monitor:
    def monitor_of(G, D, images):
        return doctor.Monitor(G, D, images, every=EVERY, count=128, say=None, seed=seed)

    return LOOPS[loop](real, steps, monitor_of, fault, seed)


@pytest.mark.parametrize(("loop", "fault"), [(loop, fault) for loop in LOOPS for fault in ("", *FAULTS[loop])])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
def test_a_fault_is_named_before_half_of_the_training_and_the_sound_twin_is_not_disturbed(real, loop, fault, seed):
    events = watched(loop, fault, seed, real, STEPS if not fault else STEPS // 2).events
    if fault:
        named = {event.name for event in events}
        assert named & FAULTS[loop][fault], events
        assert fault != EXCHANGED or "discriminator_saturated" not in named
    else:
        assert not events


@pytest.mark.parametrize("loop", ["dcgan", "wgan_gp"])
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (0, 2, 3, 4))])
def test_samples_that_leap_under_too_high_a_rate_of_g_are_named(real, loop, seed):
    def named(fault, steps):
        def monitor_of(G, D, images):
            return doctor.Monitor(G, D, images, every=30, count=128, say=None, seed=seed)

        return {event.name for event in LOOPS[loop](real, steps, monitor_of, fault, seed).events}

    assert named(G_FAST, 600) & {"instability", "total_collapse"}
    assert not named("", 600)


def course(n, leap, seed=0):
    """Distances and varieties of a sound training, times what leaps by so much from look to look."""
    noise = np.random.default_rng(seed).standard_normal((2, n))
    sound = np.array([0.3 + 3 * np.exp(-np.arange(n) / 8), 1 - np.exp(-np.arange(n) / 8)])
    return sound * np.exp(leap * noise)


@pytest.mark.parametrize(("leap", "named"), [(0.03, False), (0.08, False), (0.4, True), (0.6, True)])
def test_leaps_are_told_from_progress_and_from_chance(real, leap, named):
    of_few = torch.cat([torch.full((1140, 1, 16, 16), -0.95), real[:60]])  # most of the variance is that of a few
    for images, can_be_seen in ((real, True), (of_few, False)):
        onlooker = doctor.Monitor(Generator(), None, images, count=256, say=None).onlookers[""]
        found = list(onlooker.judge_course(*(10 * course(40, leap))))
        assert [finding.name for finding in found] == ["instability"] * (named and can_be_seen)
        distances, varieties = course(40, leap)
        assert not list(onlooker.judge_course(np.full(40, 5.0), varieties))  # an odd batch is no leap of both
        assert not list(onlooker.judge_course(distances / 100, varieties))  # nearer than real images are


def test_the_training_goes_on_as_it_would_without(real):
    class Nobody:
        def step(self, **numbers):
            self.last = {name: float(x.detach() if isinstance(x, torch.Tensor) else x) for name, x in numbers.items()}

    alone = LOOPS["dcgan"](real, 24, lambda G, D, images: Nobody()).last
    monitor = LOOPS["dcgan"](real, 24, lambda G, D, images: doctor.Monitor(G, D, images, every=2, count=64, say=None))
    assert {name: column[-1][1] for name, column in monitor.columns.items()} == pytest.approx(alone, abs=0)


def test_a_look_leaves_the_nets_and_the_random_stream_as_they_were(real):
    G, D = Generator(), Discriminator()
    D.eval()
    monitor = doctor.Monitor(G, D, real, every=1, count=64, say=None)
    before = copy.deepcopy(G.state_dict())
    torch.manual_seed(3)
    expected = torch.rand(())
    torch.manual_seed(3)
    monitor.look()
    assert torch.rand(()) == expected
    assert G.training
    assert not D.training
    assert all(torch.equal(x, before[name]) for name, x in G.state_dict().items())


def test_looks_take_their_share_of_the_time(real, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("gantutor.doctor.monitor.time.perf_counter", lambda: now[0])
    monitor = doctor.Monitor(Generator(), None, real, share=0.02, count=64, say=None)
    monkeypatch.setattr(monitor, "announce", lambda *_: now.__setitem__(0, now[0] + 1.0))  # a look of a second
    for _ in range(10_000):
        now[0] += 0.1  # a step
        monitor.step(d_loss=1.2, g_loss=0.9)
    looks = len(monitor.rows)
    assert 16 <= looks <= 18  # of 1,000 seconds two percent, less what is kept for storing the losses
    assert looks / now[0] <= 0.02


def test_a_step_does_not_read_a_tensor_before_a_look(real):
    class Unread(torch.Tensor):
        read = 0

        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            if function in (torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.__float__, torch.Tensor.__bool__):
                cls.read += 1
            return super().__torch_function__(function, types, args, kwargs or {})

    monitor = doctor.Monitor(Generator(), None, real, every=5, count=64, say=None)
    for _ in range(4):
        monitor.step(d_loss=torch.tensor(1.0).as_subclass(Unread))
    assert Unread.read == 0
    assert not monitor.columns
    monitor.step(d_loss=torch.tensor(1.0).as_subclass(Unread))
    assert len(monitor.columns["d_loss"]) == 5


def test_nan_is_said_at_once(real):
    said = []
    monitor = doctor.Monitor(Generator(), None, real, every=2, count=64, say=said.append)
    monitor.step(d_loss=1.0)
    monitor.step(d_loss=float("nan"))
    assert [event.name for event in monitor.events] == ["non_finite"]
    assert "step 2: non finite" in said[0]
    for _ in range(20):
        monitor.step(d_loss=float("nan"))
    assert sum("non finite" in sentence for sentence in said) == 1


def test_what_has_gone_is_said(real):
    monitor = doctor.Monitor(Generator(), None, real, every=1, count=64, say=None)
    for value in [90.0] * 20 + [1.0] * 100:
        monitor.step(d_loss=value, g_loss=1e-4 if value > 2 else 1.0)
    told = [event for event in monitor.events if event.name == "discriminator_fooled"]
    assert len(told) == 2
    assert told[1].text.startswith("This has gone")


def changed(*nets):
    with torch.no_grad():
        for net in nets:
            next(net.parameters()).add_(1e-4)


def test_nets_whose_weights_do_not_change_are_named_once(real):
    G, D = ({name: kind() for name in "AB"} for kind in (Generator, Discriminator))
    monitor = doctor.Monitor(G, D, real, every=10, count=64, say=None)
    for step in range(200):
        changed(*G.values(), D["A"], *([D["B"]] if step < 50 else []))
        monitor.step()
    told = [event for event in monitor.events if event.name == "unchanged"]
    assert [event.step for event in told] == [150]
    assert "weights of D B have not changed since step 50" in told[0].text


def test_nets_that_are_not_trained_directly_may_stay_as_they_are(real):
    average = copy.deepcopy(Generator()).requires_grad_(False)
    seldom, D = Generator(), Discriminator()  # as in WGAN's loop
    function = Generator(), Generator()
    for G in (average, seldom, lambda n: function[0](torch.randn(n, 16, 1, 1))):
        monitor = doctor.Monitor(G, D, real, every=10, count=64, say=None)
        for step in range(200):
            changed(D, *([seldom, function[1]] if step % 50 == 49 else []))
            monitor.step()
        assert not [event for event in monitor.events if event.name == "unchanged"]


def test_a_discriminator_that_is_sure_of_the_opposite_is_not_called_saturated(real):
    def darkness(x):  # an untrained G's samples are brighter
        return 20 * (x.mean((1, 2, 3)) + 0.5)

    for D, expected in ((darkness, "discriminator_blind"), (lambda x: -darkness(x), "discriminator_saturated")):
        monitor = doctor.Monitor(Generator(), D, real, every=5, count=64, say=None)
        for _ in range(100):
            monitor.step(d_loss=0.001, g_loss=6.0)
        told = {event.name: event.text for event in monitor.events}
        assert expected in told
        assert len({"discriminator_blind", "discriminator_saturated"} & set(told)) == 1
        assert ("exchanged" in told[expected]) == (expected == "discriminator_blind")


def test_the_report_is_a_diagnosis_of_everything(real):
    monitor = doctor.Monitor(Generator(), None, real, every=50, count=64, say=None)
    for _ in range(60):
        monitor.step(d_loss=90.0, g_loss=0.0)
    assert "discriminator_fooled" in monitor.report().names
    assert "total_collapse" in monitor.report().names  # of a G that was not trained


def test_of_a_long_training_every_so_many_steps_are_kept_and_reported_as_they_were(real):
    monitor = doctor.Monitor(Generator(), None, real, every=10**9, count=64, say=None)
    for step in range(20_000):
        monitor.step(d_loss=1.2 if step < 12_000 else 90.0, g_loss=1.0 if step < 12_000 else 0.0)
    (fooled,) = [finding for finding in monitor.report().findings if finding.name == "discriminator_fooled"]
    assert abs(fooled.since - 12_000) <= 400
    steps = monitor.log().games[""]["d_loss"].steps
    assert 4000 <= len(steps) <= 8000
    assert set(steps[1:] - steps[:-1]) == {4}


def test_a_table_is_kept(real, tmp_path):
    monitor = doctor.Monitor(Generator(), None, real, every=2, count=64, say=None, csv=tmp_path / "log.csv")
    for step in range(6):
        monitor.step(d_loss=float(step), note=1.0)
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["d_loss"] for row in rows] == ["0.5", "2.5", "4.5"]  # means since the last look
    assert [row["step"] for row in rows] == ["2.0", "4.0", "6.0"]
    assert all(float(row["distance"]) > 0.5 for row in rows)


def test_tensorboard_is_written(real, tmp_path):
    monitor = doctor.Monitor(Generator(), None, real, every=2, count=64, say=None, tensorboard=tmp_path)
    for step in range(30):
        monitor.step(d_loss=float(step), g_loss=1.0)
    from gantutor.doctor.logs import training_log

    assert training_log.read(tmp_path).games[""]["d_loss"].values.tolist()[:2] == [0.5, 2.5]


def test_listeners_hear_of_each_look(real):
    monitor, heard = doctor.Monitor(Generator(), None, real, every=3, count=64, say=None), []
    monitor.listeners.append(lambda watched: heard.append(watched.steps))
    for _ in range(9):
        monitor.step(d_loss=1.0)
    assert heard == [3, 6, 9]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"real": None}, "no real images"),
        ({"real": torch.rand(10, 1, 16, 16)}, "there are 10 real images"),
        ({"G": {"A": Generator()}, "D": {"B": Discriminator()}}, "give the same ones"),
        ({"G": (Generator(), Generator()), "D": [Discriminator()]}, "G has 2 nets, and D has 1: give a D for each"),
        ({"G": nn.Linear(16, 3)}, "the real images are"),
        ({"count": 10}, "count"),
        ({"share": 0}, "share"),
    ],
)
def test_what_does_not_fit_is_told_before_the_training(real, change, said):
    with pytest.raises(BadInput, match=said):
        doctor.Monitor(**{"G": Generator(), "D": None, "real": real} | change)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.ones(3), r"d_loss is a tensor of shape \(3,\)"),
        ([0.5, 0.9], r"d_loss is \[0.5, 0.9\]"),
        (np.ones(2), r"d_loss is array\(\[1., 1.\]\)"),
        ({"real": 0.5}, "d_loss is {'real': 0.5}"),
        ("low", "d_loss is 'low'"),
        (1j, "d_loss is 1j"),
    ],
)
def test_a_loss_that_is_no_number_is_named_when_it_is_given(real, value, said):
    monitor = doctor.Monitor(Generator(), None, real, every=10**9, count=64, say=None)
    with pytest.raises(BadInput, match=f"{said}: give one number a step"):
        monitor.step(d_loss=value)
    assert monitor.steps == 0


def test_numbers_may_have_the_names_of_the_table_s_own_columns(real):
    monitor = doctor.Monitor(Generator(), None, real, every=2, count=64, say=None)
    for step in range(4):
        monitor.step(step=100 + step, distance=-1.0, d_loss=np.float32(1.0), g_loss=torch.ones(1, 1))
    assert [row["step"] for row in monitor.rows] == [2, 4]
    assert [row["step given"] for row in monitor.rows] == [100.5, 102.5]
    assert all(row["distance"] > 0 > row["distance given"] for row in monitor.rows)
    assert monitor.rows[0]["g_loss"] == 1


# --- several games ----------------------------------------------------------------------------------------------------


class Painter(nn.Module):
    """Turns any picture into one of a single grey."""

    def __init__(self, grey):
        super().__init__()
        self.layer, self.grey = nn.Conv2d(1, 1, 1), grey

    def forward(self, x):
        return torch.full_like(x, self.grey) * (x.mean() < 0) + torch.zeros_like(self.layer(x)).detach()


def test_translators_in_tuples_turn_a_into_b_and_b_into_a(real):
    asked = {"A": [], "B": []}
    D = [lambda x, name=name: asked[name].append(x) or x.mean((1, 2, 3)) for name in "AB"]
    pairs = (Painter(-0.9), Painter(0.9)), D, (real, -real)  # dark pictures, A, and bright ones, B
    for G, D, images in (pairs, [list(pair) for pair in pairs], (nn.ModuleList(pairs[0]), *pairs[1:])):
        monitor = doctor.Monitor(G, D, images, every=1, count=64, say=None)
        assert monitor.onlookers["B"].G(64).mean() == pytest.approx(-0.9)  # G_AB was given dark pictures
        assert monitor.onlookers["A"].G(64).abs().max() == 0  # G_BA was given bright ones
        for name, mean in (("A", real.mean()), ("B", -real.mean())):
            assert monitor.onlookers[name].real.mean() == pytest.approx(mean.item(), abs=0.02)
            assert asked[name][0].mean() == pytest.approx(mean.item(), abs=0.05)
            asked[name].clear()


def test_nets_in_tuples_that_start_from_noise_are_in_the_order_of_their_images(real):
    G, D = (Generator(), Generator()), (Discriminator(), Discriminator())
    for given in (G, dict(zip("AB", G, strict=True)), nn.ModuleDict(dict(zip("AB", G, strict=True)))):
        discriminators = D if isinstance(given, tuple) else dict(zip("AB", D, strict=True))
        monitor = doctor.Monitor(given, discriminators, real, every=1, count=64, say=None)
        for name, net, judge in zip("AB", G, D, strict=True):
            assert monitor.onlookers[name].G.given is net
            assert monitor.onlookers[name].D.given is judge
