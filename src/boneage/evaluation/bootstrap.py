"""Figures with a 95 % bootstrap interval: cases are resampled, percentiles of the resampled figures are the ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Reduce = Callable[..., Values]
"""From one array of values a sample, [..., n] each, and the keyword `axis` to the figure [...]; `np.mean` is one."""

RESAMPLES: Final = 2000
LEVEL: Final = 0.95
SMALLEST_N: Final = 5
"""With fewer cases a percentile interval means nothing: it is left out, the figure and n are given."""
_BLOCK: Final = 1_000_000
"""Values drawn at once, about 16 MB with their indices, whatever the number of cases."""


@dataclass(frozen=True)
class Figure:
    """A figure over `n` cases with its interval.

    Attributes:
        value: None without a case.
        lower, upper: ends of the 95 % interval; None for fewer than `SMALLEST_N` cases.
        n: number of cases.
    """

    value: float | None
    lower: float | None
    upper: float | None
    n: int

    def as_dict(self) -> dict[str, float | int | list[float] | None]:
        """For JSON: value, interval_95 ([lower, upper] or null), n."""
        interval = None if self.lower is None or self.upper is None else [_rounded(self.lower), _rounded(self.upper)]
        return {"value": None if self.value is None else _rounded(self.value), "interval_95": interval, "n": self.n}


def root_mean_square(values: Values, axis: int = -1) -> Values:
    return np.asarray(np.sqrt(np.mean(np.square(values), axis=axis)))


def difference_of_means(first: Values, second: Values, axis: int = -1) -> Values:
    return np.asarray(np.mean(first, axis=axis) - np.mean(second, axis=axis))


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made.

    Attributes:
        resamples: draws of n cases with replacement.
        seed: the same seed and values give the same interval.
    """

    resamples: int = RESAMPLES
    seed: int = 0

    def figure(self, *samples: npt.ArrayLike, reduce: Reduce = np.mean) -> Figure:
        """A figure of one value a case, with its 95 % percentile interval.

        Args:
            samples: float [n], one value a case, all finite. Several samples are paired: the same cases in the same
                order, drawn together.
            reduce: makes the figure of the samples.
        """
        values = [np.asarray(sample, dtype=np.float64).ravel() for sample in samples]
        n = values[0].size
        if n == 0:
            return Figure(value=None, lower=None, upper=None, n=0)
        value = float(reduce(*values, axis=-1))
        if n < SMALLEST_N:
            return Figure(value=value, lower=None, upper=None, n=n)
        # Here, not above: scipy.stats takes longer to load than most commands that import this module run.
        from scipy.stats import bootstrap

        interval = bootstrap(
            values,
            reduce,
            n_resamples=self.resamples,
            batch=max(1, _BLOCK // n),
            vectorized=True,
            paired=len(values) > 1,
            confidence_level=LEVEL,
            method="percentile",
            rng=np.random.default_rng(self.seed),
        ).confidence_interval
        return Figure(value=value, lower=float(interval.low), upper=float(interval.high), n=n)


def figure(*samples: npt.ArrayLike, reduce: Reduce = np.mean, resamples: int = RESAMPLES, seed: int = 0) -> Figure:
    """`Bootstrap(resamples, seed).figure(...)`."""
    return Bootstrap(resamples, seed).figure(*samples, reduce=reduce)


def _rounded(value: float) -> float:
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return round(value, 4) + 0.0
