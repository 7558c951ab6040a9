"""Several ranks train what one process trains: here two, each a process of its own on the CPU, connected by gloo."""

import contextlib
import copy
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial, partialmethod
from pathlib import Path

import pytest
import torch
from alike import ALIKE, BASE, POINTS, batch_norm, dropout, furthest, outcome, plane
from drawn import digits
from torch import nn

from gantutor import cli, data, models
from gantutor.cli import common
from gantutor.data import Images
from gantutor.errors import BadInput, GantutorError
from gantutor.runs import checkpoint
from gantutor.scale import Ranks, distributed, share
from gantutor.train import Recipe, Run

METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
CONTEXT = multiprocessing.get_context(METHOD)
if METHOD == "forkserver":
    SLOW_IMPORTS = (
        "pytest",
        "torch._dynamo",
        "gantutor.scale.distributed",
        "gantutor.runs.autosave",
        "gantutor.runs.nan_guard",
    )
    CONTEXT.set_forkserver_preload([*SLOW_IMPORTS])  # once for all processes


# --- on a rank -------------------------------------------------------------------------------------------------------


def rank(number: int, size: int, port: int, work: Callable, *args) -> None:
    """What torchrun does for a process, and then the work."""
    os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    work(*args)


def small(shape: tuple = (1, 28, 28), seed: int = 0, classes: int = 0) -> tuple[nn.Module, nn.Module]:
    G = models.MLPGenerator(64, (32,), shape, batch_norm=False, seed=seed)
    return G, models.MLPDiscriminator((32,), shape, seed=seed + 1)


def few(*args, **kwargs) -> Images:
    return digits(200, 0, "strokes")


