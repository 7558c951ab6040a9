import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import types
import zipfile
from pathlib import Path
from unittest import mock

import fakes
import numpy as np
import pytest
import torch
from PIL import Image

from gantutor import data
from gantutor.data import cifar, download, faces, strokes
from gantutor.data import images as data_images
from gantutor.errors import BadInput, DataUnavailable, OutOfMemory

REAL = os.environ.get("GANTUTOR_DATA")


@pytest.fixture(autouse=True)
def _isolated(monkeypatch, tmp_path):
    fakes.isolate(monkeypatch, tmp_path)
    monkeypatch.setattr("gantutor.data.images._chosen", {})


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def few_strokes(monkeypatch):
    monkeypatch.setattr("gantutor.data.images.STROKES", {"train": (6, 0), "test": (3, 1)})


# --- Images ----------------------------------------------------------------------------------------------------------


def _images(pixels=None, labels=None, classes=("a", "b")):
    pixels = torch.linspace(-1, 1, 18).view(2, 1, 3, 3) if pixels is None else pixels
    return data.Images("some", pixels, torch.tensor([0, 1]) if labels is None else labels, classes)


def test_images_know_their_length_and_say_what_they_are_in_a_line():
    images = _images(classes=["a", "b"])
    assert len(images) == 2
    assert images.classes == ("a", "b")
    assert repr(images) == "Images('some': 2 × (1, 3, 3), 2 classes, on cpu)"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pixels": torch.zeros(2, 1, 3, 3, dtype=torch.float64)}, r"float64 \(2, 1, 3, 3\)"),
        ({"pixels": torch.zeros(2, 9)}, r"\(2, 9\)"),
        ({"pixels": torch.zeros(0, 1, 3, 3)}, r"\(0, 1, 3, 3\)"),
        ({"pixels": np.zeros((2, 1, 3, 3), np.float32)}, "a ndarray"),
        ({"pixels": torch.full((2, 1, 3, 3), 1.01)}, r"1\.01"),
        ({"pixels": torch.full((2, 1, 3, 3), -255.0)}, "-255"),
        ({"pixels": torch.full((2, 1, 3, 3), torch.nan)}, "nan"),
        ({"pixels": torch.zeros(18).index_fill(0, torch.tensor([7]), torch.nan).view(2, 1, 3, 3)}, "nan"),
        ({"labels": torch.tensor([0, 1, 1])}, r"int64 \(3,\)"),
        ({"labels": torch.tensor([0.0, 1.0])}, "float32"),
        ({"labels": [0, 1]}, "a list"),
        ({"labels": torch.tensor([0, 2])}, "0 to 2: with 2 classes"),
        ({"labels": torch.tensor([-1, 0])}, "-1 to 0"),
    ],
)
def test_images_refuse_what_training_would_trip_over(fields, message):
    with pytest.raises(BadInput, match=message):
        _images(**fields)


def test_images_may_be_stored_as_bytes_and_are_floats_where_they_are_used():
    stored = torch.arange(36, dtype=torch.uint8).mul(7).view(4, 1, 3, 3)
    images = data.Images("some", stored, torch.tensor([0, 1, 0, 1]), ("a", "b"))
    expected = torch.tensor([[x * 7 / 127.5 - 1 for x in range(36)]], dtype=torch.float64).view(4, 1, 3, 3)
    assert images.pixels.dtype == torch.float32
    assert (images.pixels.double() - expected).abs().max() < 1e-6
    for index in (2, slice(1, 3), [3, 0], torch.tensor([3, 3, 1])):
        assert torch.equal(images[index], images.pixels[index])
        assert torch.equal(_images()[slice(0, 1)], _images().pixels[:1])
    assert images.to("cpu").stored.dtype == torch.uint8
    assert repr(images) == "Images('some': 4 × (1, 3, 3), 2 classes, on cpu)"
    assert stored.flatten()[:3].tolist() == [0, 7, 14]  # still


def test_images_move_to_another_device_or_say_why_not(monkeypatch):
    moved = _images().to("cpu")
    assert torch.equal(moved.pixels, _images().pixels)
    assert torch.equal(moved.labels, _images().labels)
    with pytest.raises(BadInput, match="device 'gpu' cannot be used"):
        _images().to("gpu")


# --- load ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_load_scales_bytes_to_minus_one_and_one(root, name, split):
    fakes.put(root / name)
    images = data.load(name, split, root)
    expected = fakes.IMAGES[split].astype(np.float64) / 127.5 - 1
    assert images.pixels.shape == (len(expected), 1, 28, 28)
    np.testing.assert_allclose(images.pixels[:, 0].double().numpy(), expected, rtol=0, atol=1e-7)
    assert images.labels.tolist() == fakes.LABELS[split].tolist()
    assert images.labels.dtype == torch.int64
    assert images.name == name
    assert images.classes[9] == {"mnist": "9", "fashion-mnist": "ankle boot"}[name]
    assert len(images.classes) == 10


def test_load_downloads_what_is_missing(monkeypatch, root):
    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        assert len(data.load("mnist", "train", root)) == 6
        with pytest.raises(DataUnavailable):
            data.load("fashion-mnist", "train", root, download=False)
    assert fakes.tree(root / "mnist") == fakes.FILES
    assert not (root / "fashion-mnist").exists()


