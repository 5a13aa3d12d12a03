"""`boneage evaluate`: a model on a data set -> predictions.csv, metrics.json, report.html."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from boneage.atomic import removed_if_empty, write_atomically
from boneage.cli.columns import Column, Data, Images, Table, named_columns
from boneage.errors import OutputError, UsageError
from boneage.model.folder import available_cores

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
    boxes: Annotated[Path | None, typer.Option(help="CSV of readers' boxes: measures the localization.")] = None,
    split: Annotated[SplitChoice, typer.Option(help="Which part of the data set is scored.")] = SplitChoice.TEST,
    against: Annotated[Path | None, typer.Option(help="Another predictions.csv, for a paired comparison.")] = None,
    contact_sheet: Annotated[
        int, typer.Option(min=0, help="Draw so many radiographs with boxes and attention (for your own disk).")
    ] = 0,
    stress: Annotated[
        bool,
        typer.Option("--stress", help="Assess the cases again, rotated, mirrored, marked, compressed, ..."),
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
    from boneage import evaluation
    from boneage.datasets import dropped_table, has_phantoms, read_boxes, read_dataset
    from boneage.evaluation import folder
    from boneage.evaluation import stress as stress_suite
    from boneage.evaluation.contact_sheet import PanelCollector
    from boneage.evaluation.contact_sheet import contact_sheet as draw_contact_sheet
    from boneage.evaluation.run import cases_of

    if stress_count is not None and not stress:
        message = "--stress-count is the number of cases for --stress. Give --stress as well."
        raise UsageError(message, code="option_needs_another")
    with removed_if_empty(out):
        # Everything that can be wrong with the call is found before the long work.
        folder.prepare_folder(out, force=force)
        other = None if against is None else evaluation.read_predictions(against)
        truths = {} if boxes is None else read_boxes(boxes)
        assessor = boneage.load(model)
        workers = workers or min(8, available_cores())
        if workers > 1:
            assessor = assessor.for_many()
        dataset = read_dataset(data, table=table, columns=named_columns(column), images=images)
        typer.echo(dataset.report(), err=True)
        scored = cases_of(dataset, split)
        beyond = {case for given in truths.values() for case in given} - {case.id for case in scored.cases}
        boxed_only = replace(dataset, cases=tuple(case for case in dataset.cases if case.id in beyond))
        ids = [case.id for part in (scored, boxed_only) for case in part.cases]
        panels = PanelCollector(ids, truths, contact_sheet)

        predictions = evaluation.run(assessor, scored, workers=workers, each=panels)
        # The table first: whatever happens to the figures, hours of assessing are on disk.
        written = [out / folder.PREDICTIONS_FILE]
        evaluation.write_predictions(written[0], predictions)
        localized = []
        if boxed_only.cases:
            localized = evaluation.run(assessor, boxed_only, workers=workers, doing="Localizing", each=panels)
            written.append(out / folder.LOCALIZED_FILE)
            evaluation.write_predictions(written[-1], localized)
        if dataset.dropped:
            written.append(out / folder.DROPPED_FILE)
            write_atomically(written[-1], dropped_table(dataset.dropped))
        stress_rows = None
        if stress:
            written.append(out / folder.STRESS_FILE)
            stress_rows = stress_suite.run(
                assessor.plain(), scored.cases, predictions, written[-1], count=stress_count, workers=workers
            )
        made = evaluation.Evaluation.of(
            predictions,
            evaluation.Provenance(
                model=assessor.model.name,
                model_sha256=assessor.model.sha256,
                data=dataset.name,
                splits=str(split),
                code_version=boneage.__version__,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                notice=f"{PHANTOMS_NOTICE} {assessor.notice}" if has_phantoms(dataset) else assessor.notice,
                dropped=dict(Counter(dropped.reason for dropped in dataset.dropped)),
            ),
            localized=localized,
            truths=truths,
            against=other,
            stress=stress_rows,
            constant_half_width_months=assessor.model.calibration.constant_half_width_months,
        )
        try:
            written += evaluation.write_evaluation(made, out)
        except OutputError as error:
            message = (
                f"{error} The predictions are whole ({written[0]}), not all figures are: run again, with --force for "
                "the same folder."
            )
            raise OutputError(message, code=error.code) from error
        if panels.panels:
            written.append(out / folder.SHEET_FILE)
            draw_contact_sheet(panels.panels, written[-1])
        folder.remove_stale(out, written)
        typer.echo("\n".join([made.summary(), f"written to {out}", made.provenance.notice]))
        if made.not_assessed:
            raise typer.Exit(1)
