"""The closest training cases of a film as a part of its page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from boneage.ages import FIRST_MONTH, LAST_MONTH, Sex
from boneage.assessment import Assessment
from boneage.reports.chart import SEX_COLOURS
from boneage.reports.record import short_file_name, years_and_months
from boneage.similar import SimilarCases

_ROWS: Final = 5
"""Cases under one head of the table."""
_LEAST_SHOWN_MONTHS: Final = 36


def similar_cases_card(record: Mapping[str, Any], assessment: Assessment) -> str:
    """The closest cases, their ages, and what they say beside what the model says; empty without an index.

    Ages are those of the record, as elsewhere on the page.
    """
    blocks = ""
    data = ""
    for sex, answer in assessment.answers.items():
        if answer.similar_cases is not None:
            said = record if assessment.sex else record["by_sex"][sex.value]
            title = "" if assessment.sex else f"<h2>If {sex.value}</h2>"
            told = _opinions(said, answer.similar_cases) + _strip(said, sex) + _tables(said["similar_cases"])
            blocks += f"<div>{title}{told}</div>"
            data = answer.similar_cases.data
    if not blocks:
        return ""
    several = "sexes" if len(assessment.answers) > 1 else ""
    return (
        f'<div class="card"><h2>Closest cases of the same sex</h2><div class="{several}">{blocks}</div>'
        f'<div class="quiet">Cases of {escape(data)} whose films the age network finds '
        "most alike, with the bone ages that readers gave them. Distance: 0 is the same film, 1 is usual between two "
        "cases of any age. The network chose them by what its own answer is made of: they show what it compares the "
        "film with, and are no opinion from outside.</div></div>"
    )


def _opinions(said: Mapping[str, Any], similar_cases: SimilarCases) -> str:
    age, months = said["similar_cases_age_months"], said["bone_age_months"]
    usual = similar_cases.usual_difference_months
    known = "" if usual is None else f"(on 95 % of cases at most {usual:.1f})"
    opinions = (
        (f"Median of the {len(similar_cases.cases)} closest", years_and_months(age), f"{age:.1f} months"),
        ("Bone age by the model", years_and_months(months), f"{months:.1f} months"),
        ("Apart", f"{abs(age - months):.1f} months", known),
    )
    return (
        '<div class="opinions">'
        + "".join(
            f'<div><div class="quiet">{name}</div><b>{value}</b> <span class="quiet">{more}</span></div>'
            for name, value, more in opinions
        )
        + "</div>"
    )


def _strip(said: Mapping[str, Any], sex: Sex) -> str:
    """The cases' ages as dots over an axis of years, the model's bone age as a line, their median as a triangle."""
    months = float(said["bone_age_months"])
    ages = [float(case["bone_age_months"]) for case in said["similar_cases"]]
    first, last = _range([*ages, months])
    width, left, right, radius = 620.0, 14.0, 606.0, 4.0

    def x(age: float) -> float:
        return left + (age - first) / (last - first) * (right - left)

    spots = [x(age) for age in sorted(ages)]
    # Dots that would cover each other are piled up.
    heights = [sum(at - before < 2 * radius for before in spots[:rank]) for rank, at in enumerate(spots)]
    base = 26.0 + 2 * radius * (max(heights) + 1)
    dots = "".join(
        f'<circle cx="{at:.1f}" cy="{base - radius - 1 - 2 * radius * height:.1f}" r="{radius}"/>'
        for at, height in zip(spots, heights, strict=True)
    )
    colour, model, median = SEX_COLOURS[sex], x(months), x(float(said["similar_cases_age_months"]))
    ticks = "".join(
        f'<line x1="{x(month):.1f}" x2="{x(month):.1f}" y1="{base}" y2="{base + 5}" stroke="#aab4bd"/>'
        f'<text x="{x(month):.1f}" y="{base + 23}" text-anchor="middle">{month // 12}</text>'
        for month in range(math.ceil(first / 12) * 12, math.floor(last) + 1, 12)
    )
    label = min(max(model, 60.0), width - 60.0)
    return (
        f'<svg viewBox="0 0 {width:.0f} {base + 44:.0f}" width="100%" style="max-width: 760px" role="img" '
        'aria-label="ages of the closest cases">'
        f'<g fill="{colour}" fill-opacity="0.55">{dots}</g>'
        f'<line x1="{model:.1f}" x2="{model:.1f}" y1="14" y2="{base}" stroke="#1d2733" stroke-width="1.6"/>'
        f'<text x="{label:.1f}" y="10" text-anchor="middle">model</text>'
        f'<polygon points="{median:.1f},{base + 1} {median - 6:.1f},{base + 10} {median + 6:.1f},{base + 10}" '
        f'fill="{colour}"><title>median of the closest cases</title></polygon>'
        f'<line x1="{left}" x2="{right}" y1="{base}" y2="{base}" stroke="#aab4bd"/>{ticks}'
        f'<text x="{(left + right) / 2}" y="{base + 40}" text-anchor="middle">bone age in years; '
        "triangle: median of the cases</text></svg>"
    )


def _range(months: Sequence[float]) -> tuple[float, float]:
    """The part of the age axis that is drawn."""
    middle, half = (min(months) + max(months)) / 2, max(_LEAST_SHOWN_MONTHS, max(months) - min(months) + 12) / 2
    first = max(0.0, min(middle - half, LAST_MONTH - 2 * half))
    return first, min(float(LAST_MONTH), max(first + 2 * half, FIRST_MONTH + _LEAST_SHOWN_MONTHS))


def _tables(cases: Sequence[Mapping[str, Any]]) -> str:
    parts = ""
    for start in range(0, len(cases), _ROWS):
        rows = "".join(
            f"<tr><td>{escape(short_file_name(str(case['id']), 24))}</td>"
            f'<td class="number">{years_and_months(case["bone_age_months"])}</td>'
            f'<td class="number">{case["distance"]:.2f}</td></tr>'
            for case in cases[start : start + _ROWS]
        )
        parts += f"<table><tr><th>Case</th><th>Bone age</th><th>Distance</th></tr>{rows}</table>"
    return f'<div class="similar_cases">{parts}</div>'