def test_load_needs_the_files_of_its_split_only(root):
    fakes.put(root / "mnist", t10k_images=None, t10k_labels=None)
    assert len(data.load("mnist", "train", root)) == 6


IMAGES = fakes.IMAGES["train"]
LABELS = fakes.LABELS["train"]
BAD_FILES = {
    "empty": ("train_images", b"", "is empty"),
    "web page": ("train_images", fakes.WEB_PAGE, "is a web page"),
    "no gzip": ("train_labels", b"PK\3\4", "is not a gzip file"),
    "truncated": ("train_images", fakes.FILES["train-images-idx3-ubyte.gz"][:-20], "is truncated"),
    "labels for images": ("train_images", gzip.compress(fakes.idx(LABELS) + bytes(9)), "2049 .it holds labels.*2051"),
    "magic": ("train_labels", gzip.compress(fakes.idx(LABELS, magic=2050) + bytes(9)), "magic number 2050 .*2049"),
    "dimensions": ("train_images", gzip.compress(fakes.idx(np.zeros((6, 32, 30), np.uint8))), "32×30 .*28×28"),
    "too few": ("train_images", gzip.compress(fakes.idx(IMAGES, dims=(7, 28, 28))), "4704 bytes .*7 × 784"),
    "too many": ("train_labels", gzip.compress(fakes.idx(LABELS, dims=(5,))), "6 bytes .* 5 × 1"),
    "header only": ("train_images", gzip.compress(fakes.idx(IMAGES)[:16]), "only 16 bytes"),
    "other images": ("train_images", gzip.compress(fakes.idx(IMAGES[::-1])), "SHA-256"),
    "other labels": ("train_labels", gzip.compress(fakes.idx(LABELS[::-1])), "SHA-256"),
}


@pytest.mark.parametrize("where", ["root", "GANTUTOR_DATA"])
@pytest.mark.parametrize(("file", "content", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_named_with_its_fault_and_left_as_it_was(monkeypatch, root, where, file, content, message):
    fakes.put(root / "mnist", **{file: content})
    before = fakes.tree(root)
    if where == "GANTUTOR_DATA":
        monkeypatch.setenv("GANTUTOR_DATA", str(root))
    cure = {"root": "delete it", "GANTUTOR_DATA": "unset GANTUTOR_DATA"}[where]
    for load in [data.load, data.load_or_strokes] if where == "GANTUTOR_DATA" else [data.load]:
        with pytest.raises(BadInput, match=f"{file.replace('_', '-')}-idx.*{message}.*{cure}"):
            load("mnist", "train", **({"root": root} if where == "root" else {}))
    assert fakes.tree(root) == before


def test_labels_and_images_of_different_counts(root):
    fakes.put(root / "mnist", train_labels=gzip.compress(fakes.idx(LABELS[:5])))
    with pytest.raises(BadInput, match=r"train-images.* 6 images, but .*train-labels.* has 5 labels"):
        data.load("mnist", "train", root)


def test_unknown_names():
    for load in (data.load, data.load_or_strokes):
        with pytest.raises(BadInput, match="data set 'fashion_mnist': did you mean 'fashion-mnist'"):
            load("fashion_mnist")
        with pytest.raises(BadInput, match="split 'tset': did you mean 'test'"):
            load("mnist", "tset")


def test_a_device_that_is_not_there(root):
    fakes.put(root / "mnist")
    with pytest.raises(BadInput, match="device 'gpu' cannot be used"):
        data.load("mnist", root=root, device="gpu")


def test_strokes_are_scaled_and_need_no_file(monkeypatch):
    asked = []

    def draw(n, seed):
        asked.append((n, seed))
        pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).repeat(n, 1).view(n, 1, 1, 3)
        return types.SimpleNamespace(pixels=pixels, digit=torch.arange(n) % 10)

    monkeypatch.setattr(strokes, "draw", draw)
    train, test = data.load("strokes"), data.load("strokes", "test")
    (n_train, seed_train), (n_test, seed_test) = asked
    assert (n_train, n_test) == (60_000, 10_000)
    assert seed_train != seed_test
    torch.testing.assert_close(test.pixels[9].flatten(), torch.tensor([-1.0, -0.6, 1.0]))
    assert train.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert train.classes == tuple("0123456789")


def test_strokes_as_drawn(few_strokes):
    images = data.load("strokes", "test")
    drawn = strokes.draw(3, 1)
    assert images.pixels.shape == (3, 1, 28, 28)
    assert torch.equal(((images.pixels + 1) * 127.5).round().to(torch.uint8), drawn.pixels)
    assert torch.equal(images.labels, drawn.digit)


# --- load_or_strokes -------------------------------------------------------------------------------------------------


def test_without_a_network_notebooks_get_strokes_and_one_line(few_strokes, capsys):
    assert data.load_or_strokes("mnist").name == "strokes"
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "mnist" in said
    assert "strokes" in said
    assert len(data.load_or_strokes("mnist", "test")) == 3
    assert capsys.readouterr().out == ""
    with pytest.raises(DataUnavailable):
        data.load("mnist")


def test_the_network_is_waited_for_once(few_strokes, monkeypatch, tmp_path):
    connections = []
    connect = download._connect
    monkeypatch.setattr(download, "_connect", lambda url: connections.append(url) or connect(url))
    for name in ("mnist", "mnist", "fashion-mnist"):
        assert data.load_or_strokes(name).name == "strokes"
        assert len(connections) == 2  # each mirror once


def test_one_process_never_mixes_data_sets(few_strokes, monkeypatch, root, capsys):
    """The files of one split are here, those of the other are not: strokes for both, even if the network comes back."""
    fakes.put(download._cache_folder() / "mnist", t10k_labels=None)
    assert data.load_or_strokes("mnist", "train").name == "strokes"
    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        assert data.load_or_strokes("mnist", "test").name == "strokes"
    assert mirror.requests == []


def test_one_download_serves_both_splits(monkeypatch, capsys):
    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        assert data.load_or_strokes("mnist", "train").name == "mnist"
    assert data.load_or_strokes("mnist", "test").name == "mnist"  # the mirror is gone
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("fault", [fakes.other_content, fakes.web_page, fakes.truncated, fakes.empty, fakes.missing])
def test_a_mirror_that_answers_with_something_else_is_an_error_not_a_reason_for_strokes(monkeypatch, fault):
    with fakes.Mirror(fault) as mirror:
        fakes.set_mirrors(monkeypatch, fakes.closed_port(), mirror.url)
        with pytest.raises(DataUnavailable, match="could not be downloaded"):
            data.load_or_strokes("mnist")


def test_a_set_environment_is_never_fallen_back_from(monkeypatch, root):
    monkeypatch.setenv("GANTUTOR_DATA", str(root))
    with pytest.raises(BadInput, match=r"GANTUTOR_DATA is set, but .*mnist.* is missing"):
        data.load_or_strokes("mnist")
    monkeypatch.setenv("GANTUTOR_DATA", str(root / "gone"))
    with pytest.raises(BadInput, match="not a folder"):
        data.load_or_strokes("mnist")
    assert fakes.tree(root) == {}


# --- cifar10 ---------------------------------------------------------------------------------------------------------


def cifar_archive(**changed: bytes | None) -> bytes:
    """An archive as its page describes it: records of a label and 3,072 bytes, red first; four to a file."""
    rng = np.random.default_rng(3)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "readme"):
            labels, pixels = rng.integers(0, 10, 4), rng.integers(0, 256, (4, 3072))
            content = changed.get(name, np.column_stack([labels, pixels]).astype(np.uint8).tobytes())
            if content is not None:
                info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.{'html' if name == 'readme' else 'bin'}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def put_cifar(monkeypatch, root: Path, content: bytes) -> Path:
    path = root / "cifar10" / cifar.ARCHIVE
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    monkeypatch.setitem(download.SHA256, "cifar10", {cifar.ARCHIVE: hashlib.sha256(content).hexdigest()})
    return path


