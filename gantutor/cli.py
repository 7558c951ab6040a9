"""The command line: `gantutor lab · fetch · train · sample`.

Exit status: 0 done (also when Ctrl-C ended a training early, for the run is saved); 2 an error the user can put right,
told in one sentence on stderr; 130 interrupted before there was anything to save.
What a command imports, it imports when it runs, so that `gantutor --help` answers at once.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from gantutor import __version__
from gantutor.errors import BadInput, GantutorError, unknown

MODELS = ("mlp",)  # each names the function of `models` that makes the pair (G, D)
LANDING = Path("notebooks", "00_start_here.ipynb")
PROGRAM = "python -m gantutor" if Path(sys.argv[0]).name == "__main__.py" else "gantutor"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows ? instead of a traceback
    try:
        return run_command(argv)
    except GantutorError as error:
        return fail(str(error))
    except ModuleNotFoundError as error:
        if (error.name or "gantutor").startswith("gantutor"):
            raise
        return fail(f"the Python package {error.name!r} is missing: install it, or all of them with pip install -e .")
    except KeyboardInterrupt:
        print("\ninterrupted.", file=sys.stderr)
        return 130


def run_command(argv: list[str]) -> int:
    commands = {"lab": lab, "fetch": fetch, "train": train, "sample": sample}
    further = []
    if argv and not argv[0].startswith("-"):
        if argv[0] not in commands:
            raise unknown("command", argv[0], commands)
        if argv[0] == "lab" and not {"-h", "--help"} & set(argv):
            argv, further = argv[:1], argv[1:]  # they are Jupyter's
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 0
    args.further = further
    return commands[args.command](args)


def fail(sentence: str) -> int:
    print(f"gantutor: {sentence}", file=sys.stderr)
    return 2


class Parser(argparse.ArgumentParser):
    """argparse, with its complaints made errors like all others."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}. See {self.prog} --help.")


def make_parser() -> Parser:
    parser = Parser(prog=PROGRAM, description="A course on generative adversarial networks, and the package behind it.")
    parser.add_argument("--version", action="version", version=f"gantutor {__version__}")
    add = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands").add_parser

    text = "open the course in JupyterLab"
    add("lab", help=text, usage=f"{PROGRAM} lab [JUPYTER OPTION …]",
        description=f"{text.capitalize()}. All options go to Jupyter: --no-browser, --port 8890, …")  # fmt: skip

    text = "download data sets and check them"
    command = add("fetch", help=text, description=text.capitalize() + ".")
    command.add_argument("names", nargs="*", metavar="NAME", help="mnist, fashion-mnist; both if none is named")

    text = "train a GAN and save the run"
    command = add("train", help=text, description=f"{text.capitalize()}. Ctrl-C ends early and saves what there is.")
    command.add_argument("model", metavar="MODEL", help=", ".join(MODELS))
    command.add_argument("--data", metavar="NAME", default="mnist", help="strokes, mnist (default) or fashion-mnist")
    length = command.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, metavar="N", help="train for N steps")
    length.add_argument("--seconds", type=float, metavar="S", help="train for S seconds; loading does not count")
    command.add_argument("--seed", type=seed, metavar="K", default=0, help="the same seed, the same run (default 0)")
    command.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps; auto (default) takes the best")
    command.add_argument("--out", metavar="DIR", type=Path, help="where the run is saved (default runs/MODEL-NAME)")

    text = "draw images from a saved run"
    command = add("sample", help=text, description=text.capitalize() + ", with its averaged generator.")
    command.add_argument("run", metavar="DIR", type=Path, help="the folder given to train --out")
    command.add_argument("--count", type=int, metavar="N", default=64, help="how many images (default 64)")
    command.add_argument("--seed", type=seed, metavar="K", default=0, help="the same seed, the same images (default 0)")
    command.add_argument("--out", metavar="FILE", type=Path, required=True,
                         help=".npz (images: uint8 (N, C, H, W)) or .png (a grid)")  # fmt: skip
    return parser


def seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**62):
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: give a whole number, 0 or more")
    return int(text)


# --- lab -------------------------------------------------------------------------------------------------------------


