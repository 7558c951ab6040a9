"""The proofs of a lesson: what a sentence claims is computed beside it, on the reader's computer."""


def proof(claim: str, holds: object) -> None:
    """Print that a claim was checked. Raises `AssertionError`, which names the claim, where it does not hold.

    Args:
        claim: a sentence.
        holds: whether it is true: a bool, or what has one, such as a tensor of one element.
    """
    if not holds:
        raise AssertionError(f"on this computer it does not hold: {claim}.")
    print(f"checked: {claim}")
