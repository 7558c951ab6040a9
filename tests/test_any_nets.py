"""Generators and discriminators in the forms that people have them are called as they want to be, or told in a line."""

import re

import numpy as np
import public_nets as public
import pytest
import torch
from drawn import digits
from torch import nn

from gantutor import doctor, models
from gantutor.doctor.nets.borrowed import in_mode
from gantutor.doctor.nets.discriminators import AnyDiscriminator
from gantutor.doctor.nets.generators import AnyGenerator
from gantutor.errors import BadInput
from gantutor.models import inspection


def of_points(z):
    return z[:, :, None, None]


def compiled(net):
    return torch.compile(net, backend="eager")


def ada(c_dim=0):
    return public.StyleGeneratorADA(c_dim=c_dim)


class Hidden(nn.Module):
    """Its first layer takes something else than the noise, whose length only an attribute tells."""

    def __init__(self):
        super().__init__()
        self.nz, self.last, self.first = 30, nn.Linear(32, 256), nn.Linear(15, 16)

    def forward(self, z):
        return self.last(torch.cat([self.first(half) for half in z.chunk(2, 1)], 1)).view(-1, *public.SHAPE)


torch.manual_seed(0)
DCGAN, MLP = public.dcgan()[0], public.MLPGenerator()
GENERATORS = {  # the net as it is given; length of its noise; how it is called; what of its output are the images
    "DCGAN": (DCGAN, 100, lambda z: DCGAN(of_points(z))),
    "in DataParallel": (nn.DataParallel(DCGAN), 100, lambda z: DCGAN(of_points(z))),
    "compiled": (compiled(MLP), 64, lambda z: MLP(z)),
    "both": (compiled(nn.DataParallel(MLP)), 64, lambda z: MLP(z)),
    "averaged": (G := torch.optim.swa_utils.AveragedModel(MLP), 64, lambda z, G=G: G.module(z)),
    "dense": (MLP, 64, lambda z: MLP(z)),
    "its forward": (MLP.forward, 64, lambda z: MLP(z)),
    "a function of noise": (lambda z: DCGAN(z), 100, lambda z: DCGAN(of_points(z))),
    "in 64 bits": (G := public.MLPGenerator().double(), 64, lambda z, G=G: G(z.double())),
    "an attribute": (G := Hidden(), 30, lambda z, G=G: G(z)),
    "flat": (G := public.MLPGenerator(flat=True), 64, lambda z, G=G: G(z).view(-1, *public.SHAPE)),
    "G(z, None)": (G := ada(), 48, lambda z, G=G: G(z, None)),
    "a list, and a tuple": (G := public.StyleGeneratorListed(), 48, lambda z, G=G: G([z])[0]),
    "the package's own": (G := models.mlp((1, 16, 16), 9, (8,), (8,))[0], 9, lambda z, G=G: G(z)),
}


@pytest.mark.parametrize(("given", "length", "call"), GENERATORS.values(), ids=GENERATORS)
def test_a_generator_is_given_its_noise(given, length, call):
    notes = []
    G = AnyGenerator(given, public.SHAPE, 0, notes)
    with in_mode(G.nets, False):
        torch.manual_seed(5)
        x = G(300)  # in more than one batch
        torch.manual_seed(5)
        with torch.no_grad():
            torch.testing.assert_close(x, call(torch.randn(300, length)), check_dtype=False)
    assert f"Gaussian noise (n, {length}" in notes[0]


def test_a_net_is_taken_out_of_all_its_wrappings():
    for wrapped in (MLP, nn.DataParallel(compiled(MLP)), compiled(nn.DataParallel(MLP))):
        assert inspection.unwrapped(wrapped) is MLP


def test_a_function_of_n_is_called_with_n_and_nothing_else():
    seen = []
    x = AnyGenerator(lambda n: seen.append(n) or torch.ones(n, 1, 16, 16), public.SHAPE, 0, [])(70)
    assert (seen, len(x)) == ([70], 70)


def test_the_trial_leaves_no_trace():
    G = public.dcgan()[0].train()
    before = {name: value.clone() for name, value in G.state_dict().items()}
    torch.manual_seed(1)
    expected = torch.randn(3)
    torch.manual_seed(1)
    given = AnyGenerator(G, public.SHAPE, 0, [])
    with in_mode(given.nets, True):
        assert given.find_form() == (100, "(n, {}, 1, 1)")
    assert torch.equal(torch.randn(3), expected)
    assert G.training
    assert all(torch.equal(value, before[name]) for name, value in G.state_dict().items())


def test_of_several_images_those_like_the_real_ones_are_taken():
    pyramid = lambda n: {"images": [torch.zeros(n, 1, 4, 4), torch.ones(n, 1, 8, 8), torch.ones(n, 1, 16, 16) / 2]}  # noqa: E731
    notes = []
    assert AnyGenerator(pyramid, public.SHAPE, 0, notes)(5).unique().tolist() == [0.5]
    assert "returns 3 tensors: that of shape (n, 1, 16, 16) was read" in notes[0]


