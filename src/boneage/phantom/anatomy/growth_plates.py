"""Growth plates: the epiphysis, how far a plate is closed, and the dense line that remains for some years."""

from __future__ import annotations

import math

import numpy as np

from boneage.phantom.anatomy.development import CentreState, smooth_step
from boneage.phantom.anatomy.outlines import Points, grow_disc, resample
from boneage.phantom.anatomy.pieces import Build, Piece, Skeleton


def grow_epiphysis(state: CentreState, full: Points, clearance: float, *, caps: bool) -> Points:
    """Grow an epiphysis: a dot, then a thin disc, a disc as wide as the shaft, then a cap over it.

    Args:
        state: of its ossification centre.
        full: the adult outline, float64 [n, 2] of (u across, v away from the plate) in millimetres.
        clearance: distance from the plate in millimetres.
        caps: whether its rim grows over the edge of the shaft.
    """
    ripe = state.maturity
    width = 0.20 + 0.80 * min(1.0, ripe / 0.54) ** 0.58
    height = 0.32 + 0.68 * min(1.0, ripe / 1.0) ** 0.9 if caps else 0.24 + 0.76 * min(1.0, ripe / 0.7) ** 0.65
    shape = smooth_step((ripe - 0.12) / 0.6)
    grown = grow_disc(
        resample(full, 72),
        clearance,
        width=width * (0.97 if caps else 0.84 + 0.12 * smooth_step((ripe - 0.55) / 0.45)),
        height=height,
        shape=shape,
    )
    cap = smooth_step((ripe - 0.72) / 0.28)
    if caps and cap > 0:
        # The rim of a mature epiphysis reaches over the edge of the shaft.
        reach = np.abs(grown[:, 0]) / np.abs(grown[:, 0]).max()
        low = grown[:, 1] < clearance + 0.5
        grown[:, 1] -= np.where(low, 1.0 * cap * np.clip((reach - 0.7) / 0.3, 0, 1), 0.0)
        grown[:, 0] *= 1.0 + 0.035 * cap
    return grown


def joined_share(state: CentreState) -> float:
    """Share of a plate that shows as closed, 0 to 1: the hidden part of a mature open plate, then the fused part."""
    hidden = 0.28 * smooth_step((state.maturity - 0.25) / 0.5) if state.appeared else 0.0
    return max(hidden, smooth_step((state.fused - 0.1) / 0.9))


def clip_to_cortex(outline: Points) -> Points:
    """Narrow a plate's outline, so that it does not reach beyond the cortex."""
    inner = outline.mean(axis=0)
    return np.asarray(inner + (outline - inner) * (0.93, 1.0))


def add_line(hand: Skeleton, build: Build, centre: str, band: Points) -> None:
    """Add the dense line of a closed plate; it fades within a few years."""
    _, end = build.child.closes_months[centre]
    fused = hand.states[centre].fused
    left = fused if fused < 1 else math.exp(-(build.age_months - end) / 16.0)
    if left > 0.04:
        hand.pieces.append(Piece(centre, "line", band, depth=1.1, edge=0.5, cortex=0.3, marrow=1.0, weight=0.55 * left))
