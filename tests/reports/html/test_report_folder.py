from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boneage.ages import Sex
from boneage.assessment import NOTICE, Assessment, Attention
from boneage.assessor import Assessor
from boneage.errors import OutputError, UnsuitableRadiograph, UsageError
from boneage.model.folder import load_model
from boneage.radiograph import Radiograph
from boneage.regions import Box, Region
from boneage.remarks import Remark
from boneage.reports import AssessmentRecord
from boneage.reports.figure import figure, figure_png
from boneage.reports.html.report_folder import Report
from boneage.reports.overlays import attention_on, attention_picture, overlay, radiograph_picture


@pytest.fixture
def assessor(standin_model: Path) -> Assessor:
    return Assessor(load_model(standin_model))


@pytest.fixture
def known(assessor: Assessor, hand: Radiograph) -> Assessment:
    return assessor.assess(hand, "female")


@pytest.fixture
def unknown(assessor: Assessor, hand: Radiograph) -> Assessment:
    return assessor.assess(hand)


class _Balanced(HTMLParser):
    """Fails on tags that are not closed in order."""

    VOID = frozenset({"meta", "img", "br", "image", "rect", "line", "polyline", "polygon"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def write(folder: Path, *assessments: Assessment, heatmaps: bool = False) -> Path:
    with Report(folder, heatmaps) as report:
        for assessment in assessments:
            report.add(AssessmentRecord.of(assessment), assessment)
        error = UnsuitableRadiograph("color_image", "it is a <b>photo</b>", "Give a radiograph")
        report.add(AssessmentRecord.of_error(error, "photo & co.png"))
        return report.finish()


def test_a_whole_report(known: Assessment, unknown: Assessment, tmp_path: Path) -> None:
    index = write(tmp_path / "deep" / "report", known, unknown, heatmaps=True)
    names = sorted(path.name for path in index.parent.iterdir())
    assert names == ["0001-hand.html", "0002-hand.html", "heatmaps", "index.html", "results.jsonl"]
    for page in index.parent.glob("*.html"):
        text = page.read_text()
        assert NOTICE in text
        assert not re.search(r'(src|href)="(https?:)?//', text), "the page needs nothing from a network"
        parser = _Balanced()
        parser.feed(text)
        assert parser.open == []
        for link in re.findall(r'href="([^"#]+)"', text):
            assert link.startswith("data:") or (index.parent / link).is_file()
    front = index.read_text()
    assert "2 assessed, 1 rejected, 0 failed" in front
    assert "photo &amp; co.png" in front
    assert "It is a &lt;b&gt;photo&lt;/b&gt;. Give a radiograph." in front
    assert 'if <span class="sex male">male</span>' in (index.parent / "0002-hand.html").read_text()
    lines = [json.loads(line) for line in (index.parent / "results.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines] == ["assessed", "assessed", "rejected"]
    heatmaps = sorted((index.parent / "heatmaps").iterdir())
    assert len(heatmaps) == 6
    with Image.open(heatmaps[0]) as image:
        assert image.size == (120, 150)


def test_the_chronological_age_is_shown_beside_the_bone_age(known: Assessment, tmp_path: Path) -> None:
    with Report(tmp_path / "r") as report:
        report.add(AssessmentRecord.of(known), known, chronological_age_months=100.0)
        report.finish()
    page = (tmp_path / "r" / "0001-hand.html").read_text()
    assert "8 y 4 mo" in page
    assert f"{AssessmentRecord.of(known).bone_age_months - 100:+.1f} months" in page


def test_an_older_report_is_replaced_and_nothing_else(
    known: Assessment, unknown: Assessment, tmp_path: Path, refuses: Any
) -> None:
    write(tmp_path / "r", known, unknown)
    write(tmp_path / "r", known)
    assert not (tmp_path / "r" / "0002-hand.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="mine") as raised:
        Report(tmp_path / "mine")
    assert raised.value.code == "folder_not_empty"
    with refuses(UsageError, "folder_not_empty"):
        Report(tmp_path / "mine" / "thesis.txt")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "r" / "notes.txt").write_text("mine")
    with refuses(UsageError, "folder_not_empty"):
        Report(tmp_path / "r")
    assert (tmp_path / "r" / "notes.txt").read_text() == "mine"


def test_an_unfinished_report_leaves_nothing(known: Assessment, tmp_path: Path) -> None:
    with Report(tmp_path / "r") as report:
        report.add(AssessmentRecord.of(known), known)
        assert {path.name for path in tmp_path.iterdir()} == {".r.lock", ".r.unfinished"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("when", ["add", "finish"])
def test_a_full_disk_leaves_what_stood_there(
    known: Assessment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    index = write(tmp_path / "r", known)
    before = index.read_bytes()

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with Report(tmp_path / "r", force=True) as report:
        if when == "finish":
            report.add(AssessmentRecord.of(known), known)
        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match="No space left on device"):
            report.add(AssessmentRecord.of(known), known) if when == "add" else report.finish()
    assert index.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_folder_that_cannot_be_made(tmp_path: Path, refuses: Any) -> None:
    (tmp_path / "file").write_text("")
    with refuses(OutputError, "cannot_write"):
        Report(tmp_path / "file" / "r")


@pytest.mark.parametrize("shape", [(64, 2000), (2000, 64)])
def test_extreme_shapes_are_drawn(assessor: Assessor, tmp_path: Path, shape: tuple[int, int]) -> None:
    image = Radiograph.from_values(np.random.default_rng(0).normal(size=shape), file="long.png")
    assessment = assessor.assess(image)
    assert write(tmp_path / "r", assessment, heatmaps=True).is_file()
    assert figure_png(assessment).startswith(b"\x89PNG")


def test_attention_lies_at_its_place_on_the_radiograph() -> None:
    image = Radiograph.from_values(np.random.default_rng(0).normal(size=(100, 200)))
    cells = np.zeros((8, 8), np.float32)
    cells[1, 6] = 1.0
    seen = attention_on(Attention(cells, Box(100, 20, 180, 100)), image, 400, 200)
    row, column = np.unravel_index(seen.argmax(), seen.shape)
    assert seen.shape == (200, 400)
    assert column / 2 == pytest.approx(165, abs=3)
    assert row / 2 == pytest.approx(35, abs=3)
    assert seen[:, :198].max() == 0
    assert seen[:38].max() == 0


def test_a_map_of_zeros_leaves_the_image_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 20), dtype=np.uint8)
    np.testing.assert_array_equal(overlay(image, np.zeros((30, 20), np.float32)), np.stack([image] * 3, axis=-1))


def test_pictures_have_the_size_asked(known: Assessment) -> None:
    assert radiograph_picture(known.radiograph).shape == (150, 120)
    assert max(radiograph_picture(known.radiograph, 50).shape) == 50
    assert attention_picture(known, Region.HAND).shape == (150, 120, 3)


def test_the_figure_says_what_matters(known: Assessment, unknown: Assessment) -> None:
    words = " ".join(text.get_text() for text in figure(known).texts)
    assert "Bone age" in words
    assert "90 %" in words
    assert "Research use only" in words
    words = " ".join(text.get_text() for text in figure(unknown).texts)
    assert "if male" in words
    assert "if female" in words


def test_figures_lie_in_the_report_and_are_replaced_with_it(known: Assessment, tmp_path: Path) -> None:
    for _ in range(2):
        with Report(tmp_path / "r", figures=True) as report:
            report.add(AssessmentRecord.of(known), known)
            report.finish()
        with Image.open(tmp_path / "r" / "figures" / "0001-hand.png") as picture:
            assert picture.size == (1950, 1350)


def test_remarks_are_shown_by_severity_and_can_be_found_by_code(known: Assessment, tmp_path: Path) -> None:
    codes = {"rotated": "info", "regional_ages_differ": "caution", "two_hands": "do_not_rely"}
    remarked = replace(known, remarks=tuple(Remark.of(code, f"It is {code} <here>.") for code in codes))
    write(tmp_path / "r", remarked)
    page, front = ((tmp_path / "r" / name).read_text() for name in ("0001-hand.html", "index.html"))
    places = []
    for code, severity in codes.items():
        start = f'<li class="remark {severity}" data-code="{code}" data-severity="{severity}">'
        assert page.count(start) == 1
        assert f"It is {code} &lt;here&gt;.</li>" in page
        places.append(page.index(start))
        assert (start in front) is (severity != "info"), "the front page counts what only explains"
    assert places == sorted(places, reverse=True), "the gravest comes first"
    assert "1 note<" in front
    assert "<strong>" in front
    assert 'class="answers unreliable"' in page
    write(tmp_path / "quiet", replace(known, remarks=()))
    assert "unreliable" not in (tmp_path / "quiet" / "0001-hand.html").read_text().partition("</style>")[2]


def test_pages_mark_phantoms(assessor: Assessor, hand: Radiograph, tmp_path: Path) -> None:
    drawn = assessor.assess(replace(hand, phantom=True), "male")
    write(tmp_path / "drawn", drawn)
    write(tmp_path / "real", assessor.assess(hand, "male"))
    assert "phantom, not a radiograph" in (tmp_path / "drawn" / "0001-hand.html").read_text()
    assert '<span class="pill">phantom</span>' in (tmp_path / "drawn" / "index.html").read_text()
    for page in (tmp_path / "real").glob("*.html"):
        assert "phantom" not in page.read_text()
    assert "phantom, not a radiograph" in AssessmentRecord.of(drawn).warnings[0]


def test_index_and_page_say_the_same_age(known: Assessment, tmp_path: Path) -> None:
    # Rounded to 0.01 month and then to 0.1, it is 80.8 (80.85 is less than that in binary); at once it would be 80.9.
    answer = replace(known.answers[Sex.FEMALE], bone_age_months=80.853)
    write(tmp_path / "r", replace(known, answers={Sex.FEMALE: answer}))
    said = {re.search(r"80\.\d", page.read_text())[0] for page in (tmp_path / "r").glob("*.html")}  # type: ignore[index]
    assert len(said) == 1


def test_the_key_of_the_chart_explains_the_dashed_line(known: Assessment, tmp_path: Path) -> None:
    for age in (None, 100.0):
        with Report(tmp_path / "r") as report:
            report.add(AssessmentRecord.of(known), known, age)
            report.finish()
        (page,) = (tmp_path / "r").glob("0*.html")
        assert ("Dashed: chronological age" in page.read_text()) is (age is not None)
        assert ("stroke-dasharray" in page.read_text()) is (age is not None)


def _report_of(folder: Path, assessment: Assessment, *files: str, **options: Any) -> Path:
    with Report(folder, **options) as report:
        for file in files:
            report.add(AssessmentRecord.of(assessment, file), assessment)
        return report.finish()


def _reported(folder: Path) -> list[str]:
    return [json.loads(line)["file"] for line in (folder / "results.jsonl").read_text().splitlines()]


def test_a_report_of_other_radiographs_is_replaced_only_when_forced(
    known: Assessment, tmp_path: Path, refuses: Any
) -> None:
    _report_of(tmp_path / "r", known, "a.png", "b.png")
    with refuses(UsageError, "report_of_other_radiographs"):
        Report(tmp_path / "r", files=["b.png", "c.png"])
    with refuses(UsageError, "report_of_other_radiographs"):
        _report_of(tmp_path / "r", known, "b.png")
    assert _reported(tmp_path / "r") == ["a.png", "b.png"]
    more = ["c.png", "b.png", "a.png"]
    _report_of(tmp_path / "r", known, *more, files=more)
    assert _reported(tmp_path / "r") == more
    _report_of(tmp_path / "r", known, "d.png", files=["d.png"], force=True)
    assert _reported(tmp_path / "r") == ["d.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_two_reports_in_one_folder_at_the_same_time_are_refused(
    known: Assessment, tmp_path: Path, refuses: Any
) -> None:
    with Report(tmp_path / "r") as report:
        report.add(AssessmentRecord.of(known), known)
        with refuses(UsageError, "output_in_use"):
            Report(tmp_path / "r")
        report.finish()
    _report_of(tmp_path / "r", known, "hand.png")


@pytest.mark.parametrize("ended", [KeyboardInterrupt, SystemExit])
def test_a_run_that_is_ended_leaves_what_was_done(
    known: Assessment, tmp_path: Path, ended: type[BaseException]
) -> None:
    def work() -> None:
        with Report(tmp_path / "r", heatmaps=True) as report:
            report.add(AssessmentRecord.of(known, "a.png"), known)
            (tmp_path / ".r.unfinished" / "0002-b.html").write_text("<html>half a page")
            raise ended

    with pytest.raises(ended):
        work()
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
    assert sorted(path.name for path in (tmp_path / "r").glob("0*")) == ["0001-a.html"]
    assert 'data-code="interrupted"' in (tmp_path / "r" / "index.html").read_text()
    _report_of(tmp_path / "r", known, "a.png", "b.png")
    assert 'data-code="interrupted"' not in (tmp_path / "r" / "index.html").read_text()


def test_a_run_that_is_ended_keeps_the_older_report(known: Assessment, tmp_path: Path) -> None:
    def work() -> None:
        with Report(tmp_path / "r") as report:
            report.add(AssessmentRecord.of(known, "a.png"), known)
            raise SystemExit

    _report_of(tmp_path / "r", known, "a.png", "b.png")
    with pytest.raises(SystemExit):
        work()
    assert _reported(tmp_path / "r") == ["a.png", "b.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_what_a_killed_run_left_is_removed(known: Assessment, tmp_path: Path) -> None:
    (tmp_path / ".r.unfinished").mkdir()
    (tmp_path / ".r.unfinished" / "0001-patient.html").write_text("a patient")
    (tmp_path / ".r.lock").write_text("1\n")
    _report_of(tmp_path / "r", known, "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
    assert [path.name for path in (tmp_path / "r").glob("0*")] == ["0001-a.html"]
