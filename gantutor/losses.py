"""Adversarial losses: pairs of pure functions on logits, always called as ``(real_logits, fake_logits)``.

A logit is D's output before any sigmoid, so D(x) = σ(logit). Both arguments have shape (B,). Each function returns a
0-d tensor that its player *minimises*. The logarithms are written with softplus, log(1 + eᵗ): −log σ(t) = softplus(−t)
and −log(1 − σ(t)) = softplus(t). Softplus is finite for every finite logit, whereas the log of a sigmoid can be −inf.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import relu, softplus

LossFunction = Callable[[Tensor, Tensor], Tensor]


class Loss(NamedTuple):
    """One game: what D minimises, what G minimises, and whether G's loss uses the real logits too (`paired`)."""

    name: str
    d: LossFunction
    g: LossFunction
    paired: bool = False


def minimax_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """−E log D(x) − E log(1 − D(G(z))): the negative of V (Goodfellow et al. 2014, eq. 1). At equilibrium log 4."""
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def minimax_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E log(1 − D(G(z))), the saturating loss (Goodfellow et al. 2014, eq. 1)."""
    return -softplus(fake_logits).mean()


def non_saturating_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """−E log D(G(z)) (Goodfellow et al. 2014, section 3)."""
    return softplus(-fake_logits).mean()


def least_squares_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½E(D(x) − 1)² + ½E D(G(z))² (Mao et al. 2017, eq. 9; here "logits" are plain scores)."""
    return (real_logits - 1).square().mean() / 2 + fake_logits.square().mean() / 2


def least_squares_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½E(D(G(z)) − 1)² (Mao et al. 2017, eq. 9)."""
    return (fake_logits - 1).square().mean() / 2


def hinge_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E max(0, 1 − D(x)) + E max(0, 1 + D(G(z))) (Lim & Ye 2017; Miyato et al. 2018, eq. 16)."""
    return relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()


def wasserstein_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E D(G(z)) − E D(x), minus the critic's estimate of the Wasserstein distance (Arjovsky et al. 2017, eq. 3)."""
    return fake_logits.mean() - real_logits.mean()


def wasserstein_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """−E D(G(z)) (Arjovsky et al. 2017, eq. 3), and G's part of the hinge loss (Miyato et al. 2018, eq. 17)."""
    return -fake_logits.mean()


def relativistic_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E softplus(−(D(x) − D(G(z)))), i-th real against i-th fake (Jolicoeur-Martineau 2019; R3GAN, eq. 2)."""
    return softplus(fake_logits - real_logits).mean()


def relativistic_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E softplus(−(D(G(z)) − D(x))) (Jolicoeur-Martineau 2019; R3GAN, eq. 2)."""
    return softplus(real_logits - fake_logits).mean()


MINIMAX = Loss("minimax", minimax_d, minimax_g)
NON_SATURATING = Loss("non-saturating", minimax_d, non_saturating_g)
LEAST_SQUARES = Loss("least-squares", least_squares_d, least_squares_g)
HINGE = Loss("hinge", hinge_d, wasserstein_g)
WASSERSTEIN = Loss("wasserstein", wasserstein_d, wasserstein_g)
RELATIVISTIC = Loss("relativistic", relativistic_d, relativistic_g, paired=True)

LOSSES = {loss.name: loss for loss in (MINIMAX, NON_SATURATING, LEAST_SQUARES, HINGE, WASSERSTEIN, RELATIVISTIC)}
