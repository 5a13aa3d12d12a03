"""Accuracy of the predicted bone age: per-case errors, then figures, then intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from boneage.ages import LAST_MONTH, Sex
from boneage.errors import UsageError
from boneage.evaluation.bootstrap import RESAMPLES, Figure, Statistic, figure, mean, median, root_mean_square
from boneage.evaluation.predictions import Prediction

BAND_MONTHS: Final = 24
BANDS: Final = tuple(f"{year}-{year + 2}" for year in range(0, LAST_MONTH // 12, 2))
"""Two-year bands of the label, in years: "0-2", ..., "18-20". The lower edge belongs to a band, the upper to the
next; 240 months belong to the last one."""


def age_band(age_months: float) -> str:
    """The band of a label in (0, 240] months; whatever lies beyond goes into the last band.

    Raises:
        UsageError: the age is negative or no number.
    """
    if not age_months >= 0:
        raise UsageError(f"{age_months} months is no age. Give months from 1 to {LAST_MONTH}.")
    return BANDS[min(int(age_months // BAND_MONTHS), len(BANDS) - 1)]


@dataclass(frozen=True)
class Accuracy:
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

    def as_dict(self) -> dict[str, object]:
        return {"n": self.n, **{item.name: getattr(self, item.name).as_dict() for item in fields(self)}}


@dataclass(frozen=True)
class Counts:
    """Where the cases went: cases = assessed + rejected + failed; scored = assessed - unlabelled - without_answer.

    Attributes:
        unlabelled: assessed, but there is no label to compare with.
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
    """Everything about one predictions table. Rejected and failed cases are counted, not scored."""

    counts: Counts
    overall: Accuracy
    by_sex: dict[str, Accuracy]
    by_age_band: dict[str, Accuracy]
    by_sex_and_age_band: dict[str, dict[str, Accuracy]]

    def as_dict(self) -> dict[str, object]:
        return {
            "counts": {item.name: getattr(self.counts, item.name) for item in fields(self.counts)},
            "overall": self.overall.as_dict(),
            "by_sex": {name: group.as_dict() for name, group in self.by_sex.items()},
            "by_age_band_years": {name: group.as_dict() for name, group in self.by_age_band.items()},
            "by_sex_and_age_band_years": {
                sex: {band: group.as_dict() for band, group in bands.items()}
                for sex, bands in self.by_sex_and_age_band.items()
            },
        }


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

    def as_dict(self) -> dict[str, object]:
        return {
            "half_width_months": self.months,
            "coverage": self.coverage.as_dict(),
            "by_sex": {name: group.as_dict() for name, group in self.by_sex.items()},
            "by_age_band_years": {name: group.as_dict() for name, group in self.by_age_band.items()},
        }


def constant_width(
    predictions: Iterable[Prediction], months: float, *, resamples: int = RESAMPLES, seed: int = 0
) -> ConstantWidth:
    """What predicted age +- `months` covers, overall, by sex and by two-year band of the label."""
    rows = scored_only(predictions)

    def over(group: Iterable[Prediction]) -> Figure:
        inside = [abs(row.error_months or 0.0) <= months for row in group]
        return figure(np.array(inside, dtype=bool), mean, resamples=resamples, seed=seed)

    return ConstantWidth(
        months,
        over(rows),
        {str(sex): over(row for row in rows if row.sex is sex) for sex in (Sex.FEMALE, Sex.MALE)},
        {
            band: over(row for row in rows if row.age_months is not None and age_band(row.age_months) == band)
            for band in BANDS
        },
    )


def scored_only(predictions: Iterable[Prediction]) -> list[Prediction]:
    """The rows that have both a label and a prediction."""
    return [row for row in predictions if row.error_months is not None]


