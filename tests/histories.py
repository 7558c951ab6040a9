"""Training histories with known answers: simulated after what people report, at many scales, lengths and noise levels.

    python tests/histories.py                            # how many of each kind the doctor names first; 40 of each
    python tests/histories.py --seed 1234 --write         # the same as tests/histories.md

Each kind is a function of a random generator and of a length that returns columns by name. The answer is the ailment
that should be named first, or None for a training that is sound.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gantutor import doctor

Columns = dict[str, np.ndarray]
KINDS: dict[str, tuple[str | None, Callable[[np.random.Generator, int], Columns]]] = {}
LENGTHS = 25, 60, 200, 800, 3000, 20_000


def kind(answer: str | None):
    def register(function):
        KINDS[function.__name__.replace("_", " ")] = answer, function
        return function

    return register


def wobble(r: np.random.Generator, n: int, size: float, memory: float = 0.6) -> np.ndarray:
    """Noise of standard deviation `size` that remembers its last value: (n,)."""
    steps = r.normal(0, size * np.sqrt(1 - memory**2), n)
    x = np.empty(n)
    x[0] = r.normal(0, size)
    for i in range(1, n):
        x[i] = memory * x[i - 1] + steps[i]
    return x


def ramp(n: int, before: float, after: float, until: float) -> np.ndarray:
    """From one value to another, exponentially, nearly reached at the share `until` of the training: (n,)."""
    return after + (before - after) * np.exp(-4 * np.arange(n) / max(1, until * n))


def jitter(r: np.random.Generator, n: int, level: np.ndarray | float, size: float) -> np.ndarray:
    """A positive curve around a level, with relative noise: (n,)."""
    return level * np.exp(wobble(r, n, size, r.uniform(0, 0.8)))


# --- sick ------------------------------------------------------------------------------------------------------------


@kind("discriminator_saturated")
def d_wins(r, n):
    until = r.uniform(0.05, 0.6)
    d = jitter(r, n, ramp(n, r.uniform(0.7, 1.4), 10 ** r.uniform(-6, -2), until), r.uniform(0.05, 0.6))
    g = jitter(r, n, ramp(n, r.uniform(0.7, 2), r.uniform(8, 30), r.uniform(0.2, 1)), r.uniform(0.02, 0.3))
    return {"d_loss": d, "g_loss": g}


@kind("discriminator_saturated")
def d_wins_and_g_climbs(r, n):
    d = np.geomspace(r.uniform(0.8, 1.4), 10 ** r.uniform(-7, -3), n) * np.exp(wobble(r, n, 0.3))
    return {"D_loss": d, "G_loss": jitter(r, n, np.linspace(r.uniform(0.7, 2), r.uniform(20, 60), n), 0.05)}


@kind("discriminator_saturated")
def certain_outputs(r, n):
    until = r.uniform(0.05, 0.4)
    real = 1 - jitter(r, n, ramp(n, 0.5, r.uniform(0.0005, 0.02), until), 0.3).clip(0, 0.6)
    fake = jitter(r, n, ramp(n, 0.5, r.uniform(0.0005, 0.02), until), 0.3).clip(0, 1)
    return {"D(x)": real, "D(G(z))": fake}


@kind("discriminator_saturated")
def d_wins_against_the_saturating_loss(r, n):
    fake = jitter(r, n, ramp(n, 0.5, 10 ** r.uniform(-6, -2.5), r.uniform(0.05, 0.3)), 0.4).clip(0, 0.9)
    return {"d_loss": -2 * np.log1p(-fake), "g_loss": np.log1p(-fake)}


@kind("discriminator_fooled")
def d_loses(r, n):
    d = jitter(r, n, ramp(n, r.uniform(1, 10), r.uniform(8, 95), r.uniform(0.02, 0.4)), r.uniform(0.02, 0.2))
    return {"d_loss": d, "g_loss": jitter(r, n, ramp(n, 0.7, 10 ** r.uniform(-8, -2), r.uniform(0.02, 0.4)), 0.3)}


@kind("discriminator_fooled")
def exchanged_outputs(r, n):
    return {"D_x": (r.uniform(0.03, 0.2) + wobble(r, n, 0.03)).clip(0, 1),
            "D_G_z1": (r.uniform(0.8, 0.97) + wobble(r, n, 0.03)).clip(0, 1)}  # fmt: skip


@kind("discriminator_fooled")
def pinned_at_100(r, n):
    start = int(r.uniform(0, 0.3) * n)
    d, g = np.full(n, r.choice([50.0, 100.0])), np.zeros(n)  # where PyTorch cuts off the logarithm of 0
    d[:start], g[:start] = jitter(r, n, 1.3, 0.2)[:start], jitter(r, n, 1.0, 0.3)[:start]
    return {"errD": d, "errG": g} if r.random() < 0.7 else {"errD": d}


@kind("discriminator_fooled")
def pinned_at_100_in_the_end(r, n):
    start = int(r.uniform(0.82, 0.87) * n)
    d, g = jitter(r, n, 1.3, r.uniform(0.1, 0.3)), jitter(r, n, 1.2, r.uniform(0.1, 0.3))
    d[start:], g[start:] = 100 + r.choice([0, 0.3]) * r.random(n - start), 10 ** r.uniform(-8, -3)
    return {"errD": d, "errG": g} if r.random() < 0.7 else {"errD": d}


@kind("discriminator_fooled")
def fooled_under_a_loss_that_is_never_positive(r, n):
    size = ramp(n, r.uniform(3.5, 5), r.uniform(5, 60), r.uniform(0.02, 0.4))
    halved = r.choice([1.0, 0.5]) if size[-1] > 12 else 1.0
    d = halved * (size + jitter(r, n, r.uniform(0.5, 2), 0.2))
    return {"d_loss": d, "g_loss": -jitter(r, n, size, r.uniform(0.02, 0.08))}


@kind("discriminator_fooled")
def samples_called_real_by_the_mean_of_both_halves(r, n):
    g = jitter(r, n, ramp(n, 0.7, r.uniform(0.003, 0.035), r.uniform(0.02, 0.4)), r.uniform(0.05, 0.3))
    d = (-np.log(-np.expm1(-g)) + jitter(r, n, r.uniform(0.1, 1.5), 0.2)) / 2
    return {"d_loss": d + wobble(r, n, r.uniform(0, 0.1)), "g_loss": g}


@kind("discriminator_fooled")
def players_on_the_same_side(r, n):
    until = r.uniform(0.02, 0.4)
    return {role: jitter(r, n, ramp(n, 0.7, 10 ** r.uniform(-8, -4), until), r.uniform(0.05, 0.5))
            for role in ("d_loss", "g_loss")}  # fmt: skip


@kind("discriminator_fooled")
def noisy_outputs_of_a_fooled_d(r, n):
    noise, until = r.uniform(0.02, 0.12), r.uniform(0.01, 0.5)
    real = (ramp(n, 0.6, r.uniform(0.15, 0.22), until) + wobble(r, n, noise, r.uniform(0, 0.8))).clip(0, 1)
    fake = (ramp(n, 0.4, r.uniform(0.68, 0.75), until) + wobble(r, n, noise, r.uniform(0, 0.8))).clip(0, 1)
    losses = {"Loss_D": jitter(r, n, -np.log(real.clip(0.02)) - np.log1p(-fake.clip(0, 0.98)), 0.1),
              "Loss_G": jitter(r, n, -np.log(fake.clip(0.02)), 0.1)}  # fmt: skip
    return {**(losses if r.random() < 0.5 else {}), "D(x)": real, "D(G(z))": fake}


def accuracy_columns(r, n, real, fake, whole=True):
    """D's accuracies from a half to these levels, as shares of a batch or per cent, for both halves or as a whole."""
    until, noise, batch = r.uniform(0.01, 0.4), r.uniform(0, 0.015), 2 ** r.integers(4, 9)
    halves = [(ramp(n, 0.5, level, until) + wobble(r, n, noise)).clip(0, 1) for level in (real, fake)]
    scale = r.choice([1, 100])
    of_real, of_fake = (scale * np.round(half * batch) / batch for half in halves)
    if whole and r.random() < 0.5:
        return {r.choice(["d_acc", "D accuracy", "disc_accuracy"]): (of_real + of_fake) / 2}
    names = r.choice([["d_acc_real", "d_acc_fake"], ["D accuracy real", "D accuracy fake"], ["real_acc", "fake_acc"]])
    return {str(names[0]): of_real, str(names[1]): of_fake}


