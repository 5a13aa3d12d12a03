from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from boneage.errors import UnsuitableRadiograph
from boneage.radiograph import SMALLEST_SIDE, Radiograph
from boneage.remarks import Remark

RAMP: npt.NDArray[np.uint16] = np.arange(10000, dtype=np.uint16).reshape(100, 100)


def test_window_by_hand() -> None:
    # The percentiles .5 and 99.5 of 0..9999 are 49.995 and 9949.005.
    pixels = Radiograph.from_values(RAMP).pixels
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    np.testing.assert_allclose(pixels, np.clip((RAMP - 49.995) / 9899.01, 0, 1), atol=1e-6)


def test_dark_bones_are_inverted() -> None:
    turned = Radiograph.from_values(9999 - RAMP.astype(int), bones_dark=True).pixels
    np.testing.assert_allclose(turned, Radiograph.from_values(RAMP).pixels, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float16, np.float64, bool])
def test_any_real_type(dtype: type[np.generic]) -> None:
    values = (np.indices((70, 80)).sum(0) % 2).astype(dtype)
    assert set(np.unique(Radiograph.from_values(values).pixels)) == {0.0, 1.0}


def test_range_does_not_matter() -> None:
    expected = Radiograph.from_values(RAMP).pixels
    np.testing.assert_allclose(Radiograph.from_values(RAMP * 0.25 - 3.0).pixels, expected, atol=1e-5)


def test_bright_spot_on_black_is_kept() -> None:
    # 16 of 10000 pixels: less than half a percent, the window would see nothing.
    values = np.zeros((100, 100), dtype=np.uint8)
    values[:4, :4] = 9
    pixels = Radiograph.from_values(values).pixels
    assert pixels.sum() == 16.0


def test_outliers_do_not_dim_the_image() -> None:
    values = RAMP.astype(np.float32)
    values[0, 0] = 1e9
    assert Radiograph.from_values(values).pixels[50, 50] == pytest.approx(0.505, abs=0.01)


@pytest.mark.parametrize(("bright", "gray"), [(40, 1.0), (60, 0.5)])
def test_the_window_leaves_out_half_a_percent(bright: int, gray: float) -> None:
    # 10,000 pixels, half of them 0 and half 100, some of these 200. The 99.5th percentile is the value of rank 9,949:
    # of 40 bright pixels the first has rank 9,960, of 60 it has 9,940. So the window ends at 100, or at 200.
    values = np.repeat([0.0, 100.0, 200.0], [5000, 5000 - bright, bright]).reshape(100, 100)
    pixels = Radiograph.from_values(values).pixels
    assert pixels[60, 0] == gray
    assert pixels[99, 99] == 1.0
    # The same at the dark end: rank 49.995 of the inverted values.
    turned = Radiograph.from_values(200.0 - values).pixels
    assert turned[60, 0] == 1.0 - gray


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.zeros((80, 80)), "uniform_image"),
        (np.full((80, 80), 7), "uniform_image"),
        (np.eye(10), "too_small"),
        (np.eye(SMALLEST_SIDE - 1, 500), "too_small"),
        (np.zeros((80, 80, 3)), "wrong_shape"),
        (np.zeros((0, 0)), "too_small"),
        (np.where(np.eye(80) > 0, np.nan, 1.0), "non_finite_values"),
        (np.where(np.eye(80) > 0, np.inf, 1.0), "non_finite_values"),
    ],
)
def test_refused_with_the_file_named(values: npt.NDArray[np.generic], code: str) -> None:
    with pytest.raises(UnsuitableRadiograph) as raised:
        Radiograph.from_values(values, file="a.png")
    assert raised.value.code == code
    assert str(raised.value).startswith("a.png: ")
    assert raised.value.remedy


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_the_values_that_are_given_stay_as_they_are(dtype: type[np.generic]) -> None:
    values = np.add.outer(np.arange(80), np.arange(90)).astype(dtype)
    before = values.copy()
    pixels = Radiograph.from_values(values, bones_dark=True).pixels
    np.testing.assert_array_equal(values, before)
    np.testing.assert_allclose(pixels, Radiograph.from_values(values.astype(np.float64), bones_dark=True).pixels)


def test_smallest_side_is_enough() -> None:
    assert Radiograph.from_values(np.eye(SMALLEST_SIDE)).height == SMALLEST_SIDE


DARK = Remark.of("first_page", "The first page was read.")


def test_header_is_kept(tmp_path: Path) -> None:
    radiograph = Radiograph.from_values(
        RAMP[:80], file=str(tmp_path), laterality="left", spacing_mm=(0.1, 0.2), source="PNG", remarks=(DARK,)
    )
    assert (radiograph.height, radiograph.width) == (80, 100)
    assert (radiograph.file, radiograph.laterality, radiograph.spacing_mm) == (str(tmp_path), "left", (0.1, 0.2))
    assert (radiograph.source, radiograph.remarks, radiograph.sex) == ("PNG", (DARK,), None)


class TestImage:
    def test_own_resolution(self) -> None:
        radiograph = Radiograph.from_values(RAMP)
        image = radiograph.image()
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, np.rint(radiograph.pixels * 255))

    def test_never_enlarged(self) -> None:
        assert Radiograph.from_values(RAMP).image(300).shape == (100, 100)

    @pytest.mark.parametrize(
        ("shape", "expected"), [((200, 100), (128, 64)), ((100, 333), (64, 213)), ((128, 128), (64, 64))]
    )
    def test_short_side_and_aspect(self, shape: tuple[int, int], expected: tuple[int, int]) -> None:
        values = np.random.default_rng(0).random(shape)
        assert Radiograph.from_values(values).image(64).shape == expected

    def test_shrinking_by_two_averages_with_a_triangle(self) -> None:
        # For the image's centre at 3 the pixels at 1.5, 2.5, 3.5 and 4.5 weigh 1/8, 3/8, 3/8, 1/8; for the one at 5 the
        # pixel at 3.5 weighs 1/8; those at 1 and 7 do not reach it. 255 * 3/8 = 95.6 and 255 / 8 = 31.9, rounded.
        pixels = np.zeros((8, 8), dtype=np.float32)
        pixels[:, 3] = 1.0
        np.testing.assert_array_equal(Radiograph(pixels).image(4), [[0, 96, 32, 0]] * 4)

    def test_gray_values_are_rounded_not_cut_off(self) -> None:
        # 255 times .11, .6 and .998 is 28.05, 153 and 254.49; times .999 it is 254.745.
        pixels = np.full((5, 4), [0.11, 0.6, 0.998, 0.999], dtype=np.float32)
        np.testing.assert_array_equal(Radiograph(pixels).image(), [[28, 153, 254, 255]] * 5)

    def test_points_keep_their_relative_position(self) -> None:
        values = np.zeros((200, 400))
        values[:, 300:] = 1.0
        image = Radiograph.from_values(values).image(100)
        assert image.shape == (100, 200)
        assert (image[:, 151:] == 255).all()
        assert (image[:, :149] == 0).all()

    def test_does_not_overshoot_or_touch_the_pixels(self) -> None:
        radiograph = Radiograph.from_values(np.random.default_rng(1).random((300, 150)))
        before = radiograph.pixels.copy()
        radiograph.image(70)
        np.testing.assert_array_equal(radiograph.pixels, before)
