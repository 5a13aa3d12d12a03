"""DICOM (CR, DX and similar) -> `Radiograph`.

The order of the gray values is the standard's (PS3.3 C.7.6.3, C.11.1, C.11.2): stored values -> modality LUT or
rescale -> VOI LUT or window -> inversion of MONOCHROME1. pydicom is imported when the first DICOM is read.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

from boneage.ages import Sex
from boneage.errors import UnreadableRadiograph, UnsuitableRadiograph
from boneage.formats.body_parts import is_hand
from boneage.formats.dicom_values import (
    BROKEN_VALUE,
    Values,
    apply_modality_lut,
    apply_window,
    fill_padding,
    find_padding,
    number,
    text,
    value,
)
from boneage.formats.raster import gray_from_colour, refuse_huge
from boneage.radiograph import PHANTOM_MARK, Laterality, Radiograph
from boneage.remarks import Remark

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

MAGIC: Final = b"DICM"
MAGIC_OFFSET: Final = 128

LARGEST_INFLATED: Final = 2**30
"""Bytes; a deflated DICOM that grows beyond them is refused."""

PLANE_RADIOGRAPHY: Final = frozenset({"", "CR", "DX", "RG", "RF", "XA", "DF", "SC", "OT", "HC"})
"""Modalities of plane radiographs (SC, OT: converted from another system)."""

_EXPORT_AGAIN: Final = "Export the image again from the archive"


def looks_like_dicom(head: bytes) -> bool:
    """Whether a file without the magic word begins with a DICOM element of group 2 or 8, as old exports do."""
    if len(head) < 8 or head[:2] not in (b"\x02\x00", b"\x08\x00") or head[3] != 0:
        return False
    return head[4:6].isalpha() or int.from_bytes(head[4:8], "little") < 1024


def read_dicom(stream: BinaryIO, file: str) -> Radiograph:
    """Read the (first) image of a DICOM file.

    Sex comes from PatientSex, laterality from ImageLaterality or Laterality, spacing from PixelSpacing or
    ImagerPixelSpacing or NominalScannedPixelSpacing.

    Args:
        stream: open for reading, at its beginning, seekable.
        file: the path as given, for messages and for the radiograph.

    Raises:
        UnreadableRadiograph: no pixels, damaged pixels, or a transfer syntax that cannot be decoded.
        UnsuitableRadiograph: another modality or body part, a colour image, or a too large one. Errors of pydicom pass
            through.
    """
    import pydicom
    from pydicom.pixels.utils import pixel_array

    _refuse_inflation(stream)
    # Before the pixels are read, so that a huge or unsuitable image costs no memory.
    _refuse_unsuitable(pydicom.dcmread(stream, force=True, stop_before_pixels=True))
    stream.seek(0)
    dataset = pydicom.dcmread(stream, force=True)
    if not any(dataset.get(keyword) for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise UnreadableRadiograph("no_pixels", _without_pixels(dataset), f"{_EXPORT_AGAIN}, with its pixels")
    _complete_meta(dataset)
    _check_coded_size(dataset)
    remarks: list[Remark] = []
    if int(number(dataset, "NumberOfFrames") or 1) > 1:
        remarks.append(Remark.of("first_frame", "The file holds several frames; the first was read."))
    if text(dataset, "PresentationIntentType") == "FOR PROCESSING":
        remarks.append(Remark.of("raw_image", "The image is raw (FOR PROCESSING): a viewer shows other gray values."))
    _refuse_undecodable(dataset.file_meta.TransferSyntaxUID)
    try:
        stored = np.asarray(pixel_array(dataset, index=0))
    except Exception as error:
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise UnreadableRadiograph(
            "damaged_file",
            f"its pixels are damaged and cannot be decoded ({syntax}: {' '.join(str(error).split())[:160]})",
            f"{_EXPORT_AGAIN}, uncompressed if it fails again",
        ) from error

    padding: Values | None = None
    if stored.ndim == 3 or text(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        values = _gray_from_colour_image(stored, dataset)
    else:
        padding = find_padding(stored, dataset)
        values = apply_window(apply_modality_lut(stored, dataset), dataset, padding=padding, remarks=remarks)
    spacing = _spacing_mm(dataset)
    if spacing is not None and not 0.99 < spacing[0] / spacing[1] < 1.01:
        remarks.append(
            Remark.of("pixels_not_square", f"The pixels are not square ({spacing[0]:g} x {spacing[1]:g} mm).")
        )
    modality = text(dataset, "Modality")
    radiograph = Radiograph.from_values(
        values if padding is None else fill_padding(values, padding),
        bones_dark=_bones_dark(dataset),
        file=file,
        sex={"M": Sex.MALE, "F": Sex.FEMALE}.get(text(dataset, "PatientSex")),
        laterality=_laterality(dataset),
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


def _refuse_unsuitable(header: Dataset) -> None:
    modality = text(header, "Modality")
    if modality not in PLANE_RADIOGRAPHY:
        raise UnsuitableRadiograph(
            "other_modality", f"the DICOM is of modality {modality}, not a radiograph", "Give a CR or DX image"
        )
    part = value(header, "BodyPartExamined") or _anatomic_region(header)
    if part is not None and not is_hand(str(part)):
        raise UnsuitableRadiograph(
            "other_body_part",
            f"the DICOM shows another body part ({str(part).strip()[:64]})",
            "Give the radiograph of a hand, or correct BodyPartExamined in its header",
        )
    rows, columns = value(header, "Rows"), value(header, "Columns")
    if isinstance(rows, int) and isinstance(columns, int):
        refuse_huge(columns, rows)


def _without_pixels(dataset: Dataset) -> str:
    if value(dataset, "Rows"):
        return "the DICOM holds no pixels although its header describes them: they were cut off or removed"
    kind = getattr(value(dataset, "SOPClassUID"), "name", "")
    return f"the DICOM holds no pixels{f' (it is a {kind})' if kind else ''}"


def _anatomic_region(header: Dataset) -> str | None:
    items = value(header, "AnatomicRegionSequence")
    return text(items[0], "CodeMeaning") or None if items else None


def _complete_meta(dataset: Dataset) -> None:
    """Add the transfer syntax that old files lack: the one with which the header could be read."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        syntax = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else syntax


