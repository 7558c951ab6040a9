"""The judge: a small classifier per data set, whose features and labels the metrics use.

The weights ship with the package, for `strokes`, `mnist` and `fashion-mnist`. Make them again, each in under a minute
of CPU time, with ``python -m gantutor.judge NAME``.
"""

import argparse
import hashlib
import io
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from gantutor import data, files
from gantutor.errors import BadInput, unknown
from gantutor.models import evaluating, seeded

# Test accuracy of the shipped weights, and the SHA-256 of each file. `python -m gantutor.judge NAME` prints both.
SHIPPED = {
    "mnist": (0.9949, "f9e0fa31873f148df85d040ce05602499a34f1f62229fec3e6d4e4f062a9aebf"),
    "fashion-mnist": (0.8988, "6e278d5a7d11167dea014a5f266764443457c9ca7366c71f3bfdfc0c95719d8a"),
    "strokes": (0.9997, "8dbfd44221fe831d7d45dbe5e7c0f901fc9e00d87d994d28bfd60109078a6626"),
}


class Judge(nn.Module):
    """28×28 grey images in [-1, 1] -> 64 features -> logits of 10 classes."""

    def __init__(self, name: str = "", classes: tuple[str, ...] = ()):
        super().__init__()
        self.name, self.classes = name, tuple(classes)
        self.body = nn.Sequential(
            nn.Conv2d(1, 24, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(24), nn.ReLU(),  # (B, 24, 14, 14)
            nn.Conv2d(24, 48, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(48), nn.ReLU(),  # (B, 48, 7, 7)
            nn.Conv2d(48, 64, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),  # (B, 64, 4, 4)
            nn.Flatten(), nn.Linear(1024, 64), nn.ReLU(),  # (B, 64)
        )  # fmt: skip
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))  # (B, 1, 28, 28) -> (B, 10)


def load(name: str, device: str | torch.device = "cpu") -> Judge:
    """The shipped judge of a data set, in eval mode, its weights frozen.

    Raises:
        BadInput: the name is unknown, or the weights on disk are not the shipped ones.
    """
    if name not in SHIPPED:
        raise unknown("judge", name, SHIPPED)
    path = folder() / f"{name}.pt"
    if not path.is_file() or digest(path) != SHIPPED[name][1]:
        raise BadInput(f"the judge weights {path} are missing or damaged: install gantutor again, or restore the file.")
    weights = torch.load(path, weights_only=True)
    j = Judge(name, weights.pop("classes"))
    j.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in weights.items()})
    return j.to(device).eval().requires_grad_(False)


def folder() -> Path:
    """Where the weights lie: package assets in a wheel, the repository's `data/judges` in a checkout."""
    packed = Path(__file__).parent / "assets" / "judges"
    return packed if packed.is_dir() else Path(__file__).parent.parent / "data" / "judges"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@torch.no_grad()
def look(j: Judge, pixels: Tensor, batch_size: int = 1000) -> tuple[Tensor, Tensor]:
    """Features (N, 64) and logits (N, 10) of images (N, 1, 28, 28) in [-1, 1], on the judge's device."""
    if pixels.shape[1:] != (1, 28, 28):
        raise BadInput(f"the judge of {j.name} looks at images of shape (1, 28, 28), not {tuple(pixels.shape[1:])}.")
    device = next(j.parameters()).device
    with evaluating(j):
        features = torch.cat([j.body(part.to(device, torch.float32)) for part in pixels.split(batch_size)])  # (N, 64)
        return features, j.head(features)


def accuracy(j: Judge, images: data.Images) -> float:
    """Share of images whose label the judge names."""
    return (look(j, images.pixels)[1].argmax(1).cpu() == images.labels.cpu()).float().mean().item()


def fit(images: data.Images, *, epochs: int = 4, seed: int = 0) -> Judge:
    """Train a judge: AdamW, one cycle of the learning rate, pictures shifted by up to two pixels."""
    with seeded(seed):
        j = Judge(images.name, images.classes).to(images.pixels.device)
        batch_size, steps = 250, epochs * (len(images) // 250)
        optimizer = torch.optim.AdamW(j.parameters(), fused=True, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
        for _ in range(epochs):
            for index in torch.randperm(len(images))[: steps // epochs * batch_size].split(batch_size):
                dy, dx = torch.randint(-2, 3, (2,)).tolist()
                x = images.pixels[index].roll((dy, dx), (2, 3))  # (B, 1, 28, 28)
                loss = nn.functional.cross_entropy(j(x), images.labels[index], label_smoothing=0.05)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return j.eval().requires_grad_(False)


def save(j: Judge, path: Path) -> None:
    """Write the weights, halved to 16 bits, with the class names."""
    weights = {key: value.half() if value.is_floating_point() else value for key, value in j.state_dict().items()}
    buffer = io.BytesIO()
    torch.save({**weights, "classes": list(j.classes)}, buffer)
    with files.replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def main() -> None:
    """Train the judge of a data set and write it where `load` looks for it."""
    parser = argparse.ArgumentParser(prog="python -m gantutor.judge", description=main.__doc__)
    parser.add_argument("name", choices=data.NAMES)
    parser.add_argument("--epochs", type=int, default=4)
    name, epochs = vars(parser.parse_args()).values()
    images, path = data.load(name), folder() / f"{name}.pt"
    began = time.perf_counter()
    j = fit(images, epochs=epochs)
    save(j, path)
    seconds = time.perf_counter() - began
    share = accuracy(j, data.load(name, "test"))
    print(f'"{name}": ({share:.4f}, "{digest(path)}"),  # trained in {seconds:.0f} s; put this line into SHIPPED')


if __name__ == "__main__":
    main()
