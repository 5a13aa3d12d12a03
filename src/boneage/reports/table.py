"""One assessment as one row of a CSV table."""

from __future__ import annotations

import csv
import io
from typing import Any, Final

from boneage.reports.record import AnswerRecord, AssessmentRecord

_REGIONAL: Final = ("carpal_bone_age_months", "tubular_bone_age_months")

CSV_COLUMNS: Final = (
    *("file", "status", "reason", "reason_code", "sex", "bone_age_months", "lower_90_months", "upper_90_months"),
    *("male_bone_age_months", "male_lower_90_months", "male_upper_90_months"),
    *("female_bone_age_months", "female_lower_90_months", "female_upper_90_months"),
    *("carpal_bone_age_months", "tubular_bone_age_months", "carpal_minus_tubular_months"),
    *("male_carpal_bone_age_months", "male_tubular_bone_age_months"),
    *("female_carpal_bone_age_months", "female_tubular_bone_age_months"),
    *("similar_cases_age_months", "laterality", "turned_degrees", "inverted", "remark_codes"),
    *("model", "model_sha256", "seconds", "warnings", "notice"),
)
"""Columns of the table. Distribution, boxes and similar cases are in JSON only."""


def csv_row(record: AssessmentRecord) -> dict[str, Any]:
    """The values by column; None where there is none. Codes of remarks, each once, are separated by spaces."""
    row: dict[str, Any] = {name: getattr(record, name, None) for name in CSV_COLUMNS}
    row["warnings"] = " ".join(record.warnings)
    row["inverted"] = None if record.inverted is None else str(record.inverted).lower()
    row["remark_codes"] = " ".join(dict.fromkeys(remark.code for remark in record.remarks))
    for sex, answer in record.answers.items():
        row |= _answer("" if sex is None else f"{sex.value}_", answer)
    return row


def csv_line(record: AssessmentRecord) -> str:
    """One line of the table, with its line break."""
    return _line(csv_row(record))


def csv_header() -> str:
    """The first line of the table, with its line break."""
    return _line(dict(zip(CSV_COLUMNS, CSV_COLUMNS, strict=True)))


def _answer(prefix: str, answer: AnswerRecord) -> dict[str, Any]:
    lower, upper = answer.interval_90_months
    return {
        f"{prefix}bone_age_months": answer.bone_age_months,
        f"{prefix}lower_90_months": lower,
        f"{prefix}upper_90_months": upper,
        **{f"{prefix}{name}": getattr(answer, name) for name in _REGIONAL},
    }


def _line(row: dict[str, Any]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n").writerow(row)
    return text.getvalue().encode("utf-8", "replace").decode("utf-8")
