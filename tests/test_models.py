import inspect
import json
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.nn.utils import parametrizations

from gantutor import models, state
from gantutor.errors import BadInput
from gantutor.models import convolutional
from gantutor.models.layers import WEIGHTED


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
        again = models.NETS[type(net).__name__](**net.config)
        for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    "wrong", [dict(latent_dim=0), dict(hidden=(16, -1)), dict(shape=(1, 2.5)), dict(output="relu"), dict(hidden=128)]
)
def test_wrong_sizes_are_named(wrong):
    with pytest.raises(BadInput, match=next(iter(wrong))):
        models.MLPGenerator(**wrong)


# --- convolutional ---------------------------------------------------------------------------------------------------

NARROW = dict(width=4, seed=1)
GENERATORS = (models.MLPGenerator, models.DCGANGenerator)
DISCRIMINATORS = (models.MLPDiscriminator, models.DCGANDiscriminator)


def kinds(net):
    return [type(layer) for layer in net.modules()]


@pytest.mark.parametrize("width", [4, 6])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "factors", "first"), [(28, [2, 1], 7), (32, [4, 2, 1], 4), (64, [8, 4, 2, 1], 4)])
def test_dcgan_counts_shapes_and_range(size, factors, first, channels, width):
    """Layer by layer: 4×4 kernels, no bias before batch norm, which has two numbers per channel."""
    up = [width * f for f in factors]  # channels of G's feature maps
    G = models.DCGANGenerator(10, width, (channels, size, size), init_std=1.0)
    linear, norms = 10 * up[0] * first**2, sum(2 * c for c in up)
    inner = sum(16 * a * b for a, b in pairwise(up))
    assert count(G) == models.parameters(G) == linear + norms + inner + 16 * up[-1] * channels + channels

    down = up[::-1]  # those of D
    inner = sum(16 * a * b for a, b in pairwise(down))
    first_layer, features = 16 * channels * width + width, down[-1] * first**2
    for norm, extra in (("none", sum(down[1:])), ("batch", 2 * sum(down[1:]))):  # a bias, or batch norm's two
        D = models.DCGANDiscriminator(width, (channels, size, size), norm=norm)
        assert count(D) == first_layer + inner + extra + features + 1
    D = models.DCGANDiscriminator(width, (channels, size, size), hidden=5)
    assert count(D) == first_layer + inner + sum(down[1:]) + 5 * features + 5 + 5 + 1

    with torch.no_grad():
        x = G(torch.randn(3, 10))
        assert x.shape == (3, channels, size, size)
        assert 0.5 < x.abs().max() <= 1
        assert D(x).shape == (3,)


def test_parameters_of_the_published_pair():
    """PyTorch's DCGAN tutorial (z 100, width 64, 3 × 64 × 64) has 3,576,704 and 2,765,568, without three biases."""
    G = models.DCGANGenerator(100, 64, (3, 64, 64))
    D = models.DCGANDiscriminator(64, (3, 64, 64), norm="batch")
    assert models.parameters(G) == 3_576_704 + 3  # of the image
    assert models.parameters(D) == 2_765_568 + 64 + 1  # of the first convolution and of the logit


@pytest.mark.parametrize("n", [4, 7])
@pytest.mark.parametrize("kernel", [2, 3, 4, 5, 6])
def test_every_kernel_doubles_and_halves_exactly(kernel, n):
    x = torch.zeros(1, 3, n, n)
    for up in convolutional.UP:
        assert nn.Sequential(*convolutional.double(3, 5, kernel, up))(x).shape == (1, 5, 2 * n, 2 * n)
    for down in convolutional.DOWN:
        big = torch.zeros(1, 3, 2 * n, 2 * n)
        assert nn.Sequential(*convolutional.halve(3, 5, kernel, down, bias=True))(big).shape == (1, 5, n, n)
    G = models.DCGANGenerator(3, 4, (1, 28, 28), kernel=kernel)
    D = models.DCGANDiscriminator(4, (1, 28, 28), kernel=kernel)
    assert D(G(torch.zeros(2, 3))).shape == (2,)


def test_one_pixel_spreads_as_the_kernel_says():
    """With all weights 1, a single 1 becomes a kernel × kernel patch; from the resized picture, where 2×2 are 1, the
    sums of a kernel × kernel window."""
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1
    for kernel in (2, 3, 4, 5):
        layers = {up: nn.Sequential(*convolutional.double(1, 1, kernel, up, bias=False)) for up in convolutional.UP}
        with torch.no_grad():
            for net in layers.values():
                next(net.parameters()).fill_(1)
            assert layers["transposed"](x).count_nonzero() == kernel**2
            assert layers["transposed"](x).sum() == kernel**2
            assert layers["resize"](x).count_nonzero() == (kernel + 1) ** 2
            assert layers["resize"](x).sum() == 4 * kernel**2
            assert layers["blur"](x).count_nonzero() == (kernel + 2) ** 2
            assert layers["blur"](x).sum() == pytest.approx(kernel**2)


def test_a_blur_by_hand_and_what_it_takes_away():
    x = torch.zeros(2, 3, 5, 5)
    x[1, 2, 2, 2] = 16
    blurred = models.Blur(3)(x)
    assert blurred[1, 2, 1:4, 1:4].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    assert blurred.sum() == 16
    row = torch.tensor([1.0, -1.0]).repeat(4)
    for pattern in (row.expand(8, 8), torch.outer(row, row)):  # stripes, and a checkerboard
        assert models.Blur(1)(pattern[None, None])[..., 1:-1, 1:-1].abs().max() == 0
    assert list(models.Blur(3).parameters()) == []
    assert models.Blur(3).state_dict() == {}


def test_an_untrained_generator_that_blurs_has_no_checkerboard():
    """The share of the variance that lies in the three patterns which alternate from pixel to pixel."""

    z = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))

    def alternating(up):
        x = models.DCGANGenerator(32, 8, (3, 64, 64), up=up)(z).detach()
        blocks = (x - x.mean((0, 2, 3), keepdim=True)).unfold(2, 2, 2).unfold(3, 2, 2)  # (64, 3, 32, 32, 2, 2)
        common = (blocks - blocks.mean((-2, -1), keepdim=True)).mean((2, 3))  # what all blocks of an image share
        return (common.square().mean() / blocks.square().mean()).item()

    assert alternating("blur") < alternating("transposed") / 10


