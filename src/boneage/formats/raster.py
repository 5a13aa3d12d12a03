"""PNG, JPEG, TIFF and WebP -> `Radiograph`; colour images that are not gray are refused."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, UnidentifiedImageError

from boneage.errors import UnreadableRadiograph, UnsuitableRadiograph
from boneage.formats.objections import Objections
from boneage.radiograph import PHANTOM_MARK, Radiograph
from boneage.remarks import Remark

if TYPE_CHECKING:
    import tifffile

PictureKind = Literal["PNG", "JPEG", "TIFF", "WEBP"]

LARGEST_PIXELS: Final = 100_000_000
"""Pixels; larger images are refused before they are decoded. A hand radiograph scanned at 600 dpi has 40 million."""

LARGEST_SAMPLES: Final = 160_000_000
"""Pixels times channels, likewise: it keeps the memory that one radiograph needs below 1 GB."""

MOST_PAGES: Final = 100
"""Pages of a TIFF among which the largest is sought."""

CHROMA_PERCENTILE: Final = 99.0
LARGEST_CHROMA: Final = 16 / 255
"""Largest difference of a pixel's channels, as a share of the full scale, at `CHROMA_PERCENTILE` of the pixels.

JPEG leaves a few steps of colour noise on a gray image. A coloured marker covers less than 1 % of it."""

_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_ORIENTATION: Final = 0x0112
_DAMAGED: Final = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError, ArithmeticError),
    *(AssertionError, SyntaxError, EOFError, OSError, RuntimeError, struct.error),
)
"""Errors that Pillow and tifffile raise about damaged or unusual files."""
_PLAIN_MODES: Final = frozenset({"1", "L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_FIRST_PAGE: Final = Remark.of("first_page", "The file holds several pages; the first was read.")
_LARGEST_PAGE: Final = Remark.of(
    "largest_page", "The file holds several pages, and the first is smaller (a thumbnail); the largest was read."
)
_TRANSPARENCY: Final = Remark.of("transparency", "Transparent pixels were taken for black.")

Values = npt.NDArray[Any]


def picture_kind(head: bytes) -> PictureKind | None:
    """The kind of the image file that begins with these bytes (12 are enough), or None."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return None


def read_picture(stream: BinaryIO, kind: PictureKind, file: str, *, refuse: bool = True) -> Radiograph:
    """Read a PNG, JPEG, TIFF or WebP: 8 or 16 bits or float; gray, palette, or colour with equal channels.

    Args:
        stream: open for reading, at its beginning, seekable.
        kind: from `picture_kind`.
        file: the path as given, for messages and for the radiograph.
        refuse: see `boneage.formats.read_radiograph`.

    Raises:
        UnreadableRadiograph, UnsuitableRadiograph: see `boneage.formats.read_radiograph`. Errors of the decoders pass
            through.
    """
    if kind == "TIFF":
        return _read_tiff(stream, file, refuse=refuse)
    return _read_with_pillow(stream, kind, file, Objections(refuse))


def refuse_huge(width: int, height: int, channels: int = 1) -> None:
    """Raise UnsuitableRadiograph (code `too_many_pixels`) for images beyond the limits; call it before decoding."""
    if LARGEST_PIXELS >= width * height > LARGEST_SAMPLES // channels:
        raise UnsuitableRadiograph(
            "too_many_pixels",
            f"the image has {width}x{height} pixels of {channels} channels, more than memory allows",
            "Save it in gray, or give the radiograph of one hand at its own resolution",
        )
    if width * height > LARGEST_PIXELS:
        raise UnsuitableRadiograph(
            "too_many_pixels",
            f"the image has {width}x{height} pixels, more than {LARGEST_PIXELS // 10**6} million",
            "Give the radiograph of one hand at its own resolution",
        )


