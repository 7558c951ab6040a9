"""Two ways of telling the label that the library does not have, and a game in which labels are drawn anew."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantutor import models
from gantutor.state import frozen, seeded
from gantutor.train import Run, step


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
        return self.head(self.body(x))  # (B, 1)

    def wrong(self, x: Tensor, y: Tensor) -> Tensor:
        """The cross-entropy of the class it names."""
        return F.cross_entropy(self.named(self.body(x)), y)


class AuxiliaryRun(Run):
    """AC-GAN's game: both nets also want the second head to be right, D on real and generated images, G on its own."""

    can_be_captured = False

    def d_step(self, real, fake, y=None, penalise=False):
        D = self.D
        real_logits, fake_logits = D(real).flatten(), D(fake).flatten()
        loss = self.loss.d(real_logits, fake_logits)
        total = loss + D.wrong(real, y) + D.wrong(fake, y)
        if penalise:
            total = total + self.weighted_penalty(y)(real, fake)
        self.opt_d.zero_grad()
        total.backward()
        self.opt_d.step()
        return loss.detach(), real_logits.detach(), fake_logits.detach()

    def g_step(self, real, fake, y=None):
        with frozen(self.D):
            loss = self.loss.g(self.D(real).flatten(), self.D(fake).flatten())
            self.opt_g.zero_grad()
            (loss + self.D.wrong(fake, y)).backward()
        self.opt_g.step()
        return loss.detach()


class LabelsDrawnAnew(Run):
    """The labels of the fakes are drawn at random, and are not those of the real images of the batch."""

    can_be_captured = False

    def train_step(self, penalise):
        self.G.train()
        self.D.train()
        real, y = self.batch()
        asked = torch.randint(self.D.classes, y.shape, device=y.device)
        fake = self.generate(asked)
        D_real, D_fake = self.d_as_it_is(real, fake, y), self.d_as_it_is(real, fake, asked)
        real_logits, fake_logits = D_real(real), D_fake(fake.detach())
        loss = self.loss.d(real_logits, fake_logits)
        self.opt_d.zero_grad()
        (loss + self.weighted_penalty(y)(real, fake.detach()) if penalise else loss).backward()
        self.opt_d.step()
        with frozen(self.D):
            g_loss = self.loss.g(real_logits.detach(), D_fake(fake))
            self.opt_g.zero_grad()
            g_loss.backward()
        self.opt_g.step()
        step.update_ema(self.G_ema, self.G, self.ema_weight)
        return loss.detach(), g_loss.detach(), real_logits.detach(), fake_logits.detach()