def accuracy(predictions: Iterable[Prediction], *, resamples: int = RESAMPLES, seed: int = 0) -> Accuracy:
    """The figures of one group; rows without label or prediction are left out (`Counts` counts them)."""
    rows = scored_only(predictions)
    errors = np.array([row.error_months for row in rows], dtype=np.float64)
    bounded = [
        (row.age_months, row.lower_90_months, row.upper_90_months)
        for row in rows
        if row.lower_90_months is not None and row.upper_90_months is not None
    ]
    age, lower, upper = np.array(bounded, dtype=np.float64).reshape(-1, 3).T

    def over(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]], statistic: Statistic = mean) -> Figure:
        return figure(values, statistic, resamples=resamples, seed=seed)

    size = np.abs(errors)
    return Accuracy(
        mae=over(size),
        rmse=over(errors, root_mean_square),
        bias=over(errors),
        within_6=over(size <= 6),
        within_12=over(size <= 12),
        within_24=over(size <= 24),
        coverage_90=over((lower <= age) & (age <= upper)),
        width_90=over(upper - lower, median),
    )


def evaluate_predictions(predictions: Sequence[Prediction], *, resamples: int = RESAMPLES, seed: int = 0) -> Metrics:
    """Figures overall, by sex, by two-year band of the label, and by both; groups without a case have n = 0."""
    rows = scored_only(predictions)

    def over(group: Iterable[Prediction]) -> Accuracy:
        return accuracy(group, resamples=resamples, seed=seed)

    def by_band(group: Sequence[Prediction]) -> dict[str, Accuracy]:
        return {
            band: over(row for row in group if row.age_months is not None and age_band(row.age_months) == band)
            for band in BANDS
        }

    of_sex = {str(sex): [row for row in rows if row.sex is sex] for sex in (Sex.FEMALE, Sex.MALE)}
    return Metrics(
        counts=Counts.of(predictions),
        overall=over(rows),
        by_sex={sex: over(group) for sex, group in of_sex.items()},
        by_age_band=by_band(rows),
        by_sex_and_age_band={sex: by_band(group) for sex, group in of_sex.items()},
    )


@dataclass(frozen=True)
class Comparison:
    """Two predictions tables on the cases that both have scored.

    Attributes:
        mae_first, mae_second: each on the common cases.
        difference: mean of |first's error| - |second's error|, paired by case; negative where the first is better.
        only_first, only_second: scored cases that the other table has not.
    """

    mae_first: Figure
    mae_second: Figure
    difference: Figure
    only_first: int
    only_second: int

    def as_dict(self) -> dict[str, object]:
        names = ("mae_first", "mae_second", "difference")
        return {
            "n": self.difference.n,
            **{name: getattr(self, name).as_dict() for name in names},
            "only_first": self.only_first,
            "only_second": self.only_second,
        }


def compare(
    first: Iterable[Prediction], second: Iterable[Prediction], *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Difference of MAE of two tables with a paired 95 % bootstrap interval, on their common ids.

    Raises:
        UsageError: no case is scored in both, or the tables disagree about a case's label.
    """
    left = {row.id: row for row in scored_only(first)}
    right = {row.id: row for row in scored_only(second)}
    common = [case for case in left if case in right]
    if not common:
        raise UsageError("the two predictions tables have no scored case in common. Compare tables of one data set.")
    for case in common:
        a, b = left[case].age_months, right[case].age_months
        if a is None or b is None or abs(a - b) > 0.01:
            raise UsageError(f"case {case}: one table has the label {a}, the other {b}. Use the same labels for both.")
    first_size = np.array([abs(left[case].error_months or 0.0) for case in common])
    second_size = np.array([abs(right[case].error_months or 0.0) for case in common])
    return Comparison(
        mae_first=figure(first_size, resamples=resamples, seed=seed),
        mae_second=figure(second_size, resamples=resamples, seed=seed),
        difference=figure(first_size - second_size, resamples=resamples, seed=seed),
        only_first=len(left) - len(common),
        only_second=len(right) - len(common),
    )
