from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boneage.ages import MONTHS, Sex, expectation_months
from boneage.model.by_age import Correction, moved, reaches
from boneage.training.age.calibration import calibrate, similar_weights, weighted_quantile


def gaussians(centres: np.ndarray, width: float) -> np.ndarray:
    rows = np.exp(-0.5 * ((MONTHS[None] - centres[:, None]) / width) ** 2) + 1e-12
    return rows / rows.sum(axis=1, keepdims=True)


def intervals(made: Correction, rows: np.ndarray, sexes: list[Sex]) -> np.ndarray:
    return np.array([made.interval_months(made.corrected(row, sex), sex) for row, sex in zip(rows, sexes, strict=True)])


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.floats(2.0, 30.0), st.floats(0.6, 0.95))
def test_intervals_cover_cases_that_they_have_not_seen(seed: int, width: float, coverage: float) -> None:
    rng = np.random.default_rng(seed)
    ages = rng.uniform(30, 210, 1600)
    sexes = [Sex.MALE if male else Sex.FEMALE for male in rng.random(1600) < 0.5]
    rows = gaussians(ages + rng.normal(0, 12, 1600), width)
    found = calibrate(rows[:800], ages[:800], sexes[:800], coverage)
    ends = intervals(found.correction, rows[800:], sexes[800:])
    inside = (ends[:, 0] <= ages[800:]) & (ages[800:] <= ends[:, 1])
    assert inside.mean() == pytest.approx(coverage, abs=0.075)
    assert found.coverage == pytest.approx(coverage, abs=0.04)


def test_a_bias_of_one_sex_and_one_age_is_taken_back_there_and_only_there() -> None:
    rng = np.random.default_rng(3)
    ages = rng.uniform(30, 210, 800)
    sexes = [Sex.MALE if male else Sex.FEMALE for male in rng.random(800) < 0.5]
    late_girl = np.array([age > 150 and sex is Sex.FEMALE for age, sex in zip(ages, sexes, strict=True)])
    rows = gaussians(ages + rng.normal(0, 3, 800) + 10 * late_girl, 6)
    made = calibrate(rows, ages, sexes, 0.9).correction
    assert 6 < made.shift_months(Sex.FEMALE, 190) < 11
    assert abs(made.shift_months(Sex.MALE, 190)) < 4
    assert abs(made.shift_months(Sex.FEMALE, 70)) < 1.5
    answer = made.corrected(gaussians(np.array([190.0]), 6)[0], Sex.FEMALE)
    assert expectation_months(answer) == pytest.approx(190 - made.shift_months(Sex.FEMALE, 190), abs=0.05)


def test_noisier_ages_get_wider_intervals_and_the_constant_does_not_know() -> None:
    rng = np.random.default_rng(4)
    ages = rng.uniform(30, 210, 1000)
    sexes = [Sex.MALE, Sex.FEMALE] * 500
    rows = gaussians(ages + rng.normal(0, np.where(ages < 100, 3, 12)), 8)
    found = calibrate(rows, ages, sexes, 0.9)
    low, high = (intervals(found.correction, gaussians(np.array([at]), 8), [Sex.MALE])[0] for at in (60.0, 170.0))
    assert np.diff(low)[0] / 2 == pytest.approx(1.645 * 3, rel=0.35)
    assert np.diff(high)[0] / 2 == pytest.approx(1.645 * 12, rel=0.3)
    assert np.diff(low)[0] / 2 < found.constant_half_width_months < np.diff(high)[0] / 2


def test_the_quantile_is_that_of_one_case_more() -> None:
    """The ceil((n + 1) level)-th smallest score, and with weights the next case's own weight counts as 1."""
    assert weighted_quantile(np.arange(1.0, 20), np.ones(19), 0.9) == 18
    assert weighted_quantile(np.arange(1.0, 11), np.ones(10), 0.9) == 10
    assert weighted_quantile(np.array([1.0, 2.0, 3.0]), np.array([8.0, 1.0, 1.0]), 0.75) == 2
    assert weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 8.0, 1.0]), 0.75) == 2


@pytest.mark.parametrize("seed", [1, 2])
def test_each_sex_gets_its_own_width(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ages = rng.uniform(60, 180, 4000)
    male = rng.random(4000) < 0.5
    sexes = [Sex.MALE if one else Sex.FEMALE for one in male]
    rows = gaussians(ages + rng.normal(0, np.where(male, 6, 14)), 8)
    found = calibrate(rows[:600], ages[:600], sexes[:600], 0.9)
    ends = intervals(found.correction, rows[600:], sexes[600:])
    inside = (ends[:, 0] <= ages[600:]) & (ages[600:] <= ends[:, 1])
    for of_sex, name in ((male, "male"), (~male, "female")):
        assert inside[of_sex[600:]].mean() == pytest.approx(0.9, abs=0.04)
        assert found.figures["coverage_90_by_sex"][name] == pytest.approx(0.9, abs=0.03)


def test_a_sex_with_hardly_a_case_borrows_from_the_other() -> None:
    months, signs = np.full(102, 100.0), np.array([1.0] * 100 + [-1.0] * 2)
    assert (similar_weights(100.0, 1.0, months, signs)[100:] == 0).all()
    borrowed = similar_weights(100.0, -1.0, months, signs)
    assert borrowed[0] == pytest.approx(0.3)
    assert borrowed[-1] == 1.0


def test_an_interval_that_rests_on_few_cases_gets_a_remark() -> None:
    rng = np.random.default_rng(6)
    ages = rng.uniform(30, 120, 300)
    made = calibrate(gaussians(ages + rng.normal(0, 6, 300), 8), ages, [Sex.MALE, Sex.FEMALE] * 150, 0.9).correction
    assert made.remarks(80.0, Sex.FEMALE) == ()
    (remark,) = made.remarks(200.0, Sex.FEMALE)
    assert remark.code == "few_calibration_cases"


def test_what_the_model_folder_gets() -> None:
    rng = np.random.default_rng(5)
    ages = rng.uniform(30, 210, 60)
    fitted = calibrate(gaussians(ages + 4, 6), ages, [Sex.MALE] * 60, 0.9)
    assert (fitted.entry.cases, fitted.entry.split) == (60, "validation")
    assert fitted.entry.correction is not None
    assert len(fitted.entry.correction.shift_months.at_months) == 19
    assert fitted.figures["mae_months_as_answered"] == pytest.approx(4, abs=0.3)
    assert fitted.figures["mae_months"] < 2.5
    assert fitted.figures["coverage_90_by_sex"].keys() == {"male"}


def test_moving_a_distribution() -> None:
    row = gaussians(np.array([100.0]), 5)[0]
    assert expectation_months(moved(row, 3.5)) == pytest.approx(96.5, abs=1e-3)
    assert moved(row, 3.5).sum() == pytest.approx(1.0)
    assert np.array_equal(moved(row, 300.0), row)
    below, above = reaches(row)
    assert below == pytest.approx(1.645 * 5, abs=0.2)
    assert above == pytest.approx(1.645 * 5, abs=0.2)
    sure = np.zeros(240)
    sure[99] = 1
    assert reaches(sure) == (1.0, 1.0)


def test_a_single_case_changes_nothing_and_breaks_nothing() -> None:
    made = calibrate(gaussians(np.array([100.0]), 6), np.array([90.0]), [Sex.MALE], 0.9)
    assert abs(made.correction.shift_months(Sex.MALE, 100.0)) < 1.0
    assert made.corrected_months[0] == pytest.approx(10.0, abs=0.01)
