"""Lesson 04: conditional GANs, in which G is given the class to draw."""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from gantutor import metrics
from gantutor.checks.exercise import Answer, Calls, Exercise, Mistake, as_array, as_number, brief, check_callable, same
from gantutor.data import strokes
from gantutor.errors import BadInput
from gantutor.metrics import classifier
from gantutor.models import Join
from gantutor.models.conditioning import one_hot, projected

# ---------------------------------------------------------------- 04.1


def gaussian(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_probing(weight: Tensor, latent_dim: int, y: int) -> tuple[Tensor, Tensor]:
    """The weight and bias found by probing: the layer's output for [0; y], and what each entry of z adds to it."""
    join = Join(weight.shape[1] - latent_dim, "concat", (latent_dim,))
    z = torch.cat([torch.zeros(1, latent_dim), torch.eye(latent_dim)])
    made = linear(join(z, torch.full((len(z),), y)), weight)  # (1 + latent_dim, out)
    return (made[1:] - made[0]).T, made[0]


ONE_CLASS = Exercise(
    id="04.1",
    title="a G for one class only",
    hints=(
        "W [z; y] = W_z z + W_y y, and y is one-hot. How many columns of W belong to z, and which column does W_y y "
        "select?",
        "The new weight is the part of W for z. What the label adds is the same for every z, so it is a bias.",
        "The bias is one column, the one with index latent_dim + y.",
    ),
    observe=Calls((gaussian(6, 7, seed=0), 4, 2), (gaussian(6, 7, seed=1), 4, 0), (gaussian(12, 12, seed=2), 2, 9)),
    right=by_probing,
    mistakes=(
        Mistake(
            lambda w, d, y: (w[:, :d], w[:, y]),
            "The weight is right. Your bias is a column that belongs to z; the columns of the labels come after those.",
        ),
        Mistake(
            lambda w, d, y: (w[:, :d], w[:, d + y - 1]),
            "The weight is right, but your bias is the column next to the right one. Classes are counted from 0.",
        ),
        Mistake(
            lambda w, d, y: (w[:, w.shape[1] - d :], w[:, y]),
            "That would be right for [y; z], but here z comes first.",
        ),
        Mistake(
            lambda w, d, y: (w[:, :d], w[y]),
            "The weight is right. A row of W belongs to an output; a label belongs to a column.",
        ),
        Mistake(
            lambda w, d, y: (w[:, :d], w[:, d:].mean(1)),
            "The weight is right. Your bias is a mean over the classes, so this G draws none of them.",
        ),
        Mistake(
            lambda w, d, y: (w[:, :d], torch.zeros(len(w))),
            "The weight is right. But the label has no effect: what did it add to the output?",
        ),
    ),
    otherwise="That is not the same layer. Return a weight (out, latent_dim) and a bias (out,), both taken from W.",
    praise="A conditional G is ten unconditional ones that share all their weights except one bias.",
)

# ---------------------------------------------------------------- 04.2

UNCONDITIONAL_G = Exercise(
    id="04.2",
    title="D's loss against a G that ignores its label",
    hints=(
        "D sees a picture and a label. If the picture does not show that class, which source must the pair come from?",
        "All real pairs match, and one fake pair in ten. So what is p / (p + q) for a matching pair?",
        "D answers 10/11 for a matching pair and 0 for any other. Each real pair costs −log(10/11), and one fake in "
        "ten −log(1/11).",
    ),
    observe=as_number,
    right=math.log(11 / 10) + math.log(11) / 10,
    mistakes=(
        Mistake(
            math.log(4),
            "That is D's loss when it can only guess. But this D knows the label, and nine fakes in ten "
            "do not match it.",
        ),
        Mistake(
            0.0, "Then D would never err. But one fake in ten matches its label by chance and looks perfectly real."
        ),
        Mistake(
            math.log(11 / 10),
            "That is what the real pairs cost. One fake in ten matches its label: what does that cost?",
        ),
        Mistake(math.log(11) / 10, "That is what the fakes cost. D is not quite certain about the real pairs either."),
        Mistake(
            math.log(11 / 10) + math.log(11),
            "Not every fake costs that much: nine in ten do not match their label, and D recognises them with "
            "certainty.",
        ),
        Mistake(
            math.log(4) / 10,
            "For a matching pair D does not have to answer ½: among matching pairs there are ten times as many real "
            "ones as fakes.",
        ),
        Mistake(-math.log(11 / 10) - math.log(11) / 10, "That is V, which D maximises. The loss has the other sign."),
    ),
    otherwise="Not yet. What does the optimal D answer for a matching pair, and for one that does not match? Then add "
    "two means.",
    tolerance=5e-3,
    praise="0.34 instead of 1.39: a D that uses the label is far ahead of a G that ignores it, however good the "
    "pictures are.",
)

# ---------------------------------------------------------------- 04.3


def by_single_features(weight: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """The weight and table found by probing the package's D with one feature at a time, under each label."""
    classes, features = table.shape
    last = nn.Linear(features, 1, bias=False)
    last.weight = nn.Parameter(weight[None])
    net, labels = nn.Sequential(nn.Identity(), last), nn.Embedding.from_pretrained(table)
    found = [projected(net, labels, torch.eye(features), torch.full((features,), y)) for y in range(classes)]
    every = torch.stack(found)  # (K, F)
    return every.mean(0), every - every.mean(0)


TABLE_CALLS = Calls(
    (gaussian(4, seed=3), 1 + gaussian(4, 4, seed=4)), (gaussian(5, seed=5), gaussian(3, 5, seed=6) - 1)
)


def centred_pairs(answer: Answer) -> tuple:
    """The new weight and table for each case."""
    seen = TABLE_CALLS(answer)
    for given, made in zip(TABLE_CALLS.cases, seen, strict=True):
        if made is not None and shapes(made) != shapes(given):
            raise BadInput(
                f"the function returns {brief(made)}: return two tensors, the new w (F,) and the new table (K, F)."
            )
    return seen


def shapes(parts: object) -> list[tuple[int, ...] | None]:
    parts = parts if isinstance(parts, tuple | list) else (parts,)
    return [None if array is None else array.shape for array in map(as_array, parts)]


def centred_along_features(seen: tuple) -> bool:
    """Whether the mean over the features was subtracted from the table, whatever the weight is."""
    tables = [table for _, table in TABLE_CALLS.cases]
    return all(
        made is not None and same(made[1], table - table.mean(1, keepdim=True), 1e-4)
        for made, table in zip(seen, tables, strict=True)
    )


CENTRED = Exercise(
    id="04.3",
    title="two tables, the same D",
    hints=(
        "Add one vector c to every row of the table. By how much does each logit change? Does that depend on y?",
        "It changes by ⟨c, φ⟩, which ψ can undo. Which c makes the mean of the rows 0?",
        "Let m be the mean over the classes: subtract it from the table and add it to the weight of ψ.",
    ),
    observe=centred_pairs,
    right=by_single_features,
    mistakes=(
        Mistake(
            lambda w, e: (w - e.mean(0), e - e.mean(0)),
            "The table is right. But you subtracted the mean twice: what you take from the table must be added to ψ.",
        ),
        Mistake(
            lambda w, e: (w, e - e.mean(0)),
            "The table is right. But D has changed, because every logit has lost the same ⟨m, φ⟩. What can give it "
            "back?",
        ),
        Mistake(
            lambda w, e: (w + e.mean(0), e),
            "The weight is right. But the mean is still in the table, so D counts it twice.",
        ),
        Mistake(
            lambda w, e: (w + e.sum(0), e - e.mean(0)),
            "The table is right. But you added the sum of the rows to ψ, while each logit has lost only their mean.",
        ),
        Mistake(
            lambda w, e: (w + e.mean(), e - e.mean()),
            "You subtracted one number from all features. Take the mean of the rows, which has one number for each "
            "feature.",
        ),
        Mistake(
            lambda w, e: (w, e - e.mean(1, keepdim=True)),
            "Your rows have mean 0 along the features. The mean must be 0 over the classes, the other dimension.",
            sign=centred_along_features,
        ),
    ),
    otherwise="Not yet. Test it: ⟨w, φ⟩ + ⟨e_y, φ⟩ must stay the same for every φ and y, and each column of the table "
    "must have mean 0.",
    praise="Only differences between the rows depend on the class. What the rows share measures how real the image "
    "looks.",
)

# ---------------------------------------------------------------- 04.4

CLASSES = 10


def conditional_batch(real: Tensor, fake: Tensor, y: Tensor, wish: Tensor, classes: int) -> Tensor:
    """D's batch as the package builds it."""
    return Join(classes, "concat", real.shape[1:])(torch.cat([real, fake]), torch.cat([y, wish]))


def batch_facts(answer: Answer) -> dict[str, object] | None:
    """What D's batch holds: which images, and which labels in which kind of planes."""
    check_callable(answer)
    real, fake = gaussian(4, 1, 28, 28, seed=7), gaussian(4, 1, 28, 28, seed=8)
    batch = handed_to_d(answer, real, fake, [3, 0, 7, 1], [8, 5, 2, 6])
    others = handed_to_d(answer, real, fake, [3, 4, 5, 9], [8, 1, 0, 7])  # the first of each keeps its label
    if batch is None:
        return None
    if others is None or batch.shape != (8, 1 + CLASSES, 28, 28) or others.shape != batch.shape:
        raise BadInput(
            f"for 4 real images and 4 fakes the function returns {brief(batch)}: return a tensor of shape "
            "(8, 1 + 10, 28, 28)."
        )
    planes = batch[:, 1:]
    constant = torch.equal(planes, planes[:, :, :1, :1].expand_as(planes))
    code = planes[:, :, 0, 0] if constant else planes.flatten(1)[:, :CLASSES]  # (8, 10)
    images = torch.cat([real, fake])
    return {
        "images": torch.equal(batch[:, :1], images),
        "same images": torch.equal(batch[:, 0].flatten(1).sort(0).values, images.flatten(1).sort(0).values),
        "constant": constant,
        "own": torch.equal(planes[0], others[0, 1:]),
        "one-hot": torch.equal(code, one_hot(code.argmax(1), CLASSES).to(code.dtype)),
        "labels": code.argmax(1).tolist(),
    }


def handed_to_d(answer: Callable, real: Tensor, fake: Tensor, y: list[int], wish: list[int]) -> Tensor | None:
    made = answer(real.clone(), fake.clone(), torch.tensor(y), torch.tensor(wish), CLASSES)
    if made is not None and not isinstance(made, Tensor):
        raise BadInput(f"the function returns {brief(made)}: return a tensor, D's whole batch.")
    return made


REAL_FIRST, IN_PAIRS, ALL_REAL = [3, 0, 7, 1, 8, 5, 2, 6], [3, 8, 0, 5, 7, 2, 1, 6], [3, 0, 7, 1, 3, 0, 7, 1]


def repaired(
    pairs: bool = False,
    planes: str = "constant",
    order: str = "y, wish",
    image_last: bool = False,
    images_in_pairs: bool = False,
) -> Callable:
    """The function of the task with some of its bugs, or with others."""

    def batch(real: Tensor, fake: Tensor, y: Tensor, wish: Tensor, classes: int) -> Tensor:
        x = torch.stack([real, fake], 1).flatten(0, 1) if images_in_pairs else torch.cat([real, fake])
        halves = {"y, wish": [y, wish], "y, y": [y, y], "wish, y": [wish, y]}[order]
        hot = one_hot(torch.stack(halves, 1).flatten() if pairs else torch.cat(halves), classes).float()
        maps = {
            "constant": lambda: hot[:, :, None, None].expand(-1, -1, 28, 28),
            "striped": lambda: hot.repeat(1, 28 * 28).reshape(-1, classes, 28, 28),
            "mingled": lambda: hot.repeat(28 * 28, 1).reshape(-1, classes, 28, 28),
        }[planes]()
        return torch.cat([maps, x] if image_last else [x, maps], 1)

    return batch


D_BATCH = Exercise(
    id="04.4",
    title="the labels D receives",
    hints=(
        "There are two bugs. Look at the planes of one image, and at the list of labels for two real images and two "
        "fakes.",
        "The images come as real, real, …, fake, fake. How are the labels ordered? Is each plane all 0 or all 1?",
        "torch.cat([y, wish]) for the list, and hot[:, :, None, None].expand(-1, -1, 28, 28) for the planes.",
    ),
    observe=batch_facts,
    right=conditional_batch,
    mistakes=(
        Mistake(
            repaired(pairs=True, images_in_pairs=True),
            "You changed the order of the images. Keep all real ones first, then all fakes, and reorder the labels "
            "instead.",
            sign=lambda seen: seen["same images"] and not seen["images"],
        ),
        Mistake(
            repaired(image_last=True),
            "The image has moved: it must be channel 0, and the ten planes come after it.",
            sign=lambda seen: not seen["images"],
        ),
        Mistake(
            repaired(planes="mingled"),
            "The planes of an image change when another image gets another label, so D cannot know which label belongs "
            "to which image.",
            sign=lambda seen: not seen["own"],
        ),
        Mistake(
            repaired(pairs=True, planes="striped"),
            "Both bugs are still there. Begin with the planes: each of the ten must be all 0 or all 1.",
            sign=lambda seen: not seen["constant"] and seen["labels"] == IN_PAIRS,
        ),
        Mistake(
            repaired(planes="striped"),
            "The list of labels is right. The planes are not: they are striped instead of all 0 or all 1.",
            sign=lambda seen: not seen["constant"] and seen["labels"] == REAL_FIRST,
        ),
        Mistake(
            repaired(pairs=True),
            "The planes are right. But most images get the label of another one, because the labels alternate while "
            "the images come in two halves.",
            sign=lambda seen: seen["constant"] and seen["labels"] == IN_PAIRS,
        ),
        Mistake(
            repaired(order="y, y"),
            "The planes are right. But D gets the real labels for the fakes too, instead of the labels that G was "
            "given.",
            sign=lambda seen: seen["constant"] and seen["labels"] == ALL_REAL,
        ),
        Mistake(
            repaired(order="wish, y"),
            "The planes are right. But the two halves are swapped: the real images get the labels that G was given.",
            sign=lambda seen: seen["constant"] and seen["labels"] == REAL_FIRST[4:] + REAL_FIRST[:4],
        ),
    ),
    otherwise="The images are in their place, but the labels are not. Each image needs ten planes: the one of its own "
    "label all 1, the others all 0.",
    praise="Two bugs without an error message, and every shape was right. Only the values give them away.",
)

# ---------------------------------------------------------------- 04.5


def matrix(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


HALF_BLIND = matrix((0.9, 0.1, 0.0), (0.2, 0.7, 0.1), (0.0, 0.3, 0.7))
SWAPPING = matrix((0.5, 0.3, 0.2), (0.1, 0.9, 0.0), (0.0, 0.4, 0.6))
DULL = matrix((0.8, 0.2), (0.4, 0.6))
LAZY = matrix((1.0, 0.0), (0.5, 0.5))


def unmixed(seen: Tensor, judge_of_real: Tensor) -> Tensor:
    """The least-squares solution of made @ judge_of_real = seen."""
    return torch.linalg.lstsq(judge_of_real.T, seen.T).solution.T


WHOSE_MISTAKE = Exercise(
    id="04.5",
    title="G's mistakes or the judge's?",
    hints=(
        "There are two steps: from the label to what G draws (T), and from what is drawn to what the judge sees (C). "
        "Sum the probability over everything G may draw in between.",
        "S[y, c] = Σ_k T[y, k] C[k, c] is a product of matrices. Which of them do you want?",
        "S = T C, so T is S times the inverse of C, in this order.",
    ),
    observe=Calls((SWAPPING @ HALF_BLIND, HALF_BLIND), (LAZY @ DULL, DULL)),
    right=unmixed,
    mistakes=(
        Mistake(
            lambda seen, c: torch.linalg.inv(c) @ seen,
            "It is the right inverse on the wrong side. (The mean of the diagonal even comes out right, but the matrix "
            "does not.) First G draws, then the judge classifies.",
        ),
        Mistake(
            lambda seen, c: seen @ c.T,
            "A transposed matrix does not undo the judge's mistakes, just as a transposed convolution does not undo a "
            "convolution.",
        ),
        Mistake(
            lambda seen, c: seen @ c,
            "That applies the judge twice. You want to remove its mistakes, not to add them once more.",
        ),
        Mistake(
            lambda seen, c: seen / c.diag(),
            "That corrects for what the judge misses, but not for where those images go: a nine taken for a four also "
            "adds to the column of the fours.",
        ),
        Mistake(
            lambda seen, c: torch.linalg.solve(c.T, seen.T),
            "The numbers are right, but the matrix is transposed. A row belongs to the label that G was given.",
        ),
        Mistake(
            lambda seen, c: seen - c + torch.eye(len(c), dtype=c.dtype),
            "The mistakes do not simply add up. What the judge sees depends on what G drew first.",
        ),
    ),
    otherwise="Not yet. A test: if G always draws its label, then S is exactly C, and you should return the identity "
    "matrix.",
    praise="It holds as long as the judge makes the same mistakes on fakes as on real images, which would have to be "
    "checked separately.",
)

# ---------------------------------------------------------------- 04.6

POOL, EACH, NEAR = 2000, 40, 2.3


class Made(NamedTuple):
    """Pictures (N, 1, 28, 28) in [-1, 1] that a G drew, the labels it was given (N,), and what each shows (N,)."""

    pictures: Tensor
    orders: Tensor
    shows: Tensor


def four_in_five(n: int = POOL, seed: int = 0) -> Made:
    """Digits in place of a conditional G that draws its label four times in five, and otherwise another digit."""
    drawn, chance = strokes.draw(n, seed), torch.Generator().manual_seed(seed + 7)
    disobeys = torch.rand(n, generator=chance) < 0.2
    other = (drawn.digit + torch.randint(1, CLASSES, (n,), generator=chance)) % CLASSES
    return Made(drawn.pixels / 127.5 - 1, torch.where(disobeys, other, drawn.digit), drawn.digit)


class JudgedPool(NamedTuple):
    """The pool and the held-out digits as the judge sees them, by its features."""

    orders: Tensor  # (N,)
    features: Tensor  # (N, 64)
    logits: Tensor  # (N, 10)
    real: Tensor  # (M, 64) features
    real_labels: Tensor  # (M,)


@cache
def judged_pool() -> JudgedPool:
    j, made, held_out = classifier.load("strokes"), four_in_five(), strokes.draw(1000, 1)
    features, logits = classifier.features_and_logits(j, made.pictures)
    return JudgedPool(
        made.orders, features, logits, classifier.features_and_logits(j, held_out.pixels / 127.5 - 1)[0], held_out.digit
    )


def selection_quality(answer: Answer) -> dict[str, float] | None:
    """The accuracy of the selected pictures, their diversity relative to real ones, and their distance to them."""
    check_callable(answer)
    pool = judged_pool()
    places = answer(pool.orders.clone(), pool.logits.clone())
    if places is None:
        return None
    places = as_indices(places)
    orders, features = pool.orders[places], pool.features[places]
    counts = orders.bincount(minlength=CLASSES)
    if not (counts == EACH).all():
        raise BadInput(f"you selected {counts.tolist()} pictures of the ten classes: select {EACH} of each.")
    diversity = metrics.diversity_by_class(features, orders) / metrics.diversity_by_class(pool.real, pool.real_labels)
    return {
        "accuracy": metrics.accuracy(pool.logits[places], orders),
        "diversity": diversity.mean().item(),
        "distance": metrics.frechet_by_class(features, orders, pool.real, pool.real_labels).mean().item(),
    }


def as_indices(answer: object) -> Tensor:
    """The answer as indices into the pool, int64; `BadInput` for anything else."""
    try:
        values = as_array(answer) if as_array(answer) is not None else as_array(torch.tensor(answer))
    except (TypeError, ValueError, RuntimeError):
        values = None
    if values is not None and values.dtype.kind == "b":
        raise BadInput("the function returns a mask: return indices, `mask.nonzero().flatten()`.")
    if values is None or values.ndim != 1 or (values != values.round()).any():
        raise BadInput(
            f"the function returns {brief(answer)}: return indices into the pool, a list or tensor of whole numbers."
        )
    if not len(values) or not 0 <= values.min() <= values.max() < POOL:
        raise BadInput(f"the function returns {brief(answer)}: return indices from 0 to {POOL - 1}.")
    if len(values) != CLASSES * EACH or len(set(values)) < len(values):
        raise BadInput(
            f"the function returns {len(values)} indices, {len(set(values))} of them different: return "
            f"{CLASSES * EACH} different ones."
        )
    return torch.from_numpy(values).long()


def top_of_each_class(worth: Callable[[Tensor, Tensor], Tensor]) -> Callable:
    """A function that selects the pictures of highest worth for each label."""

    def pick(orders: Tensor, logits: Tensor) -> Tensor:
        value = worth(orders, logits)
        of_order = [torch.where(orders == y, value, -math.inf) for y in range(CLASSES)]
        return torch.cat([v.topk(EACH).indices for v in of_order])

    return pick


def right_class(orders: Tensor, logits: Tensor) -> Tensor:
    return (logits.argmax(1) == orders).float()


def confidence(orders: Tensor, logits: Tensor) -> Tensor:
    """The judge's probability of the label that G was given."""
    return logits.softmax(1).gather(1, orders[:, None]).squeeze(1)


PICK = Exercise(
    id="04.6",
    title="right class, full variety",
    hints=(
        "The judge tells you which pictures show their label. Is it wise to take those about which it is most "
        "confident?",
        "The judge is most confident about the most typical ones. Among the pictures of the right class, let chance or "
        "the order in the pool decide.",
        "For each label y take the indices where orders == y and logits.argmax(1) == y, and keep the first 40.",
    ),
    observe=selection_quality,
    right=top_of_each_class(lambda orders, logits: right_class(orders, logits) + torch.rand(len(orders)) / 2),
    accepts=lambda seen: seen["distance"] < NEAR,
    mistakes=(
        Mistake(
            top_of_each_class(lambda orders, logits: torch.rand(len(orders))),
            "Too many of these pictures do not show their label. Ask the judge before you select one.",
            sign=lambda seen: seen["accuracy"] < 0.97,
        ),
        Mistake(
            top_of_each_class(confidence),
            "All show their label, but they are too much alike, because the judge is most confident about typical "
            "digits. Real people also write unusual sevens.",
            sign=lambda seen: seen["diversity"] < 0.96,
        ),
        Mistake(
            top_of_each_class(lambda orders, logits: right_class(orders, logits) - confidence(orders, logits)),
            "All show their label, but they are too unusual: you chose those about which the judge is least confident. "
            "Take typical ones too.",
            sign=lambda seen: seen["diversity"] > 1.05,
        ),
    ),
    otherwise="They show their labels, and overall they are as diverse as real ones, but their distribution differs "
    "from the real one. Do not sort them at all.",
    praise="Filtering raised the accuracy and kept the unusual digits. Sorting by confidence would have cost "
    "diversity.",
)

EXERCISES = (ONE_CLASS, UNCONDITIONAL_G, CENTRED, D_BATCH, WHOSE_MISTAKE, PICK)
