"""What an exhibit is: a broken piece, its sound twin, the parts that both plug into, the symptom, and the check.

A piece is whatever the mistake is made in: a `losses.Loss`, a penalty, a subclass of `train.Run` with one method of its
own, a function that makes the nets, a way to draw samples, a data set, a metric. Everything else is the package's.
"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from gantutor import data, doctor, losses, state, train
from gantutor.data import Images
from gantutor.doctor import Diagnosis
from gantutor.errors import BadInput, unknown, whole_number
from gantutor.metrics import classifier
from gantutor.models import classes_of
from gantutor.museum.measures import Symptom
from gantutor.museum.settings import Parts, Piece, Side, plain, play

VERSIONS = ("broken", "sound")
SHAPE = (1, 28, 28)
ALIKE = 2.5  # times the distance, at most: a harmless mistake. From seed to seed the sound one varies by 1.5


@dataclass(frozen=True)
class Exhibit:
    """One mistake, runnable.

    Attributes:
        number: in the catalogue, with a letter where a mistake has several forms: "16b".
        id, title: how it is called.
        broken, sound: the piece with the mistake, and the piece that belongs there.
        plug: (parts, piece) -> parts with that piece.
        met: where the mistake is found.
        cause: why it does what it does, in two sentences.
        symptom: what is measured after a run. Of a harmless mistake it has no bounds, and less is better.
        check: piece -> None; raises AssertionError for a piece that is not in order. It is the test that would have
            caught the mistake; what it needs of chance it takes from torch's global stream. The harmless pass it.
        findings: what `doctor.examine` says of the broken version and not of the sound one, any one of these names.
            Empty where there is nothing to be seen in curves and images.
        setting: images -> the parts before the piece is plugged in.
        steps: that show the symptom.
        examined: steps after which the doctor sees it, where that takes longer.
        harmless: whether the mistake does no harm to speak of: the symptom is at most `ALIKE` times the sound one's.
    """

    number: str
    id: str
    title: str
    broken: Piece
    sound: Piece
    plug: Callable[[Parts, Piece], Parts]
    met: str
    cause: str
    symptom: Symptom
    check: Callable[[Piece], None]
    findings: tuple[str, ...] = ()
    setting: Callable[[Images], Parts] = plain
    steps: int = 300
    examined: int | None = None
    harmless: bool = False

    def parts(self, piece: Piece, images: Images) -> Parts:
        """What a run with this piece is put together from."""
        return self.plug(self.setting(images), piece)

    def run(self, steps: int | None = None, *, images: Images | None = None, seed: int = 0) -> "Outcome":
        """Train both versions, alike but for the piece, and return what came of them.

        Args:
            steps: how many; by default as many as show the symptom.
            images: those of `data.load`; by default MNIST, or strokes where it cannot be had.
            seed: of everything random in both.

        Raises `BadInput` for other images (the measures want the shipped judges), and for numbers that are none.
        """
        steps = self.steps if steps is None else whole_number("steps", steps, least=1)
        images, held_out = set_apart(data.load_or_strokes("mnist") if images is None else images)
        seed = whole_number("seed", seed)
        sides = [play(self.parts(piece, images), steps, seed, piece) for piece in (self.broken, self.sound)]
        return Outcome(self, *sides, images, held_out, seed)

    def caught(self, seed: int = 0) -> dict[str, bool]:
        """Whether the check stops each version: {"broken": True, "sound": False} where it does its work."""
        return {name: stops(self.check, getattr(self, name), seed) for name in VERSIONS}

    def code(self, version: str = "broken") -> str:
        """The piece as Python, without what would tell its mistake: docstrings, comments, and names of its own.

        Args:
            version: "broken" or "sound". Of a sound class only the methods are printed that the broken one replaces.
        """
        piece, broken = getattr(self, check_version(version)), self.broken
        if version == "sound" and inspect.isclass(broken) and inspect.isclass(piece) and issubclass(broken, piece):
            changed = {name for cls in broken.__mro__[: broken.__mro__.index(piece)] for name in vars(cls)}
            return anonymous(piece, frozenset(changed & set(vars(piece)) - {"__module__", "__doc__"}))
        return anonymous(piece)


def check_version(version: str) -> str:
    if version not in VERSIONS:
        raise unknown("version", version, VERSIONS)
    return version


def stops(check: Callable[[Piece], None], piece: Piece, seed: int = 0) -> bool:
    """Does a check stop a piece, by an AssertionError? Any other error passes through: such a check says nothing."""
    with state.seeded(seed):
        try:
            check(piece)
        except AssertionError:
            return True
    return False


def anonymous(piece: Piece, only: frozenset[str] = frozenset()) -> str:
    """The source of a piece, and before it that of what it uses of its room, under names that tell nothing.

    Args:
        only: of a class that is printed, these methods alone; empty for all.
    """
    tops = {piece.d: "d_loss", piece.g: "g_loss"} if isinstance(piece, losses.Loss) else {piece: "piece"}
    parts = {part: f"part_{n}" for n, part in enumerate(_used(tops), 1)}
    names = {
        part: name.title().replace("_", "") if inspect.isclass(part) else name for part, name in (parts | tops).items()
    }
    known = {part.__name__: name for part, name in names.items()}
    return "\n\n\n".join(_renamed(part, known, only) for part in names)


def _used(tops: Iterable[Piece]) -> list[Piece]:
    """The functions and classes of the museum's rooms that these refer to, and so on; what is used comes first."""
    found: list[Piece] = []

    def look(thing: Piece) -> None:
        names = [node.id for node in ast.walk(_parsed(thing)) if isinstance(node, ast.Name)]
        for other in (vars(sys.modules[thing.__module__]).get(name) for name in names):
            ours = getattr(other, "__module__", "").startswith("gantutor.museum.room_")
            if ours and callable(other) and other not in found and other not in tops:
                look(other)
                found.append(other)

    for top in tops:
        if top.__module__.startswith("gantutor.museum.room_"):
            look(top)
    return found


