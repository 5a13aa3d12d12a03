"""Negatives: pictures of other things than a hand radiograph, drawn at random, which the gate learns to refuse.

Each family is a function of a generator and a side in pixels -> float32 [side, side] in [0, 1]. They are crude on
purpose: `benchmarks/refusals.py` measures the gate on real pictures of such kinds.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scipy import ndimage

Picture = npt.NDArray[np.float32]
Rng = np.random.Generator


def _noise(rng: Rng, side: int) -> Picture:
    """Noise with a power spectrum of 1 / f^k, from white noise to clouds."""
    spectrum = np.fft.rfft2(rng.standard_normal((side, side)))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    spectrum /= np.maximum(frequency, 1.0 / side) ** rng.choice([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    return _stretch(np.fft.irfft2(spectrum, (side, side)))


def _gradient(rng: Rng, side: int) -> Picture:
    y, x = np.mgrid[:side, :side] / side - rng.uniform(0, 1, 2)[:, None, None]
    angle = rng.uniform(0, 2 * math.pi)
    plane = x * math.cos(angle) + y * math.sin(angle)
    picture = np.hypot(x, y) if rng.random() < 0.4 else plane
    if rng.random() < 0.5:
        picture = np.sin(picture * rng.uniform(4, 80)) * rng.choice([1.0, 8.0])
    return _stretch(np.clip(picture, -1, 1) + rng.normal(0, rng.uniform(0.001, 0.05), (side, side)))


def _leaves(rng: Rng, side: int) -> Picture:
    """Dead leaves: overlapping shaded discs and blocks, which have the statistics of photographs."""
    picture = Image.new("F", (side, side), float(rng.uniform(0, 1)))
    draw = ImageDraw.Draw(picture)
    power = rng.uniform(1.5, 3.0)
    for _ in range(int(rng.integers(8, 260))):
        radius = side * 0.5 * max(0.02, rng.random() ** power)
        x, y = rng.uniform(0, side, 2)
        box = (x - radius, y - radius * rng.uniform(0.4, 1), x + radius, y + radius * rng.uniform(0.4, 1))
        (draw.ellipse if rng.random() < 0.6 else draw.rectangle)(box, fill=float(rng.uniform(0, 1)))
    gray = np.asarray(picture, dtype=np.float32) + 0.35 * (_noise(rng, side) - 0.5)
    return _stretch(ndimage.gaussian_filter(gray, rng.uniform(0.3, 2.0)))


def _text(rng: Rng, side: int) -> Picture:
    picture = Image.new("F", (side, side), 1.0)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(float(rng.integers(7, 30)))
    letters = np.array(list(string.ascii_letters + string.digits + "    ,.-"))
    y, left = rng.uniform(0, 20), rng.uniform(0, side / 4)
    while y < side:
        if rng.random() < 0.88:
            draw.text((left, y), "".join(rng.choice(letters, int(rng.integers(4, 60)))), fill=0.0, font=font)
        y += float(getattr(font, "size", 10)) * rng.uniform(1.1, 1.9)
    return np.asarray(picture, dtype=np.float32).copy()


def _screen(rng: Rng, side: int) -> Picture:
    """Windows, bars, buttons and labels."""
    picture = Image.new("F", (side, side), float(rng.choice([0.1, 0.5, 0.9])))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(3, 16))):
        x, y = rng.uniform(-20, side, 2)
        w, h = rng.uniform(10, side, 2) * rng.choice([0.2, 0.6, 1.0], 2)
        draw.rectangle((x, y, x + w, y + h), fill=float(rng.uniform(0, 1)), outline=float(rng.uniform(0, 1)))
        font = ImageFont.load_default(float(rng.integers(6, 16)))
        for line in range(int(rng.integers(0, 8))):
            label = "".join(rng.choice(list(string.ascii_lowercase + " "), int(rng.integers(3, 20))))
            draw.text((x + 4, y + 3 + 14 * line), label, fill=float(rng.uniform(0, 1)), font=font)
    return np.asarray(picture, dtype=np.float32).copy()


def _drawing(rng: Rng, side: int) -> Picture:
    """Line drawings and flat shapes on an even ground."""
    picture = Image.new("F", (side, side), 1.0)
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(1, 12))):
        points = rng.uniform(0.05, 0.95, (int(rng.integers(3, 9)), 2)) * side
        width, fill = int(rng.integers(1, 7)), float(rng.uniform(0, 0.9))
        kind = rng.integers(4)
        if kind == 0:
            draw.line([tuple(point) for point in points], fill=0.0, width=width)
        elif kind == 1:
            draw.polygon([tuple(point) for point in points], fill=fill, outline=0.0)
        else:
            curve = ndimage.zoom(np.concatenate([points, points[:1]]), (12, 1), order=3)
            if kind == 2:
                draw.polygon([tuple(point) for point in curve], fill=fill)
            draw.line([tuple(point) for point in curve], fill=0.0, width=width)
    return np.asarray(picture, dtype=np.float32).copy()


def _long_bones(rng: Rng, side: int) -> Picture:
    """A knee, an elbow, a forearm, a leg: one to three thick shafts with wide ends, and flesh around them."""
    thickness = np.zeros((side, side), np.float32)
    angle = rng.normal(0, 0.25)
    for _ in range(int(rng.integers(1, 4))):
        x = side * rng.uniform(0.3, 0.7)
        gap = side * rng.uniform(0.3, 0.7) if rng.random() < 0.7 else 2 * side
        width = side * rng.uniform(0.05, 0.13)
        y = np.arange(side)
        wide = width * (1 + rng.uniform(0.3, 1.2) * np.exp(-np.abs(y - gap) / (side * 0.08)))
        wide[np.abs(y - gap) < side * rng.uniform(0.003, 0.015)] = 0.1
        at = (np.arange(side)[None] - x - (y[:, None] - side / 2) * math.tan(angle)) / wide[:, None]
        solid = np.sqrt(np.clip(1 - at**2, 0, 1))
        thickness += (wide[:, None] / side * (solid - 0.75 * np.sqrt(np.clip(0.7 - at**2, 0, 1)))).astype(np.float32)
    flesh = np.clip(1 - ((np.arange(side)[None] - side / 2) / (side * rng.uniform(0.25, 0.5))) ** 2, 0, 1) ** 0.5
    return _expose(rng, 9.0 * thickness + rng.uniform(0.2, 0.8) * flesh)


def _trunk(rng: Rng, side: int) -> Picture:
    """A chest, a spine or an abdomen: vertebrae, ribs, lungs, a heart."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    body = np.sqrt(np.clip(1 - (x / rng.uniform(0.42, 0.6)) ** 2 - (y / rng.uniform(0.6, 1.0)) ** 2, 0, 1))
    spine = np.exp(-((x / 0.05) ** 2)) * (0.7 + 0.3 * np.sin(y * rng.uniform(60, 110)))
    picture = 1.2 * body + 0.6 * spine
    if rng.random() < 0.75:
        for lung in (-1, 1):
            picture -= 0.8 * np.clip(1 - ((x - lung * 0.2) / 0.16) ** 2 - ((y + 0.05) / 0.33) ** 2, 0, 1) ** 0.5
        picture += 0.5 * np.clip(1 - ((x - 0.06) / 0.16) ** 2 - ((y - 0.1) / 0.17) ** 2, 0, 1) ** 0.5
        ribs = y - rng.uniform(0.6, 1.8) * x**2 * np.sign(rng.normal() + 1.5)
        picture += 0.16 * (np.sin(ribs * rng.uniform(50, 80)) > 0.55) * (np.abs(x) < 0.4)
    return _expose(rng, picture)


