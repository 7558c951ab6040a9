"""Three training loops as people write them: DCGAN's tutorial, WGAN-GP and CycleGAN, small, each with faults to plant.

Each loop gives what it logs to a monitor in every step. `FAULTS` names, for each loop, the faults and the ailment as
which a monitor is to name them.
"""

import itertools

import torch
from torch import nn

from gantutor.data import strokes

NO_D_STEP, NO_G_STEP = "D's step is forgotten", "G's step is forgotten"
BOTH_FAST, G_FAST, D_FAST = "learning rates far too high", "G's rate far too high", "D's rate far too high"
EXCHANGED, WRONG_SIGN = "labels exchanged", "the sign of D's loss is wrong"
NO_PENALTY = "the penalty is left out"


def pictures(n: int, side: int = 16, seed: int = 0) -> torch.Tensor:
    """Drawn digits of 16×16 pixels, (n, 1, 16, 16) in [-1, 1]."""
    x = strokes.draw(n, seed).pixels / 127.5 - 1
    return nn.functional.interpolate(x, (side, side), mode="bilinear", antialias=True).clamp(-1, 1)


# --- DCGAN's tutorial -------------------------------------------------------------------------------------------------

nz = 16


class Generator(nn.Module):
    def __init__(self, ngf=16):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 2, 4, 1, 0, bias=False), nn.BatchNorm2d(ngf * 2), nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False), nn.BatchNorm2d(ngf), nn.ReLU(True),
            nn.ConvTranspose2d(ngf, 1, 4, 2, 1, bias=False), nn.Tanh(),
        )  # fmt: skip

    def forward(self, input):
        return self.main(input)


class Discriminator(nn.Module):
    def __init__(self, ndf=16, last=nn.Sigmoid):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(1, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 2, 1, 4, 1, 0, bias=False), last(),
        )  # fmt: skip

    def forward(self, input):
        return self.main(input)


def dcgan(data, steps, monitor_of, fault="", seed=0, device="cpu"):
    torch.manual_seed(seed)
    netG, netD = Generator(), Discriminator()
    monitor = monitor_of(netG, netD, data)
    criterion = nn.BCELoss()
    real_label, fake_label = (0.0, 1.0) if fault == EXCHANGED else (1.0, 0.0)
    lr_d = 0.3 if fault in (BOTH_FAST, D_FAST) else 0.001
    lr_g = 0.3 if fault == BOTH_FAST else 0.1 if fault == G_FAST else 0.001
    optimizerD = torch.optim.Adam(netD.parameters(), lr=lr_d, betas=(0.5, 0.999))
    optimizerG = torch.optim.Adam(netG.parameters(), lr=lr_g, betas=(0.5, 0.999))
    for _ in range(steps):
        real = data[torch.randint(len(data), (32,))]
        netD.zero_grad()
        label = torch.full((32,), real_label)
        output = netD(real).view(-1)
        errD_real = criterion(output, label)
        errD_real.backward()
        D_x = output.mean().item()
        fake = netG(torch.randn(32, nz, 1, 1))
        label.fill_(fake_label)
        output = netD(fake.detach()).view(-1)
        errD_fake = criterion(output, label)
        errD_fake.backward()
        D_G_z1 = output.mean().item()
        if fault != NO_D_STEP:
            optimizerD.step()
        netG.zero_grad()
        label.fill_(1.0)
        errG = criterion(netD(fake).view(-1), label)
        errG.backward()
        if fault != NO_G_STEP:
            optimizerG.step()
        monitor.step(errD=errD_real + errD_fake, errG=errG, D_x=D_x, D_G_z1=D_G_z1)
    return monitor


# --- WGAN-GP ----------------------------------------------------------------------------------------------------------


def compute_gradient_penalty(D, real_samples, fake_samples):
    alpha = torch.rand(real_samples.size(0), 1, 1, 1)
    interpolates = (alpha * real_samples + (1 - alpha) * fake_samples).requires_grad_(True)
    d_interpolates = D(interpolates)
    gradients = torch.autograd.grad(d_interpolates.sum(), interpolates, create_graph=True)[0]
    return ((gradients.flatten(1).norm(2, dim=1) - 1) ** 2).mean()


