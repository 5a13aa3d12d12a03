"""`boneage evaluate --stress` on small phantoms, with an assessor that answers by brightness."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from boneage.ages import Sex
from boneage.assessment import NOTICE, Assessment, Attention, SexAnswer
from boneage.cli import app
from boneage.datasets import Case
from boneage.evaluation import TRANSFORMS, evaluate_stress, read_stress
from boneage.evaluation.folder import OWN_FILES
from boneage.evaluation.stress.run import draw, journal_of
from boneage.evaluation.stress.transforms import MASKED
from boneage.radiograph import Radiograph
from boneage.regions import Box, Region

PARTIAL_FILE = journal_of(Path("stress.csv")).name
ID_CELL = re.compile(r'"id": "[^"]*"')
FLAT = np.full(240, 1 / 240, dtype=np.float32)
EACH = 1 + len(TRANSFORMS)


class Bright:
    """Answers the mean brightness times 240 months; the user loses patience after `patience` radiographs."""

    model = SimpleNamespace(
        name="bright", sha256="f" * 64, calibration=SimpleNamespace(constant_half_width_months=None)
    )
    notice = NOTICE

    def __init__(self, patience: int | None = None) -> None:
        self.seen = 0
        self.patience = patience

    def for_many(self) -> Bright:
        return self

    def plain(self) -> Bright:
        return self

    def assess(self, radiograph: Radiograph, sex: Sex | None) -> Assessment:
        if self.seen == self.patience:
            raise KeyboardInterrupt
        self.seen += 1
        w, h = radiograph.width, radiograph.height
        months = float(np.clip(radiograph.pixels.mean() * 240, 1, 240))
        answers = {one: SexAnswer(months, (1.0, 240.0), FLAT) for one in ([sex] if sex else Sex)}
        box = Box(w / 4, h / 4, 3 * w / 4, 3 * h / 4)
        attention = Attention(np.ones((4, 4), dtype=np.float32), Box(0, 0, w, h))
        regions = dict.fromkeys(Region, box)
        return Assessment(
            radiograph, sex, answers, regions, dict.fromkeys(Region, attention), {}, "bright", "f" * 64, 0.0
        )


@pytest.fixture
def data(phantoms: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(phantoms, tmp_path / "data"))


def run(monkeypatch: pytest.MonkeyPatch, assessor: Bright, *words: object) -> Result:
    monkeypatch.setattr("boneage.load", lambda model: assessor)
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def test_every_case_under_every_transform(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    result = run(monkeypatch, Bright(), "--data", data, "--out", out, "--split", "test", "--stress")
    assert result.exit_code == 0, result.output
    rows = read_stress(out / "stress.csv")
    cases = {row.prediction.id for row in rows}
    assert len(rows) == EACH * len(cases)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["stress"]["cases"] == len(cases) == metrics["accuracy"]["counts"]["cases"]
    # 64 pixels less a tenth are too few: refused, counted, and no reason to stop.
    narrower = metrics["stress"]["transforms"]["border_narrower"]
    assert (narrower["n"], narrower["rejected"]) == (0, len(cases))
    flip = metrics["stress"]["transforms"]["flip"]
    assert (flip["n"], flip["median_change"]["value"]) == (len(cases), pytest.approx(0, abs=0.5))
    assert metrics["stress"]["transforms"]["invert"]["kept"]["median"] is False
    assert metrics["stress"]["attention_in_hand"]["region_1"]["value"] == pytest.approx(0.25, abs=1e-3)
    assert "under stress" in result.output
    assert "inversion" in result.output
    assert "Inversion" in (out / "report.html").read_text(encoding="utf-8")
    names = {path.name for path in out.iterdir()}
    assert {"stress.csv", "stress.png"} <= names <= set(OWN_FILES) - {PARTIAL_FILE}
    # The table alone gives the same figures.
    assert json.loads(json.dumps(evaluate_stress(rows).as_dict())) == metrics["stress"]


def test_an_interrupted_run_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    words = ("--data", data, "--split", "all", "--stress", "--stress-count", 3, "--workers", 1)
    assert run(monkeypatch, Bright(), *words, "--out", whole).exit_code == 0
    # All 30 as they are, one case under stress, half of another.
    run(monkeypatch, Bright(patience=30 + EACH + 10), *words, "--out", out)
    lines = (out / PARTIAL_FILE).read_text().splitlines(keepends=True)
    assert len(lines) == 1 + EACH
    # A kill leaves some rows of the next case, and half a line.
    others = [line.replace(ID_CELL.search(line)[0], '"id": "other"') for line in lines[1:4]]  # type: ignore[index]
    (out / PARTIAL_FILE).write_text("".join([*lines, *others, '{"transform": "fl']))
    assert run(monkeypatch, Bright(), *words, "--out", out).exit_code == 2
    again = Bright()
    result = run(monkeypatch, again, *words, "--out", out, "--force")
    assert result.exit_code == 0, result.output
    assert "going on after 1 of 3 cases" in result.output
    assert again.seen < 30 + 2 * EACH
    assert (out / "stress.csv").read_bytes() == (whole / "stress.csv").read_bytes()
    assert not (out / PARTIAL_FILE).exists()


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe\x00 no journal", None])
def test_what_does_not_hold_is_measured_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    class Older(Bright):
        """Gives other answers."""

        def assess(self, radiograph: Radiograph, sex: Sex | None) -> Assessment:
            made = super().assess(radiograph, sex)
            return replace(made, answers={key: replace(a, bone_age_months=200.0) for key, a in made.answers.items()})

    out = tmp_path / "out"
    words = ("--data", data, "--split", "all", "--stress", "--stress-count", 2, "--workers", 1, "--out", out)
    run(monkeypatch, Bright(patience=30 + EACH + 5), *words)
    assert len((out / PARTIAL_FILE).read_text().splitlines()) == 1 + EACH
    if damage is not None:
        (out / PARTIAL_FILE).write_bytes(damage)
    result = run(monkeypatch, Bright() if damage is not None else Older(), *words, "--force")
    assert result.exit_code == 0, result.output
    assert "going on" not in result.output
    rows = read_stress(out / "stress.csv")
    assert len(rows) == 2 * EACH
    if damage is None:
        assert {row.prediction.predicted_months for row in rows} <= {200.0, None}


def test_a_bad_file_stops_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    pictures = sorted(data.glob("boneage-training-dataset/*.png"))
    bad = pictures[0]
    bad.write_bytes(b"")
    result = run(monkeypatch, Bright(), "--data", data, "--split", "all", "--stress", "--out", out)
    assert result.exit_code == 1
    rows = read_stress(out / "stress.csv")
    of_bad = [row for row in rows if row.prediction.id == bad.stem]
    assert [(row.transform, row.prediction.status) for row in of_bad] == [("none", "failed")]
    assert len(rows) == EACH * (len(pictures) - 1) + 1
    assert json.loads((out / "metrics.json").read_text())["stress"]["without_answer"] == 1


def test_a_model_without_regions(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Whole(Bright):
        def assess(self, radiograph: Radiograph, sex: Sex | None) -> Assessment:
            return replace(super().assess(radiograph, sex), regions={}, attention={})

    out = tmp_path / "out"
    result = run(monkeypatch, Whole(), "--data", data, "--out", out, "--split", "test", "--stress")
    assert result.exit_code == 0, result.output
    rows = read_stress(out / "stress.csv")
    assert {row.transform for row in rows} == {"none", *(transform.name for transform in TRANSFORMS)} - {MASKED}
    assert "failed" not in {row.prediction.status for row in rows}


def test_unknown_sex_has_no_single_answer(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [path.stem for path in sorted(data.glob("boneage-training-dataset/*.png"))[:2]]
    table = tmp_path / "labels.csv"
    table.write_text(f"id,boneage,sex\n{ids[0]},100,unknown\n{ids[1]},100,male\n")
    out = tmp_path / "out"
    words = ("--data", data, "--table", table, "--split", "all", "--stress", "--out", out)
    assert run(monkeypatch, Bright(), *words).exit_code == 0
    rows = read_stress(out / "stress.csv")
    assert len(rows) == 1 + EACH
    assert json.loads((out / "metrics.json").read_text())["stress"]["without_answer"] == 1


def test_a_smaller_draw_is_part_of_a_larger_one() -> None:
    cases = [Case(str(i), Path(f"{i}.png"), None, None, "train") for i in range(50)]
    few, more = ([case.id for case in draw(cases, count)] for count in (5, 20))
    assert len(few) == 5
    assert set(few) < set(more)
    assert more == sorted(more, key=int)
    assert more != [str(i) for i in range(20)]
    assert draw(cases, None) == draw(cases, 99) == cases
