"""The answer to one radiograph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from boneage.ages import Sex
from boneage.radiograph import Radiograph
from boneage.regional_ages import RegionalAges
from boneage.regions import Box, Region
from boneage.remarks import Remark
from boneage.similar import SimilarCases
from boneage.views import View

NOTICE: Final = (
    "Research use only, not a medical device; not for diagnosis, treatment, "
    "or age determination of asylum seekers or athletes."
)


@dataclass(frozen=True, eq=False)
class SexAnswer:
    """The answer for one sex.

    Attributes:
        bone_age_months: expectation of the distribution, in [1, 240].
        interval_90_months: (lower, upper).
        distribution: float32 [240] over `boneage.ages.MONTHS`, summing to 1.
        similar_cases: similar training cases of that sex; None without an index, or if it has none of that sex.
        regional_ages: carpal and tubular bone age; None if the model does not answer them or a region is missing.
        interval_remarks: what a reader should know about the interval.
    """

    bone_age_months: float
    interval_90_months: tuple[float, float]
    distribution: npt.NDArray[np.float32]
    similar_cases: SimilarCases | None = None
    regional_ages: RegionalAges | None = None
    interval_remarks: tuple[Remark, ...] = ()

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What a reader should know about the interval, the regional ages and the similar cases."""
        others = (
            remark for said in (self.regional_ages, self.similar_cases) if said is not None for remark in said.remarks
        )
        return (*self.interval_remarks, *others)


def remarks_of(answers: Mapping[Sex, SexAnswer]) -> tuple[Remark, ...]:
    """The remarks of all answers, each once. If two sexes were assessed, a remark that holds for one names it."""
    of_all = set.intersection(*(set(answer.remarks) for answer in answers.values())) if answers else set()
    return tuple(
        dict.fromkeys(
            remark if remark in of_all else replace(remark, text=f"If {sex.value}: {remark.text}")
            for sex, answer in answers.items()
            for remark in answer.remarks
        )
    )


@dataclass(frozen=True, eq=False)
class Attention:
    """Where a localizer looked: `map` float32 [cells, cells] in [0, 1] over `box` (pixels of the radiograph)."""

    map: npt.NDArray[np.float32]
    box: Box


@dataclass(frozen=True, eq=False)
class Assessment:
    """Bone age, how sure it is, and where it looked.

    Attributes:
        radiograph: what was assessed.
        sex: the sex it was assessed for; None where unknown, then `answers` holds both.
        answers: one `SexAnswer` for each sex that was assessed.
        regions: boxes in pixels of the radiograph as shown (after EXIF rotation).
        attention: the map behind each region.
        views: uint8 [size, size] as the age network saw them, those of the regional ages (HE, R2E) included.
        model, model_sha256: which model answered.
        seconds: from reading to answer, without loading the model.
        remarks: what a reader should know (a region that was not found, a sex that contradicts the header, ...).
        notice: research use only; for phantom-trained models it says that, too.
        turned_degrees: rotation to canonical orientation, clockwise; boxes and maps are in pixels of the radiograph as
            given.
        inverted: the radiograph was inverted before it was assessed.
    """

    radiograph: Radiograph
    sex: Sex | None
    answers: Mapping[Sex, SexAnswer]
    regions: Mapping[Region, Box]
    attention: Mapping[Region, Attention]
    views: Mapping[View, npt.NDArray[np.uint8]]
    model: str
    model_sha256: str
    seconds: float
    remarks: tuple[Remark, ...] = field(default=())
    notice: str = NOTICE
    turned_degrees: float = 0.0
    inverted: bool = False

    @property
    def answer(self) -> SexAnswer | None:
        """The one answer, or None where the sex is unknown."""
        return None if self.sex is None else self.answers[self.sex]

    @property
    def bone_age_months(self) -> float | None:
        """The bone age, in [1, 240]; None where the sex is unknown, as for the following."""
        return None if self.answer is None else self.answer.bone_age_months

    @property
    def interval_90_months(self) -> tuple[float, float] | None:
        """(lower, upper) of the 90 % interval, months."""
        return None if self.answer is None else self.answer.interval_90_months

    @property
    def distribution(self) -> npt.NDArray[np.float32] | None:
        """float32 [240] over `boneage.ages.MONTHS`, summing to 1."""
        return None if self.answer is None else self.answer.distribution

    @property
    def similar_cases(self) -> SimilarCases | None:
        """Similar cases, where the assessor has an index."""
        return None if self.answer is None else self.answer.similar_cases

    @property
    def regional_ages(self) -> RegionalAges | None:
        """Carpal and tubular bone age, where the model has them."""
        return None if self.answer is None else self.answer.regional_ages
