"""Records of outcomes, and how they are printed: JSON lines, CSV, or a table for people."""

from __future__ import annotations

import io
import sys
from typing import Final, Protocol

from boneage.assessment import Assessment
from boneage.assessor import Assessor
from boneage.batch import Outcome
from boneage.datasets.requests import Request
from boneage.errors import OutputError
from boneage.reports.record import AssessmentRecord
from boneage.reports.table import csv_header, csv_line
from boneage.reports.text import short_file_name, years_and_months

_UNBROKEN: Final = 2000
"""Characters a line may have without a terminal: lines are not wrapped, so that text searches find whole names."""


def record_of(request: Request, outcome: Outcome, assessor: Assessor) -> AssessmentRecord:
    """The record of one radiograph, with or without an answer."""
    if isinstance(outcome, Assessment):
        return AssessmentRecord.of(outcome, request.file)
    return AssessmentRecord.of_error(
        outcome,
        request.file,
        sex=request.known_sex,
        model=assessor.model.name,
        model_sha256=assessor.model.sha256,
        notice=assessor.notice,
    )


class Printer(Protocol):
    """Prints records as they come, and what remains at the end."""

    def add(self, record: AssessmentRecord) -> None: ...

    def finish(self) -> None: ...


def printer(form: str) -> Printer:
    """The printer for "table", "json" or "csv"."""
    kinds: dict[str, type[Printer]] = {"json": _Json, "csv": _Csv, "table": _Table}
    return kinds[form]()


def write_out(text: str) -> None:
    """Print to standard output at once. A character that its encoding lacks is written as an escape (`\\u624b`).

    Raises:
        OutputError: nothing more can be written, for example on a full disk (`cannot_write`).
        BrokenPipeError: the reader has gone.
    """
    if sys.stdout is None:
        raise OutputError("Standard output is closed. Send the results to a file.", code="cannot_write")
    try:
        sys.stdout.write(_spell_out(text))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"The results cannot be written to standard output ({error.strerror}). Free some space and run again."
        raise OutputError(message, code="cannot_write") from error


def _spell_out(text: str) -> str:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _has_box_lines() -> bool:
    return "\\" not in _spell_out("─")


class _Json:
    """One object a line, in the order asked."""

    def add(self, record: AssessmentRecord) -> None:
        write_out(record.as_json() + "\n")

    def finish(self) -> None:
        pass


class _Csv:
    """One row a radiograph, after a header."""

    def __init__(self) -> None:
        self._started = False

    def add(self, record: AssessmentRecord) -> None:
        write_out(csv_line(record) if self._started else csv_header() + csv_line(record))
        self._started = True

    def finish(self) -> None:
        pass


class _Table:
    """For people: years and months, the interval, and why a file has no answer."""

    def __init__(self) -> None:
        self.records: list[AssessmentRecord] = []

    def add(self, record: AssessmentRecord) -> None:
        self.records.append(record)

    def finish(self) -> None:
        if not self.records:
            return
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        regional = any(_regional(record) for record in self.records)
        remarked = any(_remark(record) for record in self.records)
        table = Table(box=box.SIMPLE_HEAD if _has_box_lines() else box.ASCII, header_style="bold", pad_edge=False)
        table.add_column("File", overflow="fold", min_width=12)
        for title in ("Sex", "Bone age", "Months", "90 % interval", *(["Carpal, tubular"] if regional else [])):
            table.add_column(title, no_wrap=True)
        if remarked:
            table.add_column("Remarks", overflow="fold", min_width=24)
        for record in self.records:
            cells = [*_cells(record), *([_regional(record)] if regional else [])]
            cells += [_remark(record)] if remarked else []
            # Before columns are made as wide as their cells.
            table.add_row(*(Text(_spell_out(cell)) for cell in cells))
        buffer = io.StringIO()
        on_terminal = sys.stdout is not None and sys.stdout.isatty()
        console = Console(
            file=buffer, force_terminal=on_terminal, width=None if on_terminal else _UNBROKEN, highlight=False
        )
        console.print(table)
        for notice in dict.fromkeys(record.notice for record in self.records):
            console.print(Text(notice, style="italic"))
        lines = "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
        write_out(lines)


def _cells(record: AssessmentRecord) -> list[str]:
    """File, sex, bone age, months, interval; one line a sex where both were assessed."""
    file = short_file_name(record.file, 80)
    if record.status != "assessed":
        return [file, record.sex, record.status, "", ""]
    ages, months, intervals = [], [], []
    for sex, answer in record.answers.items():
        low, high = answer.interval_90_months
        ages.append(years_and_months(answer.bone_age_months) + (f" if {sex}" if sex else ""))
        months.append(f"{answer.bone_age_months:.1f}")
        intervals.append(f"{years_and_months(low)} to {years_and_months(high)}")
    return [file, record.sex, *("\n".join(column) for column in (ages, months, intervals))]


def _regional(record: AssessmentRecord) -> str:
    """Carpal and tubular bone age in months; one line a sex where both were assessed."""
    return "\n".join(
        f"{answer.carpal_bone_age_months:.1f}, {answer.tubular_bone_age_months:.1f}"
        for answer in record.answers.values()
        if answer.carpal_bone_age_months is not None and answer.tubular_bone_age_months is not None
    )


def _remark(record: AssessmentRecord) -> str:
    return record.reason or " ".join(record.warnings)
