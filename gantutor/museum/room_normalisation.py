"""Room 4, normalisation: batch norm and weight initialisation."""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from gantutor import models, train
from gantutor.data import Images
from gantutor.museum.exhibits import Exhibit
from gantutor.museum.measures import DISTANCE, Symptom, distance, logit_gap
from gantutor.museum.probes import any_seed, learns, small_run, some_digits
from gantutor.museum.settings import (
    Parts,
    Side,
    as_draw,
    as_kind,
    as_nets,
    draw_average,
    plain,
    plain_pair,
    without_penalty,
)
from gantutor.train import Run

# --- 18. one batch of both --------------------------------------------------------------------------------------------


class MixedBatch(Run):
    """Real and generated images go through D in one batch, so batch norm takes the statistics of the mixture."""

    def d_step(
        self, real: Tensor, fake: Tensor, y: Tensor | None = None, penalise: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        real_logits, fake_logits = self.D(torch.cat([real, fake])).chunk(2)
        loss = self.loss.d(real_logits, fake_logits)
        self.opt_d.zero_grad()
        loss.backward()
        self.opt_d.step()
        return loss.detach(), real_logits.detach(), fake_logits.detach()


def normalised_d(seed: int) -> tuple[nn.Module, nn.Module]:
    """A small DCGAN whose D has batch norm, as in the paper."""
    G = models.dcgan(g_width=16, seed=seed)[0]
    return G, models.DCGANDiscriminator(8, hidden=128, norm="batch", seed=seed + 1)


def with_normalised_d(images: Images) -> Parts:
    return replace(without_penalty(images), nets=normalised_d)


# --- 19, 21. settings of the layers -----------------------------------------------------------------------------------
# ------------------------------------------------------------------------------------


def large_eps(seed: int) -> tuple[nn.Module, nn.Module]:
    """BatchNorm1d(features, 0.8), whose second argument is ε."""
    G, D = models.mlp(seed=seed)
    for layer in G.modules():
        if isinstance(layer, models.NORMALISING):
            layer.eps = 0.8
    return G, D


def first_weights_untouched(seed: int) -> tuple[nn.Module, nn.Module]:
    """A function that initialises the weights is defined but never called."""
    G = models.DCGANGenerator(width=16, init_std=None, seed=seed)
    return G, models.DCGANDiscriminator(8, hidden=128, init_std=None, seed=seed + 1)


def small_dcgan(seed: int) -> tuple[nn.Module, nn.Module]:
    """A small DCGAN with weights from N(0, 0.02²)."""
    return models.dcgan(g_width=16, d_width=8, hidden=128, seed=seed)


# --- 20. sampling -----------------------------------------------------------------------------------------------------


def draw_in_train_mode(run: Run, n: int) -> Tensor:
    """Samples without a call of eval(), so that batch norm uses the statistics of this batch."""
    run.G_ema.train()
    with torch.no_grad():
        return run.G_ema(train.latents(run.G_ema, n, 0))


def never_warmed(seed: int) -> tuple[nn.Module, nn.Module]:
    """The running statistics of G's batch norms are never updated: they stay at mean 0 and variance 1."""
    G, D = small_dcgan(seed)
    for layer in G.modules():
        if isinstance(layer, models.NORMALISING):
            layer.momentum = 0.0
    return G, D


# --- the checks -------------------------------------------------------------------------------------------------------


def real_for_itself(kind: type[Run]) -> None:
    """D's logits of real images, in train mode, do not depend on what G made."""
    real, seed = some_digits(16), any_seed()
    runs = [small_run(kind, nets=normalised_d, seed=seed) for _ in range(2)]
    first, second = (run.d_step(real, fake)[1] for run, fake in zip(runs, (torch.zeros_like(real), -real), strict=True))
    assert torch.allclose(first, second, atol=1e-5)


def latent_decides(draw) -> None:
    """An image depends on its latent, not on how many others are drawn with it."""
    run = small_run()
    list(run.steps(5))
    assert torch.allclose(draw(run, 4), draw(run, 64)[:4], atol=1e-5)


def statistics_follow(nets) -> None:
    """After a few steps G's running statistics are not what they were."""
    run = small_run(nets=nets)
    layers = [layer for layer in run.G.modules() if isinstance(layer, models.NORMALISING)]
    means = [layer.running_mean for layer in layers if layer.running_mean is not None]
    before = [mean.clone() for mean in means]
    list(run.steps(3))
    assert not any(torch.equal(old, mean) for old, mean in zip(before, means, strict=True))


def learns_with_nets(nets) -> None:
    """Training makes progress."""
    learns(lambda images: as_nets(plain(images), nets))


# --- the catalogue ----------------------------------------------------------------------------------------------------


def batch_dependence(side: Side, real: Images) -> float:
    """How much a pixel changes, on average, when the same latent is drawn in a different batch."""
    run = copy.copy(side.run)
    run.G_ema = copy.deepcopy(run.G_ema)  # train mode would change its running statistics
    few, many = (side.parts.draw(run, n)[:8] for n in (8, 64))
    return (few - many).abs().mean().item()


ROOM = (
    Exhibit(
        "18", "mixed-batch", "real and generated images in one batch of D's batch norm",
        broken=MixedBatch, sound=Run, plug=as_kind,
        met="D applied to real and generated images together, to save a pass.",
        cause="Batch norm subtracts the mean of the mixture, so the two kinds lie on opposite sides of it and D only "
        "needs to look at the side. In G's turn the batch contains generated images alone, and that difference is "
        "gone.",
        symptom=Symptom("D's mean logit of real images minus that of fakes, last quarter", logit_gap, high=5.0),
        check=real_for_itself, findings=("discriminator_saturated", "total_collapse"), setting=with_normalised_d,
    ),
    Exhibit(
        "19", "eps-for-momentum", "batch norm with ε = 0.8 because of a swapped argument",
        broken=large_eps, sound=plain_pair, plug=as_nets,
        met="A well-known collection of GANs: 0.8 was the momentum in one library and is the second argument in "
        "another.",
        cause="ε is added to the variance, so each layer's output is smaller than intended, which the next layer's "
        "weights compensate. The start is slower, with up to twice the distance after 300 steps, but after 2,700 steps "
        "the difference is gone.",
        symptom=DISTANCE, check=learns_with_nets, harmless=True,
    ),
    Exhibit(
        "20a", "sampling-in-train-mode", "eval mode forgotten when sampling",
        broken=draw_in_train_mode, sound=draw_average, plug=as_draw,
        met="A lot of public sampling code.",
        cause="In train mode batch norm uses the statistics of the batch, so each image depends on the others drawn "
        "with it. The pictures may even look better early on, but a latent no longer determines an image.",
        symptom=Symptom("mean change of a pixel with the rest of the batch", batch_dependence, high=0.001),
        check=latent_decides,
    ),
    Exhibit(
        "20b", "statistics-never-warmed", "running statistics that are never updated",
        broken=never_warmed, sound=small_dcgan, plug=as_nets,
        met="TensorFlow-1 code without UPDATE_OPS: the updates are defined but never run.",
        cause="In eval mode batch norm uses running statistics that are still mean 0 and variance 1. The training is "
        "sound, but the samples are those of a different net.",
        symptom=Symptom(DISTANCE.name, distance, high=75.0), check=statistics_follow, findings=("train_eval_gap",),
    ),
    Exhibit(
        "21", "init-never-applied", "weight initialisation defined but never applied",
        broken=first_weights_untouched, sound=small_dcgan, plug=as_nets,
        met="DCGAN tutorials: a function weights_init without the line that calls it.",
        cause="PyTorch's default weights have the right scale for these nets. If there is an effect, it is smaller "
        "than the variation between seeds (lesson 03, section 6).",
        symptom=DISTANCE, check=learns_with_nets, harmless=True,
    ),
)  # fmt: skip
