"""`gantutor train`: train a GAN, save the run, and go on with it."""

import argparse
import contextlib
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from gantutor.cli import progress, sources
from gantutor.cli.common import (
    MODELS,
    PROGRAM,
    Parser,
    capital,
    check_counts,
    choose_device,
    fail,
    note,
    one_of_several,
    quoted,
    seed,
    works,
)
from gantutor.errors import BadInput, Diverged, OutOfMemory, RankLost, real_number, unknown, whole_number

AUGMENTS = "none", "diff", "ada"
TOO_VAGUE = "say how long to train: --steps N or --seconds S."


FLAGS = {"model": None, "data": "mnist", "size": None, "flip": False, "augment": "none", "start": None,
         "freeze_d": 0, "seed": 0, "batch_size": None, "precision": "fp32"}  # fmt: skip
"""With their defaults. They are saved with a run. One that is left out when the run is resumed is what it was; another
value is refused."""


def add_arguments(add: Callable[..., Parser]) -> None:
    text = "train a GAN and save the run"
    command = add(
        help=text,
        description=f"{capital(text)}. Ctrl-C ends early and saves what there is. The last two saves are kept. "
        "Whatever ended a training of --steps, the same command with --resume goes on with it, and its end is what it "
        "would have been. On several GPUs or CPUs: torchrun --nproc-per-node=N --max-restarts=3 -m gantutor train … "
        "--resume, which starts again from the last save when a process is lost.",
    )
    command.add_argument("model", metavar="MODEL", help=", ".join(MODELS))
    command.add_argument("--data", metavar="NAME|FOLDER",
                         help="mnist (default), fashion-mnist, strokes, cifar10, faces, or faces:FACTOR such as "
                              "faces:glasses; or a folder or .zip of pictures, 50 at least, whose subfolders are "
                              "classes")  # fmt: skip
    command.add_argument("--size", type=int, metavar="N",
                         help="pixels a side: of pictures from a folder (default: 64, or 32 or 28 if the first is "
                              "smaller), and of faces, 64 or 32")  # fmt: skip
    command.add_argument("--flip", action="store_const", const=True,
                         help="train on the mirror image of every picture too")  # fmt: skip
    command.add_argument("--augment", metavar="HOW",
                         help="change the pictures that D sees at random, so that it cannot learn few of them by "
                              "heart: none (default), diff, or ada, which finds out how much is needed")  # fmt: skip
    command.add_argument("--from", dest="start", metavar="DIR|faces",
                         help="start from the weights of this run, of the same model, size and classes; faces is a "
                              "dcgan for 64×64 in colour that ships")  # fmt: skip
    command.add_argument("--freeze-d", type=int, metavar="N",
                         help="with --from, do not train D's first N layers (default 0)")  # fmt: skip
    length = command.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, metavar="N", help="train for N steps")
    length.add_argument("--seconds", type=float, metavar="S", help="train for S seconds; loading does not count")
    command.add_argument("--seed", type=seed, metavar="K", help="the same seed, the same run (default 0)")
    command.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="real images per step, in all ranks together (default 64; for dcgan and cdcgan on more than 28×28 it "
        "is 32, and has to be a multiple of 8)",
    )
    command.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps; auto (default) takes the best")
    command.add_argument("--precision", help="fp32 (default), or bf16: 16-bit passes through the nets")
    command.add_argument("--compile", action="store_true", help="use torch.compile: the first steps take long")
    command.add_argument("--no-capture", action="store_const", const=False, dest="capture",
                         help="on CUDA, do not replay each step as one CUDA graph")  # fmt: skip
    command.add_argument("--accumulate", type=int, metavar="K",
                         help="work through each batch in K equal parts, for want of memory (default 1)")  # fmt: skip
    command.add_argument("--rank-timeout", type=float, metavar="S", default=60.0,
                         help="under torchrun: seconds until a silent process counts as lost (default 60)")  # fmt: skip
    command.add_argument("--out", metavar="DIR", type=Path, help="where the run is saved (default runs/MODEL-NAME)")
    command.add_argument("--save-every", type=int, metavar="N",
                         help="save after every N steps too; without it every two minutes and at the end")  # fmt: skip
    command.add_argument("--watch", action="store_true",
                         help="let the doctor look at samples and losses now and then, and say what goes wrong; it "
                              "takes at most a fiftieth of the time")  # fmt: skip
    command.add_argument("--resume", action="store_true",
                         help="go on with the run in --out, to --steps in all (default: as many as it was for); where "
                              "there is none, start. Flags left out are those of the run")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Train alone, or as one of several ranks. What all of these have to say, rank 0 says."""
    if not one_of_several():
        check_flags(args)  # before torch is loaded, which takes a while

    from gantutor.scale import distributed

    if not one_of_several():
        return train_as(args, distributed.Ranks())
    with distributed.joined(args.rank_timeout) as ranks:
        try:
            ranks.run_on_all(partial(check_flags, args))
            return train_as(args, ranks)
        except (distributed.SharedError, Diverged) as error:
            if ranks.rank == 0:
                fail(str(error))
            with contextlib.suppress(RankLost):
                ranks.meet()  # torchrun ends all as soon as one has ended
            return 2
        except RankLost as error:
            return fail(str(error))


def train_as(args: argparse.Namespace, ranks) -> int:
    """What every rank does. Only rank 0 has the folder; the others see a copy of its run."""
    from gantutor.scale import share

    with contextlib.ExitStack() as stack:
        out, content = ranks.run_on_all(partial(claim, args, ranks, stack))
        state = ranks.run_on_all(partial(take_up, args, out, ranks.broadcast_bytes(content)))
        if state and state["step"] >= args.steps:
            if ranks.rank == 0:
                print(f"The run in {out} is finished: it has {state['step']:,} steps, and {args.steps:,} were asked "
                      "for.")  # fmt: skip
            return 0
        images: Any = None
        for turn in (ranks.local == 0, ranks.local > 0):  # the first on each machine may have to download them
            images = ranks.run_on_all(partial(load_images, args, ranks) if turn else lambda images=images: images)
        run = ranks.run_on_all(partial(make_run, args, images, ranks, out, state))
        how = [f"{len(images):,} images of {sources.shape(images)}", args.device,
               *["bf16"] * (args.precision == "bf16"), *["compiled"] * args.compile,
               *["CUDA graph"] * run.capture, *[f"{ranks.size} ranks"] * (ranks.size > 1),
               *[f"batches in {args.accumulate} parts"] * (run.parts > 1)]  # fmt: skip
        note(f"Training {args.model} on {args.data} ({', '.join(how)}). Ctrl-C ends early and saves.")
        if ranks.size > 1:
            run = share(run, ranks)
        return learn(args, run, out) if ranks.rank == 0 else follow(args, run)


def claim(args: argparse.Namespace, ranks, stack: contextlib.ExitStack) -> tuple[Path, bytes]:
    """The folder that is this process's own until the stack is left, and the file of the run in it, or b""."""
    from gantutor.runs import autosave, checkpoint

    if args.data is not None:
        sources.check(args.data)
    if ranks.rank > 0:
        return Path(stack.enter_context(tempfile.TemporaryDirectory())), b""
    out = args.out or Path("runs", f"{args.model}-{sources.short_name(args.data or str(FLAGS['data']))}")
    stack.enter_context(autosave.held(out))
    path = checkpoint.run_file(out) if find_saved(args, out) else None
    return out, path.read_bytes() if path else b""


