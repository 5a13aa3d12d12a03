"""Corrections and intervals, made honest on *validation*: conformal prediction over the learned distribution.

An answer's score is its error over the reach of the network's own 90 % interval on that side (normalised conformal
prediction, Lei et al. 2018). The factor at an age and a sex is the weighted 90 % quantile of the scores of similar
cases (localised conformal prediction, Guan 2023): near in answered age, and of the same sex.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from boneage.ages import Sex, expectation_months
from boneage.model.by_age import PLAIN_TAIL, Correction, moved, reaches

AT_MONTHS: Final = np.arange(12.0, 229.0, 12.0)
COVERAGE: Final = 0.9
"""Of the interval that every output calls the 90 % interval."""
_BANDWIDTH_MONTHS: Final = 15.0
_LEAST_CASES: Final = 40.0
"""Effective number of similar cases; the bandwidth grows until there are so many."""
_OTHER_SEX: Final = 0.3
"""Weight of a case of the other sex, where one sex alone has too few cases."""
_PRIOR_CASES: Final = 20.0
"""A mean error of few cases is drawn towards 0 as if so many cases without error stood beside them."""
_FOLDS: Final = 10

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """What *validation* taught.

    Attributes:
        correction: for every later answer.
        covered: bool [n]: whether the interval of a case of *validation*, left out of its own correction, holds its
            age.
        sexes: n.
        constant_half_width_months: half the width of an interval that is the same for every case and covers as many.
        errors_months: float64 [n], of the answers as they were.
        corrected_months: float64 [n], errors of the corrected answers, each case left out of its own correction.
    """

    correction: Correction
    covered: npt.NDArray[np.bool_]
    sexes: tuple[Sex, ...]
    constant_half_width_months: float
    errors_months: Values
    corrected_months: Values

    @property
    def coverage(self) -> float:
        """Share of *validation* that its own intervals cover."""
        return float(self.covered.mean())

    def as_json(self) -> dict[str, Any]:
        """As it stands in `model.json`."""
        made = self.correction

        def rounded(values: Values) -> list[float]:
            return [round(float(value), 4) for value in values]

        return {
            "tail": PLAIN_TAIL,
            "coverage": round(self.coverage, 4),
            "coverage_by_sex": {
                sex.value: round(float(self.covered[of_sex].mean()), 4)
                for sex in Sex
                if (of_sex := np.array([other is sex for other in self.sexes])).any()
            },
            "cases": len(self.errors_months),
            "split": "select",
            "constant_half_width_months": round(self.constant_half_width_months, 3),
            "mae_months_as_answered": round(float(np.abs(self.errors_months).mean()), 3),
            "mae_months_corrected": round(float(np.abs(self.corrected_months).mean()), 3),
            "at_months": rounded(made.at_months),
            "shift_months": {sex.value: rounded(made.shift_months[sex]) for sex in Sex},
            "width": {sex.value: rounded(made.width[sex]) for sex in Sex},
            **({"near": {sex.value: rounded(made.near[sex]) for sex in Sex}} if made.near else {}),
        }


def calibrated(
    distributions: npt.NDArray[np.floating], age_months: Values, sexes: Sequence[Sex], coverage: float
) -> Calibration:
    """Correction by age and sex, and intervals that cover `coverage` of cases like these.

    Args:
        distributions: float [n, 240], as the network answers.
        age_months: float64 [n].
        sexes: n.
        coverage: share in (0, 1).
    """
    plain = np.asarray(distributions, dtype=np.float64)
    answered = np.asarray(expectation_months(plain), dtype=np.float64)
    ages, signs = np.asarray(age_months, dtype=np.float64), np.array([sex.sign for sex in sexes])
    errors = answered - ages
    # A case must not correct itself, or the intervals would come out too narrow.
    fold = np.arange(len(ages)) % min(_FOLDS, max(2, len(ages)))
    shifts = np.zeros_like(ages)
    for k in np.unique(fold):
        rest = fold != k
        for i in np.flatnonzero(~rest):
            weights = similar_weights(answered[i], signs[i], answered[rest], signs[rest])
            shifts[i] = drawn_mean(errors[rest], weights)
    corrected = np.stack([moved(row, shift) for row, shift in zip(plain, shifts, strict=True)])
    months = np.asarray(expectation_months(corrected), dtype=np.float64)
    reach = np.array([reaches(row) for row in corrected])
    scores = np.maximum((months - ages) / reach[:, 0], (ages - months) / reach[:, 1])
    made = Correction(
        AT_MONTHS,
        {
            sex: np.array([drawn_mean(errors, similar_weights(at, sex.sign, answered, signs)) for at in AT_MONTHS])
            for sex in Sex
        },
        {
            sex: np.array(
                [weighted_quantile(scores, similar_weights(at, sex.sign, months, signs), coverage) for at in AT_MONTHS]
            )
            for sex in Sex
        },
        {sex: np.array([float(_nearness(at, months) @ (signs == sex.sign)) for at in AT_MONTHS]) for sex in Sex},
    )
    covered = np.zeros(len(ages), dtype=bool)
    for at in range(len(ages)):
        rest = np.arange(len(ages)) != at
        weights = similar_weights(months[at], signs[at], months[rest], signs[rest])
        covered[at] = scores[at] <= weighted_quantile(scores[rest], weights, coverage)
    constant = weighted_quantile(np.abs(months - ages), np.ones_like(ages), coverage)
    return Calibration(made, covered, tuple(sexes), constant, errors, months - ages)


def similar_weights(at: float, sign: float, months: Values, signs: Values) -> Values:
    """How much each case has to say about an age and a sex, in [0, 1].

    Cases of the other sex say nothing: intervals that borrow from it cover one sex too often and the other too rarely.
    Only where a sex has too few cases of its own do they count, for less.
    """
    needed = min(_LEAST_CASES, 0.5 * len(months))
    same, both = np.where(signs == sign, 1.0, 0.0), np.where(signs == sign, 1.0, _OTHER_SEX)
    for of_sex in (same, both):
        for step in range(12):
            weights = of_sex * _nearness(at, months, _BANDWIDTH_MONTHS * 1.3**step)
            if effective_cases(weights) >= needed:
                return weights
    return both


def _nearness(at: float, months: Values, bandwidth: float = _BANDWIDTH_MONTHS) -> Values:
    return np.asarray(np.exp(-0.5 * ((months - at) / bandwidth) ** 2))


def effective_cases(weights: Values) -> float:
    """How many cases of equal weight would say as much (Kish): the squared sum over the sum of squares."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def drawn_mean(errors: Values, weights: Values) -> float:
    """The weighted mean, drawn towards 0 as far as few cases speak; 0 where none does."""
    if not len(errors):
        return 0.0
    effective = effective_cases(weights)
    return float(weights @ errors / weights.sum() * effective / (effective + _PRIOR_CASES))


def weighted_quantile(scores: Values, weights: Values, level: float) -> float:
    """The weighted quantile, with the weight of the next case put beyond the largest score (conformal prediction)."""
    if not len(scores):
        return 1.0
    order = np.argsort(scores)
    reached = np.cumsum(weights[order]) / (float(weights.sum()) + 1.0)
    at = int(np.searchsorted(reached, level))
    return float(max(scores[order[min(at, len(order) - 1)]], 1e-3))


def spread_months(errors: Iterable[float]) -> float:
    """Root mean square of a scalar network's errors: the standard deviation of its Gaussian, at least one month."""
    values = np.fromiter(errors, dtype=np.float64)
    return float(max(1.0, np.sqrt(np.mean(values**2))))
