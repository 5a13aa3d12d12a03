"""Tables of an evaluation as data: cells in words, which the page's templates draw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from boneage.evaluation.bootstrap import Figure
from boneage.reports.text import number

Mark = Literal["", "none", "kept", "over", "better", "worse", "sex female", "sex male"]
"""How a cell is drawn: no figure, within or over a bar, better or worse than the baseline, a sex."""


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        value: a number or words.
        below: small print under it, such as the interval.
        mark: how it is drawn.
    """

    value: str
    below: str = ""
    mark: Mark = ""

    def kept(self, kept: bool | None) -> Cell:
        """The cell marked as within or over its bar; None: not marked."""
        return self if kept is None else replace(self, mark="kept" if kept else "over")

    def __str__(self) -> str:
        return f"{self.value} ({self.below})" if self.below else self.value


MISSING: Final = Cell("\N{EN DASH}", mark="none")


@dataclass(frozen=True)
class Head:
    """The head of a column: a name, and under it a unit or the name's second line; `text`: its cells are words."""

    name: str
    unit: str = ""
    text: bool = False


@dataclass(frozen=True)
class Row:
    """One row; `kind` is "all" (the whole group), "head" (a heading of the rows below) or empty."""

    cells: Sequence[Cell]
    kind: Literal["", "all", "head"] = ""


@dataclass(frozen=True)
class Table:
    """A table; every row has one cell for each head."""

    heads: Sequence[Head]
    rows: Sequence[Row]


def texts(values: Iterable[str]) -> list[Cell]:
    """Cells with words and nothing else."""
    return [Cell(value) for value in values]


def sex_cell(name: str) -> Cell:
    """A sex with its mark; any other word as it is."""
    if name == "female":
        return Cell(name, mark="sex female")
    return Cell(name, mark="sex male") if name == "male" else Cell(name)


def months(figure: Figure, *, signed: bool = False, digits: int = 1) -> Cell:
    """A figure in months with its interval."""
    return _shown(figure, 1.0, digits=digits, unit="", signed=signed)


def percent(figure: Figure) -> Cell:
    """A share as a percentage with its interval."""
    return _shown(figure, 100.0, digits=0, unit=" %", signed=False)


def plain(figure: Figure, *, signed: bool = False) -> Cell:
    """A figure without a unit with its interval."""
    return _shown(figure, 1.0, digits=3, unit="", signed=signed)


def band_name(band: str) -> str:
    """ "8-10" with an en dash."""
    return band.replace("-", "\N{EN DASH}")


def _shown(figure: Figure, factor: float, digits: int, unit: str, signed: bool) -> Cell:
    if figure.value is None:
        return MISSING
    value = number(figure.value * factor, digits, signed=signed) + unit
    if figure.lower is None or figure.upper is None:
        return Cell(value)
    lower, upper = (number(end * factor, digits, signed=signed) for end in (figure.lower, figure.upper))
    return Cell(value, f"{lower} to {upper}")
