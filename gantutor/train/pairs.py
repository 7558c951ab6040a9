"""Do G, D and the examples fit together? What does not is told before the first step, with a line that cures it."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from gantutor.errors import BadInput, reason
from gantutor.losses import Loss
from gantutor.models import MinibatchStd, pack_of, with_labels
from gantutor.models.inspection import latent_sizes, required_arguments, unwrapped
from gantutor.state import evaluating
from gantutor.train.probabilities import check_logits
from gantutor.train.sampling import length_of_latents

Net = Callable[[Tensor], object]


def check_module(name: str, net: object) -> None:
    """Raise `BadInput` unless this is a net, and not one that is wrapped."""
    if isinstance(net, type):
        raise BadInput(f"{name} is the class {net.__name__}: give a net, {net.__name__}(…).")
    if isinstance(net, Mapping):
        raise BadInput(f"{name} is a {type(net).__name__}, weights without a net: fill one, net.load_state_dict(…).")
    if not isinstance(net, nn.Module):
        raise BadInput(f"{name} is a {type(net).__name__}: give an nn.Module.")
    if hasattr(net, "_orig_mod"):
        raise BadInput(f"{name} is compiled already: give the net itself, {name}._orig_mod, and compile=True.")
    if unwrapped(net) is not net:
        raise BadInput(f"{name} is inside a {type(net).__name__}: give {name}.module. (Several devices train one net "
                       "under torchrun, see scale.share.)")  # fmt: skip


def check_nets(
    G: nn.Module, D: nn.Module, x: Tensor, labels: Tensor | None = None, batch_size: int = 2, loss: Loss | None = None
) -> None:
    """Raise `BadInput` unless G makes examples shaped like x and D gives one logit for each; both are tried on two.

    x is some of the examples, as floats. A packed D is tried on two packs, and batch_size must be a multiple of `pack`.
    D may end in a sigmoid only where there is no loss, or none that wants logits.
    """
    check_batch(G, D, batch_size, conditional=labels is not None)
    pack = pack_of(D)
    some = x[torch.arange(2 * pack, device=x.device) % len(x)]  # (2 · pack, *shape)
    y = None if labels is None else labels[:1].repeat(2)
    for name, net in (("G", G), ("D", D)):
        check_arguments(name, net, given=1 if y is None else 2)
    with evaluating(G), evaluating(D), torch.enable_grad():
        judge = with_labels(D, y)
        z = torch.zeros(2, latent_length(with_labels(G, y), G, x), device=x.device, dtype=x.dtype)
        for name, net in (("G", G), ("D", D)):
            check_dtype(name, net, x)
        check_made(G, _try("G", with_labels(G, y), z, as_points, on_points(z.shape[1])), x)
        logits = _try("D", judge, some, nn.Flatten(), "it takes flat examples: D = nn.Sequential(nn.Flatten(), D)")
        logits = check_judged(D, logits, len(some), pack)
        if loss is not None:
            check_logits(D, lambda: judge(some), logits, loss)


# --- what goes in ----------------------------------------------------------------------------------------------------


def check_batch(G: nn.Module, D: nn.Module, batch_size: int, conditional: bool) -> None:
    """Raise `BadInput` unless a batch fits batch norm, and the packs and groups that D makes of it."""
    pack = pack_of(D)
    if pack > 1 and conditional:
        raise BadInput(f"D judges packs of {pack} and is conditional: labels are for single examples; leave one out.")
    if batch_size % pack:
        raise BadInput(f"batch_size is {batch_size}, but D judges packs of {pack}: choose a multiple of {pack}.")
    for net, n, what in ((G, batch_size, "examples"), (D, batch_size // pack, "examples" if pack == 1 else "packs")):
        if n == 1 and any(isinstance(layer, nn.BatchNorm1d) for layer in net.modules()):
            raise BadInput(
                f"batch_size is {batch_size}, and batch norm needs at least two {what}: choose a larger batch."
            )
    for layer in D.modules():
        if isinstance(layer, MinibatchStd):
            layer.size(batch_size // pack)


def check_dtype(name: str, net: nn.Module, x: Tensor) -> None:
    weight = next(net.parameters(), x)
    if weight.dtype != x.dtype:
        raise BadInput(f"the data is {x.dtype}, but the weights of {name} are {weight.dtype}: bring both to one dtype.")


def check_arguments(name: str, net: nn.Module, given: int) -> None:
    """Raise `BadInput` if a net has to be given more than a `Run` gives it."""
    wanted = required_arguments(net)
    if len(wanted) <= given:
        return
    gets = "one input" if given == 1 else "two inputs, the labels second"
    cure = "give both nets an attribute classes, the number of classes, and it gives the labels of its Images too"
    cure = cure if (len(wanted), given) == (2, 1) else "fill in the others in the net's forward"
    raise BadInput(f"{name} takes {len(wanted)} inputs, {', '.join(wanted)}, but a Run gives it {gets}: {cure}.")


def latent_length(generate: Net, G: nn.Module, x: Tensor) -> int:
    """The attribute `latent_dim` of G. Where it is missing, a `BadInput` says what it has to be, found by trying."""
    if isinstance(getattr(G, "latent_dim", None), int):
        return length_of_latents(G)
    for length in latent_sizes(G):
        z = torch.zeros(2, length).to(next(G.parameters(), x))
        for form, cure in ((nn.Identity(), f"G.latent_dim = {length}"), (as_points, on_points(length))):
            try:
                made = generate(form(z))
            except Exception:  # a stranger's net: anything may happen
                continue
            if isinstance(made, Tensor) and made.numel() == 2 * x[0].numel():
                raise BadInput(f"G has no attribute latent_dim, the length of its latent vectors: {cure}.")
    return length_of_latents(G)


def as_points(z: Tensor) -> Tensor:
    """Latents (B, z) as a DCGAN takes them: (B, z, 1, 1)."""
    return z[:, :, None, None]


def on_points(length: int) -> str:
    """What to do with a G that takes latents so."""
    call = f"G = nn.Sequential(nn.Unflatten(1, ({length}, 1, 1)), G); G.latent_dim = {length}"
    return f"it takes them as (B, {length}, 1, 1), but a Run gives (B, {length}): {call}"


# --- what comes out --------------------------------------------------------------------------------------------------


def check_made(G: nn.Module, made: object, x: Tensor) -> None:
    """Raise `BadInput` unless these are examples like x, from which a gradient leads back to G."""
    if not isinstance(made, Tensor):
        raise BadInput(f"G returns a {type(made).__name__}: let its forward return the examples alone, a tensor.")
    if made.shape != (2, *x.shape[1:]):
        flat = made.ndim == 2 and made.numel() == 2 * x[0].numel()
        cure = f" Put nn.Unflatten(1, {tuple(x.shape[1:])}) at its end." if flat else ""
        raise BadInput(
            f"G makes examples of shape {tuple(made.shape[1:])}, but the data has {tuple(x.shape[1:])}.{cure}"
        )
    check_gradient("G", G, made)


def check_judged(D: nn.Module, logits: object, count: int, pack: int) -> Tensor:
    """The logits. Raises `BadInput` unless there is one for each example or pack, with a gradient that leads to D."""
    if not isinstance(logits, Tensor):
        raise BadInput(
            f"D returns a {type(logits).__name__}: let its forward return the adversarial output alone, a tensor (B,)."
        )
    if logits.numel() != 2:
        each = "each" if pack == 1 else f"for each pack of {pack}"
        patches = logits.ndim == 4 and logits.shape[:2] == (2, 1)
        cure = " Average its patches: D = nn.Sequential(D, nn.AdaptiveAvgPool2d(1))." if patches else ""
        raise BadInput(
            f"D turns {count} examples into {tuple(logits.shape)}: it must give one logit {each}, (2,).{cure}"
        )
    check_gradient("D", D, logits)
    return logits


def check_gradient(name: str, net: nn.Module, output: Tensor) -> None:
    if not output.requires_grad and any(weight.requires_grad for weight in net.parameters()):
        raise BadInput(f"no gradient leads from what {name} returns to its weights: look for detach, .data, no_grad, "
                       "or NumPy in its forward.")  # fmt: skip


def _try(name: str, net: Net, argument: Tensor, form: Net, cure: str) -> object:
    """What the net returns. If it fails, a `BadInput`, with the cure if it would take the argument in another form."""
    try:
        return net(argument)
    except torch.OutOfMemoryError:
        raise  # says nothing about the shape; `Run` tells it
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from error
    except Exception as error:  # a stranger's net: anything may happen
        says = f"{name} cannot take an input of shape {tuple(argument.shape)}: {reason(error)}"
        try:
            net(form(argument))  # type: ignore[arg-type]
        except Exception:
            raise BadInput(f"{says}.") from error
        raise BadInput(f"{says}; {cure}.") from error
