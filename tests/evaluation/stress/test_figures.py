"""The stress table and its figures, by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from boneage.ages import Sex
from boneage.assessment import Attention
from boneage.errors import DatasetError, UsageError
from boneage.evaluation import (
    Evaluation,
    Prediction,
    Provenance,
    StressRow,
    evaluate_stress,
    read_stress,
    write_evaluation,
    write_stress,
)
from boneage.evaluation.stress.table import share_inside
from boneage.regions import Box, Region

FACTS = Provenance("compact", "ab" * 32, "phantoms", "test")


def row(transform: str, case: str, months: float | None, label: float | None, status: str = "assessed") -> StressRow:
    sex = Sex.FEMALE if case == "d" else Sex.MALE
    share = {Region.HAND: 0.9, Region.REGION_1: {"a": 0.5, "b": 1.0}.get(case, 0.75)}
    return StressRow(
        transform,
        Prediction(f"{case}.png", case, "test", sex, label, status, "", months, None, None, 100, 100),  # type: ignore[arg-type]
        share if status == "assessed" else {},
    )


PLAIN = [row("none", "a", 100, 106), row("none", "b", 120, 120), row("none", "c", 60, 58), row("none", "d", 200, None)]
# Changes: -4, +11, +1, -13 months.
FLIPPED = [row("flip", "a", 96, 106), row("flip", "b", 131, 120), row("flip", "c", 61, 58), row("flip", "d", 187, None)]
# Two of four have an answer: -0.5 and +1.5.
TURNED = [
    row("rotate_90", "a", 99.5, 106),
    row("rotate_90", "b", None, 120, "rejected"),
    row("rotate_90", "c", None, 58, "failed"),
    row("rotate_90", "d", 201.5, None),
]
STILL = [row("rotate_15", "a", 100, 106), row("rotate_15", "b", 120, 120), row("rotate_15", "c", 60, 58)]


def test_by_hand() -> None:
    made = evaluate_stress([*PLAIN, *FLIPPED]).under["flip"]
    assert (made.n, made.rejected, made.failed) == (4, 0, 0)
    assert made.changes.tolist() == [-4, 11, 1, -13]
    # d has no label: errors 6, 0, 2 become 10, 11, 3.
    assert made.mae_before.value == pytest.approx(8 / 3)
    assert made.mae_after.value == pytest.approx(24 / 3)
    assert made.mae_change.value == pytest.approx(16 / 3)
    assert made.mae_change.n == 3
    assert made.mae_rise == pytest.approx(2.0)
    assert made.mean_change.value == pytest.approx(-5 / 4)
    assert made.median_change.value == pytest.approx(7.5)
    # Between 11 and 13, at 0.95 x 3 = 2.85.
    assert made.percentile_95_change.value == pytest.approx(12.7)
    assert made.over_12_months.value == pytest.approx(1 / 4)
    # SD of boys: 9.07 at 100, 9.79 at 120, 8.79 at 60 months; of girls none at 200.
    assert made.over_one_sd.value == pytest.approx(1 / 3)
    assert (made.over_one_sd.n, made.sd_not_tabulated) == (3, 1)
    assert made.verdict.as_dict() == {"median": False, "percentile_95": False, "mae_rise": False, "answered": True}


def test_cases_without_an_answer_are_counted_and_leave_the_pairs() -> None:
    made = evaluate_stress([*PLAIN, *TURNED]).under["rotate_90"]
    assert (made.n, made.rejected, made.failed) == (2, 1, 1)
    assert made.mae_before.value == pytest.approx(6)
    assert made.mae_after.value == pytest.approx(6.5)
    assert made.median_change.value == pytest.approx(1.0)
    assert made.verdict.as_dict() == {"median": True, "percentile_95": True, "mae_rise": False, "answered": False}
    assert made.verdict.kept is False


def test_a_family_is_as_good_as_its_worst_level() -> None:
    made = evaluate_stress([*PLAIN, *STILL, *TURNED])
    rotation = made.families["rotation"]
    assert [level.transform.name for level in rotation.levels] == ["rotate_15", "rotate_90"]
    assert rotation.worst("median_change") == pytest.approx(1.0)
    assert rotation.worst("mae_rise") == pytest.approx(1 / 12)
    assert [level.transform.name for level in rotation.broken] == ["rotate_90"]
    assert rotation.as_dict()["rejected"] == 1
    assert rotation.verdict.mae_rise is False
    assert evaluate_stress([*PLAIN, *STILL]).families["rotation"].verdict.kept is True


@pytest.mark.parametrize(("name", "kept"), [("rotate_15", False), ("jpeg_30", True)])
def test_the_bar_of_the_error_is_stricter_where_only_the_hanging_changes(name: str, kept: bool) -> None:
    # Errors of 10 become 11: a rise of 10 %.
    rows = [row("none", case, 110, 100) for case in "abc"] + [row(name, case, 111, 100) for case in "abc"]
    assert evaluate_stress(rows).under[name].verdict.mae_rise is kept


def test_cases_without_an_answer_to_begin_with() -> None:
    made = evaluate_stress([*PLAIN, row("none", "e", None, 50, "failed"), *FLIPPED])
    assert (made.cases, made.without_answer) == (5, 1)
    assert made.under["flip"].n == 4


def test_no_rise_from_no_error_and_no_figures_from_no_cases() -> None:
    perfect = evaluate_stress([row("none", "a", 100, 100), row("flip", "a", 101, 100)]).under["flip"]
    assert perfect.mae_rise is None
    assert perfect.verdict.as_dict() == {"median": True, "percentile_95": True, "mae_rise": None, "answered": True}
    empty = evaluate_stress([row("none", "a", 100, 100), row("flip", "a", None, 100, "failed")])
    assert empty.under["flip"].n == 0
    assert empty.under["flip"].verdict.kept is False  # the one case lost its answer
    assert empty.families["flip"].worst("median_change") is None


def test_the_mask_is_no_family() -> None:
    made = evaluate_stress([*PLAIN, row("outside_masked", "a", 103, 106)])
    assert made.families == {}
    assert made.masked is not None
    assert made.masked.mae_change.value == pytest.approx(-3)
    # Region 1: (0.5 + 1 + 0.75 + 0.75) / 4.
    assert made.attention_in_hand[Region.REGION_1].value == pytest.approx(0.75)
    assert made.attention_in_hand[Region.REGION_2].n == 0


def test_share_inside() -> None:
    attention = Attention(np.array([[0, 1], [1, 2]], dtype=np.float32), Box(-10, 0, 10, 20))
    assert share_inside(attention, Box(0, 10, 10, 20)) == pytest.approx(2 / 4)
    assert share_inside(attention, Box(5, 10, 30, 40)) == pytest.approx(1 / 4)
    assert share_inside(attention, Box(-10, 0, 10, 20)) == pytest.approx(1)
    assert share_inside(attention, Box(50, 50, 60, 60)) == 0
    assert share_inside(Attention(np.zeros((2, 2), np.float32), Box(0, 0, 1, 1)), Box(0, 0, 1, 1)) is None


def test_the_table_comes_back(tmp_path: Path) -> None:
    rows = [*PLAIN, *FLIPPED, *TURNED]
    write_stress(tmp_path / "stress.csv", rows)
    assert read_stress(tmp_path / "stress.csv") == rows
    assert (tmp_path / "stress.csv").read_text().startswith("transform,file,id,")


@pytest.mark.parametrize(
    ("old", "new", "code", "where"),
    [
        ("\nflip,a.png", "\nflop,a.png", "unknown_transform", "line 6"),
        ("\nflip,b.png,b,", "\nflip,b.png,a,", "duplicate_id", "line 7"),
        (",0.9,0.5,", ",much,0.5,", "not_a_number", "line 2: hand_attention_in_hand"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path: Path, old: str, new: str, code: str, where: str) -> None:
    path = tmp_path / "stress.csv"
    write_stress(path, [*PLAIN, *FLIPPED])
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DatasetError, match=where) as caught:
        read_stress(path)
    assert caught.value.code == code


def test_missing_table(tmp_path: Path, refuses: Callable[..., AbstractContextManager[None]]) -> None:
    with refuses(UsageError, "no_such_file"):
        read_stress(tmp_path / "absent.csv")


def test_a_table_without_codes_and_attention_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "stress.csv"
    path.write_text("transform,id,split,age_months,predicted_months\nnone,a,report,100,106\nflip,a,report,100,96\n")
    rows = read_stress(path)
    assert [(row.transform, row.prediction.split, row.attention_in_hand) for row in rows] == [
        ("none", "test", {}), ("flip", "test", {}),
    ]  # fmt: skip
    assert evaluate_stress(rows).under["flip"].changes.tolist() == [-10]


def test_page_and_metrics(tmp_path: Path) -> None:
    rows = [*PLAIN, *FLIPPED, *TURNED, *STILL, row("outside_masked", "a", 103, 106)]
    plain = [row.prediction for row in PLAIN]
    evaluation = Evaluation.of(plain, FACTS, stress=rows, resamples=50)
    write_evaluation(evaluation, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for words in ("Mirror image", "Rotation", "+200 %"):
        assert words in page
    assert (tmp_path / "stress.png").stat().st_size > 5000
    stress = evaluation.as_dict()["stress"]
    assert stress["families"]["flip"]["kept"]["mae_rise"] is False  # type: ignore[index]
    assert stress["transforms"]["rotate_90"]["rejected"] == 1  # type: ignore[index]
    assert stress["bars"]["mae_rise_percent_strict"] == 3  # type: ignore[index]


def test_without_stress_the_page_leaves_it_out(tmp_path: Path) -> None:
    evaluation = Evaluation.of([row.prediction for row in PLAIN], FACTS, resamples=50)
    write_evaluation(evaluation, tmp_path)
    assert "Mirror image" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert evaluation.as_dict()["stress"] is None
    assert not (tmp_path / "stress.png").exists()
