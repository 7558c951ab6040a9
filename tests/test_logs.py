"""Training logs in every form that people keep them in, and what their columns are taken for."""

import json
import math

import numpy as np
import pytest
import torch

from gantutor import doctor
from gantutor.doctor.logs import roles, training_log
from gantutor.errors import BadInput


def roles_of(names) -> dict[str, tuple[str | None, str]]:
    return roles.meanings([name for name in names if not roles.is_index(name)])


NAMES = [
    ("iter Loss_D Loss_G D(x) D(G(z))", "d_loss g_loss d_real d_fake"),  # PyTorch's DCGAN tutorial
    ("errD errG D_x D_G_z1 errD_real errD_fake", "d_loss g_loss d_real d_fake d_loss_real d_loss_fake"),
    ("d_loss_real d_loss_fake g_loss", "d_loss_real d_loss_fake g_loss"),
    ("critic_loss gen_loss", "d_loss g_loss"),
    ("discriminator_loss generator_loss", "d_loss g_loss"),
    ("dloss gloss", "d_loss g_loss"),
    ("lossD lossG", "d_loss g_loss"),
    ("netD_loss netG_loss", "d_loss g_loss"),
    ("D G", "d_loss g_loss"),
    ("Loss/discriminator Loss/generator", "d_loss g_loss"),
    ("train/d_loss_step train/g_loss_step", "d_loss g_loss"),
    ("disc_loss gen_gan_loss", "d_loss g_loss"),  # TensorFlow's pix2pix tutorial
    ("real_loss fake_loss adversarial_loss", "d_loss_real d_loss_fake g_loss"),
    ("G_GAN D_real D_fake", "g_loss d_loss_real d_loss_fake"),  # pix2pix: losses by all three names
    ("d_real d_fake", "d_real d_fake"),  # this package: outputs
    ("D_loss real_score fake_score", "d_loss d_real d_fake"),
    ("Loss/scores/real Loss/scores/fake Loss/G/loss Loss/D/loss", "d_real d_fake g_loss d_loss"),  # StyleGAN
    ("D(G(z1)) D(x)_mean Score_D Score_G", "d_fake d_real d_real d_fake"),
    ("d1 d2 g", "d_loss_real d_loss_fake g_loss"),  # real and fake, in many a Keras tutorial
    ("real_validity fake_validity", "d_real d_fake"),
    ("fake_std pixel_std intra_batch_distance", "diversity diversity diversity"),
    ("G_grad_norm fid recall inception_score", "g_grad_norm distance diversity quality"),
    ("d_acc D_accuracy_real disc_acc_fake", "d_acc d_acc_real d_acc_fake"),
    ("acc_real fake_accuracy d_loss", "d_acc_real d_acc_fake d_loss"),
    ("ms_ssim MS-SSIM/samples pairwise_similarity intra_ssim", "similarity similarity similarity similarity"),
    (
        "n_modes num_classes_seen classes_covered unique_labels modes",
        "diversity diversity diversity diversity diversity",
    ),
    ("label_entropy class_entropy entropy_of_modes", "diversity diversity diversity"),
]


@pytest.mark.parametrize(("names", "meant"), NAMES)
def test_names(names, meant):
    found = roles_of(names.split())
    assert [role for role, _ in found.values()] == meant.split()
    assert {game for _, game in found.values()} == {""}


@pytest.mark.parametrize(
    "name",
    [
        "lr",
        "learning_rate",
        "gp",
        "r1_penalty",
        "G_L1",
        "cycle_A",
        "g_acc",
        "accuracy",
        "acc.",
        "cls_acc_real",
        "d_val_acc",
        "d_loss_class, second value",
        "g_loss, second value",
        "grad_norm",
        "ssim",
        "ms_ssim_loss",
        "entropy",
        "cross_entropy",
        "conditional_class_entropy",
        "D_entropy",
        "missing_modes",
        "labels",
        "d_loss__MIN",
        "loss",
        "x",
        "d_weight",
        "disc_factor",
        "G_std",
    ],
)
def test_names_that_are_not_judged(name):
    assert roles.meaning(name)[0] not in roles.ROLES


@pytest.mark.parametrize("name", ["", "step", "global_step", "Epoch", "Unnamed: 0", "Wall time", "iteration", "kimg"])
def test_names_that_count(name):
    assert roles.is_index(name)