def take_up(args: argparse.Namespace, out: Path, content: bytes) -> dict | None:
    """What the run holds that is to be resumed; None for a start from 0. Flags that were left out get their values."""
    from gantutor.runs import checkpoint

    if content and checkpoint.run_file(out) is None:
        (out / checkpoint.FILE).write_bytes(content)
    state = find_saved(args, out)
    settle_flags(args, out, state["flags"] if state else {})
    if args.steps is None and args.seconds is None:
        raise BadInput(TOO_VAGUE)
    return state


def load_images(args: argparse.Namespace, ranks):
    args.device = choose_device(args.device) if ranks.size == 1 else choose_rank_device(args.device, ranks)
    check_speed(args, args.device)
    return sources.load(args.data, args.size, bool(args.flip), args.model.startswith("c"), args.device)


def find_saved(args: argparse.Namespace, out: Path) -> dict | None:
    """What the folder holds of the run that is to be resumed; None for a start from 0. Sets --steps if it was left out.

    Raises:
        BadInput: the folder holds a run, and --resume was not given; or it cannot be resumed.
    """
    from gantutor.runs import checkpoint

    if checkpoint.run_file(out) is None:
        return None
    if not args.resume:
        raise BadInput(f"{out} already holds a run: go on with it with --resume, or choose another folder with --out.")
    if mended := checkpoint.recover(out):
        note(mended)
    path, state = checkpoint.read_state(out)
    if not isinstance(state["flags"], dict) or not {"model"} <= state["flags"].keys() <= FLAGS.keys():
        raise BadInput(f"{path} was not saved by this version of gantutor train: go on with it in Python, with "
                       "checkpoint.load.")  # fmt: skip
    if args.steps is None and state["plan"]:
        args.steps = state["plan"][1]
    return state


