"""Figures of carpal and tubular age, worked out by hand, and their way through the predictions table."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneage.ages import Sex
from boneage.evaluation.predictions import Prediction, read_predictions, write_predictions
from boneage.evaluation.regional_metrics import evaluate_regional


def row(
    case: str, age: float, whole: float, regional: tuple[float, float, bool] | None, sex: Sex = Sex.MALE
) -> Prediction:
    carpal, tubular, unusual = regional or (None, None, None)
    return Prediction(
        file="f",
        id=case,
        split="test",
        sex=sex,
        age_months=age,
        status="assessed",
        predicted_months=whole,
        carpal_months=carpal,
        tubular_months=tubular,
        unusual_difference=unusual,
    )


ROWS = [
    row("a", 100, 102, (110, 96, True)),
    row("b", 30, 30, (24, 31, False), Sex.FEMALE),
    row("c", 50, 47, (52, 50, False)),
    row("d", 60, 90, None),  # without regional bone ages
]


def test_figures_by_hand() -> None:
    found = evaluate_regional(ROWS)
    assert found is not None
    of_all = found.overall
    assert of_all.n == 3
    assert of_all.carpal_mae.value == pytest.approx((10 + 6 + 2) / 3)
    assert of_all.tubular_mae.value == pytest.approx((4 + 1 + 0) / 3)
    assert of_all.whole_mae.value == pytest.approx((2 + 0 + 3) / 3)
    assert of_all.carpal_bias.value == pytest.approx((10 - 6 + 2) / 3)
    assert of_all.carpal_minus_whole.value == pytest.approx((8 + 6 - 1) / 3)
    assert of_all.tubular_minus_whole.value == pytest.approx((2 + 1 - 3) / 3)
    assert of_all.unusual.value == pytest.approx(1 / 3)
    # Errors (10, -6, 2) and (-4, 1, 0): covariance -40, squares 128 and 14 about the means 2 and -1.
    assert of_all.error_correlation == pytest.approx(-40 / (128 * 14) ** 0.5, abs=1e-4)
    assert found.by_sex["female"].n == 1
    assert found.by_sex["female"].error_correlation is None
    assert found.by_age_band["2-4"].n == 1
    assert found.by_age_band["4-6"].carpal_mae.value == 2
    assert found.whole_mae_where_unusual.value == 2
    assert found.whole_mae_elsewhere.value == 1.5


def test_no_figures_without_regional_ages() -> None:
    assert evaluate_regional(ROWS[3:]) is None


def test_the_table_keeps_them(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv", ROWS)
    read = read_predictions(tmp_path / "p.csv")
    assert [(entry.carpal_months, entry.tubular_months, entry.unusual_difference) for entry in read] == [
        (110, 96, True), (24, 31, False), (52, 50, False), (None, None, None),
    ]  # fmt: skip