@pytest.mark.parametrize(("split", "count", "skipped"), [("train", 20, 0), ("test", 4, 5)])
def test_cifar10_is_read_from_its_binary_archive(monkeypatch, root, split, count, skipped):
    put_cifar(monkeypatch, root, cifar_archive())
    images = data.load("cifar10", split, root)
    rng = np.random.default_rng(3)
    expected = [(rng.integers(0, 10, 4), rng.integers(0, 256, (4, 3, 32, 32))) for _ in range(6)][skipped:]
    expected = expected[: count // 4]
    assert images.stored.shape == (count, 3, 32, 32)
    assert images.stored.dtype == torch.uint8
    assert np.array_equal(images.stored.numpy(), np.concatenate([pixels for _, pixels in expected]))
    assert images.labels.tolist() == np.concatenate([labels for labels, _ in expected]).tolist()
    assert images.classes[6] == "frog"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (cifar_archive(test_batch=bytes(3072)), "holds a file of 3072 bytes, which are no records of 3073"),
        (cifar_archive(test_batch=bytes([10]) + bytes(3072)), "holds a label of 10, where the largest is 9"),
        (cifar_archive(test_batch=None), "holds no test_batch.bin"),
        (cifar_archive()[:-200], "is not a whole .tar.gz"),
        (b"<html>Please sign in</html>", "is a web page instead of a gzip file"),
    ],
)
def test_a_bad_archive_is_named_with_its_fault(monkeypatch, root, content, said):
    path = put_cifar(monkeypatch, root, content)
    with pytest.raises(BadInput, match=f"{cifar.ARCHIVE} {said}.*: delete it"):
        data.load("cifar10", "test", root)
    assert path.read_bytes() == content


def test_what_is_no_file_or_too_large_in_an_archive_is_not_unpacked(monkeypatch, root):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        link = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "nowhere"
        archive.addfile(link)
    put_cifar(monkeypatch, root, buffer.getvalue())
    with pytest.raises(BadInput, match=r"holds no test_batch.bin"):
        data.load("cifar10", "test", root)
    monkeypatch.setattr(cifar, "MOST_BYTES", 4 * 3073 - 1)
    (root / "cifar10" / cifar.ARCHIVE).write_bytes(cifar_archive())
    with pytest.raises(BadInput, match=r"holds a test_batch.bin of 12,292 bytes, which is too much"):
        data.load("cifar10", "test", root)


