"""What the doctor says of training logs: limits, shapes, games, and what it could not judge."""

import json
import math

import histories
import numpy as np
import pytest
import torch

from gantutor import doctor
from gantutor.doctor.logs import game, swings, training_log
from gantutor.errors import BadInput


def examined(history) -> doctor.Diagnosis:
    return doctor.examine(history=history)


def noise(n: int, std: float, seed: int = 0) -> torch.Tensor:
    return std * torch.randn(n, generator=torch.Generator().manual_seed(seed))


def pairs(losses, accuracy: float) -> list[tuple[float, float]]:
    return [(loss, accuracy) for loss in losses.tolist()]


T = torch.arange(1000.0)
CURVES = [
    ({"d_loss": 1.3 + noise(1000, 0.1), "g_loss": 0.9 + noise(1000, 0.2, 1)}, ()),
    ({"d_loss": 1.4 - 0.3 * (1 - torch.exp(-T / 200)) + noise(1000, 0.1)}, ()),
    ({"d_loss": -20 * torch.exp(-T / 300) + noise(1000, 1), "g_loss": noise(1000, 3)}, ()),  # a Wasserstein GAN
    ({"d_loss": [1.3, None, 1.2, 1.25] * 6, "g_loss": []}, ()),
    ({"d_real": 0.6 + noise(100, 0.05), "d_fake": 0.4 + noise(100, 0.05, 1)}, ()),
    ({"d_real": 1 + noise(100, 1), "d_fake": -1 + noise(100, 1, 1)}, ()),
    ({"g_grad_norm": 0.2 + torch.exp(-T / 100)}, ()),
    ({"g_grad_norm": torch.where(T == 10, 1e3, 1 + noise(1000, 0.1))}, ()),  # a single spike
    ({"d_loss": -0.001 + noise(1000, 3e-4)}, ()),  # a critic with clipped weights
    ({"d_real": 4 + noise(100, 0.5), "d_fake": -4 + noise(100, 0.5), "d_loss": -8 + noise(100, 1)}, ()),
    ({"d_real": 2e-4 + noise(100, 1e-4), "d_fake": -2e-4 + noise(100, 1e-4, 1)}, ()),  # small, but it tells them apart
    ({"d_loss": 0.01 + noise(1000, 0.005).abs(), "g_loss": 6 + noise(1000, 1)}, ("discriminator_saturated",)),
    ({"d_real": torch.full((100,), 0.99), "d_fake": 0.01 + noise(100, 1e-3)}, ("discriminator_saturated",)),
    ({"d_real": 8 + noise(100, 1), "d_fake": -8 + noise(100, 1)}, ("discriminator_saturated",)),
    ({"d_loss": [torch.tensor(2 * math.log(2), requires_grad=True)] * 100}, ("discriminator_blind",)),
    ({"d_real": [0.5] * 100, "d_fake": [0.5] * 100}, ("discriminator_blind",)),
    ({"g_grad_norm": torch.exp(-T / 100)}, ("vanishing_generator_signal",)),
    ({"d_loss": 1.3 + 0.2 * torch.sin(T / 10) + noise(1000, 0.1)}, ("oscillation",)),
    ({"d_loss": 1.3 + T / 5000 * torch.sin(T / 20)}, ("oscillation",)),
    ({"anything": [0.0] * 59 + [math.inf]}, ("non_finite",)),
    # just within each limit, and just beyond it
    ({"d_loss": [0.0] * 11, "g_loss": [1.0] * 12}, ()),
    ({"d_loss": [0.0] * 12}, ("discriminator_saturated",)),
    ({"d_loss": 0.034 + noise(1000, 0.004)}, ()),
    ({"d_loss": 0.026 + noise(1000, 0.004)}, ("discriminator_saturated",)),
    ({"d_loss": 0.04 + noise(1000, 0.004), "g_loss": 3.7 + noise(1000, 0.1)}, ()),
    ({"d_loss": 0.04 + noise(1000, 0.004), "g_loss": 4.3 + noise(1000, 0.1)}, ("discriminator_saturated",)),
    ({"d_loss": 0.06 + noise(1000, 0.004), "g_loss": 4.3 + noise(1000, 0.1)}, ()),
    ({"d_loss": 0.04 + noise(1000, 0.004), "g_loss": 10 - T / 200}, ()),  # G's loss falls: D does not win
    ({"d_loss": 1.4 + noise(1000, 0.01), "g_loss": 0.05 + noise(1000, 0.001)}, ()),  # a G loss that is weighted
    ({"d_loss": 1.6 + noise(1000, 0.01), "g_loss": 0.05 + noise(1000, 0.001)}, ("discriminator_fooled",)),
    ({"d_loss": 2.1 + noise(1000, 0.01), "g_loss": 0.006 + noise(1000, 0.001)}, ()),  # D would have 2.6 from samples
    ({"d_loss": 2.7 + noise(1000, 0.01), "g_loss": 0.006 + noise(1000, 0.001)}, ("discriminator_fooled",)),
    ({"d_loss": 0.97 + noise(1000, 0.1), "g_loss": 0.0075 + noise(1000, 0.001)}, ()),
    ({"d_loss": 9 + noise(1000, 0.4), "g_loss": -8 + noise(1000, 0.3, 1)}, ("discriminator_fooled",)),  # never positive
    ({"d_loss": 6 + noise(1000, 0.2), "g_loss": -5 + noise(1000, 0.2, 1)}, ("discriminator_fooled",)),
    ({"d_loss": 80 + noise(1000, 2), "g_loss": -79 + noise(1000, 2, 1)}, ("discriminator_fooled",)),
    ({"d_loss": 11 + noise(1000, 0.4), "g_loss": -5 + noise(1000, 0.2, 1)}, ()),  # eight Ds, the minimax loss
    ({"d_loss": 88 + noise(1000, 2), "g_loss": -45 + noise(1000, 2, 1)}, ()),  # a sum over a batch of 64
    ({"d_loss": 11 + noise(1000, 0.4), "g_loss": -5 + noise(1000, 2, 1)}, ("discriminator_fooled",)),  # hinge
    ({"d_loss": noise(1000, 1e-7), "g_loss": noise(1000, 1e-7, 1)}, ("discriminator_fooled",)),  # nobody opposes D
    ({"d_loss": [-1e-6] * 1000, "g_loss": [1e-4] * 1000}, ("discriminator_fooled",)),
    ({"d_loss": 0.001 + noise(1000, 1e-4), "g_loss": 0.002 + noise(1000, 1e-4)}, ("discriminator_fooled",)),
    ({"d_loss": 0.001 + noise(1000, 1e-4), "g_loss": 0.007 + noise(1000, 1e-4)}, ("discriminator_saturated",)),
    ({"d_loss": 2.5 + noise(100, 0.1), "g_loss": [0.05] * 100,
      "d_real": 0.65 + noise(100, 0.05), "d_fake": 0.35 + noise(100, 0.05)}, ()),  # its outputs deny it
    ({"d_loss": 3.7 - 2.4 * (T < 90) + noise(1000, 0.01), "g_loss": 2.0 + noise(1000, 0.01)}, ()),
    ({"d_loss": 3.7 - 2.4 * (T < 90) + noise(1000, 0.01), "g_loss": 2.4 + noise(1000, 0.01)}, ("discriminator_blind",)),
    # larger scales, on which such losses are ordinary
    ({"d_loss": 3.9 + noise(1000, 0.2), "g_loss": 4 + noise(1000, 0.3, 1)}, ()),  # of eight Ds
    ({"d_loss": 5.2 + 3 * torch.exp(-T / 50) + noise(1000, 0.2), "g_loss": 4.4 + noise(1000, 0.2, 1)}, ()),  # AC-GAN
    ({"d_loss": 83 + noise(1000, 6), "g_loss": 70 + noise(1000, 6, 1)}, ()),  # sums over a batch of 64
    ({"critic_loss": 2.6 + 12 * torch.exp(-T / 500) + noise(1000, 0.2), "g_loss": 8 + T / 50 + noise(1000, 1)}, ()),
    ({"critic_loss": 12 * (1 - torch.exp(-T / 50)) + noise(1000, 0.2), "g_loss": 8 + noise(1000, 0.8, 1)}, ()),
    ({"d_loss": 400 + 2600 * torch.exp(-T / 250) + noise(1000, 40), "g_loss": 3 * T - 2000 + noise(1000, 99, 1)}, ()),
    ({"d_loss": 2.0 + noise(1000, 0.002), "g_loss": noise(1000, 0.005)}, ("discriminator_blind",)),  # hinge
    ({"d_loss": 0.5 + noise(1000, 5e-4), "g_loss": 0.25 + noise(1000, 5e-4)}, ("discriminator_blind",)),  # LSGAN
    ({"d_loss": 20 * noise(1000, 2), "g_loss": 20 * noise(1000, 2, 1)}, ("instability",)),  # a critic without any bound
    ({"d_loss": 1.41 + noise(1000, 1e-3)}, ()),
    ({"d_loss": torch.where(T < 350, 1.1, math.log(4)) + noise(1000, 2e-3),
      "g_loss": torch.where(T < 350, 1.0, math.log(2)) + noise(1000, 2e-3, 1)}, ("discriminator_blind",)),
    ({"d_loss": torch.where(T < 150, 1.1, 1.36) + noise(1000, 3e-3), "g_loss": 0.71 + noise(1000, 3e-3, 1)}, ()),
    ({"d_loss": 1.395 + noise(1000, 1e-3)}, ()),  # near log 4, but never at it
    ({"d_loss": 1.388 + noise(1000, 1e-3)}, ("discriminator_blind",)),
    ({"d_real": 0.93 + noise(100, 0.005), "d_fake": 0.07 + noise(100, 0.005, 1)}, ()),
    ({"d_real": 0.96 + noise(100, 0.005), "d_fake": 0.04 + noise(100, 0.005, 1)}, ("discriminator_saturated",)),
    ({"d_real": 0.96 + noise(100, 0.005), "d_fake": 0.07 + noise(100, 0.005, 1)}, ()),
    ({"d_real": 0.5 + noise(100, 2e-3), "d_fake": 0.5 + noise(100, 2e-3, 1)}, ()),
    ({"d_real": 0.5 + noise(100, 1e-4), "d_fake": 0.5 + noise(100, 1e-4, 1)}, ("discriminator_blind",)),
    # D's loss at the limit, only at the end
    ({"d_loss": torch.where(T < 850, 1.3, 100.0), "g_loss": torch.where(T < 850, 1.1, 0.0)}, ("discriminator_fooled",)),
    ({"d_loss": torch.where(T < 850, 1.3, 100.2), "g_loss": torch.where(T < 850, 1.1, 0.0)}, ("discriminator_fooled",)),
    ({"d_loss": torch.where(T < 850, 1.3, 50.0)}, ("discriminator_fooled",)),
    ({"d_loss": torch.where(T < 850, 1.3, 100.0), "g_loss": torch.where(T < 850, 1.1, 30.0)}, ("discriminator_blind",)),
    ({"d_loss": torch.where(T < 850, 1.3, 100.0), "g_loss": [1.1] * 850 + [0.0] * 150,
      "d_real": torch.where(T < 850, 0.6, 1.0), "d_fake": torch.where(T < 850, 0.4, 1.0)}, ("discriminator_blind",)),
    ({"d_loss": torch.where((T >= 700) & (T < 850), 100.0, 1.3), "g_loss": 1.1 + noise(1000, 0.1)},
     ("sudden_change",)),  # it recovered
    # outputs the wrong way round
    ({"d_real": (0.2 + noise(100, 0.1)).clamp(0), "d_fake": (0.7 + noise(100, 0.1, 1)).clamp(max=1)},
     ("discriminator_fooled",)),
    ({"d_real": 0.38 + noise(100, 0.05), "d_fake": 0.62 + noise(100, 0.05, 1)}, ()),
    ({"d_real": 0.27 + noise(100, 0.05), "d_fake": 0.68 + noise(100, 0.05, 1), "g_loss": [0.4] * 100},
     ("discriminator_fooled",)),
    ({"d_real": 0.27 + noise(100, 0.03), "d_fake": 0.68 + noise(100, 0.03, 1), "g_loss": [1.3] * 100}, ()),  # exchanged
    # D wins with labels of 0.9 for real images
    ({"d_loss": 0.33 + noise(100, 0.01), "g_loss": 8 + noise(100, 0.3), "d_real": 0.9 + noise(100, 0.01),
      "d_fake": 1e-3 + noise(100, 1e-4)}, ("discriminator_saturated",)),
    ({"d_loss": 0.5 + noise(100, 0.05), "g_loss": 4.5 + noise(100, 0.3), "d_real": 0.9 + noise(100, 0.01),
      "d_fake": 0.03 + noise(100, 1e-3)}, ()),
    # accuracies
    ({"d_acc": 0.997 + noise(100, 0.002)}, ("discriminator_saturated",)),
    ({"d_acc": 0.97 + noise(100, 0.005)}, ()),
    ({"d_acc": (99.7 + noise(100, 0.2)).clamp(max=100)}, ("discriminator_saturated",)),  # per cent
    ({"d_acc_real": [1.0] * 100, "d_acc_fake": [1.0] * 100, "d_loss": 0.3 + noise(100, 0.02)},
     ("discriminator_saturated",)),
    ({"d_acc": [1.0] * 100, "d_loss": 1.1 + noise(100, 0.1)}, ()),  # the loss denies it
    ({"d_acc": [1.0] * 100, "d_loss": 0.2 + noise(100, 0.01), "g_loss": torch.linspace(6, 2, 100)}, ()),  # G gains
    ({"d_acc": [1.0] * 100, "d_loss": -1.1 + noise(100, 0.1)}, ()),  # a critic has none
    ({"d_acc_real": [1.0] * 100}, ()),  # one half says little
    ({"d_acc": 0.03 + noise(100, 0.01)}, ("discriminator_fooled",)),
    ({"d_acc": 0.15 + noise(100, 0.01)}, ()),
    ({"d_acc_real": 3 + noise(100, 1), "d_acc_fake": 2 + noise(100, 0.5)}, ("discriminator_fooled",)),
    ({"d_acc_real": [0.0] * 100, "d_acc_fake": [1.0] * 100}, ("discriminator_blind",)),
    ({"d_acc_real": [100.0] * 100, "d_acc_fake": [0.0] * 100}, ("discriminator_blind",)),
    ({"d_acc_real": [0.0] * 100, "d_acc_fake": 0.95 + noise(100, 0.01),
      "d_loss": 0.8 + noise(100, 0.05)}, ()),  # smoothed labels in Keras
    ({"d_loss": pairs(2 + noise(100, 0.2), 0.02)}, ("discriminator_fooled",)),  # as Keras gives them
    ({"d_loss": pairs(0.2 + noise(100, 0.02), 100)}, ("discriminator_saturated",)),
    ({"d_loss": pairs(0.2 + noise(100, 0.02), 80)}, ()),
    ({"d_loss": pairs(0.4 + noise(100, 0.05), 0.02)}, ()),  # the second may be another loss
    ({"g_grad_norm": torch.where(T < 500, 1.0, 0.015)}, ()),
    ({"g_grad_norm": torch.where(T < 500, 1.0, 0.008)}, ("vanishing_generator_signal",)),
    ({"g_grad_norm": [2e-6] * 40}, ()),
    ({"g_grad_norm": [5e-7] * 40}, ("vanishing_generator_signal",)),
    ({"d_loss": 1.3 + 0.025 * torch.sin(T / 10) + noise(1000, 0.005)}, ()),
    ({"d_loss": 1.3 + 0.035 * torch.sin(T / 10) + noise(1000, 0.005)}, ("oscillation",)),
    ({"d_loss": 1.3 + 0.10 * torch.sin(T / 10) + noise(1000, 0.1)}, ()),
    ({"d_loss": 1.3 + 0.14 * torch.sin(T / 10) + noise(1000, 0.1)}, ("oscillation",)),
    ({"d_loss": 1.3 + 0.2 * torch.sin(T / 40) + noise(1000, 0.05)}, ("oscillation",)),  # four cycles
    ({"d_loss": 1.3 + 0.2 * torch.sin(T[:25] / 1.0) + noise(25, 0.03)}, ("oscillation",)),  # in 25 entries
    ({"d_loss": 1.3 + 0.2 * torch.sin(T / 60) + noise(1000, 0.05)}, ()),  # three would be a trend
    ({"d_loss": 1.3 + 0.2 * torch.sin(0.9 * T + noise(1000, 0.15).cumsum(0)) + noise(1000, 0.05, 1)}, ("oscillation",)),
    ({"d_loss": 1.3 + 0.2 * torch.sin(0.9 * T + noise(1000, 1.0).cumsum(0)) + noise(1000, 0.05, 1)}, ()),  # no cycle
    ({"d_loss": 1.3 + 0.2 * torch.sin(T / 10) * (T < 650) + noise(1000, 0.02)}, ()),  # it has died down
    ({"d_loss": 1.3 + 0.01 * noise(1000, 1).cumsum(0)}, ()),  # a random walk
    ({"d_loss": 1.25 + 0.2 * (T % 4 == 0) + noise(1000, 0.02)}, ()),  # a penalty in every fourth step
    # D's steps between two of G's, in which it gains, and cycles that only nearly keep such a step
    *(({"d_loss": -4 - 0.5 * (T[:n] % 5) + noise(n, 0.35)}, ()) for n in (60, 105, 1000)),
    ({"d_loss": -4 - 0.3 * (T % 10) + noise(1000, 0.35)}, ()),
    ({"d_loss": -4 - 0.5 * (T % 5) + noise(1000, 0.9)}, ()),
    ({"d_loss": -4 - 0.5 * (T % 5.1) + noise(1000, 0.35)}, ("oscillation",)),
    ({"d_loss": -4 - 0.5 * (T[:50] % 5) + noise(50, 0.1)}, ("oscillation",)),  # too few to say
    ({"d_loss": 1.3 + 0.3 * torch.sin(2 * math.pi * T / 50) + noise(1000, 0.1)}, ("oscillation",)),  # nor are twenty
    *(({"d_loss": 1.2 + 0.3 * torch.sin(2 * math.pi * T / period) + noise(1000, 0.1)}, ("oscillation",))
      for period in (12, 15, 20, 25)),  # whole numbers of entries, but too many for a rhythm of the program
    ({"d_loss": -4 + noise(60, 0.2), "g_loss": np.repeat([1.2, 1.3, 1.4, 3.7, 3.6, 3.8], 10)}, ()),  # carried forward
    ({"d_loss": torch.linspace(-1, -250, 1000)}, ()),  # a critic whose loss drifts
    ({"d_loss": -0.9 * torch.exp(T / 190), "g_loss": noise(1000, 1)}, ("divergence",)),  # up to 170, and still rising
    ({"d_loss": -3 - 147 * (T / 40 - 15).sigmoid(), "g_loss": noise(1000, 1)}, ()),  # as far, but it has levelled off
    ({"d_loss": 1.2 + noise(1000, 0.1), "g_loss": torch.where(T < 800, 1, 90.0)}, ("sudden_change",)),
    ({"d_loss": 1.2 + noise(1000, 0.1), "g_loss": torch.where(T < 800, 1, 210.0)}, ("divergence",)),
    ({"d_loss": 0.6 + noise(1000, 0.1), "g_loss": 1 + 20 * T}, ("divergence",)),  # steadily
    ({"d_loss": 0.6 + noise(25, 0.1), "g_loss": 1 + 800 * T[:25]}, ("divergence",)),
    ({"d_loss": 0.6 + noise(1000, 0.1), "g_loss": 60 + T}, ()),  # from 60 to 1,060
    ({"d_loss": -3 + noise(1000, 0.1), "g_loss": 1 + 0.29 * T}, ()),  # a critic drifts
    ({"d_loss": 1.2 + noise(1000, 0.05), "recall": torch.where(T < 500, 0.5, 0.27)}, ()),
    ({"d_loss": 1.2 + noise(1000, 0.05), "recall": torch.where(T < 500, 0.5, 0.22)}, ("partial_collapse",)),
    ({"d_loss": 1.2 + noise(1000, 0.05), "recall": torch.where(T < 500, 0.5, 0.02)}, ("total_collapse",)),
    ({"n_modes": torch.where(T < 500, 10, 6)}, ()),
    ({"n_modes": torch.where(T < 500, 10, 4)}, ("partial_collapse",)),
    ({"label_entropy": torch.where(T < 500, 2.2, 0.02)}, ("total_collapse",)),
    ({"ms_ssim": torch.where(T < 500, 0.2, 0.7) + noise(1000, 0.03)}, ("partial_collapse",)),
    ({"ms_ssim": torch.where(T < 500, 0.2, 0.97) + noise(1000, 0.005)}, ("total_collapse",)),
    ({"ms_ssim": torch.where(T < 500, 0.0, 0.55) + noise(1000, 0.03)}, ()),  # of noise, then of similar images
    ({"ms_ssim": torch.where(T < 500, 0.9, 0.2) + noise(1000, 0.03)}, ()),
    # scores
    ({"fid": torch.cat([torch.linspace(200, 30, 500), torch.linspace(30, 250, 500)])}, ("low_fidelity",)),
    ({"fid": torch.cat([torch.linspace(200, 30, 500), torch.linspace(30, 50, 500)])}, ()),
    ({"fid": torch.cat([torch.linspace(200, 10, 12), torch.linspace(10, 150, 12)])}, ("low_fidelity",)),
    ({"fid": torch.cat([torch.linspace(200, 10, 500), torch.linspace(10, 40, 500)])}, ()),  # near 10
    ({"fid": torch.linspace(20, 90, 1000)}, ()),  # never better than at the beginning
    ({"kid": 0.15 * torch.exp(-T / 100) + noise(1000, 1e-3).abs()}, ()),
    ({"inception_score": torch.cat([torch.linspace(1, 6, 500), torch.linspace(6, 1.2, 500)])}, ("low_fidelity",)),
    ({"inception_score": torch.cat([torch.linspace(1, 6, 500), torch.linspace(6, 3.5, 500)])}, ()),
    ({"mmd": noise(14, 1e-3, 8).abs()}, ()),  # all noise
    ({"precision": 0.4 + 0.6 * torch.exp(-T / 100)}, ()),  # it praised noise
    ({"d_loss": [90.0] * 1000, "g_loss": [0.0] * 1000,
      "fid": torch.cat([torch.linspace(200, 30, 500), torch.linspace(30, 250, 500)])}, ("discriminator_fooled",)),
    ({"d_loss": torch.where(T < 600, 1.0, 1.45) + noise(1000, 0.05)}, ()),  # by 31%
    ({"d_loss": torch.where(T < 600, 1.0, 1.65) + noise(1000, 0.05)}, ("sudden_change",)),  # by 39%
    ({"d_loss": (1 + 0.65 * (T / 100 - 5).sigmoid()) + noise(1000, 0.05)}, ()),  # as much, but gradually
    ({"d_loss": (1 + 0.65 * ((T - 600) / 4).sigmoid()) + noise(1000, 0.02)}, ()),  # within twenty entries
    ({"d_loss": 1.5 + 0.4 * noise(20, 1, 2).repeat_interleave(50) + noise(1000, 0.02)}, ()),  # such changes everywhere
    ({"d_loss": torch.where(T < 600, 1.1, 1.35) + noise(1000, 0.03), "g_loss": 1 + noise(1000, 0.1)}, ()),
    ({"d_loss": torch.where(T < 600, 1.1, 1.35) + noise(1000, 0.03),
      "g_loss": torch.where(T < 600, 1.0, 0.7) + noise(1000, 0.04, 1)}, ("sudden_change",)),
    # a change that is as small as the noise of single entries
    ({"d_loss": torch.where(T < 600, 1.0, 1.3) + noise(1000, 0.2),
      "g_loss": torch.where(T < 600, 1.0, 0.75) + noise(1000, 0.2, 1)}, ("sudden_change",)),
    ({"d_loss": torch.where(T < 600, 1.0, 1.7) + noise(1000, 0.4)}, ("sudden_change",)),
    ({"d_loss": torch.where(T < 600, 1.0, 1.3) + noise(1000, 0.2), "g_loss": 1 + noise(1000, 0.2, 1)}, ()),  # one alone
    ({"d_loss": torch.where(T < 600, 1.0, 1.1) + noise(1000, 0.07),
      "g_loss": torch.where(T < 600, 1.0, 0.9) + noise(1000, 0.07, 1)}, ()),  # by 10%
    ({"d_loss": 1 + 0.3 * ((T - 500) / 60).sigmoid() + noise(1000, 0.1),
      "g_loss": 1 - 0.3 * ((T - 500) / 60).sigmoid() + noise(1000, 0.1, 1)}, ()),  # gradually
    ({"d_loss": 1 + 0.4 * T / 1000 + noise(1000, 0.1), "g_loss": 1 - 0.4 * T / 1000 + noise(1000, 0.1, 1)}, ()),
    ({"d_loss": torch.exp(1.2 * noise(1000, 1)), "g_loss": torch.exp(1.2 * noise(1000, 1, 1))}, ()),
    ({"d_loss": 4 * torch.exp(1.5 * noise(1000, 1)), "g_loss": torch.ones(1000)}, ("instability",)),
]  # fmt: skip