def test_images_in_the_range_of_the_real_ones_are_brought_to_ours():
    for top, factor in ((1, 1.0), (255, 255.0)):
        x = factor * torch.rand(10, 1, 16, 16)
        notes = []
        torch.testing.assert_close(AnyGenerator(lambda n, x=x: x, public.SHAPE, top, notes)(10), 2 * x / factor - 1)
        assert f"lie in [0, {top}]" in notes[0]
    x = torch.rand(10, 1, 16, 16) * 2 - 1
    assert torch.equal(AnyGenerator(lambda n: x, public.SHAPE, 1, [])(10), x)  # that is a tanh, whatever the data
    assert torch.equal(AnyGenerator(lambda n: x.abs(), public.SHAPE, 0, [])(10), x.abs())


UNUSABLE = {
    "labels": (public.CGANGenerator(), r"takes \(noise, labels\).*G\(torch.randn\(n, 50\), torch.randint\(10, \(n,"),
    "labels times noise": (public.ACGANGenerator(), r"takes \(noise, labels\).*randn\(n, 60\), torch.randint\(7, "),
    "labels and code": (public.InfoGANGenerator(), r"\(noise, labels, code\).*G\(noise\[:n\], labels\[:n\], code"),
    "the package's labels": (models.mlp((1, 16, 16), 9, (8,), (8,), classes=3)[0], r"randn\(n, 9\), torch.randint\(3"),
    "StyleGAN with classes": (ada(5), r"takes \(z, c\): give a function of n"),
    "pictures": (public.Translator(), r"takes pictures, not noise.*generator=lambda n: G\(pictures\[:n\]\)"),
    "weights": (
        DCGAN.state_dict(),
        r"weights without a net \(for noise of length 100.*doctor.load_weights",
    ),
    "a file": ("netG.pth", r"the name of a file.*doctor.load_weights\(net, 'netG.pth'\)"),
    "a class": (public.MLPGenerator, r"the class MLPGenerator: give a net, generator=MLPGenerator\("),
    "a number": (3, "is a int: give the net"),
    "no layers": (nn.Sequential(nn.ReLU()), "'s noise cannot be seen: set .* latent_dim"),
    "no images": (nn.Linear(10, 12), r"makes \(2, 12\) of noise \(2, 10\), but the real images are \(1, 16, 16\)"),
    "a mistake": (lambda n: DCGAN.later(n), r"failed on 4 \(AttributeError.*repair it first"),
    "words": (lambda n: ["a picture"] * n, "failed on 4 .*a list, which holds neither a tensor nor a NumPy array"),
}


