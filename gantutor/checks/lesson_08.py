"""Lesson 08: GANs and other generative models. The VAE's bound, a denoising step, and three questions of risk."""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gantutor.checks.exercise import Calls, Exercise, Mistake, Seen, as_array, as_number, blank, brief
from gantutor.data import strokes
from gantutor.errors import BadInput


def fixed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- 08.1

MEANS = torch.tensor([[0.0, 0.0, 0.0], [1.0, -2.0, 0.5], [0.3, 0.0, 3.0]])
STDS = torch.tensor([[1.0, 1.0, 1.0], [0.5, 1.0, 2.0], [0.1, 1.5, 0.7]])


def kl_to_prior(mean: Tensor, std: Tensor) -> Tensor:
    return (mean.square() + std.square() - 2 * std.log() - 1).sum(1) / 2


KL_TO_PRIOR = Exercise(
    id="08.1",
    title="the KL divergence to the prior",
    hints=(
        "Write log q(z) − log p(z) for one entry z. Under q the expectation of z² is mean² + std², and that of (z − "
        "mean)² is std².",
        "For one entry it is ½(mean² + std² − 1) − log std. The latents are independent, so their terms add up.",
        "(mean.square() + std.square() − 2 · std.log() − 1).sum(1) / 2",
    ),
    observe=Calls((MEANS[:1], STDS[:1]), (MEANS, STDS), (MEANS[:, :1], STDS[:, :1])),
    right=kl_to_prior,
    mistakes=(
        Mistake(
            lambda m, s: (m.square() + s.square() - 2 * s.log() - 1).sum(1),
            "This is twice the right value. Both Gaussians have a ½ in their exponents.",
        ),
        Mistake(
            lambda m, s: (m.square() + s.square() - s.log() - 1).sum(1) / 2,
            "The logarithm needs a factor of 2, because log std² is 2 log std. (The lesson's encoder returns log std² "
            "itself.)",
        ),
        Mistake(
            lambda m, s: (m.square() + s - s.log() - 1).sum(1) / 2,
            "You used the standard deviation in place of the variance, which in the lesson was exp(log_var).",
        ),
        Mistake(
            lambda m, s: (m.square() + s.square() + 2 * s.log() - 1).sum(1) / 2,
            "The sign of the logarithm is wrong: a narrow q (small std) must cost more, not less.",
        ),
        Mistake(
            lambda m, s: (m.square() + s.square() - 2 * s.log()).sum(1) / 2,
            "If q is the prior itself the divergence should be 0. Yours is ½ for each latent.",
        ),
        Mistake(
            lambda m, s: -(m.square() + s.square() - 2 * s.log() - 1).sum(1) / 2,
            "The magnitude is right, but the sign is wrong: a divergence is never below 0.",
        ),
        Mistake(
            lambda m, s: (m.square() + s.square() - 2 * s.log() - 1).mean(1) / 2,
            "You take the mean over the latents. But their terms add up: twice as many latents have twice the "
            "divergence.",
        ),
        Mistake(
            lambda m, s: (m.square() + s.square() - 2 * s.log() - 1).sum() / 2,
            "You sum over everything. Each image has its own divergence: (B, d) -> (B,).",
        ),
        Mistake(
            lambda m, s: ((1 + m.square()) / s.square() + 2 * s.log() - 1).sum(1) / 2,
            "That is the other order, KL(N(0, I) ‖ q). Here the expectation is under q.",
        ),
    ),
    praise="It is vae.kl in other symbols. A mean far from 0 costs something, and so does a small standard deviation.",
)

# ---------------------------------------------------------------- 08.2


def pictures() -> tuple[Tensor, Tensor]:
    """Images and a decoder's reconstructions (6, 1, 4, 4): with errors of std 0.3, and darker by 0.1 on average."""
    x = torch.rand(6, 1, 4, 4, generator=fixed(0)) * 2 - 1
    return x, x - 0.1 + 0.3 * torch.randn(x.shape, generator=fixed(1))


def best_noise(x: Tensor, made: Tensor) -> Tensor:
    return (x - made).square().mean().sqrt()


