"""Anyone's generator as a function n -> n images, whatever noise it takes and whatever it returns beside the images."""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from gantutor.doctor.images.arrays import MIN_SIDE, note
from gantutor.doctor.nets.borrowed import Failed, attempt, check_kind, nets_of, weight_of
from gantutor.errors import BadInput
from gantutor.models import classes_of
from gantutor.models.inspection import latent_sizes, required_arguments, takes_pictures, unwrapped

BATCH = 250  # images that G makes at once

FORMS: dict[str, Callable[[Tensor], tuple[object, ...]]] = {  # of noise z (n, length)
    "(n, {})": lambda z: (z,),
    "(n, {}, 1, 1)": lambda z: (z[:, :, None, None],),  # DCGAN
    "(n, {}) and None for the labels": lambda z: (z, None),  # StyleGAN2-ADA without classes
    "(n, {}) in a list": lambda z: ([z],),  # a list of styles
}


class AnyGenerator:
    """A generator as it was given, as a function n -> images (n, C, H, W) on the CPU.

    A net is given noise from N(0, I), whose length and form are found by trying. A function is called with n, and with
    noise only where it cannot take n. The nets stay in the mode, train or eval, that they are in.

    Args:
        generator: G as an `nn.Module`, also in `nn.DataParallel` or compiled, or a function n -> images.
        shape: (C, H, W) of the real images.
        top: 1 or 255 where the real images were given in [0, top], else 0. Images of G in that range are rescaled.
        notes: to this list is added what was found out and what was changed.

    Raises:
        BadInput: this is no generator; or, when it is called, it fails, or needs more than noise.
    """

    def __init__(self, generator: Callable[..., object], shape: Sequence[int], top: float, notes: list[str]):
        check_kind("generator", generator, "n -> n images")
        self.given = unwrapped(generator) if isinstance(generator, nn.Module) else generator
        self.nets = nets_of(self.given)
        self.shape, self.top, self.notes = tuple(shape), top, notes
        self.form: tuple[int, str] | None = None  # the length of the noise, and its form

    def __call__(self, n: int) -> Tensor:
        is_net = isinstance(self.given, nn.Module)
        if self.form is None and is_net:
            self.form = self.find_form()
        if self.form is None:
            output = attempt(self.given, n)
            if not isinstance(output, Failed):
                return self.images(output, n)
            self.form = None if is_net else self.find_form()
            if self.form is None:
                raise self.refusal(output, n)
        return self.from_noise(n, *self.form)

    def from_noise(self, n: int, length: int, form: str) -> Tensor:
        made = []
        for z in torch.randn(n, length).chunk(math.ceil(n / BATCH)):
            output = attempt(self.given, *self.arguments(z, form))
            if isinstance(output, Failed):
                raise BadInput(f"the generator failed on noise {form.format(length)} ({output}): repair it first.")
            made.append(self.images(output, len(z)))
        return torch.cat(made)

    # --- finding out what it takes ------------------------------------------------------------------------------------

    def arguments(self, z: Tensor, form: str) -> tuple[object, ...]:
        return FORMS[form](z.to(weight_of(self.nets)))

    def find_form(self) -> tuple[int, str] | None:
        """The first length and form of noise of which images come; None if there is none."""
        for length, form, output in self.trials():
            if self.is_images(output):
                note(
                    self.notes,
                    f"The generator was given Gaussian noise {form.format(length)}: if it was trained on "
                    "other noise, give generator=lambda n: G(noise).",
                )
                return length, form
        return None

    def trials(self) -> Iterator[tuple[int, str, list[Tensor] | Failed]]:
        """What comes of noise for two images, in each length and form that may be right."""
        lengths = dict.fromkeys(length for net in self.nets for length in latent_sizes(net))
        with torch.random.fork_rng(devices=[]):
            for length in lengths:
                for form in FORMS:
                    yield length, form, attempt(self.given, *self.arguments(torch.randn(2, length), form))

    def is_images(self, output: list[Tensor] | Failed) -> bool:
        """Is there a batch of two images among these tensors?"""
        for x in [] if isinstance(output, Failed) else output:
            pictures = x.ndim == 4 and min(x.shape[2:]) >= MIN_SIDE
            if x.ndim >= 2 and len(x) == 2 and (pictures or x[0].numel() == math.prod(self.shape)):
                return True
        return False

    def refusal(self, failed: Failed, n: int) -> BadInput:
        """Why this generator cannot be used, and what to do."""
        net = next(iter(self.nets), None)
        if net is None or not isinstance(self.given, nn.Module):
            return BadInput(
                f"the generator failed on {n} ({failed}): it is given the number of images to make; repair it first."
            )
        names = required_arguments(net)
        example = "such as generator=lambda n: "
        if len(names) > 1 or classes_of(net):
            wants = f"({', '.join(names)})" if len(names) > 1 else "labels beside the noise"
            return BadInput(f"the generator takes {wants}: give a function of n, {example}{self.labelled_call(net)}.")
        if takes_pictures(net):
            return BadInput(f"the generator takes pictures, not noise: give a function of n, {example}G(pictures[:n]).")
        trials = list(self.trials())
        if not trials:
            return BadInput("the length of the generator's noise cannot be seen: set its attribute latent_dim, or give "
                            f"a function of n, {example}G(torch.randn(n, 100)).")  # fmt: skip
        made = [(length, output) for length, _, output in trials if not isinstance(output, Failed)]
        if made:
            shapes = " and ".join(str(tuple(x.shape)) for x in made[0][1])
            return BadInput(f"the generator makes {shapes} of noise (2, {made[0][0]}), but the real images are "
                            f"{self.shape}: give a function n -> images (n, C, H, W).")  # fmt: skip
        tried = " and ".join(form.format(trials[0][0]) for form in list(FORMS)[:2])
        return BadInput(f"the generator failed on noise {tried} ({trials[0][2]}): repair it, or give a function of n "
                        f"that calls it as it has to be called, {example}G(noise[:n]).")  # fmt: skip

    def labelled_call(self, net: nn.Module) -> str:
        """A call of a conditional G that works, as code; with words in the place of what cannot be found out."""
        embeddings = [layer for layer in net.modules() if isinstance(layer, nn.Embedding)]
        classes = classes_of(net) or next((layer.num_embeddings for layer in embeddings), 0)
        labels = torch.zeros(2, dtype=torch.int64, device=weight_of(self.nets).device)
        for length in latent_sizes(net) if classes else ():
            for form, code in (("(n, {})", "torch.randn(n, {})"), ("(n, {}, 1, 1)", "torch.randn(n, {}, 1, 1)")):
                noise = self.arguments(torch.zeros(2, length), form)[0]
                if self.is_images(attempt(self.given, noise, labels)):
                    return f"G({code.format(length)}, torch.randint({classes}, (n,)))"
        names = required_arguments(net)
        return f"G({', '.join(f'{name}[:n]' for name in names)})" if len(names) > 1 else "G(noise[:n], labels[:n])"

    # --- what it returns ---------------------------------------------------------------------------------------------

    def images(self, tensors: list[Tensor], n: int) -> Tensor:
        """Of the tensors that G returned the one that holds the images, in the range of the real ones."""

        def rank(x: Tensor) -> int:
            whole = len(x.shape) > 1 and len(x) == n and math.prod(x.shape[1:]) == math.prod(self.shape)
            return [x.shape == (n, *self.shape), x.ndim == 4, whole, True].index(True)

        x = min(tensors, key=rank)  # the first of those that suit best
        if len(tensors) > 1:
            shape = f"(n, {', '.join(map(str, x.shape[1:]))})"
            note(self.notes, f"The generator returns {len(tensors)} tensors: that of shape {shape} was read as images.")
        if rank(x) == 2 and x.ndim == 2:
            note(self.notes, f"The generator's images came flat, (n, {x.shape[1]}), and were read as {self.shape}.")
            x = x.reshape(n, *self.shape)
        return self.rescaled(x)

    def rescaled(self, x: Tensor) -> Tensor:
        """Images in [0, top], as the real ones were given, in [-1, 1]; others as they are."""
        finite = x[x.isfinite()] if self.top and x.is_floating_point() else x[:0]
        if not finite.numel() or not 0 <= finite.min() <= finite.max() <= self.top:
            return x
        note(self.notes, f"The generator's images lie in [0, {self.top:g}], as the real images do, and were read so.")
        return x / (self.top / 2) - 1
