"""Data sets on disk: any layout that people have, and the cache of decoded images."""

from __future__ import annotations

from boneage.datasets.boxes import read_boxes
from boneage.datasets.cache import ImageCache
from boneage.datasets.columns import Columns
from boneage.datasets.layouts import read_dataset
from boneage.datasets.phantoms import has_phantoms
from boneage.datasets.table import Case, Dataset, Dropped, Split, dropped_table, split_of, with_dropped

__all__ = [
    "Case",
    "Columns",
    "Dataset",
    "Dropped",
    "ImageCache",
    "Split",
    "dropped_table",
    "has_phantoms",
    "read_boxes",
    "read_dataset",
    "split_of",
    "with_dropped",
]
