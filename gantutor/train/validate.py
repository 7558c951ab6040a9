"""Do the examples, the nets and the computer fit together? Each check raises a `BadInput` that says what does not."""

import warnings
from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from gantutor.data import Images, floats, place
from gantutor.errors import BadInput, whole_number
from gantutor.models import NETS, MinibatchStd, classes_of, pack_of
from gantutor.train import accelerate
from gantutor.train.augment import AUGMENTS, Augment
from gantutor.train.pairs import check_batch, check_module, check_nets
from gantutor.train.recipe import Recipe
from gantutor.train.sampling import sample

if TYPE_CHECKING:
    from gantutor.train.run import Run

HOOKS = ("train_step", "d_step", "g_step", "generate")  # what a subclass of `Run` may do in its own way


class Found(NamedTuple):
    """What `check_run` has found out on its way."""

    examples: Tensor  # (N, *shape), on the device, as they are stored: floats or bytes
    labels: Tensor | None  # (N,) for a conditional pair
    capture: bool  # whether the steps are recorded as a CUDA graph


def check_run(
    kind: "type[Run]",
    G: nn.Module,
    D: nn.Module,
    data: Images | Tensor,
    recipe: Recipe,
    device: str | torch.device | None,
    *,
    precision: str,
    compile: bool,
    capture: bool | None,
    parts: int,
    augment: Augment | None,
) -> Found:
    """Everything that can be known before the first step; the arguments are those of `Run`, and `kind` is its class.

    The nets are moved to the device. Of stacked nets, which have a method `member`, the first is tried.
    """
    whole_number("accumulate", parts, least=1)
    for name, net in (("G", G), ("D", D)):
        check_module(name, net)
    examples = check_examples(data, recipe.batch_size)
    examples = examples if device is None else place(examples, device)
    device = examples.device
    labels = check_labelled(G, D, data, device)
    with accelerate.telling_memory(device, recipe.batch_size):
        G, D = (first(net.to(device)) for net in (G, D))
        if kind.checks_nets:
            check_nets(G, D, floats(examples[: 2 * pack_of(D)]), labels, recipe.batch_size, recipe.loss)
            say_scale(G, examples)
    if parts > 1:
        check_hooks(kind, parts)
        check_parts(G, D, recipe, parts, f"{parts} parts", labels)
    accelerate.check_precision(precision, device)
    if augment is not None:
        check_augment(augment, recipe, examples)
    ours = (
        recipe.all_ours()
        and (augment is None or type(augment) in AUGMENTS.values())
        and vars(kind).get("can_be_captured", False)
        and {type(G), type(D)} <= set(NETS.values())
    )
    captured = choose_capture(capture, device, ours and parts == 1)
    if captured and parts > 1:
        raise BadInput(f"accumulate is {parts}: such steps are not recorded as a CUDA graph; leave capture out.")
    if compile:
        accelerate.check_compile(device)
    return Found(examples, labels, captured)


def check_augment(augment: Augment, recipe: Recipe, examples: Tensor) -> None:
    """Raise `BadInput` where the examples cannot be augmented, or the recipe does not go with it."""
    if not isinstance(augment, Augment):
        raise BadInput(f"augment is {augment!r}: give None, or an augmentation such as train.augment.DiffAugment().")
    if examples.ndim != 4 or examples.shape[1] not in (1, 3):
        shape = tuple(examples.shape[1:])
        raise BadInput(f"the examples have the shape {shape}: only images of 1 or 3 channels can be augmented.")
    if examples.shape[2] != examples.shape[3]:
        raise BadInput(f"the images are {examples.shape[2]}×{examples.shape[3]}: only square ones can be augmented.")
    if recipe.unroll:
        raise BadInput(f"unroll is {recipe.unroll}: an unrolled D cannot be augmented; leave out one of the two.")
    augment.check(recipe.loss)


def first(net: nn.Module) -> nn.Module:
    """The net itself; of stacked nets the first."""
    member = getattr(net, "member", None)
    return net if member is None else cast(nn.Module, member(0))


def check_hooks(kind: "type[Run]", parts: int) -> None:
    """Raise `BadInput` where a subclass of `Run` takes its steps in its own way: in parts it would not."""
    foreign = [cls for cls in kind.__mro__ if "can_be_captured" not in vars(cls)]
    if own := [name for name in HOOKS for cls in foreign if name in vars(cls)]:
        raise BadInput(f"accumulate is {parts}, but this run has a {own[0]} of its own: leave it out.")


def check_examples(data: Images | Tensor, batch_size: int) -> Tensor:
    """The tensor (N, *shape) of the data as it is stored: floats, or in `Images` perhaps bytes.

    Raises `BadInput` unless it can be trained on: finite, pixels within [-1, 1], N ≥ batch.
    """
    x = data.stored if isinstance(data, Images) else data
    if isinstance(data, Images) and x.dtype == torch.uint8:
        check_count(x, batch_size)
        return x
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim < 2:
        kind = f"a {x.dtype} tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        wanted = "give Images, or a float tensor (N, *shape) such as (60000, 1, 28, 28)"
        cure = as_tensor(x)
        raise BadInput(f"the data is {kind}: {wanted}{cure and '; here '}{cure}.")
    check_count(x, batch_size)
    low, high = (v.item() for v in x.aminmax())
    if not x.isfinite().all():
        raise BadInput("the data holds NaN or infinite values: remove those examples before training.")
    if x.ndim >= 3 and (low < -1 or high > 1):
        raise BadInput(
            f"the pixels lie in [{low:g}, {high:g}], outside [-1, 1]: rescale them; for 0…255 that is x / 127.5 - 1."
        )
    return x


