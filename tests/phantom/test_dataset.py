"""`boneage phantom` writes a data set that resumes, that does not depend on workers, and that can be read."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from boneage.cli import app
from boneage.datasets import read_boxes, read_dataset
from boneage.errors import OutputError, UsageError
from boneage.phantom.dataset import Settings, write_phantoms
from boneage.phantom.run_lengths import decode_runs
from boneage.radiograph import PHANTOM_MARK

SMALL = Settings(seed=3, size=64)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["phantom", *map(str, arguments)])


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_any_number_of_workers_writes_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write_phantoms(one, 4, SMALL, workers=1)
    write_phantoms(two, 4, SMALL, workers=2)
    assert contents(one) == contents(two)


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    write_phantoms(whole, 4, SMALL)

    class Stopped(Exception):
        pass

    made = 0

    def stop(cases: int) -> None:
        nonlocal made
        made += cases
        if made == 2:
            raise Stopped

    with pytest.raises(Stopped):
        write_phantoms(broken, 4, SMALL, advance=stop)
    assert not (broken / "truth.csv").exists()
    # As after a kill between an image and its truth.
    (broken / "truth" / "1001.json").unlink()
    written = write_phantoms(broken, 4, SMALL)
    assert (written.cases, written.made) == (4, 3)
    assert contents(broken) == contents(whole)


def test_a_larger_count_adds_phantoms(tmp_path: Path, refuses) -> None:
    write_phantoms(tmp_path / "grown", 2, SMALL)
    assert write_phantoms(tmp_path / "grown", 3, SMALL).made == 1
    write_phantoms(tmp_path / "at_once", 3, SMALL)
    assert contents(tmp_path / "grown") == contents(tmp_path / "at_once")
    with refuses(UsageError, "more_phantoms"):
        write_phantoms(tmp_path / "grown", 1, SMALL)


def test_files_of_a_user_are_not_overwritten(tmp_path: Path, refuses) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with refuses(UsageError, "folder_not_empty"):
        write_phantoms(tmp_path / "mine", 1, SMALL)
    root = tmp_path / "set"
    write_phantoms(root, 1, SMALL)
    with pytest.raises(UsageError, match=r"\(different: seed\)") as raised:
        write_phantoms(root, 1, Settings(seed=4, size=64))
    assert raised.value.code == "other_settings"
    in_the_way = root / "boneage-training-dataset" / "1001.png"
    in_the_way.write_bytes(b"mine")
    with refuses(OutputError, "file_in_the_way"):
        write_phantoms(root, 2, SMALL)
    in_the_way.unlink()
    table = root / "boneage-training-dataset.csv"
    table.write_text("id,boneage,male\n1000,my own reading\n")
    with refuses(OutputError, "file_in_the_way"):
        write_phantoms(root, 2, SMALL)
    assert "my own reading" in table.read_text()


def test_a_data_set_of_another_version_of_the_generator_is_not_continued(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 1, SMALL)
    note = json.loads((tmp_path / "phantoms.json").read_text())
    (tmp_path / "phantoms.json").write_text(json.dumps({**note, "version": note["version"] - 1}))
    with pytest.raises(UsageError, match="version of the generator") as raised:
        write_phantoms(tmp_path, 2, SMALL)
    assert raised.value.code == "other_settings"


def test_the_data_set_is_read_with_labels_and_boxes(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 6, SMALL)
    dataset = read_dataset(tmp_path)
    assert len(dataset.labelled.cases) == 6
    assert not dataset.dropped
    labels = {row["id"]: float(row["boneage"]) for row in rows(tmp_path / "boneage-training-dataset.csv")}
    assert {case.id: case.age_months for case in dataset.cases} == labels
    truth = read_boxes(tmp_path / "annotations" / "boxes.csv")
    for name in ("hand", "hand_mask", "region_1", "region_2", "wrist"):
        assert set(truth[name]) == set(labels)
    for case, (x0, y0, x1, y1) in truth["hand"].items():
        # Readers leave the forearm out, and draw a little around the fingers.
        with_forearm, wrist = truth["hand_mask"][case], truth["region_1"][case]
        assert y0 <= with_forearm[1], case
        assert wrist[3] - 0.02 < y1 <= with_forearm[3], case
        assert x0 < wrist[0] < wrist[2] < x1, case
    tight = read_boxes(tmp_path / "annotations" / "regions.csv")
    for name in ("region_1", "region_2"):
        for case, (x0, y0, x1, y1) in tight[name].items():
            drawn = truth[name][case]
            assert drawn[0] <= x0 < x1 <= drawn[2], (name, case)
            assert drawn[1] <= y0 < y1 <= drawn[3], (name, case)
    assert tight["hand_mask"] == truth["hand_mask"]
    record = json.loads((tmp_path / "truth" / "1000.json").read_text())["truth"]
    mask = decode_runs(record["hands"][0]["masks"]["region_1"])
    assert mask.shape == (record["height"], record["width"])
    x0, _, x1, _ = record["hands"][0]["regions"]["region_1"]
    assert np.floor(x0) <= np.flatnonzero(mask.any(axis=0)).min() < np.flatnonzero(mask.any(axis=0)).max() < np.ceil(x1)
    assert {case.split for case in dataset.cases[:5]} == {"train", "validation", "test"}


def test_labels_have_the_noise_of_a_rater_and_the_truth_has_not(tmp_path: Path) -> None:
    exact = Settings(seed=3, size=64, label_sd_months=0.0, ages=(30.0, 90.0), spread=False)
    assert write_phantoms(tmp_path / "exact", 4, exact).label_mae_months == 0.0
    assert [row["boneage"] for row in rows(tmp_path / "exact" / "boneage-training-dataset.csv")] == [
        "30",
        "30",
        "90",
        "90",
    ]
    noisy = Settings(seed=3, size=64)
    assert noisy.best_mae_months == pytest.approx(5 * np.sqrt(2 / np.pi))
    written = write_phantoms(tmp_path / "noisy", 6, noisy)
    table = rows(tmp_path / "noisy" / "truth.csv")
    gaps = [abs(float(row["label_months"]) - float(row["true_bone_age_months"])) for row in table]
    assert written.label_mae_months == pytest.approx(np.mean(gaps))
    assert 0 < max(gaps) < 25


def test_every_file_is_marked_as_a_phantom(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 1, SMALL)
    with Image.open(tmp_path / "boneage-training-dataset" / "1000.png") as image:
        assert image.text["Software"] == PHANTOM_MARK  # type: ignore[attr-defined]
        assert "not a medical device" in image.text["Comment"]  # type: ignore[attr-defined]
    record = json.loads((tmp_path / "truth" / "1000.json").read_text())
    assert "not a medical device" in record["truth"]["notice"]
    assert "not a medical device" in (tmp_path / "README.md").read_text()


def test_the_command(tmp_path: Path) -> None:
    result = run(tmp_path / "set", "--count", 2, "--size", 64, "--ages", "24,60", "--workers", 1)
    assert result.exit_code == 0, result.stderr
    assert "2 phantoms in" in result.stdout
    assert "Best possible MAE against the labels: 3.99 months expected" in result.stdout
    assert "not a medical device" in result.stdout
    again = run(tmp_path / "set", "--count", 2, "--size", 64, "--ages", "24,60", "--workers", 1)
    assert "0 of them made now" in again.stdout


def test_shares_of_special_images(tmp_path: Path) -> None:
    options = ("--two-hands", 1, "--partial", 0, "--inverted", 1)
    assert run(tmp_path / "set", "--count", 1, "--size", 64, *options, "--workers", 1).exit_code == 0
    (row,) = rows(tmp_path / "set" / "truth.csv")
    assert (row["hands"], row["inverted"], row["partial"]) == ("2", "True", "False")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--count", 0], "1 or more"),
        (["--count", 1, "--ages", "old"], "--ages 'old'"),
        (["--count", 1, "--ages", "200-24"], "the smaller first"),
        (["--count", 1, "--ages", "0-24"], "1 to 240"),
        (["--count", 1, "--size", 10], "64"),
        (["--count", 1, "--seed", -1], "negative"),
        (["--count", 1, "--partial", 2], "0 to 1"),
        (["--count", 1, "--label-sd", -1], "0 to 60"),
        (["--count", 1, "--coding", "rle"], "for DICOM"),
        (["--count", 1, "--dicom", "--inverted", 1], "for PNG"),
        (["--count", 1, "--size", 9000], "4096"),
    ],
)
def test_wrong_usage_ends_with_2(tmp_path: Path, options: list[object], words: str) -> None:
    result = run(tmp_path / "set", *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "set").exists()
