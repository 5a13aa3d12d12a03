"""`boneage regions`: a table of boxes, crops at the radiograph's own resolution, and what goes wrong."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from boneage.cli import app
from boneage.errors import UsageError
from boneage.journal import CsvJournal
from boneage.model.folder import load_model
from boneage.model.writing import write_model
from boneage.phantom import phantom
from boneage.reports.region_folder import RegionFolder


def images(folder: Path, count: int = 2) -> Path:
    folder.mkdir()
    for k in range(count):
        Image.fromarray(phantom(60 + 60 * k, "female", k, 200).pixels).save(folder / f"{k}.png")
    return folder


def regions(*words: object) -> Result:
    return CliRunner().invoke(app, ["regions", *map(str, words)])


def test_boxes_and_crops(tmp_path: Path, standin_model: Path) -> None:
    result = regions(images(tmp_path / "hands"), "--out", tmp_path / "out", "--model", standin_model, "--crops")
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((tmp_path / "out" / "regions.csv").read_text().splitlines()))
    assert [Path(row["file"]).name for row in rows] == ["0.png", "1.png"]
    assert {row["status"] for row in rows} == {"assessed"}
    with Image.open(tmp_path / "hands" / "0.png") as image:
        assert (rows[0]["width"], rows[0]["height"]) == (str(image.width), str(image.height))
    assert all("Research use only" in row["notice"] for row in rows)
    for row, name in zip(rows, ["000001-0.png", "000002-1.png"], strict=True):
        with Image.open(tmp_path / "out" / "crops" / "hand" / name) as crop:
            assert crop.width == round(float(row["hand_x1"])) - round(float(row["hand_x0"]))
            assert crop.height == round(float(row["hand_y1"])) - round(float(row["hand_y0"]))
            assert np.asarray(crop).dtype == np.uint8


def test_one_broken_file_is_a_row_and_not_the_end(tmp_path: Path, standin_model: Path) -> None:
    folder = images(tmp_path / "hands")
    (folder / "0.png").write_bytes(b"no picture")
    result = regions(folder, "--out", tmp_path / "out", "--model", standin_model)
    assert result.exit_code == 1
    rows = list(csv.DictReader((tmp_path / "out" / "regions.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["failed", "assessed"]
    assert rows[0]["reason"]
    assert rows[0]["hand_x0"] == ""


def test_wrong_models_and_folders_are_found_before_the_work(tmp_path: Path, standin_model: Path) -> None:
    folder = images(tmp_path / "hands")
    result = regions(folder, "--out", tmp_path / "out", "--model", "nowhere")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    result = regions(folder, "--out", tmp_path / "file" / "out", "--model", standin_model)
    assert result.exit_code == 1
    assert "cannot be written" in result.output
    assert "Assessing" not in result.output


def test_names_that_are_not_utf8_are_written_with_escapes(tmp_path: Path, standin_model: Path) -> None:
    folder = images(tmp_path / "hands", 1)
    try:
        (folder / "0.png").rename(folder / "0\udcff.png")
    except OSError:
        pytest.skip("this file system takes text only")
    result = regions(folder, "--out", tmp_path / "out", "--model", standin_model, "--crops")
    assert result.exit_code == 0, result.output
    (row,) = csv.DictReader((tmp_path / "out" / "regions.csv").read_text(encoding="utf-8").splitlines())
    assert row["file"].endswith("0\\udcff.png")


def interrupted(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Stop the next run when so many radiographs are done."""
    import boneage.cli.regions as module

    def stopped(*arguments: Any, **options: Any) -> Iterator[Any]:
        yield from islice(real(*arguments, **options), after)
        raise KeyboardInterrupt

    real = module.assess_requests
    monkeypatch.setattr(module, "assess_requests", stopped)


@pytest.mark.parametrize("half", [b"", b"3,", b'3,"a\n'])
def test_an_interrupted_run_goes_on(
    tmp_path: Path, standin_model: Path, monkeypatch: pytest.MonkeyPatch, half: bytes
) -> None:
    folder = images(tmp_path / "hands", 4)
    (folder / "1.png").write_bytes(b"no picture")
    (folder / "2.png").rename(folder / '2 "and\n a half".png')
    words = (folder, "--model", standin_model, "--crops", "--workers", 1, "--out")
    assert regions(*words, tmp_path / "whole").exit_code == 1
    with monkeypatch.context() as patch:
        interrupted(patch, 3)
        assert regions(*words, tmp_path / "out").exit_code not in (0, 2)
    table = tmp_path / "out" / "regions.csv"
    assert len(list(csv.DictReader(table.read_text().splitlines(keepends=True)))) == 3, "it grows while it runs"
    with table.open("ab") as stream:
        stream.write(half)
    result = regions(*words, tmp_path / "out")
    assert result.exit_code == 1
    assert "going on after row 3 of 4" in result.stderr
    assert table.read_bytes() == (tmp_path / "whole" / "regions.csv").read_bytes()
    names = [sorted(p.name for p in (tmp_path / out / "crops").rglob("*")) for out in ("out", "whole")]
    assert names[0] == names[1]


