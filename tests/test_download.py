import errno
import gzip
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import fakes
import pytest

from gantutor.data import download
from gantutor.errors import BadInput, DataUnavailable

FAULTS = {
    fakes.web_page: "web page",
    fakes.empty: "is empty",
    fakes.truncated: "is truncated",
    fakes.cut_off: "is truncated|broke off",
    fakes.corrupt: "is corrupt",
    fakes.other_content: "SHA-256",
    fakes.missing: "404",
}
names = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)


@pytest.fixture(autouse=True)
def _isolated(monkeypatch, tmp_path):
    fakes.isolate(monkeypatch, tmp_path)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


# --- mirrors ---------------------------------------------------------------------------------------------------------


def test_a_good_mirror_gives_the_four_files_and_nothing_else(monkeypatch, root):
    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        assert download.fetch("mnist", root) == root / "mnist"
        assert download.fetch("mnist", root) == root / "mnist"
    assert fakes.tree(root / "mnist") == fakes.FILES
    assert sorted(mirror.requests) == sorted(fakes.FILES)  # the second time nothing was asked for


@names
def test_one_bad_mirror_costs_nothing_but_a_try(monkeypatch, root, fault):
    with fakes.Mirror(fault) as bad, fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, bad.url, mirror.url)
        download.fetch("mnist", root)
    assert fakes.tree(root / "mnist") == fakes.FILES
    assert len(bad.requests) == 1  # the mirror that works is asked first from then on


@names
def test_bad_mirrors_only_give_a_sentence_with_the_reason_and_leave_nothing(monkeypatch, root, fault):
    with fakes.Mirror(fault) as mirror:
        fakes.set_mirrors(monkeypatch, fakes.closed_port(), mirror.url)
        with pytest.raises(DataUnavailable, match=FAULTS[fault]) as caught:
            download.fetch("mnist", root)
    assert not isinstance(caught.value, download.NoMirror)
    assert mirror.url.split("/")[2] in str(caught.value)
    assert "GANTUTOR_DATA" in str(caught.value)
    assert fakes.tree(root) == {}


def test_no_network_is_told_apart_and_both_mirrors_are_named(root):
    with pytest.raises(download.NoMirror, match="mnist is not on this computer and no mirror") as caught:
        download.fetch("mnist", root)
    assert caught.value.unreachable
    for mirror in download.MIRRORS["mnist"]:
        assert mirror.split("/")[2] in str(caught.value)
    assert fakes.tree(root) == {}


def test_a_host_that_takes_the_connection_but_never_answers_is_not_waited_for(monkeypatch, root):
    assert download.CONNECT_SECONDS <= 5
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.2)
    with fakes.Mirror(fakes.silent) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        with pytest.raises(download.NoMirror, match=r"did not answer within 0\.2 s"):
            download.fetch("mnist", root)


@pytest.mark.parametrize(
    ("fault", "why"), [(fakes.stalling, r"sent nothing for 0\.2 s"), (fakes.dripping, "is too slow")]
)
def test_a_mirror_that_stalls_or_drips_is_given_up(monkeypatch, root, fault, why):
    monkeypatch.setattr(download, "STALL_SECONDS", 0.2)
    with fakes.Mirror(fault) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        with pytest.raises(DataUnavailable, match=why):
            download.fetch("mnist", root)
    assert fakes.tree(root) == {}


def test_what_is_too_large_is_not_taken_in(monkeypatch, root):
    monkeypatch.setattr(download, "LARGEST", 2**20)

    def flood(mirror, handler, file):
        fakes.send(handler, bytes(2**21))

    def bomb(mirror, handler, file):
        fakes.send(handler, gzip.compress(bytes(2**22)))

    for fault, why in ((flood, "sent more than 1 MB"), (bomb, "holds more than 1 MB")):
        with fakes.Mirror(fault) as mirror:
            fakes.set_mirrors(monkeypatch, mirror.url)
            with pytest.raises(DataUnavailable, match=why):
                download.fetch("mnist", root)


def test_only_missing_files_are_downloaded(monkeypatch, root):
    fakes.put(root / "mnist", train_labels=None)
    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        download.fetch("mnist", root)
    assert mirror.requests == ["train-labels-idx1-ubyte.gz"]
    assert fakes.tree(root / "mnist") == fakes.FILES


def test_progress_is_one_line_and_rewrites_it_only_on_a_terminal(monkeypatch, root, tmp_path, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        download.fetch("mnist", root)
        plain = capsys.readouterr().err
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", terminal := Terminal())
            (tmp_path / "other").mkdir()
            download.fetch("mnist", tmp_path / "other")
    for text in (plain, terminal.getvalue()):
        lines = text.split("\n")
        assert len(lines) == 5  # one for each file, ended by a line break
        assert lines[4] == ""
        assert all("mnist/" in line and " MB" in line and line.endswith("100%") for line in lines[:4])
    assert "\r" not in plain
    assert "\r" in terminal.getvalue()


def test_the_real_mirrors_are_asked_by_full_names():
    """The tables as the package has them, before the fixture replaced them."""
    code = "from gantutor.data import download as d; print(*d.MIRRORS, *d.SHA256, *sum(d.MIRRORS.values(), ()))"
    words = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert words[:6] == ["mnist", "fashion-mnist", "cifar10"] * 2
    assert len(words) == 11
    assert all(url.startswith("http") and url.endswith("/") for url in words[6:])


# --- two at once, and killed -----------------------------------------------------------------------------------------


def _fetching(url: str, root: Path) -> subprocess.Popen:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import fakes\nfrom gantutor.data import download\n"
        "download.SHA256 = {'mnist': fakes.HASHES}\ndownload.MIRRORS = {'mnist': (sys.argv[2],)}\n"
        "download.fetch('mnist', sys.argv[3])"
    )
    arguments = [sys.executable, "-c", code, str(Path(__file__).parent), url, str(root)]
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)


