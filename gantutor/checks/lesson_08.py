"""Lesson 08: GANs and the others. A bound and its noise, one step of denoising, and three questions of risk."""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gantutor.checks.exercise import Calls, Exercise, Mistake, as_array, as_number, blank, brief
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
    title="what a guess costs",
    hints=(
        "Write log q(z) − log p(z) for one number z. Under q the mean of z² is mean² + std², and that of (z − mean)² "
        "is std².",
        "For one number: ½(mean² + std² − 1) − log std. The latents are independent, so the prices add up.",
        "(mean.square() + std.square() − 2 · std.log() − 1).sum(1) / 2",
    ),
    observe=Calls((MEANS[:1], STDS[:1]), (MEANS, STDS), (MEANS[:, :1], STDS[:, :1])),
    right=kl_to_prior,
    mistakes=(
        Mistake(
            lambda m, s: (m.square() + s.square() - 2 * s.log() - 1).sum(1),
            "Twice too large. Both bell curves have ½ in their exponents.",
        ),
        Mistake(
            lambda m, s: (m.square() + s.square() - s.log() - 1).sum(1) / 2,
            "The logarithm counts too little: log std² is 2 log std. (The lesson's encoder gives log std² itself.)",
        ),
        Mistake(
            lambda m, s: (m.square() + s - s.log() - 1).sum(1) / 2,
            "That takes the standard deviation for the variance. With log_var in its place it was exp(log_var).",
        ),
        Mistake(
            lambda m, s: (m.square() + s.square() + 2 * s.log() - 1).sum(1) / 2,
            "The sign of the logarithm is turned round: a sharp guess (small std) must cost more, not less.",
        ),
        Mistake(
            lambda m, s: (m.square() + s.square() - 2 * s.log()).sum(1) / 2,
            "A guess that is the prior itself should cost nothing. Yours costs ½ for each number.",
        ),
        Mistake(
            lambda m, s: -(m.square() + s.square() - 2 * s.log() - 1).sum(1) / 2,
            "The size is right, the sign is not. A divergence is never below 0.",
        ),
        Mistake(
            lambda m, s: (m.square() + s.square() - 2 * s.log() - 1).mean(1) / 2,
            "You take the mean over the latents. Independent prices add up: with twice as many, twice the price.",
        ),
        Mistake(
            lambda m, s: (m.square() + s.square() - 2 * s.log() - 1).sum() / 2,
            "You sum over everything. Each image has a price of its own: (B, d) -> (B,).",
        ),
        Mistake(
            lambda m, s: ((1 + m.square()) / s.square() + 2 * s.log() - 1).sum(1) / 2,
            "That is the other order, KL(N(0, I) ‖ q). Here the expectation is under q, the guess.",
        ),
    ),
    praise="It is vae.kl, in other letters. A mean far from 0 costs something, and so does a sharp guess.",
)

# ---------------------------------------------------------------- 08.2


def pictures() -> tuple[Tensor, Tensor]:
    """Some images, and what a decoder made of them: off by 0.3, and darker by 0.1 on average."""
    x = torch.rand(6, 1, 4, 4, generator=fixed(0)) * 2 - 1
    return x, x - 0.1 + 0.3 * torch.randn(x.shape, generator=fixed(1))


def best_noise(x: Tensor, made: Tensor) -> Tensor:
    return (x - made).square().mean().sqrt()


NOISE = Exercise(
    id="08.2",
    title="the best noise",
    hints=(
        "Only two terms hold s: for n pixels −n log s − (sum of squared errors) / (2s²). Put the slope in s to 0.",
        "−n/s + (sum of squared errors)/s³ = 0. So s² is the sum divided by n.",
        "(x − made).square().mean().sqrt()",
    ),
    observe=Calls(pictures(), tuple(part[:2] for part in pictures()), (torch.full((1, 3), 0.5), torch.zeros(1, 3))),
    right=best_noise,
    mistakes=(
        Mistake(lambda x, made: (x - made).square().mean(), "That is s², the variance. The bound was in s."),
        Mistake(
            lambda x, made: (x - made).std(),
            "A standard deviation takes the mean error off first. A decoder that is too dark is wrong by that, too.",
        ),
        Mistake(
            lambda x, made: (x - made).abs().mean(),
            "The mean size of the errors would be the best width for another density, exp(−|x|/s) / 2s.",
        ),
        Mistake(
            lambda x, made: (x - made).square().sum().sqrt(),
            "The sum grows with the number of pixels. Do not forget −n log s: each pixel wants a say.",
        ),
        Mistake(
            lambda x, made: (x - made).square().flatten(1).mean(1).sqrt(),
            "One s for each image: that would be a model that knows how hard each one is. Here one s serves all.",
        ),
        Mistake(
            lambda x, made: ((x - made).square().mean() / 2).sqrt(),
            "The ½ of the exponent cancels against the 2 in the derivative of 1/s².",
        ),
    ),
    tolerance=1e-3,
    praise="The best noise is the error that the decoder makes anyway. A smaller s asks for what it cannot do.",
)

