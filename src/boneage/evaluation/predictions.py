"""The predictions table: one row a case with everything that the metrics need."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self, cast, get_args

from boneage.ages import Sex, parse_sex
from boneage.assessment import Assessment
from boneage.atomic import write_atomically
from boneage.datasets.columns import SPLIT_WORDS
from boneage.errors import BoneAgeError, DatasetError, RadiographError, UnsuitableRadiograph, UsageError
from boneage.regions import Box, Region

Status = Literal["assessed", "rejected", "failed"]

_CORNERS: Final = ("x0", "y0", "x1", "y1")
_WORDS: Final = ("file", "id", "split", "sex", "age_months", "status", "reason")
_ANSWER: Final = ("predicted_months", "lower_90_months", "upper_90_months", "width", "height")
_REGIONAL: Final = ("carpal_months", "tubular_months", "unusual_difference", "codes")
COLUMNS: Final = (*_WORDS, *_ANSWER, *(f"{region}_{corner}" for region in Region for corner in _CORNERS), *_REGIONAL)
_NEEDED: Final = ("id", "age_months", "predicted_months")


@dataclass(frozen=True)
class Prediction:
    """One case: its label and its answer.

    Attributes:
        file: path of the radiograph, as the data set gives it.
        id, split: the case and the split that it belongs to.
        sex: None where unknown; both sexes were then assessed, and the case has no single answer.
        age_months: the label, or None.
        status: "assessed", "rejected" (read, but not to be assessed) or "failed" (could not be read).
        reason: why it was rejected or failed, or the texts of the remarks.
        predicted_months, lower_90_months, upper_90_months: the bone age and its 90 % interval, or None.
        width, height: pixels of the radiograph as shown, or None where it could not be read.
        regions: boxes in pixels of the radiograph as shown; empty where not assessed.
        carpal_months, tubular_months: regional bone ages, or None where the model does not give them.
        unusual_difference: whether these lie further apart than usual, or None.
        codes: of the error or of the remarks.
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
    codes: tuple[str, ...] = ()

    @property
    def error_months(self) -> float | None:
        """Predicted minus label, or None where either is missing."""
        if self.status != "assessed" or self.predicted_months is None or self.age_months is None:
            return None
        return self.predicted_months - self.age_months

    @classmethod
    def of(
        cls,
        outcome: Assessment | BoneAgeError,
        *,
        file: str,
        id: str,
        split: str,
        sex: Sex | None,
        age_months: float | None,
    ) -> Self:
        """The row for an assessment, or for the error that came instead of one."""
        known: dict[str, Any] = {"file": file, "id": id, "split": split, "sex": sex, "age_months": age_months}
        if isinstance(outcome, BoneAgeError):
            status: Status = "rejected" if isinstance(outcome, UnsuitableRadiograph) else "failed"
            reason = outcome.reason if isinstance(outcome, RadiographError) else str(outcome)
            return cls(**known, status=status, reason=" ".join(reason.split()), codes=(outcome.code,))
        texts = [remark.text for remark in outcome.remarks]
        if outcome.answer is None:
            both = ", ".join(f"{sex} {answer.bone_age_months:.1f}" for sex, answer in outcome.answers.items())
            texts.insert(0, f"the sex is unknown: no single answer ({both} months)")
        lower, upper = outcome.interval_90_months or (None, None)
        regional = outcome.regional_ages
        return cls(
            **known,
            status="assessed",
            reason="; ".join(texts),
            predicted_months=outcome.bone_age_months,
            lower_90_months=lower,
            upper_90_months=upper,
            width=outcome.radiograph.width,
            height=outcome.radiograph.height,
            regions=dict(outcome.regions),
            carpal_months=None if regional is None else regional.carpal_months,
            tubular_months=None if regional is None else regional.tubular_months,
            unusual_difference=None if regional is None else regional.unusual,
            codes=tuple(dict.fromkeys(remark.code for remark in outcome.remarks)),
        )


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
    words, answer, regional = ([_cell(getattr(row, name)) for name in names] for names in (_WORDS, _ANSWER, _REGIONAL))
    words[_WORDS.index("sex")] = row.sex or "unknown"
    return [*words, *answer, *corners, *regional]


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        return " ".join(value)
    return number_cell(value) if value is None or isinstance(value, float) else str(value)


