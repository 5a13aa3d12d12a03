"""What *validation* taught about a network's answers: how far they are off, and how wide a 90 % interval has to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from boneage.ages import FIRST_MONTH, LAST_MONTH, MONTHS, Sex, central_interval_months, expectation_months
from boneage.remarks import Remark

Distribution = npt.NDArray[np.float64]

PLAIN_TAIL: Final = 0.05
"""Mass outside the interval that `width` stretches, at each end."""
FEW_CASES: Final = 30.0
"""Under so many similar cases an interval is said to rest on few."""
_LEAST_REACH_MONTHS: Final = 1.0
"""An interval reaches at least so far to either side before it is stretched."""


@dataclass(frozen=True)
class Correction:
    """By sex and by the age that the network answers.

    Attributes:
        at_months: float64 [k], rising; between them is interpolated, beyond them the last value holds.
        shift_months: by sex, float64 [k]: by how much answers are too old, on average.
        width: by sex, float64 [k]: factor by which the network's own 90 % interval is stretched about the answer.
        near: by sex, float64 [k]: how many cases of that sex and about that age it was measured on, those at another
            age counted in part; None where that was not written down.
    """

    at_months: npt.NDArray[np.float64]
    shift_months: Mapping[Sex, npt.NDArray[np.float64]]
    width: Mapping[Sex, npt.NDArray[np.float64]]
    near: Mapping[Sex, npt.NDArray[np.float64]] | None = None

    def shift(self, months: float, sex: Sex) -> float:
        """How much too old an answer is, months."""
        return float(np.interp(months, self.at_months, self.shift_months[sex]))

    def corrected(self, distribution: Distribution, sex: Sex) -> Distribution:
        """The distribution moved by the shift at its expectation."""
        return moved(distribution, self.shift(float(expectation_months(distribution)), sex))

    def interval_months(self, corrected: Distribution, sex: Sex) -> tuple[float, float]:
        """The 90 % interval of a corrected distribution, within [1, 240]."""
        months = float(expectation_months(corrected))
        below, above = reaches(corrected)
        factor = float(np.interp(months, self.at_months, self.width[sex]))
        ends = np.clip([months - factor * below, months + factor * above], FIRST_MONTH, LAST_MONTH)
        return float(ends[0]), float(ends[1])

    def remarks(self, months: float, sex: Sex) -> tuple[Remark, ...]:
        """What a reader should know about the interval of an answer."""
        if self.near is None:
            return ()
        cases = float(np.interp(months, self.at_months, self.near[sex]))
        if cases >= FEW_CASES:
            return ()
        text = (
            f"The 90 % interval rests on few cases of this sex and age (about {cases:.0f}): it may hold the bone age "
            "less often than it says."
        )
        return (Remark.of("few_calibration_cases", text),)


def moved(distribution: Distribution, months: float) -> Distribution:
    """A distribution made younger by so many months (older where negative), float64 [240], summing to 1.

    What would leave the axis is cut off; a distribution that would leave it altogether stays as it is.
    """
    there = np.interp(MONTHS + months, MONTHS, distribution, left=0.0, right=0.0)
    total = float(there.sum())
    return np.asarray(there / total) if total > 0.5 * float(np.sum(distribution)) else np.asarray(distribution)


def reaches(distribution: Distribution) -> tuple[float, float]:
    """How far the plain 90 % interval reaches below and above the expectation, months, at least 1 each."""
    months = float(expectation_months(distribution))
    low, high = central_interval_months(distribution, PLAIN_TAIL)
    return max(months - low, _LEAST_REACH_MONTHS), max(high - months, _LEAST_REACH_MONTHS)


__all__ = ["FEW_CASES", "PLAIN_TAIL", "Correction", "Distribution", "moved", "reaches"]
