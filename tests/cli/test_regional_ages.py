"""`boneage models regional-heads`, and the output of the commands with a model that has regional heads."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from boneage.cli import app
from boneage.datasets import read_dataset

pytest.importorskip("onnx")


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def headed(layered_model: Path, phantoms: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "headed"
    made = run("models", "regional-heads", layered_model, "--data", phantoms, "--out", folder, "--quiet")
    assert made.exit_code == 0, made.stderr
    assert made.stdout == f"{folder}\n"
    assert "mean absolute error on validation" in made.stderr
    return folder


def test_a_model_with_heads_is_verified_and_assesses(
    headed: Path, layered_model: Path, phantoms: Path, tmp_path: Path
) -> None:
    verified = run("models", "verify", headed)
    assert verified.exit_code == 0, verified.stderr
    assert "ok  regional_heads.npz  " in verified.stdout
    assert "carpal and tubular bone age" in run("models", "info", headed).stdout
    assert "carpal" not in run("models", "info", layered_model).stdout
    case = next(case for case in read_dataset(phantoms).cases if case.split == "test" and case.sex)
    asked = ("assess", case.image, "--sex", case.sex, "--model", headed)
    done = run(*asked, "--format", "json", "--report", tmp_path / "report", "--figures")
    assert done.exit_code == 0, done.stderr
    entry = json.loads(done.stdout)
    carpal, tubular = entry["carpal_bone_age_months"], entry["tubular_bone_age_months"]
    assert entry["carpal_minus_tubular_months"] == pytest.approx(carpal - tubular, abs=0.011)
    (page,) = (tmp_path / "report").glob("0001-*.html")
    assert "<td>Carpal</td>" in page.read_text()
    assert f"{tubular:.0f} months" in page.read_text()
    assert "Carpal, tubular" in run(*asked).stdout
    assert f"{carpal:.1f}, {tubular:.1f}" in run(*asked).stdout
    (row,) = csv.DictReader(io.StringIO(run(*asked, "--format", "csv").stdout))
    assert float(row["carpal_bone_age_months"]) == carpal
    assert float(row["tubular_bone_age_months"]) == tubular
    both = run("assess", case.image, "--sex", "unknown", "--model", headed, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(both.stdout))
    assert row["carpal_bone_age_months"] == ""
    assert float(row[f"{case.sex}_carpal_bone_age_months"]) == carpal


def test_a_model_without_heads_prints_none(layered_model: Path, hand_file: Path) -> None:
    asked = ("assess", hand_file, "--sex", "male", "--model", layered_model)
    assert "Carpal" not in run(*asked).stdout
    (row,) = csv.DictReader(io.StringIO(run(*asked, "--format", "csv").stdout))
    assert row["carpal_bone_age_months"] == ""


def test_an_evaluation_scores_both_ages(headed: Path, layered_model: Path, phantoms: Path, tmp_path: Path) -> None:
    done = run("evaluate", "--model", headed, "--data", phantoms, "--split", "all", "--out", tmp_path / "e")
    assert "carpal bone age" in done.stdout, done.stderr
    rows = list(csv.DictReader(io.StringIO((tmp_path / "e" / "predictions.csv").read_text())))
    figures = json.loads((tmp_path / "e" / "metrics.json").read_text())["regional"]["overall"]
    off = [abs(float(row["carpal_months"]) - float(row["age_months"])) for row in rows if row["carpal_months"]]
    assert figures["carpal_mae"]["value"] == pytest.approx(sum(off) / len(off), abs=1e-3)
    assert figures["n"] == len(off)
    assert "Carpal and tubular bone age" in (tmp_path / "e" / "report.html").read_text()
    run("evaluate", "--model", layered_model, "--data", phantoms, "--split", "validation", "--out", tmp_path / "plain")
    assert json.loads((tmp_path / "plain" / "metrics.json").read_text())["regional"] is None


def test_nothing_is_replaced_without_force(headed: Path, layered_model: Path, phantoms: Path) -> None:
    before = (headed / "model.json").read_bytes()
    again = run("models", "regional-heads", layered_model, "--data", phantoms, "--out", headed)
    assert again.exit_code == 2
    assert f"{headed}: exists already" in again.stderr
    assert (headed / "model.json").read_bytes() == before


def test_a_network_that_mixes_its_views_is_status_2(standin_model: Path, phantoms: Path, tmp_path: Path) -> None:
    refused = run("models", "regional-heads", standin_model, "--data", phantoms, "--out", tmp_path / "m")
    assert refused.exit_code == 2
    assert "features of each view" in refused.stderr
    assert not (tmp_path / "m").exists()
