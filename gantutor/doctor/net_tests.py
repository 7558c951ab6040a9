"""The doctor's look at a GAN at work: at its nets, and at the curves of its training."""

import contextlib
import functools
import inspect
import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from gantutor import metrics
from gantutor.doctor import measures
from gantutor.doctor.findings import Evidence, Finding, grade
from gantutor.doctor.inputs import Patient, alike, to_images
from gantutor.errors import BadInput, reason
from gantutor.models import pack_of


def ask(name: str, net: Callable, argument: object) -> Tensor:
    """What a net of the user's makes of something, without gradients; its failure told in one sentence."""
    try:
        with torch.no_grad():
            answer = net(argument)
            answer = answer.detach().cpu() if isinstance(answer, Tensor) else answer
    except Exception as error:  # a stranger's net: anything may happen
        given = tuple(argument.shape) if isinstance(argument, Tensor) else argument
        raise BadInput(
            f"the {name} failed on {given} ({type(error).__name__}: {reason(error)}): mend it first."
        ) from error
    if not isinstance(answer, Tensor):
        raise BadInput(f"the {name} gave a {type(answer).__name__}: it must give a tensor.")
    return answer


def nets_of(function: Callable) -> list[nn.Module]:
    """The nets that a callable uses, as far as can be seen: itself, its object's, those that it refers to by name."""
    found, seen = [], []

    def look(thing: object, depth: int) -> None:
        if any(thing is other for other in seen) or depth > 3:
            return
        seen.append(thing)
        if isinstance(thing, nn.Module):
            found.append(thing)
        elif isinstance(thing, functools.partial):
            for part in (thing.func, *thing.args, *thing.keywords.values()):
                look(part, depth + 1)
        elif inspect.ismethod(thing):
            look(thing.__self__, depth + 1)
            look(thing.__func__, depth + 1)
        elif inspect.isfunction(thing):
            for part in referred(thing):
                look(part, depth + 1)
        elif isinstance(thing, list | tuple | dict):
            for part in thing.values() if isinstance(thing, dict) else thing:
                look(part, depth + 1)
        elif hasattr(thing, "__dict__") and not inspect.ismodule(thing) and not inspect.isclass(thing):
            for part in vars(thing).values():
                if isinstance(part, nn.Module):
                    look(part, depth + 1)
            look(vars(type(thing)).get("__call__"), depth + 1)

    look(function, 0)
    return found


def referred(function: types.FunctionType) -> Iterator[object]:
    """What a function refers to: closed-over variables, globals by name, also of functions inside it, and defaults."""

    def names(code: types.CodeType) -> set[str]:
        inner = (names(part) for part in code.co_consts if isinstance(part, types.CodeType))
        return set(code.co_names).union(*inner)

    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # not filled yet
            yield cell.cell_contents
    for name in sorted(names(function.__code__) & set(function.__globals__)):
        yield function.__globals__[name]
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()


