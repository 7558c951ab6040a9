"""From pictures back to latents."""

import pytest
import torch

from gantutor import data, models, train
from gantutor.errors import BadInput
from gantutor.metrics import classifier
from gantutor.runs import pretrained
from gantutor.train import invert


@pytest.fixture(scope="module")
def G():
    return pretrained.generator("digits")


def test_what_g_has_drawn_is_found_again(G):
    picture = train.sample(G, 1, seed=5, labels=3)[0]
    found = invert.invert(G, picture, label=3, steps=150)
    apart = (train.sample(G, 40, seed=6, labels=3) - picture).square().flatten(1).mean(1).min()
    assert found.error < 0.2 * apart
    assert found.label == 3
    drawn = G(found.z[None], torch.tensor([3]))[0]
    torch.testing.assert_close(drawn, found.image, rtol=1e-4, atol=1e-4)
    assert found.error == pytest.approx((drawn - picture).square().mean().item(), rel=1e-3)
    assert found.z.square().mean() < 2


def test_the_search_does_not_begin_where_the_picture_was_drawn(G):
    picture = train.sample(G, 1, seed=0, labels=3)[0]
    at_first = invert.invert(G, picture, label=3, seed=0, steps=1, lr=1e-6)
    assert at_first.error > 0.05


def test_more_starts_are_never_worse_and_features_come_closer(G):
    real = data.load("strokes", "test")[7]
    label = int(data.load("strokes", "test").labels[7])
    judge = classifier.load("mnist")
    one, eight = (invert.invert(G, real, label=label, steps=60, starts=n) for n in (1, 8))
    assert eight.error <= one.error * 1.001
    seen = invert.invert(G, real, label=label, steps=60, features=judge.features)

    def apart(found):
        with torch.no_grad():
            return (judge.features(found.image[None]) - judge.features(real[None])).square().mean()

    assert apart(seen) < apart(eight)


def test_tuning_draws_the_picture_itself_and_leaves_g_alone(G):
    real = data.load("strokes", "test")[7]
    found = invert.invert(G, real, label=3, steps=60)
    before = [p.clone() for p in G.parameters()]
    mine = invert.tuned(G, found, real, steps=150)
    drawn = mine(found.z[None], torch.tensor([3]))[0]
    assert (drawn - real).square().mean() < 0.2 * found.error
    assert all(torch.equal(old, new) for old, new in zip(before, G.parameters(), strict=True))
    assert not any(p.requires_grad for p in mine.parameters())
    others = [train.sample(net, 20, seed=9) for net in (G, mine)]
    assert (others[0] - others[1]).square().mean() < 0.05  # two digits of a class are 0.4 apart


def test_state_is_given_back():
    G, _ = models.mlp(seed=1)
    G.train()
    invert.invert(G, torch.zeros(1, 28, 28), steps=2, starts=2)
    assert G.training
    assert all(p.requires_grad and p.grad is None for p in G.parameters())
    judge = classifier.Classifier().eval()
    invert.invert(G, torch.zeros(1, 28, 28), steps=2, starts=2, features=judge.features)
    assert all(p.grad is None for p in judge.parameters())


def test_bad_input(G):
    with pytest.raises(BadInput, match=r"the picture is \(3, 28, 28\), but G draws \(1, 28, 28\)"):
        invert.invert(G, torch.zeros(3, 28, 28), label=0)
    with pytest.raises(BadInput, match="this generator is conditional: say with label"):
        invert.invert(G, torch.zeros(1, 28, 28))
    with pytest.raises(BadInput, match="give one image, such as"):
        invert.invert(G, torch.zeros(1, 28, 28, dtype=torch.uint8), label=0)
    with pytest.raises(BadInput, match="values go from 0 to 255"):
        invert.invert(G, torch.zeros(1, 28, 28).index_fill(2, torch.tensor([3]), 255.0), label=0)
    with pytest.raises(BadInput, match="starts is 0"):
        invert.invert(G, torch.zeros(1, 28, 28), label=0, starts=0)
    with pytest.raises(BadInput, match="the labels"):
        invert.invert(G, torch.zeros(1, 28, 28), label=10)
    with pytest.raises(BadInput, match=r"the features of the picture, \(1, 1, 28, 28\) on cpu, failed"):
        invert.invert(G, torch.zeros(1, 28, 28), label=1, features=torch.nn.Linear(3, 2))
    found = invert.Found(torch.zeros(5), torch.zeros(1, 28, 28), 1, 0.0)
    with pytest.raises(BadInput, match="the latent has 5 numbers, but G takes 64"):
        invert.tuned(G, found, torch.zeros(1, 28, 28))


class Constant(torch.nn.Module):
    """Has no weights, and draws one value everywhere."""

    latent_dim = 4

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, z):
        return (z.sum(1) * 0 + self.value).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)


def test_generators_without_weights_and_without_numbers():
    found = invert.invert(Constant(0.5), torch.zeros(1, 8, 8), steps=2)
    assert found.error == pytest.approx(0.25)
    with pytest.raises(BadInput, match="G has no weights"):
        invert.tuned(Constant(0.5), found, torch.zeros(1, 8, 8))
    with pytest.raises(BadInput, match="G draws no finite image"):
        invert.invert(Constant(float("nan")), torch.zeros(1, 8, 8), steps=2)
