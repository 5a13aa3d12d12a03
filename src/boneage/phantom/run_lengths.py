"""Masks as run lengths, in the uncompressed form of the COCO data set: exact, and short in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from boneage.errors import UsageError


def encode_runs(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Encode a mask, bool [height, width], as {"size": [height, width], "counts": lengths of runs}.

    Runs go down the columns, from the left. The first run lies outside the mask; its length is 0
    where the first pixel is set.
    """
    values = mask.ravel(order="F")
    ends = np.flatnonzero(np.diff(values, prepend=False, append=not values[-1:].any()))
    return {"size": list(mask.shape), "counts": np.diff(ends, prepend=0).tolist()}


def decode_runs(runs: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Decode the mask of run lengths, bool [height, width].

    Raises:
        UsageError: the runs are not valid, or do not add up to the size (code `invalid_mask`).
    """
    try:
        height, width = (int(side) for side in runs["size"])
        counts = np.asarray(runs["counts"], dtype=np.int64)
        if min(height, width) < 1 or counts.ndim != 1:
            raise ValueError(runs["size"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            "a mask has a size [height, width] and counts, the lengths of its runs. Write the phantoms again.",
            code="invalid_mask",
        ) from error
    if (counts < 0).any() or counts.sum() != height * width:
        raise UsageError(
            f"runs of {counts.sum()} pixels do not make a mask of {width} x {height}. Write the phantoms again.",
            code="invalid_mask",
        )
    return np.repeat(np.arange(counts.size) % 2 == 1, counts).reshape((height, width), order="F")
