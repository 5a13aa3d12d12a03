from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from boneage.errors import UnsuitableRadiograph
from boneage.radiograph import SMALLEST_SIDE, Radiograph

RAMP: npt.NDArray[np.uint16] = np.arange(10000, dtype=np.uint16).reshape(100, 100)


def test_window_by_hand() -> None:
    # The percentiles .5 and 99.5 of 0..9999 are 49.995 and 9949.005.
    pixels = Radiograph.from_values(RAMP).pixels
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    np.testing.assert_allclose(pixels, np.clip((RAMP - 49.995) / 9899.01, 0, 1), atol=1e-6)


def test_bones_dark_turns_round() -> None:
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


def test_outliers_do_not_dim_the_film() -> None:
    values = RAMP.astype(np.float32)
    values[0, 0] = 1e9
    assert Radiograph.from_values(values).pixels[50, 50] == pytest.approx(0.505, abs=0.01)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((80, 80)), "one gray value"),
        (np.full((80, 80), 7), "one gray value"),
        (np.eye(10), "10x10"),
        (np.eye(SMALLEST_SIDE - 1, 500), "500x63"),
        (np.zeros((80, 80, 3)), "height x width"),
        (np.zeros((0, 0)), "too small"),
        (np.where(np.eye(80) > 0, np.nan, 1.0), "no numbers"),
        (np.where(np.eye(80) > 0, np.inf, 1.0), "no numbers"),
    ],
)
def test_refused_with_the_file_named(values: npt.NDArray[np.generic], said: str) -> None:
    with pytest.raises(UnsuitableRadiograph, match=said) as caught:
        Radiograph.from_values(values, file="a.png")
    assert str(caught.value).startswith("a.png: ")
    assert caught.value.remedy


def test_smallest_side_is_enough() -> None:
    assert Radiograph.from_values(np.eye(SMALLEST_SIDE)).height == SMALLEST_SIDE


def test_header_is_kept(tmp_path: Path) -> None:
    radiograph = Radiograph.from_values(
        RAMP[:80], file=str(tmp_path), laterality="left", spacing_mm=(0.1, 0.2), source="PNG", warnings=("a",)
    )
    assert (radiograph.height, radiograph.width) == (80, 100)
    assert (radiograph.file, radiograph.laterality, radiograph.spacing_mm) == (str(tmp_path), "left", (0.1, 0.2))
    assert (radiograph.source, radiograph.warnings, radiograph.sex) == ("PNG", ("a",), None)


class TestFilm:
    def test_own_resolution(self) -> None:
        radiograph = Radiograph.from_values(RAMP)
        film = radiograph.film()
        assert film.dtype == np.uint8
        np.testing.assert_array_equal(film, np.rint(radiograph.pixels * 255))

    def test_never_enlarged(self) -> None:
        assert Radiograph.from_values(RAMP).film(300).shape == (100, 100)

    @pytest.mark.parametrize(
        ("shape", "expected"), [((200, 100), (128, 64)), ((100, 333), (64, 213)), ((128, 128), (64, 64))]
    )
    def test_short_side_and_aspect(self, shape: tuple[int, int], expected: tuple[int, int]) -> None:
        values = np.random.default_rng(0).random(shape)
        assert Radiograph.from_values(values).film(64).shape == expected

    def test_places_keep_their_share_of_the_film(self) -> None:
        values = np.zeros((200, 400))
        values[:, 300:] = 1.0
        film = Radiograph.from_values(values).film(100)
        assert film.shape == (100, 200)
        assert (film[:, 151:] == 255).all()
        assert (film[:, :149] == 0).all()

    def test_does_not_overshoot_or_touch_the_pixels(self) -> None:
        radiograph = Radiograph.from_values(np.random.default_rng(1).random((300, 150)))
        before = radiograph.pixels.copy()
        radiograph.film(70)
        np.testing.assert_array_equal(radiograph.pixels, before)
