"""Figures that depend on sex and bone age, as a model keeps them: bias, width of the interval, usual difference."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from boneage.ages import FIRST_MONTH, LAST_MONTH, MONTHS, Sex, central_interval_months, expectation_months
from boneage.remarks import Remark

Distribution = npt.NDArray[np.float64]
Month = Annotated[float, Field(ge=FIRST_MONTH, le=LAST_MONTH)]

PLAIN_TAIL: Final = 0.05
"""Probability outside the interval that `width` stretches, at each end."""
FEW_CASES: Final = 30.0
"""An interval that rests on fewer cases near in sex and age gets a remark."""
_SMALLEST_REACH_MONTHS: Final = 1.0
"""How far an interval reaches to either side, at least, before it is stretched."""


class Entry(BaseModel):
    """A part of `model.json`: immutable, all numbers finite."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class ByAge(Entry):
    """A figure for each sex and bone age.

    Attributes:
        at_months: rising. Values between them are interpolated; beyond them the last value holds.
        male, female: the values at `at_months`.
    """

    at_months: tuple[Month, ...] = Field(min_length=1)
    male: tuple[float, ...]
    female: tuple[float, ...]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if any(later <= earlier for earlier, later in zip(self.at_months, self.at_months[1:], strict=False)):
            raise ValueError("at_months should rise")
        if not len(self.at_months) == len(self.male) == len(self.female):
            raise ValueError("at_months, male and female should be lists of one length")
        return self

    @classmethod
    def of(cls, at_months: Iterable[float], figure: Callable[[Sex, float], float]) -> ByAge:
        """The curve through `figure(sex, months)` at these months, rounded as `model.json` will hold it."""
        at = tuple(map(float, at_months))
        male, female = (tuple(round(float(figure(sex, months)), 4) for months in at) for sex in (Sex.MALE, Sex.FEMALE))
        return cls(at_months=at, male=male, female=female)

    def __call__(self, sex: Sex, months: float) -> float:
        """The figure at that bone age."""
        return float(np.interp(months, self.at_months, self.male if sex is Sex.MALE else self.female))


def _not_negative(curve: ByAge) -> ByAge:
    if min(*curve.male, *curve.female) < 0:
        raise ValueError("should not be negative")
    return curve


NotNegative = Annotated[ByAge, AfterValidator(_not_negative)]


class UsualDifference(Entry):
    """How far carpal and tubular bone age usually differ; the age is the bone age of the whole hand.

    Attributes:
        center_months: carpal minus tubular, on average.
        reach_months: the difference of 95 % of cases is within so many months of the average.
    """

    center_months: ByAge
    reach_months: NotNegative

    def ends(self, sex: Sex, months: float) -> tuple[float, float]:
        """The usual range (lower, upper) of carpal minus tubular at that bone age."""
        center, reach = self.center_months(sex, months), self.reach_months(sex, months)
        return center - reach, center + reach


class Correction(Entry):
    """What *validation* taught about a network's answers; the age is the one that the network answers.

    Attributes:
        shift_months: how much too old answers are, on average.
        width: factor by which the network's own 90 % interval is stretched about the answer.
        near_cases: how many cases of that sex and about that age both were measured on (a case at another age counts
            in part); None where it was not written down.
    """

    shift_months: ByAge
    width: NotNegative
    near_cases: NotNegative | None = None

    def corrected(self, distribution: Distribution, sex: Sex) -> Distribution:
        """The distribution moved by the shift at its expectation."""
        return moved(distribution, self.shift_months(sex, float(expectation_months(distribution))))

    def interval_months(self, corrected: Distribution, sex: Sex) -> tuple[float, float]:
        """The 90 % interval of a corrected distribution, within [1, 240]."""
        months = float(expectation_months(corrected))
        below, above = reaches(corrected)
        factor = self.width(sex, months)
        ends = np.clip([months - factor * below, months + factor * above], FIRST_MONTH, LAST_MONTH)
        return float(ends[0]), float(ends[1])

    def remarks(self, months: float, sex: Sex) -> tuple[Remark, ...]:
        """What a reader should know about the interval of an answer."""
        if self.near_cases is None or (cases := self.near_cases(sex, months)) >= FEW_CASES:
            return ()
        text = (
            f"The 90 % interval rests on few cases of this sex and age (about {cases:.0f}); it may hold the bone age "
            "less often than in 90 % of cases."
        )
        return (Remark.of("few_calibration_cases", text),)


def moved(distribution: Distribution, months: float) -> Distribution:
    """A distribution made younger by so many months (older where negative), float64 [240], summing to 1.

    What would leave the axis is cut off. A distribution that would leave it by more than half stays as it is.
    """
    there = np.interp(MONTHS + months, MONTHS, distribution, left=0.0, right=0.0)
    total = float(there.sum())
    return np.asarray(there / total) if total > 0.5 * float(np.sum(distribution)) else np.asarray(distribution)


def reaches(distribution: Distribution) -> tuple[float, float]:
    """How far the plain 90 % interval reaches below and above the expectation, months, at least 1 each."""
    months = float(expectation_months(distribution))
    low, high = central_interval_months(distribution, PLAIN_TAIL)
    return max(months - low, _SMALLEST_REACH_MONTHS), max(high - months, _SMALLEST_REACH_MONTHS)


__all__ = [
    "FEW_CASES",
    "PLAIN_TAIL",
    "ByAge",
    "Correction",
    "Distribution",
    "Entry",
    "Month",
    "UsualDifference",
    "moved",
    "reaches",
]
