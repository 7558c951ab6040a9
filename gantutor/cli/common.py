"""What several commands share: the parser's manners, numbers, devices, and where the course is."""

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from gantutor.errors import BadInput, unknown, whole_number
from gantutor.files import ROOT

MODELS = ("mlp", "dcgan", "cmlp", "cdcgan")  # functions of `models` that make the pair (G, D); with c, conditional
LANDING = Path("notebooks", "00_start_here.ipynb")
PROGRAM = "python -m gantutor" if Path(sys.argv[0]).name == "__main__.py" else "gantutor"


class Parser(argparse.ArgumentParser):
    """argparse, with its complaints made errors like all others."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}. See {self.prog} --help.")


def capital(text: str) -> str:
    return text[0].upper() + text[1:]  # str.capitalize would make a gan of a GAN


def seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**62):
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: give a whole number, 0 or more")
    return int(text)


def fail(sentence: str) -> int:
    print(f"gantutor: {sentence}", file=sys.stderr, flush=True)
    return 2


def one_of_several() -> bool:
    """Whether torchrun, or what does its work, has started this process and others to train together: the ranks."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def note(text: str) -> None:
    if not one_of_several() or os.environ["RANK"] == "0":
        print(text, file=sys.stderr, flush=True)


def quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)


def check_counts(args: argparse.Namespace, *names: str) -> None:
    for name in names:
        if getattr(args, name) is not None:
            whole_number("--" + name.replace("_", "-"), getattr(args, name), least=1)


def choose_device(name: str) -> str:
    """For "auto" the best device that works on this computer; otherwise `name`, if it works."""
    kinds = ("cuda", "mps", "cpu")
    if name == "auto":
        return next(filter(works, kinds))
    if name.partition(":")[0] not in kinds:
        raise unknown("device", name, ["auto", *kinds])
    if not works(name):
        import torch

        usable = ", ".join(filter(works, kinds))
        raise BadInput(
            f"--device {name}: torch {torch.__version__} cannot use such a device on this computer. "
            f"It can use: {usable}."
        )
    return name


def works(device: str) -> bool:
    """Whether torch computes there: a device may be reported as available and yet fail, such as a GPU too old."""
    import torch

    try:
        return torch.ones(1, device=device).item() == 1
    except (RuntimeError, AssertionError):
        return False


def find_course() -> Path:
    """The folder above the package, or else the current one: whichever holds the notebooks."""
    for folder in (ROOT, Path.cwd()):
        if (folder / LANDING).is_file():
            return folder
    raise BadInput(
        f"there are no notebooks here ({Path.cwd()} has no {LANDING}), and an installed package does not hold them: "
        "git clone the gantutor repository and run gantutor lab in its folder."
    )