def settle_flags(args: argparse.Namespace, out: Path, saved: dict) -> None:
    """Give each of `FLAGS` that was left out its saved value, or its default. Raises `BadInput` where one differs."""
    for name, default in FLAGS.items():
        given = getattr(args, name)
        before = saved.get(name, default) if saved else given
        if given is None:
            setattr(args, name, saved.get(name, default))
        elif given != before:
            flag = {"model": "MODEL", "start": "--from"}.get(name, "--" + name.replace("_", "-"))
            raise BadInput(f"{flag} is {given}, but the run in {out} has {before!r}: it goes on with that alone.")
    if args.freeze_d and args.start is None:
        raise BadInput("--freeze-d keeps what D knows from another run: give that run with --from.")


def make_run(args: argparse.Namespace, images, ranks, out: Path, state: dict | None):
    """The saved run, or a new one. A folder that it could not be saved in is told now."""
    from gantutor.runs import autosave
    from gantutor.scale import distributed

    if ranks.size > 1:
        args.capture = False
    run = go_on(args, images, out, state) if state else begin(args, images)
    distributed.check_share(run, ranks)
    if ranks.rank == 0:
        autosave.check_room(run, out)
    if state is None and args.start is None and len(images) < FEW:
        note(f"There are {len(images)} pictures, which is few. Where it was measured, samples were best if a run "
             "started from one on similar pictures: --from. Against learning by heart there is --augment "
             "diff.")  # fmt: skip
    return run


def begin(args: argparse.Namespace, images):
    from gantutor import models
    from gantutor.runs import finetune
    from gantutor.train import Recipe, Run, augment

    shape, classes = tuple(images.stored.shape[1:]), len(images.classes) if args.model.startswith("c") else 0
    if args.model.endswith("dcgan"):
        G, D = models.for_images(shape, seed=args.seed, classes=classes)
        recipe = Recipe.for_images(shape, len(images), args.batch_size)
    else:
        G, D = models.mlp(shape, seed=args.seed, classes=classes)
        recipe = Recipe(batch_size=args.batch_size or min(Recipe().batch_size, len(images)))
    if args.batch_size is None and recipe.batch_size == len(images) < Recipe().batch_size:
        note(f"There are {len(images)} pictures, so the batch has {len(images)} and not {Recipe().batch_size}.")
    if args.start is not None:
        wanted, (G, D) = (G, D), finetune.start_from(args.start, freeze=args.freeze_d)
        for name, new, old in zip("GD", wanted, (G, D), strict=True):
            finetune.check_alike(args.start, name, new, type(old).__name__, vars(old)["config"], ("shape", "classes"))
    return Run(G, D, images, recipe, seed=args.seed, device=args.device, precision=args.precision,
               compile=args.compile, capture=args.capture, accumulate=args.accumulate or 1,
               augment=None if args.augment == "none" else augment.made(args.augment))  # fmt: skip


