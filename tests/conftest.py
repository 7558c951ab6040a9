"""Drawn digits for the doctor's tests."""

import pytest
from drawn import digits

from gantutor import doctor
from gantutor.data import Images


@pytest.fixture(scope="session")
def train() -> Images:
    return digits(2000, 0, "strokes")


@pytest.fixture(scope="session")
def held() -> Images:
    return digits(1000, 1, "strokes")


@pytest.fixture(scope="session")
def sound() -> Images:
    return digits(1500, 2)


@pytest.fixture(scope="session")
def examine(train, held):
    """`doctor.examine` with the drawn digits as reference."""

    def look(samples, real=train, **options):
        return doctor.examine(samples, real, **{"held_out": held, **options})

    return look
