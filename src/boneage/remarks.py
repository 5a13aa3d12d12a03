"""What a reader should know about an answer: remarks with stable codes and severities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Severity(StrEnum):
    """How much a remark matters: "info" explains, "caution" asks to look, "do_not_rely" forbids to use the answer."""

    INFO = "info"
    CAUTION = "caution"
    DO_NOT_RELY = "do_not_rely"


_INFO, _CAUTION, _DO_NOT_RELY = Severity

REMARKS: Final[Mapping[str, tuple[Severity, str]]] = {
    # The file
    "first_page": (_INFO, "The file holds several pages; the first was read."),
    "first_frame": (_INFO, "The file holds several frames; the first was read."),
    "largest_page": (_INFO, "The file holds several pages, the first of them smaller; the largest was read."),
    "read_with_8_bits": (_INFO, "A 16-bit picture with colour or alpha channels was read with 8 bits."),
    "transparency": (_INFO, "Transparent pixels were taken for black."),
    "exif_damaged": (_CAUTION, "The EXIF block is damaged: the picture may lie on its side."),
    "raw_image": (_CAUTION, "The DICOM image is raw (FOR PROCESSING)."),
    "window_damaged": (_CAUTION, "The VOI LUT or window in the header is damaged and was left out."),
    "window_hides_image": (_CAUTION, "The window in the header hides the bones or the whole image and was left out."),
    "unknown_sex_word": (_CAUTION, "The header's word for the sex is not understood and was left out."),
    "laterality_contradicts": (_CAUTION, "The header names both the left and the right hand."),
    "color_image": (_DO_NOT_RELY, "The image is in colour; the refusal was overruled."),
    "other_modality": (_DO_NOT_RELY, "The header names another modality; the refusal was overruled."),
    "other_body_part": (_DO_NOT_RELY, "The header names another body part; the refusal was overruled."),
    "pixels_not_square": (_CAUTION, "The pixels are not square."),
    "phantom": (_INFO, "The picture is a phantom, not a radiograph."),
    "sex_contradicts_header": (_CAUTION, "The sex that was asked for is not the header's."),
    # The gate
    "rotated": (_INFO, "The radiograph was rotated to canonical orientation."),
    "inverted": (_INFO, "The radiograph was inverted: its bones were dark."),
    "not_a_hand": (_DO_NOT_RELY, "The gate takes the picture for something else than a hand; it was overruled."),
    "two_hands": (_DO_NOT_RELY, "The gate sees two hands; it was overruled."),
    "carpus_cut_off": (_DO_NOT_RELY, "The gate sees no whole carpus; it was overruled."),
    "exposure": (_DO_NOT_RELY, "The gate cannot tell bone from the rest; it was overruled."),
    # Regions, interval, regional ages, similar cases
    "region_not_found": (_CAUTION, "A region was not found; a larger place stands in for it."),
    "few_calibration_cases": (_CAUTION, "The 90 % interval rests on few cases of this sex and age."),
    "regional_ages_differ": (_CAUTION, "Carpal and tubular bone age lie unusually far apart."),
    "carpal_age_unreliable": (_INFO, "At this bone age the carpal bone age is much less exact than the tubular one."),
    "regional_ages_from_phantoms": (_INFO, "Carpal and tubular bone age were learned from phantoms."),
    "similar_cases_differ": (_CAUTION, "The similar cases' age lies unusually far from the model's answer."),
    "radiograph_in_index": (_CAUTION, "The radiograph itself, or a copy of it, is among the indexed cases."),
    "similar_cases_from_phantoms": (_INFO, "There are phantoms among the indexed cases."),
}
"""Every remark: code -> (severity, when it is made). Codes are stable: pages, JSON and tests key on them."""


@dataclass(frozen=True)
class Remark:
    """One remark.

    Attributes:
        code: one of `REMARKS`.
        severity: how much it matters.
        text: one or two sentences for people.
    """

    code: str
    severity: Severity
    text: str

    @classmethod
    def of(cls, code: str, text: str) -> Remark:
        """The remark with the severity that `REMARKS` gives its code.

        Raises:
            KeyError: the code is not in `REMARKS`.
        """
        return cls(code, REMARKS[code][0], text)
