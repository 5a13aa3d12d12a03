"""`boneage evaluate`: a model on a data set -> predictions.csv, metrics.json, report.html."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from boneage.assessment import NOTICE, Assessment
from boneage.atomic import removed_if_empty, write_atomically
from boneage.batch import Assessing, in_order, outcome, with_progress
from boneage.cli.columns import Column, Data, Images, Table, named_columns
from boneage.errors import DatasetError, OutputError, UsageError
from boneage.model.folder import available_cores
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
    *("scatter.png", "bland_altman.png", "error_by_age.png", "localization.png", "stress.png"),
    *("stress.csv", "stress.partial.csv"),
)
"""Everything that an evaluation writes; `--force` replaces these and touches nothing else."""
PHANTOMS_NOTICE: Final = "Measured on phantoms, not on radiographs alone: says nothing about children."


class SplitChoice(StrEnum):
    """Which part of the data set is scored."""

    TEST = "test"
    VALIDATION = "validation"
    TRAIN = "train"
    ALL = "all"


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
    split: Annotated[SplitChoice, typer.Option(help="Which part of the data set is scored.")] = SplitChoice.TEST,
    against: Annotated[Path | None, typer.Option(help="Another predictions.csv, for a paired comparison.")] = None,
    contact_sheet: Annotated[
        int, typer.Option(min=0, help="Draw films with boxes and attention of so many cases (for your own disk).")
    ] = 0,
    stress: Annotated[
        bool,
        typer.Option("--stress", help="Assess the cases again with films turned, mirrored, marked, compressed, ..."),
    ] = False,
    stress_count: Annotated[
        int | None, typer.Option(min=1, help="So many cases for --stress, drawn by their ids; all if left out.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Radiographs assessed at the same time; one a core, up to 8, if left out.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the results of an earlier evaluation in --out.")
    ] = False,
) -> None:
    """Measure a model on a data set: predictions.csv, metrics.json, and a page with tables and plots.

    With --boxes all boxed cases of the data set are localized as well, whatever their split; those outside the
    scored part go into localized.csv and never into the figures of accuracy. With --stress the scored cases are
    assessed again under every transform (stress.csv); interrupted, the same command with --force goes on.

    Exit status 0 when every scored radiograph was assessed, 1 when some were rejected or failed (they are listed), 2
    for wrong usage.
    """
    import boneage
    from boneage.datasets import dropped_table, has_phantoms, read_dataset
    from boneage.evaluation import Evaluation, Provenance, read_predictions, write_evaluation, write_predictions

    if stress_count is not None and not stress:
        raise UsageError("--stress-count says how many cases --stress takes. Give --stress as well.")
    with removed_if_empty(out):
        # Everything that can be wrong with the call is found before the long work.
        prepare_folder(out, force=force)
        other = None if against is None else read_predictions(against)
        truths = _truths(boxes)
        assessor = boneage.load(model)
        workers = workers or min(8, available_cores())
        if workers > 1:
            assessor = assessor.for_many()
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
        stress_rows = None
        if stress:
            from boneage.cli import stress as suite
            from boneage.evaluation import read_stress, write_stress
            from boneage.formats import read_radiograph

            found = suite.run_stress(
                suite.draw(scored, stress_count),
                {row.id: row for row in accuracy_rows},
                assessor.plain(),
                read_radiograph,
                out / suite.PARTIAL_FILE,
                workers=workers,
            )
            written.append(out / suite.STRESS_FILE)
            write_stress(out / suite.STRESS_FILE, found)
            # The figures are the table's own, with its rounding: whoever has it makes the same ones.
            stress_rows = read_stress(out / suite.STRESS_FILE)
        evaluation = Evaluation.of(
            accuracy_rows,
            provenance,
            localized=localized,
            truths=truths,
            against=other,
            stress=stress_rows,
            constant_half_width_months=assessor.model.calibration.constant_half_width_months,
        )
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
    """Assess the cases in order, `workers` at a time. One bad radiograph yields its error and never stops the rest.

    Raises:
        ModelError: the model itself does not work.
    """

    def one(case: Case) -> Assessment | Exception:
        return outcome(lambda: read(case.image), case.sex, assessor)

    yield from in_order(cases, one, workers=workers)


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
    for case, found in with_progress(predict(cases, assessor, read_radiograph, workers=workers), len(cases)):
        file = case.image.relative_to(root) if case.image.is_relative_to(root) else case.image
        row = Prediction.of(
            found, file=str(file), id=case.id, split=case.split, sex=case.sex, age_months=case.age_months
        )
        rows.append(row)
        if isinstance(found, Assessment):
            answered = answered or found
            if case.id in shown:
                age = (
                    "" if row.error_months is None else f"  {row.age_months:.0f} months, off by {row.error_months:+.1f}"
                )
                panels.append(Panel.of(found, f"{case.id}  {case.sex or 'unknown'}{age}", truths.get(case.id)))
    return rows, panels, answered


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
    if evaluation.regional is not None:
        parts = evaluation.regional.overall
        unusual = parts.unusual.value
        lines.append(
            f"carpal bone age {parts.carpal_mae.value:.2f} months, tubular {parts.tubular_mae.value:.2f}, "
            + ("" if unusual is None else f"an unusual difference in {100 * unusual:.1f} %, ")
            + f"n = {parts.n}"
        )
    for truth, groups in evaluation.localization.items():
        for group, entry in groups.items():
            if entry.found.miou.value is not None and entry.floor.miou.value is not None:
                lines.append(
                    f"{truth}, {group}: mIoU {entry.found.miou.value:.3f}, mean box {entry.floor.miou.value:.3f}, "
                    f"n = {entry.n}"
                )
    if evaluation.stress is not None:
        verdicts = {name: family.verdict.kept for name, family in evaluation.stress.families.items()}
        over = [name for name, kept in verdicts.items() if kept is False]
        open_ = [name for name, kept in verdicts.items() if kept is None]
        said = [f"over a bar under {', '.join(over)}"] * bool(over) + [f"no figure under {', '.join(open_)}"] * bool(
            open_
        )
        lines.append(
            f"under stress, {evaluation.stress.cases} cases: " + ("; ".join(said) if said else "every bar kept")
        )
    return "\n".join([*lines, f"written to {out}", evaluation.provenance.notice])