NOISE = Exercise(
    id="08.2",
    title="the best noise level",
    hints=(
        "Only two terms contain s: for n pixels −n log s − (sum of squared errors) / (2s²). Set the derivative in s to "
        "0.",
        "−n/s + (sum of squared errors)/s³ = 0. So s² is the sum divided by n.",
        "(x − made).square().mean().sqrt()",
    ),
    observe=Calls(pictures(), tuple(part[:2] for part in pictures()), (torch.full((1, 3), 0.5), torch.zeros(1, 3))),
    right=best_noise,
    mistakes=(
        Mistake(lambda x, made: (x - made).square().mean(), "That is s², the variance. The question is about s."),
        Mistake(
            lambda x, made: (x - made).std(),
            "A standard deviation subtracts the mean error first. But a decoder that is too dark on average is wrong "
            "by that amount too.",
        ),
        Mistake(
            lambda x, made: (x - made).abs().mean(),
            "The mean absolute error is the best s for another density, exp(−|x|/s) / 2s.",
        ),
        Mistake(
            lambda x, made: (x - made).square().sum().sqrt(),
            "The sum grows with the number of pixels. Do not forget that −n log s has a term for each pixel too.",
        ),
        Mistake(
            lambda x, made: (x - made).square().flatten(1).mean(1).sqrt(),
            "You have one s for each image. Here a single s is shared by all images.",
        ),
        Mistake(
            lambda x, made: ((x - made).square().mean() / 2).sqrt(),
            "The ½ of the exponent cancels against the 2 in the derivative of 1/s².",
        ),
    ),
    tolerance=1e-3,
    praise="The best noise level is the root mean squared error of the decoder. A smaller s demands more than it can "
    "do.",
)

# ---------------------------------------------------------------- 08.3


def levels(t: float) -> tuple[float, float]:
    """The amounts (a, s) of image and of noise at time t from 0 (image) to 1 (noise), with a² + s² = 1."""
    return math.cos(t * math.pi / 2), math.sin(t * math.pi / 2)


def denoised(x: Tensor, clean: Tensor, t: float, u: float) -> Tensor:
    (a, s), (b, r) = levels(t), levels(u)
    return b * clean + r * (x - a * clean) / s


def with_new_noise(x: Tensor, clean: Tensor, t: float, u: float) -> Tensor:
    b, r = levels(u)
    return b * clean + r * torch.randn(x.shape)


def step_cases() -> list[tuple]:
    x, clean = torch.randn(2, 3, 1, 2, 2, generator=fixed(0))
    return [(x, clean, 1.0, 0.5), (x, clean, 0.6, 0.3), (x, clean, 0.4, 0.4), (x, clean, 0.2, 0.0)]


STEP = Exercise(
    id="08.3",
    title="one step of denoising, repaired",
    hints=(
        "x = a · clean + s · noise. You know x, a and s, and the net estimates clean. What is the noise then?",
        "The noise is (x − a · clean) / s. At time u mix the same image and the same noise with b and r.",
        "b * clean + r * (x − a * clean) / s, with a, s = levels(t) and b, r = levels(u).",
    ),
    observe=Calls(*step_cases()),
    right=denoised,
    mistakes=(
        Mistake(
            lambda x, clean, t, u: levels(u)[0] * clean + levels(u)[1] * (x - clean),
            "It still does what the broken function does. x contains the image only a times: what remains if you "
            "subtract that, and how strong is the noise in it?",
        ),
        Mistake(
            lambda x, clean, t, u: levels(u)[0] * clean + levels(u)[1] * (x - levels(t)[0] * clean),
            "What remains of x is s times the noise. Divide by s, or the noise fades too soon.",
        ),
        Mistake(
            lambda x, clean, t, u: levels(u)[0] * clean + levels(u)[1] * (x - clean) / levels(t)[1],
            "x contains the image a times, not once: subtract a · clean.",
        ),
        Mistake(
            lambda x, clean, t, u: (
                levels(u)[1] * clean + levels(u)[0] * (x - levels(t)[0] * clean) / max(levels(t)[1], 1e-9)
            ),
            "The two levels are swapped: at u = 0 the result should be the image alone, without noise.",
        ),
        Mistake(
            lambda x, clean, t, u: clean,
            "That jumps straight to the end. The first estimates are blurred, so go only as far as u.",
        ),
        Mistake(
            lambda x, clean, t, u: x,
            "x is unchanged. That is right for t = u, but the noise level at u is lower than at t.",
        ),
        Mistake(
            with_new_noise,
            "You draw new noise in every step. That is also a way to sample, but with few steps it discards what was "
            "already determined. Keep the noise that is in x.",
            sign=lambda seen: _same_where_done(seen) and not _same_at_rest(seen),
        ),
    ),
    praise="A DDIM step is no more than this: split x into image and noise, and mix them again with less noise.",
)


