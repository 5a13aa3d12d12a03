"""Which tau is taken from the errors on *select*."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from boneage.training.tau import chosen


def test_the_smallest_mean_error() -> None:
    errors = {0.2: np.array([9.0, 12.0]), 0.3: np.array([8.0, 12.0]), 0.4: np.array([0.0, 30.0])}
    assert chosen(errors) == 0.3


def test_of_equals_the_one_that_keeps_most() -> None:
    assert chosen({0.5: np.array([3.0]), 0.1: np.array([3.0]), 0.3: np.array([4.0])}) == 0.1
