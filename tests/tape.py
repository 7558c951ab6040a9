"""For the tests of `fast`: what stands in for CUDA's streams and graphs on a computer without them."""

import contextlib

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


class Graph(TorchDispatchMode):
    """In the place of `torch.cuda.CUDAGraph`: writes down tensor operations, and does the same ones again on `replay`.

    Like a CUDA graph it keeps Python's numbers and decisions as they were, writes its results to the tensors that it
    made while recording, and refuses to wait for a value, to copy numbers from Python, or to draw from a generator
    before it was told of one. Unlike one, it does the work while it records.
    """

    def __init__(self):
        super().__init__()
        self.calls, self.generators = [], []

    def register_generator_state(self, generator: torch.Generator) -> None:
        self.generators.append(generator)

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        if (kwargs or {}).get("generator") is not None and not self.generators:
            raise RuntimeError("the generator is not registered, and the stream is capturing")
        if operation is torch.ops.aten.lift_fresh.default:
            raise RuntimeError("numbers of Python are copied to the device, and the stream is capturing")
        result = operation(*args, **(kwargs or {}))
        self.calls.append((operation, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        now = {}  # id of a tensor that came to be while recording -> that tensor, and the one in its place
        for operation, args, kwargs, result in self.calls:
            args, kwargs = tree_map_only(Tensor, lambda t: now.get(id(t), (t, t))[1], (args, kwargs))
            made = operation(*args, **kwargs)
            pairs = zip(tree_leaves(result), tree_leaves(made), strict=True)
            now.update({id(old): (old, new) for old, new in pairs if isinstance(old, Tensor)})
        for old, new in now.values():
            if old.is_contiguous():
                old.copy_(new)


class Stream:
    def __init__(self, device: torch.device):
        pass

    def wait_stream(self, other: "Stream") -> None:
        pass


def stand_in(monkeypatch) -> None:
    """`fast.Captured` records on the CPU from now on."""
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream: graph)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # so that nothing looks at labels, as on a GPU
