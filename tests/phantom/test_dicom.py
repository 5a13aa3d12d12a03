"""Phantoms as DICOM objects are valid, name no person, and are read to the same image."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels.encoders.base import Encoder

from boneage.ages import Sex
from boneage.errors import UsageError
from boneage.formats import read_radiograph
from boneage.phantom import phantom
from boneage.phantom.dataset import Settings, write_phantoms
from boneage.phantom.dicom import encode_dicom
from boneage.radiograph import PHANTOM_MARK, Radiograph

STYLES = range(8)


def written(folder: Path, style: int, coding: str = "none", hands: int = 1) -> tuple[Path, Radiograph]:
    made = phantom(100, "female", style, 96, bits=12 + style % 5, hands=hands)
    path = folder / f"{style}-{coding}-{hands}.dcm"
    path.write_bytes(encode_dicom(made, 7, style=style, coding=coding))
    return path, Radiograph.from_values(made.pixels)


@pytest.mark.parametrize("style", STYLES)
def test_it_is_read_to_the_same_image(tmp_path: Path, style: int) -> None:
    path, expected = written(tmp_path, style)
    read = read_radiograph(path)
    np.testing.assert_allclose(read.pixels, expected.pixels, atol=1e-4)
    assert (read.sex, read.laterality in ("left", "right")) == (Sex.FEMALE, True)
    assert read.spacing_mm is not None
    of_the_header = {"raw_image", "window_damaged", "window_hides_image", "pixels_not_square", "first_frame"}
    assert not of_the_header & {remark.code for remark in read.remarks}


@pytest.mark.parametrize("coding", ["rle", "jpeg2000", "jpegls"])
def test_coded_pixels_are_the_same(tmp_path: Path, coding: str) -> None:
    path, expected = written(tmp_path, 2, coding)
    np.testing.assert_allclose(read_radiograph(path).pixels, expected.pixels, atol=1e-4)


def test_a_coding_without_encoder_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses
) -> None:
    monkeypatch.setattr(Encoder, "is_available", property(lambda encoder: False))
    with refuses(UsageError, "encoder_missing"):
        write_phantoms(tmp_path / "set", 1, Settings(size=64, dicom=True, coding="jpegls"))
    assert not (tmp_path / "set").exists()


def test_styles_cover_modalities_and_displays() -> None:
    made = phantom(100, "female", 1, 64, bits=12)
    headers = [pydicom.dcmread(io.BytesIO(encode_dicom(made, 7, style=style))) for style in STYLES]
    assert {header.Modality for header in headers} == {"DX", "CR"}
    assert {header.PhotometricInterpretation for header in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert {"VOILUTSequence" in header for header in headers} == {True, False}
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)


def test_the_header_names_no_person_and_marks_a_phantom() -> None:
    made = phantom(100, "female", 1, 64, bits=12)
    header = pydicom.dcmread(io.BytesIO(encode_dicom(made, 7)))
    assert str(header.PatientName) == "Phantom^7"
    assert (header.PatientBirthDate, header.InstitutionName) == ("", "")
    assert header.SoftwareVersions == PHANTOM_MARK
    assert "not a medical device" in header.ImageComments
    assert encode_dicom(made, 7) == encode_dicom(made, 7)


def test_an_inverted_phantom_is_refused(refuses) -> None:
    with refuses(UsageError, "contradicting_options"):
        encode_dicom(phantom(100, "female", 1, 64, inverted=True), 7)


def test_a_data_set_of_dicom_has_every_bit_depth(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 5, Settings(size=64, dicom=True))
    headers = [pydicom.dcmread(path) for path in sorted((tmp_path / "boneage-training-dataset").glob("*.dcm"))]
    assert [header.BitsStored for header in headers] == [12, 13, 14, 15, 16]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian's dicom3tools) is not installed")
@pytest.mark.parametrize("style", STYLES)
def test_an_independent_validator_finds_no_error(tmp_path: Path, style: int) -> None:
    for coding, hands in (("none", 1), ("rle", 2)):
        path, _ = written(tmp_path, style, coding, hands)
        done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).splitlines()
        assert not [line for line in lines if line.startswith(("Error", "Warning"))], "\n".join(lines)
