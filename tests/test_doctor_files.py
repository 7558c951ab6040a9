"""Images from files of every kind, and files that claim too much."""

import gzip
import io
import pickle
import time
import zipfile

import numpy as np
import pytest
import torch
from drawn import digits
from PIL import Image

from gantutor.data import memory
from gantutor.doctor.images import files
from gantutor.errors import BadInput

DRAWN = digits(80, 0, "drawn")
X = ((DRAWN.pixels + 1) * 127.5).round().byte().numpy()  # (80, 1, 28, 28)
Y = DRAWN.labels.numpy()


@pytest.mark.parametrize("held", [
    {"images": X, "labels": Y}, {"images": X}, {"arr_0": X},
    {"x_train": X, "y_train": Y, "x_test": X[:9], "y_test": Y[:9]},
    {"imgs": X, "latents": np.zeros((80, 9))}, {"anything": X}, {"arr_0": X, "arr_1": Y}, {"x": X.reshape(80, -1)},
    {"G_out": X, "z": np.zeros((80, 100))}, {"generated_samples": X, "noise": np.zeros((80, 100, 1, 1))},
    {"out": X.reshape(80, -1), "w": np.zeros((80, 64))}, {"out": X, "code": np.zeros((80, 14, 512))},
    {"fake_images": X, "real_images": X[::-1]}, {"data": X[::-1], "recon": X}, {"out": X, "real": X[::-1]},
    {"images": X, "labels": np.array([None] * 80)},
], ids=lambda held: " ".join(held))  # fmt: skip
def test_the_images_are_found_under_any_name(tmp_path, held):
    np.savez(tmp_path / "some.npz", **held)
    images, labels, notes = files.load(tmp_path / "some.npz")
    np.testing.assert_array_equal(images.reshape(X.shape), X)
    labelled = {"y_train", "arr_1"} & set(held) or ("labels" in held and held["labels"].dtype != object)
    assert labels.tolist() == Y.tolist() if labelled else labels is None
    said = " ".join(notes)
    assert all(repr(name) in said for name in held if name not in ("images", "labels"))


@pytest.mark.parametrize("held", [
    torch.from_numpy(X), {"fake": torch.from_numpy(X), "epoch": 3}, (torch.from_numpy(X), torch.from_numpy(Y)),
    [torch.from_numpy(X[:50]), torch.from_numpy(X[50:])], list(torch.from_numpy(X)),
])  # fmt: skip
def test_tensors_are_read(tmp_path, held):
    torch.save(held, tmp_path / "some.pt")
    images, labels, _ = files.load(tmp_path / "some.pt")
    np.testing.assert_array_equal(images, X)
    assert labels is None or labels.tolist() == Y.tolist()


def test_a_bare_array_and_a_folder(tmp_path):
    np.save(tmp_path / "bare.npy", X)
    np.testing.assert_array_equal(files.load(tmp_path / "bare.npy").images, X)
    (tmp_path / "folder").mkdir()
    for i, image in enumerate(X):
        Image.fromarray(image[0]).save(tmp_path / "folder" / f"{i:02}.png")
    np.testing.assert_array_equal(files.load(tmp_path / "folder").images.stored, X)
    assert files.load(tmp_path / "folder", most=16).notes == ["folder: Resized 80 of 80 pictures to 16×16 pixels."]


def test_of_two_sets_in_one_file_the_one_that_is_asked_for_is_read(tmp_path):
    for made, other in (("fake_images", "real_images"), ("recon", "x"), ("generated", "x_train"), ("fake", "out")):
        np.savez(tmp_path / "both.npz", **{made: X, other: X[::-1]})
        np.testing.assert_array_equal(files.load(tmp_path / "both.npz").images, X)
        np.testing.assert_array_equal(files.load(tmp_path / "both.npz", real=True).images, X[::-1])
    np.savez(tmp_path / "both.npz", fake=X)
    np.testing.assert_array_equal(files.load(tmp_path / "both.npz", real=True).images, X)


SAVE_PART = {
    "{}.npy": lambda path, k: np.save(path, X[k]),
    "picture {}.npy": lambda path, k: np.save(path, X[k, 0]),
    "batch{}.npy": lambda path, k: np.save(path, X[k : k + 1]),
    "batch{}.npz": lambda path, k: np.savez(path, images=X[k : k + 1], labels=Y[k : k + 1]),
    "batch_{}.pt": lambda path, k: torch.save(torch.from_numpy(X[k : k + 1]), path),
}


@pytest.mark.parametrize("name", SAVE_PART)
def test_a_folder_of_arrays_is_joined(tmp_path, name):
    for k in range(80):
        SAVE_PART[name](tmp_path / name.format(k), k)
    (tmp_path / "log.txt").write_text("x")
    loaded = files.load(tmp_path)
    np.testing.assert_array_equal(loaded.images.reshape(X.shape), X)
    assert loaded.labels is None or loaded.labels.tolist() == Y.tolist()
    assert loaded.notes[-1] == f"{tmp_path.name}: Joined 80 files into 80 images."
    SAVE_PART[name](tmp_path / "other.npz", 0)
    with pytest.raises(BadInput, match="give the path of that file"):
        files.load(tmp_path)  # whatever it is, it is no part of these


