"""Lesson 04: telling G what to draw."""

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
    """What the layer makes of [0; y], and what each entry of z adds to it."""
    join = Join(weight.shape[1] - latent_dim, "concat", (latent_dim,))
    z = torch.cat([torch.zeros(1, latent_dim), torch.eye(latent_dim)])
    made = linear(join(z, torch.full((len(z),), y)), weight)  # (1 + latent_dim, out)
    return (made[1:] - made[0]).T, made[0]


ONE_CLASS = Exercise(
    id="04.1",
    title="a G for one class only",
    hints=(
        "W [z; y] = W_z z + W_y y, and y is one-hot. How many columns of W belong to z, and what does W_y y pick?",
        "The new weight is the part of W for z. What the label adds is the same for every z: a bias.",
        "The bias is one column: number latent_dim + y, counted from 0.",
    ),
    observe=Calls((gaussian(6, 7, seed=0), 4, 2), (gaussian(6, 7, seed=1), 4, 0), (gaussian(12, 12, seed=2), 2, 9)),
    right=by_probing,
    mistakes=(
        Mistake(
            lambda w, d, y: (w[:, :d], w[:, y]),
            "The weight is right. The bias is a column that belongs to z: those of the labels come after them.",
        ),
        Mistake(
            lambda w, d, y: (w[:, :d], w[:, d + y - 1]),
            "The weight is right, and the bias is the column beside the one that is meant. Classes are counted from 0.",
        ),
        Mistake(
            lambda w, d, y: (w[:, w.shape[1] - d :], w[:, y]),
            "That is right for [y; z]. Here z comes first.",
        ),
        Mistake(
            lambda w, d, y: (w[:, :d], w[y]),
            "The weight is right. A row belongs to one number that comes out. A label belongs to a column.",
        ),
        Mistake(
            lambda w, d, y: (w[:, :d], w[:, d:].mean(1)),
            "The weight is right. The bias is a mean over the classes, so this G makes none of them.",
        ),
        Mistake(
            lambda w, d, y: (w[:, :d], torch.zeros(len(w))),
            "The weight is right. But the label has left no trace: what did it add?",
        ),
    ),
    otherwise="Not the same layer. Return a weight (out, latent_dim) and a bias (out,), both cut out of W.",
    praise="A conditional G is ten plain ones that share all but one bias.",
)

# ---------------------------------------------------------------- 04.2

UNCONDITIONAL_G = Exercise(
    id="04.2",
    title="what a deaf G costs",
    hints=(
        "D sees a picture and a label. If the picture is not of that class, where must the pair come from?",
        "Pairs that fit: all of the real ones, and one fake in ten. So what is p / (p + q) there?",
        "D says 10/11 where it fits, and 0 elsewhere. Each real pair pays −log(10/11), one fake in ten −log(1/11).",
    ),
    observe=as_number,
    right=math.log(11 / 10) + math.log(11) / 10,
    mistakes=(
        Mistake(
            math.log(4), "That is D's loss where it can only guess. But this D hears the label, and nine in ten misfit."
        ),
        Mistake(0.0, "Then D would never err. But one fake in ten fits its label by luck, and looks perfectly real."),
        Mistake(
            math.log(11 / 10), "That is what the real pairs cost. One fake in ten fits its label: what does it cost?"
        ),
        Mistake(math.log(11) / 10, "That is what the fakes cost. D is not quite sure of the real ones either."),
        Mistake(
            math.log(11 / 10) + math.log(11),
            "Not every fake costs that much: nine in ten misfit, and D knows them for sure.",
        ),
        Mistake(
            math.log(4) / 10,
            "Where the pair fits D need not say ½: of what fits, there is ten times more real than fake.",
        ),
        Mistake(-math.log(11 / 10) - math.log(11) / 10, "That is V, which D makes large. The loss has the other sign."),
    ),
    otherwise="Not that. What does the best D say of a pair that fits, and of one that does not? Then add two means.",
    tolerance=5e-3,
    praise="0.34 instead of 1.39: a D that listens is far ahead of a deaf G, however fine its pictures are.",
)

# ---------------------------------------------------------------- 04.3


