"""Canonical orientation: rotation, inversion, and boxes and maps that come back to the radiograph as given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from boneage.assessment import Attention
from boneage.pipeline.orientation import Orientation
from boneage.radiograph import Radiograph
from boneage.regions import Box


def test_what_a_reader_is_told() -> None:
    assert [remark.code for remark in Orientation(3, 0.0, True).remarks] == ["rotated", "inverted"]
    assert "by 90 degrees counter-clockwise" in Orientation(3, 0.0, True).remarks[0].text
    assert "by 130 degrees clockwise" in Orientation(0, 130.4).remarks[0].text
    assert Orientation().remarks == ()


def hand_with_box(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    pixels = np.zeros((height, width), np.float32)
    x0, y0, x1, y1 = box
    pixels[y0:y1, x0:x1] = 1.0
    return pixels


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3), st.integers(64, 90), st.integers(64, 90), st.booleans())
def test_boxes_come_back_exactly_after_quarters(quarters: int, height: int, width: int, inverted: bool) -> None:
    standing = hand_with_box(height, width, (10, 20, 31, 28))
    given_ = np.ascontiguousarray(np.rot90(standing, quarters))
    rotated, inverse = Orientation(quarters, 0.0, inverted).apply(Radiograph(1 - given_ if inverted else given_))
    assert np.array_equal(rotated.pixels, standing)
    x0, y0, x1, y1 = (round(value) for value in inverse.box(Box(10, 20, 31, 28)).as_list())
    assert given_[y0:y1, x0:x1].all()
    assert (y1 - y0) * (x1 - x0) == given_.sum()


@pytest.mark.parametrize("degrees", [33.0, -70.0, 150.0])
def test_boxes_come_back_around_the_place_after_any_rotation(degrees: float) -> None:
    y, x = np.mgrid[:300, :200] + 0.5
    ellipse = np.float32(((x - 125) / 25) ** 2 + ((y - 50) / 10) ** 2 <= 1)
    given_ = np.asarray(Image.fromarray(ellipse).rotate(degrees, Image.Resampling.BILINEAR, expand=True))
    rotated, inverse = Orientation(0, degrees).apply(Radiograph(given_))
    rows, columns = np.nonzero(rotated.pixels > 0.5)
    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (pytest.approx(50, abs=2), pytest.approx(20, abs=2))
    found = inverse.box(Box(columns.min(), rows.min(), columns.max() + 1.0, rows.max() + 1.0))
    rows, columns = np.nonzero(given_ > 0.5)
    assert found.as_list() == pytest.approx([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], abs=2.5)


@pytest.mark.parametrize("orientation", [Orientation(1), Orientation(2), Orientation(3), Orientation(0, 40.0)])
def test_attention_comes_back_over_the_same_place(orientation: Orientation) -> None:
    map_ = np.zeros((20, 20), np.float32)
    map_[4:6, 14:16] = 1.0
    _, inverse = orientation.apply(Radiograph(np.ones((120, 120), np.float32)))
    whole = Box(0.0, 0.0, *(float(side - 2 * at) for side, at in zip(inverse.rotated, inverse.corner, strict=True)))
    seen = inverse.attention(Attention(map_, whole))
    row, column = np.unravel_index(int(seen.map.argmax()), seen.map.shape)
    x = seen.box.x0 + (column + 0.5) / 20 * seen.box.width
    y = seen.box.y0 + (row + 0.5) / 20 * seen.box.height
    (there,) = inverse.points([(15 / 20 * whole.width, 5 / 20 * whole.height)])
    assert (x, y) == (pytest.approx(there[0], abs=9), pytest.approx(there[1], abs=9))


def test_an_almost_black_radiograph_is_not_trimmed_away() -> None:
    dark, _ = Orientation(0, 30.0).apply(Radiograph(np.zeros((100, 80), np.float32)))
    assert min(dark.pixels.shape) >= 80
    spot = np.zeros((200, 200), np.float32)
    spot[90:95, 90:95] = 1.0
    marked, inverse = Orientation(0, 30.0).apply(Radiograph(spot))
    assert min(marked.pixels.shape) >= 200
    off = inverse.box(Box(0.0, 0.0, 4.0, 4.0))
    assert 0 <= off.x0 < off.x1 <= 200
    assert 0 <= off.y0 < off.y1 <= 200
