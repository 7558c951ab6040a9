"""The command line: `gantutor lab · fetch · train · sample · diagnose · museum · speedrun · handout`.

Exit status: 0 done (also when Ctrl-C ended a training early, for the run is saved); 1 `diagnose` found an ailment, an
exhibit of `museum` did not show what it should, a `speedrun` did not arrive, or `handout --check` a difference; 2 an
error the user can put right, told in one sentence on stderr; 130 interrupted before there was anything to save.
What a command imports, it imports when it runs, so that `gantutor --help` answers at once.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from gantutor import __version__, progress
from gantutor.errors import BadInput, Diverged, GantutorError, OutOfMemory, RankLost, real, unknown, whole

MODELS = ("mlp", "dcgan", "cmlp", "cdcgan")  # functions of `models` that make the pair (G, D); with c, conditional
MOST_IMAGES = 1_000_000  # in one file
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
        return fail(f"rank {os.environ['RANK']}: {error}" if one_of_several() else str(error))
    except ModuleNotFoundError as error:
        if (error.name or "gantutor").startswith("gantutor"):
            raise
        return fail(f"the Python package {error.name!r} is missing: install it, or all of them with pip install -e .")
    except KeyboardInterrupt:
        print("\ninterrupted.", file=sys.stderr)
        return 130


def run_command(argv: list[str]) -> int:
    commands = {"lab": lab, "fetch": fetch, "train": train, "sample": sample, "diagnose": diagnose, "museum": museum,
                "speedrun": speedrun, "handout": handout}  # fmt: skip
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
    print(f"gantutor: {sentence}", file=sys.stderr, flush=True)
    return 2


def one_of_several() -> bool:
    """Whether torchrun, or what does its work, has started this process and others to train together: the ranks."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


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
        description=f"{capital(text)}. All options go to Jupyter: --no-browser, --port 8890, …")  # fmt: skip

    text = "download data sets and check them"
    command = add("fetch", help=text, description=capital(text) + ".")
    command.add_argument("names", nargs="*", metavar="NAME", help="mnist, fashion-mnist; both if none is named")

    text = "train a GAN and save the run"
    command = add(
        "train",
        help=text,
        description=f"{capital(text)}. Ctrl-C ends early and saves what there is. The last two saves are kept. "
        "Whatever ended a training of --steps, the same command with --resume goes on with it, and its end is what it "
        "would have been. On several GPUs or CPUs: torchrun --nproc-per-node=N -m gantutor train …",
    )
    command.add_argument("model", metavar="MODEL", help=", ".join(MODELS))
    command.add_argument("--data", metavar="NAME", help="strokes, mnist (default) or fashion-mnist")
    length = command.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, metavar="N", help="train for N steps")
    length.add_argument("--seconds", type=float, metavar="S", help="train for S seconds; loading does not count")
    command.add_argument("--seed", type=seed, metavar="K", help="the same seed, the same run (default 0)")
    command.add_argument(
        "--batch-size", type=int, metavar="N", help="real images per step, in all ranks together (default 64)"
    )
    command.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps; auto (default) takes the best")
    command.add_argument("--precision", help="fp32 (default), or bf16: 16-bit passes through the nets")
    command.add_argument("--compile", action="store_true", help="use torch.compile: the first steps take long")
    command.add_argument("--no-capture", action="store_const", const=False, dest="capture",
                         help="on CUDA, do not replay each step as one CUDA graph")  # fmt: skip
    command.add_argument("--accumulate", type=int, metavar="K",
                         help="work through each batch in K parts, for want of memory (default 1)")  # fmt: skip
    command.add_argument("--out", metavar="DIR", type=Path, help="where the run is saved (default runs/MODEL-NAME)")
    command.add_argument("--save-every", type=int, metavar="N",
                         help="save after every N steps too; without it every two minutes and at the end")  # fmt: skip
    command.add_argument("--resume", action="store_true",
                         help="go on with the run in --out, to --steps in all (default: as many as it was for); where "
                              "there is none, start. Flags left out are those of the run")  # fmt: skip

    text = "draw images from a saved run"
    command = add("sample", help=text, description=capital(text) + ", with its averaged generator.")
    command.add_argument(
        "run",
        metavar="DIR",
        type=Path,
        help="the folder given to train --out; or digits, clothes, strokes, which are trained already",
    )
    command.add_argument("--count", type=int, metavar="N", help="how many images (default 64)")
    command.add_argument("--label", metavar="CLASS", help="draw this class only, by number or name (7, sneaker)")
    command.add_argument("--per-class", type=int, metavar="N", help="N images of each class, in order of class")
    command.add_argument("--seed", type=seed, metavar="K", default=0, help="the same seed, the same images (default 0)")
    command.add_argument("--out", metavar="FILE", type=Path, required=True,
                         help=".npz (images: uint8 (N, C, H, W); labels: int64 (N,), where a run has classes) or "
                              ".png (a grid)")  # fmt: skip

    text = "name what ails a GAN, from its samples"
    command = add("diagnose", help=text, description=f"{capital(text)}. Exit status 0: healthy, 1: ailing.")
    command.add_argument("samples", metavar="SAMPLES", type=Path,
                         help="500 images or more: .npz (keys images, labels), .npy, or a folder of pictures; "
                              "(N, H, W) or (N, C, H, W), bytes or floats in [-1, 1]")  # fmt: skip
    command.add_argument("--against", metavar="REAL", required=True,
                         help="mnist, fashion-mnist, strokes; or a file or folder like SAMPLES")  # fmt: skip
    command.add_argument("--json", action="store_true", help="print the findings as JSON, and nothing else, on stdout")

    text = "list the exhibits of the museum of GAN bugs, or run one"
    command = add(
        "museum", help=text, description=f"{capital(text)}, broken and sound. Exit status 1: it did not show."
    )
    command.add_argument(
        "id", metavar="ID", nargs="?", help="an exhibit, such as double-sigmoid; without one, the list"
    )
    command.add_argument(
        "--data", metavar="NAME", help="strokes, mnist or fashion-mnist (default: mnist, else strokes)"
    )
    command.add_argument("--steps", type=int, metavar="N", help="train for N steps (default: as many as it takes)")
    command.add_argument("--seed", type=seed, metavar="K", default=0, help="the same seed, the same run (default 0)")
    command.add_argument("--out", metavar="FILE", type=Path, help="a .png that shows both versions")

    text = "race: how many seconds of training until the images are good enough?"
    command = add(
        "speedrun",
        help=text,
        description=f"{capital(text)} Same images, judge and goals for everybody. Exit status 1: a run did not arrive.",
    )
    command.add_argument("race", metavar="RACE", nargs="?", help="one of the races; without one, the list")
    command.add_argument("--seeds", type=int, metavar="K", default=3, help="run with seeds 0 to K - 1 (default 3)")
    command.add_argument("--device", default="auto", help="as in train")
    command.add_argument("--precision", default="fp32", help="as in train: bf16 is faster where the CPU has it")
    command.add_argument("--samples", metavar="DIR", type=Path,
                         help="save the images that were judged last, SEED.npz, for other judges")  # fmt: skip
    command.add_argument("--record", metavar="FILE", type=Path, help="add a row to this file of records (.md)")

    text = "write the course as a folder or a zip to give out in class"
    command = add("handout", help=text, description=f"{capital(text)}; or make the exercises from their solutions.")
    command.add_argument("out", metavar="OUT", type=Path, nargs="?", help="a new folder, or a .zip")
    command.add_argument("--lessons", metavar="NN", nargs="+", default=(), help="these only, and 00 (default: all)")
    command.add_argument("--data", metavar="NAME", nargs="*", help="mnist, fashion-mnist (default: both), or nothing")
    command.add_argument("--html", action="store_true", help="add the lessons as web pages, to read without Python")
    command.add_argument("--slides", action="store_true", help="add slides of each lesson")
    command.add_argument("--teacher", action="store_true", help="add the teacher's page and the solutions")
    command.add_argument("--wheels", action="store_true",
                         help="add the required packages, for computers like this one without a network")  # fmt: skip
    command.add_argument("--nbgrader", action="store_true", help="make OUT a course folder for nbgrader instead")
    command.add_argument("--exercises", action="store_true", help="write notebooks/exercises from notebooks/solutions")
    command.add_argument("--check", action="store_true",
                         help="with --exercises: write nothing; exit status 1 where they differ")  # fmt: skip
    return parser