def read_predictions(path: str | Path) -> list[Prediction]:
    """Read a table that `write_predictions` wrote, or any CSV with `id,age_months,predicted_months` and more of it.

    Empty cells and non-finite values are missing values. Words for splits are read as in data sets.

    Raises:
        UsageError: no such file ("no_such_file").
        DatasetError: see `read_rows` and `parse_prediction`; or an id comes twice ("duplicate_id").
    """
    rows = read_rows(path, _NEEDED)
    predictions: list[Prediction] = []
    seen: set[str] = set()
    for line, row in enumerate(rows, start=2):
        prediction = parse_prediction(row, f"{path}, line {line}")
        if prediction.id in seen:
            message = f"{path}, line {line}: the id {prediction.id} comes twice. Keep one row a case."
            raise DatasetError(message, code="duplicate_id")
        seen.add(prediction.id)
        predictions.append(prediction)
    return predictions


def read_rows(path: str | Path, needed: Sequence[str]) -> list[dict[str, str | None]]:
    """The rows of a CSV that has at least the columns `needed`.

    Raises:
        UsageError: no such file ("no_such_file").
        DatasetError: the file cannot be read ("unreadable_table"), or a column is missing ("missing_column").
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            rows: list[dict[str, str | None]] = list(csv.DictReader(stream))
            names = list(rows[0]) if rows else _header(stream)
    except FileNotFoundError as error:
        message = f"{path}: there is no such predictions table. Check the path."
        raise UsageError(message, code="no_such_file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        message = f"{path}: could not be read ({error}). Give a predictions table (CSV, UTF-8)."
        raise DatasetError(message, code="unreadable_table") from error
    missing = [name for name in needed if name not in names]
    if missing:
        message = f"{path}: no column {', '.join(missing)}. A predictions table has at least {', '.join(needed)}."
        raise DatasetError(message, code="missing_column")
    return rows


def _header(stream: io.TextIOWrapper) -> list[str]:
    stream.seek(0)
    return next(csv.reader(stream), [])


def parse_prediction(row: Mapping[str, str | None], where: str) -> Prediction:
    """One row of the table; empty cells and non-finite values are missing values.

    Args:
        where: file and line, for messages.

    Raises:
        DatasetError: no id ("missing_id"), an unknown status ("unknown_status") or sex ("unknown_sex"), a cell that
            should be a number ("not_a_number"), or a box without area ("empty_box").
    """

    def text(name: str) -> str:
        return (row.get(name) or "").strip()

    def number(name: str) -> float | None:
        return parse_number(text(name), name, where)

    status = text("status") or "assessed"
    if status not in get_args(Status):
        message = f"{where}: the status is '{status}'. Write {', '.join(get_args(Status))}."
        raise DatasetError(message, code="unknown_status")
    if not text("id"):
        raise DatasetError(f"{where}: the row has no id. Give every case one.", code="missing_id")
    try:
        sex = parse_sex(text("sex"))
    except UsageError as error:
        raise DatasetError(f"{where}: {error}", code="unknown_sex") from error
    regions: dict[Region, Box] = {}
    for region in Region:
        x0, y0, x1, y1 = (number(f"{region}_{corner}") for corner in _CORNERS)
        if x0 is not None and y0 is not None and x1 is not None and y1 is not None:
            try:
                regions[region] = Box(x0, y0, x1, y1)
            except ValueError as error:
                raise DatasetError(f"{where}: {region}: {error}. Correct the row.", code="empty_box") from error
    months: dict[str, Any] = {name: number(name) for name in COLUMNS if name.endswith("_months")}
    width, height, unusual = (number(name) for name in ("width", "height", "unusual_difference"))
    return Prediction(
        **months,
        file=text("file"),
        id=text("id"),
        split=SPLIT_WORDS.get(text("split").casefold(), text("split")),
        sex=sex,
        status=cast(Status, status),
        reason=text("reason"),
        width=None if width is None else int(width),
        height=None if height is None else int(height),
        regions=regions,
        unusual_difference=None if unusual is None else bool(unusual),
        codes=tuple(text("codes").split()),
    )


def parse_number(text: str, name: str, where: str) -> float | None:
    """The number in a cell; None for an empty cell and for non-finite values.

    Raises:
        DatasetError: the text is not a number ("not_a_number").
    """
    if not text:
        return None
    try:
        value = float(text)
    except ValueError as error:
        message = f"{where}: {name} is '{text}', which is not a number. Correct the row."
        raise DatasetError(message, code="not_a_number") from error
    return value if math.isfinite(value) else None


def number_cell(value: float | None) -> str:
    """A number to 0.001 without trailing zeros; empty for a missing value."""
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:.3f}".rstrip("0").rstrip(".")
