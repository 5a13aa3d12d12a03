"""One assessment as one JSON object, and in words."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from boneage.ages import Sex
from boneage.assessment import NOTICE, Assessment, SexAnswer
from boneage.errors import BoneAgeError, RadiographError, UnsuitableRadiograph
from boneage.regional_ages import RegionalAges
from boneage.similar import SimilarCases


def record(assessment: Assessment, file: str | None = None) -> dict[str, Any]:
    """The JSON object of one assessment; the keys and their meaning are the command line's contract.

    Ages are rounded to 0.01 month, boxes to 0.1 pixel, probabilities to 1e-7.

    Args:
        assessment: the answer.
        file: the path as it was given; None for the one that the radiograph knows.
    """
    answers = {sex: _answer(answer) for sex, answer in assessment.answers.items()}
    nulls = dict.fromkeys(key for answer in answers.values() for key in answer)
    entry: dict[str, Any] = {
        "file": assessment.radiograph.file if file is None else file,
        "status": "assessed",
        "reason": None,
        "reason_code": None,
        "sex": assessment.sex.value if assessment.sex else "unknown",
        **(answers[assessment.sex] if assessment.sex else nulls),
        "regions": {
            region.value: [round(float(edge), 1) for edge in box.as_list()]
            for region, box in assessment.regions.items()
        },
        "model": assessment.model,
        "model_sha256": assessment.model_sha256,
        "seconds": round(assessment.seconds, 3),
        "turned_degrees": round(assessment.turned_degrees, 1),
        "inverted": assessment.inverted,
        "remarks": [
            {"code": remark.code, "severity": remark.severity.value, "text": remark.text}
            for remark in assessment.remarks
        ],
        "warnings": [remark.text for remark in assessment.remarks],
        "notice": assessment.notice,
    }
    if assessment.sex is None:
        entry["by_sex"] = {sex.value: answer for sex, answer in answers.items()}
    return entry


def failed_record(
    file: str,
    error: Exception,
    *,
    sex: Sex | None = None,
    model: str | None = None,
    model_sha256: str | None = None,
    seconds: float = 0.0,
    notice: str = NOTICE,
) -> dict[str, Any]:
    """The JSON object of a file without an answer: "rejected" (read, not to be assessed) or "failed"."""
    return {
        "file": file,
        "status": "rejected" if isinstance(error, UnsuitableRadiograph) else "failed",
        "reason": reason_of(error, file),
        "reason_code": error.code if isinstance(error, BoneAgeError) else "unexpected_error",
        "sex": sex.value if sex else "unknown",
        "bone_age_months": None,
        "interval_90_months": None,
        "distribution": None,
        "regions": {},
        "model": model,
        "model_sha256": model_sha256,
        "seconds": round(seconds, 3),
        "turned_degrees": 0.0,
        "inverted": False,
        "remarks": [],
        "warnings": [],
        "notice": notice,
    }


def reason_of(error: Exception, file: str = "") -> str:
    """Why there is no answer and what to do, in plain words, without the file's name in front."""
    if isinstance(error, RadiographError):
        said = ". ".join(part.rstrip(".") for part in (error.reason, error.remedy) if part) + "."
    else:
        said = str(error) or type(error).__name__
        said = said.removeprefix(f"{file}: ") if file else said
    return said[:1].upper() + said[1:]


def _answer(answer: SexAnswer) -> dict[str, Any]:
    return {
        "bone_age_months": round(answer.bone_age_months, 2),
        "interval_90_months": [round(end, 2) for end in answer.interval_90_months],
        "distribution": _rounded(answer.distribution),
        **({} if answer.regional_ages is None else _parts(answer.regional_ages)),
        **({} if answer.similar_cases is None else _similar_cases(answer.similar_cases)),
    }


def _parts(parts: RegionalAges) -> dict[str, float]:
    return {
        "carpal_bone_age_months": round(parts.carpal_months, 2),
        "tubular_bone_age_months": round(parts.tubular_months, 2),
        "carpal_minus_tubular_months": round(parts.difference_months, 2),
    }


def _similar_cases(similar_cases: SimilarCases) -> dict[str, Any]:
    return {
        "similar_cases": [
            {
                "id": case.id,
                "bone_age_months": round(case.bone_age_months, 2),
                "distance": round(case.distance, 3),
            }
            for case in similar_cases.cases
        ],
        "similar_cases_age_months": round(similar_cases.age_months, 2),
    }


def _rounded(distribution: npt.NDArray[np.float32]) -> list[float]:
    return [round(float(share), 7) for share in distribution.astype(np.float64)]


def years_and_months(months: float) -> str:
    """126.3 -> "10 y 6 mo", the way bone ages are spoken of."""
    years, rest = divmod(round(months), 12)
    return f"{years} y {rest} mo"


def short_file_name(file: str, longest: int = 60) -> str:
    """A file name for people: what cannot be printed replaced, the middle left out where it is long."""
    name = re.sub(r"[\x00-\x1f\x7f]", "?", file.encode("utf-8", "replace").decode("utf-8"))
    return name if len(name) <= longest else f"{name[: longest // 2 - 2]}...{name[-(longest // 2 - 1) :]}"
