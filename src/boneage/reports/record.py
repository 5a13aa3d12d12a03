"""One assessment as a typed record: the contract of JSON, CSV and pages."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, computed_field

from boneage.ages import Sex
from boneage.assessment import NOTICE, Assessment, SexAnswer
from boneage.errors import BoneAgeError, UnsuitableRadiograph
from boneage.remarks import Remark, Severity
from boneage.reports.text import reason_of

Text = SkipValidation[str]
"""Pydantic refuses lone surrogates, which stand for the bytes of file names that are not UTF-8."""

Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
Corners = Annotated[list[float], Field(min_length=4, max_length=4)]
Distribution = Annotated[list[float], Field(min_length=240, max_length=240)]


class _Record(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        json_schema_serialization_defaults_required=True,
    )


class SimilarCaseRecord(_Record):
    """One case of the model's training data."""

    id: Text
    bone_age_months: float
    """The case's label."""
    distance: float
    """Between the features of case and radiograph: 0 for the same image, 1 is usual between two cases of any age."""


class AnswerRecord(_Record):
    """The answer for one sex."""

    bone_age_months: float
    """Mean of the distribution, in [1, 240]."""
    interval_90_months: Interval
    """[lower, upper] of the 90 % interval."""
    distribution: Distribution
    """Probabilities of bone age 1, 2, ..., 240 months."""
    carpal_bone_age_months: float | None = None
    """From region 1 alone; null if the model has no regional heads or a region was not found."""
    tubular_bone_age_months: float | None = None
    """From hand and region 2 without region 1; null as above."""
    carpal_minus_tubular_months: float | None = None
    similar_cases: list[SimilarCaseRecord] | None = None
    """Most similar first; null without an index of the model's cases."""
    similar_cases_age_months: float | None = None
    """Median bone age of the similar cases."""

    @classmethod
    def of(cls, answer: SexAnswer) -> Self:
        """Ages are rounded to 0.01 month, probabilities to 1e-7, distances to 0.001."""
        regional, similar = answer.regional_ages, answer.similar_cases
        return cls(
            bone_age_months=round(answer.bone_age_months, 2),
            interval_90_months=[round(end, 2) for end in answer.interval_90_months],
            distribution=[round(float(share), 7) for share in answer.distribution.astype("float64")],
            carpal_bone_age_months=None if regional is None else round(regional.carpal_months, 2),
            tubular_bone_age_months=None if regional is None else round(regional.tubular_months, 2),
            carpal_minus_tubular_months=None if regional is None else round(regional.difference_months, 2),
            similar_cases=None
            if similar is None
            else [
                SimilarCaseRecord(
                    id=case.id, bone_age_months=round(case.bone_age_months, 2), distance=round(case.distance, 3)
                )
                for case in similar.cases
            ],
            similar_cases_age_months=None if similar is None else round(similar.age_months, 2),
        )


class BySexRecord(_Record):
    """The answers for both sexes."""

    male: AnswerRecord
    female: AnswerRecord


class RegionsRecord(_Record):
    """Boxes [x0, y0, x1, y1] in pixels of the radiograph as shown (after EXIF rotation)."""

    hand: Corners | None = None
    region_1: Corners | None = None
    """Carpal bones."""
    region_2: Corners | None = None
    """Metacarpal bones."""


class RemarkRecord(_Record):
    """What a reader should know about the answer."""

    code: str
    """Stable, snake case."""
    severity: Severity
    """"info" explains, "caution" asks for a review, "do_not_rely" forbids to use the answer."""
    text: Text
    """One or two sentences for people."""

    @classmethod
    def of(cls, remark: Remark) -> Self:
        return cls(code=remark.code, severity=remark.severity, text=remark.text)


