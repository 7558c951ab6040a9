"""`live`: training with a fake page to draw on, and explorers whose sliders are moved from code."""

import asyncio
import io
import signal
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from gantutor import live, losses, models, toy, train
from gantutor.data import Images
from gantutor.errors import BadInput


class Page:
    """Stands for the notebook page: keeps every frame that was shown."""

    def __init__(self):
        self.frames = []

    def display(self, frame, display_id):
        self.frames.append(frame)
        return self

    def update(self, frame):
        self.frames.append(frame)


@pytest.fixture
def page(monkeypatch):
    page = Page()
    monkeypatch.setattr(live, "display", page.display)
    return page


def make_run(seed=0):
    G, D = models.mlp((2,), latent_dim=4, g_hidden=(16,), d_hidden=(16,), output="linear", seed=seed)
    return train.Run(G, D, toy.ring().sample(500, 0), train.Recipe(batch_size=32))


def test_train_takes_the_same_steps_as_the_plain_loop_and_returns_their_losses(page):
    watched, plain = make_run(), make_run()
    history = asyncio.run(live.train(watched, 40, every=0.0))
    expected = [(s.index, s.d_loss.item(), s.g_loss.item()) for s in plain.steps(40)]
    np.testing.assert_allclose(history, expected, rtol=1e-6)
    assert all(
        torch.equal(a, b)
        for a, b in zip(watched.G_average.state_dict().values(), plain.G_average.state_dict().values(), strict=True)
    )
    assert len(page.frames) >= 3  # first, last and some between
    assert str(page.frames[-1]).startswith("step 40 of 40 ")
    assert Image.open(io.BytesIO(page.frames[-1]._repr_png_())).size[0] > 600


def test_train_thins_a_long_history_and_goes_on_where_it_stopped(page):
    run = make_run()
    history = asyncio.run(live.train(run, 1500))
    assert [h[0] for h in history] == list(range(2, 1501, 2))
    assert asyncio.run(live.train(run, 2))[-1][0] == 1502
    assert asyncio.run(live.train(run, seconds=0.05))[-1][0] > 1502
    assert asyncio.run(live.train(run, 0)) == []


@pytest.mark.parametrize(
    "length", [{}, {"steps": -1}, {"steps": 1.5}, {"seconds": 0}, {"steps": 1, "seconds": 1}, {"steps": 1, "every": -1}]
)
def test_train_shows_nothing_when_it_cannot_begin(page, length):
    with pytest.raises(BadInput):
        asyncio.run(live.train(make_run(), **length))
    assert page.frames == []


