"""What an exhibit is: a broken piece, its sound version, the parts that both plug into, the symptom, and the check.

A piece is the one thing that contains the mistake: a `losses.Loss`, a penalty, a subclass of `train.Run` with one
method of its own, a function that makes the nets, a way to draw samples, a data set, or a metric. Everything else is
the package's.
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
from gantutor.museum.settings import Parts, Piece, Side, plain, train_side

VERSIONS = ("broken", "sound")
SHAPE = (1, 28, 28)
HARMLESS_FACTOR = 2.5  # a harmless mistake at most multiplies the distance by this; seeds alone change it by up to 1.5


@dataclass(frozen=True)
class Exhibit:
    """One mistake, runnable.

    Attributes:
        number: in the catalogue, with a letter where a mistake has several forms: "16b".
        id, title: its name, and what is wrong in a few words.
        broken, sound: the piece with the mistake, and the correct piece.
        plug: (parts, piece) -> parts with that piece.
        met: where the mistake is found.
        cause: why it has this effect, in two sentences.
        symptom: what is measured after a run. For a harmless mistake it has no bounds, and lower is better.
        check: piece -> None; raises AssertionError for a broken piece. It is the test that would have caught the
            mistake; its randomness comes from torch's global generator. Harmless mistakes pass it.
        findings: at least one of these names is found by `doctor.examine` in the broken version but not in the sound
            one. Empty where curves and images show nothing.
        setting: images -> the parts before the piece is plugged in.
        steps: how many steps show the symptom.
        examined: how many steps the doctor needs to find it, where that is more.
        harmless: whether the mistake does no real harm, so that the symptom is at most `HARMLESS_FACTOR` times the
            sound one's.
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
        """The parts of a run with this piece plugged in."""
        return self.plug(self.setting(images), piece)

    def run(self, steps: int | None = None, *, images: Images | None = None, seed: int = 0) -> "Outcome":
        """Train both versions, which differ only in the piece, and return the outcome.

        Args:
            steps: how many; by default as many as the symptom needs.
            images: from `data.load`; by default MNIST, or strokes where that is unavailable.
            seed: the seed of everything random, the same for both.

        Raises `BadInput` for other images, because the measures need the shipped judges, and for steps or seeds that
        are not whole numbers.
        """
        steps = self.steps if steps is None else whole_number("steps", steps, least=1)
        images, held_out = hold_out(data.load_or_strokes("mnist") if images is None else images)
        seed = whole_number("seed", seed)
        pieces = self.broken, self.sound
        broken, sound = (train_side(self.parts(piece, images), steps, seed, piece) for piece in pieces)
        return Outcome(self, broken, sound, images, held_out, seed)

    def caught(self, seed: int = 0) -> dict[str, bool]:
        """Whether the check stops each version: {"broken": True, "sound": False} if it works."""
        return {name: stops(self.check, getattr(self, name), seed) for name in VERSIONS}

    def code(self, version: str = "broken") -> str:
        """The piece as Python code without what would reveal its mistake: docstrings, comments, and its own names.

        Args:
            version: "broken" or "sound". For a sound class only the methods that the broken one replaces are printed.
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
    """Whether a check stops a piece with an AssertionError. Any other error is passed on, because it proves nothing."""
    with state.seeded(seed):
        try:
            check(piece)
        except AssertionError:
            return True
    return False


def anonymous(piece: Piece, only: frozenset[str] = frozenset()) -> str:
    """The source of a piece, preceded by what it uses from its room, under neutral names.

    Args:
        only: print only these methods of a class; empty for all.
    """
    tops = {piece.d: "d_loss", piece.g: "g_loss"} if isinstance(piece, losses.Loss) else {piece: "piece"}
    parts = {part: f"part_{n}" for n, part in enumerate(_used(tops), 1)}
    names = {
        part: name.title().replace("_", "") if inspect.isclass(part) else name for part, name in (parts | tops).items()
    }
    known = {part.__name__: name for part, name in names.items()}
    return "\n\n\n".join(_renamed(part, known, only) for part in names)


def _used(tops: Iterable[Piece]) -> list[Piece]:
    """The functions and classes of the rooms that these refer to, directly or indirectly, each after what it uses."""
    found: list[Piece] = []

    def collect(thing: Piece) -> None:
        names = [node.id for node in ast.walk(_parsed(thing)) if isinstance(node, ast.Name)]
        for other in (vars(sys.modules[thing.__module__]).get(name) for name in names):
            ours = getattr(other, "__module__", "").startswith("gantutor.museum.room_")
            if ours and callable(other) and other not in found and other not in tops:
                collect(other)
                found.append(other)

    for top in tops:
        if top.__module__.startswith("gantutor.museum.room_"):
            collect(top)
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


def hold_out(images: Images, held: int = 1000) -> tuple[Images, Images]:
    """Training images, and the last `held` images, which no version sees; both on the CPU."""
    if not isinstance(images, Images):
        raise BadInput(f"images is a {type(images).__name__}: give the `Images` that data.load returns.")
    if tuple(images.pixels.shape[1:]) != SHAPE or images.name not in classifier.SHIPPED:
        size = "×".join(map(str, images.pixels.shape[1:]))
        known = ", ".join(classifier.SHIPPED)
        raise BadInput(
            f"{images.name} are {size} images: give {known}, 1×28×28, on which the exhibits can be measured."
        )
    if len(images) < 2 * held:
        raise BadInput(f"there are only {len(images)} images: give at least {2 * held}.")
    images, parts = images.to("cpu"), (slice(None, -held), slice(-held, None))
    first, last = (Images(images.name, images.pixels[p], images.labels[p], images.classes) for p in parts)
    return first, last


@dataclass(frozen=True)
class Outcome:
    """Both versions of an exhibit after their runs.

    Attributes:
        exhibit: what was run.
        broken, sound: the two sides.
        images: what they were trained on.
        held_out: real images that neither version was trained on.
        seed: the seed of both runs.
    """

    exhibit: Exhibit = field(repr=False)
    broken: Side = field(repr=False)
    sound: Side = field(repr=False)
    images: Images
    held_out: Images = field(repr=False)
    seed: int = 0

    def measured(self) -> dict[str, float]:
        """The value of the symptom in each version."""
        return dict(self._measured)

    @cached_property
    def _measured(self) -> dict[str, float]:
        return {name: self.exhibit.symptom.of(getattr(self, name), self.images) for name in VERSIONS}

    @cached_property
    def _caught(self) -> dict[str, bool]:
        return self.exhibit.caught(self.seed)

    def diagnosis(self, version: str = "broken") -> Diagnosis:
        """The doctor's diagnosis of a version, from its samples, its nets and its curves."""
        side = getattr(self, check_version(version))
        if side.samples.ndim != 4:
            raise BadInput(f"{self.exhibit.id} makes points, but the doctor examines images: read the symptom instead.")
        shown = slice(6000)
        conditional, G = classes_of(side.run.G) > 0, side.run.G_ema
        return doctor.examine(
            side.samples,
            Images(self.images.name, self.images.pixels[shown], self.images.labels[shown], self.images.classes),
            labels=train.wanted_labels(side.run.G, len(side.samples)) if conditional else None,
            held_out=self.held_out,
            generator=None if conditional else lambda n: G(train.latents(G, n, self.seed)),
            discriminator=None if conditional else side.run.D,
            history=side.history,
            seed=self.seed,
        )

    def shows(self) -> bool:
        """Whether only the broken version has the symptom; for a harmless mistake, whether both versions are alike."""
        broken, sound = self.measured().values()
        symptom = self.exhibit.symptom
        if self.exhibit.harmless:
            return broken <= HARMLESS_FACTOR * sound
        return symptom.is_healthy(sound) and not symptom.is_healthy(broken)

    def as_expected(self) -> bool:
        """Whether the symptom shows, and the check stops the broken version only, or none if that is harmless."""
        return self.shows() and self._caught == {"broken": not self.exhibit.harmless, "sound": False}

    def verdict(self) -> str:
        """The whole outcome in words."""
        e, measured, caught = self.exhibit, self.measured(), self._caught
        numbers = ", ".join(f"{value:.3g} {name}" for name, value in measured.items())
        checked = ", ".join(f"{'fails' if stopped else 'passes'} on the {name} one" for name, stopped in caught.items())
        healthy = f"harmless: at most {HARMLESS_FACTOR:g} times" if e.harmless else f"healthy: {e.symptom.bounds}"
        if self.as_expected():
            ends = "harmless, as measured here" if e.harmless else "the symptom shows, and the check catches the bug"
        else:
            ends = "not as expected: see symptom and check"
        return "\n".join([
            f"{e.number} {e.id}: {e.title}",
            f"found:   {e.met}",
            f"symptom: {e.symptom.name}: {numbers} ({healthy})",
            f"cause:   {e.cause}",
            f"check:   {checked}",
            f"verdict: {ends}",
        ])  # fmt: skip
