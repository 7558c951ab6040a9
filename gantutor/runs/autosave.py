"""Keep a run safe in its folder while it trains: one process at a time, saved now and then, whatever the disk does."""

import contextlib
import errno
import json
import os
import platform
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import filelock

from gantutor import files
from gantutor.errors import BadInput, reason, whole_number
from gantutor.runs import checkpoint
from gantutor.train import Run

LOCK = "run.lock"
OWNER = "run.owner"  # beside the lock, because Windows lets nobody read a locked file
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what a disk without locks answers
TRIAL = ".trial"  # the folder in which `check_room` saves
PAUSE = 120.0  # seconds from one save to the next, at most


class Keeper:
    """Saves a run every so many steps, and every two minutes. What the disk does cannot end the training.

    Args:
        run: the run to be saved.
        folder: where. A folder that vanishes is not made anew before the end: it may be a disk that comes back.
        flags: plain values to be saved with it.
        every: save after so many steps; None leaves it to the clock.
        tell: takes one line of text, for the person.
    """

    def __init__(
        self, run: Run, folder: Path, flags: Mapping[str, str | int], every: int | None, tell: Callable[[str], None]
    ):
        self.run, self.folder, self.flags, self.tell = run, folder, flags, tell
        self.every = every if every is None else whole_number("--save-every", every, least=1)
        self.next = time.monotonic() + PAUSE
        self.saved = run.step  # the step of the last save
        self.trouble = False

    def due(self) -> bool:
        """Whether it is time to save."""
        return bool(self.every and self.run.step % self.every == 0) or time.monotonic() >= self.next

    def save(self) -> None:
        """Save, keeping the save before. Where that fails say so once, and leave it to the next time."""
        try:
            if not self.folder.is_dir():
                raise BadInput(f"the folder {self.folder} has vanished.")
            self.write()
        except (BadInput, OSError) as error:
            if not self.trouble:
                self.tell(f"Saving pauses at step {self.run.step:,}: {reason(error)}. The training goes on.")
            self.trouble = True
        else:
            if self.trouble:
                self.tell(f"Saving works again: step {self.run.step:,} is saved.")
            self.trouble = False
        self.next = time.monotonic() + PAUSE

    def write(self) -> Path:
        path = checkpoint.save(self.run, self.folder, flags=self.flags, keep_previous=True)
        self.saved = self.run.step
        return path

    def rescue(self) -> str:
        """After an error: save what there is, and say in words what is saved; "" where there is nothing yet.

        A run that diverged was put back, so what is saved may be later than what it is at.
        """
        if not max(self.saved, self.run.step):
            return ""
        try:
            path = self.finish()
        except BadInput as error:
            return f" {error}"
        return f" The first {self.saved:,} steps are saved in {path}."

    def finish(self) -> Path:
        """Save for the last time, unless that step or a later one is saved already. Returns the path.

        Raises:
            BadInput: it cannot be saved in its folder. The error names the other place where it is saved.
        """
        path = self.folder / checkpoint.FILE
        try:
            return path if self.saved >= self.run.step and path.is_file() else self.write()
        except (BadInput, OSError) as error:
            why = reason(error)
        try:
            path = checkpoint.save(self.run, tempfile.mkdtemp(prefix="gantutor-"), flags=self.flags)
        except (BadInput, OSError) as error:
            raise BadInput(f"{why}. Nor can it be saved in a temporary folder: {reason(error)}. It is lost.") from error
        raise BadInput(f"{why}. The run is saved in {path} instead: move it.")


def check_room(run: Run, folder: Path) -> None:
    """Save the untrained run below its folder, and remove it: better fail now than later. Raises `BadInput`."""
    try:
        checkpoint.save(run, folder / TRIAL)
    except BadInput as error:
        raise no_room(folder, getattr(error.__cause__, "strerror", None) or error) from error
    finally:
        shutil.rmtree(folder / TRIAL, ignore_errors=True)


def no_room(folder: Path, why: object) -> BadInput:
    return BadInput(f"--out {folder}: no run can be saved there ({why}). Choose another folder, or make room.")


# --- the lock --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Nobody else trains into this folder during the block. It is made, and removed again if it stays empty.

    The system itself holds the lock, and drops it when the process ends in whatever way, so the files that a killed
    process leaves behind are in nobody's way. What else such a process left behind is removed.

    Raises:
        BadInput: another process trains into the folder, or it cannot be made or written to.
    """
    made = [parent for parent in (folder, *folder.parents) if not os.path.exists(parent)]
    with contextlib.ExitStack() as stack:
        stack.callback(remove_empty, made)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder))
            sign(folder / OWNER)
        except OSError as error:
            raise no_room(folder, error.strerror or error) from error
        files.sweep(folder / checkpoint.FILE)
        shutil.rmtree(folder / TRIAL, ignore_errors=True)
        yield


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The lock alone, on a folder that exists. Where the disk knows no locks, there is nothing to hold.

    Raises:
        BadInput: a living process holds it.
        OSError: no lock file can be made.
    """
    lock = filelock.FileLock(folder / LOCK)
    try:
        with warnings.catch_warnings(action="ignore"):  # of a disk without locks, where a file has to do
            lock.acquire(timeout=0)
    except filelock.Timeout:
        who = owner(folder / OWNER)
        raise BadInput(f"{folder} is in use{who}: wait for it, end it, or choose another --out.") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        for name in (OWNER, LOCK):  # removed while it is held; Windows removes no open file: there, `release` does it
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        with contextlib.suppress(OSError):
            lock.release()


def sign(path: Path) -> None:
    """Write down for people which process this is, on which computer, and when it started."""
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    told = {"pid": os.getpid(), "host": platform.node(), "started": started}
    path.write_text(json.dumps(told), encoding="utf-8")


def owner(path: Path) -> str:
    """Who has signed, in words, as far as the file tells."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return f" by process {told['pid']} on {told['host']}, started {told['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
