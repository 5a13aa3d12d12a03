"""`boneage regions`: the boxes of many radiographs as a table, and their crops as pictures."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from boneage.assessment import Assessment
from boneage.assessor import load
from boneage.cli.assess import Outcome, outcomes, progress
from boneage.cli.requests import gather
from boneage.errors import ModelError, OutputError, UsageError
from boneage.files import write_atomically
from boneage.model import available_cores, find_model
from boneage.regions import Region

TABLE = "regions.csv"
_CORNERS = ("x0", "y0", "x1", "y1")


def regions(
    files: Annotated[list[str], typer.Argument(metavar="FILE|DIR", help="Radiographs, or folders of them.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder for regions.csv and the crops.")],
    model: Annotated[str | None, typer.Option(metavar="NAME|DIR", help="A shipped model or a model folder.")] = None,
    crops: Annotated[
        bool, typer.Option("--crops", help="Also write each region as a PNG, at full resolution.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Files that are read at the same time.")] = None,
) -> None:
    """Boxes of hand, region 1 and region 2 of many radiographs (CSV), and their crops (PNG).

    Crops show patients: keep them where the radiographs themselves may be kept. Exit status: 0 every file was read,
    1 some were not, 2 wrong usage. Research use only, not a medical device.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is not an empty folder. Name a new one, so that nothing is overwritten.")
    requests, _ = gather(files, "unknown", None)
    try:
        find_model(model)
    except ModelError as error:
        raise UsageError(str(error)) from error
    rows: list[dict[str, Any]] = []
    try:
        # Before the work, which may take hours: can anything be written there at all?
        found = outcomes(load(model), requests, workers or min(4, available_cores()))
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        for number, outcome in enumerate(_said(found, len(requests)), start=1):
            row = {"number": number} | {key: outcome.record[key] for key in ("file", "status", "reason")}
            if outcome.assessment is not None:
                row |= _boxes(outcome.assessment)
                if crops:
                    _write_crops(out, f"{number:06d}-{outcome.request.path.stem}.png", outcome.assessment)
            rows.append(row)
        write_atomically(out / TABLE, _table(rows))
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}). Choose another folder for --out.") from error
    failed = sum(row["status"] != "assessed" for row in rows)
    typer.echo(f"{len(rows) - failed} of {len(rows)} radiographs: {out / TABLE}", err=True)
    if failed:
        raise typer.Exit(1)


def _said(found: Iterable[Outcome], total: int) -> Iterator[Outcome]:
    with progress(total) as say:
        for outcome in found:
            yield outcome
            say(outcome)


def _boxes(assessment: Assessment) -> dict[str, Any]:
    row: dict[str, Any] = {"width": assessment.radiograph.width, "height": assessment.radiograph.height}
    for region, box in assessment.regions.items():
        row |= {f"{region.value}_{at}": round(x, 1) for at, x in zip(_CORNERS, box.as_list(), strict=True)}
    return row | {"warnings": " ".join(assessment.warnings), "notice": assessment.notice}


def _table(rows: list[dict[str, Any]]) -> str:
    corners = [f"{region.value}_{at}" for region in Region for at in _CORNERS]
    stream = io.StringIO()
    columns = ["number", "file", "status", "reason", "width", "height", *corners, "warnings", "notice"]
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _write_crops(out: Path, name: str, assessment: Assessment) -> None:
    pixels = assessment.radiograph.pixels
    for region, box in assessment.regions.items():
        x0, y0, x1, y1 = (round(at) for at in box.as_list())
        crop = pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
        stream = io.BytesIO()
        Image.fromarray(np.rint(crop * 255).astype(np.uint8)).save(stream, format="PNG")
        write_atomically(out / "crops" / region.value / name, stream.getvalue())
