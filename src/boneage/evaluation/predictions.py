"""The predictions table: one row a case, everything that the metrics need, and no model."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self, cast, get_args

from boneage.ages import Sex, parse_sex
from boneage.assessment import Assessment
from boneage.atomic import write_atomically
from boneage.errors import BoneAgeError, DatasetError, RadiographError, UnsuitableRadiograph, UsageError
from boneage.regions import Box, Region

Status = Literal["assessed", "rejected", "failed"]

_CORNERS: Final = ("x0", "y0", "x1", "y1")
COLUMNS: Final = (
    *("file", "id", "split", "sex", "age_months", "status", "reason"),
    *("predicted_months", "lower_90_months", "upper_90_months", "width", "height"),
    *(f"{region}_{corner}" for region in Region for corner in _CORNERS),
    *("carpal_months", "tubular_months", "unusual_difference"),
)
_NEEDED: Final = ("id", "age_months", "predicted_months")


@dataclass(frozen=True)
class Prediction:
    """What is known and what was answered about one case.

    Attributes:
        file: the radiograph's path, as the data set gives it.
        id, split: the case and the part of the data set it belongs to.
        sex: None where unknown; then both sexes were assessed and there is no single answer.
        age_months: the label, or None.
        status: "assessed", "rejected" (read, not to be assessed) or "failed" (could not be read).
        reason: why it was rejected or failed, or what a reader should know, in plain words.
        predicted_months, lower_90_months, upper_90_months: the bone age and its 90 % interval, or None.
        width, height: pixels of the radiograph as shown, or None where it could not be read.
        regions: boxes in pixels of the radiograph as shown; empty where not assessed.
        carpal_months, tubular_months: the bone ages of the two parts, or None where the model does not tell them.
        unusual_difference: these lie further apart than is usual, or None.
    """

    file: str
    id: str
    split: str
    sex: Sex | None
    age_months: float | None
    status: Status
    reason: str = ""
    predicted_months: float | None = None
    lower_90_months: float | None = None
    upper_90_months: float | None = None
    width: int | None = None
    height: int | None = None
    regions: Mapping[Region, Box] = field(default_factory=dict)
    carpal_months: float | None = None
    tubular_months: float | None = None
    unusual_difference: bool | None = None

    @property
    def error_months(self) -> float | None:
        """Predicted minus label, or None where either is missing."""
        if self.status != "assessed" or self.predicted_months is None or self.age_months is None:
            return None
        return self.predicted_months - self.age_months

    @classmethod
    def of(
        cls,
        outcome: Assessment | Exception,
        *,
        file: str,
        id: str,
        split: str,
        sex: Sex | None,
        age_months: float | None,
    ) -> Self:
        """The row for an assessment, or for the error that came instead of one."""
        if isinstance(outcome, Exception):
            status: Status = "rejected" if isinstance(outcome, UnsuitableRadiograph) else "failed"
            return cls(file, id, split, sex, age_months, status, _reason(outcome))
        said = [remark.text for remark in outcome.remarks]
        if outcome.answer is None:
            both = ", ".join(f"{sex} {answer.bone_age_months:.1f}" for sex, answer in outcome.answers.items())
            said.insert(0, f"the sex is unknown: no single answer ({both} months)")
        lower, upper = outcome.interval_90_months or (None, None)
        return cls(
            *(file, id, split, sex, age_months, "assessed", "; ".join(said)),
            *(outcome.bone_age_months, lower, upper, outcome.radiograph.width, outcome.radiograph.height),
            dict(outcome.regions),
            *(
                (regional.carpal_months, regional.tubular_months, regional.unusual)
                if (regional := outcome.regional_ages) is not None
                else ()
            ),
        )


def _reason(error: Exception) -> str:
    if isinstance(error, RadiographError):
        return error.reason
    text = " ".join(str(error).split())
    return text if isinstance(error, BoneAgeError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


def write_predictions(path: str | Path, predictions: Iterable[Prediction]) -> None:
    """Write the table as CSV, atomically. Months to 0.001, pixels to 0.01; what is missing is empty.

    Raises:
        OutputError: the folder cannot be written to.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(cells_of, predictions))
    write_atomically(path, text.getvalue())


