"""Every figure of an ensemble against S ordinary runs with the same seeds."""

import dataclasses

import pytest
import torch
from tape import stand_in
from torch import nn

from gantutor import losses, metrics, models, penalties, train
from gantutor.data import Images, strokes, toy
from gantutor.errors import BadInput, OutOfMemory
from gantutor.scale import Ensemble, ensemble
from gantutor.train import PLANE, Recipe, Run, validate

POINTS = toy.grid().sample(200, seed=0).double()
PIXELS = torch.rand(32, 1, 28, 28, generator=torch.Generator().manual_seed(0)).double() * 2 - 1
RECIPE = Recipe(batch_size=8, penalty_every=3, ema_decay=0.9)
SEEDS = dict(seeds=0, order_seeds=[7, 8, 9], noise_seeds=[1, 5, 3])


def pair(seed=0, **changes):
    sizes = dict(shape=(2,), latent_dim=3, g_hidden=(16, 16), d_hidden=(16, 16), output="linear") | changes
    return tuple(net.double() for net in models.mlp(seed=seed, **sizes))


def maxout(seed):
    G = models.MLPGenerator(2, (12, 12), (2,), output="linear", seed=seed)
    return G.double(), models.MLPDiscriminator((9, 9), (2,), maxout=3, pack=2, seed=seed + 1).double()


def normed(seed):
    return pair(seed)[0], models.MLPDiscriminator((16,), (2,), batch_norm=True, seed=seed + 1).double()


def small_dcgan(seed, **changes):
    sizes = dict(latent_dim=3, g_width=2, d_width=2, hidden=4) | changes
    return tuple(net.double() for net in models.dcgan(seed=seed, **sizes))


class OwnD(nn.Module):
    """A stranger's net: (B, 1) logits, one weight used twice, and a buffer that counts."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second, self.last = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1)
        self.second.weight = self.first.weight
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.count.add_(self.training)
        return self.last(self.second(self.first(x).tanh()).tanh())


def own(seed):
    with torch.random.fork_rng(devices=[]):
        return pair(seed)[0], OwnD(seed).double()


def jittered(D, real, fake):
    """A penalty of one's own that draws like the examples."""
    return penalties.r1(D, real + 0.1 * torch.randn_like(real), fake + 0.1 * torch.randn(size=fake.shape).to(fake))


def numbers(thing):
    return torch.cat([value.detach().flatten().double() for value in thing.state_dict().values()])


def assert_equal_to_runs(make, recipe, data=POINTS, steps=20):
    pairs = [make(2 * i) for i in range(3)]
    together = Ensemble(pairs, data, recipe, **SEEDS)
    taken = list(together.steps(steps))
    for i, nets in enumerate(pairs):
        run = Run(*nets, data, recipe, order_seed=SEEDS["order_seeds"][i], noise_seed=SEEDS["noise_seeds"][i])
        for ours, theirs in zip(taken, run.steps(steps), strict=True):
            assert ours.index == theirs.index
            for name in ("d_loss", "g_loss", "real_logits", "fake_logits"):
                torch.testing.assert_close(getattr(ours, name)[i], getattr(theirs, name), rtol=0, atol=1e-9)
        for net, wanted in zip((*together.member(i), together.member(i, averaged=True)[0]),
                               (run.G, run.D, run.G_ema), strict=True):  # fmt: skip
            assert type(net) is type(wanted)
            torch.testing.assert_close(numbers(net), numbers(wanted), rtol=0, atol=1e-9)
        for averaged in (True, False):
            ours = together.sample(1100, seed=4, averaged=averaged)[i]
            torch.testing.assert_close(ours, run.sample(1100, seed=4, averaged=averaged), rtol=0, atol=1e-9)