@pytest.mark.parametrize(("history", "names"), CURVES)
def test_limits(history, names):
    assert examined(history).names == names


@pytest.mark.parametrize(
    ("g_loss", "least"),
    [(1.1 * torch.exp(T / 190), 30), (torch.where(T < 300, 1, 210.0), 100), (1 + 20 * T, 20)],
    ids=["exponentially", "early and for good", "steadily"],
)
def test_the_evidence_of_divergence_names_the_bound_that_was_passed(g_loss, least):
    history = {"d_loss": 1.2 + noise(1000, 0.1), "g_loss": g_loss}
    (evidence,) = examined(history).findings[0].evidence
    assert evidence.high == least < evidence.value


@pytest.mark.parametrize("name", histories.KINDS)
def test_simulated_trainings(name):
    answer = histories.KINDS[name][0]
    found = [histories.first_finding(columns) for columns in histories.examples(name, 6, seed=11)]
    assert found.count(answer) >= (6 if answer is None else 5), found


@pytest.mark.parametrize(
    ("name", "seed", "place"),
    [
        ("pix2pix", 100, 34),  # a loss that falls by half in noise, faster at first
        *(("wandering", seed, 4) for seed in range(12)),  # random walks of 3000 entries
    ],
)
def test_sound_trainings_that_look_as_if_something_had_happened(name, seed, place):
    assert histories.first_finding(list(histories.examples(name, place + 1, seed))[place]) is None