def modes(p: Patient, generator: Callable[[int], Tensor] | None, sound: bool) -> Iterator[Finding]:
    """Does the generator make in train mode what it makes in eval mode, and what was given as sound samples?"""
    if generator is None:
        return
    nets = nets_of(generator)
    count = max(250, min(1000, 50_000_000 // p.real[0].numel()))  # of big images fewer, for memory

    def draw(training: bool) -> Tensor:
        with in_mode(nets, training):
            torch.manual_seed(0)
            x = alike(to_images(ask("generator", generator, count), "the generator's images", []), p.real, [])
        if len(x) != count:
            raise BadInput(f"the generator gave {len(x)} images when {count} were asked for: mend it first.")
        return x

    pictures = {"train": draw(True), "eval": draw(False)}
    if not all(x.isfinite().all() for x in pictures.values()):
        bad = [name for name, x in pictures.items() if not x.isfinite().all()]
        evidence = Evidence(f"share of finite images in {bad[0]} mode", finite_share(pictures[bad[0]]), "1")
        yield Finding("train_eval_gap" if len(bad) == 1 else "non_finite", "severe", (evidence,))
        return
    gap = unlike(p, pictures["train"], pictures["eval"])
    limit = 0.02 if torch.equal(draw(False), pictures["eval"]) else 0.12  # other latents each time: chance comes in
    given = min(unlike(p, p.x[:count], x) for x in pictures.values())
    usual = unlike(p, p.held[: min(count, len(p.x))], p.real[:count])
    if gap > limit or (given > 0.3 + 2 * usual and sound):
        name = "Fréchet distance between train and eval mode, over the spread of real images"
        evidence = (
            Evidence(name, gap, f"at most {limit}"),
            Evidence(
                "the same between the samples and the nearer mode", given, f"about {usual:.2g}, as for real images"
            ),
        )
        yield Finding("train_eval_gap", grade(max(gap, given), 0.3, 0.6), evidence)


def finite_share(x: Tensor) -> float:
    return x.flatten(1).isfinite().all(1).double().mean().item()


def unlike(p: Patient, a: Tensor, b: Tensor) -> float:
    """Fréchet distance between two sets of images in the eyes' features, over the summed variances of real ones."""
    spread = p.eyes.features(p.held).var(0).sum().item()
    return metrics.frechet(p.eyes.features(a.clamp(-1, 1)), p.eyes.features(b.clamp(-1, 1))) / spread


@contextlib.contextmanager
def in_mode(nets: Sequence[nn.Module], training: bool) -> Iterator[None]:
    """Nets in train or eval mode inside the block; afterwards modes and buffers are as before."""
    modes = [(module, module.training) for net in nets for module in net.modules()]
    buffers = [(buffer, buffer.clone()) for net in nets for buffer in net.buffers() if buffer.device.type != "meta"]
    for net in nets:
        net.train(training)
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)
        for module, mode in modes:
            module.training = mode


def verdicts(p: Patient, discriminator: Callable[[Tensor], Tensor] | None, critic: bool = False) -> Iterator[Finding]:
    """What D says to real images that it was trained on, to others, and to samples. A critic gives no logits."""
    if discriminator is None or not len(p.x):
        return
    sets = {"real": p.real[:1000], "held": p.held[:1000], "fake": p.x[:1000], "halved": measures.halved(p.real[:1000])}
    logits = dict(zip(sets, as_logits(*(logits_of(discriminator, x) for x in sets.values())), strict=True))
    if p.others is not p.train:
        p.notes.append("Whether D has learnt its images by heart can be seen only with held-out images: give held_out.")
    together = torch.cat([logits["real"], logits["fake"]])
    if not torch.cat(list(logits.values())).isfinite().all():
        yield Finding(
            "non_finite", "severe", (Evidence("share of finite logits of D", finite_share(together[:, None]), "1"),)
        )
        return
    told, known = (measures.separation(logits[name], logits["fake"]) for name in ("held", "real"))
    recognised = measures.separation(logits["real"], logits["held"])
    spread = together.std().item()
    sighted = measures.separation(logits["real"], logits["halved"])
    told_apart = Evidence("share of pairs in which D rates the real image above the sample", known, "0.5 to 0.95")
    if spread < 1e-6 or (abs(known - 0.5) < 0.1 and sighted < 0.65) or known < 0.2:
        evidence = (
            told_apart,
            Evidence("the same against images put together from the halves of two real ones", sighted, "0.8 to 1"),
            Evidence("standard deviation of D's logits", spread, "above 0"),
        )
        reversed_ = "It rates samples above real images: are its labels, or its sign, exchanged?" * (known < 0.2)
        yield Finding("discriminator_blind", "severe", evidence, reversed_)
    elif recognised > 0.7:
        evidence = (
            Evidence(
                "share of pairs in which D rates a training image above a held-out one", recognised, "0.45 to 0.6"
            ),
            Evidence("share of pairs in which D rates a held-out image above a sample", told, "0.5 to 0.95"),
        )
        yield Finding("discriminator_overfitting", grade(recognised, 0.8, 0.9), evidence)
    elif not critic and certain(logits["held"].median(), logits["fake"].median()) and told > 0.98:
        evidence = (
            told_apart,
            Evidence("D's median probability for real images", logits["held"].median().sigmoid().item(), "below 0.95"),
            Evidence("D's median probability for samples", logits["fake"].median().sigmoid().item(), "above 0.05"),
        )
        yield Finding("discriminator_saturated", "severe", evidence)


def certain(real: Tensor, fake: Tensor) -> bool:
    """Are these logits beyond doubt, 95% or more on both sides?"""
    return real.item() > math.log(19) and fake.item() < -math.log(19)


def logits_of(discriminator: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """D's logits (N,), or (N / pack,), float64; its nets are asked in eval mode and on their own device."""
    nets = nets_of(discriminator)
    pack = max((pack_of(net) for net in nets), default=1)
    x = x[: len(x) // pack * pack]
    weight = next((parameter for net in nets for parameter in net.parameters()), x)
    with in_mode(nets, False):
        parts = [
            ask("discriminator", discriminator, part.to(weight)).flatten() for part in x.split(-(-200 // pack) * pack)
        ]
    logits = torch.cat(parts).double()
    if not len(logits):
        raise BadInput("the discriminator gave nothing: it must give one logit for each image.")
    return logits


# --- the course of training ------------------------------------------------------------------------------------------


def curve(name: str, values: Sequence[float | None]) -> Tensor:
    """One series of the history, float64 (T,), without the steps at which it was not measured (None)."""
    try:
        numbers = [value.item() if isinstance(value, Tensor) else value for value in values]
        return torch.tensor([float(number) for number in numbers if number is not None], dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise BadInput(
            f"history[{name!r}] is no series of numbers: give a list of floats, one for each step."
        ) from None


def is_critic(curves: Mapping[str, Tensor]) -> bool:
    """Is D's loss that of Wasserstein? It falls below 0, and D's numbers are no logits: their scale is their own."""
    return "d_loss" in curves and bool((curves["d_loss"] < 0).any())


def course(curves: Mapping[str, Tensor]) -> Iterator[Finding]:
    """What the curves of a training show. They need 40 finite entries."""
    curves = {name: values for name, values in curves.items() if len(values) >= 40 and values.isfinite().all()}
    yield from duel(curves)
    if "g_grad_norm" in curves:
        early, late = measures.windows(curves["g_grad_norm"])
        parts = [part.median().item() for part in curves["g_grad_norm"].chunk(8)]  # a single spike is no height
        before = max(early, 0.1 * max(parts))
        if late < 0.01 * before or late < 1e-6:
            evidence = Evidence(
                "norm of G's gradient, last quarter over before", late / max(before, 1e-30), "above 0.05"
            )
            yield Finding("vanishing_generator_signal", "severe", (evidence,))
    swings = {name: measures.swing(values) for name, values in curves.items() if name in SWINGING}
    name, worst = max(swings.items(), key=lambda item: item[1].share, default=("", None))
    if worst is not None and worst.share > 0.4 and worst.excess > 14 and worst.amplitude > 0.02:
        evidence = (
            Evidence(f"share of the variance of {name} that is one regular swing", worst.share, "at most 0.3"),
            Evidence("cycles in the whole curve", worst.cycles, "none"),
        )
        yield Finding("oscillation", grade(worst.share, 0.6, 0.8), evidence)


SWINGING = ("d_loss", "g_loss", "d_real", "d_fake")


def duel(curves: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Is D too sure, or as good as absent?"""
    if "d_loss" in curves:
        losses = curves["d_loss"]
        late = measures.windows(losses)[1]
        if losses.min() >= 0 and late < 0.05:
            yield Finding("discriminator_saturated", "severe", (Evidence("D's loss at the end", late, "0.3 to 1.4"),))
            return
        if losses.std() < 1e-3 * max(losses.mean().abs(), 1e-9):
            evidence = Evidence("standard deviation of D's loss over the training", losses.std().item(), "above 0.01")
            yield Finding("discriminator_blind", "severe", (evidence,))
            return
    if {"d_real", "d_fake"} <= set(curves):
        real, fake = as_logits(curves["d_real"], curves["d_fake"])
        spread, told = torch.cat([real, fake]).std().item(), measures.separation(real, fake)
        if spread < 1e-3 and abs(told - 0.5) < 0.2:
            evidence = Evidence("standard deviation of D's logits over the training", spread, "above 0.01")
            yield Finding("discriminator_blind", "severe", (evidence,))
            return
        ends = [torch.tensor(measures.windows(side)[1]) for side in (real, fake)]
        if certain(*ends) and not is_critic(curves):
            names = ("real images", "below 0.95"), ("samples", "above 0.05")
            evidence = tuple(
                Evidence(f"D's probability for {what}, at the end", end.sigmoid().item(), limit)
                for (what, limit), end in zip(names, ends, strict=True)
            )
            yield Finding("discriminator_saturated", "severe", evidence)


def as_logits(*series: Tensor) -> list[Tensor]:
    """Logits as they are; numbers that all lie in [0, 1] are taken for probabilities."""
    both = torch.cat(series)
    probable = len(both) > 0 and both.min() >= 0 and both.max() <= 1
    return [torch.logit(values, eps=1e-6) if probable else values for values in series]
