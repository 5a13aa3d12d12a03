"""The report's front page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Protocol

from boneage.reports.html.markup import data_url, notice_box, page_of
from boneage.reports.record import short_file_name, years_and_months


class IndexRow(Protocol):
    """What the index needs to know of one radiograph."""

    record: Mapping[str, Any]
    page: str | None
    thumbnail: bytes | None
    chronological_age_months: float | None


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
{notice_box(notice)}"""
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
            for title in (
                "",
                "File",
                "Sex",
                *(["Chronological age"] if ages else []),
                "Bone age",
                "90 % interval",
                *remarks,
            )
        )
        body += (
            f'<div class="card"><h2>Assessed</h2><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(_index_row(row, ages) for row in assessed)}</tbody></table></div>"
        )
    return page_of("Bone age report", body, notice)


def _index_row(row: IndexRow, ages: bool) -> str:
    entry = row.record
    image = f'<img alt="" src="{data_url(row.thumbnail, "jpeg")}">' if row.thumbnail else ""
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
        f'<td class="number">{escape(str(entry["sex"]))}</td>'
        f'{chronological}<td class="number">{age}</td><td class="number">{interval}</td>'
        f'<td class="quiet">{"<br>".join(escape(word) for word in entry["warnings"])}</td></tr>'
    )


def _both(months: float) -> str:
    return f'<strong>{years_and_months(months)}</strong> <span class="quiet">({months:.1f} mo)</span>'
