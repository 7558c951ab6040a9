"""Pictures from loaders, data sets and lists become one tensor with their labels."""

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from gantutor import doctor
from gantutor.doctor.images import collected
from gantutor.errors import BadInput

Y = torch.arange(10) % 3
X = torch.rand(10, 3, 8, 9, generator=torch.Generator().manual_seed(0))  # in [0, 1], as ToTensor gives them
BYTES = (X * 255).byte()


class Listed(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


class Stream(IterableDataset):
    def __iter__(self):
        return zip(X, Y.tolist(), strict=True)


def pillow(x):
    return Image.fromarray(x.permute(1, 2, 0).numpy())


pairs = Listed(list(zip(X, Y.tolist(), strict=True)))
SOURCES = {  # what is given; whether it has labels
    "a loader": (DataLoader(TensorDataset(X, Y), batch_size=4), True),
    "a loader without labels": (DataLoader(TensorDataset(X), batch_size=4), False),
    "a loader of a bare data set": (DataLoader(Listed(list(X)), batch_size=3), False),
    "a loader of single items": (DataLoader(pairs, batch_size=None), True),
    "a loader of a stream": (DataLoader(Stream(), batch_size=4), True),
    "a loader of dicts": (DataLoader(Listed([{"pixel_values": x, "label": y} for x, y in pairs]), batch_size=4), True),
    "a data set": (pairs, True),
    "a subset": (torch.utils.data.Subset(pairs, range(10)), True),
    "a stream": (Stream(), True),
    "dicts": (Listed([{"id": 7, "image": x, "labels": y} for x, y in pairs]), True),
    "names before": (Listed([("a.png", x, y) for x, y in pairs]), True),
    "numbers before": (Listed([(9 - i, x, y) for i, (x, y) in enumerate(pairs)]), True),
    "many attributes": (Listed([(x, torch.ones(40).long().tolist()) for x in X]), False),
    "text": (Listed([(x, "a red shape") for x in X]), False),
    "unknown classes": (Listed([(x, -1) for x in X]), False),
    "a list": (list(X), False),
    "a tuple": (tuple(X), False),
    "a list of batches": (list(X.split(4)), False),
    "a list of arrays": ([x.numpy() for x in X], False),
    "a generator": ((x for x in X), False),
    "images and labels": ((X, Y), True),
}


@pytest.mark.parametrize(("source", "labelled"), SOURCES.values(), ids=SOURCES)
def test_every_source_of_the_same_pictures_gives_the_same(source, labelled):
    x, y = collected.collect(source, None, "the real images", [])
    assert torch.equal(x, X)
    assert y == (Y.tolist() if labelled else None)


def test_bytes_and_pictures_of_pillows():
    for source in (Listed([pillow(x) for x in BYTES]), [x.permute(1, 2, 0).numpy() for x in BYTES]):
        x, _ = collected.collect(source, None, "the real images", [])
        assert torch.equal(x, BYTES.permute(0, 2, 3, 1))
    grey = [Image.fromarray(x[0].numpy()) for x in BYTES]
    assert torch.equal(collected.collect(grey, None, "", [])[0], BYTES[:, 0])
    assert torch.equal(collected.collect(DataLoader(TensorDataset(X[:, 0])), None, "", [])[0], X[:, 0])
    transparent = [pillow(x).convert("RGBA") for x in BYTES]
    assert torch.equal(collected.collect(transparent, None, "", [])[0], BYTES.permute(0, 2, 3, 1))


def test_what_is_one_array_already_stays_as_it_is():
    for x in (X, X.numpy(), None):
        assert collected.collect(x, [1], "the samples", []) == (x, [1])
    assert collected.collect(pairs, Y.flip(0), "the samples", [])[1] is not None
    assert collected.collect(pairs, [5] * 10, "the samples", [])[1] == [5] * 10  # those given go first


def test_of_several_pictures_it_is_said_which_was_read():
    notes = []
    x, _ = collected.collect(Listed([{"A": x, "B": -x} for x in X]), None, "the real images", notes)
    assert torch.equal(x, X)
    assert notes == ["Of each item of the real images, 'A' was read."]


def test_of_too_many_random_ones_are_read(monkeypatch):
    monkeypatch.setattr(collected, "MOST", 4)
    notes = []
    torch.manual_seed(0)
    x, y = collected.collect(pairs, None, "the real images", notes)
    places = [(one == X).flatten(1).all(1).nonzero().item() for one in x]
    assert len(set(places)) == 4
    assert places != [0, 1, 2, 3]
    assert y == Y[places].tolist()
    assert notes == ["There are 10 pictures in the real images: 4 of them, chosen at random, were read."]
    x, y = collected.collect(DataLoader(pairs, batch_size=2), None, "the real images", notes)
    assert torch.equal(x, X[:4])
    assert y == Y[:4].tolist()
    assert "first 4 of the real images" in notes[1]
    with pytest.raises(BadInput, match="the labels given do not fit: leave them out"):
        collected.collect(pairs, Y, "the real images", [])


class Failing(Listed):
    def __getitem__(self, i):
        raise KeyError("column 'image'")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("photos", r"are a str, 'photos': read a folder first, with data.from_folder\('photos'\)"),
        ({"images": X}, "a dict that holds 'images': give the array of pictures itself"),
        (7, "are a int: give an array of numbers"),
        ([1, 2], "hold a int in place 0: give pictures"),
        (Listed([torch.zeros(784)]), r"hold a Tensor of shape \(784,\) in place 0: give pictures"),
        (DataLoader(TensorDataset(torch.zeros(4, 784))), "hold a list in place 0: give pictures"),
        ([X[0], X[0, :, :, :8]], r"of several sizes, \(3, 8, 9\) and \(3, 8, 8\): bring them to one size"),
        (Failing(range(3)), r"cannot be read \(KeyError: .*column 'image'.*repair what they come from"),
        (DataLoader(Listed([pillow(x) for x in BYTES])), r"cannot be read \(TypeError: .*default_collate"),
        ([], "the real images are empty"),
        (iter([]), "the real images are empty"),
    ],
)
def test_what_holds_no_pictures_is_named(source, message):
    with pytest.raises(BadInput, match=f"^the real images .*{message}|^{message}"):
        collected.collect(source, None, "the real images", [])


def test_the_range_of_the_real_images_is_known():
    for real, top in (
        (X, 1),
        (X.numpy(), 1),
        (255 * X, 255),
        (2 * X - 1, 0),
        (BYTES, 0),
        (BYTES.numpy(), 0),
        (X * 0, 0),
    ):
        assert collected.top_of(real) == top


def test_the_doctor_reads_a_loader_as_it_reads_a_tensor(train, sound):
    real, labels, x = train.pixels[:500], train.labels[:500], sound.pixels[:200]
    whole = doctor.examine(x, real, real_labels=labels, held_out=train.pixels[500:700])
    loader, held_out = DataLoader(TensorDataset(real, labels), batch_size=64), list(train.pixels[500:700])
    assert doctor.examine([(one, 0) for one in x], loader, held_out=held_out) == whole
