"""`boneage reproduce` on a few phantoms: what it writes, what it keeps, and what it refuses."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("lightning")

from boneage.assessment import NOTICE
from boneage.cli import app
from boneage.datasets import read_boxes
from boneage.errors import UsageError
from boneage.evaluation.bootstrap import figure
from boneage.phantom.dataset import Settings, write_phantoms
from boneage.regions import Box
from boneage.research import experiments
from boneage.research.experiments import EXPERIMENTS
from boneage.research.reproduce import Request, check_request, list_experiments, shorten_command
from boneage.research.results import MAE, Line, Result
from boneage.research.runner import ExperimentRunner
from boneage.research.scales import SCALES, find_scale
from boneage.research.tau_table import PAPER_TAU

QUICK = ("--set", "age.schedule.epochs=1", "--set", "age.size=32", "--set", "cases=16", "--set", "sex_size=32")
LOCALIZERS = [
    f"{region}.{rest}" for region in ("hand", "region_1", "region_2") for rest in ("schedule.epochs=1", "size=64")
]


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["reproduce", *map(str, arguments)])


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("hands") / "set", 60, Settings(seed=3, size=96)).folder


def quick(hands: Path, out: Path, *arguments: object) -> Any:
    return run(
        *arguments, "--scale", "tiny", "--data", hands, "--out", out, "--cache", hands.parent / "images",
        "--accelerator", "cpu", *QUICK,
    )  # fmt: skip


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_without_an_experiment_it_lists_them() -> None:
    result = run()
    assert result.exit_code == 0
    assert result.stdout == f"{list_experiments()}\n"
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(EXPERIMENTS)


def test_every_experiment_is_the_file_of_its_name() -> None:
    files = {file.stem for file in Path(experiments.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == {name.replace("-", "_") for name in EXPERIMENTS}
    for file in files:
        assert callable(import_module(f"boneage.research.experiments.{file}").run)


@pytest.mark.parametrize("name", SCALES)
def test_every_scale_is_found_by_its_name(name: str) -> None:
    scale = find_scale(name)
    assert (scale.name, scale.phase_1.name) == (name, name)
    assert list(scale.sizes) == sorted(scale.sizes)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"experiments": ["table3", "table9"]}, "unknown_experiment"),
        ({"data": None}, "no_data_set"),
        ({"out": None}, "no_output_folder"),
        ({"weights": "no/such/folder"}, "no_such_folder"),
    ],
)
def test_a_request_that_cannot_be_run_is_refused(change: dict[str, Any], code: str, refuses: Any) -> None:
    request = {"experiments": ["table3"], "data": Path("data"), "out": Path("out"), **change}
    with refuses(UsageError, code):
        check_request(Request(**request))


def test_an_unknown_scale_or_setting_is_refused_before_anything_is_written(
    hands: Path, tmp_path: Path, refuses: Any
) -> None:
    with refuses(UsageError, "unknown_scale"):
        find_scale("huge")
    for wrong in (("--scale", "huge"), ("--set", "age.sizes=3"), ("--weights", tmp_path / "none")):
        result = run("table3", "--data", hands, "--out", tmp_path / "out", *wrong)
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: ")
    assert not (tmp_path / "out").exists()


WITHOUT_TORCH = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "timm", "lightning"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in [name for name in sys.modules if name.partition(".")[0] in ("torch", "timm", "lightning")]:
    del sys.modules[name]
sys.meta_path.insert(0, Missing())
from boneage.cli import app
app(sys.argv[1:])
"""