def by_single_features(weight: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """From what the package's D says of each feature alone, under each label."""
    classes, features = table.shape
    last = nn.Linear(features, 1, bias=False)
    last.weight = nn.Parameter(weight[None])
    net, labels = nn.Sequential(nn.Identity(), last), nn.Embedding.from_pretrained(table)
    every = [projected(net, labels, torch.eye(features), torch.full((features,), y)) for y in range(classes)]
    every = torch.stack(every)  # (K, F)
    return every.mean(0), every - every.mean(0)


TABLE_CALLS = Calls(
    (gaussian(4, seed=3), 1 + gaussian(4, 4, seed=4)), (gaussian(5, seed=5), gaussian(3, 5, seed=6) - 1)
)


def centred_pairs(answer: Answer) -> tuple:
    """The new weight and table of each case."""
    seen = TABLE_CALLS(answer)
    for given, made in zip(TABLE_CALLS.cases, seen, strict=True):
        if made is not None and shapes(made) != shapes(given):
            raise BadInput(f"it gives {brief(made)}: return two tensors, the new w (F,) and the new table (K, F).")
    return seen


def shapes(parts: object) -> list[tuple[int, ...] | None]:
    parts = parts if isinstance(parts, tuple | list) else (parts,)
    return [None if as_array(part) is None else as_array(part).shape for part in parts]


def centred_along_features(seen: tuple) -> bool:
    """The other mean was taken from the table, whatever the weight is."""
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
        "It changes by ⟨c, φ⟩, which ψ can take back. Which c makes the mean of the rows 0?",
        "With m the mean over the classes: the table loses m, and the weight of ψ gains it.",
    ),
    observe=centred_pairs,
    right=by_single_features,
    mistakes=(
        Mistake(
            lambda w, e: (w - e.mean(0), e - e.mean(0)),
            "The table is right. But D has lost the mean twice: what the table gives away ψ has to take.",
        ),
        Mistake(
            lambda w, e: (w, e - e.mean(0)),
            "The table is right. But D has changed: every logit has lost the same ⟨m, φ⟩. Who can give it back?",
        ),
        Mistake(
            lambda w, e: (w + e.mean(0), e),
            "The weight is right. But the mean is still in the table too, so D counts it twice.",
        ),
        Mistake(
            lambda w, e: (w + e.sum(0), e - e.mean(0)),
            "The table is right. ψ has gained the sum of the rows, and each logit has lost their mean only.",
        ),
        Mistake(
            lambda w, e: (w + e.mean(), e - e.mean()),
            "That is one number for all features. Take the mean of the rows: one number for each feature.",
        ),
        Mistake(
            lambda w, e: (w, e - e.mean(1, keepdim=True)),
            "Your rows have mean 0 along the features. The mean over the classes is asked for: the other dimension.",
            sign=centred_along_features,
        ),
    ),
    otherwise="Not that. Test it: ⟨w, φ⟩ + ⟨e_y, φ⟩ must stay the same for each φ and y, and each column of the table "
    "must have mean 0.",
    praise="Only differences between the rows speak of the class. What they share says how real it looks.",
)

# ---------------------------------------------------------------- 04.4

CLASSES = 10


def conditional_batch(real: Tensor, fake: Tensor, y: Tensor, wish: Tensor, classes: int) -> Tensor:
    """By the package's own."""
    return Join(classes, "concat", real.shape[1:])(torch.cat([real, fake]), torch.cat([y, wish]))


def batch_facts(answer: Answer) -> dict[str, object] | None:
    """What D can find in a batch for it: the images, and whose label in which kind of planes."""
    check_callable(answer)
    real, fake = gaussian(4, 1, 28, 28, seed=7), gaussian(4, 1, 28, 28, seed=8)
    batch = handed_to_d(answer, real, fake, [3, 0, 7, 1], [8, 5, 2, 6])
    others = handed_to_d(answer, real, fake, [3, 4, 5, 9], [8, 1, 0, 7])  # the first ones keep theirs
    if batch is None:
        return None
    if others is None or batch.shape != (8, 1 + CLASSES, 28, 28) or others.shape != batch.shape:
        raise BadInput(f"for 4 real images and 4 fakes it gives {brief(batch)}: give (8, 1 + 10, 28, 28).")
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
        raise BadInput(f"it gives {brief(made)}: give a tensor, D's whole batch.")
    return made


REAL_FIRST, IN_PAIRS, ALL_REAL = [3, 0, 7, 1, 8, 5, 2, 6], [3, 8, 0, 5, 7, 2, 1, 6], [3, 0, 7, 1, 3, 0, 7, 1]