def test_another_archive_than_the_published_one_is_refused(monkeypatch, root):
    path = put_cifar(monkeypatch, root, cifar_archive())
    path.write_bytes(cifar_archive(readme=b"other"))
    with pytest.raises(BadInput, match=r"is not the published file \(SHA-256 [0-9a-f]{12}…"):
        data.load("cifar10", "train", root)


def test_cifar10_is_downloaded_whole(monkeypatch, root):
    content = cifar_archive()
    monkeypatch.setitem(download.SHA256, "cifar10", {cifar.ARCHIVE: hashlib.sha256(content).hexdigest()})
    with fakes.Mirror(lambda mirror, handler, file: fakes.send(handler, content)) as mirror:
        monkeypatch.setitem(download.MIRRORS, "cifar10", (mirror.url,))
        assert len(data.load("cifar10", "train", root)) == 20
    assert (root / "cifar10" / cifar.ARCHIVE).read_bytes() == content


def test_without_a_network_faces_take_the_place_of_cifar10(monkeypatch, root, capsys):
    monkeypatch.setitem(download.SHA256, "cifar10", {cifar.ARCHIVE: "0"})
    monkeypatch.setitem(download.MIRRORS, "cifar10", (fakes.closed_port(),))
    monkeypatch.setattr(data_images, "_chosen", {})
    monkeypatch.setattr(data_images, "FACES", {"train": (6, 0), "test": (3, 1)})
    assert data.load_or_strokes("cifar10").stored.shape == (6, 3, 32, 32)
    assert data.load_or_strokes("cifar10", "test").name == "faces"
    assert "No mirror of cifar10 can be reached: faces, drawn by the program" in capsys.readouterr().out


# --- faces -----------------------------------------------------------------------------------------------------------


def test_faces_have_the_classes_that_the_name_asks_for(monkeypatch):
    monkeypatch.setattr(data_images, "FACES", {"train": (50, 0), "test": (20, 1)})
    images = data.load("faces")
    drawn = faces.draw(50, 0)
    assert torch.equal(images.stored, drawn.pixels)
    assert images.classes == faces.FACTORS["hair"]
    assert torch.equal(images.labels, drawn.factors["hair"])
    assert not torch.equal(data.load("faces", "test").stored, images.stored[:20])
    small = data.load("faces:hat", size=32)
    assert small.stored.shape == (50, 3, 32, 32)
    assert small.classes == ("none", "beanie", "cap", "party")
    assert torch.equal(small.labels, drawn.factors["hat"])
    assert set(small.factors) == set(faces.FACTORS)
    assert torch.equal(small.factors["hat"].labels, drawn.factors["hat"])
    eyes = small.factors["eyes"].labels
    assert torch.equal(eyes < 0, drawn.factors["glasses"] == faces.FACTORS["glasses"].index("dark"))
    assert torch.equal(eyes[eyes >= 0], drawn.factors["eyes"][eyes >= 0])


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("faces:hats", None, "unknown factor of faces 'hats': did you mean 'hat'?"),
        ("face", None, "unknown data set 'face': did you mean 'faces'?"),
        ("faces", 28, "size is 28: faces are drawn at 64 or at 32 pixels."),
        ("faces", 64.5, "size is 64.5"),
        ("strokes", 32, "size is 32: the images of strokes have 28 pixels a side"),
    ],
)
def test_faces_that_are_not_to_be_had(name, size, said):
    with pytest.raises(BadInput, match=re.escape(said)):
        data.load(name, size=size)


# --- from_folder -----------------------------------------------------------------------------------------------------


def _bytes(images: data.Images) -> np.ndarray:
    """uint8 (N, H, W, C) of what was read."""
    return ((images.pixels + 1) * 127.5).round().permute(0, 2, 3, 1).to(torch.uint8).numpy()


def _save(path: Path, colour, size=(16, 16), mode="RGB", **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)


def test_a_flat_folder_is_one_class_in_the_order_of_the_names(tmp_path):
    for name, red in (("b.png", 20), ("a.png", 10), ("c.bmp", 30)):
        _save(tmp_path / "mine" / name, (red, 0, 255))
    _save(tmp_path / "mine" / ".hidden.png", "white")
    (tmp_path / "mine" / ".DS_Store").write_text("hidden too")
    images = data.from_folder(tmp_path / "mine", 8)
    assert images.name == "mine"
    assert images.classes == ("mine",)
    assert images.labels.tolist() == [0, 0, 0]
    assert images.pixels.shape == (3, 3, 8, 8)
    assert _bytes(images)[:, 0, 0].tolist() == [[10, 0, 255], [20, 0, 255], [30, 0, 255]]


def test_subfolders_are_classes_with_pictures_at_any_depth(tmp_path):
    _save(tmp_path / "dogs" / "z.png", (1, 1, 1))
    _save(tmp_path / "cats" / "old" / "2.png", (2, 2, 2))
    _save(tmp_path / "cats" / "new" / "3.png", (3, 3, 3))
    _save(tmp_path / ".trash" / "4.png", (4, 4, 4))
    _save(tmp_path / "dogs" / ".thumbnails" / "5.png", (5, 5, 5))
    images = data.from_folder(str(tmp_path), 8, grey=True)
    assert images.classes == ("cats", "dogs")
    assert images.labels.tolist() == [0, 0, 1]
    assert _bytes(images)[:, 0, 0, 0].tolist() == [3, 2, 1]


