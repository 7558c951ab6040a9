"""Rivals of the GAN at equal compute: a VAE, diffusion in pixels and in a VAE's latents, and two cheap baselines."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gantutor import models, train
from gantutor.data import Images
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.fitting import Fitting, Model
from gantutor.experiments.training import Training
from gantutor.models import diffusion, vae

WIDE = (256, 128)  # the hidden layers of D and of the encoder; G has them in the other order
BATCH = 64


def gan(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.mlp(g_hidden=WIDE[::-1], d_hidden=WIDE, seed=seed)


def convolutional(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.dcgan(seed=seed)


class Autoencoder(Model):
    """A VAE with the GAN's nets, trained by Adam at 0.001 that falls from three quarters on."""

    noise = 0.5  # of a pixel

    def __init__(self, images: Images, seed: int):
        super().__init__(images, seed)
        shape = tuple(images.stored.shape[1:])
        self.E, self.G = vae.pair(shape, e_hidden=WIDE, g_hidden=WIDE[::-1], seed=1000 * seed)
        self.optimizer = torch.optim.Adam([*self.E.parameters(), *self.G.parameters()], fused=True)

    def nets(self) -> dict[str, nn.Module]:
        return {"E": self.E, "G": self.G}

    def step(self, done: float) -> None:
        train.set_learning_rate(self.optimizer, 1e-3 * train.decay(done, 0.75))
        self.counted("vae", self.climb)

    def climb(self) -> None:
        x = self.images[torch.randint(len(self.images), (BATCH,))]
        bound = vae.elbo(self.E.train(), self.G.train(), x, self.noise)
        self.optimizer.zero_grad()
        (-bound.total.mean()).backward()
        self.optimizer.step()

    def sample(self, n: int, seed: int) -> Tensor:
        return train.sample(self.G, n, seed=seed)


class Diffusion(Model):
    """Denoising vectors (N, d), by Adam at 0.002 that falls from 0.3 on; the net that draws is an average."""

    passes = 20

    def prepare(self, x: Tensor, width: int) -> None:
        self.x, self.seen = x, 0
        self.net = diffusion.Denoiser(x.shape[1], width, seed=1000 * self.seed)
        self.average = copy.deepcopy(self.net)
        self.denoiser_optimizer = torch.optim.Adam(self.net.parameters(), fused=True)

    def denoise(self, done: float) -> None:
        train.set_learning_rate(self.denoiser_optimizer, 2e-3 * train.decay(done, 0.3))
        self.counted("denoiser", self.descend)
        train.update_ema(self.average, self.net, 1 - min(0.998, train.ramp(self.seen)))
        self.seen += 1

    def descend(self) -> None:
        loss = diffusion.loss(self.net, self.x[torch.randint(len(self.x), (2 * BATCH,))])
        self.denoiser_optimizer.zero_grad()
        loss.backward()
        self.denoiser_optimizer.step()

    def drawn(self, n: int, seed: int) -> Tensor:
        return diffusion.sample(self.average, n, passes=self.passes, seed=seed)


class PixelDiffusion(Diffusion):
    """Diffusion of the pixels themselves."""

    def __init__(self, images: Images, seed: int):
        super().__init__(images, seed)
        self.shape = tuple(images.stored.shape[1:])
        self.prepare(images.pixels.flatten(1), width=512)

    def nets(self) -> dict[str, nn.Module]:
        return {"denoiser": self.net}

    def step(self, done: float) -> None:
        self.denoise(done)

    def sample(self, n: int, seed: int) -> Tensor:
        return self.drawn(n, seed).clamp(-1, 1).unflatten(1, self.shape)


class LatentDiffusion(Autoencoder, Diffusion):
    """A VAE for the first half of the compute, then diffusion of its latents. Until then it draws as the VAE does."""

    share = 0.5

    def step(self, done: float) -> None:
        if done < self.share:
            super().step(done / self.share)
            return
        if not hasattr(self, "net"):
            self.counted("encode", self.encode)
        self.denoise((done - self.share) / (1 - self.share))

    @torch.no_grad()
    def encode(self) -> None:
        self.E.eval()
        codes = torch.cat([self.E(part)[0] for part in self.images.pixels.split(1000)])  # (N, 64)
        self.middle, self.spread = codes.mean(0), codes.std(0).clamp(min=0.05)  # the net likes numbers around 1
        self.prepare((codes - self.middle) / self.spread, width=256)

    def sample(self, n: int, seed: int) -> Tensor:
        if not hasattr(self, "net"):
            return super().sample(n, seed)
        with torch.no_grad():
            self.G.eval()
            return torch.cat([self.G(z) for z in (self.drawn(n, seed) * self.spread + self.middle).split(1000)])


class Gaussian(Model):
    """One Gaussian for all pixels: the 64 directions of most variance, and the same variance in all others."""

    def step(self, done: float) -> None:
        self.counted("covariance", self.fit)
        self.finished = True

    def fit(self) -> None:
        x = self.images.pixels.flatten(1)
        self.mean = x.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov(x.T))  # in rising order
        self.rest = values[:-64].mean().clamp(min=0)
        self.scaled = vectors[:, -64:] * (values[-64:] - self.rest).clamp(min=0).sqrt()  # (pixels, 64)

    def sample(self, n: int, seed: int) -> Tensor:
        draw = torch.Generator().manual_seed(seed)
        x = self.mean + torch.randn(n, 64, generator=draw) @ self.scaled.T
        x = x + self.rest.sqrt() * torch.randn(x.shape, generator=draw)
        return x.clamp(-1, 1).unflatten(1, tuple(self.images.stored.shape[1:]))


class KernelDensity(Model):
    """A training image and noise around it."""

    width = 0.35  # the best of lesson 08 for held-out images

    def step(self, done: float) -> None:
        self.finished = True

    def sample(self, n: int, seed: int) -> Tensor:
        draw = torch.Generator().manual_seed(1000 * self.seed + seed)
        x = self.images[torch.randint(len(self.images), (n,), generator=draw)]
        return (x + self.width * torch.randn(x.shape, generator=draw)).clamp(-1, 1)


def rows() -> dict[str, Row]:
    base = Training(gan, "mnist", steps=4000)
    whole = base.steps * base.of_a_step()
    fitted: dict[str, Callable[[Images, int], Model]] = {
        "VAE": Autoencoder,
        "diffusion of pixels": PixelDiffusion,
        "diffusion of latents": LatentDiffusion,
        "Gaussian": Gaussian,
        "kernel density": KernelDensity,
    }
    dcgan = Training(convolutional, "mnist")
    made: dict[str, Row] = {
        "GAN": base,
        "DCGAN": Training(convolutional, "mnist", steps=round(whole / dcgan.of_a_step())),
    }
    return made | {name: Fitting(model, "mnist", whole) for name, model in fitted.items()}


EXPERIMENT = Experiment(
    question="Which of a GAN, a VAE and a diffusion model draws the best digits after the same compute?",
    rows=rows,
    base="GAN",
)
