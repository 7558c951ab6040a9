"""Two ways of telling the label that the library does not have, and a game in which labels are drawn anew."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantutor import models
from gantutor.state import frozen, seeded
from gantutor.train import Run


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gain and bias depend on the class (de Vries et al. 2017).

    It maps (B, C, H, W) and classes (B,) to (B, C, H, W).
    """

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = nn.Embedding(classes, channels), nn.Embedding(classes, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        gain, bias = (table(y)[:, :, None, None] for table in (self.gain, self.bias))  # (B, C, 1, 1)
        return gain * self.norm(x) + bias


class ConditionalBatchNormGenerator(nn.Module):
    """The DCGAN's generator, which is told the class by its batch norm alone."""

    def __init__(self, classes: int, seed: int = 0):
        super().__init__()
        G = models.DCGANGenerator(seed=seed)
        self.latent_dim, self.classes = G.latent_dim, classes
        self.net = nn.ModuleList(
            ConditionalBatchNorm(layer.num_features, classes) if isinstance(layer, nn.BatchNorm2d) else layer
            for layer in G.net
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        for layer in self.net:
            z = layer(z, y) if isinstance(layer, ConditionalBatchNorm) else layer(z)
        return z  # (B, C, H, W)


class AuxiliaryDiscriminator(nn.Module):
    """The DCGAN's discriminator with a second head that names the class (Odena et al. 2017).

    Its logit ignores the label.
    """

    def __init__(self, classes: int, seed: int = 0):
        super().__init__()
        D = models.DCGANDiscriminator(width=16, hidden=256, seed=seed)
        self.classes, self.body, self.head = classes, D.net[:-1], D.net[-1]
        with seeded(seed):
            self.named = nn.Linear(self.head.in_features, classes)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.both(x)[0]

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (B,) and, from the same features, those of the classes (B, K)."""
        features = self.body(x)
        return self.head(features).squeeze(1), self.named(features)


class AuxiliaryRun(Run):
    """AC-GAN's game: both nets also want the second head to be right, D on real and generated images, G on its own."""

    can_be_captured = False

    def d_step(self, real, fake, y=None, penalise=False):
        self.opt_d.zero_grad()
        (real_logits, real_named), (fake_logits, fake_named) = self.D.both(real), self.D.both(fake)
        d_loss = self.loss.d(real_logits, fake_logits)
        total = d_loss + F.cross_entropy(real_named, y) + F.cross_entropy(fake_named, y)
        if penalise and (penalty := self.weighted_penalty(y)):
            total = total + penalty(real, fake)
        total.backward()
        self.opt_d.step()
        return d_loss.detach(), real_logits.detach(), fake_logits.detach()

    def g_step(self, real, fake, y=None):
        self.opt_g.zero_grad()
        with frozen(self.D):
            fake_logits, fake_named = self.D.both(fake)
            loss = self.loss.g(torch.full_like(fake_logits, float("nan")), fake_logits)  # it does not ask for real ones
            (loss + F.cross_entropy(fake_named, y)).backward()
        self.opt_g.step()
        return loss.detach()


class LabelsDrawnAnew(Run):
    """The labels of the fakes are drawn uniformly at random, and are not those of the real images in the batch."""

    can_be_captured = False

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.d_in_its_step = self.d_in_gs_step = WithOwnLabels

    def generate(self, y):
        self.asked = torch.randint(self.G.classes, y.shape, device=y.device)
        return super().generate(self.asked)


class WithOwnLabels:
    """D with the label of each image: for real ones that of the batch, for fakes the one that G was asked for."""

    def __init__(self, run: LabelsDrawnAnew, real: Tensor, fake: Tensor, y: Tensor):
        self.run, self.real, self.y = run, real, y

    def __call__(self, x: Tensor) -> Tensor:
        return self.run.D_pass.given(self.y if x is self.real else self.run.asked)(x)

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.run.D.parameters()
