from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import boneage.cli.models
import boneage.model.folder
from boneage.cli import app
from boneage.model.writing import write_model


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["models", *map(str, arguments)])


@pytest.fixture
def shipped(standin_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shipped"
    shutil.copytree(standin_model, folder / "one")
    shutil.copytree(standin_model, folder / "two")
    (folder / "DEFAULT").write_text("two\n")
    monkeypatch.setattr(boneage.model.folder, "MODELS_FOLDER", folder)
    monkeypatch.setattr(boneage.cli.models, "MODELS_FOLDER", folder)
    return folder


def test_list_marks_the_default(shipped: Path) -> None:
    result = run("list")
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first.startswith("  one")
    assert second.startswith("* two")


def test_list_shows_a_damaged_model(shipped: Path) -> None:
    (shipped / "one" / "hand.onnx").write_bytes(b"")
    result = run("list")
    assert result.exit_code == 1
    assert "one  damaged" in result.stdout
    assert "* two" in result.stdout


def test_list_without_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boneage.model.folder, "MODELS_FOLDER", tmp_path)
    result = run("list")
    assert result.exit_code == 0
    assert "No model is shipped" in result.stdout


def test_verify(shipped: Path, standin_model: Path) -> None:
    for arguments in ([], ["one"], [standin_model]):
        result = run("verify", *arguments)
        assert result.exit_code == 0, result.stderr
        assert result.stdout.count("ok  ") == 4


def test_verify_a_damaged_model(shipped: Path) -> None:
    path = shipped / "one" / "regressor.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    result = run("verify", "one")
    assert result.exit_code == 2
    assert "regressor.onnx" in result.stderr
    assert "again" in result.stderr


@pytest.fixture
def with_card(standin_parts: Any, tmp_path: Path) -> Path:
    return write_model(tmp_path / "with card", *standin_parts, others={"MODEL_CARD.md": b"# What it is\n"})


@pytest.mark.parametrize("command", ["verify", "info"])
def test_one_flipped_byte_in_any_file_is_noticed(with_card: Path, command: str) -> None:
    assert run(command, with_card).exit_code == 0
    files = sorted(with_card.iterdir())
    assert {file.suffix for file in files} == {".json", ".onnx", ".md"}
    for file in files:
        whole = file.read_bytes()
        for at, other in ((len(whole) // 2, 1), (len(whole) - 1, 3), (1, 42)):
            damaged = bytearray(whole)
            damaged[at] ^= other  # the second turns the last line break of a text into a tab
            file.write_bytes(damaged)
            result = run(command, with_card)
            assert (result.exit_code, result.stdout) == (2, ""), (file.name, at)
            assert str(file) in result.stderr
        file.unlink()
        assert run(command, with_card).exit_code == 2, f"{file.name} is missing"
        file.write_bytes(whole)


def test_a_file_without_a_checksum_is_told(with_card: Path) -> None:
    (with_card / "notes.txt").write_text("mine")
    result = run("verify", with_card)
    assert result.exit_code == 0
    assert "MODEL_CARD.md" in result.stdout
    assert "notes.txt" in result.stderr


def test_the_shipped_model_is_whole() -> None:
    result = run("verify")
    assert result.exit_code == 0, result.stderr
    assert "ok  MODEL_CARD.md" in result.stdout
    assert result.stderr == ""


def test_verify_a_network_that_does_not_run(standin_parts: Any, tmp_path: Path) -> None:
    settings, networks = standin_parts
    networks["hand"] = b"whole, but not a network"
    result = run("verify", write_model(tmp_path / "m", settings, networks))
    assert result.exit_code == 2
    assert "hand.onnx" in result.stderr


def test_info(shipped: Path) -> None:
    result = run("info")
    assert result.exit_code == 0
    assert "standin 0.0.1" in result.stdout
    assert "region_2 on HE" in result.stdout
    document = json.loads(run("info", "one", "--json").stdout)
    assert document == json.loads((shipped / "one" / "model.json").read_text())


def test_info_gives_the_accuracy_in_one_line_and_names_the_file_with_the_rest() -> None:
    figures = {
        "validation": {"mae_months": 7.25, "mae_interval_95": [6.5, 7.5], "cases": 597},
        "test": {"overall": {"mae": {"value": 6.9575, "interval_95": None, "n": 1237}}, "by_sex": {}},
    }
    assert boneage.cli.models._describe_accuracy(figures) == (
        "MAE 7.25 months (6.50 to 7.50) on validation, n = 597; MAE 6.96 months on test, n = 1,237; "
        "all figures: metrics.json"
    )
    assert boneage.cli.models._describe_accuracy({}) == "not stated"


def test_a_model_that_is_not_there(shipped: Path) -> None:
    result = run("info", "three")
    assert result.exit_code == 2
    assert "one, two" in result.stderr