def test_the_middle_square_is_taken(tmp_path):
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = 200
    Image.fromarray(wide).save(tmp_path / "1.png")
    Image.fromarray(wide.transpose(1, 0, 2) + np.uint8(1)).save(tmp_path / "2.png")
    seen = _bytes(data.from_folder(tmp_path, 16))
    assert (seen[0] == 200).all()
    assert (seen[1] == 201).all()


def test_reducing_averages_instead_of_dropping_pixels(tmp_path):
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 200
    Image.fromarray(stripes).save(tmp_path / "1.png")
    inner = _bytes(data.from_folder(tmp_path, 8, grey=True))[0, :, 2:-2].astype(int)
    assert (abs(inner - 100) <= 3).all()


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_pictures_are_turned_upright(tmp_path, suffix):
    picture = Image.new("L", (16, 16), 0)
    picture.paste(255, (0, 0, 16, 8))  # white above
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright: white to the right
    picture.save(tmp_path / f"1.{suffix}", exif=exif)
    pixels = _bytes(data.from_folder(tmp_path, 16, grey=True))[0, :, :, 0]
    assert (pixels[:, 9:] > 250).all()
    assert (pixels[:, :7] < 5).all()


MODES = {  # mode, colour, options -> RGB as seen on white, from the definition of the mode
    "grey": ("L", 77, {}, (77, 77, 77)),
    "bilevel": ("1", 1, {}, (255, 255, 255)),
    "16 bits": ("I;16", 257 * 100, {}, (100, 100, 100)),
    "half transparent": ("RGBA", (200, 0, 0, 51), {}, (244, 204, 204)),  # 0.2·(200, 0, 0) + 0.8·255
    "transparent grey": ("LA", (0, 0), {}, (255, 255, 255)),
    "transparent colour": ("RGB", (9, 9, 9), {"transparency": (9, 9, 9)}, (255, 255, 255)),
}


@pytest.mark.parametrize(("mode", "colour", "options", "seen"), MODES.values(), ids=MODES)
def test_other_kinds_of_pictures(tmp_path, mode, colour, options, seen):
    _save(tmp_path / "1.png", colour, mode=mode, **options)
    assert _bytes(data.from_folder(tmp_path, 8, grey=False))[0, 3, 3].tolist() == list(seen)


def test_palettes_and_cmyk(tmp_path):
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "1.png")
    palette.save(tmp_path / "2.png", transparency=1)
    _save(tmp_path / "3.tif", (0, 255, 0, 0), mode="CMYK")  # magenta ink: no green light
    seen = _bytes(data.from_folder(tmp_path, 8))[:, 3, 3].tolist()
    assert seen == [[10, 20, 30], [255, 255, 255], [255, 0, 255]]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)
    Image.fromarray(np.tile(ramp, (256, 1))).save(tmp_path / "1.png")
    row = _bytes(data.from_folder(tmp_path, 256, grey=True))[0, 5, :, 0]
    assert row.tolist() == list(range(256))


def test_a_jpeg_with_a_preview_is_a_photo_not_an_animation(tmp_path):
    picture = Image.new("RGB", (16, 16), (0, 0, 0))
    picture.save(
        tmp_path / "1.jpg", format="MPO", save_all=True, append_images=[Image.new("RGB", (16, 16), (255, 255, 255))]
    )
    assert (_bytes(data.from_folder(tmp_path, 8)) < 5).all()


