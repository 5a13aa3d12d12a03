"""The palette of all pages, plots and pictures, and pictures of an assessment as arrays; no plotting library."""

from __future__ import annotations

import io
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from boneage.ages import Sex
from boneage.assessment import Assessment, Attention
from boneage.radiograph import Radiograph
from boneage.regions import MAP_SIDE, Region
from boneage.views import View

TITLES: Final = {
    Region.HAND: "Hand",
    Region.REGION_1: "Region 1 (carpal bones)",
    Region.REGION_2: "Region 2 (metacarpal bones)",
}
COLOURS: Final = {Region.HAND: "#4cc2ff", Region.REGION_1: "#ffb000", Region.REGION_2: "#8fe388"}
"""Of region boxes on a dark radiograph; distinct for people who cannot tell red from green."""
SEX_COLOURS: Final = {Sex.FEMALE: "#d55e00", Sex.MALE: "#0072b2"}
"""Of everything drawn by sex on white; distinct for people who cannot tell red from green."""

VIEW_TITLES: Final = {
    View.O: "O: whole radiograph",
    View.H: "H: hand",
    View.R1: "R1: carpal bones",
    View.R2: "R2: metacarpal bones",
    View.E: "E: whole radiograph without region 1",
    View.HE: "HE: hand without region 1",
    View.R2E: "R2E: metacarpal bones without region 1",
}

_HEAT: Final = np.array([[48, 18, 120], [140, 41, 129], [222, 73, 104], [254, 159, 80], [252, 253, 191]], np.float32)

RgbArray = npt.NDArray[np.uint8]


def radiograph_picture(radiograph: Radiograph, longest: int | None = None) -> npt.NDArray[np.uint8]:
    """The radiograph as a picture, uint8 [h, w], reduced if its longer side exceeds `longest` pixels."""
    image = Image.fromarray(np.asarray(np.rint(radiograph.pixels * 255), dtype=np.uint8))
    scale = min(1.0, longest / max(image.size)) if longest else 1.0
    if scale < 1.0:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(image, dtype=np.uint8)


def attention_on(attention: Attention, radiograph: Radiograph, width: int, height: int) -> npt.NDArray[np.float32]:
    """The attention map in the frame of the radiograph: float32 [height, width] in [0, 1], 0 outside the map's box.

    Args:
        attention: map and box; the box in pixels of the radiograph.
        radiograph: what the box refers to.
        width, height: size of the result in pixels.
    """
    image = Image.fromarray(np.ascontiguousarray(np.pad(attention.map, 1, mode="edge")))
    cells = attention.map.shape[0]
    enlarged = image.resize((MAP_SIDE, MAP_SIDE), Image.Resampling.BILINEAR)
    # Pixels of the enlarged, padded map for a step of one picture pixel.
    scale = MAP_SIDE / (cells + 2)
    step_x = radiograph.width / width / attention.box.width * cells * scale
    step_y = radiograph.height / height / attention.box.height * cells * scale
    left = scale * (1 - attention.box.x0 / attention.box.width * cells)
    top = scale * (1 - attention.box.y0 / attention.box.height * cells)
    placed = enlarged.transform(
        (width, height), Image.Transform.AFFINE, (step_x, 0.0, left, 0.0, step_y, top), Image.Resampling.BILINEAR
    )
    values = np.array(placed, dtype=np.float32)
    x = (np.arange(width) + 0.5) * radiograph.width / width
    y = (np.arange(height) + 0.5) * radiograph.height / height
    values[(y < attention.box.y0) | (y > attention.box.y1)] = 0.0
    values[:, (x < attention.box.x0) | (x > attention.box.x1)] = 0.0
    return np.clip(values, 0.0, 1.0)


def overlay(image: npt.NDArray[np.uint8], attention: npt.NDArray[np.float32]) -> RgbArray:
    """A heat map over an image, uint8 [h, w, 3]: the higher the value, the warmer and denser; 0 leaves the pixel as is.

    Args:
        image: uint8 [h, w].
        attention: float32 [h, w] in [0, 1].
    """
    at = attention[..., None] * (len(_HEAT) - 1)
    low = np.clip(at[..., 0].astype(np.int64), 0, len(_HEAT) - 2)
    share = at - low[..., None]
    colour = _HEAT[low] * (1 - share) + _HEAT[low + 1] * share
    density = 0.7 * attention[..., None] ** 0.8
    mixed = image[..., None].astype(np.float32) * (1 - density) + colour * density
    return np.asarray(np.rint(np.clip(mixed, 0, 255)), dtype=np.uint8)


def attention_picture(assessment: Assessment, region: Region, longest: int | None = None) -> RgbArray:
    """The radiograph with one region's attention map over it, uint8 [h, w, 3], the longer side at most `longest`."""
    image = radiograph_picture(assessment.radiograph, longest)
    height, width = image.shape
    return overlay(image, attention_on(assessment.attention[region], assessment.radiograph, width=width, height=height))


def encode(pixels: npt.NDArray[np.uint8], kind: Literal["PNG", "JPEG"]) -> bytes:
    """An array uint8 [h, w] or [h, w, 3] as the bytes of an image file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **({"quality": 88} if kind == "JPEG" else {"optimize": True}))
    return stream.getvalue()
