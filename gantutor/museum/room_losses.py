"""Room 1, losses: what G and D are told to want."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gantutor import losses, models, penalties
from gantutor.losses import MINIMAX, NON_SATURATING, Loss, minimax_d, non_saturating_g
from gantutor.museum.exhibits import Exhibit
from gantutor.museum.measures import DISTANCE, FINITE, VARIETY, Symptom, distance, late, lowest
from gantutor.museum.probes import SURE, any_seed, learns, slopes, small_run, some_logits
from gantutor.museum.settings import (
    ahead,
    as_loss,
    as_nets,
    as_penalty,
    bare,
    critic,
    eager,
    flat_critic,
    plain_pair,
    sleepy,
)
from gantutor.penalties import Discriminator, squared_gradient_norm

# --- 1. sigmoid twice -------------------------------------------------------------------------------------------------


def double_sigmoid_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The loss takes logits, but D ends in a sigmoid: it is applied twice."""
    real, fake = torch.sigmoid(real_logits), torch.sigmoid(fake_logits)
    return softplus(-real).mean() + softplus(fake).mean()


def double_sigmoid_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    return softplus(-torch.sigmoid(fake_logits)).mean()


def sureness_is_free(loss: Loss) -> None:
    """Of cross-entropy losses: a D that is sure and right pays next to nothing, and G hears of an image it rejects."""
    sure = torch.full((8,), SURE)
    assert loss.d(sure, -sure) < 0.01
    assert (slopes(loss.g, sure, -sure)[1].abs() > 0.1).all()


# --- 2. log of a sigmoid ----------------------------------------------------------------------------------------------


def log_of_sigmoid_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The formula as it is printed. In 32 bits σ(17) is 1, and log(1 - 1) is -inf."""
    real, fake = torch.sigmoid(real_logits), torch.sigmoid(fake_logits)
    return -torch.log(real).mean() - torch.log(1 - fake).mean()


def log_of_sigmoid_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    return -torch.log(torch.sigmoid(fake_logits)).mean()


def finite_for_every_logit(loss: Loss) -> None:
    """Loss and slopes are finite where D is sure, rightly or wrongly."""
    for sign in (1, -1):
        logits = torch.full((8,), sign * 200.0)
        for f in (loss.d, loss.g):
            assert f(logits, -logits).isfinite()
            assert all(slope.isfinite().all() for slope in slopes(f, logits, -logits))


# --- 3, 4, 5. signs ---------------------------------------------------------------------------------------------------


def fleeing_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """log D(G(z)) + log(1 - D(x)), minimised by G."""
    return -softplus(-fake_logits).mean() - softplus(real_logits).mean()


def reversed_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """log D(x) + log(1 - D(G(z))), minimised by D."""
    return -softplus(-real_logits).mean() - softplus(fake_logits).mean()


def g_climbs(loss: Loss) -> None:
    """A step down G's loss raises D's verdict on every generated image."""
    assert (slopes(loss.g, *some_logits())[1] < 0).all()


def d_tells_apart(loss: Loss) -> None:
    """A step down D's loss raises the logit of every real image and lowers that of every generated one."""
    of_real, of_fake = slopes(loss.d, *some_logits())
    assert (of_real < 0).all()
    assert (of_fake > 0).all()


def signs_are_right(loss: Loss) -> None:
    d_tells_apart(loss)
    g_climbs(loss)


# --- 6, 7. one team ---------------------------------------------------------------------------------------------------


