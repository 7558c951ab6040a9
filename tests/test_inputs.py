"""Images of any form become one form, or one sentence."""

import numpy as np
import pytest
import torch
from drawn import digits
from torch.nn import functional

from gantutor.data import Images
from gantutor.doctor import measures
from gantutor.doctor.images import arrays, classes, extractors, inputs
from gantutor.errors import BadInput
from gantutor.metrics import classifier


@pytest.fixture(scope="module")
def drawn() -> Images:
    return digits(400, 0, "drawn")


def form(x, notes=None):
    return arrays.to_images(x, "the samples", [] if notes is None else notes)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x,
        lambda x: x[:, 0],
        lambda x: x.numpy(),
        lambda x: x.numpy().astype(">f8"),
        lambda x: x.double().requires_grad_(),
        lambda x: x.permute(0, 2, 3, 1),
        lambda x: ((x + 1) * 127.5).round().byte(),
        lambda x: ((x + 1) * 127.5).round().long().numpy()[:, 0],
        lambda x: Images("", x, torch.zeros(len(x)).long(), ("0",)),
    ],
    ids=["tensor", "no channel", "numpy", "big-endian", "with gradient", "channels last", "bytes", "int64", "Images"],
)
def test_every_form_of_the_same_images_gives_the_same(drawn, make):
    x = drawn.pixels[:70]
    y = form(make(x))
    assert (y.dtype, y.device.type, y.requires_grad) == (torch.float32, "cpu", False)
    torch.testing.assert_close(y, x, atol=1e-6, rtol=0)


def test_floats_keep_their_range():
    assert form(torch.full((70, 8, 8), 300.0)).max() == 300


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ([1, 2], "list"),
        ("abc", "str"),
        (np.array([None] * 9, dtype=object), "object"),
        (np.array(["a"]), "<U1"),
        (torch.zeros(5, 8, 8, dtype=torch.complex64), "complex64"),
        (torch.zeros(5), r"\(5,\)"),
        (torch.zeros(0, 1, 8, 8), r"\(0, 1, 8, 8\)"),
        (torch.zeros(5, 1, 7, 7), "7×7"),
    ],
)
def test_what_is_no_image_is_named(bad, word):
    with pytest.raises(BadInput, match=f"the samples .*{word}"):
        form(bad)


@pytest.mark.parametrize(
    ("shape", "cure"),
    [
        ((10, 60, 3, 32, 32), r"reshape\(-1, 3, 32, 32\)"),
        ((32, 32, 3, 600), r"transpose it by \(3, 2, 0, 1\)"),
        ((3, 500, 32, 32), r"transpose it by \(1, 0, 2, 3\)"),
    ],
)
def test_axes_in_another_order_are_named(shape, cure):
    with pytest.raises(BadInput, match=cure):
        form(torch.rand(shape))


def test_labels():
    assert classes.to_labels(None, 3, "the labels") is None
    for good in (
        [0, 1, 2], np.array([0.0, 1, 2]), torch.tensor([0, 1, 2], dtype=torch.uint8), [[0], [1], [2]], np.eye(3),
    ):  # fmt: skip
        assert classes.to_labels(good, 3, "the labels").tolist() == [0, 1, 2]
    for bad in ([0, 1], [0, 1, -1], [0, 1, 0.5], ["a", "b", "c"], [[0, 1], [1, 1], [0, 1]], [0, 1, float("nan")]):
        with pytest.raises(BadInput, match="the labels .*each of the 3 images"):
            classes.to_labels(bad, 3, "the labels")


def test_sizes_and_channels_are_brought_together_with_a_note(drawn):
    real, notes = drawn.pixels[:70], []
    assert torch.equal(arrays.match_shape(real, real, notes), real)
    assert notes == []
    doubled = real.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert arrays.match_shape(doubled, real, notes).shape == real.shape
    assert "56×56 pixels and were resized to the 28×28" in notes[0]
    torch.testing.assert_close(arrays.match_shape(real.expand(-1, 3, -1, -1), real, notes), real)
    assert arrays.match_shape(real, real.expand(-1, 3, -1, -1), notes).shape[1] == 3
    with pytest.raises(BadInput, match="2 channels and the real images 1"):
        arrays.match_shape(real.expand(-1, 2, -1, -1), real, [])


@pytest.mark.parametrize(("side", "doubted"), [(28, False), (54, False), (56, True), (120, True)])
def test_much_larger_samples_may_be_sheets(drawn, side, doubted):
    case = prepare(drawn, functional.interpolate(drawn.pixels, side))
    assert case.sheets == doubted
    assert (inputs.MAYBE_SHEETS in case.notes) == doubted