def _refuse_undecodable(syntax: UID) -> None:
    """Refuse transfer syntaxes without a decoder, and those whose decoder is not installed."""
    from pydicom.pixels.decoders.base import get_decoder

    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise UnreadableRadiograph(
            "unsupported_transfer_syntax",
            f"its transfer syntax is not supported ({syntax.name})",
            f"{_EXPORT_AGAIN}, uncompressed (Explicit VR Little Endian)",
        ) from error
    if not decoder.is_available:
        plug_in = "openjpeg" if "2000" in syntax.name else "libjpeg"
        raise UnreadableRadiograph(
            "decoder_missing",
            f"its pixels are compressed ({syntax.name}), and no decoder for them is installed",
            f"Install it (pip install pylibjpeg pylibjpeg-{plug_in}), or export the image uncompressed",
        )


def _check_coded_size(dataset: Dataset) -> None:
    """Refuse a compressed frame whose own size differs from the header's: decoders allocate by the frame's."""
    from pydicom.encaps import get_frame

    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    frames = int(number(dataset, "NumberOfFrames") or 1)
    size = _coded_size(get_frame(dataset.PixelData, 0, number_of_frames=frames))
    if size is not None and size != (dataset.Columns, dataset.Rows):
        refuse_huge(*size)
        raise UnreadableRadiograph(
            "contradicting_size",
            f"its header names {dataset.Columns}x{dataset.Rows} pixels, its compressed frame {size[0]}x{size[1]}",
            _EXPORT_AGAIN,
        )


def _coded_size(frame: bytes) -> tuple[int, int] | None:
    """(width, height) from the header of a JPEG, JPEG-LS or JPEG 2000 frame, or None."""
    place = frame.find(b"\xff\x4f\xff\x51")
    if 0 <= place <= len(frame) - 24 and not frame.startswith(b"\xff\xd8"):
        right, lower, left, upper = struct.unpack_from(">IIII", frame, place + 8)
        return int(right - left), int(lower - upper)
    place = 2
    while frame.startswith(b"\xff\xd8") and place + 9 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            height, width = struct.unpack_from(">HH", frame, place + 5)
            return int(width), int(height)
        place += 1 if marker == 0xFF else 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
    return None


def _gray_from_colour_image(stored: Values, dataset: Dataset) -> Values:
    from pydicom.pixels.processing import apply_color_lut

    rgb = apply_color_lut(stored, dataset) if stored.ndim == 2 else stored
    return gray_from_colour(rgb[..., :3])


def _bones_dark(dataset: Dataset) -> bool:
    # DICOM requires INVERSE together with MONOCHROME1: they mean one inversion, not two.
    return (
        text(dataset, "PhotometricInterpretation") == "MONOCHROME1"
        or text(dataset, "PresentationLUTShape") == "INVERSE"
    )


def _laterality(dataset: Dataset) -> Laterality | None:
    word = text(dataset, "ImageLaterality") or text(dataset, "Laterality")
    if word in ("L", "LEFT"):
        return "left"
    return "right" if word in ("R", "RIGHT") else None


def _spacing_mm(dataset: Dataset) -> tuple[float, float] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        try:
            row, column = (float(side) for side in value(dataset, keyword))
        except BROKEN_VALUE:
            continue
        if 0.0 < row < math.inf and 0.0 < column < math.inf:
            return row, column
    return None