def test_each_variant_has_the_layers_it_is_named_for():
    G, resized, blurring = (models.DCGANGenerator(shape=(1, 32, 32), up=up, **NARROW) for up in convolutional.UP)
    assert kinds(G).count(nn.ConvTranspose2d) == 3
    assert nn.ConvTranspose2d not in kinds(resized)
    assert kinds(resized).count(nn.Upsample) == kinds(resized).count(nn.Conv2d) == 3
    doubling = [nn.ConvTranspose2d, models.Blur, nn.BatchNorm2d, nn.ReLU]
    assert kinds(blurring.net)[-14:] == [*doubling * 3, nn.Conv2d, nn.Tanh]
    D, pooled = (models.DCGANDiscriminator(shape=(1, 32, 32), down=down, **NARROW) for down in ("stride", "pool"))
    assert [layer.stride for layer in D.modules() if isinstance(layer, nn.Conv2d)] == [(2, 2)] * 3
    assert [layer.stride for layer in pooled.modules() if isinstance(layer, nn.Conv2d)] == [(1, 1)] * 3
    assert kinds(pooled).count(nn.MaxPool2d) == 3


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 64, 64)])
def test_the_pair_for_images_of_a_size(shape):
    """The default at 28×28; larger images are blurred as they grow. Conditional, too."""
    G, D = models.for_images(shape, seed=3, classes=2)
    expected = models.dcgan(shape, seed=3, classes=2)
    if shape[1] == 28:
        assert (G.config, D.config) == (expected[0].config, expected[1].config)
    else:
        assert (G.config["up"], G.config["norm"], G.config["width"]) == ("blur", "self-modulated", 16)
        assert (D.config["hidden"], D.config["minibatch_std"]) == (0, 8)
    assert D(G(torch.randn(2, 64), torch.tensor([0, 1])), torch.tensor([1, 0])).shape == (2,)


def test_where_batch_norm_is():
    """G: after all but the image. D, where asked for: after all convolutions but the first (Radford et al. 2016)."""
    order = [k for k in kinds(models.DCGANGenerator(shape=(1, 32, 32), **NARROW).net) if k is not nn.Unflatten][1:]
    hidden = [nn.BatchNorm2d, nn.ReLU, nn.ConvTranspose2d]
    assert order == [nn.Linear, *hidden * 3, nn.Tanh]
    D = models.DCGANDiscriminator(shape=(1, 32, 32), norm="batch", **NARROW)
    hidden = [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU]
    assert kinds(D.net)[1:] == [nn.Conv2d, nn.LeakyReLU, *hidden * 2, nn.Flatten, nn.Linear]
    for net in (models.DCGANGenerator(norm="none", **NARROW), models.DCGANDiscriminator(**NARROW)):
        assert nn.BatchNorm2d not in kinds(net)
        assert all(layer.bias is not None for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear))


def test_self_modulated_batch_norm_by_hand():
    rng = np.random.default_rng(0)
    h, z = rng.normal(size=(5, 2, 3, 3)), rng.normal(size=(5, 4))
    A, B = rng.normal(size=(2, 2, 4))  # (channels, inputs) each
    a, b = rng.normal(size=(2, 2))
    layer = models.SelfModulatedBatchNorm(2, 4).double()
    with torch.no_grad():
        layer.modulation.weight.copy_(torch.tensor(np.concatenate([A, B])))
        layer.modulation.bias.copy_(torch.tensor(np.concatenate([a, b])))
    expected = np.empty_like(h)
    for c in range(2):
        normalised = (h[:, c] - h[:, c].mean()) / np.sqrt(h[:, c].var() + 1e-5)
        for i in range(5):
            expected[i, c] = normalised[i] * (1 + A[c] @ z[i] + a[c]) + B[c] @ z[i] + b[c]
    assert layer(torch.tensor(h), torch.tensor(z)).detach().numpy() == pytest.approx(expected)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_self_modulated_generator_is_the_plain_one_where_z_modulates_nothing(classes):
    """All its batch norms are replaced. What modulates them is z together with the code of its class."""
    plain, modulated = (
        models.DCGANGenerator(5, 3, (3, 32, 32), norm=norm, classes=classes, label="embed")
        for norm in ("batch", "self-modulated")
    )
    layers = [m for m in modulated.net if isinstance(m, models.SelfModulatedBatchNorm)]
    assert len(layers) == kinds(plain).count(nn.BatchNorm2d) == kinds(modulated).count(nn.BatchNorm2d) == 3
    assert {layer.modulation.in_features for layer in layers} == {plain.join.width}
    learned = {name.replace(".norm.", "."): w for name, w in modulated.state_dict().items() if "modulation" not in name}
    plain.load_state_dict(learned)
    z = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 2, 0]) if classes else None
    assert not torch.allclose(modulated(z, y), plain(z, y))
    with torch.no_grad():
        for layer in layers:
            layer.modulation.weight.zero_()
    torch.testing.assert_close(modulated(z, y), plain(z, y))


@pytest.mark.parametrize(
    ("activation", "at_minus_one"),
    [("relu", 0.0), ("leaky", -0.2), ("tanh", -0.7615942), ("sigmoid", 0.2689414)],
)
def test_activations(activation, at_minus_one):
    G = models.DCGANGenerator(norm="none", activation=activation, **NARROW)
    assert G.net[2](torch.tensor(-1.0)).item() == pytest.approx(at_minus_one)
    assert kinds(G).count(type(G.net[2])) == 2 + (activation == "tanh")  # the image has tanh in any case
    slopes = [m.negative_slope for m in models.DCGANDiscriminator(slope=0.05, hidden=3).modules()
              if isinstance(m, nn.LeakyReLU)]  # fmt: skip
    assert slopes == [0.05] * 3


# --- initial weights --------------------------------------------------------------------------------------------------


