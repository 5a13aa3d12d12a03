"""Whether the hands of a data set are phantoms: what is learnt or measured on them has to say so."""

from __future__ import annotations

import csv
from pathlib import Path

from boneage.datasets.table import Dataset
from boneage.formats import is_phantom


def has_phantoms(dataset: Dataset) -> bool:
    """Whether any file of a set says that it is synthetic (`boneage.radiograph.PHANTOM_MARK`).

    The head of every file is read, up to the first that says so.
    """
    return _drawn_before_the_mark(dataset.root) or any(is_phantom(case.image) for case in dataset.cases)


def _drawn_before_the_mark(root: Path) -> bool:
    """Drawn sets from before pictures bore a mark name their reader "drawn"."""
    try:
        with (root / "annotations" / "boxes.csv").open(newline="", encoding="utf-8") as stream:
            first = next(csv.DictReader(stream), None)
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return first is not None and first.get("reader") == "drawn"
