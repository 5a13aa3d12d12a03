"""`boneage regions`: a table of boxes, crops at the radiograph's own resolution, and what goes wrong."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from boneage.cli import app
from boneage.phantom import drawn_hand


def films(folder: Path, count: int = 2) -> Path:
    folder.mkdir()
    for k in range(count):
        Image.fromarray(drawn_hand(60 + 60 * k, "female", seed=k, size=200)[0]).save(folder / f"{k}.png")
    return folder


def regions(*words: object) -> Result:
    return CliRunner().invoke(app, ["regions", *map(str, words)])


def test_boxes_and_crops(tmp_path: Path, standin_model: Path) -> None:
    result = regions(films(tmp_path / "films"), "--out", tmp_path / "out", "--model", standin_model, "--crops")
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((tmp_path / "out" / "regions.csv").read_text().splitlines()))
    assert [Path(row["file"]).name for row in rows] == ["0.png", "1.png"]
    assert {row["status"] for row in rows} == {"assessed"}
    assert (rows[0]["width"], rows[0]["height"]) == ("200", "260")
    assert all("Research use only" in row["notice"] for row in rows)
    for row, name in zip(rows, ["000001-0.png", "000002-1.png"], strict=True):
        crop = Image.open(tmp_path / "out" / "crops" / "hand" / name)
        assert crop.width == round(float(row["hand_x1"])) - round(float(row["hand_x0"]))
        assert crop.height == round(float(row["hand_y1"])) - round(float(row["hand_y0"]))
        assert np.asarray(crop).dtype == np.uint8


def test_one_broken_file_is_a_row_and_not_the_end(tmp_path: Path, standin_model: Path) -> None:
    folder = films(tmp_path / "films")
    (folder / "0.png").write_bytes(b"no picture")
    result = regions(folder, "--out", tmp_path / "out", "--model", standin_model)
    assert result.exit_code == 1
    rows = list(csv.DictReader((tmp_path / "out" / "regions.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["failed", "assessed"]
    assert rows[0]["reason"]
    assert rows[0]["hand_x0"] == ""


def test_wrong_models_and_folders_are_found_before_the_work(tmp_path: Path, standin_model: Path) -> None:
    folder = films(tmp_path / "films")
    result = regions(folder, "--out", tmp_path / "out", "--model", "nowhere")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    result = regions(folder, "--out", tmp_path / "file" / "out", "--model", standin_model)
    assert result.exit_code == 1
    assert "cannot be written" in result.output
    assert "done" not in result.output


def test_names_that_are_no_text_are_written_all_the_same(tmp_path: Path, standin_model: Path) -> None:
    folder = films(tmp_path / "films", 1)
    try:
        (folder / "0.png").rename(folder / "0\udcff.png")
    except OSError:
        pytest.skip("this file system takes text only")
    result = regions(folder, "--out", tmp_path / "out", "--model", standin_model, "--crops")
    assert result.exit_code == 0, result.output
    (row,) = csv.DictReader((tmp_path / "out" / "regions.csv").read_text(encoding="utf-8").splitlines())
    assert row["file"].endswith("0\\udcff.png")


def test_nothing_is_overwritten(tmp_path: Path, standin_model: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    result = regions(films(tmp_path / "films"), "--out", tmp_path / "out", "--model", standin_model)
    assert result.exit_code == 2
    assert "not an empty folder" in result.output
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["notes.txt"]
