"""A report for people: one folder with `index.html`, one page a radiograph, and the results as JSON lines."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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

INDEX: Final = "index.html"
RESULTS: Final = "results.jsonl"
HEATMAPS: Final = "heatmaps"
FIGURES: Final = "figures"
_PAGE: Final = re.compile(r"\d{4,}-.*\.html", re.DOTALL)
_THUMBNAIL: Final = 144


@dataclass
class Report:
    """A report folder, which appears in its place as a whole when `finish` is called, or not at all.

        with Report("out") as report:
            report.add(AssessmentRecord.of(assessment), assessment)
            report.finish()

    Args:
        folder: where to write. It may be missing, empty, or hold an older report and nothing else, which is replaced.
        heatmaps: also write attention maps over the radiograph in its own size, one PNG a region.
        figures: also write one figure (PNG) a radiograph, for slides. Needs matplotlib.

    Raises:
        UsageError: the folder holds other files (`folder_not_empty`).
        OutputError: nothing can be written there (`cannot_write`).
    """

    folder: Path
    heatmaps: bool = False
    figures: bool = False
    rows: list[IndexRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        self._notice = NOTICE
        self._work: Path | None = None
        try:
            if self.folder.exists() and not self._may_replace():
                raise UsageError(
                    f"{self.folder}: exists and holds other files than a report of boneage. "
                    "Name a new or an empty folder.",
                    code="folder_not_empty",
                )
            parent = self.folder.absolute().parent
            parent.mkdir(parents=True, exist_ok=True)
            self._work = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}.", dir=parent))
            if self.folder.exists() and not os.access(self.folder, os.W_OK):
                raise PermissionError(13, "Permission denied")
            self._work.chmod(0o755)
        except OSError as error:
            self.discard()
            raise self._cannot(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

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

    def finish(self) -> Path:
        """Write the index and put the folder in its place.

        Returns:
            The path of `index.html`.

        Raises:
            OutputError: it cannot be written; what stood there before is untouched.
        """
        assert self._work is not None
        try:
            lines = "".join(row.record.as_json() + "\n" for row in self.rows)
            self._write(RESULTS, lines.encode())
            made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
            self._write(INDEX, index_page(self.rows, self._notice, made).encode("utf-8", "replace"))
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
        heatmaps, figures: see `Report`.

    Raises:
        UsageError: the folder holds something else (`folder_not_empty`).
    """

    def __init__(self, folder: Path | None, *, heatmaps: bool = False, figures: bool = False) -> None:
        self._problem: OutputError | None = None
        self._report: Report | None = None
        if folder is not None:
            with self._keep_problem():
                self._report = Report(folder, heatmaps, figures)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._report is not None:
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


def _plain(file: str) -> str:
    """The stem of a file name, of ASCII letters, digits, dots, dashes and underscores only."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(file).stem).strip(".-")
    return stem[:60] or "radiograph"
