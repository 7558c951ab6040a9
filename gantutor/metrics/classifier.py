"""A small classifier per data set, whose features and predicted labels the metrics use.

The weights for `strokes`, `mnist`, `fashion-mnist` and `faces` ship with the package. To train them again, each in a
minute of CPU time, the faces in a quarter of an hour, run ``python -m gantutor.metrics.classifier NAME`` (for faces
with ``--epochs 26``).
"""

import argparse
import time
from collections.abc import Mapping, Sequence

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
    "faces": (0.9818, "0e6b472ba0b03ca1f4497b6b8615938379e1166097ebe37d6aee8f95ed6bd0e2"),
    "strokes": (0.9997, "826333c7ad1596208097b99ef1aedf45f2664fedd8b74f68bd2a50e9441ce0f2"),
}
SIDES = {"faces": (64, 32)}  # pixels a side that a classifier takes; the others take 28
SMOOTHING = 0.05  # label smoothing ε in training: the target is 1 − ε + ε/K for the right class, ε/K for any other


class Classifier(nn.Module):
    """Images (B, *shape) in [-1, 1] -> 64 features -> logits (B, K) of the classes.

    It works on `side` × `side` pixels; images of another size are resized first.

    Args:
        name: of the data set it is trained on.
        classes: the name of each class; without names there are ten.
        shape: (C, H, W) of the images.
        factors: for images with several factors, such as faces, the values of each. The classes are then those of the
            factor that the name ends with, as in "faces:glasses", or of the first one.
    """

    mean: Tensor  # (64,) of the features of its training images
    spread: Tensor  # the sum of their variances

    def __init__(
        self,
        name: str = "",
        classes: Sequence[str] = (),
        shape: Sequence[int] = (1, 28, 28),
        factors: Mapping[str, Sequence[str]] | None = None,
    ):
        super().__init__()
        self.name, self.classes, self.shape = name, tuple(classes), tuple(shape)
        self.factors = {factor: tuple(values) for factor, values in (factors or {}).items()}
        self.side = 64 if self.factors else 28  # the parts that tell factors apart are small
        self.register_buffer("mean", torch.zeros(64))
        self.register_buffer("spread", torch.zeros(()))
        finer = [*_halving(64, 64, 3)] if self.factors else []
        self.body = nn.Sequential(
            *_halving(shape[0], 24, 5), *_halving(24, 48, 3), *_halving(48, 64, 3), *finer,  # 4×4
            nn.Flatten(), nn.Linear(1024, 64), nn.ReLU(),  # (B, 64)
        )  # fmt: skip
        self.head = nn.Linear(64, sum(map(len, self.factors.values())) or len(self.classes) or 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.features(x))  # (B, K)

    def features(self, x: Tensor) -> Tensor:
        if x.shape[2:] != (self.side, self.side):
            smaller = max(x.shape[2:]) > self.side
            x = nn.functional.interpolate(x, (self.side, self.side), mode="bilinear", antialias=smaller)
        features: Tensor = self.body(x)
        return features  # (B, 64)

    def logits(self, features: Tensor) -> Tensor:
        """The logits (B, K) of the classes."""
        if self.factors:
            return self.by_factor(features)[self.name.partition(":")[2] or next(iter(self.factors))]
        logits: Tensor = self.head(features)
        return logits

    def by_factor(self, features: Tensor) -> dict[str, Tensor]:
        """The logits (B, number of values) of every factor."""
        sizes = [len(values) for values in self.factors.values()]
        return dict(zip(self.factors, self.head(features).split(sizes, 1), strict=True))


def _halving(channels: int, made: int, kernel: int) -> list[nn.Module]:
    """A convolution to half the size."""
    convolution = nn.Conv2d(channels, made, kernel, stride=2, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(made), nn.ReLU()]


def load(name: str, device: str | torch.device = "cpu", size: int | None = None) -> Classifier:
    """The shipped classifier of a data set, in eval mode, with its weights frozen.

    Args:
        name: of the data set. That of `"faces:glasses"` has the same features as that of `"faces"`, and other classes.
        size: of faces, 64 (default) or 32.

    Raises:
        BadInput: the name is unknown, or the weights on disk are not the shipped ones.
    """
    base = name.partition(":")[0]
    if base not in SHIPPED or name not in data.CLASSES:
        raise unknown("classifier", name, SHIPPED)
    sides = sides_of(base)
    side = sides[0] if size is None else size
    if side not in sides:
        raise BadInput(f"size is {size}: the classifier of {base} takes {' or '.join(map(str, sides))} pixels.")
    state = shipped.load_half(shipped.intact("classifiers", base, SHIPPED[base][1]))
    channels, factors = (3, state["factors"]) if "factors" in state else (1, None)
    net = Classifier(name, data.CLASSES[name], (channels, side, side), factors)
    net.load_state_dict(state["weights"])
    return net.to(device).eval().requires_grad_(False)


def of(images: data.Images) -> Classifier | None:
    """The shipped classifier of a data set, by the name and the shape of its images, or None if there is none."""
    base = images.name.partition(":")[0]
    if base not in SHIPPED or images.name not in data.CLASSES:
        return None
    shape = tuple(images.stored.shape[1:])
    if shape[1] not in sides_of(base):
        return None
    net = load(images.name, size=shape[1])
    return net if net.shape == shape else None


def sides_of(base: str) -> tuple[int, ...]:
    """The sides of the images, in pixels, that a shipped classifier takes; first the usual one."""
    return SIDES.get(base, (28,))


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
        return features, net.logits(features)