# ---------------------------------------------------------------- 08.3


def levels(t: float) -> tuple[float, float]:
    """How much of the image, and how much noise, is left at time t from 0 (the image) to 1 (noise): a² + s² = 1."""
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
        "x = a · clean + s · noise. You know x, a and s, and the net guesses clean. What is the noise then?",
        "The noise is (x − a · clean) / s. At time u the same image and the same noise are mixed with b and r.",
        "b * clean + r * (x − a * clean) / s, with a, s = levels(t) and b, r = levels(u).",
    ),
    observe=Calls(*step_cases()),
    right=denoised,
    mistakes=(
        Mistake(
            lambda x, clean, t, u: levels(u)[0] * clean + levels(u)[1] * (x - clean),
            "It still does what the broken one does. In x the image counts only a times: what remains when you take "
            "that away, and how strong is the noise in it?",
        ),
        Mistake(
            lambda x, clean, t, u: levels(u)[0] * clean + levels(u)[1] * (x - levels(t)[0] * clean),
            "What is left of x is s times the noise. Divide by s, or the noise fades too soon.",
        ),
        Mistake(
            lambda x, clean, t, u: levels(u)[0] * clean + levels(u)[1] * (x - clean) / levels(t)[1],
            "In x the image counts a times, not once: take off a · clean.",
        ),
        Mistake(
            lambda x, clean, t, u: (
                levels(u)[1] * clean + levels(u)[0] * (x - levels(t)[0] * clean) / max(levels(t)[1], 1e-9)
            ),
            "The two levels are exchanged: at u = 0 all should be image, and nothing noise.",
        ),
        Mistake(
            lambda x, clean, t, u: clean,
            "That jumps to the end. The first guesses are blurred: go only as far as u.",
        ),
        Mistake(
            lambda x, clean, t, u: x,
            "Nothing has happened: with t = u that is right, but u is less noisy than t.",
        ),
        Mistake(
            with_new_noise,
            "That draws new noise at every step. It is a way to sample, too, but with few steps it forgets what it had "
            "decided. Keep the noise that is in x.",
            sign=lambda seen: _same_where_done(seen) and not _same_at_rest(seen),
        ),
    ),
    praise="Split x into image and noise, and mix them again with less noise. That is all there is to a DDIM step.",
)


def _same_where_done(seen: tuple) -> bool:
    """At u = 0 nothing is left but the image."""
    return _close(seen[3], step_cases()[3][1])


def _same_at_rest(seen: tuple) -> bool:
    """With t = u nothing moves."""
    return _close(seen[2], step_cases()[2][0])


def _close(a: object, b: Tensor) -> bool:
    values = as_array(a)
    return values is not None and values.shape == tuple(b.shape) and bool(abs(values - b.numpy()).max() < 1e-4)


# ---------------------------------------------------------------- 08.4

