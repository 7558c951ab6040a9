"""The doctor: examine a GAN, anyone's, or only its samples; name what ails it, with evidence and what to try.

::

    diagnosis = doctor.examine(run.sample(2000), data.load("mnist"), held_out=data.load("mnist", "test"))
    print(diagnosis)

`intake` brings everything to one form, `symptoms` measures, `imaging` and `vitals` judge what was measured on the
images and on the nets, `ailments` explains what was found.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from gantutor.doctor import image_tests, net_tests
from gantutor.doctor.findings import AILMENTS, Diagnosis, Evidence, Finding
from gantutor.doctor.inputs import LEAST, Labels, Patient, Pictures, admit
from gantutor.errors import BadInput, whole_number
from gantutor.metrics import Classifier


def examine(
    samples: Pictures | None,
    real: Pictures,
    *,
    labels: Labels | None = None,
    real_labels: Labels | None = None,
    held_out: Pictures | None = None,
    judge: Classifier | None = None,
    generator: Callable[[int], Tensor] | None = None,
    discriminator: Callable[[Tensor], Tensor] | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
) -> Diagnosis:
    """Name what ails a GAN, with evidence, the cause first.

    Args:
        samples: generated images (N, C, H, W) or (N, H, W), 500 or more for good eyesight, at least 64; floats in
            [-1, 1] (another range is a finding) or bytes. None: 2,000 are taken from `generator`.
        real: real images (M, C, H, W), best the whole training set, for copies are looked for in it.
        labels: the classes that G was asked for, (N,), if it is conditional; counted as `real_labels` are, without
            them as the judge's classes are.
        real_labels: classes of the real images, (M,); `Images` bring them along.
        held_out: real images that were not trained on; without them a fifth of `real` is set apart.
        judge: a classifier of this data. Without one a shipped judge is taken where the data is known, else one is
            trained where labels are, else random convolutions have to do. The diagnosis says which.
        generator: n -> n images. What its nets make in train mode is compared with what they make in eval mode;
            afterwards they are as they were.
        discriminator: images (B, C, H, W) in [-1, 1] -> logits, or probabilities.
        history: numbers over the steps, by name: d_loss, g_loss, d_real and d_fake (logits or probabilities),
            g_grad_norm; others are looked at for NaN only.
        seed: of the doctor's own choices. The same seed gives the same diagnosis.

    Raises:
        BadInput: too few images, shapes that do not fit, a net that fails.
    """
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(whole_number("seed", seed))
        if samples is None:
            if generator is None:
                raise BadInput("there are neither samples nor a generator: give one of them.")
            with net_tests.in_mode(net_tests.nets_of(generator), False):
                samples = net_tests.ask("generator", generator, 2000)
        if history is not None and not isinstance(history, Mapping):
            raise BadInput(f"history is a {type(history).__name__}: give a dict of lists, such as {{'d_loss': [...]}}.")
        p = admit(samples, real, labels, real_labels, held_out, judge)
        curves = {name: net_tests.curve(name, values) for name, values in ({} if history is None else history).items()}
        findings = list(infinities(p, curves))
        if len(p.x) >= LEAST:
            findings += image_tests.images(p)
            findings += net_tests.modes(p, generator, sound=not findings)
        findings += net_tests.verdicts(p, discriminator, net_tests.is_critic(curves))
        findings += net_tests.course(curves)
    order = list(AILMENTS)
    findings = {finding.name: finding for finding in reversed(findings)}.values()  # the first of each name
    ranked = sorted(findings, key=lambda finding: order.index(finding.name))
    return Diagnosis(tuple(ranked), p.data, p.eyes.name, tuple(p.notes))


def infinities(p: Patient, curves: Mapping[str, Tensor]) -> Iterator[Finding]:
    ill = (~p.raw.flatten(1).isfinite().all(1)).double().mean().item()
    evidence = [Evidence("share of samples with NaN or infinite pixels", ill, "0")] if ill else []
    for name, values in curves.items():
        if not values.isfinite().all():
            evidence.append(Evidence(f"entries of {name} that are not finite", int((~values.isfinite()).sum()), "0"))
    if evidence:
        yield Finding("non_finite", "severe", tuple(evidence))
    if len(p.x) < LEAST:
        p.notes.append(f"Only {len(p.x)} samples are finite, too few to be examined.")
