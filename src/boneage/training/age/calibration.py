"""Calibration on *validation*: bias correction, and intervals by conformal prediction over the learned distribution.

The score of a case is its error divided by how far the network's own 90 % interval reaches on that side (normalised
conformal prediction, Lei et al. 2018). The factor for an age and a sex is the weighted 90 % quantile of the scores of
cases of that sex and about that answered age (localised conformal prediction, Guan 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from boneage.ages import Sex, expectation_months
from boneage.evaluation.bootstrap import figure
from boneage.model.by_age import PLAIN_TAIL, ByAge, Correction, moved, reaches
from boneage.model.document import Calibration

AT_MONTHS: Final = np.arange(12.0, 229.0, 12.0)
COVERAGE: Final = 0.9
"""Of the interval that all outputs call the 90 % interval."""
_BANDWIDTH_MONTHS: Final = 15.0
_LEAST_CASES: Final = 40.0
"""The bandwidth grows until the effective number of cases is this large."""
_OTHER_SEX: Final = 0.3
"""Weight of a case of the other sex, where one sex alone has too few cases."""
_PRIOR_CASES: Final = 20.0
"""A mean error is shrunk towards 0 as if so many cases without error were added."""
_FOLDS: Final = 10

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FittedCalibration:
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

    @property
    def entry(self) -> Calibration:
        """`calibration` of model.json."""
        return Calibration(
            tail=PLAIN_TAIL,
            coverage=round(self.coverage, 4),
            cases=len(self.errors_months),
            split="validation",
            correction=self.correction,
            constant_half_width_months=round(self.constant_half_width_months, 3),
        )

    @property
    def figures(self) -> dict[str, Any]:
        """`validation` of metrics.json."""
        of_sexes = {sex.value: np.array([other is sex for other in self.sexes]) for sex in Sex}
        errors = self.corrected_months
        return {
            "mae_months": round(float(np.abs(errors).mean()), 3),
            "mae_interval_95": figure(np.abs(errors)).as_dict()["interval_95"],
            "bias_months": round(float(errors.mean()), 3),
            "bias_interval_95": figure(errors).as_dict()["interval_95"],
            "cases": len(errors),
            "mae_months_as_answered": round(float(np.abs(self.errors_months).mean()), 3),
            "coverage_90_by_sex": {
                sex: round(float(self.covered[of_sex].mean()), 4) for sex, of_sex in of_sexes.items() if of_sex.any()
            },
        }


def calibrate(
    distributions: npt.NDArray[np.floating], age_months: Values, sexes: Sequence[Sex], coverage: float
) -> FittedCalibration:
    """Fit a correction by age and sex whose intervals cover `coverage` of cases like these.

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
            weights = similar_weights(answered[i], signs[i], months=answered[rest], signs=signs[rest])
            shifts[i] = shrunken_mean(errors[rest], weights)
    corrected = np.stack([moved(row, shift) for row, shift in zip(plain, shifts, strict=True)])
    months = np.asarray(expectation_months(corrected), dtype=np.float64)
    reach = np.array([reaches(row) for row in corrected])
    scores = np.maximum((months - ages) / reach[:, 0], (ages - months) / reach[:, 1])
    correction = Correction(
        shift_months=ByAge.of(
            AT_MONTHS,
            lambda sex, at: shrunken_mean(errors, similar_weights(at, sex.sign, months=answered, signs=signs)),
        ),
        width=ByAge.of(
            AT_MONTHS,
            lambda sex, at: weighted_quantile(
                scores, similar_weights(at, sex.sign, months=months, signs=signs), coverage
            ),
        ),
        near_cases=ByAge.of(AT_MONTHS, lambda sex, at: float(_nearness(at, months) @ (signs == sex.sign))),
    )
    covered = np.zeros(len(ages), dtype=bool)
    for at in range(len(ages)):
        rest = np.arange(len(ages)) != at
        weights = similar_weights(months[at], signs[at], months=months[rest], signs=signs[rest])
        covered[at] = scores[at] <= weighted_quantile(scores[rest], weights, coverage)
    constant = weighted_quantile(np.abs(months - ages), np.ones_like(ages), coverage)
    return FittedCalibration(
        correction=correction,
        covered=covered,
        sexes=tuple(sexes),
        constant_half_width_months=constant,
        errors_months=errors,
        corrected_months=months - ages,
    )


def similar_weights(at: float, sign: float, months: Values, signs: Values) -> Values:
    """The weight of each case for an age and a sex, in [0, 1].

    Cases of the other sex have no weight, because intervals that borrow from them cover one sex too often and the other
    too rarely. Where a sex has too few cases, cases of the other sex count for less.
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
    """The number of cases of equal weight with the same variance (Kish): the squared sum over the sum of squares."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def shrunken_mean(errors: Values, weights: Values) -> float:
    """The weighted mean, shrunk towards 0 the more the fewer cases there are; 0 without any."""
    if not len(errors):
        return 0.0
    effective = effective_cases(weights)
    return float(weights @ errors / weights.sum() * effective / (effective + _PRIOR_CASES))


def weighted_quantile(scores: Values, weights: Values, level: float) -> float:
    """The weighted quantile, with the weight of the next case added beyond the largest score (conformal prediction)."""
    if not len(scores):
        return 1.0
    order = np.argsort(scores)
    reached = np.cumsum(weights[order]) / (float(weights.sum()) + 1.0)
    at = int(np.searchsorted(reached, level))
    return float(max(scores[order[min(at, len(order) - 1)]], 1e-3))
