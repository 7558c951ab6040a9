"""The published files of `mnist`, `fashion-mnist` and `cifar10`: finding them on disk, checking them, downloading them.

A data set is four files in a folder of its name; CIFAR-10 is one archive. They are looked for in a given folder, then
in `$GANTUTOR_DATA` or, if that is not set, in the `data/` of the repository and in the user's cache. Missing files are
downloaded, unless `$GANTUTOR_DATA` is set, because that folder has to be complete and is only ever read. No file gets
its final name before the SHA-256 of its contents has been checked.
"""

import contextlib
import gzip
import hashlib
import http.client
import io
import os
import queue
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from gantutor.errors import BadDataFolder, BadInput, DataUnavailable, unknown
from gantutor.files import ROOT, replacing

FILES = {  # split -> (images, labels)
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}

# Of the decompressed contents, because mirrors compress differently, but of an archive as it is. Small files come
# first, to show trouble early.
SHA256 = {
    "mnist": {
        "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    },
    "fashion-mnist": {
        "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    },
    "cifar10": {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
}
USUAL = ("mnist", "fashion-mnist")  # what the course needs
DRAWN = ("strokes", "faces")  # by the program: there is nothing to fetch

MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    "cifar10": ("https://www.cs.toronto.edu/~kriz/",),
}

CONNECT_SECONDS = 5.0  # to find a mirror, connect to it and get a first answer
STALL_SECONDS = 15.0  # without a byte before a mirror is given up
SLOWEST = 2_000  # bytes/s; a mirror that is slower after STALL_SECONDS is given up as well
LARGEST = 192 * 2**20  # bytes, compressed or not; the largest published file has 170 MB


def remedy_for(name: str) -> str:
    """What helps without a network."""
    files = "cifar-10-binary.tar.gz" if name == "cifar10" else "train-images-idx3-ubyte.gz and the other three files"
    return f"set GANTUTOR_DATA to a folder that holds {name}/{files}"


class NoMirror(DataUnavailable):
    """The files are not on this computer and no mirror answered, so there is no network."""

    unreachable = True


class Damaged(Exception):
    """What is wrong with a file, worded so as to follow its name: "is truncated"."""


class MirrorFailed(Exception):
    """What a mirror did instead of sending the file, worded so as to follow its name: "answered 404 Not Found"."""

    def __init__(self, what: str, reached: bool):
        super().__init__(what)
        self.reached = reached


# --- finding the files ------------------------------------------------------------------------------------------------


def fetch(name: str, root: str | os.PathLike | None = None) -> Path:
    """The folder that holds the files of `name`, all of them checked; missing ones are downloaded first.

    Raises:
        BadInput: an unknown name, a damaged file, or a `GANTUTOR_DATA` that lacks a file.
        DataUnavailable: the files could not be downloaded (`NoMirror` if no mirror answered) or stored.
    """
    if name in DRAWN:
        raise BadInput(f"{name!r} has no files to fetch: the program draws it. Load it with data.load({name!r}).")
    if name not in SHA256:
        raise unknown("data set", name, SHA256)
    folder = locate(name, SHA256[name], root)
    for file in SHA256[name]:
        path = find_file(folder, file) or folder / file
        with naming_damaged(path):
            check_digest(name, file, read_contents(path))
    return folder


def locate(name: str, files: Iterable[str], root: str | os.PathLike | None = None, download: bool = True) -> Path:
    """The first folder that holds all of `files`; if there is none, the missing files of `name` are downloaded.

    The contents of files that are already there are not checked. Raises as `fetch` does.
    """
    parents = _search_path(root)
    for parent in parents:
        if all(find_file(parent / name, file) for file in files):
            return parent / name
    folder = parents[0] / name
    if given := _environment_folder():
        missing = next(given / name / file for file in files if not find_file(given / name, file))
        raise BadDataFolder(
            f"GANTUTOR_DATA is set, but {missing} is missing: put the file there, or unset GANTUTOR_DATA."
        )
    missing = next(folder / file for file in files if not find_file(folder, file))
    if not download:
        remedy = f"run `gantutor fetch {name}`, or {remedy_for(name)}"
        raise DataUnavailable(f"{name} is not on this computer ({missing} is missing): {remedy}.")
    mirrors = list(MIRRORS[name])
    for file in SHA256[name]:
        if not find_file(folder, file):
            _download(name, file, folder, mirrors)
    return folder


def find_file(folder: Path, file: str) -> Path | None:
    """`folder/file`, or the same file already decompressed (without its `.gz`), or None if there is neither."""
    both = (folder / file, folder / (file if is_archive(file) else file.removesuffix(".gz")))
    return next((path for path in both if os.path.exists(path)), None)


def _search_path(root: str | os.PathLike | None) -> list[Path]:
    """The folders to look in, in this order; downloads go to the first."""
    first = [] if root is None else [Path(root).expanduser()]
    if first and os.path.exists(first[0]) and not first[0].is_dir():
        raise BadInput(f"root is {str(root)!r}, which is a file: give a folder.")
    if given := _environment_folder():
        return [*first, given]
    in_checkout = (ROOT / "pyproject.toml").is_file() and (ROOT / "notebooks").is_dir()
    return [*first, ROOT / "data", _cache_folder()] if in_checkout else [*first, _cache_folder()]


def _environment_folder() -> Path | None:
    """The folder that `GANTUTOR_DATA` names, if it is set."""
    if not (given := os.environ.get("GANTUTOR_DATA")):
        return None
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise BadDataFolder(f"GANTUTOR_DATA is {given!r}, which is not a folder: make it, or correct the path.")
    return folder


def _cache_folder() -> Path:
    """The user's cache folder of this program."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gantutor"


# --- checking them ----------------------------------------------------------------------------------------------------


def is_archive(file: str) -> bool:
    return file.endswith(".tar.gz")


def read_contents(path: Path) -> bytearray:
    """What is checked by its hash: the decompressed contents of a file, or an archive as it is. Raises `Damaged`."""
    try:
        with open(path, "rb") as file:
            return contents_of(path.name, file)
    except OSError as error:
        raise Damaged(f"cannot be read ({error.strerror or error})") from error


def contents_of(name: str, file: BinaryIO) -> bytearray:
    """The same from an open file of this name."""
    return decompress(file) if name.endswith(".gz") and not is_archive(name) else bytearray(file.read(LARGEST))


def check_gzip(start: bytes) -> None:
    """Raise `Damaged` unless a file that begins like this is a gzip file."""
    if not start:
        raise Damaged("is empty")
    if not start.startswith(b"\x1f\x8b"):
        raise Damaged("is a web page instead of a gzip file" if b"<" in start[:16] else "is not a gzip file")


def decompress(file: BinaryIO) -> bytearray:
    """The decompressed contents of an open gzip file. Raises `Damaged`."""
    check_gzip(file.read(512))
    file.seek(0)
    contents = bytearray()
    try:
        with gzip.open(file) as stream:
            while block := stream.read(2**20):
                contents += block
                if len(contents) > LARGEST:
                    raise Damaged(f"holds more than {LARGEST >> 20} MB")
    except EOFError:
        raise Damaged("is truncated") from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise Damaged(f"is corrupt ({error})") from error
    return contents


def check_digest(name: str, file: str, contents: bytearray) -> None:
    """Raise `Damaged` unless `contents` are those of the published file."""
    digest, published = hashlib.sha256(contents).hexdigest(), SHA256[name][file]
    if digest != published:
        of = "" if is_archive(file) else " of its contents"
        raise Damaged(f"is not the published file (SHA-256{of} {digest[:12]}…, not {published[:12]}…)")


@contextlib.contextmanager
def naming_damaged(path: Path) -> Iterator[None]:
    """Turn `Damaged` into a `BadInput` that names the file and says what to do."""
    try:
        yield
    except Damaged as error:
        folder = os.environ.get("GANTUTOR_DATA")
        read_only = folder and path.is_relative_to(Path(folder).expanduser())
        remedy = "replace it, or unset GANTUTOR_DATA" if read_only else "delete it, and it will be downloaded again"
        raise BadInput(f"{path} {error}: {remedy}.") from error


# --- downloading them -------------------------------------------------------------------------------------------------


def _download(name: str, file: str, folder: Path, mirrors: list[str]) -> None:
    """Store `folder/file` from the first mirror that sends the published contents; move that mirror to the front."""
    reasons, reached = [], False
    for mirror in mirrors:
        host = urlsplit(mirror).netloc
        try:
            body = _receive(mirror + file, f"{name}/{file}")
            check_digest(name, file, contents_of(file, io.BytesIO(body)))
        except MirrorFailed as error:
            reached |= error.reached
            reasons.append(f"{host} {error}")
        except Damaged as error:
            reached = True
            reasons.append(f"{host} sent a file that {error}")
        else:
            mirrors.remove(mirror)
            mirrors.insert(0, mirror)
            return _store(name, folder / file, body)
    why, remedy = "; ".join(reasons), remedy_for(name)
    if not reached:
        raise NoMirror(f"{name} is not on this computer and no mirror can be reached ({why}): go online, or {remedy}.")
    raise DataUnavailable(f"{name}/{file} could not be downloaded ({why}): try again later, or {remedy}.")


def _store(name: str, path: Path, body: bytearray) -> None:
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(body)
    except BadInput as error:
        if path.exists():  # another process was faster: Windows does not rename over a file that is being read
            return
        reason = getattr(error.__cause__, "strerror", None) or error
        raise DataUnavailable(
            f"{name} cannot be stored in {path.parent} ({reason}): make room or make it writable, "
            f"pass another folder as root, or {remedy_for(name)}."
        ) from error


def _receive(url: str, label: str) -> bytearray:
    """The bytes that a mirror sends, at most `LARGEST`, in memory. Raises `MirrorFailed`."""
    body, begun = bytearray(), time.monotonic()
    with _connect(url) as response, contextlib.closing(Progress(label, response.length)) as progress:
        total = response.length  # None if the mirror does not say
        while total is None or len(body) < total:
            try:
                block = response.read1(2**16)
            except TimeoutError:
                raise MirrorFailed(f"sent nothing for {STALL_SECONDS:g} s", reached=True) from None
            except (OSError, http.client.HTTPException) as error:
                raise MirrorFailed(f"broke off ({error})", reached=True) from error
            if not block:
                break
            body += block
            seconds = time.monotonic() - begun
            if len(body) > LARGEST:
                raise MirrorFailed(f"sent more than {LARGEST >> 20} MB", reached=True)
            if seconds > STALL_SECONDS and len(body) < SLOWEST * seconds:
                raise MirrorFailed("is too slow", reached=True)
            progress.show(len(body))
    return body


def _connect(url: str) -> http.client.HTTPResponse:
    """The opened response to a request. Raises `MirrorFailed`, at the latest after `CONNECT_SECONDS`.

    A thread keeps the limit, because `urlopen(timeout=…)` waits that long for each address of a host in turn and does
    not limit the time for looking up its name at all.
    """
    answers: queue.SimpleQueue[http.client.HTTPResponse | Exception] = queue.SimpleQueue()

    def ask():
        request = urllib.request.Request(url, headers={"User-Agent": "gantutor"})
        try:
            answers.put(urllib.request.urlopen(request, timeout=STALL_SECONDS))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        raise MirrorFailed(f"did not answer within {CONNECT_SECONDS:g} s", reached=False) from None
    if isinstance(answer, urllib.error.HTTPError):
        answer.close()
        raise MirrorFailed(f"answered {answer.code} {answer.reason}", reached=True)
    if isinstance(answer, Exception):
        raise MirrorFailed(f"cannot be reached: {getattr(answer, 'reason', answer)}", reached=False)
    return answer


class Progress:
    """One line on stderr per file: rewritten in place on a terminal; elsewhere a few percentages are appended to it."""

    def __init__(self, label: str, total: int | None):
        self.label, self.total, self.terminal = label, total, sys.stderr.isatty()
        self.shown = 0
        if not self.terminal:
            self._write(f"{label} {total / 1e6:.1f} MB:" if total else label)

    def show(self, received: int) -> None:
        if not self.total:
            if self.terminal:
                self._write(f"\r{self.label}  {received / 1e6:.1f} MB")
            return
        percent = 100 * received // self.total
        if self.terminal and percent > self.shown:
            self._write(f"\r{self.label}  {received / 1e6:.1f} of {self.total / 1e6:.1f} MB  {percent}%")
            self.shown = percent
        elif percent // 25 > self.shown // 25:
            self._write(f" {percent}%")
            self.shown = percent

    def close(self) -> None:
        self._write("\n")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