def command(folder: Path, line: str, happening: Callable | None = None) -> None:
    """The command line on small nets and few images; what it says goes into files.

    `happening` is called in step 7.
    """
    number = os.environ["RANK"]
    os.chdir(folder)
    data.load, models.mlp = few, small
    if happening:
        Run.train_step = partialmethod(strange_step, step=Run.train_step, happening=happening)
    with (
        open(f"{number}.out", "w", encoding="utf-8") as out,
        open(f"{number}.err", "w", encoding="utf-8") as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = cli.main(line.split())
    sys.exit(status)


def slow_to_tell(folder: Path) -> None:
    """Rank 0 takes its time to tell of an error. The exit status is 3 if the rank ends before that."""
    os.chdir(folder)

    def tell(sentence: str) -> int:
        time.sleep(0.3)
        Path("told").touch()
        return 2

    common.fail = tell
    status = cli.main(["train", "mlp", "--steps", "0"])
    sys.exit(status if Path("told").exists() else 3)


def strange_step(run: Run, penalise: bool, step: Callable, happening: Callable) -> tuple:
    if run.step == 6:
        happening(run)
    return step(run, penalise)


def on_rank(number: int) -> bool:
    return os.environ["RANK"] == str(number)


def die(run: Run, number: int) -> None:
    if on_rank(number):
        os.kill(os.getpid(), signal.SIGKILL)


def stand_still(run: Run) -> None:
    if on_rank(1):
        os.kill(os.getpid(), signal.SIGSTOP)


def be_asked_to_stop(run: Run) -> None:
    if on_rank(1):
        signal.raise_signal(signal.SIGTERM)


def diverge(run: Run) -> None:
    with torch.no_grad():
        if on_rank(1):
            run.G.net[0].weight[0] = float("nan")


def run_out_of_memory(run: Run) -> None:
    if on_rank(1):
        raise torch.OutOfMemoryError("CUDA out of memory.")


def train_all(folder: Path) -> None:
    """Train everything, and write down what became of it."""
    torch.set_num_threads(1)
    with distributed.joined() as ranks:

        def make(*arguments, **options):
            return share(Run(*arguments, seed=3, **options), ranks)

        found = {name: outcome(make(*parts())) for name, parts in ALIKE.items()}
        found["in parts too"] = outcome(make(*ALIKE["r1 now and then"](), accumulate=4))
        found["batch norm"] = outcome(make(*batch_norm()))
        found["batch norm, one step"] = outcome(make(*batch_norm()), 1)
        found["other first weights"] = outcome(make(*plane(seed=ranks.rank), POINTS, BASE))
        found["dropout"] = outcome(make(*dropout()))
        found["dropout, logits"] = make(*dropout()).take_step().real_logits
        found["cut groups"] = complaint(partial(make, *plane(minibatch_std=4), POINTS, Recipe(batch_size=4)))
        found["one fails"], found["all fail"] = (complaint(partial(ranks.run_on_all, work)) for work in failing(ranks))
        found["first"] = [list(ranks.broadcast_bytes(content)) for content in (b"", b"rank %d" % ranks.rank)]
        found["largest"] = ranks.max(ranks.rank / 4)
        torch.save(found, folder / f"{ranks.rank}.pt")


def failing(ranks: Ranks) -> list[Callable]:
    def one():
        if ranks.rank == 1:
            raise BadInput("there is no cake here: bake one.")

    def all_of_them():
        raise BadInput("there is no cake: bake one.")

    return [one, all_of_them]


def complaint(work: Callable) -> str:
    try:
        work()
    except GantutorError as error:
        return str(error)
    return ""


# --- here ------------------------------------------------------------------------------------------------------------


def start(size: int, work: Callable, *args) -> list:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [CONTEXT.Process(target=rank, args=(i, size, port, work, *args)) for i in range(size)]
    for process in processes:
        process.start()
    return processes


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> list[dict]:
    """What two ranks found."""
    folder = tmp_path_factory.mktemp("ranks")
    processes = start(2, train_all, folder)
    for process in processes:
        process.join(100)
        assert process.exitcode == 0
    return [torch.load(folder / f"{i}.pt", weights_only=True) for i in range(2)]


def say(size: int, *args) -> list[tuple[int, str, str]]:
    """Run a `command` on so many ranks: for each its exit status, and what it said on stdout and stderr."""
    processes = start(size, command, *args)
    end = time.monotonic() + 60
    while any(process.is_alive() for process in processes) and time.monotonic() < end:
        if any(process.exitcode for process in processes):
            end = min(end, time.monotonic() + 3)
        time.sleep(0.05)
    for process in processes:
        process.terminate()  # as torchrun ends the others, if a little later
    return results(processes, args[0])


def results(processes: list, folder: Path) -> list[tuple[int, str, str]]:
    for process in processes:
        process.join(60)
    size = len(processes)
    texts = [[(folder / f"{i}.{name}").read_text(encoding="utf-8") for name in ("out", "err")] for i in range(size)]
    return [(process.exitcode, *text) for process, text in zip(processes, texts, strict=True)]


@pytest.mark.parametrize("name", ALIKE)
def test_two_ranks_train_what_one_process_trains_at_the_combined_batch(trained, name):
    G, D, *rest = ALIKE[name]()
    alone = outcome(Run(copy.deepcopy(G), copy.deepcopy(D), *rest, seed=3))
    for kind, net in (("G", G), ("D", D)):
        assert max((alone[f"{kind}.{k}"] - t).abs().max() for k, t in net.state_dict().items()) > 1e-3  # it has moved
    assert furthest(trained[0][name], alone) < 1e-9
    assert furthest(trained[1][name], alone) < 1e-9


def test_two_ranks_of_four_parts_each_train_that_too(trained):
    alone = outcome(Run(*ALIKE["r1 now and then"](), seed=3))
    assert furthest(trained[0]["in parts too"], alone) < 1e-9


@pytest.mark.parametrize("name", [*ALIKE, "in parts too", "batch norm", "other first weights", "dropout"])
def test_all_ranks_hold_the_same_nets_and_averages_bit_for_bit(trained, name):
    assert furthest(trained[0][name], trained[1][name]) == 0


def test_batch_norm_on_two_ranks_differs_less_than_another_seed_does(trained):
    """In its statistics each rank sees half of the batch, so the way is another one, in the same direction."""
    found, alone = trained[0]["batch norm"], outcome(Run(*batch_norm(), seed=3))
    other, before = outcome(Run(*batch_norm(), seed=4)), batch_norm()[0].state_dict()

    def apart(a: dict, b: dict) -> float:
        weights = [name for name in before if "running" not in name and "tracked" not in name]
        return torch.cat([(a[f"G.{name}"] - b[f"G.{name}"]).flatten() for name in weights]).norm().item()

    moved = apart(alone, {f"G.{name}": t for name, t in before.items()})
    assert 1e-6 * moved < apart(found, alone) < 0.3 * moved
    assert apart(found, alone) < 0.8 * apart(other, alone)


def test_the_running_mean_of_batch_norm_is_that_of_the_whole_batch(trained):
    """And the variance is the mean of the halves': by the law of total variance the whole's is at least that."""
    found, alone = trained[0]["batch norm, one step"], outcome(Run(*batch_norm(), seed=3), 1)
    for net in ("G", "G_ema"):  # the average has it too, not that of one rank
        mean, variance = (f"{net}.net.1.running_{what}" for what in ("mean", "var"))
        assert (found[mean] - alone[mean]).abs().max() < 1e-12
        assert alone[mean].abs().max() > 0.005
        halves, whole = (x[variance] - 0.9 for x in (found, alone))  # 0.1 · the unbiased variance
        assert (halves / 32 * 31 <= whole / 64 * 63 + 1e-12).all()
        assert ((halves - whole).abs() < 0.2 * whole).all()
        assert ((halves - whole).abs() > 1e-6).any()


def test_layers_that_draw_random_numbers_draw_others_on_each_rank(trained):
    ours, theirs = (found["dropout, logits"] for found in trained)
    assert not torch.isclose(ours, theirs).any()


def test_an_error_on_one_rank_is_one_on_all_and_says_where(trained):
    for found in trained:
        assert found["one fails"] == "rank 1: there is no cake here: bake one."
        assert found["all fail"] == "there is no cake: bake one."
        assert "minibatch_std compares groups of 4, and 2 ranks of a batch of 4 would cut them" in found["cut groups"]


def test_what_rank_0_has_and_what_is_largest(trained):
    for found in trained:
        assert found["first"] == [[], list(b"rank 0")]
        assert found["largest"] == 0.25


def test_alone_it_is_a_run():
    for name in ("random points of packs", "with classes"):
        parts = ALIKE[name]
        shared, alone = (
            outcome(change(Run(*parts(), seed=3))) for change in (partial(share, ranks=Ranks()), copy.copy)
        )
        assert furthest(shared, alone) == 0


@pytest.mark.parametrize(
    ("ranks", "change", "said"),
    [
        (3, {}, "batch_size is 16, which is not divisible into 3 ranks: choose a multiple of 3."),
        (16, dict(batch_norm=True), "in each of 16 ranks, batch_size is 1, and batch norm needs"),
        (16, dict(pack=2), "in each of 16 ranks, batch_size is 1, but D judges packs of 2"),
        (
            8,
            dict(minibatch_std=4),
            "8 ranks of a batch of 16 would cut them: choose a multiple of 32.",
        ),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused(ranks, change, said):
    with pytest.raises(BadInput) as error:
        share(Run(*plane(**change), POINTS, BASE), Ranks(0, ranks))
    assert said in str(error.value)


def test_what_ranks_cannot_do_is_refused():
    with pytest.raises(BadInput, match="unroll is 2"):
        share(Run(*plane(), POINTS, Recipe(batch_size=16, unroll=2)), Ranks(0, 2))
    captured = Run(*plane(), POINTS, BASE)
    captured.capture = True
    with pytest.raises(BadInput, match="capture is True"):
        share(captured, Ranks(0, 2))


# --- the command line ------------------------------------------------------------------------------------------------

TRAIN = "train mlp --data strokes --steps 12 --out run --device cpu"


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict:
    """The run that one process trains."""
    return state_of(Run(*small(seed=0), few(), seed=0), 12)


def state_of(run: Run, steps: int) -> dict:
    list(run.steps(steps))
    return {f"{net}.{name}": t for net in ("G", "D", "G_ema") for name, t in getattr(run, net).state_dict().items()}


def saved(folder: Path) -> dict:
    _, state = checkpoint.read_state(folder / "run")
    return {f"{net}.{name}": t for net in ("G", "D", "G_ema") for name, t in state[net].items()}


def test_stopped_on_one_rank_it_goes_on_with_four(tmp_path, alone):
    first, other = say(2, tmp_path, TRAIN, be_asked_to_stop)
    assert first[0] == other[0] == 0
    assert "Stopped early: 7 steps" in first[1]
    assert "2 ranks" in first[2]
    assert other[1:] == ("", "")
    first, *others = say(4, tmp_path, f"{TRAIN} --resume")
    assert [first[0], *others] == [0] + 3 * [(0, "", "")]
    assert "Going on from step 7 of 12" in first[2]
    assert "Done: 12 steps" in first[1]
    assert sorted(os.listdir(tmp_path / "run")) == ["run.previous.pt", "run.pt"]
    assert furthest(saved(tmp_path), alone) < 1e-4


@pytest.mark.parametrize("number", [0, 1])
def test_a_killed_rank_ends_the_training_and_what_is_saved_can_be_used(tmp_path, alone, monkeypatch, capsys, number):
    ends = say(2, tmp_path, f"{TRAIN} --save-every 3 --rank-timeout 5", partial(die, number=number))
    assert ends[number][0] == -signal.SIGKILL
    status, said, complaint = ends[1 - number]
    assert (status, said) == (2, "")
    assert "the connection to another rank is broken: it has ended, or does not answer" in complaint
    assert "Traceback" not in complaint
    assert checkpoint.read_state(tmp_path / "run")[1]["step"] == 6
    if number == 1:
        assert "at step 7 the connection" in complaint
        assert f"The first 6 steps are saved in {Path('run', 'run.pt')}." in complaint
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", few)
    assert cli.main(f"{TRAIN} --resume".split()) == 0
    assert furthest(saved(tmp_path), alone) < 1e-4


def test_a_killed_rank_where_nothing_was_saved_yet(tmp_path):
    """The last sound copy is that of the start, which is not worth a file."""
    first, _ = say(2, tmp_path, f"{TRAIN} --rank-timeout 5", partial(die, number=1))
    assert first[0] == 2
    assert "at step 7 the connection to another rank is broken" in first[2]
    assert "saved" not in first[2]
    assert not (tmp_path / "run").exists()


def test_a_rank_that_does_not_answer_counts_as_lost_after_the_timeout(tmp_path):
    processes = start(2, command, tmp_path, f"{TRAIN} --save-every 3 --rank-timeout 2", stand_still)
    processes[0].join(30)
    ended = not processes[0].is_alive()
    processes[1].kill()  # only now is the connection broken
    assert ended
    (status, said, complaint), _ = results(processes, tmp_path)
    assert (status, said) == (2, "")
    assert "at step 7 the connection to another rank is broken: it has ended, or does not answer" in complaint
    assert checkpoint.read_state(tmp_path / "run")[1]["step"] == 6


def test_nan_on_one_rank_is_told_once(tmp_path):
    first, other = say(2, tmp_path, f"{TRAIN} --save-every 6", diverge)
    assert (first[0], *other) == (2, 2, "", "")
    assert first[2].count("the training diverged: ") == 1
    assert checkpoint.read_state(tmp_path / "run")[1]["step"] == 6


def test_a_lack_of_memory_is_told_by_the_rank_that_has_it(tmp_path):
    first, other = say(2, tmp_path, f"{TRAIN} --rank-timeout 5", run_out_of_memory)
    assert first[0] == other[0] == 2
    assert "gantutor: rank 1: cpu ran out of memory at batch size 64" in other[2]
    assert "at step 7 the connection to another rank is broken" in first[2]


def test_seconds_are_those_of_the_ranks_together(tmp_path):
    first, other = say(2, tmp_path, "train mlp --data strokes --seconds 0.3 --out run --device cpu")
    assert (first[0], *other) == (0, 0, "", "")
    assert checkpoint.read_state(tmp_path / "run")[1]["step"] >= 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train mpl --steps 3", "gantutor: unknown model 'mpl': did you mean 'mlp'?"),
        ("train mlp --steps 3 --batch-size 33 --device cpu", "batch_size is 33, which is not divisible into 2 ranks"),
        ("train mlp --steps 3 --device cuda:1", "--device is cuda:1, but each of several ranks has one of its own"),
        ("train mlp --steps 3 --out taken/run", "gantutor: rank 0: --out taken"),
    ],
)
def test_an_error_of_all_is_told_once(tmp_path, line, said):
    (tmp_path / "taken").write_text("a file")
    first, other = say(2, tmp_path, line)
    assert (first[0], *other) == (2, 2, "", "")
    assert said in first[2]
    assert first[2].count("\n") == 1


def test_no_rank_ends_before_the_error_is_told(tmp_path):
    """For torchrun then ends them all."""
    processes = start(2, slow_to_tell, tmp_path)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [2, 2]


# --- under torchrun --------------------------------------------------------------------------------------------------

# What a rank of the tests does in the place of `python -m gantutor`: small nets, and an accident where DISTURB says so.
STARTED = """
import os, pathlib, signal, sys
sys.path.insert(0, TESTS)
import test_distributed as t
from gantutor import cli, data, models
from gantutor.train import Run
data.load, models.mlp = t.few, t.small
def accident(run, penalise, step=Run.train_step, marker=pathlib.Path("disturbed")):
    if run.step == 7 and os.environ["RANK"] == "1" and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), getattr(signal, os.environ["DISTURB"]))
    return step(run, penalise)
if "DISTURB" in os.environ:
    Run.train_step = accident
sys.exit(cli.main(sys.argv[1:]))
"""


# `torchrun`, which gives a stopped rank two seconds to end where it would give half a minute.
IMPATIENT = """
from torch.distributed.elastic.multiprocessing.api import PContext
from torch.distributed.run import main
PContext.close.__defaults__ = None, 2
main()
"""


def torchrun(folder: Path, line: str, *options: str, patient: bool = False, **env: str) -> subprocess.CompletedProcess:
    script = folder / "started.py"
    script.write_text(STARTED.replace("TESTS", repr(str(Path(__file__).parent))), encoding="utf-8")
    launcher = ["-m", "torch.distributed.run"] if patient else ["-c", IMPATIENT]
    command = [sys.executable, *launcher, "--standalone", "--nproc-per-node=2", *options, str(script), *line.split()]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **env}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict:
    """What two ranks train that nothing happens to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert [end[0] for end in say(2, folder, TRAIN)] == [0, 0]
    return saved(folder)


def survives(folder: Path, accident: str, undisturbed: dict, patient: bool = False) -> None:
    line, restarts = f"{TRAIN} --save-every 3 --rank-timeout 5 --resume", "--max-restarts=3"
    ended = torchrun(folder, line, restarts, patient=patient, DISTURB=accident)
    assert ended.returncode == 0, ended.stderr
    assert (folder / "disturbed").exists()
    assert "Done: 12 steps" in ended.stdout
    assert ended.stderr.count("Going on from step ") == 1
    assert furthest(saved(folder), undisturbed) == 0


@pytest.mark.parametrize("accident", ["SIGKILL", "SIGSTOP"])
def test_a_lost_rank_is_survived(tmp_path, undisturbed, accident):
    """torchrun starts the ranks again, they go on from the last save, and end bit for bit where they would have."""
    survives(tmp_path, accident, undisturbed)


@pytest.mark.slow
@pytest.mark.hours
@pytest.mark.parametrize("accident", ["SIGKILL", "SIGSTOP"])
@pytest.mark.parametrize("time", range(10))
def test_a_lost_rank_is_survived_each_time(tmp_path, undisturbed, accident, time):
    survives(tmp_path, accident, undisturbed, patient=time == 0)


@pytest.mark.slow
def test_without_restarts_a_killed_rank_ends_the_training(tmp_path):
    ended = torchrun(tmp_path, f"{TRAIN} --save-every 3 --rank-timeout 3", DISTURB="SIGKILL")
    assert ended.returncode != 0
    assert "gantutor: at step" in ended.stderr
    assert "steps are saved in" in ended.stderr
