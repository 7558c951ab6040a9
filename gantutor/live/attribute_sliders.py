"""The attribute explorer: a slider for each thing that a face may have."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gantutor import show
from gantutor import train as training
from gantutor.errors import BadInput
from gantutor.live.explorer import SEEDS, generate
from gantutor.live.panels import Explorer, displayable, explore
from gantutor.metrics import attribute_directions, classifier
from gantutor.models import classes_of

if TYPE_CHECKING:
    from PIL import Image

FARTHEST = 5.0  # of a slider, in standard deviations of a latent's coordinate
SIDE = 224  # pixels of a picture, at least


def attributes(
    run: training.Run | nn.Module, judge: classifier.Classifier, *, label: int | None = None, **values: str
) -> Explorer:
    """A generated image beside what becomes of it when it is led towards values of factors.

    Each slider moves the latent along a direction of `metrics.attribute_directions`, and then brings it back to its old
    length, because G has never seen longer ones. Above both images stands how likely the judge finds each value.

    ::

        live.attributes(pretrained.generator("faces"), classifier.load("faces"), mouth="laughing", glasses="round")

    Args:
        run: a run, for its averaged generator, or a generator of the judge's images.
        judge: a classifier that knows factors.
        label: the class to draw, if G is conditional.
        values: factor=value, a slider each. A name that is no Python word goes in as ``**{"hair-color": "blue"}``.

    Raises:
        BadInput: no value is given, the judge does not know it, or G hardly ever draws it.
    """
    G = run.G_ema if isinstance(run, training.Run) else run
    if not values:
        raise BadInput("there is nothing to change: name a value of a factor, such as hat='beanie'.")
    if label is None and classes_of(G):
        raise BadInput(f"G is conditional, but label is None: give the class to draw, 0 to {classes_of(G) - 1}.")
    directions = attribute_directions(G, judge, values, labels=label)  # (K, latent_dim)

    def draw(start: int, **amounts: float) -> "Image.Image":
        z = training.latents(G, 1, start)[0]
        pair = generate(G, torch.stack([z, led(z, directions, list(amounts.values()))]), label)
        pictures = [show.grid(displayable(one[None]), scale=max(1, -(-SIDE // one.shape[-1])), gap=0) for one in pair]
        return show.strip(pictures, [seen(judge, one, values) for one in pair])

    sliders = {f"{factor} {value}": (-FARTHEST, FARTHEST, 0.25, 0.0) for factor, value in values.items()}
    return explore(draw, start=(0, SEEDS, 1, 0), **sliders)


def led(z: Tensor, directions: Tensor, amounts: list[float]) -> Tensor:
    """The latent z (d,), led along directions (K, d) by so much, and as long as before."""
    moved = z + torch.tensor(amounts).to(z) @ directions.to(z)
    return moved * z.norm() / moved.norm().clamp(min=1e-12)


@torch.no_grad()
def seen(judge: classifier.Classifier, image: Tensor, values: dict[str, str]) -> str:
    """What the judge thinks of an image (C, H, W), in a line."""
    features, _ = classifier.features_and_logits(judge, image[None].cpu())
    logits = judge.by_factor(features)
    shares = {
        value: classifier.probabilities(logits[factor])[0, judge.factors[factor].index(value)].item()
        for factor, value in values.items()
    }
    return ", ".join(f"{value} {share:.0%}" for value, share in shares.items())
