"""The judge: a small classifier per data set, whose features and labels the metrics use.

The weights ship with the package, for `strokes`, `mnist` and `fashion-mnist`. Make them again, each in under a minute
of CPU time, with ``python -m gantutor.metrics.classifier NAME``.
"""

import argparse
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gantutor import data
from gantutor.errors import BadInput, unknown, whole_number
from gantutor.models import shipped
from gantutor.state import evaluating, seeded

# Test accuracy of the shipped weights and SHA-256 of each file: `python -m gantutor.metrics.classifier` prints both.
SHIPPED = {
    "mnist": (0.9949, "1b545f65b0288ad94be05f1440a2355fee8433076d623c7cae406f7ff4596403"),
    "fashion-mnist": (0.8989, "a1a25d18054c939a04f7a65a1d30d620858f52130d6c7b949705d5898ab2a8d6"),
    "strokes": (0.9997, "826333c7ad1596208097b99ef1aedf45f2664fedd8b74f68bd2a50e9441ce0f2"),
}
SMOOTHING = 0.05  # ε of the labels in training: 1 − ε + ε/K for the right class, ε/K for each other one


class Classifier(nn.Module):
    """Images (B, *shape) in [-1, 1] -> 64 features -> logits (B, K) of the classes.

    It looks at 28×28 pixels; images of another size are resized for it.

    Args:
        name: of the data set it knows.
        classes: the name of each class; ten when none are given.
        shape: (C, H, W) of the images.
    """

    def __init__(self, name: str = "", classes: Sequence[str] = (), shape: Sequence[int] = (1, 28, 28)):
        super().__init__()
        self.name, self.classes, self.shape = name, tuple(classes), tuple(shape)
        self.register_buffer("mean", torch.zeros(64))  # of the features of the images it was trained on
        self.register_buffer("spread", torch.zeros(()))  # the sum of their variances
        self.body = nn.Sequential(
            nn.Conv2d(shape[0], 24, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(24), nn.ReLU(),  # 14×14
            nn.Conv2d(24, 48, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(48), nn.ReLU(),  # 7×7
            nn.Conv2d(48, 64, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),  # 4×4
            nn.Flatten(), nn.Linear(1024, 64), nn.ReLU(),  # (B, 64)
        )  # fmt: skip
        self.head = nn.Linear(64, len(self.classes) or 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))  # (B, *shape) -> (B, K)

    def features(self, x: Tensor) -> Tensor:
        if x.shape[2:] != (28, 28):
            x = nn.functional.interpolate(x, (28, 28), mode="bilinear", antialias=True)
        return self.body(x)  # (B, *shape) -> (B, 64)


def load(name: str, device: str | torch.device = "cpu") -> Classifier:
    """The shipped judge of a data set, in eval mode, its weights frozen.

    Raises:
        BadInput: the name is unknown, or the weights on disk are not the shipped ones.
    """
    if name not in SHIPPED:
        raise unknown("judge", name, SHIPPED)
    state = shipped.load_half(shipped.intact("classifiers", name, SHIPPED[name][1]))
    j = Classifier(name, state["classes"])
    j.load_state_dict(state["weights"])
    return j.to(device).eval().requires_grad_(False)


@torch.no_grad()
def features_and_logits(j: Classifier, pixels: Tensor, batch_size: int = 1000) -> tuple[Tensor, Tensor]:
    """Features (N, 64) and logits (N, K) of images (N, *shape) in [-1, 1], on the judge's device."""
    if not isinstance(pixels, Tensor):
        raise BadInput(f"the images are a {type(pixels).__name__}: give a tensor (N, C, H, W), such as Images.pixels.")
    if pixels.shape[1:] != j.shape:
        raise BadInput(f"the judge of {j.name} looks at images of shape {j.shape}, not {tuple(pixels.shape[1:])}.")
    device = next(j.parameters()).device
    with evaluating(j):
        features = torch.cat(
            [j.features(part.to(device, torch.float32)) for part in pixels.split(batch_size)]
        )  # (N, 64)
        return features, j.head(features)


def accuracy(j: Classifier, images: data.Images) -> float:
    """Share of images whose label the judge names."""
    return (features_and_logits(j, images.pixels)[1].argmax(1).cpu() == images.labels.cpu()).float().mean().item()


def probabilities(logits: Tensor) -> Tensor:
    """Class probabilities (N, K) of a judge's logits, its label smoothing taken back: where it is certain, 1.

    A judge is trained to say 1 − ε + ε/K at most, so on its raw softmax the inception score of real MNIST is 7.1 where
    it could be 10.
    """
    K = logits.shape[1]
    p = ((logits.softmax(1) - SMOOTHING / K) / (1 - SMOOTHING)).clamp(min=0)
    return p / p.sum(1, keepdim=True)


def stacked_modes(j: Classifier, pictures: Tensor) -> Tensor:
    """The modes (N,) of stacked pictures (N, 3, H, W), numbered as `data.stacked` does; each channel is read alone."""
    K = len(j.classes)
    digits = features_and_logits(j, pictures.flatten(0, 1).unsqueeze(1))[1].argmax(1).reshape(-1, 3).cpu()  # (N, 3)
    return digits @ torch.tensor([K * K, K, 1])


def recognise(pixels: Tensor) -> Classifier | None:
    """The shipped judge whose data set these images (N, C, H, W) come from, if their features tell so; else None.

    Its features of the images must have the mean and the spread that they have on the set it was trained on. Give a
    fair sample: a set with some classes left out is not recognised.
    """
    if pixels.shape[1:] != (1, 28, 28) or len(pixels) < 100:
        return None
    for j in map(load, SHIPPED):
        features = features_and_logits(j, pixels)[0]  # (N, 64)
        spread = features.var(0).sum() / j.spread
        shift = (features.mean(0) - j.mean).square().sum() / j.spread - spread / len(pixels)  # less that of chance
        if shift < 0.008 and 0.93 < spread < 1.07:
            return j
    return None


def fit(images: data.Images, *, epochs: int = 4, seed: int = 0) -> Classifier:
    """Train a judge: AdamW, one cycle of the learning rate, pictures shifted by up to two pixels.

    Raises `BadInput` for fewer than 50 images.
    """
    if len(images) < 50:
        raise BadInput(f"a judge cannot learn from {len(images)} images: give at least 50, better thousands.")
    whole_number("epochs", epochs, least=1)
    with seeded(seed):
        j = Classifier(images.name, images.classes, images.stored.shape[1:]).to(images.stored.device)
        batch_size = min(250, len(images) // 8)
        steps = epochs * (len(images) // batch_size)
        optimizer = torch.optim.AdamW(j.parameters(), fused=True, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
        for _ in range(epochs):
            for index in torch.randperm(len(images))[: steps // epochs * batch_size].split(batch_size):
                dy, dx = torch.randint(-2, 3, (2,)).tolist()
                x = images[index].roll((dy, dx), (2, 3))  # (B, 1, 28, 28)
                loss = nn.functional.cross_entropy(j(x), images.labels[index], label_smoothing=SMOOTHING)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return keep_statistics(j.eval().requires_grad_(False), images)


def keep_statistics(j: Classifier, images: data.Images) -> Classifier:
    """Let the judge keep what its features are like on these images, for `recognise`."""
    features = features_and_logits(j, images.pixels)[0]
    j.mean, j.spread = features.mean(0), features.var(0).sum()
    return j


def main() -> None:
    """Train the judge of a data set and write it where `load` looks for it."""
    parser = argparse.ArgumentParser(prog="python -m gantutor.metrics.classifier", description=main.__doc__)
    parser.add_argument("name", choices=data.NAMES)
    parser.add_argument("--epochs", type=int, default=4)
    name, epochs = vars(parser.parse_args()).values()
    images, path = data.load(name), shipped.folder("classifiers") / f"{name}.pt"
    began = time.perf_counter()
    j = fit(images, epochs=epochs)
    shipped.save_half(j, path, classes=list(j.classes))
    seconds = time.perf_counter() - began
    share = accuracy(j, data.load(name, "test"))
    print(
        f'"{name}": ({share:.4f}, "{shipped.digest(path)}"),  # trained in {seconds:.0f} s; put this line into SHIPPED'
    )


if __name__ == "__main__":
    main()
