"""metrics.json, the page, the plots and the contact sheet."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneage.ages import Sex
from boneage.assessment import NOTICE, Assessment, Attention, SexAnswer
from boneage.errors import UsageError
from boneage.evaluation import Evaluation, Prediction, Provenance, write_evaluation
from boneage.evaluation.contact_sheet import TILE, Panel, contact_sheet, spread
from boneage.radiograph import Radiograph
from boneage.regions import Box, Region

FACTS = Provenance("compact", "ab" * 32, "phantoms", "test", "0.1.0", "2026-01-01T00:00:00+00:00")


def cases(count: int = 12) -> list[Prediction]:
    rows = []
    for i in range(count):
        age, sex = 15.0 + 19 * i, (Sex.MALE, Sex.FEMALE)[i % 2]
        guess = age + (-1) ** i * i
        region = {Region.REGION_1: Box(10 + i, 10, 60 + i, 60), Region.HAND: Box(0, 0, 90, 90)}
        rows.append(
            Prediction(
                f"{i}.png", f"c{i}", "test", sex, age, "assessed", "", guess, guess - 9, guess + 9, 100, 100, region
            )
        )
    return rows


class Tags(HTMLParser):
    """Collects what a page would load, and checks that tags are closed in order."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def written(folder: Path, evaluation: Evaluation) -> tuple[dict[str, object], str]:
    write_evaluation(evaluation, folder)
    page = (folder / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert all(load.startswith("data:image/png;base64,") for load in tags.loads)
    assert not re.search(r"https?://|url\(|@import|<script", page)
    return json.loads((folder / "metrics.json").read_text()), page


def test_page_holds_figures_and_notice(tmp_path: Path) -> None:
    rows = [
        *cases(),
        Prediction("x<b>.png", "bad", "test", None, 60.0, "rejected", "a colour photograph & more"),
        Prediction("y.png", "worse", "test", None, 60.0, "failed", "the file is empty"),
    ]
    truths = {"region_1": {f"c{i}": (0.1 + i / 100, 0.1, 0.6 + i / 100, 0.6) for i in range(6)}}
    evaluation = Evaluation.of(rows, FACTS, truths=truths, against=cases(), resamples=300)
    metrics, page = written(tmp_path, evaluation)
    assert NOTICE in page
    assert metrics["notice"] == NOTICE
    for words in ("compact", "phantoms", "14, of which 12 are scored", "1 rejected", "1 could not be read"):
        assert words in page
    assert "<b>5.5 " in page  # mean of 0..11
    assert "\N{MINUS SIGN}0.5" in page
    assert "x&lt;b&gt;.png" in page
    assert "a colour photograph &amp; more" in page
    assert "18\N{EN DASH}20" in page
    assert page.index('<td class="text">c11</td>') < page.index('<td class="text">c10</td>')
    assert page.count("data:image/png") == 4
    accuracy = metrics["accuracy"]
    assert accuracy["overall"]["mae"]["value"] == 5.5  # type: ignore[index]
    assert accuracy["counts"]["failed"] == 1  # type: ignore[index]
    assert metrics["localization"]["region_1"]["all"]["miou"]["value"] == 1.0  # type: ignore[index]
    assert [case["id"] for case in metrics["not_assessed"]] == ["bad", "worse"]  # type: ignore[attr-defined, index]
    assert metrics["comparison"]["difference"]["value"] == 0.0  # type: ignore[index]
    names = ["bland_altman.png", "error_by_age.png", "localization.png", "metrics.json", "report.html", "scatter.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_localized_cases_stay_out_of_the_accuracy(tmp_path: Path) -> None:
    rows = cases()
    truths = {"region_1": {f"c{i}": (0.1, 0.1, 0.6, 0.6) for i in range(12)}}
    metrics, _ = written(tmp_path, Evaluation.of(rows[:4], FACTS, localized=rows[4:], truths=truths, resamples=50))
    assert metrics["accuracy"]["overall"]["n"] == 4  # type: ignore[index]
    assert metrics["localization"]["region_1"]["all"]["n"] == 12  # type: ignore[index]


@pytest.mark.parametrize("rows", [[], [Prediction("a", "a", "test", None, None, "failed", "empty")]])
def test_page_without_a_scored_case(tmp_path: Path, rows: list[Prediction]) -> None:
    metrics, page = written(tmp_path, Evaluation.of(rows, FACTS))
    assert "there are no figures of accuracy" in page
    assert metrics["accuracy"]["overall"]["mae"]["value"] is None  # type: ignore[index]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.json", "report.html"]


def test_one_case(tmp_path: Path) -> None:
    _, page = written(tmp_path, Evaluation.of(cases(1), FACTS))
    assert "too few cases for an interval" in page


def test_same_cases_same_files(tmp_path: Path) -> None:
    evaluation = Evaluation.of(cases(), FACTS, resamples=50)
    for name in ("one", "two"):
        write_evaluation(evaluation, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def panel(title: str, width: int, height: int) -> Panel:
    flat = np.full(240, 1 / 240, dtype=np.float32)
    box = Box(width * 0.25, height * 0.25, width * 0.75, height * 0.75)
    attention = Attention(np.ones((8, 8), dtype=np.float32), Box(0, 0, width, height))
    answers = {Sex.MALE: SexAnswer(1.0, (1.0, 2.0), flat)}
    radiograph = Radiograph(np.zeros((height, width), dtype=np.float32))
    found = Assessment(
        radiograph, Sex.MALE, answers, {Region.HAND: box}, {Region.HAND: attention}, {}, "m", "0" * 64, 0.1
    )
    return Panel.of(found, title, {"hand": (0.3, 0.3, 0.9, 0.9)})


def test_panels_are_small_and_in_their_own_pixels() -> None:
    made = panel("wide", 1200, 300)
    assert made.image.shape == (60, TILE)
    assert made.regions[Region.HAND].as_list() == pytest.approx([60, 15, 180, 45])
    assert made.truths["hand"].as_list() == pytest.approx([72, 18, 216, 54])
    assert made.attention[Region.HAND].shape == made.image.shape
    assert made.attention[Region.HAND].min() == 1.0


def test_panels_are_spread_over_the_cases() -> None:
    ids = [str(i) for i in range(10)]
    assert spread(ids, 0) == set()
    assert spread(ids, 2) == {"0", "5"}
    assert spread(ids, 99) == set(ids)


def test_contact_sheet(tmp_path: Path, refuses: Callable[..., AbstractContextManager[None]]) -> None:
    path = tmp_path / "sheet.png"
    contact_sheet([panel("a", 100, 200), panel("b", 300, 100), panel("c", 100, 100)], path, columns=2)
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape[1] > 8 * TILE
    colours = {tuple(int(v) for v in colour) for colour in np.unique(pixels.reshape(-1, 3), axis=0)}
    assert {(0x4C, 0xC2, 0xFF), (240, 228, 66)} <= colours
    with refuses(UsageError, "no_panels"):
        contact_sheet([], path)
