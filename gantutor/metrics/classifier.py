"""A small classifier per data set, whose features and predicted labels the metrics use.

The weights for `strokes`, `mnist` and `fashion-mnist` ship with the package. To train them again, each in under a
minute of CPU time, run ``python -m gantutor.metrics.classifier NAME``.
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
SMOOTHING = 0.05  # label smoothing ε in training: the target is 1 − ε + ε/K for the right class, ε/K for any other


class Classifier(nn.Module):
    """Images (B, *shape) in [-1, 1] -> 64 features -> logits (B, K) of the classes.

    It works on 28×28 pixels; images of another size are resized first.

    Args:
        name: of the data set it is trained on.
        classes: the name of each class; without names there are ten.
        shape: (C, H, W) of the images.
    """

    mean: Tensor  # (64,) of the features of its training images
    spread: Tensor  # the sum of their variances

    def __init__(self, name: str = "", classes: Sequence[str] = (), shape: Sequence[int] = (1, 28, 28)):
        super().__init__()
        self.name, self.classes, self.shape = name, tuple(classes), tuple(shape)
        self.register_buffer("mean", torch.zeros(64))
        self.register_buffer("spread", torch.zeros(()))
        self.body = nn.Sequential(
            nn.Conv2d(shape[0], 24, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(24), nn.ReLU(),  # 14×14
            nn.Conv2d(24, 48, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(48), nn.ReLU(),  # 7×7
            nn.Conv2d(48, 64, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),  # 4×4
            nn.Flatten(), nn.Linear(1024, 64), nn.ReLU(),  # (B, 64)
        )  # fmt: skip
        self.head = nn.Linear(64, len(self.classes) or 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits  # (B, K)

    def features(self, x: Tensor) -> Tensor:
        if x.shape[2:] != (28, 28):
            x = nn.functional.interpolate(x, (28, 28), mode="bilinear", antialias=True)
        features: Tensor = self.body(x)
        return features  # (B, 64)


def load(name: str, device: str | torch.device = "cpu") -> Classifier:
    """The shipped classifier of a data set, in eval mode, with its weights frozen.

    Raises:
        BadInput: the name is unknown, or the weights on disk are not the shipped ones.
    """
    if name not in SHIPPED:
        raise unknown("classifier", name, SHIPPED)
    state = shipped.load_half(shipped.intact("classifiers", name, SHIPPED[name][1]))
    net = Classifier(name, state["classes"])
    net.load_state_dict(state["weights"])
    return net.to(device).eval().requires_grad_(False)


@torch.no_grad()
def features_and_logits(net: Classifier, pixels: Tensor, batch_size: int = 1000) -> tuple[Tensor, Tensor]:
    """Features (N, 64) and logits (N, K) of images (N, *shape) in [-1, 1], on the classifier's device."""
    if not isinstance(pixels, Tensor):
        raise BadInput(f"the images are a {type(pixels).__name__}: give a tensor (N, C, H, W), such as Images.pixels.")
    if pixels.shape[1:] != net.shape:
        given = tuple(pixels.shape[1:])
        raise BadInput(f"the classifier of {net.name} takes images of shape {net.shape}, not {given}: convert them.")
    device = next(net.parameters()).device
    batches = (batch.to(device, torch.float32) for batch in pixels.split(batch_size))
    with evaluating(net):
        features = torch.cat([net.features(batch) for batch in batches])  # (N, 64)
        return features, net.head(features)


def accuracy(net: Classifier, images: data.Images) -> float:
    """Share of images that the classifier assigns their own label, from 0 to 1."""
    return (features_and_logits(net, images.pixels)[1].argmax(1).cpu() == images.labels.cpu()).float().mean().item()


