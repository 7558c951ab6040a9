import copy
import dataclasses

import pytest
import torch
from tape import stand_in
from torch import nn

from gantutor import losses, models, penalties
from gantutor.data import Images, strokes, toy
from gantutor.errors import BadInput
from gantutor.train import R3GAN, Recipe, Run, latents, sample, validate
from gantutor.train.unrolled import steps_ahead

PLAIN = Recipe(batch_size=8, penalty=None, ema_decay=0.0, decay_from=1.0)
POINTS = toy.ring().sample(64, seed=0)


def pair(**changes):
    sizes = dict(shape=(2,), latent_dim=3, g_hidden=(16,), d_hidden=(16,), output="linear") | changes
    return models.mlp(**sizes)


def small_run(recipe=PLAIN, data=POINTS, **seeds):
    return Run(*pair(), data, recipe, **seeds)


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.state_dict().values()])


def test_the_loop_takes_the_steps_that_a_loop_by_hand_takes():
    """Algorithm 1 of Goodfellow et al. 2014 written out with torch's own cross-entropy, R1 by autograd, in float64."""
    data = POINTS.double()
    recipe = Recipe(batch_size=8, gamma=0.5, penalty_every=3, ema_decay=0.9, decay_from=0.5, d_steps=2)
    G, D = (net.double() for net in pair())
    run = Run(copy.deepcopy(G), copy.deepcopy(D), data, recipe, seed=5)

    bce = nn.functional.binary_cross_entropy_with_logits
    opt_g = torch.optim.Adam(G.parameters(), recipe.lr_g, betas=recipe.betas)
    opt_d = torch.optim.Adam(D.parameters(), recipe.lr_d, betas=recipe.betas)
    order = torch.Generator().manual_seed(5)
    average = copy.deepcopy(G)
    ones, zeros = torch.ones(8, dtype=torch.float64), torch.zeros(8, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        noise = [torch.randn(8, 3, dtype=torch.float64) for _ in range(6 * 2)]
    for k, step in enumerate(run.steps(6)):
        for opt, lr in ((opt_g, recipe.lr_g), (opt_d, recipe.lr_d)):
            opt.param_groups[0]["lr"] = lr * min(1, 2 * (1 - k / 6))
        for _ in range(2):
            real = data[torch.randint(64, (8,), generator=order)]
            fake = G(noise.pop(0))
            d_loss = bce(D(real), ones) + bce(D(fake.detach()), zeros)
            total = d_loss
            if k % 3 == 0:
                x = real.clone().requires_grad_()
                (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
                total = d_loss + 3 * 0.5 / 2 * (slope**2).sum(1).mean()
            opt_d.zero_grad()
            total.backward()
            opt_d.step()
        g_loss = bce(D(fake), ones)
        opt_g.zero_grad()
        g_loss.backward()
        opt_g.step()
        ramp = min(0.9, (1 + k) / (10 + k))
        for a, p in zip(average.parameters(), G.parameters(), strict=True):
            a.data = ramp * a.data + (1 - ramp) * p.data
        assert step.d_loss.item() == pytest.approx(d_loss.item(), rel=1e-9)
        assert step.g_loss.item() == pytest.approx(g_loss.item(), rel=1e-9)
    torch.testing.assert_close(weights(run.G), weights(G), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(weights(run.D), weights(D), rtol=1e-9, atol=1e-12)
    ours, theirs = (torch.cat([p.detach().flatten() for p in n.parameters()]) for n in (run.G_ema, average))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_it_learns_a_shifted_cloud():
    """Points around (2, -1) with spread 0.5: after 800 steps the generator's mean and spread are there."""
    data = torch.randn(2000, 2, generator=torch.Generator().manual_seed(1)) * 0.5 + torch.tensor([2.0, -1.0])
    run = Run(*pair(g_hidden=(32, 32), d_hidden=(32, 32)), data, Recipe(gamma=0.1, penalty_every=4, ema_decay=0.98))
    before = run.sample(2000).mean(0)
    for _ in run.steps(800):
        pass
    made = run.sample(2000)
    assert (before - data.mean(0)).norm() > 1.5
    assert (made.mean(0) - data.mean(0)).norm() < 0.25
    assert ((made.std(0) / 0.5).log().abs() < 0.7).all()


def test_same_seed_same_numbers_and_the_global_random_state_is_left_alone():
    recipe = dataclasses.replace(PLAIN, penalty=penalties.wgan_gp, gamma=1.0, penalty_every=1)

    def train_in(global_seed):
        torch.manual_seed(global_seed)
        expected = torch.rand(3)
        torch.manual_seed(global_seed)
        run = small_run(recipe, seed=3)
        run.D.net.insert(1, nn.Dropout(0.5))
        list(run.steps(5))
        run.sample(4)
        assert torch.equal(torch.rand(3), expected)
        return weights(run.G)

    assert torch.equal(train_in(0), train_in(1))


def test_seeds_can_be_varied_one_at_a_time():
    def first_batch_and_noise(**seeds):
        run = small_run(seed=0, **seeds)
        with run.randomness:
            return run.batch()[0], run.noise()

    batch, noise = first_batch_and_noise()
    other_order = first_batch_and_noise(order_seed=1)
    other_noise = first_batch_and_noise(noise_seed=1)
    assert not torch.equal(batch, other_order[0])
    assert torch.equal(noise, other_order[1])
    assert torch.equal(batch, other_noise[0])
    assert not torch.equal(noise, other_noise[1])


def test_learning_rates_fall_linearly_from_the_share_that_the_recipe_names():
    run = small_run(dataclasses.replace(PLAIN, lr_g=1e-3, lr_d=2e-3, decay_from=0.6))
    rates = [(run.opt_g.param_groups[0]["lr"], run.opt_d.param_groups[0]["lr"]) for _ in run.steps(10)]
    shares = [1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]  # progress 0, 0.1, …, 0.9
    for (lr_g, lr_d), share in zip(rates, shares, strict=True):
        assert (lr_g, lr_d) == pytest.approx((1e-3 * share, 2e-3 * share))


def test_the_lazy_penalty_comes_every_so_many_steps_that_many_times_as_strongly():
    seen = []

    def spy(D, real, fake):
        seen.append(run.step)
        return penalties.r1(D, real, fake)

    run = small_run(dataclasses.replace(PLAIN, penalty=spy, penalty_every=4, gamma=0.25))
    list(run.steps(9))
    assert seen == [0, 4, 8]
    lazy, eager = (small_run(dataclasses.replace(PLAIN, penalty=penalties.r1, penalty_every=every, gamma=gamma))
                   for every, gamma in ((4, 0.25), (1, 1.0)))  # fmt: skip
    next(lazy.steps(1)), next(eager.steps(1))
    assert torch.equal(weights(lazy.D), weights(eager.D))


def test_only_a_paired_loss_shows_the_real_batch_to_the_generator():
    seen = {}

    def spying(paired):
        def g(real_logits, fake_logits):
            seen[paired] = real_logits.isfinite().all().item()
            return losses.relativistic_g(real_logits, fake_logits)

        return losses.Loss("spy", losses.relativistic_d, g, paired)

    for paired in (True, False):
        list(small_run(dataclasses.replace(PLAIN, loss=spying(paired))).steps(1))
    assert seen == {True: True, False: False}  # NaN, so that a loss that is paired without saying so shows it


def test_g_step_leaves_no_gradient_in_d_and_its_settings_as_they_were():
    run = small_run()
    run.D.net[1].bias.requires_grad_(False)
    list(run.steps(2))
    assert not run.D.net[1].bias.requires_grad
    assert all(p.requires_grad for p in run.D.net[-1].parameters())
    run.opt_d.zero_grad()
    with run.randomness:
        run.g_step(run.batch()[0], run.G(run.noise()))
    assert all(p.grad is None for p in run.D.parameters())


def test_sampling_is_repeatable_in_eval_mode_and_gives_the_modes_back():
    run = small_run(dataclasses.replace(PLAIN, ema_decay=0.9))
    list(run.steps(3))
    run.G.train()
    run.G.net[1].eval()
    modes = [m.training for m in run.G.modules()]
    live = run.sample(1500, averaged=False)
    assert [m.training for m in run.G.modules()] == modes
    assert torch.equal(live[:10], run.sample(1500, averaged=False)[:10])
    torch.testing.assert_close(live[:10], run.sample(10, averaged=False))  # no example depends on its batch
    assert not torch.allclose(live[:10], run.sample(10))
    assert not torch.equal(live[:10], run.sample(10, averaged=False, seed=1))


def test_breaking_off_leaves_a_run_that_goes_on():
    run, whole = small_run(), small_run()
    for step in run.steps(100):
        if step.index == 3:
            break
    assert run.step == 3
    assert [step.index for step in run.steps(2)] == [4, 5]
    list(whole.steps(5))
    assert torch.equal(weights(run.G), weights(whole.G))


def test_a_plan_broken_off_is_finished_by_steps_without_arguments():
    recipe = dataclasses.replace(PLAIN, decay_from=0.2)
    run, whole = small_run(recipe), small_run(recipe)
    for step in run.steps(10):
        if step.index == 6:
            break
    assert [step.index for step in run.steps()] == [7, 8, 9, 10]
    list(whole.steps(10))
    assert torch.equal(weights(run.G), weights(whole.G))
    with pytest.raises(BadInput, match="say how long to train"):
        small_run().steps()


def test_zero_steps_do_nothing():
    assert list(small_run().steps(0)) == []


def test_seconds_end_the_loop_and_drive_the_decay(monkeypatch):
    """On a clock that shows one second more at every look."""
    clock = iter(range(1000))
    monkeypatch.setattr("gantutor.train.run.time.perf_counter", lambda: next(clock))
    run = small_run(dataclasses.replace(PLAIN, decay_from=0.5))
    rates = [run.opt_d.param_groups[0]["lr"] * 1e3 for _ in run.steps(seconds=5)]
    assert rates == pytest.approx([1, 1, 0.8, 0.4])  # after 1, 2, 3 and 4 of 5 seconds


def test_training_puts_the_nets_into_train_mode():
    run = small_run()
    run.G.eval()
    before = run.G.net[1].running_mean.clone()
    list(run.steps(1))
    assert run.G.training
    assert not torch.equal(run.G.net[1].running_mean, before)


def test_samples_never_repeat_the_noise_of_training():
    run = small_run(seed=0)
    with run.randomness:
        noise = run.noise()
    seen = []
    run.G.net.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    run.sample(8, seed=0, averaged=False)
    assert not torch.equal(seen[0], noise)


def test_other_devices_random_streams_are_left_alone(monkeypatch):
    def touched(*_):
        raise AssertionError("a device that is not in use was reseeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", touched)
    monkeypatch.setattr(torch.mps, "manual_seed", touched)
    list(small_run().steps(1))


def images(pixels):
    return Images("test", pixels, torch.zeros(len(pixels), dtype=torch.int64), ("a",))


def test_bad_data_is_named():
    fine = torch.zeros(16, 1, 4, 4)
    G, D = models.mlp(shape=(1, 4, 4), latent_dim=3, g_hidden=(8,), d_hidden=(8,))
    Run(G, D, images(fine), PLAIN)
    for wrong, message in [
        (fine + 2, r"\[2, 2\], outside \[-1, 1\].*127\.5"),
        (torch.full_like(fine, float("nan")), "NaN"),
        (fine.to(torch.uint8), "torch.uint8"),
        (torch.zeros(16), r"shape \(16,\)"),
        (fine.numpy(), "ndarray"),
        (fine[:4], "batch_size is 8, but there are only 4 examples"),
        (fine[:, 0] + 2, r"\[2, 2\], outside \[-1, 1\]"),
        (fine.double(), "the data is torch.float64, but the weights of G are torch.float32"),
        (torch.zeros(16, 3, 4, 4), r"G makes examples of shape \(1, 4, 4\), but the data has \(3, 4, 4\)"),
    ]:
        with pytest.raises(BadInput, match=message):
            Run(G, D, wrong, PLAIN)


def test_nets_that_do_not_fit_are_named():
    G, D = pair()
    with pytest.raises(BadInput, match="latent_dim"):
        Run(nn.Linear(3, 2), D, POINTS, PLAIN)
    with pytest.raises(BadInput, match=r"D turns 2 examples into \(2, 5\)"):
        Run(G, nn.Linear(2, 5), POINTS, PLAIN)
    with pytest.raises(BadInput, match=r"D cannot take an input of shape \(2, 2\)"):
        Run(G, nn.Linear(7, 1), POINTS, PLAIN)
    with pytest.raises(BadInput, match="D cannot take an input"):
        Run(G, nn.Sequential(nn.BatchNorm2d(2), nn.Linear(2, 1)), POINTS, PLAIN)
    with pytest.raises(BadInput, match="device 'gpu' cannot be used"):
        Run(G, D, POINTS, PLAIN, device="gpu")
    Run(G, nn.Linear(2, 1), POINTS, PLAIN)  # (B, 1) is as good as (B,)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(batch_size=0),
        dict(d_steps=1.5),
        dict(penalty_every=0),
        dict(unroll=-1),
        dict(unroll=1.5),
        dict(lr_g=0.0),
        dict(lr_d=float("nan")),
        dict(gamma=-1.0),
        dict(betas=(1.0, 0.9)),
        dict(betas=(0.5,)),
        dict(betas=0.5),
        dict(loss="hinge"),
        dict(penalty="r1"),
        dict(ema_decay=1.0),
        dict(decay_from=1.2),
    ],
)
def test_impossible_recipes_are_named(wrong):
    with pytest.raises(BadInput, match=next(iter(wrong))):
        Recipe(**wrong)


def test_the_recipe_for_images_of_a_size():
    assert Recipe.for_images((1, 28, 28), 60_000) == Recipe()
    assert Recipe.for_images((3, 64, 64), 300) == Recipe(batch_size=32, gamma=2)
    assert Recipe.for_images((3, 32, 32), 300) == Recipe(batch_size=32, gamma=0.5)
    assert Recipe.for_images((3, 32, 32), 300, 64) == Recipe(batch_size=64, gamma=0.25)
    assert Recipe.for_images((1, 28, 28), 50).batch_size == 50
    assert [Recipe.for_images((3, 64, 64), n).batch_size for n in (5, 8, 20, 31)] == [5, 8, 16, 24]
    assert Recipe.for_images((3, 64, 64), 20, batch_size=64).batch_size == 64  # as was asked: `Run` says what is wrong
    for wrong in (dict(n=0), dict(n=2.5), dict(n=10, batch_size=0), dict(n=100, batch_size=50)):
        with pytest.raises(BadInput):
            Recipe.for_images((3, 32, 32), **wrong)


@pytest.mark.parametrize(
    "wrong", [dict(n=-1), dict(n=2.5), dict(seconds=0), dict(seconds=float("inf")), dict(n=1, seconds=1)]
)
def test_impossible_lengths_are_refused_before_training(wrong):
    with pytest.raises(BadInput):
        small_run().steps(**wrong)


def test_impossible_sample_counts_are_refused():
    with pytest.raises(BadInput, match="number of samples is 0"):
        small_run().sample(0)


# --- conditional -----------------------------------------------------------------------------------------------------

# Three classes of points, far apart: class k lies around CENTERS[k] with spread 0.1.
CENTERS = torch.tensor([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])


class Clouds(Images):
    """Points in the place of pixels, with labels: the smallest conditional data there is."""

    def __post_init__(self):
        pass


def clouds(n=600):
    y = torch.arange(n) % 3
    noise = torch.randn(n, 2, generator=torch.Generator().manual_seed(1))
    return Clouds("clouds", CENTERS[y] + 0.1 * noise, y, ("right", "above", "below"))


def test_the_conditional_loop_takes_the_steps_that_a_loop_by_hand_takes():
    """Algorithm 1 with D(x, y) and G(z, y), R1 by autograd on the data alone, in float64."""
    points = clouds(64)
    data = Clouds(points.name, points.pixels.double(), points.labels, points.classes)
    recipe = Recipe(batch_size=8, gamma=0.5, penalty_every=2, ema_decay=0.9, decay_from=1.0)
    G, D = (net.double() for net in pair(classes=3))
    run = Run(copy.deepcopy(G), copy.deepcopy(D), data, recipe, seed=5)

    bce = nn.functional.binary_cross_entropy_with_logits
    opt_g = torch.optim.Adam(G.parameters(), recipe.lr_g, betas=recipe.betas)
    opt_d = torch.optim.Adam(D.parameters(), recipe.lr_d, betas=recipe.betas)
    order = torch.Generator().manual_seed(5)
    ones, zeros = torch.ones(8, dtype=torch.float64), torch.zeros(8, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        noise = [torch.randn(8, 3, dtype=torch.float64) for _ in range(5)]
    for k, step in enumerate(run.steps(5)):
        index = torch.randint(64, (8,), generator=order)
        real, y = data.pixels[index], data.labels[index]
        fake = G(noise[k], y)
        d_loss = bce(D(real, y), ones) + bce(D(fake.detach(), y), zeros)
        total = d_loss
        if k % 2 == 0:
            x = real.clone().requires_grad_()
            (slope,) = torch.autograd.grad(D(x, y).sum(), x, create_graph=True)
            total = d_loss + 2 * 0.5 / 2 * (slope**2).sum(1).mean()
        opt_d.zero_grad()
        total.backward()
        opt_d.step()
        g_loss = bce(D(fake, y), ones)
        opt_g.zero_grad()
        g_loss.backward()
        opt_g.step()
        assert step.d_loss.item() == pytest.approx(d_loss.item(), rel=1e-9)
        assert step.g_loss.item() == pytest.approx(g_loss.item(), rel=1e-9)
    torch.testing.assert_close(weights(run.G), weights(G), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(weights(run.D), weights(D), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("label", ["concat", "embed", "projection"])
def test_each_way_to_tell_the_class_learns_which_class_is_where(label):
    nets = pair(classes=3, label=label, g_hidden=(32, 32), d_hidden=(32, 32))
    run = Run(*nets, clouds(), Recipe(gamma=0.1, penalty_every=4, ema_decay=0.98))

    def right(labels):
        made = run.sample(300, labels=labels)
        return (torch.cdist(made, CENTERS).argmin(1) == labels).float().mean().item()

    before = min(right(torch.full((300,), k)) for k in range(3))
    list(run.steps(600))
    assert before < 0.6
    assert all(right(torch.full((300,), k)) > 0.95 for k in range(3))
    assert right(torch.arange(300) % 3) > 0.95  # the label of each example is its own, not that of its batch


def test_labels_of_samples():
    run = Run(*pair(classes=3), clouds(), PLAIN)
    by_turns, asked = run.sample(7), run.sample(7, labels=[0, 1, 2, 0, 1, 2, 0])
    assert torch.equal(by_turns, asked)
    assert torch.equal(run.sample(4, labels=2), run.sample(4, labels=torch.tensor([2, 2, 2, 2])))
    assert not torch.allclose(run.sample(4, labels=2), run.sample(4, labels=1))
    many = run.sample(2500, labels=1)  # more than one batch of sampling
    torch.testing.assert_close(many[2000:2010], run.G_ema(latent(run, 2010)[2000:], torch.ones(10).long()))


def latent(run, n):
    return latents(run.G, n, 0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (3, "the labels go from 3 to 3"),
        (-1, "from -1"),
        ([0, 1], r"shape \(2,\): give int64 of shape \(5,\), from 0 to 2"),
        (1.5, "float32"),
        ("seven", "labels are 'seven'"),
        (True, "bool"),
        (1j, "complex64"),
    ],
    ids=str,
)
def test_labels_that_do_not_fit_are_named(labels, message):
    run = Run(*pair(classes=3), clouds(), PLAIN)
    with pytest.raises(BadInput, match=message):
        run.sample(5, labels=labels)


def test_the_average_has_the_running_statistics_of_g():
    run = small_run(dataclasses.replace(PLAIN, ema_decay=0.9))
    list(run.steps(3))
    own, averaged = run.G.net[1], run.G_ema.net[1]
    assert own.num_batches_tracked == averaged.num_batches_tracked == 3
    assert torch.equal(own.running_mean, averaged.running_mean)
    assert not torch.equal(own.weight, averaged.weight)


def test_impossible_batches_of_sampling_are_refused():
    with pytest.raises(BadInput, match="batch_size is 0"):
        sample(small_run().G, 4, batch_size=0)


def test_labels_for_an_unconditional_generator_are_refused():
    with pytest.raises(BadInput, match="not conditional"):
        small_run().sample(5, labels=1)


# --- unrolling and other remedies ------------------------------------------------------------------------------------


def unrolling_run(loss=losses.NON_SATURATING, unroll=3, **changes):
    """Trained for a few steps in float64, so that Adam has a state."""
    recipe = Recipe(loss, batch_size=8, betas=(0.5, 0.9), ema_decay=0.0, decay_from=0.5, unroll=unroll)
    run = Run(*(net.double() for net in pair(batch_norm=False, **changes)), POINTS.double(), recipe)
    for step in run.steps(8):
        if step.index == 6:  # by now the learning rate has begun to fall
            return run


def further(run, real, fake, steps):
    """A copy of D and its optimizer, taken `steps` real steps further: what unrolling must agree with."""
    D = copy.deepcopy(run.D)
    opt = torch.optim.Adam(D.parameters())
    opt.load_state_dict(copy.deepcopy(run.opt_d.state_dict()))
    for _ in range(steps):
        opt.zero_grad()
        run.recipe.loss.d(D(real), D(fake.detach())).backward()
        opt.step()
    return D


@pytest.mark.parametrize("loss", [losses.NON_SATURATING, losses.RELATIVISTIC], ids=lambda loss: loss.name)
def test_g_descends_the_loss_that_d_will_have_after_k_real_steps_of_adam(loss):
    """Each slope of a bias of G against the change of the loss when that bias moves a little (central differences)."""
    run = unrolling_run(loss)
    real, z = POINTS[:8].double(), torch.randn(8, 3, dtype=torch.float64)

    def g_loss():
        fake = run.G(z)
        D = further(run, real, fake, 3)
        return loss.g(D(real), D(fake)).item()

    bias, h = run.G.net[-2].bias, 1e-6
    wanted = []
    for i in range(2):
        ends = []
        for sign in (1, -1):
            bias.data[i] += sign * h
            ends.append(g_loss())
            bias.data[i] -= sign * h
        wanted.append((ends[0] - ends[1]) / (2 * h))
    now = g_loss()
    run.opt_g = torch.optim.SGD(run.G.parameters(), lr=0.0)
    assert run.g_step(real, run.G(z)).item() == pytest.approx(now, rel=1e-9)
    assert bias.grad.tolist() == pytest.approx(wanted, rel=1e-5)
    run.recipe = dataclasses.replace(run.recipe, unroll=0)
    run.g_step(real, run.G(z))
    assert bias.grad.tolist() != pytest.approx(wanted, rel=1e-2)  # the test can tell the difference


def test_the_foreseen_weights_are_those_of_the_optimizer():
    run = unrolling_run()
    real, fake = POINTS[:8].double(), POINTS[8:16].double()

    def loss(weights):
        D = lambda x: torch.func.functional_call(run.D, weights, x)  # noqa: E731
        return losses.minimax_d(D(real), D(fake))

    for steps in (1, 4):
        for name, weight in further(run, real, fake, steps).named_parameters():
            torch.testing.assert_close(steps_ahead(run.opt_d, run.D, loss, steps)[name], weight, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("changes", [dict(spectral=True), dict(batch_norm=True)], ids=str)
def test_unrolling_leaves_d_and_its_optimizer_as_they_were(changes):
    G = pair(batch_norm=False)[0]
    run = Run(G, models.MLPDiscriminator((16,), (2,), **changes), POINTS, dataclasses.replace(PLAIN, unroll=2))
    list(run.steps(2))
    before, state = weights(run.D), copy.deepcopy(run.opt_d.state_dict()["state"])
    run.g_step(POINTS[:8], run.G(torch.randn(8, 3)))
    assert torch.equal(weights(run.D), before)
    for old, new in zip(state.values(), run.opt_d.state_dict()["state"].values(), strict=True):
        assert all(torch.equal(old[key], new[key]) for key in old)
    assert all(p.requires_grad for p in run.D.parameters())


def test_units_that_are_off_do_not_make_the_unrolled_slope_infinite():
    """The square root in Adam has no slope at 0, where a unit of D that is never active stays."""
    D = models.MLPDiscriminator((16,), (2,), activation="relu")
    with torch.no_grad():
        D.net[1].bias[:8] = -100.0
    run = Run(pair()[0], D, POINTS, dataclasses.replace(PLAIN, unroll=2))
    list(run.steps(3))
    assert weights(run.G).isfinite().all()


def test_a_captured_unrolled_run_takes_the_steps_of_an_eager_one(monkeypatch):
    recipe = dataclasses.replace(PLAIN, unroll=2, decay_from=0.3)
    eager = small_run(recipe)
    stand_in(monkeypatch)
    monkeypatch.setattr(validate, "choose_capture", lambda *_: True)
    captured = small_run(recipe)
    for a, b in zip(eager.steps(6), captured.steps(6), strict=True):
        assert b.g_loss.item() == pytest.approx(a.g_loss.item(), rel=1e-5)
    torch.testing.assert_close(weights(captured.G), weights(eager.G), rtol=1e-4, atol=1e-6)


def test_another_optimizer_takes_its_own_steps():
    run = small_run(dataclasses.replace(PLAIN, lr_d=0.1, decay_from=0.5))
    run.opt_d = torch.optim.SGD(run.D.parameters(), lr=0.1)
    old = weights(run.D)
    rates = []
    for _ in run.steps(4):
        slopes = torch.cat([p.grad.flatten() for p in run.D.parameters()])
        rates.append(run.opt_d.param_groups[0]["lr"])
        torch.testing.assert_close(weights(run.D), old - rates[-1] * slopes)
        old = weights(run.D)
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.05])


@pytest.mark.parametrize(
    "optimizer",
    [torch.optim.SGD, lambda p, lr: torch.optim.Adam(p, lr, weight_decay=0.1)],
    ids=["SGD", "decaying Adam"],
)
def test_only_plain_adam_is_unrolled(optimizer):
    run = small_run(dataclasses.replace(PLAIN, unroll=1))
    run.opt_d = optimizer(run.D.parameters(), lr=0.1)
    with pytest.raises(BadInput, match="only plain Adam can be unrolled"):
        next(run.steps(1))


def test_r3gan_descends_the_loss_of_its_paper():
    """E softplus(−(D(x) − D(G(z)))) + γ/2 (E‖∇D(x)‖² + E‖∇D(G(z))‖²) at every step (Huang et al. 2024)."""
    run = small_run(dataclasses.replace(R3GAN, batch_size=8, gamma=0.3))
    real, fake = POINTS[:8], POINTS[8:16] + 1
    D = copy.deepcopy(run.D)
    total = nn.functional.softplus(-(D(real) - D(fake))).mean()
    for x in (real.clone().requires_grad_(), fake.clone().requires_grad_()):
        (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
        total = total + 0.3 / 2 * (slope**2).sum(1).mean()
    total.backward()
    run.d_step(real, fake, penalise=True)
    for ours, theirs in zip(run.D.parameters(), D.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-7)
    assert run.recipe.penalty_every == 1
    assert run.recipe.betas[0] == 0


@pytest.mark.parametrize("classes", [0, 10])
def test_a_run_on_bytes_is_the_run_on_floats_bit_for_bit(classes):
    drawn = strokes.draw(100, seed=0)
    stored = Images("strokes", drawn.pixels, drawn.digit, tuple("0123456789"))
    as_floats = Images("strokes", stored.pixels, drawn.digit, stored.classes)
    assert as_floats.stored.dtype == torch.float32
    runs = [Run(*models.mlp(g_hidden=(16,), d_hidden=(16,), classes=classes), images) for images in (stored, as_floats)]
    ends = [[step.d_loss for step in run.steps(20)] for run in runs]
    assert runs[0].examples.dtype == torch.uint8
    assert torch.equal(torch.stack(ends[0]), torch.stack(ends[1]))
    assert torch.equal(weights(runs[0].G_ema), weights(runs[1].G_ema))


def test_bytes_are_refused_where_nobody_says_that_they_are_pixels():
    with pytest.raises(BadInput, match="the data is a torch.uint8 tensor"):
        Run(*models.mlp(), torch.zeros(100, 1, 28, 28, dtype=torch.uint8))
    drawn = strokes.draw(20, seed=0)
    few = Images("strokes", drawn.pixels, drawn.digit, tuple("0123456789"))
    with pytest.raises(BadInput, match="there are only 20 examples"):
        Run(*models.mlp(), few)
