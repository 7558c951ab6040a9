"""Many small GANs at once: S independent runs in one batched step, for little more than the price of one.

A result with one seed is an anecdote. An ensemble gives S of them, each with its own first weights, its own order of
the examples and its own noise: member i does what a `Run` with these seeds would do.

    pairs = [models.mlp((2,), output="linear", seed=s) for s in (0, 2, 4)]
    ensemble = Ensemble(pairs, toy.ring().sample(100_000, 0), seeds=0)
    curves = [step.g_loss for step in ensemble.steps(1000)]  # (S,) each
    points = ensemble.sample(2500)  # (S, 2500, 2)

The weights of all members are stacked, (S, …), and so are their batches. `torch.vmap` turns what a net does with one
member's weights and batch into batched matrix products. Adam goes through its weights one by one, so stacking them
changes nothing.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gantutor.data import Images
from gantutor.errors import BadInput, reason, whole_number
from gantutor.models import NETS, MinibatchStd, MLPDiscriminator, MLPGenerator, classes_of, pack_of
from gantutor.penalties import Discriminator, Penalty
from gantutor.runs import checkpoint
from gantutor.state import evaluating
from gantutor.train import Recipe, Run, accelerate, latents
from gantutor.train.accelerate import Pass
from gantutor.train.sampling import Source, length_of_latents

Pair = tuple[nn.Module, nn.Module]


class Stacked(nn.Module):
    """S nets of one architecture as one: (S·B, *shape), member after member -> what they give, likewise.

    Its parameters and buffers are copies of theirs, stacked: (S, …).
    """

    def __init__(self, nets: Sequence[nn.Module]):
        super().__init__()
        states = [{**dict(net.named_parameters()), **dict(net.named_buffers())} for net in nets]
        self.members, self.pack = len(nets), pack_of(nets[0])
        self.configs = [getattr(net, "config", None) for net in nets]
        self.net = exchanged(nets[0], lambda name, _: torch.stack([state[name].detach() for state in states]))
        self.kind = type(nets[0])
        self.latent_dim = getattr(nets[0], "latent_dim", None)

    def forward(self, x: Tensor) -> Tensor:
        return self.each(x.unflatten(0, (self.members, -1))).flatten(0, 1)

    def each(self, x: Tensor) -> Tensor:
        """(S, B, *shape) -> what each member makes of its own batch, (S, B, …)."""
        if self.kind is MLPGenerator:
            return self.by_layers(x)
        if self.kind is MLPDiscriminator:
            return self.by_layers(x.reshape(self.members, x.shape[1] // self.pack, -1)).squeeze(2)
        return side_by_side(self.net, x)

    def by_layers(self, h: Tensor) -> Tensor:
        """What `side_by_side` does with an MLP, in fewer and faster operations: (S, B, in) -> (S, B, …)."""
        for layer in cast(nn.Sequential, self.net.net):
            if type(layer) is nn.Linear:
                h = linear(h, layer.weight, layer.bias)  # (S, B, out)
            else:
                h = layer(h) if isinstance(layer, POINTWISE) else side_by_side(layer, h)
        return h

    def member(self, i: int) -> nn.Module:
        """The i-th net, with a copy of its weights."""
        net = exchanged(self.net, lambda _, t: t.detach()[i].clone())
        if (config := self.configs[i]) is not None:
            net.config = dict(config)  # type: ignore[assignment]  # torch knows of tensors and nets only
        return net


POINTWISE = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid)


def side_by_side(net: nn.Module, x: Tensor) -> Tensor:
    """A net with stacked weights, each member with its own batch: (S, B, …) -> (S, B, …)."""
    state = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    return torch.vmap(lambda own, batch: torch.func.functional_call(net, own, (batch,)))(state, x)


def linear(h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """h Wᵀ + b for each member: (S, B, in), (S, out, in), (S, out) -> (S, B, out)."""
    if weight.shape[1] == 1:  # matrix products are slow where a matrix is thin
        product = (h * weight).sum(2, keepdim=True)
        return product if bias is None else product + bias[:, None]
    columns = weight.mT.contiguous() if weight.shape[2] < 8 else weight.mT  # (S, in, out)
    return h @ columns if bias is None else torch.baddbmm(bias[:, None], h, columns)


def exchanged(net: nn.Module, change: Callable[[str, Tensor], Tensor]) -> nn.Module:
    """A copy of a net in which ``change(name, tensor)`` is in the place of each parameter and buffer."""
    net = copy.deepcopy(net)
    new = {}  # a parameter that two layers share stays one
    for prefix, module in list(net.named_modules()):
        for own in (module._parameters, module._buffers):
            for name, old in own.items():
                if old is not None and old not in new:
                    tensor = change(f"{prefix}.{name}".lstrip("."), old)
                    new[old] = nn.Parameter(tensor, old.requires_grad) if own is module._parameters else tensor
                own[name] = new.get(old)
    return net


class Ensemble(Run):
    """S training runs in one: used like a `Run`, and member i is the `Run` with the i-th of everything.

    In its `Step`s the losses are (S,) and the logits (S, B), or (S, B / pack). Everything in a `Recipe` works. A
    penalty is called once for all members, with their batches one after the other; it must be a mean over examples, and
    may draw with `torch.rand` and `torch.randn`, first dimension S·B or S·B / pack, from the streams of the members.

    Args:
        pairs: S pairs (G, D) of one architecture, each made with its own seed. They are copied. No conditional ones.
        data: as for `Run`; all members share it.
        recipe: how to train; all members share it.
        seeds: one for each member, or a whole number s for s, s + 1, …. As in `Run`.
        order_seeds, noise_seeds: the same; vary only the order of the examples, or only the noise. To vary the first
            weights alone, give all members the same seeds.
        device, capture: as for `Run`.

    Raises:
        BadInput: the pairs, seeds, data and recipe do not fit together.
    """

    can_be_captured = True
    G: Stacked
    D: Stacked
    G_ema: Stacked

    def __init__(
        self,
        pairs: Sequence[Pair],
        data: Images | Tensor,
        recipe: Recipe | None = None,
        *,
        seeds: int | Iterable[int],
        order_seeds: int | Iterable[int] | None = None,
        noise_seeds: int | Iterable[int] | None = None,
        device: str | torch.device | None = None,
        capture: bool | None = None,
    ):
        pairs = check_pairs(pairs)
        seeds = each_seed("seeds", seeds, len(pairs))
        order_seeds = seeds if order_seeds is None else each_seed("order_seeds", order_seeds, len(pairs))
        noise_seeds = seeds if noise_seeds is None else each_seed("noise_seeds", noise_seeds, len(pairs))
        G, D = (Stacked(nets) for nets in zip(*pairs, strict=True))
        super().__init__(G, D, data, recipe, seed=noise_seeds[0], device=device, capture=capture)
        self.members = len(pairs)
        self.source = sources = MemberSources(cast(Source, self.source), order_seeds, noise_seeds)
        self.D_pass = replace(self.D_pass, shape=(len(pairs), -1))  # logits (S, B)
        self.loss = self.loss._replace(d=torch.vmap(self.loss.d), g=torch.vmap(self.loss.g))  # logits (S, B) -> (S,)
        if self.penalty is not None:
            self.penalty = partial(member_by_member, sources.streams, self.penalty)
        talking = list(D.buffers()) or any(isinstance(layer, MinibatchStd) for layer in D.modules())
        if D.kind in NETS.values() and not talking:  # D looks at each example, or pack, by itself
            self.d_in_its_step = in_one_pass
        check_stacking(self)

    def __len__(self) -> int:
        """The number of members."""
        return self.G.members

    def member(self, i: int, *, averaged: bool = False) -> Pair:
        """The i-th pair (G, D) as ordinary nets with copies of its weights; with the averaged G if asked for."""
        whole_number("the member", i)
        if i >= len(self):
            raise BadInput(f"the member is {i}, but there are {len(self)}: count them from 0 to {len(self) - 1}.")
        return (self.G_ema if averaged else self.G).member(i), self.D.member(i)

    def sample(  # type: ignore[override]  # without labels
        self, n: int, *, seed: int = 0, averaged: bool = True
    ) -> Tensor:
        """`n` examples of each member, (S, n, *shape), all from the same latents: those that `train.sample` uses."""
        G = self.G_ema if averaged else self.G
        z = latents(self.G, n, seed).to(self.device, self.dtype)  # (n, latent_dim)
        with evaluating(G), torch.no_grad():
            return torch.cat([G.each(part.expand(len(self), -1, -1)) for part in z.split(max(1, 1000 // len(self)))], 1)


# --- what an ensemble puts in the place of a run's own ---------------------------------------------------------------


class MemberSources:
    """Each member's batches and noise from its own streams, one member after the other.

    Args:
        one: the source of a single run.
        order_seeds, noise_seeds: one of each for each member.
    """

    def __init__(self, one: Source, order_seeds: Sequence[int], noise_seeds: Sequence[int]):
        self.one, self.device = one, one.examples.device
        self.orders = [torch.Generator(self.device).manual_seed(seed) for seed in order_seeds]
        self.streams = [torch.Generator(self.device).manual_seed(seed) for seed in noise_seeds]

    def batch(self) -> tuple[Tensor, Tensor | None]:
        """Examples (S·B, *shape)."""
        n, size = len(self.one.examples), self.one.shape[:1]
        index = [torch.randint(n, size, generator=order, device=self.device) for order in self.orders]
        return self.one.pick(torch.cat(index))

    def noise(self) -> Tensor:
        """Latents (S·B, latent_dim)."""
        shape, dtype = self.one.shape, self.one.dtype
        noise = [torch.randn(shape, generator=stream, device=self.device, dtype=dtype) for stream in self.streams]
        return torch.cat(noise)

    def generators(self) -> list[torch.Generator]:
        return [*self.orders, *self.streams]


class OnePass:
    """D on several batches (S·B, *shape) in one pass, which is faster; asked for any of them, it has its logits (S, B).

    Args:
        D: examples -> logits (S, ·), each from its example alone.
        members: S.
        batches: all that it will be asked for.
    """

    def __init__(self, D: Pass, members: int, *batches: Tensor):
        self.D = D
        stacks = [x.unflatten(0, (members, -1)) for x in batches]  # (S, B, *shape) each
        logits = D(torch.cat(stacks, 1).flatten(0, 1)).chunk(len(batches), 1)
        self.known = dict(zip(map(id, batches), logits, strict=True))

    def __call__(self, x: Tensor) -> Tensor:
        return self.known[id(x)]

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.D.parameters()


def in_one_pass(run: Run, real: Tensor, fake: Tensor, y: Tensor | None) -> OnePass:
    return OnePass(run.D_pass, run.members, real, fake)


def member_by_member(
    streams: Sequence[torch.Generator], penalty: Penalty, D: Discriminator, real: Tensor, fake: Tensor
) -> Tensor:
    """The penalty's mean over all examples, its random numbers from the members' streams.

    Added to each of S losses, whose sum is minimised, it is the sum of the members' penalties.
    """
    with OwnStreams(streams):
        return penalty(D, real, fake)


LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}
OTHERS = {
    *(torch.randint, torch.randint_like, torch.randperm, torch.bernoulli, torch.normal, torch.multinomial),
    *(Tensor.uniform_, Tensor.normal_, Tensor.random_, Tensor.bernoulli_, Tensor.exponential_, Tensor.bernoulli),
}


class OwnStreams(TorchFunctionMode):
    """Inside the block, each member's rows of what `torch.rand` and `randn` give come from the member's own stream."""

    where = "in an ensemble"

    def __init__(self, streams: Sequence[torch.Generator]):
        super().__init__()
        self.streams = streams

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in LIKE:
            like, *args = args
            function, args = LIKE[function], like.shape
            kwargs = {"device": like.device, "dtype": like.dtype, **kwargs}
        if function in OTHERS:
            raise BadInput(
                f"the penalty draws with {function.__name__}: {self.where} use torch.rand or torch.randn, "
                "whose numbers are divided row by row."
            )
        if function not in LIKE.values():
            return function(*args, **kwargs)
        size = kwargs.pop("size", args[0] if len(args) == 1 and isinstance(args[0], Sequence) else args)
        if not size or not size[0]:
            raise self.refused(size)
        return self.rows(function, size, kwargs)

    def rows(self, function: Callable[..., Tensor], size: Sequence[int], options: dict) -> Tensor:
        if size[0] % len(self.streams):
            raise self.refused(size)
        shape = size[0] // len(self.streams), *size[1:]
        return torch.cat([function(shape, **{"generator": stream, **options}) for stream in self.streams])

    def refused(self, size: Sequence[int]) -> BadInput:
        return BadInput(
            f"the penalty draws numbers of shape {tuple(size)}: {self.where} draw a row for each example or pack."
        )


# --- an ensemble on disk ---------------------------------------------------------------------------------------------


def load_ensemble(
    folder: str | PathLike,
    data: Images | Tensor,
    *,
    device: str | torch.device | None = None,
    capture: bool | None = None,
) -> Ensemble:
    """The ensemble that `checkpoint.save` has written, ready for more `steps`; `device` and `capture` as for `Run`.

    Raises:
        BadInput: as `checkpoint.load`; or the file holds a single run.
    """
    path, state = checkpoint.read_state(folder, data)
    with checkpoint.blaming(path):
        if not state["members"]:
            raise BadInput("it holds a single run: load it with checkpoint.load.")
        recipe = Recipe.from_plain(state["recipe"])
        ensemble = Ensemble(saved_pairs(path, state), data, recipe, seeds=state["step"], device=device, capture=capture)
        checkpoint.restore(ensemble, path, state)
    return ensemble


def saved_pairs(path: Path, state: dict) -> list[Pair]:
    """The pairs, made again from their configs. They do not have the saved weights yet."""
    made = []
    for name in ("G", "D"):
        saved, first = state["nets"][name], {key.removeprefix("net."): stack[0] for key, stack in state[name].items()}
        again = [checkpoint.made_again(path, name, saved["class"], config, first) for config in saved["config"]]
        made.append(again)
    return list(zip(*made, strict=True))


# --- checks ----------------------------------------------------------------------------------------------------------


def check_pairs(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs as a list. Raises `BadInput` unless they can be stacked."""
    pairs = list(pairs) if isinstance(pairs, Iterable) else [pairs]
    if not pairs:
        raise BadInput("there are no pairs: give at least one (G, D).")
    for i, pair in enumerate(pairs):
        if not (isinstance(pair, Sequence) and len(pair) == 2 and all(isinstance(net, nn.Module) for net in pair)):
            raise BadInput(f"pair {i} is {type(pair).__name__}: give a list of pairs (G, D) of nn.Modules.")
        for name, net, first in zip("GD", pair, pairs[0], strict=True):
            if classes_of(net):
                raise BadInput(f"{name} of pair {i} is conditional, and an ensemble takes no labels: use one Run each.")
            if difference := differs(net, first):
                raise BadInput(f"{name} of pair {i} has {difference} than that of pair 0: use one architecture.")
    return pairs


