"""Pictures that move: animated PNG and GIF, which play everywhere, and MP4 where ffmpeg is installed."""

import math
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gantutor import train
from gantutor.errors import BadInput, real_number, unknown, whole_number
from gantutor.files import replacing
from gantutor.models import with_labels
from gantutor.show.pictures import grid
from gantutor.state import evaluating

if TYPE_CHECKING:
    from PIL import Image

KINDS = (".png", ".gif", ".mp4")


def walk(
    G: nn.Module,
    frames: int = 60,
    count: int = 9,
    *,
    seed: int = 0,
    labels: int | Sequence[int] | Tensor | None = None,
    scale: int = 2,
) -> "list[Image.Image]":
    """A walk through G's latents that ends where it began: `frames` grids of `count` images, each on a way of its own.

    Each way is a circle, cos(t)·z₁ + sin(t)·z₂, so every latent on it is as likely as z₁ (both are normal).

    Args:
        G: an averaged generator; put into eval mode for this.
        labels: as for `train.sample`.
        scale: pixels of the picture for each pixel of an image.
    """
    frames = whole_number("frames", frames, least=2)
    first, second = train.latents(G, 2 * whole_number("count", count, least=1), seed).chunk(2)
    y, weight = train.wanted_labels(G, count, labels), next(G.parameters(), torch.empty(0))
    net = with_labels(G, None if y is None else y.to(weight.device))
    pictures = []
    with evaluating(G), torch.no_grad():
        for i in range(frames):
            t = 2 * math.pi * i / frames
            images = net((math.cos(t) * first + math.sin(t) * second).to(weight))
            pictures.append(grid(images, scale=scale))
    return pictures


def save_movie(pictures: "Sequence[Image.Image]", path: str | Path, fps: float = 15) -> None:
    """Write pictures of one size as a film that begins again at its end.

    Args:
        path: ends in .png (animated), .gif or .mp4.
        fps: pictures per second, 1 to 50.

    Raises:
        BadInput: another ending, fewer than two pictures, or .mp4 where ffmpeg is missing or fails.
    """
    path, fps = Path(path), real_number("fps", fps, least=1, most=50)
    check_kind(path)
    if len(pictures) < 2:
        raise BadInput(f"there are {len(pictures)} pictures: a film needs two or more.")
    with replacing(path) as temporary:
        if path.suffix.lower() == ".mp4":
            write_mp4(pictures, temporary, fps)
        else:
            format_ = path.suffix[1:].upper()
            pictures[0].save(temporary, format_, save_all=True, append_images=list(pictures[1:]),
                             duration=round(1000 / fps), loop=0)  # fmt: skip


def check_kind(path: Path) -> None:
    """Raise `BadInput` unless a film can be written to this path on this computer."""
    if path.suffix.lower() not in KINDS:
        raise unknown("ending of a film", path.suffix, KINDS)
    if path.suffix.lower() == ".mp4" and not shutil.which("ffmpeg"):
        raise BadInput(f"{path.name}: .mp4 needs ffmpeg, which is not installed: install it, or write .png or .gif.")


def write_mp4(pictures: "Sequence[Image.Image]", path: Path, fps: float) -> None:
    """As H.264, which needs even sides: a last row or column may be repeated."""
    width, height = pictures[0].size
    command = ["ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
               "-r", f"{fps:g}", "-i", "-", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p",
               "-f", "mp4", str(path)]  # fmt: skip
    content = b"".join(picture.convert("RGB").tobytes() for picture in pictures)
    done = subprocess.run(command, input=content, capture_output=True)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it gave no reason"]
        raise BadInput(f"ffmpeg could not write the film ({lines[-1]}): write .png or .gif.")