def go_on(args: argparse.Namespace, images, out: Path, state: dict):
    """The saved run, with the rest of --steps before it."""
    from gantutor.runs import checkpoint

    run = checkpoint.load(out, images, device=args.device, precision=args.precision, compile=args.compile,
                          capture=args.capture, accumulate=args.accumulate or 1)  # fmt: skip
    if run.plan is None or run.plan[1] != args.steps:
        if run.plan:
            note(f"It was planned for {run.plan[1]:,} steps: from here the learning rate follows the new total.")
        run.plan = 0, args.steps
    if state["device"] != run.device.type:
        note(f"It was saved on {state['device']}: on {run.device.type} it goes on with other random numbers.")
    note(f"Going on from step {run.step:,} of {args.steps:,}.")
    return run


FEW = 300  # pictures; from 100, D learns by heart (experiment `small_data`)
SAVE, STOP = 1, 2  # what a process may wish for after a step; several ranks do what the greatest wish is


def learn(args: argparse.Namespace, run, out: Path) -> int:
    """Train and save. A signal ends the training early, and so does NaN or a lack of memory, which is an error."""
    from gantutor.runs import autosave, nan_guard

    flags = {**{name: getattr(args, name) for name in FLAGS}, "batch_size": run.recipe.batch_size}
    with stop_signals() as asked:
        line = progress.ProgressLine(args.steps, args.seconds, run.recipe.batch_size, before=run.step)
        keep, watch, wish = autosave.Keeper(run, out, flags, args.save_every, line.print_line), nan_guard.Watch(run), 0
        monitor = make_monitor(run, line.print_line) if args.watch else None
        try:
            for step in watch.over(remaining(args, run)):
                line.show(step)
                if monitor is not None:
                    monitor.step(d_loss=step.d_loss, g_loss=step.g_loss)
                wish = run.agreed_max(STOP if asked else SAVE if keep.due() else 0)
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


def make_monitor(run, say: Callable[[str], object]):
    """The doctor's monitor of a run, which looks at samples of the averaged G."""
    from gantutor import doctor

    D = run.D if run.labels is None else None  # a conditional D needs the labels too
    return doctor.Monitor(lambda n: run.sample(n, seed=0), D, run.data, say=say)


def follow(args: argparse.Namespace, run) -> int:
    """What the other ranks do while rank 0 learns: the same steps and looks, in the same order."""
    from gantutor.runs import nan_guard

    with stop_signals() as asked:
        watch = nan_guard.Watch(run)
        for _ in watch.over(remaining(args, run)):
            wish = run.agreed_max(STOP if asked else 0)
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
    if args.augment not in (None, *AUGMENTS):
        raise unknown("augmentation", args.augment, AUGMENTS)


def check_numbers(args: argparse.Namespace) -> None:
    if args.steps is None and args.seconds is None and not args.resume:
        raise BadInput(TOO_VAGUE)
    if args.seconds is not None:
        real_number("--seconds", args.seconds, above=0)
        if args.resume:
            raise BadInput("--seconds and --resume: a run goes on to a number of steps, give the total with --steps N.")
    real_number("--rank-timeout", args.rank_timeout, above=0)
    if args.freeze_d is not None:
        whole_number("--freeze-d", args.freeze_d)
    check_counts(args, "steps", "batch_size", "save_every", "accumulate")


def check_speed(args: argparse.Namespace, device: str) -> None:
    """Raise `BadInput`, before anything is loaded, where the device cannot do what was asked for by name."""
    import torch

    from gantutor.train import accelerate

    accelerate.check_precision(args.precision, torch.device(device))
    if args.compile:
        accelerate.check_compile(torch.device(device))


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


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Inside the block Ctrl-C and SIGTERM interrupt nothing: they are written into a list, for the loop to look at.

    So no signal, however often it comes, can leave a half-taken step or a half-written file.
    """
    asked: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda number, frame: asked.append(number))
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
