"""Masks as run lengths, the uncompressed form of the COCO data set (pycocotools reads it): exact, and short in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from boneage.errors import UsageError


def as_runs(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """bool [height, width] -> {"size": [height, width], "counts": lengths of runs}.

    Runs go down the columns, from the left; the first is outside the mask, and 0 where it begins inside.
    """
    values = mask.ravel(order="F")
    ends = np.flatnonzero(np.diff(values, prepend=False, append=not values[-1:].any()))
    return {"size": list(mask.shape), "counts": np.diff(ends, prepend=0).tolist()}


def from_runs(runs: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """The mask of run lengths, bool [height, width].

    Raises:
        UsageError: these are no runs, or they do not make up the size.
    """
    try:
        height, width = (int(side) for side in runs["size"])
        counts = np.asarray(runs["counts"], dtype=np.int64)
        if min(height, width) < 1 or counts.ndim != 1:
            raise ValueError(runs["size"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            "a mask has a size [height, width] and counts, the lengths of its runs. Read the record anew."
        ) from error
    if (counts < 0).any() or counts.sum() != height * width:
        raise UsageError(f"runs of {counts.sum()} pixels are no mask of {width} x {height}. Read the record anew.")
    return np.repeat(np.arange(counts.size) % 2 == 1, counts).reshape((height, width), order="F")
