"""What the columns of a training log mean, by rules for the names that people give them."""

import re
from collections.abc import Iterable

ROLES = {
    "d_loss": "D's loss",
    "g_loss": "G's loss",
    "d_loss_real": "D's loss on real images",
    "d_loss_fake": "D's loss on samples",
    "d_real": "D's output for real images",
    "d_fake": "D's output for samples",
    "d_acc": "D's accuracy",
    "d_acc_real": "D's accuracy on real images",
    "d_acc_fake": "D's accuracy on samples",
    "g_grad_norm": "the norm of G's gradient",
    "diversity": "a measure of diversity",
    "similarity": "a measure of how alike samples are, smaller is better",
    "distance": "a distance to the data, smaller is better",
    "quality": "a score, larger is better",
}

D = {"d", "dis", "disc", "discr", "discrim", "discriminator", "netd", "critic", "errd", "lossd", "dloss"}
G = {"g", "gen", "generator", "netg", "errg", "lossg", "gloss"}
LOSS = {"loss", "losses", "err", "error", "cost", "objective", "errd", "lossd", "dloss", "errg", "lossg", "gloss"}
REAL, FAKE = {"real", "true", "r"}, {"fake", "fakes", "generated", "synthetic", "f"}
ADVERSARIAL = {"adv", "adversarial", "gan"}
OUTPUT = {
    "output", "out", "logit", "logits", "score", "scores", "prob", "probs", "probability", "mean", "pred", "conf",
    "validity", "sigmoid", "p", "y",
}  # fmt: skip
AUXILIARY = {
    "cycle", "cyc", "idt", "identity", "id", "l1", "l2", "recon", "rec", "reconstruction", "pixel", "perceptual", "vgg",
    "cls", "class", "aux", "auxiliary", "info", "kl", "feature", "feat", "fm", "matching", "tv", "ssim", "pl", "path",
}  # fmt: skip
SETTING = {"weight", "factor", "lambda", "beta", "gamma", "coef", "coefficient"}
GRADIENT = {"grad", "grads", "gradient", "gradients", "norm", "gradnorm"}
SPREAD = {"std", "variance", "var", "spread", "unique", "distinct"}
OF_SAMPLES = {"fake", "fakes", "sample", "samples", "generated", "output", "pixel", "pixels", "batch", "image"}
DIVERSITY = {"diversity", "variety", "recall", "coverage", "vendi", "lpips", "pairwise"}
COUNTED = {"classes", "labels", "categories", "modes"}  # of which fewer and fewer are seen when G collapses
COUNTS = {"num", "number", "n", "count", "seen", "covered", "captured", "found", "unique", "distinct", "nb", "of"}
MISSING = {"missing", "missed", "dropped", "lost", "uncovered", "collapsed"}
OF_CLASSES = {"class", "cls", "label", "mode", "category", "marginal"} | COUNTED  # whose entropy is told
NO_SPREAD = {"cross", "conditional", "cond", "reg", "bonus"}  # entropies that say nothing of diversity
ACCURACY = {"acc", "accs", "accuracy"}
BETWEEN = {"intra", "inter", "between", "sample", "samples", "pairwise", "diversity"}
RECONSTRUCTION = {
    "psnr", "l1", "l2", "mse", "mae", "pixel", "recon", "rec", "reconstruction", "content", "cycle", "cyc", "vgg",
    "perceptual",
}  # fmt: skip
DISTANCE = {"fid", "kid", "frechet", "fréchet", "mmd", "swd", "fd"}
QUALITY = {"is", "inception", "precision", "density"}
INDEX = {
    "step", "steps", "iter", "iters", "iteration", "iterations", "epoch", "epochs", "batch", "batches", "global",
    "time", "wall", "walltime", "timestamp", "runtime", "relative", "elapsed", "sec", "secs", "seconds", "idx", "index",
    "unnamed", "it", "i", "t", "n", "images", "kimg", "nimg", "samples", "seen", "progress",
}  # fmt: skip
STEP = {"step", "steps", "iter", "iters", "iteration", "iterations", "epoch", "epochs", "it", "kimg", "nimg"}
SILENT = {
    "train", "training", "loss", "losses", "metrics", "metric", "avg", "average", "mean", "running", "smooth", "total",
    "net", "value", "log", "w", "wasserstein", "scalars", "scalar", "item",
}  # fmt: skip


