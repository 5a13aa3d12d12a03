"""`boneage assess`: bone age of radiographs."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from boneage.ages import parse_sex
from boneage.assessment import Assessment
from boneage.assessor import Assessor, load
from boneage.cli.output import Printer, printer
from boneage.cli.requests import Request, gather
from boneage.errors import BoneAgeError, OutputError, UnreadableRadiograph, UsageError
from boneage.model.folder import available_cores
from boneage.radiograph import Radiograph
from boneage.reports import AssessmentRecord
from boneage.reports.html.report_folder import Report


class Format(StrEnum):
    """How the results are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True)
class Outcome:
    """One request, its record, and its assessment where there is one."""

    request: Request
    record: AssessmentRecord
    assessment: Assessment | None = None


def assess(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE|DIR", help="Radiographs, or folders of them.")
    ] = None,
    sex: Annotated[
        str | None,
        typer.Option(metavar="male|female|unknown", help="Sex of the child; else the header's, else both answers."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Columns file,sex[,chronological_age_months]; paths relative to the table."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME|DIR", help="A shipped model (`boneage models list`) or a model folder.")
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Index of the model's training cases: also name the closest of them."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How the results are printed.")] = Format.TABLE,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a report for people into this folder.")
    ] = None,
    heatmaps: Annotated[
        bool, typer.Option("--heatmaps", help="Also write attention maps over the films into the report.")
    ] = False,
    figures: Annotated[
        bool, typer.Option("--figures", help="Also write one picture a radiograph with everything into the report.")
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Assess what would be refused (no hand, two hands, ...), with a warning.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Files that are read at the same time.")] = None,
) -> None:
    """Bone age of radiographs (PNG, JPEG, TIFF, WebP, DICOM).

    Prints the results in the order asked. Exit status: 0 every file was assessed, 1 some were rejected or failed,
    2 wrong usage or a model that cannot be used. Research use only, not a medical device.
    """
    if (heatmaps or figures) and report is None:
        option = "--heatmaps" if heatmaps else "--figures"
        raise UsageError(f"{option} writes into the report. Say where with --report DIR.")
    requests, remarks = gather(files or [], sex, table)
    for remark in remarks:
        typer.echo(remark, err=True)
    assessor = load(model, index, refuse=not anyway)
    with ExitStack() as stack:
        pages = _Pages(None if report is None else partial(Report, report, heatmaps, figures), stack)
        say = stack.enter_context(progress(len(requests)))
        found = outcomes(assessor, requests, workers or min(4, available_cores()))
        every_one = _go(found, printer(form.value), pages, say)
        pages.finish()
    if pages.problem is not None:
        raise pages.problem
    if not every_one:
        raise typer.Exit(1)


def _go(found: Iterable[Outcome], out: Printer, pages: _Pages, say: Callable[[Outcome], None]) -> bool:
    every_one = True
    for outcome in found:
        every_one &= outcome.assessment is not None
        out.add(outcome.record)
        pages.add(outcome)
        say(outcome)
    out.finish()
    return every_one


def outcomes(assessor: Assessor, requests: Iterable[Request], workers: int) -> Iterator[Outcome]:
    """Assess requests in their order; files are read ahead by `workers` threads, a few at a time."""
    rest = iter(requests)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[Request, Future[tuple[Radiograph | Exception, float]]]] = deque(
            (request, pool.submit(_read, request)) for request in islice(rest, workers)
        )
        try:
            while waiting:
                request, future = waiting.popleft()
                waiting.extend((later, pool.submit(_read, later)) for later in islice(rest, 1))
                yield _outcome(assessor, request, *future.result())
        finally:
            pool.shutdown(cancel_futures=True)


def _read(request: Request) -> tuple[Radiograph | Exception, float]:
    started = time.perf_counter()
    try:
        if request.problem:
            return UnreadableRadiograph("no_radiographs", request.problem, file=request.file), 0.0
        from boneage.formats import read_radiograph

        return read_radiograph(request.path), time.perf_counter() - started
    except Exception as error:
        return _plain(error, request), time.perf_counter() - started


def _outcome(assessor: Assessor, request: Request, read: Radiograph | Exception, seconds: float) -> Outcome:
    problem = read
    if isinstance(read, Radiograph):
        try:
            assessment = assessor.assess(replace(read, file=request.file), request.sex)
            assessment = replace(assessment, seconds=assessment.seconds + seconds)
            return Outcome(request, AssessmentRecord.of(assessment, request.file), assessment)
        except Exception as error:
            problem = _plain(error, request)
    assert isinstance(problem, Exception)
    entry = AssessmentRecord.of_error(
        problem,
        request.file,
        sex=parse_sex(request.sex),
        model=assessor.model.name,
        model_sha256=assessor.model.sha256,
        seconds=seconds,
        notice=assessor.notice,
    )
    return Outcome(request, entry)


def _plain(error: Exception, request: Request) -> Exception:
    """One file must never stop the others: what nobody foresaw becomes a failure of that file, told as such."""
    if isinstance(error, BoneAgeError):
        return error
    if isinstance(error, MemoryError):
        code, reason, remedy = "out_of_memory", "the picture needs more memory than there is", "Export it smaller"
    elif isinstance(error, OSError):
        code, reason = "cannot_open", f"the file cannot be read ({error.strerror or error})"
        remedy = "Check the path and your rights to it"
    else:
        code, reason = "unexpected_error", f"an unexpected error ({type(error).__name__}: {error})"
        remedy = "Please report it with this message"
    return UnreadableRadiograph(code, reason, remedy, request.file)


class _Pages:
    """The report on the side: when it cannot be written the results are still printed, and the error comes last."""

    def __init__(self, start: Callable[[], Report] | None, stack: ExitStack) -> None:
        self.problem: OutputError | None = None
        self._report: Report | None = None
        if start is not None:
            with self._guard():
                self._report = stack.enter_context(start())

    def add(self, outcome: Outcome) -> None:
        if self._report is not None and self.problem is None:
            with self._guard():
                self._report.add(outcome.record, outcome.assessment, outcome.request.chronological_age_months)

    def finish(self) -> None:
        if self._report is not None and self.problem is None:
            with self._guard():
                typer.echo(f"Report: {self._report.finish()}", err=True)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except OutputError as error:
            self.problem = error


@contextmanager
def progress(total: int) -> Iterator[Callable[[Outcome], None]]:
    """A bar on a terminal, plain lines (about every tenth of the work) otherwise; both on standard error."""
    if total < 2:
        yield lambda outcome: None
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("Assessing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
            task = bar.add_task("", total=total)
            yield lambda outcome: bar.advance(task)
        return
    done = 0
    step = max(1, total // 10)

    def say(outcome: Outcome) -> None:
        nonlocal done
        done += 1
        if done % step == 0 or done == total:
            typer.echo(f"{done} of {total} radiographs done", err=True)

    yield say
