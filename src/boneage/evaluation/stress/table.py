"""The stress table: one row a case and transform, so that every figure rebuilds without a model."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from boneage.assessment import Assessment, Attention
from boneage.atomic import write_atomically
from boneage.errors import DatasetError
from boneage.evaluation.predictions import (
    COLUMNS,
    Prediction,
    cells_of,
    number_cell,
    parse_number,
    parse_prediction,
    read_rows,
)
from boneage.evaluation.stress.transforms import TRANSFORMS
from boneage.regions import Box, Region

UNTRANSFORMED: Final = "none"
"""The transform's name in rows of untransformed cases."""
_ATTENTION: Final = tuple(f"{region}_attention_in_hand" for region in Region)
STRESS_COLUMNS: Final = ("transform", *COLUMNS, *_ATTENTION)
_NEEDED: Final = ("transform", "id", "age_months", "predicted_months")
_NAMES: Final = frozenset({UNTRANSFORMED, *(transform.name for transform in TRANSFORMS)})


@dataclass(frozen=True)
class StressRow:
    """The answer for one case under one transform.

    Attributes:
        transform: a name of `TRANSFORMS`, or `UNTRANSFORMED`.
        prediction: as in the predictions table; width, height and boxes are those of the transformed radiograph.
        attention_in_hand: share in [0, 1] of each region's attention that lies inside the hand's box.
    """

    transform: str
    prediction: Prediction
    attention_in_hand: Mapping[Region, float] = field(default_factory=dict)

    @classmethod
    def of(cls, transform: str, outcome: Assessment | Exception, prediction: Prediction) -> Self:
        """The row for an outcome and for the prediction that was made of it."""
        shares: dict[Region, float] = {}
        if isinstance(outcome, Assessment) and (hand := outcome.regions.get(Region.HAND)) is not None:
            for region, attention in outcome.attention.items():
                share = share_inside(attention, hand)
                if share is not None:
                    shares[region] = share
        return cls(transform, prediction, shares)


def share_inside(attention: Attention, box: Box) -> float | None:
    """Share of an attention map's sum that lies inside a box, in [0, 1]; None where the map is zero throughout.

    A cell that the box cuts counts by the part of its area that is inside.

    Args:
        box: in the same pixels as `attention.box`.
    """
    weights = np.clip(np.asarray(attention.map, dtype=np.float64), 0.0, None)
    total = float(weights.sum())
    if total <= 0.0:
        return None
    rows, columns = weights.shape

    def inside(start: float, end: float, cells: int, low: float, high: float) -> npt.NDArray[np.float64]:
        edges = np.linspace(start, end, cells + 1)
        overlap = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
        return np.asarray(np.clip(overlap, 0.0, None) * (cells / (end - start)), dtype=np.float64)

    place = attention.box
    vertical = inside(place.y0, place.y1, rows, box.y0, box.y1)
    horizontal = inside(place.x0, place.x1, columns, box.x0, box.x1)
    return float(np.clip(vertical @ weights @ horizontal / total, 0.0, 1.0))


def stress_cells(row: StressRow) -> dict[str, str]:
    """One row of the table, by column."""
    shares = (number_cell(row.attention_in_hand.get(region)) for region in Region)
    return dict(zip(STRESS_COLUMNS, (row.transform, *cells_of(row.prediction), *shares), strict=True))


def write_stress(path: str | Path, rows: Iterable[StressRow]) -> None:
    """Write the table as CSV, atomically.

    Raises:
        OutputError: the folder cannot be written to.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, STRESS_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(stress_cells, rows))
    write_atomically(path, text.getvalue())


def read_stress(path: str | Path) -> list[StressRow]:
    """Read a table that `write_stress` wrote.

    Raises:
        UsageError: no such file ("no_such_file").
        DatasetError: see `read_rows` and `parse_stress_row`; or a case comes twice under one transform
            ("duplicate_id").
    """
    rows: list[StressRow] = []
    seen: set[tuple[str, str]] = set()
    for line, cells in enumerate(read_rows(path, _NEEDED), start=2):
        row = parse_stress_row(cells, f"{path}, line {line}")
        if (row.prediction.id, row.transform) in seen:
            message = f"{path}, line {line}: case {row.prediction.id} comes twice under '{row.transform}'."
            raise DatasetError(f"{message} Keep one row.", code="duplicate_id")
        seen.add((row.prediction.id, row.transform))
        rows.append(row)
    return rows


def parse_stress_row(cells: Mapping[str, str | None], where: str) -> StressRow:
    """One row of the table.

    Args:
        cells: by column.
        where: file and line, for messages.

    Raises:
        DatasetError: see `parse_prediction`; or the transform is not known ("unknown_transform").
    """
    name = cells.get("transform") or ""
    if name not in _NAMES:
        message = f"{where}: the transform '{name}' is not known here. Make the table again."
        raise DatasetError(message, code="unknown_transform")
    shares = {
        region: parse_number(cells.get(column) or "", column, where)
        for region, column in zip(Region, _ATTENTION, strict=True)
    }
    kept = {region: share for region, share in shares.items() if share is not None}
    return StressRow(name, parse_prediction(cells, where), kept)