@kind("discriminator_saturated")
def always_right(r, n):
    losses = {"d_loss": jitter(r, n, ramp(n, 0.7, r.uniform(0.06, 0.2), 0.3), 0.2),
              "g_loss": jitter(r, n, ramp(n, 0.8, r.uniform(2.5, 6), 0.3), 0.2)}  # fmt: skip
    columns = accuracy_columns(r, n, 1.0, 1.0)
    if len(columns) == 1 and r.random() < 0.5:  # as Keras gives them
        (values,) = columns.values()
        return {"d_loss": list(zip(losses["d_loss"], values, strict=True)), "g_loss": losses["g_loss"]}
    return columns | (losses if r.random() < 0.6 else {})


@kind("discriminator_fooled")
def always_wrong(r, n):
    losses = {"d_loss": jitter(r, n, ramp(n, 0.7, r.uniform(1.5, 6), 0.3), 0.2),
              "g_loss": jitter(r, n, ramp(n, 0.8, r.uniform(0.15, 0.4), 0.3), 0.2)}  # fmt: skip
    columns = accuracy_columns(r, n, r.uniform(0, 0.03), r.uniform(0, 0.03))
    return columns | (losses if r.random() < 0.6 else {})


@kind("discriminator_blind")
def all_called_the_same(r, n):
    real = r.choice([0.0, 1.0])
    return accuracy_columns(r, n, real, 1 - real, whole=False)