@pytest.mark.parametrize(("given", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_generator_that_needs_more_is_told_in_a_line_what_to_write(given, message):
    with pytest.raises(BadInput, match=f"^the (length of the )?generator.*{message}") as told:
        AnyGenerator(given, public.SHAPE, 0, [])(4)
    code = re.search(r"generator=(lambda n: .*torch\.randint.*\))\.$", str(told.value))
    if code:
        function = eval(code[1], {"torch": torch, "G": given})
        assert AnyGenerator(function, public.SHAPE, 0, [])(4).shape == (4, *public.SHAPE)


# --- discriminators ---------------------------------------------------------------------------------------------------

X = torch.rand(6, *public.SHAPE, generator=torch.Generator().manual_seed(0)) * 2 - 1
D0 = public.dcgan()[1].eval()
DISCRIMINATORS = {  # the net as it is given; its numbers (6,); a note
    "(B, 1, 1, 1)": (D0, lambda x: D0(x)[:, 0, 0, 0], None),
    "in DataParallel": (nn.DataParallel(D0), lambda x: D0(x)[:, 0, 0, 0], None),
    "compiled": (compiled(D0), lambda x: D0(x)[:, 0, 0, 0], None),
    "(B, 1)": (D := public.MLPDiscriminator(), lambda x, D=D: D(x)[:, 0], None),
    "flat": (D := public.MLPDiscriminator(flat=True), lambda x, D=D: D(x.flatten(1))[:, 0], "flat images (B, 256)"),
    "(B,), of 64 bits": (D := public.FunctionalSigmoid().double(), lambda x, D=D: D(x.double()), None),
    "a tuple": (D := public.ACGANDiscriminator(), lambda x, D=D: D(x)[0][:, 0], "returns 2 tensors: the first"),
    "patches": (D := public.PatchDiscriminator(), lambda x, D=D: torch.stack([p.mean() for p in D(x)]), "4×4 numbers"),
    "features before": (lambda x: [[x.expand(-1, 8, -1, -1), x[:, :, 0, 0]]], lambda x: x[:, 0, 0, 0], "2 tensors"),
    "two that fit": (lambda x: (x[:, 0, 0, 0], x[:, 0, 1, :1]), lambda x: x[:, 0, 0, 0], "2 tensors: the first"),
    "a function": (lambda x: x.sum((1, 2, 3)), lambda x: x.sum((1, 2, 3)), None),
}


@pytest.mark.parametrize(("given", "expected", "note"), DISCRIMINATORS.values(), ids=DISCRIMINATORS)
def test_of_a_discriminator_one_number_for_each_image_is_taken(given, expected, note):
    notes = []
    with torch.no_grad():
        torch.testing.assert_close(AnyDiscriminator(given, 0, notes)(X), expected(X).double())
    assert len(notes) == bool(note)
    assert (note or "") in "".join(notes)


def test_numpy_arrays_are_taken_as_tensors():
    for kind in (
        lambda x: x,
        lambda x: np.flip(np.flip(x, 2).copy(), 2),
        lambda x: x.astype(">f4"),
        lambda x: (x, None),
    ):
        made = AnyGenerator(lambda n, kind=kind: kind(X[:n].numpy()), public.SHAPE, 0, [])(6)
        torch.testing.assert_close(made, X)
    expected = X.mean((1, 2, 3)).double()
    for kind in (lambda y: y, lambda y: y[:, None], lambda y: y.astype(np.float64)):
        judged = AnyDiscriminator(lambda x, kind=kind: kind(x.mean((1, 2, 3)).numpy()))(X)
        torch.testing.assert_close(judged, expected)


def test_a_discriminator_sees_images_in_the_range_it_was_trained_on():
    for top in (1, 255):
        mean = AnyDiscriminator(lambda x: x.mean((1, 2, 3)), top)(X)
        torch.testing.assert_close(mean.float(), (X.mean((1, 2, 3)) + 1) / 2 * top)


MISUSED = {
    "labels": (public.CGANDiscriminator(), r"takes \(img, labels\).*discriminator=lambda x: D\(x, y\)"),
    "the package's labels": (models.mlp((1, 16, 16), 9, (8,), (8,), classes=3)[1], r"labels .*lambda x: D\(x, y\)"),
    "channels": (public.PatchDiscriminator(3), r"first convolution takes 3 channel\(s\), and the real images have 1"),
    "size": (nn.Sequential(nn.Flatten(), nn.Linear(1024, 1)), "failed on images .*of the size and with the channels"),
    "classes": (nn.Sequential(nn.Flatten(), nn.Linear(256, 10)), r"returned \(6, 10\).*lambda x: D\(x\)\[:, 0\]"),
    "one for all": (lambda x: x.mean(), r"returned \(\) for 6 images: it must return one number for each image"),
    "weights": (D0.state_dict(), r"OrderedDict, weights without a net: .*doctor.load_weights"),
}


@pytest.mark.parametrize(("given", "message"), MISUSED.values(), ids=MISUSED)
def test_a_discriminator_that_needs_more_is_told_in_a_line_what_to_write(given, message):
    with pytest.raises(BadInput, match=f"^the discriminator .*{message}"):
        AnyDiscriminator(given)(X)


# --- the whole examination --------------------------------------------------------------------------------------------


class Draughtsman(nn.Module):
    """A sound generator in the form of a DCGAN: from noise (N, 100, 1, 1) it draws digits, in [0, 1], and a None."""

    def __init__(self):
        super().__init__()
        self.first = nn.ConvTranspose2d(100, 1, 1)

    def forward(self, z):
        assert self.first(z).shape == (len(z), 1, 1, 1)
        return (digits(len(z), int(1000 * z.abs().sum())).pixels + 1) / 2, None


def test_the_nets_alone_are_enough(train):
    real = (train.pixels[:800] + 1) / 2  # as ToTensor gives them
    G, D = Draughtsman(), nn.Sequential(nn.Flatten(), nn.Linear(784, 49), nn.Unflatten(1, (1, 7, 7)))
    d = doctor.examine(generator=nn.DataParallel(G), discriminator=D, real=real)
    assert d.names == ("discriminator_blind",)  # it is untrained, and the samples are sound
    text = "\n".join(d.notes)
    for said in ("noise (n, 100, 1, 1)", "7×7 numbers", "lie in [0, 1], as the real images do", "read as [0, 1]"):
        assert said in text
    with pytest.raises(BadInput, match="no real images to compare with: give real"):
        doctor.examine(generator=G)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((DCGAN, X), "DCGANGenerator can be called"),
        ((DCGAN, D0, X), "DCGANGenerator and DCGANDiscriminator can be called"),
        ((X, DCGAN), "DCGANGenerator can be called"),
        ((nn.Sequential(DCGAN), X), "Sequential can be called"),
        ((lambda n: X[:n], X), "<lambda> can be called"),
        ((X, X, X), "these are 3 arguments"),
    ],
)
def test_nets_without_a_name_are_told_in_a_line_what_to_write(given, said):
    with pytest.raises(BadInput, match=f"{said}: .*generator=G, discriminator=D, real="):
        doctor.examine(*given)


def test_probabilities_are_said(train, sound):
    d = doctor.examine(sound.pixels[:300], train.pixels[:500], discriminator=lambda x: x.mean((1, 2, 3)).sigmoid())
    assert any("were read as probabilities" in note for note in d.notes)
