"""The sections of an evaluation's page on transformed radiographs and on shortcuts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from boneage.evaluation.names import FAMILY_NAMES
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
from boneage.evaluation.tables import MISSING, Cell, Head, Row, Table, months, percent
from boneage.reports.overlays import TITLES
from boneage.reports.text import number

_LEVEL_HEADS: Final = (
    *(Head("Transform", text=True), Head("n"), Head("MAE before", "months"), Head("MAE after", "months")),
    *(Head("Paired", "difference"), Head("MAE", "rise"), Head("Answer moves:", "median")),
    *(Head("95th", "percentile"), Head("> 12", "months"), Head("> 1 SD")),
)


@dataclass(frozen=True)
class StressSection:
    """What the template shows.

    Attributes:
        cases, without_answer: see `Stress`.
        families: each kind of transform against the bars, with the worst of its levels.
        levels: every level.
        masked: everything but the hand masked; None where that was not measured.
        attention: share of each region's attention inside the hand's box; None as above.
        sd_not_tabulated: cases that "> 1 SD" leaves out.
        bars: numbers for the text.
    """

    cases: int
    without_answer: int
    families: Table
    levels: Table
    masked: Table | None
    attention: Table | None
    sd_not_tabulated: int
    bars: dict[str, str]


def stress_section(stress: Stress) -> StressSection:
    """Families against the bars, every level, and what the mask and the attention show."""
    masked = stress.masked
    return StressSection(
        cases=stress.cases,
        without_answer=stress.without_answer,
        families=_families(stress),
        levels=_levels(stress),
        masked=None
        if masked is None
        else Table(_LEVEL_HEADS, [Row([Cell("all but the hand masked"), *_figures(masked, bars=False)])]),
        attention=_attention(stress),
        sd_not_tabulated=max((level.sd_not_tabulated for level in stress.under.values()), default=0),
        bars={
            "median": f"{MEDIAN_BAR:g}",
            "percentile_95": f"{PERCENTILE_95_BAR:g}",
            "mae_rise": f"{100 * MAE_RISE_BAR:g}",
            "strict_mae_rise": f"{100 * STRICT_MAE_RISE_BAR:g}",
            "strict": ", ".join(name.lower() for family, name in FAMILY_NAMES.items() if family in STRICT_FAMILIES),
            "unanswered": f"{100 * UNANSWERED_BAR:g}",
        },
    )


def _families(stress: Stress) -> Table:
    heads = (
        *(Head("Transform", text=True), Head("Over a limit at", text=True)),
        *(Head("Answer moves:", "median, months"), Head("95th percentile", "months"), Head("MAE rise")),
        *(Head("Moves by", "> 1 SD"), Head("No answer")),
    )
    rows = []
    for name, family in stress.families.items():
        rejected, failed = (sum(getattr(level, kind) for level in family.levels) for kind in ("rejected", "failed"))
        lost, verdict = _lost(rejected, failed), family.verdict
        rows.append(
            Row(
                [
                    Cell(FAMILY_NAMES.get(name, name)),
                    _verdict(family),
                    _number(family.worst("median_change"), 1.0, 1).kept(verdict.median),
                    _number(family.worst("percentile_95_change"), 1.0, 1).kept(verdict.percentile_95),
                    _number(
                        family.worst("mae_rise"),
                        100.0,
                        digits=0,
                        unit=" %",
                        signed=True,
                        below=f"bar {100 * mae_rise_bar(name):g} %",
                    ).kept(verdict.mae_rise),
                    _number(family.worst("over_one_sd"), 100.0, digits=0, unit=" %"),
                    (Cell(lost) if lost else MISSING).kept(verdict.answered),
                ]
            )
        )
    return Table(heads, rows)


def _verdict(family: Family) -> Cell:
    if family.verdict.kept is None:
        return MISSING
    if not family.broken:
        return Cell("kept", mark="kept")
    if len(family.broken) == len(family.levels) > 1:
        return Cell(f"all {len(family.levels)} levels", mark="over")
    return Cell("; ".join(level.transform.label for level in family.broken), mark="over")


def _levels(stress: Stress) -> Table:
    rows: list[Row] = []
    for name, family in stress.families.items():
        rows.append(Row([Cell(FAMILY_NAMES.get(name, name)), *[Cell("")] * (len(_LEVEL_HEADS) - 1)], "head"))
        rows += [Row([Cell(level.transform.label), *_figures(level)]) for level in family.levels]
    return Table(_LEVEL_HEADS, rows)


def _figures(level: UnderTransform, *, bars: bool = True) -> list[Cell]:
    verdict = level.verdict
    return [
        Cell(str(level.n), _lost(level.rejected, level.failed)),
        months(level.mae_before, digits=2),
        months(level.mae_after, digits=2),
        months(level.mae_change, digits=2, signed=True),
        _number(level.mae_rise, 100.0, digits=1, unit=" %", signed=True).kept(verdict.mae_rise if bars else None),
        months(level.median_change).kept(verdict.median if bars else None),
        months(level.percentile_95_change).kept(verdict.percentile_95 if bars else None),
        percent(level.over_12_months),
        percent(level.over_one_sd),
    ]


def _attention(stress: Stress) -> Table | None:
    shares = {region: share for region, share in stress.attention_in_hand.items() if share.n}
    heads = (Head("Region", text=True), Head("n"), Head("Share of its attention", "inside the hand's box"))
    rows = [Row([Cell(TITLES[region]), Cell(str(share.n)), percent(share)]) for region, share in shares.items()]
    return Table(heads, rows) if rows else None


def _number(
    value: float | None, factor: float, digits: int, unit: str = "", *, signed: bool = False, below: str = ""
) -> Cell:
    return MISSING if value is None else Cell(number(value * factor, digits, signed=signed) + unit, below)


def _lost(rejected: int, failed: int) -> str:
    """How many cases lost their answer, in words; empty for none."""
    return ", ".join(f"{count} {word}" for count, word in ((rejected, "rejected"), (failed, "failed")) if count)
