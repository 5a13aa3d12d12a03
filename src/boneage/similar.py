"""Similar cases: the training cases whose features are nearest to those of a radiograph."""

from __future__ import annotations

from dataclasses import dataclass

from boneage.remarks import Remark


@dataclass(frozen=True)
class SimilarCase:
    """One training case.

    Attributes:
        id: its id in its data set.
        bone_age_months: its label, in [1, 240].
        distance: between the features of the two radiographs: 0 for the same radiograph, 1 for the root mean square
            distance of two training cases, whatever their ages and sexes.
    """

    id: str
    bone_age_months: float
    distance: float


@dataclass(frozen=True)
class SimilarCases:
    """The similar cases of one radiograph among those of one sex.

    Attributes:
        cases: nearest first; never empty.
        age_months: the median of their ages, in [1, 240]. It is not an independent opinion: the age network's own
            features chose the cases.
        data: name of their data set.
        usual_difference_months: on 95 % of the validation cases `age_months` and the model's bone age differ by at
            most this; None if there were too few cases.
        remarks: what a reader should know: an unusual difference, the radiograph itself among the cases, phantoms.
    """

    cases: tuple[SimilarCase, ...]
    age_months: float
    data: str
    usual_difference_months: float | None = None
    remarks: tuple[Remark, ...] = ()
