"""A training loop of one's own, watched: ``for step in live.steps(2500, draw, title="…")``."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gantutor import budget, show
from gantutor.errors import BadInput, whole_number
from gantutor.live.panels import Frame, Screen
from gantutor.show import films

if TYPE_CHECKING:
    from PIL import Image


def steps(n: int, draw: Callable[[], show.Picture], *, title: str, frames: int = 40, fps: float = 4,
          scale: float = 1) -> Iterator[int]:  # fmt: skip
    """The numbers of the steps, 1 to n, with a picture that is redrawn before the first step and after some others.

    At the end a film of these pictures takes its place; also where the loop ends early, by `break` or because it was
    interrupted (■ in the toolbar). Under the quick budget n is a quarter, 200 at most, with 8 pictures at most.

    Args:
        n: how many steps.
        draw: gives the picture of this moment, a Pillow image or a figure, always of the same size.
        title: what happens, above the film.
        frames: how many pictures, 2 at least. They come more often at the beginning, where most changes.
        fps, scale: of the film, as in `show.play`.
    """
    n = budget.steps(whole_number("the number of steps", n, least=1))
    fps, _, scale = films.check_timing(fps, 0, scale)  # now, and not after the training
    count = whole_number("frames", frames, least=2) - 1
    count = budget.pick(quick=min(count, 7), full=count)
    if not callable(draw):
        raise BadInput(f"draw is {draw!r}: give a function without arguments that returns a picture.")
    return watched(n, {round(n * (i / count) ** 2) for i in range(count + 1)}, draw, title, fps, scale)


def watched(
    n: int, moments: set[int], draw: Callable[[], show.Picture], title: str, fps: float, scale: float
) -> Iterator[int]:
    screen = Screen()
    taken: dict[int, Image.Image] = {}

    def look(step: int) -> None:
        if step in moments:
            picture = films.labelled(show.strip([draw()]), f"step {step:,}", len(f"step {n:,}"))
            if picture.size != next(iter(taken.values()), picture).size:
                raise BadInput(f"at step {step:,} draw gave a picture of another size than before: "
                               "give pictures of one size.")  # fmt: skip
            taken[step] = picture
            screen.show(Frame(taken[step], f"{title}: step {step:,} of {n:,}"))

    try:
        look(0)
        for step in range(1, n + 1):
            yield step
            look(step)
    finally:
        if len(taken) > 1 and not screen.plain:
            alt = f"A film of a training, from step 0 to step {max(taken):,}: {title}."
            screen.show(show.play(taken.values(), title, fps=fps, scale=scale, alt=alt))