def test_a_walk_that_jumps_by_chance_is_no_sudden_change():
    """Nor where G's loss mirrors D's; there is noise on top of both."""
    found = []
    for seed in range(300):
        r = np.random.default_rng(seed)
        walk, noise = np.cumsum(r.normal(0, 1, 700)), r.normal(0, r.uniform(0.1, 1), (2, 700))
        d, g = 1.1 + 0.2 * walk / walk.std() + 0.2 * noise[0], 1.1 - 0.2 * walk / walk.std() + 0.2 * noise[1]
        losses = {"d_loss": d, "g_loss": g}
        found.append(swings.lasting_shift({k: training_log.Curve(k, np.arange(700.0), x) for k, x in losses.items()}))
    assert not any(found)


def test_the_step_at_which_it_began_is_told():
    steps = list(range(0, 50_000, 50))
    d = [1.2 if step < 20_000 else 90.0 for step in steps]
    g = [0.9 if step < 20_000 else 0.0 for step in steps]
    (finding,) = examined({"step": steps, "d_loss": d, "g_loss": g}).findings
    assert finding.name == "discriminator_fooled"
    assert abs(finding.since - 20_000) <= 1000
    assert f"since: step {finding.since:,.0f}" in str(examined({"step": steps, "d_loss": d, "g_loss": g}))


