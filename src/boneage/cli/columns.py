"""Options that name a data set, and `--column MEANING=COLUMN`: what the columns of a table of another layout mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boneage.errors import UsageError

if TYPE_CHECKING:
    from boneage.datasets import Columns

Data = Annotated[Path, typer.Option(help="Folder of the data set, or of any table and its radiographs.")]
Table = Annotated[Path | None, typer.Option(help="CSV or xlsx with the labels, if it is not found by itself.")]
Images = Annotated[Path | None, typer.Option(help="Folder of the radiographs, if it is not found by itself.")]
Column = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MEANING=COLUMN",
        help="For tables of another layout, e.g. age=Reading1, sex=Gender, age_unit=years; repeatable.",
    ),
]


def named_columns(pairs: Sequence[str] | None) -> Columns | None:
    """`--column age=Reading1 --column age=Reading2 --column id=Name`; ages that are named twice are averaged.

    Raises:
        UsageError: no such meaning ("unknown_meaning"), one other than age is named twice ("duplicate_meaning"), or an
            unknown unit ("unknown_age_unit").
    """
    if not pairs:
        return None
    from boneage.datasets import Columns

    known = [item.name for item in fields(Columns)]
    named: dict[str, list[str]] = {}
    for pair in pairs:
        meaning, equals, name = pair.partition("=")
        if not equals or meaning not in known or not name:
            message = f"--column {pair}: write MEANING=COLUMN with a meaning of {', '.join(known)}."
            raise UsageError(message, code="unknown_meaning")
        named.setdefault(meaning, []).append(name)
    if twice := [meaning for meaning, names in named.items() if len(names) > 1 and meaning != "age"]:
        message = f"--column {twice[0]}=...: named more than once. Only age may have several columns."
        raise UsageError(message, code="duplicate_meaning")
    if named.get("age_unit", ["months"])[0] not in ("months", "years"):
        message = f"--column age_unit={named['age_unit'][0]}: write months or years."
        raise UsageError(message, code="unknown_age_unit")
    chosen: dict[str, Any] = {
        meaning: names[0] if len(names) == 1 else tuple(names) for meaning, names in named.items()
    }
    return Columns(**chosen)
