"""The middle of large pictures, pixel by pixel."""

import numpy as np
import pytest
from PIL import Image

from gantutor import data


@pytest.fixture
def pictures(tmp_path):
    r = np.random.default_rng(0)
    made = r.integers(0, 256, (6, 90, 100, 3), dtype=np.uint8)
    for i, picture in enumerate(made):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path, made


def test_the_middle_is_the_file_pixel_by_pixel(pictures):
    path, made = pictures
    middle = made[:, 13 : 13 + 64, 18 : 18 + 64].transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(data.closeups(path).numpy(), middle)
    assert len(data.closeups(path, count=3)) == 3
    assert data.closeups(path, grey=True).shape == (6, 1, 64, 64)


def test_small_pictures_and_pictures_of_several_sizes_have_none(pictures):
    path, _ = pictures
    assert data.closeups(path, side=90) is None
    Image.new("RGB", (200, 180)).save(path / "large.png")
    assert data.closeups(path) is None
