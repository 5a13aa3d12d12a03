"""The page of an evaluation: one HTML file that needs nothing else and prints well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from boneage.evaluation.metrics import BANDS, Accuracy, Comparison
from boneage.evaluation.names import GROUP_NAMES, TRUTH_NAMES
from boneage.evaluation.predictions import Prediction
from boneage.evaluation.stress.page import stress_section
from boneage.evaluation.tables import (
    MISSING,
    Cell,
    Head,
    Mark,
    Row,
    Table,
    band_name,
    months,
    percent,
    plain,
    sex_cell,
    texts,
)
from boneage.reports.html.rendering import data_url, render
from boneage.reports.text import number

if TYPE_CHECKING:
    from boneage.evaluation.report import Evaluation


@dataclass(frozen=True)
class Tile:
    """One headline figure."""

    name: str
    figure: Cell
    unit: str = ""


def page(evaluation: Evaluation, pictures: Mapping[str, bytes]) -> str:
    """The whole page as HTML.

    Args:
        evaluation: the figures.
        pictures: PNG bytes by name ("scatter", "bland_altman", "error_by_age", "localization", "stress"). They become
            part of the page; a name that is missing is left out.
    """
    metrics, facts = evaluation.metrics, evaluation.provenance
    return render(
        "evaluation.html.jinja",
        notice=facts.notice,
        title=f"Bone age: {facts.model} on {facts.data}",
        facts=_facts(evaluation),
        scored=metrics.overall.n,
        tiles=_tiles(metrics.overall),
        pictures={name: data_url(picture, "png") for name, picture in pictures.items()},
        by_sex=_accuracy_table("Sex", {"All": metrics.overall, **metrics.by_sex}),
        by_age=_accuracy_table("Label (years)", {"All": metrics.overall, **metrics.by_age_band}),
        by_predicted_age=_accuracy_table(
            "Predicted (years)", {band: group for band, group in metrics.by_predicted_age_band.items() if group.n}
        ),
        constant=_constant(evaluation),
        regional=_regional(evaluation),
        by_sex_and_age=_by_sex_and_age(metrics.by_sex_and_age_band),
        localization=_localization(evaluation),
        stress=None if evaluation.stress is None else stress_section(evaluation.stress),
        comparison=None if evaluation.comparison is None else _comparison(evaluation.comparison),
        worst=_worst(evaluation.worst),
        not_assessed=_not_assessed(evaluation.not_assessed),
        dropped=facts.dropped,
        resamples=evaluation.resamples,
        seed=evaluation.seed,
    )


def _facts(evaluation: Evaluation) -> dict[str, str]:
    facts, counts = evaluation.provenance, evaluation.metrics.counts
    out = [f"{counts.rejected} rejected", f"{counts.failed} could not be read"]
    if counts.unlabelled:
        out.append(f"{counts.unlabelled} without a label")
    if counts.without_answer:
        out.append(f"{counts.without_answer} of unknown sex (no single answer)")
    sha256 = f" (SHA-256 {facts.model_sha256[:12]}\N{HORIZONTAL ELLIPSIS})" if facts.model_sha256 else ""
    entries = {
        "Model": f"{facts.model}{sha256}",
        "Data": f"{facts.data}; scored: {facts.splits}",
        "Cases": f"{counts.cases}, of which {counts.scored} are scored; {', '.join(out)}",
        "Version": f"boneage {facts.code_version}" if facts.code_version else "",
        "Made": facts.created.replace("T", " ").replace("+00:00", " UTC"),
    }
    return {name: text for name, text in entries.items() if text}


def _tiles(overall: Accuracy) -> list[Tile]:
    return [
        Tile("Mean absolute error", months(overall.mae), "months"),
        Tile("Root mean square", months(overall.rmse), "months"),
        Tile("Bias", months(overall.bias, signed=True), "months"),
        Tile("Within 12 months", percent(overall.within_12)),
        Tile("Label in 90 % interval", percent(overall.coverage_90)),
    ]


def _constant(evaluation: Evaluation) -> dict[str, str] | None:
    """The 90 % intervals beside one of constant width; None where the model was not calibrated with one."""
    constant, overall = evaluation.constant, evaluation.metrics.overall
    if constant is None or overall.width_90.value is None:
        return None
    return {
        "own": str(percent(overall.coverage_90)),
        "own_width": number(overall.width_90.value, 1),
        "constant": str(percent(constant.coverage)),
        "half_width": number(constant.months, 1),
        "width": number(2 * constant.months, 1),
    }


def _regional(evaluation: Evaluation) -> dict[str, Table | str] | None:
    """Carpal and tubular bone age beside the whole hand's; None where the model does not give them."""
    regional = evaluation.regional
    if regional is None:
        return None
    groups = {"All": regional.overall, **regional.by_sex}
    groups |= {band: group for band, group in regional.by_age_band.items() if group.n}
    rows = []
    for name, group in groups.items():
        correlation = group.error_correlation
        cells = [
            *(months(entry) for entry in (group.carpal_mae, group.tubular_mae, group.whole_mae)),
            *(months(entry, signed=True) for entry in (group.carpal_bias, group.tubular_bias)),
            MISSING if correlation is None else Cell(number(correlation, 2)),
            percent(group.unusual),
        ]
        rows.append(_group_row(name, group.n, cells))
    heads = (
        *(Head("Sex; label (years)", text=True), Head("n")),
        *(Head("MAE carpal", "months"), Head("MAE tubular", "months"), Head("MAE whole hand", "months")),
        *(Head("Bias carpal", "months"), Head("Bias tubular", "months")),
        *(Head("Correlation", "of their errors"), Head("Unusual", "difference")),
    )
    return {
        "table": Table(heads, rows),
        "unusual": _with_interval(months(regional.whole_mae_where_unusual)),
        "elsewhere": _with_interval(months(regional.whole_mae_elsewhere)),
    }