@pytest.mark.parametrize("make", [lambda x: (x + 1) / 2, lambda x: (x + 1) * 127.5])
def test_real_images_of_another_range_are_read_with_a_note(drawn, make):
    notes = []
    torch.testing.assert_close(arrays.to_real_images(make(drawn.pixels), "the real images", notes), drawn.pixels)
    assert notes[0].startswith("The real images lie in [0, ")


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda x: x * float("nan"), "NaN"),
        (lambda x: x * 3, r"\[-3, 3\]"),
        (lambda x: torch.full_like(x, -1), "all the same"),
        (lambda x: x[:1].expand_as(x), "all the same"),
    ],
)
def test_a_reference_must_be_sound(drawn, spoil, word):
    with pytest.raises(BadInput, match=f"the real images .*{word}"):
        arrays.to_real_images(spoil(drawn.pixels), "the real images", [])


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_whole_numbers_beyond_a_byte_are_told_as_they_were_given(drawn, kind):
    x = ((drawn.pixels.numpy() + 1) / 2 * 4095).astype(kind)
    with pytest.raises(BadInput, match=r"whole numbers from 0 to 4095: .* 2 \* \(x - 0\) / 4095 - 1"):
        arrays.to_training_images(x, [])


def prepare(drawn, samples=None, **options):
    options = {"labels": None, "real_labels": None, "held_out": None, "judge": None} | options
    return inputs.prepare(drawn.pixels[:80] if samples is None else samples, drawn, **options)


def test_a_fifth_of_the_real_images_is_set_apart(drawn):
    torch.manual_seed(0)
    case = prepare(drawn)
    assert (len(case.train), len(case.held_out), len(case.rest), len(case.real)) == (400, 80, 320, 320)
    both = torch.cat([case.held_out, case.train[case.rest]]).flatten(1)
    assert len(torch.unique(both, dim=0)) == 400  # no image is on both sides
    assert prepare(drawn, held_out=drawn.pixels[:70]).held_out.shape[0] == 70


def in_bytes(images):
    return Images(images.name, images.pixels.add(1).mul(127.5).round().byte(), images.labels, images.classes)


def test_bytes_stay_bytes_and_are_examined_alike(drawn):
    cases = []
    for real in (in_bytes(drawn), Images(drawn.name, in_bytes(drawn).pixels, drawn.labels, drawn.classes)):
        torch.manual_seed(0)
        cases.append(inputs.prepare(drawn.pixels[:80], real, None, None, None, None))
    assert [case.train.dtype for case in cases] == [torch.uint8, torch.float32]
    for name in ("rest", "real", "held_out", "samples"):
        assert torch.equal(getattr(cases[0], name), getattr(cases[1], name))
    for search in (measures.CopySearch(case.train).among(case.rest) for case in cases):
        assert torch.equal(search.plain, measures.thumbnails(cases[1].train[cases[1].rest], 14))


def test_samples_of_0_and_1_are_black_and_white_if_the_bytes_are(drawn):
    bits = (drawn.pixels > 0).byte()
    real = Images(drawn.name, 255 * bits, drawn.labels, drawn.classes)
    case = inputs.prepare(bits[:80], real, None, None, None, None)
    assert case.samples.unique().tolist() == [-1, 1]
    assert "black and white" in case.notes[0]


@pytest.mark.parametrize(
    ("pixels", "word"),
    [(torch.full((80, 1, 28, 28), 9), "all the same"), (torch.randint(256, (80, 1, 4, 4)), "4×4 pixels")],
)
def test_bytes_are_checked_too(drawn, pixels, word):
    real = Images("some", pixels.byte(), torch.zeros(80, dtype=torch.int64), ("all",))
    with pytest.raises(BadInput, match=word):
        inputs.prepare(drawn.pixels[:80], real, None, None, None, None)


def test_fewer_large_images_are_examined():
    assert arrays.how_many(torch.zeros(1, 1, 28, 28)) == arrays.MAX_IMAGES
    assert 4000 <= arrays.how_many(torch.zeros(1, 3, 64, 64)) < 5000


def test_finite_samples_keep_their_labels(drawn):
    x = drawn.pixels[:100].clone()
    x[::2] = float("nan")
    case = prepare(drawn, x, labels=torch.arange(100))
    assert len(case.samples) == 50
    assert all(torch.equal(case.samples[i], x[label]) for i, label in enumerate(case.labels))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"samples": torch.zeros(5, 1, 28, 28)}, "5 samples"),
        ({"held_out": torch.rand(9, 1, 28, 28)}, "9 held-out"),
        ({"judge": 3}, "judge is a int: give a Classifier"),
        ({"judge": classifier.Classifier(shape=(3, 28, 28))}, r"judge takes images of shape \(3, 28, 28\)"),
        ({"labels": [1, 2]}, "the labels"),
        ({"real_labels": [1, 2]}, "the labels of the real images"),
    ],
)
def test_what_does_not_fit_is_named(drawn, options, word):
    with pytest.raises(BadInput, match=word):
        prepare(drawn, **options)


