"""A radiograph in its canonical form, and the image that the networks see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from boneage.ages import Sex
from boneage.errors import UnsuitableRadiograph
from boneage.remarks import Remark

Laterality = Literal["left", "right"]

WINDOW_PERCENTILES: Final = (0.5, 99.5)
PHANTOM_MARK: Final = "boneage phantom"
"""Marks the file of a phantom: PNG's text `Software`, DICOM's SoftwareVersions."""

SMALLEST_SIDE: Final = 64
"""Pixels; an image with a shorter side shows no ossification centre."""


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One radiograph with bright bones, as a viewer shows it (EXIF rotation applied).

    Attributes:
        pixels: float32 [height, width] in [0, 1], bones bright, windowed by `WINDOW_PERCENTILES`.
        file: the path as given, or None for an array.
        sex: from the header, where there is one.
        laterality: which hand, from the header.
        spacing_mm: (row, column) spacing in millimetres, from the header.
        source: kind of the file, for people ("PNG", "DICOM CR", "array", ...).
        remarks: about reading the file.
        phantom: the file is marked as a phantom (`PHANTOM_MARK`).
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
            bones_dark: bones have small values (MONOCHROME1); they are inverted.
            file, sex, laterality, spacing_mm, source, remarks, phantom: see the class.

        Raises:
            UnsuitableRadiograph: the values are not two-dimensional (code `wrong_shape`), the image is too small
                (`too_small`), a value is NaN or infinity (`non_finite_values`), or all values are equal
                (`uniform_image`).
        """
        if values.ndim != 2:
            raise UnsuitableRadiograph(
                "wrong_shape",
                f"the pixels have the shape {values.shape}, not height x width",
                "Give one gray image",
                file,
            )
        if min(values.shape) < SMALLEST_SIDE:
            raise UnsuitableRadiograph(
                "too_small",
                f"the image has {values.shape[1]}x{values.shape[0]} pixels, too few to show a bone",
                f"Give the radiograph at {SMALLEST_SIDE} pixels or more a side, 300 or more for a good answer",
                file,
            )
        # Small integers are partitioned as they are: faster, and without a copy in float32.
        small = values.dtype.kind in "iu" and values.dtype.itemsize <= 2
        given: npt.NDArray[Any] = values if small else np.asarray(values, dtype=np.float32)
        if not small and not np.isfinite(given).all():
            raise UnsuitableRadiograph(
                "non_finite_values",
                "the pixels hold non-finite values (NaN or infinity)",
                "Export the radiograph again",
                file,
            )
        low, high = (np.float32(end) for end in np.percentile(given, WINDOW_PERCENTILES))
        gray = np.asarray(given, dtype=np.float32)
        if high <= low:
            # A small bright hand on a black background can cover less than the window's percentile.
            low, high = gray.min(), gray.max()
        if high <= low:
            raise UnsuitableRadiograph(
                "uniform_image",
                f"the whole image has one gray value ({low:g})",
                "Export the radiograph again",
                file,
            )
        # In place where the values are a copy: a large radiograph takes its size once.
        gray = np.subtract(gray, low, out=None if np.may_share_memory(gray, values) else gray)
        np.divide(gray, high - low, out=gray)
        np.clip(gray, 0.0, 1.0, out=gray)
        if bones_dark:
            np.subtract(np.float32(1.0), gray, out=gray)
        return cls(
            pixels=np.ascontiguousarray(gray),
            file=file,
            sex=sex,
            laterality=laterality,
            spacing_mm=spacing_mm,
            source=source,
            remarks=remarks,
            phantom=phantom,
        )

    def image(self, short_side: int | None = None) -> npt.NDArray[np.uint8]:
        """The image that the networks see: 8 bits, reduced (never enlarged) to a short side.

        Training (through the cache) and assessment both call this method, so they cannot differ.

        Args:
            short_side: pixels of the shorter side, or None for the radiograph's own resolution.

        Returns:
            uint8 [h, w], 255 the brightest. A point (x, y) of the radiograph lies at (x * w / width, y * h / height)
            of the image; x and y are measured at pixel edges.
        """
        image = Image.fromarray(self.pixels)
        shortest = min(self.height, self.width)
        if short_side is not None and shortest > short_side:
            scale = short_side / shortest
            size = (max(1, round(self.width * scale)), max(1, round(self.height * scale)))
            image = image.resize(size, Image.Resampling.BILINEAR)
        values = np.asarray(image, dtype=np.float32)
        return np.asarray(np.rint(np.clip(values, 0.0, 1.0) * 255.0), dtype=np.uint8)