@pytest.mark.parametrize(
    ("name", "others", "role"),
    [
        ("acc_real", "acc_fake d_loss", "d_acc_real"),
        ("acc_real", "acc_fake d_loss cls_loss", "accuracy"),  # perhaps a classifier's
        ("d_acc_real", "d_acc_fake d_loss cls_loss", "d_acc_real"),
        ("ms_ssim", "fid d_loss", "similarity"),
        ("ms_ssim", "psnr d_loss", "likeness to the target"),
        ("disc_loss_gen", "disc_loss_real gen_loss", "d_loss_fake"),
        ("disc_loss_gen", "disc_loss gen_loss", "d_loss"),
        ("C_loss", "G_loss", "d_loss"),
        ("loss_c", "loss_g lr", "d_loss"),
        ("C_loss", "G_loss D_loss", None),  # a classifier's
        ("C_loss", "loss", None),
        ("lpips", "G_L1 d_loss", "likeness to the target"),
        ("sample_ms_ssim", "G_L1 d_loss", "similarity"),
    ],
)
def test_names_that_depend_on_others(name, others, role):
    assert roles_of([name, *others.split()])[name][0] == role


def test_games():
    assert roles_of(["loss_D_A", "loss_G_A", "D_B", "G_B"]) == {
        "loss_D_A": ("d_loss", "a"), "loss_G_A": ("g_loss", "a"), "D_B": ("d_loss", "b"), "G_B": ("g_loss", "b"),
    }  # fmt: skip
    assert roles_of(["sun-3 - d_loss", "sun-3 - g_loss"])["sun-3 - d_loss"] == ("d_loss", "")
    assert roles_of(["sun-3 - d_loss", "moon-4 - d_loss"])["moon-4 - d_loss"] == ("d_loss", "moon-4")


# --- forms -----------------------------------------------------------------------------------------------------------

D, G = [1.5, 1.25, 1.0, 0.75], [0.5, 0.75, 1.0, 1.25]


def same(history) -> bool:
    """Does a history hold these losses, and nothing else?"""
    log = training_log.read(history)
    (game,) = log.games.values()
    return game["d_loss"].values.tolist() == D and game["g_loss"].values.tolist() == G and len(game) == 2


class Frame:
    """What the doctor needs of a pandas frame."""

    def __init__(self, table):
        self.table, self.columns = table, list(table)

    def __getitem__(self, name):
        return np.array(self.table[name])


class Fitted:
    def __init__(self, history):
        self.history = history


OBJECTS = {
    "dict of lists": {"d_loss": D, "g_loss": G},
    "dict of arrays": {"d_loss": np.array(D, dtype=np.float32), "g_loss": torch.tensor(G, requires_grad=True)},
    "list of dicts": [{"d_loss": d, "g_loss": g} for d, g in zip(D, G, strict=True)],
    "list of uneven dicts": [row for d, g in zip(D, G, strict=True) for row in ({"d_loss": d}, {"g_loss": g})],
    "frame": Frame({"d_loss": D, "g_loss": G}),
    "what Keras' fit returns": Fitted({"d_loss": D, "g_loss": G}),
    "tensors": {"d_loss": [torch.tensor(d) for d in D], "g_loss": [np.float64(g) for g in G]},
    "strings": {"d_loss": [str(d) for d in D], "g_loss": [f"tensor({g}, device='cuda:0')" for g in G]},
    "nested": {"losses": {"D": D, "G": G}},
    "pairs of a step and a value": {
        "d_loss": [(50 * i, d) for i, d in enumerate(D)],
        "g_loss": np.array([*enumerate(G)]),
    },
    "values by step": {"d_loss": dict(enumerate(D)), "g_loss": {10 * i: g for i, g in enumerate(G)}},
    "nested rows": [
        {"Loss/D": {"num": 8, "mean": d, "std": 0.1}, "Loss/G": {"mean": g}} for d, g in zip(D, G, strict=True)
    ],
    "the last step first": {"step": [3, 2, 1, 0], "d_loss": D[::-1], "g_loss": G[::-1]},
    "with empty cells": {"d_loss": [D[0], "", *D[1:]], "g_loss": [None, *G]},
    "rows for each number": [
        {"step": step, "tag": tag, "value": value[step]}
        for step in range(4)
        for tag, value in (("d_loss", D), ("g_loss", G))
    ],
}