def test_a_finished_run_is_not_run_again(tmp_path: Path, standin_model: Path) -> None:
    folder = images(tmp_path / "hands")
    words = (folder, "--model", standin_model, "--out", tmp_path / "out")
    assert regions(*words).exit_code == 0
    before = (tmp_path / "out" / "regions.csv").read_bytes()
    assert regions(*words).exit_code == 0
    assert (tmp_path / "out" / "regions.csv").read_bytes() == before
    # Rows without their crops are made anew where crops are asked for.
    assert regions(*words, "--crops").exit_code == 0
    assert (tmp_path / "out" / "regions.csv").read_bytes() == before
    assert len(list((tmp_path / "out" / "crops" / "hand").iterdir())) == 2


def test_it_does_not_go_on_with_other_radiographs_or_another_model(
    tmp_path: Path, standin_model: Path, standin_parts: Any, refuses: Any
) -> None:
    folder = images(tmp_path / "hands", 3)
    out = tmp_path / "out"
    assert regions(folder / "0.png", folder / "1.png", "--model", standin_model, "--out", out).exit_code == 0
    before = (out / "regions.csv").read_bytes()
    settings, networks = standin_parts
    other = write_model(tmp_path / "other", {**settings, "calibration": {"tail": 0.2}}, networks)
    for names, model, code in (
        (("0.png", "2.png"), standin_model, "other_radiographs"),
        (("0.png",), standin_model, "other_radiographs"),
        (("0.png", "1.png", "2.png"), other, "other_model"),
    ):
        files = [str(folder / name) for name in names]
        with refuses(UsageError, code):
            RegionFolder(out, files, load_model(model).sha256)
        result = regions(*files, "--model", model, "--out", out)
        assert result.exit_code == 2
        assert str(out / "regions.csv") in result.stderr
        assert (out / "regions.csv").read_bytes() == before


def test_a_table_of_another_kind_stays(tmp_path: Path, standin_model: Path, refuses: Any) -> None:
    (tmp_path / "out").mkdir()
    table = tmp_path / "out" / "regions.csv"
    table.write_text("id,width\n1,300\n")
    result = regions(images(tmp_path / "hands"), "--out", tmp_path / "out", "--model", standin_model)
    assert result.exit_code == 2
    assert str(table) in result.stderr
    with refuses(UsageError, "other_columns"):
        RegionFolder(table.parent, [], "")
    assert table.read_text() == "id,width\n1,300\n"


def test_a_disk_that_fills_up(tmp_path: Path, standin_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = images(tmp_path / "hands", 3)
    words = (folder, "--model", standin_model, "--out", tmp_path / "out")
    write = CsvJournal._write

    def full(self: CsvJournal, content: bytes) -> None:
        if content.startswith(b"3,"):
            raise OSError(28, "No space left on device")
        write(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(CsvJournal, "_write", full)
        result = regions(*words)
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert "goes on where it stopped" in result.stderr
    assert "going on after row 2 of 3" in regions(*words).stderr


def test_crops_that_find_no_room(tmp_path: Path, standin_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (images(tmp_path / "hands"), "--model", standin_model, "--crops", "--out", tmp_path / "out")

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        result = regions(*words)
    assert result.exit_code == 1
    assert "000001-0.png: could not be written (No space left on device)" in result.stderr
    assert "goes on where it stopped" in result.stderr
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != "regions.csv"]
    assert regions(*words).exit_code == 0


def test_nothing_is_overwritten(tmp_path: Path, standin_model: Path, refuses: Any) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    result = regions(images(tmp_path / "hands"), "--out", tmp_path / "out", "--model", standin_model)
    assert result.exit_code == 2
    with refuses(UsageError, "folder_not_empty"):
        RegionFolder(tmp_path / "out", [], "")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["notes.txt"]
