"""For the tests of `fast`: what stands in for a CUDA graph on a computer without CUDA."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from gantutor import fast


class Tape(TorchDispatchMode):
    """Writes down every tensor operation of a function and does the same operations again when it is called.

    Like a CUDA graph it keeps Python's numbers and decisions as they were when it recorded, and it refuses to wait for
    a value. Unlike one, it does the work while it records.
    """

    def __init__(self, function: Callable[[], Sequence[Tensor]], generators: Iterable[torch.Generator]):
        super().__init__()
        for _ in range(fast.WARM_UP):
            function()
        self.calls = []
        with self:
            self.result = function()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        result = operation(*args, **(kwargs or {}))
        self.calls.append((operation, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def __call__(self) -> list[Tensor]:
        now = {}  # id of a tensor that came to be while recording -> the one in its place
        for operation, args, kwargs, result in self.calls:
            args, kwargs = tree_map_only(Tensor, lambda t: now.get(id(t), t), (args, kwargs))
            made = operation(*args, **kwargs)
            pairs = zip(tree_leaves(result), tree_leaves(made), strict=True)
            now.update({id(old): new for old, new in pairs if isinstance(old, Tensor)})
        return [now[id(tensor)] for tensor in self.result]