def _truncated(path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def _animated(path):
    frames = [Image.new("L", (16, 16), grey) for grey in (0, 255)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def _floating(path):
    _save(path, 0.5, mode="F")


BAD_PICTURES = {
    "notes.txt": (lambda path: path.write_text("buy milk"), "not a picture"),
    "text.png": (lambda path: path.write_text("buy milk"), "not a picture"),
    "empty.png": (lambda path: path.write_bytes(b""), "not a picture"),
    "truncated.png": (_truncated, "broken"),
    "truncated.jpg": (_truncated, "broken"),
    "floating.tif": (_floating, "of floating-point pixels, which are read from a .npy or .npz only"),
    "tiny.png": (lambda path: _save(path, "red", size=(1, 1)), "smaller than 8 pixels"),
    "thin.png": (lambda path: _save(path, "red", size=(99, 7)), "smaller than 8 pixels"),
    "huge.png": (lambda path: _save(path, 0, size=(10_000, 10_000), mode="1"), "too large"),
    "bomb.png": (lambda path: _save(path, 0, size=(20_000, 20_000), mode="1"), "too large"),
}


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_a_file_that_will_not_do_is_left_out_and_said(tmp_path, name):
    make, reason = BAD_PICTURES[name]
    _save(tmp_path / "a.png", "blue")
    make(tmp_path / name)
    _save(tmp_path / "z.png", "red")
    said = []
    images = data.from_folder(tmp_path, 8, say=said.append)
    assert said == [f"Left out 1 of 3 files: 1 {reason} ({name})."]
    assert _bytes(images)[:, 3, 3].tolist() == [[0, 0, 255], [255, 0, 0]]


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_a_folder_with_nothing_but_such_files_is_refused(tmp_path, name):
    make, reason = BAD_PICTURES[name]
    make(tmp_path / name)
    with pytest.raises(BadInput, match=f"holds no pictures that can be used: {name} is {reason}") as caught:
        data.from_folder(tmp_path, 8)
    assert "\n" not in str(caught.value)


def test_what_is_left_out_and_cut_is_counted(tmp_path, capsys):
    for i in range(4):
        _save(tmp_path / "cats" / f"{i}.png", (i, 0, 0), size=(16, 20) if i < 3 else (16, 16))
    _save(tmp_path / "dogs" / "1.png", "blue")
    _save(tmp_path / "stray.png", "blue")
    (tmp_path / "dogs" / "a.txt").write_text("no picture")
    (tmp_path / "dogs" / "b.txt").write_text("no picture")
    images = data.from_folder(tmp_path, 8)
    assert images.labels.tolist() == [0, 0, 0, 0, 1]
    assert capsys.readouterr().err == (
        "The 2 folders cats, dogs were read as classes.\n"
        "Left out 3 of 8 files: 2 not a picture (dogs/a.txt), 1 beside the folders of the classes.\n"
        "Cut 3 of 5 pictures to their middle square.\n"
    )


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path, suffix):
    _animated(tmp_path / f"1.{suffix}")
    _save(tmp_path / "2.png", "red")
    assert (_bytes(data.from_folder(tmp_path, 8))[0] < 5).all()


def test_size_and_channels_are_those_of_the_pictures(tmp_path):
    for i in range(2):
        _save(tmp_path / f"{i}.png", 9 * i, mode="L", size=(40, 30))
    assert data.from_folder(tmp_path).stored.shape == (2, 1, 30, 30)
    assert data.from_folder(tmp_path, grey=False).stored.shape == (2, 3, 30, 30)
    _save(tmp_path / "2.png", "red")
    assert data.from_folder(tmp_path).stored.shape == (3, 3, 30, 30)
    _save(tmp_path / "0.png", "green", size=(500, 700))
    assert data.from_folder(tmp_path).stored.shape == (3, 3, 30, 30)  # as most, not as the first
    for name in ("0.png", "1.png"):
        _save(tmp_path / name, "green", size=(500, 700))
    assert data.from_folder(tmp_path).stored.shape == (3, 3, 64, 64)
    assert data.from_folder(tmp_path, most=200).stored.shape == (3, 3, 200, 200)
    for name in ("0.png", "1.png"):
        _save(tmp_path / name, "green", size=(50, 70))
    assert data.from_folder(tmp_path, [28, 64, 32]).stored.shape == (3, 3, 32, 32)
    assert data.from_folder(tmp_path, [64, 128]).stored.shape == (3, 3, 64, 64)


def test_a_picture_that_is_left_out_does_not_decide_how_the_others_are_read(tmp_path, capsys):
    _save(tmp_path / "0_pixel.png", "red", size=(4, 4))
    for i in range(3):
        _save(tmp_path / f"{i + 1}.png", 9 * i, mode="L", size=(64, 64))
    assert data.from_folder(tmp_path).stored.shape == (3, 1, 64, 64)
    assert data.from_folder(tmp_path, [64, 32, 28]).stored.shape == (3, 1, 64, 64)
    assert "Left out 1 of 4 files: 1 smaller than 8 pixels (0_pixel.png)." in capsys.readouterr().err


def test_hidden_folders_hide_no_links_to_them(tmp_path):
    for name in ("cats", "dogs"):
        for k in range(2):
            _save(tmp_path / "mine" / ".store" / name / f"{k}.png", (k, 0, 0))
        (tmp_path / "mine" / name).symlink_to(tmp_path / "mine" / ".store" / name, target_is_directory=True)
    real_walk = os.walk

    def hidden_first(place, followlinks):
        for here, folders, names in real_walk(place, followlinks=followlinks):
            folders.sort()
            yield here, folders, names

    with mock.patch.object(os, "walk", hidden_first):
        images = data.from_folder(tmp_path / "mine", 8)
    assert images.classes == ("cats", "dogs")
    assert len(images) == 4


def test_links_to_folders_are_followed_and_names_kept_whole(tmp_path):
    for i, name in enumerate(("cats", "dogs")):
        for k in range(3):
            _save(tmp_path / "elsewhere" / name / f"{k}.png", (60 * i + k, 0, 0))
    mine = tmp_path / "mine.2024"
    mine.mkdir()
    for name in ("cats", "dogs"):
        (mine / name).symlink_to(tmp_path / "elsewhere" / name, target_is_directory=True)
    (mine / "cats" / "loop").symlink_to(mine, target_is_directory=True)
    images = data.from_folder(mine, 8)
    assert images.name == "mine.2024"
    assert images.classes == ("cats", "dogs")
    assert sorted(images.stored[:, 0, 3, 3].tolist()) == [0, 1, 2, 60, 61, 62]
    assert data.from_folder(tmp_path / "elsewhere" / "dogs").classes == ("dogs",)


def test_copies_of_one_picture_are_refused(tmp_path):
    for i in range(100):
        _save(tmp_path / f"{i}.png", "blue")
    with pytest.raises(BadInput, match=r"the 100 pictures in .* are all the same: give different ones"):
        data.from_folder(tmp_path)


def _packed(folder: Path, inside: str = "") -> Path:
    path = folder.parent / "packed.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path(inside) / file.relative_to(folder))
    return path


@pytest.mark.parametrize("inside", ["", "wrapped", "twice/wrapped"])
@pytest.mark.parametrize("classes", [True, False])
def test_a_zip_is_read_like_its_folder(tmp_path, inside, classes):
    folder = tmp_path / "mine"
    for i in range(6):
        _save(folder / (f"c{i % 2}" if classes else "") / f"{i}.png", (40 * i, 0, 0))
    _save(folder / "__MACOSX" / "._1.png", "white")
    packed, plain = data.from_folder(_packed(folder, inside), 8), data.from_folder(folder, 8)
    assert torch.equal(packed.stored, plain.stored)
    assert torch.equal(packed.labels, plain.labels)
    assert packed.classes == (("c0", "c1") if classes else ("packed",))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "packed.zip"]  # nothing was unpacked


