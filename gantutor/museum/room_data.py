"""Room 2, data and ranges: what the players are shown, and on which scale."""

import math
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor, nn

from gantutor import metrics, models, state, train
from gantutor.data import Images, toy
from gantutor.doctor import measures
from gantutor.museum.exhibits import Exhibit
from gantutor.museum.measures import VARIETY, Symptom, outside, variety
from gantutor.museum.probes import any_seed, small_run
from gantutor.museum.settings import Parts, Side, as_kind, as_nets, plain_pair
from gantutor.train import Run

# --- 8. noise for data ------------------------------------------------------------------------------------------------


class NoiseForData(Run):
    """The "real" batch is drawn, not read."""

    def batch(self) -> tuple[Tensor, Tensor | None]:
        real, y = super().batch()
        return torch.rand_like(real) * 2 - 1, y


# --- 14. frozen -------------------------------------------------------------------------------------------------------


class FrozenNoise(Run):
    """z is drawn once, before the loop."""

    def noise(self) -> Tensor:
        if not hasattr(self, "z"):
            self.z = super().noise()
        return self.z


class FrozenBatch(Run):
    """The real batch is read once, before the loop."""

    def batch(self) -> tuple[Tensor, Tensor | None]:
        if not hasattr(self, "first"):
            self.first = super().batch()
        return self.first


def one_step_an_epoch(images: int, batch_size: int) -> int:
    """An epoch that is a single batch: for epoch in range(epochs), one step."""
    return 1


def one_pass_an_epoch(images: int, batch_size: int) -> int:
    """As many steps as it takes to see every image once."""
    return math.ceil(images / batch_size)


# --- 16. ranges -------------------------------------------------------------------------------------------------------


def sigmoid_output(seed: int) -> tuple[nn.Module, nn.Module]:
    """G ends in a sigmoid, so its pixels lie in [0, 1], but those of the data lie in [-1, 1]."""
    G, D = models.mlp(output="linear", seed=seed)
    G.net.append(nn.Sigmoid())
    return G, D


def linear_output(seed: int) -> tuple[nn.Module, nn.Module]:
    """G ends in a linear layer, without an activation."""
    return models.mlp(output="linear", seed=seed)


class Standardised(Run):
    """Real images are brought to mean 0 and standard deviation 1, as for a classifier; G ends in tanh all the same."""

    def batch(self) -> tuple[Tensor, Tensor | None]:
        real, y = super().batch()
        mean, std = self.scale
        return (real - mean) / std, y

    def sample(self, n: int, **options) -> Tensor:
        mean, std = self.scale
        return super().sample(n, **options) * std + mean

    @cached_property
    def scale(self) -> tuple[Tensor, Tensor]:
        return self.examples.mean(), self.examples.std()


# --- 27. seven modes of eight -----------------------------------------------------------------------------------------
# -----------------------------------------------------------------------------------------------


def closed_ring(modes: int = 8, radius: float = 1.0, std: float = 0.01) -> toy.Mixture:
    """A ring from linspace(0, 2π, modes), which contains angle 0 twice."""
    angles = torch.linspace(0, 2 * math.pi, modes)
    return toy.Mixture("ring", radius * torch.stack([angles.cos(), angles.sin()], 1), std)


# --- the checks -------------------------------------------------------------------------------------------------------


def shows_the_data(kind: type[Run]) -> None:
    """Every image of a batch is one of the data."""
    run = small_run(kind)
    batch, examples = run.batch()[0], run.examples  # (B, 1, 28, 28), (N, 1, 28, 28)
    assert (batch[:, None] == examples).flatten(2).all(2).any(1).all()


def draws_anew(kind: type[Run]) -> None:
    """Two batches, two drawings of noise, and two sets of fakes differ."""
    run = small_run(kind)
    assert not torch.equal(run.noise(), run.noise())
    assert not torch.equal(run.batch()[0], run.batch()[0])
    assert not torch.equal(run.generate(None), run.generate(None))


def shows_every_image(steps_of_an_epoch) -> None:
    """An epoch shows each image once; an incomplete last batch may be left out."""
    assert 60_000 - 64 < steps_of_an_epoch(60_000, 64) * 64 < 60_000 + 64


def reaches_black_and_white(nets) -> None:
    """For extreme latents G's pixels reach -1 and 1 but go no further."""
    G = nets(any_seed())[0].eval()
    with torch.no_grad():
        pixels = G(1e4 * torch.randn(64, G.latent_dim))
    low, high = pixels.aminmax()
    assert -1 <= low < -0.99
    assert 0.99 < high <= 1


def within_reach(kind: type[Run]) -> None:
    """The real images that D sees lie in [-1, 1], where G's tanh ends."""
    assert small_run(kind).batch()[0].abs().max() <= 1


def has_distinct_modes(ring) -> None:
    """Eight modes have eight different means."""
    means = ring(8).means  # (8, 2)
    assert len(means) == 8
    assert torch.pdist(means).min() > 0.1


# --- the catalogue ----------------------------------------------------------------------------------------------------


def as_pace(parts: Parts, piece) -> Parts:
    """The training is planned in epochs, and the piece says how many steps each has."""
    numbers = len(parts.data), parts.recipe.batch_size
    return replace(parts, pace=piece(*numbers) / one_pass_an_epoch(*numbers))


def on_a_ring(images: Images) -> Parts:
    """Points in the plane instead of the images."""
    return Parts(images, models.plane, train.PLANE)


def as_mixture(parts: Parts, piece) -> Parts:
    ring = piece(8)
    return replace(parts, data=ring.sample(20_000, 0) / ring.spread)


