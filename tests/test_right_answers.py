"""The right answers of the exercises against closed forms, NumPy and PyTorch, one lesson after the other."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, softplus
from torch.utils.flop_counter import FlopCounterMode

from gantutor import checks, experiments, metrics, models, train
from gantutor.checks import lesson_00, lesson_02, lesson_05, lesson_06, lesson_08, lesson_09, training_loops
from gantutor.data import strokes
from gantutor.metrics import classifier


def other_loop(G, D, points, steps):
    """A loop for 01.4 in another style: new fakes for G's move, cross-entropy on labels, batches of 100."""
    opt_g, opt_d = (torch.optim.RMSprop(net.parameters(), lr=2e-3) for net in (G, D))
    yes, no = torch.ones(100, 1), torch.zeros(100, 1)
    for _ in range(steps):
        real = points[torch.randperm(len(points))[:100]]
        opt_d.zero_grad()
        judged = D(torch.cat([real, G(torch.randn(100, 2)).detach()]))
        binary_cross_entropy_with_logits(judged, torch.cat([yes, no])).backward()
        opt_d.step()
        opt_g.zero_grad()
        binary_cross_entropy_with_logits(D(G(torch.randn(100, 2))), yes).backward()
        opt_g.step()


def test_lesson_01_is_right():
    (half, most, few) = checks.find("01.1").expected()
    np.testing.assert_allclose(half, [3 / 4, 1 / 2, 1, 0])
    np.testing.assert_allclose(most, [9 / 10, 3 / 4, 1, 0])  # three real ones for each fake: odds times three
    np.testing.assert_allclose(few, [1 / 13])  # odds of ⅓, times ¼
    d = np.linspace(0.001, 0.999, 999)
    costs = -0.75 * np.log(d) - 0.25 * np.log(1 - d)
    assert checks.find("01.2").expected() == pytest.approx(costs.min(), abs=1e-4)
    ((d_loss, g_loss), _) = checks.find("01.3").expected()
    d = [1 / (1 + math.exp(-s)) for s in (2, -0.5, 0.3, -1, 0.4, 3)]
    assert d_loss.item() == pytest.approx(-sum(map(math.log, d[:3])) / 3 - sum(math.log(1 - x) for x in d[3:]) / 3)
    assert g_loss.item() == pytest.approx(-sum(map(math.log, d[3:])) / 3)
    assert training_loops.slanted_points().mean(0).tolist() == pytest.approx([2, -1], abs=0.05)
    seen = checks.find("01.4").expected()
    assert seen["end"] < 0.2 < 6 < seen["start"]
    assert seen["steps"] >= 600
    assert checks.check("01.4", other_loop).right
    (circle, pulled, _) = checks.find("01.5").expected()
    theta = 1 - 0.2 / (1 + math.e)
    assert circle[0] == pytest.approx(theta)
    assert circle[1] == pytest.approx(1 + 0.2 * theta / (1 + math.exp(theta)))
    assert circle[1] - pulled[1] == pytest.approx(0.2 * 0.5 * 1)


