"""Plates, text and rulers on pictures of a few pixels."""

from __future__ import annotations

import numpy as np
import pytest

from boneage.evaluation.stress.overlays import (
    EDGES,
    Edge,
    draw_patient_line,
    draw_plate,
    draw_plates,
    draw_ruler,
    draw_text,
    place_block,
)
from boneage.regions import Box

BLACK = np.zeros((200, 160), dtype=np.float32)
HAND = Box(40, 10, 120, 140)


def chance(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("area", [0.01, 0.04, 0.12])
@pytest.mark.parametrize("seed", range(6))
def test_plates_cover_the_area_that_was_asked_for(area: float, seed: int) -> None:
    count = 1 if area < 0.1 else 3
    drawn = draw_plates(BLACK, HAND, chance(seed), area=area, level=1.5, count=count)
    assert (drawn.dtype, drawn.shape) == (np.float32, BLACK.shape)
    assert drawn.max() <= 1.5 + 1e-6
    assert (drawn > 0).mean() == pytest.approx(area, rel=0.2)
    assert BLACK.max() == 0.0


def test_a_plate_is_its_level_and_its_letters_are_of_the_other_kind() -> None:
    ground, letters = draw_plate((40, 20), 0.0, chance())
    assert ground.shape == letters.shape == (20, 40)
    assert ground[10, 1] == 1.0
    assert 0.02 < letters.mean() < 0.5
    gray = np.full_like(BLACK, 0.5)
    dark = draw_plates(gray, HAND, chance(), area=0.05, level=0.0)
    assert dark.min() == 0.0
    assert 0.5 < dark.max() <= 0.66


def test_a_tilted_plate_is_larger_than_its_sides_and_keeps_its_area() -> None:
    ground, _ = draw_plate((40, 20), 25.0, chance(3))
    assert ground.shape[0] > 20
    assert ground.sum() == pytest.approx(800, rel=0.05)


def test_blocks_go_where_nothing_is_hidden() -> None:
    image = BLACK.copy()
    image[:140, 40:120] = 1.0
    for seed in range(10):
        row, column = place_block(image, (20, 30), hand=HAND, rng=chance(seed), site="beside")
        assert image[row : row + 20, column : column + 30].max() == 0.0
        row, column = place_block(image, (20, 30), hand=HAND, rng=chance(seed), site="forearm")
        assert row >= 140
        assert 20 <= column <= 110
    # A hand that reaches the lower edge leaves no forearm: the block goes beside it.
    row, column = place_block(image, (20, 30), hand=Box(40, 10, 120, 195), rng=chance(), site="forearm")
    assert image[row : row + 20, column : column + 30].max() == 0.0
    places = {place_block(image, (20, 30), hand=HAND, rng=chance(seed), site="anywhere") for seed in range(30)}
    assert any(row < 140 and 40 <= column <= 90 for row, column in places)


def test_what_is_to_be_avoided_counts_more_than_brightness() -> None:
    image = BLACK.copy()
    image[:, :80] = 1.0
    for seed in range(10):
        _, column = place_block(
            image, (20, 20), hand=Box(0, 0, 1, 1), rng=chance(seed), site="beside", avoid=[Box(80, 0, 160, 200)]
        )
        assert column <= 62


def test_text_lies_in_its_corner_and_grows_with_its_lines() -> None:
    inked = []
    for lines in (1, 4, 10):
        drawn = draw_text(BLACK, chance(1), lines=lines, level=1.9, corner=0)
        assert 1.2 < drawn.max() <= 1.9
        assert drawn[: round(4 + lines * 6.5)].max() == drawn.max()
        assert drawn[100:].max() == 0.0
        inked.append(int((drawn > 0).any(axis=1).sum()))
    assert inked[0] < inked[1] < inked[2]
    assert draw_text(BLACK, chance(1), lines=2, level=1.0, corner=2)[:150].max() == 0.0
    right = draw_text(BLACK, chance(2), lines=1, level=1.0, corner=1)
    assert right[:, 110:].max() > 0.0
    # A line longer than the picture is cut off.
    assert draw_text(np.zeros((70, 20), np.float32), chance(), lines=9, level=1.0, corner=3).shape == (70, 20)


@pytest.mark.parametrize("edge", EDGES)
def test_a_ruler_keeps_to_its_edge_and_covers_half_of_its_length(edge: Edge) -> None:
    drawn = draw_ruler(BLACK, chance(4), edge=edge, level=1.2) > 0
    band = {"top": drawn[:30], "bottom": drawn[-30:], "left": drawn[:, :30], "right": drawn[:, -30:]}[edge]
    assert band.sum() == drawn.sum() > 0
    along = drawn.any(axis=1 if edge in ("left", "right") else 0)
    assert 0.35 <= along.mean() <= 0.99


@pytest.mark.parametrize("seed", range(4))
def test_a_patient_line_is_a_line(seed: int) -> None:
    gray = np.full((200, 300), 0.4, dtype=np.float32)
    top = draw_patient_line(gray, chance(seed), edge="top", level=1.0)
    assert 0.8 < top[:14].max() <= 1.0
    assert (top[14:] == 0.4).all()
    bottom = draw_patient_line(gray, chance(seed), edge="bottom", level=1.0)
    assert (bottom[:-14] == 0.4).all()