def lab(args: argparse.Namespace) -> int:
    """Hand this process over to JupyterLab, which then receives Ctrl-C and SIGTERM itself."""
    root = find_course()
    if find_spec("jupyterlab") is None:
        raise BadInput("JupyterLab is not installed here: run pip install -e . in the repository.")
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}",
               f"--LabApp.default_url=/lab/tree/{LANDING.as_posix()}",
               "--ServerApp.answer_yes=True"]  # Ctrl-C ends it without asking back  # fmt: skip
    if getattr(os, "geteuid", lambda: 1)() == 0 and "--allow-root" not in args.further:
        print("Running as root, which Jupyter refuses by default: adding --allow-root.", file=sys.stderr, flush=True)
        command.append("--allow-root")
    command += args.further
    return hand_over(command)


def hand_over(command: list[str]) -> int:
    """Become this Python command; on Windows, where exec would give the prompt back at once, wait for it instead."""
    if os.name != "nt":
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # else Ctrl-C stays ignored where a script started us with &
        os.execv(sys.executable, command)
    process = subprocess.Popen(command)
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # Jupyter received it as well, and ends
            return process.wait()


def find_course() -> Path:
    """The folder above the package, or else the current one: whichever holds the notebooks."""
    for folder in (Path(__file__).resolve().parent.parent, Path.cwd()):
        if (folder / LANDING).is_file():
            return folder
    raise BadInput(
        f"there are no notebooks here ({Path.cwd()} has no {LANDING}), and an installed package does not hold them: "
        "git clone the gantutor repository and run gantutor lab in its folder."
    )


# --- fetch -----------------------------------------------------------------------------------------------------------


def fetch(args: argparse.Namespace) -> int:
    from gantutor import download

    for name in args.names:
        if name not in download.SHA256 and name != "strokes":
            raise unknown("data set", name, download.SHA256)
    for name in args.names or download.SHA256:
        print(f"{name} is complete: {download.fetch(name)}")
    return 0


# --- train -----------------------------------------------------------------------------------------------------------


def train(args: argparse.Namespace) -> int:
    check_length(args.steps, args.seconds)
    if args.model not in MODELS:
        raise unknown("model", args.model, MODELS)
    out = args.out or Path("runs", f"{args.model}-{args.data}")

    from gantutor import checkpoint, data, models
    from gantutor.train import Run

    if args.data not in data.NAMES:
        raise unknown("data set", args.data, data.NAMES)
    if os.path.exists(out / checkpoint.FILE):
        raise BadInput(f"{out} already holds a run: choose another folder with --out, or delete that one.")
    device = choose_device(args.device)
    images = data.load(args.data, device=device)
    G, D = getattr(models, args.model)(shape=tuple(images.pixels.shape[1:]), seed=args.seed)
    run = Run(G, D, images, seed=args.seed, device=device)
    check_room(run, out)
    note(f"Training {args.model} on {args.data} ({len(images):,} images, {device}). Ctrl-C ends early and saves.")
    with stop_signals() as asked:
        progress = ProgressLine(args.steps, args.seconds, run.recipe.batch_size)
        for step in run.steps(args.steps, seconds=args.seconds):
            progress.show(step)
            if asked:
                break
        progress.close()
        path = checkpoint.save(run, out)
        done = "Stopped early" if asked else "Done"
        print(f"{done}: {progress.summary()}. The run is saved in {path}.")
        print(f"See what it draws:  {PROGRAM} sample {quoted(out)} --count 64 --out {quoted(out / 'images.png')}")
    return 0


def check_length(steps: int | None, seconds: float | None) -> None:
    if steps is None and seconds is None:
        raise BadInput("say how long to train: --steps N or --seconds S.")
    if steps is not None and steps < 1:
        raise BadInput(f"--steps is {steps}: give a whole number, 1 or more.")
    if seconds is not None and not 0 < seconds < float("inf"):
        raise BadInput(f"--seconds is {seconds:g}: give a time above 0.")


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