def repaired(
    pairs: bool = False,
    planes: str = "constant",
    order: str = "y, wish",
    image_last: bool = False,
    images_in_pairs: bool = False,
) -> Callable:
    """The function of the task with some of its bugs left in, or with others."""

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
    title="what D is told",
    hints=(
        "There are two bugs. Look at the planes of one image, and at the list of labels for a batch of two and two.",
        "The images come as real, real, …, fake, fake. How are the labels ordered? Is each plane all 0 or all 1?",
        "torch.cat([y, wish]) for the list, and hot[:, :, None, None].expand(-1, -1, 28, 28) for the planes.",
    ),
    observe=batch_facts,
    right=conditional_batch,
    mistakes=(
        Mistake(
            repaired(pairs=True, images_in_pairs=True),
            "The images are in another order. First all real ones, then all fakes: change the list of labels, not the "
            "batch.",
            sign=lambda seen: seen["same images"] and not seen["images"],
        ),
        Mistake(
            repaired(image_last=True),
            "The image is not where it was: it is channel 0, and the ten planes come after it.",
            sign=lambda seen: not seen["images"],
        ),
        Mistake(
            repaired(planes="mingled"),
            "The planes of an image change when another image gets another label. D cannot know whose label is whose.",
            sign=lambda seen: not seen["own"],
        ),
        Mistake(
            repaired(pairs=True, planes="striped"),
            "Both bugs are still there. Begin with the planes: each of the ten must be all 0 or all 1.",
            sign=lambda seen: not seen["constant"] and seen["labels"] == IN_PAIRS,
        ),
        Mistake(
            repaired(planes="striped"),
            "The list of labels is right. The planes are not: they are in stripes, not all 0 or all 1.",
            sign=lambda seen: not seen["constant"] and seen["labels"] == REAL_FIRST,
        ),
        Mistake(
            repaired(pairs=True),
            "The planes are right. But most images hear the label of another: labels come in pairs, images in halves.",
            sign=lambda seen: seen["constant"] and seen["labels"] == IN_PAIRS,
        ),
        Mistake(
            repaired(order="y, y"),
            "The planes are right. But D is told the real labels for the fakes too, and not what was ordered.",
            sign=lambda seen: seen["constant"] and seen["labels"] == ALL_REAL,
        ),
        Mistake(
            repaired(order="wish, y"),
            "The planes are right. But the two halves are swapped: the real images hear the orders.",
            sign=lambda seen: seen["constant"] and seen["labels"] == REAL_FIRST[4:] + REAL_FIRST[:4],
        ),
    ),
    otherwise="The images are in their place, the labels are not. Each image needs ten planes: that of its own label "
    "all 1, the others all 0.",
    praise="Two bugs, no error, every shape right. Only looking at the values finds them.",
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
    title="whose mistake is it?",
    hints=(
        "Two steps: from an order to what G makes (T), then from what is made to what the judge sees (C). Chances of "
        "two steps are added over what lies between.",
        "S[y, c] = Σ_k T[y, k] C[k, c]. That is a product of matrices. Which of them do you want?",
        "S = T C, so T is S times the inverse of C, in this order.",
    ),
    observe=Calls((SWAPPING @ HALF_BLIND, HALF_BLIND), (LAZY @ DULL, DULL)),
    right=unmixed,
    mistakes=(
        Mistake(
            lambda seen, c: torch.linalg.inv(c) @ seen,
            "The right inverse, on the wrong side. (The mean of the diagonal would even be right, the table is not.) "
            "First G makes something, then the judge looks at it.",
        ),
        Mistake(
            lambda seen, c: seen @ c.T,
            "A transposed table does not undo the judge's mistakes, just as a transposed convolution undoes nothing.",
        ),
        Mistake(
            lambda seen, c: seen @ c,
            "That lets the judge look twice. You want to take its mistakes out, not put them in once more.",
        ),
        Mistake(
            lambda seen, c: seen / c.diag(),
            "That corrects for what the judge misses, and not for where it goes: a nine that is taken for a four also "
            "spoils the column of the fours.",
        ),
        Mistake(
            lambda seen, c: torch.linalg.solve(c.T, seen.T),
            "The numbers are right, and the table lies on its side. A row belongs to an order.",
        ),
        Mistake(
            lambda seen, c: seen - c + torch.eye(len(c), dtype=c.dtype),
            "Mistakes do not simply add up. What the judge makes of an order depends on what G made of it first.",
        ),
    ),
    otherwise="Not that. A test: where G obeys every order the judge sees exactly C, and you should return the unit "
    "matrix.",
    praise="It holds as long as the judge errs on fakes as it does on real images, which is worth a look of its own.",
)

# ---------------------------------------------------------------- 04.6

POOL, EACH, NEAR = 2000, 40, 2.3


class Made(NamedTuple):
    """What a G made: pictures (N, 1, 28, 28) in [-1, 1], the orders (N,), and what each picture shows (N,)."""

    pictures: Tensor
    orders: Tensor
    shows: Tensor


def four_in_five(n: int = POOL, seed: int = 0) -> Made:
    """Drawn digits in place of a G that obeys four orders in five, and otherwise makes any other digit."""
    drawn, chance = strokes.draw(n, seed), torch.Generator().manual_seed(seed + 7)
    disobeys = torch.rand(n, generator=chance) < 0.2
    other = (drawn.digit + torch.randint(1, CLASSES, (n,), generator=chance)) % CLASSES
    return Made(drawn.pixels / 127.5 - 1, torch.where(disobeys, other, drawn.digit), drawn.digit)