@pytest.mark.parametrize("form", OBJECTS)
def test_objects(form):
    assert same(OBJECTS[form])


FILES = {
    "a.csv": "step,d_loss,g_loss\n" + "".join(f"{i},{d},{g}\n" for i, (d, g) in enumerate(zip(D, G, strict=True))),
    "b.csv": "d_loss;g_loss\n" + "".join(f"{d};{g}\n".replace(".", ",") for d, g in zip(D, G, strict=True)),
    "c.tsv": "d_loss\tg_loss\n" + "".join(f"{d}\t{g}\n" for d, g in zip(D, G, strict=True)),
    "lightning.csv": "d_loss,epoch,g_loss,step\n" + "".join(f"{d},0,,{i}\n,0,{g},{i}\n" for i, (d, g) in
                                                             enumerate(zip(D, G, strict=True))),
    "wandb.csv": '"Step","sun - d_loss","sun - d_loss__MIN","sun - d_loss__MAX","sun - g_loss"\n'
                 + "".join(f'"{i}","{d}","{d}","{d}","{g}"\n' for i, (d, g) in enumerate(zip(D, G, strict=True))),
    "mlflow.csv": "run,metric,step,value\n" + "".join(f"r,d_loss,{i},{d}\nr,g_loss,{i},{g}\n" for i, (d, g) in
                                                       enumerate(zip(D, G, strict=True))),
    "d.json": json.dumps({"d_loss": D, "g_loss": G}),
    "e.json": json.dumps({"log_history": [{"d_loss": d, "g_loss": g} for d, g in zip(D, G, strict=True)], "run": 1}),
    "f.jsonl": "".join(json.dumps({"d_loss": d, "g_loss": g}) + "\n" for d, g in zip(D, G, strict=True)) + '{"d_lo',
    "tutorial.log": "Starting Training Loop...\n" + "".join(
        f"[0/5][{50 * i}/1583]\tLoss_D: {d}\tLoss_G: {g}\n" for i, (d, g) in enumerate(zip(D, G, strict=True))),
    "printed.txt": "".join(f"[Epoch 0/200] [Batch {i}/938] [D loss: {d}] [G loss: {g}]\n" for i, (d, g) in
                           enumerate(zip(D, G, strict=True))),
    "excel.csv": "sep=;\nd_loss;g_loss\n" + "".join(f"{d};{g}\n" for d, g in zip(D, G, strict=True)),
    "spaces.txt": "step  d_loss  g_loss\n" + "".join(f"{i}  {d}  {g}\n" for i, (d, g) in
                                                       enumerate(zip(D, G, strict=True))),
    "colours.log": "".join(f"\x1b[32mLoss_D:\x1b[0m {d} \x1b[32mLoss_G:\x1b[0m {g}\n" for d, g in
                           zip(D, G, strict=True)),
    "tensors.log": "".join(f"D loss: tensor({d}, device='cuda:0') G loss: tensor({g})\n" for d, g in
                           zip(D, G, strict=True)),
    "dicts.log": "".join(f"{ {'epoch': i, 'd_loss': d, 'g_loss': g} }\n" for i, (d, g) in
                         enumerate(zip(D, G, strict=True))),
    "numpy.log": "".join(f"{{'d_loss': np.float32({d}), 'g_loss': np.float64({g})}}\n" for d, g in
                         zip(D, G, strict=True)),
    "info.log": "Starting\n" + "".join(f'2026-01-01 INFO {json.dumps({"d_loss": d, "g_loss": g})}\n' for d, g in
                                       zip(D, G, strict=True)),
    "level.log": "".join(f"INFO d_loss: {d} g_loss: {g}\n" for d, g in zip(D, G, strict=True)),
    "no signs.log": "".join(f"step {i} d_loss {d} g_loss {g}\n" for i, (d, g) in enumerate(zip(D, G, strict=True))),
    "bars.log": "".join(f"| epoch {i} | loss_d {d} | loss_g {g} |\n" for i, (d, g) in
                        enumerate(zip(D, G, strict=True))),
    "blocks.log": "".join(f"-----\n| loss_d | {d} |\n| loss_g | {g} |\n" for d, g in zip(D, G, strict=True)),
    "tf.log": "".join(f"gen_loss: tf.Tensor({g}, shape=(), dtype=float32) disc_loss: "
                      f"<tf.Tensor: shape=(), dtype=float32, numpy={d}>\n" for d, g in zip(D, G, strict=True)),
    "keras.log": "".join(f"{i} [D loss: {d}, acc.: 50.00%] [G loss: {g}]\n" for i, (d, g) in
                         enumerate(zip(D, G, strict=True))),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path, name):
    (tmp_path / name).write_text(FILES[name], encoding="utf-8-sig" if name == "a.csv" else "utf-8")
    assert same(tmp_path / name)


