"""Carpal and tubular bone age against the label, beside the whole hand's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from boneage.ages import Sex
from boneage.evaluation.bootstrap import RESAMPLES, Figure, Statistic, figure, mean
from boneage.evaluation.metrics import BANDS, age_band, scored_only
from boneage.evaluation.predictions import Prediction


@dataclass(frozen=True)
class RegionalFigures:
    """Figures of one group of cases whose parts were told. Errors are predicted minus label, in months.

    Attributes:
        carpal_mae, tubular_mae, whole_mae: mean absolute errors of carpal, tubular and whole bone age.
        carpal_bias, tubular_bias: mean errors.
        carpal_minus_whole, tubular_minus_whole: mean of |part's error| - |whole hand's error|, paired by case.
        unusual: share of cases whose two ages lie unusually far apart.
        error_correlation: Pearson's, of the errors of carpal and tubular age; None for fewer than three cases.
    """

    carpal_mae: Figure
    tubular_mae: Figure
    whole_mae: Figure
    carpal_bias: Figure
    tubular_bias: Figure
    carpal_minus_whole: Figure
    tubular_minus_whole: Figure
    unusual: Figure
    error_correlation: float | None

    @property
    def n(self) -> int:
        return self.carpal_mae.n

    def as_dict(self) -> dict[str, object]:
        said = {item.name: getattr(self, item.name) for item in fields(self)}
        return {"n": self.n} | {
            name: value.as_dict() if isinstance(value, Figure) else value for name, value in said.items()
        }


@dataclass(frozen=True)
class RegionalAccuracy:
    """Figures of all cases, by sex and by two-year band of the label; and of the whole hand's answers by whether the
    difference is unusual.

    Attributes:
        whole_mae_where_unusual, whole_mae_elsewhere: does an unusual difference tell a worse answer?
    """

    overall: RegionalFigures
    by_sex: dict[str, RegionalFigures]
    by_age_band: dict[str, RegionalFigures]
    whole_mae_where_unusual: Figure
    whole_mae_elsewhere: Figure

    def as_dict(self) -> dict[str, object]:
        return {
            "overall": self.overall.as_dict(),
            "by_sex": {name: group.as_dict() for name, group in self.by_sex.items()},
            "by_age_band_years": {name: group.as_dict() for name, group in self.by_age_band.items()},
            "whole_mae_where_unusual": self.whole_mae_where_unusual.as_dict(),
            "whole_mae_elsewhere": self.whole_mae_elsewhere.as_dict(),
        }


def evaluate_regional(
    predictions: Iterable[Prediction], *, resamples: int = RESAMPLES, seed: int = 0
) -> RegionalAccuracy | None:
    """Figures of the scored cases whose parts were told; None where there is none."""
    rows = [row for row in scored_only(predictions) if row.carpal_months is not None and row.tubular_months is not None]
    if not rows:
        return None

    def over(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]], statistic: Statistic = mean) -> Figure:
        return figure(values, statistic, resamples=resamples, seed=seed)

    def figures(group: list[Prediction]) -> RegionalFigures:
        told = [(row.carpal_months, row.tubular_months, row.predicted_months, row.age_months) for row in group]
        carpal, tubular, whole, age = np.array(told, dtype=np.float64).reshape(-1, 4).T
        wrist, rest, hand = carpal - age, tubular - age, whole - age
        vary = len(group) > 2 and wrist.std() > 0 and rest.std() > 0
        return RegionalFigures(
            carpal_mae=over(np.abs(wrist)),
            tubular_mae=over(np.abs(rest)),
            whole_mae=over(np.abs(hand)),
            carpal_bias=over(wrist),
            tubular_bias=over(rest),
            carpal_minus_whole=over(np.abs(wrist) - np.abs(hand)),
            tubular_minus_whole=over(np.abs(rest) - np.abs(hand)),
            unusual=over(np.array([row.unusual_difference for row in group if row.unusual_difference is not None])),
            error_correlation=round(float(np.corrcoef(wrist, rest)[0, 1]), 4) if vary else None,
        )

    def whole_mae(unusual: bool) -> Figure:
        return over(np.array([abs(row.error_months or 0.0) for row in rows if row.unusual_difference is unusual]))

    return RegionalAccuracy(
        overall=figures(rows),
        by_sex={str(sex): figures([row for row in rows if row.sex is sex]) for sex in (Sex.FEMALE, Sex.MALE)},
        by_age_band={
            band: figures([row for row in rows if row.age_months is not None and age_band(row.age_months) == band])
            for band in BANDS
        },
        whole_mae_where_unusual=whole_mae(True),
        whole_mae_elsewhere=whole_mae(False),
    )
