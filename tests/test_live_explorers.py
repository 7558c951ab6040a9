"""`live`: explorers, cards and the laboratory, played from code; what plays by itself on a real event loop."""

import asyncio
import base64
import html
import io
import itertools
import threading

import numpy as np
import pytest
import shades
import torch
from ipywidgets.widgets import widget
from PIL import Image
from torch import nn
from waiting import until

from gantutor import doctor, live, losses, metrics, models, show, train
from gantutor.data import faces
from gantutor.doctor import Diagnosis, Evidence, Finding
from gantutor.errors import BadInput
from gantutor.live import attribute_sliders, explorer, laboratory, panels
from gantutor.metrics import classifier, neighbours


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


# --- the panel and the pad -------------------------------------------------------------------------------------------


def test_a_panel_leaves_its_picture_beside_the_widget():
    box = live.explore(lambda n: Image.new("L", (8, 8), n), n=(0, 9, 1, 3))
    for n in (3, 7):
        box.controls["n"].value = n
        bundle = box._repr_mimebundle_()
        assert opened(base64.b64decode(bundle["image/png"])).getpixel((0, 0)) == n
        assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == box.model_id
    assert "image/png" not in panels.Panel()._repr_mimebundle_()


def test_a_click_on_the_pad_tells_where():
    seen = []
    pad = live.Pad(100, 50, 5, lambda x, y: seen.append((x, y)))
    assert len(pad.buttons.children) == 25
    pad.buttons.children[0].click()  # top left
    pad.buttons.children[12].click()  # the middle
    pad.buttons.children[23].click()  # the last row, one before the last
    np.testing.assert_allclose(seen, [(-0.8, 0.8), (0, 0), (0.4, -0.8)], atol=1e-12)
    seen.clear()
    for place in ((-1, 1), (0.1, -0.1), (0.3, -1), (1, 1)):
        pad.press(*place)
    np.testing.assert_allclose(seen, [(-0.8, 0.8), (0, 0), (0.4, -0.8), (0.8, 0.8)], atol=1e-12)
    assert len({cell.layout for cell in pad.buttons.children} | {cell.style for cell in pad.buttons.children}) == 2


def test_a_pad_may_be_wider_than_high():
    pad = live.Pad(100, 50, 5, lambda x, y: None)
    for part in (pad, pad.picture, pad.buttons):
        assert (part.layout.width, part.layout.height) == ("100px", "50px")
    assert pad.buttons.layout.grid_template_columns == "repeat(5, 20.000000px)"
    assert pad.buttons.layout.grid_template_rows == "repeat(5, 10.000000px)"


def test_a_closed_panel_leaves_no_widget_behind():
    blank = Image.new("L", (8, 8))
    finding = Finding("blurred", "mild", (Evidence("sharpness", 0.5, low=1),))
    learners = live.lab("ring")
    before = set(widget._instances)
    for make in (
        lambda: live.lab("ring"),
        lambda: live.latent(small(classes=3), nearest=torch.zeros(9, 1, 8, 8)),
        lambda: live.explore(lambda **k: blank, n=(0, 9, 1, 3), kind=["a", "b"], size=[1, 2], on=True),
        lambda: live.spot("", blank, ["a", "b"], "a", ""),
        lambda: live.findings(Diagnosis((finding,), "digits", "a judge")),
    ):
        panel = make()
        assert len(set(widget._instances) - before) > 5
        panel.close()
        assert set(widget._instances) == before
    learners.g_step()  # closed nothing of the learner's
    assert learners.comm is not None


# --- what plays by itself --------------------------------------------------------------------------------------------


class Game:
    """Counts its turns, and notes what it was told."""

    def __init__(self):
        self.turns, self.told, self.threads = 0, [], set()
        self.player = panels.Player(self.turn, self.told.append)

    def turn(self):
        self.turns += 1
        self.threads.add(threading.get_ident())


def test_a_player_plays_beside_others_until_it_is_stopped():
    async def scene():
        game = Game()
        game.player.toggle()
        await until(lambda: game.turns >= 3)
        played = game.turns
        game.player.toggle()
        await asyncio.sleep(0.1)
        assert played == game.turns
        assert game.told == ["", ""]

    asyncio.run(scene())


def test_only_one_plays():
    async def scene():
        first = Game()
        first.player.start()
        second = Game()  # a cell run again builds another
        assert not first.player.is_playing
        first.player.start()
        second.player.start()
        assert (first.player.is_playing, second.player.is_playing) == (False, True)
        before = first.turns
        await asyncio.sleep(0.05)
        assert first.turns == before
        second.player.stop()

    asyncio.run(scene())


