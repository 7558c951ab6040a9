"""The proofs of a lesson: what a sentence claims is computed beside it, on the reader's computer."""

import numpy as np
import torch
from torch import Tensor

from gantutor.errors import BadInput


def proof(claim: str, holds: bool | np.bool_ | Tensor) -> None:
    """Print that a claim was checked.

    Args:
        claim: a sentence.
        holds: whether it is true: a bool, also of NumPy, or a bool tensor of one element.

    Raises:
        AssertionError: it does not hold. The claim is named.
        BadInput: `holds` is something else, which Python would take for true: a tuple, a function, NaN.
    """
    if isinstance(holds, Tensor) and holds.dtype == torch.bool and holds.numel() == 1:
        holds = bool(holds)
    if not isinstance(holds, bool | np.bool_):
        raise BadInput(f"whether {claim} is given by {holds!r}: give True or False.")
    if not holds:
        raise AssertionError(f"on this computer it does not hold: {claim}.")
    print(f"checked: {claim}")
