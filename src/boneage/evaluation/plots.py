"""Plots of a predictions table, as matplotlib figures; no window is opened, no global state is kept."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from boneage.ages import LAST_MONTH, Sex
from boneage.evaluation.bootstrap import Values
from boneage.evaluation.localization import Localization
from boneage.evaluation.metrics import BANDS, Metrics, age_band, scored_only
from boneage.evaluation.names import FAMILY_NAMES, GROUP_NAMES, TRUTH_NAMES
from boneage.evaluation.predictions import Prediction
from boneage.evaluation.stress.figures import MEDIAN_BAR, PERCENTILE_95_BAR, Stress
from boneage.evaluation.stress.transforms import MASKED
from boneage.reports.overlays import SEX_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

# Two hues of the Okabe-Ito palette, distinct in every common colour blindness; the shapes differ as well, for prints
# in gray.
_MARKERS: Final = {Sex.FEMALE: "o", Sex.MALE: "^"}
_INK, _FAINT, _GRID = "#1f2933", "#7b8794", "#e4e7eb"
_ACCENT: Final = "#33415c"
_STYLE: Final[dict[Any, Any]] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.color": _INK,
    "legend.frameon": False,
}
# Limits of agreement (Bland and Altman, Lancet 1986): about 95 % of normal differences.
_AGREEMENT: Final = 1.96


def png(drawing: Drawing, dpi: int = 160) -> bytes:
    """The figure as a PNG file's bytes; the same figure always gives the same bytes."""
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def scatter(predictions: Sequence[Prediction]) -> Drawing:
    """Predicted bone age against the label, with the identity line; axes in months with years marked."""
    rows = scored_only(predictions)
    drawing, (axes,) = _canvas(6.0, 5.8)
    with styled():
        axes.plot([0, LAST_MONTH], [0, LAST_MONTH], color=_INK, linewidth=1.0, zorder=3, label="identity")
        for sex, x, y in _by_sex(rows):
            _points(axes, sex, x=x, y=x + y, n=len(rows))
        axes.set(xlim=(0, LAST_MONTH), ylim=(0, LAST_MONTH), aspect="equal")
        axes.set(xlabel="Label (months)", ylabel="Predicted bone age (months)")
        axes.set_xticks(range(0, LAST_MONTH + 1, 24))
        axes.set_yticks(range(0, LAST_MONTH + 1, 24))
        _legend(axes, "upper left")
    return drawing


def bland_altman(predictions: Sequence[Prediction]) -> Drawing:
    """Difference (predicted - label) against the mean of the two, with bias and limits of agreement."""
    rows = scored_only(predictions)
    drawing, (axes,) = _canvas(7.4, 4.6)
    with styled():
        axes.axhline(0, color=_FAINT, linewidth=0.8)
        differences = []
        for sex, x, y in _by_sex(rows):
            _points(axes, sex, x=x + y / 2, y=y, n=len(rows))
            differences.append(y)
        every = np.concatenate(differences) if differences else np.empty(0)
        if every.size:
            bias = float(every.mean())
            lines = [("bias", bias, "-")]
            if every.size > 1:
                reach = _AGREEMENT * float(every.std(ddof=1))
                upper, lower = f"+{_AGREEMENT} SD", f"\N{MINUS SIGN}{_AGREEMENT} SD"
                lines += [(upper, bias + reach, "--"), (lower, bias - reach, "--")]
            for name, height, line in lines:
                axes.axhline(height, color=_INK, linewidth=1.1, linestyle=line, zorder=4)
                axes.annotate(
                    f"{name}\n{_signed(height)}",
                    (1.01, height),
                    xycoords=("axes fraction", "data"),
                    va="center",
                    fontsize=8.5,
                )
            top = max(30.0, float(np.abs(every).max()) * 1.08)
            axes.set_ylim(-top, top)
        axes.set(xlim=(0, LAST_MONTH), xlabel="Mean of label and prediction (months)")
        axes.set_ylabel("Predicted \N{MINUS SIGN} label (months)")
        axes.set_xticks(range(0, LAST_MONTH + 1, 24))
        _legend(axes, "lower left", above=True)
    return drawing


