"""The package's own nets by name, so that a file can say which one it holds."""

from gantutor.models.convolutional import DCGANDiscriminator, DCGANGenerator
from gantutor.models.dense import MLPDiscriminator, MLPGenerator

NETS = {cls.__name__: cls for cls in (MLPGenerator, MLPDiscriminator, DCGANGenerator, DCGANDiscriminator)}