def _with_interval(cell: Cell) -> str:
    return f"{cell.value} ({cell.below or 'too few cases for an interval'})"


def _accuracy_table(first: str, groups: Mapping[str, Accuracy]) -> Table:
    rows = []
    for name, group in groups.items():
        cells = [
            months(group.mae),
            months(group.rmse),
            months(group.bias, signed=True),
            *(percent(share) for share in (group.within_6, group.within_12, group.within_24, group.coverage_90)),
            months(group.width_90),
        ]
        rows.append(_group_row(name, group.n, cells))
    at_most = "\N{LESS-THAN OR EQUAL TO}"
    heads = (
        *(Head(first, text=True), Head("n"), Head("MAE", "months"), Head("RMSE", "months"), Head("Bias", "months")),
        *(Head(f"{at_most} {bar}", "months") for bar in (6, 12, 24)),
        *(Head("In 90 %", "interval"), Head("Its width", "months")),
    )
    return Table(heads, rows)


def _group_row(name: str, count: int, cells: Sequence[Cell]) -> Row:
    first = sex_cell(band_name(name))
    return Row([first, Cell(str(count)), *cells], "all" if name == "All" else "")


def _by_sex_and_age(groups: Mapping[str, Mapping[str, Accuracy]]) -> Table | None:
    """Girls and boys of one band one under the other, bands without a case left out."""
    rows = []
    for band in BANDS:
        found = [(sex, bands[band]) for sex, bands in groups.items() if bands[band].n]
        for place, (sex, group) in enumerate(found):
            figures = [months(group.mae), months(group.bias, signed=True), percent(group.coverage_90)]
            name = Cell("" if place else band_name(band))
            rows.append(Row([name, sex_cell(sex), Cell(str(group.n)), *figures, months(group.width_90)]))
    heads = (
        *(Head("Label (years)", text=True), Head("Sex", text=True), Head("n"), Head("MAE", "months")),
        *(Head("Bias", "months"), Head("In 90 %", "interval"), Head("Its width", "months")),
    )
    return Table(heads, rows) if rows else None


def _localization(evaluation: Evaluation) -> Table | None:
    rows = []
    for truth, groups in evaluation.localization.items():
        for group, entry in groups.items():
            if not entry.n:
                continue
            found, baseline, gain = entry.found, entry.floor, entry.gain
            mark: Mark = ""
            if gain.lower is not None and gain.upper is not None:
                mark = "better" if gain.lower > 0 else "worse" if gain.upper < 0 else ""
            gained = plain(gain, signed=True)
            rows.append(
                Row(
                    [
                        Cell(TRUTH_NAMES.get(truth, truth), GROUP_NAMES.get(group, group)),
                        Cell(str(entry.n), f"{entry.without_box} missed" if entry.without_box else ""),
                        *(plain(found.miou), percent(found.ap50), plain(found.centre_distance)),
                        *(percent(found.covered), plain(baseline.miou), percent(baseline.ap50)),
                        Cell(gained.value, gained.below, mark or gained.mark),
                    ]
                )
            )
    heads = (
        *(Head("Truth", text=True), Head("n"), Head("mIoU"), Head("AP50"), Head("Centre distance", "hand widths")),
        *(Head("Truth", "covered"), Head("Mean box", "mIoU"), Head("Mean box", "AP50"), Head("IoU gained", "over it")),
    )
    return Table(heads, rows) if rows else None


def _comparison(comparison: Comparison) -> dict[str, Table | int]:
    cells = [
        Cell(str(comparison.difference.n)),
        months(comparison.mae_first, digits=2),
        months(comparison.mae_second, digits=2),
        months(comparison.difference, digits=2, signed=True),
    ]
    heads = (
        *(Head("Common cases"), Head("MAE here", "months"), Head("MAE of the other", "months")),
        Head("Paired difference", "months"),
    )
    return {
        "table": Table(heads, [Row(cells)]),
        "only_here": comparison.only_first,
        "only_there": comparison.only_second,
    }


def _worst(worst: Sequence[Prediction]) -> Table | None:
    rows = [
        Row(
            [
                *(Cell(row.id), Cell(row.file), sex_cell(row.sex.value if row.sex else "unknown")),
                *(Cell(f"{row.age_months:.1f}"), Cell(f"{row.predicted_months:.1f}")),
                Cell(number(row.error_months or 0.0, 1, signed=True)),
            ]
        )
        for row in worst
    ]
    heads = (
        *(Head("Case", text=True), Head("File", text=True), Head("Sex", text=True)),
        *(Head("Label", "months"), Head("Predicted", "months"), Head("Error", "months")),
    )
    return Table(heads, rows) if rows else None


def _not_assessed(predictions: Sequence[Prediction]) -> Table | None:
    heads = [Head(name, text=True) for name in ("Case", "File", "Status", "Reason")]
    rows = [Row(texts((row.id, row.file, row.status, row.reason))) for row in predictions]
    return Table(heads, rows) if rows else None