CASES = {
    **{f"loss {name}": (pair, dict(loss=loss)) for name, loss in losses.LOSSES.items()},
    **{f"penalty {name}": (pair, dict(penalty=function)) for name, function in penalties.PENALTIES.items()},
    "no penalty": (pair, dict(penalty=None)),
    "a penalty of one's own": (pair, dict(penalty=jittered, penalty_every=1)),
    "several D steps": (pair, dict(d_steps=2, penalty=penalties.wgan_gp, penalty_every=1)),
    "unrolled": (pair, dict(unroll=3)),
    "packed": (lambda seed: pair(seed, pack=2), dict(penalty=penalties.wgan_gp, loss=losses.RELATIVISTIC)),
    "minibatch standard deviation": (lambda seed: pair(seed, minibatch_std=16), dict(penalty=penalties.r1_r2)),
    "spectral norm": (lambda seed: pair(seed, spectral=True), dict(unroll=1, loss=losses.HINGE)),
    "no batch norm": (lambda seed: pair(seed, batch_norm=False), dict(penalty=penalties.r1_r2, penalty_every=1)),
    "batch norm in D": (normed, dict(penalty=None)),
    "maxout": (maxout, dict(unroll=1)),
    "R3GAN": (lambda seed: pair(seed, batch_norm=False), dataclasses.asdict(train.R3GAN) | dict(batch_size=8)),
    "nets of one's own": (own, dict(unroll=1)),
}
CASES["R3GAN"][1]["loss"] = train.R3GAN.loss


@pytest.mark.parametrize(("make", "changes"), CASES.values(), ids=CASES)
def test_each_member_is_a_run_of_its_own(make, changes):
    assert_equal_to_runs(make, dataclasses.replace(RECIPE, **changes))


@pytest.mark.parametrize("changes", [{}, dict(pack=2, minibatch_std=2)], ids=["plain", "packed"])
def test_each_member_is_a_run_of_its_own_on_images(changes):
    assert_equal_to_runs(lambda seed: small_dcgan(seed, **changes), RECIPE, PIXELS, steps=3)
    assert_equal_to_runs(lambda seed: pair(seed, shape=(1, 28, 28), output="tanh", **changes), RECIPE, PIXELS, steps=3)


def test_other_optimizers_take_the_steps_of_runs():
    def with_sgd(run):
        run.opt_d = torch.optim.SGD(run.D.parameters(), lr=0.1, momentum=0.5)
        run.opt_g = torch.optim.RMSprop(run.G.parameters(), lr=1e-3)
        return run

    recipe = dataclasses.replace(RECIPE, lr_d=0.1, decay_from=0.5)
    pairs = [pair(i) for i in range(2)]
    together = with_sgd(Ensemble(pairs, POINTS, recipe, seeds=3))
    list(together.steps(10))
    for i, nets in enumerate(pairs):
        run = with_sgd(Run(*nets, POINTS, recipe, seed=3 + i))
        list(run.steps(10))
        torch.testing.assert_close(numbers(together.member(i)[0]), numbers(run.G), rtol=0, atol=1e-9)


def first_turn(pairs=None, **seeds):
    together = Ensemble(pairs or [pair(), pair()], POINTS, RECIPE, **(dict(seeds=[0, 0]) | seeds))
    return together.sample(4, averaged=False), together.batch()[0], together.noise()


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        (dict(), (False, False, False)),
        (dict(pairs=[pair(), pair(1)]), (True, False, False)),
        (dict(order_seeds=[0, 1]), (False, True, False)),
        (dict(noise_seeds=[0, 1]), (False, False, True)),
        (dict(seeds=0), (False, True, True)),
    ],
)
def test_each_kind_of_seed_varies_one_thing(changes, moved):
    sample, batch, noise = first_turn(**changes)
    differ = [not torch.equal(*x.unflatten(0, (2, -1))) for x in (sample.flatten(0, 1), batch, noise)]
    assert tuple(differ) == moved
    for kept, now in zip(first_turn(), (sample, batch, noise), strict=True):  # member 0 is as it always was
        assert torch.equal(now.unflatten(0, (2, -1))[0], kept.unflatten(0, (2, -1))[0])


def test_the_pairs_and_the_global_random_state_are_left_alone():
    pairs = [pair(), pair(2)]
    before = [numbers(net) for nets in pairs for net in nets]
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    together = Ensemble(pairs, POINTS, dataclasses.replace(RECIPE, penalty=penalties.wgan_gp), seeds=0)
    list(together.steps(4))
    together.sample(3)
    assert torch.equal(torch.rand(3), expected)
    after = [numbers(net) for nets in pairs for net in nets]
    assert all(map(torch.equal, before, after))
    G, _ = together.member(1)
    with torch.no_grad():
        G.net[0].weight.zero_()
    assert together.member(1)[0].net[0].weight.abs().max() > 0


def test_shapes_and_length():
    together = Ensemble([pair(i, pack=2) for i in range(3)], POINTS, RECIPE, seeds=0)
    step = next(together.steps(1))
    assert len(together) == 3
    assert step.d_loss.shape == step.g_loss.shape == (3,)
    assert step.real_logits.shape == step.fake_logits.shape == (3, 4)
    assert together.sample(5).shape == (3, 5, 2)


