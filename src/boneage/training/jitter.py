"""Augmentation: random looks at a film and random lighting, drawn from a generator that the caller seeds."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from boneage.training.settings import JitterRange
from boneage.views import Jitter


def draw_jitter(rng: np.random.Generator, within: JitterRange, *, mirror: bool | None = None) -> Jitter:
    """One random look.

    Args:
        rng: all randomness comes from here.
        within: the ranges.
        mirror: fixed by the caller where several views of one film must be mirrored together.
    """
    degrees = rng.uniform(-within.degrees, within.degrees)
    zoom = math.exp(rng.uniform(-within.zoom, within.zoom))
    shift_x, shift_y = rng.uniform(-within.shift, within.shift, 2)
    if mirror is None:
        mirror = draw_mirror(rng, within)
    return Jitter(float(degrees), zoom, float(shift_x), float(shift_y), mirror)


def draw_mirror(rng: np.random.Generator, within: JitterRange) -> bool:
    """Whether a film's views are mirrored."""
    return bool(rng.random() < 0.5) and within.mirror


def relit(view: npt.NDArray[np.uint8], rng: np.random.Generator, within: JitterRange) -> npt.NDArray[np.uint8]:
    """The view with another gamma and brightness; uint8, same shape."""
    gamma = math.exp(rng.uniform(-within.gamma, within.gamma))
    factor = rng.uniform(1.0 - within.brightness, 1.0 + within.brightness)
    if gamma == 1.0 and factor == 1.0:
        return view
    table = np.linspace(0.0, 1.0, 256) ** gamma * (255.0 * factor)
    return np.asarray(np.rint(table.clip(0.0, 255.0)), dtype=np.uint8)[view]
