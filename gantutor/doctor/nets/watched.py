"""Nets that are being trained: do their weights change?"""

from collections.abc import Iterable

import torch
from torch import nn


class WatchedWeights:
    """The weights of nets, compared from look to look.

    Nets that need no gradients at the beginning, as averages do not, are left out.

    Attributes:
        since: the step of the last look at which they had changed.
        looks: how many looks there have been after it.
    """

    def __init__(self, nets: Iterable[nn.Module]):
        parameters = [parameter for net in nets for parameter in net.parameters()]
        self.parameters = parameters if any(parameter.requires_grad for parameter in parameters) else []
        self.since, self.looks = 0, 0
        self.norms = self.measure()

    def look(self, step: int) -> None:
        norms = self.measure()
        if norms and norms == self.norms:
            self.looks += 1
        else:
            self.since, self.looks, self.norms = step, 0, norms

    def measure(self) -> list[float]:
        """The norm of each parameter: one transfer from the device for all of them."""
        with torch.no_grad():
            norms = [parameter.float().norm() for parameter in self.parameters]
        return torch.stack([norm.to(norms[0].device) for norm in norms]).tolist() if norms else []