def check_room(run, out: Path) -> None:
    """Save the untrained run next to where the trained one will lie, and remove it: better fail now than at the end."""
    from gantutor import checkpoint

    trial = out / f".trial-{os.getpid()}"
    made = [folder for folder in (trial, out, *out.parents) if not os.path.exists(folder)]
    try:
        checkpoint.save(run, trial)
    except BadInput as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise BadInput(
            f"--out {out}: no run can be saved there ({reason}). Choose another folder, or make room."
        ) from error
    finally:
        shutil.rmtree(trial, ignore_errors=True)
        for folder in made[1:]:
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Inside the block Ctrl-C and SIGTERM interrupt nothing: they are written into the list, for the loop to look at.

    So no signal, however often it comes, can leave a half-taken step or a half-written file.
    """
    asked, before = [], {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda number, frame: asked.append(number))
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ProgressLine:
    """Step, speed, losses, time left: one line on stderr, rewritten in place on a terminal, now and then elsewhere.

    The losses are fetched from the device (`.item()`) only for a line that is printed.
    """

    def __init__(self, steps: int | None, seconds: float | None, batch_size: int):
        self.steps, self.seconds, self.batch_size = steps, seconds, batch_size
        self.terminal = sys.stderr.isatty()
        self.pause = 0.2 if self.terminal else 10.0  # seconds between lines
        self.began = self.printed = self.now = time.perf_counter()
        self.step = None

    def show(self, step) -> None:
        self.step, self.now = step, time.perf_counter()
        if self.now - self.printed >= self.pause:
            self.printed = self.now
            self.write(f"step {step.index:,}  {self.rate():,.0f} img/s  {self.losses()}  {clock(self.left())} left")

    def write(self, line: str) -> None:
        if self.terminal:
            room = shutil.get_terminal_size().columns - 1
            line = "\r" + line[:room].ljust(room)
        print(line, end="" if self.terminal else "\n", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.step is not None:
            self.step.d_loss.item()  # the device may still be at work: wait, then look at the clock
        self.now = time.perf_counter()
        if self.terminal and self.printed > self.began:
            print(file=sys.stderr)

    def rate(self) -> float:
        return self.step.index * self.batch_size / (self.now - self.began)

    def losses(self) -> str:
        return f"D {self.step.d_loss.item():.3f}  G {self.step.g_loss.item():.3f}"

    def left(self) -> float:
        elapsed = self.now - self.began
        return elapsed * (self.steps / self.step.index - 1) if self.steps else max(self.seconds - elapsed, 0)

    def summary(self) -> str:
        if self.step is None:
            return "0 steps"
        return f"{self.step.index:,} steps in {clock(self.now - self.began)}, {self.rate():,.0f} img/s, {self.losses()}"


def clock(seconds: float) -> str:
    """75 -> "1:15", 3700 -> "1:01:40"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- sample ----------------------------------------------------------------------------------------------------------


def sample(args: argparse.Namespace) -> int:
    writers = {".npz": write_npz, ".png": write_png}
    if args.out.suffix.lower() not in writers:
        raise BadInput(f"--out is {str(args.out)!r}: give a file that ends in .npz or .png.")
    if args.count < 1:
        raise BadInput(f"--count is {args.count}: give a whole number, 1 or more.")

    from gantutor import checkpoint, train
    from gantutor.files import replacing

    images = train.sample(checkpoint.load_generator(args.run), args.count, seed=args.seed)  # (N, C, H, W) in [-1, 1]
    if images.ndim != 4:
        raise BadInput(f"{args.run} makes examples of shape {tuple(images.shape[1:])}: give a run that makes images.")
    if not images.isfinite().all():
        raise BadInput(f"{args.run} makes NaN or infinite pixels: its training blew up. Train again with another seed.")
    with replacing(args.out) as temporary:
        writers[args.out.suffix.lower()](images, temporary)
    print(f"{args.count} images: {args.out}")
    return 0


def write_npz(images, path: Path) -> None:
    import numpy as np

    pixels = images.add(1).mul(127.5).round().clamp(0, 255).byte().numpy()  # the inverse of x / 127.5 - 1
    with open(path, "wb") as file:
        np.savez_compressed(file, images=pixels)


def write_png(images, path: Path) -> None:
    from gantutor import show

    show.grid(images).save(path, format="PNG")
