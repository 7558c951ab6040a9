"""The doctor: examine a GAN, anyone's, or only its samples or its log; name what ails it, and what to try.

::

    diagnosis = doctor.examine(run.sample(2000), data.load("mnist"), held_out=data.load("mnist", "test"))
    print(diagnosis)
    print(doctor.examine(history="log.csv"))

See the room's own description for what its modules do.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import nn

from gantutor.doctor import specimens
from gantutor.doctor.findings import AILMENTS, Diagnosis, Evidence, Finding
from gantutor.doctor.images import image_tests
from gantutor.doctor.images.arrays import MIN_IMAGES, Pictures, how_many
from gantutor.doctor.images.classes import Labels
from gantutor.doctor.images.collected import collect, few_of, top_of
from gantutor.doctor.images.inputs import Case, prepare
from gantutor.doctor.logs import curves, game, training_log
from gantutor.doctor.nets import net_tests
from gantutor.doctor.nets.borrowed import in_mode
from gantutor.doctor.nets.discriminators import AnyDiscriminator
from gantutor.doctor.nets.generators import AnyGenerator
from gantutor.errors import BadInput, whole_number
from gantutor.metrics import Classifier


def examine(
    samples: Pictures | Iterable[object] | None = None,
    real: Pictures | Iterable[object] | None = None,
    *others: object,
    labels: Labels | None = None,
    real_labels: Labels | None = None,
    held_out: Pictures | Iterable[object] | None = None,
    closeups: tuple[Pictures, Pictures] | None = None,
    judge: Classifier | None = None,
    generator: Callable[..., object] | None = None,
    discriminator: Callable[..., object] | None = None,
    history: training_log.History | None = None,
    seed: int = 0,
) -> Diagnosis:
    """Name what ails a GAN, with evidence, the cause first.

    Args:
        samples: generated images (N, C, H, W) or (N, H, W), at least 64 and better 500 or more; floats in [-1, 1]
            (another range is a finding) or bytes. None: 2,000 are drawn from `generator`.
        real: real images (M, C, H, W), ideally the whole training set, because copies are looked for in it. Like
            samples and held_out they may also come as a `DataLoader`, a `Dataset` or a list, of pictures or of pairs of
            a picture and its label.
        labels: the classes that G was asked for, (N,), if it is conditional. They are numbered as `real_labels` are, or
            without these as the classifier's classes are.
        real_labels: classes of the real images, (M,); `Images` bring their own.
        held_out: real images that G was not trained on; without them a fifth of `real` is set aside.
        closeups: parts of some samples and of some real images, cut out at full size, where all others were made
            smaller: (N, C, h, w) and (M, C, h, w). The texture is judged on them as well.
        judge: a classifier of this data. Without one, a shipped classifier is used if it knows the data; otherwise one
            is trained if there are labels; otherwise random convolutions have to do. The diagnosis says which.
        generator: G, which is given Gaussian noise of a length and form that are found by trying, or a function n -> n
            images. What its nets make in train mode is compared with what they make in eval mode, and afterwards they
            are left as they were. `load_weights` fills a net from a file.
        discriminator: D, or a function, of images (B, C, H, W) in the range in which `real` was given -> logits or
            probabilities, one for each image or a patch of it; of several outputs the first that is such.
        history: the log of a training, in whatever form and under whatever names: a dict of lists, a list of dicts, a
            pandas frame, a .csv, .jsonl or text file, TensorBoard's folder (see `doctor.logs.training_log.read`).
            Losses, D's outputs and accuracies, the norm of G's gradient and measures of diversity are judged, and all
            others searched for NaN. It may be given alone, without samples and real images.
        seed: fixes the doctor's own random choices, so that the same seed gives the same diagnosis.

    Raises:
        BadInput: too few images, shapes that do not fit, a net that fails, or a log in which nothing can be judged.
    """
    check_places(samples, real, *others)
    log = training_log.Log() if history is None else training_log.read(history)
    if history is not None and samples is None and generator is None and discriminator is None:
        return examine_log_alone(log)
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(whole_number("seed", seed))
        notes: list[str] = []
        samples, _ = collect(samples, labels, "the samples", notes)
        real, real_labels = collect(real, real_labels, "the real images", notes)
        held_out, _ = collect(held_out, None, "the held-out images", notes)
        if real is None:
            raise BadInput("there are no real images to compare with: give real, the images that G was trained on.")
        few, top = few_of(real), top_of(real)
        G = None if generator is None else AnyGenerator(generator, few.shape[1:], top, notes)
        D = None if discriminator is None else AnyDiscriminator(discriminator, top, notes)
        if samples is None:
            if G is None:
                raise BadInput("there are neither samples nor a generator: give one of them, or a history alone.")
            with in_mode(G.nets, False):
                samples = G(min(2000, how_many(few)))
        case = prepare(samples, real, labels, real_labels, held_out, judge, closeups)
        given, real_given = case.samples, case.real  # saving may have spoiled them, and both are treated alike then
        findings = find_non_finite(log, case)
        if len(case.samples) >= MIN_IMAGES:
            findings += image_tests.examine_images(case)
            findings += net_tests.examine_generator(case, G, sound=not findings)
        findings += net_tests.examine_discriminator(case, D, critic=game.is_critic(log))
        findings += curves.examine_log(log)
    return Diagnosis(
        ranked(findings), case.data, case.extractor.name, (*notes, *case.notes, *log.notes),
        specimens.collect(case, given, real_given), specimens.drawn(log), (*case.open, *log.open),
    )  # fmt: skip


def check_places(*given: object) -> None:
    """Raise `BadInput` where something else than samples and real images is given by its place, without a name."""
    nets = [getattr(thing, "__name__", type(thing).__name__) for thing in given if is_net(thing)]
    if nets or len(given) > 2:
        what = f"of these, {' and '.join(nets)} can be called" if nets else f"these are {len(given)} arguments"
        raise BadInput(
            f"only samples and real images are given without a name, and {what}: give nets by name, "
            "doctor.examine(generator=G, discriminator=D, real=images)."
        )


def is_net(thing: object) -> bool:
    """Is this a net, or a function, and no pictures? A `Sequential` has a length and items too."""
    return isinstance(thing, nn.Module) or (callable(thing) and not isinstance(thing, Pictures | Iterable))


def examine_log_alone(log: training_log.Log) -> Diagnosis:
    """The diagnosis from a training log without images. Raises `BadInput` if nothing in it can be judged."""
    findings = [*find_non_finite(log), *curves.examine_log(log)]
    if not findings and not any(map(game.judged, log.games.values())):
        seen = " ".join(["nothing in this log can be judged.", *log.notes])
        raise BadInput(
            f"{seen} Name the columns d_loss, g_loss, d_real (D's output for real images), d_fake (for samples) or "
            f"g_grad_norm, with {game.FEWEST} rows or more."
        )
    return Diagnosis(
        ranked(findings), "", "", tuple(log.notes), curves=specimens.drawn(log), open=tuple(dict.fromkeys(log.open))
    )


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding of each name, the cause first."""
    first_of_each = {finding.name: finding for finding in reversed(list(findings))}
    order = list(AILMENTS)
    return tuple(sorted(first_of_each.values(), key=lambda finding: order.index(finding.name)))


def find_non_finite(log: training_log.Log, case: Case | None = None) -> list[Finding]:
    """Are there NaN or infinite values in the curves, or among the samples?"""
    evidence, steps = [], []
    if case is not None:
        share = (~case.raw.flatten(1).isfinite().all(1)).double().mean().item()
        evidence += [Evidence("share of samples with NaN or infinite pixels", share, low=0, high=0)] if share else []
        if len(case.samples) < MIN_IMAGES:
            case.notes.append(f"Only {len(case.samples)} samples are finite, too few to be examined.")
    for curve in log.curves:
        broken = ~np.isfinite(curve.values)
        if broken.any():
            count = int(broken.sum())
            evidence.append(Evidence(f"entries of {curve.name} that are not finite", count, low=0, high=0))
            steps.append(float(curve.steps[broken.argmax()]))
    return [Finding("non_finite", "severe", tuple(evidence), since=min(steps, default=None))] if evidence else []