def modes_of_eight(side: Side, real: Images) -> float:
    """How many different modes have at least 2% of the samples within ten standard deviations."""
    ring = side.piece(8)
    ring = replace(ring, means=ring.means.round(decimals=3).unique(dim=0))  # a mode that occurs twice counts once
    counts = metrics.mixture_coverage(side.samples * ring.spread, ring, within=10.0).counts  # (8,)
    return (counts >= 0.02 * len(side.samples)).sum().item()


def prefers_its_batch(side: Side, real: Images) -> float:
    """The share of pairs in which D rates an image of its current batch above a real image of the whole data."""
    (order,), D = side.run.source.generators(), side.run.D
    before = order.get_state()
    batch = side.run.batch()[0]
    order.set_state(before)  # restored, so that measuring does not change the run
    with state.evaluating(D), torch.no_grad():
        return measures.roc_auc(*(D(x) for x in (batch, real.pixels[:1000])))


def darkest_percentile(side: Side, real: Images) -> float:
    """The pixel value below which the darkest percent of the samples' pixels lies."""
    return side.samples.flatten().kthvalue(max(1, side.samples.numel() // 100)).values.item()


OUTSIDE = Symptom("share of pixels outside [-1, 1]", outside, high=0.001)

ROOM = (
    Exhibit(
        "8", "noise-for-data", "\"real\" batches drawn as uniform noise",
        broken=NoiseForData, sound=Run, plug=as_kind,
        met="Blog posts that, to stay short, draw a random array where data should be loaded.",
        cause="D learns what noise looks like, and G learns to make it. The loop is right and the curves look like "
        "those of any training run, but no image was ever read.",
        symptom=VARIETY, check=shows_the_data, findings=("total_collapse", "noisy"), steps=900,
    ),
    Exhibit(
        "14a", "frozen-noise", "the noise is drawn once, before the loop",
        broken=FrozenNoise, sound=Run, plug=as_kind,
        met="Loops that draw z beside the constants at the top of the file, \"for reproducibility\".",
        cause="G is trained at 64 points of its latent space and nowhere else. What it makes of any other z is left to "
        "chance.",
        symptom=Symptom(VARIETY.name, variety, low=0.5), check=draws_anew, findings=("train_eval_gap",), examined=900,
    ),
    Exhibit(
        "14b", "frozen-batch", "one batch of real images, again and again",
        broken=FrozenBatch, sound=Run, plug=as_kind,
        met="next(iter(loader)) before the loop, or inside it without shuffling.",
        cause="D only ever sees 64 real images, so it memorises them. G is then pushed towards these images and no "
        "others.",
        symptom=Symptom("share of pairs in which D rates its batch above other images", prefers_its_batch, high=0.8),
        check=draws_anew, findings=("oscillation",),
    ),
    Exhibit(
        "14c", "epoch-of-one-step", "an \"epoch\" that is one step",
        broken=one_step_an_epoch, sound=one_pass_an_epoch, plug=as_pace,
        met="for epoch in range(epochs), followed directly by the line that reads one batch.",
        cause="An epoch is a pass through all images, 922 steps of 64 on MNIST's 59,000. If it is only a single step, "
        "the nets are hardly trained at all.",
        symptom=VARIETY, check=shows_every_image, findings=("total_collapse",),
    ),
    Exhibit(
        "16a", "range-0-1", "a generator with outputs in [0, 1] for data in [-1, 1]",
        broken=sigmoid_output, sound=plain_pair, plug=as_nets,
        met="A sigmoid at G's end, and a data loader that subtracts 0.5 and divides by 0.5.",
        cause="Most pixels of a digit are black, -1, but G cannot go below 0. So D only needs to look at the "
        "background.",
        symptom=Symptom("where the darkest percent of the pixels begins", darkest_percentile, high=-0.9),
        check=reaches_black_and_white, findings=("discriminator_saturated", "range_mismatch"),
    ),
    Exhibit(
        "16b", "standardised-data", "data of mean 0 and variance 1 against tanh",
        broken=Standardised, sound=Run, plug=as_kind,
        met="The normalisation of a classifier tutorial, mean 0.1307 and standard deviation 0.3081, copied to a GAN.",
        cause="On that scale MNIST's white is 2.8 and its black -0.42, while tanh goes from -1 to 1: G cannot make "
        "white, and it can make values below black that the data never has. So D only needs to look for bright pixels, "
        "and G's black becomes too dark.",
        symptom=OUTSIDE, check=within_reach, findings=("range_mismatch",),
    ),
    Exhibit(
        "16c", "linear-output", "no activation at G's output",
        broken=linear_output, sound=plain_pair, plug=as_nets,
        met="MLPs in early blog posts whose last layer is a plain matrix product.",
        cause="Nothing keeps the pixels in the range of the data. With tanh black is an end of the range and easy to "
        "reach, but here it is a number that G must hit exactly.",
        symptom=OUTSIDE, check=reaches_black_and_white, findings=("range_mismatch",),
    ),
    Exhibit(
        "27", "seven-of-eight", "a \"ring of 8\" that has 7 modes",
        broken=closed_ring, sound=toy.ring, plug=as_mixture,
        met="Public code for the ring benchmark: linspace(0, 2π, 8) contains angle 0 twice.",
        cause="The last of the eight angles equals the first, so there are only seven different modes, one of them "
        "twice as likely. Even a perfect GAN then covers seven of the eight modes, and the missing one looks like mode "
        "collapse.",
        symptom=Symptom("different modes that the samples reach, of 8", modes_of_eight, low=8.0),
        check=has_distinct_modes, setting=on_a_ring, steps=1500,
    ),
)  # fmt: skip