@kind("discriminator_blind")
def everything_generated(r, n):
    real, fake = r.uniform(0.005, 0.08), r.uniform(0.005, 0.08)
    real, fake = (jitter(r, n, ramp(n, 0.5, level, 0.1), 0.3).clip(1e-6, 0.99) for level in (real, fake))
    return {"d_loss": -np.log(real) - np.log(1 - fake), "g_loss": -np.log(fake), "D(x)": real, "D(G(z))": fake}


@kind("discriminator_blind")
def pinned_at_log_4(r, n):
    size = 10 ** r.uniform(-4, -2.5)
    scale = r.choice([1.0, 0.5])
    return {"d_loss": scale * (np.log(4) + wobble(r, n, size)), "g_loss": np.log(2) + wobble(r, n, size)}


@kind("discriminator_blind")
def pinned_after_a_while(r, n):
    start, size = int(r.uniform(0.2, 0.37) * n), 10 ** r.uniform(-4, -3)
    d, g = r.choice([1.0, 0.5]) * (np.log(4) + wobble(r, n, size)), np.log(2) + wobble(r, n, size)
    d[:start], g[:start] = jitter(r, n, 0.8 * d[-1], 0.1)[:start], jitter(r, n, 1.0, 0.2)[:start]
    return {"d_loss": d, "g_loss": g}


@kind("discriminator_blind")
def high_losses_after_ordinary_ones(r, n):
    start = r.uniform(0.15, 0.5)
    d, g = (jitter(r, n, ramp(n, 1.2, level, start), 0.05) for level in (r.uniform(4.5, 30), r.uniform(3, 20)))
    return {"d_loss": d, "g_loss": g}


@kind("discriminator_saturated")
def d_wins_with_smoothed_labels(r, n):
    label, until = r.choice([0.8, 0.9]), r.uniform(0.05, 0.4)
    real, fake = ramp(n, 0.5, label, until), ramp(n, 0.5, 10 ** r.uniform(-5, -3), until)
    d = -label * np.log(real) - (1 - label) * np.log1p(-real) - np.log1p(-fake)
    return {"d_loss": jitter(r, n, d, 0.02), "g_loss": jitter(r, n, -np.log(fake), 0.03),
            "D(x)": jitter(r, n, real, 0.01), "D(G(z))": jitter(r, n, fake, 0.2)}  # fmt: skip


@kind("divergence")
def g_explodes_steadily(r, n):
    g = jitter(r, n, r.uniform(0.7, 3) + 10 ** r.uniform(3.6, 5) * np.arange(n) / n, r.uniform(0.02, 0.2))
    return {"d_loss": jitter(r, n, ramp(n, 1.2, r.uniform(1e-4, 2), 0.5), 0.3), "g_loss": g}


