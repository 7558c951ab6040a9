"""Drawn digits for the tests."""

from gantutor.data import Images, strokes


def digits(n: int, seed: int, name: str = "") -> Images:
    d = strokes.draw(n, seed)
    return Images(name, d.pixels / 127.5 - 1, d.digit, tuple("0123456789"))
