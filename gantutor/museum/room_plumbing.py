"""Room 3, plumbing: what reaches which net. Most pieces are a `train.Run` with one method of its own."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus

from gantutor import models, state
from gantutor.museum.exhibits import Exhibit
from gantutor.museum.measures import DISTANCE, VARIETY, Symptom, brightness, distance, logit_gap
from gantutor.museum.probes import any_seed, small_pair, small_run, some_digits, weights
from gantutor.museum.settings import Parts, as_kind, as_nets, equal_rates, plain, plain_pair, without_penalty
from gantutor.train import Run

# --- 9. D never consulted ---------------------------------------------------------------------------------------------


class Unasked(Run):
    """G's loss is made without D."""

    compare: Callable[[Tensor, Tensor], Tensor]

    def g_step(self, real: Tensor, fake: Tensor, y: Tensor | None = None) -> Tensor:
        loss = self.compare(real, fake)
        self.opt_g.zero_grad()
        loss.backward()
        self.opt_g.step()
        return loss.detach()


class ImagesAsLogits(Unasked):
    """G's loss takes the images themselves for logits, with the targets of fakes."""

    def compare(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake).mean()


# --- 29. pixels -------------------------------------------------------------------------------------------------------


class PixelComparison(Unasked):
    """G is to come near, pixel by pixel, to a real image that has nothing to do with its z."""

    def compare(self, real: Tensor, fake: Tensor) -> Tensor:
        return mse_loss(fake, real)


# --- 10, 11. weights that are not those one thinks of -----------------------------------------------------------------


class Separate(nn.Module):
    """Two separate D's, one for real images and one for generated ones."""

    def __init__(self, D: nn.Module, other: nn.Module):
        super().__init__()
        self.D, self.other = D, other

    def forward(self, x: Tensor) -> Tensor:
        return self.D(x)  # (B,)


class NoReuse(Run):
    """D(real) and D(fake) are built by two calls, and each call makes weights of its own."""

    D: Separate

    def __init__(self, G: nn.Module, D: models.MLPDiscriminator, *arguments: Any, **options: Any):
        other = type(D)(**{**D.config, "seed": D.config["seed"] + 1})
        super().__init__(G, Separate(D, other), *arguments, **options)

    def d_step(
        self, real: Tensor, fake: Tensor, y: Tensor | None = None, penalise: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        real_logits, fake_logits = self.D.other(real), self.D.D(fake)
        loss = self.loss.d(real_logits, fake_logits)
        self.opt_d.zero_grad()
        loss.backward()
        self.opt_d.step()
        return loss.detach(), real_logits.detach(), fake_logits.detach()


class MadeAnew(nn.Module):
    """A D whose hidden layer is made in `forward`, so that it is a new one at each call."""

    def __init__(self, hidden: int = 256):
        super().__init__()
        self.last = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = nn.Linear(x[0].numel(), self.last.in_features, device=x.device)
        return self.last(torch.relu(hidden(x.flatten(1)))).squeeze(1)  # (B,)


class MadeOnce(MadeAnew):
    """The same D with a hidden layer that is made once."""

    def __init__(self, hidden: int = 256):
        super().__init__(hidden)
        self.first = nn.Linear(784, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x.flatten(1)))).squeeze(1)  # (B,)


class NothingToTrain(Run):
    """The optimizer gets the weights whose name begins with "discriminator", and none does."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        chosen = [p for name, p in self.D.named_parameters() if name.startswith("discriminator")]
        self.opt_d = torch.optim.Adam([{"params": chosen}], self.recipe.lr_d)


# --- 13. detach -------------------------------------------------------------------------------------------------------


class Keeping(Run):
    """The fakes are kept with their graph; what D's step is given is detached."""

    def generate(self, y: Tensor | None) -> Tensor:
        self.made = super().generate(y)
        return self.made


