import sys

import pytest

from gantutor.cli import progress
from gantutor.train import Step


class Loss:
    """Stands in for a 0-d tensor and counts how often it was fetched from the device."""

    fetched = 0

    def item(self) -> float:
        Loss.fetched += 1
        return 0.5


class Clock:
    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def ticking(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress.time, "perf_counter", clock.perf_counter)
    monkeypatch.setattr(Loss, "fetched", 0)
    return clock


def show_steps(line: progress.ProgressLine, clock: Clock, steps: int, seconds_each: float):
    for index in range(1, steps + 1):
        clock.now += seconds_each
        line.show(Step(index, Loss(), Loss(), None, None))


def test_in_a_log_a_line_comes_every_ten_seconds(ticking, capsys):
    line = progress.ProgressLine(steps=1000, seconds=None, batch_size=64)
    show_steps(line, ticking, 200, seconds_each=0.125)  # 25 s: lines at 10 s and 20 s
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert Loss.fetched == 2 * len(lines)
    assert lines[1] == "step 160  512 img/s  D 0.500  G 0.500  1:45 left"  # 64 / 0.125 s; 840 steps × 0.125 s


def test_on_a_terminal_one_line_is_rewritten(ticking, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    line = progress.ProgressLine(steps=None, seconds=60, batch_size=64)
    show_steps(line, ticking, 100, seconds_each=0.0101)  # just over 1 s: at most 5 lines
    line.close()
    said = capsys.readouterr().err
    assert said.endswith("\n")
    assert said.count("\n") == 1
    first, *lines = said[:-1].split("\r")
    assert first == ""
    assert 4 <= len(lines) <= 5
    assert all(len(text) == 39 for text in lines)  # a full line would wrap, and leave copies behind
    assert "left" not in lines[0]  # cut off at 39
    assert Loss.fetched == 2 * len(lines) + 1  # and once to wait for the device at the end


def test_the_time_left_of_a_training_in_seconds(ticking, capsys):
    line = progress.ProgressLine(steps=None, seconds=60, batch_size=1)
    show_steps(line, ticking, 2, seconds_each=10)
    assert [text.split()[-2] for text in capsys.readouterr().err.splitlines()] == ["0:50", "0:40"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (75, "1:15"), (59.6, "1:00"), (3700, "1:01:40"), (90061, "25:01:01")]
)
def test_clock(seconds, text):
    assert progress.clock(seconds) == text