def _expose(rng: Rng, attenuation: npt.NDArray[np.floating]) -> Picture:
    """Turn attenuation into an image with bright bones, scatter and noise."""
    blurred = ndimage.gaussian_filter(attenuation, rng.uniform(0.5, 2.0))
    image = 1 - np.exp(-blurred * rng.uniform(0.6, 1.6))
    return _stretch(image + rng.normal(0, rng.uniform(0.005, 0.04), image.shape))


def _stretch(picture: npt.NDArray[np.floating]) -> Picture:
    low, high = np.percentile(picture, (0.5, 99.5))
    return np.asarray(np.clip((picture - low) / max(high - low, 1e-6), 0, 1), dtype=np.float32)


FAMILIES: Final[dict[str, Callable[[Rng, int], Picture]]] = {
    "noise": _noise,
    "gradient": _gradient,
    "photograph": _leaves,
    "text": _text,
    "screen": _screen,
    "drawing": _drawing,
    "long bones": _long_bones,
    "trunk": _trunk,
}


def draw_negative(rng: Rng, side: int) -> Picture:
    """Draw a picture of a random family."""
    family = list(FAMILIES.values())[int(rng.integers(len(FAMILIES)))]
    return family(rng, side)


def shuffle(rng: Rng, image: Picture) -> Picture:
    """Cut the image into tiles and shuffle them: the texture stays, the hand goes."""
    count = int(rng.integers(3, 7))
    height, width = image.shape[0] // count, image.shape[1] // count
    if min(height, width) < 2:
        return image
    tiles = image[: height * count, : width * count].reshape(count, height, count, width).swapaxes(1, 2)
    order = rng.permutation(count * count)
    mixed = tiles.reshape(-1, height, width)[order].reshape(count, count, height, width)
    return np.ascontiguousarray(mixed.swapaxes(1, 2).reshape(count * height, count * width))


def blur_away(rng: Rng, image: Picture) -> Picture:
    """Blur the image until no bone is left."""
    picture = Image.fromarray(np.uint8(image * 255)).filter(
        ImageFilter.GaussianBlur(max(image.shape) * rng.uniform(0.04, 0.12))
    )
    return np.asarray(picture, dtype=np.float32) / np.float32(255)


__all__ = ["FAMILIES", "blur_away", "draw_negative", "shuffle"]
