"""What `Run` checks before it starts; the rest of these checks is seen through `Run` in test_train.py."""

import pytest
import torch
from torch import nn

from gantutor import losses, models, train
from gantutor.data import Images
from gantutor.errors import BadInput
from gantutor.train import validate

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PIXELS = torch.zeros(12, 1, 4, 4)
LABELS = torch.arange(12) % 3
THREE = Images("three kinds", PIXELS, LABELS, ("a", "b", "c"))


def pair(classes=0, **changes):
    return models.mlp(shape=(1, 4, 4), latent_dim=3, g_hidden=(8,), d_hidden=(8,), classes=classes, **changes)


class Stranger(nn.Module):
    """A conditional G or D of somebody's own."""

    def __init__(self, net, classes=3):
        super().__init__()
        self.net, self.latent_dim, self.classes = net, 3, classes

    def forward(self, x, y):
        return self.net(x, y)


# --- examples --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[0.0]], "the data is a list: give Images, or a float tensor"),
        (torch.zeros(8), r"torch.float32 tensor of shape \(8,\)"),
        (torch.zeros(8, 2, dtype=torch.int64), r"torch.int64 tensor of shape \(8, 2\)"),
        (torch.zeros(3, 2), "batch_size is 4, but there are only 3 examples"),
        (torch.tensor([[0.0], [float("inf")], [1], [2]]), "NaN or infinite"),
        (torch.tensor([[0.0], [float("nan")], [1], [2]]), "NaN or infinite"),
        (torch.full((4, 1, 2, 2), 255.0), r"\[255, 255\], outside \[-1, 1\].*x / 127.5 - 1"),
        (torch.full((4, 2, 2), -1.01), r"\[-1.01, -1.01\], outside"),
    ],
)
def test_examples_that_cannot_be_trained_on_are_named(x, message):
    with pytest.raises(BadInput, match=message):
        validate.check_examples(x, 4)


def test_examples_at_the_edge_are_accepted():
    validate.check_examples(torch.tensor([[-70.0, 300.0]] * 4), 4)  # points may be anywhere
    validate.check_examples(torch.tensor([-1.0, 1.0]).expand(4, 1, 2, 2), 4)


# --- labels ----------------------------------------------------------------------------------------------------------


def test_labels_are_for_conditional_pairs_only():
    assert validate.check_labelled(*pair(), THREE, CPU) is None
    assert validate.check_labelled(*pair(), PIXELS, CPU) is None
    assert validate.check_labelled(nn.Linear(1, 1), nn.Linear(1, 1), THREE, CPU) is None
    assert torch.equal(validate.check_labelled(*pair(3), THREE, CPU), LABELS)
    strangers = Stranger(None), Stranger(None)
    assert torch.equal(validate.check_labelled(*strangers, THREE, CPU), LABELS)


@pytest.mark.parametrize(
    ("g_classes", "d_classes", "data", "message"),
    [
        (3, 4, THREE, "G is made for 3 classes and D for 4: make both for the same number"),
        (0, 3, THREE, "G is made for 0 classes and D for 3"),
        (3, 0, THREE, "G is made for 3 classes and D for 0"),
        (3, 3, PIXELS, "G and D are conditional, but the data has no labels: give Images"),
        (10, 10, THREE, "G and D are made for 10 classes, but three kinds has 3"),
        (2, 2, THREE, "G and D are made for 2 classes, but three kinds has 3"),
    ],
)
def test_pairs_and_data_that_do_not_agree_are_named(g_classes, d_classes, data, message):
    with pytest.raises(BadInput, match=message):
        validate.check_labelled(pair(g_classes)[0], pair(d_classes)[1], data, CPU)
    with pytest.raises(BadInput, match=message):
        validate.check_labelled(Stranger(None, g_classes), Stranger(None, d_classes), data, CPU)


# --- CUDA graphs -----------------------------------------------------------------------------------------------------


def test_capture_is_the_default_on_cuda_for_what_is_the_packages_own():
    assert validate.choose_capture(None, CUDA, own=True) is True
    assert validate.choose_capture(None, CUDA, own=False) is False
    assert validate.choose_capture(None, CPU, own=True) is False