def _same_where_done(seen: tuple) -> bool:
    """Whether at u = 0 only the image is left."""
    return _close(seen[3], step_cases()[3][1])


def _same_at_rest(seen: tuple) -> bool:
    """Whether nothing changes for t = u."""
    return _close(seen[2], step_cases()[2][0])


def _close(a: object, b: Tensor) -> bool:
    values = as_array(a)
    return values is not None and values.shape == tuple(b.shape) and bool(abs(values - b.numpy()).max() < 1e-4)


# ---------------------------------------------------------------- 08.4

LOST = Exercise(
    id="08.4",
    title="lost by chance",
    hints=(
        "On average each new set has the same share as the one before. So what is the mean share after a thousand "
        "generations?",
        "In the end a line of generations either has lost the minority (share 0) or consists of nothing else (share "
        "1). The mean share over all lines is still 5%.",
        "If a fraction p of all lines ends at 1 and the rest at 0, the mean is p. So p is 5%.",
    ),
    observe=as_number,
    right=0.95,
    mistakes=(
        Mistake(
            0.0,
            "It is true that nothing changes on average. But a mean of 5% can consist of 0 in most lines and "
            "1 in a few.",
        ),
        Mistake(1.0, "Close. But then the mean share would have fallen to 0, and on average nothing changes."),
        Mistake(
            0.05,
            "That is the fraction of lines in which *only* the minority is left. The question is how often it is lost.",
        ),
        Mistake(0.5, "½ would be right if the two kinds had started with equal shares."),
        Mistake(
            0.95**100,
            "That is the probability of losing it in the first generation. But every later generation draws again.",
            sign=lambda seen: abs(seen - 0.95**100) < 5e-4,
        ),
        Mistake(95.0, "The number is right as a percentage. Give a fraction, from 0 to 1."),
    ),
    otherwise="Not yet. What happens to the mean over all lines, and in which states does a line stop changing?",
    tolerance=5e-3,
    praise="The minority is lost in 19 lines of 20 although the generator makes no mistake at all: sampling alone is "
    "enough.",
)

# ---------------------------------------------------------------- 08.5


def caught_at(members: Tensor, others: Tensor, fpr: float) -> float:
    allowed = math.floor(fpr * len(others) + 1e-9)  # false alarms
    threshold = others.sort(descending=True).values[allowed]
    return (members > threshold).float().mean().item()


def score_cases() -> list[tuple]:
    members, others = torch.randn(300, generator=fixed(0)) + 0.7, torch.randn(200, generator=fixed(1))
    tied = torch.tensor([1.0, 1.0, 2.0, 0.0])
    return [(members, others, 0.01), (members, others, 0.1), (others, members, 0.05), (tied, tied, 0.25)]


