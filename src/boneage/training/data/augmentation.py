"""Augmentation: geometric, photometric and degradation, drawn from a generator that the caller seeds."""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from boneage.radiograph import WINDOW_PERCENTILES
from boneage.training.recipes.settings import Augmentation
from boneage.views import GeometricAugmentation, ImageArray


def draw_geometric(
    rng: np.random.Generator, within: Augmentation, *, mirror: bool | None = None
) -> GeometricAugmentation:
    """Draw one geometric augmentation.

    Args:
        rng: all randomness comes from here.
        within: the ranges.
        mirror: fixed by the caller where several views of one image are mirrored together.
    """
    degrees = rng.uniform(-within.degrees, within.degrees)
    zoom = math.exp(rng.uniform(-within.zoom, within.zoom))
    shift_x, shift_y = rng.uniform(-within.shift, within.shift, 2)
    if mirror is None:
        mirror = draw_mirror(rng, within)
    return GeometricAugmentation(
        degrees=float(degrees), zoom=zoom, shift_x=float(shift_x), shift_y=float(shift_y), mirror=mirror
    )


def draw_mirror(rng: np.random.Generator, within: Augmentation) -> bool:
    """Draw whether the views of an image are mirrored."""
    return bool(rng.random() < 0.5) and within.mirror


def augment_photometry(
    view: npt.NDArray[np.uint8], rng: np.random.Generator, within: Augmentation
) -> npt.NDArray[np.uint8]:
    """Change gamma and brightness of a view; uint8, same shape."""
    gamma = math.exp(rng.uniform(-within.gamma, within.gamma))
    factor = rng.uniform(1.0 - within.brightness, 1.0 + within.brightness)
    if gamma == 1.0 and factor == 1.0:
        return view
    table = np.linspace(0.0, 1.0, 256) ** gamma * (255.0 * factor)
    return np.asarray(np.rint(table.clip(0.0, 255.0)), dtype=np.uint8)[view]


def degrade_image(image: ImageArray, rng: np.random.Generator, jpeg: float) -> ImageArray:
    """Degrade an image as a poor device, an export or a narrow window would; uint8, same shape.

    Four changes are drawn independently: contrast (factor exp(+-0.5)) with brightness (+-0.25 of the scale), clipped at
    black and white; fewer pixels (0.3 to 0.9 of each side); noise (up to 0.1 of the scale); JPEG (with the chance
    `jpeg`, quality 5 to 50, as often below 16 as above). The result is stretched like a radiograph that is read.
    """
    picture = image
    if rng.random() < 0.5:
        gray = (image.astype(np.float32) - 127.5) * math.exp(rng.uniform(-0.5, 0.5)) + 127.5
        picture = _as_bytes(gray + 255.0 * rng.uniform(-0.25, 0.25))
    if rng.random() < 0.4:
        share = rng.uniform(0.3, 0.9)
        height, width = image.shape
        small = Image.fromarray(picture).resize(
            (max(8, round(width * share)), max(8, round(height * share))), Image.Resampling.BILINEAR
        )
        picture = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR), dtype=np.uint8)
    if rng.random() < 0.35:
        sd = 255.0 * rng.uniform(0.0, 0.1)
        picture = _as_bytes(picture + np.float32(sd) * rng.standard_normal(image.shape, dtype=np.float32))
    if rng.random() < jpeg:
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "JPEG", quality=round(5.0 * 10.0 ** rng.random()))
        picture = np.asarray(Image.open(stream), dtype=np.uint8)
    low, high = np.percentile(picture, WINDOW_PERCENTILES)
    return _as_bytes((picture.astype(np.float32) - low) * (255.0 / max(high - low, 1.0)))


def _as_bytes(gray: npt.NDArray[np.floating]) -> ImageArray:
    return np.asarray(np.rint(np.clip(gray, 0.0, 255.0)), dtype=np.uint8)