def test_single_precision_and_images_with_labels():
    pixels = PIXELS.float()
    data = Images("test", pixels, torch.arange(32) % 2, ("a", "b"))
    pairs = [models.mlp(latent_dim=3, g_hidden=(8,), d_hidden=(8,), seed=i) for i in range(2)]
    together = Ensemble(pairs, data, RECIPE, seeds=0)
    list(together.steps(2))
    run = Run(*pairs[1], data, RECIPE, seed=1)
    list(run.steps(2))
    torch.testing.assert_close(together.sample(3)[1], run.sample(3), rtol=1e-4, atol=1e-5)


def test_a_captured_ensemble_takes_the_steps_of_an_eager_one(monkeypatch):
    recipe = dataclasses.replace(RECIPE, penalty=penalties.wgan_gp, decay_from=0.3)
    eager = Ensemble([pair(), pair(2)], POINTS, recipe, seeds=0)
    stand_in(monkeypatch)
    monkeypatch.setattr(validate, "choose_capture", lambda *_: True)
    captured = Ensemble([pair(), pair(2)], POINTS, recipe, seeds=0)
    for a, b in zip(eager.steps(7), captured.steps(7), strict=True):
        torch.testing.assert_close(b.d_loss, a.d_loss, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(b.real_logits, a.real_logits, rtol=1e-6, atol=1e-6)


def test_what_an_ensemble_takes_for_the_packages_own(monkeypatch):
    seen = []
    monkeypatch.setattr(validate, "choose_capture", lambda capture, device, own: seen.append(own))
    Ensemble([pair()], POINTS, RECIPE, seeds=0)
    Ensemble([own(0)], POINTS, RECIPE, seeds=0)
    assert seen == [True, False]


class Waiting(OwnD):
    def forward(self, x):
        return super().forward(x) * (2 if x.mean().item() > 5 else 1)


class Dropping(OwnD):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.5, self.training))


def waiting(real, fake):
    return (fake - real).mean() * (2 if real.mean() > 5 else 1)


def drawing(draw):
    """A recipe with a penalty that draws numbers in its own way."""

    def penalty(D, real, fake):
        draw(real)
        return penalties.r1(D, real, fake)

    return dataclasses.replace(RECIPE, penalty=penalty, penalty_every=1)


