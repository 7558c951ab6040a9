"""Write a file whole or not at all."""

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
    """Give a temporary path in the folder of `path`; rename it to `path` when the block ends without an error.

    Readers see the old file or the new one, never half of one, and two processes may write at once. When anything goes
    wrong, what was there stays as it was. The folder is made if it is missing. What was there is kept as `previous`, in
    the same folder, if that is given: for a moment there is then a `previous` and no `path`.

    Raises:
        BadInput: the folder cannot be made or written to, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    made = [folder for folder in path.parents if not os.path.exists(folder)]  # the innermost first
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
            raise BadInput(f"cannot write {path}: {reason}. Choose another place, or make room.") from error
        raise


def sweep(path: str | os.PathLike) -> None:
    """Remove what killed processes left behind while they were `replacing` the path. Nobody may be at it now."""
    path = Path(path)
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):
            part.unlink()
