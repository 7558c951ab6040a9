"""The two-dimensional laboratory: a GAN on points in the plane to experiment with while it trains."""

import dataclasses
import html
import math
import time
from collections.abc import Callable
from functools import partial

import ipywidgets as widgets
import torch
from torch import Tensor

from gantutor import losses, metrics, models, penalties, show, train
from gantutor.data import toy
from gantutor.errors import BadInput, unknown, whole_number
from gantutor.live.panels import PICTURE_GAP, TURN_LENGTH, Pad, Panel, Player, button, control, menu, row, slider

LIMIT = 2.5  # the picture shows [-LIMIT, LIMIT] on both axes
SIZE = 400  # pixels
PAD_SIDE = 14  # cells along a side of the pad
DRAWN_STD = 0.1  # std of a mode added by a click
POINTS = 2000  # training examples
ARROWS = 60  # generated points whose moves are shown as arrows
MODES = {"ring": toy.ring(8, std=0.05), "grid": toy.grid(5, std=0.1), "line": toy.line(5, std=0.1)}
RATES = [1e-4, 3e-4, 1e-3, 2e-3, 5e-3, 1e-2, 3e-2]
GAMMAS = [0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10]
CENTRED = (
    losses.WASSERSTEIN,
    losses.RELATIVISTIC,
    losses.LEAST_SQUARES,
)  # losses for which a logit of 0 does not mean ½


def lab(data: str = "ring", *, seed: int = 0) -> "Lab":
    """A GAN in the plane to experiment with: watch D's surface, the points and G's moves, in single steps or running.

    Where D takes points for real the ground is blue, where it takes them for fake it is orange. The arrows show,
    enlarged, how G's last step moved 60 of its points. Press Play, or "D step" and "G step" one at a time. Every
    control except the choice of data takes effect immediately; choosing other data and "Restart" begin again with the
    same seed.

    Args:
        data: "ring" (8 modes), "grid" (5 × 5), "line" (5), or "drawn", where each click on the picture adds a mode.
        seed: for the initial weights, the order of the examples and the noise.
    Returns: the laboratory to display. From code: `lab.d_step()`, `lab.g_step()`, `lab.play_for(100)`,
        `lab.controls["lr_G"].value = 0.01`, `lab.add(0.5, 0.5)`; `lab.readout` has the numbers, `lab.run` is the
        `train.Run`, and `lab.portrait()` the picture.
    """
    if data not in (*MODES, "drawn"):
        raise unknown("data", data, [*MODES, "drawn"])
    return Lab(data, whole_number("seed", seed))


