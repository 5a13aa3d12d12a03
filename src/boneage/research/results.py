"""Results of experiments: tables of figures with intervals and the paper's figures beside them, and pictures."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from boneage.assessment import NOTICE
from boneage.atomic import write_atomically
from boneage.evaluation.bootstrap import Figure
from boneage.evaluation.names import TRUTH_NAMES
from boneage.evaluation.plots import png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

MAE: Final = "MAE, months"
DIFFERENCE: Final = "difference, months"
MIOU: Final = "mIoU"
AP50: Final = "AP50"
GAIN: Final = "mIoU over the mean-box baseline"
OUTSIDE: Final = "mIoU outside training"
_INK, _FAINT = "#1f2933", "#7b8794"
_HUES: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


@dataclass(frozen=True)
class Line:
    """One cell of an experiment as a line of its table.

    Attributes:
        labels: one for each label column.
        figures: measure -> figure with its 95 % interval.
        paper: measure -> the paper's figure.
        against: the row that a difference is taken from, as the table names it.
        empty: the reason why the line has no figures.
        facts: further columns (training cases, parameters, seconds).
    """

    labels: tuple[str, ...]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    paper: Mapping[str, float] = field(default_factory=dict)
    against: str = ""
    empty: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A table of the paper, or one beyond it, as far as it has been computed.

    Attributes:
        name: of its files.
        title: what is compared.
        setting: scale, data and budget, for the line below every title.
        columns: names of the label columns.
        lines: in the order of the table.
        measures: in the order of the columns; the first one is drawn.
        notes: what a reader must know.
        curve: scale of the x axis where the figure is a curve; "" for a dot a line. The last label column is the axis,
            the one before it distinguishes curves, and those before that make panels.
        command: rebuilds the result.
    """

    name: str
    title: str
    setting: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    measures: tuple[str, ...] = (MAE, DIFFERENCE)
    notes: tuple[str, ...] = ()
    curve: Literal["linear", "log", ""] = ""
    command: str = ""

    def write(self, folder: Path) -> Path:
        """Write `<name>.csv`, `<name>.md` and `<name>.png`; returns the Markdown file.

        Raises:
            OutputError: the folder cannot be written to.
        """
        file = folder / f"{self.name}.md"
        write_atomically(folder / f"{self.name}.csv", self.to_csv())
        write_atomically(file, self.to_markdown())
        if any(self.measures[0] in line.figures for line in self.lines):
            write_atomically(folder / f"{self.name}.png", png(self.draw()))
        return file

    def to_csv(self) -> str:
        """One row a line: for each measure its value, interval, n, and the paper's value."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        columns = [
            f"{measure} {what}" for measure in self.measures for what in ("", "lower 95", "upper 95", "n", "paper")
        ]
        facts = self._fact_columns()
        writer.writerow([*self.columns, *(column.strip() for column in columns), "against", *facts, "empty", "notice"])
        for line in self.lines:
            row: list[Any] = list(line.labels)
            for measure in self.measures:
                figure = line.figures.get(measure, Figure(value=None, lower=None, upper=None, n=0))
                row += [
                    _format_number(figure.value),
                    _format_number(figure.lower),
                    _format_number(figure.upper),
                    figure.n or "",
                ]
                row.append(line.paper.get(measure, ""))
            writer.writerow([*row, line.against, *(line.facts.get(fact, "") for fact in facts), line.empty, NOTICE])
        return table.getvalue()

    def to_markdown(self) -> str:
        """A heading, the table and its notes."""
        shown = [measure for measure in self.measures if any(measure in line.figures for line in self.lines)]
        stated = [measure for measure in self.measures if any(measure in line.paper for line in self.lines)]
        facts = self._fact_columns()
        head = [
            *self.columns,
            *(f"{measure} (95 %)" for measure in shown),
            *(f"paper's {measure}" for measure in stated),
            *facts,
        ]
        rows = [head, ["---"] * len(head)]
        for line in self.lines:
            cells = [
                _format_figure(line.figures[measure], line.against if measure == DIFFERENCE else "")
                if measure in line.figures
                else (line.empty or "-" if measure == shown[0] else "")
                for measure in shown
            ]
            if not shown:
                cells = []
            rows.append(
                [
                    *line.labels,
                    *cells,
                    *(f"{line.paper[measure]:g}" if measure in line.paper else "" for measure in stated),
                    *(str(line.facts.get(fact, "")) for fact in facts),
                ]
            )
        text = [f"# {self.title}", "", self.setting, "", *map(_format_row, rows), ""]
        missing = [line for line in self.lines if line.empty and not shown]
        text += [f"- {' '.join(line.labels)}: {line.empty}." for line in missing]
        text += [f"- {note}" for note in self.notes]
        if self.command:
            text += ["", f"Rebuild it: `{self.command}`"]
        return "\n".join([*text, "", NOTICE, ""])

    def draw(self) -> Drawing:
        """Draw the first measure with its intervals; the paper's figures are hollow diamonds."""
        return _draw_curves(self) if self.curve else _draw_dots(self)

    def _fact_columns(self) -> list[str]:
        return list(dict.fromkeys(fact for line in self.lines for fact in line.facts))


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure of the paper.

    Attributes:
        name: of its file.
        drawing: what is drawn.
        command: rebuilds it.
    """

    name: str
    drawing: Drawing
    command: str = ""

    def write(self, folder: Path) -> Path:
        """Write `<name>.png`; returns the file.

        Raises:
            OutputError: the folder cannot be written to.
        """
        file = folder / f"{self.name}.png"
        write_atomically(file, png(self.drawing, dpi=130))
        return file


def _format_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _format_number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _format_figure(figure: Figure, against: str) -> str:
    if figure.value is None:
        return "-"
    sign = "+" if against else ""
    digits = 2 if abs(figure.value) >= 1 or against or (figure.upper or 0) > 1 else 3
    text = f"{figure.value:{sign}.{digits}f}"
    if figure.lower is not None and figure.upper is not None:
        text += f" ({figure.lower:{sign}.{digits}f} to {figure.upper:{sign}.{digits}f})"
    return f"{text} against {against}" if against else text


def _draw_dots(result: Result) -> Drawing:
    measure = result.measures[0]
    lines = [line for line in result.lines if measure in line.figures or not line.figures]
    drawing, (axes,) = make_canvas(result.title, result.setting, width=7.6, height=1.5 + 0.34 * len(lines))
    with styled():
        for place, line in enumerate(lines):
            figure = line.figures.get(measure)
            if figure is None or figure.value is None:
                axes.annotate(
                    line.empty or "not computed yet", (0.99, place), xycoords=("axes fraction", "data"),
                    ha="right", va="center", fontsize=8, color=_FAINT, style="italic",
                )  # fmt: skip
            else:
                if figure.lower is not None and figure.upper is not None:
                    axes.hlines(place, figure.lower, figure.upper, color=_HUES[0], linewidth=2.2)
                axes.plot(figure.value, place, "o", color=_HUES[0], markersize=6)
            if measure in line.paper:
                axes.plot(line.paper[measure], place, "D", markerfacecolor="white", color=_FAINT, markersize=6)
        names = [", ".join(label for label in line.labels if label) for line in lines]
        axes.set_yticks(range(len(names)), names, fontsize=8.5)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(
            f"{measure}, 95 % interval; ◇ the paper's" if _states_paper(result) else f"{measure}, 95 % interval"
        )
    return drawing


def _draw_curves(result: Result) -> Drawing:
    """Draw a panel for each text before the last two columns, and a curve for each text of the last but one."""
    panels = list(dict.fromkeys(line.labels[:-2] for line in result.lines))
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    drawing, grid = make_canvas(
        result.title,
        result.setting,
        width=7.2 if across == 1 else 3.7 * across,
        height=4.6 if down == 1 else 3.3 * down,
        down=down,
        across=across,
    )
    with styled():
        for axes, panel in zip(grid, panels, strict=False):
            lines = [line for line in result.lines if line.labels[:-2] == panel]
            _draw_panel(axes, result, lines)
            if len(panels) > 1:
                axes.set_title(TRUTH_NAMES.get(panel[-1], ", ".join(filter(None, panel))), fontsize=9)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        stated = "; ◇ the paper's" if _states_paper(result) else ""
        grid[0].set_ylabel(f"{result.measures[0]}, 95 % interval{stated}")
        for axes in grid[max(0, len(panels) - across) : len(panels)]:
            axes.set_xlabel(result.columns[-1])
    return drawing


def _draw_panel(axes: Axes, result: Result, lines: Sequence[Line]) -> None:
    measure = result.measures[0]
    lines = [line for line in lines if measure in line.figures and line.figures[measure].value is not None]
    names = list(dict.fromkeys(line.labels[-2:-1] for line in lines))
    for name, hue in zip(names, _HUES * 9, strict=False):
        of_name = [line for line in lines if line.labels[-2:-1] == name]
        for line in (line for line in of_name if not line.labels[-1]):
            axes.axhline(line.figures[measure].value or 0.0, color=hue, linewidth=1.2, linestyle="--", label=name[0])
        of_name = sorted((line for line in of_name if line.labels[-1]), key=lambda line: float(line.labels[-1]))
        if not of_name:
            continue
        at = [float(line.labels[-1]) for line in of_name]
        figures = [line.figures[measure] for line in of_name]
        values = [figure.value or 0.0 for figure in figures]
        axes.plot(at, values, "o-", color=hue, markersize=4, linewidth=1.4, label=", ".join(name) or None)
        if all(figure.lower is not None for figure in figures):
            low, high = [figure.lower or 0.0 for figure in figures], [figure.upper or 0.0 for figure in figures]
            axes.fill_between(at, low, high, color=hue, alpha=0.12, linewidth=0)
        stated = [(float(line.labels[-1]), line.paper[measure]) for line in of_name if measure in line.paper]
        if stated:
            axes.plot(
                *zip(*stated, strict=True), "D:", color=hue, markerfacecolor="white", markersize=4.5, linewidth=0.8
            )
    floors = [
        (line.figures[measure].value or 0.0) - (line.figures[GAIN].value or 0.0)
        for line in lines
        if GAIN in line.figures
    ]
    if floors:
        axes.axhline(floors[0], color=_FAINT, linewidth=0.9, linestyle=":", label="mean-box baseline")
    if result.curve == "log":
        positive = [float(line.labels[-1]) for line in lines if line.labels[-1] and float(line.labels[-1]) > 0]
        axes.set_xscale("symlog", linthresh=min(positive, default=1.0))
    if len(axes.get_legend_handles_labels()[0]) > 1:
        axes.legend(fontsize=7.5)


def _states_paper(result: Result) -> bool:
    return any(result.measures[0] in line.paper for line in result.lines)


def make_canvas(
    title: str, setting: str, width: float, height: float, down: int = 1, across: int = 1
) -> tuple[Drawing, list[Axes]]:
    """A figure of `width` x `height` inches with title, setting, notice, and `down` x `across` axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    with styled():
        drawing = Drawing(figsize=(width, height))
        FigureCanvasAgg(drawing)
        # Room for the notice below the axes' labels.
        room = 0.14 / height
        drawing.set_layout_engine("constrained", rect=(0.0, room, 1.0, 1.0 - room))
        grid = drawing.subplots(down, across, squeeze=False)
        lines = "\n".join(textwrap.wrap(setting, round(14 * width)))
        drawing.suptitle(f"{title}\n{lines}", fontsize=8.5, color=_INK)
        drawing.text(0.995, 0.002, NOTICE, ha="right", va="bottom", fontsize=4.5, color=_FAINT)
    return drawing, list(grid.ravel())
