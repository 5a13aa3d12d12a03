"""`boneage regions`: the boxes of many radiographs as a table, and their crops as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boneage.assessment import Assessment
from boneage.assessor import load
from boneage.atomic import removed_if_empty
from boneage.batch import assess_requests
from boneage.cli.output import record_of
from boneage.datasets.requests import gather_requests
from boneage.model.folder import available_cores
from boneage.progress import track
from boneage.reports.region_folder import RegionFolder
from boneage.sole_writer import SoleWriter


def regions(
    files: Annotated[list[str], typer.Argument(metavar="FILE|DIR", help="Radiographs, or folders of them.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder for regions.csv and the crops.")],
    model: Annotated[str | None, typer.Option(metavar="NAME|DIR", help="A shipped model or a model folder.")] = None,
    crops: Annotated[
        bool, typer.Option("--crops", help="Also write each region as a PNG, at full resolution.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Radiographs assessed at the same time; one a core if left out.")
    ] = None,
) -> None:
    """Boxes of hand, region 1 and region 2 of many radiographs (CSV), and their crops (PNG).

    The table grows row by row. Interrupted at any moment, the same command goes on where it stopped.

    Crops show patients: keep them where the radiographs themselves may be kept. Exit status: 0 every file was read,
    1 some were not, 2 wrong usage. Research use only, not a medical device.
    """
    requests, notes = gather_requests(files, "unknown", None)
    for note in notes:
        typer.echo(note, err=True)
    assessor = load(model)
    with removed_if_empty(out), SoleWriter(out):
        folder = RegionFolder(out, [request.file for request in requests], assessor.model.sha256, crops=crops)
        with folder:
            if folder.kept:
                typer.echo(f"{folder.table}: going on after row {folder.kept} of {len(requests)}", err=True)
            rest = requests[folder.kept :]
            found = assess_requests(rest, assessor, workers=workers or min(4, available_cores()))
            for request, outcome in track(found, "Assessing", len(rest)):
                folder.add(record_of(request, outcome, assessor), outcome if isinstance(outcome, Assessment) else None)
    assessed = folder.written - folder.without_answer
    typer.echo(f"{assessed} of {folder.written} radiographs: {folder.table}", err=True)
    if folder.without_answer:
        raise typer.Exit(1)
