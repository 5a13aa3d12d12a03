"""`boneage evaluate`: a model on a data set -> predictions.csv, metrics.json, report.html."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Protocol

import typer

from boneage.ages import Sex
from boneage.assessment import NOTICE, Assessment
from boneage.cli.columns import Column, Data, Images, Table, named_columns
from boneage.errors import DatasetError, ModelError, OutputError, UsageError
from boneage.files import removed_if_empty, write_atomically
from boneage.radiograph import Radiograph

if TYPE_CHECKING:
    from boneage.datasets import Case, Dataset
    from boneage.evaluation import Evaluation, Prediction
    from boneage.evaluation.contact_sheet import Panel
    from boneage.evaluation.localization import Corners

_Outcome = tuple["Case", Assessment | Exception]

PREDICTIONS_FILE: Final = "predictions.csv"
LOCALIZED_FILE: Final = "localized.csv"
SHEET_FILE: Final = "contact_sheet.png"
DROPPED_FILE: Final = "dropped.csv"
OWN_FILES: Final = (
    *(PREDICTIONS_FILE, LOCALIZED_FILE, DROPPED_FILE, SHEET_FILE, "metrics.json", "report.html"),
    *("scatter.png", "bland_altman.png", "error_by_age.png", "localization.png"),
)
"""Everything that an evaluation writes; `--force` replaces these and touches nothing else."""
PHANTOMS_NOTICE: Final = "Measured on phantoms, not on radiographs alone: says nothing about children."
_READ_AHEAD: Final = 2
"""Radiographs that wait decoded for each reading thread: keeps memory small whatever the data set's size."""


class SplitChoice(StrEnum):
    """Which part of the data set is scored."""

    REPORT = "report"
    SELECT = "select"
    TRAIN = "train"
    ALL = "all"


class Assessing(Protocol):
    """What an evaluation needs of an assessor."""

    def assess(self, radiograph: Radiograph, sex: Sex | None) -> Assessment: ...


def evaluate(
    data: Data,
    model: Annotated[
        str | None, typer.Option(help="Name or folder of the model; the default model if left out.")
    ] = None,
    table: Table = None,
    images: Images = None,
    column: Column = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("evaluation"),
    boxes: Annotated[Path | None, typer.Option(help="CSV of readers' boxes: measures where the model looked.")] = None,
    split: Annotated[SplitChoice, typer.Option(help="Which part of the data set is scored.")] = SplitChoice.REPORT,
    against: Annotated[Path | None, typer.Option(help="Another predictions.csv, for a paired comparison.")] = None,
    contact_sheet: Annotated[
        int, typer.Option(min=0, help="Draw films with boxes and attention of so many cases (for your own disk).")
    ] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Threads that read radiographs ahead.")] = 2,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the results of an earlier evaluation in --out.")
    ] = False,
) -> None:
    """Measure a model on a data set: predictions.csv, metrics.json, and a page with tables and plots.

    With --boxes all boxed cases of the data set are localized as well, whatever their split; those outside the
    scored part go into localized.csv and never into the figures of accuracy. Exit status 0 when every scored
    radiograph was assessed, 1 when some were rejected or failed (they are listed), 2 for wrong usage.
    """
    import boneage
    from boneage.datasets import dropped_table, has_phantoms, read_dataset
    from boneage.evaluation import Evaluation, Provenance, read_predictions, write_evaluation, write_predictions

    with removed_if_empty(out):
        # Everything that can be wrong with the call is found before the long work.
        prepare_folder(out, force=force)
        other = None if against is None else read_predictions(against)
        truths = _truths(boxes)
        assessor = boneage.load(model)
        dataset = read_dataset(data, table=table, columns=named_columns(column), images=images)
        typer.echo(dataset.report(), err=True)
        scored, boxed_only = choose(dataset, split, {case for truth in truths.values() for case in truth})

        by_case: dict[str, dict[str, Corners]] = {}
        for name, given in truths.items():
            for case, corners in given.items():
                by_case.setdefault(case, {})[name] = corners
        cases = [*scored, *boxed_only]
        shown = spread([case.id for case in cases if case.id in by_case] or [case.id for case in cases], contact_sheet)
        rows, panels, answered = _collect(cases, dataset.root, assessor, by_case, shown, workers)
        notice = answered.notice if answered else NOTICE
        if has_phantoms(dataset):
            notice = f"{PHANTOMS_NOTICE} {notice}"

        provenance = Provenance(
            model=answered.model if answered else model or "default",
            model_sha256=answered.model_sha256 if answered else "",
            data=dataset.name,
            splits=str(split),
            code_version=boneage.__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            notice=notice,
            dropped=dict(Counter(dropped.reason for dropped in dataset.dropped)),
        )
        accuracy_rows, localized = rows[: len(scored)], rows[len(scored) :]
        # The table first: whatever happens to the figures, hours of assessing are on disk.
        written = [out / PREDICTIONS_FILE]
        write_predictions(out / PREDICTIONS_FILE, accuracy_rows)
        if localized:
            written.append(out / LOCALIZED_FILE)
            write_predictions(out / LOCALIZED_FILE, localized)
        if dataset.dropped:
            written.append(out / DROPPED_FILE)
            write_atomically(out / DROPPED_FILE, dropped_table(dataset.dropped))
        evaluation = Evaluation.of(accuracy_rows, provenance, localized=localized, truths=truths, against=other)
        try:
            written += write_evaluation(evaluation, out)
        except OutputError as error:
            raise OutputError(
                f"{error} The predictions are whole ({out / PREDICTIONS_FILE}), not all figures are: run again, with "
                "--force for the same folder."
            ) from error
        if panels:
            from boneage.evaluation import contact_sheet as sheets

            sheets.contact_sheet(panels, out / SHEET_FILE)
            written.append(out / SHEET_FILE)
        remove_stale(out, written)
        typer.echo(summary(evaluation, out))
        if evaluation.not_assessed:
            raise typer.Exit(1)


