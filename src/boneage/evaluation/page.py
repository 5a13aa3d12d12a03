"""The page of an evaluation: one HTML file that needs nothing else and prints well."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from boneage.evaluation.markup import MISSING, cell, months, number, percent, plain, shown, table
from boneage.evaluation.metrics import BANDS, Accuracy, Comparison
from boneage.evaluation.names import GROUP_NAMES, TRUTH_NAMES
from boneage.evaluation.predictions import Prediction
from boneage.evaluation.stress.page import stress_section

if TYPE_CHECKING:
    from boneage.evaluation.report import Evaluation

_CAPTIONS: Final = {
    "scatter": (
        "Predicted against label",
        "Each mark is one radiograph; on the line the prediction equals the label. A grid line stands for two years.",
    ),
    "bland_altman": (
        "Agreement (Bland&ndash;Altman)",
        "Difference against the mean of prediction and label. Above zero the model reads older than the label. "
        "Dashed: limits of agreement, within which about 95 % of the differences lie.",
    ),
    "error_by_age": (
        "Error by age",
        "Above: boxes hold the middle half of the cases, whiskers reach from the 5th to the 95th percentile. "
        "Below: mean absolute error of each two-year band; bands under five cases carry no interval.",
    ),
    "localization": (
        "Regions found, against the mean box",
        "Readers' boxes against the boxes taken from attention maps, and against always answering the mean box.",
    ),
    "stress": (
        "How far the answer moves",
        "Boxes hold the middle half of the cases, the line in them is the median, whiskers reach to the 5th and 95th "
        "percentile. The median should lie left of the first dashed line, the right whisker left of the second. "
        "Orange: over a bar; the mean absolute error counts as well. The scale widens towards zero.",
    ),
}

_CSS: Final = """
:root { --ink: #1f2933; --soft: #52606d; --line: #d9dee5; --wash: #f5f7fa; --female: #D55E00; --male: #0072B2; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); font: 16px/1.55 "Source Sans 3", "Segoe UI", "Helvetica Neue",
  Arial, "Liberation Sans", sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 40px 28px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -.01em; }
