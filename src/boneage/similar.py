"""The closest cases of an assessed film: the training cases that the age network takes for most alike."""

from __future__ import annotations

from dataclasses import dataclass

from boneage.remarks import Remark


@dataclass(frozen=True)
class SimilarCase:
    """One training case.

    Attributes:
        id: its name in its data set.
        bone_age_months: as it was labelled, in [1, 240].
        distance: between the two films' features, 0 for the same film; 1 is the distance at which two training cases
            lie from each other (root mean square), whatever their ages and sexes.
    """

    id: str
    bone_age_months: float
    distance: float


@dataclass(frozen=True)
class SimilarCases:
    """The closest cases of one film among those of one sex.

    Attributes:
        cases: the closest first; never empty.
        age_months: the median of their ages, in [1, 240]. No opinion from outside: the same network chose the cases.
        data: the data set that they are of.
        usual_difference_months: `age_months` and the model's bone age lie no further apart on 95 % of the cases that
            it was measured on; None where these were too few.
        remarks: what a reader should know: they lie further apart than that, the film itself is among
            the cases, the cases are phantoms.
    """

    cases: tuple[SimilarCase, ...]
    age_months: float
    data: str
    usual_difference_months: float | None = None
    remarks: tuple[Remark, ...] = ()