def error_by_age(predictions: Sequence[Prediction], metrics: Metrics) -> Drawing:
    """Above: signed errors by two-year band of the label (box: quartiles, whiskers: 5th to 95th percentile).
    Below: mean absolute error of each band with its 95 % interval."""
    rows = scored_only(predictions)
    drawing, (above, below) = _canvas(7.4, 6.0, panels=2)
    with styled():
        errors = [np.array([r.error_months for r in rows if age_band(r.age_months or 0.0) == band]) for band in BANDS]
        places = [place for place, group in enumerate(errors) if group.size]
        above.axhline(0, color=_FAINT, linewidth=0.8)
        if places:
            drawn = above.boxplot(
                [errors[place] for place in places],
                positions=places,
                widths=0.55,
                whis=(5, 95),
                patch_artist=True,
                showfliers=True,
                flierprops={"marker": ".", "markersize": 3, "markerfacecolor": _FAINT, "markeredgecolor": "none"},
                medianprops={"color": _INK, "linewidth": 1.4},
                whiskerprops={"color": _FAINT},
                capprops={"color": _FAINT},
            )
            for patch in drawn["boxes"]:
                patch.set(facecolor="#d3dbe8", edgecolor=_ACCENT, linewidth=0.9)
        above.set_ylabel("Predicted \N{MINUS SIGN} label\n(months)")
        for place, band in enumerate(BANDS):
            mae = metrics.by_age_band[band].mae
            if mae.value is None:
                continue
            if mae.lower is not None and mae.upper is not None:
                below.vlines(place, mae.lower, mae.upper, color=_ACCENT, linewidth=2.0)
            below.plot(place, mae.value, "o", color=_ACCENT, markersize=5.5)
        overall = metrics.overall.mae.value
        if overall is not None:
            below.axhline(overall, color=_INK, linewidth=0.9, linestyle="--")
            below.annotate(
                f"all\n{overall:.1f}", (1.01, overall), xycoords=("axes fraction", "data"), va="center", fontsize=8.5
            )
        below.set_ylim(bottom=0)
        below.set_ylabel("Mean absolute error\n(months, 95 % interval)")
        below.set_xlabel("Label (years), and number of cases")
        names = [band.replace("-", "\N{EN DASH}") + f"\n{metrics.by_age_band[band].n}" for band in BANDS]
        for axes in (above, below):
            axes.set_xlim(-0.6, len(BANDS) - 0.4)
            axes.set_xticks(range(len(BANDS)), names)
            axes.grid(axis="x", visible=False)
        above.tick_params(labelbottom=False)
    return drawing


def localization_gain(localization: Mapping[str, Mapping[str, Localization]]) -> Drawing:
    """Mean IoU of the predicted boxes and of the mean-box baseline, with 95 % intervals, for each truth and group."""
    lines = [
        (f"{TRUTH_NAMES.get(truth, truth)}\n{GROUP_NAMES.get(group, group)}, n = {entry.n}", entry)
        for truth, groups in localization.items()
        for group, entry in groups.items()
        if entry.n
    ]
    drawing, (axes,) = _canvas(7.4, 1.3 + 0.55 * max(1, len(lines)))
    with styled():
        for place, (_, entry) in enumerate(lines):
            for figure, colour, marker, shift, name in (
                (entry.floor.miou, _FAINT, "s", 0.14, "mean-box baseline"),
                (entry.found.miou, "#0072B2", "o", -0.14, "found by attention"),
            ):
                if figure.value is None:
                    continue
                if figure.lower is not None and figure.upper is not None:
                    axes.hlines(place + shift, figure.lower, figure.upper, color=colour, linewidth=2.0)
                axes.plot(
                    figure.value, place + shift, marker, color=colour, markersize=6, linestyle="none",
                    label=name if place == 0 else None,
                )  # fmt: skip
        axes.set_yticks(range(len(lines)), [label for label, _ in lines], fontsize=8.5)
        axes.set(xlim=(0, 1), ylim=(len(lines) - 0.5, -0.5), xlabel="Mean intersection over union (95 % interval)")
        axes.grid(axis="y", visible=False)
        if lines:
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, fontsize=8.5, handletextpad=0.3)
    return drawing


