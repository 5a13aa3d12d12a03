"""The sections of an evaluation's page on changed films and on shortcuts."""

from __future__ import annotations

from html import escape
from typing import Final

from boneage.evaluation.markup import MISSING, cell, months, number, percent, shown, table
from boneage.evaluation.names import FAMILY_NAMES, REGION_NAMES
from boneage.evaluation.stress.figures import (
    MAE_RISE_BAR,
    MEDIAN_BAR,
    PERCENTILE_95_BAR,
    STRICT_FAMILIES,
    STRICT_MAE_RISE_BAR,
    UNANSWERED_BAR,
    Family,
    Stress,
    UnderTransform,
    mae_rise_bar,
)

_LEVEL_HEADS: Final = (
    *("Film", "n", "MAE as it is<br>months", "MAE then<br>months", "Change,<br>paired", "MAE<br>rise"),
    *("Answer moves:<br>median", "95th<br>percentile", "&gt; 12<br>months", "&gt; 1 SD"),
)


def stress_section(stress: Stress, picture: str) -> str:
    """Families against the bars, the plot, every level, and what the mask and the attention say.

    Args:
        picture: the plot as HTML, or empty.
    """
    strict = ", ".join(FAMILY_NAMES[name].lower() for name in FAMILY_NAMES if name in STRICT_FAMILIES)
    left_out = f" {stress.without_answer} had no answer to begin with." if stress.without_answer else ""
    parts = [
        "<h2>When the film is changed</h2>",
        f"<p>{stress.cases} cases were assessed again after their films had been turned, mirrored, marked or "
        f"compressed, each saved with 8 bits and read anew.{left_out} The child is the same, so the answer should "
        "stay.</p>",
        _families(stress),
        '<p class="note">Of each kind the worst of its levels. <span class="kept">kept</span> and '
        '<span class="over">over</span> speak of the bars: the answer of half of the cases moves by at most '
        f"{MEDIAN_BAR:g} months, that of 95 % by at most {PERCENTILE_95_BAR:g}, and the mean absolute error (MAE) "
        f"rises by at most {100 * MAE_RISE_BAR:g} %, by {100 * STRICT_MAE_RISE_BAR:g} % for {strict}; at most "
        f"{100 * UNANSWERED_BAR:g} % of the cases lose their answer. 1 SD: the "
        "standard deviation of healthy children of that sex and bone age (Brush Foundation, in Greulich and Pyle "
        "1959).</p>",
        picture,
        "<h2>Every change of the film</h2>",
        _levels(stress),
        '<p class="note">n: cases with both answers; small below it those that were refused or failed. Positive angles '
        f"turn counter-clockwise. Intervals: 95 %, bootstrap over cases. {_sd_note(stress)}</p>",
        _shortcuts(stress),
    ]
    return "\n".join(part for part in parts if part)


def _families(stress: Stress) -> str:
    rows = [
        (
            "",
            [
                escape(FAMILY_NAMES.get(name, name)),
                _verdict(family),
                _against(family.worst("median_change"), 1.0, family.verdict.median, 1),
                _against(family.worst("percentile_95_change"), 1.0, family.verdict.percentile_95, 1),
                _against(family.worst("mae_rise"), 100.0, family.verdict.mae_rise, 0, unit=" %", signed=True)
                + f"<small>bar {100 * mae_rise_bar(name):g} %</small>",
                _against(family.worst("over_one_sd"), 100.0, None, 0, unit=" %"),
                _marked(
                    _lost(sum(level.rejected for level in family.levels), sum(level.failed for level in family.levels)),
                    family.verdict.answered,
                ),
            ],
        )
        for name, family in stress.families.items()
    ]
    heads = (
        *("Change of the film", "Over a bar at", "Answer moves:<br>median, months", "95th percentile<br>months"),
        *("MAE rise", "Move by<br>&gt; 1 SD", "No answer"),
    )
    return table(heads, rows, text=(0, 1))


