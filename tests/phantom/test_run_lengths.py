"""Masks survive as run lengths."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from boneage.errors import UsageError
from boneage.phantom.run_lengths import decode_runs, encode_runs


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
    assert encode_runs(np.array(mask, dtype=bool)) == {"size": [2, len(mask[0])], "counts": counts}


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_every_mask_is_decoded_as_it_was_encoded(mask: npt.NDArray[np.bool_]) -> None:
    assert np.array_equal(decode_runs(encode_runs(mask)), mask)


@pytest.mark.parametrize(
    "runs",
    [
        {"size": [2, 2], "counts": [2, 3]},
        {"size": [2, 2], "counts": [5, -1]},
        {"size": [2, 2]},
        {"size": [4], "counts": [4]},
        {"size": [-2, -2], "counts": [4]},
    ],
)
def test_runs_that_do_not_make_a_mask_are_refused(runs: dict[str, list[int]], refuses) -> None:
    with refuses(UsageError, "invalid_mask"):
        decode_runs(runs)
