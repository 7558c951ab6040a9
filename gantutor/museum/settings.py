"""The ordinary parts from which the run of an exhibit is put together, and what remains of it after the run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from gantutor import losses, models, penalties, train
from gantutor.data import Images
from gantutor.train.run import set_learning_rate

Piece = Any  # whatever a mistake can be made in
Draw = Callable[[train.Run, int], Tensor]
Nets = Callable[[int], tuple[nn.Module, nn.Module]]  # seed -> (G, D)

# --- the parts of a run -----------------------------------------------------------------------------------------------


def draw_average(run: train.Run, n: int) -> Tensor:
    """Samples (n, *shape) as the package draws them: from the averaged G, in eval mode."""
    return run.sample(n)


USUAL = train.Recipe()


class HastyD(train.Run):
    """A run in whose first few steps D learns ten times as fast as the recipe says, so that its logits jump."""

    hurried = 3  # steps

    def set_rates(self, done: float) -> None:
        super().set_rates(done)
        if self.step < self.hurried:
            set_learning_rate(self.opt_d, 10 * self.recipe.lr_d)


class LateG(HastyD):
    """A run with many such steps, in which G does not learn yet."""

    hurried = 150

    def set_rates(self, done: float) -> None:
        super().set_rates(done)
        if self.step < self.hurried:
            set_learning_rate(self.opt_g, 0.0)
        elif self.step == self.hurried:
            self.opt_g.state.clear()


@dataclass(frozen=True)
class Parts:
    """The ordinary parts from which a run is put together. The piece of an exhibit takes the place of one of them.

    Attributes:
        data: what is learned, `Images` or points (N, 2).
        nets: seed -> (G, D).
        recipe: how the nets are trained.
        kind: `train.Run` or a subclass.
        draw: (run, n) -> samples (n, *shape).
        pace: the share of the planned steps that are taken.
    """

    data: Images | Tensor
    nets: Nets
    recipe: train.Recipe = USUAL
    kind: type[train.Run] = train.Run
    draw: Draw = draw_average
    pace: float = 1.0

    def run(self, seed: int) -> train.Run:
        G, D = self.nets(seed)
        return self.kind(G, D, self.data, self.recipe, seed=seed)


def plain_pair(seed: int) -> tuple[nn.Module, nn.Module]:
    """The dense pair of lesson 02."""
    return models.mlp(seed=seed)


# Settings, images -> Parts: the parts before a piece is plugged in.


def plain(images: Images) -> Parts:
    """The dense pair under the default recipe, as in lesson 02."""
    return Parts(images, plain_pair)


def without_penalty(images: Images) -> Parts:
    """The dense pair without a penalty, as early blog posts train it."""
    return vary(plain(images), penalty=None)


def hasty_d(images: Images) -> Parts:
    """The dense pair without a penalty, with a D that overshoots at first."""
    return replace(without_penalty(images), kind=HastyD)


def late_g(images: Images) -> Parts:
    """The dense pair without a penalty, with a G that starts when D is sure of everything."""
    return replace(without_penalty(images), kind=LateG)


def wgan_gp(images: Images) -> Parts:
    """WGAN-GP (Gulrajani et al. 2017), but with as many steps of G as of the critic."""
    return vary(plain(images), loss=losses.WASSERSTEIN, penalty=penalties.wgan_gp, gamma=10.0, penalty_every=1,
                lr_g=1e-3, betas=(0.0, 0.9))  # fmt: skip


def wgan_gp_from_zero(images: Images) -> Parts:
    """WGAN-GP with a critic whose last layer is initialised to 0."""
    parts = wgan_gp(images)

    def nets(seed: int) -> tuple[nn.Module, nn.Module]:
        G, D = parts.nets(seed)
        layers = cast(nn.Sequential, D.net)
        nn.init.zeros_(cast(nn.Linear, layers[-1]).weight)
        return G, D

    return replace(parts, nets=nets)


def equal_rates(images: Images) -> Parts:
    """The dense pair with the same learning rate for both players."""
    return vary(plain(images), lr_g=1e-3, lr_d=1e-3)


# Plugs, (parts, piece) -> parts: how a piece replaces one of the parts.


def vary(parts: Parts, **changes: Any) -> Parts:
    """The parts with these fields of the recipe changed."""
    return replace(parts, recipe=replace(parts.recipe, **changes))


def as_loss(parts: Parts, piece: Piece) -> Parts:
    return vary(parts, loss=piece)


def as_penalty(parts: Parts, piece: Piece) -> Parts:
    return vary(parts, penalty=piece)


def as_kind(parts: Parts, piece: Piece) -> Parts:
    return replace(parts, kind=piece)


def as_nets(parts: Parts, piece: Piece) -> Parts:
    return replace(parts, nets=piece)


def as_draw(parts: Parts, piece: Piece) -> Parts:
    return replace(parts, draw=piece)


# --- one version of an exhibit, after its run -------------------------------------------------------------------------

CURVES = ("d_loss", "g_loss", "d_real", "d_fake", "g_grad_norm")


@dataclass(frozen=True)
class Side:
    """The broken or the sound version after its run.

    Attributes:
        run: the run after its last step.
        parts: what it was put together from.
        piece: the piece on show.
        history: one number for each step, by name: d_loss, g_loss, d_real and d_fake (mean logits), g_grad_norm.
        samples: (n, *shape) as generated, which may contain NaN.
    """

    run: train.Run
    parts: Parts
    piece: Piece
    history: Mapping[str, Sequence[float]]
    samples: Tensor


def train_side(parts: Parts, steps: int, seed: int, piece: Piece = None, n: int = 1000) -> Side:
    """Train for `steps` steps times the parts' pace, record the curves, and draw n samples."""
    run = parts.run(seed)
    history: dict[str, list[float]] = {name: [] for name in CURVES}
    for step in run.steps(max(1, round(steps * parts.pace))):
        norms = [p.grad.norm() for p in run.G.parameters() if p.grad is not None]
        norm = torch.stack(norms).norm() if norms else torch.zeros(())
        numbers = step.d_loss, step.g_loss, step.real_logits.mean(), step.fake_logits.mean(), norm
        for values, number in zip(history.values(), torch.stack(numbers).tolist(), strict=True):
            values.append(number)
    return Side(run, parts, piece, history, parts.draw(run, n).detach())