def test_both_halves_of_an_accuracy_that_are_named_once(tmp_path):
    lines = "".join(f">Accuracy real: {90 + i}%, fake: {80 + i}%\n" for i in range(5))
    (tmp_path / "a.log").write_text(lines)
    game = training_log.read(tmp_path / "a.log").games[""]
    assert game["d_acc_real"].values.tolist() == [90, 91, 92, 93, 94]
    assert game["d_acc_fake"].values.tolist() == [80, 81, 82, 83, 84]


def test_one_curve_a_file_as_tensorboard_exports_them(tmp_path):
    files = []
    for tag, values in (("Loss_D", D), ("Loss_G", G)):
        files.append(tmp_path / f"run-events-tag-{tag}.csv")
        rows = "".join(f"{1e9 + i},{10 * i},{value}\n" for i, value in enumerate(values))
        files[-1].write_text("Wall time,Step,Value\n" + rows)
    assert same(files)
    assert training_log.read(files).games[""]["d_loss"].steps.tolist() == [0, 10, 20, 30]


def test_a_curve_without_a_name_has_that_of_its_file(tmp_path):
    for name, values in (("d_loss", D), ("train_g_loss", G)):
        rows = "".join(f"{10 * i},{value}\n" for i, value in enumerate(values))
        (tmp_path / f"{name}.csv").write_text("step,value\n" + rows)
    assert same(tmp_path)
    assert training_log.read(tmp_path).games[""]["g_loss"].name == "train_g_loss"


def test_tensorboard(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "run")) as writer:
        for step, (d, g) in enumerate(zip(D, G, strict=True)):
            writer.add_scalar("Loss/D", d, step)
            writer.add_scalar("Loss/G", g, step)
    assert same(tmp_path / "run")
    with pytest.raises(BadInput, match="Below it"):
        training_log.read(tmp_path)


