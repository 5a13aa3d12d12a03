"""Gray values of a DICOM image in the order of the standard: modality LUT, then VOI LUT or window.

This module does what pydicom does not: pydicom's `apply_windowing` inverts an image with a negative rescale slope, and
its look-up tables assume inputs that are not deeper than outputs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from boneage.radiograph import WINDOW_PERCENTILES
from boneage.remarks import Remark

if TYPE_CHECKING:
    from pydicom import Dataset

BROKEN_VALUE: Final = (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, OverflowError, IndexError)

MANY_PIXELS: Final = 0.05
NEARLY_ALL: Final = 0.9
NARROW_WINDOW: Final = 0.2
DIFFERENT_VALUES: Final = 0.1
"""When a window hides the bones: see `_hides_image`. Shares of the pixels, and of the image's range."""

Values = npt.NDArray[Any]


def value(dataset: Dataset, keyword: str) -> Any:
    """One value of the header, or None where it is absent, empty or damaged."""
    try:
        found = dataset.get(keyword)
    except BROKEN_VALUE:
        return None
    return None if found is None or found == "" else found


def text(dataset: Dataset, keyword: str) -> str:
    """One value as upper-case text, "" where there is none."""
    found = value(dataset, keyword)
    return "" if found is None else str(found).strip("\0 \t\r\n").upper()


def decimal(written: object) -> float:
    """A number as written in a header; some systems write a decimal comma.

    Raises:
        ValueError, TypeError: not a number.
    """
    return float(written.replace(",", ".")) if isinstance(written, str) else float(written)  # type: ignore[arg-type]


def number(dataset: Dataset, keyword: str) -> float | None:
    """The (first) number of an element, or None where it is absent or not a finite number."""
    found = value(dataset, keyword)
    try:
        first = decimal(found if isinstance(found, str | int | float) else next(iter(found)))
    except (*BROKEN_VALUE, StopIteration):
        return None
    return first if math.isfinite(first) else None


def apply_modality_lut(stored: Values, dataset: Dataset) -> Values:
    """Stored values -> modality LUT or rescale, float32 (PS3.3 C.11.1)."""
    items = value(dataset, "ModalityLUTSequence")
    if items:
        return _apply_lut(stored, items[0], dataset)
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    values = stored.astype(np.float32)
    if slope is not None and slope != 0.0:
        values *= np.float32(slope)
    return values + np.float32(intercept or 0.0)


def apply_window(
    values: Values, dataset: Dataset, *, padding: Values | None, remarks: list[Remark], bones_dark: bool
) -> Values:
    """Apply the first VOI LUT, else the first window (PS3.3 C.11.2).

    One that is damaged, or that hides the bones, is left out with a remark.

    Args:
        values: float [height, width].
        dataset: the header.
        padding: bool [height, width], or None.
        remarks: a remark is appended here.
        bones_dark: bones have small values after the window.

    Returns:
        float [height, width].
    """
    try:
        shown = _apply_voi(values, dataset)
    except BROKEN_VALUE as error:
        remarks.append(
            Remark.of("window_damaged", f"The VOI LUT or window in the header is damaged and was left out ({error}).")
        )
        return values
    inside = slice(None) if padding is None else ~padding
    if shown is not values and _hides_image(values[inside], shown[inside], bones_dark=bones_dark):
        remarks.append(
            Remark.of(
                "window_hides_image",
                "The window in the header hides the bones or the whole image; the image was read without it.",
            )
        )
        return values
    return shown