def test_capture_can_be_asked_for_and_left_out():
    assert validate.choose_capture(True, CUDA, own=False) is True
    assert validate.choose_capture(False, CUDA, own=True) is False
    assert validate.choose_capture(False, CPU, own=True) is False
    for device in (CPU, torch.device("mps")):
        with pytest.raises(BadInput, match=f"capture is True, but .* this run is on {device.type}: leave it out"):
            validate.choose_capture(True, device, own=True)
    with pytest.raises(BadInput, match="capture is 'yes': give True, False, or None"):
        validate.choose_capture("yes", CUDA, own=True)


class Mine(models.MLPGenerator):
    """A class built upon one of the package's is a stranger's."""


class MyRun(train.Run):
    pass


OWN = {
    "the package's nets": ({}, True),
    "the package's DCGAN": (dict(nets=models.dcgan(latent_dim=3, g_width=2, d_width=2, hidden=4)), True),
    "no penalty": (dict(recipe=train.Recipe(batch_size=4, penalty=None)), True),
    "a stranger's G": (dict(nets=(Mine(3, (8,), (1, 28, 28)), models.MLPDiscriminator((8,)))), False),
    "a stranger's D": (
        dict(nets=(models.MLPGenerator(3, (8,)), nn.Sequential(nn.Flatten(), nn.Linear(784, 1)))),
        False,
    ),
    "a penalty of one's own": (dict(recipe=train.Recipe(batch_size=4, penalty=lambda D, x, y: D(x).mean())), False),
    "a loss of one's own": (
        dict(recipe=train.Recipe(batch_size=4, loss=losses.Loss("mine", losses.hinge_d, losses.wasserstein_g))),
        False,
    ),
    "a run of one's own": (dict(kind=MyRun), False),
}


@pytest.mark.parametrize(("changes", "own"), OWN.values(), ids=OWN)
def test_what_a_run_takes_for_the_packages_own(monkeypatch, changes, own):
    given = dict(nets=models.mlp(latent_dim=3, g_hidden=(8,), d_hidden=(8,)), recipe=train.Recipe(batch_size=4),
                 kind=train.Run) | changes  # fmt: skip
    seen = []
    monkeypatch.setattr(validate, "choose_capture", lambda capture, device, own: seen.append(own) or False)
    given["kind"](*given["nets"], torch.zeros(4, 1, 28, 28), given["recipe"])
    assert seen == [own]


# --- nets ------------------------------------------------------------------------------------------------------------


def test_nets_that_fit_are_tried_with_the_labels_and_left_as_they_were():
    for classes, labels in ((0, None), (3, LABELS)):
        G, D = pair(classes, spectral=True)  # in train mode, a pass would change buffers of both
        D.net[1].eval()  # one layer in another mode
        before = [value.clone() for net in (G, D) for value in net.state_dict().values()]
        validate.check_nets(G, D, PIXELS, labels)
        for value, old in zip([v for net in (G, D) for v in net.state_dict().values()], before, strict=True):
            assert torch.equal(value, old)
        assert (G.training, D.training, D.net[1].training) == (True, True, False)
    seen = []
    G, D = Stranger(lambda z, y: seen.append(y) or torch.zeros(2, 1, 4, 4)), Stranger(lambda x, y: x.sum((1, 2, 3)))
    validate.check_nets(G, D, PIXELS[:1], LABELS[2:3])  # one example is enough to try two
    assert seen[0].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("G", "D", "labels", "message"),
    [
        (nn.Linear(3, 16), pair()[1], None, "G has no attribute latent_dim"),
        (pair()[0].double(), pair()[1], None, "the data is torch.float32, but the weights of G are torch.float64"),
        (models.MLPGenerator(3, (8,), (3, 4, 4)), pair()[1], None, r"shape \(3, 4, 4\), but the data has \(1, 4, 4\)"),
        (pair()[0], models.MLPDiscriminator((8,), (3, 4, 4)), None, r"D cannot take an input of shape \(2, 1, 4, 4\)"),
        (pair()[0], nn.Flatten(), None, r"D turns 2 examples into \(2, 16\): it must give one logit each"),
        (pair(3)[0], pair(3)[1], None, "^G: .*labels are missing"),
        (pair(3)[0], pair()[1], LABELS, "^D: this net is not conditional"),
        (pair(3)[0], nn.Flatten(), LABELS, "D cannot take an input of .* positional argument"),
        (pair(3)[0], pair(3)[1], LABELS + 3, "^G: the labels go from 3 to 3"),
    ],
)
def test_nets_that_do_not_fit_are_named(G, D, labels, message):
    with pytest.raises(BadInput, match=message):
        validate.check_nets(G, D, PIXELS, labels)
    assert all(net.training for net in (G, D))


