"""How `boneage assess` prints: JSON lines, CSV, or a table for people."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping
from typing import Any, Final, Protocol

from boneage.errors import OutputError
from boneage.reports.record import short_file_name, years_and_months

Record = Mapping[str, Any]

CSV_COLUMNS: Final = (
    "file", "status", "reason", "sex", "bone_age_months", "lower_90_months", "upper_90_months",
    "male_bone_age_months", "male_lower_90_months", "male_upper_90_months",
    "female_bone_age_months", "female_lower_90_months", "female_upper_90_months",
    "carpal_bone_age_months", "tubular_bone_age_months",
    "male_carpal_bone_age_months", "male_tubular_bone_age_months",
    "female_carpal_bone_age_months", "female_tubular_bone_age_months",
    "model", "model_sha256", "seconds", "warnings", "notice",
)  # fmt: skip
_REGIONAL: Final = ("carpal_bone_age_months", "tubular_bone_age_months")


_UNBROKEN: Final = 2000
"""Characters a line may have where no terminal reads: nothing is wrapped, so that a search finds it."""


class Printer(Protocol):
    """Prints records as they come, and what remains at the end."""

    def add(self, record: Record) -> None: ...

    def finish(self) -> None: ...


def printer(form: str) -> Printer:
    """The printer for "table", "json" or "csv"."""
    kinds: dict[str, type[Printer]] = {"json": _Json, "csv": _Csv, "table": _Table}
    return kinds[form]()


def write_out(text: str) -> None:
    """Print to standard output at once.

    Raises:
        OutputError: standard output takes no more (a full disk); a closed pipe stays a `BrokenPipeError`.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"The results cannot be written to standard output ({error.strerror}). Free some space and run again."
        raise OutputError(message) from error


class _Json:
    """One object a line, in the order asked."""

    def add(self, record: Record) -> None:
        write_out(json.dumps(record, allow_nan=False) + "\n")

    def finish(self) -> None:
        pass


class _Csv:
    """One row a radiograph; the distribution is left to JSON."""

    def __init__(self) -> None:
        self.started = False

    def add(self, record: Record) -> None:
        row: dict[str, Any] = {name: record.get(name) for name in CSV_COLUMNS}
        row["warnings"] = " ".join(record["warnings"])
        answers = {"": record, **{f"{sex}_": answer for sex, answer in record.get("by_sex", {}).items()}}
        for prefix, answer in answers.items():
            row[f"{prefix}bone_age_months"] = answer["bone_age_months"]
            lower, upper = answer["interval_90_months"] or (None, None)
            row |= {f"{prefix}lower_90_months": lower, f"{prefix}upper_90_months": upper}
            row |= {f"{prefix}{name}": answer.get(name) for name in _REGIONAL}
        text = io.StringIO()
        writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
        if not self.started:
            writer.writeheader()
            self.started = True
        writer.writerow(row)
        write_out(text.getvalue().encode("utf-8", "replace").decode("utf-8"))

    def finish(self) -> None:
        pass


class _Table:
    """For people: years and months, the interval, and why a file has no answer."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(self, record: Record) -> None:
        self.records.append(record)

    def finish(self) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
        table.add_column("File", overflow="fold", min_width=12)
        parts = any(self.parts(record) for record in self.records)
        for title in ("Sex", "Bone age", "Months", "90 % interval", *(["Carpal, tubular"] if parts else [])):
            table.add_column(title, no_wrap=True)
        remarked = any(self.remark(record) for record in self.records)
        if remarked:
            table.add_column("Remarks", overflow="fold", min_width=24)
        for record in self.records:
            cells = [Text(cell) for cell in (*self.cells(record), *([self.parts(record)] if parts else []))]
            table.add_row(*cells, *([Text(self.remark(record))] if remarked else []))
        buffer = io.StringIO()
        on_terminal = sys.stdout.isatty()
        console = Console(
            file=buffer, force_terminal=on_terminal, width=None if on_terminal else _UNBROKEN, highlight=False
        )
        console.print(table)
        for notice in dict.fromkeys(record["notice"] for record in self.records):
            console.print(Text(notice, style="italic"))
        lines = "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
        encoding = sys.stdout.encoding or "utf-8"
        write_out(lines.encode(encoding, "replace").decode(encoding))

    @staticmethod
    def cells(record: Record) -> list[str]:
        file = short_file_name(str(record["file"]), 80)
        if record["status"] != "assessed":
            return [file, record["sex"], str(record["status"]), "", ""]
        answers = list(record.get("by_sex", {}).items()) or [("", record)]
        ages, months, intervals = [], [], []
        for sex, answer in answers:
            low, high = answer["interval_90_months"]
            word = f" if {sex}" if sex else ""
            ages.append(f"{years_and_months(answer['bone_age_months'])}{word}")
            months.append(f"{answer['bone_age_months']:.1f}")
            intervals.append(f"{years_and_months(low)} to {years_and_months(high)}")
        return [file, str(record["sex"]), *("\n".join(column) for column in (ages, months, intervals))]

    @staticmethod
    def parts(record: Record) -> str:
        """Carpal and tubular bone age, in months; a line a sex where both were assessed."""
        answers = record.get("by_sex", {}).values() or [record]
        told = [[answer.get(name) for name in _REGIONAL] for answer in answers]
        return "\n".join(f"{carpal:.1f}, {tubular:.1f}" for carpal, tubular in told if carpal is not None)

    @staticmethod
    def remark(record: Record) -> str:
        return str(record["reason"]) if record["reason"] else " ".join(record["warnings"])
