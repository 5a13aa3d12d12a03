"""Geometry of the charts on a radiograph's page, in the units of their SVG; the templates draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from boneage.ages import FIRST_MONTH, LAST_MONTH, MONTHS, Sex
from boneage.assessment import Assessment, SexAnswer
from boneage.reports.overlays import SEX_COLOURS
from boneage.reports.record import AnswerRecord
from boneage.reports.text import years_and_months

_LEAST_SHOWN_MONTHS: Final = 36


@dataclass(frozen=True)
class Tick:
    """A mark on the axis of years; the label may be empty."""

    x: float
    label: str


@dataclass(frozen=True)
class Curve:
    """The distribution of one sex.

    Attributes:
        line, area: points "x,y x,y ..." of the curve and of the part under it inside the 90 % interval.
        mean_x: of the line at the bone age.
        label_x, label: the bone age in words, kept inside the chart.
    """

    sex: Sex
    colour: str
    line: str
    area: str
    mean_x: float
    label_x: float
    label: str


@dataclass(frozen=True)
class DistributionChart:
    """Age distributions over 0 to 20 years."""

    curves: Sequence[Curve]
    ticks: Sequence[Tick]
    chronological_x: float | None
    width: float = 620.0
    height: float = 240.0
    left: float = 12.0
    right: float = 608.0
    top: float = 26.0
    base: float = 196.0


def distribution_chart(assessment: Assessment, chronological_age_months: float | None = None) -> DistributionChart:
    """The age distribution of each answer with its bone age and 90 % interval, and the chronological age if given."""
    frame = DistributionChart((), (), None)
    peak = max(float(answer.distribution.max()) for answer in assessment.answers.values())
    shown = chronological_age_months is not None and 0 <= chronological_age_months <= LAST_MONTH
    return DistributionChart(
        [_curve(frame, sex, answer=answer, peak=peak) for sex, answer in assessment.answers.items()],
        [Tick(float(_x(frame, 12 * year)), str(year) if year % 2 == 0 else "") for year in range(21)],
        float(_x(frame, chronological_age_months)) if chronological_age_months is not None and shown else None,
    )


def _x(frame: DistributionChart, months: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return frame.left + np.asarray(months, dtype=np.float64) / LAST_MONTH * (frame.right - frame.left)


def _curve(frame: DistributionChart, sex: Sex, answer: SexAnswer, peak: float) -> Curve:
    xs = _x(frame, MONTHS)
    ys = frame.base - (frame.base - frame.top) / peak * answer.distribution.astype(np.float64)
    low, high = answer.interval_90_months
    inside = (low - 0.5 <= MONTHS) & (high + 0.5 >= MONTHS)
    first, last = xs[inside][0], xs[inside][-1]
    mean_x = float(_x(frame, answer.bone_age_months))
    return Curve(
        sex=sex,
        colour=SEX_COLOURS[sex],
        line=_points(xs, ys),
        area=f"{first:.1f},{frame.base} {_points(xs[inside], ys[inside])} {last:.1f},{frame.base}",
        mean_x=mean_x,
        label_x=float(np.clip(mean_x, 60, frame.width - 60)),
        label=years_and_months(answer.bone_age_months),
    )


def _points(xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))


@dataclass(frozen=True)
class SimilarCasesChart:
    """Bone ages of the similar cases as dots on an axis of years, with the model's bone age and the cases' median.

    Attributes:
        dots: centres (x, y); dots that would overlap are stacked.
        base: height of the axis.
    """

    colour: str
    dots: Sequence[tuple[float, float]]
    base: float
    model_x: float
    label_x: float
    median_x: float
    ticks: Sequence[Tick] = field(default=())
    width: float = 620.0
    left: float = 14.0
    right: float = 606.0
    radius: float = 4.0


def similar_cases_chart(answer: AnswerRecord, sex: Sex) -> SimilarCasesChart:
    """The chart of one answer that has similar cases."""
    months, ages = answer.bone_age_months, [case.bone_age_months for case in answer.similar_cases or ()]
    first, last = _shown_range([*ages, months])
    left, right, radius, width = 14.0, 606.0, 4.0, 620.0

    def x(age: float) -> float:
        return left + (age - first) / (last - first) * (right - left)

    spots = [x(age) for age in sorted(ages)]
    heights = [sum(at - before < 2 * radius for before in spots[:rank]) for rank, at in enumerate(spots)]
    base = 26.0 + 2 * radius * (max(heights) + 1)
    return SimilarCasesChart(
        colour=SEX_COLOURS[sex],
        dots=[(at, base - radius - 1 - 2 * radius * height) for at, height in zip(spots, heights, strict=True)],
        base=base,
        model_x=x(months),
        label_x=min(max(x(months), 60.0), width - 60.0),
        median_x=x(answer.similar_cases_age_months or months),
        ticks=[
            Tick(x(month), str(month // 12)) for month in range(math.ceil(first / 12) * 12, math.floor(last) + 1, 12)
        ],
    )


def _shown_range(months: Sequence[float]) -> tuple[float, float]:
    """The part of the age axis that is drawn."""
    middle, half = (min(months) + max(months)) / 2, max(_LEAST_SHOWN_MONTHS, max(months) - min(months) + 12) / 2
    first = max(0.0, min(middle - half, LAST_MONTH - 2 * half))
    return first, min(float(LAST_MONTH), max(first + 2 * half, FIRST_MONTH + _LEAST_SHOWN_MONTHS))