def test_the_step_that_is_told_is_one_of_the_log():
    steps = list(range(0, 7 * 60, 7))
    won, lost = [1.2, 1.3] * 15, [90.0] * 30
    (finding,) = examined({"iteration": steps, "d_loss": won + lost, "g_loss": [0.9] * 30 + [0.0] * 30}).findings
    assert finding.since in steps[29:32]


def test_every_game_of_several_is_judged_with_its_own_players():
    sound = histories.KINDS["cyclegan"][1](np.random.default_rng(0), 400)
    assert examined(sound).healthy
    sick = sound | {"D_B": np.full(400, 90.0), "G_B": np.zeros(400)}
    assert examined(sick).names == ("discriminator_fooled",)
    crossed = sound | {"D_B": np.full(400, 90.0), "G_A": np.zeros(400)}  # no game is lost
    assert "discriminator_fooled" not in examined(crossed).names


@pytest.mark.parametrize(
    ("history", "kind"),
    [
        ({"d_loss": -1.0 + noise(100, 0.1)}, "wasserstein"),
        ({"d_loss": 1.2 + noise(100, 0.1), "g_loss": noise(100, 0.5)}, "hinge"),
        ({"d_loss": 1.2 + noise(100, 0.1), "g_loss": -0.5 - noise(100, 0.5).abs()}, "saturating"),
        ({"d_loss": 90 + noise(100, 5), "g_loss": noise(100, 50)}, "wasserstein"),  # the distance, as a positive number
        ({"critic_loss": 8 + noise(100, 1), "g_loss": 5 + noise(100, 1)}, "wasserstein"),
        ({"critic_loss": 1.2 + noise(100, 0.1), "g_loss": 1 + noise(100, 0.1)}, "cross-entropy"),
        ({"d_loss": 1.2 + noise(100, 0.1), "g_loss": 1 + noise(100, 0.1)}, "cross-entropy"),
    ],
)
def test_the_kind_of_loss_is_guessed_and_said(history, kind):
    (columns,) = training_log.read(history).games.values()
    assert game.kind_of_loss(columns) == kind
    assert any(game.LOSSES[kind] in note for note in examined(history).notes)


