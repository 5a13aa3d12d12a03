"""`boneage train` from the command line, on phantoms."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from boneage.cli import app
from boneage.datasets import read_dataset

pytest.importorskip("lightning")

QUICK = [
    "regions=hand", "regressor.views=H", "regressor.size=32", "regressor.schedule.epochs=1", "hand.size=32",
    "hand.schedule.epochs=1", "hand.tau=0.4", "regional_heads=false",
]  # fmt: skip


def train(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def settings() -> list[str]:
    return [part for assignment in QUICK for part in ("--set", assignment)]


def test_a_model_from_the_command_line(phantoms: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = train("tiny", "--data", phantoms, "--out", out, *settings(), "--accelerator", "cpu")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{out / 'model'}\n"
    assert "30 cases" in result.stderr
    assert "not a medical device" in result.stderr
    shown = CliRunner().invoke(app, ["models", "info", str(out / "model")])
    assert "phantom" in shown.stdout  # recognised: no child's radiograph was seen
    again = train("tiny", "--data", phantoms, "--out", out, *settings())
    assert again.exit_code == 2
    assert "--resume" in again.stderr
    resumed = train(
        "tiny", "--data", phantoms, "--out", out, *settings(), "--resume", "--quiet", "--accelerator", "cpu"
    )
    assert resumed.exit_code == 0
    assert resumed.stderr.count("\n") == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["huge"], "huge: "),
        (["tiny", "--set", "colour=red"], "--set colour=red: "),
        (["tiny", "--set", "regions=hand"], "regressor.views: R1 "),
        (["tiny", "--accelerator", "abacus"], "--accelerator abacus: "),
        (["tiny", "--precision", "8"], "--precision 8: "),
    ],
)
def test_wrong_usage_is_named_before_anything_is_made(
    phantoms: Path, tmp_path: Path, arguments: list[str], named: str
) -> None:
    result = train(*arguments, "--data", phantoms, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert named in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", ["--data", "--table", "--images"])
def test_a_path_that_is_not_there_is_wrong_usage(phantoms: Path, tmp_path: Path, option: str) -> None:
    absent = tmp_path / "absent.csv"
    words = {"--data": phantoms} | {option: absent}
    result = train("tiny", *(word for pair in words.items() for word in pair), "--out", tmp_path / "deep" / "run")
    assert result.exit_code == 2
    assert f"{absent}: there is no such" in result.stderr
    assert not (tmp_path / "deep").exists()


def test_what_is_dropped_is_said_and_listed(phantoms: Path, tmp_path: Path) -> None:
    """One of 30 cannot be decoded: under 5 %, so that training goes on."""
    root = shutil.copytree(phantoms, tmp_path / "hands")
    used = [case for case in read_dataset(root).cases if case.split == "train"]
    used[0].image.write_bytes(b"no picture")
    out = tmp_path / "run"
    result = train("tiny", "--data", root, "--out", out, *settings(), "--accelerator", "cpu", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert "1 of 28 rows dropped" in result.stderr
    assert str(out / "dropped.csv") in result.stderr
    with (out / "dropped.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["id"], row["file"]) == (used[0].id, str(used[0].image))
    assert row["reason"]


def test_a_table_without_ages_says_so_and_leaves_nothing(phantoms: Path, tmp_path: Path) -> None:
    root = shutil.copytree(phantoms, tmp_path / "hands")
    table = root / "boneage-training-dataset.csv"
    table.write_text(table.read_text().replace("boneage", "reading", 1))
    result = train("tiny", "--data", root, "--out", tmp_path / "run", *settings())
    assert result.exit_code == 1
    assert f"{table}: no column for the bone age (columns: id, reading, male)" in result.stderr
    assert "--column age=NAME" in result.stderr
    assert not (tmp_path / "run").exists()


def test_more_than_five_per_cent_dropped_stops_it(phantoms: Path, tmp_path: Path) -> None:
    root = shutil.copytree(phantoms, tmp_path / "hands")
    pictures = sorted((root / "boneage-training-dataset").glob("*.png"))
    for picture in pictures[:8]:
        picture.write_bytes(b"no picture")
    result = train("tiny", "--data", root, "--out", tmp_path / "run", *settings())
    assert result.exit_code == 1
    assert "5%" in result.stderr
    assert not (tmp_path / "run" / "model").exists()
    table = root / "boneage-training-dataset.csv"
    with table.open(newline="") as stream:
        rows = list(csv.reader(stream))
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([rows[0], *([row[0], "12y", row[2]] for row in rows[1:4]), *rows[4:]])
    result = train("tiny", "--data", root, "--out", tmp_path / "other", *settings())
    assert result.exit_code == 1
    assert "12y" in result.stderr


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_cannot_be_written(phantoms: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    result = train("tiny", "--data", phantoms, "--out", tmp_path / "run")
    tmp_path.chmod(0o700)
    assert result.exit_code == 1
    assert "Choose another folder" in result.stderr


def test_a_file_in_the_place_of_the_folder(phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    result = train("tiny", "--data", phantoms, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "Choose another folder" in result.stderr


def test_missing_weights_say_what_to_do(phantoms: Path, tmp_path: Path) -> None:
    result = train("tiny", "--data", phantoms, "--out", tmp_path / "run", "--set", "pretrained=gone.safetensors")
    assert result.exit_code == 1
    assert "gone.safetensors" in result.stderr
    assert "'timm' for timm's own weights" in result.stderr


def test_a_table_of_another_layout(phantoms: Path, tmp_path: Path) -> None:
    with next(phantoms.glob("*.csv")).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    table = tmp_path / "readings.csv"
    with table.open("w", newline="") as stream:
        lines = [[row["id"], float(row["boneage"]) / 12, "M" if row["male"] == "True" else "F"] for row in rows]
        csv.writer(stream).writerows([["image", "reader 1", "child"], *lines])
    named = ["id=image", "age=reader 1", "age_unit=years", "sex=child"]
    words = [part for pair in named for part in ("--column", pair)]
    arguments = ["tiny", "--data", phantoms, "--table", table, "--accelerator", "cpu", *settings()]
    result = train(*arguments, "--out", tmp_path / "run", *words)
    assert result.exit_code == 0, result.stderr
    assert "30 cases" in result.stderr
    assert train(*arguments, "--out", tmp_path / "other", "--column", "years=reader 1").exit_code == 2


def test_a_full_disk_says_what_to_do(phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from boneage.training.run import stage

    def full(file: Path, document: object) -> None:
        raise OSError(28, "No space left on device", str(file))

    monkeypatch.setattr(stage, "_write", full)
    result = train("tiny", "--data", phantoms, "--out", tmp_path / "run", "--accelerator", "cpu", *settings())
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert "--resume" in result.stderr
    assert str(tmp_path / "run") in result.stderr
