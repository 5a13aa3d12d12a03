"""Figures and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boneage.evaluation.bootstrap import SMALLEST_N, Figure, difference_of_means, figure, root_mean_square


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
    made = [figure(random.exponential(6.0, 80), resamples=500, seed=seed) for seed in range(200)]
    covered = np.mean([(one.lower or 0) <= 6.0 <= (one.upper or 0) for one in made])
    assert 0.88 <= covered <= 0.99


def test_few_cases_give_no_interval() -> None:
    assert figure([]) == Figure(None, None, None, 0)
    assert figure([3.0]) == Figure(3.0, None, None, 1)
    assert figure(np.arange(SMALLEST_N - 1)).lower is None
    assert figure(np.arange(SMALLEST_N)).lower is not None


def test_blocks_do_not_change_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(5).normal(size=30)
    whole = figure(values, reduce=np.median, resamples=300)
    monkeypatch.setattr("boneage.evaluation.bootstrap._BLOCK", 7 * 30)
    assert figure(values, reduce=np.median, resamples=300) == whole


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("values", [[7.0], [7.0] * 4, [7.0] * SMALLEST_N, [0.0] * 50])
def test_constant_values_and_single_cases_give_no_nan_and_no_warning(values: list[float]) -> None:
    for reduce in (np.mean, np.median, root_mean_square):
        made = figure(values, reduce=reduce, resamples=100)
        assert made.value == pytest.approx(values[0])
        assert (made.lower, made.upper) == ((made.value,) * 2 if len(values) >= SMALLEST_N else (None, None))


def test_the_interval_agrees_with_a_bootstrap_written_out() -> None:
    values = np.random.default_rng(8).gamma(2.0, 3.0, 60)
    drawn = values[np.random.default_rng(1).integers(0, 60, (20_000, 60))].mean(axis=1)
    lower, upper = np.quantile(drawn, [0.025, 0.975])
    made = figure(values, resamples=20_000)
    # Monte-Carlo error of a percentile of 20,000 draws: about 1 % of the interval.
    assert made.lower == pytest.approx(lower, abs=0.03 * (upper - lower))
    assert made.upper == pytest.approx(upper, abs=0.03 * (upper - lower))


def test_paired_samples_are_drawn_together() -> None:
    random = np.random.default_rng(2)
    first = random.normal(10, 5, 40)
    second = first + random.normal(1, 0.1, 40)
    paired = figure(first, second, reduce=difference_of_means)
    assert paired.value == pytest.approx(float((first - second).mean()))
    assert paired.lower == pytest.approx(figure(first - second).lower)
    assert paired.upper == pytest.approx(figure(first - second).upper)
    assert paired.n == 40


def test_json_form() -> None:
    assert Figure(1.23456, 1.0, 2.0, 9).as_dict() == {"value": 1.2346, "interval_95": [1.0, 2.0], "n": 9}
    assert str(Figure(-0.00001, -0.00001, 0.0, 9).as_dict()["interval_95"]) == "[0.0, 0.0]"
    assert Figure(None, None, None, 0).as_dict() == {"value": None, "interval_95": None, "n": 0}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-200, 200), min_size=SMALLEST_N, max_size=40), st.sampled_from([np.median, root_mean_square]))
def test_intervals_lie_within_what_resampling_can_reach(values: list[float], reduce: object) -> None:
    made = figure(values, reduce=reduce, resamples=200)  # type: ignore[arg-type]
    assert made.lower is not None
    assert made.upper is not None
    low, high = (min(values), max(values)) if reduce is np.median else (0.0, float(np.abs(values).max()))
    assert low - 1e-6 <= made.lower <= made.upper <= high + 1e-6