def test_what_was_not_judged_is_always_named():
    d = examined(
        {
            "g_loss": [1.0] * 50,
            "d_loss": [1.0] * 5,
            "lr": [1e-4] * 50,
            "wobble factor": [2.0] * 50,
            "comment": ["fine"] * 50,
        }
    )
    said = " ".join(d.notes)
    assert d.healthy
    for told in ("lr (learning rate)", "wobble factor", "comment"):
        assert told in said
    assert d.open == ("what d_loss would show: 12 entries or more can be judged",)


@pytest.mark.parametrize(
    ("d_loss", "g_loss", "left_open"),
    [
        (1.0, 0.003, "whether D is fooled"),  # least squares with targets 0 and 1, as a sum
        (0.5, 0.001, "whether D is fooled"),  # or as a mean
        (5.0, 0.9, "whether D tells anything apart"),
        (0.5, 0.5, None),
        (1.3, 0.8, None),
    ],
)
def test_losses_that_sound_games_have_too_leave_it_open_who_wins(d_loss, g_loss, left_open):
    history = {"d_loss": d_loss * (1 + noise(300, 0.02)), "g_loss": g_loss * (1 + noise(300, 0.2))}
    d = examined(history)
    assert d.healthy
    assert [question.split(":")[0] for question in d.open] == ([left_open] if left_open else [])
    outputs = {"D(x)": 0.6 + noise(300, 0.02), "D(G(z))": 0.4 + noise(300, 0.02)}
    assert examined(history | outputs).open == ()