def prepare_folder(out: Path, *, force: bool) -> None:
    """Make the folder for the results, and make sure that nothing is lost and that it can be written to.

    Raises:
        UsageError: an earlier evaluation lies there and `force` is not set, or `out` is a file.
        OutputError: the folder cannot be made or written to.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file. Name a folder for the results with --out.")
    if not force and (found := [name for name in OWN_FILES if (out / name).exists()]):
        raise UsageError(
            f"{out} holds the results of an earlier evaluation ({', '.join(found)}). Name another folder with --out, "
            "or replace them with --force."
        )
    probe = out / ".boneage-evaluate"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"{out}: could not be written to ({error.strerror or error}). Name another folder with --out."
        ) from error


def remove_stale(out: Path, written: Sequence[Path]) -> None:
    """After `--force`: what an earlier evaluation wrote and this one did not would belong to other figures."""
    for name in OWN_FILES:
        if out / name not in written:
            (out / name).unlink(missing_ok=True)


def choose(dataset: Dataset, split: SplitChoice, boxed: set[str]) -> tuple[list[Case], list[Case]]:
    """(cases that are scored, further cases that have readers' boxes).

    Raises:
        DatasetError: no case is in the chosen split.
    """
    scored = [case for case in dataset.cases if split is SplitChoice.ALL or case.split == split.value]
    if not dataset.cases:
        raise DatasetError(
            f"{dataset.root}: no row of the data set can be used, for the reasons above. Correct the table."
        )
    if not scored:
        sizes = ", ".join(f"{name}: {n}" for name, n in sorted(Counter(case.split for case in dataset.cases).items()))
        raise DatasetError(f"{dataset.root}: no case is in the split '{split}' ({sizes}). Choose another with --split.")
    chosen = {case.id for case in scored}
    return scored, [case for case in dataset.cases if case.id in boxed and case.id not in chosen]


def spread(ids: Sequence[str], count: int) -> set[str]:
    """`count` ids at equal steps through the list, so that a sheet shows all of a data set."""
    if count <= 0:
        return set()
    return {ids[place * len(ids) // count] for place in range(count)} if count < len(ids) else set(ids)


def predict(
    cases: Sequence[Case], assessor: Assessing, read: Callable[[Path], Radiograph], *, workers: int = 1
) -> Iterator[_Outcome]:
    """Assess the cases in order; threads read ahead. One bad radiograph yields its error and never stops the rest.

    Raises:
        ModelError: the model itself does not work.
    """
    waiting: deque[Future[Radiograph]] = deque()
    with ThreadPoolExecutor(workers) as readers:
        ahead = iter(cases)
        try:
            for case in cases:
                while len(waiting) < workers * _READ_AHEAD and (coming := next(ahead, None)) is not None:
                    waiting.append(readers.submit(read, coming.image))
                yield case, _outcome(waiting.popleft(), case.sex, assessor)
        finally:
            for future in waiting:
                future.cancel()


def _outcome(reading: Future[Radiograph], sex: Sex | None, assessor: Assessing) -> Assessment | Exception:
    try:
        return assessor.assess(reading.result(), sex)
    except ModelError:
        raise
    except Exception as error:
        # Any decoder of any file format may raise anything; the case is listed as failed with these words.
        return error


def _collect(
    cases: Sequence[Case],
    root: Path,
    assessor: Assessing,
    truths: Mapping[str, Mapping[str, Corners]],
    shown: set[str],
    workers: int,
) -> tuple[list[Prediction], list[Panel], Assessment | None]:
    """Rows of the table, panels of the contact sheet, and one of the assessments (it knows its model)."""
    from boneage.evaluation import Prediction
    from boneage.evaluation.contact_sheet import Panel
    from boneage.formats import read_radiograph

    rows: list[Prediction] = []
    panels: list[Panel] = []
    answered: Assessment | None = None
    for case, outcome in _with_progress(predict(cases, assessor, read_radiograph, workers=workers), len(cases)):
        file = case.image.relative_to(root) if case.image.is_relative_to(root) else case.image
        row = Prediction.of(
            outcome, file=str(file), id=case.id, split=case.split, sex=case.sex, age_months=case.age_months
        )
        rows.append(row)
        if isinstance(outcome, Assessment):
            answered = answered or outcome
            if case.id in shown:
                age = (
                    "" if row.error_months is None else f"  {row.age_months:.0f} months, off by {row.error_months:+.1f}"
                )
                panels.append(Panel.of(outcome, f"{case.id}  {case.sex or 'unknown'}{age}", truths.get(case.id)))
    return rows, panels, answered


def _with_progress(items: Iterator[_Outcome], total: int) -> Iterator[_Outcome]:
    """A bar on a terminal, a plain line every tenth of the way otherwise; both on standard error."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        yield from track(items, "Assessing", total=total, console=Console(stderr=True))
        return
    for done, item in enumerate(items, start=1):
        yield item
        if done == total or done * 10 // total > (done - 1) * 10 // total:
            typer.echo(f"assessed {done} of {total}", err=True)


def _truths(boxes: Path | None) -> Mapping[str, Mapping[str, Corners]]:
    if boxes is None:
        return {}
    from boneage.datasets.boxes import read_boxes

    return read_boxes(boxes)


def summary(evaluation: Evaluation, out: Path) -> str:
    """A few lines for the terminal."""
    counts, overall = evaluation.metrics.counts, evaluation.metrics.overall
    lines = [f"{counts.cases} cases: {counts.assessed} assessed, {counts.rejected} rejected, {counts.failed} failed"]
    if overall.mae.value is not None:
        ends = (
            "" if overall.mae.lower is None else f" (95 % interval {overall.mae.lower:.2f} to {overall.mae.upper:.2f})"
        )
        lines.append(f"mean absolute error {overall.mae.value:.2f} months{ends}, n = {overall.n}")
    for truth, groups in evaluation.localization.items():
        for group, entry in groups.items():
            if entry.found.miou.value is not None and entry.floor.miou.value is not None:
                lines.append(
                    f"{truth}, {group}: mIoU {entry.found.miou.value:.3f}, mean box {entry.floor.miou.value:.3f}, "
                    f"n = {entry.n}"
                )
    return "\n".join([*lines, f"written to {out}", evaluation.provenance.notice])