def run_without_torch(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "reproduce", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_torch_it_lists_the_experiments() -> None:
    done = run_without_torch()
    assert (done.returncode, done.stdout) == (0, f"{list_experiments()}\n"), done.stderr


def test_without_torch_an_experiment_is_refused_with_what_to_install(
    hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: Any
) -> None:
    done = run_without_torch("table3", "--data", hands, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "pip install 'boneage[train]'" in done.stderr
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with refuses(UsageError, "training_not_installed"):
        check_request(Request(["table3"], hands, tmp_path / "out"))


def test_the_help_names_the_extra_in_its_brackets() -> None:
    assert "boneage[train]" in run("--help").stdout


@pytest.fixture(scope="module")
def table3(hands: Path) -> Path:
    out = hands.parent / "table3"
    result = quick(hands, out, "table3")
    assert result.exit_code == 0, result.stderr
    assert "table3: 1-16 (2 of 5 cells)" in result.stderr
    assert result.stdout.splitlines() == [str(out / "table3.md")]
    return out


def test_a_table_has_figures_intervals_and_the_papers(table3: Path) -> None:
    table = rows(table3 / "table3.csv")
    assert [row["embedding"] for row in table] == ["none", "1-16", "1-32", "1-64", "1-64-32"]
    assert [float(row["MAE, months paper"]) for row in table] == [8.8, 7.9, 7.8, 7.8, 8.0]
    for row in table:
        assert float(row["MAE, months lower 95"]) < float(row["MAE, months"]) < float(row["MAE, months upper 95"])
        assert row["cases"] == "16"
        assert row["notice"] == NOTICE
    assert [row["against"] for row in table] == ["", *["none"] * 4]
    text = (table3 / "table3.md").read_text()
    assert "# Table III: the sex, on the whole image" in text
    setting = "Scale tiny: set (phantoms, not radiographs), 16 training cases, 32 px, 1 epoch"
    assert f"{setting}, start from tiny_start.safetensors; measured on the" in text
    assert "One training a cell: intervals and p-values are over cases, not over trainings." in text
    assert NOTICE in text
    assert (table3 / "table3.png").read_bytes().startswith(b"\x89PNG")


def test_figures_are_those_of_the_kept_predictions(table3: Path) -> None:
    errors = {}
    for file in (table3 / "cells").glob("*/seed-0/predictions.csv"):
        predictions = rows(file)
        assert all(1.0 <= float(row["predicted_months"]) <= 240.0 for row in predictions)
        differences = [float(row["predicted_months"]) - float(row["age_months"]) for row in predictions]
        errors[round(float(np.abs(differences).mean()), 4)] = np.abs(differences)
    table = rows(table3 / "table3.csv")
    assert {round(float(row["MAE, months"]), 4) for row in table} == set(errors)
    first, second = (errors[round(float(row["MAE, months"]), 4)] for row in table[:2])
    assert float(table[1]["difference, months"]) == pytest.approx(float((second - first).mean()), abs=1e-4)


def test_the_same_command_trains_nothing_twice(hands: Path, table3: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in (table3 / "cells").rglob("*") if file.is_file()}
    table = (table3 / "table3.csv").read_bytes()
    assert quick(hands, table3, "table3").exit_code == 0
    assert {file: file.stat().st_mtime_ns for file in (table3 / "cells").rglob("*") if file.is_file()} == before
    assert (table3 / "table3.csv").read_bytes() == table


def test_another_folder_gives_the_same_numbers(hands: Path, table3: Path, tmp_path: Path) -> None:
    assert quick(hands, tmp_path, "table3").exit_code == 0
    again = [{k: v for k, v in row.items() if k != "training seconds"} for row in rows(tmp_path / "table3.csv")]
    assert again == [{k: v for k, v in row.items() if k != "training seconds"} for row in rows(table3 / "table3.csv")]


def test_a_stopped_run_leaves_what_it_found(hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = ExperimentRunner.measure
    measured = []

    def measure_two_cells(self: ExperimentRunner, cell: Any) -> Any:
        measured.append(cell.title)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return measure(self, cell)

    monkeypatch.setattr(ExperimentRunner, "measure", measure_two_cells)
    assert quick(hands, tmp_path, "table3").exit_code != 0
    table = rows(tmp_path / "table3.csv")
    assert [bool(row["MAE, months"]) for row in table] == [True, True, False, False, False]
    monkeypatch.undo()
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("weights.safetensors")}
    assert quick(hands, tmp_path, "table3").exit_code == 0
    now = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("weights.safetensors")}
    assert {file: now[file] for file in kept} == kept
    assert len(now) == len(kept) + 3
    assert all(row["MAE, months"] for row in rows(tmp_path / "table3.csv"))


def test_a_cell_without_weights_stays_empty_with_the_reason(hands: Path, tmp_path: Path) -> None:
    one = (
        "--set",
        "backbones=test_resnet",
        "--set",
        "small_backbone=",
        "--set",
        "backbone_cases=8",
        "--set",
        "backbone_size=32",
    )
    result = quick(hands, tmp_path, "table2", *one)
    assert result.exit_code == 0, result.stderr
    random, pretrained = rows(tmp_path / "table2.csv")
    assert random["MAE, months"]
    assert pretrained["MAE, months"] == ""
    assert pretrained["empty"] == "no ImageNet weights were given (--weights)"
    assert pretrained["MAE, months paper"] == "9.3"


def test_localization_is_scored_at_every_tau(hands: Path, tmp_path: Path) -> None:
    boxes = hands / "annotations" / "boxes.csv"
    options = [word for setting in LOCALIZERS for word in ("--set", setting)]
    result = quick(
        hands, tmp_path, "class-average", "--boxes", boxes, "--localizers", "compact-2026-11e", *options
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    table = rows(tmp_path / "class-average.csv")
    taus = "tau, fraction of the maximum"
    assert {row["truth"] for row in table} == {"region_1", "wrist"}
    assert {row["months either side"] for row in table} == {"0", "6", "24"}
    assert {float(row[taus]) for row in table} >= set(PAPER_TAU.values())
    # A tau of 0 keeps the whole image: its overlap is the truth's share of it.
    for truth in ("region_1", "wrist"):
        share = np.mean([Box(*box).area for box in read_boxes(boxes)[truth].values()])
        for row in table:
            if row["truth"] == truth and float(row[taus]) == 0.0:
                assert float(row["mIoU"]) == pytest.approx(share, abs=2e-3)


def test_localization_without_boxes_gives_no_figures_and_the_reason(hands: Path, tmp_path: Path) -> None:
    assert quick(hands, tmp_path, "table1").exit_code == 0
    assert "No image of this data set has a reader's box for it (--boxes)." in (tmp_path / "table1.md").read_text()
    assert not (tmp_path / "cells").exists()


def test_baselines_learn_from_the_truth_that_phantoms_have(hands: Path, tmp_path: Path) -> None:
    result = quick(hands, tmp_path, "baselines", "--localizers", "compact-2026-11e")
    assert result.exit_code == 0, result.stderr
    table = {row["design"]: row for row in rows(tmp_path / "baselines.csv")}
    assert len(table) == 9
    # Its design cannot be built so small. The others go on.
    assert "64 pixels or more" in table.pop("spampinato-2017")["empty"]
    for name, row in table.items():
        assert float(row["MAE, months"]) > 0, name
    assert table["escobar-2019"]["learns from"] == "ages, box, key points"
    assert "gets the case's own mask" in table["deeplasia-true-mask"]["learns from"]
    assert "Halabi et al." in (tmp_path / "baselines.md").read_text()


def test_baselines_that_need_a_truth_stay_empty_without_it(hands: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(hands, plain, ignore=shutil.ignore_patterns("truth"))
    result = quick(plain, tmp_path / "out", "baselines", "--localizers", "compact-2026-11e")
    assert result.exit_code == 0, result.stderr
    table = {row["design"]: row for row in rows(tmp_path / "out" / "baselines.csv")}
    for name in ("iglovikov-2018", "escobar-2019", "deeplasia-true-mask"):
        assert table[name]["empty"] == "needs masks or key points, which only phantoms have"
    assert table["deeplasia-box"]["MAE, months"]


def test_one_network_end_to_end_is_measured_in_months_and_boxes(hands: Path, tmp_path: Path) -> None:
    boxes = hands / "annotations" / "boxes.csv"
    result = quick(hands, tmp_path, "end-to-end", "--localizers", "compact-2026-11e", "--boxes", boxes)
    assert result.exit_code == 0, result.stderr
    table = rows(tmp_path / "end-to-end.csv")
    assert [row["design"] for row in table[:2]] == ["two phases", "end to end"]
    assert all(float(row["MAE, months"]) > 0 for row in table[:2])
    boxed = {(row["design"], row["reads"]): float(row["mIoU"]) for row in table[2:]}
    assert {reads for _, reads in boxed} >= {"box against hand_mask", "box against region_1", "box against region_2"}
    assert all(0 <= overlap <= 1 for overlap in boxed.values())


def test_distributions_and_curves_are_drawn(hands: Path, tmp_path: Path) -> None:
    few = ("--set", "phase_1.tau.cases=16", "--set", "phase_1.tau.regressor.schedule.epochs=1")
    result = quick(hands, tmp_path, "figure4", "figure5", "--localizers", "compact-2026-11e", *few)
    assert result.exit_code == 0, result.stderr
    for name in ("figure4.png", "figure5-tau.png", "figure5-lambda.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    weights = [float(row["lambda"]) for row in rows(tmp_path / "figure5-lambda.csv") if row["view"] == "R1"]
    assert weights == [0.0, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0]
    # Figure 4 shares its networks with Figure 5.
    assert len(list((tmp_path / "cells").glob("*/seed-0"))) == 16
    assert "masks of the distilled localizer" in (tmp_path / "figure5-tau.md").read_text()


def test_a_bar_in_a_label_does_not_end_its_cell(tmp_path: Path) -> None:
    line = Line(("KL(G || p)",), {MAE: figure(np.arange(5.0))}, against="KL(p || G)")
    Result("kl", "Divergences", "here", ("divergence",), (line,)).write(tmp_path)
    rows = [row for row in (tmp_path / "kl.md").read_text().splitlines() if row.startswith("|")]
    assert rows[2].startswith(r"| KL(G \|\| p) | 2.00 (")
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {4}


def test_a_result_ends_with_the_command_that_rebuilds_it() -> None:
    words = ["reproduce", "table3", "--data", "/data/my set", "--out=/x/table3", "--quiet", "--set", "age.size=32"]
    assert shorten_command(words) == "boneage reproduce {name} --data 'my set' --out table3 --set age.size=32"


def test_pictures_are_written_and_named(hands: Path, tmp_path: Path) -> None:
    result = quick(hands, tmp_path, "figure1", "figure3", "--localizers", "compact-2026-11e")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [str(tmp_path / "figure1.png"), str(tmp_path / "figure3.png")]
    for name in ("figure1.png", "figure3.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
