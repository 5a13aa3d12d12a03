"""Boxes of many radiographs as a CSV table that grows row by row, and their crops as PNG files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from PIL import Image

from boneage.assessment import Assessment
from boneage.atomic import write_atomically
from boneage.errors import OutputError, UsageError
from boneage.journal import CsvJournal, Row
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


class RegionFolder:
    """A folder with `regions.csv` and, if asked for, crops at the radiographs' own resolution.

    The table is a journal: a row is on disk before the next radiograph is taken. Made again for the same radiographs
    and model, an interrupted folder keeps its complete rows; `kept` tells how many radiographs are done.

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
        OutputError: it cannot be read or written (`cannot_read`, `cannot_write`).
    """

    def __init__(self, folder: str | Path, files: Sequence[str], model_sha256: str, *, crops: bool = False) -> None:
        self.folder = Path(folder)
        self.table = self.folder / TABLE
        self.crops = crops
        _refuse_other_files(self.folder)
        self._files, self._model_sha256, self._checked = files, model_sha256, 0
        self._journal = CsvJournal(self.table, COLUMNS, holds=self._holds)
        self.kept = self.written = len(self._journal.rows)
        self.without_answer = sum(row["status"] != "assessed" for row in self._journal.rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.__exit__(kind, error, trace)

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
            self._journal.append([row])
        except OutputError as error:
            raise OutputError(f"{error} The same command goes on where it stopped.", code=error.code) from error
        self.written = number
        self.without_answer += assessment is None

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

    def _has_crops(self, row: Row, place: int) -> bool:
        regions = [region for region in Region if row[f"{region.value}_x0"]]
        return all(self._crop_file(region, place + 1, self._files[place]).is_file() for region in regions)

    def _holds(self, row: Row) -> bool:
        """Whether a row of the table is of this run, and its crops are there."""
        place = self._checked
        self._checked += 1
        self._check_row(row, place)
        return not self.crops or row["status"] != "assessed" or self._has_crops(row, place)

    def _check_row(self, row: Row, place: int) -> None:
        files, model_sha256 = self._files, self._model_sha256
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


def _refuse_other_files(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if (folder.exists() and not folder.is_dir()) or (names and (TABLE not in names or names - {TABLE, CROPS})):
        raise UsageError(
            f"{folder}: is not an empty folder, nor one where `boneage regions` was interrupted. Name a new one, so "
            "that nothing is overwritten.",
            code="folder_not_empty",
        )


def _as_written(file: str) -> str:
    """A file's name as the table holds it."""
    return file.encode("utf-8", "backslashreplace").decode()


def _boxes(assessment: Assessment) -> Mapping[str, Any]:
    row: Row = {"width": assessment.radiograph.width, "height": assessment.radiograph.height}
    for region, box in assessment.regions.items():
        row |= {f"{region.value}_{corner}": round(x, 1) for corner, x in zip(_CORNERS, box.as_list(), strict=True)}
    return row
