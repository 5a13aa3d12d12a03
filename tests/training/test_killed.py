"""A training that is killed in every stage ends with the same weights, bit for bit, as one that is left alone."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from boneage.model.folder import load_model

SCRIPT = Path(__file__).with_name("killed_training.py")


FITTED = {
    "chain": ["localizer-hand", "localizer-region_1", "localizer-region_2", "regressor", "student"],
    "compact": ["localizer-hand", "localizer-region_1", "regressor", "student"],
}
"""The stages that leave weights behind."""


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["chain", "compact"])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_killed_in_every_stage_the_weights_are_the_same(tmp_path: Path, recipe: str) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), recipe, str(whole), str(killed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert {line.split()[0] for line in done.stdout.splitlines()} == {file.parent.name for file in _stages(whole)}
    networks = sorted(path.relative_to(whole) for path in whole.glob("**/weights.safetensors"))
    assert [path.parent.name for path in networks] == FITTED[recipe]
    for network in networks:
        weights, theirs = load_file(whole / network), load_file(killed / network)
        assert weights.keys() == theirs.keys()
        for name in weights:
            assert weights[name].tobytes() == theirs[name].tobytes(), f"{network}: {name}"
    for name in ("*/network.onnx", "*/regions.csv", "tau-*/tau.csv", "model/*.onnx"):
        made = sorted(whole.glob(name))
        assert made, name
        for file in made:
            assert file.read_bytes() == (killed / file.relative_to(whole)).read_bytes(), file
    for file in whole.glob("*/maps.npz"):
        with np.load(file) as expected, np.load(killed / file.relative_to(whole)) as got:
            assert expected["maps"].tobytes() == got["maps"].tobytes(), file
    for file in _stages(whole):
        assert _facts(file) == _facts(killed / file.relative_to(whole)), file
    assert _identity(whole) == _identity(killed)
    for log in whole.glob("**/log.csv"):
        assert _without_seconds(log) == _without_seconds(killed / log.relative_to(whole))
    assert not list(killed.glob("**/checkpoints"))
    assert not list(killed.glob("**/*.tmp"))


def _stages(out: Path) -> list[Path]:
    return sorted(out.glob("*/stage.json"))


def _facts(file: Path) -> object:
    document = json.loads(file.read_text())
    return document["key"], document["facts"]


def _identity(out: Path) -> object:
    model = load_model(out / "model")
    return model.sha256, model.metrics


def _without_seconds(log: Path) -> list[dict[str, str]]:
    with log.open(newline="") as stream:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(stream)]
