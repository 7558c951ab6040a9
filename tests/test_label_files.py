"""Classes that a file beside the pictures names: StyleGAN's dataset.json, Hugging Face's metadata.jsonl and .csv."""

import contextlib
import io
import json
import re
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from gantutor import data, doctor
from gantutor.data import faces, label_files
from gantutor.data.listing import File, Listing
from gantutor.doctor.images import files

FACES = faces.draw(40, seed=0, size=32).pixels.numpy().transpose(0, 2, 3, 1)
NAMES = [f"{k // 10:05}/img{k:08}.png" for k in range(20)]  # in two shards
KINDS = ["cat", "dog", "newt"]


def pictures(folder, names=NAMES):
    for name, face in zip(names, FACES, strict=False):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(folder / name)


def dataset_json(pairs):
    return json.dumps({"labels": [list(pair) for pair in pairs]})


def metadata_jsonl(pairs, column="label"):
    return "".join(json.dumps({"file_name": name, column: label}) + "\n" for name, label in pairs)


def metadata_csv(pairs, column="label", separator=","):
    return "".join(f"{name}{separator}{label}\n" for name, label in [("file_name", column), *pairs])


WRITERS = {"dataset.json": dataset_json, "metadata.jsonl": metadata_jsonl, "metadata.csv": metadata_csv}


def read(path, **options):
    said = []
    return data.from_folder(path, say=said.append, **options), said


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["numbers", "words"])
@pytest.mark.parametrize("file", WRITERS)
def test_classes_are_those_of_the_file(tmp_path, file, kind, packed):
    numbers = [k * 7 % 3 for k in range(20)]
    pictures(tmp_path / "set")
    labels = [10 - n for n in numbers] if kind == "numbers" else [KINDS[n] for n in numbers]
    (tmp_path / "set" / file).write_text(WRITERS[file](zip(NAMES, labels, strict=True)))
    path = tmp_path / "set"
    if packed:
        path = shutil.make_archive(tmp_path / "packed", "zip", tmp_path, "set")
    images, said = read(path)
    classes = ("8", "9", "10") if kind == "numbers" else ("cat", "dog", "newt")
    assert (images.classes, [images.classes[k] for k in images.labels]) == (classes, [str(label) for label in labels])
    np.testing.assert_array_equal(images.stored.numpy().transpose(0, 2, 3, 1), FACES[:20])
    assert said == [
        "The folders 00000, 00001 are parts of one set, not classes.",
        f"The classes of 20 pictures are those of {file}: {', '.join(classes)}.",
    ]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("metadata.jsonl", metadata_jsonl(((n, "b" if k % 2 else "a") for k, n in enumerate(NAMES)), "Category")),
        ("metadata.csv", metadata_csv(((n, "b" if k % 2 else "a") for k, n in enumerate(NAMES)), "class", ";")),
        ("metadata.csv", "\ufeff" + metadata_csv((n, "b" if k % 2 else "a") for k, n in enumerate(NAMES))),
        ("metadata.csv", metadata_csv((f"./{n}", "b" if k % 2 else "a") for k, n in enumerate(NAMES))),
        ("dataset.json", dataset_json((n.replace("/", "\\"), "b" if k % 2 else "a") for k, n in enumerate(NAMES))),
        ("dataset.json", json.dumps({"labels": {n: "b" if k % 2 else "a" for k, n in enumerate(NAMES)}})),
    ],
    ids=["category", "semicolons", "byte order mark", "dot", "backslashes", "object"],
)
def test_spellings(tmp_path, file, text):
    pictures(tmp_path)
    (tmp_path / file).write_text(text, encoding="utf-8")
    assert read(tmp_path)[0].labels.tolist() == [0, 1] * 10


def test_names_are_relative_to_the_folder_of_the_file(tmp_path):
    for split in ("train", "test"):
        pictures(tmp_path / split, [f"{k:02}.png" for k in range(10 + 2 * len(split))])
        pairs = [(f"{k:02}.png", KINDS[k % 2]) for k in range(10 + 2 * len(split))]
        (tmp_path / split / "metadata.csv").write_text(metadata_csv(pairs))
    assert read(tmp_path)[0].labels.tolist() == [0, 1] * 10
    assert read(tmp_path, split="test")[0].labels.tolist() == [0, 1] * 9


def test_folders_name_classes_before_any_file(tmp_path):
    pictures(tmp_path, [f"{'ab'[k % 2]}/{k}.png" for k in range(20)])
    (tmp_path / "dataset.json").write_text(dataset_json((f"{'ab'[k % 2]}/{k}.png", k % 3) for k in range(20)))
    images, said = read(tmp_path)
    assert images.classes == ("a", "b")
    assert said == [
        "The 2 folders a, b were read as classes.",
        "Left out 1 of 21 files: 1 not a picture (dataset.json).",
    ]


def test_pictures_without_labels_and_labels_without_pictures_are_counted(tmp_path):
    names = [f"{k:02}.png" for k in range(40)]
    pictures(tmp_path, names)
    pairs = [(name, KINDS[k % 2]) for k, name in enumerate(names[:38])] + [("gone.png", "dog")] * 2
    (tmp_path / "metadata.jsonl").write_text(metadata_jsonl(pairs))
    images, said = read(tmp_path)
    assert images.labels.tolist() == [0, 1] * 19
    assert said == [
        "The classes of 38 pictures are those of metadata.jsonl: cat, dog. Left out 2 without a label. "
        "1 of its labels are for other files."
    ]