def accuracy(net: Classifier, images: data.Images) -> float:
    """Share of images that the classifier assigns their own label, from 0 to 1."""
    with torch.no_grad():
        found = net.logits(features_of(net, images)).argmax(1).cpu()
    return (found == images.labels.cpu()).float().mean().item()


def factor_accuracy(net: Classifier, images: data.Images) -> dict[str, float]:
    """For every factor the share of images that are assigned their own value, of those in which it can be seen."""
    shares: dict[str, float] = {}
    if not net.factors:
        return shares
    with torch.no_grad():
        found = net.by_factor(features_of(net, images))
    for name, factor in images.factors.items():
        seen = factor.labels >= 0
        shares[name] = (found[name].argmax(1).cpu() == factor.labels)[seen].double().mean().item()
    return shares


def factor_shares(net: Classifier, pixels: Tensor) -> dict[str, Tensor]:
    """For every factor the share of images (N, *shape) with each of its values, as the classifier sees them: (K,).

    For faces they are to be compared with `faces.SHARES`, in hundredths; what is hidden is guessed.
    """
    with torch.no_grad():
        found = net.by_factor(features_and_logits(net, pixels)[0])
    return {
        name: torch.bincount(logits.argmax(1).cpu(), minlength=logits.shape[1]) / len(pixels)
        for name, logits in found.items()
    }


def off_balance(made: Mapping[str, Tensor], usual: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For every factor which of its values are less than half or more than twice as frequent as usual: bool (K,).

    Both are shares from `factor_shares`.
    """
    return {name: (2 * made[name] < share) | (made[name] > 2 * share) for name, share in usual.items()}


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
    if len(pixels) < 100:
        return None
    for name in SHIPPED:
        if pixels.shape[3] not in sides_of(name):
            continue
        net = load(name, size=pixels.shape[3])
        if pixels.shape[1:] != net.shape:
            continue
        features = features_and_logits(net, pixels)[0]  # (N, 64)
        spread = features.var(0).sum() / net.spread
        shift = (features.mean(0) - net.mean).square().sum() / net.spread - spread / len(pixels)  # minus that of chance
        if shift < 0.008 and 0.93 < spread < 1.07:
            return net
    return None


def fit(images: data.Images, *, epochs: int = 4, seed: int = 0) -> Classifier:
    """Train a classifier with AdamW, one cycle of the learning rate, and images shifted by up to two pixels.

    Images with factors teach it all of them, in half of the batches at half the size, so that it knows small ones too.
    Raises `BadInput` for fewer than 50 images.
    """
    if len(images) < 50:
        raise BadInput(f"a classifier cannot learn from {len(images)} images: give at least 50, better thousands.")
    whole_number("epochs", epochs, least=1)
    with seeded(seed):
        factors = {name: factor.values for name, factor in images.factors.items()}
        net = Classifier(images.name, images.classes, images.stored.shape[1:], factors).to(images.stored.device)
        batch_size = min(250, len(images) // 8)
        steps = epochs * (len(images) // batch_size)
        optimizer = torch.optim.AdamW(net.parameters(), fused=True, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
        for _ in range(epochs):
            for index in torch.randperm(len(images))[: steps // epochs * batch_size].split(batch_size):
                dy, dx = torch.randint(-2, 3, (2,)).tolist()
                x = shifted(images[index], dy, dx)  # (B, C, H, W)
                if factors and torch.rand(()) < 0.5:
                    x = nn.functional.avg_pool2d(x, 2)
                loss = loss_of(net, images, index, x)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return store_statistics(net.eval().requires_grad_(False), images)


def shifted(x: Tensor, down: int, right: int) -> Tensor:
    """Images moved by at most two pixels; the edge is repeated."""
    wide = nn.functional.pad(x, (2, 2, 2, 2), mode="replicate")
    return wide[..., 2 - down : 2 - down + x.shape[2], 2 - right : 2 - right + x.shape[3]]


def loss_of(net: Classifier, images: data.Images, index: Tensor, x: Tensor) -> Tensor:
    """The cross-entropy of the classes of images x (B, *shape), or its sum over all factors that can be seen."""
    if not net.factors:
        return nn.functional.cross_entropy(net(x), images.labels[index], label_smoothing=SMOOTHING)
    logits, total = net.by_factor(net.features(x)), x.new_zeros(())
    for name, factor in images.factors.items():
        truth = factor.labels[index].to(x.device)
        losses = nn.functional.cross_entropy(
            logits[name], truth, ignore_index=-1, label_smoothing=SMOOTHING, reduction="sum"
        )
        total = total + losses / (truth >= 0).sum().clamp(min=1)
    return total


def features_of(net: Classifier, images: data.Images) -> Tensor:
    """Features (N, 64) of a whole set, which may be too large to be held as floats."""
    blocks = torch.arange(len(images)).split(1000)
    return torch.cat([features_and_logits(net, images[index])[0] for index in blocks])


def store_statistics(net: Classifier, images: data.Images) -> Classifier:
    """Store the mean and the spread of its features on these images in the classifier, for `recognise`."""
    features = features_of(net, images)
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
    shipped.save_half(net, path, classes=list(net.classes), **({"factors": net.factors} if net.factors else {}))
    seconds, test = time.perf_counter() - began, data.load(name, "test")
    share = accuracy(net, test)
    for factor, right in factor_accuracy(net, test).items():
        print(f"{factor:12} {right:.4f}")
    print(
        f'"{name}": ({share:.4f}, "{shipped.digest(path)}"),  # trained in {seconds:.0f} s; put this line into SHIPPED'
    )


if __name__ == "__main__":
    main()