def words(name: str) -> list[str]:
    """The words of a name in small letters: "train/lossD_real" -> ["train", "loss", "d", "real"]."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return [word for word in re.split(r"[^0-9a-zé]+", spaced.lower()) if word]


def is_index(name: str) -> bool:
    """Does a column count rows, steps or seconds?"""
    return all(word in INDEX or word.isdigit() for word in words(name))


def is_step(name: str) -> bool:
    """Does a column count steps or epochs?"""
    return is_index(name) and bool(STEP & set(words(name)))


def meanings(names: Iterable[str]) -> dict[str, tuple[str | None, str]]:
    """The role of each curve and the game that it belongs to, from all names of a log together.

    A role that is no key of `ROLES` is a description of what is known, but not judged; None is an unknown name.
    """
    names = list(names)
    together = {word for name in names for word in words(name)}
    prefix = run_prefixes(names)
    # pix2pix and its kin print G_GAN, D_real and D_fake, and mean losses by all three
    halves_are_losses = bool({"gan", "idt"} & together) and not any(is_loss_of_d(words(name)) for name in names)
    found = {}
    for name in names:
        run, rest = prefix.get(name, ("", name))
        role, left = meaning(rest, halves_are_losses)
        role = in_company(role, set(words(rest)), together)
        found[name] = role, " ".join(filter(None, [run.lower(), *sorted(left)]))
    return found


def in_company(role: str | None, have: set[str], together: set[str]) -> str | None:
    """The role of a name among all names of its log, where these show that it means something else."""
    if role in ("d_acc_real", "d_acc_fake") and not D & have and OF_CLASSES & together:
        return "accuracy"  # perhaps that of a classifier
    if {"ssim", "msssim", "lpips"} & have and not BETWEEN & have and RECONSTRUCTION & together:
        return "likeness to the target"
    if role == "d_loss" and G & have and REAL & together:  # "disc_loss_gen" beside "disc_loss_real"
        return "d_loss_fake"
    if role is None and "c" in have <= {"c"} | LOSS | SILENT | INDEX and G & together and not D & together:
        return "d_loss"  # a critic's, beside that of G
    return role


def is_result(role: str | None) -> bool:
    """Does a column tell how the training goes, as far as its name is known?"""
    return role not in (None, "learning rate", "a setting")


def run_prefixes(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Weights & Biases exports "RUN - NAME" for each run: the run, and the name without it."""
    parts = {name: name.split(" - ", 1) for name in names if " - " in name}
    runs = {run for run, _ in parts.values()}
    return {name: (run if len(runs) > 1 else "", rest) for name, (run, rest) in parts.items()}


def is_adversarial(name: str) -> bool:
    """Does a name say that this is the adversarial part of a loss?"""
    return bool(ADVERSARIAL & set(words(name)))


def is_critic(name: str) -> bool:
    """Does a name of D's loss say that it is a Wasserstein critic's?"""
    return bool({"critic", "wasserstein", "wgan", "wdist", "emd"} & set(words(name)))


def is_loss_of_d(found: list[str]) -> bool:
    return bool(D & set(found)) and bool(LOSS & set(found)) and not (REAL | FAKE) & set(found)


OF_FAKES = re.compile(r"d_?\(?_?g_?\(?_?z_?[12]?\)?\)?_?[12]?(_?mean)?")  # D(G(z)), D_G_z1, dgz
OF_REAL = re.compile(r"d_?\(?_?x_?\)?(_?mean)?")  # D(x), D_x


