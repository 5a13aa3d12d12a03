"""The predictions table: written and read again, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boneage.ages import Sex
from boneage.assessment import Assessment, SexAnswer
from boneage.batch import as_error
from boneage.errors import (
    DatasetError,
    OutputError,
    RadiographError,
    UnreadableRadiograph,
    UnsuitableRadiograph,
    UsageError,
)
from boneage.evaluation import Prediction, read_predictions, write_predictions
from boneage.evaluation.predictions import COLUMNS
from boneage.radiograph import Radiograph
from boneage.regions import Box, Region
from boneage.remarks import Remark

CASE = {"file": "a/1.png", "id": "1", "split": "test", "sex": Sex.MALE, "age_months": 120.0}


DARK = Remark.of("inverted", "dark")


def assessment(sex: Sex | None) -> Assessment:
    flat = np.full(240, 1 / 240, dtype=np.float32)
    answers = {one: SexAnswer(100.0 + one.sign, (90.0, 111.0), flat) for one in ([sex] if sex else list(Sex))}
    radiograph = Radiograph(np.zeros((80, 64), dtype=np.float32))
    return Assessment(radiograph, sex, answers, {Region.HAND: Box(1, 2, 60, 70)}, {}, {}, "m", "0" * 64, 0.1, (DARK,))


def test_row_of_an_assessment() -> None:
    row = Prediction.of(assessment(Sex.MALE), **CASE)  # type: ignore[arg-type]
    assert (row.status, row.predicted_months, row.lower_90_months, row.upper_90_months) == ("assessed", 101, 90, 111)
    assert (row.width, row.height, row.error_months, row.reason) == (64, 80, -19.0, "dark")
    assert row.codes == ("inverted",)
    assert row.regions == {Region.HAND: Box(1, 2, 60, 70)}


def test_unknown_sex_has_no_single_answer() -> None:
    row = Prediction.of(assessment(None), **{**CASE, "sex": None})  # type: ignore[arg-type]
    assert row.status == "assessed"
    assert row.predicted_months is None
    assert row.error_months is None
    assert "sex is unknown" in row.reason
    assert "101.0" in row.reason


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (
            UnreadableRadiograph("damaged_file", "the file ends too early", "Copy it again", "1.png"),
            "failed",
            "the file ends too early",
        ),
        (UnsuitableRadiograph("color_image", "a colour photograph"), "rejected", "a colour photograph"),
        (as_error(ValueError("strange\nthing")), "failed", "an unexpected error (ValueError: strange thing)"),
    ],
)
def test_row_of_an_error(error: RadiographError, status: str, reason: str) -> None:
    row = Prediction.of(error, **CASE)  # type: ignore[arg-type]
    assert (row.status, row.reason, row.error_months) == (status, reason, None)
    assert row.codes == (error.code,)


months = st.none() | st.floats(0, 240).map(lambda value: round(value, 3))
word = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12).map(str.strip)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x, y, w, h = (draw(st.integers(1, 4000)) / 4 for _ in range(4))
    return Box(x, y, x + w, y + h)


@st.composite
def rows(draw: st.DrawFn) -> Prediction:
    return Prediction(
        *(draw(word), draw(word.filter(bool)), draw(st.sampled_from(["train", "validation", "test"]))),
        *(draw(st.sampled_from([Sex.MALE, Sex.FEMALE, None])), draw(months)),
        *(draw(st.sampled_from(["assessed", "rejected", "failed"])), draw(word), draw(months), draw(months)),
        *(draw(months), draw(st.none() | st.integers(1, 30000)), draw(st.none() | st.integers(1, 30000))),
        draw(st.dictionaries(st.sampled_from(list(Region)), boxes())),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(rows(), max_size=5, unique_by=lambda row: row.id))
def test_table_round_trip(tmp_path_factory: pytest.TempPathFactory, given_rows: list[Prediction]) -> None:
    path = tmp_path_factory.mktemp("table") / "predictions.csv"
    write_predictions(path, given_rows)
    assert read_predictions(path) == given_rows
    assert [entry.name for entry in path.parent.iterdir()] == ["predictions.csv"]


def test_header_is_the_contract(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv", [])
    assert (tmp_path / "p.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert COLUMNS[:7] == ("file", "id", "split", "sex", "age_months", "status", "reason")
    assert COLUMNS[12:17] == ("hand_x0", "hand_y0", "hand_x1", "hand_y1", "region_1_x0")
    assert read_predictions(tmp_path / "p.csv") == []


def test_empty_and_nan_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("id,age_months,predicted_months\n1,,100\n2,nan,inf\n3,100,\n")
    assert [(r.age_months, r.predicted_months) for r in read_predictions(path)] == [
        (None, 100),
        (None, None),
        (100, None),
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("id,age_months\n1,2\n", "missing_column"),
        ("id,age_months,predicted_months\n1,12y,5\n", "not_a_number"),
        ("id,age_months,predicted_months\n1,12,5\n1,12,5\n", "duplicate_id"),
        ("id,age_months,predicted_months,status\n1,12,5,lost\n", "unknown_status"),
        ("id,age_months,predicted_months,sex\n1,12,5,both\n", "unknown_sex"),
        ("id,age_months,predicted_months\n,12,5\n", "missing_id"),
        (
            "id,age_months,predicted_months,hand_x0,hand_y0,hand_x1,hand_y1\n1,12,5,9,9,1,1\n",
            "empty_box",
        ),
        ("", "missing_column"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"wrong\.csv") as caught:
        read_predictions(path)
    assert caught.value.code == code


def test_old_words_for_splits_are_read(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("id,split,age_months,predicted_months\n1,select,9,9\n2,report,9,9\n3,train,9,9\n4,fold 2,9,9\n")
    assert [row.split for row in read_predictions(path)] == ["validation", "test", "train", "fold 2"]


def test_missing_table(tmp_path: Path, refuses: Callable[..., AbstractContextManager[None]]) -> None:
    with refuses(UsageError, "no_such_file"):
        read_predictions(tmp_path / "absent.csv")


def test_unwritable_folder_keeps_the_old_table(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here first")
    with pytest.raises(OutputError, match="could not be written"):
        write_predictions(tmp_path / "file" / "p.csv", [])
    assert (tmp_path / "file").read_text() == "here first"
