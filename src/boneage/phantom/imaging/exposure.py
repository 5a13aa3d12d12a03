"""From attenuation to an image: scatter, blur, quantum noise, exposure, collimation and borders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from boneage.phantom.imaging.markers import draw_marker

Layer = npt.NDArray[np.float32]

_COARSE: Final = 8
"""Scatter and shading are drawn so many times smaller than the image."""


@dataclass(frozen=True)
class Exposure:
    """How a radiograph was exposed and read out.

    Attributes:
        scatter: scattered over direct radiation behind the thickest part.
        blur_mm: of focus and screen, standard deviation.
        noise: standard deviation of the attenuation behind air.
        contrast: slope of the display's curve; 1 is usual.
        darkness: 0 is usual; positive values are darker, negative ones washed out.
        veil: smallest gray value of the image as a share of white.
        span: range of gray values as a share of white; 1 is best.
        sharpening: strength of the edge enhancement.
        shading: strength of uneven radiation over the field.
    """

    scatter: float
    blur_mm: float
    noise: float
    contrast: float
    darkness: float
    veil: float
    span: float
    sharpening: float
    shading: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Exposure:
        kind = rng.random()
        dark, pale = kind < 0.12, kind > 0.90
        veil = float(rng.uniform(0.0, 0.06))
        span = float(rng.uniform(0.8, 1.0))
        if dark:
            veil, span = float(rng.uniform(0.05, 0.20)), float(rng.uniform(0.22, 0.45))
        elif pale:
            veil, span = float(rng.uniform(0.2, 0.42)), float(rng.uniform(0.35, 0.5))
        return cls(
            scatter=float(rng.uniform(0.15, 0.5)),
            blur_mm=float(rng.uniform(0.20, 0.50)),
            noise=float(rng.uniform(0.003, 0.015)),
            contrast=float(np.clip(rng.normal(0.93, 0.17), 0.6, 1.5)),
            darkness=float(np.clip(rng.normal(0.0, 0.16), -0.4, 0.45)),
            veil=veil,
            span=span,
            sharpening=float(max(0.0, rng.normal(0.15, 0.3))),
            shading=float(rng.uniform(0.0, 0.18)),
        )


def expose(attenuation: Layer, pixels_per_mm: float, exposure: Exposure, rng: np.random.Generator) -> Layer:
    """The image of an attenuation map, bones bright.

    Args:
        attenuation: natural logarithm of incoming over outgoing radiation, float32 [height, width].
        pixels_per_mm: pixels of the image for a true millimetre.
        exposure: how the radiograph is exposed.
        rng: for noise, shading and the reach of scatter.

    Returns:
        float32 [height, width] in [0, 1].
    """
    height, width = attenuation.shape
    direct = np.exp(-attenuation)
    reach = max(0.8, float(rng.uniform(6.0, 22.0)) * pixels_per_mm / _COARSE)
    small = _shrink(direct)
    hidden = ndimage.gaussian_filter(1.0 - small, reach, mode="nearest")
    scattered = np.float32(exposure.scatter) * hidden * ndimage.gaussian_filter(small, reach, mode="nearest")
    angle = rng.uniform(0, 2 * math.pi)
    y, x = np.linspace(-1, 1, small.shape[0])[:, None], np.linspace(-1, 1, small.shape[1])[None, :]
    field = 1.0 + exposure.shading * (x * math.cos(angle) + y * math.sin(angle) - 0.7 * (x * x + y * y))
    field *= 1.0 + np.float32(rng.uniform(0.0, 0.05)) * _enlarge(
        rng.standard_normal((5, 4), dtype=np.float32), small.shape
    )
    received = (direct + _enlarge(scattered, (height, width))) * _enlarge(field, (height, width))
    logarithm = -np.log(np.maximum(received, np.float32(1e-3)))
    logarithm = ndimage.gaussian_filter(logarithm, max(0.3, exposure.blur_mm * pixels_per_mm), truncate=2.5)
    grain = rng.standard_normal((height, width), dtype=np.float32)
    if rng.random() < 0.6:
        grain = np.float32(1.7) * ndimage.uniform_filter(grain, 2)
    logarithm += np.float32(exposure.noise) * grain * np.exp(np.float32(0.5) * np.minimum(logarithm, 3.0))
    if exposure.sharpening > 0.05:
        radius = 2.2 * pixels_per_mm
        low = _enlarge(ndimage.gaussian_filter(_shrink(logarithm, 4), radius / 4), (height, width))
        logarithm += np.float32(exposure.sharpening) * (logarithm - low)
    return _develop(logarithm, exposure)


def _develop(logarithm: Layer, exposure: Exposure) -> Layer:
    """Apply the characteristic curve of the display: flat in the black, steep at the bones, flat in the white."""
    middle, slope = 1.10 + 0.5 * exposure.darkness, 2.1 * exposure.contrast
    low = 1.0 / (1.0 + math.exp(slope * (middle + 0.04)))
    high = 1.0 / (1.0 + math.exp(slope * (middle - 2.6)))
    gray = 1.0 / (1.0 + np.exp(np.float32(slope) * (np.float32(middle) - logarithm)))
    gray = np.clip((gray - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return np.asarray(np.float32(exposure.veil) + np.float32(exposure.span) * gray, dtype=np.float32)


def add_markers(image: Layer, hand: npt.NDArray[np.bool_], side: str, rng: np.random.Generator) -> None:
    """Draw a marker into `image`, mostly beside the hand.

    Args:
        image: float32 [height, width], changed in place.
        hand: bool [height, width], the pixels of the hand.
        side: the letter of the side, "L" or "R".
        rng: for the marker and its position.
    """
    if rng.random() < 0.06:
        return
    height, width = image.shape
    letters, plate = draw_marker(side, round(min(height, width) * float(rng.uniform(0.06, 0.115))), rng)
    h, w = letters.shape
    if h + 4 >= height or w + 4 >= width:
        return
    best, place = 9.0, (0, 0)
    for _ in range(12):
        x, y = int(rng.integers(2, width - w - 1)), int(rng.integers(2, height - h - 1))
        covered = 5 * float(hand[y : y + h, x : x + w].mean()) + 0.2 * abs(y / height - 0.4) + 0.05 * rng.random()
        if covered < best:
            best, place = covered, (x, y)
    there = image[place[1] : place[1] + h, place[0] : place[0] + w]
    level = np.float32(rng.uniform(0.0, 0.35) * 0.5 + 0.02)
    there += plate * (level - there * np.float32(0.4)) * np.float32(0.6)
    white = np.float32(max(float(image.max()), rng.uniform(0.8, 1.0)))
    soft = ndimage.gaussian_filter(letters, rng.uniform(0.3, 0.8))
    there += soft * (white - there)


def add_borders(image: Layer, rng: np.random.Generator) -> None:
    """Draw collimation and borders into `image`, in place: strips and shutters, mostly tilted, never quite clean."""
    height, width = image.shape
    kind = rng.random()
    if kind < 0.55:
        return
    low, high = float(image.min()), float(image.max())
    tilt = float(np.clip(rng.normal(0.0, 2.0), -8.0, 8.0)) if rng.random() < 0.8 else float(rng.uniform(-12.0, 12.0))
    cover = Image.new("L", (width, height), 255)
    insets = np.where(rng.random(4) < 0.6, np.abs(rng.normal(0.0, 0.025, 4)), -0.05)
    x0, y0, x1, y1 = insets[0] * width, insets[1] * height, (1 - insets[2]) * width, (1 - insets[3]) * height
    # The open field rotates about its middle; it grows with the tilt so that it does not cut the fingers.
    grow = abs(math.sin(math.radians(tilt))) * 0.28 * max(width, height)
    corners = np.array([(x0 - grow, y0 - grow), (x1 + grow, y0 - grow), (x1 + grow, y1 + grow), (x0 - grow, y1 + grow)])
    corners += rng.normal(0.0, 0.006 * width, corners.shape)
    middle = corners.mean(axis=0)
    cosine, sine = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    turned = (corners - middle) @ np.array([[cosine, sine], [-sine, cosine]]) + middle
    ImageDraw.Draw(cover).polygon([(float(x), float(y)) for x, y in turned], fill=0)
    closed = np.asarray(cover, dtype=np.float32) / np.float32(255)
    if not closed.any():
        return
    soft = float(rng.choice([0.6, 1.2, 3.0, 6.0])) * width / 512
    edge = _soften(cover, soft)
    if kind < 0.76:
        level = low * rng.uniform(0.0, 1.0)
    elif kind < 0.90:
        level = low + (high - low) * rng.uniform(0.75, 1.05)
    else:
        level = low + (high - low) * rng.uniform(0.08, 0.4)
    # Some radiation leaks below the collimator, unevenly.
    uneven = _enlarge(rng.standard_normal((5, 4), dtype=np.float32), (height, width))
    leak = np.float32(rng.uniform(0.0, 0.35)) * (image - np.float32(low))
    behind = np.float32(level) + leak + np.float32(0.02 * (high - low)) * uneven
    image += edge * (behind - image)
    if rng.random() < 0.15:
        rim = np.abs(_soften(cover, soft + 1.2) - 0.5) < 0.28
        bright = np.float32(low + (high - low) * rng.uniform(0.3, 1.0))
        line = _soften(Image.fromarray(rim.astype(np.uint8) * 255), 0.8) * np.float32(rng.uniform(0.2, 0.9))
        image += line * (bright - image) * np.clip(1.0 + 0.5 * uneven, 0.0, 1.5)


def _soften(cover: Image.Image, radius: float) -> Layer:
    """An 8-bit layer, blurred, as float32 in [0, 1]."""
    return np.asarray(cover.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / np.float32(255)


def _shrink(layer: npt.NDArray[np.floating], times: int = _COARSE) -> Layer:
    height, width = layer.shape
    size = (max(2, width // times), max(2, height // times))
    return np.asarray(Image.fromarray(np.asarray(layer, dtype=np.float32)).resize(size, Image.Resampling.BOX))


def _enlarge(layer: npt.NDArray[np.floating], shape: tuple[int, int]) -> Layer:
    image = Image.fromarray(np.asarray(layer, dtype=np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))
