"""Watching a GAN while it trains, in anybody's loop: three lines, and a word when something goes wrong."""

import contextlib
import csv
import math
import reprlib
import string
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gantutor.doctor.examination import examine, find_non_finite, ranked
from gantutor.doctor.findings import AILMENTS, Diagnosis, Finding
from gantutor.doctor.glances import Onlooker
from gantutor.doctor.images.collected import collect, top_of
from gantutor.doctor.logs import curves, game, training_log
from gantutor.doctor.nets.watched import WatchedWeights
from gantutor.errors import BadInput, real_number, whole_number
from gantutor.files import replacing
from gantutor.models.inspection import takes_pictures

Nets = Callable[..., object] | Mapping[str, Callable[..., object]] | Sequence[Callable[..., object]]

FIRST = 10  # steps before the first look
AT_ONCE = {"non_finite"}  # said at first sight; anything else has to last
LASTING = 0.25  # of all looks so far; three at least
MOST_ENTRIES = 8000  # of each loss that are kept
LOOKING = 0.85  # of `share`: the rest is for storing the losses, and for looks that take longer than the one before
GONE = 3  # looks without a finding until it has gone
FEWEST_LOOKS = 10  # that are judged together
FIRST_PLATEAU = 20  # looks before it is said that nothing gets better
FIRST_IDLE = 100  # steps without a change of a net's weights until it is said
FIRST_CHANGE = 1000  # steps before a sudden change is said: at first everything changes


class Event(NamedTuple):
    """Something that the monitor said."""

    step: int
    name: str  # of an ailment, or "plateau", or "unchanged"
    text: str


