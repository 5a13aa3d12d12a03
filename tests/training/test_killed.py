"""A training that is killed in every stage ends with the same weights, bit for bit, as one that is left alone."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

SCRIPT = Path(__file__).with_name("killed_training.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_killed_in_every_stage_the_weights_are_the_same(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), str(whole), str(killed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("killed in") == 8
    assert done.stdout.count("killed at the end of") == 6
    networks = sorted(path.relative_to(whole) for path in whole.glob("**/weights.safetensors"))
    assert [path.parent.name for path in networks] == [
        *(f"localizer-{region}" for region in ("hand", "region_1", "region_2")), "regressor", "student",
    ]  # fmt: skip
    for network in networks:
        expected, got = load_file(whole / network), load_file(killed / network)
        assert expected.keys() == got.keys()
        for name in expected:
            assert expected[name].tobytes() == got[name].tobytes(), f"{network}: {name}"
    for table in whole.glob("tau-*/tau.csv"):
        assert table.read_text() == (killed / table.relative_to(whole)).read_text()
    assert _identity(whole) == _identity(killed)
    for log in whole.glob("**/log.csv"):
        assert _without_seconds(log) == _without_seconds(killed / log.relative_to(whole))
    assert not list(killed.glob("**/checkpoints"))
    assert not list(killed.glob("**/*.tmp"))


def _identity(out: Path) -> object:
    document = json.loads((out / "model" / "model.json").read_text())
    return document["networks_sha256"], document["localizers"], document["calibration"], document["metrics"]


def _without_seconds(log: Path) -> list[dict[str, str]]:
    with log.open(newline="") as stream:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(stream)]