def test_a_colon_in_a_name_is_no_drive(tmp_path):
    with zipfile.ZipFile(tmp_path / "shots.zip", "w") as archive:
        for i in range(2):
            _save(tmp_path / "1.png", (i, 0, 0))
            archive.write(tmp_path / "1.png", f"Screenshot 12:30:4{i}.png")
    assert len(data.from_folder(tmp_path / "shots.zip", 8)) == 2


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/etc/out.png", "C:/out.png", "..\\out.png"])
def test_a_zip_whose_paths_lead_out_of_it_is_refused(tmp_path, name):
    _save(tmp_path / "1.png", "blue")
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.write(tmp_path / "1.png", "1.png")
        archive.writestr(name, (tmp_path / "1.png").read_bytes())
    with pytest.raises(BadInput, match=r"which leads out of it: do not trust this file"):
        data.from_folder(tmp_path / "bad.zip")


def test_a_broken_zip_is_named(tmp_path):
    _save(tmp_path / "mine" / "1.png", "blue")
    path = _packed(tmp_path / "mine")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(BadInput, match=r"packed.zip is broken or no .zip \(.*\): download or pack it again"):
        data.from_folder(path)


def test_a_file_that_unpacks_to_too_much_is_left_out(tmp_path, monkeypatch):
    for i in range(3):
        _save(tmp_path / "mine" / f"{i}.png", (i, 0, 0))
    (tmp_path / "mine" / "zeros.png").write_bytes(bytes(10_000))
    said = []
    monkeypatch.setattr("gantutor.data.listing.MOST_BYTES", 5000)
    assert len(data.from_folder(_packed(tmp_path / "mine"), say=said.append)) == 3
    assert said == ["Left out 1 of 4 files: 1 too large (zeros.png)."]


def test_a_locked_file_is_called_so(tmp_path):
    for i in range(2):
        _save(tmp_path / "mine" / f"{i}.png", (i, 0, 0))
    path = _packed(tmp_path / "mine")
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # of the first file
        content[content.index(signature) + flags] |= 1
    path.write_bytes(content)
    said = []
    assert len(data.from_folder(path, say=said.append)) == 1
    assert said == ["Left out 1 of 2 files: 1 locked with a password (0.png)."]


def test_mirrored_images_follow_the_others(tmp_path):
    half = np.zeros((8, 8, 3), np.uint8)
    half[:, 4:] = 200
    Image.fromarray(half).save(tmp_path / "1.png")
    _save(tmp_path / "2.png", "red", size=(8, 8))
    images = data.from_folder(tmp_path)
    both = data.mirrored(images)
    assert torch.equal(both.stored[:2], images.stored)
    assert both.stored[2, 0, 3].tolist() == [200] * 4 + [0] * 4
    assert torch.equal(both.stored[3], images.stored[1])
    assert both.labels.tolist() == [0] * 4
    assert both.classes == images.classes


def test_many_pictures_keep_their_places_whatever_thread_reads_them(tmp_path, monkeypatch):
    monkeypatch.setattr("gantutor.data.folder.BLOCK", 3)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    for i in range(50):
        _save(tmp_path / f"{i:02}.bmp", (i, 2 * i, 255 - i), size=(900, 900) if i % 7 == 0 else (8, 8))
    images = data.from_folder(tmp_path, 8)
    assert images.stored.dtype == torch.uint8
    assert images.stored.is_contiguous()
    assert images.stored[:, :, 3, 3].tolist() == [[i, 2 * i, 255 - i] for i in range(50)]
    (tmp_path / "31.bmp").write_text("no picture")
    _save(tmp_path / "12.bmp", "red", size=(3, 3))
    kept = data.from_folder(tmp_path, 8, say=lambda sentence: None)
    assert kept.stored[:, 0, 3, 3].tolist() == [i for i in range(50) if i not in (12, 31)]