def test_feature_extractors_are_chosen_from_the_best_to_the_humblest(drawn):
    x, notes = drawn.pixels, []
    given = classifier.Classifier("mine", drawn.classes).eval()
    assert extractors.choose_extractor(drawn, x, drawn.labels, given, notes).name == "the classifier given"
    named = Images("strokes", x, drawn.labels, drawn.classes)
    assert "the shipped classifier of strokes" in extractors.choose_extractor(named, x, None, None, notes).name
    assert "look like its own" in extractors.choose_extractor(x, x, None, None, notes).name
    upside_down = x.flip(2)
    trained = extractors.choose_extractor(upside_down, upside_down, drawn.labels + 3, None, notes)
    assert "a classifier trained on the labels" in trained.name
    assert trained.labels == tuple(range(3, 13))
    predicted = trained.extract(upside_down).logits.argmax(1)
    assert (torch.tensor(trained.labels)[predicted] == drawn.labels + 3).double().mean() > 0.9
    humble = extractors.choose_extractor(upside_down, upside_down, None, None, notes)
    assert "random convolutions" in humble.name
    assert humble.extract(upside_down[:3]).logits is None
    assert notes == []
    lottery = torch.randint(10, (400,), generator=torch.Generator().manual_seed(0))
    assert "random" in extractors.choose_extractor(upside_down, upside_down, lottery, None, notes).name
    assert "could not tell their classes apart" in notes[0]


@pytest.mark.parametrize(
    ("make", "seen"),
    [
        (lambda x: x, lambda v: v / 127.5 - 1),
        (lambda x: x / np.float32(255), lambda v: v / 255),
        (lambda x: x / np.float32(127.5) - 1, lambda v: v / 127.5 - 1),
        (lambda x: x.astype(np.float32), lambda v: v),
    ],
    ids=["bytes", "[0, 1]", "[-1, 1]", "[0, 255]"],
)
def test_what_is_transparent_is_laid_on_white(make, seen):
    colour = torch.tensor([200.0, 40, 90])
    x = np.zeros((70, 8, 8, 4), np.uint8)  # black, and wholly transparent
    x[:, 4:, :, :3], x[:, 4:, :, 3] = colour.numpy(), 51
    x[:, 3] = 255
    notes = []
    laid = form(make(x), notes)
    torch.testing.assert_close(laid[0, :, 5, 4], seen(0.2 * colour + 0.8 * 255), atol=0.001, rtol=0)
    torch.testing.assert_close(laid[0, :, 0, 4], seen(torch.full((3,), 255.0)), atol=1e-5, rtol=0)
    assert "laid on white" in notes[1]
    x[..., 3] = 255
    assert form(make(x), notes).shape == (70, 3, 8, 8)
    assert "opaque" in notes[3]


@pytest.mark.parametrize("scale", [lambda x: x.byte(), lambda x: x / 255, lambda x: x / 127.5 - 1])
@pytest.mark.parametrize("real_scale", [lambda x: x.byte(), lambda x: x / 127.5 - 1])
def test_transparent_real_images_are_laid_on_black_if_the_samples_are(scale, real_scale):
    rng = torch.Generator().manual_seed(0)
    colour = torch.randint(60, 200, (240, 3, 16, 16), generator=rng).float()
    opacity = torch.zeros(240, 1, 16, 16)
    opacity[:, :, 4:12, 4:12] = 255
    real, shape = torch.cat([colour, opacity], 1)[:160], opacity[160:] / 255
    for ground, name in ((0, "black, because the samples look so"), (255, "white"), (128, "white")):
        samples = colour[160:] * shape + ground * (1 - shape)
        case = inputs.prepare(scale(samples), real_scale(real), None, None, None, None)
        assert f"The real images are transparent in parts and were laid on {name}." in case.notes
        corner = inputs.floats(case.train)[:, :, 0, 0]
        assert corner.min().item() == corner.max().item() == (-1 if ground == 0 else 1)


def test_flat_images_are_unfolded_by_their_colour(drawn):
    x = drawn.pixels[:70]
    assert torch.equal(form(x.flatten(1)), x)
    ramp = torch.linspace(-1, 1, 16).expand(70, 16, 16)
    coloured = torch.stack([ramp, -ramp, ramp * 0], 1)  # (70, 3, 16, 16)
    assert torch.equal(form(coloured.flatten(1)), coloured)
    assert torch.equal(form(coloured.permute(0, 2, 3, 1).flatten(1)), coloured)
    for bad in (torch.zeros(70, 65), torch.zeros(64, 64)):
        with pytest.raises(BadInput, match="have the shape"):
            form(bad)


