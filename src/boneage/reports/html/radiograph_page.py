"""The page of one radiograph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from boneage.assessment import Assessment
from boneage.radiograph import Radiograph
from boneage.reports.chart import distribution_chart
from boneage.reports.html.rendering import data_url, render
from boneage.reports.html.similar_cases_card import similar_cases_blocks
from boneage.reports.overlays import COLOURS, TITLES, VIEW_TITLES, attention_picture, encode, radiograph_picture
from boneage.reports.record import AssessmentRecord
from boneage.reports.text import number, years_and_months

_WIDEST: Final = 460.0
_HIGHEST: Final = 640.0


def radiograph_page(
    record: AssessmentRecord,
    assessment: Assessment,
    chronological_age_months: float | None = None,
    heatmaps: Mapping[str, str] | None = None,
) -> str:
    """The page of one radiograph.

    Args:
        record: of the assessment; its rounded ages are shown, so that pages and tables agree.
        assessment: pictures, boxes and distributions.
        chronological_age_months: shown beside the bone age.
        heatmaps: by region, the file name of its attention map in full size.
    """
    heatmaps = heatmaps or {}
    return render(
        "radiograph.html.jinja",
        notice=assessment.notice,
        record=record,
        radiograph=assessment.radiograph,
        image=_image(assessment.radiograph),
        regions=[
            {"box": box, "colour": COLOURS[region], "title": TITLES[region]}
            for region, box in assessment.regions.items()
        ],
        facts=_facts(record, assessment, chronological_age_months),
        chart=distribution_chart(assessment, chronological_age_months),
        similar_cases=similar_cases_blocks(record, assessment),
        attention=[
            {
                "source": data_url(encode(attention_picture(assessment, region, 600), "JPEG"), "jpeg"),
                "title": TITLES[region],
                "link": heatmaps.get(region.value),
            }
            for region in assessment.attention
        ],
        views=[
            {"source": data_url(encode(pixels, "PNG"), "png"), "title": VIEW_TITLES[view]}
            for view, pixels in assessment.views.items()
        ],
    )


def _image(radiograph: Radiograph) -> dict[str, Any]:
    """The radiograph's source, its size on the page, and the width of the boxes' lines in its own pixels."""
    width, height = radiograph.width, radiograph.height
    # A radiograph much longer than wide would otherwise push everything else off the page.
    shown = min(_WIDEST, _HIGHEST * width / height)
    return {
        "source": data_url(encode(radiograph_picture(radiograph, 1000), "JPEG"), "jpeg"),
        "width": shown,
        "height": shown * height / width,
        "line": max(width, height) / 330,
    }


def _facts(record: AssessmentRecord, assessment: Assessment, chronological_age_months: float | None) -> dict[str, str]:
    radiograph = assessment.radiograph
    facts = {"Sex": assessment.sex.value if assessment.sex else "unknown: both answers are shown"}
    if chronological_age_months is not None:
        facts["Chronological age"] = f"{years_and_months(chronological_age_months)} (not an input of the model)"
        if record.bone_age_months is not None:
            difference = record.bone_age_months - chronological_age_months
            facts["Bone age minus age"] = f"{number(difference, 1, signed=True)} months"
    if radiograph.laterality:
        facts["Hand"] = radiograph.laterality
    facts["Image"] = f"{radiograph.source}, {radiograph.width} \N{MULTIPLICATION SIGN} {radiograph.height} pixels"
    facts["File"] = record.file
    facts["Model"] = f"{assessment.model} (SHA-256 {assessment.model_sha256[:16]})"
    return facts