BAD = {
    "no pairs": (dict(pairs=[]), "there are no pairs"),
    "one pair, no list": (dict(pairs=pair()), r"pair 0 is MLPGenerator: give a list of pairs"),
    "a G alone": (dict(pairs=[(pair()[0],)]), "pair 0 is tuple"),
    "not iterable": (dict(pairs=None), "pair 0 is NoneType"),
    "other width": (dict(pairs=[pair(), pair(1, d_hidden=(8,))]), r"D of pair 1 has another hidden, \[8\], than that"),
    "other activation": (
        dict(pairs=[pair(), (pair()[0], models.MLPDiscriminator((16, 16), (2,), activation="tanh").double())]),
        "D of pair 1 has another activation, 'tanh', than",
    ),
    "other class": (dict(pairs=[pair(), (pair()[0], OwnD(0).double())]), "D of pair 1 has another class, OwnD, than"),
    "other number": (dict(pairs=[pair(), tuple(net.float() for net in pair(1))]), "G of pair 1 has other layers than"),
    "conditional": (dict(pairs=[pair(classes=3)]), "G of pair 0 is conditional"),
    "too few seeds": (dict(seeds=[1]), "seeds has 1 numbers for 2 pairs"),
    "too many orders": (dict(order_seeds=[1, 2, 3]), "order_seeds has 3 numbers for 2 pairs"),
    "half a seed": (dict(noise_seeds=[0, 0.5]), "noise_seeds is 0.5"),
    "no seed": (dict(seeds=None), "seeds is None"),
    "other data": (dict(data=PIXELS), r"G makes examples of shape \(2,\), but the data has \(1, 28, 28\)"),
    "other precision": (dict(data=POINTS.float()), "the data is torch.float32, but the weights of G are torch.float64"),
    "waiting": (dict(pairs=[(pair()[0], Waiting(0).double())]), "these nets, or the loss .* cannot be stacked"),
    "dropout": (dict(pairs=[(pair()[0], Dropping(0).double())]), "these nets, or the loss .* cannot be stacked"),
    "a loss that waits": (
        dict(recipe=dataclasses.replace(RECIPE, loss=losses.LOSSES["hinge"]._replace(name="own", d=waiting))),
        "these nets, or the loss 'own', cannot be stacked",
    ),
    "draws one": (dict(recipe=drawing(lambda x: torch.rand(1))), r"draws numbers of shape \(1,\)"),
    "draws a number": (dict(recipe=drawing(lambda x: torch.rand(()))), r"draws numbers of shape \(\)"),
    "draws otherwise": (dict(recipe=drawing(lambda x: x.clone().uniform_())), "draws with uniform_"),
    "draws integers": (dict(recipe=drawing(lambda x: torch.randint(2, (len(x),)))), "draws with randint"),
    "packs": (dict(pairs=[pair(pack=3)], seeds=[0]), "batch_size is 8, but D judges packs of 3"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named(changes, message):
    given = dict(pairs=[pair(), pair(1)], data=POINTS, recipe=RECIPE, seeds=0) | changes
    with pytest.raises(BadInput, match=message) as caught:
        next(Ensemble(given.pop("pairs"), given.pop("data"), given.pop("recipe"), **given).steps(1))
    assert "\n" not in str(caught.value)


def test_memory_that_runs_out_is_no_fault_of_the_nets():
    class Hungry(OwnD):
        def forward(self, x):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried")

    class Late(OwnD):  # the first look, at a single member, is in eval mode
        def forward(self, x):
            return Hungry.forward(self, x) if self.training else super().forward(x)

    with pytest.raises(OutOfMemory):
        Ensemble([(pair()[0], Late(0).double())], POINTS, RECIPE, seeds=0)


def test_members_keep_the_arguments_they_were_made_with():
    pairs = [pair(0), pair(2)]
    together = Ensemble(pairs, POINTS, RECIPE, seeds=0)
    assert [[net.config for net in together.member(i)] for i in range(2)] == [[n.config for n in p] for p in pairs]


def test_a_member_that_is_not_there_is_named():
    together = Ensemble([pair()], POINTS, RECIPE, seeds=0)
    for i in (1, -1):
        with pytest.raises(BadInput, match=f"the member is {i}"):
            together.member(i)


def test_thin_and_wide_products_are_those_of_torch():
    generator = torch.Generator().manual_seed(0)
    for wide, out in ((2, 16), (16, 2), (16, 1), (1, 1), (16, 16)):
        h, w, b = (torch.randn(*s, generator=generator).double() for s in ((3, 5, wide), (3, out, wide), (3, out)))
        for bias in (b, None):
            wanted = [nn.functional.linear(h[i], w[i], None if bias is None else b[i]) for i in range(3)]
            torch.testing.assert_close(ensemble.linear(h, w, bias), torch.stack(wanted))


@pytest.mark.slow
@pytest.mark.hours
@pytest.mark.parametrize("mixture", [toy.ring(), toy.grid()], ids=lambda mixture: mixture.name)
def test_the_recipe_for_the_plane_loses_no_mode_in_any_member(mixture):
    pairs = [models.plane(seed=2 * s) for s in range(3)]
    ensemble = Ensemble(pairs, mixture.sample(100_000, 0) / mixture.spread, PLANE, seeds=0)
    for _ in ensemble.steps(6000):
        pass
    for points in mixture.spread * ensemble.sample(2500, seed=1):
        found = metrics.mixture_coverage(points, mixture)
        assert found.modes == found.of
        assert found.high_quality > 0.7
        assert found.reverse_kl < 0.08


def test_an_ensemble_on_bytes_is_that_on_floats():
    drawn = strokes.draw(100, seed=0)
    stored = Images("strokes", drawn.pixels, drawn.digit, tuple("0123456789"))
    as_floats = Images("strokes", stored.pixels, drawn.digit, stored.classes)
    pairs = [models.mlp(g_hidden=(16,), d_hidden=(16,), seed=s) for s in (0, 2)]
    runs = [Ensemble(pairs, images, seeds=0) for images in (stored, as_floats)]
    ends = [torch.stack([step.d_loss for step in run.steps(5)]) for run in runs]
    assert runs[0].examples.dtype == torch.uint8
    assert torch.equal(*ends)
    assert torch.equal(*(run.sample(3) for run in runs))
