"""People's own nets in a `Run`: what does not fit is told before the first step, and the cure that is told cures it."""

import dataclasses
import re

import public_nets as public
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from gantutor import losses, museum
from gantutor.data import Images
from gantutor.errors import BadInput
from gantutor.losses import Loss
from gantutor.train import Recipe, Run, probabilities

X = torch.rand(32, *public.SHAPE, generator=torch.Generator().manual_seed(0)) * 2 - 1
LABELLED = Images("ten kinds", X, torch.arange(32) % 10, tuple("0123456789"))
RECIPE = Recipe(batch_size=8, penalty=None)


def having(net, **attributes):
    for name, value in attributes.items():
        setattr(net, name, value)
    return net


def mlp(**options):
    return having(public.MLPGenerator(**options), latent_dim=64)


def critic():
    return public.MLPDiscriminator(sigmoid=False)


class Detached(public.MLPGenerator):
    latent_dim = 64

    def forward(self, z):
        return super().forward(z).detach()


class Unfinished(public.MLPGenerator):
    latent_dim = 64

    def forward(self, z):
        return self.later(z)


class Softmax(nn.Module):
    """The second of two classes."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(256, 2))

    def forward(self, x):
        return torch.softmax(self.net(x), 1)[:, 1]


def small(net):
    """The net, whose last layer now gives 0.5, or nearly so."""
    layer = [layer for layer in net.modules() if isinstance(layer, nn.Linear)][-1]
    nn.init.normal_(layer.weight, std=1e-3)
    nn.init.constant_(layer.bias, 0.5)
    return net


def spectral(layer):
    return nn.Sequential(nn.Flatten(), nn.utils.parametrizations.spectral_norm(layer))


def refused(G, D, data=X, recipe=RECIPE) -> str:
    with pytest.raises(BadInput) as told:
        Run(G, D, data, recipe)
    assert "\n" not in str(told.value)
    return str(told.value)


CURABLE = {  # what is given; what is said; the part of it that is a line of code
    "DCGAN": (
        (public.dcgan()[0], critic()),
        "it takes them as (B, 100, 1, 1), but a Run gives (B, 100): ",
        "G = nn.Sequential(nn.Unflatten(1, (100, 1, 1)), G); G.latent_dim = 100",
    ),
    "DCGAN that says its size": (
        (having(public.dcgan()[0], latent_dim=100), critic()),
        "G cannot take an input of shape (2, 100)",
        "G = nn.Sequential(nn.Unflatten(1, (100, 1, 1)), G); G.latent_dim = 100",
    ),
    "noise of unknown length": ((public.MLPGenerator(), critic()), "no attribute latent_dim", "G.latent_dim = 64"),
    "noise beside labels": (
        (having(public.CGANGenerator(), classes=10), having(public.CGANDiscriminator(), classes=10)),
        "no attribute latent_dim",
        "G.latent_dim = 50",
    ),
    "flat in": (
        (mlp(), public.MLPDiscriminator(flat=True, sigmoid=False)),
        "D cannot take an input of shape (2, 1, 16, 16)",
        "D = nn.Sequential(nn.Flatten(), D)",
    ),
    "patches": (
        (mlp(), public.PatchDiscriminator()),
        "D turns 2 examples into (2, 1, 4, 4): it must give one logit each, (2,). Average its patches",
        "D = nn.Sequential(D, nn.AdaptiveAvgPool2d(1))",
    ),
    "a sigmoid": ((mlp(), public.dcgan()[1]), "D ends in a sigmoid", "D.main[6] = nn.Identity()"),
    "a sigmoid before the mean": (
        (mlp(), nn.Sequential(public.PatchDiscriminator(), nn.Sigmoid(), nn.AdaptiveAvgPool2d(1))),
        "D ends in a sigmoid",
        "D[1] = nn.Identity()",
    ),
}


@pytest.mark.parametrize(("pair", "said", "code"), CURABLE.values(), ids=CURABLE)
def test_the_line_that_is_told_cures_the_net(pair, said, code):
    message = refused(*pair, LABELLED)
    assert said in message
    assert code in message
    names = {"nn": nn, "G": pair[0], "D": pair[1]}
    exec(code, names)
    assert len(list(Run(names["G"], names["D"], LABELLED, RECIPE).steps(2))) == 2


TOLD = {
    "labels": (public.CGANGenerator(), critic(), X, "G takes 2 inputs, noise, labels, but a Run gives it one input"),
    "labels of D": (mlp(), public.CGANDiscriminator(), X, "D takes 2 inputs, img, labels, .* an attribute classes"),
    "codes": (public.InfoGANGenerator(), critic(), X, "G takes 3 inputs, noise, labels, code, .* in the net's forward"),
    "D's tuple": (mlp(), public.ACGANDiscriminator(), X, "D returns a tuple: .* adversarial output alone"),
    "G's tuple": (having(nn.LSTM(64, 256), latent_dim=64), critic(), X, "G returns a tuple: .* examples alone"),
    "pictures": (public.Translator(), critic(), X, "G has no attribute latent_dim: set it to the length"),
    "flat out": (mlp(flat=True), critic(), X, r"G makes examples of shape \(256,\).* nn.Unflatten\(1, \(1, 16, 16\)\)"),
    "classes": (mlp(), nn.Sequential(nn.Flatten(), nn.Linear(256, 10)), X, r"D turns 2 examples into \(2, 10\)"),
    "DataParallel": (nn.DataParallel(mlp()), critic(), X, "G is inside a DataParallel: give G.module"),
    "compiled": (mlp(), torch.compile(critic(), backend="eager"), X, "D is compiled already: .* and compile=True"),
    "weights": (mlp().state_dict(), critic(), X, "G is a OrderedDict, weights without a net"),
    "a class": (public.MLPGenerator, critic(), X, "G is the class MLPGenerator: give a net"),
    "a function": (mlp(), len, X, "D is a builtin_function_or_method: give an nn.Module"),
    "no gradient": (Detached(), critic(), X, "no gradient leads from what G returns to its weights: look for detach"),
    "a mistake": (Unfinished(), critic(), X, "G cannot take an input .*has no attribute 'later'"),
    "64 bits": (mlp(), critic().double(), X, "the data is torch.float32, but the weights of D are torch.float64"),
    "words": (mlp(), critic(), DataLoader([("a", 1)] * 9), r"DataLoader: give .* \(60000, 1, 28, 28\)\.$"),
    "numbers": (mlp(), critic(), [0.5] * 9, r"a list: give .* \(60000, 1, 28, 28\)\.$"),
}


@pytest.mark.parametrize(("G", "D", "data", "message"), TOLD.values(), ids=TOLD)
def test_what_does_not_fit_a_run_is_told_in_a_sentence(G, D, data, message):
    with pytest.raises(BadInput, match=message):
        Run(G, D, data, RECIPE)


class Named(Dataset):
    """Without an end, as far as iterating goes."""

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return {"label": i, "image": X[i % len(X)]}


class Stream(IterableDataset):
    def __iter__(self):
        return zip(range(len(X)), X, strict=True)


BYTES = ((X + 1) * 127.5).round().byte()
DATA = {
    "a loader": DataLoader(TensorDataset(X, torch.arange(len(X))), batch_size=5),
    "a loader of pictures": DataLoader(X, batch_size=5),
    "a loader of dicts": DataLoader(Named(), batch_size=5),
    "a data set": TensorDataset(X, torch.arange(len(X))),
    "pictures": Subset(X, range(len(X))),
    "dicts": Named(),
    "a stream": Stream(),
    "a list": list(X),
    "pairs": [(x, i) for i, x in enumerate(X)],
    "an array": X.numpy(),
    "an array of 64 bits": X.double().numpy(),
    "an array of bytes": BYTES.numpy(),
    "a tensor of bytes": BYTES,
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_data_in_another_form_are_told_the_line_that_makes_them_a_tensor(data):
    code = re.search(r"; here (.*)\.$", refused(mlp(), critic(), data))[1]
    made = eval(code, {"torch": torch, "data": data})
    torch.testing.assert_close(made, X, atol=0.005, rtol=0)
    Run(mlp(), critic(), made, RECIPE)


@pytest.mark.parametrize("end", [nn.Sigmoid(), nn.ReLU()])
def test_pixels_in_0_1_are_said_and_not_refused_unless_g_makes_such(end):
    half = (X + 1) / 2
    for G, data in ((mlp(), half), (mlp(), Images("half", half, LABELLED.labels, LABELLED.classes))):
        with pytest.warns(UserWarning, match=r"lie in \[0, 1\], but G makes values below 0 .* 2 \* x - 1") as told:
            run = Run(G, critic(), data, RECIPE)
        assert told[0].filename == __file__
        assert len(list(run.steps(1))) == 1
    unsigned = mlp()
    unsigned.model[-1] = end
    for G, data in ((unsigned, half), (mlp(), X), (mlp(), torch.ones(9, 1, 16, 16)), (mlp(), LABELLED)):
        Run(G, critic(), data, RECIPE)  # pytest makes an error of any warning


# --- probabilities ----------------------------------------------------------------------------------------------------


def bce(real, fake):
    return F.binary_cross_entropy(real, torch.ones_like(real)) + F.binary_cross_entropy(fake, torch.zeros_like(fake))


def logarithms(real, fake):
    return -real.log().mean() - (1 - fake).log().mean()


def clamped_logarithms(real, fake):
    return logarithms(real.clamp(1e-8, 1), fake.clamp(0, 1 - 1e-6))


def bce_with_logits(real, fake):
    real_loss = F.binary_cross_entropy_with_logits(real, torch.full_like(real, 0.9))
    return real_loss + F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))


def squares(real, fake):
    return F.mse_loss(real, torch.full_like(real, 0.95)) + F.mse_loss(fake, torch.zeros_like(fake))


def centred_squares(real, fake):
    return (real - 1).square().mean() + (fake + 1).square().mean()


WANT_LOGITS = {
    **{loss: name != "least-squares" for name, loss in losses.LOSSES.items()},
    **{Loss(f.__name__, f, f): False for f in (bce, logarithms, clamped_logarithms, squares)},
    **{Loss(f.__name__, f, f): True for f in (bce_with_logits, centred_squares)},
    museum.exhibit("double-sigmoid").broken: True,
}


@pytest.mark.parametrize("loss", WANT_LOGITS, ids=lambda loss: loss.name)
def test_a_sigmoid_is_refused_where_the_loss_wants_logits(loss):
    assert probabilities.wants_logits(loss) == WANT_LOGITS[loss]
    for D in (public.FunctionalSigmoid(), public.MLPDiscriminator(), Softmax()):
        recipe = dataclasses.replace(RECIPE, loss=loss)
        if WANT_LOGITS[loss]:
            assert f"the {loss.name} loss wants logits" in refused(mlp(), D, X, recipe)
        else:
            Run(mlp(), D, X, recipe)


class Inner(public.MLPDiscriminator):
    """A sigmoid inside, a last layer after it, and another sigmoid as a gate."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(1, 1)

    def forward(self, img):
        return self.last(super().forward(img)) * torch.sigmoid(img.mean((1, 2, 3)))[:, None]