def test_two_processes_may_fetch_at_once(root):
    together = threading.Barrier(2)

    def both(mirror, handler, file):  # no file is sent before both processes have asked for it
        together.wait(30)
        fakes.send(handler, fakes.FILES[file])

    with fakes.Mirror(both) as mirror:
        processes = [_fetching(mirror.url, root) for _ in range(2)]
        for process in processes:
            error = process.communicate(timeout=60)[1]
            assert process.returncode == 0, error
    assert sorted(mirror.requests) == sorted([*fakes.FILES, *fakes.FILES])
    assert fakes.tree(root / "mnist") == fakes.FILES


def test_killed_in_the_middle_then_tried_again(monkeypatch, root):
    halfway = threading.Event()

    def third_stalls(mirror, handler, file):
        if len(mirror.requests) < 3:
            return fakes.good(mirror, handler, file)
        fakes.send(handler, fakes.FILES[file][:40], length=len(fakes.FILES[file]))
        halfway.set()
        mirror.release.wait(30)

    with fakes.Mirror(third_stalls) as mirror:
        process = _fetching(mirror.url, root)
        assert halfway.wait(30)
        process.kill()
        process.communicate(timeout=30)
    stored = fakes.tree(root / "mnist")
    assert len(stored) == 2
    assert stored.items() <= fakes.FILES.items()
    (root / "mnist" / ".train-images-idx3-ubyte.gz.1234.part").write_bytes(b"half a file")  # as killed while writing
    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        download.fetch("mnist", root)
    assert len(mirror.requests) == 2
    assert fakes.tree(root / "mnist").items() >= fakes.FILES.items()


# --- folders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_read_only_folder_is_named_with_the_way_out(monkeypatch, root, code):
    def refuse(self, data):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        with pytest.raises(DataUnavailable, match=os.strerror(code)) as caught:
            download.fetch("mnist", root)
    assert not isinstance(caught.value, download.NoMirror)
    assert str(root / "mnist") in str(caught.value)
    assert "GANTUTOR_DATA" in str(caught.value)
    assert fakes.tree(root) == {}


def test_a_folder_that_cannot_be_made_is_named(monkeypatch, root):
    (root / "mnist").write_text("in the way")
    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        with pytest.raises(DataUnavailable, match=r"cannot be stored in .*mnist"):
            download.fetch("mnist", root)
    assert fakes.tree(root) == {"mnist": b"in the way"}


def test_a_file_that_another_process_stored_meanwhile_is_no_error(monkeypatch, root):
    """Windows does not rename over a file that is being read."""

    def lost_the_race(source, target):
        Path(target).write_bytes(Path(source).read_bytes())
        raise PermissionError(errno.EACCES, "in use")

    monkeypatch.setattr(os, "replace", lost_the_race)
    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        download.fetch("mnist", root)
    assert fakes.tree(root / "mnist") == fakes.FILES


@pytest.mark.parametrize("file", ["train_images", "t10k_labels"])
@pytest.mark.parametrize("content", [None, b"", fakes.WEB_PAGE], ids=["missing", "empty", "web page"])
def test_the_environment_folder_is_read_and_never_written_to(monkeypatch, root, file, content):
    fakes.put(root / "mnist", **{file: content})
    fakes.put(download._cache_folder() / "mnist")  # whole, but not to be fallen back on
    before = fakes.tree(root)
    monkeypatch.setenv("GANTUTOR_DATA", str(root))
    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        with pytest.raises(BadInput, match=f"{file.replace('_', '-')}.*unset GANTUTOR_DATA"):
            download.fetch("mnist")
    assert mirror.requests == []
    assert fakes.tree(root) == before


def test_a_set_environment_must_be_a_folder(monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    fakes.put(download._cache_folder() / "mnist")
    monkeypatch.setenv("GANTUTOR_DATA", str(gone))
    with pytest.raises(BadInput, match="^GANTUTOR_DATA is .*gone.* not a folder") as caught:
        download.fetch("mnist")
    assert isinstance(caught.value, DataUnavailable)  # whoever expects either kind of error gets it
    assert not gone.exists()


def test_a_root_comes_first_and_the_environment_next(monkeypatch, root, tmp_path):
    fakes.put(tmp_path / "environment" / "mnist")
    monkeypatch.setenv("GANTUTOR_DATA", str(tmp_path / "environment"))
    assert download.fetch("mnist", root) == tmp_path / "environment" / "mnist"
    fakes.put(root / "mnist")
    assert download.fetch("mnist", root) == root / "mnist"


def test_a_root_that_is_the_environment_folder_is_not_written_to(monkeypatch, root):
    monkeypatch.setenv("GANTUTOR_DATA", str(root))
    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        with pytest.raises(BadInput, match="GANTUTOR_DATA is set"):
            download.fetch("mnist", root)
    assert fakes.tree(root) == {}


def test_a_root_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="root is .*file', which is a file"):
        download.fetch("mnist", tmp_path / "file")


