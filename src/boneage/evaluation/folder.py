"""The folder of an evaluation: what lies in it, and that nothing in it is lost or left over."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from boneage.errors import OutputError, UsageError

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


def remove_stale(out: Path, written: Iterable[Path]) -> None:
    """Remove what an earlier evaluation wrote and this one did not: it would belong to other figures."""
    for path in {out / name for name in OWN_FILES} - set(written):
        path.unlink(missing_ok=True)
