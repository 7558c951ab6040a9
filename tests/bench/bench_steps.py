"""Images per second of every model, and how near each comes to what its matrix products allow. Prints tables.

    python tests/bench/bench_steps.py                       # every model and variant on the best device
    python tests/bench/bench_steps.py dcgan dcgan-64 --seconds 5 --device cpu

The floor of a model: its convolutions and matrix products alone, with the shapes they have in one step, one after the
other, in the same precision (on CUDA as a CUDA graph). "share" is that floor divided by the time of the whole step: 1
would mean that everything else costs nothing. TFLOP/s counts the same products (PyTorch's FlopCounterMode).
Random images are enough: the speed does not depend on what they show. Compare within one run only.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from gantutor import data, models
from gantutor.cli import common
from gantutor.train import Recipe, Run, accelerate

CLASSES = tuple("0123456789")
MODELS: dict[str, tuple[Callable, tuple[int, int, int], int]] = {  # pair, shape of an image, batch size
    "mlp": (models.mlp, (1, 28, 28), 64),
    "dcgan": (models.dcgan, (1, 28, 28), 64),
    "cmlp": (partial(models.mlp, classes=10), (1, 28, 28), 64),
    "cdcgan": (partial(models.dcgan, classes=10), (1, 28, 28), 64),
    "dcgan-64": (partial(models.dcgan, g_width=64, d_width=64, hidden=0), (3, 64, 64), 256),
}
VARIANTS = {
    "eager": {"capture": False},
    "bf16": {"capture": False, "precision": "bf16"},
    "compiled": {"capture": False, "compile": True},
    "captured": {"capture": True},
    "captured, bf16": {"capture": True, "precision": "bf16"},
    "captured, bf16, compiled": {"capture": True, "precision": "bf16", "compile": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--seconds", type=float, default=3, help="of steps for each figure")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = common.choose_device(args.device)
    name = torch.cuda.get_device_name() if device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    print(f"{device} ({name}), torch {torch.__version__}")
    print(f"{'model':10} {'batch':>5} {'variant':26} {'images/s':>10} {'ms/step':>8} {'TFLOP/s':>8} {'share':>6}")
    for model in args.models or MODELS:
        measure(model, device, args.seconds)


def measure(model: str, device: str, seconds: float) -> None:
    floors: dict[str, float] = {}
    for variant, options in VARIANTS.items():
        if options["capture"] and not device.startswith("cuda"):
            continue
        precision = options.get("precision", "fp32")
        if precision not in floors:
            flops, floors[precision] = floor(new_run(model, device, precision=precision, capture=False), seconds)
        run = new_run(model, device, **options)
        each = time_of(run.take_step, seconds, warm_up=2 * run.recipe.penalty_every + 2)
        batch = run.recipe.batch_size
        print(f"{model:10} {batch:5} {variant:26} {batch / each:10,.0f} {each * 1000:8.3f} {flops / each / 1e12:8.3f} "
              f"{floors[precision] / each:6.2f}", flush=True)  # fmt: skip


def new_run(model: str, device: str, **options) -> Run:
    make, shape, batch_size = MODELS[model]
    n = max(4096, batch_size)
    pixels = torch.rand(n, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images = data.Images("noise", pixels, torch.arange(n) % 10, CLASSES)
    return Run(*make(shape), images, dataclasses.replace(Recipe(), batch_size=batch_size), device=device, **options)


def time_of(function: Callable[[], object], seconds: float, warm_up: int = 3) -> float:
    """Seconds per call, over at least `seconds`; the device is waited for at the beginning and at the end."""
    for _ in range(warm_up):
        function()
    calls, chunk, spent = 0, 16, 0.0  # 16: one period of the lazy penalty
    synchronize()
    began = time.perf_counter()
    while spent < seconds:
        for _ in range(chunk):
            function()
        synchronize()
        calls, spent = calls + chunk, time.perf_counter() - began
    return spent / calls


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    if torch.backends.mps.is_available():
        torch.mps.synchronize()


# --- the floor -------------------------------------------------------------------------------------------------------

PRODUCTS = {"mm", "addmm", "bmm", "convolution", "convolution_backward"}


class Products(TorchDispatchMode):
    """Writes down the matrix products and convolutions of what runs inside the block, with their arguments."""

    def __init__(self):
        super().__init__()
        self.calls: list[tuple[Callable, tuple, dict]] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation.overloadpacket.__name__ in PRODUCTS:
            kept = [a.detach().clone() if isinstance(a, Tensor) else a for a in args]
            self.calls.append((operation, tuple(kept), kwargs or {}))
        return operation(*args, **(kwargs or {}))

    @torch.no_grad()
    def __call__(self) -> list[Tensor]:
        for operation, args, kwargs in self.calls:
            operation(*args, **kwargs)
        return []


def floor(run: Run, seconds: float) -> tuple[float, float]:
    """Operations, and seconds, of the products of one step without its penalty."""
    list(run.steps(2))
    with FlopCounterMode(display=False) as counter:
        run.train_step(penalise=False)
    with Products() as products:
        run.train_step(penalise=False)
    replay = accelerate.Captured(products, []) if run.device.type == "cuda" else products
    return counter.get_total_flops(), time_of(replay, seconds)


if __name__ == "__main__":
    main()
