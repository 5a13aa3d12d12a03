"""Regional bone ages: carpal and tubular bone age, each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from boneage.ages import Sex
from boneage.remarks import Remark


@dataclass(frozen=True, eq=False)
class UsualDifference:
    """How far carpal and tubular bone age usually lie apart, by sex and by the bone age of the whole hand.

    Attributes:
        at_months: float64 [k], rising; between them is interpolated, beyond them the last value holds.
        center_months: by sex, float64 [k]: carpal minus tubular, on average.
        reach_months: by sex, float64 [k]: on 95 % of cases it lies within so many months of that.
    """

    at_months: npt.NDArray[np.float64]
    center_months: Mapping[Sex, npt.NDArray[np.float64]]
    reach_months: Mapping[Sex, npt.NDArray[np.float64]]

    def ends(self, sex: Sex, months: float) -> tuple[float, float]:
        """(lower, upper) of what is usual for carpal minus tubular at that bone age."""
        center = float(np.interp(months, self.at_months, self.center_months[sex]))
        reach = float(np.interp(months, self.at_months, self.reach_months[sex]))
        return center - reach, center + reach


@dataclass(frozen=True)
class RegionalAges:
    """The regional bone ages of one radiograph, for one sex.

    Attributes:
        carpal_months: from region 1 alone (the carpal bones and the ends of radius and ulna), in [1, 240].
        tubular_months: from region 2 and the hand with region 1 erased (metacarpals and fingers), in [1, 240].
        usual_difference_months: (lower, upper): carpal minus tubular lies between them on 95 % of the cases of that
            sex and about that age that this was measured on; None where these were too few.
        remarks: what a reader should know: the difference is unusual, the wrist has no more to tell,
            phantoms taught the ages.
    """

    carpal_months: float
    tubular_months: float
    usual_difference_months: tuple[float, float] | None = None
    remarks: tuple[Remark, ...] = ()

    @property
    def unusual(self) -> bool | None:
        """Whether they lie further apart than is usual; None where that is not known."""
        if self.usual_difference_months is None:
            return None
        low, high = self.usual_difference_months
        return not low <= self.difference_months <= high

    @property
    def difference_months(self) -> float:
        """Carpal minus tubular."""
        return self.carpal_months - self.tubular_months