def test_the_class_names_of_a_classifier_do_not_make_it_conditional():
    G, D = pair()
    D.classes = ("cat", "dog")
    assert validate.check_labelled(G, D, THREE, CPU) is None
    assert [validate.classes_of(net) for net in (G, D, pair(3)[0])] == [0, 0, 3]


def test_what_a_net_says_itself_is_passed_on():
    class Choosy(Stranger):
        def forward(self, x, y=None):
            raise BadInput("this net takes no such thing: give it another.")

    with pytest.raises(BadInput, match=r"^G: this net takes no such thing: give it another\.$"):
        validate.check_nets(Choosy(None), pair()[1], torch.zeros(4, 1, 4, 4))


def test_a_batch_of_one_is_too_small_for_batch_norm():
    with pytest.raises(BadInput, match="batch_size is 1, and batch norm needs at least two"):
        validate.check_nets(*pair(), PIXELS, None, batch_size=1)
    validate.check_nets(*pair(batch_norm=False), PIXELS, None, batch_size=1)
    D = models.MLPDiscriminator((8,), (1, 4, 4), batch_norm=True, pack=4)
    with pytest.raises(BadInput, match="batch_size is 4, and batch norm needs at least two packs: choose a larger"):
        validate.check_nets(pair()[0], D, PIXELS, batch_size=4)
    validate.check_nets(pair()[0], D, PIXELS, batch_size=8)


def test_a_packed_d_is_tried_on_two_packs():
    validate.check_nets(*pair(pack=3, minibatch_std=2), PIXELS, batch_size=6)
    seen = []
    D = Stranger(lambda x, y: seen.append(x) or x.flatten(1).mean(1).unflatten(0, (-1, 3)).mean(1), 0)
    D.forward, D.pack = lambda x: D.net(x, None), 3
    four = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 4, 4)
    validate.check_nets(pair()[0], D, four, batch_size=3)
    assert seen[0][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 0, 1]  # four examples are enough to try six


@pytest.mark.parametrize(
    ("changes", "batch_size", "message"),
    [
        (dict(pack=3), 8, "batch_size is 8, but D judges packs of 3: choose a multiple of 3"),
        (dict(pack=4), 2, "batch_size is 2, but D judges packs of 4"),
        (dict(minibatch_std=3), 8, r"minibatch_std is 3, which does not divide the 8 examples \(or packs\)"),
        (dict(minibatch_std=3, pack=2), 8, r"minibatch_std is 3, which does not divide the 4 examples \(or packs\)"),
    ],
)
def test_a_batch_that_cannot_be_cut_into_packs_or_groups_is_named(changes, batch_size, message):
    with pytest.raises(BadInput, match=message):
        validate.check_nets(*pair(**changes), PIXELS, batch_size=batch_size)


def test_a_packed_d_of_somebodys_own_is_checked_too():
    G, D = Stranger(None), Stranger(None)
    D.pack = 2
    with pytest.raises(BadInput, match="D judges packs of 2 and is conditional: .*leave one out"):
        validate.check_nets(G, D, PIXELS, LABELS, batch_size=4)
    D = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))  # it says that it packs, and gives one logit for each example
    D.pack = 2
    with pytest.raises(BadInput, match=r"D turns 4 examples into \(4, 1\): .* one logit for each pack of 2, \(2,\)"):
        validate.check_nets(pair()[0], D, PIXELS, batch_size=4)


def test_an_error_that_says_nothing_is_named_by_its_type():
    class Mute(Stranger):
        def forward(self, x, y=None):
            raise ValueError

    with pytest.raises(BadInput, match=r"G cannot take an input of shape \(2, 3\): ValueError\.$"):
        validate.check_nets(Mute(None, 0), pair()[1], PIXELS)
