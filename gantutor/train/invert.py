"""From a picture back to the latent that draws it: so a generator can vary a picture of your own.

    found = invert.invert(G, picture, features=judge.features)   # the nearest picture that G can draw
    mine = invert.tuned(G, found, picture)                      # a copy of G that draws the picture itself

`invert` searches among what G can draw; what is not there, it cannot find. `tuned` moves G itself a little, so that the
picture comes to lie there: the idea of pivotal tuning (Roich et al. 2022), with plain pixels for its loss and without
its regulariser, so that many steps also change what G draws elsewhere.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gantutor.errors import BadInput, real_number, whole_number
from gantutor.models import classes_of, with_labels
from gantutor.state import evaluating, frozen
from gantutor.train.sampling import latents, wanted_labels

Features = Callable[[Tensor], Tensor]
STARTS = 0x5EED  # added to the seed: the search begins at other latents than `train.sample` draws from


@dataclass(frozen=True)
class Found:
    """The latent z (latent_dim,) whose image (C, H, W) is the nearest one, the class it was drawn with, or None, and
    the mean squared difference of the pixels.
    """

    z: Tensor
    image: Tensor
    label: int | None
    error: float


def invert(
    G: nn.Module,
    picture: Tensor,
    *,
    features: Features | None = None,
    label: int | None = None,
    steps: int = 200,
    starts: int = 8,
    lr: float = 0.05,
    seed: int = 0,
) -> Found:
    """Search for the latent that draws a picture, by gradient descent from several random starts.

    What is lowered is the mean squared difference of the pixels, plus that of the features relative to the features'
    size, plus a weak pull of z towards the length that normal latents have.

    Args:
        G: in eval mode for this; its weights stay as they are.
        picture: float (C, H, W) in [−1, 1], of G's size, such as ``images[0]``.
        features: images (B, C, H, W) -> (B, d), on G's device, such as those of a classifier, which see what matters.
        label: the class that a conditional G draws it with, which has to be given.
        steps: of Adam, with learning rate `lr`.
        starts: latents that are tried; the best one counts.
        seed: fixes the starts.

    Raises:
        BadInput: a picture of another shape than G's or of other values, a label that is missing or does not fit,
            features that fail, or a G that draws nothing finite.
    """
    if classes_of(G) and label is None:
        raise BadInput("this generator is conditional: say with label which class is to draw the picture.")
    whole_number("steps", steps, least=1)
    real_number("lr", lr, above=0)
    weight = next(G.parameters(), torch.empty(0))
    starts = whole_number("starts", starts, least=1)
    z = latents(G, starts, whole_number("seed", seed) + STARTS).to(weight).requires_grad_()
    y = wanted_labels(G, starts, label)
    net = with_labels(G, None if y is None else y.to(weight.device))
    target = checked(picture).to(weight)[None]
    adam = torch.optim.Adam([z], lr)
    with evaluating(G), frozen(G), torch.enable_grad():
        check_shape(net(z.detach()), target)
        wanted = None if features is None else features_of(features, target)
        for _ in range(steps):
            images = net(z)
            length = (z.square().mean(1) - 1).square()
            loss = (difference(images, target, features, wanted) + 0.01 * length).sum()
            (z.grad,) = torch.autograd.grad(loss, z)  # the weights, also those behind the features, get no gradients
            adam.step()
        images = net(z).detach()
        best = int(difference(images, target, features, wanted).nan_to_num(math.inf).argmin())
    error = (images[best] - target[0]).square().mean().item()
    if not math.isfinite(error):
        raise BadInput("G draws no finite image, whatever the latent: it has diverged; take an earlier save of it.")
    return Found(z[best].detach().cpu(), images[best].cpu(), None if y is None else int(y[best]), error)


def tuned(G: nn.Module, found: Found, picture: Tensor, *, steps: int = 200, lr: float = 1e-3) -> nn.Module:
    """A copy of G that draws the picture at the latent that was found.

    Raises:
        BadInput: a picture of another shape than G's or of other values, a latent of another G, or a G without weights.
    """
    mine = copy.deepcopy(G).eval().requires_grad_(True)
    weight = next(mine.parameters(), None)
    if weight is None:
        raise BadInput("G has no weights, so there is nothing to tune.")
    if len(found.z) != G.latent_dim:
        raise BadInput(f"the latent has {len(found.z)} numbers, but G takes {G.latent_dim}: search with this G.")
    z, target = found.z.to(weight)[None], checked(picture).to(weight)[None]
    y = None if found.label is None else torch.tensor([found.label], device=weight.device)
    adam = torch.optim.Adam(mine.parameters(), real_number("lr", lr, above=0))
    with torch.enable_grad():
        check_shape(with_labels(mine, y)(z), target)
        for _ in range(whole_number("steps", steps, least=1)):
            adam.zero_grad()
            (with_labels(mine, y)(z) - target).square().mean().backward()
            adam.step()
    return mine.requires_grad_(False)


def features_of(features: Features, target: Tensor) -> Tensor:
    try:
        return features(target).detach()
    except Exception as error:  # somebody else's code
        raise BadInput(
            f"the features of the picture, {tuple(target.shape)} on {target.device}, failed ({error}): they have "
            "to take images like G's, on G's device."
        ) from error


def checked(picture: Tensor) -> Tensor:
    """The picture (C, H, W). Raises `BadInput` for another form or other values."""
    if not isinstance(picture, Tensor) or picture.ndim != 3 or not picture.is_floating_point():
        raise BadInput("the picture has to be a float tensor (C, H, W): give one image, such as images[0].")
    low, high = (edge.item() for edge in picture.detach().aminmax())
    if not (low >= -1 and high <= 1):
        raise BadInput(f"the picture's values go from {low:g} to {high:g}: scale them to [-1, 1], and remove NaN.")
    return picture.detach()


def check_shape(images: Tensor, target: Tensor) -> None:
    if images.shape[1:] != target.shape[1:]:
        raise BadInput(
            f"the picture is {tuple(target.shape[1:])}, but G draws {tuple(images.shape[1:])}: make them the same."
        )


def difference(images: Tensor, target: Tensor, features: Features | None, wanted: Tensor | None) -> Tensor:
    """How far each image (B, C, H, W) is from the target (1, C, H, W): (B,)."""
    pixels = (images - target).square().flatten(1).mean(1)
    if features is None or wanted is None:
        return pixels
    return pixels + (features(images) - wanted).square().mean(1) / (wanted.square().mean() + 1e-8)