@pytest.fixture
def interruptible():
    """In a job that a shell started in the background Python ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_keeps_what_was_learned(page, interruptible):
    run = make_run()

    def interrupt():
        while run.step < 20:
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    history = asyncio.run(live.train(run, 10**7))
    assert 20 <= run.step < 10**6
    assert history == [] or history[-1][0] <= run.step  # one entry per 10,000 steps
    assert str(page.frames[-1]).startswith(f"step {run.step:,} of 10,000,000")


def test_an_interrupt_inside_a_step_keeps_what_was_learned(page):
    run = make_run()

    def steps(n, seconds=None):
        yield from train.Run.steps(run, 5)
        raise KeyboardInterrupt

    run.steps = steps
    assert [h[0] for h in asyncio.run(live.train(run, 100))] == [1, 2, 3, 4, 5]


def test_plain_python_prints_the_last_line(capsys):
    asyncio.run(live.train(make_run(), 10))
    assert "step 10 of 10" in capsys.readouterr().out.splitlines()[-1]


def test_the_clock_keeps_drawing_within_its_share_of_the_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(live.time, "perf_counter", lambda: now[0])
    clock = live.Clock(0.5)
    spent, frames = 0.0, 0
    while now[0] < 100:
        now[0] += 0.01  # a step
        if now[0] > clock.next:
            began, cost = now[0], 0.1
            now[0] += cost
            clock.tick(began)
            spent, frames = spent + cost, frames + 1
    assert frames > 30
    assert spent / now[0] < 0.055


def test_samples_of_images_are_a_grid_and_other_data_needs_a_look(page):
    G, D = models.mlp((1, 8, 8), g_hidden=(16,), d_hidden=(16,))
    run = train.Run(G, D, torch.rand(100, 1, 8, 8) * 2 - 1)
    assert live.samples(run).size == (8 * (8 * 7 + 2) + 2,) * 2  # the largest whole scale within 480 pixels
    G, D = models.mlp((3,), g_hidden=(16,), d_hidden=(16,))
    run = train.Run(G, D, torch.rand(100, 3))
    with pytest.raises(BadInput, match="look="):
        asyncio.run(live.train(run, 1))
    asyncio.run(live.train(run, 1, look=lambda run: Image.new("RGB", (9, 9))))


class Shade(torch.nn.Module):
    """Paints each class in its own grey."""

    latent_dim = 4

    def __init__(self, classes: int):
        super().__init__()
        self.classes, self.scale = classes, torch.nn.Parameter(torch.ones(()))

    def forward(self, z, y):
        return (y / self.classes * self.scale).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)


def make_shades(classes: int) -> train.Run:
    images = Images(
        "mine", torch.zeros(100, 1, 8, 8), torch.arange(100) % classes, [f"no. {y}" for y in range(classes)]
    )
    return train.Run(Shade(classes), models.MLPDiscriminator((16,), (1, 8, 8), classes=classes), images)


@pytest.mark.parametrize(("classes", "rows"), [(2, 10), (10, 8), (16, 5)])
def test_samples_of_a_conditional_run_have_a_column_for_each_class(classes, rows):
    picture = np.asarray(live.samples(make_shades(classes)), dtype=int)
    middles = picture[30::58, 30::58]  # one pixel of each image: 8 × 7 wide, and a line of 2
    assert middles.shape == (rows, classes)
    assert np.abs(middles - (np.arange(classes) / classes + 1) * 127.5).max() <= 1


def test_samples_of_many_classes_come_as_they_are():
    middles = np.asarray(live.samples(make_shades(17)), dtype=int)[30::58, 30::58]
    assert middles.shape == (8, 8)
    assert np.abs(middles.flatten() - (np.arange(64) % 17 / 17 + 1) * 127.5).max() <= 1


def test_every_loss_can_be_watched(page):
    for loss in losses.LOSSES.values():
        G, D = models.mlp((2,), g_hidden=(8,), d_hidden=(8,), output="linear")
        run = train.Run(G, D, toy.ring().sample(100, 0), train.Recipe(loss=loss))
        asyncio.run(live.train(run, 3))


# ---------------------------------------------------------------- explorers


def test_explore_draws_for_the_values_its_controls_show():
    seen = []

    def draw(**values):
        seen.append(values)
        return Image.new("L", (8, 8), values["size"])

    box = live.explore(draw, size=(0, 255, 1, 7), step_size=(0.0, 1.0, 0.1, 0.5), kind=["a", "b"], on=True,
                       named={"one": 1, "two": 2}, step=[1, 10, 1000])  # fmt: skip
    assert seen == [{"size": 7, "step_size": 0.5, "kind": "a", "on": True, "named": 1, "step": 1}]
    assert box.controls["step_size"].description == "step size"
    for name, value in {"size": 9, "step_size": 0.75, "kind": "b", "on": False, "named": 2, "step": 1000}.items():
        box.controls[name].value = value
        assert seen[-1][name] == value
    assert Image.open(io.BytesIO(box.picture.value)).getpixel((0, 0)) == 9


def test_explore_explains_a_value_that_cannot_be_drawn_and_recovers():
    def draw(n):
        if n == 3:
            raise BadInput("n is 3: choose another.")
        return Image.new("L", (8, 8), n)

    box = live.explore(draw, n=(1, 5, 1, 2))
    before = box.picture.value
    box.controls["n"].value = 3
    assert (box.message.value, box.picture.value) == ("n is 3: choose another.", before)
    box.controls["n"].value = 4
    assert box.message.value == ""
    assert box.picture.value != before


@pytest.mark.parametrize("spec", [(0, 1), (0, 1, 0.1, 7), "text", [], 3, (0.0, 1.0, 0.0, 0.5)])
def test_explore_names_a_control_it_cannot_make(spec):
    with pytest.raises(BadInput, match="'speed of it'"):
        live.explore(lambda **k: None, speed_of_it=spec)


def test_the_dirac_portrait_follows_its_sliders():
    box = live.dirac(steps=40)
    pictures = {box.picture.value}
    for name, value in {"loss": "wgan", "updates": "alternating", "lr": 0.1, "r1_gamma": 0.5, "momentum": -0.3}.items():
        box.controls[name].value = value
        assert box.message.value == ""
        pictures.add(box.picture.value)
    assert len(pictures) == 6


def test_the_density_portrait_states_the_exact_values():
    title = live.density_portrait(2.0, 1.0).axes[0].get_title()
    assert "-0.713" in title or "−0.713" in title  # reference: C(G) for a shift of 2 is −0.712633
    box = live.density()
    before = box.picture.value
    box.controls["q_mean"].value = 0.0
    assert box.picture.value != before


def test_a_latent_walk_starts_and_ends_at_its_seeds_and_stays_on_the_shell():
    class Identity(torch.nn.Module):
        latent_dim = 100

        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, z):
            return z * self.scale

    G = Identity()
    z = live.walk(G, 3, 4, torch.linspace(0, 1, 9))
    for end, seed in ((0, 3), (-1, 4)):
        torch.testing.assert_close(z[end], train.sample(G, 1, seed=seed)[0], rtol=1e-5, atol=1e-5)
    norms = z.norm(dim=1)
    torch.testing.assert_close(norms, torch.linspace(norms[0], norms[-1], 9))  # a straight line would fall to about 0.7
    turns = torch.nn.functional.cosine_similarity(z[1:], z[:-1]).arccos()
    np.testing.assert_allclose(turns, turns.mean(), rtol=1e-3)
    torch.testing.assert_close(live.walk(G, 3, 3, torch.tensor([0.5])), z[:1])


def test_the_latent_explorer_takes_a_run_or_a_generator():
    G, D = models.mlp((1, 8, 8), g_hidden=(16,), d_hidden=(16,))
    for start in (G, train.Run(G, D, torch.rand(100, 1, 8, 8) * 2 - 1)):
        box = live.latent(start)
        before = box.picture.value
        box.controls["way"].value = 1.0
        assert box.picture.value != before


def test_the_latent_explorer_of_a_conditional_generator_has_a_menu_of_classes():
    run = make_shades(4)
    for start, names in ((run, ("no. 0", "no. 1", "no. 2", "no. 3")), (run.G, ("0", "1", "2", "3"))):
        box = live.latent(start)
        menu = box.controls["label"]
        assert (tuple(menu.options), menu.value, box.message.value) == (names, 0, "")
        for y in (0, 3):
            menu.value = y
            grey = Image.open(io.BytesIO(box.picture.value)).getpixel((9, 9))
            assert abs(grey - (y / 4 + 1) * 127.5) <= 1
    assert "label" not in live.latent(models.mlp((1, 8, 8), g_hidden=(16,), d_hidden=(16,))[0]).controls


def test_a_walk_stays_in_its_class():
    G, _ = models.mlp((1, 8, 8), g_hidden=(16,), d_hidden=(16,), classes=3)
    walked = live.walk(G, 3, 4, torch.tensor([0.0, 1.0]), label=2)
    for image, seed in zip(walked, (3, 4), strict=True):
        torch.testing.assert_close(image, train.sample(G, 1, seed=seed, labels=2)[0], rtol=1e-4, atol=1e-4)
        assert not torch.allclose(image, train.sample(G, 1, seed=seed, labels=1)[0], rtol=1e-4, atol=1e-4)
    with pytest.raises(BadInput, match="label is None: give the class to walk in, 0 to 2"):
        live.walk(G, 3, 4, torch.tensor([0.5]))
    with pytest.raises(BadInput, match="labels go from 3 to 3"):
        live.walk(G, 3, 4, torch.tensor([0.5]), label=3)


# --- cards -----------------------------------------------------------------------------------------------------------


def test_a_card_judges_a_guess_and_reveals_its_answer():
    choices = (text for text in ("the loss", "the <data>"))
    card = live.spot("x < 1", Image.new("L", (4, 4)), choices, "the loss", "Because 1 < 2.")
    assert card.guess.value is None
    assert card.verdict.value == ""
    assert "x &lt; 1" in card.children[0].value  # code is shown, not read as HTML
    card.guess.value = "the <data>"
    assert "Not that: <i>the &lt;data&gt;</i>" in card.verdict.value
    assert "Because" not in card.verdict.value
    card.reveal.click()
    assert card.verdict.value == "<b>It is: the loss.</b> Because 1 &lt; 2."
    card.guess.value = None
    card.guess.value = "the <data>"
    assert card.verdict.value.startswith("<b>It is")  # what was revealed stays
    card.guess.value = "the loss"
    assert card.verdict.value.startswith("<b>Yes: the loss.</b>")


@pytest.mark.parametrize("choices", [["a", "b"], ["the loss"], ["the loss", "the loss"]])
def test_a_card_wants_the_answer_among_its_choices(choices):
    with pytest.raises(BadInput, match="two or more, no two alike, and among them the answer, 'the loss'"):
        live.spot("", Image.new("L", (4, 4)), choices, "the loss", "")
