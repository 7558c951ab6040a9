"""Write a file completely or not at all."""

import contextlib
import glob
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from gantutor.errors import BadInput

ROOT = Path(__file__).resolve().parent.parent  # the folder around the package: a checkout, or site-packages


@contextlib.contextmanager
def replacing(path: str | os.PathLike, previous: str | os.PathLike | None = None) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, and rename it to `path` when the block ends without an error.

    Readers see the old file or the new one, never half of one, even if two processes write at the same time. If
    anything goes wrong, the old file stays as it was. The folder is made if it is missing. If `previous`, a path in the
    same folder, is given, the old file is kept under that name; for a moment there is then a `previous` but no `path`.

    Raises:
        BadInput: the folder cannot be made or written to, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    made = [folder for folder in path.parents if not os.path.exists(folder)]  # innermost first
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        if previous and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError) and error.filename in (None, str(temporary), str(path), *map(str, path.parents)):
            reason = error.strerror or error
            raise BadInput(f"cannot write {path} ({reason}): choose another place, or make room.") from error
        raise


def sweep(path: str | os.PathLike) -> None:
    """Remove what killed processes left while they were `replacing` the path. No process may be replacing it now."""
    path = Path(path)
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):
            part.unlink()