class Lab(Panel):
    """What `lab` returns."""

    def __init__(self, data: str, seed: int):
        self.pad = Pad(SIZE, SIZE, PAD_SIDE, lambda x, y: self.on_press(partial(self.click, x, y)))
        super().__init__(make_controls(data), self.pad.picture)
        self.seed = seed
        self.drawn: list[tuple[float, float]] = []  # the means of the modes that were clicked
        self.text = widgets.HTML()
        self.player = Player(self.play_turn, self.show_state, instead="In plain Python call play_for.")
        self.due = 0.0  # when the next picture is due
        self.buttons = self.make_buttons()
        self.lay_out()
        for name, widget in self.controls.items():
            act = partial(self.attempt, self.restart if name == "data" else self.apply_controls)
            widget.observe(lambda change, act=act: self.player.call(act), names="value")
        self.restart()

    def make_buttons(self) -> dict[str, widgets.Button]:
        actions = {
            "Play": ("play", self.player.toggle), "D step": ("", self.d_step), "G step": ("", self.g_step),
            "Restart": ("refresh", self.restart), "Clear": ("eraser", self.clear),
        }  # fmt: skip

        return {name: button(name, partial(self.on_press, act), icon) for name, (icon, act) in actions.items()}

    def lay_out(self) -> None:
        side = widgets.VBox([*self.controls.values(), self.text], layout={"margin": "0 0 0 12px"})
        self.children = [row(*self.buttons.values()), row(self.pad, side), self.message]

    # training

    def restart(self) -> None:
        """Begin again with new nets and examples."""
        self.G, self.D = models.plane(self.seed)
        self.moves: tuple[Tensor, Tensor] | None = None
        self.losses = math.nan, math.nan
        self.run: train.Run | None = None
        self.mixture: toy.Mixture | None = None
        self.update_data()
        self.message.value = self.hint()
        self.refresh()

    def update_data(self) -> None:
        """Take the mixture that the controls name; begin a run on it, or let the present run go on with it."""
        name = self.controls["data"].value
        if name == "drawn" and not self.drawn:
            self.run = self.mixture = None
            return
        if name == "drawn":
            self.mixture = toy.Mixture("drawn", torch.tensor(self.drawn), DRAWN_STD)
        else:
            wide = MODES[name]
            self.mixture = toy.Mixture(name, wide.means / wide.spread, wide.std / wide.spread)
        examples = self.mixture.sample(POINTS, self.seed)
        if self.run is None:
            self.run = train.Run(self.G, self.D, examples, self.recipe(), seed=self.seed, device="cpu")
        else:
            self.run.data = self.run.examples = examples

    def recipe(self) -> train.Recipe:
        """The recipe set by the controls."""
        value = {name: widget.value for name, widget in self.controls.items()}
        return dataclasses.replace(
            train.PLANE, loss=losses.LOSSES[value["loss"]], lr_g=value["lr_G"], lr_d=value["lr_D"],
            betas=(value["momentum"], train.PLANE.betas[1]), gamma=value["R1"],
            penalty=penalties.r1 if value["R1"] else None, d_steps=value["D_steps_per_G_step"],
        )  # fmt: skip

    def apply_controls(self) -> None:
        """Apply the controls to the present run."""
        self.message.value = self.hint()
        if self.run is None:
            return
        self.run.recipe = recipe = self.recipe()
        self.run.set_rates(0)
        for group in (*self.run.opt_g.param_groups, *self.run.opt_d.param_groups):
            group["betas"] = recipe.betas

    def hint(self) -> str:
        """What to do next, or a warning about the settings; usually empty."""
        if self.run is None:
            return "Click on the picture to add a mode."
        return advice(self.recipe())

    def prepare_run(self) -> train.Run:
        """The run with the learning rates of the controls, which may have fallen where it was trained elsewhere."""
        if self.run is None:
            raise BadInput("There is no data yet: click on the picture to add a mode.")
        if not all(p.isfinite().all() for p in self.G.parameters()):
            raise BadInput(
                "G's weights are no longer finite, because the training diverged: lower the learning rates "
                "and press Restart."
            )
        self.run.set_rates(0)
        return self.run

    def d_step(self) -> None:
        """One step of D; G stays as it is."""
        run = self.prepare_run()
        with run.randomness:
            real, y = run.batch()
            loss, *_ = run.d_step(real, run.generate(y).detach(), y, run.recipe.penalty is not None)
        self.losses = loss.item(), self.losses[1]
        self.refresh()

    def g_step(self) -> None:
        """One step of G; D stays as it is. It counts as a step of the run."""
        run, before = self.prepare_run(), self.fakes(ARROWS)
        with run.randomness:
            real, y = run.batch()
            loss = run.g_step(real, run.generate(y), y)
        train.update_ema(run.G_ema, run.G, 1 - min(run.recipe.ema_decay, train.ramp(run.step)))
        run.step += 1
        self.losses, self.moves = (self.losses[0], loss.item()), (before, self.fakes(ARROWS))
        self.refresh()

    def play_for(self, steps: int) -> None:
        """Take this many whole steps, then draw."""
        for _ in range(whole_number("the number of steps", steps, least=1) - 1):
            self.prepare_run().take_step()
        self.take_last_step()
        self.refresh()

    def take_last_step(self) -> None:
        """Take a whole step and keep its losses and moves."""
        before, step = self.fakes(ARROWS), self.prepare_run().take_step()
        self.losses, self.moves = (step.d_loss.item(), step.g_loss.item()), (before, self.fakes(ARROWS))

    def play_turn(self) -> None:
        """A turn of the player: steps for a short while, and a picture when it is due."""
        end, run = time.perf_counter() + TURN_LENGTH, self.prepare_run()
        while time.perf_counter() < end:
            run.take_step()
        now = time.perf_counter()
        if now > self.due:
            self.take_last_step()
            self.refresh()
            self.due = now + PICTURE_GAP

    # drawing the data

    def click(self, x: float, y: float) -> None:
        """React to a click on the picture, (x, y) in [-1, 1]: add a mode if the data is drawn."""
        if self.controls["data"].value != "drawn":
            raise BadInput("To add modes by clicking, choose the data 'drawn'.")
        self.add(x * LIMIT, y * LIMIT)

    def add(self, x: float, y: float) -> None:
        """Add a mode at (x, y), both in [-2.5, 2.5]. A run on drawn data goes on; any other begins again."""
        if not (abs(x) <= LIMIT and abs(y) <= LIMIT):
            raise BadInput(f"the mode ({x:g}, {y:g}) lies outside the picture: give numbers from -2.5 to 2.5.")
        if self.controls["data"].value != "drawn":
            self.controls["data"].value = "drawn"
        self.drawn.append((float(x), float(y)))
        self.update_data()
        self.message.value = self.hint()
        self.refresh()

    def clear(self) -> None:
        """Remove all drawn modes and begin again."""
        self.drawn.clear()
        if self.controls["data"].value == "drawn":
            self.player.stop()
            self.restart()

    # drawing

    def fakes(self, count: int = 1000) -> Tensor:
        """G's present points (count, 2) from fixed latents."""
        return train.sample(self.G, count, seed=self.seed)

    def portrait(self) -> show.Picture:
        """The picture of the present state."""
        fake = self.fakes(300)
        real = None if self.run is None else self.run.examples[:300]
        arrows = None if self.moves is None else enlarged_moves(*self.moves)[:2]
        return show.game(real, fake, show.surface(self.centred_d(), LIMIT, 50), arrows, limit=LIMIT, size=SIZE)

    def centred_d(self) -> Callable[[Tensor], Tensor]:
        """D, or where its logit 0 has no meaning, D minus the midpoint of its mean logits of real and fake points."""
        if self.run is None or self.run.recipe.loss not in CENTRED:
            return self.D
        with torch.no_grad():
            middle = (self.D(self.run.examples[:500]).mean() + self.D(self.fakes(500)).mean()) / 2
        return lambda x: self.D(x) - middle

    @property
    def readout(self) -> dict[str, float]:
        """The step, both losses, the modes that G covers, the number of modes, and the share of points near a mode."""
        numbers = {"step": self.run.step if self.run else 0, "d_loss": self.losses[0], "g_loss": self.losses[1]}
        fake = self.fakes()
        if self.mixture is None or not fake.isfinite().all():
            return {**numbers, "modes": 0, "of": len(self.mixture or ()), "high_quality": 0.0}
        found = metrics.mixture_coverage(fake, self.mixture)
        return {**numbers, "modes": found.modes, "of": found.of, "high_quality": found.high_quality}

    def refresh(self) -> None:
        """Update the picture and the numbers."""
        self.picture.value = show.png(self.portrait())
        self.text.value = readout_html(self.readout, self.moves)

    def show_state(self, why: str) -> None:
        play = self.buttons["Play"]
        play.description, play.icon = ("Pause", "pause") if self.player.is_playing else ("Play", "play")
        self.message.value = why or self.hint()
        if not self.player.is_playing:
            self.refresh()

    def on_press(self, act: Callable[[], None]) -> None:
        """React to a button; each press counts, on any thread."""
        self.player.call(lambda: self.attempt(act))

    def close(self) -> None:
        self.player.stop()
        super().close()