def common(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """L = L_G + L_D, one loss for both."""
    return losses.minimax_d(real_logits, fake_logits) + losses.non_saturating_g(real_logits, fake_logits)


def agreeing_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E D(x) + E D(G(z)): the same direction for both."""
    return real_logits.mean() + fake_logits.mean()


def agreeing_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E D(G(z))"""
    return fake_logits.mean()


def players_oppose(loss: Loss) -> None:
    """About a generated image the players want opposite things."""
    logits = some_logits()
    assert (slopes(loss.d, *logits)[1] * slopes(loss.g, *logits)[1] < 0).all()


# --- 12. half a task --------------------------------------------------------------------------------------------------


def only_real_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(x), and nothing about generated images."""
    return softplus(-real_logits).mean()


def only_fake_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log(1 - D(G(z))), and nothing about real images."""
    return softplus(fake_logits).mean()


# --- 15. saturating ---------------------------------------------------------------------------------------------------


def loudest_when_losing(loss: Loss) -> None:
    """G hears at least as much about an image that D rejects for certain as about one that D is unsure of."""
    fake_logits = torch.tensor([-SURE, 0.0])
    rejected, unsure = slopes(loss.g, torch.zeros(2), fake_logits)[1].abs()
    assert rejected >= unsure


# --- 22. label smoothing ----------------------------------------------------------------------------------------------


def smooth_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Targets 0.9 and 0: one-sided smoothing (Salimans et al. 2016, section 3.4)."""
    real = 0.9 * softplus(-real_logits) + 0.1 * softplus(real_logits)
    return real.mean() + softplus(fake_logits).mean()


def two_sided_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Targets 0.9 and 0.1."""
    real = 0.9 * softplus(-real_logits) + 0.1 * softplus(real_logits)
    fake = 0.1 * softplus(-fake_logits) + 0.9 * softplus(fake_logits)
    return real.mean() + fake.mean()


def unsmoothed_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Targets 1 and 0: the 0.9 was multiplied and thrown away."""
    targets = torch.ones_like(real_logits)
    targets * 0.9
    real = targets * softplus(-real_logits) + (1 - targets) * softplus(real_logits)
    return real.mean() + softplus(fake_logits).mean()


def fakes_stay_fake(loss: Loss) -> None:
    """Of cross-entropy losses: however sure D is of a generated image, a step lowers its logit further."""
    assert (slopes(loss.d, torch.zeros(64), torch.linspace(-8, 8, 64))[1] > 0).all()


def smoothing_holds_back(loss: Loss) -> None:
    """A D that is too sure of real images is pulled back: a target of 0.9 is best met at the logit log 9 = 2.2."""
    of_real = slopes(loss.d, torch.tensor([0.0, 4.0]), torch.zeros(2))[0]
    assert of_real[0] < 0 < of_real[1]


# --- 26. WGAN-GP ------------------------------------------------------------------------------------------------------


def unit_gradient_penalty(D: Discriminator, x: Tensor) -> Tensor:
    """E(‖∇D(x)‖ - 1)², with √ kept away from 0."""
    norm = (squared_gradient_norm(D, x) + 1e-12).sqrt()
    return (norm - 1).square().mean()


def at_real_images(D: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """WGAN-GP with ε = 1: the points between real and generated images are the real ones."""
    return unit_gradient_penalty(D, real)


def beyond_both(D: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """WGAN-GP with ε from N(0, 1): half of the points do not lie between the two images."""
    t = torch.randn(len(real), *[1] * (real.ndim - 1), device=real.device)
    return unit_gradient_penalty(D, fake.lerp(real, t))


def root_of_nothing(D: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """WGAN-GP as in the paper's equation 3; √ has an infinite slope at 0."""
    t = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    norm = squared_gradient_norm(D, fake.lerp(real, t)).sqrt()
    return (norm - 1).square().mean()


def normalised_critic(seed: int) -> tuple[nn.Module, nn.Module]:
    """A critic with batch norm."""
    return models.mlp(seed=seed)[0], models.MLPDiscriminator(batch_norm=True, seed=seed + 1)


def finite_at_a_flat_critic(penalty: penalties.Penalty) -> None:
    """The weights stay finite where the critic has no slope at all, as one that begins with zeros."""
    D = small_run().D
    with torch.no_grad():
        for p in D.parameters():
            p.zero_()
    real, fake = torch.randn(2, 8, 1, 28, 28)
    penalty(D, real, fake).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in D.parameters())


def each_image_for_itself(nets) -> None:
    """The critic's slope at an image does not depend on the others: the logit of one has no slope in another."""
    D = nets(any_seed())[1].train()
    x = torch.randn(8, 1, 28, 28).requires_grad_()
    (slope,) = torch.autograd.grad(D(x)[0], x)
    assert not slope[1:].any()


def learns_with_penalty(penalty: penalties.Penalty) -> None:
    """Digits begin to come, and the critic's slope between real and generated images is near 1."""
    run = learns(lambda images: as_penalty(critic(images), penalty)).run
    with torch.no_grad():
        between = run.batch()[0].lerp(run.generate(None), torch.rand(run.recipe.batch_size, 1, 1, 1))
    slope = squared_gradient_norm(run.D, between).sqrt().mean()
    assert 0.8 < slope < 1.25


# --- the catalogue ----------------------------------------------------------------------------------------------------

G_HEARS = Symptom("norm of G's gradient, last quarter", late("g_grad_norm"), low=0.1)
FLOOR = Symptom("lowest loss of D", lowest("d_loss"), low=0.0)

