"""Directions in latent space: where to go from an image so that its face begins to smile, or puts on glasses."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gantutor import train
from gantutor.errors import BadInput, unknown, whole_number
from gantutor.metrics.classifier import Classifier, features_and_logits


def attribute_directions(
    G: nn.Module,
    judge: Classifier,
    values: Mapping[str, str],
    n: int = 4000,
    *,
    seed: int = 0,
    labels: int | Sequence[int] | Tensor | None = None,
) -> Tensor:
    """Directions (K, latent_dim), each of length 1, in which G's images take on K values of factors.

    Each leads from the mean latent of all images to the mean latent of those that the judge sees this value in. Latents
    are normal with unit variance, so this is the best linear direction between the two (Fisher's), as a linear
    classifier would find it (Shen et al. 2020, section 3.1). ``z + 2 * directions[0]`` is a clear step. Where G has put
    a value between others, as it may with hair of middle length, a long step leads past it.

    Args:
        G: a generator of the judge's images.
        judge: knows the factors, as `classifier.load("faces")` does.
        values: by factor, such as ``{"glasses": "round", "mouth": "laughing"}``.
        n: how many images are looked at.
        labels: as for `train.sample`.

    Raises:
        BadInput: the judge does not know a factor or a value, or sees the value in fewer than 20 images or in all but
            fewer than 20.
    """
    if not judge.factors:
        raise BadInput(f"the classifier {judge.name!r} knows no factors: give that of faces, classifier.load('faces').")
    for factor, value in values.items():
        if factor not in judge.factors:
            raise unknown("factor", factor, judge.factors)
        if value not in judge.factors[factor]:
            raise unknown(f"value of {factor}", value, judge.factors[factor])
    n = whole_number("n", n, least=1)
    z, images = train.latents(G, n, seed), train.sample(G, n, seed=seed, labels=labels)
    with torch.no_grad():
        logits = judge.by_factor(features_and_logits(judge, images)[0])
    directions = torch.zeros(len(values), z.shape[1])
    for i, (factor, value) in enumerate(values.items()):
        having = logits[factor].argmax(1).cpu() == judge.factors[factor].index(value)
        count = int(having.sum())
        if not 20 <= count <= n - 20:
            often = "hardly ever" if count < 20 else "nearly always"
            raise BadInput(f"{value} was seen in {count} of {n} images: G {often} draws it; try a larger n.")
        direction = z[having].mean(0) - z.mean(0)
        directions[i] = direction / direction.norm().clamp(min=1e-12)
    return directions
