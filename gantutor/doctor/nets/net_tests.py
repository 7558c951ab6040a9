"""The doctor's tests of a GAN at work: of its nets, and of the curves of its training."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from gantutor import metrics
from gantutor.doctor import measures
from gantutor.doctor.findings import Evidence, Finding, grade, telling
from gantutor.doctor.images.arrays import match_shape, to_images
from gantutor.doctor.images.inputs import Case
from gantutor.doctor.nets.borrowed import in_mode
from gantutor.doctor.nets.discriminators import AnyDiscriminator
from gantutor.doctor.nets.generators import AnyGenerator
from gantutor.errors import BadInput

# --- the generator ---------------------------------------------------------------------------------------------------


def examine_generator(case: Case, generator: AnyGenerator | None, sound: bool) -> Iterator[Finding]:
    """Does G make in train mode what it makes in eval mode, and what was given as samples, if these are `sound`?"""
    if generator is None:
        return
    count = max(250, min(1000, 50_000_000 // case.real[0].numel()))  # fewer of large images, to save memory

    def draw(training: bool) -> Tensor:
        with in_mode(generator.nets, training):
            torch.manual_seed(0)
            x = to_images(generator(count), "the generator's images", [])
        x = match_shape(x, case.real, [])
        if len(x) != count:
            raise BadInput(f"the generator returned {len(x)} images when {count} were asked for: repair it first.")
        return x

    made = {"train": draw(True), "eval": draw(False)}
    broken = [mode for mode, x in made.items() if not x.isfinite().all()]
    if broken:
        name = f"share of finite images in {broken[0]} mode"
        evidence = Evidence(name, finite_share(made[broken[0]]), low=1, high=1)
        yield Finding("train_eval_gap" if len(broken) == 1 else "non_finite", "severe", (evidence,))
        return
    gap = feature_distance(case, made["train"], made["eval"])
    limit = 0.02 if torch.equal(draw(False), made["eval"]) else 0.12  # more if z differs from call to call
    given = min(feature_distance(case, case.samples[:count], x) for x in made.values())
    usual = feature_distance(case, case.held_out[: min(count, len(case.samples))], case.real[:count])
    most = 0.3 + 2 * usual
    if gap > limit or (given > most and sound):
        modes = "Fréchet distance between train and eval mode, over the spread of real images"
        nearer = "the same between the samples and the nearer mode"
        evidence = telling(
            Evidence(modes, gap, high=limit),
            Evidence(nearer, given, high=most, usual=usual),
        )
        yield Finding("train_eval_gap", grade(max(gap, given), 0.3, 0.6), evidence)


def finite_share(x: Tensor) -> float:
    """Share of examples without NaN or infinite values."""
    return x.flatten(1).isfinite().all(1).double().mean().item()


def feature_distance(case: Case, a: Tensor, b: Tensor) -> float:
    """Fréchet distance between the features of two sets of images, over the summed variances of real features."""
    features = case.extractor.features
    variance = features(case.held_out).var(0).sum().item()
    return metrics.frechet(features(a.clamp(-1, 1)), features(b.clamp(-1, 1))) / variance


# --- the discriminator -----------------------------------------------------------------------------------------------


def examine_discriminator(
    case: Case, discriminator: AnyDiscriminator | None, critic: bool = False
) -> Iterator[Finding]:
    """Judge D by its logits of real images that it was trained on, of others, and of samples."""
    if discriminator is None or not len(case.samples):
        return
    real = case.real[:1000]
    sets = {"real": real, "held_out": case.held_out[:1000], "fake": case.samples[:1000],
            "mismatched": measures.mismatched_halves(real)}  # fmt: skip
    numbers = [discriminator_outputs(discriminator, x) for x in sets.values()]
    if are_probabilities(*numbers):
        case.notes.append("All numbers of the discriminator lie in [0, 1]: they were read as probabilities.")
    outputs = to_logits(*numbers)
    logits = dict(zip(sets, outputs, strict=True))
    if len(case.rest) < len(case.train):
        case.open.append("whether D has memorised its training images: give held_out, real images that it has not seen")
    if torch.cat(outputs).isfinite().all():
        yield from judge_logits(logits, critic)
    else:
        share = finite_share(torch.cat([logits["real"], logits["fake"]])[:, None])
        yield Finding("non_finite", "severe", (Evidence("share of finite logits of D", share, low=1, high=1),))


def judge_logits(logits: Mapping[str, Tensor], critic: bool) -> Iterator[Finding]:
    """Is D blind, overfitted or saturated? The logits are of "real", "held_out", "fake" and "mismatched" images.

    The numbers of a Wasserstein critic are no logits, so they say nothing about saturation.
    """
    real_auc, held_out_auc = (measures.roc_auc(logits[name], logits["fake"]) for name in ("real", "held_out"))
    memory_auc, halves_auc = (measures.roc_auc(logits["real"], logits[name]) for name in ("held_out", "mismatched"))
    spread = torch.cat([logits["real"], logits["fake"]]).std().item()
    name = "share of pairs in which D rates the real image above the sample"
    above_samples = Evidence(name, real_auc, low=0.5, high=0.95)
    if spread < 1e-6 or (abs(real_auc - 0.5) < 0.1 and halves_auc < 0.65) or real_auc < 0.2:
        over_halves = "share of pairs in which D rates the real image above the halves of two real ones put together"
        evidence = telling(
            above_samples,
            Evidence(over_halves, halves_auc, low=0.8),
            Evidence("standard deviation of D's logits", spread, low=0.001),
        )
        detail = "It rates samples above real images: are its labels, or its sign, exchanged?" * (real_auc < 0.2)
        yield Finding("discriminator_blind", "severe", evidence, detail)
    elif memory_auc > 0.7:
        over_held_out = "share of pairs in which D rates a training image above a held-out one"
        over_samples = "share of pairs in which D rates a held-out image above a sample"
        evidence = telling(
            Evidence(over_held_out, memory_auc, low=0.45, high=0.6),
            Evidence(over_samples, held_out_auc, low=0.5, high=0.95),
        )
        yield Finding("discriminator_overfitting", grade(memory_auc, 0.8, 0.9), evidence)
    elif not critic and held_out_auc > 0.98 and is_certain(logits["held_out"].median(), logits["fake"].median()):
        real_probability, fake_probability = (logits[name].median().sigmoid().item() for name in ("held_out", "fake"))
        evidence = telling(
            above_samples,
            Evidence("D's median probability for real images", real_probability, high=0.95),
            Evidence("D's median probability for samples", fake_probability, low=0.05),
        )
        yield Finding("discriminator_saturated", "severe", evidence)


def is_certain(real: Tensor, fake: Tensor) -> bool:
    """Do these logits say 95% or more on both sides?"""
    return real.item() > math.log(19) and fake.item() < -math.log(19)


def discriminator_outputs(discriminator: AnyDiscriminator, x: Tensor) -> Tensor:
    """D's numbers (N,), or (N / pack,), float64, computed in eval mode."""
    pack = discriminator.pack
    x = x[: len(x) // pack * pack]
    with in_mode(discriminator.nets, False):
        return torch.cat([discriminator(batch) for batch in x.split(-(-200 // pack) * pack)])


def to_logits(*outputs: Tensor) -> list[Tensor]:
    """D's outputs as logits: if all of them lie in [0, 1], they are taken for probabilities."""
    probabilities = are_probabilities(*outputs)
    return [torch.logit(values, eps=1e-6) if probabilities else values for values in outputs]


def are_probabilities(*outputs: Tensor) -> bool:
    together = torch.cat(outputs)
    return len(together) > 0 and bool(together.min() >= 0) and bool(together.max() <= 1)