ROOM = (
    Exhibit(
        "1", "double-sigmoid", "sigmoid output fed to a loss that expects logits",
        broken=Loss("double sigmoid", double_sigmoid_d, double_sigmoid_g), sound=NON_SATURATING, plug=as_loss,
        met="Often: D ends in a sigmoid, and the loss is one of those that are named with_logits.",
        cause="The second sigmoid sees numbers from 0 to 1 only, so D's loss cannot fall below 1.006 and a D that is "
        "sure gets no credit. Where D is sure, the first sigmoid is flat, and G hears nothing.",
        symptom=G_HEARS, check=sureness_is_free, findings=("vanishing_generator_signal",), setting=eager,
    ),
    Exhibit(
        "2", "log-of-sigmoid", "log of a sigmoid instead of the stable form",
        broken=Loss("log of sigmoid", log_of_sigmoid_d, log_of_sigmoid_g), sound=NON_SATURATING, plug=as_loss,
        met="Posts that write the loss as the paper prints it, with log(D) and log(1 - D).",
        cause="In 32 bits σ(17) is exactly 1, and the logarithm of 1 - 1 is minus infinity. Its slope times 0 is NaN, "
        "and one NaN is in every weight after the next step.",
        symptom=FINITE, check=finite_for_every_logit, findings=("non_finite",), setting=eager,
    ),
    Exhibit(
        "3", "fleeing-generator", "G minimises log D(G(z)) + log(1 - D(x)): the sign is wrong",
        broken=Loss("fleeing G", minimax_d, fleeing_g, paired=True), sound=NON_SATURATING, plug=as_loss,
        met="Posts that give G \"the opposite of D's loss\" by exchanging the two logarithms.",
        cause="To make log D(G(z)) small G makes images that D is sure to reject. The term with x does not depend on G "
        "and sends it nothing.",
        symptom=Symptom("D's mean logit of generated images, last quarter", late("d_fake"), low=-3.0),
        check=g_climbs, findings=("total_collapse", "discriminator_saturated"),
    ),
    Exhibit(
        "4", "reversed-discriminator", "D minimises the log-likelihood that it should maximise",
        broken=Loss("reversed D", reversed_d, non_saturating_g), sound=NON_SATURATING, plug=as_loss,
        met="Code that passes the formula's V itself to an optimizer, and optimizers minimise.",
        cause="D learns to call real images generated and generated ones real, and earns without end. G is told that "
        "everything it makes is real.",
        symptom=FLOOR, check=d_tells_apart, findings=("discriminator_blind",),
    ),
    Exhibit(
        "5", "both-signs", "both signs wrong: they partly cancel",
        broken=Loss("both signs", reversed_d, fleeing_g, paired=True), sound=NON_SATURATING, plug=as_loss,
        met="The two mistakes before this one, in the same post.",
        cause="With the meaning of D's answer turned round G's and D's aims oppose each other again, so it looks "
        "like a game. But D's loss now has no floor, and its slopes grow towards 1 as it gets surer, instead "
        "of fading.",
        symptom=FLOOR, check=signs_are_right, findings=("total_collapse",),
    ),
    Exhibit(
        "6", "common-loss", "one common loss L = L_G + L_D for both nets",
        broken=Loss("common", common, common, paired=True), sound=NON_SATURATING, plug=as_loss,
        met="Classes with one train_step, which adds the two losses and makes one step.",
        cause="About a generated image the two losses want opposite things, and their sum is smallest where D says ½. "
        "So D stops looking at what G makes, and G is content.",
        symptom=VARIETY, check=players_oppose, findings=("total_collapse", "noisy"), examined=600,
    ),
    Exhibit(
        "7", "everyone-agrees", "D pushes real and generated logits the same way, and G that way too",
        broken=Loss("agreement", agreeing_d, agreeing_g), sound=NON_SATURATING, plug=as_loss,
        met="Posts that leave out the logarithms and, with them, a minus.",
        cause="All three terms fall when D's output falls, so D lets it fall for everything. Nobody asks what tells a "
        "real image from a generated one.",
        symptom=FLOOR, check=signs_are_right, findings=("total_collapse",),
    ),
    Exhibit(
        "12a", "never-fakes", "D is never shown generated images",
        broken=Loss("real only", only_real_d, non_saturating_g), sound=NON_SATURATING, plug=as_loss,
        met="Skeletons in which D is applied to the real batch alone.",
        cause="\"Real\" to everything costs such a D nothing. So it says so to whatever G makes, and G need not learn.",
        symptom=VARIETY, check=d_tells_apart, findings=("discriminator_blind",),
    ),
    Exhibit(
        "12b", "never-reals", "D is never shown real images",
        broken=Loss("fake only", only_fake_d, non_saturating_g), sound=NON_SATURATING, plug=as_loss,
        met="A loop in which the real half of D's loss is computed and not added.",
        cause="D learns to reject whatever comes, so what G hears has nothing to do with the data. No real image "
        "has a say in either loss.",
        symptom=VARIETY, check=d_tells_apart, findings=("discriminator_blind", "discriminator_saturated"), setting=bare,
    ),
    Exhibit(
        "15", "saturating", "the saturating loss from the start, against a D that is ahead",
        broken=MINIMAX, sound=NON_SATURATING, plug=as_loss,
        met="The first formula of many posts; the paper itself advises against it for the start.",
        cause="The slope of log(1 - σ(s)) is -σ(s): next to nothing where D rejects an image. The non-saturating "
        "loss has -σ(-s) there, nearly -1.",
        symptom=G_HEARS, check=loudest_when_losing,
        findings=("vanishing_generator_signal",), setting=ahead,
    ),
    Exhibit(
        "22a", "two-sided-smoothing", "label smoothing on both sides",
        broken=Loss("two-sided", two_sided_d, non_saturating_g), sound=Loss("one-sided", smooth_d, non_saturating_g),
        plug=as_loss, met="Lists of tricks that say \"use soft labels\" without saying which.",
        cause="With 0.1 as the target of generated images D's best logit for hopeless ones is -2.2 everywhere, so its "
        "slope there fades. G, which is to climb that slope, hears less.",
        symptom=Symptom("norm of G's gradient where G is far behind, last quarter", late("g_grad_norm"), low=16.0),
        check=fakes_stay_fake, setting=sleepy,
    ),
    Exhibit(
        "22b", "smoothing-no-op", "label smoothing written as a no-op",
        broken=Loss("not smoothed", unsmoothed_d, non_saturating_g), sound=Loss("smoothed", smooth_d, non_saturating_g),
        plug=as_loss, met="Loops that multiply a tensor by 0.9 and forget to keep the product.",
        cause="Tensors are not changed by arithmetic: the product is a new one, and it is thrown away. With a "
        "target of 1 nothing stops D's logit of real images at log 9.",
        symptom=Symptom("D's mean logit of real images, last quarter", late("d_real"), high=3.0),
        check=smoothing_holds_back, findings=("discriminator_saturated",), setting=sleepy,
    ),
    Exhibit(
        "26a", "gp-at-real-images", "WGAN-GP with ε fixed at 1",
        broken=at_real_images, sound=penalties.wgan_gp, plug=as_penalty,
        met="Code that leaves a constant where ε should be drawn.",
        cause="All the points of the penalty are real images, so nothing is said about the slope where the generated "
        "ones are. On digits it comes out near 1 between the two kinds all the same, and in 300 steps the distance was "
        "at most twice that of the sound penalty.",
        symptom=DISTANCE, check=learns_with_penalty, setting=critic, harmless=True,
    ),
    Exhibit(
        "26b", "gp-beyond-both", "WGAN-GP with ε from a normal distribution",
        broken=beyond_both, sound=penalties.wgan_gp, plug=as_penalty,
        met="randn in the place of rand: one letter.",
        cause="The points lie on the whole line through the two images, also beyond them, where nothing lives. On "
        "digits, in 300 steps, the distance was at most twice that of the sound penalty.",
        symptom=DISTANCE, check=learns_with_penalty, setting=critic, harmless=True,
    ),
    Exhibit(
        "26c", "gp-batch-norm", "WGAN-GP with batch norm in the critic",
        broken=normalised_critic, sound=plain_pair, plug=as_nets,
        met="DCGAN's D, taken over as a critic; the paper's section 4 says not to.",
        cause="The penalty asks for the slope of one logit at one image, and batch norm makes every logit depend on "
        "all images of the batch. Real and generated batches also get statistics of their own, which tells them apart.",
        symptom=Symptom(DISTANCE.name, distance, high=200.0), check=each_image_for_itself,
        findings=("noisy", "discriminator_blind"), setting=critic,
    ),
    Exhibit(
        "26d", "root-of-zero", "WGAN-GP with a square root at 0",
        broken=root_of_nothing, sound=penalties.wgan_gp, plug=as_penalty,
        met="The formula as printed, with a critic whose last layer begins at 0.",
        cause="√ has an infinite slope at 0, and infinity times 0 is NaN. A little number under the root prevents it.",
        symptom=FINITE, check=finite_at_a_flat_critic, findings=("non_finite",), setting=flat_critic,
    ),
)  # fmt: skip