@pytest.mark.parametrize("n", [24, 200, 3000])
def test_a_game_that_is_switched_on_late_is_judged_from_there(n):
    half = n // 2
    off, d, g = torch.zeros(half), 0.95 + noise(half, 0.05), -0.1 + noise(half, 0.1, 1)
    sound = examined({"disc_loss": torch.cat([off, d]), "g_loss": torch.cat([off, g]), "rec_loss": [0.3] * n})
    assert sound.healthy
    assert any(f"is 0 until step {half:,}:" in note for note in sound.notes)
    only_d = examined({"disc_loss": torch.cat([off, d]), "g_loss": torch.cat([off - 0.3, g])})
    assert only_d.healthy
    lost = examined({"disc_loss": torch.cat([off, 80 + d]), "g_loss": off.tolist() + [0.01] * half})
    assert lost.names == ("discriminator_fooled",)
    assert lost.findings[0].since >= half
    assert examined({"d_loss": [0.0] * n, "g_loss": [9.0] * n}).names == ("discriminator_saturated",)


def test_a_game_that_is_switched_on_too_late_is_not_judged():
    with pytest.raises(BadInput, match="0 until step 30"):
        examined({"disc_loss": [0.0] * 30 + [1.1] * 5})


def test_nothing_to_judge_is_said():
    for history in ({"wobble": [1.0] * 100}, {"d_loss": [1.0] * 11}, {"d_loss": ["none"] * 50}):
        with pytest.raises(BadInput, match="nothing in this log can be judged") as raised:
            examined(history)
        assert next(iter(history)) in str(raised.value)


