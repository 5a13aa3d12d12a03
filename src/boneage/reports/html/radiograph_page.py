"""The page of one radiograph."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from boneage.assessment import Assessment
from boneage.reports.chart import distribution_svg
from boneage.reports.html.markup import data_url, notice_box, page_of, picture
from boneage.reports.html.similar_cases_card import similar_cases_card
from boneage.reports.overlays import COLOURS, TITLES, VIEW_TITLES, attention_picture, encoded, radiograph_picture
from boneage.reports.record import short_file_name, years_and_months


def radiograph_page(
    record: Mapping[str, Any],
    assessment: Assessment,
    chronological_age_months: float | None = None,
    heatmaps: Mapping[str, str] | None = None,
) -> str:
    """The page of one radiograph; `heatmaps` links a region's name to a picture in the report folder."""
    name = str(record["file"])
    body = f"""
<nav class="quiet"><a href="index.html">&larr; all radiographs</a></nav>
<h1>{escape(short_file_name(name))}</h1>
<div class="quiet">Bone age from a radiograph of the hand</div>
{notice_box(assessment.notice)}{_warnings(assessment)}
<div class="two">
<div class="film">{_image(assessment)}</div>
<div>
<div class="card">{_answers(record)}{_facts(record, assessment, chronological_age_months)}</div>
<div class="card"><h2>Age distribution</h2>{distribution_svg(assessment, chronological_age_months)}
<div class="quiet">{_key(chronological_age_months)}</div></div>
</div></div>
{similar_cases_card(record, assessment)}{_attention(assessment, heatmaps or {})}{_views(assessment)}"""
    return page_of(f"Bone age: {short_file_name(name)}", body, assessment.notice)


def _key(chronological_age_months: float | None) -> str:
    dashed = "" if chronological_age_months is None else " Dashed: chronological age."
    line = "Line: bone age, the mean of the distribution."
    return f"Height: probability of each month. Shaded: 90 % interval. {line}{dashed}"


def _warnings(assessment: Assessment) -> str:
    return "".join(f'<div class="notice warn">{escape(remark.text)}</div>' for remark in assessment.remarks)


def _answers(record: Mapping[str, Any]) -> str:
    """From the record, whose ages are rounded: every page and every table then says the same."""
    blocks = []
    for sex, answer in (record.get("by_sex") or {"": record}).items():
        months, (low, high) = answer["bone_age_months"], answer["interval_90_months"]
        title = f"Bone age, if {sex}" if sex else "Bone age"
        blocks.append(
            f'<div><h2>{title}</h2><div class="age">{years_and_months(months)} '
            f"<small>{months:.1f} months</small></div>"
            f"<div>90 % interval: {years_and_months(low)} to {years_and_months(high)} "
            f'<span class="quiet">({low:.0f} to {high:.0f} months)</span></div>{_parts(answer)}</div>'
        )
    return blocks[0] if len(blocks) == 1 else f'<div class="sexes">{"".join(blocks)}</div>'


def _parts(answer: Mapping[str, Any]) -> str:
    """Carpal and tubular bone age; empty where the model does not tell them."""
    if answer.get("carpal_bone_age_months") is None:
        return ""
    carpal, tubular, apart = (
        answer[f"{name}_months"] for name in ("carpal_bone_age", "tubular_bone_age", "carpal_minus_tubular")
    )
    return (
        f'<div title="from region 1 alone">Carpal: {years_and_months(carpal)} '
        f'<span class="quiet">({carpal:.0f} months)</span></div>'
        f'<div title="from hand and region 2 without region 1">Tubular: {years_and_months(tubular)} '
        f'<span class="quiet">({tubular:.0f} months; carpal minus tubular {apart:+.0f})</span></div>'
    )


def _facts(record: Mapping[str, Any], assessment: Assessment, chronological_age_months: float | None) -> str:
    radiograph = assessment.radiograph
    facts = {"Sex": assessment.sex.value if assessment.sex else "unknown: both answers are shown"}
    if chronological_age_months is not None:
        facts["Chronological age"] = f"{years_and_months(chronological_age_months)} (the model does not see it)"
        if record["bone_age_months"] is not None:
            facts["Bone age minus age"] = f"{record['bone_age_months'] - chronological_age_months:+.1f} months"
    if radiograph.laterality:
        facts["Hand"] = radiograph.laterality
    facts |= {
        "Film": f"{radiograph.source}, {radiograph.width} x {radiograph.height} pixels"
        + (" (a phantom, not a radiograph)" if radiograph.phantom else ""),
        "File": str(record["file"]),
        "Model": f"{assessment.model} (SHA-256 {assessment.model_sha256[:16]})",
    }
    return "<dl>" + "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.items()) + "</dl>"


def _image(assessment: Assessment) -> str:
    radiograph = assessment.radiograph
    image = radiograph_picture(radiograph, 1000)
    width, height = radiograph.width, radiograph.height
    thick = max(width, height) / 330
    boxes = "".join(
        f'<rect x="{box.x0:.1f}" y="{box.y0:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" fill="none" '
        f'stroke="{COLOURS[region]}" stroke-width="{thick:.2f}"><title>{TITLES[region]}</title></rect>'
        for region, box in assessment.regions.items()
    )
    key = "".join(
        f'<span><i style="border-color:{COLOURS[region]}"></i>{TITLES[region]}</span>' for region in assessment.regions
    )
    # A film much longer than wide would otherwise be drawn at a width that pushes everything else off the page.
    shown = min(460.0, 640.0 * width / height)
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{shown:.0f}" height="{shown * height / width:.0f}" role="img" '
        f'aria-label="radiograph with regions"><image width="{width}" height="{height}" '
        f'preserveAspectRatio="none" href="{data_url(encoded(image, "JPEG"), "jpeg")}"/>{boxes}</svg>'
        f'<div class="key">{key}</div>'
    )


def _attention(assessment: Assessment, heatmaps: Mapping[str, str]) -> str:
    if not assessment.attention:
        return ""
    panels = ""
    for region in assessment.attention:
        link = heatmaps.get(region.value)
        more = f' &middot; <a href="{escape(link)}">full size</a>' if link else ""
        heat = encoded(attention_picture(assessment, region, 480), "JPEG")
        panels += picture(data_url(heat, "jpeg"), TITLES[region], more)
    return (
        f'<div class="card"><h2>Where the networks looked</h2><div class="strip">{panels}</div>'
        '<div class="quiet">The warmer, the more a place spoke for the age; a region is the box around the warmest '
        "part.</div></div>"
    )


def _views(assessment: Assessment) -> str:
    panels = "".join(
        picture(data_url(encoded(pixels, "PNG"), "png"), VIEW_TITLES[view]) for view, pixels in assessment.views.items()
    )
    return f'<div class="card"><h2>What the age network saw</h2><div class="strip">{panels}</div></div>'