def test_what_only_looks_like_a_probability_is_accepted():
    D = critic()
    nn.init.zeros_(D.model[2].weight)
    nn.init.constant_(D.model[2].bias, 0.5)  # every logit is 0.5
    hidden = nn.Sequential(nn.Flatten(), nn.Sigmoid(), nn.Linear(256, 1))
    for net in (D, Inner(), nn.Sequential(critic(), nn.Tanh()), hidden):
        Run(mlp(), net, X, RECIPE)


class Ending(nn.Module):
    """D with a function at its end."""

    def __init__(self, end, net=None):
        super().__init__()
        self.net, self.end = net or critic(), end

    def forward(self, x):
        return self.end(self.net(x))


BY_HAND = {
    "1 / (1 + exp(-x))": Ending(lambda x: 1 / (1 + torch.exp(-x))),
    "exp(x) / (1 + exp(x))": Ending(lambda x: x.exp() / (1 + x.exp())),
    "(tanh + 1) / 2": Ending(lambda x: (torch.tanh(x) + 1) / 2),
    "sigmoid * 1": Ending(lambda x: torch.sigmoid(x) * 1.0),
    "sigmoid, smoothed": Ending(lambda x: 0.05 + 0.9 * torch.sigmoid(x)),
    "1 - sigmoid": Ending(lambda x: 1 - torch.sigmoid(x)),
    "exp of logsigmoid": Ending(lambda x: F.logsigmoid(x).exp()),
    "clamped": Ending(lambda x: (x + 0.5).clamp(0, 1) * 1.0),
    "softmax": Ending(lambda x: x.exp()[:, 1] / x.exp().sum(1), nn.Sequential(nn.Flatten(), nn.Linear(256, 2))),
    "patches": Ending(lambda x: (1 / (1 + torch.exp(-x))).mean((1, 2, 3)), public.PatchDiscriminator()),
    "spectral norm": Ending(lambda x: (torch.tanh(x) + 1) / 2, spectral(nn.Linear(256, 1, bias=False))),
}


