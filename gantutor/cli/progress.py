"""The progress of training in the terminal: one line on stderr."""

import shutil
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gantutor.train import Step


class ProgressLine:
    """Step, speed, losses and remaining time: one line on stderr, rewritten in place on a terminal.

    Elsewhere a new line is printed every 10 seconds. The losses are fetched from the device (`.item()`) only when a
    line is printed.

    Args:
        steps: how many in total, or None.
        seconds: how many in total, or None.
        batch_size: of each step.
        before: the number of steps of an earlier run that this one continues.
    """

    def __init__(self, steps: int | None, seconds: float | None, batch_size: int, before: int = 0):
        self.steps, self.seconds, self.batch_size, self.before = steps, seconds, batch_size, before
        self.terminal = sys.stderr.isatty()
        self.pause = 0.2 if self.terminal else 10.0  # seconds between lines
        self.began = self.printed = self.now = time.perf_counter()
        self.step: Step | None = None  # the last one

    def show(self, step: "Step") -> None:
        self.step, self.now = step, time.perf_counter()
        if self.now - self.printed >= self.pause:
            self.printed = self.now
            speed, left = f"{self.images_per_second():,.0f} img/s", clock(self.seconds_left())
            self.write(f"step {step.index:,}  {speed}  {self.losses()}  {left} left")

    def write(self, line: str) -> None:
        if self.terminal:
            room = shutil.get_terminal_size().columns - 1
            line = "\r" + line[:room].ljust(room)
        print(line, end="" if self.terminal else "\n", file=sys.stderr, flush=True)

    def print_line(self, text: str) -> None:
        """Print a separate line, which is not overwritten."""
        if self.terminal and self.printed > self.began:
            print(file=sys.stderr)
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.step is not None:
            self.step.d_loss.item()  # the device may still be working: wait for it before reading the clock
        self.now = time.perf_counter()
        if self.terminal and self.printed > self.began:
            print(file=sys.stderr)

    def images_per_second(self) -> float:
        return self.steps_taken() * self.batch_size / (self.now - self.began)

    def steps_taken(self) -> int:
        return self.last_step().index - self.before

    def losses(self) -> str:
        step = self.last_step()
        return f"D {step.d_loss.item():.3f}  G {step.g_loss.item():.3f}"

    def last_step(self) -> "Step":
        assert self.step is not None, "no step has been shown"
        return self.step

    def seconds_left(self) -> float:
        elapsed = self.now - self.began
        if self.steps:
            return elapsed * (self.steps - self.last_step().index) / self.steps_taken()
        assert self.seconds is not None, "give a number of steps or of seconds"
        return max(self.seconds - elapsed, 0)

    def summary(self) -> str:
        if self.step is None:
            return f"{self.before:,} steps"
        last = f", the last {self.steps_taken():,}" if self.before else ""
        speed = f"{clock(self.now - self.began)}, {self.images_per_second():,.0f} img/s"
        return f"{self.step.index:,} steps{last} in {speed}, {self.losses()}"


def clock(seconds: float) -> str:
    """75 -> "1:15", 3700 -> "1:01:40"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
