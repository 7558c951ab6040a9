"""`gantutor fetch`: download data sets and check them."""

import argparse
from collections.abc import Callable

from gantutor.cli.common import Parser, capital
from gantutor.errors import unknown


def add_arguments(add: Callable[..., Parser]) -> None:
    text = "download data sets and check them"
    command = add(help=text, description=capital(text) + ".")
    command.add_argument("names", nargs="*", metavar="NAME", help="mnist, fashion-mnist (default: both) or cifar10")


def run(args: argparse.Namespace) -> int:
    from gantutor.data import download

    for name in args.names:
        if name not in download.SHA256 and name not in download.DRAWN:
            raise unknown("data set", name, download.SHA256)
    for name in args.names or download.USUAL:
        print(f"{name} is complete: {download.fetch(name)}")
    return 0
