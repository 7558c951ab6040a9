"""Write a file whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from gantutor.errors import BadInput


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; rename it to `path` when the block ends without an error.

    Readers see the old file or the new one, never half of one, and two processes may write at once. When anything goes
    wrong, what was there stays as it was. The folder is made if it is missing.

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
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError) and error.filename in (None, str(temporary), *map(str, path.parents)):
            reason = error.strerror or error
            raise BadInput(f"cannot write {path}: {reason}. Choose another place, or make room.") from error
        raise
