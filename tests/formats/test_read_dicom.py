"""DICOM into the canonical form, on small drawn images and on the test files that come with pydicom."""

from __future__ import annotations

import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pydicom.data
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG2MPML,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    generate_uid,
)

from boneage.ages import Sex
from boneage.errors import UnreadableRadiograph, UnsuitableRadiograph
from boneage.formats import dicom, dicom_pixels, is_phantom, read_radiograph
from boneage.radiograph import Radiograph
from boneage.remarks import Severity

Stored = npt.NDArray[Any]

RAMP: Stored = np.arange(4000, dtype=np.uint16).reshape(50, 80).repeat(2, axis=0)
"""100 x 80 values of 12 bits."""


def codes_of(radiograph: Radiograph) -> set[str]:
    return {remark.code for remark in radiograph.remarks}


def header(values: Stored, **elements: Any) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1")
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["boneage"])
    dataset.Modality = "CR"
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.SamplesPerPixel = 1
    dataset.Rows, dataset.Columns = values.shape[-2:] if values.shape[-1] != 3 else values.shape[-3:-1]
    if values.shape[-1] == 3:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated = values.dtype.itemsize * 8
    dataset.BitsStored = dataset.BitsAllocated if values.dtype.itemsize == 1 or values.dtype.kind == "i" else 12
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def written(path: Path, values: Stored, syntax: UID = ExplicitVRLittleEndian, **elements: Any) -> Path:
    dataset = header(values, **elements)
    dataset.PixelData = values.tobytes()
    dataset["PixelData"].VR = "OW" if values.dtype.itemsize == 2 else "OB"
    return stored(path, dataset, syntax)


def stored(path: Path, dataset: Dataset, syntax: UID) -> Path:
    dataset.file_meta = FileMetaDataset()
    if syntax in (RLELossless, JPEG2000Lossless):
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(syntax, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, dtype="<u2").astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)
    return path


def lut(table: Stored, first: int, bits: int) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(table), first, bits]
    item["LUTDescriptor"].VR = "US" if first >= 0 else "SS"
    item.LUTData = table.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    return Sequence([item])


def canonical(values: Stored, *, bones_dark: bool = False) -> npt.NDArray[np.float32]:
    return Radiograph.from_values(values, bones_dark=bones_dark).pixels


def assert_shows(path: Path, values: Stored, atol: float = 1e-5) -> Radiograph:
    radiograph = read_radiograph(path)
    np.testing.assert_allclose(radiograph.pixels, canonical(values), atol=atol)
    return radiograph


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEG2000Lossless,
    ],
    ids=lambda syntax: syntax.keyword,
)
def test_lossless_syntaxes(tmp_path: Path, syntax: UID) -> None:
    assert assert_shows(written(tmp_path / "a.dcm", RAMP, syntax), RAMP).source == "DICOM CR"


def test_jpeg_baseline(tmp_path: Path) -> None:
    small = np.array(Image.fromarray((RAMP >> 4).astype(np.uint8)).resize((160, 200), Image.Resampling.BICUBIC))
    coded = BytesIO()
    Image.fromarray(small).save(coded, "JPEG", quality=98)
    dataset = header(small)
    dataset.PixelData = encapsulate([coded.getvalue()])
    dataset["PixelData"].VR = "OB"
    assert_shows(stored(tmp_path / "a.dcm", dataset, JPEGBaseline8Bit), small, atol=0.05)


@pytest.mark.parametrize(
    "name",
    [
        "MR_small.dcm",
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_padded.dcm",
        "JPEGLSNearLossless_08.dcm",
        "JPEGLSNearLossless_16.dcm",
        "JPGExtended.dcm",
        "JPEG2000.dcm",
        "693_J2KI.dcm",
        "image_dfl.dcm",
        "SC_rgb_jpeg_gdcm.dcm",  # JPEG lossless
        "SC_rgb_rle_16bit.dcm",
        "examples_palette.dcm",
        "examples_ybr_color.dcm",
    ],
)
def test_test_files_of_pydicom(tmp_path: Path, name: str, refuses) -> None:
    """Read each as a radiograph of a hand; those in colour are decoded, then refused."""
    found = pydicom.data.get_testdata_file(name, download=False)
    if found is None:
        pytest.skip("this pydicom does not ship it")
    dataset = pydicom.dcmread(found, force=True)
    if dataset.get("Modality") in (None, "CR", "DX", "OT", "SC") and not dataset.get("BodyPartExamined"):
        path = Path(str(found))
    else:
        dataset.Modality, dataset.BodyPartExamined = "CR", "HAND"
        path = tmp_path / "a.dcm"
        dataset.save_as(path)
    if name.startswith(("SC_rgb", "examples")):
        with refuses(UnsuitableRadiograph, "color_image"):
            read_radiograph(path)
    elif name.startswith("JPEGLSNear"):
        with refuses(UnsuitableRadiograph, "too_small"):  # found after decoding
            read_radiograph(path)
    else:
        radiograph = read_radiograph(path)
        assert radiograph.pixels.shape == (dataset.Rows, dataset.Columns)
        assert radiograph.pixels.std() > 0.05