def capital(text: str) -> str:
    return text[0].upper() + text[1:]  # str.capitalize would make a gan of a GAN


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
    if root == Path(__file__).resolve().parent.parent:  # not installed: the notebooks import this copy all the same
        os.environ["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
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


TOO_VAGUE = "say how long to train: --steps N or --seconds S."
FLAGS = {"model": None, "data": "mnist", "seed": 0, "batch_size": None, "precision": "fp32"}  # with their defaults
"""They are saved with a run. One that is left out when it is resumed is what it was; another value is refused."""


def train(args: argparse.Namespace) -> int:
    """Train alone, or as one of several ranks. What all of these have to say, rank 0 says."""
    if not one_of_several():
        check_flags(args)  # before torch is loaded, which takes a while

    from gantutor import distributed

    if not one_of_several():
        return train_as(args, distributed.Ranks())
    with distributed.joined() as ranks:
        try:
            ranks.together(partial(check_flags, args))
            return train_as(args, ranks)
        except (distributed.SharedError, Diverged) as error:
            if ranks.rank == 0:
                fail(str(error))
            ranks.meet()  # torchrun ends all as soon as one has ended
            return 2
        except RankLost as error:
            return fail(str(error))


def train_as(args: argparse.Namespace, ranks) -> int:
    """What every rank does. Only rank 0 has the folder; the others see a copy of its run."""
    with contextlib.ExitStack() as stack:
        out, content = ranks.together(partial(claim, args, ranks, stack))
        state = ranks.together(partial(take_up, args, out, ranks.given(content)))
        if state and state["step"] >= args.steps:
            if ranks.rank == 0:
                print(f"The run in {out} is finished: it has {state['step']:,} steps, and {args.steps:,} were asked "
                      "for.")  # fmt: skip
            return 0
        images = None
        for turn in (ranks.local == 0, ranks.local > 0):  # the first on each machine may have to download them
            images = ranks.together(partial(load_images, args, ranks) if turn else lambda images=images: images)
        run = ranks.together(partial(make_run, args, images, ranks, out, state))
        how = [args.device, *["bf16"] * (args.precision == "bf16"), *["compiled"] * args.compile,
               *["CUDA graph"] * run.capture, *[f"{ranks.size} ranks"] * (ranks.size > 1),
               *[f"batches in {args.accumulate} parts"] * (run.accumulate > 1)]  # fmt: skip
        note(f"Training {args.model} on {args.data} ({len(images):,} images, {', '.join(how)}). "
             "Ctrl-C ends early and saves.")  # fmt: skip
        return learn(args, run, out, ranks.asked) if ranks.rank == 0 else follow(args, run, ranks.asked)


def claim(args: argparse.Namespace, ranks, stack: contextlib.ExitStack) -> tuple[Path, bytes]:
    """The folder that is this process's own until the stack is left, and the file of the run in it, or b""."""
    from gantutor import checkpoint, data, keeper

    if args.data not in (None, *data.NAMES):
        raise unknown("data set", args.data, data.NAMES)
    if ranks.rank > 0:
        return Path(stack.enter_context(tempfile.TemporaryDirectory())), b""
    out = args.out or Path("runs", f"{args.model}-{args.data or FLAGS['data']}")
    stack.enter_context(keeper.held(out))
    return out, checkpoint.find(out).read_bytes() if find_saved(args, out) else b""


def take_up(args: argparse.Namespace, out: Path, content: bytes) -> dict | None:
    """What the run holds that is to be resumed; None for a start from 0. Flags that were left out get their values."""
    from gantutor import checkpoint

    if content and checkpoint.find(out) is None:
        (out / checkpoint.FILE).write_bytes(content)
    state = find_saved(args, out)
    settle_flags(args, out, state["flags"] if state else {})
    if args.steps is None and args.seconds is None:
        raise BadInput(TOO_VAGUE)
    return state


def load_images(args: argparse.Namespace, ranks):
    from gantutor import data

    args.device = choose_device(args.device) if ranks.size == 1 else choose_rank_device(args.device, ranks)
    check_speed(args, args.device)
    return data.load(args.data, device=args.device)


def find_saved(args: argparse.Namespace, out: Path) -> dict | None:
    """What the folder holds of the run that is to be resumed; None for a start from 0. Sets --steps if it was left out.

    Raises:
        BadInput: the folder holds a run, and --resume was not given; or it cannot be resumed.
    """
    from gantutor import checkpoint

    if checkpoint.find(out) is None:
        return None
    if not args.resume:
        raise BadInput(f"{out} already holds a run: go on with it with --resume, or choose another folder with --out.")
    if mended := checkpoint.recover(out):
        note(mended)
    path, state = checkpoint.read(out)
    if not isinstance(state["flags"], dict) or state["flags"].keys() != FLAGS.keys():
        raise BadInput(f"{path} was not saved by this version of gantutor train: go on with it in Python, with "
                       "checkpoint.load.")  # fmt: skip
    if args.steps is None and state["plan"]:
        args.steps = state["plan"][1]
    return state


def settle_flags(args: argparse.Namespace, out: Path, saved: dict) -> None:
    """Give each of `FLAGS` that was left out its saved value, or its default. Raises `BadInput` where one differs."""
    for name, default in FLAGS.items():
        given = getattr(args, name)
        if given is None:
            setattr(args, name, saved.get(name, default))
        elif given != saved.get(name, given):
            flag = "MODEL" if name == "model" else "--" + name.replace("_", "-")
            raise BadInput(f"{flag} is {given}, but the run in {out} has {saved[name]!r}: it goes on with that alone.")


def make_run(args: argparse.Namespace, images, ranks, out: Path, state: dict | None):
    """The saved run, or a new one. A folder that it could not be saved in is told now."""
    from gantutor import distributed, keeper
    from gantutor.train import Run

    make = Run if ranks.size == 1 else partial(distributed.SharedRun, ranks=ranks)
    make = partial(make, accumulate=args.accumulate or 1)
    run = go_on(args, images, make, out, state) if state else begin(args, images, make)
    if ranks.rank == 0:
        keeper.check_room(run, out)
    return run


def begin(args: argparse.Namespace, images, make):
    from gantutor import models
    from gantutor.train import Recipe

    make_nets = getattr(models, args.model.removeprefix("c"))
    classes = len(images.classes) if args.model.startswith("c") else 0
    G, D = make_nets(shape=tuple(images.pixels.shape[1:]), seed=args.seed, classes=classes)
    recipe = Recipe() if args.batch_size is None else Recipe(batch_size=args.batch_size)
    return make(G, D, images, recipe, seed=args.seed, device=args.device, precision=args.precision,
                compile=args.compile, capture=args.capture)  # fmt: skip


def go_on(args: argparse.Namespace, images, make, out: Path, state: dict):
    """The saved run, with the rest of --steps before it."""
    from gantutor import checkpoint

    run = checkpoint.load(out, images, device=args.device, precision=args.precision, compile=args.compile,
                          capture=args.capture, make=make)  # fmt: skip
    if run.plan is None or run.plan[1] != args.steps:
        if run.plan:
            note(f"It was planned for {run.plan[1]:,} steps: from here the learning rate follows the new total.")
        run.plan = 0, args.steps
    if state["device"] != run.device.type:
        note(f"It was saved on {state['device']}: on {run.device.type} it goes on with other random numbers.")
    note(f"Going on from step {run.step:,} of {args.steps:,}.")
    return run


SAVE, STOP = 1, 2  # what a process may wish for after a step; several ranks do what the greatest wish is


def learn(args: argparse.Namespace, run, out: Path, asked: list[int]) -> int:
    """Train and save. A signal ends the training early, and so does NaN or a lack of memory, which is an error."""
    from gantutor import guard, keeper

    flags = {**{name: getattr(args, name) for name in FLAGS}, "batch_size": run.recipe.batch_size}
    with stop_signals(asked):
        line = progress.Line(args.steps, args.seconds, run.recipe.batch_size, before=run.step)
        keep, watch, wish = keeper.Keeper(run, out, flags, args.save_every, line.say), guard.Watch(run), 0
        try:
            for step in watch.over(remaining(args, run)):
                line.show(step)
                wish = run.agreed(STOP if asked else SAVE if keep.due() else 0)
                if wish == SAVE:
                    watch.look()
                    keep.save()
                if wish == STOP:
                    break
            watch.look()
        except (OutOfMemory, Diverged) as error:
            line.close()
            hint = " The batch size is set with --batch-size; --accumulate 2 keeps it, in half the memory."
            hint = hint if isinstance(error, OutOfMemory) else ""
            raise type(error)(f"{error}{hint}{keep.rescue()}") from error
        except RankLost as error:
            return fail(f"at step {run.step + 1:,} {error}{salvage(keep, watch)}")  # here, where no signal ends it
        line.close()
        path = keep.finish()
    print(f"{'Stopped early' if wish == STOP else 'Done'}: {line.summary()}. The run is saved in {path}.")
    if wish == STOP and args.steps:
        print("Go on with it:  the same command with --resume")
    what = "--count 64" if run.labels is None else "--per-class 8"
    print(f"See what it draws:  {PROGRAM} sample {quoted(out)} {what} --out {quoted(out / 'images.png')}")
    return 0


def follow(args: argparse.Namespace, run, asked: list[int]) -> int:
    """What the other ranks do while rank 0 learns: the same steps and looks, in the same order."""
    from gantutor import guard

    with stop_signals(asked):
        watch = guard.Watch(run)
        for _ in watch.over(remaining(args, run)):
            wish = run.agreed(STOP if asked else 0)
            if wish == SAVE:
                watch.look()
            if wish == STOP:
                break
        watch.look()
    return 0


def remaining(args: argparse.Namespace, run) -> Iterable:
    return run.steps() if run.plan else run.steps(args.steps, seconds=args.seconds)


def salvage(keep, watch) -> str:
    """After a rank was lost in the middle of a step: save the last sound copy, and say what is saved.

    A GPU may be waiting for the lost rank for good, so there the last save has to do.
    """
    if keep.run.device.type == "cpu":
        watch.sound.restore()
        return keep.rescue()
    return f" The first {keep.saved:,} steps are saved in {keep.folder}." if keep.saved else " Nothing is saved yet."


def check_flags(args: argparse.Namespace) -> None:
    check_numbers(args)
    if args.model not in MODELS:
        raise unknown("model", args.model, MODELS)


def check_numbers(args: argparse.Namespace) -> None:
    if args.steps is None and args.seconds is None and not args.resume:
        raise BadInput(TOO_VAGUE)
    if args.seconds is not None:
        real("--seconds", args.seconds, above=0)
        if args.resume:
            raise BadInput("--seconds and --resume: a run goes on to a number of steps, give the total with --steps N.")
    check_counts(args, "steps", "batch_size", "save_every", "accumulate")


def check_counts(args: argparse.Namespace, *names: str) -> None:
    for name in names:
        if getattr(args, name) is not None:
            whole("--" + name.replace("_", "-"), getattr(args, name), least=1)


def check_speed(args: argparse.Namespace, device: str) -> None:
    """Raise `BadInput`, before anything is loaded, where the device cannot do what was asked for by name."""
    import torch

    from gantutor import fast

    fast.check_precision(args.precision, torch.device(device))
    if args.compile:
        fast.check_compile(torch.device(device))


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


def choose_rank_device(name: str, ranks) -> str:
    """The device of one of several ranks: each has a GPU of its own, or all are on CPUs."""
    if name not in ("auto", "cuda", "cpu"):
        raise BadInput(f"--device is {name}, but each of several ranks has one of its own: give cuda, cpu or auto.")
    if (name if name != "auto" else choose_device(name)) != "cuda":
        return "cpu"
    if not works(f"cuda:{ranks.local}"):
        raise BadInput(
            f"--device cuda: there is no GPU for process {ranks.local} of this machine: start one process for each GPU "
            "with torchrun --nproc-per-node, or give --device cpu."
        )
    return f"cuda:{ranks.local}"


def works(device: str) -> bool:
    """Whether torch computes there: a device may be reported as available and yet fail, such as a GPU too old."""
    import torch

    try:
        return torch.ones(1, device=device).item() == 1
    except (RuntimeError, AssertionError):
        return False


@contextlib.contextmanager
def stop_signals(asked: list[int]) -> Iterator[None]:
    """Inside the block Ctrl-C and SIGTERM interrupt nothing: they are written into the list, for the loop to look at.

    So no signal, however often it comes, can leave a half-taken step or a half-written file.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda number, frame: asked.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)


def note(text: str) -> None:
    if not one_of_several() or os.environ["RANK"] == "0":
        print(text, file=sys.stderr, flush=True)


# --- sample ----------------------------------------------------------------------------------------------------------


def sample(args: argparse.Namespace) -> int:
    writers = {".npz": write_npz, ".png": write_png}
    if args.out.suffix.lower() not in writers:
        raise BadInput(f"--out is {str(args.out)!r}: give a file that ends in .npz or .png.")
    check_counts(args, "count", "per_class")
    if args.per_class is not None and (args.count, args.label) != (None, None):
        raise BadInput("--per-class draws every class, as often as it says: leave out --count and --label.")

    from gantutor import train
    from gantutor.files import replacing
    from gantutor.labels import classes_of

    G, trained_on = find_generator(args.run)
    n, labels, what = choose_classes(args, classes_of(G), trained_on)
    if n > MOST_IMAGES:
        raise BadInput(f"that is {n:,} images: draw at most {MOST_IMAGES:,} into one file, and more with other seeds.")
    images = train.sample(G, n, seed=args.seed, labels=labels)  # (N, C, H, W) in [-1, 1]
    if images.ndim != 4:
        raise BadInput(f"{args.run} makes examples of shape {tuple(images.shape[1:])}: give a run that makes images.")
    if not images.isfinite().all():
        raise BadInput(f"{args.run} makes NaN or infinite pixels: its training blew up. Train again with another seed.")
    with replacing(args.out) as temporary:
        writers[args.out.suffix.lower()](temporary, images, train.wanted_labels(G, n, labels), args.per_class)
    print(f"{n} images{what}: {args.out}")
    return 0


def find_generator(run: Path):
    """The generator of a saved run, or a shipped one where no folder has its name; and the name of its data set."""
    from gantutor import checkpoint, pretrained

    if str(run) in pretrained.SHIPPED and not os.path.exists(run):
        return pretrained.generator(str(run)), pretrained.SHIPPED[str(run)].data
    return checkpoint.load_generator(run), str(checkpoint.read(run)[1]["data"])


def choose_classes(args: argparse.Namespace, classes: int, trained_on: str) -> tuple[int, int | list[int] | None, str]:
    """How many images to draw, their labels as `train.sample` takes them, and the choice in words."""
    if not classes and (args.label is not None or args.per_class is not None):
        option = "--per-class" if args.label is None else "--label"
        raise BadInput(f"{args.run} was trained without classes: leave out {option}, or train cmlp or cdcgan.")
    if args.per_class is not None:
        n, each = classes * args.per_class, f"{args.per_class} of each of {classes} classes"
        return n, [y for y in range(classes) for _ in range(args.per_class)] if n <= MOST_IMAGES else None, f", {each}"
    n = 64 if args.count is None else args.count
    if args.label is None:
        return n, None, ", the classes in turn" if classes else ""
    label, name = find_class(args.label, trained_on, classes)
    return n, label, f" of class {name}"


def find_class(text: str, trained_on: str, classes: int) -> tuple[int, str]:
    """Number and name of a class of a data set, from either. In one that is not ours the number is the name."""
    from gantutor import data

    names = data.CLASSES.get(trained_on, ())
    numbers = [str(label) for label in range(classes)]
    names = names if len(names) == classes else numbers
    for known in (numbers, [name.casefold() for name in names]):
        if text.casefold() in known:
            label = known.index(text.casefold())
            return label, names[label]
    if text.removeprefix("-").isdigit():  # no number is nearly another
        raise BadInput(f"unknown class {text!r}: The choices are: {', '.join(names)}.")
    raise unknown("class", text, names)


def write_npz(path: Path, images, labels, per_class: int | None) -> None:
    import numpy as np

    pixels = images.add(1).mul(127.5).round().clamp(0, 255).byte().numpy()  # the inverse of x / 127.5 - 1
    known = {} if labels is None else {"labels": labels.numpy()}
    with open(path, "wb") as file:
        np.savez_compressed(file, images=pixels, **known)


def write_png(path: Path, images, labels, per_class: int | None) -> None:
    """A grid; with `per_class` each class begins a new row, and one of more than 25 images has several."""
    from torch.nn.functional import pad

    from gantutor import show

    columns = None
    if per_class:
        rows = -(-per_class // 25)
        columns = -(-per_class // rows)
        images = images.unflatten(0, (-1, per_class))  # (K, per_class, C, H, W)
        images = pad(images, (0, 0) * 3 + (0, rows * columns - per_class), value=1.0).flatten(0, 1)  # white places
    show.grid(images, columns).save(path, format="PNG")


# --- diagnose --------------------------------------------------------------------------------------------------------


def diagnose(args: argparse.Namespace) -> int:
    from gantutor import data, doctor, intake

    if args.against not in data.NAMES and not os.path.exists(args.against):
        raise unknown("data set, file or folder", args.against, data.NAMES)
    samples, labels = intake.read(args.samples)
    held_out = None
    if args.against in data.NAMES:
        note(f"Reading {args.against} …")
        real, real_labels, held_out = data.load(args.against), None, data.load(args.against, "test")
    else:
        real, real_labels = intake.read(args.against)
    note(f"Examining {len(samples):,} samples …")
    diagnosis = doctor.examine(samples, real, labels=labels, real_labels=real_labels, held_out=held_out)
    print(diagnosis.to_json() if args.json else diagnosis)
    return 0 if diagnosis.healthy else 1


# --- museum ----------------------------------------------------------------------------------------------------------


def museum(args: argparse.Namespace) -> int:
    check_counts(args, "steps")
    if args.out and args.out.suffix.lower() != ".png":
        raise BadInput(f"--out is {str(args.out)!r}: give a file name that ends in .png.")

    from gantutor import data, museum

    if args.id is None:
        for room, exhibits in museum.ROOMS.items():
            for e in exhibits:
                print(f"{e.number:>3}  {e.id:26} {e.title}  [{room}]")
        return 0
    exhibit = museum.exhibit(args.id)
    if args.data is not None and args.data not in data.NAMES:
        raise unknown("data set", args.data, data.NAMES)
    images = data.load_or_strokes("mnist") if args.data is None else data.load(args.data)
    with contextlib.ExitStack() as stack:
        if args.out:
            from gantutor.files import replacing

            temporary = stack.enter_context(replacing(args.out))
            temporary.touch()  # better fail now than after the training
        note(f"Training {exhibit.id} on {images.name}, broken and sound …")
        outcome = exhibit.run(args.steps, images=images, seed=args.seed)
        print(outcome.verdict())
        if args.out:
            from gantutor import show

            show.comparison(outcome).save(temporary, format="PNG")
    return 0 if outcome.as_expected() else 1


# --- speedrun --------------------------------------------------------------------------------------------------------


def speedrun(args: argparse.Namespace) -> int:
    check_counts(args, "seeds")

    from gantutor import speedrun

    if args.race is None:
        for name, race in speedrun.RACES.items():
            print(f"{name:14} {race.about}: {race.goals()}")
        return 0
    if args.race not in speedrun.RACES:
        raise unknown("race", args.race, speedrun.RACES)
    device, race = choose_device(args.device), speedrun.RACES[args.race]
    entry = replace(speedrun.ENTRIES[args.race], precision=args.precision)
    if args.record:
        speedrun.record(args.record)  # better fail now than after the race
    name = args.race if args.precision == "fp32" else f"{args.race}, {args.precision}"
    print(f"{name}: {race.goals()}. On {speedrun.computer(device)}.")
    finishes = []
    for seed in range(args.seeds):
        finish = speedrun.run(race, entry, seed=seed, device=device, tell=partial(tell, seed))
        if args.samples:
            save_samples(args.samples / f"{seed}.npz", finish.G, race.count)
        finishes.append(finish)
    print(f"Seconds of training: {speedrun.summary(finishes)}.")
    if args.record:
        speedrun.record(args.record, speedrun.row(name, finishes, device))
    return 0 if all(finish.reached for finish in finishes) else 1


def tell(seed: int, look) -> None:
    print(f"seed {seed} {look}", flush=True)


def save_samples(path: Path, G, count: int) -> None:
    from gantutor import train
    from gantutor.files import replacing

    with replacing(path) as temporary:
        write_npz(temporary, train.sample(G, count).cpu(), train.wanted_labels(G, count), None)


# --- handout ---------------------------------------------------------------------------------------------------------


def handout(args: argparse.Namespace) -> int:
    if args.exercises:
        return exercises(args)
    if args.out is None or args.check:
        raise BadInput("name what to write, a folder or a .zip; or say --exercises, perhaps with --check.")

    from gantutor import exercise_sheets, handout

    if args.nbgrader:
        names = exercise_sheets.nbgrader_course(find_course() / "notebooks", args.out)
        print(f"{args.out}: {', '.join(names)}. Next, in this folder: nbgrader generate_assignment {names[0]} --create")
        return 0
    options = handout.Options(args.lessons, tuple(handout.LICENCES) if args.data is None else args.data, args.html,
                              args.slides, args.teacher, args.wheels)  # fmt: skip
    for sentence in handout.make(find_course(), args.out, options):
        note(sentence)
    files = [args.out] if args.out.is_file() else [path for path in args.out.rglob("*") if path.is_file()]
    print(f"{args.out}: {sum(path.stat().st_size for path in files) / 1e6:.0f} MB. Its README says how to start.")
    return 0


def exercises(args: argparse.Namespace) -> int:
    """Make the exercises from their solutions, or with --check say which of them are not what these give."""
    if args.out is not None:
        raise BadInput(f"--exercises writes into the course itself: leave out {args.out}.")

    from gantutor import exercise_sheets

    course = find_course()
    act, did = (exercise_sheets.differing, "differs") if args.check else (exercise_sheets.write, "written")
    paths = act(course / "notebooks")
    for path in paths:
        print(f"{path.relative_to(course)}: {did}")
    if args.check and paths:
        note("Make them again: gantutor handout --exercises")
    return 1 if args.check and paths else 0
