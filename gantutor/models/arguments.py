"""Checks of the arguments from which nets are made."""

from collections.abc import Iterable, Sequence

import numpy as np

from gantutor.errors import BadInput, unknown, whole_number


def check_sizes(**sizes: Sequence[int]) -> None:
    """Raise `BadInput` naming the first size that is not a whole number of 1 or more."""
    for name, values in sizes.items():
        if not isinstance(values, Sequence):
            raise BadInput(f"{name} is {values!r}: give a list of sizes, such as ({values!r},).")
        for value in values:
            whole_number(name, value, least=1)


def check_conditioning(classes: int, label: str, choices: Sequence[str]) -> None:
    """Raise `BadInput` unless `classes` is a whole number, 0 or more, and `label` one of the choices."""
    whole_number("classes", classes)
    check_choices(label=(label, choices))


def check_groups(pack: int, classes: int, **groups: int) -> None:
    """Raise `BadInput` unless `pack` is 1 or more (1 for a conditional D) and each group is 0 or has at least two."""
    if whole_number("pack", pack, least=1) > 1 and classes:
        raise BadInput(
            f"pack is {pack} and classes is {classes}: a conditional D cannot be packed, so leave one of them out."
        )
    for name, size in groups.items():
        if whole_number(name, size) == 1:
            raise BadInput(
                f"{name} is 1, but a single one has nothing to be compared with: give 0 for none, or 2 or more."
            )


def check_choices(**given: tuple[str, Iterable[str]]) -> None:
    """Raise `BadInput` naming the first value that is not among its choices."""
    for name, (value, choices) in given.items():
        if value not in choices:
            raise unknown(name, value, choices)


def plain_values(**arguments: object) -> dict[str, object]:
    """The arguments as Python's own numbers and lists instead of NumPy's, because a checkpoint holds nothing else."""

    def plain(value: object) -> object:
        if isinstance(value, (list, tuple)):
            return [plain(element) for element in value]
        return value.item() if isinstance(value, np.generic) else value

    return {name: plain(value) for name, value in arguments.items()}