def check_stacking(ensemble: Ensemble) -> None:
    """Raise `BadInput` unless nets and loss work on all members at once. On copies: batch norm counts what it sees."""
    G, D = copy.deepcopy(ensemble.G), copy.deepcopy(ensemble.D)
    with accelerate.telling_memory(ensemble.device, ensemble.recipe.batch_size):
        try:
            with torch.no_grad():
                length = length_of_latents(G)
                z = torch.zeros(G.members * 2 * D.pack, length, device=ensemble.device, dtype=ensemble.dtype)
                logits = D(G(z)).unflatten(0, (G.members, -1))  # (S, 2)
                ensemble.loss.d(logits, logits), ensemble.loss.g(logits, logits)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError) as error:
            why = f"these nets, or the loss {ensemble.loss.name!r}, cannot be stacked ({reason(error)})"
            raise BadInput(f"{why}: train each pair in a Run.") from error


def differs(net: nn.Module, other: nn.Module) -> str:
    """In what two nets differ, in words; "" where one's weights would fit the other."""
    if type(net) is not type(other):
        return f"another class, {type(net).__name__},"
    mine, theirs = (getattr(n, "config", {}) for n in (net, other))
    for name in mine:
        if name != "seed" and mine[name] != theirs.get(name):
            return f"another {name}, {mine[name]!r},"
    mine, theirs = ({k: (t.shape, t.dtype) for k, t in n.state_dict().items()} for n in (net, other))
    return "other layers" if mine != theirs or repr(net) != repr(other) else ""


def each_seed(name: str, seeds: int | Iterable[int], members: int) -> list[int]:
    """One seed for each member; a whole number s stands for s, s + 1, …."""
    if not isinstance(seeds, Iterable):
        first = whole_number(name, seeds)
        return [first + i for i in range(members)]
    seeds = [whole_number(name, seed) for seed in seeds]
    if len(seeds) != members:
        raise BadInput(f"{name} has {len(seeds)} numbers for {members} pairs: give one for each.")
    return seeds
