"""What reading a folder of pictures takes: seconds, and the memory of the process, with one thread and with several.

    python tests/bench/bench_folder.py                                 # 50,000 colour pictures of 64×64, as JPEG
    python tests/bench/bench_folder.py --count 5000 --side 256 --kind png

The folder is made anew, and removed at the end. Each reading is a process of its own. Memory is the process's largest
ever, as the system counts it: before the reading, when torch and the package are loaded, and after it. (This program
itself stays small, for the system counts the memory of the process that started another.)
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

READ = """
import os, resource, sys, time
import torch
import PIL.Image, PIL.ImageOps
from gantutor import data, models, train

PIL.Image.init()
data.THREADS = int(sys.argv[2]) or data.THREADS
unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kB elsewhere
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
began = time.perf_counter()
images = data.from_folder(sys.argv[1], int(sys.argv[3]))
seconds = time.perf_counter() - began
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
size = images.stored.numel() * images.stored.element_size() / 1e6
threads = min(os.cpu_count() or 1, data.THREADS)
print(f"{threads} {len(images)} {seconds:.2f} {before:.0f} {after:.0f} {size:.0f}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--side", type=int, default=64, help="pixels of the pictures")
    parser.add_argument("--size", type=int, default=64, help="pixels that they are resized to")
    parser.add_argument("--kind", default="jpg", help="jpg, png or bmp")
    args = parser.parse_args()
    print(f"{args.count:,} pictures of {args.side}×{args.side} ({args.kind}), read at {args.size}×{args.size}")
    print(
        f"{'threads':>7} {'seconds':>8} {'pictures/s':>11} {'MB before':>10} {'MB after':>9} {'more':>6} {'pixels':>7}"
    )
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), args.count, args.side, args.kind)
        for most in (1, 0):
            threads, count, seconds, before, after, size = read(folder, most, args.size)
            print(f"{threads:7.0f} {seconds:8.1f} {count / seconds:11,.0f} {before:10,.0f} {after:9,.0f} "
                  f"{after - before:6,.0f} {size:7,.0f}", flush=True)  # fmt: skip


def fill(folder: Path, count: int, side: int, kind: str) -> None:
    """Write smooth coloured pictures: 4×4 random colours, enlarged."""
    draw = np.random.default_rng(0)
    for i in range(count):
        colours = Image.fromarray(draw.integers(0, 256, (4, 4, 3), np.uint8))
        colours.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{i:06}.{kind}")


def read(folder: str, most: int, size: int) -> list[float]:
    """Threads, how many pictures, seconds, MB before and after, MB of pixels; measured in a process of its own."""
    command = [sys.executable, "-c", READ, folder, str(most), str(size)]
    return [float(figure) for figure in subprocess.check_output(command, text=True).split()]


if __name__ == "__main__":
    main()
