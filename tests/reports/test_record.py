from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from boneage.ages import Sex
from boneage.assessment import NOTICE, Assessment
from boneage.assessor import Assessor
from boneage.errors import BoneAgeError, ModelError, UnreadableRadiograph, UnsuitableRadiograph
from boneage.model.folder import load_model
from boneage.radiograph import Radiograph
from boneage.remarks import Remark, Severity
from boneage.reports import AssessmentRecord
from boneage.reports.schema import assessment_schema
from boneage.reports.table import CSV_COLUMNS, csv_header, csv_line, csv_row
from boneage.reports.text import number, short_file_name, years_and_months

CONTRACT = [
    "file", "status", "reason", "reason_code", "sex", "bone_age_months", "interval_90_months", "distribution",
    "carpal_bone_age_months", "tubular_bone_age_months", "carpal_minus_tubular_months", "similar_cases",
    "similar_cases_age_months", "regions", "by_sex", "laterality", "turned_degrees", "inverted", "remarks", "clinical",
    "model", "model_sha256", "seconds", "notice", "warnings",
]  # fmt: skip
SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "assessment.schema.json"


@pytest.fixture
def assessments(standin_model: Path, hand: Radiograph) -> tuple[Assessment, Assessment]:
    assessor = Assessor(load_model(standin_model))
    return assessor.assess(hand, "male"), assessor.assess(hand)


def through_json(record: AssessmentRecord) -> dict[str, Any]:
    back: dict[str, Any] = json.loads(record.as_json())
    assert back == record.as_dict()
    assert AssessmentRecord.model_validate(back) == record
    return back


def test_the_contract(assessments: tuple[Assessment, Assessment]) -> None:
    entry = through_json(AssessmentRecord.of(assessments[0]))
    assert list(entry) == CONTRACT
    assert (entry["file"], entry["status"], entry["reason"], entry["sex"]) == ("hand.png", "assessed", None, "male")
    assert entry["bone_age_months"] == pytest.approx(assessments[0].bone_age_months, abs=0.005)
    assert entry["interval_90_months"][0] < entry["bone_age_months"] < entry["interval_90_months"][1]
    assert len(entry["distribution"]) == 240
    assert sum(entry["distribution"]) == pytest.approx(1, abs=1e-4)
    expected = sum(month * share for month, share in enumerate(entry["distribution"], start=1))
    assert expected == pytest.approx(entry["bone_age_months"], abs=0.02)
    assert set(entry["regions"]) == {"hand", "region_1", "region_2"}
    for x0, y0, x1, y1 in entry["regions"].values():
        assert 0 <= x0 < x1 <= 120
        assert 0 <= y0 < y1 <= 150
    assert entry["notice"] == NOTICE


def test_unknown_sex_gives_both_and_nulls(assessments: tuple[Assessment, Assessment]) -> None:
    known, unknown = (through_json(AssessmentRecord.of(assessment)) for assessment in assessments)
    assert list(unknown) == list(known) == CONTRACT
    assert known["by_sex"] is None
    assert unknown["sex"] == "unknown"
    assert unknown["bone_age_months"] is unknown["interval_90_months"] is unknown["distribution"] is None
    assert set(unknown["by_sex"]) == {"male", "female"}
    for key, value in unknown["by_sex"]["male"].items():
        assert known[key] == value


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (
            UnreadableRadiograph("empty_file", "the file is empty", "Copy it again", "a.png"),
            "failed",
            "The file is empty. Copy it again.",
        ),
        (UnsuitableRadiograph("color_image", "a colour photo", "", "a.png"), "rejected", "A colour photo."),
        (ModelError("a.png: no"), "failed", "No"),
        (ZeroDivisionError("division by zero"), "failed", "Division by zero"),
    ],
)
def test_without_an_answer(error: Exception, status: str, reason: str) -> None:
    entry = through_json(AssessmentRecord.of_error(error, "a.png", sex=Sex.FEMALE, model="m", model_sha256="s"))
    assert list(entry) == CONTRACT
    assert (entry["status"], entry["reason"], entry["sex"], entry["file"]) == (status, reason, "female", "a.png")
    assert entry["reason_code"] == (error.code if isinstance(error, BoneAgeError) else "unexpected_error")
    assert entry["bone_age_months"] is entry["distribution"] is None
    assert entry["regions"] is entry["by_sex"] is entry["inverted"] is entry["turned_degrees"] is None
    assert entry["remarks"] == entry["warnings"] == []
    assert entry["notice"] == NOTICE


