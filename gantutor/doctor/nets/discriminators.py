"""Anyone's discriminator as a function images -> one number for each, whatever it takes and returns beside these."""

from collections.abc import Callable

from torch import Tensor, nn

from gantutor.doctor.images.arrays import note
from gantutor.doctor.nets.borrowed import Failed, attempt, check_kind, nets_of, weight_of
from gantutor.errors import BadInput
from gantutor.models import classes_of, pack_of
from gantutor.models.inspection import required_arguments, unwrapped

FORMS: dict[str, Callable[[Tensor], tuple[object, ...]]] = {  # of images x (B, C, H, W); what is said of each
    "": lambda x: (x,),
    "The discriminator takes flat images (B, {}), and was given these.": lambda x: (x.flatten(1),),
    "The discriminator was given None for its labels.": lambda x: (x, None),  # StyleGAN2-ADA without classes
}


class AnyDiscriminator:
    """A discriminator as it was given, as a function of images (B, C, H, W) in [-1, 1] -> (B,), or (B / pack,).

    Of several outputs the first is taken that has one number for each image, or a channel of them, as a PatchGAN has:
    these are averaged.

    Args:
        discriminator: D as an `nn.Module`, also in `nn.DataParallel` or compiled, or a function of images.
        top: 1 or 255 where the real images were given in [0, top], so that D is given such images too; else 0.
        notes: to this list is added what was found out.

    Raises:
        BadInput: this is no discriminator; or, when it is called, it fails, takes labels, or returns something else.
    """

    def __init__(self, discriminator: Callable[..., object], top: float = 0, notes: list[str] | None = None):
        check_kind("discriminator", discriminator, "images (B, C, H, W) -> logits (B,)")
        self.given = unwrapped(discriminator) if isinstance(discriminator, nn.Module) else discriminator
        self.nets = nets_of(self.given)
        self.pack = max((pack_of(net) for net in self.nets), default=1)
        self.top, self.notes = top, [] if notes is None else notes
        self.form: str | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """What D, in the mode that it is in, makes of images whose number `pack` divides; on the CPU."""
        x = (x + 1) * (self.top / 2) if self.top else x
        x = x.to(weight_of(self.nets)) if self.nets else x
        failures = []
        for form in FORMS if self.form is None else [self.form]:
            output = attempt(self.given, *FORMS[form](x))
            if not isinstance(output, Failed):
                break
            failures.append(output)
        else:
            raise self.refusal(x, failures[0])
        self.form = form
        if form:
            note(self.notes, form.format(x[0].numel()))
        return self.scores(output, len(x) // self.pack)

    def scores(self, tensors: list[Tensor], count: int) -> Tensor:
        """Of the tensors that D returned the first with one number for each image, or pack of them: (count,)."""
        fitting = [x for x in tensors if fits(x, count)]
        if not fitting:
            raise self.misfit(tensors[0], count)
        x = fitting[0]
        if len(tensors) > 1:
            shape = ", ".join(["B", *map(str, x.shape[1:])])
            text = f"The discriminator returns {len(tensors)} tensors: the first that fits, ({shape}), was read."
            note(self.notes, text)
        if x.numel() > count:
            size = "×".join(map(str, x.shape[-2:]))
            text = f"The discriminator gives {size} numbers for each image, as a PatchGAN does: they were averaged."
            note(self.notes, text)
        return x.double().reshape(count, -1).mean(1)

    def refusal(self, x: Tensor, failed: Failed) -> BadInput:
        """Why D could not be called, and what to do."""
        net = self.given if isinstance(self.given, nn.Module) else None
        names = required_arguments(net) if net else []
        if net and (len(names) > 1 or classes_of(net)):
            wants = f"({', '.join(names)})" if len(names) > 1 else "labels beside the images"
            return BadInput(
                f"the discriminator takes {wants}: examine the images of one class at a time, and give a function of "
                "the images alone, discriminator=lambda x: D(x, y) with y = torch.full((len(x),), the_class)."
            )
        first = next((layer for layer in net.modules() if isinstance(layer, nn.Conv2d)), None) if net else None
        if first is not None and first.in_channels != x.shape[1]:
            return BadInput(
                f"the discriminator failed on images {tuple(x.shape)}: its first convolution takes {first.in_channels} "
                f"channel(s), and the real images have {x.shape[1]}. Give real images as it was trained on."
            )
        return BadInput(
            f"the discriminator failed on images {tuple(x.shape)} ({failed}): repair it first, or give real images of "
            "the size and with the channels that it was trained on."
        )

    def misfit(self, x: Tensor, count: int) -> BadInput:
        """What D returned instead of one number for each image."""
        packs = f"for each pack of {self.pack}" if self.pack > 1 else "for each image"
        cure = ""
        if x.ndim == 2 and len(x) == count:
            cure = " If the first of them is the adversarial one, give discriminator=lambda x: D(x)[:, 0]."
        return BadInput(
            f"the discriminator returned {tuple(x.shape)} for {count * self.pack} images: it must return one number "
            f"{packs}, ({count},).{cure}"
        )


def fits(x: Tensor, count: int) -> bool:
    """Is this one number for each of `count` images, or a channel of them: (N,), (N, 1), (N, 1, h, w), (N, h, w)?"""
    return x.ndim > 0 and len(x) == count and x.numel() > 0 and (x.ndim in (1, 3) or x.shape[1] == 1)
