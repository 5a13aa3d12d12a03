"""Accuracy, by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boneage.ages import Sex
from boneage.errors import UsageError
from boneage.evaluation import Prediction, compare, evaluate_predictions
from boneage.evaluation.metrics import BANDS, age_band, constant_width


def row(
    case: str,
    label: float | None,
    predicted: float | None,
    *,
    sex: Sex | None = Sex.MALE,
    reach: float | None = 10.0,
    status: str = "assessed",
) -> Prediction:
    bounded = predicted is not None and reach is not None
    lower, upper = (predicted - reach, predicted + reach) if bounded else (None, None)  # type: ignore[operator]
    return Prediction(f"{case}.png", case, "test", sex, label, status, "", predicted, lower, upper, 100, 100)  # type: ignore[arg-type]


SIX = [
    row("1", 100, 106),  # +6
    row("2", 120, 108, sex=Sex.FEMALE),  # -12
    row("3", 50, 51),  # +1
    row("4", 200, 175, sex=Sex.FEMALE),  # -25
    row("5", 24, 48, reach=30),  # +24
    row("6", 96, 96, sex=Sex.FEMALE, reach=None),  # 0
]


def test_by_hand() -> None:
    made = evaluate_predictions(SIX)
    overall = made.overall
    assert overall.n == 6
    assert overall.mae.value == pytest.approx(68 / 6)
    assert overall.rmse.value == pytest.approx(math.sqrt((36 + 144 + 1 + 625 + 576) / 6))
    assert overall.bias.value == pytest.approx(-1.0)
    assert overall.within_6.value == pytest.approx(3 / 6)
    assert overall.within_12.value == pytest.approx(4 / 6)
    assert overall.within_24.value == pytest.approx(5 / 6)
    assert overall.coverage_90.value == pytest.approx(3 / 5)
    assert overall.coverage_90.n == 5
    assert overall.width_90.value == 20
    assert overall.mae.lower is not None
    assert overall.mae.lower < 68 / 6 < (overall.mae.upper or 0)
    assert made.by_sex["female"].mae.value == pytest.approx(37 / 3)
    assert made.by_sex["male"].bias.value == pytest.approx(31 / 3)
    assert made.by_sex["male"].mae.lower is None
    assert {band: group.n for band, group in made.by_age_band.items() if group.n} == {
        "2-4": 1,
        "4-6": 1,
        "8-10": 2,
        "10-12": 1,
        "16-18": 1,
    }


def test_bias_by_the_age_that_was_predicted() -> None:
    # Answers of 106 and 108 months for labels of 100 and 120; the bands of the labels differ.
    made = evaluate_predictions(SIX)
    assert made.by_predicted_age_band["8-10"].bias.value == pytest.approx((6 - 12 + 0) / 3)
    assert made.by_predicted_age_band["8-10"].n == 3
    assert made.by_age_band["8-10"].bias.value == pytest.approx((6 + 0) / 2)
    assert made.by_predicted_age_band["4-6"].bias.value == pytest.approx((1 + 24) / 2)
    written = made.as_dict()["by_predicted_age_band_years"]
    assert written["14-16"]["bias"] == {"value": -25.0, "interval_95": None, "n": 1}
    assert list(written) == list(BANDS)


@pytest.mark.parametrize(
    ("months", "band"),
    [
        (0, "0-2"),
        (1, "0-2"),
        (23.999, "0-2"),
        (24, "2-4"),
        (191.9, "14-16"),
        (192, "16-18"),
        (239, "18-20"),
        (240, "18-20"),
    ],
)
def test_band_edges(months: float, band: str) -> None:
    assert age_band(months) == band


@pytest.mark.parametrize("months", [-1.0, math.nan])
def test_no_age_no_band(months: float, refuses: Callable[..., AbstractContextManager[None]]) -> None:
    with refuses(UsageError, "invalid_age"):
        age_band(months)


def test_bands_fill_the_axis() -> None:
    assert BANDS[0] == "0-2"
    assert BANDS[-1] == "18-20"
    assert len(BANDS) == 10


def test_nobody_is_hidden() -> None:
    made = evaluate_predictions(
        [
            *SIX,
            row("7", 100, None, status="rejected"),
            row("8", 100, None, status="failed"),
            row("9", 100, 90, status="rejected"),
            row("10", None, 100),
            row("11", 100, None, sex=None),
        ]
    )
    counts = made.counts
    assert (counts.cases, counts.assessed, counts.rejected, counts.failed) == (11, 8, 2, 1)
    assert (counts.unlabelled, counts.without_answer, counts.scored) == (1, 1, 6)
    assert made.overall == evaluate_predictions(SIX).overall


def test_nothing_to_score() -> None:
    made = evaluate_predictions([row("1", None, 100), row("2", 100, None)])
    assert made.overall.n == 0
    assert made.overall.mae.value is None
    assert made.as_dict()["by_sex"]["male"]["rmse"] == {"value": None, "interval_95": None, "n": 0}  # type: ignore[index]
    assert evaluate_predictions([]).counts.cases == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 240), st.floats(1, 240), st.sampled_from(Sex)), min_size=1, max_size=15))
def test_bands_and_sexes_share_out_the_cases(cases: list[tuple[int, float, Sex]]) -> None:
    made = evaluate_predictions(
        [row(str(i), age, guess, sex=sex) for i, (age, guess, sex) in enumerate(cases)], resamples=50
    )
    for groups in (made.by_sex, made.by_age_band, made.by_predicted_age_band):
        assert sum(group.n for group in groups.values()) == len(cases)
        total = sum(group.n * (group.mae.value or 0.0) for group in groups.values())
        assert total / len(cases) == pytest.approx(made.overall.mae.value)
    bias, rmse, mae = made.overall.bias.value, made.overall.rmse.value, made.overall.mae.value
    assert bias is not None
    assert rmse is not None
    assert mae is not None
    assert abs(bias) <= mae + 1e-9
    assert mae <= rmse + 1e-9


def test_paired_comparison_by_hand() -> None:
    other = [
        *(row("1", 100, 103), row("2", 120, 118), row("3", 50, 57), row("4", 200, 199), row("5", 24, 25)),
        row("99", 100, 100),
    ]
    made = compare(SIX, other)
    # |first| - |second|: 6-3, 12-2, 1-7, 25-1, 24-1
    assert made.difference.value == pytest.approx((3 + 10 - 6 + 24 + 23) / 5)
    assert made.difference.n == 5
    assert made.mae_first.value == pytest.approx(68 / 5)
    assert made.mae_second.value == pytest.approx(14 / 5)
    assert (made.only_first, made.only_second) == (1, 1)
    back = compare(other, SIX)
    assert back.difference.value == pytest.approx(-(made.difference.value or 0))
    assert back.difference.lower == pytest.approx(-(made.difference.upper or 0))


def test_comparison_with_itself_is_nothing() -> None:
    made = compare(SIX, SIX).difference
    assert (made.value, made.lower, made.upper) == (0.0, 0.0, 0.0)


def test_comparison_refuses_other_labels_and_other_cases(refuses: Callable[..., AbstractContextManager[None]]) -> None:
    with refuses(UsageError, "labels_differ"):
        compare(SIX, [row("1", 101, 103)])
    with refuses(UsageError, "no_common_case"):
        compare(SIX, [row("99", 100, 100)])


def test_an_interval_of_constant_width_by_hand() -> None:
    made = constant_width(SIX, 12.0)
    assert made.coverage.value == pytest.approx(4 / 6)
    assert made.by_sex["female"].value == pytest.approx(2 / 3)
    assert made.by_age_band["8-10"].value == 1.0
    assert made.by_age_band["16-18"].value == 0.0
    written = made.as_dict()
    assert written["half_width_months"] == 12.0
