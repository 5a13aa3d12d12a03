"""Collimation, padding, a small hand and a long forearm, on pictures of a few pixels."""

from __future__ import annotations

import numpy as np
import pytest

from boneage.evaluation.stress.fields import (
    Moved,
    background_of,
    collimate,
    field_around,
    lengthen_forearm,
    pad,
    zoom_out,
)
from boneage.regions import Box

HALF = np.full((100, 80), 0.5, dtype=np.float32)


def chance(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_outside_a_field_everything_has_its_level() -> None:
    made = collimate(HALF, Box(20, 30, 60, 70), level=1.5, scatter=0.0)
    assert made.dtype == np.float32
    assert (made[31:69, 21:59] == 0.5).all()
    assert (made[:29] == 1.5).all()
    assert (made[:, 61:] == 1.5).all()
    # Through lead only a share of the contrast is left.
    image = HALF.copy()
    image[0, 0] = 1.0
    assert collimate(image, Box(20, 30, 60, 70), level=0.8, scatter=0.1)[0, 0] == pytest.approx(0.85)
    assert collimate(image, Box(20, 30, 60, 70), level=0.0, scatter=0.1)[0, 0] == pytest.approx(0.1)


def test_a_tilted_field_keeps_its_area_and_turns_counter_clockwise() -> None:
    made = collimate(HALF, Box(20, 40, 60, 60), level=0.0, degrees=30.0, scatter=0.0) > 0.25
    assert made.sum() == pytest.approx(800, rel=0.02)
    right, left = made[:, 52:].nonzero()[0].mean(), made[:, :28].nonzero()[0].mean()
    assert right < 50 < left
    quarter = collimate(HALF, Box(20, 40, 60, 60), level=0.0, degrees=90.0, scatter=0.0) > 0.25
    assert quarter.any(axis=1).sum() == pytest.approx(40, abs=1)


def test_a_field_lies_around_the_hand_and_inside_the_image() -> None:
    assert field_around(Box(20, 30, 60, 80), (100, 80), (0.1, 0.2, 0.25, 0.1)) == Box(16, 20, 70, 85)
    assert field_around(Box(20, 30, 60, 80), (100, 80), (1, 1, 1, 1)) == Box(0, 0, 80, 100)


def test_padding_moves_boxes_with_the_image() -> None:
    moved = pad(HALF, (1, 2, 3, 4), level=0.25)
    assert moved.image.shape == (106, 84)
    assert (moved.image[2:102, 1:81] == 0.5).all()
    assert moved.image.sum() == pytest.approx(HALF.sum() + 0.25 * (106 * 84 - 8000))
    assert moved.follow(Box(10, 20, 30, 40)) == Box(11, 22, 31, 42)
    assert Moved(HALF, 0.5, 3.0, 4.0).follow(Box(10, 20, 30, 40)) == Box(8, 14, 18, 24)


@pytest.mark.parametrize("across", [0.0, 0.3, 1.0])
def test_a_small_hand_keeps_the_canvas_and_stands_on_its_lower_edge(across: float) -> None:
    image = np.full((100, 80), 0.1, dtype=np.float32)
    image[40:, 30:50] = 0.9
    moved = zoom_out(image, 0.5, chance(), across=across)
    assert (moved.image.shape, moved.image.dtype) == ((100, 80), np.float32)
    assert (moved.x, moved.y) == (round(40 * across), 50)
    box = moved.follow(Box(30, 40, 50, 100))
    assert box == Box(moved.x + 15, 70, moved.x + 25, 100)
    bright = moved.image > 0.5
    assert bright.sum() == pytest.approx(box.area, rel=0.02)
    assert bright[72:, int(box.x0) + 1 : int(box.x1) - 1].all()
    assert np.median(moved.image) == pytest.approx(0.1, abs=0.02)


def test_a_marker_at_the_edge_does_not_go_on_over_the_new_field() -> None:
    image = np.full((100, 80), 0.1, dtype=np.float32)
    image[20:30, :20] = 1.0
    assert zoom_out(image, 0.5, chance(), across=1.0).image[:, :36].max() < 0.2


def test_the_background_is_the_air_not_the_hand_nor_a_bright_edge() -> None:
    image = np.full((100, 80), 0.1, dtype=np.float32)
    image[40:, 20:60] = 0.9
    image[:, -1] = 1.0
    assert background_of(image) == pytest.approx(0.1)


def test_a_long_forearm_goes_on_below_and_leaves_the_hand_in_place() -> None:
    image = np.full((100, 80), 0.1, dtype=np.float32)
    image[:, 30:50] = 0.9
    image[:70, 10:70] = 0.6
    made = lengthen_forearm(image, Box(10, 0, 70, 75), share=0.5, rng=chance())
    assert (made.shape, made.dtype) == ((150, 80), np.float32)
    np.testing.assert_array_equal(made[:75], image[:75])
    np.testing.assert_allclose(made[75:], np.broadcast_to(image[-1], (75, 80)), atol=0.02)
    np.testing.assert_array_equal(lengthen_forearm(image, Box(10, 0, 70, 75), share=0.0, rng=chance()), image)


def test_the_stretch_begins_gently() -> None:
    ramp = np.repeat(np.linspace(0.0, 1.0, 100, dtype=np.float32)[:, None], 80, axis=1)
    made = lengthen_forearm(ramp, Box(0, 0, 80, 70), share=0.3, rng=chance())[:, 40]
    steps = np.diff(made[68:])
    assert steps[0] == pytest.approx(1 / 99, rel=0.02)
    assert steps[3] == pytest.approx(1 / 99, rel=0.25)
    assert made[-1] == pytest.approx(1.0, abs=0.02)


def test_a_hand_that_fills_the_image_still_gets_a_forearm() -> None:
    assert lengthen_forearm(HALF, Box(0, 0, 80, 100), share=0.4, rng=chance()).shape == (140, 80)
