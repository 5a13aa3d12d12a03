"""A report for people: one folder with `index.html`, one page a radiograph, and the results as JSON lines."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from boneage.assessment import NOTICE, Assessment
from boneage.atomic import replace_folder
from boneage.errors import OutputError, UsageError
from boneage.reports.html.index_page import IndexRow, index_page
from boneage.reports.html.radiograph_page import radiograph_page
from boneage.reports.html.rendering import data_url
from boneage.reports.overlays import attention_picture, encode, radiograph_picture
from boneage.reports.record import AssessmentRecord
from boneage.sole_writer import SoleWriter

INDEX: Final = "index.html"
RESULTS: Final = "results.jsonl"
HEATMAPS: Final = "heatmaps"
FIGURES: Final = "figures"
_PAGE: Final = re.compile(r"\d{4,}-.*\.html", re.DOTALL)
_THUMBNAIL: Final = 144


@dataclass
class Report:
    """A report folder, which appears in its place as a whole when `finish` is called, or not at all.

    Where the process is asked to end before, the radiographs so far become the report, unless an older one stands
    there.

        with Report("out") as report:
            report.add(AssessmentRecord.of(assessment), assessment)
            report.finish()

    Args:
        folder: where to write. It may be missing, empty, or hold an older report and nothing else. A report of the
            same radiographs, or of some of them, is replaced.
        heatmaps: also write attention maps over the radiograph in its own size, one PNG a region.
        figures: also write one figure (PNG) a radiograph, for slides. Needs matplotlib.
        files: the radiographs to come, as given; with them an older report of others is refused at once, not in
            `finish`.
        force: also replace a report of other radiographs.

    Raises:
        UsageError: the folder holds other files (`folder_not_empty`) or a report of other radiographs
            (`report_of_other_radiographs`), or another run is writing there (`output_in_use`).
        OutputError: nothing can be written there (`cannot_write`).
    """

    folder: Path
    heatmaps: bool = False
    figures: bool = False
    files: Collection[str] | None = None
    force: bool = False
    rows: list[IndexRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        self._notice = NOTICE
        self._work: Path | None = None
        try:
            self._writer = SoleWriter(self.folder)
        except OutputError as error:
            if isinstance(error.__cause__, OSError):
                raise self._cannot(error.__cause__) from error
            raise
        try:
            self._begin()
        except OSError as error:
            self.discard()
            raise self._cannot(error) from error
        except BaseException:
            self.discard()
            raise

    def _begin(self) -> None:
        if self.folder.exists() and not self._may_replace():
            raise UsageError(
                f"{self.folder}: exists and holds other files than a report of boneage. Name a new or an empty folder.",
                code="folder_not_empty",
            )
        if self.files is not None:
            self._refuse_report_of_others(self.files)
        if self.folder.exists() and not os.access(self.folder, os.W_OK):
            raise PermissionError(13, "Permission denied")
        place = self.folder.absolute()
        work = place.with_name(f".{place.name}.unfinished")
        # What a killed run left: it shows patients, and its writer is gone.
        shutil.rmtree(work, ignore_errors=True)
        self._work = work
        work.mkdir(mode=0o755)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._keep_rows()
        self.discard()

    def _keep_rows(self) -> None:
        """Make a report of what was done so far, where no other stands."""
        if self._work is None or not self._work.exists() or not self.rows or (self.folder / INDEX).exists():
            return
        # The radiograph that was being written.
        for half in self._work.rglob(f"{len(self.rows) + 1:04d}-*"):
            half.unlink(missing_ok=True)
        with suppress(OutputError):
            self.finish(interrupted=True)

    def add(
        self,
        record: AssessmentRecord,
        assessment: Assessment | None = None,
        chronological_age_months: float | None = None,
    ) -> None:
        """Add one radiograph: its record, and its assessment where there is one.

        Raises:
            OutputError: it cannot be written; the report is given up and leaves nothing behind.
        """
        row = IndexRow(record, chronological_age_months=chronological_age_months)
        try:
            if assessment is not None:
                name = f"{len(self.rows) + 1:04d}-{_plain(record.file)}"
                heatmaps = self._heatmaps(name, assessment) if self.heatmaps else {}
                thumbnail = encode(radiograph_picture(assessment.radiograph, _THUMBNAIL), "JPEG")
                row = replace(
                    row,
                    page=f"{name}.html",
                    thumbnail=data_url(thumbnail, "jpeg"),
                    phantom=assessment.radiograph.phantom,
                )
                self._notice = assessment.notice
                if self.figures:
                    from boneage.reports.figure import figure_png  # takes a while to import

                    self._write(f"{FIGURES}/{name}.png", figure_png(assessment))
                page = radiograph_page(
                    record, assessment, chronological_age_months=chronological_age_months, heatmaps=heatmaps
                )
                self._write(row.page, page.encode("utf-8", "replace"))
            self.rows.append(row)
        except OSError as error:
            self.discard()
            raise self._cannot(error) from error

    def finish(self, *, interrupted: bool = False) -> Path:
        """Write the index and put the folder in its place.

        Args:
            interrupted: the index says that radiographs are missing.

        Returns:
            The path of `index.html`.

        Raises:
            UsageError: an older report of other radiographs stands there (`report_of_other_radiographs`).
            OutputError: it cannot be written; what stood there before is untouched.
        """
        assert self._work is not None
        try:
            self._refuse_report_of_others([row.record.file for row in self.rows])
            lines = "".join(row.record.as_json() + "\n" for row in self.rows)
            self._write(RESULTS, lines.encode())
            made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
            self._write(
                INDEX, index_page(self.rows, self._notice, made, interrupted=interrupted).encode("utf-8", "replace")
            )
            replace_folder(self._work, self.folder)
        except OSError as error:
            raise self._cannot(error) from error
        finally:
            self.discard()
        return self.folder / INDEX

    def discard(self) -> None:
        """Remove what was written so far; after `finish` there is nothing left to remove."""
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)
        self._writer.release()

    def _heatmaps(self, name: str, assessment: Assessment) -> dict[str, str]:
        files = {}
        for region in assessment.attention:
            files[region.value] = f"{HEATMAPS}/{name}-{region.value}.png"
            self._write(files[region.value], encode(attention_picture(assessment, region), "PNG"))
        return files

    def _write(self, name: str, data: bytes) -> None:
        assert self._work is not None
        path = self._work / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    def _may_replace(self) -> bool:
        if not self.folder.is_dir():
            return False
        names = {path.name for path in self.folder.iterdir()}
        own = {INDEX, RESULTS, HEATMAPS, FIGURES}
        others = [name for name in names - own if not _PAGE.fullmatch(name)]
        return not names or ({INDEX, RESULTS} <= names and not others)

    def _refuse_report_of_others(self, files: Collection[str]) -> None:
        """Refuse to replace a report that holds a radiograph which the new one will not hold."""
        if self.force or not (self.folder / RESULTS).exists():
            return
        others = sorted(_reported_files(self.folder / RESULTS) - {_as_written(file) for file in files})
        if others:
            raise UsageError(
                f"{self.folder}: holds a report of other radiographs ({others[0]}"
                f"{f' and {len(others) - 1:,} more' if len(others) > 1 else ''}). Name another folder, or replace it "
                "with --force.",
                code="report_of_other_radiographs",
            )

    def _cannot(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self.folder}: the report cannot be written ({error.strerror or error}). "
            "Free some space or name a folder that you may write to with --report.",
            code="cannot_write",
        )


class SideReport:
    """A report beside other results. Where it cannot be written the caller goes on, and `finish` raises the error.

    Args:
        folder: see `Report`; None for no report at all.
        heatmaps, figures, files, force: see `Report`.

    Raises:
        UsageError: see `Report`.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        heatmaps: bool = False,
        figures: bool = False,
        files: Collection[str] | None = None,
        force: bool = False,
    ) -> None:
        self._problem: OutputError | None = None
        self._report: Report | None = None
        if folder is not None:
            with self._keep_problem():
                self._report = Report(folder, heatmaps=heatmaps, figures=figures, files=files, force=force)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._report is not None and self._problem is None:
            self._report.__exit__(kind, error, trace)
        elif self._report is not None:
            self._report.discard()

    def add(
        self,
        record: AssessmentRecord,
        assessment: Assessment | None = None,
        chronological_age_months: float | None = None,
    ) -> None:
        """`Report.add`, unless something has failed before."""
        if self._report is not None and self._problem is None:
            with self._keep_problem():
                self._report.add(record, assessment, chronological_age_months)

    def finish(self) -> Path | None:
        """`Report.finish`; None without a folder.

        Raises:
            OutputError: the report could not be written, now or before.
        """
        index = None
        if self._report is not None and self._problem is None:
            with self._keep_problem():
                index = self._report.finish()
        if self._problem is not None:
            raise self._problem
        return index

    @contextmanager
    def _keep_problem(self) -> Iterator[None]:
        try:
            yield
        except OutputError as error:
            self._problem = error


def _reported_files(results: Path) -> set[str]:
    """The radiographs of an older report, as they were given; a damaged line counts as one of its own."""
    files = set()
    with results.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                files.add(_as_written(json.loads(line)["file"]))
            except (ValueError, KeyError, TypeError):
                files.add("a damaged line")
    return files


def _as_written(file: str) -> str:
    return file.encode("utf-8", "backslashreplace").decode()


def _plain(file: str) -> str:
    """The stem of a file name, of ASCII letters, digits, dots, dashes and underscores only."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(file).stem).strip(".-")
    return stem[:60] or "radiograph"
