"""Textures of trabecular bone, made once for a phantom and looked up by position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from boneage.phantom.anatomy.outlines import Place

Layer = npt.NDArray[np.float32]

_SIDE: Final = 256
_PER_MM: Final = 5.0
"""Texture cells a millimetre."""


def _smooth_noise(rng: np.random.Generator, sigma: tuple[float, float]) -> Layer:
    noise = ndimage.gaussian_filter(rng.standard_normal((_SIDE, _SIDE), dtype=np.float32), sigma, mode="wrap")
    return np.asarray(noise / noise.std(), dtype=np.float32)


@dataclass(frozen=True)
class Grain:
    """Textures with values around 1, float32 [256, 256], that wrap at their borders."""

    mesh: Layer
    fibres: Layer
    walls: Layer

    @classmethod
    def drawn(cls, rng: np.random.Generator, strength: float) -> Grain:
        """Draw textures; `strength` is how clearly trabeculae show, 0 (not) to about 1."""
        mesh, fibres = _smooth_noise(rng, (1.9, 1.9)), _smooth_noise(rng, (7.0, 1.5))
        coarse = _smooth_noise(rng, (9.0, 9.0))
        # Bright lines along the zeros of smooth noise resemble a net of struts.
        net = np.exp(-1.6 * np.abs(mesh)) + 0.22 * coarse
        lines = np.exp(-1.3 * np.abs(fibres)) + 0.15 * coarse
        uneven = _smooth_noise(rng, (13.0, 13.0))
        return cls(
            _scale_around_one(net, 0.75 * strength), _scale_around_one(lines, strength), _scale_around_one(uneven, 0.5)
        )

    def wall(self, x: Layer, y: Layer) -> Layer:
        """Thickness of a thin wall over its average at millimetres (x, y), [n]; it varies along the outline."""
        return np.asarray(self.walls[_cells(y), _cells(x)])

    def net(self, x: Layer, y: Layer) -> Layer:
        """The net of trabeculae of a carpal bone or an epiphysis at millimetres (x, y), [n]."""
        return np.asarray(self.mesh[_cells(y), _cells(x)])

    def struts(self, t: Layer, u: Layer, base: Place) -> Layer:
        """Struts along a long bone at millimetres t along and u across it, [n]."""
        return np.asarray(self.fibres[_cells(t + np.float32(7.0 * base[1])), _cells(u + np.float32(11.0 * base[0]))])


def _scale_around_one(layer: Layer, strength: float) -> Layer:
    scaled = (layer - layer.mean()) / layer.std()
    return np.asarray(np.clip(1.0 + strength * scaled, 0.1, 3.0), dtype=np.float32)


def _cells(millimetres: Layer) -> npt.NDArray[np.intp]:
    return (millimetres * np.float32(_PER_MM)).astype(np.intp) % _SIDE