def _verdict(family: Family) -> str:
    if family.verdict.kept is None:
        return MISSING
    if not family.broken:
        return '<span class="kept">kept</span>'
    if len(family.broken) == len(family.levels) > 1:
        return f'<span class="over">all {len(family.levels)} levels</span>'
    return f'<span class="over">{escape("; ".join(level.transform.label for level in family.broken))}</span>'


def _levels(stress: Stress) -> str:
    rows: list[tuple[str, list[str]]] = []
    for name, family in stress.families.items():
        head = escape(FAMILY_NAMES.get(name, name))
        rows.append((' class="head"', [head, *[""] * (len(_LEVEL_HEADS) - 1)]))
        rows += [("", [escape(level.transform.label), *_figures(level)]) for level in family.levels]
    return f'<div class="dense levels">{table(_LEVEL_HEADS, rows, text=(0,))}</div>'


def _figures(level: UnderTransform, *, bars: bool = True) -> list[str]:
    lost = _lost(level.rejected, level.failed, "")
    verdict = level.verdict
    return [
        f"{level.n}<small>{lost}</small>" if lost else str(level.n),
        cell(shown(level.mae_before, 1.0, 2, "", False)),
        cell(shown(level.mae_after, 1.0, 2, "", False)),
        cell(shown(level.mae_change, 1.0, 2, "", True)),
        _against(level.mae_rise, 100.0, verdict.mae_rise if bars else None, 1, unit=" %", signed=True),
        _marked(cell(months(level.median_change)), verdict.median if bars else None),
        _marked(cell(months(level.percentile_95_change)), verdict.percentile_95 if bars else None),
        cell(percent(level.over_12_months)),
        cell(percent(level.over_one_sd)),
    ]


def _shortcuts(stress: Stress) -> str:
    text = ""
    if stress.masked is not None:
        text += (
            "<h2>Does it read more than the hand?</h2>"
            '<div class="dense levels">'
            + table(_LEVEL_HEADS, [("", ["all but the hand masked", *_figures(stress.masked, bars=False)])], text=(0,))
            + '</div><p class="note">Everything outside the hand\'s box (widened by a tenth at each side) was set to '
            "the gray of the film's background: markers, labels, borders and most of the forearm are gone. Markers "
            "inside the box stay. An error that rises says that something outside the hand had been of use, or that "
            "the box was too tight; the hand alone should suffice.</p>"
        )
    shares = {region: share for region, share in stress.attention_in_hand.items() if share.n}
    if shares:
        rows = [("", [REGION_NAMES[region], str(share.n), cell(percent(share))]) for region, share in shares.items()]
        text += (
            "<h2>Attention inside the hand</h2>"
            + table(["Region", "n", "Share of its attention<br>inside the hand's box"], rows, text=(0,))
            + '<p class="note">Mean over cases, films as they are. The hand\'s box is the one that was found; it is '
            "drawn around the hand's own attention, so that its share says least.</p>"
        )
    return text


def _sd_note(stress: Stress) -> str:
    left_out = max((level.sd_not_tabulated for level in stress.under.values()), default=0)
    if not left_out:
        return ""
    return f"&gt; 1 SD leaves out {left_out} cases of an age or sex for which no SD is tabulated."


def _against(
    value: float | None, factor: float, kept: bool | None, digits: int, *, unit: str = "", signed: bool = False
) -> str:
    return MISSING if value is None else _marked(number(value * factor, digits, signed) + unit, kept)


def _marked(content: str, kept: bool | None) -> str:
    """Green or red with a sign of its own, for prints in gray and for eyes that see no difference."""
    return content if kept is None else f'<span class="{"kept" if kept else "over"}">{content}</span>'


def _lost(rejected: int, failed: int, none: str = MISSING) -> str:
    said = [f"{count} {word}" for count, word in ((rejected, "refused"), (failed, "failed")) if count]
    return ", ".join(said) or none