def test_a_curve_that_grows_and_swings_is_one_finding():
    r = np.random.default_rng(0)
    wild = np.exp(r.normal(2, 1.6, 500))
    assert examined({"d_loss": wild, "g_loss": wild}).names == ("instability",)


def test_a_log_beside_samples(strokes_case):
    samples, real = strokes_case
    d = doctor.examine(samples, real, history={"errD": [89.0] * 50, "errG": [0.0] * 50})
    assert d.names == ("discriminator_fooled",)
    assert any("errD as D's loss" in note for note in d.notes)


@pytest.fixture(scope="module")
def strokes_case():
    from gantutor import data

    return data.load("strokes", "test").pixels[:300], data.load("strokes")[:1500]


def test_json_of_a_log_alone():
    told = json.loads(examined({"d_loss": [90.0] * 50, "g_loss": [0.0] * 50}).to_json())
    (finding,) = told["findings"]
    assert finding["name"] == "discriminator_fooled"
    assert finding["since"] == 0


def test_oscillation_of_a_sine_on_a_trend():
    t = np.arange(1000)
    found = swings.strongest_oscillation(3 + 0.01 * t + 0.5 * np.sin(2 * np.pi * 12 * t / 1000))
    assert math.isclose(found.cycles, 12, rel_tol=0.05)
    assert found.share > 0.97
    assert math.isclose(found.amplitude, 0.5 / math.sqrt(2), rel_tol=0.05)
    assert found.regularity > found.chance
    assert swings.strongest_oscillation(np.sin(t[:20])) is None


