"""The doctor on nets and on curves: generators, discriminators and histories, sound, sick or broken."""

import functools
import math

import pytest
import torch
from ailments import Album
from torch import nn

from gantutor import doctor, models
from gantutor.data import strokes
from gantutor.doctor import measures
from gantutor.doctor.nets import borrowed, net_tests
from gantutor.doctor.nets.discriminators import AnyDiscriminator
from gantutor.errors import BadInput

N = 500


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
    spoiled = measures.mismatched_halves(x)
    assert "discriminator_saturated" not in examine(spoiled, discriminator=learn(train.pixels, spoiled, 40)).names
    saturated = learn(train.pixels, torch.rand(500, 1, 28, 28) * 2 - 1, 300)
    noise = torch.rand(N, 1, 28, 28) * 2 - 1
    assert examine(noise, discriminator=saturated).names[-1] == "discriminator_saturated"
    few = train.pixels[:150]
    overfitted = learn(few, strokes.draw(2000, 9).pixels / 127.5 - 1, 700)
    assert examine(x, few, discriminator=overfitted).names == ("discriminator_overfitting",)
    taught = learn(train.pixels, spoiled, 300)
    assert examine(x, discriminator=taught).healthy  # it has learnt something, and finds no fault in sound samples
    assert examine(spoiled, discriminator=lambda y: 0.02 * taught(y)).names == ("low_fidelity",)  # whatever its scale
    reversed_ = examine(spoiled, discriminator=lambda y: -taught(y)).findings[-1]
    assert reversed_.name == "discriminator_blind"
    assert "exchanged" in reversed_.detail
    wasserstein = {"d_loss": [-3.0, -8.0] * 30}
    assert examine(noise, discriminator=saturated, history=wasserstein).names[-1] != "discriminator_saturated"
    certain = examine(noise, discriminator=lambda y: saturated(y).sigmoid())  # probabilities
    assert certain.names[-1] == "discriminator_saturated"


def test_packed_discriminators_are_asked_in_packs(examine, sound):
    for pack in (2, 3):
        D = models.mlp(pack=pack, seed=1)[1]
        assert net_tests.discriminator_outputs(AnyDiscriminator(D), sound.pixels[:401]).shape == (401 // pack,)
        assert examine(sound.pixels[:501], discriminator=D).names == ("discriminator_blind",)


def test_without_held_out_images_the_doctor_says_what_it_cannot_see(train, sound):
    d = doctor.examine(sound.pixels[:N], train, discriminator=lambda y: y.mean((1, 2, 3)) + y.std((1, 2, 3)))
    assert any("give held_out" in question for question in d.open)


def test_a_discriminator_is_left_as_it_was_through_any_wrapping(sound):
    x = sound.pixels[:N]
    D = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Dropout(), nn.Linear(784, 1)).double().train()
    before = {name: value.clone() for name, value in D.state_dict().items()}
    logits = [net_tests.discriminator_outputs(AnyDiscriminator(d), x) for d in (D, D.forward, lambda y: D(y))]
    assert all(torch.equal(given, logits[0]) for given in logits)  # no dropout, and in its own type
    assert all(module.training for module in D.modules())
    assert all(torch.equal(value, before[name]) for name, value in D.state_dict().items())


def test_discriminators_that_fail_are_named(examine, sound):
    x = sound.pixels[:N]
    assert examine(x, discriminator=lambda y: torch.full((len(y),), math.nan)).names == ("non_finite",)
    D = nn.Sequential(nn.Flatten(), nn.Linear(784, 1))
    assert examine(x, discriminator=D.double()).names == ("discriminator_blind",)  # asked in its own type
    for bad in (lambda y: y @ y.new_zeros(3, 3), lambda y: [1.0], lambda y: y[:0], 3, D.to("meta")):
        with pytest.raises(BadInput, match="the discriminator (failed|returned|is a int)"):
            net_tests.discriminator_outputs(AnyDiscriminator(bad), x)


def test_batch_norm_with_wrong_statistics_is_found_through_any_wrapping(examine, sound):
    x = sound.pixels[:N]
    assert examine(x, generator=Album(x)).healthy
    G = Album(x, shift=0.8, scale=2.6).train()
    before = {name: value.clone() for name, value in G.state_dict().items()}

    class Owner:
        net = None

        def draw(self, n):
            return self.net(n)

        def __call__(self, n):
            return self.net(n)

    owner = Owner()
    owner.net = G
    box = {"nets": [G]}

    def late(n):
        return unset(n) if n < 0 else G(n)

    wrapped = lambda n: (lambda: G(n))()  # noqa: E731
    for generator in (
        *(G, G.forward, owner, owner.draw, functools.partial(Album.forward, G), late),
        *(lambda n: G(n), lambda n, *, net=G: net(n), lambda n: box["nets"][0](n)),
        *(lambda n: torch.cat([G(n) for _ in range(1)]), lambda n: next(G(n) for _ in range(1)), wrapped),
    ):  # fmt: skip
        assert borrowed.nets_of(generator) == [G]
    for generator in (owner.draw, owner, lambda n: torch.cat([G(n) for _ in range(1)])):
        assert examine(x, generator=generator).names == ("train_eval_gap",)
    if not G.training:
        unset = G  # so that `late` refers to a variable that is not filled
    examine(None, generator=G)  # in eval mode, and nothing moves
    assert G.training
    assert all(torch.equal(value, before[name]) for name, value in G.state_dict().items())


def test_other_images_than_those_given_are_a_gap(examine, sound):
    x = sound.pixels[:N]
    assert examine(x, generator=lambda n: -sound.pixels[:n]).names == ("train_eval_gap",)
    assert examine(None, generator=lambda n: sound.pixels[torch.randint(1500, (n,))]).names == ("partial_collapse",)


def test_a_generator_with_random_numbers_of_its_own_is_no_gap(examine, sound):
    own = torch.Generator().manual_seed(0)
    assert examine(sound.pixels[:N], generator=lambda n: sound.pixels[torch.randperm(1500, generator=own)[:n]]).healthy


@pytest.mark.parametrize(
    "generator",
    [lambda n: 1 / 0, lambda n: [[0.5] * 784] * n, lambda n: torch.zeros(n, 3),
     lambda n: torch.rand(1, 1, 28, 28), lambda n: torch.rand(n, 2, 28, 28), 7, nn.Linear(3, 3)],
    ids=["raises", "numbers", "flat", "too few", "two channels", "no function", "wants z"],
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