def gray_from_colour(rgb: Values, objections: Objections | None = None, *, alpha: Values | None = None) -> Values:
    """The gray values of a colour image whose channels are nearly equal.

    Nearly equal: at the 99th percentile of the pixels the channels differ by at most 16/255 of the full scale. An even
    tint (a blue base, sepia) is refused like a photograph, because skin has one hue as well.

    Args:
        rgb: [height, width, 3], any real type. The full scale of integers is that of the bits in use.
        objections: what happens where the channels differ; None raises.
        alpha: [height, width, 1]; transparent pixels are blended with black.

    Returns:
        [height, width]: the first channel where all are equal, else luma (ITU-R BT.601), float32.

    Raises:
        UnsuitableRadiograph: the channels differ (code `color_image`).
    """
    # A regular sample of 4 million pixels is enough.
    step = max(1, math.isqrt(rgb.shape[0] * rgb.shape[1] // 4_000_000))
    sample = _blend_on_black(rgb[::step, ::step], None if alpha is None else alpha[::step, ::step]).astype(np.float32)
    if not np.isfinite(sample).all():
        return np.asarray(rgb[..., 0])  # `Radiograph.from_values` refuses them
    if rgb.dtype == np.uint8 and alpha is None:
        full = 255.0
    elif rgb.dtype.kind in "iu" and alpha is None:
        full = 2.0 ** math.ceil(math.log2(max(float(sample.max()), 1.0) + 1.0)) - 1.0
    else:
        full = float(sample.max())
    chroma = sample.max(axis=2) - sample.min(axis=2)
    if float(np.percentile(chroma, CHROMA_PERCENTILE)) > LARGEST_CHROMA * full:
        (objections or Objections()).add(
            "color_image",
            "the image is in colour, and a radiograph is gray",
            "Give the radiograph itself, not a photograph of it. Save a tinted scan in gray",
        )
    if np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2]):
        return _blend_on_black(rgb[..., 0], None if alpha is None else alpha[..., 0])
    # Band by band: the colours in float32 are several times as large as the image.
    luma = np.empty(rgb.shape[:2], dtype=np.float32)
    rows = max(1, 2**22 // max(1, rgb.shape[1]))
    for first in range(0, len(luma), rows):
        band = slice(first, first + rows)
        luma[band] = _blend_on_black(rgb[band], None if alpha is None else alpha[band]).astype(np.float32) @ _LUMA
    return luma


def _read_with_pillow(stream: BinaryIO, kind: PictureKind, file: str, objections: Objections) -> Radiograph:
    remarks: list[Remark] = []
    try:
        image: Image.Image = Image.open(stream, formats=[kind])
    except Image.DecompressionBombError as error:
        raise UnsuitableRadiograph(
            "too_many_pixels",
            f"the image has more than {LARGEST_PIXELS // 10**6} million pixels",
            "Give the radiograph of one hand at its own resolution",
        ) from error
    except UnidentifiedImageError as error:
        raise UnreadableRadiograph(
            "damaged_file", f"it begins as a {kind} file but is damaged or cut off", "Copy or export the file again"
        ) from error
    with image:
        pages = getattr(image, "n_frames", 1)
        if pages > 1:
            remarks.append(_seek_largest_page(image, pages) if kind == "TIFF" else _FIRST_PAGE)
        refuse_huge(*image.size, len(image.getbands()))
        deep_colour = kind == "PNG" and any("16" in str(tile.args) for tile in getattr(image, "tile", ()))
        image.load()
        if deep_colour and not image.mode.startswith("I"):
            remarks.append(
                Remark.of("read_with_8_bits", "A 16-bit picture with colour or alpha channels was read with 8 bits.")
            )
        phantom = _is_phantom(image)
        orientation: object = 1
        try:
            orientation = image.getexif().get(_ORIENTATION, 1)
        except _DAMAGED:  # the image itself can still be read
            remarks.append(Remark.of("exif_damaged", "The EXIF block is damaged: the picture may lie on its side."))
        # With white at zero, Pillow inverts images of 8 bits, and leaves deeper ones as they are.
        white_at_zero = kind == "TIFF" and image.mode[0] in "IF" and _tiff_photometric(image) == 0
        gray, is_transparent = _gray_from_pillow(image, objections)
        if is_transparent:
            remarks.append(_TRANSPARENCY)
    return Radiograph.from_values(
        _apply_orientation(gray, orientation),
        bones_dark=white_at_zero,
        file=file,
        source=kind,
        remarks=(*objections.remarks, *remarks),
        phantom=phantom,
    )


def _seek_largest_page(image: Image.Image, pages: int) -> Remark:
    sizes = []
    for page in range(min(pages, MOST_PAGES)):
        image.seek(page)
        sizes.append(image.width * image.height)
    largest = sizes.index(max(sizes))
    image.seek(largest)
    return _LARGEST_PAGE if largest else _FIRST_PAGE


def is_phantom_picture(stream: BinaryIO) -> bool:
    """Whether a PNG is marked as a phantom; reads only its header."""
    with Image.open(stream, formats=["PNG"]) as image:
        return _is_phantom(image)


def _is_phantom(image: Image.Image) -> bool:
    return image.format == "PNG" and image.info.get("Software") == PHANTOM_MARK


def _tiff_photometric(image: Image.Image) -> object:
    return getattr(image, "tag_v2", {}).get(262)


def _gray_from_pillow(image: Image.Image, objections: Objections) -> tuple[Values, bool]:
    """Gray values of a decoded image, and whether any of its pixels is transparent."""
    transparent = image.info.get("transparency")
    if image.mode in _PLAIN_MODES:
        values = np.asarray(image)
        if image.mode == "1":
            values = values.astype(np.uint8)
        elif image.mode.startswith("I;16") and image.mode != "I;16":
            values = values.astype(np.uint16)
        hidden = values == transparent if isinstance(transparent, int) else np.zeros(1, dtype=bool)
        return (np.where(hidden, 0, values), True) if hidden.any() else (values, False)
    if image.mode in ("LA", "La"):
        both = np.asarray(image.convert("LA"))
        alpha = _used_alpha(both[..., 1])
        return _blend_on_black(both[..., 0], alpha), alpha is not None
    if image.mode in ("RGBA", "RGBa", "PA") or transparent is not None:
        four = np.asarray(image if image.mode == "RGBA" and transparent is None else image.convert("RGBA"))
        alpha = _used_alpha(four[..., 3:])
        return gray_from_colour(four[..., :3], objections, alpha=alpha), alpha is not None
    if image.mode == "CMYK" and image.format == "JPEG":
        image = _cmyk_as_it_is_meant(image)
    return gray_from_colour(np.asarray(image if image.mode == "RGB" else image.convert("RGB")), objections), False


def _cmyk_as_it_is_meant(image: Image.Image) -> Image.Image:
    """Undo Pillow's inversion of a CMYK JPEG where the file's inks are not inverted.

    Adobe's programs store inverted inks and mark the file (APP14); others do neither, and some only mark it. Inks in
    the wrong sense leave black alone.
    """
    adobe = "adobe" in image.info
    shown = image if adobe else ImageChops.invert(image)
    lowest, highest = shown.convert("L").getextrema()
    return ImageChops.invert(shown) if lowest == highest else shown


def _used_alpha(alpha: Values) -> Values | None:
    """The alpha channel as float32 in [0, 1], or None where every pixel is opaque."""
    opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1
    return alpha.astype(np.float32) / np.float32(opaque) if alpha.min() < opaque else None


def _blend_on_black(values: Values, alpha: Values | None) -> Values:
    return np.asarray(values if alpha is None else values.astype(np.float32) * alpha)


def _apply_orientation(values: Values, orientation: object) -> Values:
    """Rotate and flip [height, width] by the EXIF orientation (1..8); other values count as 1."""
    number = int(orientation) if isinstance(orientation, int) else 1
    if number in (5, 6, 7, 8):
        values = values.T
    # 5 is transposed; 6 is then flipped left-right, 8 upside down, 7 both.
    if number in (2, 3, 6, 7):
        values = values[:, ::-1]
    if number in (3, 4, 7, 8):
        values = values[::-1]
    return values


def _read_tiff(stream: BinaryIO, file: str, *, refuse: bool) -> Radiograph:
    """tifffile keeps every sample type; Pillow (libtiff) decodes what tifffile does not (LZW, JPEG, CMYK)."""
    try:
        return _read_with_tifffile(stream, file, Objections(refuse))
    except _DAMAGED:
        stream.seek(0)
        return _read_with_pillow(stream, "TIFF", file, Objections(refuse))


def _read_with_tifffile(stream: BinaryIO, file: str, objections: Objections) -> Radiograph:
    import tifffile

    logger = logging.getLogger("tifffile")
    if not logger.handlers:
        # Without a handler, Python would print the log messages of tifffile about damaged files.
        logger.addHandler(logging.NullHandler())
    with tifffile.TiffFile(stream) as tiff:
        page, found = _largest_page(tiff)
        refuse_huge(page.imagewidth, page.imagelength, page.samplesperpixel)
        refuse_huge(page.tilewidth, page.tilelength, page.samplesperpixel)
        if page.photometric not in (0, 1, 2, 3) or page.imagedepth != 1:
            raise NotImplementedError(f"photometric interpretation {page.photometric}")
        gray, is_transparent = _gray_from_samples(np.asarray(page.asarray()), page, objections)
        remarks = (*objections.remarks, *found, *(_TRANSPARENCY,) * is_transparent)
        tag = page.tags.get(_ORIENTATION)
    return Radiograph.from_values(
        _apply_orientation(gray, 1 if tag is None else tag.value),
        bones_dark=page.photometric == 0,
        file=file,
        source="TIFF",
        remarks=remarks,
    )


def _largest_page(tiff: tifffile.TiffFile) -> tuple[tifffile.TiffPage, tuple[Remark, ...]]:
    """The page with most pixels, with those below the first (as cameras and scanners write), and a remark."""
    import tifffile

    first = tiff.pages.first
    pages = [first]
    with contextlib.suppress(*_DAMAGED):
        for page in itertools.islice(tiff.pages, 1, MOST_PAGES):
            if isinstance(page, tifffile.TiffPage):
                pages.append(page)
        pages.extend(
            page for page in itertools.islice(first.pages or (), MOST_PAGES) if isinstance(page, tifffile.TiffPage)
        )
    # Bit 2 of NewSubfileType marks a transparency mask.
    whole = [page for page in pages if page is first or not page.subfiletype & 4]
    largest = max(whole, key=lambda page: page.imagewidth * page.imagelength)
    if largest is not first:
        return largest, (_LARGEST_PAGE,)
    return first, (_FIRST_PAGE,) * (len(pages) > 1)


def _gray_from_samples(values: Values, page: tifffile.TiffPage, objections: Objections) -> tuple[Values, bool]:
    """Gray values of a TIFF page as stored; a page with white at zero is inverted later."""
    if page.photometric == 3:
        return gray_from_colour(np.moveaxis(np.asarray(page.colormap)[:, values], 0, -1), objections), False
    if values.dtype.kind not in "biuf":
        raise UnsuitableRadiograph(
            "not_gray_values", "the pixels are not real numbers", "Export the radiograph again as a gray image"
        )
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    if page.axes.startswith("S"):
        values = np.moveaxis(values, 0, -1)
    if values.ndim == 2:
        return values, False
    colours = 3 if page.photometric == 2 else 1
    if values.ndim != 3 or values.shape[2] < colours:
        raise UnsuitableRadiograph("wrong_shape", f"the pixels have the shape {values.shape}", "Give one gray image")
    alpha: Values | None = None
    # 2 is unassociated alpha. With 1 the colours are blended with black already. Other samples are not alpha.
    if page.photometric != 0 and 2 in page.extrasamples:
        alpha = _used_alpha(values[..., colours + tuple(page.extrasamples).index(2), None])
    if colours == 3:
        return gray_from_colour(values[..., :3], objections, alpha=alpha), alpha is not None
    return _blend_on_black(values[..., 0], None if alpha is None else alpha[..., 0]), alpha is not None