@pytest.mark.parametrize("n", [30, 500, 3000])
@pytest.mark.parametrize("correlation", [0, 0.8, 0.95, 0.99, 1])
def test_what_wanders_does_not_oscillate(correlation, n):
    r, beyond = np.random.default_rng(0), []
    for _ in range(20):
        walk = [0.0]
        for shock in r.normal(0, 1, n - 1):
            walk.append(correlation * walk[-1] + shock)
        for noise_too in (0, np.std(walk) / 2):
            found = swings.strongest_oscillation(np.array(walk) + r.normal(0, 1, n) * noise_too)
            beyond.append(found.regularity - found.chance)
    assert max(beyond) < 0


def test_the_lasting_shift_is_where_it_was_put():
    r = np.random.default_rng(0)
    steps = np.arange(0.0, 20_000, 10)
    d, g = (np.where(steps < 9000, 1.0, level) + r.normal(0, 0.3, 2000) for level in (1.3, 0.75))
    found = swings.lasting_shift(
        {"d_loss": training_log.Curve("d", steps, d), "g_loss": training_log.Curve("g", steps, g)}
    )
    for jump, level in ((found["d_loss"], 1.3), (found["g_loss"], 0.75)):
        assert abs(jump.step - 9000) <= 300
        assert math.isclose(jump.before, 1, abs_tol=0.05)
        assert math.isclose(jump.after, level, abs_tol=0.05)


def test_the_largest_jump_is_where_it_was_put():
    for n, at in ((80, 50), (900, 333), (30_000, 20_000)):
        values = np.where(np.arange(n) < at, 1.0, 2.0) + np.random.default_rng(n).normal(0, 0.05, n)
        jump = swings.largest_jump(training_log.Curve("d", np.arange(n, dtype=float), values))
        assert abs(jump.step - at) <= max(1, n // 500)
        assert math.isclose(jump.relative, 0.5, abs_tol=0.05)