def probabilities(logits: Tensor) -> Tensor:
    """Class probabilities (N, K) from a classifier's logits, with its label smoothing undone: 1 where it is certain.

    Its training targets never exceed 1 − ε + ε/K, so on the plain softmax the inception score of real MNIST is 7.1
    where it could be 10.
    """
    K = logits.shape[1]
    p = ((logits.softmax(1) - SMOOTHING / K) / (1 - SMOOTHING)).clamp(min=0)
    return p / p.sum(1, keepdim=True)


def stacked_modes(net: Classifier, pictures: Tensor) -> Tensor:
    """The modes (N,) of stacked pictures (N, 3, H, W), each channel classified alone; numbered as in `data.stacked`."""
    K = len(net.classes)
    digits = features_and_logits(net, pictures.flatten(0, 1).unsqueeze(1))[1].argmax(1).reshape(-1, 3).cpu()  # (N, 3)
    return digits @ torch.tensor([K * K, K, 1])


def recognise(pixels: Tensor) -> Classifier | None:
    """The shipped classifier whose data set these images (N, C, H, W) come from, or None if there is none.

    Its features must have the same mean and spread on these images as on those it was trained on. Give a fair sample,
    because a set with some classes left out is not recognised.
    """
    if pixels.shape[1:] != (1, 28, 28) or len(pixels) < 100:
        return None
    for net in map(load, SHIPPED):
        features = features_and_logits(net, pixels)[0]  # (N, 64)
        spread = features.var(0).sum() / net.spread
        shift = (features.mean(0) - net.mean).square().sum() / net.spread - spread / len(pixels)  # minus that of chance
        if shift < 0.008 and 0.93 < spread < 1.07:
            return net
    return None


def fit(images: data.Images, *, epochs: int = 4, seed: int = 0) -> Classifier:
    """Train a classifier with AdamW, one cycle of the learning rate, and images shifted by up to two pixels.

    Raises `BadInput` for fewer than 50 images.
    """
    if len(images) < 50:
        raise BadInput(f"a classifier cannot learn from {len(images)} images: give at least 50, better thousands.")
    whole_number("epochs", epochs, least=1)
    with seeded(seed):
        net = Classifier(images.name, images.classes, images.stored.shape[1:]).to(images.stored.device)
        batch_size = min(250, len(images) // 8)
        steps = epochs * (len(images) // batch_size)
        optimizer = torch.optim.AdamW(net.parameters(), fused=True, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
        for _ in range(epochs):
            for index in torch.randperm(len(images))[: steps // epochs * batch_size].split(batch_size):
                dy, dx = torch.randint(-2, 3, (2,)).tolist()
                x = images[index].roll((dy, dx), (2, 3))  # (B, 1, 28, 28)
                loss = nn.functional.cross_entropy(net(x), images.labels[index], label_smoothing=SMOOTHING)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return store_statistics(net.eval().requires_grad_(False), images)


def store_statistics(net: Classifier, images: data.Images) -> Classifier:
    """Store the mean and the spread of its features on these images in the classifier, for `recognise`."""
    features = features_and_logits(net, images.pixels)[0]
    net.mean, net.spread = features.mean(0), features.var(0).sum()
    return net


def main() -> None:
    """Train the classifier of a data set and write it to where `load` looks for it."""
    parser = argparse.ArgumentParser(prog="python -m gantutor.metrics.classifier", description=main.__doc__)
    parser.add_argument("name", choices=data.NAMES)
    parser.add_argument("--epochs", type=int, default=4)
    name, epochs = vars(parser.parse_args()).values()
    images, path = data.load(name), shipped.folder("classifiers") / f"{name}.pt"
    began = time.perf_counter()
    net = fit(images, epochs=epochs)
    shipped.save_half(net, path, classes=list(net.classes))
    seconds = time.perf_counter() - began
    share = accuracy(net, data.load(name, "test"))
    print(
        f'"{name}": ({share:.4f}, "{shipped.digest(path)}"),  # trained in {seconds:.0f} s; put this line into SHIPPED'
    )


if __name__ == "__main__":
    main()