def test_first_weights_of_the_paper():
    G, D = models.dcgan((3, 32, 32), g_width=32, d_width=32, classes=10)
    layers = [m for net in (G, D) for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    norms = [m for m in G.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(layers) == 9
    for layer in [*layers, D.table]:
        n = layer.weight.numel()
        assert layer.weight.std().item() == pytest.approx(0.02, rel=4 / n**0.5)  # relative error of a std: 1/√(2n)
        assert layer.weight.mean().item() == pytest.approx(0, abs=5 * 0.02 / n**0.5)
    assert len(norms) == 3
    for norm in norms:
        assert 0.005 < norm.weight.std() < 0.04
        assert norm.weight.mean().item() == pytest.approx(1, abs=0.02)
    biases = [p for net in (G, D) for name, p in net.named_parameters() if name.endswith("bias")]
    assert not any(bias.any() for bias in biases)


def test_without_init_std_pytorchs_own_first_weights_stay():
    """PyTorch: uniform within ±1/√inputs, for weights and biases."""
    D = models.DCGANDiscriminator(16, init_std=None)
    conv = D.net[2]
    assert 0.9 / 256**0.5 < conv.weight.abs().max() <= 1 / 256**0.5  # 16 channels × 4 × 4
    assert conv.bias.any()
    wide = models.DCGANDiscriminator(16, init_std=0.5)
    assert wide.net[2].weight.std().item() == pytest.approx(0.5, rel=0.05)


def test_init_weights_reaches_batch_norm_of_vectors_and_what_spectral_norm_divides():
    G, D = models.mlp(seed=2, spectral=True)
    models.init_weights(G, 0.05)
    norms = [m for m in G.modules() if isinstance(m, nn.BatchNorm1d)]
    assert [m.weight.std().item() for m in norms] == pytest.approx([0.05] * 2, rel=0.2)
    models.init_weights(D, 0.05)
    assert D.net[1].parametrizations.weight.original.std().item() == pytest.approx(0.05, rel=0.02)
    with pytest.raises(BadInput, match="standard deviation of the initial weights is -1"):
        models.DCGANGenerator(init_std=-1)


@pytest.mark.parametrize("make", [*GENERATORS, *DISCRIMINATORS])
def test_the_seed_fixes_the_weights_of_every_net(make):
    changes = {} if make in GENERATORS else {"spectral": True}
    first, again, other = (make(seed=s, classes=3, label="embed", **changes) for s in (3, 3, 4))
    for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(first.parameters(), other.parameters(), strict=True):
        assert not torch.equal(a, b) or not a.any() or (a == 1).all()


@pytest.mark.parametrize("make", [models.mlp, models.dcgan])
def test_a_pair_has_seeds_one_apart_and_the_conditioning_that_was_asked_for(make):
    G, D = make(seed=5, classes=7, label="projection", spectral=True)
    assert (G.config["seed"], D.config["seed"]) == (5, 6)
    assert (G.config["label"], D.config["label"]) == ("concat", "projection")
    assert (G.classes, D.classes, D.config["spectral"]) == (7, 7, True)
    assert [net.config["label"] for net in make(classes=7, label="embed")] == ["embed", "embed"]


# --- labels ----------------------------------------------------------------------------------------------------------

Y = torch.tensor([2, 0, 1, 1])
EYE = torch.from_numpy(np.eye(3, dtype=np.float32)[Y.numpy()])  # (4, 3)
Z, X = (
    torch.randn(4, 6, generator=torch.Generator().manual_seed(0)),
    torch.linspace(-1, 1, 4 * 784).reshape(4, 1, 28, 28),
)
PLANES = EYE[:, :, None, None].expand(-1, -1, 28, 28)
CONDITIONAL = dict(classes=3, seed=1)


@pytest.mark.parametrize("make", GENERATORS)
def test_a_generator_sees_z_and_y(make):
    G = make(latent_dim=6, label="concat", **CONDITIONAL).eval()
    assert torch.equal(G(Z, Y), G.net(torch.cat([Z, EYE], 1)))
    G = make(latent_dim=6, label="embed", **CONDITIONAL).eval()
    assert torch.equal(G(Z, Y), G.net(torch.cat([Z, G.join.table.weight[Y]], 1)))
    assert not torch.equal(G(Z, Y), G(Z, (Y + 1) % 3))


def test_a_discriminator_sees_x_and_y():
    D = models.MLPDiscriminator((8,), label="concat", **CONDITIONAL)
    assert torch.equal(D(X, Y), D.net(torch.cat([X.flatten(1), EYE], 1))[:, 0])
    D = models.MLPDiscriminator((8,), label="embed", **CONDITIONAL)
    assert torch.equal(D(X, Y), D.net(torch.cat([X.flatten(1), D.join.table.weight[Y]], 1))[:, 0])
    D = models.DCGANDiscriminator(4, label="concat", **CONDITIONAL)
    assert torch.equal(D(X, Y), D.net(torch.cat([X, PLANES], 1))[:, 0])
    D = models.DCGANDiscriminator(4, label="embed", **CONDITIONAL)
    assert torch.equal(D(X, Y), D.net(torch.cat([X, D.join.table.weight[Y].reshape(4, 1, 28, 28)], 1))[:, 0])


@pytest.mark.parametrize(
    "D",
    [models.MLPDiscriminator((8, 5), **CONDITIONAL), models.DCGANDiscriminator(4, init_std=None, **CONDITIONAL),
     models.DCGANDiscriminator(4, hidden=5, init_std=None, **CONDITIONAL)],
    ids=["mlp", "dcgan", "dcgan, hidden"],
)  # fmt: skip
def test_projection_by_hand(D):
    """D(x, y) = ψ(φ(x)) + ⟨e_y, φ(x)⟩, so a label swapped for another moves it by ⟨e_y − e_y', φ(x)⟩."""
    e, other = D.table.weight, (Y + 1) % 3
    with torch.no_grad():
        e.copy_(torch.randn(e.shape, generator=torch.Generator().manual_seed(2)))  # large, to be seen beside ψ
        phi = X
        for layer in D.net[:-1]:
            phi = layer(phi)  # (4, features)
        psi = phi @ D.net[-1].weight[0] + D.net[-1].bias
        torch.testing.assert_close(D(X, Y), psi + (EYE @ e @ phi.T).diagonal())
        torch.testing.assert_close(D(X, Y) - D(X, other), ((e[Y] - e[other]) * phi).sum(1), rtol=1e-3, atol=1e-5)
        assert (D(X, Y) - psi).abs().min() > 1e-3


@pytest.mark.parametrize("make", [*GENERATORS, *DISCRIMINATORS])
def test_labels_that_do_not_fit_are_named(make):
    argument = torch.zeros(4, 64) if make in GENERATORS else X
    net, plain = make(**CONDITIONAL), make()
    net(argument, Y)
    plain(argument)
    with pytest.raises(BadInput, match="labels are missing"):
        net(argument)
    with pytest.raises(BadInput, match="not conditional"):
        plain(argument, Y)
    for wrong, message in [(Y.float(), "float32"), (Y[:3], r"shape \(3,\)"), (Y + 1, "from 1 to 3"), (EYE, "float32")]:
        with pytest.raises(BadInput, match=message):
            net(argument, wrong)


# --- spectral norm ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["concat", "embed", "projection"])
@pytest.mark.parametrize("make", DISCRIMINATORS)
def test_spectral_norm_bounds_every_layer(make, label):
    D = make(classes=3, label=label, spectral=True, seed=1).train()
    with torch.no_grad():
        for _ in range(30):  # each pass is one step of the power iteration
            D(X, Y)
    D.eval()
    layers = [m for m in D.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding)]
    assert len(layers) == 3 + (label != "concat")
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item()
        assert largest == pytest.approx(1, abs=0.05), layer
    free = make(classes=3, label=label, seed=1)
    assert not any(hasattr(m, "parametrizations") for m in free.modules())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("make", DISCRIMINATORS)
def test_spectral_norm_is_pytorchs_own_bit_for_bit(monkeypatch, make, dtype):
    """Side by side from one seed: the same first weights, singular vectors, names and gradients."""
    ours = make(classes=3, seed=1, spectral=True)
    for module in ("dense", "convolutional"):
        replaced = f"gantutor.models.{module}.add_spectral_norm"
        monkeypatch.setattr(replaced, lambda net: [parametrizations.spectral_norm(m) for m in weighted(net)])
    theirs = make(classes=3, seed=1, spectral=True)
    kinds_of_norm = [type(net.net[-1].parametrizations.weight[0]) for net in (ours, theirs)]
    assert kinds_of_norm == [models.SpectralNorm, parametrizations._SpectralNorm]
    for step in range(6):
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            assert torch.equal(a, b), (step, name)
        for net in (ours.train(step != 4), theirs.train(step != 4)):
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                loss = net(X, Y).sum() - net(-X, Y).square().sum()
            loss.backward()
            torch.optim.SGD(net.parameters(), 0.01).step()


def test_spectral_norm_finds_the_singular_vectors():
    """σ, u and v by singular value decomposition; the gradient is that of W / σ(W) with u and v held fixed."""
    W = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    U, S, V = torch.linalg.svd(W.flatten(1), full_matrices=False)
    with state.seeded(0):
        norm = models.SpectralNorm(W)
    for _ in range(200):
        norm(W)
    torch.testing.assert_close(norm(W), W / S[0])
    torch.testing.assert_close(norm._u.outer(norm._v), U[:, 0].outer(V[0]))
    W.requires_grad_()
    norm(W)[0, 0, 0].backward()
    expected = -(U[:, 0].outer(V[0]) * W[0, 0, 0] / S[0] ** 2).detach()
    expected[0, 0] += 1 / S[0]
    torch.testing.assert_close(W.grad.flatten(1), expected)


def weighted(net):
    return [m for m in net.modules() if isinstance(m, WEIGHTED)]


# --- packs, groups and pieces ----------------------------------------------------------------------------------------


def test_a_pack_is_its_examples_one_after_the_other():
    x = torch.randn(6, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    pairs = [torch.cat([x[2 * i], x[2 * i + 1]]) for i in range(3)]  # (6, 28, 28) each
    D = models.DCGANDiscriminator(4, (3, 28, 28), pack=2, seed=1)
    wide = models.DCGANDiscriminator(4, (6, 28, 28), seed=1)
    assert D.pack == 2
    assert wide.pack == models.MLPDiscriminator().pack == 1
    assert torch.equal(D(x), wide(torch.stack(pairs)))
    D = models.MLPDiscriminator((5,), (3, 28, 28), pack=3, seed=1)
    wide = models.MLPDiscriminator((5,), (3 * 3 * 784,), seed=1)
    rows = [torch.cat([x[i].flatten() for i in three]) for three in ((0, 1, 2), (3, 4, 5))]
    assert torch.equal(D(x), wide(torch.stack(rows)))
    assert D(x).shape == (2,)
    with pytest.raises(BadInput, match="given 5 examples, but it judges packs of 3: give it a multiple of 3"):
        D(x[:5])


@pytest.mark.parametrize("pack", [1, 2, 3])
def test_packs_of_a_collapsed_generator_stand_out(pack):
    """All packs of 8 modes: of 4 of them, half are missed by one example, 1 − 2⁻ᵐ by a pack (PacGAN, section 3)."""
    modes = torch.eye(8)  # (8, 8), one-hot
    examples = torch.cartesian_prod(*[torch.arange(8)] * pack).flatten()  # every pack once, example by example
    packs = models.fold(modes[examples], pack).unflatten(1, (pack, 8))  # (8ᵐ, m, 8)
    reached = (packs[:, :, :4].sum(2) == 1).all(1).double().mean().item()
    assert 1 - reached == 1 - 0.5**pack


def test_how_many_examples_a_net_judges_at_a_time():
    class Mine(nn.Linear):
        def pack(self):
            """Something else."""

    assert [models.pack_of(net) for net in (models.MLPDiscriminator(pack=3), Mine(1, 1), nn.ReLU(), len)] == [
        3,
        1,
        1,
        1,
    ]


def test_minibatch_std_by_hand():
    h = np.random.default_rng(0).normal(size=(6, 2, 3, 3))
    feature = np.empty((6, 1, 3, 3))
    for first in (0, 3):
        group = h[first : first + 3]
        feature[first : first + 3] = np.sqrt(((group - group.mean(0)) ** 2).mean(0) + 1e-8).mean()
    got = models.MinibatchStd(3)(torch.from_numpy(h))
    np.testing.assert_allclose(got.numpy(), np.concatenate([h, feature], 1), rtol=1e-12)
    rows = torch.tensor([[0.0, 5.0], [2.0, 5.0], [1.0, 1.0], [1.0, 1.0]])  # std (1, 0) and (0, 0)
    torch.testing.assert_close(models.MinibatchStd(2)(rows)[:, 2], torch.tensor([0.5, 0.5, 0, 0]), atol=2e-4, rtol=0)
    torch.testing.assert_close(models.MinibatchStd(9)(rows), models.MinibatchStd(4)(rows))  # a smaller batch is a group
    with pytest.raises(
        BadInput, match="minibatch_std is 3, which does not divide the 4 examples .* choose a multiple of 3"
    ):
        models.MinibatchStd(3)(rows)


def test_minibatch_std_of_any_number_in_eval_mode():
    """What is left over is compared with those before it, and all others are as they would be."""
    layer = models.MinibatchStd(4).eval()
    h = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    added = layer(h)[:, 3]
    assert torch.equal(added[:8], layer.train()(h[:8])[:, 3])
    assert torch.equal(added[8:], layer(h[6:])[2:, 3])
    assert layer.eval()(h[:3]).shape == (3, 4)
    with pytest.raises(BadInput, match="minibatch_std is 4, which does not divide the 10 examples"):
        layer.train()(h)


def test_equal_examples_have_a_finite_gradient():
    h = torch.ones(4, 2, requires_grad=True)
    models.MinibatchStd(2)(h).sum().backward()
    assert h.grad.isfinite().all()


def test_where_minibatch_std_is():
    D = models.MLPDiscriminator((6, 5, 4), minibatch_std=2)
    inputs = [m.in_features for m in weighted(D)]
    assert inputs == [784, 6, 5 + 1, 4]
    assert kinds(D.net)[-4:] == [models.MinibatchStd, nn.Linear, nn.LeakyReLU, nn.Linear]
    assert weighted(models.MLPDiscriminator((6,), minibatch_std=2, pack=2))[0].in_features == 2 * 784 + 1
    D = models.DCGANDiscriminator(4, hidden=5, minibatch_std=2)
    assert kinds(D.net)[-5:] == [models.MinibatchStd, nn.Flatten, nn.Linear, nn.LeakyReLU, nn.Linear]
    assert D.net[-3].in_features == (8 + 1) * 49
    D = models.dcgan(minibatch_std=4, pack=2)[1]
    assert (D.pack, D.config["minibatch_std"]) == (2, 4)
    assert models.mlp(minibatch_std=4, pack=2)[1](torch.zeros(16, 1, 28, 28)).shape == (8,)


@pytest.mark.parametrize(("remedy", "best"), [({}, 1.386), (dict(pack=2), 0.955), (dict(minibatch_std=2), 0.955)])
def test_only_a_d_that_sees_several_sees_repetition(remedy, best):
    """Coins: real ones fall independently, fake ones two by two. Each by itself is fair, so a plain D is stuck at
    log 4; of two, fake ones always agree and real ones half the time: −½ log ⅓ − log ⅔ = 0.955."""
    D = models.MLPDiscriminator((16, 16), (1,), seed=0, **remedy)
    stream, optimizer = torch.Generator().manual_seed(0), torch.optim.Adam(D.parameters(), 1e-2)

    def loss(n):
        real, fake = (torch.randint(2, (k,), generator=stream) * 2.0 - 1 for k in (n, n // 2))
        real_logits, fake_logits = D(real[:, None]), D(fake.repeat_interleave(2)[:, None])
        return softplus(-real_logits).mean() + softplus(fake_logits).mean()

    for _ in range(200):
        optimizer.zero_grad()
        loss(256).backward()
        optimizer.step()
    assert loss(20_000).item() == pytest.approx(best, abs=0.02)


def test_maxout_by_a_loop():
    D = models.MLPDiscriminator((4,), (3,), maxout=5, seed=1)
    x, linear = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), D.net[1]
    hidden = torch.empty(6, 4)
    for b, k in product(range(6), range(4)):
        hidden[b, k] = max(linear.weight[p * 4 + k] @ x[b] + linear.bias[p * 4 + k] for p in range(5))
    torch.testing.assert_close(D.net[2](linear(x)), hidden)
    torch.testing.assert_close(D(x), D.net[3](hidden)[:, 0])
    assert models.Maxout(2)(torch.tensor([[1.0, 2, 3, 0]])).tolist() == [[3, 2]]


def test_the_nets_of_pacgan():
    """G: 4 × (400, no bias, batch norm, ReLU), 2; D: 3 × maxout 200 of 5 pieces, 1; weights from N(0, 0.02²)."""
    G = models.MLPGenerator(2, (400,) * 4, (2,), batch_norm=True, output="linear", init_std=0.02)
    D = models.MLPDiscriminator((200,) * 3, (2,), maxout=5, init_std=0.02, pack=4)
    assert count(G) == 2 * 400 + 3 * 400**2 + 4 * 2 * 400 + 400 * 2 + 2
    assert count(D) == (4 * 2 + 1) * 1000 + 2 * (200 + 1) * 1000 + 201
    for net in (G, D):
        assert [m.weight.std().item() for m in weighted(net)] == pytest.approx([0.02] * len(weighted(net)), rel=0.15)
        assert not any(m.bias.any() for m in weighted(net) if m.bias is not None)
    assert kinds(D.net)[1:] == [nn.Flatten, *[nn.Linear, models.Maxout] * 3, nn.Linear]


def test_activations_and_batch_norm_of_fully_connected_nets():
    kept = {"relu": 0.0, "leaky": -0.2, "tanh": -0.7615942}
    for activation, at_minus_one in kept.items():
        G = models.MLPGenerator(3, (4, 5), (2,), batch_norm=False, output="linear", activation=activation)
        D = models.MLPDiscriminator((4, 5), (2,), batch_norm=True, activation=activation)
        assert G.net[1](torch.tensor(-1.0)).item() == G.net[3](torch.tensor(-1.0)).item() == pytest.approx(at_minus_one)
        assert D.net[3](torch.tensor(-1.0)).item() == pytest.approx(at_minus_one)
        bend = type(G.net[1])
        assert kinds(D.net)[1:] == [nn.Flatten, *[nn.Linear, nn.BatchNorm1d, bend] * 2, nn.Linear]
        assert [m.bias is None for m in weighted(D)] == [True, True, False]


# --- many nets at once -----------------------------------------------------------------------------------------------


def played(net, x):
    """Two passes, and a loss with the gradients of both in it, as a game with a gradient penalty has."""
    first, second = x.detach().clone().requires_grad_(), x.flip(-1).detach().requires_grad_()
    out = net(first), net(second)
    slopes = torch.autograd.grad(sum(o.sin().sum() for o in out), (first, second), create_graph=True)
    (sum(o.square().sum() for o in out) + sum(s.square().sum() for s in slopes)).backward()
    return torch.stack([o.detach() for o in out], 1)  # (B, 2, …)


def check_stacked(make, shape, train=True, y=None):
    """Three nets as one, against each by itself: values, gradients and updated buffers."""
    nets = [make(seed).double().train(train) for seed in range(3)]
    x = torch.randn(3, 8, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights, buffers = torch.func.stack_module_state(nets)
    before = {name: value.clone() for name, value in buffers.items()}
    extra = () if y is None else (y,)

    def one(weights, buffers, x):
        return torch.func.functional_call(nets[0], (weights, buffers), (x, *extra))

    together = played(lambda x: torch.vmap(one)(weights, buffers, x).flatten(0, 1), x)  # (3 B, 2, …)
    apart = torch.cat([played(lambda v, net=net: net(v, *extra), part) for net, part in zip(nets, x, strict=True)])
    same(together, apart)
    for i, net in enumerate(nets):
        for name, weight in net.named_parameters():
            same(weights[name].grad[i], weight.grad)
        for name, value in net.named_buffers():
            same(buffers[name][i], value)
            unchanged = torch.equal(value, before[name][i])
            if name.endswith("kernel"):  # of a blur, which does not learn
                assert unchanged
            else:
                assert train != unchanged or value.numel() == 1  # u of one row is ±1


def same(a, b):
    assert a.shape == b.shape
    assert (a - b).abs().max() <= 1e-12 * max(1, b.abs().max())


def every(**choices):
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]


@pytest.mark.parametrize("train", [True, False])
def test_stacked_generators_of_points(train):
    for choice in every(batch_norm=(True, False), activation=("relu", "leaky", "tanh"), init_std=(None, 0.3)):
        check_stacked(lambda seed, c=choice: models.MLPGenerator(3, (5, 4), (2,), output="linear", seed=seed, **c),
                      (3,), train)  # fmt: skip


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("spectral", [True, False])
def test_stacked_discriminators_of_points(spectral, train):
    for choice in every(pack=(1, 2), minibatch_std=(0, 4), maxout=(0, 3), batch_norm=(True, False),
                        activation=("leaky", "tanh")):  # fmt: skip
        check_stacked(lambda seed, c=choice: models.MLPDiscriminator((5, 4), (2,), seed, spectral=spectral, **c),
                      (2,), train)  # fmt: skip


@pytest.mark.parametrize("norm", convolutional.G_NORMS)
def test_stacked_generators_of_images(norm):
    for choice in every(up=convolutional.UP, activation=("relu", "tanh"), kernel=(3, 4)):
        check_stacked(lambda seed, c=choice: models.DCGANGenerator(3, 2, norm=norm, init_std=0.2, seed=seed, **c), (3,))


@pytest.mark.parametrize("norm", convolutional.NORMS)
@pytest.mark.parametrize("down", convolutional.DOWN)
@pytest.mark.parametrize("spectral", [True, False])
def test_stacked_discriminators_of_images(spectral, down, norm):
    fixed = dict(width=2, init_std=0.2, down=down, norm=norm, spectral=spectral)
    for choice in every(pack=(1, 2), minibatch_std=(0, 4), hidden=(0, 3)):
        check_stacked(lambda seed, c=choice: models.DCGANDiscriminator(seed=seed, **fixed, **c), (1, 28, 28))
    if norm == "none" and not spectral:  # in eval mode eight examples need not be divisible into groups of three
        check_stacked(
            lambda seed: models.DCGANDiscriminator(seed=seed, minibatch_std=3, **fixed), (1, 28, 28), train=False
        )


@pytest.mark.parametrize("label", ["concat", "embed", "projection"])
def test_stacked_conditional_nets_that_share_their_labels(label):
    check_stacked(
        lambda s: models.MLPDiscriminator((5,), (2,), s, 3, label, True, minibatch_std=4), (2,), y=Y.repeat(2)
    )
    check_stacked(lambda s: models.DCGANDiscriminator(2, seed=s, classes=3, label=label), (1, 28, 28), y=Y.repeat(2))


# --- configuration ---------------------------------------------------------------------------------------------------

UNUSUAL = [
    models.MLPGenerator(5, (6, 7), (3, 4, 4), False, "linear", 8, 3, "embed", 0.1, "tanh"),
    models.MLPDiscriminator((6, 7), (3, 4, 4), 8, 3, "concat", True, 0.1, "tanh", 3, True, 1, 2),
    models.MLPDiscriminator((6, 7), (3, 4, 4), 8, 0, "concat", True, 0.1, "tanh", 3, True, 2, 2),
    models.DCGANGenerator(5, 3, (3, 32, 32), "resize", 3, "none", "sigmoid", None, 8, 3, "embed"),
    models.DCGANDiscriminator(3, (3, 32, 32), "pool", 3, "batch", 0.1, 6, True, 0.1, 8, 3, "concat", 1, 2),
    models.DCGANDiscriminator(3, (3, 32, 32), "pool", 3, "batch", 0.1, 6, True, 0.1, 8, 0, "concat", 2, 2),
]


@pytest.mark.parametrize("net", UNUSUAL, ids=lambda net: type(net).__name__)
def test_an_unusual_net_is_made_again_from_its_config(net):
    config, defaults = json.loads(json.dumps(net.config)), inspect.signature(type(net)).parameters
    assert list(config) == list(defaults)
    unchanged = {name for name, p in defaults.items() if config[name] == p.default}
    assert unchanged == ({"pack" if net.classes else "classes"} & set(defaults))  # either, but not both
    again = models.NETS[type(net).__name__](**config)
    assert again.config == net.config
    assert [repr(m) for m in again.modules()] == [repr(m) for m in net.modules()]
    for (name, a), (same, b) in zip(net.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == same
        assert torch.equal(a, b)


def test_numbers_of_numpy_become_pythons_own(tmp_path):
    """A checkpoint is loaded as tensors and plain values only."""
    three, small = np.int64(3), np.float64(0.1)
    shape = tuple(np.array([1, 28, 28]))
    for net in (
        models.MLPGenerator(three, (three,), shape, np.bool_(False), seed=three, classes=three, init_std=small),
        models.MLPDiscriminator((three,), shape, three, three),
        models.MLPDiscriminator((three,), shape, three, np.int64(0), maxout=three, pack=three, minibatch_std=three),
        models.DCGANGenerator(three, three, shape, kernel=three, init_std=small, seed=three, classes=three),
        models.DCGANDiscriminator(three, shape, slope=small, hidden=three, seed=three, classes=three),
    ):
        torch.save(net.config, tmp_path / "config.pt")
        assert torch.load(tmp_path / "config.pt", weights_only=True) == net.config
        assert {type(net.classes), type(getattr(net, "latent_dim", 3)), type(getattr(net, "pack", 3))} == {int}


def test_a_config_from_before_there_were_labels_still_makes_its_net():
    old = dict(latent_dim=5, hidden=[6], shape=[1, 4, 4], batch_norm=True, output="tanh", seed=8)
    assert models.NETS["MLPGenerator"](**old)(torch.zeros(2, 5)).shape == (2, 1, 4, 4)
    D = models.NETS["MLPDiscriminator"](hidden=[6], shape=[1, 4, 4], seed=8)
    assert D(torch.zeros(2, 1, 4, 4)).shape == (2,)
    assert set(D.state_dict()) == {f"net.{i}.{part}" for i in (1, 3) for part in ("weight", "bias")}


def test_the_pairs_have_the_layers_and_first_weights_that_they_always_had():
    """Made by hand from the same seeds; what a pair can be asked for must not change what it is."""
    with state.seeded(0):
        g = [nn.Linear(64, 256, bias=False), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 512, bias=False),
             nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28))]  # fmt: skip
    with state.seeded(1):
        d = [nn.Flatten(), nn.Linear(784, 512), nn.LeakyReLU(0.2), nn.Linear(512, 256), nn.LeakyReLU(0.2),
             nn.Linear(256, 1)]  # fmt: skip
    for net, layers in zip(models.mlp(), (g, d), strict=True):
        assert [repr(m) for m in net.net] == [repr(m) for m in layers]
        theirs = nn.ModuleDict({"net": nn.Sequential(*layers)}).state_dict()
        assert list(net.state_dict()) == list(theirs)
        assert all(torch.equal(net.state_dict()[name], value) for name, value in theirs.items())
    with state.seeded(1):
        d = [nn.Conv2d(1, 16, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(),
             nn.Linear(32 * 49, 256), nn.LeakyReLU(0.2), nn.Linear(256, 1)]  # fmt: skip
        for layer in d:
            if hasattr(layer, "weight"):
                layer.weight.data.normal_(0, 0.02)
    for new, old in zip(weighted(models.dcgan()[1]), [m for m in d if hasattr(m, "weight")], strict=True):
        assert torch.equal(new.weight, old.weight)


@pytest.mark.parametrize(
    ("make", "wrong", "message"),
    [
        (models.DCGANGenerator, dict(shape=(1, 30, 30)), r"\(1, 30, 30\).*28×28, 32×32 or 64×64"),
        (models.DCGANDiscriminator, dict(shape=(3, 30, 30)), r"\(3, 30, 30\).*28×28, 32×32 or 64×64"),
        (models.DCGANGenerator, dict(shape=(1, 28, 32)), r"\(1, 28, 32\)"),
        (models.DCGANDiscriminator, dict(shape=(1, 64, 32)), r"\(1, 64, 32\)"),
        (models.DCGANDiscriminator, dict(shape=(28, 28)), r"\(28, 28\)"),
        (models.DCGANGenerator, dict(shape=(0, 28, 28)), "shape is 0"),
        (models.DCGANGenerator, dict(shape=28), "shape is 28"),
        (models.DCGANGenerator, dict(up="transpose"), "unknown up 'transpose': did you mean 'transposed'"),
        (models.DCGANDiscriminator, dict(down="strided"), "unknown down 'strided': did you mean 'stride'"),
        (models.DCGANGenerator, dict(norm="batchnorm"), "unknown norm 'batchnorm': did you mean 'batch'"),
        (models.DCGANDiscriminator, dict(norm=None), "unknown norm None.*batch, none"),
        (models.DCGANGenerator, dict(activation="ReLU"), "unknown activation 'ReLU': did you mean 'relu'"),
        (models.DCGANGenerator, dict(label="embedding"), "unknown label 'embedding': did you mean 'embed'"),
        (models.DCGANGenerator, dict(label="projection"), "unknown label 'projection'.*concat, embed"),
        (models.MLPDiscriminator, dict(label="project"), "unknown label 'project': did you mean 'projection'"),
        (models.DCGANGenerator, dict(width=0), "width is 0"),
        (models.DCGANDiscriminator, dict(kernel=2.5), "kernel is 2.5"),
        (models.DCGANDiscriminator, dict(hidden=-1), "hidden is -1"),
        (models.DCGANDiscriminator, dict(slope=-0.1), "slope is -0.1"),
        (models.DCGANGenerator, dict(latent_dim=0), "latent_dim is 0"),
        (models.MLPGenerator, dict(classes=-1), "classes is -1"),
        (models.MLPGenerator, dict(seed=1.5), "seed is 1.5"),
        (models.DCGANDiscriminator, dict(classes=2.5), "classes is 2.5"),
        (models.MLPGenerator, dict(activation="relu6"), "unknown activation 'relu6': did you mean 'relu'"),
        (models.MLPDiscriminator, dict(activation="maxout"), "unknown activation 'maxout'"),
        (models.MLPGenerator, dict(init_std=-1), "standard deviation of the initial weights is -1"),
        (models.MLPDiscriminator, dict(pack=0), "pack is 0"),
        (models.DCGANDiscriminator, dict(pack=2, classes=3), "pack is 2 and classes is 3: .*leave one of them out"),
        (models.mlp, dict(pack=2, classes=3), "pack is 2 and classes is 3"),
        (models.MLPDiscriminator, dict(maxout=1), "maxout is 1, .* give 0 for none, or 2 or more"),
        (models.DCGANDiscriminator, dict(minibatch_std=1), "minibatch_std is 1"),
        (models.dcgan, dict(minibatch_std=-2), "minibatch_std is -2"),
        (models.MLPDiscriminator, dict(hidden=(), minibatch_std=2), "minibatch_std is 2, but D has no hidden layer"),
    ],
)  # fmt: skip
def test_what_is_not_offered_is_named(make, wrong, message):
    with pytest.raises(BadInput, match=message):
        make(**wrong)


# --- tables ----------------------------------------------------------------------------------------------------------


def test_rows_by_hand():
    G = models.DCGANGenerator(5, 2, (1, 28, 28))
    assert models.rows(G, torch.zeros(3, 5)) == [
        ("Linear", (196,), 5 * 196),  # 4 channels of 7 × 7
        ("Unflatten", (4, 7, 7), 0),
        ("BatchNorm2d", (4, 7, 7), 8),
        ("ReLU", (4, 7, 7), 0),
        ("ConvTranspose2d", (2, 14, 14), 4 * 2 * 16),
        ("BatchNorm2d", (2, 14, 14), 4),
        ("ReLU", (2, 14, 14), 0),
        ("ConvTranspose2d", (1, 28, 28), 2 * 16 + 1),
        ("Tanh", (1, 28, 28), 0),
    ]


@pytest.mark.parametrize("spectral", [False, True])
def test_rows_of_conditional_nets_by_hand(spectral):
    body = [
        ("Conv2d", (2, 14, 14), 2 * 16 + 2),
        ("LeakyReLU", (2, 14, 14), 0),
        ("Conv2d", (4, 7, 7), 2 * 4 * 16 + 4),
        ("LeakyReLU", (4, 7, 7), 0),
        ("Flatten", (196,), 0),
        ("Linear", (1,), 197),
    ]
    found = {
        label: models.rows(models.DCGANDiscriminator(2, classes=3, label=label, spectral=spectral), X, Y)
        for label in ("projection", "concat", "embed")
    }
    assert found["projection"] == [*body, ("Embedding", (196,), 3 * 196)]
    assert found["concat"] == [("Join", (4, 28, 28), 0), ("Conv2d", (2, 14, 14), 4 * 2 * 16 + 2), *body[1:]]
    assert found["embed"] == [("Embedding", (784,), 3 * 784), ("Conv2d", (2, 14, 14), 2 * 2 * 16 + 2), *body[1:]]
    G = models.MLPGenerator(5, (4,), (2,), batch_norm=False, output="linear", classes=3)
    layers = [("Join", (8,), 0), ("Linear", (4,), 36), ("ReLU", (4,), 0), ("Linear", (2,), 10), ("Unflatten", (2,), 0)]
    assert models.rows(G, torch.zeros(4, 5), Y) == layers


@pytest.mark.parametrize("net", UNUSUAL, ids=lambda net: type(net).__name__)
def test_rows_leave_no_parameter_out(net):
    """PyTorch's own count of all layers, from the state of the net."""
    argument = torch.zeros(4, net.latent_dim) if hasattr(net, "latent_dim") else torch.zeros(4, *net.config["shape"])
    assert sum(row.parameters for row in models.rows(net, argument, Y if net.classes else None)) == count(net)


def test_the_table_is_its_rows_and_their_sum():
    lines = models.table(models.MLPDiscriminator((1000,), (1, 28, 28)), torch.zeros(2, 1, 28, 28)).splitlines()
    assert [line.split() for line in lines] == [
        ["layer", "output", "parameters"],
        ["Flatten", "784", "0"],
        ["Linear", "1000", "785,000"],
        ["LeakyReLU", "1000", "0"],
        ["Linear", "1", "1,001"],
        ["total", "786,001"],
    ]
    assert len({len(line) for line in lines}) == 1  # columns are flush
    lines = models.table(models.DCGANGenerator(width=2), torch.zeros(2, 64)).splitlines()
    assert lines[2].split() == ["Unflatten", "4", "×", "7", "×", "7", "0"]


def hooks(net):
    return [m for m in net.modules() if m._forward_hooks]


def test_the_table_leaves_the_net_as_it_was_also_when_the_net_raises():
    G = models.DCGANGenerator(5, 2)
    G.net[2].eval()  # one layer in another mode
    modes, state = [m.training for m in G.modules()], {k: v.clone() for k, v in G.state_dict().items()}
    models.table(G, torch.randn(3, 5))
    with pytest.raises(RuntimeError):
        models.table(G, torch.randn(3, 6))
    with pytest.raises(BadInput):
        models.table(G, torch.randn(3, 5), Y)
    assert hooks(G) == []
    assert [m.training for m in G.modules()] == modes
    for key, value in G.state_dict().items():
        assert torch.equal(value, state[key])


@pytest.mark.parametrize("make", [models.mlp, models.dcgan])
def test_a_pair_names_all_the_ways_to_tell_the_class(make):
    with pytest.raises(BadInput, match=r"unknown label 'proj': did you mean 'projection'.*concat, embed, projection"):
        make(classes=3, label="proj")