@pytest.mark.parametrize(
    ("make_real", "make_samples", "alike"),
    [
        (lambda x: (x + 1) / 2, lambda x: (x + 1) / 2, True),
        (lambda x: (x + 1) / 2, lambda x: (x + 1) * 0.55 - 0.05, False),  # on the same scale, a little beyond it
        (lambda x: (x + 1) * 127.5, lambda x: (x + 1) * 127.5, True),
        (lambda x: ((x + 1) * 127.5).round().byte(), lambda x: (x + 1) * 127.5, True),
        (lambda x: (x + 1) / 2, lambda x: x, True),
        (lambda x: x > 0, lambda x: (x + 1) / 2, True),  # a sigmoid's, where the data are black and white
        (lambda x: (x > 0).numpy(), lambda x: (x + 1) / 2, True),
        (lambda x: (x > 0).byte(), lambda x: (x + 1) / 2, True),
        (lambda x: x > 0, lambda x: x, True),
    ],
)
def test_both_sides_on_one_scale_are_read_alike(drawn, make_real, make_samples, alike):
    case = inputs.prepare(make_samples(drawn.pixels[:80]), make_real(drawn.pixels), None, None, None, None)
    torch.manual_seed(0)
    low, high = case.samples.min().item(), case.samples.max().item()
    assert (low, high) == (pytest.approx(-1), pytest.approx(1)) if alike else (pytest.approx(-1.1), pytest.approx(1.1))


@pytest.mark.parametrize("make", [lambda x: (x + 1) / 2, lambda x: (x + 1) * 127.5])
def test_samples_on_another_scale_keep_their_values(drawn, make):
    x = make(drawn.pixels[:80])
    for real in (drawn, drawn.pixels):
        assert inputs.prepare(x, real, None, None, None, None).samples.max() == x.max()
    if x.max() <= 1:
        real = ((drawn.pixels + 1) * 127.5).round().byte()
        assert inputs.prepare(x, real, None, None, None, None).samples.min() == 0


def named(images, classes):
    return Images("some", images.stored, images.labels % len(classes), tuple(classes))


def test_classes_are_matched_by_name(drawn):
    few, notes, left_open = named(drawn, ["b", "c"]), [], []
    real = named(drawn, ["a", "b", "c"])
    assert torch.equal(classes.match_names(few, real, None, None, notes, left_open), few.labels + 1)
    assert notes == ["Of the classes of the real images the samples lack a."]
    assert classes.match_names(named(drawn, "01"), real, None, None, notes, left_open) is None
    assert "classes of the samples are 0, 1, but those of the real images are a, b, c" in left_open[0]
    numbers = named(drawn, ["0", "1", "10", "2"])  # in the order of the alphabet
    assert classes.match_names(drawn.pixels, numbers, torch.tensor([10, 2, 0]), None, notes, left_open).tolist() == [
        2,
        3,
        0,
    ]
    assert torch.equal(
        classes.match_names(named(drawn, "01"), drawn.pixels, None, drawn.labels, [], []), drawn.labels % 2
    )


def test_labels_may_be_names(drawn):
    real, notes, left_open = named(drawn, ["cat", "dog", "newt"]), [], []
    words = np.array(real.classes)[real.labels]
    assert torch.equal(classes.match_names(drawn.pixels, real, words, None, notes, left_open), real.labels)
    assert torch.equal(
        classes.match_names(drawn.pixels, drawn.pixels, words[:, None], words, notes, left_open), real.labels
    )
    assert torch.equal(classes.match_names(real, drawn.pixels, None, words, notes, left_open), real.labels)
    assert notes == []
    assert classes.match_names(drawn.pixels, real, list(np.char.upper(words)), None, notes, left_open) is None
    assert "classes of the samples are CAT, DOG, NEWT, but those of the real images are cat, dog, newt" in left_open[0]
    assert classes.match_names(drawn.pixels, drawn.pixels, words, None, notes, left_open) is None
    assert "the real images have none" in left_open[1]
    case = prepare(drawn, real_labels=np.array(list("abcdefghij"))[drawn.labels], labels=["c"] * 80)
    assert case.labels.tolist() == [2] * 80
    assert any("numbered from 0 in the order a, b, c, …, j" in note for note in case.notes)


def test_a_trained_classifier_knows_the_names(drawn):
    upside_down = Images("some", drawn.pixels.flip(2), drawn.labels, tuple("abcdefghij"))
    found = extractors.choose_extractor(upside_down, upside_down.pixels, drawn.labels, None, [])
    assert found.classes == tuple("abcdefghij")