def test_a_player_that_nobody_touches_pauses(monkeypatch):
    monkeypatch.setattr(panels, "IDLE_LIMIT", 0.05)

    async def scene():
        game = Game()
        game.player.start()
        await until(lambda: not game.player.is_playing)
        turns = game.turns
        assert game.told[-1].startswith("Paused after")
        game.player.start()
        await until(lambda: game.turns > turns)
        game.player.stop()

    asyncio.run(scene())


def test_what_another_thread_asks_for_is_done_on_the_loop():
    async def scene():
        game, done = Game(), []
        ask = threading.Thread(target=lambda: game.player.call(lambda: done.append(threading.get_ident())))
        ask.start()
        ask.join()
        assert done == []  # not there
        await until(lambda: done)
        game.player.call(lambda: done.append(threading.get_ident()))
        assert done == [threading.get_ident()] * 2

    asyncio.run(scene())


def test_what_waits_on_the_loop_is_not_asked_for_twice():
    async def scene():
        home, done = panels.KernelThread(), []
        ask = threading.Thread(
            target=lambda: [home.call(done.clear), home.call(done.clear), home.call(lambda: done.append(1))]
        )
        ask.start()
        ask.join()
        assert len(home.waiting) == 2
        await until(lambda: not home.waiting)
        assert (done, home.waiting) == ([1], set())

    asyncio.run(scene())


def test_a_slider_moved_on_another_thread_draws_once_and_on_the_loop():
    async def scene():
        drawn = []

        def draw(n):
            drawn.append((n, threading.get_ident()))
            return Image.new("L", (8, 8), n)

        box = live.explore(draw, n=(0, 99, 1, 0))
        latent = live.latent(small())
        latent_map = latent.map_without_mark
        drawn.clear()

        def drag():
            for n in range(1, 20):
                box.controls["n"].value = n
                latent.controls["position"].value = n / 20

        dragging = threading.Thread(target=drag)
        dragging.start()
        dragging.join()
        assert drawn == []
        assert latent.map_without_mark is latent_map
        await until(lambda: drawn and latent.map_without_mark is not latent_map)
        assert drawn == [(19, threading.get_ident())]
        torch.testing.assert_close(latent.z, explorer.great_circle(latent.G, 0, 1, torch.tensor([0.95]))[0])

    asyncio.run(asyncio.wait_for(scene(), 30))


def test_a_watched_training_pauses_what_plays_and_the_laboratory_takes_its_own_rates(capsys):
    async def scene():
        lab = live.lab("ring")
        lab.buttons["Play"].click()
        await asyncio.sleep(0.05)
        assert lab.player.is_playing
        before = lab.run.step
        await live.train(lab.run, 30)
        assert not lab.player.is_playing
        assert lab.run.step == before + 30
        return lab

    lab = asyncio.run(asyncio.wait_for(scene(), 30))
    assert lab.run.opt_g.param_groups[0]["lr"] < 1e-3  # fell
    for act in (lab.d_step, lab.g_step, lambda: lab.play_for(2)):
        lab.run.set_rates(0.9)
        act()
        for optimizer, lr in ((lab.run.opt_g, train.PLANE.lr_g), (lab.run.opt_d, train.PLANE.lr_d)):
            assert optimizer.param_groups[0]["lr"] == lr


def test_a_turn_that_fails_ends_the_playing_and_says_why():
    async def scene():
        game = Game()

        def fail():
            raise BadInput("this cannot go on: choose another.")

        game.player.turn = fail
        game.player.start()
        await until(lambda: not game.player.is_playing)
        assert game.told == ["", "this cannot go on: choose another."]

    asyncio.run(scene())


def test_playing_takes_a_loop():
    game = Game()
    game.player.toggle()
    assert (game.player.is_playing, game.told) == (False, ["Playing needs a running notebook."])
    lab = live.lab("ring")
    lab.buttons["Play"].click()
    assert lab.message.value == "Playing needs a running notebook. In plain Python call play_for."
    box = live.latent(small())
    box.walk.click()
    assert box.message.value == "Playing needs a running notebook."


# --- sliders ---------------------------------------------------------------------------------------------------------


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
    assert opened(box.picture.value).getpixel((0, 0)) == 9


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