MEMORY = """
import sys
from pathlib import Path
from gantutor import data

def most():  # in bytes; unlike getrusage it leaves out the process that started this one
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

data.from_folder(sys.argv[2], 8)
before = most()
images = data.from_folder(sys.argv[1], 512)
print(images.stored.numel(), most() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
def test_reading_takes_little_more_memory_than_the_bytes(tmp_path):
    """As floats, or with a second copy, they would take 210 MB or more."""
    for i in range(100):
        _save(tmp_path / "many" / f"{i}.png", (i, 0, 0), size=(32, 32))
    _save(tmp_path / "one" / "1.png", "red")
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "many"), str(tmp_path / "one")]
    size, more = map(int, subprocess.check_output(command, text=True).split())
    assert size == 100 * 3 * 512 * 512
    assert 0.9 * size < more < 1.5 * size


def test_folders_that_will_not_do_are_named(tmp_path):
    with pytest.raises(BadInput, match=r"there is no file or folder '.*gone'"):
        data.from_folder(tmp_path / "gone", 8)
    with pytest.raises(BadInput, match="holds no pictures"):
        data.from_folder(tmp_path, 8)
    _save(tmp_path / "cats" / "1.png", "blue")
    with pytest.raises(BadInput, match=r"1.png' is not a folder, nor a .zip"):
        data.from_folder(tmp_path / "cats" / "1.png", 8)


@pytest.mark.parametrize("size", [0, -8, 7, 1025, 28.0, "28", (28, 28), True])
def test_sizes_that_will_not_do(tmp_path, size):
    _save(tmp_path / "1.png", "blue")
    with pytest.raises(BadInput, match="size is"):
        data.from_folder(tmp_path, size)


def test_sizes_may_be_numpy_integers(tmp_path):
    _save(tmp_path / "1.png", "blue")
    assert data.from_folder(tmp_path, np.int64(8)).pixels.shape == (1, 3, 8, 8)


# --- the published files ---------------------------------------------------------------------------------------------

FIRST = {  # first labels, as found in every public description of the files
    ("mnist", "train"): [5, 0, 4, 1, 9],
    ("mnist", "test"): [7, 2, 1, 0, 4],
    ("fashion-mnist", "train"): [9, 0, 0, 3, 0],
    ("fashion-mnist", "test"): [9, 2, 1, 1, 6],
}


@pytest.mark.skipif(not REAL, reason="GANTUTOR_DATA is not set to a folder with the published files")
@pytest.mark.parametrize(("name", "split"), FIRST)
def test_the_published_files(monkeypatch, name, split):
    monkeypatch.undo()  # the real hashes
    images = data.load(name, split, root=REAL)
    n = {"train": 60_000, "test": 10_000}[split]
    assert images.pixels.shape == (n, 1, 28, 28)
    assert images.labels[:5].tolist() == FIRST[name, split]
    assert images.labels.unique().tolist() == list(range(10))
    assert (images.pixels.min(), images.pixels.max()) == (-1, 1)
    if (name, split) == ("mnist", "train"):
        mean = (images.pixels.double().mean().item() + 1) / 2
        assert mean == pytest.approx(0.1307, abs=5e-5)  # the mean that public MNIST scripts normalise by


def test_a_device_without_room_is_told_from_one_that_is_missing(monkeypatch):
    def full(self, device):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch.Tensor, "to", full)
    with pytest.raises(OutOfMemory, match=r"cuda has no room for 0\.4 GB of data"):
        data.place(torch.empty(100_000_000), "cuda")


# --- stacked digits --------------------------------------------------------------------------------------------------


def test_stacked_digits_are_three_images_each_and_their_label_is_the_three_digits():
    grey = data.load("strokes", "test")
    stacked = data.stacked(grey, 300, seed=3)
    assert stacked.pixels.shape == (300, 3, 28, 28)
    assert len(stacked.classes) == 1000
    known = {
        image.numpy().tobytes(): label for image, label in zip(grey.pixels[:, 0], grey.labels.tolist(), strict=True)
    }
    for picture, label in zip(stacked.pixels, stacked.labels.tolist(), strict=True):
        digits = [known[channel.numpy().tobytes()] for channel in picture]
        assert stacked.classes[label] == " ".join(map(str, digits))
        assert label == int("".join(map(str, digits)))
    assert torch.equal(data.stacked(grey, 300, seed=3).labels, stacked.labels)
    assert not torch.equal(data.stacked(grey, 300, seed=4).labels, stacked.labels)


def test_all_thousand_modes_of_stacked_digits_are_equally_likely():
    counts = torch.bincount(data.stacked(data.load("strokes", "test"), 26_000).labels, minlength=1000)
    shares = counts / counts.sum()
    kl = (shares * (shares * 1000).clamp(min=1e-12).log()).sum().item()
    assert kl == pytest.approx(0.0193, abs=0.003)  # the floor of 26,000 equally likely draws: 999 / (2 · 26,000)


def test_too_many_classes_are_not_stacked():
    many = data.Images("many", torch.zeros(200, 1, 8, 8), torch.arange(200), tuple(map(str, range(200))))
    with pytest.raises(BadInput, match="many has 200 classes: give at most 100"):
        data.stacked(many, 2, seed=0)


def test_coloured_images_are_not_stacked():
    grey = data.load("strokes", "test")
    with pytest.raises(BadInput, match="3 channels"):
        data.stacked(data.stacked(grey, 5), 5)
    with pytest.raises(BadInput, match="n is 0"):
        data.stacked(grey, 0)
