"""DICOM (CR, DX and similar) -> `Radiograph`.

The order of the gray values is the standard's (PS3.3 C.7.6.3, C.11.1, C.11.2): stored values -> modality LUT or
rescale -> VOI LUT or window -> inversion of MONOCHROME1. pydicom is imported when the first DICOM is read.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO, Final

from boneage.ages import Sex, parse_sex
from boneage.errors import UnreadableRadiograph, UnsuitableRadiograph, UsageError
from boneage.formats.body_parts import is_other_part
from boneage.formats.dicom_pixels import EXPORT_AGAIN, read_stored_values
from boneage.formats.dicom_values import (
    BROKEN_VALUE,
    Values,
    apply_modality_lut,
    apply_window,
    decimal,
    fill_padding,
    find_padding,
    number,
    text,
    value,
)
from boneage.formats.objections import Objections
from boneage.formats.raster import gray_from_colour, refuse_huge
from boneage.radiograph import PHANTOM_MARK, Laterality, Radiograph
from boneage.remarks import Remark

if TYPE_CHECKING:
    from pydicom import Dataset

MAGIC: Final = b"DICM"
MAGIC_OFFSET: Final = 128

LARGEST_INFLATED: Final = 2**30
"""Bytes; a deflated DICOM that grows beyond them is refused."""

PLANE_RADIOGRAPHY: Final = frozenset({"", "CR", "DX", "DR", "XR", "RG", "RF", "XA", "DF", "SC", "OT", "HC"})
"""Modalities of plane radiographs (SC, OT: converted from another system; DR, XR: not DICOM's words, but in use)."""

_SIDES: Final[Mapping[str, Laterality]] = {"L": "left", "LEFT": "left", "R": "right", "RIGHT": "right"}
_SIDE: Final = re.compile(r"(L|R|LEFT|RIGHT)[ _-]?(?:HAND|WRIST)\b")


def looks_like_dicom(head: bytes) -> bool:
    """Whether a file without the magic word begins with a DICOM element of group 2 or 8, as old exports do."""
    if len(head) < 8 or head[:2] not in (b"\x02\x00", b"\x08\x00") or head[3] != 0:
        return False
    return head[4:6].isalpha() or int.from_bytes(head[4:8], "little") < 1024


def read_dicom(stream: BinaryIO, file: str, *, refuse: bool = True) -> Radiograph:
    """Read the (first) image of a DICOM file.

    Sex comes from PatientSex, laterality from ImageLaterality, Laterality or BodyPartExamined, spacing from
    PixelSpacing or ImagerPixelSpacing or NominalScannedPixelSpacing.

    Args:
        stream: open for reading, at its beginning, seekable.
        file: the path as given, for messages and for the radiograph.
        refuse: see `boneage.formats.read_radiograph`.

    Raises:
        UnreadableRadiograph: no pixels, too few or damaged pixels, or a transfer syntax that cannot be decoded.
        UnsuitableRadiograph: another modality or body part, a colour image, or a too large one. Errors of pydicom pass
            through.
    """
    import pydicom

    objections = Objections(refuse)
    _refuse_inflation(stream)
    # Before the pixels are read, so that a huge or unsuitable image costs no memory.
    _object_to_header(pydicom.dcmread(stream, force=True, stop_before_pixels=True), objections)
    stream.seek(0)
    dataset = pydicom.dcmread(stream, force=True)
    if not any(dataset.get(keyword) for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise UnreadableRadiograph("no_pixels", _without_pixels(dataset), f"{EXPORT_AGAIN}, with its pixels")
    remarks: list[Remark] = [*objections.remarks]
    if text(dataset, "PresentationIntentType") == "FOR PROCESSING":
        remarks.append(Remark.of("raw_image", "The image is raw (FOR PROCESSING): a viewer shows other gray values."))
    stored = read_stored_values(dataset, remarks)
    padding: Values | None = None
    if stored.ndim == 3 or text(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        kept = len(objections.remarks)
        values = _gray_from_colour_image(stored, dataset, objections)
        remarks.extend(objections.remarks[kept:])
    else:
        padding = find_padding(stored, dataset)
        values = apply_window(
            apply_modality_lut(stored, dataset),
            dataset,
            padding=padding,
            remarks=remarks,
            bones_dark=_bones_dark(dataset),
        )
    spacing = _spacing_mm(dataset)
    if spacing is not None and not 0.99 < spacing[0] / spacing[1] < 1.01:
        remarks.append(
            Remark.of("pixels_not_square", f"The pixels are not square ({spacing[0]:g} x {spacing[1]:g} mm).")
        )
    modality = text(dataset, "Modality")
    sex, laterality = _sex(dataset, remarks), _laterality(dataset, remarks)
    radiograph = Radiograph.from_values(
        values if padding is None else fill_padding(values, padding),
        bones_dark=_bones_dark(dataset),
        file=file,
        sex=sex,
        laterality=laterality,
        spacing_mm=spacing,
        source=f"DICOM {modality}".strip(),
        remarks=tuple(remarks),
        phantom=_is_phantom(dataset),
    )
    if padding is not None:
        radiograph.pixels[padding] = 0.0
    return radiograph


def is_phantom_dicom(stream: BinaryIO) -> bool:
    """Whether a DICOM is marked as a phantom; its pixels are not read."""
    import pydicom

    return _is_phantom(pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=["SoftwareVersions"]))


def _is_phantom(header: Dataset) -> bool:
    versions = value(header, "SoftwareVersions")
    return PHANTOM_MARK in ([versions] if isinstance(versions, str) else list(versions or ()))


def _refuse_inflation(stream: BinaryIO) -> None:
    """Refuse a small deflated DICOM that would fill the memory: pydicom inflates the whole file at once."""
    from pydicom.filereader import _read_file_meta_info, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    read_preamble(stream, force=True)
    meta = _read_file_meta_info(stream)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        inflated = 0
        piece = stream.read(2**16)
        while piece:
            inflated += len(inflater.decompress(piece, 2**20))
            if inflated > LARGEST_INFLATED:
                raise UnsuitableRadiograph(
                    "too_large",
                    f"the deflated DICOM grows beyond {LARGEST_INFLATED >> 20} MB",
                    "Give the radiograph of one hand",
                )
            piece = inflater.unconsumed_tail or stream.read(2**16)
    stream.seek(0)


def _object_to_header(header: Dataset, objections: Objections) -> None:
    modality = text(header, "Modality")
    if modality not in PLANE_RADIOGRAPHY:
        objections.add(
            "other_modality", f"the DICOM is of modality {modality}, not a radiograph", "Give a CR or DX image"
        )
    part = value(header, "BodyPartExamined") or _anatomic_region(header)
    if part is not None and is_other_part(str(part)):
        objections.add(
            "other_body_part",
            f"the DICOM shows another body part ({str(part).strip()[:64]})",
            "Give the radiograph of a hand, or correct BodyPartExamined in its header",
        )
    rows, columns = value(header, "Rows"), value(header, "Columns")
    if isinstance(rows, int) and isinstance(columns, int):
        refuse_huge(columns, rows, int(number(header, "SamplesPerPixel") or 1))


def _without_pixels(dataset: Dataset) -> str:
    if value(dataset, "Rows"):
        return "the DICOM holds no pixels although its header describes them: they were cut off or removed"
    kind = getattr(value(dataset, "SOPClassUID"), "name", "")
    return f"the DICOM holds no pixels{f' (it is a {kind})' if kind else ''}"


def _anatomic_region(header: Dataset) -> str | None:
    items = value(header, "AnatomicRegionSequence")
    return text(items[0], "CodeMeaning") or None if items else None


def _gray_from_colour_image(stored: Values, dataset: Dataset, objections: Objections) -> Values:
    from pydicom.pixels.processing import apply_color_lut

    rgb = apply_color_lut(stored, dataset) if stored.ndim == 2 else stored
    return gray_from_colour(rgb[..., :3], objections)


def _bones_dark(dataset: Dataset) -> bool:
    # DICOM requires INVERSE together with MONOCHROME1: they mean one inversion, not two.
    return (
        text(dataset, "PhotometricInterpretation") == "MONOCHROME1"
        or text(dataset, "PresentationLUTShape") == "INVERSE"
    )


def _sex(dataset: Dataset, remarks: list[Remark]) -> Sex | None:
    word = text(dataset, "PatientSex")
    try:
        return parse_sex(word)
    except UsageError:
        remarks.append(
            Remark.of("unknown_sex_word", f"PatientSex in the header ('{word[:16]}') is not understood: sex unknown.")
        )
        return None


def _laterality(dataset: Dataset, remarks: list[Remark]) -> Laterality | None:
    """The first that names a side of ImageLaterality, Laterality and BodyPartExamined (LHAND, RIGHT HAND)."""
    words = [text(dataset, keyword) for keyword in ("ImageLaterality", "Laterality")]
    if part := _SIDE.match(text(dataset, "BodyPartExamined")):
        words.append(part[1])
    sides = [_SIDES[word] for word in words if word in _SIDES]
    if len(set(sides)) > 1:
        remarks.append(
            Remark.of("laterality_contradicts", f"The header names both hands; {sides[0]} was taken from its image.")
        )
    return sides[0] if sides else None


def _spacing_mm(dataset: Dataset) -> tuple[float, float] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        try:
            row, column = (decimal(side) for side in value(dataset, keyword))
        except BROKEN_VALUE:
            continue
        if 0.0 < row < math.inf and 0.0 < column < math.inf:
            return row, column
    return None
