"""The age distribution as inline SVG."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from boneage.ages import MONTHS, Sex
from boneage.assessment import Assessment, SexAnswer
from boneage.reports.record import years_and_months

SEX_COLOURS: Final = {Sex.FEMALE: "#b0457b", Sex.MALE: "#2a6f97"}


def distribution_svg(assessment: Assessment, chronological_age_months: float | None = None) -> str:
    """The age distribution(s) over 0 to 20 years, with 90 % interval and bone age, as inline SVG."""
    width, height, left, right, top, base = 620.0, 240.0, 12.0, 608.0, 26.0, 196.0
    peak = max(float(answer.distribution.max()) for answer in assessment.answers.values())

    def x(month: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return left + np.asarray(month, dtype=np.float64) / 240.0 * (right - left)

    marks = "".join(
        f'<line x1="{x(year * 12):.1f}" x2="{x(year * 12):.1f}" y1="{base}" y2="{base + (6 if year % 2 == 0 else 3)}" '
        f'stroke="#aab4bd"/>' + (f'<text x="{x(year * 12):.1f}" y="{base + 19}" text-anchor="middle">{year}</text>'
        if year % 2 == 0 else "")
        for year in range(21)
    )  # fmt: skip
    curves = "".join(
        _curve(
            answer,
            SEX_COLOURS[sex],
            x(MONTHS),
            base - (base - top) / peak * answer.distribution.astype(np.float64),
            base,
        )
        for sex, answer in assessment.answers.items()
    )
    lines = ""
    for sex, answer in assessment.answers.items():
        at, colour = float(x(answer.bone_age_months)), SEX_COLOURS[sex]
        lines += f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top - 6}" y2="{base}" stroke="{colour}" stroke-width="1.6"/>'
    if len(assessment.answers) == 1:
        (answer,) = assessment.answers.values()
        at = float(np.clip(x(answer.bone_age_months), 60, width - 60))
        said = years_and_months(answer.bone_age_months)
        lines += f'<text x="{at:.1f}" y="{top - 11}" text-anchor="middle">{said}</text>'
    else:
        lines += "".join(
            f'<text x="{left + 4 + 70 * place}" y="{top - 11}" style="fill:{SEX_COLOURS[sex]}">'
            f"&#9632; {sex.value}</text>"
            for place, sex in enumerate(assessment.answers)
        )
    if chronological_age_months is not None and 0 <= chronological_age_months <= 240:
        at = float(x(chronological_age_months))
        lines += (
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top - 6}" y2="{base}" stroke="#1d2733" stroke-width="1.4" '
            f'stroke-dasharray="5 4"><title>chronological age</title></line>'
        )
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="100%" role="img" aria-label="age distribution">'
        f"{curves}{lines}"
        f'<line x1="{left}" x2="{right}" y1="{base}" y2="{base}" stroke="#aab4bd"/>{marks}'
        f'<text x="{(left + right) / 2}" y="{height - 6}" text-anchor="middle">bone age in years</text></svg>'
    )


def _curve(
    answer: SexAnswer, colour: str, xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64], base: float
) -> str:
    low, high = answer.interval_90_months
    inside = (low - 0.5 <= MONTHS) & (high + 0.5 >= MONTHS)
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    area = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs[inside], ys[inside], strict=True))
    first, last = xs[inside][0], xs[inside][-1]
    return (
        f'<polygon points="{first:.1f},{base} {area} {last:.1f},{base}" fill="{colour}" opacity="0.18"/>'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
    )
