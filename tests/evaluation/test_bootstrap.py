"""Figures and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boneage.evaluation.bootstrap import SMALLEST_N, Figure, figure, median, root_mean_square


def test_same_seed_same_interval() -> None:
    values = np.random.default_rng(3).normal(5, 2, 50)
    assert figure(values) == figure(values)
    assert figure(values, seed=1) != figure(values)


def test_interval_of_a_mean_matches_theory() -> None:
    values = np.random.default_rng(0).normal(0, 1, 400)
    made = figure(values, resamples=4000)
    reach = 1.96 * values.std() / np.sqrt(len(values))
    assert made.lower == pytest.approx(values.mean() - reach, abs=0.1 * reach)
    assert made.upper == pytest.approx(values.mean() + reach, abs=0.1 * reach)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(11)
    made = [figure(random.exponential(6.0, 80), resamples=500, seed=adapter) for adapter in range(200)]
    covered = np.mean([(one.lower or 0) <= 6.0 <= (one.upper or 0) for one in made])
    assert 0.88 <= covered <= 0.99


def test_few_cases_give_no_interval() -> None:
    assert figure([]) == Figure(None, None, None, 0)
    assert figure([3.0]) == Figure(3.0, None, None, 1)
    assert figure(np.arange(SMALLEST_N - 1)).lower is None
    assert figure(np.arange(SMALLEST_N)).lower is not None


def test_blocks_do_not_change_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(5).normal(size=30)
    whole = figure(values, median, resamples=300)
    monkeypatch.setattr("boneage.evaluation.bootstrap._BLOCK", 7 * 30)
    assert figure(values, median, resamples=300) == whole


def test_json_form() -> None:
    assert Figure(1.23456, 1.0, 2.0, 9).as_dict() == {"value": 1.2346, "interval_95": [1.0, 2.0], "n": 9}
    assert Figure(None, None, None, 0).as_dict() == {"value": None, "interval_95": None, "n": 0}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-200, 200), min_size=SMALLEST_N, max_size=40), st.sampled_from([median, root_mean_square]))
def test_intervals_lie_within_what_resampling_can_reach(values: list[float], statistic: object) -> None:
    made = figure(values, statistic, resamples=200)  # type: ignore[arg-type]
    assert made.lower is not None
    assert made.upper is not None
    low, high = (min(values), max(values)) if statistic is median else (0.0, float(np.abs(values).max()))
    assert low - 1e-6 <= made.lower <= made.upper <= high + 1e-6
