"""`boneage models index`, `boneage train --index` and `boneage assess --index` from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from boneage.cli import app
from boneage.datasets import read_dataset
from boneage.pipeline.similar_cases import read_index

pytest.importorskip("onnx")


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def index(layered_model: Path, phantoms: Path, tmp_path: Path) -> Path:
    file = tmp_path / "cases.npz"
    made = run("models", "index", layered_model, "--data", phantoms, "--out", file, "--terms", "drawn here")
    assert made.exit_code == 0, made.stderr
    assert made.stdout == f"{file}\n"
    assert "mean absolute error on validation" in made.stderr
    return file


def test_an_index_of_a_model_and_an_assessment_with_it(
    index: Path, layered_model: Path, phantoms: Path, tmp_path: Path
) -> None:
    cases = {case.id: case for case in read_dataset(phantoms).cases}
    held = read_index(index)
    assert set(held.ids) == {name for name, case in cases.items() if case.split == "train"}
    assert held.data["terms"] == "drawn here"
    asked = next(case for case in cases.values() if case.split == "test" and case.sex)
    done = run(
        "assess", asked.image, "--sex", asked.sex, "--model", layered_model, "--index", index, "--format", "json",
        "--report", tmp_path / "report",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    entry = json.loads(done.stdout)
    assert [case["distance"] for case in entry["similar_cases"]] == sorted(
        case["distance"] for case in entry["similar_cases"]
    )
    for case in entry["similar_cases"]:
        assert cases[case["id"]].sex is asked.sex
        assert case["bone_age_months"] == pytest.approx(cases[case["id"]].age_months, abs=0.01)
    ages = sorted(case["bone_age_months"] for case in entry["similar_cases"])
    middle = (ages[(len(ages) - 1) // 2] + ages[len(ages) // 2]) / 2
    assert entry["similar_cases_age_months"] == pytest.approx(middle, abs=0.01)
    (page,) = (tmp_path / "report").glob("0001-*.html")
    assert "Similar cases of the same sex" in page.read_text()
    assert "Phantoms" in page.read_text()


def test_nothing_is_replaced_without_force(index: Path, layered_model: Path, phantoms: Path) -> None:
    before = index.read_bytes()
    again = run("models", "index", layered_model, "--data", phantoms, "--out", index)
    assert again.exit_code == 2
    assert f"{index}: exists already" in again.stderr
    assert index.read_bytes() == before
    assert run("models", "index", layered_model, "--data", phantoms, "--out", index.parent).exit_code == 2
    assert run("models", "index", layered_model, "--data", phantoms, "--out", index, "--force").exit_code == 0


def test_an_index_that_cannot_be_used_is_status_2(
    index: Path, standin_model: Path, layered_model: Path, hand_file: Path, phantoms: Path, tmp_path: Path
) -> None:
    other = run("assess", hand_file, "--model", standin_model, "--index", index)
    assert other.exit_code == 2
    assert f"{index}: belongs to the model layered" in other.stderr
    index.write_bytes(index.read_bytes()[:100])
    damaged = run("assess", hand_file, "--model", layered_model, "--index", index)
    assert damaged.exit_code == 2
    assert f"{index}: cannot be read as an index" in damaged.stderr
    assert run("assess", hand_file, "--model", layered_model, "--index", tmp_path / "gone").exit_code == 2
    old = run("models", "index", standin_model, "--data", phantoms, "--out", tmp_path / "old.npz")
    assert old.exit_code == 2
    assert "not 'features'" in old.stderr
    assert not (tmp_path / "old.npz").exists()


@pytest.mark.slow
def test_a_training_with_an_index(phantoms: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    out = tmp_path / "run"
    quick = [
        "regions=",
        "regressor.views=O",
        "regional_heads=false",
        "regressor.size=32",
        "regressor.schedule.epochs=1",
    ]
    words = ["train", "tiny", "--data", phantoms, "--out", out, "--accelerator", "cpu"]
    words += [word for pair in quick for word in ("--set", pair)]
    assert run(*words).exit_code == 0
    assert not (out / "index.npz").exists()
    resumed = run(*words, "--resume", "--index")
    assert resumed.exit_code == 0, resumed.stderr
    assert f"--index {out / 'index.npz'}" in resumed.stderr
    picture = read_dataset(phantoms).cases[0].image
    done = run("assess", picture, "--model", out / "model", "--index", out / "index.npz", "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert set(json.loads(done.stdout)["by_sex"]["male"]) >= {"similar_cases", "similar_cases_age_months"}