def _parsed(thing: Piece) -> ast.Module:
    return ast.parse(textwrap.dedent(inspect.getsource(thing)))


def _renamed(thing: Piece, known: Mapping[str, str], only: frozenset[str]) -> str:
    tree = _parsed(thing)
    top = tree.body[0]
    if only and isinstance(top, ast.ClassDef):
        top.body = [node for node in top.body if getattr(node, "name", None) in only]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            if ast.get_docstring(node):
                node.body = node.body[1:] or [ast.Pass()]
            node.name = known.get(node.name, node.name) if node is top else node.name
        elif isinstance(node, ast.Name):
            node.id = known.get(node.id, node.id)
    return ast.unparse(tree)


def set_apart(images: Images, held: int = 1000) -> tuple[Images, Images]:
    """The images to train on, and the last ones, which no version sees, both on the CPU."""
    if not isinstance(images, Images):
        raise BadInput(f"images is a {type(images).__name__}: give what data.load returns.")
    if tuple(images.pixels.shape[1:]) != SHAPE or images.name not in classifier.SHIPPED:
        size = "×".join(map(str, images.pixels.shape[1:]))
        known = ", ".join(classifier.SHIPPED)
        raise BadInput(f"{images.name} are {size} images: the exhibits are measured on {known}, of 1×28×28.")
    if len(images) < 2 * held:
        raise BadInput(f"there are {len(images)} images: an exhibit needs at least {2 * held}.")
    images, parts = images.to("cpu"), (slice(None, -held), slice(-held, None))
    return tuple(Images(images.name, images.pixels[p], images.labels[p], images.classes) for p in parts)


@dataclass(frozen=True)
class Outcome:
    """Both versions of an exhibit after their runs.

    Attributes:
        exhibit: what was run.
        broken, sound: the two sides.
        images: what they were trained on.
        held_out: real images that they were not.
        seed: of both runs.
    """

    exhibit: Exhibit = field(repr=False)
    broken: Side = field(repr=False)
    sound: Side = field(repr=False)
    images: Images
    held_out: Images = field(repr=False)
    seed: int = 0

    def measured(self) -> dict[str, float]:
        """The symptom in both versions."""
        return dict(self._measured)

    @cached_property
    def _measured(self) -> dict[str, float]:
        return {name: self.exhibit.symptom.of(getattr(self, name), self.images) for name in VERSIONS}

    @cached_property
    def _caught(self) -> dict[str, bool]:
        return self.exhibit.caught(self.seed)

    def diagnosis(self, version: str = "broken") -> Diagnosis:
        """What the doctor says of a version: of its samples, its nets and its curves."""
        side = getattr(self, check_version(version))
        if side.samples.ndim != 4:
            raise BadInput(f"{self.exhibit.id} makes points, and the doctor looks at images: read the symptom instead.")
        shown = slice(6000)
        told, G = classes_of(side.run.G), side.run.G_ema
        return doctor.examine(
            side.samples,
            Images(self.images.name, self.images.pixels[shown], self.images.labels[shown], self.images.classes),
            labels=train.wanted_labels(side.run.G, len(side.samples)) if told else None,
            held_out=self.held_out,
            generator=None if told else lambda n: G(train.latents(G, n, self.seed)),
            discriminator=None if told else side.run.D,
            history=side.history,
            seed=self.seed,
        )

    def shows(self) -> bool:
        """Is the broken version ill and the sound one well? (Of a harmless one: is it nearly as well as the sound?)"""
        broken, sound = self.measured().values()
        symptom = self.exhibit.symptom
        if self.exhibit.harmless:
            return broken <= ALIKE * sound
        return symptom.well(sound) and not symptom.well(broken)

    def as_expected(self) -> bool:
        """Does it show, and does the check stop the broken version and no other?"""
        return self.shows() and self._caught == {"broken": not self.exhibit.harmless, "sound": False}

    def verdict(self) -> str:
        """All of it in words."""
        e, measured, caught = self.exhibit, self.measured(), self._caught
        numbers = ", ".join(f"{value:.3g} {name}" for name, value in measured.items())
        checked = ", ".join(f"{'fails' if stopped else 'passes'} on the {name} one" for name, stopped in caught.items())
        well = f"harmless: at most {ALIKE:g} times" if e.harmless else f"well: {e.symptom.bounds}"
        if self.as_expected():
            ends = "harmless, as measured here" if e.harmless else "it shows, and the check catches it"
        else:
            ends = "not as it should be: see symptom and check"
        return "\n".join([
            f"{e.number} {e.id}: {e.title}",
            f"met:     {e.met}",
            f"symptom: {e.symptom.name}: {numbers} ({well})",
            f"cause:   {e.cause}",
            f"check:   {checked}",
            f"verdict: {ends}",
        ])  # fmt: skip