class Undetached(Keeping):
    """D's loss is differentiated in G's weights too: the fakes of D's step keep their graph."""

    def d_step(
        self, real: Tensor, fake: Tensor, y: Tensor | None = None, penalise: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        return super().d_step(real, self.made, y, penalise)

    def g_step(self, real: Tensor, fake: Tensor, y: Tensor | None = None) -> Tensor:
        return super().g_step(real, self.generate(y), y)  # the graph of the first ones is used up


class DrawnTwice(Run):
    """G's turn has fakes of its own, as in most public loops."""

    def g_step(self, real: Tensor, fake: Tensor, y: Tensor | None = None) -> Tensor:
        return super().g_step(real, self.generate(y), y)


class OneOptimizer(Undetached):
    """And one optimizer holds the weights of both nets, so each player's turn moves both."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        both = itertools.chain(self.G.parameters(), self.D.parameters())
        self.opt_g = self.opt_d = torch.optim.Adam(both, self.recipe.lr_g, self.recipe.betas)

    def g_step(self, real: Tensor, fake: Tensor, y: Tensor | None = None) -> Tensor:
        loss = self.loss.g(self.D(real), self.D(self.generate(y)))
        self.opt_g.zero_grad()
        loss.backward()
        self.opt_g.step()
        return loss.detach()


# --- 25. whose turn it is ---------------------------------------------------------------------------------------------


class GFirst(Keeping):
    """G moves first, and D learns from the fakes of before that move."""

    def d_step(
        self, real: Tensor, fake: Tensor, y: Tensor | None = None, penalise: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        self.g_loss = super().g_step(real, self.made, y)
        return super().d_step(real, fake, y, penalise)

    def g_step(self, real: Tensor, fake: Tensor, y: Tensor | None = None) -> Tensor:
        return self.g_loss


# --- 17, 30. more numbers than one ------------------------------------------------------------------------------------


class RowJudge(nn.Module):
    """Linear layers on (B, 1, 28, 28) without flatten: they see 28 rows of 28 pixels and give each row a logit."""

    def __init__(self, width: int = 28, hidden: int = 256):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(3)  # (B, 1, 28, 28) -> (B, 1, 28)


class ImageJudge(nn.Module):
    """The same layers on flattened images: one logit for each image."""

    def __init__(self, hidden: int = 256):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(1)  # (B, 1, 28, 28) -> (B,)


class Tied(nn.Module):
    """W σ(Wᵀv + b), whose output has as many numbers as its input."""

    def __init__(self, size: int = 784, hidden: int = 128):
        super().__init__()
        self.W, self.b = nn.Parameter(torch.randn(size, hidden) / size**0.5), nn.Parameter(torch.zeros(hidden))
        self.latent_dim = size

    def forward(self, v: Tensor) -> Tensor:
        return torch.sigmoid(v.flatten(1) @ self.W + self.b) @ self.W.T  # (B, 784) -> (B, 784)


class TiedImage(Tied):
    def forward(self, v: Tensor) -> Tensor:
        return super().forward(v).unflatten(1, (1, 28, 28))


class Unchecked(Run):
    """A run that does not ask whether the nets fit the data, as nearly every public loop."""

    checks_nets = False


# Nets, as seed -> (G, D).


def layers_made_once(seed: int) -> tuple[nn.Module, nn.Module]:
    with state.seeded(seed):
        return models.mlp(seed=seed)[0], MadeOnce()


def layers_made_anew(seed: int) -> tuple[nn.Module, nn.Module]:
    with state.seeded(seed):
        return models.mlp(seed=seed)[0], MadeAnew()


def judge_of_images(seed: int) -> tuple[nn.Module, nn.Module]:
    with state.seeded(seed):
        return models.mlp(seed=seed)[0], ImageJudge()


def judge_of_rows(seed: int) -> tuple[nn.Module, nn.Module]:
    with state.seeded(seed):
        return models.mlp(seed=seed)[0], RowJudge()


def tied_pair(seed: int) -> tuple[nn.Module, nn.Module]:
    with state.seeded(seed):
        return TiedImage(), Tied()


def unchecked(images) -> Parts:
    return replace(plain(images), kind=Unchecked)


# --- the checks -------------------------------------------------------------------------------------------------------


def g_asks_d(kind: type[Run]) -> None:
    """What G learns in a step depends on D."""
    results = []
    seed = any_seed()
    for d_seed in (1, 2):

        def nets(_: int, d_seed: int = d_seed) -> tuple[nn.Module, nn.Module]:
            return small_pair(seed)[0], small_pair(d_seed)[1]

        run = small_run(kind, nets=nets, seed=seed)
        list(run.steps(1))
        results.append(weights(run.G))
    assert not torch.equal(*results)


def one_verdict(kind: type[Run]) -> None:
    """The same images get the same logits as real ones and as generated ones."""
    run, x = small_run(kind), some_digits(16)
    if isinstance(run, Keeping):
        run.made = x  # the fakes that it keeps for D's step
    _, real_logits, fake_logits = run.d_step(x, x)
    assert torch.allclose(real_logits, fake_logits, atol=1e-5)


def answers_alike(nets) -> None:
    """D gives the same answer twice for the same images."""
    D, x = nets(any_seed())[1].eval(), some_digits(16)
    assert torch.equal(D(x), D(x))


def both_learn(kind: type[Run]) -> None:
    """After a few steps every matrix of both nets has moved."""
    run = small_run(kind)
    matrices = [p for net in (run.G, run.D) for p in net.parameters() if p.ndim > 1]
    before = [p.detach().clone() for p in matrices]
    list(run.steps(3))
    assert not any(torch.equal(old, p) for old, p in zip(before, matrices, strict=True))


def each_moves_alone(kind: type[Run]) -> None:
    """D's turn leaves G's weights alone, and G's turn leaves D's."""
    run = small_run(kind)
    real, fake = run.batch()[0], run.generate(None)
    old = weights(run.G)
    run.d_step(real, fake.detach())
    assert torch.equal(old, weights(run.G))
    old = weights(run.D)
    run.g_step(real, fake)
    assert torch.equal(old, weights(run.D))


def same_as_detached(kind: type[Run]) -> None:
    """After a few steps all weights are, bit for bit, those of a run that detaches and draws its fakes twice."""
    seed, ends = any_seed(), []
    for k in (kind, DrawnTwice):
        run = small_run(k, seed=seed)
        list(run.steps(5))
        ends.append(torch.cat([weights(run.G), weights(run.D)]))
    assert torch.equal(*ends)


def d_sees_the_latest(kind: type[Run]) -> None:
    """When D learns, the fakes that it learns from are what G makes of that noise now."""
    run = small_run(kind)
    noise = run.noise
    latents: list[Tensor] = []
    seen: list[Tensor] = []

    def remember() -> Tensor:
        latents.append(noise())
        return latents[-1]

    def compare(*_) -> None:
        with torch.no_grad():
            assert torch.allclose(run.G(latents[-1]), seen[-1], atol=1e-5)

    vars(run)["noise"] = remember  # of this run alone
    run.D.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    run.opt_d.register_step_pre_hook(compare)
    list(run.steps(3))


def one_logit_each(nets) -> None:
    """D returns one number for each image."""
    D = nets(any_seed())[1]
    assert D(some_digits(16)).numel() == 16


def sees_whole_images(nets) -> None:
    """It does, and the number changes when the image is turned upside down, so rows are not judged separately."""
    one_logit_each(nets)
    D, x = nets(any_seed())[1].eval(), some_digits(16)
    assert not torch.allclose(D(x), D(x.flip(2)), atol=1e-6)


# --- the catalogue ----------------------------------------------------------------------------------------------------

ROOM = (
    Exhibit(
        "9", "images-as-logits", "G's loss computed on its images as if they were logits",
        broken=ImagesAsLogits, sound=Run, plug=as_kind,
        met="Early TensorFlow-1 posts with swapped names, in which the tensor of images goes into the loss meant for "
        "D's output.",
        cause="The loss makes every pixel as negative as possible, and black is -1. D is never consulted, so nothing "
        "tells G what a digit looks like.",
        symptom=Symptom("mean pixel, from -1, black, to 1", brightness, low=-0.9),
        check=g_asks_d, findings=("total_collapse",),
    ),
    Exhibit(
        "10a", "no-reuse", "separate weights for D(real) and D(fake)",
        broken=NoReuse, sound=Run, plug=as_kind,
        met="TensorFlow-1 code that builds D twice without reusing the variables.",
        cause="One D sees only real images and learns to call everything real, the other sees only generated ones and "
        "learns to call everything fake. Neither compares anything, and G gets its gradient from the one that never "
        "saw a real image.",
        symptom=VARIETY, check=one_verdict, findings=("discriminator_blind",), setting=without_penalty,
    ),
    Exhibit(
        "10b", "layers-made-anew", "layers created again at every call",
        broken=layers_made_anew, sound=layers_made_once, plug=as_nets,
        met="Layers created inside forward, as functional code in other libraries does.",
        cause="The optimizer knows only the layers that existed when it was made, but each call makes new ones. So D's "
        "hidden layer stays random.",
        symptom=VARIETY, check=answers_alike, findings=("discriminator_blind",),
    ),
    Exhibit(
        "11", "nothing-to-train", "an optimizer over an empty list of parameters",
        broken=NothingToTrain, sound=Run, plug=as_kind,
        met="Weights selected by a prefix that none of their names has.",
        cause="Each step updates every weight of the list, but the list is empty, so D keeps its random weights and G "
        "only has to find images that they accept. PyTorch refuses an empty list of parameters, but not an empty "
        "group.",
        symptom=VARIETY, check=both_learn, findings=("discriminator_blind",),
    ),
    Exhibit(
        "13a", "one-optimizer", "no detach, and one optimizer over all parameters",
        broken=OneOptimizer, sound=DrawnTwice, plug=as_kind,
        met="Loops with a single Adam optimizer for everything.",
        cause="D's turn also updates G, to make D's task easier, and G's turn also updates D, to accept the fakes. So "
        "each player works for its opponent half of the time.",
        symptom=VARIETY, check=each_moves_alone, findings=("partial_collapse", "total_collapse"), setting=equal_rates,
        examined=2000,
    ),
    Exhibit(
        "13b", "no-detach", "a missing detach alone",
        broken=Undetached, sound=DrawnTwice, plug=as_kind,
        met="Many public loops, because it is easy to forget.",
        cause="D's turn also computes gradients for G, but G's turn begins with zero_grad, which discards them. So it "
        "only wastes time: the weights are the same, bit for bit.",
        symptom=DISTANCE, check=same_as_detached, harmless=True,
    ),
    Exhibit(
        "17", "rows-for-images", "linear layers on (B, 1, 28, 28) without flatten: D judges rows",
        broken=judge_of_rows, sound=judge_of_images, plug=as_nets,
        met="Ports from libraries whose dense layers flatten their input.",
        cause="A linear layer works on the last dimension, so each row of 28 pixels gets its own logit. No layer ever "
        "sees two rows together, and the loss averages over all of them without an error.",
        symptom=VARIETY, check=sees_whole_images, findings=("total_collapse", "discriminator_blind"), setting=unchecked,
    ),
    Exhibit(
        "25", "g-first", "G moves first, and D learns from fakes made before that move",
        broken=GFirst, sound=Run, plug=as_kind,
        met="Loops that generate fakes once, update G, and then use the same fakes for D.",
        cause="D learns from an outdated G, and G answers a D that has not seen it, so both move simultaneously, as in "
        "the circles of lesson 01. Training still works, but D stays further ahead, and after 900 steps the images are "
        "noisier.",
        symptom=Symptom("D's mean logit of real images minus that of fakes, last quarter", logit_gap, high=0.17),
        check=d_sees_the_latest, findings=("noisy",), examined=900,
    ),
    Exhibit(
        "29", "pixel-comparison", "G fitted by pixel comparison with a random real image",
        broken=PixelComparison, sound=Run, plug=as_kind,
        met="First attempts at a generator, with any real image as the target for any z and a squared error.",
        cause="z says nothing about the image it will be compared with. The output with the least expected squared "
        "error is then the mean of all images.",
        symptom=VARIETY, check=g_asks_d, findings=("total_collapse",),
    ),
    Exhibit(
        "30", "tied-weights", "W σ(Wᵀz + b) as generator and as D",
        broken=tied_pair, sound=plain_pair, plug=as_nets,
        met="Blog posts that use an autoencoder with tied weights in place of the two nets (appendix, formulas).",
        cause="The output has as many numbers as the input, so an image needs 784 numbers of noise, and D's verdict "
        "consists of 784 numbers. Nothing bounds the pixels, and nothing defines what the 784 verdicts mean.",
        symptom=Symptom(DISTANCE.name, distance, high=400.0), check=one_logit_each,
        findings=("range_mismatch",), setting=unchecked,
    ),
)  # fmt: skip