LOST = Exercise(
    id="08.4",
    title="lost by chance",
    hints=(
        "Each new set has on average the share of the one before. So what is the mean share after a thousand "
        "generations?",
        "In the end a line has either lost the minority (share 0) or nothing else is left (share 1). The mean of the "
        "shares over all lines is still 5%.",
        "If the share p of all lines ends at 1 and the rest at 0, the mean is p. So p is 5%.",
    ),
    observe=as_number,
    right=0.95,
    mistakes=(
        Mistake(0.0, "On average nothing changes, true. But a mean of 5% can be 0 in most lines and 1 in a few."),
        Mistake(1.0, "Nearly. Then the mean share would have fallen to 0; and on average nothing changes."),
        Mistake(0.05, "That is the share of lines in which *only* the minority is left. Asked is where it is gone."),
        Mistake(0.5, "Heads or tails would be right if the two kinds had begun alike."),
        Mistake(
            0.95**100,
            "That is the chance of losing it in the first generation. It goes on: every generation draws anew.",
            sign=lambda seen: abs(seen - 0.95**100) < 5e-4,
        ),
        Mistake(95.0, "The number is right as a percentage. Write it as a share, from 0 to 1."),
    ),
    otherwise="Not that. What happens to the mean over all lines, and where can a line come to rest?",
    tolerance=5e-3,
    praise="A generator without any fault, and the minority is gone in 19 lines of 20. Copying a sample is enough.",
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
    title="what a membership score says",
    hints=(
        "Only the others decide the threshold: you may accuse a share fpr of them. Sort their scores.",
        "Of n others, floor(fpr · n) may lie above the threshold. So it is the score in the place after these, from "
        "the top.",
        "threshold = others.sort(descending=True).values[int(fpr * len(others))], and the share of members above.",
    ),
    observe=Calls(*score_cases()),
    right=caught_at,
    mistakes=(
        Mistake(
            lambda m, o, fpr: (m > m.sort(descending=True).values[math.floor(fpr * len(m))]).float().mean().item(),
            "You set the threshold by the members. An attacker does not know them; false alarms are counted among the "
            "others.",
        ),
        Mistake(
            lambda m, o, fpr: (m > o.quantile(fpr)).float().mean().item(),
            "That is the other end: a threshold which a share fpr of the others lie *below*.",
        ),
        Mistake(
            lambda m, o, fpr: (
                (m >= o.sort(descending=True).values[math.floor(fpr * len(o) + 1e-9)]).float().mean().item()
            ),
            "Equal scores: with ≥ you accuse more of the others than you may. Count only what lies above.",
            sign=lambda seen: _all_but_last(seen) and _number(seen[3]) is not None,
        ),
        Mistake(
            lambda m, o, fpr: (
                (m > o.sort(descending=True).values[math.floor(fpr * len(o) + 1e-9) - 1]).float().mean().item()
            ),
            "One place too strict: the score that you take as the threshold is not above itself, so it accuses nobody. "
            "The threshold may be one score lower.",
        ),
        Mistake(
            lambda m, o, fpr: (m[:, None] > o).float().mean().item(),
            "That is how often a member beats another, the area under the curve; it says little of few false alarms.",
        ),
        Mistake(
            lambda m, o, fpr: (m > 0).float().mean().item(),
            "A fixed threshold: how many of the others it accuses, nobody knows. Set it by fpr.",
        ),
        Mistake(
            lambda m, o, fpr: 100 * caught_at(m, o, fpr),
            "The number is right as a percentage. Give it as a share, from 0 to 1.",
        ),
        Mistake(
            lambda m, o, fpr: 1 - caught_at(m, o, fpr),
            "That is the share of the members that go unnoticed.",
        ),
    ),
    tolerance=1e-3,
    praise="The share caught at few false alarms is the number to report: an accusation must rarely be wrong.",
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
    """What happens to an image on its way: noise of 0.1, and 256 levels."""
    x = (x + ROUGH * torch.randn(x.shape, generator=fixed(seed))).clamp(-1, 1)
    return ((x + 1) * 127.5).round() / 127.5 - 1


def marked(embed: Callable, score: Callable) -> dict[str, float] | None:
    """How much the mark changes a pixel, and at 1% false alarms how many marks are found: after noise, and by others.

    `embed(x, key)` marks images (B, 1, 28, 28), `score(x, key)` gives (B,), high where the mark of this key is.
    """
    x = plain_images()
    change, found, strangers = [], [], []
    for key in KEYS:
        made = _called(embed, "embed", x, key)
        if made is None:
            return None
        if not isinstance(made, Tensor) or made.shape != x.shape:
            raise BadInput(f"embed gives {brief(made)}: give back marked images of the shape of x, (B, 1, 28, 28).")
        if not made.isfinite().all() or made.abs().max() > 1 + 1e-6:
            raise BadInput("the marked images leave the range from −1 to 1: cut them off with clamp(−1, 1).")
        change.append((made - x).abs().max().item())
        shares = [_share_found(score, rough(made, key), rough(x, 9), whose) for whose in (key, key + 1)]
        if blank(shares):
            return None
        found.append(shares[0])
        strangers.append(shares[1])
    return {"change": max(change), "found": min(found), "strangers": max(strangers)}


def _share_found(score: Callable, marked: Tensor, plain: Tensor, key: int) -> float | None:
    """The share of images with a higher score than all but 1% of those without a mark."""
    scores = [_called(score, "score", x, key) for x in (marked, plain)]
    if blank(scores):
        return None
    for part in scores:
        if not isinstance(part, Tensor) or part.shape != (len(plain),):
            raise BadInput(f"score gives {brief(part)}: give back one number for each image, (B,).")
    of_marked, of_plain = (part.detach().double() for part in scores)
    return (of_marked > of_plain.sort(descending=True).values[len(plain) // 100]).double().mean().item()


def _called(function: Callable, name: str, x: Tensor, key: int) -> object:
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
    """±1 for each pixel, (1, 28, 28), as the key decides."""
    return torch.randint(2, (1, 28, 28), generator=fixed(key)) * 2.0 - 1


def add_signs(x: Tensor, key: int, strength: float = LIMIT) -> Tensor:
    return (x + strength * signs(key)).clamp(-1, 1)


def correlate(x: Tensor, key: int) -> Tensor:
    return (x * signs(key)).flatten(1).sum(1)


def correlate_details(x: Tensor, key: int) -> Tensor:
    details = (x - avg_pool2d(x, 3, 1, 1)).clamp(-0.2, 0.2)  # the image itself is mostly smooth, and its edges count
    return correlate(details, key)  # for little


def even_bytes(x: Tensor, key: int) -> Tensor:
    """The last bit of each pixel says the mark: invisible, and gone after the least noise."""
    levels = ((x + 1) * 127.5).round()
    wanted = (signs(key) > 0).float()
    return ((levels - (levels % 2 != wanted).float() * (levels % 2 * 2 - 1)).clamp(0, 255)) / 127.5 - 1


def count_even(x: Tensor, key: int) -> Tensor:
    return (((x + 1) * 127.5).round() % 2 == (signs(key) > 0).float()).float().flatten(1).mean(1)


MARK = Exercise(
    id="08.6",
    title="a mark that survives",
    hints=(
        "Add a pattern of ±0.1 that only the key knows, and ask how well an image agrees with it. What else makes an "
        "image agree or disagree with a pattern?",
        "The image itself is much stronger than the mark. It is mostly smooth: take a local mean off before you "
        "compare, and do not let a few strong edges decide.",
        "score: details = (x − avg_pool2d(x, 3, 1, 1)).clamp(−0.2, 0.2), times the pattern, summed over the pixels.",
    ),
    observe=mark_seen,
    right=(add_signs, correlate_details),
    accepts=lambda seen: seen["change"] <= LIMIT + 1e-6 and seen["found"] >= 0.99 and seen["strangers"] <= 0.05,
    mistakes=(
        Mistake(
            (functools.partial(add_signs, strength=0.5), correlate),
            "The mark is found, and everybody sees it: a pixel may change by 0.1 at most.",
            sign=lambda seen: seen["change"] > LIMIT + 1e-6,
        ),
        Mistake(
            (lambda x, key: x, correlate_details),
            "embed changes nothing: there is nothing to be found.",
            sign=lambda seen: seen["change"] == 0,
        ),
        Mistake(
            (lambda x, key: add_signs(x, 0), lambda x, key: correlate_details(x, 0)),
            "The mark does not depend on the key: everybody's images pass for yours. Draw the pattern from the key.",
            sign=lambda seen: seen["found"] > 0.5 and seen["strangers"] > 0.05,
        ),
        Mistake(
            (even_bytes, count_even),
            "So small a change does not outlive the noise. You may change each pixel by 0.1: use it.",
            sign=lambda seen: seen["change"] < LIMIT / 2 and seen["found"] < 0.99,
        ),
        Mistake(
            (add_signs, correlate),
            "Some marks are found, not 99 of 100. The image drowns them: what can you take off before you compare?",
            sign=lambda seen: seen["found"] < 0.99,
        ),
    ),
    otherwise="Not yet. Print marked(embed, score): the largest change, the share found, and what strangers find.",
    praise="Found by whoever has the key, and nobody else. It outlives noise; a blur or an attacker is another matter.",
)

EXERCISES = (KL_TO_PRIOR, NOISE, STEP, LOST, CAUGHT, MARK)