def test_remarks_keep_code_and_severity_and_warnings_are_their_texts(
    assessments: tuple[Assessment, Assessment],
) -> None:
    remarks = (Remark.of("phantom", "A phantom."), Remark.of("two_hands", "Two hands."))
    record = AssessmentRecord.of(replace(assessments[0], remarks=remarks))
    entry = through_json(record)
    assert entry["remarks"] == [
        {"code": "phantom", "severity": "info", "text": "A phantom."},
        {"code": "two_hands", "severity": "do_not_rely", "text": "Two hands."},
    ]
    assert entry["warnings"] == ["A phantom.", "Two hands."]
    assert record.severity is Severity.DO_NOT_RELY
    assert AssessmentRecord.of(replace(assessments[0], remarks=())).severity is None


def test_the_answers_of_a_record(assessments: tuple[Assessment, Assessment]) -> None:
    known, unknown = map(AssessmentRecord.of, assessments)
    assert list(known.answers) == [None]
    assert known.answers[None].bone_age_months == known.bone_age_months
    assert list(unknown.answers) == [Sex.MALE, Sex.FEMALE]
    assert AssessmentRecord.of_error(ModelError("no"), "a.png").answers == {}


def test_values_that_are_not_finite_are_refused(assessments: tuple[Assessment, Assessment]) -> None:
    entry = AssessmentRecord.of(assessments[0]).as_dict()
    with pytest.raises(ValidationError):
        AssessmentRecord.model_validate({**entry, "bone_age_months": float("nan")})


def test_a_file_name_that_is_not_utf8_stays_as_it_was_given(assessments: tuple[Assessment, Assessment]) -> None:
    assert through_json(AssessmentRecord.of(assessments[0], "bad\udcff.png"))["file"] == "bad\udcff.png"


def test_a_row_of_the_table(assessments: tuple[Assessment, Assessment]) -> None:
    known, unknown = (csv_row(AssessmentRecord.of(assessment)) for assessment in assessments)
    assert list(known) == list(CSV_COLUMNS)
    assert (known["bone_age_months"], known["male_bone_age_months"]) == (unknown["male_bone_age_months"], None)
    assert unknown["bone_age_months"] is unknown["lower_90_months"] is None
    assert unknown["female_lower_90_months"] < unknown["female_bone_age_months"] < unknown["female_upper_90_months"]
    assert known["inverted"] == "false"
    twice = replace(
        assessments[1], remarks=(Remark.of("rotated", "a"), Remark.of("phantom", "b"), Remark.of("rotated", "c"))
    )
    assert csv_row(AssessmentRecord.of(twice))["remark_codes"] == "rotated phantom"
    line = csv_line(AssessmentRecord.of_error(UnsuitableRadiograph("color_image", "a photo", "Export, again"), "a"))
    (row,) = csv.DictReader(io.StringIO(csv_header() + line))
    assert (row["status"], row["reason"], row["reason_code"]) == ("rejected", "A photo. Export, again.", "color_image")
    assert row["bone_age_months"] == row["inverted"] == row["turned_degrees"] == ""


def test_the_schema_in_the_docs_is_current() -> None:
    """After a change: python -m boneage.reports.schema docs/reference/assessment.schema.json"""
    assert SCHEMA.read_text(encoding="utf-8") == assessment_schema()
    schema = json.loads(assessment_schema())
    assert list(schema["properties"]) == CONTRACT
    assert set(schema["required"]) == set(CONTRACT)


@pytest.mark.parametrize(
    ("value", "digits", "words"), [(-4.6, 0, "\N{MINUS SIGN}5"), (-0.04, 1, "+0.0"), (3, 1, "+3.0")]
)
def test_signed_numbers(value: float, digits: int, words: str) -> None:
    assert number(value, digits, signed=True) == words


@pytest.mark.parametrize(
    ("months", "words"), [(1, "0 y 1 mo"), (11.6, "1 y 0 mo"), (126.3, "10 y 6 mo"), (240, "20 y 0 mo")]
)
def test_years_and_months(months: float, words: str) -> None:
    assert years_and_months(months) == words


def test_file_names_for_people() -> None:
    assert short_file_name("a/b.png") == "a/b.png"
    assert short_file_name("a\nb\x1b[31m.png") == "a?b?[31m.png"
    assert short_file_name("bad\udcff.png") == "bad?.png"
    assert len(short_file_name("x" * 500)) == 60