def test_scalars_that_tensorboard_keeps_in_folders_of_their_own(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        for step, (d, g) in enumerate(zip(D, G, strict=True)):
            writer.add_scalars("train/Loss", {"D": d, "G": g}, step)
    with SummaryWriter(str(tmp_path / "other_run")) as writer:
        writer.add_scalar("Loss_D", 9.0, 0)
    assert same(tmp_path)


def test_pairs_of_a_step_and_a_value():
    log = training_log.read(
        {"d_loss": [(50 * i, d) for i, d in enumerate(D)], "g_loss": [[i, g] for i, g in enumerate(G)]}
    )
    assert log.games[""]["d_loss"].steps.tolist() == [0, 50, 100, 150]
    assert log.games[""]["g_loss"].steps.tolist() == [0, 1, 2, 3]
    assert any("'d_loss' are pairs of a step and a value" in note for note in log.notes)
    for firsts in ([1, 2], [1, 2, 2, 3], [3, 2, 1, 0], [0.5, 1.5, 2.5, 3.5]):  # no steps, or too few to tell
        log = training_log.read({"d_loss": [(first, 0.5) for first in firsts]})
        assert log.games[""]["d_loss"].values.tolist() == firsts


def test_pairs_of_loss_and_accuracy():
    for pairs in ([[d, 0.5] for d in D], [np.array([d, 50.0]) for d in D], [f"[{d}, 50.]" for d in D]):
        log = training_log.read({"d_loss": pairs, "g_loss": G})
        assert log.games[""]["d_loss"].values.tolist() == D
        assert any("pairs" in note for note in log.notes)
        assert any("second value as D's accuracy" in note for note in log.notes)


def test_the_halves_of_ds_loss_are_added():
    log = training_log.read({"errD_real": D, "errD_fake": D, "errG": G})
    assert log.games[""]["d_loss"].values.tolist() == [2 * d for d in D]
    assert any("sum" in note for note in log.notes)


def test_of_two_columns_the_adversarial_one_counts():
    log = training_log.read({"gen_total_loss": [9.0] * 4, "gen_gan_loss": G, "disc_loss": D})
    assert log.games[""]["g_loss"].values.tolist() == G
    assert any("gen_total_loss (as gen_gan_loss is)" in note for note in log.notes)


# --- gaps ------------------------------------------------------------------------------------------------------------

NAN = math.nan


def finite(history) -> bool:
    return "non_finite" not in doctor.examine(history=history | {"d": [1.2, 1.1] * 10}).names


@pytest.mark.parametrize(
    ("history", "sound"),
    [
        ({"d_loss": [1.2, NAN] * 10, "g_loss": [NAN, 0.9] * 10}, True),  # logged in turn
        ({"d_loss": [1.2] * 20, "g_loss": [NAN, NAN, NAN, 0.9, NAN] * 4}, True),  # G moves in every fifth step
        ({"d_loss": [*[1.2] * 9, NAN] * 2, "fid": [*[NAN] * 9, 30.0] * 2}, True),  # scored once an epoch
        ({"d_loss": [1.2] * 15 + [NAN] * 5, "g_loss": [0.9] * 15 + [NAN] * 5}, False),
        ({"d_loss": [1.2] * 15 + [NAN] * 5, "g_loss": [0.9] * 15 + [NAN] * 5, "lr": [1e-4] * 20}, False),
        ({"d_loss": [1.2] * 9 + [NAN] + [1.2] * 10, "g_loss": [0.9] * 20}, False),
        ({"d_loss": [1.2, NAN] * 5 + [NAN] * 10, "g_loss": [NAN, 0.9] * 5 + [NAN] * 10}, False),
        ({"d_loss": [NAN] * 20, "g_loss": [NAN] * 20}, False),
        ({"d_loss": [1.2] * 19 + [math.inf], "g_loss": [0.9] * 20}, False),
        ({"d_loss": ["1.2"] * 15 + ["nan"] * 5}, False),
        ({"d_loss": ["1.2"] * 15 + [""] * 5}, True),
        ({"d_loss": [NAN] * 6 + [1.2] * 14, "g_loss": [0.9] * 20}, True),  # the game begins later
        ({"d_loss": ["1.2"] * 15 + ["-1.#IND"] * 5}, False),  # as Windows writes it
        # beside losses that are finite to the end
        ({"d_loss": [1.2] * 20, "fid": [NAN] * 9 + [40.0] + [NAN] * 9 + [30.0]}, True),
        ({"d_loss": [1.2] * 20, "fid": [40.0] + [NAN] * 19}, True),
        ({"d_loss": [1.2] * 20, "warm_loss": [4.0] * 5 + [NAN] * 15}, True),
        ({"d_loss": [1.2] * 20, "warm_loss": [4.0] * 5 + [math.inf] * 15}, False),
    ],
)
def test_gaps_are_not_nan(history, sound):
    assert finite(history) == sound


def test_a_score_that_was_logged_once_does_not_hide_when_the_losses_broke():
    diagnosis = doctor.examine(history={"d_loss": [1.2] * 15 + [NAN] * 5, "fid": [40.0] + [NAN] * 19})
    (finding,) = diagnosis.findings
    assert (finding.name, finding.since) == ("non_finite", 15)


BROKEN, EMPTY = [1.2, 1.1, 1.3] * 10, [None] * 10
RARE = [1.2, *EMPTY] * 12 + EMPTY[:8]


@pytest.mark.parametrize(
    ("history", "sound"),
    [
        ({"step": range(40), "d_loss": BROKEN + EMPTY, "g_loss": BROKEN + EMPTY}, False),
        ({"d_loss": BROKEN + EMPTY, "g_loss": BROKEN + EMPTY}, False),
        ({"lr": [1e-4] * 40, "gpu": [70] * 40, "d_loss": BROKEN + EMPTY, "g_loss": BROKEN + EMPTY}, False),
        ({"step": range(15), "d_loss": [1.2] * 8 + [""] * 7, "g_loss": [1.1] * 8 + [""] * 7}, False),
        ({"fid": [None] * 30 + [20.0] * 10, "d_loss": BROKEN + EMPTY, "g_loss": BROKEN + EMPTY}, True),  # scored later
        ({"odd": [None] * 30 + [20.0] * 10, "d_loss": BROKEN + EMPTY, "g_loss": BROKEN + EMPTY}, True),
        ({"step": range(32), "d_loss": BROKEN + EMPTY[:2], "g_loss": BROKEN + EMPTY[:2]}, True),
        ({"step": range(140), "d_loss": RARE, "g_loss": RARE}, True),
    ],
)  # fmt: skip
def test_empty_cells_at_the_end_are_nan(history, sound):
    diagnosis = doctor.examine(history={**history, "d_acc": history["d_loss"]})
    assert ("non_finite" not in diagnosis.names) == sound
    assert any("are empty" in note for note in diagnosis.notes) != sound


def test_a_broken_training_in_files_with_empty_cells(tmp_path):
    rows = [{"step": k, "d_loss": 1.2 if k < 640 else None, "g_loss": 0.9 if k < 640 else None} for k in range(1000)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cells = (",".join("" if value is None else str(value) for value in row.values()) for row in rows)
    (tmp_path / "a.csv").write_text("\n".join(["step,d_loss,g_loss", *cells]))
    for name in ("a.jsonl", "a.csv"):
        first = doctor.examine(history=tmp_path / name).findings[0]
        assert (first.name, first.since) == ("non_finite", 640)


def test_rows_for_each_number_are_put_in_the_order_of_steps():
    rows = [{"step": 100 * k, "tag": "d_loss", "value": k} for k in range(20)]
    rows += [{"step": 100 * k + 50, "tag": "memory", "value": 9} for k in range(20)]
    log = training_log.read(rows)
    assert log.games[""]["d_loss"].steps.tolist() == [100 * k for k in range(20)]
    assert not any("empty" in note for note in log.notes)


# --- what is no log --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [[1], 3, torch.ones(2), {"d_loss": "abc"}, {"d_loss": 1.0}, {"d_loss": [10**400]}, {"d_loss": torch.ones(3, 3)},
     {"d_loss": [{}, {}]}],
)  # fmt: skip
def test_a_history_that_is_none_is_named(bad):
    with pytest.raises(BadInput, match="history"):
        training_log.read(bad)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"1,2\n3,4\n", "numbers in its first row"),
        ("a.csv", b"d_loss,g_loss\n", "no numbers"),
        ("a.csv", b"PK\0\0\0", "holds no text"),
        ("a.json", b"{", "is no JSON"),
        ("a.json", b"[1, 2]", "no log"),
        ("a.jsonl", b"nothing\n", "is no JSON"),
        ("a.log", b"Epoch one is over\n", "no numbers"),
        ("a.xlsx", b"PK", "is no log that can be read"),
        ("no.csv", None, "there is no log"),
    ],
)
def test_a_file_that_is_no_log(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=said):
        training_log.read(tmp_path / name)


def test_numbers_with_separators_and_other_encodings(tmp_path):
    log = tmp_path / "powershell.csv"
    log.write_bytes('d_loss,g_loss\n"11,647.5",2\n'.encode("utf-16"))
    assert training_log.read(log).games[""]["d_loss"].values.tolist() == [11647.5]


def test_a_folder_of_exports_is_one_log(tmp_path):
    for tag in ("d_loss", "g_loss"):
        (tmp_path / f"run-tag-{tag}.csv").write_text("Wall time,Step,Value\n1,0,1.5\n2,1,1.25\n")
    assert set(training_log.read(tmp_path).games[""]) == {"d_loss", "g_loss"}


def test_a_log_without_d_says_so():
    d = doctor.examine(history={"g_loss": [1.0, 1.1] * 10})
    assert d.healthy
    assert d.verdict == "Healthy, as far as could be seen: nothing was found."
    assert d.open == ("whether G or D wins, because D is not in this log: log D's loss as well",)


def test_repeated_epochs_are_no_steps():
    log = training_log.read({"epoch": [0] * 20 + [1] * 20, "d_loss": list(range(40))})
    assert log.games[""]["d_loss"].steps.tolist() == list(range(40))
