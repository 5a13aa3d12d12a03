"""`boneage regions`: the boxes of many radiographs as a table, and their crops as pictures."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import numpy as np
import typer
from PIL import Image

from boneage.assessment import Assessment
from boneage.assessor import load
from boneage.atomic import write_atomically
from boneage.cli.assess import Outcome, outcomes, progress
from boneage.cli.requests import Request, gather
from boneage.errors import OutputError, UsageError
from boneage.model.folder import available_cores
from boneage.regions import Region

TABLE, CROPS = "regions.csv", "crops"
_CORNERS = ("x0", "y0", "x1", "y1")
_COLUMNS = (
    *("number", "file", "status", "reason", "width", "height"),
    *(f"{region.value}_{at}" for region in Region for at in _CORNERS),
    *("warnings", "model", "model_sha256", "notice"),
)


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

    The table grows row by row. Interrupted at any moment, the same command goes on where it stopped.

    Crops show patients: keep them where the radiographs themselves may be kept. Exit status: 0 every file was read,
    1 some were not, 2 wrong usage. Research use only, not a medical device.
    """
    _refuse_other_files(out)
    requests, _ = gather(files, "unknown", None)
    assessor = load(model)
    rows = _kept_rows(out, requests, assessor.model.sha256, crops=crops)
    if rows:
        typer.echo(f"{out / TABLE}: going on after row {len(rows)} of {len(requests)}", err=True)
    try:
        with _Table(out / TABLE, new=not rows) as table:
            found = outcomes(assessor, requests[len(rows) :], workers or min(4, available_cores()))
            for number, outcome in enumerate(_said(found, len(requests) - len(rows)), start=len(rows) + 1):
                row = outcome.record.model_dump(include={"file", "status", "reason", "model", "model_sha256", "notice"})
                row["number"] = number
                if outcome.assessment is not None:
                    row |= _boxes(outcome.assessment)
                    if crops:
                        _write_crops(out, number, outcome.request, outcome.assessment)
                table.add(row)
                rows.append(row)
    except OutputError as error:
        raise OutputError(f"{error} The same command goes on where it stopped.") from error
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be written ({error.strerror}). Free some space and give the same command to go on, or "
            "choose another folder for --out."
        ) from error
    failed = sum(row["status"] != "assessed" for row in rows)
    typer.echo(f"{len(rows) - failed} of {len(rows)} radiographs: {out / TABLE}", err=True)
    if failed:
        raise typer.Exit(1)


class _Table:
    """A CSV file that grows by whole rows: each is on its way to the disk before the next radiograph's turn."""

    def __init__(self, file: Path, *, new: bool) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._stream = file.open("w" if new else "a", newline="", encoding="utf-8", errors="backslashreplace")
        self._writer = csv.DictWriter(self._stream, _COLUMNS, restval="", lineterminator="\n")
        if new:
            self._writer.writeheader()
            self._stream.flush()

    def add(self, row: Mapping[str, Any]) -> None:
        self._writer.writerow(row)
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()


def _refuse_other_files(out: Path) -> None:
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if (out.exists() and not out.is_dir()) or (names and (TABLE not in names or names - {TABLE, CROPS})):
        raise UsageError(
            f"{out}: is not an empty folder, nor one where `boneage regions` was interrupted. Name a new one, so that "
            "nothing is overwritten."
        )


def _kept_rows(out: Path, requests: Sequence[Request], model_sha256: str, *, crops: bool) -> list[dict[str, Any]]:
    """The rows of an interrupted run that hold; what is behind them (half a row, one without its crops) is cut off.

    Raises:
        UsageError: the table there is none of these radiographs, or of another model.
        OutputError: it cannot be read or cut.
    """
    file = out / TABLE
    if not file.exists():
        return []
    try:
        content = file.read_bytes()
        kept: list[dict[str, Any]] = []
        ends = [len(_line(_COLUMNS))]
        for row, end in _whole_rows(content, file):
            if len(kept) == len(requests):
                raise UsageError(f"{file}: has more rows than there are radiographs now. Name a new folder.")
            request = requests[len(kept)]
            if row["file"] != _as_text(request.file):
                raise UsageError(
                    f"{file}: row {len(kept) + 1} is of {row['file']}, not of {request.file}. Give the command that "
                    "was interrupted, or name a new folder."
                )
            if row["model_sha256"] != model_sha256:
                raise UsageError(
                    f"{file}: was made with the model {row['model']} ({row['model_sha256'][:12]}), not with this one "
                    f"({model_sha256[:12]}). Give the same --model, or name a new folder."
                )
            if crops and row["status"] == "assessed" and not _crops_are_there(out, row, request):
                break
            kept.append(row)
            ends.append(end)
        if kept:
            os.truncate(file, ends[-1])
    except OSError as error:
        raise OutputError(f"{file}: cannot be read or written ({error.strerror}). Check your rights to it.") from error
    return kept


def _whole_rows(content: bytes, file: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """The rows whose every byte arrived, each with the place of its end."""
    header = _line(_COLUMNS)
    if not content.startswith(header):
        if header.startswith(content):
            return
        raise UsageError(f"{file}: has other columns than this version writes. Name a new folder for --out.")
    begun = len(header)
    at = content.find(b"\n", begun)
    while at >= 0:
        piece = content[begun : at + 1]
        # A file's name may hold a line break; it is then between quotation marks, of which a whole row has two each.
        if piece.count(b'"') % 2 == 0:
            cells = next(csv.reader(io.StringIO(piece.decode("utf-8", "replace"), newline="")))
            if len(cells) != len(_COLUMNS):
                return
            yield dict(zip(_COLUMNS, cells, strict=True)), at + 1
            begun = at + 1
        at = content.find(b"\n", at + 1)


def _line(cells: Sequence[str]) -> bytes:
    return ",".join(cells).encode() + b"\n"


def _as_text(file: str) -> str:
    """A file's name as the table holds it."""
    return file.encode("utf-8", "backslashreplace").decode()


def _said(found: Iterable[Outcome], total: int) -> Iterator[Outcome]:
    with progress(total) as say:
        for outcome in found:
            yield outcome
            say(outcome)


def _boxes(assessment: Assessment) -> dict[str, Any]:
    row: dict[str, Any] = {"width": assessment.radiograph.width, "height": assessment.radiograph.height}
    for region, box in assessment.regions.items():
        row |= {f"{region.value}_{at}": round(x, 1) for at, x in zip(_CORNERS, box.as_list(), strict=True)}
    return row | {"warnings": " ".join(remark.text for remark in assessment.remarks)}


def _crop_file(out: Path, region: Region, number: int, request: Request) -> Path:
    return out / CROPS / region.value / f"{number:06d}-{request.path.stem}.png"


def _crops_are_there(out: Path, row: Mapping[str, Any], request: Request) -> bool:
    boxed = [region for region in Region if row[f"{region.value}_x0"]]
    return all(_crop_file(out, region, int(row["number"]), request).is_file() for region in boxed)


def _write_crops(out: Path, number: int, request: Request, assessment: Assessment) -> None:
    pixels = assessment.radiograph.pixels
    for region, box in assessment.regions.items():
        x0, y0, x1, y1 = (round(at) for at in box.as_list())
        crop = pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
        stream = io.BytesIO()
        Image.fromarray(np.rint(crop * 255).astype(np.uint8)).save(stream, format="PNG")
        write_atomically(_crop_file(out, region, number, request), stream.getvalue())
