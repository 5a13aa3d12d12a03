"""A radiograph in its canonical form, and the film that networks look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from boneage.ages import Sex
from boneage.errors import UnsuitableRadiograph
from boneage.remarks import Remark

Laterality = Literal["left", "right"]

WINDOW_PERCENTILES: Final = (0.5, 99.5)
PHANTOM_MARK: Final = "boneage phantom"
"""What every file of a phantom says of itself: PNG's text `Software`, DICOM's SoftwareVersions."""

SMALLEST_SIDE: Final = 64
"""Pixels; a picture with a shorter side shows no ossification centre."""


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One radiograph, bones bright, as a person would look at it (EXIF rotation applied).

    Attributes:
        pixels: float32 [height, width] in [0, 1], bones bright, windowed by `WINDOW_PERCENTILES`.
        file: the path as given, or None for an array.
        sex: from the header, where there is one.
        laterality: which hand, from the header.
        spacing_mm: (row, column) spacing in millimetres, from the header.
        source: what it was read from, for people ("PNG", "DICOM CR", "array", ...).
        remarks: what a reader should know about how it was read.
        phantom: the file says that it is synthetic (`PHANTOM_MARK`): a phantom, not a radiograph.
    """

    pixels: npt.NDArray[np.float32]
    file: str | None = None
    sex: Sex | None = None
    laterality: Laterality | None = None
    spacing_mm: tuple[float, float] | None = None
    source: str = "array"
    remarks: tuple[Remark, ...] = field(default=())
    phantom: bool = False

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @classmethod
    def from_values(
        cls,
        values: npt.NDArray[np.generic],
        *,
        bones_dark: bool = False,
        file: str | None = None,
        sex: Sex | None = None,
        laterality: Laterality | None = None,
        spacing_mm: tuple[float, float] | None = None,
        source: str = "array",
        remarks: tuple[Remark, ...] = (),
        phantom: bool = False,
    ) -> Radiograph:
        """Bring gray values of any range and type into the canonical form.

        Args:
            values: [height, width], any real type, any range.
            bones_dark: the values fall where the bone absorbs more (MONOCHROME1); they are turned round.

        Raises:
            UnsuitableRadiograph: not a gray picture, too small, not finite, or of one gray value throughout.
        """
        if values.ndim != 2:
            raise UnsuitableRadiograph(
                "wrong_shape",
                f"the pixels have the shape {values.shape}, not height x width",
                "Give one gray picture",
                file,
            )
        if min(values.shape) < SMALLEST_SIDE:
            raise UnsuitableRadiograph(
                "too_small",
                f"the picture is {values.shape[1]}x{values.shape[0]} pixels, too small to show a bone",
                f"Give the film at {SMALLEST_SIDE} pixels or more a side, 300 or more for a good answer",
                file,
            )
        gray = np.asarray(values, dtype=np.float32)
        if not np.isfinite(gray).all():
            raise UnsuitableRadiograph(
                "non_finite_values",
                "the pixels hold non-finite values (NaN or infinity)",
                "Export the radiograph again",
                file,
            )
        low, high = np.percentile(gray, WINDOW_PERCENTILES)
        if high <= low:
            # A small bright hand on a black ground can fill less than the window's percentile.
            low, high = float(gray.min()), float(gray.max())
        if high <= low:
            raise UnsuitableRadiograph(
                "uniform_image",
                f"the whole picture has one gray value ({low:g}): there is nothing to see",
                "Export the film again",
                file,
            )
        gray = np.clip((gray - np.float32(low)) / np.float32(high - low), 0.0, 1.0, dtype=np.float32)
        if bones_dark:
            gray = np.float32(1.0) - gray
        return cls(np.ascontiguousarray(gray), file, sex, laterality, spacing_mm, source, remarks, phantom)

    def image(self, short_side: int | None = None) -> npt.NDArray[np.uint8]:
        """The film that the networks look at: 8 bits, shrunk (never enlarged) to a short side.

        Training (through the cache) and assessing both call this, so that they cannot differ.

        Args:
            short_side: pixels of the shorter side, or None for the radiograph's own resolution.

        Returns:
            uint8 [h, w], 255 the brightest. A place (x, y) of the radiograph lies at
            (x * w / width, y * h / height) of the film; x and y are measured at pixel edges.
        """
        image = Image.fromarray(self.pixels)
        shortest = min(self.height, self.width)
        if short_side is not None and shortest > short_side:
            scale = short_side / shortest
            size = (max(1, round(self.width * scale)), max(1, round(self.height * scale)))
            image = image.resize(size, Image.Resampling.BILINEAR)
        values = np.asarray(image, dtype=np.float32)
        return np.asarray(np.rint(np.clip(values, 0.0, 1.0) * 255.0), dtype=np.uint8)
