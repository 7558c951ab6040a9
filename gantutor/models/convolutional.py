"""Convolutional nets: the DCGAN (Radford et al. 2016)."""

from collections.abc import Sequence

from torch import Tensor, nn

from gantutor.errors import BadInput, real_number, whole_number
from gantutor.models.arguments import check_choices, check_conditioning, check_groups, check_sizes, plain_values
from gantutor.models.conditioning import D_LABELS, G_LABELS, Join, g_label, projected
from gantutor.models.layers import ACTIVATIONS, MinibatchStd, add_spectral_norm, fold, init_weights
from gantutor.state import seeded

# --- convolutional ---------------------------------------------------------------------------------------------------

FIRST = {28: 7, 32: 4, 64: 4}  # image size -> size of the smallest feature map; each layer between doubles it
NORMS = ("batch", "none")
DOWN, UP = ("stride", "pool"), ("transposed", "resize")


class DCGANGenerator(nn.Module):
    """z -> a small feature map -> doubled until it is an image (Radford et al. 2016).

    Each doubling is a transposed convolution of stride 2, batch norm and ReLU, and halves the channels; the last one
    makes the image, with tanh. For 28 pixels 7 → 14 → 28, for 32 and 64 from 4 on.

    Args:
        latent_dim: length of z; z is drawn from N(0, I).
        width: channels of the last feature map, before the image; the first one has width · 2ⁿ.
        shape: (C, 28, 28), (C, 32, 32) or (C, 64, 64).
        up: "transposed", or "resize": enlarge by repeating pixels, then convolve (Odena et al. 2016).
        kernel: side of the kernels. One that 2 does not divide gives checkerboards with "transposed".
        norm: "batch" or "none".
        activation: between the layers: "relu", "leaky" (slope 0.2), "tanh" or "sigmoid".
        init_std: weights from N(0, init_std²) as in the paper; None leaves PyTorch's own.
        seed: fixes the initial weights.
        classes, label: as in `MLPGenerator`.

    Raises:
        BadInput: another image size, or a value that is not offered.
    """

    def __init__(self, latent_dim=64, width=32, shape=(1, 28, 28), up="transposed", kernel=4, norm="batch",
                 activation="relu", init_std=0.02, seed=0, classes=0, label="concat"):  # fmt: skip
        super().__init__()
        doublings = check_conv(shape, width=width, kernel=kernel, latent_dim=latent_dim)
        check_choices(up=(up, UP), norm=(norm, NORMS), activation=(activation, ACTIVATIONS))
        check_conditioning(classes, label, G_LABELS)
        self.config = plain_values(latent_dim=latent_dim, width=width, shape=list(shape), up=up, kernel=kernel,
                                   norm=norm, activation=activation, init_std=init_std, seed=seed,
                                   classes=classes, label=label)  # fmt: skip
        self.latent_dim, self.classes = self.config["latent_dim"], self.config["classes"]
        first, plain = FIRST[shape[1]], norm == "none"

        def rest(channels):
            return [*([] if plain else [nn.BatchNorm2d(channels)]), ACTIVATIONS[activation]()]

        with seeded(seed):
            self.join = Join(classes, label, (latent_dim,))
            wide = self.config["width"] * 2 ** (doublings - 1)
            layers = [nn.Linear(self.join.width, wide * first * first, bias=plain),
                      nn.Unflatten(1, (wide, first, first)), *rest(wide)]  # fmt: skip
            for _ in range(doublings - 1):
                layers += [*double(wide, wide // 2, kernel, up, bias=plain), *rest(wide // 2)]
                wide //= 2
            self.net = nn.Sequential(*layers, *double(wide, shape[0], kernel, up), nn.Tanh())
            init_weights(self, init_std)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.net(self.join(z, y))  # (B, latent_dim) -> (B, C, H, W)


class DCGANDiscriminator(nn.Module):
    """An image halved until it is a small feature map -> one logit (Radford et al. 2016).

    Each halving is a convolution of stride 2 with leaky ReLU, and doubles the channels. The paper puts batch norm
    between them; the default here is none, because a gradient penalty asks for the slope at *each* image, and batch
    norm lets the images of a batch talk to each other.

    Args:
        width: channels after the first halving; the last feature map has width · 2ⁿ.
        shape: (C, 28, 28), (C, 32, 32) or (C, 64, 64).
        down: "stride", or "pool": convolve at full size, then take the maximum of each 2×2.
        kernel: side of the kernels.
        norm: "none", or "batch" (in all halvings but the first, as in the paper).
        slope: of the leaky ReLU below 0; 0 is a plain ReLU.
        hidden: units of a fully connected layer before the logit; 0, as in the paper, for none.
        spectral: divide the weights of each layer by their largest singular value (Miyato et al. 2018).
        init_std, seed: as in `DCGANGenerator`.
        classes, label, pack: as in `MLPDiscriminator`; packed images become channels, image by image.
        minibatch_std: 0, or the group size of a `MinibatchStd` on the last feature map.

    Raises:
        BadInput: another image size, or a value that is not offered.
    """

    def __init__(self, width=32, shape=(1, 28, 28), down="stride", kernel=4, norm="none", slope=0.2, hidden=0,
                 spectral=False, init_std=0.02, seed=0, classes=0, label="projection", pack=1,
                 minibatch_std=0):  # fmt: skip
        super().__init__()
        halvings = check_conv(shape, width=width, kernel=kernel)
        check_choices(down=(down, DOWN), norm=(norm, NORMS))
        check_conditioning(classes, label, D_LABELS)
        check_groups(pack, classes, minibatch_std=minibatch_std)
        slope = real_number("slope", slope, least=0)
        whole_number("hidden", hidden)
        self.config = plain_values(width=width, shape=list(shape), down=down, kernel=kernel, norm=norm, slope=slope,
                                   hidden=hidden, spectral=spectral, init_std=init_std, seed=seed, classes=classes,
                                   label=label, pack=pack, minibatch_std=minibatch_std)  # fmt: skip
        self.classes, self.pack = self.config["classes"], self.config["pack"]
        with seeded(seed):
            self.join = Join(classes, label, (self.pack * shape[0], *shape[1:]))
            layers, before, after = [], self.join.width, width
            for i in range(halvings):
                normed = norm == "batch" and i > 0
                layers += [*halve(before, after, kernel, down, bias=not normed),
                           *([nn.BatchNorm2d(after)] if normed else []), nn.LeakyReLU(slope)]  # fmt: skip
                before, after = after, after * 2
            watch = [MinibatchStd(minibatch_std)] if minibatch_std else []
            features = (before + len(watch)) * FIRST[shape[1]] ** 2
            layers += [*watch, nn.Flatten()]
            if hidden:
                layers += [nn.Linear(features, hidden), nn.LeakyReLU(slope)]
            self.net = nn.Sequential(*layers, nn.Linear(hidden or features, 1))
            self.table = nn.Embedding(classes, hidden or features) if classes and label == "projection" else None
            init_weights(self, init_std)
            if spectral:
                add_spectral_norm(self)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = fold(x, self.pack)  # (B / pack, pack · C, H, W)
        return projected(self.net, self.table, self.join(x, y), y)  # (B / pack,)


def double(before: int, after: int, kernel: int, up: str, bias: bool = True) -> list[nn.Module]:
    """Layers (B, before, n, n) -> (B, after, 2n, 2n)."""
    if up == "resize":
        return [nn.Upsample(scale_factor=2), *same(before, after, kernel, bias)]
    padding = (kernel - 1) // 2  # (n − 1)·2 − 2·padding + kernel + output_padding = 2n
    return [nn.ConvTranspose2d(before, after, kernel, 2, padding, 2 + 2 * padding - kernel, bias=bias)]


def halve(before: int, after: int, kernel: int, down: str, bias: bool) -> list[nn.Module]:
    """Layers (B, before, 2n, 2n) -> (B, after, n, n)."""
    if down == "pool":
        return [*same(before, after, kernel, bias), nn.MaxPool2d(2)]
    return [nn.Conv2d(before, after, kernel, 2, (kernel - 1) // 2, bias=bias)]


def same(before: int, after: int, kernel: int, bias: bool) -> list[nn.Module]:
    """Layers (B, before, n, n) -> (B, after, n, n)."""
    if kernel % 2:
        return [nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=bias)]
    low, high = (kernel - 1) // 2, kernel // 2
    return [nn.ZeroPad2d((low, high, low, high)), nn.Conv2d(before, after, kernel, bias=bias)]


def dcgan(
    shape: Sequence[int] = (1, 28, 28),
    latent_dim: int = 64,
    g_width: int = 32,
    d_width: int = 16,
    hidden: int = 256,
    seed: int = 0,
    classes: int = 0,
    label: str = "projection",
    spectral: bool = False,
    pack: int = 1,
    minibatch_std: int = 0,
) -> tuple[DCGANGenerator, DCGANDiscriminator]:
    """The DCGAN pair (G, D). G's first weights come from `seed`, D's from `seed + 1`; labels as in `mlp`.

    Narrow, so that it learns on a CPU, and with a fully connected layer in D, which the paper leaves out; the paper's
    own have width 128, hidden 0 and images of 64 pixels.
    """
    G = DCGANGenerator(latent_dim, g_width, shape, seed=seed, classes=classes, label=g_label(label))
    return G, DCGANDiscriminator(d_width, shape, hidden=hidden, spectral=spectral, seed=seed + 1, classes=classes,
                                 label=label, pack=pack, minibatch_std=minibatch_std)  # fmt: skip


def check_conv(shape: Sequence[int], **sizes: int) -> int:
    """How many doublings lead from the first feature map to an image of this shape; `BadInput` where there is none."""
    check_sizes(shape=shape, **{name: [size] for name, size in sizes.items()})
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] not in FIRST:
        raise BadInput(f"the shape is {tuple(shape)}: a DCGAN makes (C, H, W) images of 28×28, 32×32 or 64×64 pixels.")
    return int(shape[1] // FIRST[shape[1]]).bit_length() - 1
