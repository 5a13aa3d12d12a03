"""From a map to a box, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from boneage.regions import Box, box_of_map


def three_spots() -> np.ndarray:
    """A body of 12 cells, a joint of 2 beside it, and a speck of 1."""
    attention = np.zeros((10, 12), dtype=np.float32)
    attention[2:5, 1:5] = 1.0
    attention[6:8, 8] = 0.4
    attention[9, 11] = 0.9
    return attention


def test_the_largest_component_is_the_region() -> None:
    assert box_of_map(three_spots(), 0.3) == Box(1, 2, 5, 5)


def test_all_components_but_specks() -> None:
    assert box_of_map(three_spots(), 0.3, "all") == Box(1, 2, 9, 8)


def test_a_component_under_tau_does_not_count() -> None:
    assert box_of_map(three_spots(), 0.5, "all") == Box(1, 2, 5, 5)


def test_of_two_equal_components_the_first_is_the_largest_and_all_spans_both() -> None:
    attention = np.zeros((4, 9))
    attention[1, 1] = attention[1, 7] = 2.0
    assert box_of_map(attention, 1.0) == Box(1, 1, 2, 2)
    assert box_of_map(attention, 1.0, "all") == Box(1, 1, 8, 2)


@pytest.mark.parametrize("attention", [np.zeros((3, 3)), np.full((3, 3), 2.0), -np.eye(3), np.zeros((0, 0))])
def test_no_evidence_is_no_box(attention: np.ndarray) -> None:
    assert box_of_map(attention, 0.5, "all") is None