def test_a_damaged_file_is_not_replaced_behind_ones_back(monkeypatch, root):
    fakes.put(root / "mnist", train_images=fakes.FILES["train-images-idx3-ubyte.gz"][:-20])
    before = fakes.tree(root)
    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        with pytest.raises(BadInput, match=r"train-images-idx3-ubyte.gz is truncated: delete it"):
            download.fetch("mnist", root)
    assert mirror.requests == []
    assert fakes.tree(root) == before


def test_without_leave_to_download_no_mirror_is_asked(monkeypatch, root):
    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        with pytest.raises(DataUnavailable, match="gantutor fetch mnist"):
            download.locate("mnist", fakes.FILES, root, download=False)
    assert mirror.requests == []


def test_the_order_of_the_folders(monkeypatch, tmp_path):
    root, environment, repository = (tmp_path / name for name in ("root", "environment", "repository"))
    cache = download._cache_folder()
    for folder in (root, environment, repository / "data", cache):
        fakes.put(folder / "mnist")
    assert download.fetch("mnist") == cache / "mnist"
    monkeypatch.setattr(download, "ROOT", repository)
    (repository / "pyproject.toml").touch()
    assert download.fetch("mnist") == cache / "mnist"  # no notebooks: no checkout
    (repository / "notebooks").mkdir()
    assert download.fetch("mnist") == repository / "data" / "mnist"
    (repository / "data" / "mnist" / "t10k-images-idx3-ubyte.gz").unlink()
    assert download.fetch("mnist") == cache / "mnist"
    monkeypatch.setenv("GANTUTOR_DATA", str(environment))
    assert download.fetch("mnist") == environment / "mnist"
    assert download.fetch("mnist", root) == root / "mnist"


@pytest.mark.parametrize("checkout", [True, False])
def test_downloads_go_to_the_checkout_or_else_to_the_cache(monkeypatch, tmp_path, checkout):
    if checkout:
        (tmp_path / "site-packages" / "notebooks").mkdir(parents=True)
        (tmp_path / "site-packages" / "pyproject.toml").touch()
    with fakes.Mirror(fakes.good) as mirror:
        fakes.set_mirrors(monkeypatch, mirror.url)
        folder = download.fetch("mnist")
    assert folder == (tmp_path / "site-packages" / "data" if checkout else download._cache_folder()) / "mnist"
    assert fakes.tree(folder) == fakes.FILES


@pytest.mark.skipif(
    Path(download.__file__).resolve().parents[1] != Path(__file__).resolve().parents[1],
    reason="the package under test is not the one in this checkout",
)
def test_a_checkout_is_recognised(monkeypatch):
    monkeypatch.undo()
    monkeypatch.delenv("GANTUTOR_DATA", raising=False)
    assert download._search_path(None)[0] == Path(__file__).resolve().parents[1] / "data"


def test_the_cache_folder_of_each_system(monkeypatch, tmp_path):
    home = Path.home()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    expected = {"linux": tmp_path / "xdg", "darwin": home / "Library" / "Caches", "win32": tmp_path / "local"}
    found = {}
    with monkeypatch.context() as patch:
        for system in expected:
            patch.setattr(sys, "platform", system)
            found[system] = download._cache_folder()
        patch.setattr(sys, "platform", "linux")
        patch.delenv("XDG_CACHE_HOME")
        default = download._cache_folder()
    assert found == {system: folder / "gantutor" for system, folder in expected.items()}
    assert default == home / ".cache" / "gantutor"


def test_decompressed_files_do_too(root):
    (root / "mnist").mkdir()
    for file, payload in fakes.PAYLOADS.items():
        (root / "mnist" / file.removesuffix(".gz")).write_bytes(payload)
    assert download.fetch("mnist", root) == root / "mnist"
    (root / "mnist" / "t10k-labels-idx1-ubyte").write_bytes(b"other")
    with pytest.raises(BadInput, match="t10k-labels-idx1-ubyte is not the published file"):
        download.fetch("mnist", root)


def test_a_folder_in_the_place_of_a_file(root):
    fakes.put(root / "mnist", train_images=None)
    (root / "mnist" / "train-images-idx3-ubyte.gz").mkdir()
    with pytest.raises(BadInput, match=r"train-images-idx3-ubyte.gz cannot be read"):
        download.fetch("mnist", root)


def test_names_that_cannot_be_fetched():
    with pytest.raises(BadInput, match="did you mean 'mnist'"):
        download.fetch("minst")
    with pytest.raises(BadInput, match="'strokes' has no files to fetch"):
        download.fetch("strokes")