def test_any_error_while_redrawing_is_said():
    def draw(n):
        return Image.new("L", (8, 8), 100 // n)

    box = live.explore(draw, n=(0, 5, 1, 2))
    before = box.picture.value
    box.controls["n"].value = 0
    assert box.message.value.startswith("ZeroDivisionError: ")
    assert box.picture.value == before
    box.controls["n"].value = 4
    assert box.message.value == ""
    with pytest.raises(ZeroDivisionError):  # at once, where somebody reads it
        live.explore(draw, n=(0, 5, 1, 0))


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


def small(seed: int = 0, **options) -> models.MLPGenerator:
    return models.mlp((1, 8, 8), latent_dim=6, g_hidden=(16,), d_hidden=(16,), seed=seed, **options)[0]


def test_the_latent_explorer_takes_a_run_or_a_generator():
    G, D = models.mlp((1, 8, 8), g_hidden=(16,), d_hidden=(16,))
    for start in (G, train.Run(G, D, torch.rand(100, 1, 8, 8) * 2 - 1)):
        box = live.latent(start)
        seen = {box.picture.value}
        for name, value in (("position", 1.0), ("direction_1", 0.7), ("direction_4", -0.7), ("start", 5), ("end", 9)):
            box.controls[name].value = value
            assert box.message.value == ""
            seen.add(box.picture.value)
        assert len(seen) == 5  # where the whole way is gone, the start does not matter


def test_the_latent_explorer_shows_what_walk_draws():
    G = small()
    box = live.latent(G)
    for start, end, way in ((0, 1, 0.0), (3, 8, 0.5)):
        box.controls["start"].value, box.controls["end"].value, box.controls["position"].value = start, end, way
        expected = show.grid(live.walk(G, start, end, torch.tensor([way])), scale=28, gap=0)
        assert opened(box.picture.value).tobytes() == expected.tobytes()
    torch.testing.assert_close(box.z, explorer.great_circle(G, 3, 8, torch.tensor([0.5]))[0])


def test_the_latent_explorer_of_a_conditional_generator_has_a_menu_of_classes():
    run = shades.run(4)
    for start, names in ((run, ("no. 0", "no. 1", "no. 2", "no. 3")), (run.G, ("0", "1", "2", "3"))):
        box = live.latent(start)
        menu = box.controls["label"]
        assert (tuple(menu.options), menu.value, box.message.value) == (names, 0, "")
        for y in (0, 3):
            menu.value = y
            grey = opened(box.picture.value).getpixel((9, 9))
            assert abs(grey - (y / 4 + 1) * 127.5) <= 1
            assert abs(opened(box.pad.picture.value).convert("L").getpixel((5, 5)) - (y / 4 + 1) * 127.5) <= 1
    assert "label" not in live.latent(small()).controls


def test_the_directions_are_those_in_which_the_image_changes_most():
    G = small().eval()
    z = train.latents(G, 1, 0)[0]
    axes = explorer.directions(G, z)  # (4, 6)
    torch.testing.assert_close(axes @ axes.T, torch.eye(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(axes @ z, torch.zeros(4), atol=1e-5, rtol=0)

    def change(u):  # by differences, in double precision
        twin = small().double().eval()
        return ((twin((z + 1e-4 * u).double()[None]) - twin((z - 1e-4 * u).double()[None])) / 2e-4).norm().item()

    draw = torch.Generator().manual_seed(0)
    others = [torch.randn(6, generator=draw) for _ in range(200)]
    others = [u - (u @ z) / (z @ z) * z for u in others]
    strengths = [change(u) for u in axes]
    assert strengths == sorted(strengths, reverse=True)
    assert strengths[0] >= max(change(u / u.norm()) for u in others)
    assert strengths[3] > strengths[0] / 1000


def test_turning_stays_on_the_sphere_and_goes_as_far_as_the_angle():
    G = small()
    z = train.latents(G, 1, 0)[0]
    axes = explorer.directions(G, z)
    angles = torch.tensor([[0.0, 0, 0, 0], [0.3, 0, 0, 0], [0.3, -0.4, 0, 0], [0, 0, 0, np.pi]])
    turned = explorer.rotated(z, axes, angles)
    torch.testing.assert_close(turned.norm(dim=1), z.norm().expand(4))
    torch.testing.assert_close(
        turned @ z / (z @ z), torch.tensor([0, 0.3, 0.5, np.pi]).cos().float(), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(turned[0], z)
    assert turned[1] @ axes[0] > 0


def test_the_map_holds_what_a_click_leads_to():
    G = small()
    box = live.latent(G)
    assert len(box.pad.buttons.children) == 81
    box.pad.press(0.5, 0.9)  # column 6, the top row
    tile = box.zoom * 8 + 1
    image = np.asarray(box.map_without_mark)[1:tile, 6 * tile + 1 : 7 * tile]
    shown = np.asarray(opened(box.picture.value))[::28, ::28]  # a pixel of 28 each
    assert np.abs(image[:: box.zoom, :: box.zoom].astype(int) - shown).max() <= 1
    assert box.controls["direction_1"].value == pytest.approx(4 / 9 * 1.5, abs=0.03)
    marked = box.pad.picture.value
    box.controls["direction_3"].value = 0.5  # beside the map: no place on it
    assert box.pad.picture.value != marked
    box.home.click()
    assert [box.controls[f"direction_{i}"].value for i in (1, 2, 3, 4)] == [0, 0, 0, 0]


def test_the_nearest_training_images_are_those_that_neighbours_finds():
    G, D = models.mlp((1, 8, 8), g_hidden=(16,), d_hidden=(16,))
    run = train.Run(G, D, torch.rand(500, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    box = live.latent(run)
    plain = opened(box.picture.value)
    box.controls["nearest_training_images"].value = True
    assert opened(box.picture.value).height > plain.height
    made = run.sample(1)
    expected, index = neighbours.nearest_neighbours(made.flatten(1), run.examples.flatten(1), 5)
    found, distances = box.album.nearest(made[0])
    torch.testing.assert_close(distances, expected[0])
    assert torch.equal(found, run.examples[index[0]])
    assert "nearest_training_images" not in live.latent(G).controls
    other = live.latent(G, nearest=made)
    other.controls["nearest_training_images"].value = True
    assert other.album.nearest(made[0])[1].tolist() == [0]


def test_the_latent_explorer_refuses_what_is_no_image():
    with pytest.raises(BadInput, match=r"shape \(2,\): give a generator of images"):
        live.latent(models.plane()[0])
    with pytest.raises(BadInput, match=r"have shape \(1, 9, 9\), but those of G \(1, 8, 8\)"):
        live.latent(small(), nearest=torch.zeros(3, 1, 9, 9))


def test_the_latent_explorer_wants_two_directions_and_leaves_nothing_where_it_has_not():
    before = set(widget._instances)
    narrow = models.mlp((1, 8, 8), latent_dim=1, g_hidden=(16,), d_hidden=(16,))[0]
    nameless = torch.nn.Linear(2, 64)
    for G in (narrow, nameless):
        with pytest.raises(
            BadInput,
            match="^G has no latent_dim of 2 or more, so there is no direction to explore: give another generator.$",
        ):
            live.latent(G)
    with pytest.raises(BadInput):
        live.latent(models.plane()[0])
    assert set(widget._instances) == before


def test_the_latent_explorer_says_an_error_and_draws_anew_when_it_is_over(monkeypatch):
    box = live.latent(small())
    first = box.map_without_mark.tobytes()

    def fail():
        raise RuntimeError("no memory.\nlong tale")

    monkeypatch.setattr(box, "draw_map", fail)
    box.controls["position"].value = 0.5
    assert box.message.value == "RuntimeError: no memory."
    box.pad.press(0.5, 0.5)
    assert box.message.value == "RuntimeError: no memory."
    monkeypatch.undo()
    box.home.click()
    assert box.message.value == ""
    assert box.map_without_mark.tobytes() != first
    box.controls["position"].value = 0.0
    assert box.map_without_mark.tobytes() == first


def test_the_map_follows_a_run_that_learns_on():
    G, D = models.mlp((1, 8, 8), g_hidden=(16,), d_hidden=(16,))
    run = train.Run(G, D, torch.rand(100, 1, 8, 8) * 2 - 1)
    box = live.latent(run)
    before = box.map_without_mark
    box.controls["direction_1"].value = 0.5
    assert box.map_without_mark is before  # kept while it holds
    for _ in run.steps(30):
        pass
    box.controls["direction_1"].value = 0.0
    z, axes = box.frame
    middle = explorer.rotated(z, axes, torch.zeros(1, 4))
    expected = np.asarray(show.grid(explorer.generate(run.G_ema, middle, None), scale=3, gap=0)).astype(int)
    shown = np.asarray(box.map_without_mark)[4 * 25 + 1 : 5 * 25, 4 * 25 + 1 : 5 * 25].astype(int)
    assert np.abs(shown - expected).max() <= 1
    assert box.map_without_mark.tobytes() != before.tobytes()


def test_the_latent_explorer_shows_a_generator_that_diverged():
    G = small()
    box = live.latent(G)
    with torch.no_grad():
        next(G.parameters()).fill_(float("nan"))
    box.controls["position"].value = 0.5
    assert box.message.value == ""
    assert abs(opened(box.picture.value).getpixel((9, 9)) - 128) <= 1
    live.latent(G)


def test_images_that_are_not_square_have_a_map_of_their_shape():
    G = models.mlp((1, 8, 14), latent_dim=6, g_hidden=(16,), d_hidden=(16,))[0]
    box = live.latent(G)
    assert box.zoom == 2
    width, height = 9 * 29 + 1, 9 * 17 + 1
    assert box.map.size == (width, height)
    assert (box.pad.layout.width, box.pad.layout.height) == (f"{width}px", f"{height}px")
    box.controls["direction_1"].value, box.controls["direction_2"].value = 0.75, -0.75  # right of and below the middle
    orange = np.argwhere((np.asarray(box.map) == (213, 94, 0)).all(2))
    np.testing.assert_allclose(orange.mean(0), (0.75 * height, 0.75 * width), atol=2)
    np.testing.assert_allclose(np.ptp(orange, axis=0), (height / 9, width / 9), atol=2)


def test_large_images_are_reduced_on_the_map():
    G = models.mlp((1, 56, 28), latent_dim=6, g_hidden=(16,), d_hidden=(16,))[0]
    box = live.latent(G)
    assert box.map.size == (9 * 15 + 1, 9 * 29 + 1)
    middle = np.asarray(box.map_without_mark)[4 * 29 + 1 : 5 * 29, 4 * 15 + 1 : 5 * 15].astype(float)
    image = explorer.generate(G, box.z[None], None)[0, 0].reshape(28, 2, 14, 2).mean((1, 3))
    np.testing.assert_allclose(middle, (image + 1) * 127.5, atol=1)


def test_the_random_walk_goes_from_seed_to_seed_without_a_jump():
    box = live.latent(small())
    seeds, places = [], [box.z]
    for _ in range(80):
        box.walk_on()
        places.append(box.z)
        seeds.append((box.controls["start"].value, box.controls["end"].value))
    assert len(set(seeds)) >= 3
    assert all(a[1] == b[0] for a, b in itertools.pairwise(seeds) if a != b)
    steps = torch.stack([(a - b).norm() for a, b in itertools.pairwise(places)])
    assert steps.max() < 0.05 * torch.stack(places).norm(dim=1).max() * np.pi

    async def scene():
        box = live.latent(small())
        box.walk.click()
        await until(lambda: box.controls["position"].value > 0)
        assert box.walk.description == "Pause"
        box.walk.click()
        assert box.controls["position"].value < 0.5

    asyncio.run(scene())


def test_a_walk_stays_in_its_class():
    G, _ = models.mlp((1, 8, 8), g_hidden=(16,), d_hidden=(16,), classes=3)
    walked = live.walk(G, 3, 4, torch.tensor([0.0, 1.0]), label=2)
    for image, seed in zip(walked, (3, 4), strict=True):
        torch.testing.assert_close(image, train.sample(G, 1, seed=seed, labels=2)[0], rtol=1e-4, atol=1e-4)
        assert not torch.allclose(image, train.sample(G, 1, seed=seed, labels=1)[0], rtol=1e-4, atol=1e-4)
    with pytest.raises(BadInput, match="label is None: give the class to draw, 0 to 2"):
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
    with pytest.raises(BadInput, match="two or more different guesses, among them the answer, 'the loss'"):
        live.spot("", Image.new("L", (4, 4)), choices, "the loss", "")


def test_the_doctors_card_opens_each_finding():
    found = (
        Finding("partial_collapse", "severe", (Evidence("modes & more", 3.0, low=10),), "Only <3>."),
        Finding("blurred", "mild", (Evidence("sharpness", 0.5, low=1),)),
    )
    card = live.findings(Diagnosis(found, "digits", "a judge"), torch.zeros(4, 1, 8, 8))
    assert opened(card.picture.value).size[0] == 720
    for number, finding in enumerate(found):
        card.controls["finding"].value = number
        for text in (finding.meaning, *map(str, finding.evidence), *finding.to_try, finding.lesson):
            assert text in html.unescape(card.details.value)
        assert "<3>" not in card.details.value
    healthy = live.findings(Diagnosis((), "digits", "a judge"))
    assert (healthy.controls, healthy.details.value) == ({}, "Healthy: nothing was found.")


# --- the laboratory --------------------------------------------------------------------------------------------------


def test_a_few_hundred_steps_cover_the_ring_and_the_readout_says_what_the_metric_says():
    lab = live.lab("ring")
    assert lab.readout["modes"] <= 1
    lab.play_for(600)
    found = metrics.mixture_coverage(train.sample(lab.run.G, 1000, seed=0), lab.mixture)
    assert (lab.readout["modes"], lab.readout["of"], lab.readout["high_quality"]) == (
        found.modes,
        8,
        found.high_quality,
    )
    assert found.modes >= 7
    assert found.high_quality > 0.4
    assert lab.readout["step"] == 600
    assert f"<b>{found.modes} of 8</b>" in lab.text.value


@pytest.mark.parametrize(("data", "modes"), [("ring", 8), ("grid", 25), ("line", 5)])
def test_the_data_lies_within_the_picture(data, modes):
    lab = live.lab(data)
    assert len(lab.mixture) == modes
    assert lab.run.examples.abs().max() < laboratory.LIMIT
    assert abs(lab.run.examples.std(0).square().mean().sqrt() - 1) < 0.1


def test_playing_takes_the_steps_of_a_plain_run():
    lab = live.lab("ring", seed=3)
    plain = train.Run(*models.plane(3), lab.run.examples, lab.recipe(), seed=3)
    lab.play_for(20)
    for _ in range(20):
        plain.take_step()
    assert all(torch.equal(a, b) for a, b in zip(lab.run.G.parameters(), plain.G.parameters(), strict=True))
    lab.buttons["Restart"].click()
    assert lab.run.step == 0
    lab.play_for(20)
    assert all(torch.equal(a, b) for a, b in zip(lab.run.G.parameters(), plain.G.parameters(), strict=True))


def weights(net) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in net.parameters()])


def test_a_d_step_moves_only_d_and_a_g_step_only_g():
    lab = live.lab("ring")
    for name, moved, still in (("D step", "D", "G"), ("G step", "G", "D")):
        before, picture = {net: weights(getattr(lab.run, net)) for net in "GD"}, lab.picture.value
        lab.buttons[name].click()
        assert not torch.equal(weights(getattr(lab.run, moved)), before[moved])
        assert torch.equal(weights(getattr(lab.run, still)), before[still])
        expected = before["G"].lerp(weights(lab.run.G), 0.9)  # at step 0 the average follows by 1 - 1/10
        torch.testing.assert_close(weights(lab.run.G_ema), expected)
        assert lab.picture.value == lab.pad.picture.value != picture
    assert lab.readout["step"] == 1
    before, after = lab.moves
    assert before.shape == after.shape == (60, 2)
    torch.testing.assert_close(after, lab.fakes(60))
    assert not torch.equal(before, after)


def test_every_control_acts_at_once_on_the_running_game():
    lab = live.lab("ring")
    lab.play_for(3)
    run = lab.run
    values = {"lr_G": 1e-2, "lr_D": 3e-4, "R1": 3, "D_steps_per_G_step": 4, "momentum": 0.5, "loss": "hinge"}
    for name, value in values.items():
        lab.controls[name].value = value
    recipe = run.recipe
    assert (recipe.lr_g, recipe.lr_d, recipe.gamma, recipe.d_steps) == (1e-2, 3e-4, 3, 4)
    assert recipe.loss is losses.HINGE
    for optimizer, lr in ((run.opt_g, 1e-2), (run.opt_d, 3e-4)):
        assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]) == (lr, (0.5, 0.99))
    assert lab.run is run
    lab.play_for(2)
    assert run.step == 5
    lab.controls["R1"].value = 0
    assert run.recipe.penalty is None
    assert "Without R1" in lab.message.value
    lab.controls["loss"].value = "wasserstein"
    assert "nothing bounds D's gradient" in lab.message.value
    lab.controls["R1"].value = 0.1
    assert "oscillations may grow" in lab.message.value
    lab.controls["momentum"].value = 0
    assert lab.message.value == ""


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_every_loss_can_be_played(loss):
    lab = live.lab("line")
    lab.controls["loss"].value = loss
    lab.play_for(5)
    lab.d_step()
    lab.g_step()
    assert lab.readout["step"] == 6
    assert all(np.isfinite(value) for value in lab.readout.values())


def test_a_click_draws_a_mode_and_the_game_goes_on():
    lab = live.lab("drawn")
    assert (lab.run, lab.readout["of"]) == (None, 0)
    for name in ("D step", "G step"):
        lab.buttons[name].click()
        assert lab.message.value == "There is no data yet: click on the picture to add a mode."
    with pytest.raises(BadInput, match="no data yet"):
        lab.play_for(1)
    lab.pad.press(0.5, -0.5)
    assert lab.message.value == ""
    torch.testing.assert_close(lab.mixture.means, torch.tensor([[0.5, -0.5]]) * 2.5)
    run = lab.run
    lab.play_for(5)
    lab.pad.press(-0.5, 0.5)
    assert lab.run is run
    assert (run.step, lab.readout["of"]) == (5, 2)
    assert run.examples[:, 0].min() < -1
    lab.buttons["Clear"].click()
    assert (lab.run, lab.drawn, lab.readout["of"]) == (None, [], 0)


def test_modes_are_added_from_code_and_only_where_they_are_asked_for():
    lab = live.lab("ring")
    lab.pad.press(0, 0)
    assert lab.message.value == "To add modes by clicking, choose the data 'drawn'."
    assert len(lab.mixture) == 8
    lab.add(1, 2)
    assert (lab.controls["data"].value, lab.drawn) == ("drawn", [(1.0, 2.0)])
    with pytest.raises(BadInput, match=r"\(3, 0\) lies outside the picture: give numbers from -2.5 to 2.5"):
        lab.add(3, 0)
    with pytest.raises(BadInput, match="did you mean 'ring'"):
        live.lab("rng")


def test_a_mode_added_to_other_data_begins_anew_and_one_to_drawn_data_does_not():
    lab = live.lab("ring")
    lab.play_for(3)
    lab.add(1, 2)
    assert (lab.run.step, len(lab.mixture)) == (0, 1)
    lab.play_for(2)
    lab.add(-1, 2)
    assert (lab.run.step, len(lab.mixture)) == (2, 2)


def test_the_line_below_says_what_to_do_next(monkeypatch):
    lab = live.lab("ring")
    assert "Arrows" not in lab.text.value
    lab.pad.press(0, 0)
    lab.controls["data"].value = "drawn"
    assert lab.message.value == "Click on the picture to add a mode."
    lab.controls["momentum"].value = 0.3
    assert lab.message.value == "Click on the picture to add a mode."
    lab.pad.press(0, 0)
    assert lab.message.value == ""
    lab.buttons["G step"].click()
    assert "Arrows: G's last step, " in lab.text.value

    def fail(*args):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(lab.run, "g_step", fail)
    lab.buttons["G step"].click()
    assert lab.message.value == "RuntimeError: out of luck."


def test_the_surface_of_a_loss_without_a_zero_is_centred():
    lab = live.lab("ring")
    with torch.no_grad():
        list(lab.D.parameters())[-1].add_(5)  # the bias of the logit
    assert lab.centred_d() is lab.D
    lab.controls["loss"].value = "wasserstein"
    centred, (real, fake) = lab.centred_d(), (lab.run.examples[:500], lab.fakes(500))
    assert (lab.D(real).mean() + lab.D(fake).mean()).item() > 8
    assert (centred(real).mean() + centred(fake).mean()).item() == pytest.approx(0, abs=1e-4)
    torch.testing.assert_close(centred(real) - centred(real)[0], lab.D(real) - lab.D(real)[0])


def test_the_data_is_blue_and_the_generator_orange(monkeypatch):
    lab = live.lab("ring")
    lab.run.examples = torch.tensor([[2.0, 2.0]]).expand(600, 2)
    monkeypatch.setattr(lab, "fakes", lambda count=1000: torch.tensor([[-2.0, -2.0]]).expand(count, 2))
    picture = lab.portrait()
    assert picture.getpixel((360, 40)) == (0, 114, 178)
    assert picture.getpixel((40, 360)) == (213, 94, 0)


def test_a_game_that_cannot_be_drawn_is_refused():
    with pytest.raises(BadInput, match=r"the moves have starts of shape \(3, 2\) and ends of shape \(4, 2\)"):
        show.game(None, None, moves=(torch.zeros(3, 2), torch.zeros(4, 2)))
    with pytest.raises(BadInput, match="limit is 0: give a finite number and > 0"):
        show.game(None, None, limit=0)


def test_weights_that_are_lost_are_said_and_restart_helps():
    lab = live.lab("ring")
    with torch.no_grad():
        next(lab.run.G.parameters()).fill_(float("nan"))
    lab.buttons["G step"].click()
    assert "no longer finite" in lab.message.value
    assert lab.readout["modes"] == 0
    lab.portrait()
    lab.buttons["Restart"].click()
    lab.g_step()
    assert lab.readout["step"] == 1


def test_the_laboratory_plays_and_a_new_one_pauses_it():
    async def scene():
        lab = live.lab("ring")
        lab.buttons["Play"].click()
        turns = 0
        while lab.run.step <= 100:  # other cells get turns
            await asyncio.sleep(0)
            turns += 1
        assert turns > 3
        assert lab.buttons["Play"].description == "Pause"
        other = live.lab("ring")
        assert lab.buttons["Play"].description == "Play"
        step = lab.run.step
        other.buttons["Play"].click()
        await until(lambda: other.run.step > 0)
        assert lab.run.step == step
        other.close()
        assert not other.player.is_playing

    asyncio.run(scene())


def test_arrows_are_enlarged_by_a_round_factor_so_that_they_can_be_seen():
    before = torch.zeros(60, 2)
    for length, factor in ((0.001, 200), (0.0031, 50), (0.29, 1), (5, 1)):
        begin, end, times = laboratory.enlarged_moves(before, before + torch.tensor([length, 0]))
        assert times == pytest.approx(factor)
        torch.testing.assert_close(end, begin + torch.tensor([length * factor, 0]))
    assert laboratory.enlarged_moves(before, before)[2] == 1


# --- attributes ------------------------------------------------------------------------------------------------------


class Dresser(nn.Module):
    """Shows one face with a beanie where z₁ > 0.5, in dark glasses where z₂ > 0.5."""

    latent_dim = 3

    def __init__(self, classes=0):
        super().__init__()
        self.classes, self.weight = classes, nn.Parameter(torch.zeros(1))
        looks = itertools.product(("none", "beanie"), ("none", "dark"))
        drawn = [faces.draw(1, 3, fixed={"hat": hat, "glasses": glasses}).pixels[0] for hat, glasses in looks]
        self.looks = torch.stack(drawn) / 127.5 - 1

    def forward(self, z, y=None):
        return self.looks[2 * (z[:, 1] > 0.5).long() + (z[:, 2] > 0.5).long()]


def test_attributes_are_put_on_by_their_sliders():
    G, judge = Dresser(), classifier.load("faces")
    box = live.attributes(G, judge, hat="beanie", glasses="dark")
    assert list(box.controls) == ["start", "hat beanie", "glasses dark"]
    directions = metrics.attribute_directions(G, judge, {"hat": "beanie", "glasses": "dark"})
    assert directions[0, 1] > 0.98
    assert directions[1, 2] > 0.98

    def right_half():
        return np.asarray(opened(box.picture.value).convert("RGB"))[-256:, -256:]

    z = train.latents(G, 1, 0)[0]
    for hat, glasses in itertools.product((0, 4.5), (0, 4.5)):
        box.controls["hat beanie"].value, box.controls["glasses dark"].value = hat, glasses
        wanted = G(attribute_sliders.led(z, directions, [hat, glasses])[None])
        assert np.array_equal(right_half(), show.grid(wanted, scale=4, gap=0))
    led = attribute_sliders.led(z, directions, [4.5, 4.5])
    assert led.norm() == pytest.approx(z.norm().item())
    assert attribute_sliders.seen(judge, G(led[None])[0], {"hat": "beanie", "glasses": "dark"}) == (
        "beanie 100%, dark 100%"
    )


def test_attributes_that_cannot_be_changed():
    judge = classifier.load("faces")
    with pytest.raises(BadInput, match="nothing to change: name a value of a factor, such as hat='beanie'"):
        live.attributes(Dresser(), judge)
    with pytest.raises(BadInput, match="the classifier 'mnist' knows no factors"):
        live.attributes(Dresser(), classifier.load("mnist"), hat="cap")
    with pytest.raises(BadInput, match="give the class to draw, 0 to 2"):
        live.attributes(Dresser(3), judge, hat="cap")
    with pytest.raises(BadInput, match="unknown value of hat 'sombrero'"):
        live.attributes(Dresser(), judge, hat="sombrero")


def test_the_card_of_a_monitor_shows_each_look_and_what_was_said():
    real = torch.rand(200, 1, 16, 16) * 2 - 1
    watched = doctor.Monitor(lambda n: torch.zeros(n, 1, 16, 16), None, real, every=2, count=64, say=None)
    card = live.monitor(watched)
    assert "step 0: nothing wrong so far" in card.status.value
    for step in range(8):
        watched.step(d_loss=1.0 if step < 6 else float("nan"))
    assert "step 8" in card.status.value
    assert "non finite" in card.status.value
    assert "step 8: There are NaN" in card.messages.value
    assert bytes(card.picture.value).startswith(b"\x89PNG")
