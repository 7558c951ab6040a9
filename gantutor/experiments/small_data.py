"""How many pictures does a GAN need? Augmentation and fine-tuning, on a folder of pictures of your own.

All rows get the same compute on these pictures. Those that are fine-tuned have learned to draw faces before, and that
is not counted in their curves: the question is what a GAN is worth that is there already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from gantutor import metrics, models
from gantutor.data import faces, floats
from gantutor.doctor.measures import roc_auc
from gantutor.experiments import material
from gantutor.experiments.experiment import Budget, Device, Experiment, Row
from gantutor.experiments.training import Training, with_equal_compute
from gantutor.metrics import classifier
from gantutor.state import evaluating
from gantutor.train import Recipe, Run, augment

COUNTS = (100, 300, 1000, 2500)
WAYS = ("plain", "diff", "ada", "fine-tuned")
STEPS, FIRST_STEPS = 2000, 4000  # the latter on drawn faces, once for each seed
SHAPE = (3, 32, 32)
RECIPE = Recipe.for_images(SHAPE, min(COUNTS))


def pair(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.for_images(SHAPE, seed)


@lru_cache(1)
def trained_on_faces(seed: int, budget: Budget, device: Device) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights of a G, averaged, and of a D that have learned to draw faces."""
    images = faces.draw(400 if budget.tiny else 20_000, seed=0, size=32).pixels
    run = Run(*pair(1000 * seed), floats(images), RECIPE, seed=seed, device=device)
    for _ in run.steps(budget.steps(FIRST_STEPS)):
        pass
    return run.G_ema.state_dict(), run.D.state_dict()


@dataclass(frozen=True)
class FewPictures(Training):
    """A GAN that knows only some of the pictures.

    Attributes:
        count: of the pictures.
        way: one of `WAYS`.
    """

    count: int = 100
    way: str = "plain"

    def resolved(self) -> dict[str, Any]:
        return {**super().resolved(), "pictures": self.count, "way": self.way}

    def cost(self, budget: Budget) -> float:
        # Once for all counts, if one process trains them all.
        before = budget.steps(FIRST_STEPS) / len(COUNTS) if self.way == "fine-tuned" else 0
        return super().cost(budget) + before * self.of_a_step()

    def run(self, seeds: Sequence[int], budget: Budget, device: Device = "cpu") -> Run:
        (seed,) = seeds
        shown, _ = material.some_pictures(self.count, budget.tiny)
        G, D = self.nets(1000 * seed)
        if self.way == "fine-tuned":
            for net, weights in zip((G, D), trained_on_faces(seed, budget, device), strict=True):
                net.load_state_dict(weights)
        changes = augment.made(self.way) if self.way in augment.AUGMENTS else None
        return Run(G, D, floats(shown), self.recipe, seed=seed, device=device, augment=changes)

    @torch.no_grad()
    def further(self, run: Run, budget: Budget) -> Mapping[str, float]:
        """How much surer D is of pictures that it has learned from, and how near samples are to these.

        The gap is the area under the ROC curve: the probability that D gives a picture it was trained on a higher logit
        than one it was not, 0.5 where it has learned none by heart. The nearness is the median distance, in features,
        of a sample to the nearest picture that was shown, over that of held-out pictures: 1 is new, 0 a copy.
        """
        shown, held_out = (floats(x) for x in material.some_pictures(self.count, budget.tiny))
        j, _ = material.judged_pictures(budget.tiny)
        with evaluating(run.D):
            seen, unseen = (run.D(x[:500].to(run.device)).flatten().cpu() for x in (shown, held_out))
        places, mine, theirs = (
            classifier.features_and_logits(j, x)[0] for x in (shown, run.sample(500).cpu(), held_out[:500])
        )
        nearness = [metrics.nearest_neighbours(x, places)[0].median().item() for x in (mine, theirs)]
        return {"D's gap": roc_auc(seen, unseen), "nearness": nearness[0] / nearness[1]}


def rows() -> dict[str, Row]:
    # No samples are kept, for the pictures are somebody's: only numbers.
    base = FewPictures(pair, "pictures", RECIPE, STEPS, shown=0)
    every = {f"{count:,} pictures, {way}": replace(base, count=count, way=way) for count in COUNTS for way in WAYS}
    most = every["2,500 pictures, plain"]
    every["2,500 pictures, no modulation"] = replace(most, nets=partial(models.for_images, SHAPE, g_norm="batch"))
    return dict(with_equal_compute("2,500 pictures, plain", every))


EXPERIMENT = Experiment(
    question="How many pictures does a GAN need, and how far do augmentation and fine-tuning help?",
    rows=rows,
    base="2,500 pictures, plain",
    seeds=range(3),
    source=partial(material.described_pictures, max(COUNTS)),
)