def stress_changes(stress: Stress) -> Drawing:
    """Absolute change of the answer under each transform, against the bars of the median and the 95th percentile."""
    levels = [entry for entry in stress.under.values() if entry.n]
    drawing, (axes,) = _canvas(7.4, 1.2 + 0.235 * max(1, len(levels)))
    with styled():
        # A square root shows small and large changes in one plot.
        axes.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
        drawn = axes.boxplot(
            [np.abs(entry.changes) for entry in levels],
            positions=range(len(levels)),
            orientation="horizontal",
            widths=0.62,
            whis=(5, 95),
            patch_artist=True,
            showfliers=False,
            medianprops={"color": _INK, "linewidth": 1.6},
            whiskerprops={"color": _FAINT},
            capprops={"color": _FAINT},
        )
        for entry, patch in zip(levels, drawn["boxes"], strict=True):
            # The mask has no bar: it asks what the answer rests on.
            over = entry.verdict.kept is False and entry.transform.name != MASKED
            patch.set(
                facecolor="#f3c9a5" if over else "#d3dbe8", edgecolor="#D55E00" if over else _ACCENT, linewidth=0.9
            )
        for bar, name in ((MEDIAN_BAR, "median at most"), (PERCENTILE_95_BAR, "95 % at most")):
            axes.axvline(bar, color=_INK, linewidth=1.0, linestyle="--", zorder=1)
            axes.annotate(
                f"{name} {bar:g} months",
                *((bar, 1.0), (0, 4)),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
            )
        names = [f"{FAMILY_NAMES.get(e.transform.family, e.transform.family)}, {e.transform.label}" for e in levels]
        axes.set_yticks(range(len(levels)), names, fontsize=8.5)
        axes.set_ylim(len(levels) - 0.4, -0.6)
        largest = max((float(np.quantile(np.abs(entry.changes), 0.95)) for entry in levels), default=0.0)
        axes.set_xlim(0, max(12.0, 1.05 * largest))
        axes.set_xticks(
            [tick for tick in (0, 1, 2, 4, 8, 12, 24, 48, 72, 96, 120, 168, 216) if tick <= axes.get_xlim()[1]]
        )
        axes.set_xlabel("Absolute change of the answer (months)")
        axes.grid(axis="y", visible=False)
        for place in range(1, len(levels)):
            if levels[place].transform.family != levels[place - 1].transform.family:
                axes.axhline(place - 0.5, color=_GRID, linewidth=0.8, zorder=0)
    return drawing


def _canvas(width: float, height: float, *, panels: int = 1) -> tuple[Drawing, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    with styled():
        drawing = Drawing(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(drawing)
        axes = drawing.subplots(panels, 1, squeeze=False)[:, 0]
    return drawing, list(axes)


def styled() -> AbstractContextManager[None]:
    """The style of all plots of this package, for the length of a block."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def _by_sex(rows: Sequence[Prediction]) -> Iterator[tuple[Sex, Values, Values]]:
    """(sex, labels, errors) of each sex that has cases."""
    for sex in SEX_COLOURS:
        chosen = [row for row in rows if row.sex is sex]
        if chosen:
            yield sex, np.array([r.age_months for r in chosen]), np.array([r.error_months for r in chosen])


def _points(axes: Axes, sex: Sex, x: Values, y: Values, n: int) -> None:
    axes.scatter(
        *(x, y),
        s=26 if n < 300 else 13,
        alpha=0.85 if n < 100 else 0.45,
        c=SEX_COLOURS[sex],
        marker=_MARKERS[sex],
        linewidths=0,
        label=f"{sex} (n = {len(x)})",
        zorder=2,
    )


def _legend(axes: Axes, place: Literal["upper left", "lower left"], *, above: bool = False) -> None:
    """In a corner of the axes, or in one line above them: marks may lie in every corner."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        where = {"bbox_to_anchor": (0.0, 1.0), "ncols": len(labels)} if above else {}
        legend = axes.legend(handles, labels, loc=place, fontsize=8.5, handletextpad=0.4, **where)
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1.0)


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
