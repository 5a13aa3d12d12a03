"""Boxes of many radiographs as a CSV table that grows row by row, and their crops as PNG files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import numpy as np
from PIL import Image

from boneage.assessment import Assessment
from boneage.atomic import write_atomically
from boneage.errors import OutputError, UsageError
from boneage.regions import Region
from boneage.reports.record import AssessmentRecord

TABLE: Final = "regions.csv"
CROPS: Final = "crops"
_CORNERS: Final = ("x0", "y0", "x1", "y1")
COLUMNS: Final = (
    *("number", "file", "status", "reason", "reason_code", "width", "height"),
    *(f"{region.value}_{corner}" for region in Region for corner in _CORNERS),
    *("warnings", "model", "model_sha256", "notice"),
)

Row = dict[str, Any]


class RegionFolder:
    """A folder with `regions.csv` and, if asked for, crops at the radiographs' own resolution.

    Each row reaches the operating system before the next radiograph is taken. Made again for the same radiographs and
    model, an interrupted folder keeps its complete rows; `kept` tells how many radiographs are done.

        with RegionFolder(folder, files, sha256, crops=True) as out:
            for file in files[out.kept:]:
                out.add(record, assessment)

    Args:
        folder: new, empty, or interrupted.
        files: all radiographs as they were given, in order.
        model_sha256: of the model that answers.
        crops: also write each region as `crops/REGION/NUMBER-NAME.png`.

    Raises:
        UsageError: the folder holds other files (`folder_not_empty`), or the rows of other radiographs
            (`other_radiographs`), of another model (`other_model`) or of another version (`other_columns`).
        OutputError: it cannot be read or written (`cannot_write`).
    """

    def __init__(self, folder: str | Path, files: Sequence[str], model_sha256: str, *, crops: bool = False) -> None:
        self.folder = Path(folder)
        self.table = self.folder / TABLE
        self.crops = crops
        _refuse_other_files(self.folder)
        rows = self._keep_rows(files, model_sha256)
        self.kept = len(rows)
        self.written = len(rows)
        self.without_answer = sum(row["status"] != "assessed" for row in rows)
        self._stream: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            new = not self.kept
            self._stream = self.table.open("w" if new else "a", newline="", encoding="utf-8", errors="backslashreplace")
            if new:
                self._write(dict(zip(COLUMNS, COLUMNS, strict=True)))
        except OSError as error:
            raise self._cannot(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    def add(self, record: AssessmentRecord, assessment: Assessment | None) -> None:
        """Write one radiograph: first its crops, then its row.

        Raises:
            OutputError: nothing more can be written (`cannot_write`); the same call goes on where it stopped.
        """
        number = self.written + 1
        row = record.model_dump(include={*COLUMNS} & {*AssessmentRecord.model_fields})
        row |= {"number": number, "warnings": " ".join(record.warnings)}
        try:
            if assessment is not None:
                row |= _boxes(assessment)
                if self.crops:
                    self._write_crops(number, record.file, assessment)
            self._write(row)
        except OSError as error:
            raise self._cannot(error) from error
        except OutputError as error:
            raise OutputError(f"{error} The same command goes on where it stopped.", code=error.code) from error
        self.written = number
        self.without_answer += assessment is None

    def _write(self, row: Row) -> None:
        assert self._stream is not None, "use it in a with block"
        csv.DictWriter(self._stream, COLUMNS, restval="", lineterminator="\n").writerow(row)
        self._stream.flush()

    def _write_crops(self, number: int, file: str, assessment: Assessment) -> None:
        pixels = assessment.radiograph.pixels
        for region, box in assessment.regions.items():
            x0, y0, x1, y1 = (round(edge) for edge in box.as_list())
            crop = pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
            stream = io.BytesIO()
            Image.fromarray(np.rint(crop * 255).astype(np.uint8)).save(stream, format="PNG")
            write_atomically(self._crop_file(region, number, file), stream.getvalue())

    def _crop_file(self, region: Region, number: int, file: str) -> Path:
        return self.folder / CROPS / region.value / f"{number:06d}-{Path(file).stem}.png"

    def _has_crops(self, row: Row, file: str) -> bool:
        regions = [region for region in Region if row[f"{region.value}_x0"]]
        return all(self._crop_file(region, int(row["number"]), file).is_file() for region in regions)

    def _keep_rows(self, files: Sequence[str], model_sha256: str) -> list[Row]:
        """The complete rows; what is behind them (half a row, a row without its crops) is cut off the file."""
        if not self.table.exists():
            return []
        kept: list[Row] = []
        try:
            end = len(_line(COLUMNS))
            for row, row_end in _complete_rows(self.table.read_bytes(), self.table):
                self._check_row(row, len(kept), files, model_sha256)
                if self.crops and row["status"] == "assessed" and not self._has_crops(row, files[len(kept)]):
                    break
                kept.append(row)
                end = row_end
            if kept:
                os.truncate(self.table, end)
        except OSError as error:
            raise self._cannot(error) from error
        return kept

    def _check_row(self, row: Row, place: int, files: Sequence[str], model_sha256: str) -> None:
        if place == len(files):
            message = f"{self.table}: has more rows than there are radiographs now. Name a new folder."
            raise UsageError(message, code="other_radiographs")
        if row["file"] != _as_written(files[place]):
            raise UsageError(
                f"{self.table}: row {place + 1} is of {row['file']}, not of {files[place]}. Give the command that was "
                "interrupted, or name a new folder.",
                code="other_radiographs",
            )
        if row["model_sha256"] != model_sha256:
            raise UsageError(
                f"{self.table}: was made with the model {row['model']} ({row['model_sha256'][:12]}), not with this one "
                f"({model_sha256[:12]}). Give the same --model, or name a new folder.",
                code="other_model",
            )

    def _cannot(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self.folder}: cannot be written ({error.strerror}). Free some space and give the same command to go on, "
            "or choose another folder for --out.",
            code="cannot_write",
        )


def _refuse_other_files(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if (folder.exists() and not folder.is_dir()) or (names and (TABLE not in names or names - {TABLE, CROPS})):
        raise UsageError(
            f"{folder}: is not an empty folder, nor one where `boneage regions` was interrupted. Name a new one, so "
            "that nothing is overwritten.",
            code="folder_not_empty",
        )


def _complete_rows(content: bytes, file: Path) -> Iterator[tuple[Row, int]]:
    """The rows that were written to their end, each with the place where it ends."""
    header = _line(COLUMNS)
    if not content.startswith(header):
        if header.startswith(content):
            return
        message = f"{file}: has other columns than this version writes. Name a new folder for --out."
        raise UsageError(message, code="other_columns")
    start = len(header)
    at = content.find(b"\n", start)
    while at >= 0:
        piece = content[start : at + 1]
        # A file's name may hold a line break. It is then between quotation marks, so a complete row has an even number.
        if piece.count(b'"') % 2 == 0:
            cells = next(csv.reader(io.StringIO(piece.decode("utf-8", "replace"), newline="")))
            if len(cells) != len(COLUMNS):
                return
            yield dict(zip(COLUMNS, cells, strict=True)), at + 1
            start = at + 1
        at = content.find(b"\n", at + 1)


def _line(cells: Sequence[str]) -> bytes:
    return ",".join(cells).encode() + b"\n"


def _as_written(file: str) -> str:
    """A file's name as the table holds it."""
    return file.encode("utf-8", "backslashreplace").decode()


def _boxes(assessment: Assessment) -> Mapping[str, Any]:
    row: Row = {"width": assessment.radiograph.width, "height": assessment.radiograph.height}
    for region, box in assessment.regions.items():
        row |= {f"{region.value}_{corner}": round(x, 1) for corner, x in zip(_CORNERS, box.as_list(), strict=True)}
    return row