def make_controls(data: str) -> dict[str, widgets.Widget]:
    """The controls with the values of `train.PLANE`."""
    plane = train.PLANE
    return {
        "data": menu("data", ["ring", "grid", "line", "drawn"], data),
        "loss": menu("loss", list(losses.LOSSES), plane.loss.name),
        "lr_G": slider("lr G", RATES, plane.lr_g),
        "lr_D": slider("lr D", RATES, plane.lr_d),
        "R1": slider("R1 γ", GAMMAS, plane.gamma),
        "D_steps_per_G_step": control("D steps per G step", (1, 8, 1, plane.d_steps)),
        "momentum": control("momentum β₁", (0.0, 0.9, 0.1, plane.betas[0])),
    }


def advice(recipe: train.Recipe) -> str:
    """A warning about what is known to go wrong with this recipe; empty for most."""
    if recipe.loss is losses.WASSERSTEIN and recipe.penalty is None:
        return "Wasserstein without a penalty: nothing bounds D's gradient. Set R1 above 0."
    if recipe.penalty is None:
        return "Without R1 the game may circle, and modes may be lost."
    if recipe.gamma * recipe.lr_d >= 0.03:
        return "R1 is strong for such a high learning rate of D, so its surface may stay flat."
    if max(recipe.lr_g, recipe.lr_d) >= 0.01 and recipe.betas[0] >= 0.5:
        return "High learning rates with much momentum: the oscillations may grow."
    return ""


def enlarged_moves(before: Tensor, after: Tensor, length: float = 0.3) -> tuple[Tensor, Tensor, float]:
    """Start and end (A, 2) of arrows that show moves, and their enlargement, 1, 2 or 5 times a power of ten.

    Nine in ten arrows are at most `length` long.
    """
    moves = after - before
    usual = moves.norm(dim=1).quantile(0.9).item()
    if not (math.isfinite(usual) and usual > 0):
        return before, after, 1.0
    power = 10.0 ** math.floor(math.log10(length / usual))
    factor = max(1.0, max(m * power for m in (1, 2, 5) if m * power * usual <= length * (1 + 1e-9)))
    return before, before + factor * moves, factor


def readout_html(numbers: dict[str, float], moves: tuple[Tensor, Tensor] | None) -> str:
    """The numbers beside the picture, as HTML."""
    rows = {
        "step": f"{numbers['step']:,}",
        "D loss": f"{numbers['d_loss']:.3f}",
        "G loss": f"{numbers['g_loss']:.3f}",
        "modes covered": f"{numbers['modes']} of {numbers['of']}",
        "points near a mode": f"{numbers['high_quality']:.0%}",
    }
    cells = (f"<tr><td>{html.escape(k)}&emsp;</td><td><b>{html.escape(v)}</b></td></tr>" for k, v in rows.items())
    table = f"<table style='line-height:1.5'>{''.join(cells)}</table>".replace("nan", "–")
    points = f"<b style='color:{show.REAL}'>●</b> data &emsp; <b style='color:{show.FAKE}'>●</b> generator"
    surface = "Blue ground: D takes it for real. Orange: D takes it for fake."
    arrows = ""
    if moves is not None:
        times = enlarged_moves(*moves)[2]
        arrows = f"<br>Arrows: G's last step, {'in true length' if times == 1 else f'{times:,.0f} times as long'}."
    return f"{table}<div style='line-height:1.5'>{points}<br>{surface}{arrows}</div>"
