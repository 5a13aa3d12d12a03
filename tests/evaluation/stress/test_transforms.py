"""Every transform on a picture of a few pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from boneage.ages import Sex
from boneage.errors import UnsuitableRadiograph
from boneage.evaluation import TRANSFORMS, stressed
from boneage.evaluation.stress import transforms as made
from boneage.radiograph import Radiograph
from boneage.regions import Box

TWO_ROWS = np.array([[0.0, 0.25, 0.5], [0.5, 0.75, 1.0]], dtype=np.float32)
HAND = Box(0, 0, 1, 1)


def chance(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def same(picture: npt.NDArray[np.float32], expected: list[list[float]]) -> None:
    assert picture.dtype == np.float32
    np.testing.assert_allclose(picture, np.array(expected), atol=1e-6)


def test_quarter_turns_are_exact_and_counter_clockwise() -> None:
    same(made.rotated(TWO_ROWS, 90), [[0.5, 1.0], [0.25, 0.75], [0.0, 0.5]])
    same(made.rotated(TWO_ROWS, -90), [[0.5, 0.0], [0.75, 0.25], [1.0, 0.5]])
    same(made.rotated(TWO_ROWS, 180), [[1.0, 0.75, 0.5], [0.5, 0.25, 0.0]])


def test_other_turns_lose_no_corner_and_are_black_around() -> None:
    image = np.zeros((40, 40), dtype=np.float32)
    image[:4, :4] = 1.0
    turned = made.rotated(image, 45)
    assert turned.shape[0] > 55
    assert turned.shape[1] > 55
    assert turned[0, 0] == turned[-1, -1] == 0.0
    assert turned.sum() == pytest.approx(16, abs=1.5)
    # Counter-clockwise, the upper left corner comes to lie at the left.
    assert turned[:, : turned.shape[1] // 4].sum() > 14


def test_mirror_and_inversion() -> None:
    same(made.flipped(TWO_ROWS), [[0.5, 0.25, 0.0], [1.0, 0.75, 0.5]])
    same(made.inverted(TWO_ROWS), [[1.0, 0.75, 0.5], [0.5, 0.25, 0.0]])


def test_gray_values() -> None:
    same(made.brightened(TWO_ROWS, 0.2), [[0.2, 0.45, 0.7], [0.7, 0.95, 1.0]])
    same(made.brightened(TWO_ROWS, -0.3), [[0.0, 0.0, 0.2], [0.2, 0.45, 0.7]])
    same(made.contrasted(TWO_ROWS, 0.6), [[0.2, 0.35, 0.5], [0.5, 0.65, 0.8]])
    same(made.contrasted(TWO_ROWS, 1.6), [[0.0, 0.1, 0.5], [0.5, 0.9, 1.0]])
    same(made.gamma_corrected(TWO_ROWS, 2.0), [[0.0, 0.0625, 0.25], [0.25, 0.5625, 1.0]])


def test_resolution() -> None:
    stripes = np.tile(np.array([0.0, 1.0], dtype=np.float32), (8, 4))
    coarse = made.resampled(stripes, 2)
    assert coarse.shape == stripes.shape
    assert coarse.std() < 0.25 * stripes.std()
    same(made.resampled(np.full((6, 6), 0.4, np.float32), 3), [[0.4] * 6] * 6)


def test_noise_has_the_strength_that_it_says() -> None:
    gray = np.full((100, 100), 0.5, dtype=np.float32)
    assert made.noisy(gray, 0.05, chance()).std() == pytest.approx(0.05, rel=0.05)
    assert made.noisy(np.ones((9, 9), np.float32), 0.05, chance()).max() == 1.0


def test_jpeg_is_worse_at_lower_quality() -> None:
    image = chance(1).random((64, 64), dtype=np.float32)
    errors = [np.abs(made.jpeg(image, quality) - image).mean() for quality in (90, 30, 10)]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_borders() -> None:
    same(made.bordered(np.ones((2, 2), np.float32), 0.5), [[0] * 4, [0, 1, 1, 0], [0, 1, 1, 0], [0] * 4])
    image = np.arange(100, dtype=np.float32).reshape(10, 10) / 100
    same(made.cropped(image, 0.4), [[0.44, 0.45], [0.54, 0.55]])


def test_shifts_go_where_the_hand_has_room() -> None:
    left, right = Box(0, 0, 1, 2), Box(2, 0, 3, 2)
    same(made.shifted(TWO_ROWS, left, 1 / 3, 1), [[0.0, 0.0, 0.25], [0.0, 0.5, 0.75]])
    same(made.shifted(TWO_ROWS, right, 1 / 3, 1), [[0.25, 0.5, 0.0], [0.75, 1.0, 0.0]])
    same(made.shifted(TWO_ROWS, Box(0, 1, 3, 2), 0.5, 0), [[0.5, 0.75, 1.0], [0.0, 0.0, 0.0]])
    same(made.shifted(TWO_ROWS, Box(0, 0, 3, 1), 0.5, 0), [[0.0, 0.0, 0.0], [0.0, 0.25, 0.5]])


def test_the_mask_leaves_the_hand_and_gives_the_rest_its_median() -> None:
    image = np.full((10, 10), 0.1, dtype=np.float32)
    image[0, 0:3] = 1.0  # a marker
    image[4:6, 4:6] = 0.8  # the hand
    masked = made.masked_outside(image, Box(4, 4, 6, 6), margin=1.0)
    expected = np.full((10, 10), 0.1, dtype=np.float32)
    expected[4:6, 4:6] = 0.8
    np.testing.assert_array_equal(masked, expected)
    assert image[0, 0] == 1.0
    # A marker inside the widened box stays, and with the whole image as hand nothing is masked.
    image[3, 3] = 0.9
    assert made.masked_outside(image, Box(4, 4, 6, 6), margin=1.0)[3, 3] == np.float32(0.9)
    np.testing.assert_array_equal(made.masked_outside(image, Box(0, 0, 10, 10)), image)


def test_markers_go_to_the_corner_that_is_free() -> None:
    image = np.zeros((100, 100), dtype=np.float32)
    hand = Box(0, 0, 100, 70)
    hand_but_lower_right = Box(0, 0, 70, 100)
    for block in (made.with_letter, made.with_label):
        marked = block(image, hand, chance())
        assert marked.max() == 1.0
        assert marked[:70].max() == 0.0
        assert block(image, hand_but_lower_right, chance())[:, :70].max() == 0.0
    corners = {made.free_corner((100, 100), (20, 10), Box(45, 45, 55, 55), chance(seed)) for seed in range(40)}
    assert corners == {(2, 2), (2, 88), (78, 2), (78, 88)}


def test_the_suite() -> None:
    names = [transform.name for transform in TRANSFORMS]
    assert len(set(names)) == len(names)
    assert names[-1] == made.MASKED
    image = chance(3).random((70, 66), dtype=np.float32)
    radiograph = Radiograph(image, file="a.png", sex=Sex.MALE, phantom=True)
    hand = Box(10, 10, 50, 60)
    for transform in TRANSFORMS:
        if transform.name == "border_narrower":
            continue
        once, again = (stressed(radiograph, transform, hand, "7") for _ in range(2))
        np.testing.assert_array_equal(once.pixels, again.pixels)
        assert once.pixels.dtype == np.float32
        assert 0.0 <= once.pixels.min() <= once.pixels.max() <= 1.0
        assert (once.file, once.sex, once.phantom) == ("a.png", Sex.MALE, True)
    np.testing.assert_array_equal(radiograph.pixels, image)


def test_chance_depends_on_the_case() -> None:
    radiograph = Radiograph(chance(3).random((80, 80), dtype=np.float32))
    any_angle = next(transform for transform in TRANSFORMS if transform.name == "rotate_any")
    one, other = (stressed(radiograph, any_angle, HAND, case).pixels.shape for case in ("1", "2"))
    assert one != other


def test_too_little_of_the_image_is_left() -> None:
    narrower = next(transform for transform in TRANSFORMS if transform.name == "border_narrower")
    with pytest.raises(UnsuitableRadiograph) as caught:
        stressed(Radiograph(chance().random((66, 66), dtype=np.float32)), narrower, HAND, "1")
    assert caught.value.code == "too_small"