REFUSED = {
    "dataset.json": [
        ('{"labels": [["00000/img', "is broken"),
        ("[" * 100_000, "is broken"),
        ('{"labels": 3}', "must hold"),
        ('{"labels": [["a.png"]]}', "must hold"),
        (dataset_json((None, 3) for _ in NAMES), "lacks the name of a file"),
        (dataset_json((name, [0.25, 0.5]) for name in NAMES), r"has labels like \[0.25, 0.5\], which are no classes"),
        (dataset_json((name, 0.37) for name in NAMES), "has labels like 0.37, which are no classes"),
        (dataset_json((name, k % 3) for k, name in enumerate(NAMES[:15])), "has labels for 15 of 20 pictures only"),
        (dataset_json((f"x{name}", 1) for name in NAMES), "has labels for 0 of 20 pictures only"),
        (dataset_json((name, k) for k, name in enumerate(NAMES)), "has 20 different labels for 20 pictures"),
        (dataset_json((NAMES[0], k) for k in range(3)), "has two labels for 00000/img00000000.png"),
        ('{"labels": [["a.png", ' + "9" * 5000 + "]]}", "is broken"),
    ],
    "metadata.jsonl": [
        ("{", "is broken"),
        ("3\n", "must hold an object in each line"),
        ('{"label": 3}\n', "has no column file_name"),
    ],
    "metadata.csv": [
        ("label\n3\n", "has no column file_name"),
        (metadata_csv((name, f"face number {k}") for k, name in enumerate(NAMES)), "these are no classes"),
        (metadata_csv((name, k / 20) for k, name in enumerate(NAMES)), "these are no classes"),
        ("file_name,label\n" + "x" * 200_000 + ",3\n", "is broken"),
    ],
}


@pytest.mark.parametrize(("file", "text", "why"), [(file, *case) for file, cases in REFUSED.items() for case in cases])
def test_a_file_that_gives_no_classes_is_named_and_the_pictures_are_read(tmp_path, file, text, why):
    pictures(tmp_path)
    (tmp_path / file).write_text(text)
    images, said = read(tmp_path)
    assert (len(images), images.classes) == (20, (tmp_path.name,))
    (sentence,) = [sentence for sentence in said if file in sentence and "gives no classes" in sentence]
    assert re.search(why, sentence)
    assert "\n" not in sentence
    assert len(sentence) < 200


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("dataset.json", b'{"labels": null}'),
        ("dataset.json", b"{}"),
        ("metadata.jsonl", b""),
        ("metadata.csv", b"file_name,text\n00000/img00000000.png,a face\n"),
    ],
)
def test_a_file_without_labels_is_passed_over(tmp_path, file, content):
    pictures(tmp_path)
    (tmp_path / file).write_bytes(content)
    images, said = read(tmp_path)
    assert (len(images), len(images.classes)) == (20, 1)
    assert said[1:] == [f"Left out 1 of 21 files: 1 not a picture ({file})."]


def test_other_bytes_are_no_labels(tmp_path):
    pictures(tmp_path)
    (tmp_path / "metadata.csv").write_bytes(b"\xff\xfe\x00\xd8")
    assert "metadata.csv is not UTF-8 text, so that it gives no classes." in read(tmp_path)[1]


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_too_large_is_not_read(tmp_path, packed):
    pictures(tmp_path / "set")
    with open(tmp_path / "set" / "dataset.json", "wb") as file:
        file.truncate(2**28 + 1 if packed else 2**31)  # takes no room on the disk
    path = tmp_path / "set"
    if packed:
        path = tmp_path / "set.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in [*NAMES, "dataset.json"]:
                archive.write(tmp_path / "set" / name, name)
    images, said = read(path)
    assert (len(images), len(images.classes)) == (20, 1)
    assert "dataset.json is too large, so that it gives no classes." in said


def test_a_large_file_is_read_no_further_than_it_may_be(monkeypatch):
    opened = []

    def endless():
        opened.append(io.BytesIO(dataset_json((name, k % 2) for k, name in enumerate(NAMES)).encode()))
        return contextlib.nullcontext(opened[-1])

    shown = [File(tuple(name.split("/")), None) for name in NAMES]
    for most, classes in ((10_000, 2), (100, 1)):
        listing = Listing(shown, [0] * 20, ("all",), [File(("dataset.json",), endless)])
        monkeypatch.setattr(label_files, "MOST_BYTES", most)
        label_files.add_classes(listing)
        assert len(listing.classes) == classes
        assert opened[-1].tell() <= most + 1


def test_the_next_file_is_read_where_one_is_broken(tmp_path):
    pictures(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    (tmp_path / "metadata.csv").write_text(metadata_csv((name, k % 2) for k, name in enumerate(NAMES)))
    images, said = read(tmp_path)
    assert images.classes == ("0", "1")
    assert "dataset.json is broken" in " ".join(said)


def test_the_doctor_reads_them_too(tmp_path):
    names = [f"{k:03}.png" for k in range(80)]
    for k, name in enumerate(names):
        Image.fromarray(FACES[k % 40] // (1 + k // 40)).save(tmp_path / name)
    (tmp_path / "metadata.csv").write_text(metadata_csv((name, KINDS[k % 3]) for k, name in enumerate(names)))
    images, _, notes = files.load(tmp_path)
    assert images.classes == tuple(KINDS)
    assert f"{tmp_path.name}: The classes of 80 pictures are those of metadata.csv: cat, dog, newt." in notes
    assert doctor.examine(images, images)
