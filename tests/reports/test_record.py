from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from boneage.ages import Sex
from boneage.assessment import NOTICE, Assessment
from boneage.assessor import Assessor
from boneage.errors import ModelError, UnreadableRadiograph, UnsuitableRadiograph
from boneage.model.folder import load_model
from boneage.radiograph import Radiograph
from boneage.reports import failed_record, record
from boneage.reports.record import short_file_name, years_and_months

CONTRACT = [
    "file", "status", "reason", "reason_code", "sex", "bone_age_months", "interval_90_months", "distribution",
    "regions", "model", "model_sha256", "seconds", "turned_degrees", "inverted", "remarks", "warnings", "notice",
]  # fmt: skip


@pytest.fixture
def assessments(standin_model: Path, hand: Radiograph) -> tuple[Assessment, Assessment]:
    assessor = Assessor(load_model(standin_model))
    return assessor.assess(hand, "male"), assessor.assess(hand)


def through_json(entry: dict[str, Any]) -> dict[str, Any]:
    back: dict[str, Any] = json.loads(json.dumps(entry, allow_nan=False))
    assert back == entry
    return back


def test_the_contract(assessments: tuple[Assessment, Assessment]) -> None:
    entry = through_json(record(assessments[0]))
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
    known, unknown = (through_json(record(assessment)) for assessment in assessments)
    assert list(unknown) == [*CONTRACT, "by_sex"]
    assert unknown["sex"] == "unknown"
    assert unknown["bone_age_months"] is unknown["interval_90_months"] is unknown["distribution"] is None
    assert set(unknown["by_sex"]) == {"male", "female"}
    assert unknown["by_sex"]["male"] == {
        key: known[key] for key in ("bone_age_months", "interval_90_months", "distribution")
    }


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
    ],
)
def test_without_an_answer(error: Exception, status: str, reason: str) -> None:
    entry = through_json(failed_record("a.png", error, sex=Sex.FEMALE, model="m", model_sha256="s"))
    assert list(entry) == CONTRACT
    assert (entry["status"], entry["reason"], entry["sex"], entry["file"]) == (status, reason, "female", "a.png")
    assert entry["bone_age_months"] is entry["distribution"] is None
    assert entry["regions"] == {}
    assert entry["notice"] == NOTICE


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
