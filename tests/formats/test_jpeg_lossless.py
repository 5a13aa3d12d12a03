"""Lossless JPEG, coded here by the formulas of ITU-T T.81, annex H, with differences that wrap or do not."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLossless, JPEGLosslessSV1, generate_uid

from boneage.errors import UnreadableRadiograph
from boneage.formats import read_radiograph
from boneage.formats.jpeg_lossless import decode_jpeg_lossless
from boneage.radiograph import Radiograph

Samples = npt.NDArray[np.uint16]


def predicted(samples: list[list[int]], y: int, x: int, predictor: int, precision: int, *, first_row: bool) -> int:
    if first_row:
        return 1 << (precision - 1) if x == 0 else samples[y][x - 1]
    if x == 0:
        return samples[y - 1][0]
    a, b, c = samples[y][x - 1], samples[y - 1][x], samples[y - 1][x - 1]
    return [0, a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1][predictor]


def coded(values: Samples, precision: int, *, predictor: int = 1, wrap_bits: int = 16, restart_rows: int = 0) -> bytes:
    """A frame whose differences are reduced modulo 2 to the power of `wrap_bits`.

    Its Huffman table gives every category 0..16 a code of five bits.
    """
    samples = [[int(value) for value in row] for row in values]
    scan, bits = b"", ""

    def flushed() -> bytes:
        filled = bits + "1" * (-len(bits) % 8)
        return bytes(int(filled[at : at + 8], 2) for at in range(0, len(filled), 8)).replace(b"\xff", b"\xff\0")

    for y in range(len(samples)):
        starts = y == 0 or (restart_rows > 0 and y % restart_rows == 0)
        if starts and y > 0:
            scan += flushed() + bytes([0xFF, 0xD0 + (y // restart_rows - 1) % 8])
            bits = ""
        for x in range(len(samples[0])):
            guess = predicted(samples, y, x, predictor, precision, first_row=starts)
            difference = (samples[y][x] - guess) % (1 << wrap_bits)
            if difference > 1 << (wrap_bits - 1):
                difference -= 1 << wrap_bits
            category = abs(difference).bit_length()
            bits += f"{category:05b}"
            if 0 < category < 16:
                bits += f"{difference if difference > 0 else difference + (1 << category) - 1:0{category}b}"
    scan += flushed()

    def segment(marker: int, body: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body

    height, width = values.shape
    return b"".join(
        [
            b"\xff\xd8",
            segment(0xC3, struct.pack(">BHHB", precision, height, width, 1) + b"\x01\x11\x00"),
            segment(0xC4, b"\0" + bytes([0, 0, 0, 0, 17, *[0] * 11]) + bytes(range(17))),
            segment(0xDD, struct.pack(">H", restart_rows * width)) if restart_rows else b"",
            segment(0xDA, bytes([1, 1, 0, predictor, 0, 0])),
            scan,
            b"\xff\xd9",
        ]
    )


def drawn(bits: int) -> Samples:
    """Noise, and patches at both ends of the scale, so that differences span the whole of it."""
    values = np.random.default_rng(3).integers(0, 1 << bits, (70, 66))
    values[10:30, 5:25] = 0
    values[20:50, 15:45] = (1 << bits) - 1
    return values.astype(np.uint16)


def as_dicom(path: Path, frame: bytes, values: Samples, bits: int, *, signed: bool = False) -> Path:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", generate_uid(entropy_srcs=["boneage"])
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "CR", "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1 if frame[frame.index(b"\xff\xda") + 7] == 1 else JPEGLossless
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize(("bits", "wrap_bits"), [(12, 16), (12, 12), (16, 16), (8, 8)])
def test_every_predictor_with_and_without_wrapping(predictor: int, bits: int, wrap_bits: int) -> None:
    values = drawn(bits)
    frame = coded(values, bits, predictor=predictor, wrap_bits=wrap_bits)
    np.testing.assert_array_equal(decode_jpeg_lossless(frame), values)


@pytest.mark.parametrize("predictor", [1, 4, 7])
def test_restart_markers(predictor: int) -> None:
    values = drawn(12)
    frame = coded(values, 12, predictor=predictor, wrap_bits=12, restart_rows=7)
    np.testing.assert_array_equal(decode_jpeg_lossless(frame), values)


def test_blocks_of_the_walk_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boneage.formats.jpeg_lossless._BLOCK_BITS", 64)
    values = drawn(16)
    np.testing.assert_array_equal(decode_jpeg_lossless(coded(values, 16)), values)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_frame_that_is_cut_off_is_an_error(kept: float) -> None:
    frame = coded(drawn(12), 12)
    with pytest.raises(ValueError, match="cut off"):
        decode_jpeg_lossless(frame[: int(kept * len(frame))])


@pytest.mark.parametrize("predictor", [1, 2, 4, 7])
@pytest.mark.parametrize(("bits", "wrap_bits"), [(12, 16), (12, 12), (16, 16)])
def test_a_dicom_with_wrapped_differences_shows_what_was_stored(
    tmp_path: Path, predictor: int, bits: int, wrap_bits: int
) -> None:
    values = drawn(bits)
    path = as_dicom(tmp_path / "a.dcm", coded(values, bits, predictor=predictor, wrap_bits=wrap_bits), values, bits)
    np.testing.assert_allclose(read_radiograph(path).pixels, Radiograph.from_values(values).pixels, atol=1e-6)


def test_signed_samples_with_wrapped_differences(tmp_path: Path) -> None:
    values = drawn(12)
    signed = values.astype(np.int64) - 2048
    path = as_dicom(
        tmp_path / "a.dcm", coded(np.asarray(signed & 4095, np.uint16), 12, wrap_bits=12), values, 12, signed=True
    )
    np.testing.assert_allclose(read_radiograph(path).pixels, Radiograph.from_values(signed).pixels, atol=1e-6)


def test_wrapped_differences_that_are_cut_off_are_named(tmp_path: Path, refuses) -> None:
    values = drawn(12)
    frame = coded(values, 12, wrap_bits=12)
    with refuses(UnreadableRadiograph, "damaged_file"):
        read_radiograph(as_dicom(tmp_path / "a.dcm", frame[: len(frame) // 2], values, 12))