h2 { font-size: 20px; margin: 40px 0 4px; padding-top: 14px; border-top: 2px solid var(--ink); }
p { margin: 8px 0; max-width: 76ch; }
.lead, .note, figcaption { color: var(--soft); }
.note, figcaption { font-size: 14px; }
.notice { border-left: 5px solid #8a5a00; background: #fff8e6; padding: 10px 16px; margin: 18px 0; max-width: none; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; font-size: 15px; margin: 16px 0; }
dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(175px, 1fr)); gap: 12px; margin: 18px 0; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px; background: var(--wash); }
.card b { display: block; font-size: 28px; line-height: 1.25; font-weight: 600; }
.card span { display: block; font-size: 14px; color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 12px 0; font-size: 14.5px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 6px 10px; }
th { font-weight: 600; border-bottom: 1.5px solid var(--ink); vertical-align: bottom; }
td { border-bottom: 1px solid var(--line); vertical-align: top; }
th.text, td.text { text-align: left; } td.text { overflow-wrap: break-word; }
.dense th, .dense td { padding: 6px 7px; } .dense td small { font-size: 12px; } .dense td.text { min-width: 150px; }
td small { display: block; color: var(--soft); font-size: 12.5px; white-space: nowrap; }
tr.all td { font-weight: 600; background: var(--wash); } tr.all td small { font-weight: 400; }
.none { color: #9aa5b1; }
.sex::before { content: ""; display: inline-block; width: 9px; height: 9px; margin-right: 7px; border-radius: 50%; }
.sex.female::before { background: var(--female); } .sex.male::before { background: var(--male);
  border-radius: 0; clip-path: polygon(50% 0, 100% 100%, 0 100%); }
figure { margin: 22px 0; } figure img { display: block; max-width: 100%; height: auto; }
figure h3 { margin: 0 0 6px; font-size: 16px; }
.kept { color: #1a6e3c; } .over { color: #b3261e; font-weight: 600; } .over::before { content: "\\2717\\00a0"; }
.kept::before { content: "\\2713\\00a0"; } .kept small, .over small { font-weight: 400; }
tr.head td { font-weight: 600; background: var(--wash); padding-top: 9px; } .levels td.text { min-width: 128px; }
.better { font-weight: 600; } .better::before { content: "▲ "; } .worse::before { content: "▼ "; }
@media print { body { font-size: 11pt; } main { padding: 0; max-width: none; } .card, .notice, tr.all td
  { print-color-adjust: exact; -webkit-print-color-adjust: exact; } figure, tr, .card { break-inside: avoid; }
  h2 { break-after: avoid; } .wide { overflow: visible; } table { font-size: 9pt; } th, td { padding: 3px 5px; } }
"""


def page(evaluation: Evaluation, pictures: Mapping[str, bytes]) -> str:
    """The whole page as HTML.

    Args:
        evaluation: the figures.
        pictures: PNG bytes by name ("scatter", "bland_altman", "error_by_age", "localization", "stress"); they go
            inside.
    """
    facts = evaluation.provenance
    title = f"Bone age: {facts.model} on {facts.data}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        '<p class="lead">How far the automatic bone age lies from the label, and where it looked.</p>',
        f'<p class="notice" role="note"><strong>Please note.</strong> {escape(facts.notice)}</p>',
        _facts(evaluation),
        _headline(evaluation.metrics.overall),
        *(_picture(name, pictures[name]) for name in ("scatter",) if name in pictures),
        "<h2>By sex</h2>",
        _accuracy_table("Sex", {"All": evaluation.metrics.overall, **evaluation.metrics.by_sex}),
        "<h2>By age</h2>",
        _accuracy_table(
            "Label (years)",
            {
                "All": evaluation.metrics.overall,
                **{band.replace("-", "\N{EN DASH}"): group for band, group in evaluation.metrics.by_age_band.items()},
            },
        ),
        _constant(evaluation),
        _parts(evaluation),
        *(_picture(name, pictures[name]) for name in ("error_by_age", "bland_altman") if name in pictures),
        _by_sex_and_age(evaluation.metrics.by_sex_and_age_band),
        _localization(evaluation, pictures),
        _stress(evaluation, pictures),
        _comparison(evaluation.comparison),
        _worst(evaluation.worst),
        _not_assessed(evaluation),
        _method(evaluation),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _facts(evaluation: Evaluation) -> str:
    facts, counts = evaluation.provenance, evaluation.metrics.counts
    out = [f"{counts.rejected} rejected", f"{counts.failed} could not be read"]
    if counts.unlabelled:
        out.append(f"{counts.unlabelled} without a label")
    if counts.without_answer:
        out.append(f"{counts.without_answer} of unknown sex (no single answer)")
    entries = {
        "Model": f"{facts.model} (SHA-256 {facts.model_sha256[:12]}\N{HORIZONTAL ELLIPSIS})"
        if facts.model_sha256
        else facts.model,
        "Data": f"{facts.data}; scored part: {facts.splits}",
        "Cases": f"{counts.cases}, of which {counts.scored} are scored; {', '.join(out)}",
        "Version": f"boneage {facts.code_version}" if facts.code_version else "",
        "Made": facts.created.replace("T", " ").replace("+00:00", " UTC"),
    }
    lines = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in entries.items() if text)
    return f'<dl class="facts">{lines}</dl>'


def _headline(overall: Accuracy) -> str:
    if not overall.n:
        return '<p class="notice">No case has both a label and a prediction: there are no figures of accuracy.</p>'
    cards = [
        ("Mean absolute error", months(overall.mae), "months"),
        ("Root mean square", months(overall.rmse), "months"),
        ("Bias", months(overall.bias, signed=True), "months"),
        ("Within 12 months", percent(overall.within_12), ""),
        ("Label in 90 % interval", percent(overall.coverage_90), ""),
    ]
    drawn = "".join(
        f'<div class="card"><span>{name}</span><b>{value} <small style="font-size:15px;font-weight:400">{unit}</small>'
        f"</b><span>{interval or 'too few cases for an interval'}</span></div>"
        for name, (value, interval), unit in cards
    )
    return (
        f'<div class="cards">{drawn}</div><p class="note">Below each figure: its 95 % bootstrap interval, '
        f"n = {overall.n}. Bias = mean of predicted &minus; label: above zero the model reads older.</p>"
    )


def _constant(evaluation: Evaluation) -> str:
    """The intervals beside one of constant width; nothing where the model was not calibrated with one."""
    constant, overall = evaluation.constant, evaluation.metrics.overall
    if constant is None or overall.width_90.value is None:
        return ""
    own, own_interval = percent(overall.coverage_90)
    share, interval = percent(constant.coverage)
    return (
        f'<p class="note">The 90 % intervals cover {own} ({own_interval}) of the labels; their median width is '
        f"{overall.width_90.value:.1f} months. An interval of &plusmn;{constant.months:.1f} months for every case, "
        f"calibrated on the same cases, covers {share} ({interval}) and is {2 * constant.months:.1f} months wide.</p>"
    )


def _parts(evaluation: Evaluation) -> str:
    """Carpal and tubular bone age beside the whole hand's; nothing where the model does not tell them."""
    parts = evaluation.regional
    if parts is None:
        return ""
    groups = {"All": parts.overall, **parts.by_sex}
    groups |= {band.replace("-", "\N{EN DASH}"): group for band, group in parts.by_age_band.items() if group.n}
    rows = []
    for name, group in groups.items():
        maes = (months(entry) for entry in (group.carpal_mae, group.tubular_mae, group.whole_mae))
        biases = (months(entry, signed=True) for entry in (group.carpal_bias, group.tubular_bias))
        related = MISSING if group.error_correlation is None else number(group.error_correlation, 2)
        cells = [*map(cell, (*maes, *biases)), related, cell(percent(group.unusual))]
        said = _sex(name) if name in ("female", "male") else escape(name)
        rows.append((f' class="{"all" if name == "All" else "group"}"', [said, str(group.n), *cells]))
    heads = (
        *("Sex; label (years)", "n", "MAE carpal<br>months", "MAE tubular<br>months", "MAE whole hand<br>months"),
        *("Bias carpal<br>months", "Bias tubular<br>months", "Their errors<br>correlate", "Unusually<br>far apart"),
    )
    unusual, others = months(parts.whole_mae_where_unusual), months(parts.whole_mae_elsewhere)
    return (
        f"<h2>Carpal and tubular bone age</h2>{table(heads, rows, text=(0,))}"
        f'<p class="note">Mean absolute error of the whole hand\'s bone age where the two lie unusually far apart: '
        f"{unusual[0]} ({unusual[1] or 'too few cases for an interval'}) months; elsewhere {others[0]} "
        f"({others[1] or 'too few cases for an interval'}).</p>"
    )


def _accuracy_table(first: str, groups: Mapping[str, Accuracy]) -> str:
    heads = (
        *("n", "MAE<br>months", "RMSE<br>months", "Bias<br>months", "≤ 6<br>months", "≤ 12<br>months"),
        *("≤ 24<br>months", "In 90 %<br>interval", "Its width<br>months"),
    )
    rows = []
    for name, group in groups.items():
        said = _sex(name) if name in ("female", "male") else escape(name)
        cells = [
            months(group.mae),
            months(group.rmse),
            months(group.bias, signed=True),
            *(percent(share) for share in (group.within_6, group.within_12, group.within_24, group.coverage_90)),
            months(group.width_90),
        ]
        rows.append((f' class="{"all" if name == "All" else "group"}"', [said, str(group.n), *map(cell, cells)]))
    return table([escape(first), *heads], rows, text=(0,))


def _by_sex_and_age(groups: Mapping[str, Mapping[str, Accuracy]]) -> str:
    """Girls and boys of one band one under the other, bands without a case left out."""
    rows = []
    for band in BANDS:
        found = [(sex, bands[band]) for sex, bands in groups.items() if bands[band].n]
        for place, (sex, group) in enumerate(found):
            cells = [months(group.mae), months(group.bias, signed=True), percent(group.coverage_90)]
            name = "" if place else band.replace("-", "\N{EN DASH}")
            rows.append(("", [name, _sex(sex), str(group.n), *map(cell, cells), cell(months(group.width_90))]))
    heads = (
        "Label (years)",
        "Sex",
        "n",
        "MAE<br>months",
        "Bias<br>months",
        "In 90 %<br>interval",
        "Its width<br>months",
    )
    return f"<h2>By sex and age</h2>{table(heads, rows, text=(0, 1))}" if rows else ""


def _stress(evaluation: Evaluation, pictures: Mapping[str, bytes]) -> str:
    if evaluation.stress is None:
        return ""
    return stress_section(evaluation.stress, _picture("stress", pictures["stress"]) if "stress" in pictures else "")


def _localization(evaluation: Evaluation, pictures: Mapping[str, bytes]) -> str:
    if not any(entry.n for groups in evaluation.localization.values() for entry in groups.values()):
        return ""
    heads = (
        *("Truth", "n", "mIoU", "AP50", "Centre off<br>hand widths", "Truth<br>covered"),
        *("Mean box<br>mIoU", "Mean box<br>AP50", "IoU gained<br>over it"),
    )
    rows = []
    for truth, groups in evaluation.localization.items():
        for group, entry in groups.items():
            if not entry.n:
                continue
            count = f"{entry.n}<small>{entry.without_box} missed</small>" if entry.without_box else str(entry.n)
            found, floor, gain = entry.found, entry.floor, entry.gain
            verdict = ""
            if gain.lower is not None and gain.upper is not None:
                verdict = "better" if gain.lower > 0 else "worse" if gain.upper < 0 else ""
            cells = [
                *(plain(found.miou), percent(found.ap50), plain(found.centre_distance), percent(found.covered)),
                *(plain(floor.miou), percent(floor.ap50)),
            ]
            gained = f'<span class="{verdict}">{cell(plain(gain, signed=True))}</span>'
            name = f"{escape(TRUTH_NAMES.get(truth, truth))}<small>{escape(GROUP_NAMES.get(group, group))}</small>"
            rows.append(("", [name, count, *map(cell, cells), gained]))
    note = (
        "Readers' boxes serve to measure, nothing else. mIoU: mean intersection over union. AP50: "
        "share of cases above 0.5. Centres are compared in widths of the hand: the reader's box where it is a hand "
        "box, else the hand box that was found. The mean box is the mean of all other cases' truths. ▲: better than "
        "the mean box, the paired 95 % interval lies above zero; ▼: worse. Rejected and failed cases count as missed."
    )
    picture = _picture("localization", pictures["localization"]) if "localization" in pictures else ""
    return (
        f'<h2>Where it looked</h2><div class="dense">{table(heads, rows, text=(0,))}</div>'
        f'<p class="note">{note}</p>{picture}'
    )


def _comparison(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    cells = [
        cell(shown(comparison.mae_first, 1.0, 2, "", False)),
        cell(shown(comparison.mae_second, 1.0, 2, "", False)),
        cell(shown(comparison.difference, 1.0, 2, "", True)),
    ]
    return (
        "<h2>Against the other predictions</h2>"
        + table(
            ["Common cases", "MAE here<br>months", "MAE of the other<br>months", "Difference, paired<br>months"],
            [("", [str(comparison.difference.n), *cells])],
            text=(),
        )
        + '<p class="note">A difference below zero speaks for the model of this page. Scored in one table only: '
        f"{comparison.only_first} here, {comparison.only_second} there.</p>"
    )


def _worst(worst: Sequence[Prediction]) -> str:
    if not worst:
        return ""
    rows = [
        (
            "",
            [
                escape(row.id),
                escape(row.file),
                _sex(row.sex) if row.sex else "unknown",
                f"{row.age_months:.1f}",
                f"{row.predicted_months:.1f}",
                number(row.error_months or 0.0, 1, signed=True),
            ],
        )
        for row in worst
    ]
    heads = ["Case", "File", "Sex", "Label<br>months", "Predicted<br>months", "Error<br>months"]
    return f"<h2>Largest errors</h2>{table(heads, rows, text=(0, 1, 2))}"


def _not_assessed(evaluation: Evaluation) -> str:
    rows = [("", [escape(row.id), escape(row.file), row.status, escape(row.reason)]) for row in evaluation.not_assessed]
    text = "<h2>Not assessed</h2>"
    if rows:
        text += table(["Case", "File", "Status", "Why"], rows, text=(0, 1, 2, 3))
    else:
        text += "<p>Every radiograph of the scored part was assessed.</p>"
    dropped = evaluation.provenance.dropped
    if dropped:
        said = "; ".join(f"{escape(reason)}: {count}" for reason, count in dropped.items())
        text += f'<p class="note">Left out of the whole data set before assessing: {said}.</p>'
    return text


def _method(evaluation: Evaluation) -> str:
    return (
        "<h2>How the figures are made</h2>"
        '<p class="note">Error = predicted &minus; label, in months; the label is what the data set gives, often one '
        "radiologist's report, itself off by several months. Bands go by the label; their lower edge belongs to them. "
        "Rejected and failed cases are counted above and have no error. Intervals: 95 % percentile bootstrap over "
        f"cases, {evaluation.resamples} resamples, seed {evaluation.seed}; none under five cases. The width of the "
        "90 % interval is a median.</p>"
    )


def _sex(name: str) -> str:
    return f'<span class="sex {name}">{name}</span>'


def _picture(name: str, picture: bytes) -> str:
    title, caption = _CAPTIONS[name]
    data = base64.b64encode(picture).decode("ascii")
    width = 640 if name == "scatter" else 860
    return (
        f'<figure><h3>{title}</h3><img width="{width}" alt="{title}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
