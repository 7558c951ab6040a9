"""Room 1, losses: what G and D minimise."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gantutor import losses, models, penalties
from gantutor.losses import MINIMAX, NON_SATURATING, Loss, minimax_d, non_saturating_g
from gantutor.museum.exhibits import Exhibit
from gantutor.museum.measures import (
    DISTANCE,
    FINITE,
    VARIETY,
    Symptom,
    distance,
    last_quarter_mean,
    mean_before_g_learns,
    minimum,
)
from gantutor.museum.probes import SURE, any_seed, learns, logit_gradients, random_logits, small_run
from gantutor.museum.settings import (
    as_loss,
    as_nets,
    as_penalty,
    hasty_d,
    late_g,
    plain_pair,
    wgan_gp,
    wgan_gp_from_zero,
    without_penalty,
)
from gantutor.penalties import Discriminator, squared_gradient_norm

# --- 1. two sigmoids --------------------------------------------------------------------------------------------------
# ---------------------------------------------------------------------------------------------------


def double_sigmoid_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The loss expects logits, but D ends in a sigmoid, so the sigmoid is applied twice."""
    real, fake = torch.sigmoid(real_logits), torch.sigmoid(fake_logits)
    return softplus(-real).mean() + softplus(fake).mean()


def double_sigmoid_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    return softplus(-torch.sigmoid(fake_logits)).mean()


def confidence_is_cheap(loss: Loss) -> None:
    """For cross-entropy losses: a confident and right D has almost no loss, and G gets a gradient where D rejects."""
    sure = torch.full((8,), SURE)
    assert loss.d(sure, -sure) < 0.01
    assert (logit_gradients(loss.g, sure, -sure)[1].abs() > 0.1).all()


# --- 2. log of a sigmoid ----------------------------------------------------------------------------------------------


def log_of_sigmoid_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The formula as printed. In float32 σ(17) is 1, and log(1 - 1) is -inf."""
    real, fake = torch.sigmoid(real_logits), torch.sigmoid(fake_logits)
    return -torch.log(real).mean() - torch.log(1 - fake).mean()


def log_of_sigmoid_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    return -torch.log(torch.sigmoid(fake_logits)).mean()


def finite_for_every_logit(loss: Loss) -> None:
    """The loss and its gradients are finite where D is very confident, rightly or wrongly."""
    for sign in (1, -1):
        logits = torch.full((8,), sign * 200.0)
        for f in (loss.d, loss.g):
            assert f(logits, -logits).isfinite()
            assert all(gradient.isfinite().all() for gradient in logit_gradients(f, logits, -logits))


# --- 3, 4, 5. signs ---------------------------------------------------------------------------------------------------


def wrong_sign_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """log D(G(z)) + log(1 - D(x)), minimised by G."""
    return -softplus(-fake_logits).mean() - softplus(real_logits).mean()


def reversed_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """log D(x) + log(1 - D(G(z))), minimised by D."""
    return -softplus(-real_logits).mean() - softplus(fake_logits).mean()


def g_climbs(loss: Loss) -> None:
    """A gradient step on G's loss raises the logit of every generated image."""
    assert (logit_gradients(loss.g, *random_logits())[1] < 0).all()


def d_separates(loss: Loss) -> None:
    """A gradient step on D's loss raises the logit of every real image and lowers that of every generated one."""
    of_real, of_fake = logit_gradients(loss.d, *random_logits())
    assert (of_real < 0).all()
    assert (of_fake > 0).all()


def signs_are_right(loss: Loss) -> None:
    d_separates(loss)
    g_climbs(loss)


# --- 6, 7. players without a conflict ---------------------------------------------------------------------------------
# ---------------------------------------------------------------------------------------------------


def common_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """L = L_G + L_D, one loss for both nets."""
    return losses.minimax_d(real_logits, fake_logits) + losses.non_saturating_g(real_logits, fake_logits)


def agreeing_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E D(x) + E D(G(z)): the same sign for both."""
    return real_logits.mean() + fake_logits.mean()


def agreeing_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E D(G(z))"""
    return fake_logits.mean()


def players_oppose(loss: Loss) -> None:
    """The players want opposite changes of the logit of every generated image."""
    logits = random_logits()
    assert (logit_gradients(loss.d, *logits)[1] * logit_gradients(loss.g, *logits)[1] < 0).all()


# --- 12. half a task --------------------------------------------------------------------------------------------------


def only_real_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(x), without a term for generated images."""
    return softplus(-real_logits).mean()


def only_fake_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log(1 - D(G(z))), without a term for real images."""
    return softplus(fake_logits).mean()


