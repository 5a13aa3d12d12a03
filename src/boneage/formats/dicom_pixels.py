"""The stored values of a DICOM's first frame, also where its header and its pixels disagree."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from boneage.errors import UnreadableRadiograph
from boneage.formats.dicom_values import Values, number, text
from boneage.formats.jpeg_lossless import decode_jpeg_lossless
from boneage.formats.raster import refuse_huge
from boneage.remarks import Remark

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

EXPORT_AGAIN: Final = "Export the image again from the archive"
_LOSSLESS_JPEG: Final = frozenset({"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"})


def read_stored_values(dataset: Dataset, remarks: list[Remark]) -> Values:
    """Decode the first frame.

    Missing elements with an evident value are added to the header. Bits that are not in use are ignored, in
    left-justified samples, too.

    Args:
        dataset: a DICOM with pixels; its header is completed.
        remarks: a remark is appended where there are several frames.

    Returns:
        [height, width] of integers or floats; [height, width, 3] for colours.

    Raises:
        UnreadableRadiograph: a header that contradicts the pixels or itself, too few or damaged pixels, or a transfer
            syntax that cannot be decoded.
    """
    from pydicom.pixels.utils import pixel_array

    _complete_meta(dataset)
    _complete_header(dataset)
    _check_coded_size(dataset)
    several = int(number(dataset, "NumberOfFrames") or 1) > 1
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated and "PixelData" in dataset:
        several |= _keep_first_frame(dataset)
    if several:
        remarks.append(Remark.of("first_frame", "The file holds several frames; the first was read."))
    _refuse_undecodable(dataset.file_meta.TransferSyntaxUID)
    bits, shift = _used_bits(dataset)
    try:
        stored = np.asarray(pixel_array(dataset, index=0))
        if dataset.file_meta.TransferSyntaxUID in _LOSSLESS_JPEG:
            stored = _wrapped_differences(stored, dataset)
        elif "2000" in dataset.file_meta.TransferSyntaxUID.name:
            stored = _settle_sign(stored, dataset)
    except Exception as error:
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise UnreadableRadiograph(
            "damaged_file",
            f"its pixels are damaged and cannot be decoded ({syntax}: {' '.join(str(error).split())[:160]})",
            f"{EXPORT_AGAIN}, uncompressed if it fails again",
        ) from error
    if shift:
        stored = _right_justified(stored, bits, shift)
    elif bits < dataset.get("BitsStored", 0) and stored.ndim == 2:
        stored = _without_overlay(stored, bits)
    return stored


def _complete_header(dataset: Dataset) -> None:
    """Add missing elements that describe the pixels, where only one value is possible."""
    missing = [keyword for keyword in ("Rows", "Columns") if not number(dataset, keyword)]
    if missing:
        raise UnreadableRadiograph("contradicting_header", f"its header lacks {' and '.join(missing)}", EXPORT_AGAIN)
    interpretation = text(dataset, "PhotometricInterpretation")
    if number(dataset, "SamplesPerPixel") is None:
        dataset.SamplesPerPixel = 3 if interpretation.startswith(("RGB", "YBR")) else 1
    if not interpretation:
        dataset.PhotometricInterpretation = "RGB" if dataset.SamplesPerPixel == 3 else "MONOCHROME2"
    if "PixelData" not in dataset:
        return
    if number(dataset, "BitsAllocated") is None:
        samples = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * int(number(dataset, "NumberOfFrames") or 1)
        dataset.BitsAllocated = 8 if len(dataset.PixelData) < 2 * samples else 16
    if number(dataset, "BitsStored") is None:
        dataset.BitsStored = dataset.BitsAllocated
    if number(dataset, "PixelRepresentation") is None:
        dataset.PixelRepresentation = 0
    if number(dataset, "HighBit") is None:
        dataset.HighBit = dataset.BitsStored - 1
    if dataset.SamplesPerPixel == 3 and number(dataset, "PlanarConfiguration") is None:
        dataset.PlanarConfiguration = 0
    if dataset.BitsStored > dataset.BitsAllocated:
        raise UnreadableRadiograph(
            "contradicting_header",
            f"its header names {dataset.BitsStored} bits of {dataset.BitsAllocated} (BitsStored, BitsAllocated)",
            EXPORT_AGAIN,
        )


def _keep_first_frame(dataset: Dataset) -> bool:
    """Leave only the first frame of uncompressed pixels; says whether there are several."""
    length = (dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated + 7) // 8
    if text(dataset, "PhotometricInterpretation") == "YBR_FULL_422":
        length = length // 3 * 2
    content = dataset.PixelData
    if len(content) < length:
        raise UnreadableRadiograph(
            "pixels_missing",
            f"pixels are missing: {length} bytes are needed for {dataset.Columns}x{dataset.Rows} pixels,"
            f" and the file holds {len(content)}",
            f"{EXPORT_AGAIN}: it was cut off",
        )
    dataset.NumberOfFrames = 1
    dataset.PixelData = content[: length + length % 2]
    return bool(len(content) >= 2 * length)


def _used_bits(dataset: Dataset) -> tuple[int, int]:
    """(bits in use, unused bits below them). Where there are some, the header is changed so that all bits are read."""
    if "PixelData" not in dataset:
        return 0, 0
    bits, allocated = dataset.BitsStored, dataset.BitsAllocated
    shift = dataset.HighBit + 1 - bits
    syntax = dataset.file_meta.TransferSyntaxUID
    if shift == 0 and 0 < bits < allocated == 16 and not syntax.is_encapsulated:
        order = ">" if syntax == "1.2.840.10008.1.2.2" else "<"
        content = dataset.PixelData
        if (
            dataset.PixelRepresentation == 1
            or np.frombuffer(content[: len(content) // 2 * 2], f"{order}u2").max() >> bits
        ):
            dataset.BitsStored, dataset.HighBit = 16, 15
    if shift <= 0 or dataset.HighBit >= allocated or (syntax.is_encapsulated and "RLE" not in syntax.name):
        return bits, 0
    dataset.BitsStored, dataset.HighBit = allocated, allocated - 1
    return bits, shift


def _right_justified(stored: Values, bits: int, shift: int) -> Values:
    """Samples without the unused bits above and below them."""
    whole = stored.astype(np.int64)
    if whole.min() >= 0 and whole.max() < 1 << bits and (whole & ((1 << shift) - 1)).any():
        return stored  # right-justified, whatever the header says
    kept = (whole >> shift) & ((1 << bits) - 1)
    if stored.dtype.kind == "i":
        kept -= (kept >> (bits - 1)) << bits
    return np.asarray(kept, dtype=stored.dtype)


def _without_overlay(stored: Values, bits: int) -> Values:
    """Samples without what lies above their bits, which are the header's unless it names too few, or the wrong sign.

    The reading with the least variation is right: overlays and wrong signs make jumps of the whole scale.
    """
    whole = stored.astype(np.int64)
    low = whole & ((1 << bits) - 1)
    signed = low - ((low >> (bits - 1)) << bits)
    declared, other = (signed, low) if stored.dtype.kind == "i" else (low, whole)
    if np.array_equal(declared, other):
        return stored if np.array_equal(declared, whole) else np.asarray(declared, dtype=stored.dtype)
    right = other if _variation(other) < _variation(declared) else declared
    return np.asarray(right, dtype=np.int32)


def _wrapped_differences(stored: Values, dataset: Dataset) -> Values:
    """The same, or decoded again where samples at the ends of the scale show that differences may have wrapped."""
    frame = _frame(dataset)
    place = frame.find(b"\xff\xc3")
    if stored.ndim != 2 or place < 0:
        return stored
    top = (1 << frame[place + 4]) - 1
    samples = stored.astype(np.int64) & top
    if not ((samples == 0) | (samples == top)).any():
        return stored
    decoded = decode_jpeg_lossless(frame).astype(np.int64)
    if stored.dtype.kind == "i":
        bits = dataset.BitsStored
        decoded = (decoded & ((1 << bits) - 1)) - (((decoded >> (bits - 1)) & 1) << bits)
    return np.asarray(decoded, dtype=stored.dtype)


def _settle_sign(stored: Values, dataset: Dataset) -> Values:
    """Settle a JPEG 2000 frame that is signed where its header is not, or the reverse.

    Encoders have either kept the bits, as pydicom expects, or moved the values by half of the scale. Kept bits that
    were moved leave jumps of the whole scale, so the reading with less variation is right.
    """
    from pydicom.pixels.utils import get_j2k_parameters

    coded = get_j2k_parameters(_frame(dataset))
    if stored.ndim != 2 or not coded or bool(coded["is_signed"]) == bool(dataset.PixelRepresentation):
        return stored
    half = 1 << (int(coded["precision"]) - 1)
    values = stored.astype(np.int64)
    moved = (values + half) % (2 * half) if dataset.PixelRepresentation == 0 else (values % (2 * half)) - half
    return moved.astype(stored.dtype) if _variation(moved) < _variation(values) else stored


def _variation(values: Values) -> int:
    return int(np.abs(np.diff(values, axis=0)).sum() + np.abs(np.diff(values, axis=1)).sum())


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
            f"{EXPORT_AGAIN}, uncompressed (Explicit VR Little Endian)",
        ) from error
    if not decoder.is_available:
        plug_in = "openjpeg" if "2000" in syntax.name else "libjpeg"
        raise UnreadableRadiograph(
            "decoder_missing",
            f"its pixels are compressed ({syntax.name}), and no decoder for them is installed",
            f"Install it (pip install pylibjpeg pylibjpeg-{plug_in}), or export the image uncompressed",
        )


def _frame(dataset: Dataset) -> bytes:
    """The first compressed frame."""
    from pydicom.encaps import get_frame

    frames = int(number(dataset, "NumberOfFrames") or 1)
    return get_frame(dataset.PixelData, 0, number_of_frames=frames)


def _check_coded_size(dataset: Dataset) -> None:
    """Refuse a compressed frame whose own size differs from the header's: decoders allocate by the frame's."""
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    size = _coded_size(_frame(dataset))
    if size is not None and size != (dataset.Columns, dataset.Rows):
        refuse_huge(*size)
        raise UnreadableRadiograph(
            "contradicting_size",
            f"its header names {dataset.Columns}x{dataset.Rows} pixels, its compressed frame {size[0]}x{size[1]}",
            EXPORT_AGAIN,
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
