"""Exercise 02.4: repair a training turn. It is run on a small game and compared with the usual wrong turns."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gantutor import models, train
from gantutor.checks.exercise import Answer, Exercise, Mistake, Seen, as_number, brief, check_callable, same
from gantutor.errors import BadInput

RATE, TURNS = 0.5, 3  # large steps of plain gradient descent, so that a mistake shows at once


class Turns:
    """Observe a training turn: the losses and weights after each of `TURNS` turns on points in the plane."""

    def __call__(self, answer: Answer) -> dict[str, Seen] | None:
        check_callable(answer)
        G, D = models.mlp((2,), latent_dim=2, g_hidden=(16,), d_hidden=(16,), batch_norm=False, output="linear", seed=0)
        opt_g, opt_d = (torch.optim.SGD(net.parameters(), RATE) for net in (G, D))
        shown: list[Tensor] = []
        seen: dict[str, Seen] = {"only its latents": True}
        start = weights(G), weights(D)
        G.register_forward_pre_hook(lambda net, latents: shown.extend(latents))
        for turn in range(1, TURNS + 1):
            real, z = 1 + torch.randn(32, 2), torch.randn(32, 2)
            given = self.taken(answer, G, D, opt_g, opt_d, real, z.clone())
            seen["only its latents"] &= all(same(latents, z, 0) for latents in shown)
            shown.clear()
            if given is None and same((weights(G), weights(D)), start, 0):
                return None
            d_loss, g_loss = self.two_losses(given)
            seen |= {f"D's loss in turn {turn} is": d_loss, f"D's weights after turn {turn} are": weights(D)}
            seen |= {f"G's loss in turn {turn} is": g_loss, f"G's weights after turn {turn} are": weights(G)}
        return seen

    def taken(self, answer, G, D, opt_g, opt_d, real, z) -> object:
        """What a turn returns. Two errors of PyTorch are put into the words of the lesson."""
        try:
            return answer(G, D, opt_g, opt_d, real, z)
        except RuntimeError as error:
            if "a second time" in str(error):
                raise BadInput(
                    "a backward() went through G and freed its graph, so the next one has none left. Whose loss should "
                    "not reach G at all?"
                ) from error
            if "inplace" in str(error):
                raise BadInput(
                    "a step changed weights that a later backward() still needs. Compute each loss just before its own "
                    "backward(), after the other player's step."
                ) from error
            raise

    def two_losses(self, given: object) -> tuple[float, float]:
        if not isinstance(given, tuple | list) or len(given) != 2:
            raise BadInput(f"the turn returns {brief(given)}: end it with `return d_loss, g_loss`.")
        return as_number(given[0], "D's loss"), as_number(given[1], "G's loss")

    def explain(self, seen: dict, expected: dict, tolerance: float) -> str:
        """The first difference, in the order in which things happen."""
        what = next(name for name in expected if not same(seen[name], expected[name], tolerance))
        return (
            f"{what} not what the three rules give; everything before that is right. Read your lines in the order "
            "in which they run."
        )


def weights(net: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(net.parameters()).detach().clone()


class Untried(train.Run):
    """A run that does not try the nets beforehand, so that G gets the latents of the turn and no others."""

    checks_nets = False


def package_turn(G, D, opt_g, opt_d, real, z):
    """The turn as `train.Run` does it."""
    run = Untried(G, D, real, train.Recipe(batch_size=len(real), penalty=None))
    run.opt_g, run.opt_d = opt_g, opt_d
    fake = G(z)
    d_loss, *_ = run.d_step(real, fake.detach())
    return d_loss, run.g_step(real, fake)


def tangled(G, D, opt_g, opt_d, real, z):
    """The broken turn of the task: both `zero_grad` at the start, no `detach`, and G's loss comes before D's step."""
    opt_g.zero_grad()
    opt_d.zero_grad()
    fake = G(z)
    g_loss = softplus(-D(fake)).mean()
    g_loss.backward(retain_graph=True)
    d_loss = softplus(-D(real)).mean() + softplus(D(fake)).mean()
    d_loss.backward()
    opt_d.step()
    opt_g.step()
    return d_loss, g_loss


def undetached(G, D, opt_g, opt_d, real, z):
    """The right order, but D's loss leaves gradients in G, because G's `zero_grad` came before it."""
    opt_g.zero_grad()
    opt_d.zero_grad()
    fake = G(z)
    d_loss = softplus(-D(real)).mean() + softplus(D(fake)).mean()
    d_loss.backward(retain_graph=True)
    opt_d.step()
    g_loss = softplus(-D(fake)).mean()
    g_loss.backward()
    opt_g.step()
    return d_loss, g_loss


def with_detach(G, D, opt_g, opt_d, real, z, *, clear_d=True, g_learns=True, fresh=False):
    """The right order with `detach`, and options that each add one mistake."""
    fake = G(z)
    d_loss = softplus(-D(real)).mean() + softplus(D(fake.detach())).mean()
    if clear_d:
        opt_d.zero_grad()
    d_loss.backward()
    opt_d.step()
    fake = G(torch.randn_like(z)) if fresh else fake
    g_loss = softplus(-D(fake if g_learns else fake.detach())).mean()
    opt_g.zero_grad()
    g_loss.backward()
    opt_g.step()
    return d_loss, g_loss


def g_first(G, D, opt_g, opt_d, real, z):
    fake = G(z)
    g_loss = softplus(-D(fake)).mean()
    opt_g.zero_grad()
    g_loss.backward()
    opt_g.step()
    d_loss = softplus(-D(real)).mean() + softplus(D(fake.detach())).mean()
    opt_d.zero_grad()
    d_loss.backward()
    opt_d.step()
    return d_loss, g_loss


def never_cleared(G, D, opt_g, opt_d, real, z):
    fake = G(z)
    d_loss = softplus(-D(real)).mean() + softplus(D(fake.detach())).mean()
    d_loss.backward()
    opt_d.step()
    g_loss = softplus(-D(fake)).mean()
    g_loss.backward()
    opt_g.step()
    return d_loss, g_loss


TURN = Exercise(
    id="02.4",
    title="repair the training turn",
    hints=(
        "Write D's whole turn first, from its loss to opt_d.step(), and only then G's. Where do the fakes have to be "
        "cut off from G?",
        "D's loss sees fake.detach(). Clear a player's gradients just before its own backward(), and nowhere else.",
        "opt_d.zero_grad(), d_loss.backward(), opt_d.step(); then g_loss from D(fake), opt_g.zero_grad(), "
        "g_loss.backward(), opt_g.step().",
    ),
    observe=Turns(),
    right=package_turn,
    mistakes=(
        Mistake(
            lambda *players: with_detach(*players, fresh=True),
            "G's turn uses the same fakes as D's: do not draw new ones.",
            sign=lambda seen: not seen["only its latents"],
        ),
        Mistake(
            lambda *players: package_turn(*players)[::-1],
            "The two losses are right but swapped: return d_loss, g_loss.",
        ),
        Mistake(
            tangled,
            "It still does what the broken turn does: both losses act on the same weights and nearly cancel. Apply the "
            "rules one after the other.",
        ),
        Mistake(
            undetached,
            "The order is right. But G also steps along D's loss, which points the other way, because D's gradients "
            "reach G through the fakes.",
        ),
        Mistake(
            lambda *players: with_detach(*players, clear_d=False),
            "The first turn is right, the second is not. G's backward() leaves gradients in D too: what clears them?",
        ),
        Mistake(
            never_cleared,
            "backward() adds to the gradients that are already there. Nothing clears them, so each step also follows "
            "all the old ones.",
        ),
        Mistake(
            lambda *players: with_detach(*players, g_learns=False),
            "G's weights do not move. In G's own turn its fakes must not be detached.",
        ),
        Mistake(
            g_first,
            "Both players learn, each from its own loss. But G's loss used the old D: D's whole turn comes first.",
        ),
    ),
    praise="Two turns, two optimizers, and each loss reaches only its own player: that is all there is to the loop.",
)
