"""Accuracy of the predicted bone age, overall and in bins, and against other predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from boneage.ages import LAST_MONTH, Sex
from boneage.errors import UsageError
from boneage.evaluation.bootstrap import RESAMPLES, Bootstrap, Figure, difference_of_means, root_mean_square
from boneage.evaluation.measuring import Bin, Figures, Metric, Statistic, as_json, measure_all
from boneage.evaluation.predictions import Prediction

BAND_MONTHS: Final = 24
BANDS: Final = tuple(f"{year}-{year + 2}" for year in range(0, LAST_MONTH // 12, 2))
"""Two-year bands, in years: "0-2", ..., "18-20". The lower edge belongs to a band, the upper to the next; 240 months
belong to the last one."""


def age_band(age_months: float) -> str:
    """The band of an age in [0, 240] months; a larger age goes into the last band.

    Raises:
        UsageError: the age is negative or NaN ("invalid_age").
    """
    if not age_months >= 0:
        raise UsageError(
            f"{age_months} months is not a valid age. Give months from 1 to {LAST_MONTH}.", code="invalid_age"
        )
    return BANDS[min(int(age_months // BAND_MONTHS), len(BANDS) - 1)]


def _band_of(age_months: float | None) -> str | None:
    return None if age_months is None else age_band(age_months)


BY_SEX: Final = Bin[Prediction]((Sex.FEMALE.value, Sex.MALE.value), lambda row: row.sex and row.sex.value)
BY_AGE_BAND: Final = Bin[Prediction](BANDS, lambda row: _band_of(row.age_months))
"""By the label. Large errors upwards fall into low bands: the mean error of a band tends towards the middle ages."""
BY_PREDICTED_AGE_BAND: Final = Bin[Prediction](BANDS, lambda row: _band_of(row.predicted_months))
"""By the prediction: the error to expect from an answer, since a reader knows the answer and not the label."""


def scored_only(predictions: Iterable[Prediction]) -> list[Prediction]:
    """The rows that have both a label and a prediction."""
    return [row for row in predictions if row.error_months is not None]


def error(row: Prediction) -> float | None:
    """Predicted minus label, in months."""
    return row.error_months


def absolute_error(row: Prediction) -> float | None:
    return None if row.error_months is None else abs(row.error_months)


def within(months: float) -> Statistic[Prediction]:
    """Whether the absolute error is at most so many months."""
    return lambda row: None if row.error_months is None else abs(row.error_months) <= months


def _covered(row: Prediction) -> float | None:
    if row.age_months is None or row.lower_90_months is None or row.upper_90_months is None:
        return None
    return row.lower_90_months <= row.age_months <= row.upper_90_months


def _width(row: Prediction) -> float | None:
    if row.lower_90_months is None or row.upper_90_months is None:
        return None
    return row.upper_90_months - row.lower_90_months


ACCURACY: Final[Mapping[str, Metric[Prediction]]] = {
    "mae": Metric(absolute_error),
    "rmse": Metric(error, root_mean_square),
    "bias": Metric(error),
    "within_6": Metric(within(6)),
    "within_12": Metric(within(12)),
    "within_24": Metric(within(24)),
    "coverage_90": Metric(_covered),
    "width_90": Metric(_width, np.median),
}


@dataclass(frozen=True)
class Accuracy(Figures):
    """Figures of one group of cases. Errors are predicted minus label, in months; shares are in [0, 1].

    Attributes:
        mae: mean absolute error.
        rmse: root of the mean squared error.
        bias: mean error; positive where the model reads older than the label.
        within_6, within_12, within_24: share of cases whose absolute error is at most so many months.
        coverage_90: share of cases whose label lies in the predicted 90 % interval.
        width_90: median width of that interval.
    """

    mae: Figure
    rmse: Figure
    bias: Figure
    within_6: Figure
    within_12: Figure
    within_24: Figure
    coverage_90: Figure
    width_90: Figure

    @property
    def n(self) -> int:
        return self.mae.n

    def as_dict(self) -> dict[str, Any]:
        return {"n": self.n, **super().as_dict()}


@dataclass(frozen=True)
class Counts(Figures):
    """Where the cases went: cases = assessed + rejected + failed; scored = assessed - unlabelled - without_answer.

    Attributes:
        unlabelled: assessed, but without a label to compare with.
        without_answer: assessed and labelled, but without a single answer (unknown sex).
    """

    cases: int
    assessed: int
    rejected: int
    failed: int
    unlabelled: int
    without_answer: int
    scored: int

    @classmethod
    def of(cls, predictions: Sequence[Prediction]) -> Counts:
        assessed = [row for row in predictions if row.status == "assessed"]
        labelled = [row for row in assessed if row.age_months is not None]
        scored = len(scored_only(predictions))
        return cls(
            cases=len(predictions),
            assessed=len(assessed),
            rejected=sum(row.status == "rejected" for row in predictions),
            failed=sum(row.status == "failed" for row in predictions),
            unlabelled=len(assessed) - len(labelled),
            without_answer=len(labelled) - scored,
            scored=scored,
        )


@dataclass(frozen=True)
class Metrics:
    """Everything about one predictions table. Rejected and failed cases are counted, not scored.

    Attributes:
        by_age_band: by two-year band of the label.
        by_predicted_age_band: by two-year band of the prediction.
    """

    counts: Counts
    overall: Accuracy
    by_sex: dict[str, Accuracy]
    by_age_band: dict[str, Accuracy]
    by_predicted_age_band: dict[str, Accuracy]
    by_sex_and_age_band: dict[str, dict[str, Accuracy]]

    def as_dict(self) -> dict[str, Any]:
        return {
            "counts": self.counts.as_dict(),
            "overall": self.overall.as_dict(),
            "by_sex": as_json(self.by_sex),
            "by_age_band_years": as_json(self.by_age_band),
            "by_predicted_age_band_years": as_json(self.by_predicted_age_band),
            "by_sex_and_age_band_years": as_json(self.by_sex_and_age_band),
        }


def evaluate_predictions(predictions: Sequence[Prediction], *, resamples: int = RESAMPLES, seed: int = 0) -> Metrics:
    """Figures overall and in every bin; groups without a case have n = 0."""
    rows = scored_only(predictions)
    bootstrap = Bootstrap(resamples, seed)

    def score(group: Sequence[Prediction]) -> Accuracy:
        return Accuracy(**measure_all(ACCURACY, group, bootstrap))

    return Metrics(
        counts=Counts.of(predictions),
        overall=score(rows),
        by_sex=BY_SEX.map(score, rows),
        by_age_band=BY_AGE_BAND.map(score, rows),
        by_predicted_age_band=BY_PREDICTED_AGE_BAND.map(score, rows),
        by_sex_and_age_band=BY_SEX.map(lambda group: BY_AGE_BAND.map(score, group), rows),
    )


@dataclass(frozen=True)
class ConstantWidth:
    """An interval of the same width for every case, calibrated on the same cases, to compare with.

    Attributes:
        months: half its width.
        coverage: share of cases that it covers.
        by_sex, by_age_band: the same of groups.
    """

    months: float
    coverage: Figure
    by_sex: dict[str, Figure]
    by_age_band: dict[str, Figure]

    def as_dict(self) -> dict[str, Any]:
        return {
            "half_width_months": self.months,
            "coverage": self.coverage.as_dict(),
            "by_sex": as_json(self.by_sex),
            "by_age_band_years": as_json(self.by_age_band),
        }


def constant_width(
    predictions: Iterable[Prediction], months: float, *, resamples: int = RESAMPLES, seed: int = 0
) -> ConstantWidth:
    """What predicted age +- `months` covers, overall, by sex and by two-year band of the label."""
    rows = scored_only(predictions)
    bootstrap = Bootstrap(resamples, seed)
    covered = Metric(within(months))

    def cover(group: Sequence[Prediction]) -> Figure:
        return covered.measure(group, bootstrap)

    return ConstantWidth(
        months=months, coverage=cover(rows), by_sex=BY_SEX.map(cover, rows), by_age_band=BY_AGE_BAND.map(cover, rows)
    )


@dataclass(frozen=True)
class Comparison(Figures):
    """Two predictions tables on the cases that both have scored.

    Attributes:
        mae_first, mae_second: each on the common cases.
        difference: mae_first - mae_second, paired by case; negative where the first is better.
        only_first, only_second: scored cases that the other table has not.
    """

    mae_first: Figure
    mae_second: Figure
    difference: Figure
    only_first: int
    only_second: int

    def as_dict(self) -> dict[str, Any]:
        return {"n": self.difference.n, **super().as_dict()}


def compare(
    first: Iterable[Prediction], second: Iterable[Prediction], *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Difference of MAE of two tables with a paired 95 % bootstrap interval, on their common ids.

    Raises:
        UsageError: no case is scored in both ("no_common_case"), or the tables disagree about a case's label
            ("labels_differ").
    """
    left = {row.id: row for row in scored_only(first)}
    right = {row.id: row for row in scored_only(second)}
    common = [case for case in left if case in right]
    if not common:
        message = "the two predictions tables have no scored case in common. Compare tables of one data set."
        raise UsageError(message, code="no_common_case")
    for case in common:
        a, b = left[case].age_months, right[case].age_months
        if a is None or b is None or abs(a - b) > 0.01:
            message = f"case {case}: one table has the label {a}, the other {b}. Use the same labels for both."
            raise UsageError(message, code="labels_differ")
    bootstrap = Bootstrap(resamples, seed)
    sizes = [np.abs([table[case].error_months or 0.0 for case in common]) for table in (left, right)]
    return Comparison(
        mae_first=bootstrap.figure(sizes[0]),
        mae_second=bootstrap.figure(sizes[1]),
        difference=bootstrap.figure(*sizes, reduce=difference_of_means),
        only_first=len(left) - len(common),
        only_second=len(right) - len(common),
    )
