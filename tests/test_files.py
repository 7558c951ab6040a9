import os

import pytest

from gantutor import files
from gantutor.errors import BadInput


def test_an_error_inside_the_block_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), files.replacing(path) as temporary:
        temporary.write_text("half \ud800")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_new_file_takes_the_place_of_the_old_and_the_folder_is_made(tmp_path):
    path = tmp_path / "new" / "a.txt"
    for text in ("one", "two"):
        with files.replacing(path) as temporary:
            temporary.write_text(text)
        assert path.read_text() == text
    assert os.listdir(path.parent) == ["a.txt"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="cannot write .*file.*a.txt"), files.replacing(tmp_path / "file" / "a.txt"):
        pass


def test_folders_made_for_a_file_that_was_not_written_are_removed(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput, match="No space left"), files.replacing(tmp_path / "a" / "b" / "c.txt") as temporary:
        temporary.write_text("x")
    assert os.listdir(tmp_path) == []


def test_an_input_that_is_missing_is_not_blamed_on_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), files.replacing(tmp_path / "a.txt"):
        (tmp_path / "input.txt").read_text()


def test_what_was_there_is_kept_if_asked_for(tmp_path):
    path, previous = tmp_path / "a.txt", tmp_path / "old.txt"
    for text in ("one", "two", "three"):
        with files.replacing(path, previous) as temporary:
            temporary.write_text(text)
    assert (path.read_text(), previous.read_text()) == ("three", "two")
    with pytest.raises(ZeroDivisionError), files.replacing(path, previous) as temporary:
        temporary.write_text(str(1 / 0))
    assert (path.read_text(), previous.read_text()) == ("three", "two")


def test_sweeping_removes_what_a_killed_process_left_and_nothing_else(tmp_path):
    for name in ("a.txt", ".a.txt.0badcafe.part", ".b.txt.0badcafe.part"):
        (tmp_path / name).write_text("x")
    files.sweep(tmp_path / "a.txt")
    assert sorted(os.listdir(tmp_path)) == [".b.txt.0badcafe.part", "a.txt"]
