"""Boxes that readers drew, to measure localization. They must not be used for training or tuning."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Final

from boneage.datasets.columns import case_id, normalize_name
from boneage.datasets.tabular import Sheet, read_sheet
from boneage.errors import DatasetError, UsageError

Corners = tuple[float, float, float, float]
"""x0, y0, x1, y1 as fractions of the radiograph's width and height, in [0, 1]."""

TRUTHS: Final[dict[str, dict[str, int]]] = {
    "hand_mask": {"hand_mask": 1},
    "hand": {"hand": 1},
    "region_1": {"wrist": 1, "radius": 1, "ulna": 1},
    "wrist": {"wrist": 1},
    "region_2": {"mcp": 5},
}
"""Truth -> the labels and numbers of boxes whose union it is. A case that lacks one of them has no such truth."""
_COLUMNS: Final = ("id", "reader", "label", "x0", "y0", "x1", "y1")
_BEYOND: Final = 0.1
"""Readers draw a little beyond the radiograph; values further out are pixels, not fractions."""


def read_boxes(csv: str | Path, *, reader: str | None = None) -> dict[str, dict[str, Corners]]:
    """Read a table `id,reader,label,x0,y0,x1,y1` (fractions of width and height) into truths.

    Labels: hand_mask, hand, wrist, radius, ulna, mcp (five a case); other labels are not used. region_1 is the union
    of wrist, radius and ulna, region_2 the union of the five mcp boxes, each of one reader. Boxes that are labelled
    region_1 or region_2 take precedence over these unions. Coordinates a little outside 0..1 are clipped.

    Args:
        csv: the table.
        reader: use only this reader's boxes; needed where two readers boxed the same truth on the same case.

    Returns:
        {truth: {case id: (x0, y0, x1, y1)}}, the truths as in `TRUTHS`.

    Raises:
        UsageError: no such file (code `no_such_file`), a column is missing (`missing_column`), the reader is not in
            the table (`unknown_reader`), or two readers boxed the same truth (`several_readers`).
        DatasetError: the file cannot be read (codes `cannot_read`, `damaged_table`), or a row is not a valid box
            (`invalid_box`).
    """
    path = Path(csv)
    if not path.is_file():
        raise UsageError(f"{path}: there is no such table of boxes. Check the path.", code="no_such_file")
    sheet = read_sheet(path)
    drawn: dict[tuple[str, str], dict[str, list[Corners]]] = defaultdict(lambda: defaultdict(list))
    readers: set[str] = set()
    for where, case, by, label, corners in _read_rows(sheet):
        readers.add(by)
        if reader in (None, by):
            drawn[case, by][label].append(_parse_corners(corners, where))
    if reader is not None and reader not in readers:
        raise UsageError(
            f"{path}: the table has no reader '{reader}'. Its readers are: {', '.join(sorted(readers))}.",
            code="unknown_reader",
        )
    truths: dict[str, dict[str, Corners]] = {name: {} for name in TRUTHS}
    for (case, by), labels in drawn.items():
        for name, needed in TRUTHS.items():
            whole = {name: 1} if name in labels else needed
            if any(len(labels.get(label, ())) < count for label, count in whole.items()):
                continue
            if case in truths[name]:
                raise UsageError(
                    f"{path}: two readers boxed {name} on case {case}, one of them {by}. Name the reader to use.",
                    code="several_readers",
                )
            truths[name][case] = _union([box for label in whole for box in labels[label]])
    return truths


def _read_rows(sheet: Sheet) -> list[tuple[str, str, str, str, list[str]]]:
    names = [normalize_name(name) for name in sheet.header]
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise UsageError(
            f"{sheet.file}: no column {', '.join(missing)}. A table of boxes has the columns {', '.join(_COLUMNS)}.",
            code="missing_column",
        )
    indices = [names.index(name) for name in _COLUMNS]
    rows = []
    for line, cells in sheet.rows:
        where = f"{sheet.file}, line {line}"
        if len(cells) <= max(indices):
            raise DatasetError(f"{where}: the row is too short. Write {', '.join(_COLUMNS)}.", code="invalid_box")
        identity, by, label, *corners = (cells[index] for index in indices)
        rows.append((where, case_id(identity), by, label.casefold(), corners))
    return rows


def _parse_corners(texts: list[str], where: str) -> Corners:
    try:
        values = [float(text) for text in texts]
    except ValueError:
        raise DatasetError(
            f"{where}: {', '.join(texts)} are not four numbers. Correct the row.", code="invalid_box"
        ) from None
    if not all(math.isfinite(value) and -_BEYOND <= value <= 1 + _BEYOND for value in values):
        raise DatasetError(
            f"{where}: {', '.join(texts)} are not fractions of width and height. Divide pixels by the image's size.",
            code="invalid_box",
        )
    x0, y0, x1, y1 = (min(max(value, 0.0), 1.0) for value in values)
    if not (x1 > x0 and y1 > y0):
        raise DatasetError(
            f"{where}: {', '.join(texts)} is not a valid box. Correct the row, so that x0 < x1 and y0 < y1.",
            code="invalid_box",
        )
    return x0, y0, x1, y1


def _union(boxes: list[Corners]) -> Corners:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)