def cells_of(row: Prediction) -> list[str]:
    """One row of the table, in the order of `COLUMNS`. Months to 0.001, pixels to 0.01; what is missing is empty."""
    corners: list[str] = []
    for region in Region:
        box = row.regions.get(region)
        corners += [""] * 4 if box is None else [f"{value:.2f}" for value in box.as_list()]
    months = (row.predicted_months, row.lower_90_months, row.upper_90_months)
    return [
        *(row.file, row.id, row.split, row.sex or "unknown", number_cell(row.age_months), row.status, row.reason),
        *(number_cell(value) for value in months),
        *("" if side is None else str(side) for side in (row.width, row.height)),
        *corners,
        *(number_cell(value) for value in (row.carpal_months, row.tubular_months)),
        "" if row.unusual_difference is None else str(int(row.unusual_difference)),
    ]


def read_predictions(path: str | Path) -> list[Prediction]:
    """Read a table that `write_predictions` wrote, or any CSV with `id,age_months,predicted_months` and more of it.

    Empty and non-finite numbers are missing values.

    Raises:
        UsageError: no such file.
        DatasetError: the file cannot be read, a column is missing, an id comes twice, or a field is no number.
    """
    rows = read_rows(path, _NEEDED)
    predictions: list[Prediction] = []
    seen: set[str] = set()
    for line, row in enumerate(rows, start=2):
        prediction = parse_prediction(row, f"{path}, line {line}")
        if prediction.id in seen:
            raise DatasetError(f"{path}, line {line}: the id {prediction.id} comes twice. Keep one row a case.")
        seen.add(prediction.id)
        predictions.append(prediction)
    return predictions


def read_rows(path: str | Path, needed: Sequence[str]) -> list[dict[str, str | None]]:
    """The rows of a CSV that has at least the columns `needed`.

    Raises:
        UsageError: no such file.
        DatasetError: the file cannot be read, or a column is missing.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            rows: list[dict[str, str | None]] = list(csv.DictReader(stream))
            names = list(rows[0]) if rows else _header(stream)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no such predictions table. Check the path.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: could not be read ({error}). Give a predictions table (CSV, UTF-8).") from error
    missing = [name for name in needed if name not in names]
    if missing:
        raise DatasetError(
            f"{path}: no column {', '.join(missing)}. A predictions table has at least {', '.join(needed)}."
        )
    return rows


def _header(stream: io.TextIOWrapper) -> list[str]:
    stream.seek(0)
    return next(csv.reader(stream), [])


def parse_prediction(row: Mapping[str, str | None], where: str) -> Prediction:
    """One row of the table; empty and non-finite numbers are missing values.

    Args:
        where: file and line, for messages.

    Raises:
        DatasetError: no id, an unknown status or sex, a field that is no number, or a box without area.
    """

    def text(name: str) -> str:
        return (row.get(name) or "").strip()

    def number(name: str) -> float | None:
        if not text(name):
            return None
        try:
            value = float(text(name))
        except ValueError as error:
            raise DatasetError(f"{where}: {name} is '{text(name)}', which is no number. Correct the row.") from error
        return value if math.isfinite(value) else None

    def side(name: str) -> int | None:
        value = number(name)
        return None if value is None else int(value)

    status = text("status") or "assessed"
    if status not in get_args(Status):
        raise DatasetError(f"{where}: the status is '{status}'. Write {', '.join(get_args(Status))}.")
    if not text("id"):
        raise DatasetError(f"{where}: the row has no id. Give every case one.")
    try:
        sex = parse_sex(text("sex"))
    except UsageError as error:
        raise DatasetError(f"{where}: {error}") from error
    regions: dict[Region, Box] = {}
    for region in Region:
        corners = [number(f"{region}_{corner}") for corner in _CORNERS]
        x0, y0, x1, y1 = corners
        if x0 is not None and y0 is not None and x1 is not None and y1 is not None:
            try:
                regions[region] = Box(x0, y0, x1, y1)
            except ValueError as error:
                raise DatasetError(f"{where}: {region}: {error}. Correct the row.") from error
    return Prediction(
        *(text("file"), text("id"), text("split"), sex, number("age_months"), cast(Status, status), text("reason")),
        *(number("predicted_months"), number("lower_90_months"), number("upper_90_months")),
        *(side("width"), side("height"), regions),
        *(number("carpal_months"), number("tubular_months")),
        None if (unusual := number("unusual_difference")) is None else bool(unusual),
    )


def number_cell(value: float | None) -> str:
    """A number to 0.001 without trailing zeros; empty where there is none."""
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:.3f}".rstrip("0").rstrip(".")
