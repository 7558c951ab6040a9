"""The catalogue: every exhibit by its room and by its id, and the grade of a check that a learner wrote."""

from collections.abc import Callable
from typing import NamedTuple

from gantutor.errors import BadInput, reason, unknown
from gantutor.museum import (
    room_conditioning,
    room_data,
    room_evaluation,
    room_losses,
    room_normalisation,
    room_plumbing,
)
from gantutor.museum.exhibits import VERSIONS, Exhibit, stops

ROOMS: dict[str, tuple[Exhibit, ...]] = {
    "losses": room_losses.ROOM,
    "data and ranges": room_data.ROOM,
    "plumbing": room_plumbing.ROOM,
    "normalisation": room_normalisation.ROOM,
    "conditioning": room_conditioning.ROOM,
    "evaluation": room_evaluation.ROOM,
}

CATALOGUE: dict[str, Exhibit] = {e.id: e for room in ROOMS.values() for e in room}


def exhibit(id: str) -> Exhibit:
    """The exhibit of that id, such as "double-sigmoid", or of that number, such as "16b".

    Raises `BadInput` for any other.
    """
    for e in CATALOGUE.values():
        if str(id) in (e.id, e.number):
            return e
    if forms := [e.number for e in CATALOGUE.values() if e.number.rstrip("abcd") == str(id)]:
        raise BadInput(f"exhibit {id} has several forms: choose one of {', '.join(forms)}.")
    raise unknown("exhibit", id, CATALOGUE)


class Grade(NamedTuple):
    """How well a learner's check did: whether it is good, and a sentence about each version."""

    good: bool
    words: str

    def __str__(self) -> str:
        return self.words


def grade(id: str, check: Callable[[object], None]) -> Grade:
    """Run a check on both versions of an exhibit. A good one stops the broken version and lets the sound one pass.

    Args:
        check: piece -> None, with an assert that does not hold for the broken piece.

    Raises `BadInput` for a harmless exhibit, because a check has nothing to stop there.
    """
    e, stopped, words = exhibit(id), {}, []
    if e.harmless:
        raise BadInput(f"{e.id} is harmless, so a check has nothing to stop: choose another exhibit.")
    for name in VERSIONS:
        try:
            stopped[name] = stops(check, getattr(e, name))
            words.append(f"It {'stops' if stopped[name] else 'lets pass'} the {name} version.")
        except Exception as error:  # the learner's code may raise anything
            words.append(f"On the {name} version it raised {type(error).__name__}: {reason(error)}.")
    good = stopped == {"broken": True, "sound": False}
    advice = "A good check." if good else "Not yet: a check stops a piece with an assert that does not hold."
    return Grade(good, " ".join([*words, advice]))
