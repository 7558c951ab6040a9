"""The doctor: examine a GAN, anyone's, or only its samples; name what ails it, with evidence and what to try.

::

    diagnosis = doctor.examine(run.sample(2000), data.load("mnist"), held_out=data.load("mnist", "test"))
    print(diagnosis)

`inputs` and `collected` bring images to one form, `generators` and `discriminators` nets; `measures` computes the
numbers, `image_tests` and `net_tests` judge what was measured on the images and on the nets, and `findings` explains
what was found.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from gantutor.doctor import image_tests, net_tests
from gantutor.doctor.collected import collect, few_of, top_of
from gantutor.doctor.discriminators import AnyDiscriminator
from gantutor.doctor.findings import AILMENTS, Diagnosis, Evidence, Finding
from gantutor.doctor.generators import AnyGenerator
from gantutor.doctor.inputs import MIN_IMAGES, Case, Labels, Pictures, how_many, prepare
from gantutor.doctor.nets import in_mode
from gantutor.errors import BadInput, whole_number
from gantutor.metrics import Classifier


def examine(
    samples: Pictures | Iterable[object] | None = None,
    real: Pictures | Iterable[object] | None = None,
    *,
    labels: Labels | None = None,
    real_labels: Labels | None = None,
    held_out: Pictures | Iterable[object] | None = None,
    judge: Classifier | None = None,
    generator: Callable[..., object] | None = None,
    discriminator: Callable[..., object] | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
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
        judge: a classifier of this data. Without one, a shipped classifier is used if it knows the data; otherwise one
            is trained if there are labels; otherwise random convolutions have to do. The diagnosis says which.
        generator: G, which is given Gaussian noise of a length and form that are found by trying, or a function n -> n
            images. What its nets make in train mode is compared with what they make in eval mode, and afterwards they
            are left as they were. `load_weights` fills a net from a file.
        discriminator: D, or a function, of images (B, C, H, W) in the range in which `real` was given -> logits or
            probabilities, one for each image or a patch of it; of several outputs the first that is such.
        history: numbers over the steps, by name: d_loss, g_loss, d_real and d_fake (logits or probabilities),
            g_grad_norm; any others are only searched for NaN.
        seed: fixes the doctor's own random choices, so that the same seed gives the same diagnosis.

    Raises:
        BadInput: too few images, shapes that do not fit, or a net that fails.
    """
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
                raise BadInput("there are neither samples nor a generator: give one of them.")
            with in_mode(G.nets, False):
                samples = G(min(2000, how_many(few)))
        if history is not None and not isinstance(history, Mapping):
            raise BadInput(f"history is a {type(history).__name__}: give a dict of lists, such as {{'d_loss': [...]}}.")
        case = prepare(samples, real, labels, real_labels, held_out, judge)
        curves = {name: net_tests.to_curve(name, values) for name, values in (history or {}).items()}
        findings = list(find_non_finite(case, curves))
        if len(case.samples) >= MIN_IMAGES:
            findings += image_tests.examine_images(case)
            findings += net_tests.examine_generator(case, G, sound=not findings)
        findings += net_tests.examine_discriminator(case, D, net_tests.is_critic(curves))
        findings += net_tests.examine_curves(curves)
    first_of_each = {finding.name: finding for finding in reversed(findings)}
    order = list(AILMENTS)
    ranked = sorted(first_of_each.values(), key=lambda finding: order.index(finding.name))
    return Diagnosis(tuple(ranked), case.data, case.extractor.name, (*notes, *case.notes))


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
