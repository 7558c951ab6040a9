"""For the tests of data and download: small IDX files in the place of MNIST, and mirrors on this computer."""

import gzip
import hashlib
import http.server
import socket
import struct
import threading

import numpy as np

from gantutor.data import download

IMAGES = {"train": np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)}
IMAGES["test"] = np.random.default_rng(1).integers(0, 256, (3, 28, 28), np.uint8)
IMAGES["train"][0, 0, :4] = (0, 1, 128, 255)
LABELS = {"train": np.array([5, 0, 4, 1, 9, 2], np.uint8), "test": np.array([7, 2, 1], np.uint8)}


def idx(array: np.ndarray, magic: int | None = None, dims: tuple | None = None) -> bytes:
    """An IDX file, written from its description: magic 2051 for images, 2049 for labels; big-endian."""
    magic = magic or {3: 2051, 1: 2049}[array.ndim]
    dims = dims or array.shape
    return struct.pack(f">{1 + len(dims)}I", magic, *dims) + array.tobytes()


PAYLOADS = {
    "train-images-idx3-ubyte.gz": idx(IMAGES["train"]),
    "train-labels-idx1-ubyte.gz": idx(LABELS["train"]),
    "t10k-images-idx3-ubyte.gz": idx(IMAGES["test"]),
    "t10k-labels-idx1-ubyte.gz": idx(LABELS["test"]),
}
FILES = {file: gzip.compress(payload) for file, payload in PAYLOADS.items()}
HASHES = {file: hashlib.sha256(payload).hexdigest() for file, payload in PAYLOADS.items()}
WEB_PAGE = b"<!DOCTYPE html><html><body>Please sign in to the network.</body></html>"


def closed_port() -> str:
    """The URL of a port at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def isolate(monkeypatch, tmp_path) -> None:
    """The fake `mnist`, no network, no files, and nowhere to write but below `tmp_path`."""
    for variable in ("GANTUTOR_DATA", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.setattr(download, "ROOT", tmp_path / "site-packages")
    monkeypatch.setattr(download, "SHA256", {"mnist": HASHES, "fashion-mnist": HASHES})
    set_mirrors(monkeypatch, closed_port(), closed_port())


def set_mirrors(monkeypatch, *urls: str) -> None:
    monkeypatch.setattr(download, "MIRRORS", dict.fromkeys(("mnist", "fashion-mnist"), urls))


def put(folder, **changed) -> None:
    """Lay the fake files out in `folder`; a keyword such as `train_images=b"…"` changes a file, or leaves it out."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in FILES.items():
        content = changed.get("_".join(file.split("-")[:2]), content)
        if content is not None:
            (folder / file).write_bytes(content)


def tree(folder) -> dict:
    """Every file below a folder with its contents."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Mirror:
    """A server that answers every request as `answer(handler, file)` does; `requests` lists the files asked for."""

    def __init__(self, answer):
        self.requests, self.release = [], threading.Event()
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.requests.append(self.path.removeprefix("/"))
                answer(mirror, self, self.path.removeprefix("/"))

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # a client that hangs up is part of the tests
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def send(handler, body: bytes, length: int | None = None) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()


def good(mirror, handler, file):
    send(handler, FILES[file])


def web_page(mirror, handler, file):
    send(handler, WEB_PAGE)


def empty(mirror, handler, file):
    send(handler, b"")


def truncated(mirror, handler, file):
    send(handler, FILES[file][:-20])


def cut_off(mirror, handler, file):
    send(handler, FILES[file][:-20], length=len(FILES[file]))


def corrupt(mirror, handler, file):
    body = bytearray(FILES[file])
    body[-6] ^= 1  # in the checksum of the contents
    send(handler, bytes(body))


def other_content(mirror, handler, file):
    send(handler, gzip.compress(PAYLOADS[file][:-1] + b"\7"))


def missing(mirror, handler, file):
    handler.send_error(404)


def silent(mirror, handler, file):
    """Take the connection, never answer."""
    mirror.release.wait(30)


def stalling(mirror, handler, file):
    """Send a part of the file, then nothing more."""
    send(handler, FILES[file][:40], length=len(FILES[file]))
    mirror.release.wait(30)


def dripping(mirror, handler, file):
    """Send the file, its first bytes one at a time, for 2 seconds."""
    handler.send_response(200)
    handler.end_headers()
    body = FILES[file]
    for byte in body[:40]:
        if mirror.release.wait(0.05):
            return
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
    handler.wfile.write(body[40:])
