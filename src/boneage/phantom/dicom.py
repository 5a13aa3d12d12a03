"""A phantom as a DICOM object: DX or CR, with plausible headers and without anybody's identity.

Written after PS3.3 A.26 (DX) and A.2 (CR). Every second object is MONOCHROME1 (bones have small values). The display is
defined by a window or by a VOI LUT. So the objects cover what a reader of DICOM has to handle. pydicom is imported when
the first object is made.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from boneage.ages import Sex
from boneage.errors import UsageError
from boneage.phantom.synthesis import Phantom
from boneage.phantom.truth import NOTICE
from boneage.radiograph import PHANTOM_MARK

if TYPE_CHECKING:
    from pydicom import Dataset

_DX: Final = "1.2.840.10008.5.1.4.1.1.1.1"
_CR: Final = "1.2.840.10008.5.1.4.1.1.1"
_STYLES: Final = 8
"""DX or CR, MONOCHROME1 or 2, window or LUT."""

_HAND: Final = ("85562004", "SCT", "Hand")
_POSTERO_ANTERIOR: Final = ("399348003", "SCT", "postero-anterior")


def check_coding(coding: str) -> None:
    """Check that pixels can be coded in this way.

    Raises:
        UsageError: the coding is unknown (code `unknown_coding`), or its encoder is not installed (code
            `encoder_missing`).
    """
    if coding not in ("none", "rle", "jpeg2000", "jpegls"):
        raise UsageError(
            f"'{coding}' is not a known coding of DICOM pixels. Write none, rle, jpeg2000 or jpegls.",
            code="unknown_coding",
        )
    if coding == "none":
        return
    from pydicom.pixels.encoders.base import get_encoder

    if not get_encoder(_syntax(coding)).is_available:
        needed = {"jpegls": "pyjpegls", "jpeg2000": "pylibjpeg-openjpeg", "rle": "pydicom"}[coding]
        raise UsageError(
            f"pixels cannot be coded as {coding}: the package {needed} is not installed. Install it.",
            code="encoder_missing",
        )


def encode_dicom(made: Phantom, case: int, *, style: int = 0, coding: str = "none") -> bytes:
    """A phantom as a DICOM file; the same arguments give the same bytes.

    Args:
        made: a phantom with bright bones; its bits are stored as they are.
        case: a number in place of the patient's name.
        style: 0 to 7 (then again from 0): bit 0 CR instead of DX, bit 1 MONOCHROME1, bit 2 a VOI LUT.
        coding: none, rle, jpeg2000 (reversible) or jpegls.

    Raises:
        UsageError: the coding is not available (see `check_coding`), or the phantom is inverted (code
            `contradicting_options`).
    """
    check_coding(coding)
    if made.truth.inverted:
        raise UsageError(
            "an inverted phantom cannot be a DICOM object: a header declares dark bones. Make it without inversion.",
            code="contradicting_options",
        )
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    style %= _STYLES
    computed, dark, with_table = bool(style & 1), bool(style & 2), bool(style & 4)
    # UIDs are a hash of the phantom's arguments: the same phantom is the same object.
    named = [PHANTOM_MARK, str(made.truth.seed), f"{made.truth.bone_age_months}", made.truth.sex.value, str(style)]
    named += [str(made.bits), f"{made.truth.width}x{made.truth.height}", str(case)]

    def uid(what: str) -> UID:
        return generate_uid(entropy_srcs=[*named, what])

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_CR if computed else _DX)
    meta.MediaStorageSOPInstanceUID = uid("instance")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = pydicom.uid.PYDICOM_IMPLEMENTATION_UID
    meta.ImplementationVersionName = "BONEAGE_PHANTOM"
    dataset = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid("study"), uid("series")
    _describe(dataset, made, case, computed=computed, dark=dark)
    _add_pixels(dataset, made, dark=dark)
    _add_display(dataset, made, dark=dark, with_table=with_table)
    if coding != "none":
        dataset.compress(_syntax(coding), generate_instance_uid=False)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _syntax(coding: str) -> Any:
    from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

    return {"rle": RLELossless, "jpeg2000": JPEG2000Lossless, "jpegls": JPEGLSLossless}[coding]


def _describe(dataset: Dataset, made: Phantom, case: int, *, computed: bool, dark: bool) -> None:
    truth = made.truth
    laterality = "B" if len(truth.hands) == 2 else truth.hands[0].laterality[0].upper()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = f"Phantom^{case}"
    dataset.PatientID = f"PHANTOM-{case}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "M" if truth.sex is Sex.MALE else "F"
    dataset.PatientAge = f"{round(truth.chronological_age_months):03d}M"
    dataset.PatientComments = "Synthetic radiograph of nobody"
    # A DICOMDIR needs a date: all phantoms have the same one.
    dataset.StudyDate, dataset.StudyTime = "20000101", "000000"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "", ""
    dataset.StudyID, dataset.StudyDescription = str(case), "Bone age phantom"
    dataset.SeriesNumber, dataset.InstanceNumber = "1", "1"
    dataset.Manufacturer = "boneage"
    dataset.ManufacturerModelName = "phantom"
    dataset.SoftwareVersions = PHANTOM_MARK
    dataset.InstitutionName = ""
    dataset.Modality = "CR" if computed else "DX"
    dataset.BodyPartExamined = "HAND"
    dataset.ViewPosition = "PA"
    dataset.ImageComments = NOTICE
    dataset.BurnedInAnnotation = "YES"
    dataset.LossyImageCompression = "00"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""] if not computed else ["ORIGINAL", "PRIMARY"]
    dataset.PatientOrientation = ["R", "H"]
    dataset.KVP = "52"
    if computed:
        # A series of both hands has no side; the image declares both.
        if laterality == "B":
            dataset.ImageLaterality = laterality
        else:
            dataset.Laterality = laterality
        dataset.PlateType, dataset.Sensitivity = "PHANTOM", "200"
    else:
        dataset.AcquisitionContextSequence = []
        dataset.PixelIntensityRelationship = "LOG"
        dataset.PixelIntensityRelationshipSign = -1 if dark else 1
        dataset.PresentationIntentType = "FOR PRESENTATION"
        dataset.ImageLaterality = laterality
        dataset.AnatomicRegionSequence = [_code(*_HAND)]
        dataset.ViewCodeSequence = [_code(*_POSTERO_ANTERIOR)]
        dataset.DetectorType = "SCINTILLATOR"
        dataset.DetectorID = "PHANTOM"
        dataset.PositionerType = "NONE"
    spacing = f"{truth.spacing_mm:.6f}"
    dataset.ImagerPixelSpacing = [spacing, spacing]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _add_pixels(dataset: Dataset, made: Phantom, *, dark: bool) -> None:
    top = 2**made.bits - 1
    stored = (top - made.pixels) if dark else made.pixels
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if dark else "MONOCHROME2"
    dataset.Rows, dataset.Columns = made.pixels.shape
    wide = made.bits > 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16 if wide else 8, made.bits, made.bits - 1
    dataset.PixelRepresentation = 0
    data = np.ascontiguousarray(stored, dtype="<u2" if wide else np.uint8).tobytes()
    dataset.PixelData = data if len(data) % 2 == 0 else data + b"\0"
    dataset["PixelData"].VR = "OW" if wide else "OB"


def _add_display(dataset: Dataset, made: Phantom, *, dark: bool, with_table: bool) -> None:
    from pydicom import Dataset

    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.PresentationLUTShape = "INVERSE" if dark else "IDENTITY"
    top = 2**made.bits - 1
    if not with_table:
        dataset.WindowCenter, dataset.WindowWidth = str((top + 1) / 2), str(top + 1)
        return
    entries = top + 1
    # CR allows entries of 8 or 16 bits only.
    values = np.round(np.linspace(0, 65535, entries)).astype("<u2")
    item = Dataset()
    item.LUTDescriptor = [0 if entries == 65536 else entries, 0, 16]
    item["LUTDescriptor"].VR = "US"
    item.LUTExplanation = "linear"
    item.LUTData = values.tobytes()
    item["LUTData"].VR = "OW"
    dataset.VOILUTSequence = [item]
