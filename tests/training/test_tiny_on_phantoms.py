"""`tiny` trains every stage on 300 phantoms, from ages alone, and is measured where the truth is known."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("lightning")

from boneage.cli import app
from boneage.phantom.dataset import Settings, write_phantoms
from boneage.training.data.views_data import Example, ViewsData

pytestmark = pytest.mark.slow


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("hands") / "set", 300, Settings(seed=2, size=128)).folder


@pytest.fixture(scope="module")
def trained(hands: Path) -> Path:
    out = hands.parent / "run"
    result = run("train", "tiny", "--data", hands, "--out", out, "--accelerator", "cpu", "--quiet")
    assert result.exit_code == 0, result.stderr
    return out


@pytest.fixture(scope="module")
def metrics(hands: Path, trained: Path) -> dict[str, Any]:
    out, boxes = hands.parent / "evaluation", hands / "annotations" / "boxes.csv"
    result = run("evaluate", "--model", trained / "model", "--data", hands, "--boxes", boxes, "--out", out)
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return document


def test_every_stage_was_trained(trained: Path) -> None:
    fitted = {log.parent.name for log in trained.glob("*/log.csv")}
    assert fitted == {"localizer-hand", "localizer-region_1", "tau-region_1", "tau-region_2", "regressor"}
    assert {step["region"] for step in json.loads((trained / "model" / "model.json").read_text())["localizers"]} == {
        "hand",
        "region_1",
        "region_2",
    }


def test_it_tells_ages_far_better_than_a_constant(hands: Path, metrics: dict[str, Any]) -> None:
    with (hands.parent / "evaluation" / "predictions.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["age_months"] and row["predicted_months"]]
    ages = np.array([float(row["age_months"]) for row in rows])
    errors = np.abs([float(row["predicted_months"]) for row in rows] - ages)
    assert len(rows) == 30
    constant = np.abs(ages - np.median(ages)).mean()
    assert errors.mean() <= 0.7 * constant, (errors.mean(), constant)


@pytest.mark.parametrize(("truth", "least"), [("hand_mask", 0.5), ("region_1", 0.25), ("region_2", 0.3)])
def test_boxes_that_nobody_taught_lie_over_the_truth(metrics: dict[str, Any], truth: str, least: float) -> None:
    for cases in ("all", "outside_train"):
        measured = metrics["localization"][truth][cases]
        assert measured["miou"]["value"] >= least, (cases, measured)


def test_broken_off_and_resumed_it_gives_the_same_model(
    hands: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    for stage in ("localizer-region_1", "population", "regressor"):
        shutil.rmtree(out / stage)
    shutil.rmtree(out / "model")
    get = ViewsData.__getitem__
    words = ("train", "tiny", "--data", hands, "--out", out, "--accelerator", "cpu", "--quiet", "--resume")
    for channels in (1, 3):
        seen = 0

        def breaks(self: ViewsData, key: Any, channels: int = channels) -> Example:
            nonlocal seen
            seen += len(self.sources) == channels
            if seen == 700:
                raise RuntimeError("broken off")
            return get(self, key)

        monkeypatch.setattr(ViewsData, "__getitem__", breaks)
        result = run(*words)
        assert "broken off" in str(result.exception) + result.output
        assert not (out / "model").exists()
    monkeypatch.setattr(ViewsData, "__getitem__", get)
    assert run(*words).exit_code == 0
    networks = sorted(path.name for path in (trained / "model").glob("*.onnx"))
    assert networks
    for name in networks:
        assert (out / "model" / name).read_bytes() == (trained / "model" / name).read_bytes(), name