# --- 15. saturating ---------------------------------------------------------------------------------------------------


def largest_gradient_when_rejected(loss: Loss) -> None:
    """G's gradient is at least as large for an image that D rejects with certainty as for one D is unsure about."""
    fake_logits = torch.tensor([-SURE, 0.0])
    rejected, unsure = logit_gradients(loss.g, torch.zeros(2), fake_logits)[1].abs()
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
    """Targets 1 and 0: the product with 0.9 is discarded."""
    targets = torch.ones_like(real_logits)
    targets * 0.9
    real = targets * softplus(-real_logits) + (1 - targets) * softplus(real_logits)
    return real.mean() + softplus(fake_logits).mean()


def fakes_stay_fake(loss: Loss) -> None:
    """For cross-entropy losses: whatever the logit of a generated image is, a gradient step lowers it further."""
    assert (logit_gradients(loss.d, torch.zeros(64), torch.linspace(-8, 8, 64))[1] > 0).all()


def smoothing_holds_back(loss: Loss) -> None:
    """A D that is too confident about real images is corrected: the target 0.9 has its optimum at the logit log 9."""
    of_real = logit_gradients(loss.d, torch.tensor([0.0, 4.0]), torch.zeros(2))[0]
    assert of_real[0] < 0 < of_real[1]


# --- 26. WGAN-GP ------------------------------------------------------------------------------------------------------


def unit_gradient_penalty(D: Discriminator, x: Tensor) -> Tensor:
    """E(‖∇D(x)‖ - 1)², with the argument of √ kept away from 0."""
    norm = (squared_gradient_norm(D, x) + 1e-12).sqrt()
    return (norm - 1).square().mean()


