from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

import boneage.model.folder
from boneage.assessment import NOTICE
from boneage.cli import app


class Run:
    """`boneage assess` in this process."""

    def __init__(self, model: Path) -> None:
        self.model = model

    def __call__(self, *arguments: object, model: bool = True) -> Any:
        given = [str(argument) for argument in arguments]
        return CliRunner().invoke(app, ["assess", *given, *(["--model", str(self.model)] if model else [])])

    def json(self, *arguments: object) -> tuple[int, list[dict[str, Any]]]:
        result = self(*arguments, "--format", "json")
        return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def run(standin_model: Path) -> Run:
    return Run(standin_model)


@pytest.fixture
def folder(tmp_path: Path, hand_pixels: Any) -> Path:
    images = tmp_path / "hands"
    images.mkdir()
    for name in ("b.png", "a.png", "c.jpg"):
        Image.fromarray(hand_pixels()).save(images / name)
    return images


def test_json_has_one_object_a_line_in_the_order_asked(run: Run, folder: Path) -> None:
    asked = [folder / "c.jpg", folder / "a.png", folder / "nobody.png", folder / "b.png", folder / "a.png"]
    status, records = run.json(*asked, "--sex", "female", "--workers", 3)
    assert status == 1
    assert [record["file"] for record in records] == [str(path) for path in asked]
    assert [record["status"] for record in records] == ["assessed", "assessed", "failed", "assessed", "assessed"]
    assert all(record["sex"] == "female" for record in records)
    assert all(record["notice"] == NOTICE for record in records)
    assert records[1]["bone_age_months"] == records[4]["bone_age_months"]


def test_a_folder_is_taken_in_sorted_order(run: Run, folder: Path) -> None:
    status, records = run.json(folder)
    assert status == 0
    assert [Path(record["file"]).name for record in records] == ["a.png", "b.png", "c.jpg"]
    assert all(set(record["by_sex"]) == {"male", "female"} for record in records)


def test_a_table(run: Run, folder: Path) -> None:
    table = folder.parent / "children.csv"
    table.write_text("File , SEX,chronological_age_months\nhands/b.png,M,100\nhands/a.png,unknown,\nhands/c.jpg,,\n\n")
    status, records = run.json("--table", table, "--sex", "female")
    assert status == 0
    assert [(record["file"], record["sex"]) for record in records] == [
        ("hands/b.png", "male"),
        ("hands/a.png", "unknown"),
        ("hands/c.jpg", "female"),
    ]


def test_a_row_that_cannot_be_used_does_not_stop_the_others(run: Run, folder: Path) -> None:
    table = folder.parent / "children.csv"
    table.write_text(
        "file,sex,chronological_age_months\nhands/a.png,girlish,\nhands/b.png,male,100\nhands/c.jpg,male,12y\n,male,\n"
    )
    for asked in (["--table", table], [folder / "a.png", folder / "b.png", folder / "c.jpg", "--table", table]):
        status, records = run.json(*asked)
        assert status == 1
        assert [record["status"] for record in records[:3]] == ["failed", "assessed", "failed"]
        if len(asked) == 2:
            assert records[3]["reason_code"] == "missing_file_name"
        assert [record["reason_code"] for record in records[:3]] == ["unknown_sex", None, "unreadable_age"]
        assert f"{table}, row 2" in records[0]["reason"], "it names the table and the row"
        assert records[0]["bone_age_months"] is None


def test_a_table_beside_files_gives_their_sex(run: Run, folder: Path) -> None:
    table = folder / "children.csv"
    table.write_text("file;sex\nb.png;male\nzz.png;male\n")
    result = run(folder / "a.png", folder / "b.png", "--table", table, "--format", "json")
    assert [json.loads(line)["sex"] for line in result.stdout.splitlines()] == ["unknown", "male"]
    assert "1 of its files are not among the files given" in result.stderr


