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
    wrong the temporary file is removed and what was at `path` stays as it was. The folder is made if it is missing.

    Raises:
        BadInput: the folder cannot be made or written to, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(f"cannot write {path}: {reason}. Choose another place, or make room.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
