"""What the doctor sees images by: a classifier's features where one knows the images, random convolutions otherwise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from gantutor.data import Images
from gantutor.doctor import measures
from gantutor.errors import BadInput
from gantutor.metrics import Classifier, classifier


class Extracted(NamedTuple):
    """What a feature extractor returns for N images."""

    features: Tensor  # (N, d)
    logits: Tensor | None  # (N, K), or None where the extractor knows no classes
    factors: Mapping[str, Tensor] = MappingProxyType({})  # logits (N, values) of each factor, where it knows several


@dataclass
class FeatureExtractor:
    """Turns images into features and, where it knows classes, into class logits."""

    name: str
    extract: Callable[[Tensor], Extracted]
    classes: tuple[str, ...] = ()  # their names
    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # the values of each factor that it knows
    labels: tuple[int, ...] = ()  # the label by which the data call each class
    accuracy: float = 1.0  # share of real images that are assigned their own label

    def features(self, x: Tensor) -> Tensor:
        return self.extract(x).features


def choose_extractor(
    source: object, real: Tensor, labels: Tensor | None, judge: Classifier | None, notes: list[str]
) -> FeatureExtractor:
    """The classifier given; else a shipped one; else one trained on the labels; else random convolutions."""
    if judge is not None:
        if not isinstance(judge, Classifier):
            raise BadInput(
                f"judge is a {type(judge).__name__}: give a Classifier, such as metrics.classifier.fit(images) returns."
            )
        if judge.shape != tuple(real.shape[1:]):
            raise BadInput(
                f"judge takes images of shape {judge.shape}, but these are {tuple(real.shape[1:])}: "
                "give a classifier of such images."
            )
        return from_classifier(judge, "the classifier given", *match_labels(judge, real, labels))
    if isinstance(source, Images) and (named := classifier.of(source)) is not None:
        values, accuracy = match_labels(named, real, labels)
        if accuracy > 0.8:  # otherwise the images share only the name of the data set
            return from_classifier(named, f"the shipped classifier of {source.name}", values, accuracy)
    if (found := classifier.recognise(real[:2000])) is not None:
        values, accuracy = match_labels(found, real, labels)
        if accuracy > 0.8:
            name = f"the shipped classifier of {found.name}, because the real images look like its own"
            return from_classifier(found, name, values, accuracy)
    if labels is not None and len(labels.unique()) > 1:
        names = source.classes if isinstance(source, Images) else ()
        if (trained := train_classifier(real, labels, names)) is not None:
            return from_classifier(trained[0], "a classifier trained on the labels of the real images", *trained[1:])
        notes.append("A classifier trained on the labels of the real images could not tell their classes apart.")
    random_features = measures.RandomFeatures(real)
    return FeatureExtractor("random convolutions (no classes are known)", lambda x: Extracted(random_features(x), None))


def from_classifier(net: Classifier, name: str, labels: tuple[int, ...], accuracy: float) -> FeatureExtractor:
    def extract(x: Tensor) -> Extracted:
        features, logits = classifier.features_and_logits(net, x)
        with torch.no_grad():
            factors = net.by_factor(features) if net.factors else {}
        return Extracted(features.cpu(), logits.cpu(), {name: part.cpu() for name, part in factors.items()})

    return FeatureExtractor(name, extract, net.classes, net.factors, labels, accuracy)


def match_labels(net: Classifier, real: Tensor, labels: Tensor | None) -> tuple[tuple[int, ...], float]:
    """The label (K values) that these real images have for each class of a classifier, and the share of them that fit.

    The classifier may number its classes in another order than the labels do. Without labels: 0, 1, 2, ….
    """
    values = list(range(len(net.classes)))
    if labels is None:
        return tuple(values), 1.0
    predicted, labels = classifier.features_and_logits(net, real[:2000])[1].argmax(1).cpu(), labels[:2000]
    for c in predicted.unique().tolist():
        values[c] = int(labels[predicted == c].mode().values)
    return tuple(values), (torch.tensor(values)[predicted] == labels).double().mean().item()


def train_classifier(
    real: Tensor, labels: Tensor, class_names: Sequence[str] = ()
) -> tuple[Classifier, tuple[int, ...], float] | None:
    """A classifier of these classes, their labels, and its accuracy on a fifth of the images, kept out of its training.

    None if there are too few images, or if it does not learn.
    """
    values, labels = labels.unique(return_inverse=True)
    if len(values) > len(labels) // 20 or len(labels) < 64:
        return None
    cut, known = len(real) // 5, bool(class_names) and values.max() < len(class_names)
    names = tuple(class_names[value] if known else str(value) for value in values.tolist())
    seen, unseen = (Images("", real[part], labels[part], names) for part in (slice(cut, None), slice(cut)))
    trained = classifier.fit(seen, epochs=max(3, min(40, 40_000 // len(seen))))
    accuracy = classifier.accuracy(trained, unseen)
    return (trained, tuple(values.tolist()), accuracy) if accuracy > 0.6 else None