def wgan_gp(data, steps, monitor_of, fault="", seed=0):
    torch.manual_seed(seed)
    generator, discriminator = Generator(), Discriminator(last=nn.Identity)
    monitor = monitor_of(generator, discriminator, data)
    lr = 0.002 if fault in (NO_PENALTY, WRONG_SIGN) else 0.0005
    optimizer_G = torch.optim.Adam(generator.parameters(), lr=100 * lr if fault == G_FAST else lr, betas=(0.5, 0.9))
    optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=lr, betas=(0.5, 0.9))
    lambda_gp = 0 if fault == NO_PENALTY else 10
    sign = -1 if fault == WRONG_SIGN else 1
    for step in range(steps):
        real_imgs = data[torch.randint(len(data), (32,))]
        fake_imgs = generator(torch.randn(32, nz, 1, 1))
        optimizer_D.zero_grad()
        gp = compute_gradient_penalty(discriminator, real_imgs, fake_imgs.detach())
        d_loss = sign * (discriminator(fake_imgs.detach()).mean() - discriminator(real_imgs).mean()) + lambda_gp * gp
        d_loss.backward()
        if fault != NO_D_STEP:
            optimizer_D.step()
        numbers = {"d_loss": d_loss}
        if step % 3 == 0:
            optimizer_G.zero_grad()
            g_loss = -discriminator(fake_imgs).mean()
            g_loss.backward()
            if fault != NO_G_STEP:
                optimizer_G.step()
            numbers["g_loss"] = g_loss
        monitor.step(**numbers)
    return monitor


# --- CycleGAN ---------------------------------------------------------------------------------------------------------


class Translator(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(1, width, 3, 1, 1), nn.ReLU(True), nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(True),
            nn.Conv2d(width, 1, 3, 1, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, x):
        return self.model(x)


class PatchDiscriminator(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, width, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 1, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x):
        return self.model(x)


def cyclegan(data, steps, monitor_of, fault="", seed=0):
    """From black on white (A) to white on black (B), and back."""
    torch.manual_seed(seed)
    real = {"A": -data[: len(data) // 2], "B": data[len(data) // 2 :]}
    netG = {"A": Translator(), "B": Translator()}  # by what they make
    netD = {"A": PatchDiscriminator(), "B": PatchDiscriminator()}
    monitor = monitor_of(netG, netD, real)
    mse, l1 = nn.MSELoss(), nn.L1Loss()
    parameters = itertools.chain(*(net.parameters() for net in netG.values()))
    optimizer_G = torch.optim.Adam(parameters, lr=0.2 if fault == G_FAST else 0.002, betas=(0.5, 0.999))
    parameters = itertools.chain(*(net.parameters() for net in netD.values()))
    optimizer_D = torch.optim.Adam(parameters, lr=0.002, betas=(0.5, 0.999))
    for _ in range(steps):
        real_A, real_B = (x[torch.randint(len(x), (16,))] for x in real.values())
        fake_B, fake_A = netG["B"](real_A), netG["A"](real_B)
        loss_G_A, loss_G_B = (mse(D, torch.ones_like(D)) for D in (netD["A"](fake_A), netD["B"](fake_B)))
        loss_cycle = l1(netG["A"](fake_B), real_A) + l1(netG["B"](fake_A), real_B)
        optimizer_G.zero_grad()
        (loss_G_A + loss_G_B + 10 * loss_cycle).backward()
        if fault != NO_G_STEP:
            optimizer_G.step()
        losses = {}
        optimizer_D.zero_grad()
        for name, x, fake in (("A", real_A, fake_A), ("B", real_B, fake_B)):
            good, bad = netD[name](x), netD[name](fake.detach())
            good, bad = (bad, good) if fault == EXCHANGED else (good, bad)
            losses[name] = 0.5 * (mse(good, torch.ones_like(good)) + mse(bad, torch.zeros_like(bad)))
            losses[name].backward()
        if fault != NO_D_STEP:
            optimizer_D.step()
        monitor.step(D_A=losses["A"], D_B=losses["B"], G_A=loss_G_A, G_B=loss_G_B, cycle=loss_cycle)
    return monitor


LOOPS = {"dcgan": dcgan, "wgan_gp": wgan_gp, "cyclegan": cyclegan}
FAULTS = {
    "dcgan": {
        NO_D_STEP: {"unchanged"},
        NO_G_STEP: {"unchanged"},
        BOTH_FAST: {
            "discriminator_fooled",
            "discriminator_saturated",
            "discriminator_blind",
            "instability",
        },  # all of them: D ends with one certain answer, and which one is chance
        D_FAST: {"discriminator_blind", "discriminator_saturated"},
        EXCHANGED: {"discriminator_fooled", "discriminator_blind"},
    },
    "wgan_gp": {
        NO_PENALTY: {"divergence"},
        WRONG_SIGN: {"discriminator_blind"},
        NO_D_STEP: {"unchanged"},
        NO_G_STEP: {"unchanged"},
    },
    "cyclegan": {
        NO_G_STEP: {"unchanged"},
        NO_D_STEP: {"unchanged"},
        G_FAST: {"total_collapse"},
        EXCHANGED: {"discriminator_blind"},
    },
}
