"""Whether the hands of a data set are phantoms: what is learnt or measured on them has to say so."""

from __future__ import annotations

from boneage.datasets.table import Dataset
from boneage.formats import is_phantom


def has_phantoms(dataset: Dataset) -> bool:
    """Whether any file of a set says that it is synthetic (`boneage.radiograph.PHANTOM_MARK`).

    The head of every file is read, up to the first that says so.
    """
    return any(is_phantom(case.image) for case in dataset.cases)