class JudgedPool(NamedTuple):
    """The pool and the held-out digits as the judge sees them."""

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
    """How good the pictures are that were picked: obeyed, as diverse as real ones, near to them."""
    check_callable(answer)
    pool = judged_pool()
    places = answer(pool.orders.clone(), pool.logits.clone())
    if places is None:
        return None
    places = as_indices(places)
    orders, features = pool.orders[places], pool.features[places]
    counts = orders.bincount(minlength=CLASSES)
    if not (counts == EACH).all():
        raise BadInput(f"of the ten orders {counts.tolist()} pictures were picked: take {EACH} of each.")
    diversity = metrics.diversity_by_class(features, orders) / metrics.diversity_by_class(pool.real, pool.real_labels)
    return {
        "accuracy": metrics.accuracy(pool.logits[places], orders),
        "diversity": diversity.mean().item(),
        "distance": metrics.frechet_by_class(features, orders, pool.real, pool.real_labels).mean().item(),
    }


def as_indices(answer: object) -> Tensor:
    """Places in the pool, int64."""
    try:
        values = as_array(answer) if as_array(answer) is not None else as_array(torch.tensor(answer))
    except (TypeError, ValueError, RuntimeError):
        values = None
    if values is not None and values.dtype.kind == "b":
        raise BadInput("it gives a mask: return places, `mask.nonzero().flatten()`.")
    if values is None or values.ndim != 1 or (values != values.round()).any():
        raise BadInput(f"it gives {brief(answer)}: return places in the pool, a list or tensor of whole numbers.")
    if not len(values) or not 0 <= values.min() <= values.max() < POOL:
        raise BadInput(f"the places must lie between 0 and {POOL - 1}, and there must be some.")
    if len(values) != CLASSES * EACH or len(set(values)) < len(values):
        raise BadInput(
            f"it gives {len(set(values))} different places, {len(values)} in all: {CLASSES * EACH} different ones are "
            "asked for."
        )
    return torch.from_numpy(values).long()


def top_of_each_class(worth: Callable[[Tensor, Tensor], Tensor]) -> Callable:
    """Of each order the pictures that are worth most."""

    def pick(orders: Tensor, logits: Tensor) -> Tensor:
        value = worth(orders, logits)
        of_order = [torch.where(orders == y, value, -math.inf) for y in range(CLASSES)]
        return torch.cat([v.topk(EACH).indices for v in of_order])

    return pick


def right_class(orders: Tensor, logits: Tensor) -> Tensor:
    return (logits.argmax(1) == orders).float()


def confidence(orders: Tensor, logits: Tensor) -> Tensor:
    """The judge's probability of what was ordered."""
    return logits.softmax(1).gather(1, orders[:, None]).squeeze(1)


PICK = Exercise(
    id="04.6",
    title="obedient, but not all alike",
    hints=(
        "The judge tells which pictures show what was ordered. Is it wise to take those of which it is surest?",
        "The surest are the most typical. Among the pictures that obey, let the order in the pool or chance decide.",
        "For each order y: the places where orders == y and logits.argmax(1) == y, and of them the first 40.",
    ),
    observe=selection_quality,
    right=top_of_each_class(lambda orders, logits: right_class(orders, logits) + torch.rand(len(orders)) / 2),
    accepts=lambda seen: seen["distance"] < NEAR,
    mistakes=(
        Mistake(
            top_of_each_class(lambda orders, logits: torch.rand(len(orders))),
            "Too many of these pictures are not what was ordered. Ask the judge before you take one.",
            sign=lambda seen: seen["accuracy"] < 0.97,
        ),
        Mistake(
            top_of_each_class(confidence),
            "All obey, and they are too much alike: the judge is surest of what is typical. Real people also write odd "
            "sevens.",
            sign=lambda seen: seen["diversity"] < 0.96,
        ),
        Mistake(
            top_of_each_class(lambda orders, logits: right_class(orders, logits) - confidence(orders, logits)),
            "All obey, and they are too odd: pictures of which the judge is least sure. Take the typical ones too.",
            sign=lambda seen: seen["diversity"] > 1.05,
        ),
    ),
    otherwise="They obey, and as a whole they are as diverse as real ones, but they lie in another place. Do not sort "
    "them at all.",
    praise="Filtering made it obey, and left the odd ones in. Sorting by sureness would have paid with diversity.",
)

EXERCISES = (ONE_CLASS, UNCONDITIONAL_G, CENTRED, D_BATCH, WHOSE_MISTAKE, PICK)
