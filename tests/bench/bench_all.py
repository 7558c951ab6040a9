"""What everything costs, in one table: speed, time to a score, memory, start, saving, watching, growth.

    python tests/bench/bench_all.py                      # every model on the best device; about a quarter of an hour
    python tests/bench/bench_all.py mlp --device cpu
    python tests/bench/bench_all.py --write              # and put the table into tests/bench/README.md

Each model has a process of its own, so that its memory is its own. Times to a score: `speedrun.run` with a goal on the
Fréchet distance alone, judged every few seconds of training. Watching: `live.train` against plain steps, by turns.
Without a GPU its table says "not measured".
"""

import argparse
import asyncio
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from bench_live import Page, timed, walk
from bench_steps import CLASSES, MODELS, synchronize

from gantutor import data, live
from gantutor.cli import common
from gantutor.experiments import speedrun
from gantutor.files import replacing
from gantutor.live import panels
from gantutor.runs import checkpoint
from gantutor.train import Recipe, Run, accelerate

README = Path(__file__).with_name("README.md")
MARKS = "<!-- costs -->\n", "<!-- end of costs -->\n"
BATCHES = 16, 64, 256, 1024
COUNTS = 1_000, 60_000
GOALS = {0: (20, 10), 10: (10, 5)}  # classes -> Fréchet distances
BUDGET = 150  # seconds of training, for the goals
NAMES = [name for name in MODELS if name in common.MODELS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(NAMES))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=2, help="of steps for each rate")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)  # when the process was started
    args = parser.parse_args()
    device, names = common.choose_device(args.device), args.models or NAMES
    if args.child:
        print(json.dumps(measure(names[0], device, args.seconds, args.child)))
        return
    columns = {name: in_a_process(name, device, args.seconds) for name in names}
    text = table(columns, device)
    print(text)
    if args.write:
        write(text)


def in_a_process(name: str, device: str, seconds: float) -> dict[str, str]:
    print(f"measuring {name} …", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, name, "--device", device, "--seconds", str(seconds), "--child"]
    done = subprocess.run([*command, str(time.time())], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(columns: dict[str, dict[str, str]], device: str) -> str:
    """A column for each model, a row for each cost."""
    rows = dict.fromkeys(row for column in columns.values() for row in column)
    head = f"{speedrun.describe_computer(device)}; torch {torch.__version__}, Python {platform.python_version()}"
    lines = [f"{head}.", "", f"| | {' | '.join(columns)} |", "|-" * (len(columns) + 1) + "|"]
    lines += [f"| {row} | {' | '.join(column.get(row, '') for column in columns.values())} |" for row in rows]
    if not device.startswith("cuda"):
        lines += ["", "The same on a GPU, with its peak memory: not measured."]
    return "\n".join(lines) + "\n"


def write(text: str) -> None:
    """Put the table between the marks of the README."""
    before, rest = README.read_text(encoding="utf-8").split(MARKS[0])
    with replacing(README) as temporary:
        temporary.write_text(before + MARKS[0] + text + MARKS[1] + rest.split(MARKS[1])[1], encoding="utf-8")


# --- in the process of one model -------------------------------------------------------------------------------------


def measure(name: str, device: str, seconds: float, started: float) -> dict[str, str]:
    """Every cost of a model, ready to be printed."""
    costs, images = {}, data.load("mnist", device=device)
    run = new_run(name, images)
    next(run.steps(1)).g_loss.item()
    costs["from the command to the first step, s"] = f"{time.time() - started:.1f}"
    costs["images/s"] = f"{rate(run, seconds):,.0f}"
    if device.startswith("cuda"):
        costs["peak GPU memory, MB"] = f"{torch.cuda.max_memory_allocated() / 1e6:,.0f}"
    costs["peak memory of the process, MB"] = f"{peak():,.0f}"
    if can_halve(device):
        costs["images/s in bf16"] = f"{rate(new_run(name, images, precision='bf16'), seconds):,.0f}"
    for batch in BATCHES:
        other = new_run(name, images, Recipe(batch_size=batch))
        costs[f"images/s, batch {batch}"] = f"{rate(other, seconds):,.0f}"
    for count in COUNTS:
        few = data.Images(images.name, images.stored[:count], images.labels[:count], images.classes)
        costs[f"images/s, of {count:,} images"] = f"{rate(new_run(name, few), seconds):,.0f}"
    costs["one save: ms, MB"] = saving(run)
    costs["watched / plain"] = f"{watching(name, images):.3f}"
    for goal, text in times_to(name, device).items():
        costs[f"seconds of training to Fréchet {goal}"] = text
    return costs


def new_run(name: str, images: data.Images, recipe: Recipe | None = None, **options) -> Run:
    make, shape, _ = MODELS[name]
    return Run(*make(shape), images, recipe, **options)


def rate(run: Run, seconds: float) -> float:
    """Images per second, after two rounds of the lazy penalty to warm up."""
    walk(run, 2 * run.recipe.penalty_every + 2)
    synchronize()
    first, began = run.step, time.perf_counter()
    for _ in run.steps(seconds=seconds):
        pass
    synchronize()
    return (run.step - first) * run.recipe.batch_size / (time.perf_counter() - began)


def peak() -> float:
    """The most memory this process has had so far, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most / 1e3


def can_halve(device: str) -> bool:
    try:
        accelerate.check_precision("bf16", torch.device(device))
    except ValueError:
        return False
    return True


def saving(run: Run, turns: int = 5) -> str:
    with tempfile.TemporaryDirectory() as folder:
        times = [timed(run, lambda run: checkpoint.save(run, folder, keep_previous=True))[0] for _ in range(turns)]
        size = (Path(folder) / "run.pt").stat().st_size
    return f"{statistics.median(times) * 1e3:.0f}, {size / 1e6:.1f}"


def watching(name: str, images: data.Images, seconds: float = 10, turns: int = 3) -> float:
    """How much longer the same steps take when they are watched at the default rate: the median of three turns."""
    panels.in_notebook, panels.display = lambda: True, lambda content, display_id: Page(content)
    steps, ratios = round(seconds * rate(new_run(name, images), 2) / Recipe().batch_size), []
    for _ in range(turns):
        plain = timed(new_run(name, images), lambda run: walk(run, steps))[0]
        ratios.append(timed(new_run(name, images), lambda run: asyncio.run(live.train(run, steps)))[0] / plain)
    return statistics.median(ratios)


def times_to(name: str, device: str, evaluations: int = 30) -> dict[float, str]:
    """Seconds of training after which the distance is first low enough, for each goal of the model's kind."""
    make, shape, batch = MODELS[name]
    classes = len(CLASSES) if name.startswith("c") else 0
    steps = round(BUDGET * rate(new_run(name, data.load("mnist", device=device)), 3) / batch)
    entry = speedrun.Entry(lambda seed: make(shape, seed=seed), Recipe(), steps,
                           [steps * n // evaluations for n in range(1, evaluations + 1)])  # fmt: skip
    race = speedrun.Race(name, {"frechet": GOALS[classes][-1]}, {}, conditional=bool(classes))
    seen = speedrun.run(race, entry, device=device).evaluations
    times = {}
    for goal in GOALS[classes]:
        arrived = next((e.seconds for e in seen if e.scores["frechet"] <= goal), None)
        times[goal] = f"over {BUDGET}" if arrived is None else f"{arrived:.0f}"
    return times


if __name__ == "__main__":
    main()