def as_tensor(data: object) -> str:
    """The code that makes a float tensor of other forms of data; "" where there is none."""
    if isinstance(data, Tensor | np.ndarray):
        if data.ndim < 2:
            return ""
        tensor = "data" if isinstance(data, Tensor) else "torch.from_numpy(data)"
        return f"{tensor} / 127.5 - 1" if str(data.dtype).endswith("uint8") else f"{tensor}.float()"
    if not isinstance(data, DataLoader | Dataset | list | tuple):
        return ""
    try:
        item = next(iter(data))
    except Exception:  # a stranger's data set: anything may happen
        return ""
    named = item.items() if isinstance(item, Mapping) else enumerate(item) if isinstance(item, list | tuple) else ()
    place = "" if isinstance(item, Tensor) else next((f"[{key!r}]" for key, x in named if is_examples(x)), None)
    if place is None:
        return ""
    if isinstance(data, DataLoader):
        return f"torch.cat([batch{place} for batch in data])"
    if hasattr(data, "__getitem__") and isinstance(data, Sized):
        return f"torch.stack([data[i]{place} for i in range(len(data))])"
    return f"torch.stack([item{place} for item in data])"


def is_examples(x: object) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point() and x.ndim > 0


def say_scale(G: nn.Module, examples: Tensor) -> None:
    """Warn where the pixels fill only [0, 1], but G makes others too, as one does that ends in a tanh."""
    if not examples.is_floating_point() or examples.ndim < 3:
        return
    low, high = (edge.item() for edge in examples.aminmax())
    if 0 <= low < high <= 1 and sample(G, 16).min() < 0:
        warnings.warn(
            "the pixels lie in [0, 1], but G makes values below 0 too: rescale the pixels to [-1, 1], 2 * x - 1, or "
            "let G end in a sigmoid.",
            stacklevel=4,  # where the run is made
        )


def check_count(x: Tensor, batch_size: int) -> None:
    if len(x) < batch_size:
        raise BadInput(f"batch_size is {batch_size}, but there are only {len(x)} examples: choose a smaller batch.")


def check_labelled(G: nn.Module, D: nn.Module, data: Images | Tensor, device: torch.device) -> Tensor | None:
    """The labels (N,) for a conditional pair, else None. Raises `BadInput` where pair and data do not agree."""
    classes, others = (classes_of(net) for net in (G, D))
    if classes != others:
        raise BadInput(f"G is made for {classes} classes and D for {others}: make both for the same number.")
    if not classes:
        return None
    if not isinstance(data, Images):
        raise BadInput("G and D are conditional, but the data has no labels: give Images instead of a tensor.")
    if len(data.classes) != classes:
        raise BadInput(f"G and D are made for {classes} classes, but {data.name} has {len(data.classes)}.")
    return place(data.labels, device)


def choose_capture(capture: bool | None, device: torch.device, own: bool) -> bool:
    """Whether to replay a CUDA graph: as asked for, else on CUDA where all that is recorded is the package's own.

    Raises `BadInput` where it was asked for and there is no CUDA.
    """
    if capture not in (None, True, False):
        raise BadInput(f"capture is {capture!r}: give True, False, or None for the package to choose.")
    if capture and device.type != "cuda":
        raise BadInput(
            f"capture is True, but CUDA graphs need a CUDA device, and this run is on {device}: leave it out."
        )
    return bool(capture) if capture is not None else device.type == "cuda" and own


def check_parts(G: nn.Module, D: nn.Module, recipe: Recipe, parts: int, what: str, labels: Tensor | None) -> None:
    """Raise `BadInput` unless the batches of a `Recipe` can be cut into so many equal parts, none cutting a group.

    `what` says what the parts are: "2 ranks".
    """
    if parts == 1:
        return
    B, pack = recipe.batch_size, pack_of(D)
    if recipe.unroll:
        raise BadInput(f"unroll is {recipe.unroll}, and D's further steps need the whole batch: no {what} then.")
    if B % parts:
        raise BadInput(f"batch_size is {B}, which is not divisible into {what}: choose a multiple of {parts}.")
    try:
        check_batch(G, D, B // parts, labels is not None)
    except BadInput as error:
        raise BadInput(f"in each of {what}, {error}") from error
    for layer in D.modules():
        if isinstance(layer, MinibatchStd) and B // parts // pack % (group := layer.size(B // pack)):
            raise BadInput(f"minibatch_std compares groups of {group}, and {what} of a batch of {B} would cut them: "
                           f"choose a multiple of {parts * pack * group}.")  # fmt: skip