class Monitor:
    """Looks at a GAN now and then while it trains, and says what goes wrong, once it is sure.

    ::

        monitor = doctor.Monitor(G, D, real)
        for real_batch in loader:
            ...                                         # your own step
            monitor.step(d_loss=d_loss, g_loss=g_loss)  # tensors or numbers
        print(monitor.report())

    A step only stores what it is given, so that a GPU need not be waited for. A look draws samples with a random stream
    of its own and with G in eval mode, and leaves everything as it was; the training goes on as it would without it. A
    finding is said once, when it has been there in several looks in a row (a quarter of all so far), and once more when
    it has gone. What is seen in the samples is not said as long as they still come nearer to the real images.

    Args:
        G, D: nets or functions, as `examine` takes its generator and discriminator; D may be None. Where there are
            several games, as CycleGAN has, mappings with the same names: of a G that turns pictures into pictures the
            input is the real images of the other name. Or tuples in the usual order, (G_AB, G_BA), (D_A, D_B) and
            (A, B): G_AB turns pictures of A into pictures of B, which D_B judges. (In CycleGAN's own code netG_A makes
            B and netD_A judges B, so there it is (netG_A, netG_B), (netD_B, netD_A) and (A, B).) Nets that start from
            noise, and functions, are in the order of their real images.
        real: the real images, as for `examine`; a mapping by the same names, or a tuple, where they differ.
        held_out: real images that D is not trained on, to see whether it learns its own by heart; likewise.
        every: steps between looks. None: so seldom that looks take at most `share` of the time.
        share: the part of the time that looks may take, 0 to 1.
        count: samples in each look, 64 at least.
        say: gets each message; None says nothing. `events` holds them all.
        csv: a file that gets a row at each look: the step, the distance to the real images, the variety of the samples,
            and the mean of each number since the last look.
        tensorboard: a folder for the same as TensorBoard's events (needs tensorboard).
        seed: of the monitor's own random stream.

    Raises:
        BadInput: G, D and the images do not fit each other, or an argument is out of its range.
    """

    def __init__(
        self,
        G: Nets,
        D: Nets | None,
        real: Any,
        *,
        held_out: Any = None,
        every: int | None = None,
        share: float = 0.02,
        count: int = 256,
        say: Callable[[str], object] | None = print,
        csv: str | PathLike[str] | None = None,
        tensorboard: str | PathLike[str] | None = None,
        seed: int = 0,
    ):
        self.every = None if every is None else whole_number("every", every, least=1)
        self.share = real_number("share", share, above=0)
        self.count = whole_number("count", count, least=64)
        self.say, self.csv = say, None if csv is None else Path(csv)
        self.writer = None if tensorboard is None else open_tensorboard(tensorboard)
        self.random = torch.Generator().manual_seed(whole_number("seed", seed))
        self.notes: list[str] = []
        self.given = to_games(G, D, real, held_out)
        self.onlookers = self.make_onlookers()
        self.weights = {
            titled(player, name if name in self.given[player] else ""): WatchedWeights(onlooker.nets_of(player))
            for name, onlooker in self.onlookers.items()
            for player in ("G", "D")
        }
        self.steps = 0
        self.waiting: list[tuple[int, dict[str, Any]]] = []  # steps and numbers that no look has read yet
        self.columns: dict[str, list[tuple[int, float]]] = {}  # what was given by name: every `stride`-th step of it
        self.stride = 1
        self.rows: list[dict[str, float]] = []  # one a look
        self.events: list[Event] = []
        self.listeners: list[Callable[[Monitor], object]] = []  # called after each look
        self.present: dict[str, int] = {}  # of each finding: in how many looks in a row, below 0 in how many not
        self.said: dict[str, Finding] = {}
        self.idle: set[str] = set()  # nets of which it was said that they do not change
        self.looked_until, self.cost = time.perf_counter(), 0.0  # when the last look ended, and the seconds it took

    def make_onlookers(self) -> dict[str, Onlooker]:
        Gs, Ds, reals, unseen = (self.given[name] for name in ("G", "D", "real", "held_out"))
        for what, others in (("D", Ds), ("real", reals), ("held_out", unseen)):
            if set(others) - {""} and set(others) != set(Gs):
                raise BadInput(f"G has the names {sorted(Gs)}, and {what} has {sorted(others)}: give the same ones.")
        found = {}
        with self.own_randomness():
            if not reals:
                raise BadInput("there are no real images: give those that G is trained on.")
            pictures = {name: collect(images, None, "the real images", self.notes)[0] for name, images in reals.items()}
            for name, net in Gs.items():
                images = pictures[name if name in pictures else ""]
                aside, _ = collect(unseen.get(name, unseen.get("")), None, "the held-out images", self.notes)
                if isinstance(net, nn.Module) and takes_pictures(net) and len(pictures) == 2:
                    net = translator(net, next(x for other, x in pictures.items() if other != name))
                D = Ds.get(name, Ds.get(""))
                found[name] = Onlooker(net, D, images, aside, top_of(images), self.count, self.notes)
                found[name].look(critic=True)  # whether G and D can be used is told now
        return found

    @contextlib.contextmanager
    def own_randomness(self) -> Iterator[None]:
        """Inside the block torch's random stream is the monitor's own; afterwards it is as before."""
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(int(torch.randint(2**62, (), generator=self.random)))
            yield

    # --- in the loop ------------------------------------------------------------------------------------------------

    def step(self, **numbers: Tensor | float | None) -> None:
        """Call once in each step of the training, with the losses and whatever else is worth watching, by name.

        Raises `BadInput` where something is not one number.
        """
        copies = {name: to_number(name, x) for name, x in numbers.items() if x is not None}
        self.steps += 1
        if copies:
            self.waiting.append((self.steps, copies))
        if self.due():
            self.look()

    def due(self) -> bool:
        if self.every is not None:
            return self.steps % self.every == 0
        if not self.rows:
            return self.steps >= FIRST
        return time.perf_counter() - self.looked_until >= self.cost * (1 / (LOOKING * self.share) - 1)

    def look(self) -> None:
        """Look at the losses and at samples now. `step` does this by itself."""
        began = time.perf_counter()
        fresh = self.take_in()
        findings = find_non_finite(training_log.Log(others=fresh))
        log = self.log()
        critic = game.is_critic(log)
        with self.own_randomness():
            glances = {name: onlooker.look(critic) for name, onlooker in self.onlookers.items()}
        row = {"step": float(self.steps)}
        for name, glance in glances.items():
            row |= {titled("distance", name): glance.distance, titled("variety", name): glance.variety}
        means = {name: float(curve.values.mean()) for name, curve in fresh.items()}
        row |= {f"{name} given" if name in row else name: mean for name, mean in means.items()}
        self.rows.append(row)
        seen = [finding for glance in glances.values() for finding in glance.findings]
        findings += consistent(curves.examine_log(log), seen)
        better = self.gets_better()
        findings += [finding for finding in seen if finding.name in AT_ONCE or not better]
        findings += self.judge_course()
        self.announce(ranked(findings), better)
        self.announce_unchanged()
        self.write(row)
        for listener in self.listeners:
            listener(self)
        self.looked_until = time.perf_counter()
        self.cost = self.looked_until - began

    def take_in(self) -> dict[str, training_log.Curve]:
        """Read what was stored since the last look: one transfer from the device for all of it."""
        stored = [(step, name, value) for step, numbers in self.waiting for name, value in numbers.items()]
        self.waiting = []
        tensors = [value.float().reshape(()) for _, _, value in stored if isinstance(value, Tensor)]
        read = iter(torch.stack(tensors).tolist() if tensors else ())
        fresh: dict[str, list[tuple[int, float]]] = {}
        for step, name, value in stored:
            fresh.setdefault(name, []).append((step, next(read) if isinstance(value, Tensor) else value))
        for name, column in fresh.items():
            self.columns.setdefault(name, []).extend(pair for pair in column if pair[0] % self.stride == 0)
        while max(map(len, self.columns.values()), default=0) > MOST_ENTRIES:
            self.stride *= 2
            self.columns = {name: [pair for pair in column if pair[0] % self.stride == 0]
                            for name, column in self.columns.items()}  # fmt: skip
        return {name: to_curve(name, column) for name, column in fresh.items()}

    def log(self) -> training_log.Log:
        """What was given so far, as the doctor reads logs."""
        return training_log.sort({name: to_curve(name, column) for name, column in self.columns.items() if column})

    def judge_course(self) -> Iterator[Finding]:
        """What the later half of the looks shows together, of each game."""
        last = max(FEWEST_LOOKS, len(self.rows) // 2)
        if len(self.rows) < FEWEST_LOOKS + 2:  # the first ones see how an untrained G becomes another
            return
        for name, onlooker in self.onlookers.items():
            course = ([row[titled(what, name)] for row in self.rows[-last:]] for what in ("distance", "variety"))
            yield from onlooker.judge_course(*course)

    def gets_better(self) -> bool:
        """Did the samples of the last quarter of the looks, three at least, come nearer to the real images?"""
        last = max(3, len(self.rows) // 4)
        if len(self.rows) <= last:
            return True
        for name in self.onlookers:
            values = [row[titled("distance", name)] for row in self.rows]
            before, now = (min(map(lowest, part)) for part in (values[:-last], values[-last:]))
            if now < 0.95 * before:
                return True
        return False

    # --- what it says -----------------------------------------------------------------------------------------------

    def announce(self, findings: Iterable[Finding], better: bool) -> None:
        now = {finding.name: finding for finding in findings}
        for name in {*now, *self.present}:
            before = self.present.get(name, 0)
            self.present[name] = max(before, 0) + 1 if name in now else min(before, 0) - 1
        needed = self.lasting()
        for name, finding in now.items():
            sure = self.present[name] >= needed and (name != "sudden_change" or self.steps >= FIRST_CHANGE)
            if name not in self.said and (name in AT_ONCE or sure):
                self.said[name] = finding
                advice = f" Try: {finding.to_try[0]}; or {finding.to_try[1]}." if finding.to_try else ""
                detail = f" {finding.detail}" if finding.detail else ""
                self.tell(name, f"{finding.meaning}{detail}{advice}")
        for name in [name for name in self.said if self.present[name] <= -GONE]:
            del self.said[name]
            self.tell(name, f"This has gone: {AILMENTS[name].meaning}")
        stalled = len(self.rows) >= FIRST_PLATEAU and not better and self.best_look() < len(self.rows) / 2
        if stalled and not any(event.name == "plateau" for event in self.events):
            best = int(self.rows[self.best_look()]["step"])
            self.tell("plateau", f"The samples have not come nearer to the real images since step {best:,}: stop "
                                 "here, or go on with lower learning rates.")  # fmt: skip

    def announce_unchanged(self) -> None:
        """Say once of which nets the weights stay as they are: no optimizer steps, or it holds other weights."""
        for net, weights in self.weights.items():
            weights.look(self.steps)
            idle = weights.looks >= self.lasting() and self.steps - weights.since >= FIRST_IDLE
            if idle and net not in self.idle:
                self.idle.add(net)
                text = (
                    f"The weights of {net} have not changed since step {weights.since:,}. Unless that is meant, check"
                )
                text += " that its optimizer takes its steps and holds these weights, and that their gradient is not 0."
                self.tell("unchanged", text)

    def lasting(self) -> int:
        """In how many looks in a row something has to be seen before it is sure."""
        return max(3, math.ceil(LASTING * len(self.rows)))

    def best_look(self) -> int:
        """The look whose samples were nearest to the real images."""
        totals = [sum(lowest(row[titled("distance", name)]) for name in self.onlookers) for row in self.rows]
        return int(np.argmin(totals))

    def tell(self, name: str, text: str) -> None:
        self.events.append(Event(self.steps, name, text))
        if self.say is not None:
            self.say(f"step {self.steps:,}: {name.replace('_', ' ')}. {text}")

    def write(self, row: Mapping[str, float]) -> None:
        if self.csv is not None:
            names = list(dict.fromkeys(name for row in self.rows for name in row))
            with replacing(self.csv) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, names)
                writer.writeheader()
                writer.writerows(self.rows)
        if self.writer is not None:
            for name, value in row.items():
                if name != "step":
                    self.writer.add_scalar(name.replace(" ", "/"), value, self.steps)
            self.writer.flush()

    def report(self) -> Diagnosis:
        """A full examination now: of samples, of D and of everything that was logged.

        With several games, that of the first one whose samples are ill, or of the first.
        """
        self.take_in()
        log = self.log() if self.columns else None
        found = []
        for name, onlooker in self.onlookers.items():
            real, unseen = (self.given[what].get(name, self.given[what].get("")) for what in ("real", "held_out"))
            D = None if onlooker.D is None else onlooker.D.given
            found.append(examine(generator=onlooker.G.given, real=real, held_out=unseen, discriminator=D, history=log))
        return next((diagnosis for diagnosis in found if not diagnosis.healthy), found[0])


def consistent(findings: Iterable[Finding], seen: Iterable[Finding]) -> list[Finding]:
    """The findings from a log without those that the nets themselves refute.

    A loss of D that goes to 0 says that D is sure, but not of what: with exchanged labels it is sure of the opposite.
    """
    blind = any(finding.name == "discriminator_blind" for finding in seen)
    return [finding for finding in findings if not (blind and finding.name == "discriminator_saturated")]


def to_games(G: Any, D: Any, real: Any, held_out: Any) -> dict[str, dict[str, Any]]:
    """What belongs to each game, by its name: one game has the name "", those of tuples are "A", "B" and so on."""
    if not is_series(G):
        return {"G": named(G), "D": named(D), "real": named(real), "held_out": named(held_out)}
    if is_series(D) and len(D) != len(G):
        raise BadInput(f"G has {len(G)} nets, and D has {len(D)}: give a D for each G.")
    names = string.ascii_uppercase[: len(G)]
    translators = len(G) == 2 and all(isinstance(net, nn.Module) and takes_pictures(net) for net in G)
    games = {"G": dict(zip(reversed(names) if translators else names, G, strict=True))}
    for what, things in (("D", D), ("real", real), ("held_out", held_out)):
        several = is_series(things) and len(things) == len(G)
        games[what] = dict(zip(names, things, strict=True)) if several else named(things)
    return games


def is_series(things: Any) -> bool:
    return isinstance(things, list | tuple | nn.ModuleList)


def named(things: Any) -> dict[str, Any]:
    """Things by name; a single one has the name ""."""
    if isinstance(things, Mapping | nn.ModuleDict):
        return dict(things.items())
    return {} if things is None else {"": things}


def to_number(name: str, value: Any) -> Tensor | float:
    """A tensor that holds one number, as a copy where it is, or a float."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise BadInput(f"{name} is a tensor of shape {tuple(value.shape)}: give one number a step, as its mean.")
        return value.detach().clone()
    try:
        return float(value)
    except (TypeError, ValueError):
        raise BadInput(f"{name} is {reprlib.repr(value)}: give one number a step.") from None


def titled(what: str, name: str) -> str:
    """The name of a column: "distance", or "distance A" where there are several games."""
    return f"{what} {name}".strip()


def to_curve(name: str, column: Sequence[tuple[int, float]]) -> training_log.Curve:
    return training_log.Curve(name, *np.array(column, dtype=np.float64).T)


def lowest(value: float) -> float:
    """The value, or infinity if it is NaN."""
    return math.inf if math.isnan(value) else value


def translator(net: nn.Module, pictures: Any) -> Callable[[int], object]:
    """A G that turns pictures into pictures, as a function n -> n images, of random pictures."""

    def draw(n: int) -> object:
        x = pictures[torch.randperm(len(pictures))[:n]]
        weight = next(net.parameters())
        return net(x.to(weight))

    return draw


def open_tensorboard(folder: str | PathLike[str]) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise BadInput("tensorboard is not installed: install it (pip install tensorboard), or use csv=.") from None
    return SummaryWriter(str(folder))
