from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boneage.ages import MONTHS, central_interval_months
from boneage.training.calibration import calibrated, spread_months


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(2.0, 40.0), st.floats(0.5, 0.97))
def test_intervals_cover_what_they_promise_and_hardly_more(seed: int, width: float, coverage: float) -> None:
    rng = np.random.default_rng(seed)
    ages = rng.uniform(30, 210, 200)
    centres = ages + rng.normal(0, 12, 200)
    distributions = np.exp(-0.5 * ((MONTHS[None] - centres[:, None]) / width) ** 2) + 1e-12
    distributions /= distributions.sum(axis=1, keepdims=True)
    found = calibrated(distributions, ages, coverage)
    inside = []
    for distribution, age in zip(distributions, ages, strict=True):
        low, high = central_interval_months(distribution, found.tail)
        inside.append(low <= age <= high)
    assert np.mean(inside) == pytest.approx(found.coverage, abs=0.006)
    assert found.coverage >= coverage - 1e-9 or found.tail == pytest.approx(1e-4)
    assert found.coverage <= coverage + 0.01 or found.tail == pytest.approx(0.49)
    assert found.cases == 200


def test_the_spread_of_a_scalar_network() -> None:
    assert spread_months([3.0, -4.0]) == pytest.approx(np.sqrt(12.5))
    assert spread_months([0.0]) == 1.0