@pytest.mark.parametrize("D", BY_HAND.values(), ids=BY_HAND)
def test_a_sigmoid_that_is_written_out_is_refused(D):
    assert "never leaves [0, 1], but the" in refused(mlp(), D)
    Run(mlp(), D, X, dataclasses.replace(RECIPE, loss=losses.LEAST_SQUARES))


class Gated(nn.Module):
    """The layer that was made last is a gate between 0 and 1; the logits lie in [0, 1] at the beginning."""

    def __init__(self):
        super().__init__()
        self.net, self.gate = small(critic()), nn.Linear(256, 1)

    def forward(self, x):
        return self.net(x) * torch.sigmoid(self.gate(x.flatten(1)))


class Projection(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.last, self.classes = nn.Linear(256, 8), small(nn.Linear(8, 1)), nn.Embedding(3, 8)

    def forward(self, x):
        h = self.body(x.flatten(1))
        return self.last(h) + 0.01 * (self.classes(torch.zeros(len(x), dtype=torch.int64)) * h).sum(1, keepdim=True)


class Aside(nn.Module):
    """Its last layer computes something that is not returned."""

    def __init__(self):
        super().__init__()
        self.net, self.aside = small(critic()), nn.Linear(256, 1)

    def forward(self, x):
        self.last = torch.sigmoid(self.aside(x.flatten(1)))
        return self.net(x)


FREE = {
    "all 0.5": Ending(lambda x: x),
    "all 0": Ending(lambda x: x - 0.5),
    "spectral norm": Ending(lambda x: 0.1 * x + 0.5, spectral(nn.Linear(256, 1, bias=False))),
    "softplus": Ending(F.softplus),
    "relu": Ending(F.relu),
    "tanh": Ending(torch.tanh),
    "the mean of patches": Ending(lambda x: x.mean((1, 2, 3)) + 0.5, public.PatchDiscriminator()),
    "a gate": Gated(),
    "a projection": Projection(),
    "something aside": Aside(),
    "squares": Ending(lambda x: x.square()),
}


@pytest.mark.parametrize("D", FREE.values(), ids=FREE)
def test_logits_that_lie_between_0_and_1_by_chance_are_accepted(D):
    if isinstance(D, Ending) and isinstance(D.net, public.MLPDiscriminator):
        small(D.net)
    with torch.no_grad():
        assert ((D(X) >= -0.3) & (D(X) <= 1)).all()
    Run(mlp(), D, X, RECIPE)


def test_the_sigmoid_is_looked_for_without_a_trace():
    D = public.MLPDiscriminator()
    D.model[2].bias.requires_grad_(False)
    refused(mlp(), D)
    assert not D.model[3]._forward_hooks
    G, by_hand = mlp(), Ending(lambda x: 1 / (1 + torch.exp(-x)))
    before = torch.get_rng_state()
    refused(G, by_hand)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(layer._forward_hooks for layer in by_hand.modules())
    assert [p.grad for p in D.parameters()] == [None] * 4
    assert [p.requires_grad for p in D.parameters()] == [True, True, True, False]
    assert D.training


def test_the_museum_still_shows_two_sigmoids():
    broken = museum.exhibit("double-sigmoid").broken
    assert broken.name == "double sigmoid"
    list(Run(mlp(), critic(), X, dataclasses.replace(RECIPE, loss=broken)).steps(1))
