"""Regional bone ages: carpal and tubular bone age, each by itself."""

from __future__ import annotations

from dataclasses import dataclass

from boneage.remarks import Remark


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
