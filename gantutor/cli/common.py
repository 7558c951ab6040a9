"""What several commands share: the parser, checks of numbers and devices, and the folder of the course."""

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from gantutor.errors import BadInput, unknown, whole_number
from gantutor.files import ROOT

MODELS = (
    "mlp",
    "dcgan",
    "cmlp",
    "cdcgan",
)  # functions of `models` that make a pair (G, D); those with a c are conditional
LANDING = Path("notebooks", "00_start_here.ipynb")
PROGRAM = "python -m gantutor" if Path(sys.argv[0]).name == "__main__.py" else "gantutor"


class Parser(argparse.ArgumentParser):
    """argparse, but its errors are `BadInput` like all others."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}. See {self.prog} --help.")


def capital(text: str) -> str:
    return text[0].upper() + text[1:]  # str.capitalize would make a gan of a GAN


def seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**62):
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed: give a whole number, 0 or more")
    return int(text)


def fail(sentence: str) -> int:
    print(f"gantutor: {sentence}", file=sys.stderr, flush=True)
    return 2


def one_of_several() -> bool:
    """Whether this process is one of several ranks that torchrun, or a similar launcher, started to train together."""
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
    """For "auto" the best device that works on this computer; otherwise `name`, or `BadInput` if it does not work."""
    kinds = ("cuda", "mps", "cpu")
    if name == "auto":
        return next(filter(works, kinds))
    if name.partition(":")[0] not in kinds:
        raise unknown("device", name, ["auto", *kinds])
    if not works(name):
        import torch

        usable = ", ".join(filter(works, kinds))
        raise BadInput(
            f"--device {name}: torch {torch.__version__} cannot use this device on this computer. Choose one that it "
            f"can use: {usable}."
        )
    return name


def works(device: str) -> bool:
    """Whether torch can compute there: a device may be reported as available and still fail, such as an old GPU."""
    import torch

    try:
        return torch.ones(1, device=device).item() == 1
    except (RuntimeError, AssertionError):
        return False


def find_course() -> Path:
    """The folder with the notebooks: the one that contains the package, or else the current one."""
    for folder in (ROOT, Path.cwd()):
        if (folder / LANDING).is_file():
            return folder
    raise BadInput(
        f"there are no notebooks here ({Path.cwd()} has no {LANDING}), and an installed package does not contain them: "
        "git clone the gantutor repository and run gantutor lab in its folder."
    )