def test_lesson_03_is_right():
    for kernel, stride in ((4, 2), (3, 2), (7, 4), (5, 5)):
        padding, output_padding = checks.find("03.1").right(kernel, stride)
        assert kernel - 2 * padding + output_padding == stride
        assert output_padding == (kernel - stride) % 2
    line = np.ones(8)
    for _ in range(2):
        line = np.convolve(np.kron(line, [1, 0]), np.ones(3))
    assert checks.find("03.2").expected() == pytest.approx((line[8:-8].max() / line[8:-8].min()) ** 2)
    torch.manual_seed(0)
    conv, norm, x = torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3, eps=0.3), torch.randn(4, 2, 9, 9)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    norm(conv(x))
    folded = torch.nn.functional.conv2d(x, *checks.find("03.3").right(conv.weight, conv.bias, norm.eval()))
    torch.testing.assert_close(folded, norm(conv(x)))
    z, mean, variance = torch.randn(5, 3, 1, 1), norm.running_mean.clone(), norm.running_var.clone()
    by_hand = (z[2, :, 0, 0] - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias
    for training in (True, False):
        seen = checks.find("03.4").right(norm.train(training), z)
        torch.testing.assert_close(seen[2, :, 0, 0], by_hand.detach())
        assert norm.training is training
        assert torch.equal(norm.running_mean, mean)
        assert not seen.requires_grad
    net = torch.nn.Sequential(*(torch.nn.Linear(833, 64) for _ in range(3)), torch.nn.BatchNorm2d(64))
    torch.nn.init.normal_(net[0].weight, 0, 0.02)
    torch.nn.init.normal_(net[1].weight, 0, 0.03)
    assert checks.find("03.5").right(net) == ["1", "2"]
    large = strokes.draw(100, 0).pixels / 255
    small = torch.nn.functional.avg_pool2d(large, 2)
    errors = [
        (torch.nn.functional.interpolate(small, scale_factor=2, mode=mode) - large).square().mean().sqrt().item()
        for mode in ("bilinear", "nearest")
    ]
    assert checks.find("03.6").expected()["error"] == pytest.approx(errors[0] / errors[1], rel=1e-3)


def test_lesson_04_is_right():
    torch.manual_seed(0)
    W, z = torch.randn(6, 14), torch.randn(4)
    weight, bias = checks.find("04.1").right(W, 4, 9)
    torch.testing.assert_close(weight @ z + bias, W @ torch.cat([z, torch.eye(10)[9]]))
    p, q = np.eye(10) / 10, np.full((10, 10), 1 / 100)  # class shown × label: real pairs, and those of a deaf G
    d = p / (p + q)
    loss = -p.diagonal() @ np.log(d.diagonal()) - (q * np.log(1 - d)).sum()
    assert checks.find("04.2").expected() == pytest.approx(loss)
    w, table, phi = torch.randn(4), torch.randn(3, 4), torch.randn(4)
    new_w, new_table = checks.find("04.3").right(w, table)
    torch.testing.assert_close(new_table.sum(0), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close((new_w + new_table) @ phi, (w + table) @ phi)
    real, fake, y, wish = torch.rand(2, 1, 28, 28), torch.rand(2, 1, 28, 28), torch.tensor([3, 0]), torch.tensor([9, 3])
    batch = checks.find("04.4").right(real, fake, y, wish, 10)
    assert torch.equal(batch[:, 0], torch.cat([real, fake])[:, 0])
    for image, label in zip(batch, (3, 0, 9, 3), strict=True):
        assert [plane.unique().tolist() for plane in image[1:]] == [[float(c == label)] for c in range(10)]
    made, errs = torch.rand(2, 4, 4, dtype=torch.float64) + torch.eye(4)
    torch.testing.assert_close(checks.find("04.5").right(made @ errs, errs), made)
    orders = torch.arange(2000) % 10
    logits = torch.randn(2000, 10) + 3 * torch.eye(10)[orders]
    places = checks.find("04.6").right(orders, logits)
    assert orders[places].bincount().tolist() == [40] * 10
    assert len(places.unique()) == 400
    assert torch.equal(logits[places].argmax(1), orders[places])
    assert checks.find("04.6").expected()["diversity"] == pytest.approx(1, abs=0.04)


def test_lesson_07_is_right():
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    torch.manual_seed(0)
    real, fake = torch.randn(7), torch.randn(7)
    by_torch = cross_entropy(real, torch.full((7,), 0.9)) + cross_entropy(fake, torch.zeros(7))
    torch.testing.assert_close(checks.find("07.1").right(real, fake), by_torch)
    D, x = checks.find("07.2").right(), torch.randn(5, 1, 28, 28)
    learned = {tuple(p.shape): p for p in D.parameters()}
    hidden = (x.flatten(1) @ learned[256, 784].T + learned[256,]).relu()
    torch.testing.assert_close(D(x), hidden @ learned[1, 256][0] + learned[1,])
    D(x).sum().backward()
    assert all(p.grad.any() for p in learned.values())
    penalty, x = checks.find("07.3").right, torch.full((8000, 1, 2, 2), 0.5)
    for k in (0.0, 0.3, 3.0):
        slope = torch.tensor([0.1, -0.7, 0.5, 0.5], requires_grad=True)  # of length 1
        paid = penalty(lambda x, slope=slope, k=k: k * x.flatten(1) @ slope, x, -x)
        paid.backward()
        assert paid.item() == pytest.approx((k - 1) ** 2, abs=1e-4)
        assert slope.grad.isfinite().all()
    paid = penalty(lambda x: x.flatten(1).square().sum(1) / 2, 3 * x, x)  # slopes 1 + 2t
    assert paid.item() == pytest.approx(4 / 3, abs=0.06)
    curves = {letter: checks.lesson_07.curves(number) for letter, number in checks.find("07.4").expected().items()}
    start, end = ({k: {n: v[at] for n, v in c.items()} for k, c in curves.items()} for at in (0, -1))
    assert end["K"]["d_loss"] > start["K"]["d_loss"] + 0.5
    assert start["L"]["d_loss"] == pytest.approx(math.log(2), abs=0.1)
    assert end["M"]["d_loss"] == pytest.approx(math.log(2), abs=0.1)
    assert end["N"]["g_loss"] == pytest.approx(math.log(1 + math.exp(-1)), abs=0.02)
    for id, count in (("07.5", 5), ("07.6", 8)):
        seen = checks.find(id).expected()
        assert (len(seen["caught"]), seen["alarms"], seen["faults"]) == (count, [], {})


def test_lesson_08_is_right():
    for (mean, std), found in zip(checks.find("08.1").observe.cases, checks.find("08.1").expected(), strict=True):
        prior = torch.distributions.Normal(torch.zeros_like(mean), 1.0)
        by_torch = torch.distributions.kl_divergence(torch.distributions.Normal(mean, std), prior)
        torch.testing.assert_close(found, by_torch.sum(1))
    for (x, made), found in zip(checks.find("08.2").observe.cases, checks.find("08.2").expected(), strict=True):
        worth = [torch.distributions.Normal(made, found * w).log_prob(x).sum() for w in (0.99, 1.0, 1.01)]
        assert worth[1] > max(worth[0], worth[2])
    image, noise = torch.randn(2, 3, 1, 4, 4)
    for t, u in ((1.0, 0.3), (0.7, 0.7), (0.5, 0.0)):
        (a, s), (b, r) = lesson_08.levels(t), lesson_08.levels(u)
        assert a**2 + s**2 == pytest.approx(1)
        made = checks.find("08.3").right(a * image + s * noise, image, t, u)
        torch.testing.assert_close(made, b * image + r * noise, atol=1e-5, rtol=1e-5)
    n, state = 20, np.eye(21)[1]  # 5% of 20 images
    ways = [[math.comb(n, k) * (i / n) ** k * (1 - i / n) ** (n - k) for k in range(n + 1)] for i in range(n + 1)]
    state = state @ np.linalg.matrix_power(np.array(ways), 2000)
    assert checks.find("08.4").right == pytest.approx(state[0])
    for (members, others, fpr), found in zip(
        checks.find("08.5").observe.cases, checks.find("08.5").expected(), strict=True
    ):
        allowed = [c for c in others.tolist() if sum(o > c for o in others.tolist()) <= fpr * len(others)]
        assert found == pytest.approx(np.mean([m > min(allowed) for m in members.tolist()]))
    seen = checks.find("08.6").expected()
    assert seen["change"] <= 0.1 + 1e-6
    assert seen["found"] >= 0.99
    assert seen["strangers"] <= 0.05
    nothing = lesson_08.marked(lambda x, key: x, lesson_08.correlate_details)
    assert nothing["found"] < 0.05


def test_lesson_00_is_right():
    centres = np.array([(math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)) for k in range(8)])
    for name, row in checks.find("00.1").right.items():
        ways = np.linalg.norm(lesson_00.clouds()[name].numpy()[:, None] - centres, axis=2)  # (600, 8)
        near = ways.min(1)
        found = sum(((ways.argmin(1) == k) & (near < 0.2)).mean() > 0.02 for k in range(8))
        assert lesson_00.measured_rows()[row - 1] == pytest.approx((near.mean(), found, (near < 0.03).mean()), rel=1e-3)
    stored, two, grey = checks.find("00.2").expected()
    np.testing.assert_allclose(stored, np.linspace(-1, 1, 6).reshape(1, 1, 2, 3), atol=1e-6)
    np.testing.assert_allclose(two, [[[[-1], [1]]], [[[1 / 255], [-1 / 255]]]], atol=1e-6)
    np.testing.assert_allclose(grey, [[[[-0.6, -0.2]]]], atol=1e-6)
    seen = checks.find("00.3").expected()
    assert (seen["distance"], seen["clusters"], seen["good"]) == (pytest.approx(0, abs=1e-3), 8, 1)


def turn_without_optimizers(G, D, opt_g, opt_d, real, z):
    """The turn of 02.4, for whoever knows that the steps are plain ones of 0.5."""
    fake = G(z)
    losses = []
    for net in (D, G):
        of_fake = D(fake if net is G else fake.detach())
        loss = softplus(-D(real)).mean() + softplus(of_fake).mean() if net is D else softplus(-of_fake).mean()
        for weight, slope in zip(net.parameters(), torch.autograd.grad(loss, [*net.parameters()]), strict=True):
            weight.data -= 0.5 * slope
        losses.append(loss.item())
    return losses


def test_lesson_02_is_right():
    spread = np.random.default_rng(0).dirichlet(np.ones(64)) * 10  # variances of a cloud with independent features
    seen = checks.find("02.1").expected()
    assert seen["shifted"] == pytest.approx((np.ones(64) ** 2).sum())
    assert seen["wider"] == pytest.approx(((2 * np.sqrt(spread) - np.sqrt(spread)) ** 2).sum())
    assert seen["mirrored"] == 0
    for (c, features), found in zip(checks.find("02.2").observe.cases, checks.find("02.2").expected(), strict=True):
        c, features = c.numpy(), features.numpy()
        price = ((features - c) ** 2).sum(1).mean() + features.var(0, ddof=1).sum() / len(features)
        assert found == pytest.approx(price, rel=1e-5)
    assert checks.find("02.3").expected()["loss"] == pytest.approx(2 * (0.95 * math.log1p(math.exp(-1)) + 0.05 * 100))
    assert checks.check("02.4", turn_without_optimizers).right
    seen = checks.find("02.5").expected()
    assert seen["share of the images"] == 1  # 6,400 draws leave out one of 500 images with a chance of 500·e^-12.8
    broken = checks.find("02.5").observed(training_loops.altered(first=True))
    assert broken["share of the images"] == pytest.approx(64 / 500)
    by_p = {
        name: "open" if found.p >= 0.05 else "worse" if found.difference > 0 else "better"
        for name, found in experiments.load("recipe_short").compare("frechet").items()
    }
    assert by_p == lesson_02.FOUND
    assert experiments.load("recipe_short").rows.keys() == {"default", *lesson_02.PARTS}


def test_lesson_05_is_right():
    for (labels, p), found in zip(checks.find("05.1").observe.cases, checks.find("05.1").expected(), strict=True):
        q = [labels.tolist().count(k) / len(labels) for k in range(len(p))]
        assert found == pytest.approx(sum(a * math.log(a / b) for a, b in zip(q, p.tolist(), strict=True) if a))
    assert checks.find("05.2").expected() == pytest.approx({"score": 10 / math.exp(math.log(2)), "uneven": 0})
    for (draws,), found in zip(checks.find("05.3").observe.cases, checks.find("05.3").expected(), strict=True):
        pairs = [a == b for a, b in itertools.combinations(draws.tolist(), 2)]
        assert found == (len(pairs) / sum(pairs) if any(pairs) else math.inf)
    for (real, fake, k), found in zip(checks.find("05.4").observe.cases, checks.find("05.4").expected(), strict=True):
        assert found == pytest.approx((inside(fake, real, k), inside(real, fake, k)))
    for (fakes, known), found in zip(checks.find("05.5").observe.cases, checks.find("05.5").expected(), strict=True):
        moved = [np.roll(x, move, (1, 2)) for x in known.numpy() for move in itertools.product((-1, 0, 1), repeat=2)]
        nearest = [min(np.linalg.norm(fake - x) for x in moved) for fake in fakes.numpy()]
        np.testing.assert_allclose(found, nearest, atol=1e-6)


def inside(points, centres, k):
    """The share of points in the ball of a centre, which reaches to its k-th nearest other one."""
    balls = [(c, sorted(math.dist(c, other) for other in centres)[k]) for c in centres.numpy()]
    return np.mean([any(math.dist(point, c) <= radius for c, radius in balls) for point in points.numpy()])


def test_the_patients_of_05_6_have_what_they_are_named_for():
    known, held_out, patients = lesson_05.ward()
    j = classifier.load("strokes")

    def look(images):
        features, logits = classifier.features_and_logits(j, images)
        return features, classifier.probabilities(logits)

    (train, _), (base, base_probabilities) = look(known), look(held_out)
    table = {}  # illness -> name of the number -> (value, floor)
    for letter, images in patients.items():
        features, p = look(images)
        rows = metrics.report(features, train, base, probabilities=p, held_out_probabilities=base_probabilities)
        table[lesson_05.ILLNESSES[letter]] = {row.name: (row.value, row.floor) for row in rows}

    def ratio(name):  # value / floor of every patient
        return {illness: rows[name][0] / rows[name][1] for illness, rows in table.items()}

    def furthest(name, choose):
        return choose(table, key=ratio(name).get)

    healthy = table["healthy"]
    for name in ("precision", "recall", "density", "coverage"):
        assert healthy[name][0] > 0.95 * healthy[name][1], name
    assert healthy["memorisation"][0] < 0.05
    assert healthy["classes"][0] == 10
    assert {illness for illness, rows in table.items() if rows["classes"][0] < 10} == {"a class missing"}
    assert ratio("class KL")["a class missing"] > 5
    assert {illness for illness, rows in table.items() if rows["memorisation"][0] > 0.5} == {"copies"}
    assert min(ratio(name)["copies"] for name in ("precision", "recall", "density", "coverage")) > 0.95
    for name in ("support", "recall", "coverage"):
        assert furthest(name, min) == "few images", name
    for name in ("precision", "density"):
        assert furthest(name, min) == "blurred", name
        assert all(value > 0.95 for illness, value in ratio(name).items() if illness != "blurred"), name
    one_style = table["one style per class"]
    assert one_style["class KL"][0] < one_style["class KL"][1]
    for name in ("recall", "coverage"):
        assert 0.5 < ratio(name)["one style per class"] < 0.9, name
        assert ratio(name)["healthy"] > 0.95, name


def test_lesson_06_is_right():
    packs = list(itertools.product(range(8), repeat=3))
    fake = [all(mode < 4 for mode in pack) / 4**3 for pack in packs]
    assert checks.find("06.1").expected() == pytest.approx(sum(max(1 / 8**3, q) for q in fake) / 2)
    w = torch.tensor([3.0, -4.0, 12.0], requires_grad=True)
    value = checks.find("06.2").right(lambda x: x.flatten(1) @ w, torch.randn(5, 3, 1, 1))
    assert value.item() == pytest.approx(13**2 / 2)
    np.testing.assert_allclose(torch.autograd.grad(value, w)[0], w.detach())  # the slope of ½‖w‖²
    h, seen = lesson_06.SHEETS.numpy(), checks.find("06.3").expected()
    for size, last in zip((4, 2), seen["last"], strict=True):
        s = [np.std(part, 0).mean() for part in np.split(h, 8 // size)]
        np.testing.assert_allclose(last, np.broadcast_to(np.repeat(s, size)[:, None, None], (8, 2, 2)), rtol=1e-5)
    slopes = [(part - part.mean(0)) / (4 * part.std(0)) / 12 * 16 for part in np.split(h, 2)]  # s fills 16 places
    np.testing.assert_allclose(seen["gradient"], np.concatenate(slopes), rtol=1e-4, atol=1e-6)
    for (real, fake), found in zip(checks.find("06.4").observe.cases, checks.find("06.4").expected(), strict=True):
        pushes = [-1 / (1 + math.exp(f - r)) / len(fake) for r, f in zip(real, fake, strict=True)]
        np.testing.assert_allclose(found, pushes, rtol=1e-5, atol=1e-12)
    for (gamma, every), seen in zip(lesson_06.LAZINESS, checks.find("06.5").expected(), strict=True):
        assert seen == pytest.approx({"computed": 32 / every, "charged": gamma * 3.0})
    centres = torch.tensor([(math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)) for k in range(8)])
    every, some = centres.repeat(50, 1), centres[:6].repeat(67, 1)[:400]
    half = torch.cat([every[:200], torch.zeros(200, 2)])
    assert lesson_06.worst(torch.stack([every, some])) == (6, 1.0)
    assert lesson_06.worst(torch.stack([every, half])) == (8, 0.5)


def flops(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_lesson_09_is_right():
    assert checks.find("09.1").expected() == (30 * 20, 3 * 8 * 4**2 * 8**2, 8 * 4 * 4**2 * 7**2, 8 * 2 * 3**2 * 6**2)
    for (layer, shape), found in zip(lesson_09.LAYERS, checks.find("09.1").expected(), strict=True):
        assert flops(lambda layer=layer, shape=shape: layer(torch.zeros(5, *shape))) == 2 * 5 * found
    nets = models.mlp((2,), 2, (9, 9), (16, 16), batch_norm=False, output="linear")
    run = train.Run(*nets, torch.randn(64, 2), train.Recipe(penalty=None, d_steps=2))
    (g, g_first), (d, d_first) = ((sum(a * b for a, b in w), w[0][0] * w[0][1]) for w in
                                  ([(2, 9), (9, 9), (9, 2)], [(2, 16), (16, 16), (16, 1)]))  # fmt: skip
    assert flops(lambda: run.train_step(False)) == 2 * 64 * (4 * g - g_first + 14 * d - 4 * d_first)
    assert checks.find("09.2").expected() == pytest.approx(2 * 64 * (4 * 4e6 + 14 * 10e6) / 1e9)
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)).double().numpy()
    w = np.array([0.5, -1.0, 2.0])
    slope = 2 * np.concatenate([x, np.ones((12, 1))], 1).T @ (x @ w + 0.25 - 1) / 12  # of the mean square
    for seen in checks.find("09.3").expected():
        np.testing.assert_allclose(seen["moved"], np.append(-0.1 * slope[:3], 0.25 - 0.1 * slope[3]), atol=1e-5)
    for (small, large, b, B), found in zip(lesson_09.MEANS, checks.find("09.4").expected(), strict=True):
        S, T = np.linalg.solve([[1, 1 / b], [1, 1 / B]], [small, large])
        assert found == (pytest.approx(T / S) if S > 0 else math.inf)
    for (recipe, c), grown in zip(lesson_09.GROWN, checks.find("09.5").expected(), strict=True):
        left = 1.0
        for _ in range(c):  # steps of the small batch
            left *= recipe.ema_decay
        assert grown["ema_decay"] == pytest.approx(left)
        images = recipe.batch_size * recipe.penalty_every  # from one penalty to the next
        assert grown["batch_size"] * grown["penalty_every"] == max(images, grown["batch_size"])
        assert grown["lr_g"] / recipe.lr_g == grown["lr_d"] / recipe.lr_d == math.sqrt(c)
        assert grown["kept"]
    for (a, work, V, L, delay, most), found in zip(lesson_09.MACHINES, checks.find("09.6").expected(), strict=True):
        turns = [a + work / N + 2 * (N - 1) * (V / N / L + delay) for N in range(1, most + 1)]  # a piece each
        assert found == 1 + int(np.argmin(turns))
