"""Generators and discriminators, from dense layers to DCGAN, unconditional or conditional on the class.

Every G maps latents (B, latent_dim) to (B, *shape); every D maps (B, *shape) to logits (B,), or to (B / pack,) if it
judges `pack` examples at a time. A conditional pair (classes > 0) takes labels, int64 (B,), as a second argument:
G(z, y) and D(x, y). Sizes are arguments, and `seed` fixes the initial weights. Each net keeps the arguments it was made
with in `.config`, so that a checkpoint can make it again. All nets work under `torch.func.functional_call` and
`torch.vmap` over stacked weights and buffers, in train mode too.

`dense` and `convolutional` hold the nets, `layers` and `conditioning` what they are made of; `summary` prints them, and
`vae` is the variational autoencoder that lesson 08 compares them with.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.models.arguments import plain_values
    from gantutor.models.conditioning import Join, check_labels, classes_of, with_labels
    from gantutor.models.convolutional import DCGANDiscriminator, DCGANGenerator, dcgan, for_images
    from gantutor.models.dense import MLPDiscriminator, MLPGenerator, mlp, plane
    from gantutor.models.layers import (
        NORMALISING,
        Blur,
        Maxout,
        MinibatchStd,
        Modulated,
        SelfModulatedBatchNorm,
        SpectralNorm,
        fold,
        init_weights,
        pack_of,
    )
    from gantutor.models.registry import NETS
    from gantutor.models.summary import parameters, rows, table

__all__ = [
    "NETS",
    "NORMALISING",
    "Blur",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Join",
    "MLPDiscriminator",
    "MLPGenerator",
    "Maxout",
    "MinibatchStd",
    "Modulated",
    "SelfModulatedBatchNorm",
    "SpectralNorm",
    "check_labels",
    "classes_of",
    "dcgan",
    "fold",
    "for_images",
    "init_weights",
    "mlp",
    "pack_of",
    "parameters",
    "plain_values",
    "plane",
    "rows",
    "table",
    "with_labels",
]
__getattr__ = lazy.importer(__name__)
