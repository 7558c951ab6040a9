"""Checks of the arguments that several metrics share."""

import torch
from torch import Tensor

from gantutor.errors import BadInput, real_number

INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def as_probabilities(p: Tensor) -> Tensor:
    """The probabilities (N, K) as float64 on the CPU. Raises `BadInput` unless N ≥ 2 and each row is a distribution."""
    if not isinstance(p, Tensor) or p.ndim != 2 or len(p) < 2 or not p.shape[1]:
        given = f"of shape {tuple(p.shape)}" if isinstance(p, Tensor) else f"a {type(p).__name__}"
        raise BadInput(f"the probabilities are {given}: give a tensor (N, classes) with at least two examples.")
    p = p.detach().to("cpu", torch.float64)
    sums = p.sum(1)
    if not ((p >= 0).all() and (sums - 1).abs().max() < 1e-2):  # NaN and infinity fail too
        raise BadInput("the rows are not probabilities, which are ≥ 0 and sum to 1: give logits.softmax(1).")
    return p / sums[:, None]


def as_shares(expected: Tensor, classes: int) -> Tensor:
    """Expected shares or counts as float64 (classes,) that sum to 1. Raises `BadInput` unless all are above 0."""
    try:
        expected = torch.as_tensor(expected).detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        expected = torch.empty(0)
    if expected.shape != (classes,) or not (expected > 0).all() or not expected.isfinite().all():
        raise BadInput(f"the expected shares do not fit: give {classes} finite numbers, all above 0.")
    return expected / expected.sum()


def between_0_and_1(name: str, value: float) -> float:
    """`value` as a float. Raises `BadInput` unless it lies strictly between 0 and 1."""
    return real_number(name, value, above=0, below=1)


def labels_on_cpu(y: Tensor) -> Tensor:
    """The labels on the CPU. Raises `BadInput` if they are not a tensor."""
    if not isinstance(y, Tensor):
        raise BadInput(f"the labels are a {type(y).__name__}: give a tensor of whole numbers, one for each example.")
    return y.cpu()


def on_cpu(x: Tensor) -> Tensor:
    """A tensor on the CPU; anything else as it is."""
    return x.cpu() if isinstance(x, Tensor) else x
