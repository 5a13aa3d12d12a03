"""Which tau is taken from the errors on *validation*."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from boneage.training.localization.tau import pick_tau


def test_the_smallest_mean_error() -> None:
    errors = {0.2: np.array([9.0, 12.0]), 0.3: np.array([8.0, 12.0]), 0.4: np.array([0.0, 30.0])}
    assert pick_tau(errors) == 0.3


def test_of_equals_the_one_that_keeps_most() -> None:
    assert pick_tau({0.5: np.array([3.0]), 0.1: np.array([3.0]), 0.3: np.array([4.0])}) == 0.1


def test_with_a_tolerance_the_smallest_of_those_that_are_as_good_is_taken() -> None:
    best = np.array([10.0, 12.0, 8.0, 10.0])
    # 0.3 is worse by 0.25 on average, and its paired differences (1, -1, 1, 0) have a standard error of 0.48;
    # 0.1 is worse by exactly 1 on every case: standard error 0.
    errors = {0.5: best, 0.3: best + np.array([1.0, -1.0, 1.0, 0.0]), 0.1: best + 1.0}
    assert pick_tau(errors) == 0.5
    assert pick_tau(errors, tolerance=1.0) == 0.3
    assert pick_tau(errors, tolerance=0.5) == 0.5