CAUGHT = Exercise(
    id="08.5",
    title="what a membership score reveals",
    hints=(
        "Only the non-members determine the threshold: a fraction fpr of them may be accused. Sort their scores.",
        "Of n non-members, floor(fpr · n) may score above the threshold. So it is the next score after these, counted "
        "from the top.",
        "threshold = others.sort(descending=True).values[int(fpr * len(others))], and the fraction of members above "
        "it.",
    ),
    observe=Calls(*score_cases()),
    right=caught_at,
    mistakes=(
        Mistake(
            lambda m, o, fpr: (m > m.sort(descending=True).values[math.floor(fpr * len(m))]).float().mean().item(),
            "You set the threshold by the members. But an attacker does not know them, and false alarms are counted "
            "among the others.",
        ),
        Mistake(
            lambda m, o, fpr: (m > o.quantile(fpr)).float().mean().item(),
            "That is the wrong end: a fraction fpr of the others lies *below* this threshold.",
        ),
        Mistake(
            lambda m, o, fpr: (
                (m >= o.sort(descending=True).values[math.floor(fpr * len(o) + 1e-9)]).float().mean().item()
            ),
            "With equal scores, ≥ accuses more of the others than allowed. Count only scores above the threshold.",
            sign=lambda seen: _all_but_last(seen) and _number(seen[3]) is not None,
        ),
        Mistake(
            lambda m, o, fpr: (
                (m > o.sort(descending=True).values[math.floor(fpr * len(o) + 1e-9) - 1]).float().mean().item()
            ),
            "Your threshold is one score too strict: it does not accuse the non-member whose score it is, so it can be "
            "one score lower.",
        ),
        Mistake(
            lambda m, o, fpr: (m[:, None] > o).float().mean().item(),
            "That is how often a member scores above a non-member, the area under the ROC curve. It says little about "
            "the range of few false alarms.",
        ),
        Mistake(
            lambda m, o, fpr: (m > 0).float().mean().item(),
            "You use a fixed threshold, without control over how many of the others it accuses. Set it by fpr.",
        ),
        Mistake(
            lambda m, o, fpr: 100 * caught_at(m, o, fpr),
            "The number is right as a percentage. Give a fraction, from 0 to 1.",
        ),
        Mistake(
            lambda m, o, fpr: 1 - caught_at(m, o, fpr),
            "That is the fraction of the members that are missed.",
        ),
    ),
    tolerance=1e-3,
    praise="Report the true positive rate at a low false positive rate, because an accusation must rarely be wrong.",
)


def _number(thing: object) -> float | None:
    values = as_array(thing)
    return float(values.item()) if values is not None and values.size == 1 else None


def _all_but_last(seen: tuple) -> bool:
    return all(
        _number(a) is not None and abs(_number(a) - b) < 1e-3
        for a, b in zip(seen[:3], CAUGHT.expected()[:3], strict=True)
    )


# ---------------------------------------------------------------- 08.6

LIMIT, ROUGH, KEYS = 0.1, 0.1, (3, 14, 15)


@functools.cache
def plain_images() -> Tensor:
    """(600, 1, 28, 28) in [-1, 1], drawn by the program."""
    return strokes.draw(600, 8).pixels / 127.5 - 1


def rough(x: Tensor, seed: int) -> Tensor:
    """An image after a rough transmission: with noise of std 0.1, and rounded to 256 levels."""
    x = (x + ROUGH * torch.randn(x.shape, generator=fixed(seed))).clamp(-1, 1)
    return ((x + 1) * 127.5).round() / 127.5 - 1


def marked(embed: Callable, score: Callable) -> dict[str, float] | None:
    """How much a watermark changes a pixel, and how many marks are found after noise at 1% false alarms.

    `embed(x, key)` marks images (B, 1, 28, 28); `score(x, key)` returns (B,), high where the mark of this key is. The
    result has the largest "change" of a pixel, the share "found" with the right key, and by "strangers" with another
    key; it is None while a function returns None.
    """
    x = plain_images()
    change, found, strangers = [], [], []
    for key in KEYS:
        made = _called(embed, "embed", x, key)
        if made is None:
            return None
        if not isinstance(made, Tensor) or made.shape != x.shape:
            raise BadInput(f"embed returns {brief(made)}: return marked images of the shape of x, (B, 1, 28, 28).")
        if not made.isfinite().all() or made.abs().max() > 1 + 1e-6:
            raise BadInput("the marked images leave the range from −1 to 1: limit them with clamp(−1, 1).")
        change.append((made - x).abs().max().item())
        shares: list[Seen] = [_share_found(score, rough(made, key), rough(x, 9), whose) for whose in (key, key + 1)]
        if blank(shares):
            return None
        found.append(shares[0])
        strangers.append(shares[1])
    return {"change": max(change), "found": min(found), "strangers": max(strangers)}