@kind("divergence")
def critic_runs_away(r, n):
    size = np.geomspace(r.uniform(0.1, 3), 10 ** r.uniform(3, 9), n)
    d = r.choice([-1, 1]) * jitter(r, n, size, r.uniform(0.01, 0.2))
    d[: n // 10] *= -np.sign(d[0])  # a critic's loss is negative at first
    return {"critic_loss": d, "generator_loss": r.choice([-1, 1]) * jitter(r, n, size * r.uniform(0.5, 5), 0.1)}


@kind("divergence")
def g_explodes(r, n):
    g = jitter(r, n, np.geomspace(r.uniform(0.7, 2), 10 ** r.uniform(3, 5), n), 0.2)
    return {"d_loss": jitter(r, n, ramp(n, 1.2, r.uniform(1e-4, 2), 0.5), 0.3), "g_loss": g}


@kind("partial_collapse")
def diversity_falls(r, n):
    variety = ramp(n, r.uniform(0.2, 0.6), 0.0, 1) + 0.05
    variety *= 10 ** r.uniform(-1, 1)
    g = ramp(n, r.uniform(1.5, 3), r.uniform(0.4, 0.7), 0.8)
    return {"d_loss": jitter(r, n, 1.2, 0.1), "g_loss": jitter(r, n, g, 0.1), "diversity": jitter(r, n, variety, 0.05)}


@kind("partial_collapse")
def samples_grow_alike(r, n):
    alike = ramp(n, r.uniform(0.05, 0.35), r.uniform(0.7, 0.88), r.uniform(0.3, 1)) + wobble(r, n, r.uniform(0, 0.03))
    return {**with_r1(r, n), r.choice(["ms_ssim", "MS-SSIM", "sample/msssim"]): alike.clip(0, 0.9)}


@kind("partial_collapse")
def classes_die_out(r, n):
    classes, kept = r.choice([10, 25, 100]), ramp(n, r.uniform(0.8, 1), r.uniform(0.12, 0.3), r.uniform(0.3, 1))
    if r.random() < 0.4:
        return {**with_r1(r, n), "label_entropy": np.log(classes) * kept ** r.uniform(1, 1.3)}
    number = np.round((classes * kept * np.exp(wobble(r, n, 0.04))).clip(1, classes))
    return {**with_r1(r, n), r.choice(["n_modes", "classes_covered", "unique_classes"]): number}


@kind("low_fidelity")
def scores_get_worse_again(r, n):
    best, (low, high) = int(r.uniform(0.25, 0.55) * n), (r.uniform(10, 40), r.uniform(120, 300))
    fid = np.r_[np.geomspace(high, low, best), np.linspace(low, r.uniform(1.1, 2) * high, n - best)]
    name, fid = ("fid", fid) if r.random() < 0.6 else ("inception_score", 200 / fid)
    return {**with_r1(r, n), name: jitter(r, n, fid, r.uniform(0, 0.05))}


@kind("non_finite")
def broken_down_in_empty_cells(r, n):
    losses, at = with_r1(r, n), int(r.uniform(0.3, 0.85) * n)
    cells = {role: [*values[:at].tolist(), *[None] * (n - at)] for role, values in losses.items()}
    return {"step": np.arange(n), "lr": np.full(n, 2e-4), **cells}


@kind("non_finite")
def broken_down(r, n):
    at = int(r.uniform(0.3, 0.95) * n)
    d, g = jitter(r, n, 1.2, 0.15), jitter(r, n, 1.0, 0.2)
    d[at:], g[at + 1 :] = np.nan, np.nan
    return {"step": np.arange(n), "lr": np.full(n, 2e-4), "loss_D": d, "loss_G": g}


@kind("oscillation")
def cycles(r, n):
    n = max(n, 60)
    turns = r.uniform(5, min(40, n / 8))
    phase = 2 * np.pi * turns * np.arange(n) / n
    size, noise = r.uniform(0.15, 0.5), r.uniform(0.02, 0.08)
    return {"d_loss": 1.1 + size * np.sin(phase) + wobble(r, n, noise, 0.3),
            "g_loss": 1.2 + 1.3 * size * np.sin(phase + 1.5) + wobble(r, n, noise, 0.3)}  # fmt: skip


@kind("oscillation")
def slow_cycles(r, n):
    phase = 2 * np.pi * r.uniform(3.7, 4.6) * np.arange(n) / n + r.uniform(0, 2 * np.pi)
    size = r.uniform(0.15, 0.5)
    noise = size * r.uniform(0.15, 0.35), r.uniform(0, 0.5)
    return {"d_loss": 1.1 + size * np.sin(phase) + wobble(r, n, *noise) + np.linspace(0, r.uniform(-0.3, 0.3), n),
            "g_loss": 1.2 + 1.3 * size * np.sin(phase + 1.5) + wobble(r, n, *noise)}  # fmt: skip


@kind("oscillation")
def short_cycles_not_quite_regular(r, n):
    n = max(n, 60)
    pace = np.exp(wobble(r, n, r.uniform(0, 0.12), 0.8))
    phase = 2 * np.pi / r.uniform(6, 9) * np.cumsum(pace) + r.uniform(0, 2 * np.pi)
    size = r.uniform(0.15, 0.5)
    noise = size * r.uniform(0.15, 0.35), r.uniform(0, 0.5)
    return {"d_loss": 1.1 + size * np.sin(phase) + wobble(r, n, *noise),
            "g_loss": 1.2 + 1.3 * size * np.sin(phase + 1.5) + wobble(r, n, *noise)}  # fmt: skip


@kind("instability")
def rates_too_high(r, n):
    d = np.exp(r.normal(np.log(r.uniform(2, 10)), r.uniform(1.3, 2), n))
    return {"d_loss": d, "g_loss": np.exp(r.normal(np.log(r.uniform(3, 15)), r.uniform(1.3, 2), n))}


@kind("sudden_change")
def worse_after_a_resume(r, n):
    n = max(n, 80)
    at = int(r.uniform(0.3, 0.8) * n)
    d = jitter(r, n, ramp(n, 1.3, r.uniform(0.7, 1.1), 0.2), r.uniform(0.02, 0.08))
    g = jitter(r, n, ramp(n, 0.8, r.uniform(1.2, 2.5), 0.2), r.uniform(0.02, 0.08))
    recovery = r.uniform(0.3, 2)
    d[at:] *= ramp(n - at, r.uniform(1.7, 3), r.uniform(1.3, 1.6), recovery)
    g[at:] *= ramp(n - at, r.uniform(0.3, 0.5), r.uniform(0.5, 0.7), recovery)
    return {"d_loss": d, "g_loss": g}


@kind("sudden_change")
def lasting_shift_among_noise(r, n):
    n = max(n, 1500)
    at, size = int(r.uniform(0.3, 0.75) * n), r.uniform(0.2, 0.5)
    d, g = (ramp(n, 1.3, 1.0, 0.2) + wobble(r, n, size * r.uniform(0.6, 1.1), r.uniform(0, 0.3)) for _ in range(2))
    d[at:] += size
    g[at:] += 1 / (1 + size) - 1
    return {"d_loss": d.clip(0.02), "g_loss": g.clip(0.02)}


@kind("vanishing_generator_signal")
def no_gradient(r, n):
    n = max(n, 60)
    norm = jitter(r, n, ramp(n, 10 ** r.uniform(-2, 1), 1e-9, r.uniform(0.1, 0.4)), 0.3)
    return {"d_loss": jitter(r, n, 0.4, 0.2), "g_loss": jitter(r, n, 2.0, 0.2), "G_grad_norm": norm}


# --- sound -----------------------------------------------------------------------------------------------------------


@kind(None)
def dcgan(r, n):
    d = jitter(r, n, ramp(n, r.uniform(0.8, 1.6), r.uniform(0.3, 1.0), r.uniform(0.1, 1)), r.uniform(0.2, 0.6))
    g = jitter(r, n, ramp(n, r.uniform(1.5, 4), r.uniform(2, 5), r.uniform(0.1, 1)), r.uniform(0.2, 0.4))
    spikes = r.random(n) < 0.01
    d[spikes] *= r.uniform(2, 6)
    real, fake = (
        (r.uniform(0.75, 0.9) + wobble(r, n, 0.08)).clip(0.3, 1),
        (r.uniform(0.1, 0.25) + wobble(r, n, 0.08)).clip(0.0, 0.7),
    )
    return {"Loss_D": d, "Loss_G": g, "D(x)": real, "D(G(z))": fake}


@kind(None)
def with_r1(r, n):
    d = ramp(n, 1.386, r.uniform(1.15, 1.36), r.uniform(0.02, 0.1)) + wobble(r, n, r.uniform(0.005, 0.03))
    return {"d_loss": d, "g_loss": ramp(n, 0.69, r.uniform(0.72, 1), 0.05) + wobble(r, n, r.uniform(0.005, 0.05))}


@kind(None)
def wgan_gp(r, n):
    scale = 10 ** r.uniform(-1, 2.3)
    d = -ramp(n, scale, scale * r.uniform(0.05, 0.3), r.uniform(0.1, 1)) + wobble(r, n, 0.03 * scale)
    return {"d_loss": d, "g_loss": wobble(r, n, 0.2 * scale) + np.linspace(0, r.uniform(-1, 1), n) * scale}


@kind(None)
def wgan_with_drift(r, n):
    end = r.choice([-1, 1]) * r.uniform(20, 300)
    d = -ramp(n, r.uniform(1, 10), r.uniform(0.5, 5), 0.5) + wobble(r, n, 0.3)
    return {"critic_loss": d, "gen_loss": np.linspace(0, end, n) + wobble(r, n, 2)}


@kind(None)
def clipped_wgan(r, n):
    size = 10 ** r.uniform(-4, -1)
    return {"loss_D": -ramp(n, size / 3, size, 0.1) + wobble(r, n, 0.1 * size), "loss_G": wobble(r, n, size)}


@kind(None)
def distance_as_a_positive_number(r, n):
    """Wasserstein losses without normalisation, or with D's sign turned round."""
    d = jitter(r, n, ramp(n, 10 ** r.uniform(1, 3.5), 10 ** r.uniform(0.5, 1), r.uniform(0.3, 2)), r.uniform(0.02, 0.1))
    g = np.linspace(*r.uniform(-1, 1, 2), n) * 10 ** r.uniform(1, 3.3)
    return {"critic_loss": d, "gen_loss": g + wobble(r, n, 0.05 * np.abs(g).max())}


@kind(None)
def several_steps_of_the_critic_for_one_of_g(r, n):
    """G's loss is carried forward between its steps, and D gains on it within them."""
    steps, scale = r.choice([2, 3, 5, 10]), r.uniform(1, 8)
    d = -ramp(n, scale, scale / 3, 0.5) - r.uniform(0, 0.1) * scale * (np.arange(n) % steps)
    g = wobble(r, n, 0.1 * scale, 0.9) + scale * np.linspace(0, r.uniform(-1, 1), n)
    return {"d_loss": d + wobble(r, n, 0.05 * scale, 0.2), "g_loss": np.repeat(g[::steps], steps)[:n]}


@kind(None)
def on_a_larger_scale(r, n):
    """Sums over a batch, over several Ds, or with a loss over classes."""
    columns, factor = with_r1(r, n) if r.random() < 0.5 else two_time_scales(r, n), r.choice([8, 16, 64, 128])
    classes = r.choice([0, 4.3]) if factor == 8 else 0
    return {"d_loss": factor * columns["d_loss"] + classes, "g_loss": factor * columns["g_loss"] + classes}


@kind(None)
def minimax_loss(r, n):
    """The saturating one, for one D or for several."""
    sure = r.uniform(0.5, 0.8)
    real, fake = (ramp(n, 0.5, level, 0.3) + wobble(r, n, 0.03) for level in (sure, 1 - sure))
    factor = r.choice([1, 3, 8, 64])
    return {"d_loss": -factor * (np.log(real) + np.log1p(-fake)), "g_loss": factor * np.log1p(-fake)}


@kind(None)
def a_weighted_loss_of_g(r, n):
    columns = two_time_scales(r, n) if r.random() < 0.5 else with_r1(r, n)
    return {"d_loss": columns["d_loss"], "g_loss": columns["g_loss"] * 10 ** r.uniform(-3.2, -1.3)}


@kind(None)
def switched_on_late(r, n):
    start, columns = int(r.uniform(0.1, 0.5) * n), hinge(r, n) if r.random() < 0.5 else with_r1(r, n)
    late = {role: np.r_[np.zeros(start), values[: n - start]] for role, values in columns.items()}
    return {**late, "rec_loss": jitter(r, n, ramp(n, 0.8, 0.1, 0.5), 0.05)}


@kind(None)
def hinge(r, n):
    d = ramp(n, 2, r.uniform(0.6, 1.6), r.uniform(0.1, 0.8)) + wobble(r, n, r.uniform(0.05, 0.2))
    return {"d_loss": d.clip(0), "g_loss": r.uniform(-0.5, 0.8) + wobble(r, n, r.uniform(0.1, 0.5))}


@kind(None)
def least_squares(r, n):
    d = jitter(r, n, ramp(n, 0.5, r.uniform(0.1, 0.24), r.uniform(0.05, 0.3)), r.uniform(0.05, 0.3))
    return {"d_loss": d, "g_loss": jitter(r, n, ramp(n, 0.3, r.uniform(0.3, 0.7), 0.3), r.uniform(0.05, 0.3))}


@kind(None)
def relativistic(r, n):
    d = jitter(r, n, ramp(n, 0.69, r.uniform(0.2, 0.6), r.uniform(0.1, 1)), r.uniform(0.05, 0.2))
    return {
        "d_loss": d,
        "g_loss": jitter(r, n, ramp(n, 0.69, r.uniform(1, 3), r.uniform(0.1, 1)), r.uniform(0.05, 0.2)),
    }


@kind(None)
def cyclegan(r, n):
    columns = {}
    for side in "AB":
        columns[f"D_{side}"] = jitter(r, n, ramp(n, 0.4, r.uniform(0.04, 0.2), 0.3), r.uniform(0.2, 0.5))
        columns[f"G_{side}"] = jitter(r, n, ramp(n, 0.3, r.uniform(0.4, 0.9), 0.3), r.uniform(0.2, 0.4))
        columns[f"cycle_{side}"] = jitter(r, n, ramp(n, 4, 0.8, 0.5), 0.2)
    return columns


@kind(None)
def pix2pix(r, n):
    d = jitter(r, n, ramp(n, 0.7, r.uniform(0.05, 0.4), 0.5), 0.4)
    g, l1 = jitter(r, n, ramp(n, 0.9, r.uniform(1, 3), 0.5), 0.3), jitter(r, n, ramp(n, 40, 12, 0.4), 0.1)
    return {"G_GAN": g, "G_L1": l1, "D_real": d, "D_fake": d * r.uniform(0.7, 1.3)}


@kind(None)
def two_time_scales(r, n):
    d = jitter(r, n, ramp(n, 1.2, r.uniform(0.15, 0.5), 0.2), r.uniform(0.1, 0.4))
    return {"d_loss": d, "g_loss": jitter(r, n, ramp(n, 1, r.uniform(3, 6), 0.2), r.uniform(0.1, 0.3))}


@kind(None)
def rates_fall_at_the_end(r, n):
    calm = np.minimum(1, 4 * (1 - np.arange(n) / n)).clip(0.1)
    d = r.uniform(1.0, 1.25) + (1 - calm) * r.uniform(-0.1, 0.15) + calm * wobble(r, n, 0.08)
    return {"d_loss": d, "g_loss": r.uniform(0.8, 1.2) + calm * wobble(r, n, 0.12), "lr": 2e-4 * calm}


@kind(None)
def warm_up(r, n):
    up = np.minimum(1, np.arange(n) / (r.uniform(0.05, 0.2) * n))
    d = 1.386 - up * r.uniform(0.1, 0.6) + up * wobble(r, n, 0.06)
    return {"d_loss": d, "g_loss": 0.693 + up * r.uniform(0.1, 1) + up * wobble(r, n, 0.08).clip(-0.3)}


@kind(None)
def d_loss_alone(r, n):
    return {"discriminator_loss": jitter(r, n, ramp(n, 1.3, r.uniform(0.2, 1.3), 0.4), r.uniform(0.02, 0.3))}


@kind(None)
def wandering(r, n):
    """Random walks, or nearly so, with noise on top: they have slow swings and changes of level by chance."""
    losses = []
    for _ in range(2):
        walk = np.cumsum(r.normal(0, 1, n)) if r.random() < 0.3 else wobble(r, n, 1, 1 - 10 ** r.uniform(-3.5, -0.5))
        x = walk / walk.std() + r.normal(0, r.choice([0, r.uniform(0.1, 1.5)]), n)
        losses.append(1.1 + r.uniform(0.03, 0.15) * x / x.std())
    return dict(zip(("d_loss", "g_loss"), losses, strict=True))


@kind(None)
def penalty_every_few_steps(r, n):
    columns = with_r1(r, n)
    columns["d_loss"][:: r.choice([4, 8, 16])] += r.uniform(0.05, 0.3)
    return columns


@kind(None)
def diversity_rises(r, n):
    columns = with_r1(r, n)
    return columns | {
        "recall": jitter(r, n, ramp(n, 0.05, r.uniform(0.4, 0.7), 0.5), 0.1),
        "fid": ramp(n, 200, 20, 0.4),
    }


@kind(None)
def scores_waver(r, n):
    fid = ramp(n, r.uniform(100, 300), r.uniform(10, 40), r.uniform(0.1, 1)) + np.linspace(0, r.uniform(0, 12), n)
    scores = {
        "fid": jitter(r, n, fid, r.uniform(0.02, 0.2)),
        "kid": ramp(n, 0.2, 0, 0.3) + wobble(r, n, 0.003),
        "precision": (ramp(n, r.choice([0, 1]), r.uniform(0.4, 0.8), 0.2) + wobble(r, n, 0.04)).clip(0, 1),
    }
    every = r.choice([1, 5])
    return {**with_r1(r, n), **{name: np.where(np.arange(n) % every, np.nan, x) for name, x in scores.items()}}


@kind(None)
def outputs_near_one_half(r, n):
    noise, memory = r.uniform(0.03, 0.15), r.uniform(0, 0.9)
    real = (r.uniform(0.48, 0.62) + wobble(r, n, noise, memory)).clip(0, 1)
    fake = (r.uniform(0.38, 0.52) + wobble(r, n, noise, memory)).clip(0, 1)
    return {"Loss_D": jitter(r, n, 1.3, 0.15), "Loss_G": jitter(r, n, 0.9, 0.2), "D(x)": real, "D(G(z))": fake}


@kind(None)
def usual_accuracies(r, n):
    losses = {"d_loss": jitter(r, n, ramp(n, 0.7, r.uniform(0.35, 0.65), 0.3), 0.15),
              "g_loss": jitter(r, n, ramp(n, 0.7, r.uniform(0.9, 2.5), 0.3), 0.2)}  # fmt: skip
    columns = accuracy_columns(r, n, r.uniform(0.5, 0.92), r.uniform(0.5, 0.92))
    return columns | (losses if r.random() < 0.6 else {})


@kind(None)
def accuracies_of_patches(r, n):
    columns = accuracy_columns(r, n, r.uniform(0.9, 0.965), r.uniform(0.9, 0.965))
    return {**columns, "d_loss": jitter(r, n, ramp(n, 0.4, r.uniform(0.04, 0.15), 0.3), 0.3),
            "g_loss": jitter(r, n, ramp(n, 0.3, r.uniform(0.5, 0.9), 0.3), 0.3)}  # fmt: skip


@kind(None)
def smoothed_labels_in_keras(r, n):
    """Answers to labels of 0.9 are never equal to them, so their accuracy is 0."""
    columns = accuracy_columns(r, n, 0.7, r.uniform(0.6, 0.95), whole=False)
    smoothed = list(columns)[: r.integers(1, 3)]
    d = jitter(r, n, r.uniform(0.4, 1.2), 0.1)
    return {"d_loss": d, "g_loss": jitter(r, n, r.uniform(0.8, 2), 0.2), **columns,
            **{name: np.zeros(n) for name in smoothed}}  # fmt: skip


@kind(None)
def accuracies_of_others(r, n):
    top = r.uniform(0.97, 1) - r.uniform(0, 0.01) * r.random(n)
    return {**with_r1(r, n), "cls_acc_real": top, "cls_acc_fake": top, "g_acc": np.zeros(n), "accuracy": top}


@kind(None)
def pairs_of_halves(r, n):
    halves = [jitter(r, n, ramp(n, 0.7, r.uniform(0.02, 0.5), 0.3), r.uniform(0.1, 0.3)) for _ in range(2)]
    return {"d_loss": list(zip(*halves, strict=True)), "g_loss": jitter(r, n, r.uniform(1, 3), 0.2)}


@kind(None)
def likeness_to_the_target(r, n):
    return {**pix2pix(r, n), "ms_ssim": ramp(n, 0.2, r.uniform(0.85, 0.97), 0.4) + wobble(r, n, 0.01),
            "psnr": ramp(n, 15, 29, 0.4), "lpips": ramp(n, 0.6, r.uniform(0.1, 0.2), 0.4)}  # fmt: skip


@kind(None)
def diversity_of_classes_rises(r, n):
    number = np.round(ramp(n, 1, r.uniform(7, 10), 0.5))
    return {**with_r1(r, n), "n_modes": number, "missing_modes": 10 - number,
            "ms_ssim": ramp(n, r.choice([0.0, 0.9]), r.uniform(0.1, 0.5), 0.3) + wobble(r, n, 0.02),
            "label_entropy": np.log(number)}  # fmt: skip


# --- the exam --------------------------------------------------------------------------------------------------------


def examples(name: str, count: int, seed: int):
    """So many histories of a kind, of all lengths in turn."""
    for i in range(count):
        r = np.random.default_rng([seed, i, *name.encode()])
        yield KINDS[name][1](r, LENGTHS[i % len(LENGTHS)])


def first_finding(columns: Columns) -> str | None:
    diagnosis = doctor.examine(history=columns)
    return diagnosis.names[0] if diagnosis.names else None


def table(count: int, seed: int) -> str:
    """How often each kind is answered rightly, as a table in Markdown."""
    right = {True: [0, 0], False: [0, 0]}
    rows = []
    for name, (answer, _) in KINDS.items():
        found = Counter(first_finding(columns) for columns in examples(name, count, seed))
        right[answer is None][0] += found[answer]
        right[answer is None][1] += count
        others = ", ".join(f"{key or 'healthy'} {value}" for key, value in found.items() if key != answer)
        rows.append(f"| {name} | {answer or 'healthy'} | {found[answer]} of {count} | {others} |")
    heading = ["| history | answer | given | instead |", "|-|-|-|-|"]
    sums = "Sick ones answered rightly: {} of {}. Sound ones without a finding: {} of {}."
    return "\n".join([*heading, *rows, "", sums.format(*right[False], *right[True])])


TEXT = """# The doctor's exam on training logs

Simulated histories of 25 to 20,000 rows, with other scales, noise and rates in each: `tests/histories.py`, which made
this table with `--n {n} --seed {seed} --write`. The limits of the tests were set on other seeds.

{table}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=40, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write tests/histories.md")
    args = parser.parse_args()
    found = table(args.n, args.seed)
    print(found)
    if args.write:
        path = Path(__file__).with_suffix(".md")
        path.write_text(TEXT.format(n=args.n, seed=args.seed, table=found), encoding="utf-8")


if __name__ == "__main__":
    main()
