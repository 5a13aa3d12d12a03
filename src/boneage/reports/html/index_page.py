"""The report's front page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from boneage.reports.html.rendering import render
from boneage.reports.record import AssessmentRecord


@dataclass(frozen=True)
class IndexRow:
    """One radiograph on the front page.

    Attributes:
        record: its record.
        page: file name of its own page; empty without an answer.
        thumbnail: a small picture as an address; empty without an answer.
        chronological_age_months: shown beside the bone age.
        phantom: whether it is a phantom.
    """

    record: AssessmentRecord
    page: str = ""
    thumbnail: str = ""
    chronological_age_months: float | None = None
    phantom: bool = False


def index_page(rows: Sequence[IndexRow], notice: str, made: str, *, interrupted: bool = False) -> str:
    """Every radiograph with its bone age and its remarks, and those without an answer with the reason.

    Args:
        rows: in the order asked.
        notice: research use only.
        made: when the report was made, in words.
        interrupted: whether radiographs are missing, because the run was ended.
    """
    assessed = [row for row in rows if row.record.status == "assessed"]
    return render(
        "index.html.jinja",
        notice=notice,
        made=made,
        interrupted=interrupted,
        assessed=assessed,
        others=[row for row in rows if row.record.status != "assessed"],
        rejected=sum(row.record.status == "rejected" for row in rows),
        failed=sum(row.record.status == "failed" for row in rows),
        models=sorted({f"{row.record.model} ({str(row.record.model_sha256)[:12]})" for row in assessed}),
        with_ages=any(row.chronological_age_months is not None for row in assessed),
        with_remarks=any(row.record.remarks for row in assessed),
    )
