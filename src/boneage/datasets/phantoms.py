"""Whether a data set contains phantoms: models and figures that come from them must state it."""

from __future__ import annotations

from boneage.datasets.table import Dataset
from boneage.formats import is_phantom


def has_phantoms(dataset: Dataset) -> bool:
    """Whether any file of a set is marked as a phantom (`boneage.radiograph.PHANTOM_MARK`).

    Reads the headers of the files, up to the first that is marked.
    """
    return any(is_phantom(case.image) for case in dataset.cases)