@pytest.mark.parametrize("implicit", [True, False])
def test_old_export_without_preamble_and_meta(tmp_path: Path, *, implicit: bool) -> None:
    dataset = header(RAMP)
    dataset.PixelData = RAMP.tobytes()
    dataset["PixelData"].VR = "OW"
    pydicom.dcmwrite(tmp_path / "a", dataset, implicit_vr=implicit, little_endian=True)
    assert (tmp_path / "a").read_bytes()[:2] == b"\x08\x00"
    assert_shows(tmp_path / "a", RAMP)


class TestGrayValues:
    def test_monochrome_1_and_2_give_the_same_radiograph(self, tmp_path: Path) -> None:
        turned = (4095 - RAMP).astype(np.uint16)
        path = written(tmp_path / "a.dcm", turned, PhotometricInterpretation="MONOCHROME1")
        assert_shows(path, RAMP)

    def test_two_flags_for_inversion_invert_once(self, tmp_path: Path) -> None:
        turned = (4095 - RAMP).astype(np.uint16)
        for interpretation in ("MONOCHROME1", "MONOCHROME2"):
            path = written(
                tmp_path / "a.dcm",
                turned,
                PhotometricInterpretation=interpretation,
                PresentationLUTShape="INVERSE",
            )
            assert_shows(path, RAMP)
        assert_shows(written(tmp_path / "b.dcm", RAMP, PresentationLUTShape="IDENTITY"), RAMP)

    def test_monochrome_1_is_inverted_after_the_window(self, tmp_path: Path) -> None:
        # Window 1000..2000 of the stored values; larger values are shown black.
        path = written(
            tmp_path / "a.dcm",
            RAMP,
            PhotometricInterpretation="MONOCHROME1",
            WindowCenter=1500,
            WindowWidth=1000,
            VOILUTFunction="LINEAR_EXACT",
        )
        pixels = read_radiograph(path).pixels
        np.testing.assert_allclose(pixels, 1 - np.clip((RAMP - 1000.0) / 1000, 0, 1), atol=1e-6)

    @pytest.mark.parametrize("center", [[1500.5, 10.0], 1500.5])
    def test_the_first_linear_window(self, tmp_path: Path, center: Any) -> None:
        # PS3.3 C.11.2.1.2.1: from c - .5 - (w - 1) / 2 to c - .5 + (w - 1) / 2, here 1000 to 2000.
        width = [1001, 5] if isinstance(center, list) else 1001
        pixels = read_radiograph(written(tmp_path / "a.dcm", RAMP, WindowCenter=center, WindowWidth=width)).pixels
        np.testing.assert_allclose(pixels, np.clip((RAMP - 1000.0) / 1000, 0, 1), atol=1e-6)

    def test_sigmoid_window(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.dcm", RAMP, WindowCenter=2000, WindowWidth=1000, VOILUTFunction="SIGMOID")
        assert_shows(path, 1 / (1 + np.exp(-4 * (RAMP - 2000.0) / 1000)))

    def test_rescale_before_the_window(self, tmp_path: Path) -> None:
        # Stored 0..3999 become 100..8098; the window takes 2100..4100, which is 1000..2000 as stored.
        path = written(
            tmp_path / "a.dcm",
            RAMP,
            RescaleSlope=2,
            RescaleIntercept=100,
            WindowCenter=3100,
            WindowWidth=2000,
            VOILUTFunction="LINEAR_EXACT",
        )
        pixels = read_radiograph(path).pixels
        np.testing.assert_allclose(pixels, np.clip((RAMP - 1000.0) / 1000, 0, 1), atol=1e-6)

    def test_a_negative_slope_inverts_once_with_or_without_a_window(self, tmp_path: Path) -> None:
        turned = (4095 - RAMP).astype(np.uint16)
        elements: dict[str, Any] = {"RescaleSlope": -1, "RescaleIntercept": 4095}
        assert_shows(written(tmp_path / "a.dcm", turned, **elements), RAMP)
        elements |= {"WindowCenter": 1500, "WindowWidth": 1000, "VOILUTFunction": "LINEAR_EXACT"}
        pixels = read_radiograph(written(tmp_path / "b.dcm", turned, **elements)).pixels
        np.testing.assert_allclose(pixels, np.clip((RAMP - 1000.0) / 1000, 0, 1), atol=1e-6)

    def test_voi_lut_wins_over_the_window(self, tmp_path: Path) -> None:
        # A table for inputs 1000, 1001, ... 1999 that squares them; inputs beyond take its ends.
        table = (np.arange(1000) ** 2 // 16).astype(np.uint16)
        path = written(tmp_path / "a.dcm", RAMP, VOILUTSequence=lut(table, 1000, 16), WindowCenter=1, WindowWidth=2)
        assert_shows(path, table[np.clip(RAMP.astype(int) - 1000, 0, 999)])

    def test_voi_lut_of_eight_bits_under_twelve(self, tmp_path: Path) -> None:
        table = (np.arange(4096) // 16).astype(np.uint16)
        assert_shows(written(tmp_path / "a.dcm", RAMP, VOILUTSequence=lut(table, 0, 8)), RAMP // 16)

    def test_signed_values_through_a_table(self, tmp_path: Path) -> None:
        signed = RAMP.astype(np.int16) - 2000
        table = np.arange(1000, dtype=np.uint16) * 3
        path = written(tmp_path / "a.dcm", signed, VOILUTSequence=lut(table, -500, 16))
        assert_shows(path, np.clip(signed + 500, 0, 999) * 3)
        assert_shows(written(tmp_path / "b.dcm", signed), signed)

    def test_modality_lut(self, tmp_path: Path) -> None:
        table = np.sqrt(np.arange(4096) * 4096).astype(np.uint16)
        assert_shows(written(tmp_path / "a.dcm", RAMP, ModalityLUTSequence=lut(table, 0, 12)), table[RAMP])

    def test_damaged_window_is_left_out(self, tmp_path: Path) -> None:
        for elements in (
            {"WindowCenter": 1500, "WindowWidth": 0},
            {"WindowCenter": 1500, "WindowWidth": 10, "VOILUTFunction": "SQUARE"},
            {"WindowCenter": 90000, "WindowWidth": 10},
            {"VOILUTSequence": Sequence([Dataset()])},
        ):
            radiograph = assert_shows(written(tmp_path / "a.dcm", RAMP, **elements), RAMP)
            assert codes_of(radiograph) & {"window_damaged", "window_hides_image"}

    @pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
    @pytest.mark.parametrize(
        "elements",
        [
            {"WindowCenter": 127, "WindowWidth": 256},  # for 8 bits, on 12
            {"WindowCenter": 2000, "WindowWidth": 20},
            {"WindowCenter": 2000, "WindowWidth": 1},
            {"WindowCenter": 90000, "WindowWidth": 10},
            {"VOILUTSequence": lut(np.arange(200, dtype=np.uint16), 0, 8)},
        ],
    )
    def test_a_window_that_hides_the_bones_is_named_and_left_out(
        self, tmp_path: Path, interpretation: str, elements: dict[str, Any]
    ) -> None:
        values = RAMP if interpretation == "MONOCHROME2" else (4095 - RAMP).astype(np.uint16)
        if interpretation == "MONOCHROME1" and elements.get("WindowCenter") == 127:
            elements = {"WindowCenter": 4095 - 127, "WindowWidth": 256}
        if interpretation == "MONOCHROME1" and "VOILUTSequence" in elements:
            elements = {"VOILUTSequence": lut(np.arange(200, dtype=np.uint16), 3895, 8)}
        path = written(tmp_path / "a.dcm", values, PhotometricInterpretation=interpretation, **elements)
        assert [remark.code for remark in assert_shows(path, RAMP).remarks] == ["window_hides_image"]

    def test_a_narrow_window_below_a_bright_border_is_kept(self, tmp_path: Path) -> None:
        # The tissue lies at 1000..1499 and the border, a fifth of the image, at 4095.
        values = (1000 + RAMP // 8).astype(np.uint16)
        values[:, :16] = 4095
        path = written(tmp_path / "a.dcm", values, WindowCenter=1250, WindowWidth=500, VOILUTFunction="LINEAR_EXACT")
        assert assert_shows(path, np.clip((values - 1000.0) / 500, 0, 1)).remarks == ()

    def test_decimal_commas_are_read(self, tmp_path: Path) -> None:
        path = written(
            tmp_path / "a.dcm", RAMP, WindowCenter="1500.5", WindowWidth="1001.0", PixelSpacing=["0.143", "0.144"]
        )
        content = path.read_bytes()
        for point, comma in ((b"1500.5", b"1500,5"), (b"1001.0", b"1001,0"), (b"0.143\\0.144", b"0,143\\0,144")):
            assert point in content
            content = content.replace(point, comma)
        path.write_bytes(content)
        radiograph = read_radiograph(path)
        np.testing.assert_allclose(radiograph.pixels, np.clip((RAMP - 1000.0) / 1000, 0, 1), atol=1e-6)
        assert radiograph.spacing_mm == (0.143, 0.144)
        assert radiograph.remarks == ()

    def test_a_window_that_is_not_two_numbers_is_named(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.dcm", RAMP, WindowCenter="1500.5", WindowWidth="1001.0")
        path.write_bytes(path.read_bytes().replace(b"1001.0", b"wide  "))
        assert [remark.code for remark in assert_shows(path, RAMP).remarks] == ["window_damaged"]

    @pytest.mark.parametrize("signed", [False, True])
    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
    def test_left_justified_samples(self, tmp_path: Path, syntax: UID, *, signed: bool) -> None:
        # Overlays and noise lie in the four bits below.
        values = RAMP.astype(np.int16) - 2048 if signed else RAMP
        stored_values = (values << 4) | (RAMP % 7).astype(values.dtype)
        path = written(tmp_path / "a.dcm", stored_values, syntax, BitsStored=12, HighBit=15)
        assert_shows(path, values)

    def test_right_justified_samples_under_a_header_of_left_justified_ones(self, tmp_path: Path) -> None:
        assert_shows(written(tmp_path / "a.dcm", RAMP, HighBit=15), RAMP)

    def test_overlay_bits_above_the_samples_are_ignored(self, tmp_path: Path) -> None:
        overlaid = RAMP | np.where(RAMP % 5 == 0, 0x8000, 0).astype(np.uint16)
        assert_shows(written(tmp_path / "a.dcm", overlaid), RAMP)

    @pytest.mark.parametrize("bits", [8, 11])
    def test_too_few_bits_in_the_header(self, tmp_path: Path, bits: int) -> None:
        assert_shows(written(tmp_path / "a.dcm", RAMP, BitsStored=bits, HighBit=bits - 1), RAMP)

    def test_unsigned_samples_under_a_signed_header(self, tmp_path: Path) -> None:
        assert_shows(written(tmp_path / "a.dcm", RAMP, PixelRepresentation=1), RAMP)

    def test_signed_samples_of_12_bits(self, tmp_path: Path) -> None:
        signed = RAMP.astype(np.int64) - 2048
        stored_values = (signed & 4095).astype(np.uint16)
        assert_shows(written(tmp_path / "a.dcm", stored_values, PixelRepresentation=1), signed)

    @pytest.mark.parametrize("signed_header", [False, True])
    @pytest.mark.parametrize("moved", [False, True])
    def test_jpeg_2000_of_another_sign_than_the_header(
        self, tmp_path: Path, *, signed_header: bool, moved: bool
    ) -> None:
        # The stream holds the other sign's values: the same bits, or moved by half of the scale.
        values = RAMP.astype(np.int64) - (2048 if signed_header else 0)
        if moved:
            other = values + 2048 if signed_header else values - 2048
        else:
            other = values & 4095 if signed_header else (values & 4095) - ((values >> 11) & 1) * 4096
        coded = other.astype(np.uint16 if signed_header else np.int16)
        path = written(tmp_path / "a.dcm", coded, JPEG2000Lossless, BitsStored=12, HighBit=11)
        dataset = pydicom.dcmread(path)
        dataset.PixelRepresentation = int(signed_header)
        dataset.save_as(path)
        assert_shows(path, values)

    @pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
    def test_padding_is_black_and_outside_the_window(self, tmp_path: Path, interpretation: str) -> None:
        # The radiograph fills the right four fifths and uses 1000..1999; the padding is 0.
        image = np.arange(1000, 2000, dtype=np.uint16).reshape(50, 20).repeat(2, 0).repeat(4, 1)
        padded = np.hstack([np.zeros((100, 20), dtype=np.uint16), image])
        elements: dict[str, Any] = {"PhotometricInterpretation": interpretation, "PixelPaddingValue": 0}
        pixels = read_radiograph(written(tmp_path / "a.dcm", padded, **elements)).pixels
        expected = canonical(image, bones_dark=interpretation == "MONOCHROME1")
        np.testing.assert_allclose(pixels[:, 20:], expected, atol=2e-3)
        assert not pixels[:, :20].any()

    def test_padding_range(self, tmp_path: Path) -> None:
        padded = np.where(RAMP < 960, RAMP % 3, RAMP).astype(np.uint16)
        path = written(tmp_path / "a.dcm", padded, PixelPaddingValue=2, PixelPaddingRangeLimit=0)
        pixels = read_radiograph(path).pixels
        assert not pixels[RAMP < 960].any()
        np.testing.assert_allclose(pixels[RAMP >= 960], canonical(RAMP[24:]).ravel(), atol=1e-3)

    def test_padding_that_covers_everything_is_ignored(self, tmp_path: Path) -> None:
        assert_shows(written(tmp_path / "a.dcm", RAMP, PixelPaddingValue=0, PixelPaddingRangeLimit=4095), RAMP)

    def test_gray_in_rgb(self, tmp_path: Path) -> None:
        gray = (RAMP >> 4).astype(np.uint8)
        assert_shows(written(tmp_path / "a.dcm", np.dstack([gray] * 3), Modality="SC"), gray)

    def test_colour_is_refused(self, tmp_path: Path, refuses) -> None:
        gray = (RAMP >> 4).astype(np.uint8)
        with refuses(UnsuitableRadiograph, "color_image"):
            read_radiograph(written(tmp_path / "a.dcm", np.dstack([gray, gray // 2, gray // 3]), Modality="SC"))

    def test_the_first_frame_is_read_with_a_remark(self, tmp_path: Path) -> None:
        frames = np.stack([RAMP, RAMP[::-1]])
        radiograph = assert_shows(written(tmp_path / "a.dcm", frames, NumberOfFrames=2), RAMP)
        assert "first_frame" in codes_of(radiograph)

    def test_frames_that_the_header_does_not_count(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.dcm", RAMP)
        dataset = pydicom.dcmread(path)
        dataset.PixelData = RAMP.tobytes() + RAMP[::-1].tobytes() * 2
        dataset.save_as(path)
        assert [remark.code for remark in assert_shows(path, RAMP).remarks] == ["first_frame"]

    @pytest.mark.parametrize("more", [2, 200])
    def test_bytes_after_the_pixels_are_ignored(self, tmp_path: Path, more: int) -> None:
        dataset = header(RAMP)
        dataset.PixelData = RAMP.tobytes() + bytes(more)
        dataset["PixelData"].VR = "OW"
        assert assert_shows(stored(tmp_path / "a.dcm", dataset, ExplicitVRLittleEndian), RAMP).remarks == ()

    def test_an_odd_number_of_bytes(self, tmp_path: Path) -> None:
        image = (RAMP[:99, :79] >> 4).astype(np.uint8)
        assert_shows(written(tmp_path / "a.dcm", image), image)
        content = (tmp_path / "a.dcm").read_bytes()
        length = struct.pack("<I", image.size + 1)
        assert content.count(length) == 1
        # As written by systems that do not pad.
        (tmp_path / "b.dcm").write_bytes(content.replace(length, struct.pack("<I", image.size))[:-1])
        assert_shows(tmp_path / "b.dcm", image)


class TestHeader:
    def test_sex_laterality_spacing(self, tmp_path: Path) -> None:
        path = written(
            tmp_path / "a.dcm", RAMP, PatientSex="F", ImageLaterality="L", Laterality="R", PixelSpacing=[0.15, 0.15]
        )
        radiograph = read_radiograph(path)
        assert radiograph.sex is Sex.FEMALE
        assert radiograph.laterality == "left"
        assert radiograph.spacing_mm == (0.15, 0.15)

    def test_second_choices(self, tmp_path: Path) -> None:
        elements: dict[str, Any] = {"PatientSex": "M", "Laterality": "R", "ImagerPixelSpacing": [0.2, 0.1]}
        radiograph = read_radiograph(written(tmp_path / "a.dcm", RAMP, Modality="DX", **elements))
        assert radiograph.sex is Sex.MALE
        assert radiograph.laterality == "right"
        assert radiograph.spacing_mm == (0.2, 0.1)
        assert radiograph.source == "DICOM DX"
        assert "pixels_not_square" in codes_of(radiograph)

    @pytest.mark.parametrize("sex", ["O", "", "X"])
    def test_empty_values_are_none(self, tmp_path: Path, sex: str) -> None:
        elements: dict[str, Any] = {"PatientSex": sex, "ImageLaterality": "B", "PixelSpacing": [0, 0]}
        radiograph = read_radiograph(written(tmp_path / "a.dcm", RAMP, **elements))
        assert (radiograph.sex, radiograph.laterality, radiograph.spacing_mm) == (None, None, None)

    @pytest.mark.parametrize(
        ("word", "sex"),
        [
            *((word, Sex.MALE) for word in ("M", "m", "M ", "Male", "MALE")),
            *((word, Sex.FEMALE) for word in ("F", "f", "Female", "FEMALE")),
            *((word, None) for word in ("O", "U", "", None)),
        ],
    )
    @pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
    def test_words_for_the_sex(self, tmp_path: Path, word: str | None, sex: Sex | None) -> None:
        elements = {} if word is None else {"PatientSex": word}
        radiograph = read_radiograph(written(tmp_path / "a.dcm", RAMP, **elements))
        assert (radiograph.sex, radiograph.remarks) == (sex, ())

    @pytest.mark.parametrize("word", ["W", "1", "0", "X"])
    def test_a_word_for_the_sex_that_is_not_understood_is_named(self, tmp_path: Path, word: str) -> None:
        radiograph = read_radiograph(written(tmp_path / "a.dcm", RAMP, PatientSex=word))
        assert radiograph.sex is None
        assert [remark.code for remark in radiograph.remarks] == ["unknown_sex_word"]
        assert f"'{word}'" in radiograph.remarks[0].text

    @pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
    @pytest.mark.parametrize(
        ("part", "side"),
        [("LHAND", "left"), ("R_HAND", "right"), ("LEFT HAND", "left"), ("Right Wrist", "right"), ("HAND", None)],
    )
    def test_the_side_in_the_body_part(self, tmp_path: Path, part: str, side: str | None) -> None:
        assert read_radiograph(written(tmp_path / "a.dcm", RAMP, BodyPartExamined=part)).laterality == side

    def test_sides_that_contradict_are_named(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.dcm", RAMP, ImageLaterality="L", BodyPartExamined="RIGHT HAND")
        radiograph = read_radiograph(path)
        assert radiograph.laterality == "left"
        assert [remark.code for remark in radiograph.remarks] == ["laterality_contradicts"]

    @pytest.mark.parametrize("modality", ["DR", "XR", "CR", "DX"])
    def test_modalities_of_plane_radiography(self, tmp_path: Path, modality: str) -> None:
        assert assert_shows(written(tmp_path / "a.dcm", RAMP, Modality=modality), RAMP).source == f"DICOM {modality}"

    @pytest.mark.parametrize(
        "keywords",
        [
            ["SamplesPerPixel"],
            ["PhotometricInterpretation"],
            ["PixelRepresentation", "HighBit"],
            ["SamplesPerPixel", "PhotometricInterpretation", "PixelRepresentation", "HighBit", "BitsAllocated"],
        ],
    )
    def test_evident_elements_may_be_missing(self, tmp_path: Path, keywords: list[str]) -> None:
        path = written(tmp_path / "a.dcm", RAMP)
        dataset = pydicom.dcmread(path)
        for keyword in keywords:
            delattr(dataset, keyword)
        dataset.save_as(path)
        assert_shows(path, RAMP)

    @pytest.mark.parametrize("elements", [{"Rows": None}, {"Columns": None}, {"BitsAllocated": 8, "BitsStored": 12}])
    def test_a_header_that_contradicts_itself_is_named(self, tmp_path: Path, elements: dict[str, Any], refuses) -> None:
        with refuses(UnreadableRadiograph, "contradicting_header"):
            read_radiograph(written(tmp_path / "a.dcm", RAMP, **elements))

    def test_raw_images_give_a_remark(self, tmp_path: Path) -> None:
        radiograph = read_radiograph(written(tmp_path / "a.dcm", RAMP, PresentationIntentType="FOR PROCESSING"))
        assert "raw_image" in codes_of(radiograph)

    @pytest.mark.parametrize(
        "part",
        [
            "",
            "HAND",
            "LHAND",
            "LEFT HAND",
            "WRIST",
            "FINGER",
            "FOREARM",
            "ARM",
            "UPPER LIMB",
            "UPPERLIMB",
            "UP_EXM",
            "EXTREMITY",
            "UP_EXM HAND",
            "HANDGELENK",
            "MITTELHAND",
            "UNTERARM",
            "OBERE EXTREMITAET",
            "MAIN",
            "POIGNET",
            "AVANT BRAS",
            "UNKNOWN",
            "MEMBRE SUPERIEUR",
            "MANO",
            "MUNECA",
            "BONE AGE",
            "LOWER ARM",
            "EXTREMITIES",
            "BONE",
            "JOINT",
            "RUKA",
            "REKA",
            "KEZ",
            "EL",
            "DLON",
            "XYZ",
            "CARPAL HEAD",
        ],
    )
    def test_hands_in_words(self, tmp_path: Path, part: str) -> None:
        assert_shows(written(tmp_path / "a.dcm", RAMP, BodyPartExamined=part[:16]), RAMP)

    @pytest.mark.parametrize(
        "part",
        [
            "CHEST",
            "KNEE",
            "FOOT",
            "TOE",
            "LOWER EXTREMITY",
            "LOWERLIMB",
            "LOWEREXTREMITY",
            "LOW_EXM",
            "UNTERE EXTREMIT",
            "HUMERUS",
            "UPPER ARM",
            "PIED",
            "SHOULDER",
            "DEDO DO PE",
            "LEG",
            "SKULL",
            "PELVIS",
            "WHOLEBODY",
            "THORAX",
            "TORACE",
            "RODILLA",
            "SCHULTER",
            "SCHAEDEL",
            "H\u00dcFTE",
            "GENOU",
            "KOLANO",
            "ELBOW",
            "CSPINE",
            "HIP",
        ],
    )
    @pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
    def test_another_body_part_is_refused_and_named(self, tmp_path: Path, part: str) -> None:
        with pytest.raises(UnsuitableRadiograph, match=part) as raised:
            read_radiograph(written(tmp_path / "a.dcm", RAMP, BodyPartExamined=part))
        assert (raised.value.code, raised.value.file) == ("other_body_part", str(tmp_path / "a.dcm"))

    @pytest.mark.parametrize(("meaning", "good"), [("Hand", True), ("Hand structure", True), ("Knee", False)])
    def test_the_anatomic_region_counts_where_the_body_part_is_missing(
        self, tmp_path: Path, meaning: str, refuses, *, good: bool
    ) -> None:
        item = Dataset()
        item.CodeMeaning = meaning
        path = written(tmp_path / "a.dcm", RAMP, AnatomicRegionSequence=Sequence([item]))
        if good:
            assert_shows(path, RAMP)
        else:
            with refuses(UnsuitableRadiograph, "other_body_part"):
                read_radiograph(path)

    @pytest.mark.parametrize("modality", ["CT", "MR", "US", "MG"])
    def test_another_modality_is_refused(self, tmp_path: Path, modality: str, refuses) -> None:
        with refuses(UnsuitableRadiograph, "other_modality"):
            read_radiograph(written(tmp_path / "a.dcm", RAMP, Modality=modality))

    @pytest.mark.parametrize(
        ("elements", "code"),
        [({"Modality": "CT"}, "other_modality"), ({"BodyPartExamined": "CHEST"}, "other_body_part")],
    )
    def test_refusals_that_are_overruled_become_remarks(
        self, tmp_path: Path, elements: dict[str, Any], code: str
    ) -> None:
        radiograph = read_radiograph(written(tmp_path / "a.dcm", RAMP, **elements), refuse=False)
        np.testing.assert_allclose(radiograph.pixels, canonical(RAMP), atol=1e-5)
        assert [(remark.code, remark.severity) for remark in radiograph.remarks] == [(code, Severity.DO_NOT_RELY)]

    def test_colours_that_are_overruled_become_a_remark(self, tmp_path: Path) -> None:
        gray = (RAMP >> 4).astype(np.uint8)
        path = written(tmp_path / "a.dcm", np.dstack([gray, gray // 2, gray // 3]), Modality="SC")
        assert [remark.code for remark in read_radiograph(path, refuse=False).remarks] == ["color_image"]


class TestRefused:
    def test_no_pixels(self, tmp_path: Path, refuses) -> None:
        path = stored(tmp_path / "a.dcm", header(RAMP), ExplicitVRLittleEndian)
        with refuses(UnreadableRadiograph, "no_pixels"):
            read_radiograph(path)

    @pytest.mark.parametrize(
        "syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless, DeflatedExplicitVRLittleEndian]
    )
    @pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
    def test_cut_off(self, tmp_path: Path, syntax: UID, kept: float) -> None:
        noise = np.random.default_rng(0).integers(0, 4095, (100, 80), dtype=np.uint16)
        path = written(tmp_path / "a.dcm", noise, syntax)
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(UnreadableRadiograph) as raised:
            read_radiograph(path)
        assert raised.value.remedy

    @pytest.mark.parametrize("missing", [2, 8000])
    def test_missing_pixels_are_named(self, tmp_path: Path, missing: int, refuses) -> None:
        dataset = header(RAMP)
        dataset.PixelData = RAMP.tobytes()[:-missing]
        dataset["PixelData"].VR = "OW"
        path = stored(tmp_path / "a.dcm", dataset, ExplicitVRLittleEndian)
        with refuses(UnreadableRadiograph, "pixels_missing"):
            read_radiograph(path)

    def test_huge_by_its_header(self, tmp_path: Path, refuses) -> None:
        path = written(tmp_path / "a.dcm", RAMP, Rows=30000, Columns=30000)
        with refuses(UnsuitableRadiograph, "too_many_pixels"):
            read_radiograph(path)

    def test_huge_by_its_compressed_frame(self, tmp_path: Path, refuses) -> None:
        path = written(tmp_path / "a.dcm", RAMP, JPEG2000Lossless)
        content = bytearray(path.read_bytes())
        place = content.index(b"\xff\x4f\xff\x51")
        content[place + 8 : place + 16] = struct.pack(">II", 40000, 30000)
        path.write_bytes(content)
        with refuses(UnsuitableRadiograph, "too_many_pixels"):
            read_radiograph(path)

    @pytest.mark.parametrize("height", [0, 99, 101])
    def test_compressed_frame_of_another_size_than_the_header(self, tmp_path: Path, height: int, refuses) -> None:
        path = written(tmp_path / "a.dcm", RAMP, JPEG2000Lossless)
        content = bytearray(path.read_bytes())
        place = content.index(b"\xff\x4f\xff\x51")
        content[place + 12 : place + 16] = struct.pack(">I", height)
        path.write_bytes(content)
        with refuses(UnreadableRadiograph, "contradicting_size"):
            read_radiograph(path)

    def test_a_deflated_file_that_grows_too_large(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses
    ) -> None:
        path = written(tmp_path / "a.dcm", np.zeros_like(RAMP), DeflatedExplicitVRLittleEndian)
        monkeypatch.setattr(dicom, "LARGEST_INFLATED", 1000)
        with refuses(UnsuitableRadiograph, "too_large"):
            read_radiograph(path)

    def test_an_unknown_transfer_syntax_is_refused(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.dcm", RAMP)
        path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"))
        with pytest.raises(UnreadableRadiograph):
            read_radiograph(path)

    def test_a_transfer_syntax_without_a_decoder_is_named(self, tmp_path: Path) -> None:
        dataset = header(RAMP)
        dataset.PixelData = encapsulate([b"a video"])
        dataset["PixelData"].VR = "OB"
        path = stored(tmp_path / "a.dcm", dataset, MPEG2MPML)
        with pytest.raises(UnreadableRadiograph, match=r"a\.dcm: .*MPEG2.*Explicit VR Little Endian") as raised:
            read_radiograph(path)
        assert raised.value.code == "unsupported_transfer_syntax"

    @pytest.mark.parametrize(
        ("syntax", "plug_in"), [(JPEG2000Lossless, "pylibjpeg-openjpeg"), (JPEGBaseline8Bit, "pylibjpeg-libjpeg")]
    )
    def test_a_missing_decoder_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: UID, plug_in: str
    ) -> None:
        path = written(tmp_path / "a.dcm", RAMP, JPEG2000Lossless)
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(path)
        monkeypatch.setattr(pydicom.pixels.get_decoder(syntax), "_available", {})
        with pytest.raises(
            UnreadableRadiograph, match=rf"a\.dcm: .*{syntax.name[:9]}.*pip install pylibjpeg {plug_in}"
        ) as raised:
            read_radiograph(path)
        assert raised.value.code == "decoder_missing"

    def test_a_header_whose_pixels_are_missing(self, tmp_path: Path) -> None:
        path = stored(tmp_path / "a.dcm", header(RAMP), ExplicitVRLittleEndian)
        with pytest.raises(UnreadableRadiograph, match=r"a\.dcm: .*cut off"):
            read_radiograph(path)

    def test_an_object_without_pixels_is_named(self, tmp_path: Path) -> None:
        dataset = header(RAMP, Rows=None, Columns=None, Modality=None)
        dataset.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.88.11")
        path = stored(tmp_path / "a.dcm", dataset, ExplicitVRLittleEndian)
        with pytest.raises(UnreadableRadiograph, match=r"no pixels.*Basic Text SR"):
            read_radiograph(path)


@pytest.mark.parametrize(
    ("software", "phantom"), [("boneage phantom", True), (["boneage phantom", "1"], True), ("v2", False), (None, False)]
)
def test_a_marked_dicom_is_a_phantom(tmp_path: Path, software: Any, *, phantom: bool) -> None:
    elements = {} if software is None else {"SoftwareVersions": software}
    path = written(tmp_path / "a.dcm", RAMP, **elements)
    assert is_phantom(path) is phantom
    assert read_radiograph(path).phantom is phantom


def test_sizes_of_coded_frames() -> None:
    coded = BytesIO()
    Image.new("L", (70, 90)).save(coded, "JPEG")
    assert dicom_pixels._coded_size(coded.getvalue()) == (70, 90)
    coded = BytesIO()
    Image.new("L", (70, 90)).save(coded, "JPEG2000")
    assert dicom_pixels._coded_size(coded.getvalue()) == (70, 90)
    assert dicom_pixels._coded_size(b"") is None
    assert dicom_pixels._coded_size(b"\xff\xd8\xff\xff\xff") is None


def test_pydicom_waits_for_the_first_dicom() -> None:
    code = "import sys, boneage.formats; sys.exit('pydicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