def test_csv(run: Run, folder: Path) -> None:
    result = run(folder, folder / "nobody.png", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert result.exit_code == 1
    assert [row["status"] for row in rows] == ["assessed"] * 3 + ["failed"]
    assert float(rows[0]["male_bone_age_months"]) > float(rows[0]["female_bone_age_months"])
    assert rows[0]["bone_age_months"] == ""
    assert rows[3]["reason"]


def test_the_table_for_people(run: Run, folder: Path) -> None:
    result = run(folder / "a.png", "--sex", "male")
    assert result.exit_code == 0
    assert re.search(r"a\.png +male +\d+ y \d+ mo +\d+\.\d +\d+ y \d+ mo to \d+ y \d+ mo", result.stdout)
    assert "Research use only" in result.stdout
    result = run(folder / "a.png", folder / "[bold]x.png")
    assert "if female" in result.stdout
    assert "[bold]x.png" in result.stdout
    assert "failed" in result.stdout


def test_progress_is_plain_lines_where_there_is_no_terminal(run: Run, folder: Path) -> None:
    result = run(folder, "--format", "json")
    assert [line.partition(" (")[0] for line in result.stderr.splitlines()] == [
        f"Assessing: {done} of 3" for done in (1, 2, 3)
    ]
    assert run(folder / "a.png", "--format", "json").stderr == ""


def test_a_report_with_heatmaps(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"nothing")
    result = run(folder, "--report", tmp_path / "report", "--heatmaps")
    assert result.exit_code == 1
    assert "broken.png" in (tmp_path / "report" / "index.html").read_text()
    assert len(list((tmp_path / "report").glob("0*.html"))) == 3
    assert len(list((tmp_path / "report" / "heatmaps").iterdir())) == 9


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--sex", "girlish", "hand.png"],
        ["--heatmaps", "hand.png"],
        ["--figures", "hand.png"],
        ["--table", "nowhere.csv"],
        ["--format", "yaml", "hand.png"],
        ["--workers", "0", "hand.png"],
        ["--no-such-option"],
    ],
)
def test_wrong_usage_is_status_2(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.strip()
    assert result.stdout == ""


def test_a_model_that_is_not_there_is_wrong_usage(
    run: Run, hand_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(hand_file, "--model", "nowhere", model=False).exit_code == 2
    monkeypatch.setattr(boneage.model.folder, "MODELS_FOLDER", tmp_path / "none")
    result = run(hand_file, model=False)
    assert result.exit_code == 2
    assert "--model DIR" in result.stderr


def _subprocess(*arguments: object, **changes: Any) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "boneage", *map(str, arguments)]
    return subprocess.run(command, env=environment, stderr=subprocess.PIPE, check=False, timeout=120, **changes)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output(standin_model: Path, hand_file: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = _subprocess("assess", hand_file, "--format", "json", "--model", standin_model, stdout=full)
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_reader_that_goes_away(standin_model: Path, hand_file: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = _subprocess("assess", hand_file, "--format", "json", "--model", standin_model, stdout=writing)
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == b""


def test_assessing_imports_nothing_that_only_training_needs(standin_model: Path, hand_file: Path) -> None:
    script = (
        "import sys, json\n"
        "from boneage.cli import app\n"
        f"app(['assess', {str(hand_file)!r}, '--model', {str(standin_model)!r}], standalone_mode=False)\n"
        "banned = {'torch', 'timm', 'lightning', 'pandas', 'matplotlib'}\n"
        "print(json.dumps(sorted(banned & set(sys.modules))))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == b"[]"


def test_help_imports_no_library_of_numbers() -> None:
    script = (
        "import sys\n"
        "from boneage.cli import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "assert not {'numpy', 'scipy', 'PIL', 'torch', 'onnxruntime', 'pydantic', 'jinja2'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True, timeout=120)
    for command in (b"assess", b"train", b"evaluate", b"models"):
        assert command in done.stdout


def test_what_the_gate_refuses_is_rejected_with_a_reason_unless_asked_otherwise(
    gated_model: Callable[..., Path], folder: Path
) -> None:
    guarded = Run(gated_model(2))
    status, records = guarded.json(folder, "--sex", "male")
    assert status == 1
    assert {(record["status"], record["reason_code"]) for record in records} == {("rejected", "two_hands")}
    status, records = guarded.json(folder, "--sex", "male", "--anyway")
    assert status == 0
    assert all(record["remarks"][0]["severity"] == "do_not_rely" for record in records)
    assert all(record["remarks"][0]["code"] == "two_hands" for record in records)


def test_a_rotated_radiograph_gets_the_answer_of_the_one_in_canonical_orientation(
    gated_model: Callable[..., Path], tmp_path: Path, hand_pixels: Any
) -> None:
    canonical, rotated = tmp_path / "canonical.png", tmp_path / "rotated.png"
    image = Image.fromarray(hand_pixels())
    image.save(canonical)
    image.transpose(Image.Transpose.ROTATE_90).save(rotated)
    (plain,) = Run(gated_model(0)).json(canonical, "--sex", "male")[1]
    (turned,) = Run(gated_model(0, 90.0)).json(rotated, "--sex", "male")[1]
    assert turned["bone_age_months"] == pytest.approx(plain["bone_age_months"], abs=0.02)
    assert (plain["turned_degrees"], turned["turned_degrees"]) == (0.0, 90.0)
    assert [remark["code"] for remark in turned["remarks"]] == ["rotated"]
    x0, y0, x1, y1 = plain["regions"]["hand"]
    assert turned["regions"]["hand"] == pytest.approx([y0, image.width - x1, y1, image.width - x0], abs=0.2)