def test_arrays_of_several_shapes_are_not_joined(tmp_path):
    np.save(tmp_path / "1.npy", X)
    np.save(tmp_path / "2.npy", X[:, :, 1:])
    with pytest.raises(BadInput, match="several shapes"):
        files.load(tmp_path)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_the_files_of_mnist_are_read(tmp_path, ending):
    write = gzip.compress if ending else bytes
    (tmp_path / "raw").mkdir()
    for name, content in (("images-idx3", X[:, 0]), ("labels-idx1", Y.astype(np.uint8))):
        start = bytes([0, 0, 8, content.ndim]) + b"".join(n.to_bytes(4) for n in content.shape)
        for part in ("t10k", "train"):
            (tmp_path / "raw" / f"{part}-{name}-ubyte{ending}").write_bytes(write(start + content.tobytes()))
    for path in (tmp_path, tmp_path / "raw" / f"train-images-idx3-ubyte{ending}"):
        loaded = files.load(path)
        np.testing.assert_array_equal(loaded.images, X[:, 0])
        assert loaded.labels.tolist() == Y.tolist()
    short = tmp_path / f"short-images-idx3-ubyte{ending}"
    short.write_bytes(write(start[:8] + bytes(4)))
    with pytest.raises(BadInput, match="is no IDX file of images|cut short"):
        files.load(short)
    short.write_bytes(write(bytes([0, 0, 8, 3]) + b"\x7f\xff\xff\xff" * 3))
    with pytest.raises(BadInput, match="of memory"):
        files.load(short)


def header(shape, kind="|u1"):
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": kind, "fortran_order": False, "shape": shape})
    return written.getvalue()


def pack(path, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", content)


HOSTILE = {
    "claims.npy": (lambda p: p.write_bytes(header((7 * 2**30, 1, 32, 32)) + b"abc"), "its header promises 7.7 TB"),
    "claims.npz": (lambda p: pack(p, header((7 * 2**30, 1, 32, 32))), "its header promises 7.7 TB"),
    "negative.npy": (lambda p: p.write_bytes(header((-5, 1, 32, 32))), r"gives the shape \(-5, 1, 32, 32\)"),
    "nothing.npy": (lambda p: p.write_bytes(header((2**60, 1, 32, 32), "|V0")), "more than 1,000 PB of memory"),
    "nested.npy": (lambda p: p.write_bytes(b"\x93NUMPY\x01\x00\x88\x13" + b"(" * 5000), "cannot be read"),
    "expanded.pt": (lambda p: torch.save(torch.zeros(1, 3, 8, 8).expand(10**9, 3, 8, 8), p), "768 GB of memory"),
    "module.pt": (lambda p: torch.save(torch.nn.Linear(2, 2), p), "could run any program"),
    "net.pth": (lambda p: torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)).state_dict(), p), "weights of a net"),
    "some.pkl": (lambda p: p.write_bytes(pickle.dumps([1])), "could run any program"),
    "pickle.npy": (lambda p: p.write_bytes(pickle.dumps([1])), "cannot be read"),
    "object.npy": (lambda p: np.save(p, np.array([None, "a"], dtype=object)), "cannot be read"),
    "objects.npz": (lambda p: np.savez(p, images=np.array([None], dtype=object)), "cannot be read"),
    "number.npy": (lambda p: np.save(p, np.float32(3)), "a single number"),
    "broken.npz": (lambda p: p.write_bytes(b"PK\x03\x04 no more"), "cannot be read"),
    "empty.npy": (lambda p: p.write_bytes(b""), "cannot be read"),
    "other.npz": (lambda p: np.savez(p, z=np.zeros((80, 9))), "it must hold an array named images"),
    "two.npz": (lambda p: np.savez(p, a=X, b=X), "it must hold an array named images"),
    "text.txt": (lambda p: p.write_text("x"), "neither .npz, .npy nor .pt"),
    "one.png": (lambda p: Image.fromarray(X[0, 0]).save(p), "nor a contact sheet"),
    "missing.npz": (lambda p: None, "there is no file or folder"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path, name):
    make, said = HOSTILE[name]
    make(tmp_path / name)
    start = time.monotonic()
    with pytest.raises(BadInput, match=said) as error:
        files.load(tmp_path / name)
    assert name.partition(".")[0] in str(error.value)
    assert "\n" not in str(error.value)
    assert time.monotonic() - start < 5


def test_damaged_contents_of_an_archive(tmp_path):
    np.savez_compressed(tmp_path / "whole.npz", images=X)
    content = bytearray((tmp_path / "whole.npz").read_bytes())
    content[2000:2200] = bytes(200)
    (tmp_path / "damaged.npz").write_bytes(content)
    with pytest.raises(BadInput, match="damaged.npz cannot be read"):
        files.load(tmp_path / "damaged.npz")


def test_what_unpacks_to_more_than_images_could_is_left_closed(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "zeros.npz", images=np.zeros((2000, 1, 28, 28), np.uint8))
    assert len(files.load(tmp_path / "zeros.npz").images) == 2000  # small enough not to matter
    monkeypatch.setattr(files, "SMALL", 10**6)
    with pytest.raises(BadInput, match="unpacks from .* to 1.57 MB"):
        files.load(tmp_path / "zeros.npz")


def test_what_the_memory_cannot_hold_is_not_read(tmp_path, monkeypatch):
    np.save(tmp_path / "many.npy", X)
    monkeypatch.setattr(memory, "free", lambda: 2 * X.size - 1)
    with pytest.raises(BadInput, match=r"many.npy would take 62.7 kB of memory, and 125 kB are free"):
        files.load(tmp_path / "many.npy")
    monkeypatch.setattr(memory, "free", lambda: 2 * X.size)
    assert len(files.load(tmp_path / "many.npy").images) == 80


def test_the_memory_of_this_computer_is_known():
    assert 2**26 < memory.free() < 2**50
    assert [memory.human(n) for n in (999, 12_345, 7 * 2**40)] == ["999 bytes", "12.3 kB", "7.7 TB"]