def _hides_image(values: Values, shown: Values, *, bones_dark: bool) -> bool:
    """Whether a window leaves one gray value of the image, or of its bones.

    The bones are hidden where the window spans less than `NARROW_WINDOW` of the image's own range, and the pixels that
    it shows at the bones' end of the scale are many and differ much: a window for other bits than the image's, or one
    that is far too narrow. Likewise where it leaves nearly all pixels black although they span half of the range. A
    collimated border at that end is all alike and hides nothing.
    """
    step = max(1, math.isqrt(values.size // 250_000)) ** (3 - values.ndim)
    values, shown = (part[::step, ::step] if part.ndim == 2 else part[::step] for part in (values, shown))
    darkest, brightest = float(shown.min()), float(shown.max())
    low, high = (float(end) for end in np.percentile(values, WINDOW_PERCENTILES))
    if brightest == darkest:
        return bool(np.ptp(values) > 0)
    if high <= low:
        return False
    slack = 0.01 * (brightest - darkest)
    at_end = shown <= darkest + slack if bones_dark else shown >= brightest - slack
    between = values[(shown > darkest + slack) & (shown < brightest - slack)]
    span = float(np.ptp(between.clip(low, high))) if between.size else 0.0
    if span >= NARROW_WINDOW * (high - low):
        return False
    at_other_end = shown >= brightest - slack if bones_dark else shown <= darkest + slack
    if at_other_end.mean() > NEARLY_ALL:
        lower, upper = np.percentile(values[at_other_end].clip(low, high), (5, 95))
        return bool(upper - lower > 0.5 * (high - low))
    if at_end.mean() < MANY_PIXELS:
        return False
    lower, upper = np.percentile(values[at_end], (25, 75))
    return bool(upper - lower > DIFFERENT_VALUES * (high - low))


def _apply_voi(values: Values, dataset: Dataset) -> Values:
    items = value(dataset, "VOILUTSequence")
    if items:
        return _apply_lut(values, items[0], dataset)
    center, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    if center is None or width is None:
        if value(dataset, "WindowCenter") is not None and value(dataset, "WindowWidth") is not None:
            raise ValueError("a window that is not two numbers")
        return values
    function = text(dataset, "VOILUTFunction") or "LINEAR"
    if function == "SIGMOID":
        if width <= 0:
            raise ValueError(f"a window width of {width:g}")
        exponent = np.clip(-4.0 * (values - np.float32(center)) / np.float32(width), -60.0, 60.0)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)), dtype=np.float32)
    if function == "LINEAR":
        center, width = center - 0.5, width - 1.0
    elif function != "LINEAR_EXACT":
        raise ValueError(f"a VOI LUT function {function}")
    if width < 0 or (width == 0 and function == "LINEAR_EXACT"):
        raise ValueError("a window width that is too small")
    if width == 0:
        return np.asarray(values > center, dtype=np.float32)
    return np.asarray(np.clip((values - np.float32(center)) / np.float32(width) + np.float32(0.5), 0.0, 1.0))


def _apply_lut(values: Values, item: Dataset, dataset: Dataset) -> Values:
    """Apply a look-up table; values outside it get its first or last entry."""
    # pydicom may read a descriptor as signed or as unsigned: both fields are corrected here.
    entries, first = (int(part) for part in item.LUTDescriptor[:2])
    entries = entries % 2**16 or 2**16
    if first >= 2**15 and values.min() < 0:
        first -= 2**16
    data = item.LUTData
    if isinstance(data, bytes):
        _, little = dataset.original_encoding
        words = ">u2" if little is False else "<u2"
        table = np.frombuffer(data[: len(data) // 2 * 2], dtype=words if len(data) >= 2 * entries else np.uint8)
    else:
        table = np.asarray(data).reshape(-1)
    table = table[:entries].astype(np.float32)
    if table.size == 0:
        raise ValueError("a look-up table without entries")
    indices = np.clip(np.rint(values) - first, 0, table.size - 1).astype(np.intp)
    return np.asarray(table[indices])


def find_padding(stored: Values, dataset: Dataset) -> Values | None:
    """The pixels whose stored values lie between PixelPaddingValue and PixelPaddingRangeLimit.

    Returns:
        bool [height, width], or None where no pixel, or every one, is padding.
    """
    first = number(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = number(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((first, first if last is None else last))
    mask = (stored >= low) & (stored <= high)
    return mask if mask.any() and not mask.all() else None


def fill_padding(values: Values, padding: Values) -> Values:
    """Fill the padding with quantiles of the other pixels, so that they alone set the percentile window."""
    real = np.sort(values[~padding])
    filled = np.array(values, dtype=np.float32)
    filled[padding] = real[np.linspace(0, real.size - 1, int(padding.sum())).round().astype(np.intp)]
    return filled
