"""Small nets in the forms that public tutorials and repositories give them, for images of 1×16×16."""

import torch
from torch import nn

SHAPE = (1, 16, 16)


def weights_init(layer):
    name = type(layer).__name__
    if "Conv" in name:
        nn.init.normal_(layer.weight.data, 0.0, 0.02)
    elif "BatchNorm" in name:
        nn.init.normal_(layer.weight.data, 1.0, 0.02)
        nn.init.constant_(layer.bias.data, 0)


# --- DCGAN, as in PyTorch's tutorial: noise (N, nz, 1, 1), a sigmoid at the end of D ----------------------------------


class DCGANGenerator(nn.Module):
    def __init__(self, ngpu=1, nz=100, ngf=4, nc=1):
        super().__init__()
        self.ngpu = ngpu
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 2, 4, 1, 0, bias=False), nn.BatchNorm2d(ngf * 2), nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False), nn.BatchNorm2d(ngf), nn.ReLU(True),
            nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False), nn.Tanh(),
        )  # fmt: skip

    def forward(self, input):
        return self.main(input)


class DCGANDiscriminator(nn.Module):
    def __init__(self, ngpu=1, ndf=4, nc=1):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(nc, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(ndf * 2), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 2, 1, 4, 1, 0, bias=False), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, input):
        return self.main(input)  # (N, 1, 1, 1)


def dcgan():
    return DCGANGenerator().apply(weights_init), DCGANDiscriminator().apply(weights_init)


# --- dense nets -------------------------------------------------------------------------------------------------------


class MLPGenerator(nn.Module):
    """The size of the noise is nowhere but in the first layer."""

    def __init__(self, latent=64, flat=False):
        super().__init__()
        self.flat = flat
        self.model = nn.Sequential(
            nn.Linear(latent, 32), nn.BatchNorm1d(32, 0.8), nn.LeakyReLU(0.2), nn.Linear(32, 256), nn.Tanh()
        )

    def forward(self, z):
        img = self.model(z)
        return img if self.flat else img.view(img.size(0), *SHAPE)


class MLPDiscriminator(nn.Module):
    """`view` makes the pictures flat; with `flat` whoever calls it has to."""

    def __init__(self, flat=False, sigmoid=True):
        super().__init__()
        self.flat = flat
        self.model = nn.Sequential(nn.Linear(256, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
        if sigmoid:
            self.model.append(nn.Sigmoid())

    def forward(self, img):
        return self.model(img if self.flat else img.view(img.size(0), -1))


class FunctionalSigmoid(MLPDiscriminator):
    def __init__(self):
        super().__init__(sigmoid=False)

    def forward(self, img):
        return torch.sigmoid(super().forward(img)).view(-1)


# --- with labels ------------------------------------------------------------------------------------------------------


class CGANGenerator(nn.Module):
    def __init__(self, latent=50, n_classes=10):
        super().__init__()
        self.label_emb = nn.Embedding(n_classes, n_classes)
        self.model = nn.Sequential(nn.Linear(latent + n_classes, 32), nn.LeakyReLU(0.2), nn.Linear(32, 256), nn.Tanh())

    def forward(self, noise, labels):
        return self.model(torch.cat((self.label_emb(labels), noise), -1)).view(-1, *SHAPE)


class CGANDiscriminator(nn.Module):
    def __init__(self, n_classes=10):
        super().__init__()
        self.label_embedding = nn.Embedding(n_classes, n_classes)
        self.model = nn.Sequential(nn.Linear(256 + n_classes, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, img, labels):
        return self.model(torch.cat((img.view(img.size(0), -1), self.label_embedding(labels)), -1))


class ACGANGenerator(nn.Module):
    """The embedding is multiplied by the noise; a dense layer, then convolutions."""

    def __init__(self, latent=60, n_classes=7):
        super().__init__()
        self.label_emb = nn.Embedding(n_classes, latent)
        self.l1 = nn.Sequential(nn.Linear(latent, 8 * 64))
        self.conv_blocks = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(8, 1, 3, padding=1), nn.Tanh())

    def forward(self, noise, labels):
        return self.conv_blocks(self.l1(self.label_emb(labels) * noise).view(-1, 8, 8, 8))


class ACGANDiscriminator(nn.Module):
    """Returns (validity (N, 1), class probabilities (N, K))."""

    def __init__(self, n_classes=7):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.LeakyReLU(0.2), nn.Flatten())
        self.adv_layer = nn.Sequential(nn.Linear(256, 1), nn.Sigmoid())
        self.aux_layer = nn.Sequential(nn.Linear(256, n_classes), nn.Softmax(dim=1))

    def forward(self, img):
        out = self.body(img)
        return self.adv_layer(out), self.aux_layer(out)


class InfoGANGenerator(nn.Module):
    def __init__(self):
        super().__init__()
        self.l1 = nn.Linear(62 + 10 + 2, 256)

    def forward(self, noise, labels, code):
        return torch.tanh(self.l1(torch.cat((noise, labels, code), -1))).view(-1, *SHAPE)


# --- CycleGAN and StyleGAN --------------------------------------------------------------------------------------------


class PatchDiscriminator(nn.Module):
    """(N, 1, 4, 4): one number for each patch."""

    def __init__(self, channels=1):
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(channels, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 8, 4, 2, 1), nn.InstanceNorm2d(8),
            nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, img):
        return self.model(img)


class Translator(nn.Module):
    """CycleGAN's G: a picture -> a picture."""

    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))

    def forward(self, x):
        return self.model(x)


class EqualLinear(nn.Module):
    """A layer of one's own: not an `nn.Linear`, but its weight has the form of one."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) / n_in**0.5)

    def forward(self, x):
        return x @ self.weight.t()


class StyleGenerator(nn.Module):
    """G(z, c), z_dim and c_dim attributes, c None where there are no classes; or a list of styles, and a tuple out."""

    def __init__(self, listed=False, c_dim=0):
        super().__init__()
        if not listed:
            self.z_dim, self.c_dim = 48, c_dim
        self.listed = listed
        self.mapping = nn.Sequential(EqualLinear(48, 32), nn.LeakyReLU(0.2), EqualLinear(32, 32))
        self.const = nn.Parameter(torch.randn(1, 1, 16, 16))
        self.to_rgb = EqualLinear(32, 256)

    def synthesis(self, w):
        return torch.tanh(self.const + self.to_rgb(w).view(-1, *SHAPE))


class StyleGeneratorADA(StyleGenerator):
    def forward(self, z, c, truncation_psi=1):
        if self.c_dim:
            z = torch.cat([z, c.float() @ torch.zeros(self.c_dim, 0)], 1)
        return self.synthesis(self.mapping(z))


class StyleGeneratorListed(StyleGenerator):
    def __init__(self):
        super().__init__(listed=True)

    def forward(self, styles, return_latents=False):
        if not isinstance(styles, list):
            raise TypeError("styles is no list")
        latent = [self.mapping(s) for s in styles]
        return self.synthesis(latent[0]), (latent[0] if return_latents else None)
