"""`boneage evaluate`: a model on a data set -> predictions.csv, metrics.json, report.html."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from boneage.atomic import removed_if_empty
from boneage.cli.columns import Column, Data, Images, Table, named_columns
from boneage.errors import UsageError
from boneage.model.folder import available_cores
from boneage.sole_writer import SoleWriter


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
    from boneage.datasets import read_boxes, read_dataset
    from boneage.evaluation import read_predictions
    from boneage.evaluation.folder import prepare_folder
    from boneage.evaluation.pipeline import Plan, Subject, evaluate_into

    if stress_count is not None and not stress:
        message = "--stress-count is the number of cases for --stress. Give --stress as well."
        raise UsageError(message, code="option_needs_another")
    with removed_if_empty(out), SoleWriter(out):
        # Everything that can be wrong with the call is found before the long work.
        prepare_folder(out, force=force)
        plan = Plan(
            split=split,
            truths={} if boxes is None else read_boxes(boxes),
            against=None if against is None else read_predictions(against),
            panels=contact_sheet,
            stress=stress,
            stress_count=stress_count,
            workers=workers or min(8, available_cores()),
        )
        assessor = boneage.load(model)
        if plan.workers > 1:
            assessor = assessor.for_many()
        dataset = read_dataset(data, table=table, columns=named_columns(column), images=images)
        typer.echo(dataset.report(), err=True)
        subject = Subject(
            assessor=assessor,
            model=assessor.model.name,
            model_sha256=assessor.model.sha256,
            under_stress=assessor.plain() if stress else None,
            constant_half_width_months=assessor.model.calibration.constant_half_width_months,
            notice=assessor.notice,
        )
        made = evaluate_into(out, subject, dataset=dataset, plan=plan)
        typer.echo("\n".join([made.summary(), f"written to {out}", made.provenance.notice]))
        if made.not_assessed:
            raise typer.Exit(1)
