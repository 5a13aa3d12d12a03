"""Carpal and tubular bone age against the label, beside the whole hand's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from boneage.evaluation.bootstrap import RESAMPLES, Bootstrap, Figure
from boneage.evaluation.measuring import Figures, Metric, Statistic, as_json, measure_all
from boneage.evaluation.metrics import BY_AGE_BAND, BY_SEX, absolute_error, scored_only
from boneage.evaluation.predictions import Prediction


def _carpal(row: Prediction) -> float:
    return (row.carpal_months or 0.0) - (row.age_months or 0.0)


def _tubular(row: Prediction) -> float:
    return (row.tubular_months or 0.0) - (row.age_months or 0.0)


def _beyond_whole(error: Statistic[Prediction]) -> Statistic[Prediction]:
    return lambda row: abs(error(row) or 0.0) - (absolute_error(row) or 0.0)


REGIONAL: Final[Mapping[str, Metric[Prediction]]] = {
    "carpal_mae": Metric(lambda row: abs(_carpal(row))),
    "tubular_mae": Metric(lambda row: abs(_tubular(row))),
    "whole_mae": Metric(absolute_error),
    "carpal_bias": Metric(_carpal),
    "tubular_bias": Metric(_tubular),
    "carpal_minus_whole": Metric(_beyond_whole(_carpal)),
    "tubular_minus_whole": Metric(_beyond_whole(_tubular)),
    "unusual": Metric(lambda row: row.unusual_difference),
}
"""Metrics of scored cases with both regional bone ages."""


@dataclass(frozen=True)
class RegionalFigures(Figures):
    """Figures of one group of cases with regional bone ages. Errors are predicted minus label, in months.

    Attributes:
        carpal_mae, tubular_mae, whole_mae: mean absolute errors of carpal, tubular and whole bone age.
        carpal_bias, tubular_bias: mean errors.
        carpal_minus_whole, tubular_minus_whole: mean of |regional error| - |whole hand's error|, paired by case.
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

    def as_dict(self) -> dict[str, Any]:
        return {"n": self.n, **super().as_dict()}


@dataclass(frozen=True)
class RegionalAccuracy:
    """Figures of all cases, by sex and by two-year band of the label.

    Attributes:
        whole_mae_where_unusual, whole_mae_elsewhere: mean absolute error of the whole hand's bone age where the
            difference is unusual, and where it is not.
    """

    overall: RegionalFigures
    by_sex: dict[str, RegionalFigures]
    by_age_band: dict[str, RegionalFigures]
    whole_mae_where_unusual: Figure
    whole_mae_elsewhere: Figure

    def as_dict(self) -> dict[str, Any]:
        return {
            "overall": self.overall.as_dict(),
            "by_sex": as_json(self.by_sex),
            "by_age_band_years": as_json(self.by_age_band),
            "whole_mae_where_unusual": self.whole_mae_where_unusual.as_dict(),
            "whole_mae_elsewhere": self.whole_mae_elsewhere.as_dict(),
        }


def evaluate_regional(
    predictions: Iterable[Prediction], *, resamples: int = RESAMPLES, seed: int = 0
) -> RegionalAccuracy | None:
    """Figures of the scored cases with regional bone ages; None without such a case."""
    rows = [row for row in scored_only(predictions) if row.carpal_months is not None and row.tubular_months is not None]
    if not rows:
        return None
    bootstrap = Bootstrap(resamples, seed)

    def score(group: Sequence[Prediction]) -> RegionalFigures:
        return RegionalFigures(**measure_all(REGIONAL, group, bootstrap), error_correlation=_correlation(group))

    def whole_mae(unusual: bool) -> Figure:
        return REGIONAL["whole_mae"].measure([row for row in rows if row.unusual_difference is unusual], bootstrap)

    return RegionalAccuracy(
        overall=score(rows),
        by_sex=BY_SEX.map(score, rows),
        by_age_band=BY_AGE_BAND.map(score, rows),
        whole_mae_where_unusual=whole_mae(True),
        whole_mae_elsewhere=whole_mae(False),
    )


def _correlation(rows: Sequence[Prediction]) -> float | None:
    carpal, tubular = (np.array([error(row) for row in rows]) for error in (_carpal, _tubular))
    if len(rows) < 3 or not carpal.std() or not tubular.std():
        return None
    return round(float(np.corrcoef(carpal, tubular)[0, 1]), 4)