def at_real_images(D: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """WGAN-GP with ε = 1: all points of the penalty are real images."""
    return unit_gradient_penalty(D, real)


def beyond_both(D: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """WGAN-GP with ε from N(0, 1): half of the points do not lie between the two images."""
    t = torch.randn(len(real), *[1] * (real.ndim - 1), device=real.device)
    return unit_gradient_penalty(D, fake.lerp(real, t))


def root_of_zero(D: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """WGAN-GP as in the paper's equation 3; the derivative of √ is infinite at 0."""
    t = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    norm = squared_gradient_norm(D, fake.lerp(real, t)).sqrt()
    return (norm - 1).square().mean()


def normalised_critic(seed: int) -> tuple[nn.Module, nn.Module]:
    """A critic with batch norm."""
    return models.mlp(seed=seed)[0], models.MLPDiscriminator(batch_norm=True, seed=seed + 1)


def finite_at_a_flat_critic(penalty: penalties.Penalty) -> None:
    """The gradients stay finite where the critic is flat, as one whose weights are all 0."""
    D = small_run().D
    with torch.no_grad():
        for p in D.parameters():
            p.zero_()
    real, fake = torch.randn(2, 8, 1, 28, 28)
    penalty(D, real, fake).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in D.parameters())


def logits_are_independent(nets) -> None:
    """The logit of an image does not depend on the other images of the batch: its gradient in them is 0."""
    D = nets(any_seed())[1].train()
    x = torch.randn(8, 1, 28, 28).requires_grad_()
    (gradient,) = torch.autograd.grad(D(x)[0], x)
    assert not gradient[1:].any()


def learns_with_penalty(penalty: penalties.Penalty) -> None:
    """Training makes progress, and the critic's gradient norm between real and generated images is near 1."""
    run = learns(lambda images: as_penalty(wgan_gp(images), penalty)).run
    with torch.no_grad():
        between = run.batch()[0].lerp(run.generate(None), torch.rand(run.recipe.batch_size, 1, 1, 1))
    norm = squared_gradient_norm(run.D, between).sqrt().mean()
    assert 0.8 < norm < 1.25


# --- the catalogue ----------------------------------------------------------------------------------------------------

G_GRADIENT = Symptom("norm of G's gradient, last quarter", last_quarter_mean("g_grad_norm"), low=0.05)
FLOOR = Symptom("lowest loss of D", minimum("d_loss"), low=0.0)

ROOM = (
    Exhibit(
        "1", "double-sigmoid", "sigmoid output fed to a loss that expects logits",
        broken=Loss("double sigmoid", double_sigmoid_d, double_sigmoid_g), sound=NON_SATURATING, plug=as_loss,
        met="Very often: D ends in a sigmoid, and the loss is one of those named with_logits.",
        cause="The second sigmoid gets only numbers from 0 to 1, so D's loss cannot fall below 1.006 and confidence "
        "brings D no reward. Where D is confident the first sigmoid is flat, so G receives almost no gradient.",
        symptom=G_GRADIENT, check=confidence_is_cheap, findings=("vanishing_generator_signal",),
        setting=without_penalty, steps=500,
    ),
    Exhibit(
        "2", "log-of-sigmoid", "log of a sigmoid instead of the stable form",
        broken=Loss("log of sigmoid", log_of_sigmoid_d, log_of_sigmoid_g), sound=NON_SATURATING, plug=as_loss,
        met="Blog posts that write the loss as the paper prints it, with log(D) and log(1 - D).",
        cause="In float32 σ(17) is exactly 1, and the logarithm of 1 - 1 is minus infinity. Its derivative times 0 is "
        "NaN, which the next step spreads to every weight.",
        symptom=FINITE, check=finite_for_every_logit, findings=("non_finite",), setting=hasty_d,
    ),
    Exhibit(
        "3", "fleeing-generator", "G minimises log D(G(z)) + log(1 - D(x)): the sign is wrong",
        broken=Loss("fleeing G", minimax_d, wrong_sign_g, paired=True), sound=NON_SATURATING, plug=as_loss,
        met="Blog posts that give G \"the opposite of D's loss\" by swapping the two logarithms.",
        cause="To make log D(G(z)) small, G makes images that D rejects with certainty. The term with x does not "
        "depend on G and gives it no gradient.",
        symptom=Symptom("D's mean logit of generated images, last quarter", last_quarter_mean("d_fake"), low=-3.0),
        check=g_climbs, findings=("total_collapse", "discriminator_saturated"),
    ),
    Exhibit(
        "4", "reversed-discriminator", "D minimises the log-likelihood that it should maximise",
        broken=Loss("reversed D", reversed_d, non_saturating_g), sound=NON_SATURATING, plug=as_loss,
        met="Code that passes V itself to an optimizer, although optimizers minimise.",
        cause="D learns to call real images fake and fakes real, and its loss falls without a bound. From such a D, G "
        "learns that everything it makes is real.",
        symptom=FLOOR, check=d_separates, findings=("discriminator_blind",),
    ),
    Exhibit(
        "5", "both-signs", "both signs wrong: they partly cancel",
        broken=Loss("both signs", reversed_d, wrong_sign_g, paired=True), sound=NON_SATURATING, plug=as_loss,
        met="The previous two mistakes in the same blog post.",
        cause="With the meaning of D's output reversed, G's and D's aims oppose each other again, so it looks like a "
        "game. But D's loss now has no lower bound, and its gradients grow towards 1 as D becomes confident instead of "
        "vanishing.",
        symptom=FLOOR, check=signs_are_right, findings=("total_collapse",),
    ),
    Exhibit(
        "6", "common-loss", "one common loss L = L_G + L_D for both nets",
        broken=Loss("common", common_loss, common_loss, paired=True), sound=NON_SATURATING, plug=as_loss,
        met="Classes with one train_step that adds the two losses and makes one step.",
        cause="The two losses want opposite logits for a generated image, and their sum is smallest where D answers ½. "
        "So D learns to ignore what G makes, and G has nothing left to improve.",
        symptom=VARIETY, check=players_oppose, findings=("total_collapse", "noisy"), examined=600,
    ),
    Exhibit(
        "7", "everyone-agrees", "D pushes real and generated logits in the same direction, and so does G",
        broken=Loss("agreement", agreeing_d, agreeing_g), sound=NON_SATURATING, plug=as_loss,
        met="Blog posts that leave out the logarithms and a minus sign with them.",
        cause="All three terms fall when D's output falls, so D lowers it for every image. Nothing in the losses "
        "depends on telling real images from generated ones.",
        symptom=FLOOR, check=signs_are_right, findings=("total_collapse",),
    ),
    Exhibit(
        "12a", "never-fakes", "D is never shown generated images",
        broken=Loss("real only", only_real_d, non_saturating_g), sound=NON_SATURATING, plug=as_loss,
        met="Skeletons in which D is applied to the real batch alone.",
        cause="Calling everything real costs such a D nothing. So it also accepts whatever G makes, and G need not "
        "learn.",
        symptom=VARIETY, check=d_separates, findings=("discriminator_blind",),
    ),
    Exhibit(
        "12b", "never-reals", "D is never shown real images",
        broken=Loss("fake only", only_fake_d, non_saturating_g), sound=NON_SATURATING, plug=as_loss,
        met="A loop in which the real half of D's loss is computed but not added.",
        cause="D learns to reject every image, so the gradient G receives has nothing to do with the data. No real "
        "image contributes to either loss.",
        symptom=VARIETY, check=d_separates, setting=without_penalty,
        findings=("discriminator_blind", "discriminator_saturated"),
    ),
    Exhibit(
        "15", "saturating", "the saturating loss from the start, against a D that is ahead",
        broken=MINIMAX, sound=NON_SATURATING, plug=as_loss,
        met="The first formula in many blog posts; the paper itself advises against it early in training.",
        cause="The derivative of log(1 - σ(s)) is -σ(s), almost 0 where D rejects an image. That of the non-saturating "
        "loss is -σ(-s), nearly -1 there.",
        symptom=G_GRADIENT, check=largest_gradient_when_rejected,
        findings=("discriminator_saturated",), setting=late_g,
    ),
    Exhibit(
        "22a", "two-sided-smoothing", "label smoothing on both sides",
        broken=Loss("two-sided", two_sided_d, non_saturating_g), sound=Loss("one-sided", smooth_d, non_saturating_g),
        plug=as_loss, met="Lists of tricks that say \"use soft labels\" without saying which.",
        cause="With the target 0.1 for generated images D's optimal logit for obvious fakes is -2.2 everywhere, so its "
        "gradient there vanishes. G, which follows this gradient, receives little of it while it is far behind.",
        symptom=Symptom("norm of G's gradient before G learns", mean_before_g_learns("g_grad_norm"), low=16.0),
        check=fakes_stay_fake, setting=late_g,
    ),
    Exhibit(
        "22b", "smoothing-no-op", "label smoothing written as a no-op",
        broken=Loss("not smoothed", unsmoothed_d, non_saturating_g), sound=Loss("smoothed", smooth_d, non_saturating_g),
        plug=as_loss, met="Loops that multiply a tensor by 0.9 and forget to store the product.",
        cause="Arithmetic does not change a tensor: the product is a new one, and it is discarded. With a target of 1 "
        "nothing keeps D's logit of real images at log 9.",
        symptom=Symptom("D's mean logit of real images before G learns", mean_before_g_learns("d_real"), high=3.0),
        check=smoothing_holds_back, setting=late_g,
    ),
    Exhibit(
        "26a", "gp-at-real-images", "WGAN-GP with ε fixed at 1",
        broken=at_real_images, sound=penalties.wgan_gp, plug=as_penalty,
        met="Code with a constant where ε should be drawn.",
        cause="All points of the penalty are real images, so it does not constrain the gradient near the generated "
        "ones. On digits the gradient norm between the two still comes out near 1, and after 300 steps the distance "
        "was at most twice that of the sound penalty.",
        symptom=DISTANCE, check=learns_with_penalty, setting=wgan_gp, harmless=True,
    ),
    Exhibit(
        "26b", "gp-beyond-both", "WGAN-GP with ε from a normal distribution",
        broken=beyond_both, sound=penalties.wgan_gp, plug=as_penalty,
        met="randn instead of rand, a difference of one letter.",
        cause="The points lie anywhere on the line through the two images, also beyond them, where there are neither "
        "real nor generated images. On digits, after 300 steps, the distance was at most twice that of the sound "
        "penalty.",
        symptom=DISTANCE, check=learns_with_penalty, setting=wgan_gp, harmless=True,
    ),
    Exhibit(
        "26c", "gp-batch-norm", "WGAN-GP with batch norm in the critic",
        broken=normalised_critic, sound=plain_pair, plug=as_nets,
        met="DCGAN's D used as a critic, against the advice of the paper's section 4.",
        cause="The penalty is meant for the gradient of one logit at one image, but batch norm makes every logit "
        "depend on all images of the batch. Real and generated batches also get separate statistics, which reveal "
        "which is which.",
        symptom=Symptom(DISTANCE.name, distance, high=200.0), check=logits_are_independent,
        findings=("noisy", "discriminator_blind"), setting=wgan_gp,
    ),
    Exhibit(
        "26d", "root-of-zero", "WGAN-GP with a square root at 0",
        broken=root_of_zero, sound=penalties.wgan_gp, plug=as_penalty,
        met="The formula as printed, with a critic whose last layer is initialised to 0.",
        cause="The derivative of √ is infinite at 0, and infinity times 0 is NaN. A small constant under the root "
        "prevents that.",
        symptom=FINITE, check=finite_at_a_flat_critic, findings=("non_finite",), setting=wgan_gp_from_zero,
    ),
)  # fmt: skip