def _share_found(score: Callable, marked: Tensor, plain: Tensor, key: int) -> float | None:
    """The share of images that score higher than all but 1% of those without a mark."""
    scores = [_called(score, "score", x, key) for x in (marked, plain)]
    if blank(scores):
        return None
    for part in scores:
        if not isinstance(part, Tensor) or part.shape != (len(plain),):
            raise BadInput(f"score returns {brief(part)}: return one number for each image, (B,).")
    of_marked, of_plain = (part.detach().double() for part in scores)
    return (of_marked > of_plain.sort(descending=True).values[len(plain) // 100]).double().mean().item()


def _called(function: Callable, name: str, x: Tensor, key: int) -> Seen:
    if not callable(function):
        raise BadInput(f"{name} is {brief(function)}: hand in two functions, (embed, score).")
    return function(x.clone(), key)


def mark_seen(answer: object) -> dict[str, float] | None:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise BadInput("hand in two functions, (embed, score).")
    if blank(answer):
        return None
    return marked(*answer)


def signs(key: int) -> Tensor:
    """A pattern (1, 28, 28) of ±1, determined by the key."""
    return torch.randint(2, (1, 28, 28), generator=fixed(key)) * 2.0 - 1


def add_signs(x: Tensor, key: int, strength: float = LIMIT) -> Tensor:
    return (x + strength * signs(key)).clamp(-1, 1)


def correlate(x: Tensor, key: int) -> Tensor:
    return (x * signs(key)).flatten(1).sum(1)


def correlate_details(x: Tensor, key: int) -> Tensor:
    details = (x - avg_pool2d(x, 3, 1, 1)).clamp(-0.2, 0.2)  # subtracts what is smooth, and limits
    return correlate(details, key)  # the edges, so that the pattern dominates


def even_bytes(x: Tensor, key: int) -> Tensor:
    """Stores the mark in the last bit of each pixel: invisible, but destroyed by the slightest noise."""
    levels = ((x + 1) * 127.5).round()
    wanted = (signs(key) > 0).float()
    return ((levels - (levels % 2 != wanted).float() * (levels % 2 * 2 - 1)).clamp(0, 255)) / 127.5 - 1


def count_even(x: Tensor, key: int) -> Tensor:
    return (((x + 1) * 127.5).round() % 2 == (signs(key) > 0).float()).float().flatten(1).mean(1)


MARK = Exercise(
    id="08.6",
    title="a watermark that survives noise",
    hints=(
        "Add a pattern of ±0.1 that depends on the key, and measure how well an image correlates with it. What else "
        "makes an image correlate with a pattern?",
        "The image itself is much stronger than the mark. It is mostly smooth, so subtract a local mean before you "
        "compare, and limit the influence of strong edges.",
        "score: details = (x − avg_pool2d(x, 3, 1, 1)).clamp(−0.2, 0.2), times the pattern, summed over the pixels.",
    ),
    observe=mark_seen,
    right=(add_signs, correlate_details),
    accepts=lambda seen: seen["change"] <= LIMIT + 1e-6 and seen["found"] >= 0.99 and seen["strangers"] <= 0.05,
    mistakes=(
        Mistake(
            (functools.partial(add_signs, strength=0.5), correlate),
            "The mark is found, but it is visible: a pixel may change by at most 0.1.",
            sign=lambda seen: seen["change"] > LIMIT + 1e-6,
        ),
        Mistake(
            (lambda x, key: x, correlate_details),
            "embed changes nothing, so there is nothing to find.",
            sign=lambda seen: seen["change"] == 0,
        ),
        Mistake(
            (lambda x, key: add_signs(x, 0), lambda x, key: correlate_details(x, 0)),
            "The mark does not depend on the key, so anybody's images pass for yours. Draw the pattern from the key.",
            sign=lambda seen: seen["found"] > 0.5 and seen["strangers"] > 0.05,
        ),
        Mistake(
            (even_bytes, count_even),
            "Such a small change does not survive the noise. You may change each pixel by 0.1: use that.",
            sign=lambda seen: seen["change"] < LIMIT / 2 and seen["found"] < 0.99,
        ),
        Mistake(
            (add_signs, correlate),
            "Only some marks are found, not 99 of 100, because the image drowns them out. What can you subtract before "
            "you compare?",
            sign=lambda seen: seen["found"] < 0.99,
        ),
    ),
    otherwise="Not yet. Print marked(embed, score): the largest change, the share found, and the share found with "
    "another key.",
    praise="The mark is found with the key, and only with it. It survives noise; whether it survives a blur or an "
    "attacker is another question.",
)

EXERCISES = (KL_TO_PRIOR, NOISE, STEP, LOST, CAUGHT, MARK)
