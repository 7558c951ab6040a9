"""Fully connected nets."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from gantutor.errors import BadInput
from gantutor.models.arguments import check_choices, check_conditioning, check_groups, check_sizes, plain_values
from gantutor.models.conditioning import D_LABELS, G_LABELS, Join, g_label, projected
from gantutor.models.layers import ACTIVATIONS, Maxout, MinibatchStd, add_spectral_norm, fold, init_weights
from gantutor.state import seeded


def hidden_layer(width: int, size: int, batch_norm: bool, activation: str, maxout: int = 0) -> list[nn.Module]:
    """A hidden layer (B, width) -> (B, size): linear, batch norm if asked for, then activation or maxout."""
    wide = size * max(maxout, 1)
    norm = [nn.BatchNorm1d(wide)] if batch_norm else []
    nonlinearity = Maxout(maxout) if maxout else ACTIVATIONS[activation]()
    return [nn.Linear(width, wide, bias=not batch_norm), *norm, nonlinearity]


class MLPGenerator(nn.Module):
    """Fully connected generator: z -> hidden layers (batch norm, ReLU) -> one value per pixel.

    Args:
        latent_dim: length of z; z is drawn from N(0, I).
        hidden: widths of the hidden layers. (128,) with batch_norm=False is the 128-wide net of early tutorials.
        shape: shape of one example, (C, H, W) for images or (2,) for points in the plane.
        batch_norm: normalise each hidden layer over the batch (Ioffe & Szegedy 2015).
        output: "tanh" (images in [-1, 1]) or "linear" (any real value).
        seed: fixes the initial weights.
        classes: 0, or the number of classes of a conditional G.
        label: how it is given the class, "concat" or "embed"; see `Join`.
        init_std: weights from N(0, init_std²), as in `init_weights`; None leaves PyTorch's own.
        activation: of the hidden layers: "relu", "leaky" (slope 0.2), "tanh" or "sigmoid".
    """

    def __init__(self, latent_dim=64, hidden=(256, 512), shape=(1, 28, 28), batch_norm=True, output="tanh", seed=0,
                 classes=0, label="concat", init_std=None, activation="relu"):  # fmt: skip
        super().__init__()
        if output not in ("tanh", "linear"):
            raise BadInput(f"output is {output!r}: choose 'tanh' (images in [-1, 1]) or 'linear' (any value).")
        check_sizes(latent_dim=[latent_dim], hidden=hidden, shape=shape)
        check_choices(activation=(activation, ACTIVATIONS))
        check_conditioning(classes, label, G_LABELS)
        self.config = plain_values(latent_dim=latent_dim, hidden=list(hidden), shape=list(shape), batch_norm=batch_norm,
                                   output=output, seed=seed, classes=classes, label=label, init_std=init_std,
                                   activation=activation)  # fmt: skip
        self.latent_dim, self.classes = self.config["latent_dim"], self.config["classes"]
        with seeded(seed):
            self.join = Join(classes, label, (latent_dim,))
            layers, width = [], self.join.width
            for size in hidden:
                layers += hidden_layer(width, size, batch_norm, activation)
                width = size
            layers += [nn.Linear(width, math.prod(shape)), *([nn.Tanh()] if output == "tanh" else [])]
            self.net = nn.Sequential(*layers, nn.Unflatten(1, tuple(self.config["shape"])))
            init_weights(self, init_std)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.net(self.join(z, y))  # (B, latent_dim) -> (B, *shape)


class MLPDiscriminator(nn.Module):
    """Fully connected discriminator: pixels -> hidden layers (leaky ReLU, slope 0.2) -> one logit.

    Args:
        hidden: widths of the hidden layers.
        shape: shape of one example.
        seed: fixes the initial weights.
        classes: 0, or the number of classes of a conditional D.
        label: how it is given the class, "concat", "embed" or "projection".
        spectral: divide the weights of each layer by their largest singular value (Miyato et al. 2018).
        init_std: weights from N(0, init_std²), as in `init_weights`; None leaves PyTorch's own.
        activation: of the hidden layers, as in `MLPGenerator`.
        maxout: 0, or the number of linear pieces of each hidden unit; their maximum replaces the activation.
        batch_norm: normalise each hidden layer over the batch (Ioffe & Szegedy 2015).
        pack: number of examples that are judged together, as one: x (B, *shape) -> (B / pack,) (Lin et al. 2018).
        minibatch_std: 0, or the group size of a `MinibatchStd` before the last hidden layer.
    """

    def __init__(self, hidden=(512, 256), shape=(1, 28, 28), seed=0, classes=0, label="projection", spectral=False,
                 init_std=None, activation="leaky", maxout=0, batch_norm=False, pack=1, minibatch_std=0):  # fmt: skip
        super().__init__()
        check_sizes(hidden=hidden, shape=shape)
        check_choices(activation=(activation, ACTIVATIONS))
        check_conditioning(classes, label, D_LABELS)
        check_groups(pack, classes, maxout=maxout, minibatch_std=minibatch_std)
        if minibatch_std and not hidden:
            raise BadInput(f"minibatch_std is {minibatch_std}, but D has no hidden layer to use it: give it one.")
        self.config = plain_values(hidden=list(hidden), shape=list(shape), seed=seed, classes=classes, label=label,
                                   spectral=spectral, init_std=init_std, activation=activation, maxout=maxout,
                                   batch_norm=batch_norm, pack=pack, minibatch_std=minibatch_std)  # fmt: skip
        self.classes, self.pack = self.config["classes"], self.config["pack"]
        with seeded(seed):
            self.join = Join(classes, label, (self.pack * math.prod(shape),))
            layers, width = [nn.Flatten()], self.join.width
            for i, size in enumerate(hidden, start=1):
                if minibatch_std and i == len(hidden):
                    layers, width = [*layers, MinibatchStd(minibatch_std)], width + 1
                layers += hidden_layer(width, size, batch_norm, activation, maxout)
                width = size
            self.net = nn.Sequential(*layers, nn.Linear(width, 1))
            self.table = nn.Embedding(classes, width) if classes and label == "projection" else None
            if self.table is not None:
                init_weights(self.table)
            init_weights(self, init_std)
            if spectral:
                add_spectral_norm(self)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = fold(x.flatten(1), self.pack)  # (B / pack, pack · prod(shape))
        return projected(self.net, self.table, self.join(x, y), y)  # (B / pack,)


def mlp(
    shape: Sequence[int] = (1, 28, 28),
    latent_dim: int = 64,
    g_hidden: Sequence[int] = (256, 512),
    d_hidden: Sequence[int] = (512, 256),
    batch_norm: bool = True,
    output: str = "tanh",
    seed: int = 0,
    classes: int = 0,
    label: str = "projection",
    spectral: bool = False,
    pack: int = 1,
    minibatch_std: int = 0,
) -> tuple[MLPGenerator, MLPDiscriminator]:
    """The MLP pair (G, D). G's initial weights come from `seed`, D's from `seed + 1`.

    `label` is for D; G has the same, except "concat" if D has "projection". The arguments after it are for D alone.
    """
    G = MLPGenerator(latent_dim, g_hidden, shape, batch_norm, output, seed, classes, g_label(label))
    return G, MLPDiscriminator(
        d_hidden, shape, seed + 1, classes, label, spectral, pack=pack, minibatch_std=minibatch_std
    )


def plane(seed: int = 0, pack: int = 1, minibatch_std: int = 0) -> tuple[MLPGenerator, MLPDiscriminator]:
    """The pair (G, D) for points in the plane, to be trained by `train.PLANE`: three layers of 64, no normalisation.

    The points should have a standard deviation of about 1: divide them by `toy.Mixture.spread`.
    """
    return mlp((2,), 2, (64,) * 3, (64,) * 3, False, "linear", seed, pack=pack, minibatch_std=minibatch_std)
