"""The folder of an evaluation: what lies in it, and that nothing in it is lost or left over."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from boneage.atomic import write_atomically
from boneage.errors import OutputError, UsageError
from boneage.evaluation import plots
from boneage.evaluation.page import page
from boneage.evaluation.report import Evaluation

PREDICTIONS_FILE: Final = "predictions.csv"
LOCALIZED_FILE: Final = "localized.csv"
DROPPED_FILE: Final = "dropped.csv"
SHEET_FILE: Final = "contact_sheet.png"
STRESS_FILE: Final = "stress.csv"
METRICS_FILE: Final = "metrics.json"
PAGE_FILE: Final = "report.html"
OWN_FILES: Final = (
    *(PREDICTIONS_FILE, LOCALIZED_FILE, DROPPED_FILE, SHEET_FILE, METRICS_FILE, PAGE_FILE),
    *("scatter.png", "bland_altman.png", "error_by_age.png", "localization.png", "stress.png"),
    *(STRESS_FILE, "stress.partial.jsonl"),
)
"""Everything that an evaluation writes; `--force` replaces these and touches nothing else."""


def prepare_folder(out: Path, *, force: bool) -> None:
    """Make the folder for the results, and make sure that nothing is lost and that it can be written to.

    Raises:
        UsageError: `out` is a file ("not_a_folder"), or an earlier evaluation lies there and `force` is not set
            ("results_exist").
        OutputError: the folder cannot be made or written to ("cannot_write").
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file. Name a folder for the results with --out.", code="not_a_folder")
    if not force and (found := [name for name in OWN_FILES if (out / name).exists()]):
        message = (
            f"{out} holds the results of an earlier evaluation ({', '.join(found)}). Name another folder with --out, "
            "or replace them with --force."
        )
        raise UsageError(message, code="results_exist")
    probe = out / ".boneage-evaluate"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        message = f"{out}: could not be written to ({error.strerror or error}). Name another folder with --out."
        raise OutputError(message, code="cannot_write") from error


def write_evaluation(evaluation: Evaluation, folder: str | Path) -> list[Path]:
    """Write the plots, report.html and metrics.json (each file atomically) into `folder`.

    The page holds its plots inside itself; the PNG files beside it are for slides and papers. metrics.json comes last:
    where it is, everything is.

    Returns:
        The paths written, in that order.

    Raises:
        OutputError: the folder cannot be written to; files written before stay whole.
    """
    folder = Path(folder)
    drawn: dict[str, bytes] = {}
    if evaluation.metrics.overall.n:
        drawn["scatter"] = plots.png(plots.scatter(evaluation.predictions))
        drawn["bland_altman"] = plots.png(plots.bland_altman(evaluation.predictions))
        drawn["error_by_age"] = plots.png(plots.error_by_age(evaluation.predictions, evaluation.metrics))
    if any(entry.n for groups in evaluation.localization.values() for entry in groups.values()):
        drawn["localization"] = plots.png(plots.localization_gain(evaluation.localization))
    if evaluation.stress is not None and any(entry.n for entry in evaluation.stress.under.values()):
        drawn["stress"] = plots.png(plots.stress_changes(evaluation.stress))
    contents: dict[str, str | bytes] = {
        **{f"{name}.png": plot for name, plot in drawn.items()},
        PAGE_FILE: page(evaluation, drawn),
        METRICS_FILE: json.dumps(evaluation.as_dict(), indent=2, allow_nan=False) + "\n",
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]


def remove_stale(out: Path, written: Iterable[Path]) -> None:
    """Remove what an earlier evaluation wrote and this one did not: it would belong to other figures."""
    for path in {out / name for name in OWN_FILES} - set(written):
        path.unlink(missing_ok=True)
