"""What the shipped model says of a few phantoms; `rewrite.py` beside this file writes the answers anew."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

import boneage

GOLDEN: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("rewrite.py")))
WRITTEN: dict[str, Any] = GOLDEN["read"]()
CASES: dict[str, dict[str, Any]] = WRITTEN["cases"]


@pytest.mark.parametrize("name", CASES)
def test_the_shipped_model_says_what_it_said(name: str) -> None:
    case = CASES[name]
    moved = GOLDEN["moved_in"](case, GOLDEN["ask"](boneage.load(), case))
    assert not moved, (
        f"{case['file']} ({name}): the answer moved. If it was meant to, run `python tests/golden/rewrite.py` "
        "and say so in the changelog.\n" + "\n".join(moved)
    )


def test_only_a_rotated_radiograph_has_a_wider_tolerance() -> None:
    wider = {case["file"]: case["tolerances"] for case in CASES.values() if "tolerances" in case}
    assert wider == {"turned-30-degrees.png": {"tubular_bone_age_months": 2.0}}


def test_the_answers_are_those_of_the_default_model() -> None:
    assert boneage.load().model.name == WRITTEN["model"], "run `python tests/golden/rewrite.py` for the new model"


def test_every_file_is_asked_for() -> None:
    here = {path.name for path in Path(__file__).parent.iterdir() if path.is_file()}
    others = {".gitattributes", "answers.json", "rewrite.py", "test_golden.py"}
    assert here - others == {case["file"] for case in CASES.values()}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"bone_age_months": 100.0}, {"bone_age_months": 100.049}, []),
        ({"bone_age_months": 100.0}, {"bone_age_months": 100.06}, ["bone_age_months: 100.0 -> 100.06"]),
        ({"regions": {"hand": [1.0, 2.0, 3.0, 4.0]}}, {"regions": {"hand": [1.4, 2.0, 3.0, 3.6]}}, []),
        ({"regions": {"hand": [1.0, 2.0]}}, {"regions": {"hand": [1.0, 2.6]}}, ["regions: hand: [1.0, 2.0] -> "]),
        ({"mode_months": 100}, {"mode_months": 101}, ["mode_months: 100 -> 101"]),
        ({"carpal_bone_age_months": 90.0}, {"carpal_bone_age_months": None}, ["carpal_bone_age_months: 90.0 -> null"]),
        ({"remarks": ["a"]}, {"remarks": ["a", "b"]}, ['remarks: ["a"] -> ["a", "b"]']),
        ({"remarks": []}, {"remarks": ["a"]}, ['remarks: [] -> ["a"]']),
        ({"inverted": False}, {"inverted": True}, ["inverted: false -> true"]),
        ({"status": "assessed", "inverted": False}, {"status": "rejected"}, ["status: ", "inverted: false -> "]),
        ({}, {"reason": "a"}, ["reason: "]),
    ],
)
def test_a_change_is_what_exceeds_its_tolerance(old: object, new: object, said: list[str]) -> None:
    found = list(GOLDEN["changes"](old, new))
    assert len(found) == len(said)
    assert all(line.startswith(start) for line, start in zip(found, said, strict=True))
