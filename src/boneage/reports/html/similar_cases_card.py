"""The similar cases of a radiograph as a part of its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from boneage.assessment import Assessment
from boneage.reports.chart import SimilarCasesChart, similar_cases_chart
from boneage.reports.record import AnswerRecord, AssessmentRecord, SimilarCaseRecord
from boneage.reports.text import years_and_months
from boneage.similar import SimilarCases

_ROWS: Final = 5
"""Cases in one column of the table."""


@dataclass(frozen=True)
class Opinion:
    """A name, an age in words, and what else there is to know of it."""

    name: str
    value: str
    more: str


@dataclass(frozen=True)
class SimilarCasesBlock:
    """The similar cases of one answer.

    Attributes:
        sex: None where the sex is known and there is one answer.
        opinions: median of the cases, bone age of the model, their difference.
        columns: the cases, most similar first, in columns of `_ROWS`.
        data: the data set that they are of.
    """

    sex: str | None
    opinions: Sequence[Opinion]
    chart: SimilarCasesChart
    columns: Sequence[Sequence[SimilarCaseRecord]]
    data: str


def similar_cases_blocks(record: AssessmentRecord, assessment: Assessment) -> list[SimilarCasesBlock]:
    """One block for each answer that has similar cases; none without an index. Ages are the record's."""
    blocks = []
    for sex, answer in assessment.answers.items():
        said = record.answers[None if assessment.sex else sex]
        if answer.similar_cases is None or said.similar_cases is None:
            continue
        cases = said.similar_cases
        blocks.append(
            SimilarCasesBlock(
                sex=None if assessment.sex else sex.value,
                opinions=_opinions(said, answer.similar_cases),
                chart=similar_cases_chart(said, sex),
                columns=[cases[start : start + _ROWS] for start in range(0, len(cases), _ROWS)],
                data=answer.similar_cases.data,
            )
        )
    return blocks


def _opinions(answer: AnswerRecord, similar_cases: SimilarCases) -> list[Opinion]:
    median, months = answer.similar_cases_age_months or 0.0, answer.bone_age_months
    usual = similar_cases.usual_difference_months
    known = "" if usual is None else f"(at most {usual:.1f} in 95 % of cases)"
    count = len(similar_cases.cases)
    return [
        Opinion(f"Median of {count} case{'s' if count > 1 else ''}", years_and_months(median), f"{median:.1f} months"),
        Opinion("Bone age by the model", years_and_months(months), f"{months:.1f} months"),
        Opinion("Difference", f"{abs(median - months):.1f} months", known),
    ]
