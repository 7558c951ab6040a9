"""The doctor: examine a GAN, anyone's, or only its samples; name what ails it, with evidence and what to try.

::

    diagnosis = doctor.examine(run.sample(2000), data.load("mnist"), held_out=data.load("mnist", "test"))
    print(diagnosis)

`inputs` brings everything to one form, `measures` computes the numbers, `image_tests` and `net_tests` judge what was
measured on the images and on the nets, and `findings` explains what was found.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from gantutor.doctor import image_tests, net_tests
from gantutor.doctor.findings import AILMENTS, Diagnosis, Evidence, Finding
from gantutor.doctor.inputs import MIN_IMAGES, Case, Labels, Pictures, prepare
from gantutor.errors import BadInput, whole_number
from gantutor.metrics import Classifier


def examine(
    samples: Pictures | None,
    real: Pictures,
    *,
    labels: Labels | None = None,
    real_labels: Labels | None = None,
    held_out: Pictures | None = None,
    closeups: tuple[Pictures, Pictures] | None = None,
    judge: Classifier | None = None,
    generator: Callable[[int], Tensor] | None = None,
    discriminator: Callable[[Tensor], Tensor] | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
) -> Diagnosis:
    """Name what ails a GAN, with evidence, the cause first.

    Args:
        samples: generated images (N, C, H, W) or (N, H, W), at least 64 and better 500 or more; floats in [-1, 1]
            (another range is a finding) or bytes. None: 2,000 are drawn from `generator`.
        real: real images (M, C, H, W), ideally the whole training set, because copies are looked for in it.
        labels: the classes that G was asked for, (N,), if it is conditional. They are numbered as `real_labels` are, or
            without these as the classifier's classes are.
        real_labels: classes of the real images, (M,); `Images` bring their own.
        held_out: real images that G was not trained on; without them a fifth of `real` is set aside.
        closeups: parts of some samples and of some real images, cut out at full size, where all others were made
            smaller: (N, C, h, w) and (M, C, h, w). The texture is judged on them as well.
        judge: a classifier of this data. Without one, a shipped classifier is used if it knows the data; otherwise one
            is trained if there are labels; otherwise random convolutions have to do. The diagnosis says which.
        generator: n -> n images. What its nets make in train mode is compared with what they make in eval mode, and
            afterwards they are left as they were.
        discriminator: images (B, C, H, W) in [-1, 1] -> logits, or probabilities.
        history: numbers over the steps, by name: d_loss, g_loss, d_real and d_fake (logits or probabilities),
            g_grad_norm; any others are only searched for NaN.
        seed: fixes the doctor's own random choices, so that the same seed gives the same diagnosis.

    Raises:
        BadInput: too few images, shapes that do not fit, or a net that fails.
    """
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(whole_number("seed", seed))
        if samples is None:
            if generator is None:
                raise BadInput("there are neither samples nor a generator: give one of them.")
            with net_tests.in_mode(net_tests.nets_of(generator), False):
                samples = net_tests.call_net("generator", generator, 2000)
        if history is not None and not isinstance(history, Mapping):
            raise BadInput(f"history is a {type(history).__name__}: give a dict of lists, such as {{'d_loss': [...]}}.")
        case = prepare(samples, real, labels, real_labels, held_out, judge, closeups)
        curves = {name: net_tests.to_curve(name, values) for name, values in (history or {}).items()}
        findings = list(find_non_finite(case, curves))
        if len(case.samples) >= MIN_IMAGES:
            findings += image_tests.examine_images(case)
            findings += net_tests.examine_generator(case, generator, sound=not findings)
        findings += net_tests.examine_discriminator(case, discriminator, net_tests.is_critic(curves))
        findings += net_tests.examine_curves(curves)
    first_of_each = {finding.name: finding for finding in reversed(findings)}
    order = list(AILMENTS)
    ranked = sorted(first_of_each.values(), key=lambda finding: order.index(finding.name))
    return Diagnosis(tuple(ranked), case.data, case.extractor.name, tuple(case.notes))


def find_non_finite(case: Case, curves: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Are there NaN or infinite values among the samples or in the curves?"""
    share = (~case.raw.flatten(1).isfinite().all(1)).double().mean().item()
    evidence = [Evidence("share of samples with NaN or infinite pixels", share, "0")] if share else []
    for name, values in curves.items():
        if not values.isfinite().all():
            evidence.append(Evidence(f"entries of {name} that are not finite", int((~values.isfinite()).sum()), "0"))
    if evidence:
        yield Finding("non_finite", "severe", tuple(evidence))
    if len(case.samples) < MIN_IMAGES:
        case.notes.append(f"Only {len(case.samples)} samples are finite, too few to be examined.")
