import pytest
import torch

from gantutor import models
from gantutor.errors import BadInput


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_shapes_ranges_and_parameter_counts():
    G, D = models.mlp(shape=(3, 8, 8), latent_dim=5, g_hidden=(7, 11), d_hidden=(13,))
    x = G(torch.randn(4, 5))
    assert x.shape == (4, 3, 8, 8)
    assert x.abs().max() <= 1
    assert D(x).shape == (4,)
    assert count(G) == 5 * 7 + 2 * 7 + 7 * 11 + 2 * 11 + (11 + 1) * 192  # linear layers before batch norm have no bias
    assert count(D) == (192 + 1) * 13 + (13 + 1)


def test_the_net_of_early_tutorials_is_one_setting():
    G, D = models.mlp(latent_dim=128, g_hidden=(128,), d_hidden=(128,), batch_norm=False)
    assert count(G) == (128 + 1) * 128 + (128 + 1) * 784
    assert count(D) == (784 + 1) * 128 + (128 + 1)


def test_linear_output_is_not_squashed():
    G = models.MLPGenerator(2, (16,), (2,), output="linear")
    with torch.no_grad():
        G.net[-2].weight.mul_(1000)
    assert G(torch.randn(64, 2)).abs().max() > 1


def test_the_seed_fixes_the_weights_and_leaves_the_global_random_state_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = models.mlp(seed=3), models.mlp(seed=3), models.mlp(seed=4)
    assert torch.equal(torch.rand(3), expected)
    for net, same, different in zip(first, again, other, strict=True):
        weights, equal, unequal = (next(n.parameters()) for n in (net, same, different))
        assert torch.equal(weights, equal)
        assert not torch.equal(weights, unequal)


def test_the_discriminator_is_leaky_and_its_weights_are_not_those_of_the_generator():
    G, D = models.mlp(shape=(16,), latent_dim=16, g_hidden=(16,), d_hidden=(16,), batch_norm=False, seed=3)
    assert not torch.equal(G.net[0].weight, D.net[1].weight)
    assert D.net[2](torch.tensor(-1.0)).item() == pytest.approx(-0.2)


def test_a_net_is_made_again_from_its_config():
    for net in models.mlp(shape=(1, 4, 4), latent_dim=3, g_hidden=(6,), d_hidden=(5, 4), batch_norm=False, seed=9):
        again = models.CLASSES[type(net).__name__](**net.config)
        for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    "wrong", [dict(latent_dim=0), dict(hidden=(16, -1)), dict(shape=(1, 2.5)), dict(output="relu"), dict(hidden=128)]
)
def test_wrong_sizes_are_named(wrong):
    with pytest.raises(BadInput, match=next(iter(wrong))):
        models.MLPGenerator(**wrong)
