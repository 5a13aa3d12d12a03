"""Which tau is taken from the errors on *select*."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from boneage.training.tau import chosen

NOISE = np.array([-1.0, 1.0] * 50)  # paired differences of this kind have a standard error of 0.1


def errors(**means: float) -> dict[float, np.ndarray]:
    """The best one is without noise, so that every difference has that of the other."""
    return {float(tau[1:]) / 100: 10.0 + mean + (NOISE if mean else 0 * NOISE) for tau, mean in means.items()}


def test_the_best_where_the_next_is_clearly_worse() -> None:
    assert chosen(errors(t20=0.5, t30=0.0, t40=0.01)) == 0.3


def test_more_inclusive_while_within_one_standard_error() -> None:
    assert chosen(errors(t10=0.05, t20=0.09, t30=0.0, t40=1.0)) == 0.1


def test_a_lucky_value_beyond_a_worse_one_is_not_reached() -> None:
    assert chosen(errors(t10=0.01, t20=0.5, t30=0.0)) == 0.3


def test_the_best_at_the_lower_end() -> None:
    assert chosen(errors(t10=0.0, t20=0.3)) == 0.1