def meaning(name: str, halves_are_losses: bool = False) -> tuple[str | None, set[str]]:
    """The role of a name, and those of its words that say which of several games it belongs to."""
    short = re.sub(r"[\s]+", "", name.lower()).rsplit("/", 1)[-1]
    for pattern, role in ((OF_FAKES, "d_fake"), (OF_REAL, "d_real")):
        if pattern.fullmatch(short):
            return (role, set()) if "2" not in short else ("D's output for samples, after its step", set())
    found = words(name)
    have = set(found)
    left = have - SILENT - INDEX
    if "lr" in have or {"learning", "rate"} <= have:
        return "learning rate", left
    if {"min", "max"} & have and name.lower().endswith(("__min", "__max")):
        return "range of another column", left
    if GRADIENT & have and "penalty" not in have:
        of_g = bool(G & have) and not D & have
        return ("g_grad_norm", left - G - GRADIENT) if of_g else ("norm of a gradient", left)
    if {"gp", "penalty", "r1", "r2", "reg", "regularization"} & have:
        return "penalty", left
    if SETTING & have:
        return "a setting", left
    if ACCURACY & have or "second value" in name:
        left -= ACCURACY | D | LOSS | REAL | FAKE | {"second", "on", "of"}
        return ("accuracy" if any(len(word) > 2 for word in left) else accuracy(have)), left
    if (role := spread_over_classes(have)) is not None:
        return role, left - COUNTS - OF_CLASSES - {"entropy"}
    if "msssim" in have or {"ms", "ssim"} <= have or ({"ssim", "similarity"} & have and BETWEEN & have):
        return ("another loss" if LOSS & have else "similarity"), left - BETWEEN - {
            "ms",
            "ssim",
            "msssim",
            "similarity",
        }
    for words_of, role in ((DISTANCE, "distance"), (DIVERSITY, "diversity"), (QUALITY, "quality")):
        if words_of & have and not LOSS & have:
            return role, left - words_of - {"score", "distance", "inception"}
    if SPREAD & have and not LOSS & have:
        return ("diversity" if OF_SAMPLES & have else "a spread"), left - SPREAD - OF_SAMPLES
    if AUXILIARY & have:
        return "another loss", left
    if "distance" in have and {"intra", "batch", "sample", "samples"} & have:
        return "diversity", set()
    if found in (["score", "d"], ["score", "g"]):  # SRGAN's mean outputs of D for real images and for samples
        return ("d_real" if found[1] == "d" else "d_fake"), set()
    if found in (["d1"], ["dr"], ["d2"], ["df"]):  # D's loss on real images and on samples, as in some tutorials
        return ("d_loss_real" if found[0] in ("d1", "dr") else "d_loss_fake"), set()
    real, fake = bool(REAL & have), bool(FAKE & have)
    left -= D | G | LOSS | REAL | FAKE | OUTPUT | ADVERSARIAL
    player = next((("d" if word in D else "g") for word in found if word in D | G), None)
    # StyleGAN's logs put everything into a folder "Loss", also D's outputs, which they call scores
    loss = bool(LOSS & (set(words(name.split("/", 1)[-1])) if OUTPUT & have else have))
    if real != fake and player != "g":
        half = "real" if real else "fake"
        if loss or halves_are_losses:
            return f"d_loss_{half}", left
        if player == "d" or OUTPUT & have:
            return f"d_{half}", left
        return None, left
    alone = have <= D | G | SILENT | INDEX | left and len(left) <= 1  # such as "D", or CycleGAN's "D_A"
    if player is not None and (loss or ADVERSARIAL & have or alone):
        return f"{player}_loss", left
    if loss and ADVERSARIAL & have:
        return "g_loss", left
    return None, left


def accuracy(have: set[str]) -> str:
    """The role of an accuracy: only D's own tells who wins, not G's, nor that of a classifier or on held-out images."""
    others = AUXILIARY | {"op", "label", "labels", "val", "valid", "validation", "test", "top1", "top5"}
    real, fake = bool(REAL & have), bool(FAKE & have)
    if (G | others) & have or not (D & have or real != fake):
        return "accuracy"
    return "d_acc" if real == fake else "d_acc_real" if real else "d_acc_fake"


def spread_over_classes(have: set[str]) -> str | None:
    """The role of a number of classes or modes, or of the entropy of their shares; None if it is neither."""
    if LOSS & have or not ("entropy" in have or COUNTED & have):
        return None
    if "entropy" in have:
        return "diversity" if OF_CLASSES & have and not (NO_SPREAD | D) & have else "an entropy"
    if MISSING & have:
        return "what is missing"
    return "diversity" if "modes" in have or COUNTS & have else None
