"""The text of the report's pages: self-contained, printable, no script."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from boneage.ages import MONTHS, Sex
from boneage.assessment import Assessment, SexAnswer
from boneage.reports.pictures import COLOURS, TITLES, VIEW_TITLES, attention_picture, encoded, film_picture
from boneage.reports.record import short_file_name, years_and_months

SEX_COLOURS: Final = {Sex.FEMALE: "#b0457b", Sex.MALE: "#2a6f97"}

_STYLE: Final = """
:root { --ink: #1d2733; --soft: #5b6875; --line: #dde3e8; --paper: #ffffff; --ground: #f3f5f7; --accent: #17527a; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 20px; }
a { color: var(--accent); }
h1 { font-size: 21px; margin: 0 0 2px; overflow-wrap: anywhere; }
h2 { font-size: 15px; margin: 0 0 10px; }
.quiet { color: var(--soft); font-size: 13px; }
.notice { border-left: 4px solid #c77700; background: #fff7e8; padding: 9px 14px; margin: 14px 0 18px;
  font-size: 13.5px;  -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.warn { border-left-color: #b3261e; background: #fdeeed; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 18px 20px;
  margin: 0 0 18px; break-inside: avoid; }
.two { display: grid; grid-template-columns: minmax(300px, 5fr) 7fr; gap: 18px; align-items: start; }
.film { background: #0b0e11; border-radius: 8px; padding: 12px; margin: 0 0 18px; break-inside: avoid;
  text-align: center; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.film svg { max-width: 100%; max-height: 640px; height: auto; display: block; margin: 0 auto; }
.key { color: #d5dde4; font-size: 12.5px; margin-top: 9px; text-align: left;
  display: flex; flex-wrap: wrap; gap: 3px 16px; }
.key i { display: inline-block; width: 12px; height: 12px; border: 2.5px solid; margin-right: 6px;
  vertical-align: -1px; }
.age { font-size: 38px; font-weight: 650; letter-spacing: -.5px; line-height: 1.15; }
.sexes .age { font-size: 30px; } .sexes .age small { display: block; }
.age small { font-size: 16px; font-weight: 400; color: var(--soft); letter-spacing: 0; }
.sexes { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 18px; margin: 12px 0 0; font-size: 14px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.strip { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px; }
figure { margin: 0; } figure img { width: 100%; max-height: 300px; object-fit: contain; background: #0b0e11;
  border-radius: 5px; display: block; }
figcaption { font-size: 12.5px; color: var(--soft); margin-top: 5px; }
svg text { font: 11.5px -apple-system, "Segoe UI", Roboto, Arial, sans-serif; fill: var(--soft); }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--soft); font-weight: 550; font-size: 12.5px; border-bottom: 2px solid var(--line);
  padding: 5px 12px 5px 0; }
td { border-bottom: 1px solid var(--line); padding: 7px 12px 7px 0; vertical-align: middle; overflow-wrap: anywhere; }
td img { display: block; max-width: 56px; max-height: 64px; border-radius: 3px; }
tr { break-inside: avoid; }
.pill { font-size: 12px; padding: 1px 8px; border-radius: 9px; background: #fdeeed; color: #8c1d18; }
.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
footer { color: var(--soft); font-size: 12.5px; border-top: 1px solid var(--line); margin-top: 8px; padding-top: 12px; }
@media (max-width: 760px) { .two { grid-template-columns: 1fr; } }
@media print { body { background: #fff; font-size: 12px; } main { padding: 0; max-width: none; } nav { display: none; }
  .card, .film { margin-bottom: 10px; } .film svg { max-height: 420px; } .two { grid-template-columns: 5fr 7fr; }
  figure img { max-height: 190px; } @page { margin: 14mm; } }
"""


class IndexRow(Protocol):
    """What the index needs to know of one radiograph."""

    record: Mapping[str, Any]
    page: str | None
    thumbnail: bytes | None
    chronological_age_months: float | None


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
{_notice(assessment.notice)}{_warnings(assessment)}
<div class="two">
<div class="film">{_film(assessment)}</div>
<div>
<div class="card">{_answers(assessment)}{_facts(record, assessment, chronological_age_months)}</div>
<div class="card"><h2>Age distribution</h2>{distribution_svg(assessment, chronological_age_months)}
<div class="quiet">Shaded: 90 % interval. Line: bone age, the mean of the distribution.</div></div>
</div></div>
{_attention(assessment, heatmaps or {})}{_views(assessment)}"""
    return _page(f"Bone age: {short_file_name(name)}", body, assessment.notice)


def index_page(rows: Iterable[IndexRow], notice: str, made: str) -> str:
    """The report's front page: every radiograph, and those without an answer with the reason."""
    rows = list(rows)
    assessed = [row for row in rows if row.record["status"] == "assessed"]
    others = [row for row in rows if row.record["status"] != "assessed"]
    counts = f"{len(assessed)} assessed, " + ", ".join(
        f"{sum(row.record['status'] == status for row in others)} {status}" for status in ("rejected", "failed")
    )
    models = sorted({f"{row.record['model']} ({str(row.record['model_sha256'])[:12]})" for row in assessed})
    parts = [made, counts, *(f"model {model}" for model in models)]
    body = f"""
<h1>Bone age report</h1>
<div class="quiet">{" &middot; ".join(escape(part) for part in parts)}</div>
{_notice(notice)}"""
    if others:
        lines = "".join(
            f"<tr><td>{escape(short_file_name(str(row.record['file'])))}</td>"
            f'<td><span class="pill">{escape(str(row.record["status"]))}</span></td>'
            f"<td>{escape(str(row.record['reason']))}</td></tr>"
            for row in others
        )
        body += (
            '<div class="card"><h2>Not assessed</h2><table><thead><tr><th>File</th><th>Status</th><th>Reason</th></tr>'
            f"</thead><tbody>{lines}</tbody></table></div>"
        )
    if assessed:
        ages = any(row.chronological_age_months is not None for row in assessed)
        remarks = ["Remarks"] if any(row.record["warnings"] for row in assessed) else []
        head = "".join(
            f"<th>{title}</th>"
            for title in ("", "File", "Sex", *(["Age"] if ages else []), "Bone age", "90 % interval", *remarks)
        )
        body += (
            f'<div class="card"><h2>Assessed</h2><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(_index_row(row, ages) for row in assessed)}</tbody></table></div>"
        )
    return _page("Bone age report", body, notice)


def _index_row(row: IndexRow, ages: bool) -> str:
    entry = row.record
    image = f'<img alt="" src="{_data(row.thumbnail, "jpeg")}">' if row.thumbnail else ""
    answers = entry.get("by_sex") or {"": entry}
    prefix = {sex: f'<span class="quiet">{sex} </span>' if sex else "" for sex in answers}
    age = "<br>".join(prefix[sex] + _both(answer["bone_age_months"]) for sex, answer in answers.items())
    interval = "<br>".join(
        " to ".join(years_and_months(end) for end in answer["interval_90_months"]) for answer in answers.values()
    )
    file = escape(short_file_name(str(entry["file"])))
    chronological = ""
    if ages:
        known = row.chronological_age_months
        chronological = f'<td class="number">{"" if known is None else years_and_months(known)}</td>'
    return (
        f'<tr><td>{image}</td><td><a href="{escape(row.page or "")}">{file}</a></td>'
        f"<td>{escape(str(entry['sex']))}</td>"
        f'{chronological}<td class="number">{age}</td><td class="number">{interval}</td>'
        f'<td class="quiet">{"<br>".join(escape(word) for word in entry["warnings"])}</td></tr>'
    )


def _page(title: str, body: str, notice: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="generator" content="boneage">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body><main>{body}\n"
        f"<footer>{escape(notice)}</footer></main></body></html>\n"
    )


def _notice(notice: str) -> str:
    return f'<div class="notice"><strong>{escape(notice)}</strong></div>'


def _warnings(assessment: Assessment) -> str:
    return "".join(f'<div class="notice warn">{escape(word)}</div>' for word in assessment.warnings)


def _both(months: float) -> str:
    return f'<strong>{years_and_months(months)}</strong> <span class="quiet">({months:.1f} mo)</span>'


def _answers(assessment: Assessment) -> str:
    blocks = []
    for sex, answer in assessment.answers.items():
        low, high = answer.interval_90_months
        title = f"Bone age, if {sex.value}" if assessment.sex is None else "Bone age"
        blocks.append(
            f'<div><h2>{title}</h2><div class="age">{years_and_months(answer.bone_age_months)} '
            f"<small>{answer.bone_age_months:.1f} months</small></div>"
            f"<div>90 % interval: {years_and_months(low)} to {years_and_months(high)} "
            f'<span class="quiet">({low:.0f} to {high:.0f} months)</span></div></div>'
        )
    return blocks[0] if len(blocks) == 1 else f'<div class="sexes">{"".join(blocks)}</div>'


def _facts(record: Mapping[str, Any], assessment: Assessment, chronological_age_months: float | None) -> str:
    radiograph = assessment.radiograph
    facts = {"Sex": assessment.sex.value if assessment.sex else "unknown: both answers are shown"}
    if chronological_age_months is not None:
        facts["Chronological age"] = f"{years_and_months(chronological_age_months)} (the model does not see it)"
        if assessment.bone_age_months is not None:
            facts["Bone age minus age"] = f"{assessment.bone_age_months - chronological_age_months:+.1f} months"
    if radiograph.laterality:
        facts["Hand"] = radiograph.laterality
    facts |= {
        "Film": f"{radiograph.source}, {radiograph.width} x {radiograph.height} pixels"
        + (" (a phantom, not a radiograph)" if radiograph.phantom else ""),
        "File": str(record["file"]),
        "Model": f"{assessment.model} (SHA-256 {assessment.model_sha256[:16]})",
    }
    return "<dl>" + "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.items()) + "</dl>"


def _film(assessment: Assessment) -> str:
    radiograph = assessment.radiograph
    film = film_picture(radiograph, 1000)
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
        f'preserveAspectRatio="none" href="{_data(encoded(film, "JPEG"), "jpeg")}"/>{boxes}</svg>'
        f'<div class="key">{key}</div>'
    )


def _attention(assessment: Assessment, heatmaps: Mapping[str, str]) -> str:
    if not assessment.attention:
        return ""
    panels = ""
    for region in assessment.attention:
        link = heatmaps.get(region.value)
        more = f' &middot; <a href="{escape(link)}">full size</a>' if link else ""
        picture = encoded(attention_picture(assessment, region, 480), "JPEG")
        panels += _figure(_data(picture, "jpeg"), TITLES[region], more)
    return (
        f'<div class="card"><h2>Where the networks looked</h2><div class="strip">{panels}</div>'
        '<div class="quiet">The warmer, the more a place spoke for the age; a region is the box around the warmest '
        "part.</div></div>"
    )


def _views(assessment: Assessment) -> str:
    panels = "".join(
        _figure(_data(encoded(pixels, "PNG"), "png"), VIEW_TITLES[view]) for view, pixels in assessment.views.items()
    )
    return f'<div class="card"><h2>What the age network saw</h2><div class="strip">{panels}</div></div>'


def _figure(source: str, caption: str, more: str = "") -> str:
    text = escape(caption)
    return f'<figure><img alt="{text}" src="{source}"><figcaption>{text}{more}</figcaption></figure>'


def _data(image: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(image).decode()}"


def distribution_svg(assessment: Assessment, chronological_age_months: float | None = None) -> str:
    """The age distribution(s) over 0 to 20 years, with 90 % interval and bone age, as inline SVG."""
    width, height, left, right, top, base = 620.0, 230.0, 12.0, 608.0, 26.0, 196.0
    peak = max(float(answer.distribution.max()) for answer in assessment.answers.values())

    def x(month: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return left + np.asarray(month, dtype=np.float64) / 240.0 * (right - left)

    marks = "".join(
        f'<line x1="{x(year * 12):.1f}" x2="{x(year * 12):.1f}" y1="{base}" y2="{base + (6 if year % 2 == 0 else 3)}" '
        f'stroke="#aab4bd"/>' + (f'<text x="{x(year * 12):.1f}" y="{base + 19}" text-anchor="middle">{year}</text>'
        if year % 2 == 0 else "")
        for year in range(21)
    )  # fmt: skip
    curves = "".join(
        _curve(
            answer,
            SEX_COLOURS[sex],
            x(MONTHS),
            base - (base - top) / peak * answer.distribution.astype(np.float64),
            base,
        )
        for sex, answer in assessment.answers.items()
    )
    lines = ""
    for sex, answer in assessment.answers.items():
        at, colour = float(x(answer.bone_age_months)), SEX_COLOURS[sex]
        lines += f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top - 6}" y2="{base}" stroke="{colour}" stroke-width="1.6"/>'
    if len(assessment.answers) == 1:
        (answer,) = assessment.answers.values()
        at = float(np.clip(x(answer.bone_age_months), 60, width - 60))
        said = years_and_months(answer.bone_age_months)
        lines += f'<text x="{at:.1f}" y="{top - 11}" text-anchor="middle">{said}</text>'
    else:
        lines += "".join(
            f'<text x="{left + 4 + 70 * place}" y="{top - 11}" style="fill:{SEX_COLOURS[sex]}">'
            f"&#9632; {sex.value}</text>"
            for place, sex in enumerate(assessment.answers)
        )
    if chronological_age_months is not None and 0 <= chronological_age_months <= 240:
        at = float(x(chronological_age_months))
        lines += (
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top + 8}" y2="{base}" stroke="#333" stroke-dasharray="4 4"/>'
            f'<text x="{at + 4:.1f}" y="{top + 16}">age</text>'
        )
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="100%" role="img" aria-label="age distribution">'
        f"{curves}{lines}"
        f'<line x1="{left}" x2="{right}" y1="{base}" y2="{base}" stroke="#aab4bd"/>{marks}'
        f'<text x="{(left + right) / 2}" y="{height - 2}" text-anchor="middle">bone age in years</text></svg>'
    )


def _curve(
    answer: SexAnswer, colour: str, xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64], base: float
) -> str:
    low, high = answer.interval_90_months
    inside = (low - 0.5 <= MONTHS) & (high + 0.5 >= MONTHS)
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    area = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs[inside], ys[inside], strict=True))
    first, last = xs[inside][0], xs[inside][-1]
    return (
        f'<polygon points="{first:.1f},{base} {area} {last:.1f},{base}" fill="{colour}" opacity="0.18"/>'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
    )
