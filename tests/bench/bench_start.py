"""How soon does the command line answer? Prints the best of five; half a second is the goal."""

import subprocess
import sys
import time


def seconds() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "gantutor", "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(f"gantutor --help: {min(seconds() for _ in range(5)):.2f} s")
