"""Many at once: S small GANs in one batched step, or one training by several processes.

`ensemble` trains members that differ in their seeds for little more than the price of one; `distributed` shares each
batch among ranks.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.scale.distributed import Ranks, SharedError, joined, share
    from gantutor.scale.ensemble import Ensemble, load_ensemble

__all__ = ["Ensemble", "Ranks", "SharedError", "joined", "load_ensemble", "share"]
__getattr__ = lazy.importer(__name__)
