"""The reported interval, made honest on *select*."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from boneage.ages import FIRST_MONTH, LAST_MONTH

_SMALLEST_TAIL, _LARGEST_TAIL = 1e-4, 0.49


@dataclass(frozen=True)
class Calibration:
    """`tail` for `boneage.ages.central_interval_months`, and what it achieved on the `cases` it was chosen on."""

    tail: float
    coverage: float
    cases: int

    def as_json(self) -> dict[str, object]:
        return {"tail": self.tail, "coverage": self.coverage, "cases": self.cases, "split": "select"}


def calibrated(
    distributions: npt.NDArray[np.floating], age_months: npt.NDArray[np.floating], coverage: float
) -> Calibration:
    """The largest tail (so the narrowest intervals) with which at least `coverage` of the cases are covered.

    A case is covered by every tail up to its own: the mass below or above its age, whichever is less.

    Args:
        distributions: float [n, 240].
        age_months: float [n].
        coverage: share in (0, 1).
    """
    cumulative = np.cumsum(np.asarray(distributions, dtype=np.float64), axis=1)
    cumulative = np.concatenate([np.zeros((len(cumulative), 1)), cumulative], axis=1) / cumulative[:, -1:]
    edges = np.arange(FIRST_MONTH, LAST_MONTH + 2) - 0.5
    below = np.array([np.interp(age, edges, row) for age, row in zip(age_months, cumulative, strict=True)])
    own = np.minimum(below, 1.0 - below)
    # The interval's ends are clipped to [1, 240], so an age at the end of the axis is covered by any tail below it.
    left_out = int(np.floor(len(own) * (1.0 - coverage) + 1e-9))
    tail = float(np.clip(np.nextafter(np.sort(own)[left_out], 0.0), _SMALLEST_TAIL, _LARGEST_TAIL))
    return Calibration(tail, float(np.mean(own >= tail)), len(own))


def spread_months(errors: Iterable[float]) -> float:
    """Root mean square of a scalar network's errors: the standard deviation of its Gaussian, at least one month."""
    values = np.fromiter(errors, dtype=np.float64)
    return float(max(1.0, np.sqrt(np.mean(values**2))))
