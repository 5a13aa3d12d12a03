"""`boneage assess`: bone age of radiographs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from boneage.assessment import Assessment
from boneage.assessor import load
from boneage.batch import assess_requests
from boneage.cli.output import printer, record_of
from boneage.datasets.requests import gather_requests
from boneage.errors import UsageError
from boneage.model.folder import available_cores
from boneage.progress import track
from boneage.reports.html.report_folder import SideReport


class Format(StrEnum):
    """How the results are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def assess(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE|DIR", help="Radiographs, or folders of them.")
    ] = None,
    sex: Annotated[
        str | None,
        typer.Option(
            metavar="male|female|unknown", help="Sex of the child. Left out: the header's, or both if it has none."
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Columns file,sex[,chronological_age_months]; paths relative to the table."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME|DIR", help="A shipped model (`boneage models list`) or a model folder.")
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Index of the model's training cases: also name the most similar of them."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How the results are printed.")] = Format.TABLE,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a report for people into this folder.")
    ] = None,
    heatmaps: Annotated[
        bool, typer.Option("--heatmaps", help="Also write attention maps over the radiographs into the report.")
    ] = False,
    figures: Annotated[
        bool, typer.Option("--figures", help="Also write one figure a radiograph, for slides, into the report.")
    ] = False,
    anyway: Annotated[
        bool,
        typer.Option(
            "--anyway", help="Assess what would be rejected (no hand, colour, another part, ...), with a remark."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a report of other radiographs in the folder of --report.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Radiographs assessed at the same time; one a core, up to 4, if left out.")
    ] = None,
) -> None:
    """Bone age of radiographs (PNG, JPEG, TIFF, WebP, DICOM).

    Results are printed in the order of the radiographs. Exit status: 0 every radiograph was assessed, 1 some were
    rejected or failed, 2 wrong usage or a model that cannot be used. Research use only, not a medical device.
    """
    if (heatmaps or figures) and report is None:
        option = "--heatmaps" if heatmaps else "--figures"
        message = f"{option} writes into the report. Name its folder with --report DIR."
        raise UsageError(message, code="no_report_folder")
    requests, notes = gather_requests(files or [], sex, table)
    for note in notes:
        typer.echo(note, err=True)
    assessor = load(model, index, refuse=not anyway)
    out = printer(form.value)
    rejected = 0
    asked = [request.file for request in requests]
    with SideReport(report, heatmaps=heatmaps, figures=figures, files=asked, force=force) as pages:
        found = assess_requests(requests, assessor, workers=workers or min(4, available_cores()))
        try:
            for request, outcome in track(found, "Assessing", len(requests)):
                record = record_of(request, outcome, assessor)
                assessment = outcome if isinstance(outcome, Assessment) else None
                rejected += assessment is None
                out.add(record)
                pages.add(record, assessment, request.chronological_age_months)
        finally:
            # Also when the run is ended: what was assessed so far is printed.
            out.finish()
        index_file = pages.finish()
    if index_file is not None:
        typer.echo(f"Report: {index_file}", err=True)
    if rejected:
        raise typer.Exit(1)
