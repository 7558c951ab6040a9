"""How much memory there is, asked before anything large is read: a file may claim what no computer holds."""

import os
from pathlib import Path

from gantutor.errors import BadInput

UNKNOWN = 8 * 10**9  # bytes that are taken for free where the system does not say


def free() -> int:
    """Bytes that can be had now, also within the limit of a container."""
    available = _first_number("/proc/meminfo", "MemAvailable:")
    if available is not None:
        available *= 1024
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    else:
        available = UNKNOWN
    group = Path("/sys/fs/cgroup")
    limit, used = _first_number(group / "memory.max"), _first_number(group / "memory.current")
    return available if limit is None or used is None else min(available, limit - used)


def _first_number(path: str | Path, after: str = "") -> int | None:
    """The number that follows a word in a file of the system, or the one it begins with."""
    try:
        words = Path(path).read_text().partition(after)[2 if after else 0].split()
        return int(words[0])
    except (OSError, ValueError, IndexError):
        return None


def check(size: int, what: str) -> None:
    """Raise `BadInput` unless so many bytes fit into the memory, with as much left for the work on them."""
    if 2 * size > (room := free()):
        raise BadInput(f"{what} would take {human(size)} of memory, and {human(room)} are free: give fewer or smaller.")


def human(size: int) -> str:
    """A number of bytes in words, such as "7.7 TB"."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return "more than 1,000 PB"
