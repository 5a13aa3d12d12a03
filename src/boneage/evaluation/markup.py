"""Tables and figures as HTML: what the sections of an evaluation's page share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from boneage.evaluation.bootstrap import Figure

MISSING: Final = '<span class="none">&ndash;</span>'

Shown = tuple[str, str]
"""A figure and its interval, as HTML; the interval may be empty."""


def table(heads: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], *, text: Sequence[int]) -> str:
    """Rows are (attributes of the row, cells as HTML); columns in `text` are words, the others numbers."""

    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(
            f'<{tag} class="text">{value}</{tag}>' if place in text else f"<{tag}>{value}</{tag}>"
            for place, value in enumerate(values)
        )

    body = "".join(f"<tr{attributes}>{cells('td', values)}</tr>" for attributes, values in rows)
    return f'<div class="wide"><table><thead><tr>{cells("th", heads)}</tr></thead><tbody>{body}</tbody></table></div>'


def cell(shown: Shown) -> str:
    value, interval = shown
    return f"{value}<small>{interval}</small>" if interval else value


def months(figure: Figure, *, signed: bool = False) -> Shown:
    return shown(figure, 1.0, 1, "", signed)


def percent(figure: Figure) -> Shown:
    return shown(figure, 100.0, 0, " %", False)


def plain(figure: Figure, *, signed: bool = False) -> Shown:
    return shown(figure, 1.0, 3, "", signed)


def shown(figure: Figure, factor: float, digits: int, unit: str, signed: bool) -> Shown:
    if figure.value is None:
        return MISSING, ""
    value = number(figure.value * factor, digits, signed) + unit
    if figure.lower is None or figure.upper is None:
        return value, ""
    ends = [number(end * factor, digits, signed) for end in (figure.lower, figure.upper)]
    return value, f"{ends[0]} to {ends[1]}"


def number(value: float, digits: int, signed: bool = False) -> str:
    # Adding 0.0 turns a rounded "-0.0" into "0.0".
    return f"{round(value, digits) + 0.0:{'+' if signed else ''}.{digits}f}".replace("-", "&minus;")
