"""Figures with a 95 % bootstrap interval: cases are resampled, percentiles of the resampled figures are the ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Statistic = Callable[[Values], Values]
"""From values [..., n] of n cases to the figure [...]: it reduces the last axis."""

RESAMPLES: Final = 2000
LEVEL: Final = 0.95
SMALLEST_N: Final = 5
"""With fewer cases a percentile interval means nothing: it is left out, the figure and n are given."""
_BLOCK: Final = 2_000_000
"""Values drawn at once: about 32 MB with their indices, whatever the number of cases."""


@dataclass(frozen=True)
class Figure:
    """A figure over `n` cases with its interval; None where there are too few cases (none; under `SMALLEST_N`)."""

    value: float | None
    lower: float | None
    upper: float | None
    n: int

    def as_dict(self) -> dict[str, float | int | list[float] | None]:
        """For JSON: value, interval_95 ([lower, upper] or null), n."""
        interval = None if self.lower is None or self.upper is None else [_short(self.lower), _short(self.upper)]
        return {"value": None if self.value is None else _short(self.value), "interval_95": interval, "n": self.n}


def mean(values: Values) -> Values:
    return np.asarray(values.mean(axis=-1))


def median(values: Values) -> Values:
    return np.asarray(np.median(values, axis=-1))


def root_mean_square(values: Values) -> Values:
    return np.asarray(np.sqrt(np.mean(np.square(values), axis=-1)))


def figure(values: npt.ArrayLike, statistic: Statistic = mean, *, resamples: int = RESAMPLES, seed: int = 0) -> Figure:
    """A statistic of one value a case, with its 95 % percentile bootstrap interval.

    Paired figures (two predictions of the same cases) are the statistic of the cases' differences.

    Args:
        values: float [n], one a case; all finite.
        statistic: what is made of them.
        resamples: draws of n cases with replacement.
        seed: the same seed and values give the same interval.
    """
    given = np.asarray(values, dtype=np.float64).ravel()
    n = given.size
    if n == 0:
        return Figure(None, None, None, 0)
    value = float(statistic(given))
    if n < SMALLEST_N:
        return Figure(value, None, None, n)
    random = np.random.default_rng(seed)
    drawn: list[Values] = []
    left = resamples
    while left > 0:
        block = min(left, max(1, _BLOCK // n))
        drawn.append(statistic(given[random.integers(0, n, (block, n), dtype=np.int32)]))
        left -= block
    tail = (1.0 - LEVEL) / 2
    lower, upper = np.quantile(np.concatenate(drawn), [tail, 1.0 - tail])
    return Figure(value, float(lower), float(upper), n)


def _short(value: float) -> float:
    return round(value, 4)