class AssessmentRecord(_Record):
    """One radiograph: the answer, or why there is none. Every key is always there; a missing value is null."""

    file: Text
    """The path as it was given."""
    status: Literal["assessed", "rejected", "failed"]
    """"failed": could not be read. "rejected": was read, but must not be assessed."""
    reason: Text | None = None
    """Why the radiograph has no answer, and what to do; null if assessed."""
    reason_code: str | None = None
    """Stable, snake case; null if assessed."""
    sex: Literal["male", "female", "unknown"]
    """The sex it was assessed for. If unknown, the fields of the answer are null and `by_sex` holds both answers."""
    bone_age_months: float | None = None
    """Mean of the distribution, in [1, 240]."""
    interval_90_months: Interval | None = None
    """[lower, upper] of the 90 % interval."""
    distribution: Distribution | None = None
    """Probabilities of bone age 1, 2, ..., 240 months."""
    carpal_bone_age_months: float | None = None
    tubular_bone_age_months: float | None = None
    carpal_minus_tubular_months: float | None = None
    similar_cases: list[SimilarCaseRecord] | None = None
    """Most similar first; null without an index of the model's cases."""
    similar_cases_age_months: float | None = None
    """Median bone age of the similar cases."""
    regions: RegionsRecord | None = None
    by_sex: BySexRecord | None = None
    """Both answers if the sex is unknown; else null."""
    laterality: Literal["left", "right"] | None = None
    """Which hand, from the header."""
    turned_degrees: float | None = None
    """How far the radiograph was turned clockwise before it was assessed."""
    inverted: bool | None = None
    """Whether the radiograph was inverted before it was assessed."""
    remarks: list[RemarkRecord] = Field(default_factory=list)
    clinical: dict[str, Any] | None = None
    """Null without a chronological age."""
    model: str | None = None
    model_sha256: str | None = None
    seconds: float | None = None
    """From reading to answer, without loading the model; null without an answer."""
    notice: str = NOTICE

    @computed_field  # type: ignore[prop-decorator]
    @property
    def warnings(self) -> list[str]:
        """The texts of `remarks`."""
        return [remark.text for remark in self.remarks]

    @classmethod
    def of(cls, assessment: Assessment, file: str | None = None) -> Self:
        """The record of one assessment. Boxes are rounded to 0.1 pixel; see `AnswerRecord.of` for the answers.

        Args:
            assessment: the answer.
            file: the path as it was given; None for the radiograph's own.
        """
        answers = {sex: AnswerRecord.of(answer) for sex, answer in assessment.answers.items()}
        single = {} if assessment.sex is None else dict(answers[assessment.sex])
        return cls(
            file=(assessment.radiograph.file or "") if file is None else file,
            status="assessed",
            sex=_word(assessment.sex),
            **single,
            regions=RegionsRecord(
                **{
                    region.value: [round(float(edge), 1) for edge in box.as_list()]
                    for region, box in assessment.regions.items()
                }
            ),
            by_sex=None if assessment.sex else BySexRecord(male=answers[Sex.MALE], female=answers[Sex.FEMALE]),
            laterality=assessment.radiograph.laterality,
            turned_degrees=round(assessment.turned_degrees, 1),
            inverted=assessment.inverted,
            remarks=[RemarkRecord.of(remark) for remark in assessment.remarks],
            model=assessment.model,
            model_sha256=assessment.model_sha256,
            seconds=round(assessment.seconds, 3),
            notice=assessment.notice,
        )

    @classmethod
    def of_error(
        cls,
        error: Exception,
        file: str,
        *,
        sex: Sex | None = None,
        model: str | None = None,
        model_sha256: str | None = None,
        notice: str = NOTICE,
    ) -> Self:
        """The record of a radiograph without an answer.

        Args:
            error: "rejected" for `UnsuitableRadiograph`, else "failed".
            file: the path as it was given.
            sex: what was asked for, or the header says.
            model, model_sha256, notice: as in an answer.
        """
        return cls(
            file=file,
            status="rejected" if isinstance(error, UnsuitableRadiograph) else "failed",
            reason=reason_of(error, file),
            reason_code=error.code if isinstance(error, BoneAgeError) else "unexpected_error",
            sex=_word(sex),
            model=model,
            model_sha256=model_sha256,
            notice=notice,
        )

    @property
    def answers(self) -> dict[Sex | None, AnswerRecord]:
        """The answer under None, or the answers by sex where it is unknown; empty without an answer."""
        if self.by_sex is not None:
            return {Sex.MALE: self.by_sex.male, Sex.FEMALE: self.by_sex.female}
        if self.bone_age_months is None:
            return {}
        return {None: AnswerRecord.model_validate({name: getattr(self, name) for name in AnswerRecord.model_fields})}

    @property
    def severity(self) -> Severity | None:
        """The gravest severity among the remarks; None without remarks."""
        found = {remark.severity for remark in self.remarks}
        return next((severity for severity in reversed(Severity) if severity in found), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain values in the order of the contract."""
        return self.model_dump()

    def as_json(self) -> str:
        """One line of JSON; characters beyond ASCII are escaped."""
        return json.dumps(self.as_dict(), allow_nan=False)


def _word(sex: Sex | None) -> Literal["male", "female", "unknown"]:
    if sex is None:
        return "unknown"
    return "male" if sex is Sex.MALE else "female"
