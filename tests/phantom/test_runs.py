"""Masks as run lengths."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from boneage.errors import UsageError
from boneage.phantom.runs import as_runs, from_runs


@pytest.mark.parametrize(
    ("mask", "counts"),
    [
        ([[1, 0], [1, 1]], [0, 2, 1, 1]),
        ([[0, 0], [0, 0]], [4]),
        ([[1, 1], [1, 1]], [0, 4]),
        ([[0, 1, 0], [0, 1, 1]], [2, 2, 1, 1]),
    ],
)
def test_runs_go_down_the_columns_and_begin_outside(mask: list[list[int]], counts: list[int]) -> None:
    assert as_runs(np.array(mask, dtype=bool)) == {"size": [2, len(mask[0])], "counts": counts}


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_every_mask_comes_back(mask: npt.NDArray[np.bool_]) -> None:
    assert np.array_equal(from_runs(as_runs(mask)), mask)


@pytest.mark.parametrize(
    ("runs", "word"),
    [
        ({"size": [2, 2], "counts": [2, 3]}, "5 pixels"),
        ({"size": [2, 2], "counts": [5, -1]}, "4 pixels"),
        ({"size": [2, 2]}, "lengths of its runs"),
        ({"size": [4], "counts": [4]}, "lengths of its runs"),
        ({"size": [-2, -2], "counts": [4]}, "lengths of its runs"),
    ],
)
def test_runs_that_make_no_mask_are_refused(runs: dict[str, list[int]], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        from_runs(runs)
