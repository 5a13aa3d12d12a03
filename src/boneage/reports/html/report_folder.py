"""A report for people: one folder with `index.html`, one page a radiograph, and the results as JSON lines."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from boneage.assessment import NOTICE, Assessment
from boneage.errors import OutputError, UsageError
from boneage.reports.html.index_page import index_page
from boneage.reports.html.radiograph_page import radiograph_page
from boneage.reports.overlays import attention_picture, encoded, radiograph_picture

INDEX: Final = "index.html"
RESULTS: Final = "results.jsonl"
HEATMAPS: Final = "heatmaps"
FIGURES: Final = "figures"
_PAGE: Final = re.compile(r"\d{4,}-.*\.html", re.DOTALL)
_THUMBNAIL: Final = 110


@dataclass
class Row:
    """One line of the index."""

    record: Mapping[str, Any]
    page: str | None = None
    thumbnail: bytes | None = None
    chronological_age_months: float | None = None


@dataclass
class Report:
    """A report folder in the making; it appears in its place whole, when `finish` is called, or not at all.

        with Report("out") as report:
            report.add(record(assessment), assessment)
            report.finish()

    Args:
        folder: the folder to write; it may be missing, empty, or hold an older report and nothing
            else (which is replaced).
        heatmaps: also write the attention maps over the film, one PNG a region, in the radiograph's own size.
        figures: also write everything about a radiograph on one picture (PNG), for slides. Needs matplotlib.

    Raises:
        UsageError: the folder holds something else.
        OutputError: nothing can be written there.
    """

    folder: Path
    heatmaps: bool = False
    figures: bool = False
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        self._notice = NOTICE
        self._work: Path | None = None
        try:
            if self.folder.exists() and not self._may_replace():
                raise UsageError(
                    f"{self.folder}: exists and holds other files than a report of boneage. "
                    "Name a new or an empty folder."
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
        record: Mapping[str, Any],
        assessment: Assessment | None = None,
        chronological_age_months: float | None = None,
    ) -> None:
        """Add one radiograph: its record, and its assessment where there is one.

        Raises:
            OutputError: it cannot be written; the report is given up and leaves nothing behind.
        """
        row = Row(record, chronological_age_months=chronological_age_months)
        try:
            if assessment is not None:
                name = f"{len(self.rows) + 1:04d}-{_plain(str(record['file']))}"
                heatmaps = self._heatmaps(name, assessment) if self.heatmaps else {}
                row.page = f"{name}.html"
                row.thumbnail = encoded(radiograph_picture(assessment.radiograph, _THUMBNAIL), "JPEG")
                self._notice = assessment.notice
                if self.figures:
                    from boneage.reports.figure import figure_png  # takes a while to import

                    self._write(f"{FIGURES}/{name}.png", figure_png(assessment))
                html = radiograph_page(record, assessment, chronological_age_months, heatmaps)
                self._write(row.page, html.encode("utf-8", "replace"))
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
        try:
            lines = "".join(json.dumps(row.record, allow_nan=False) + "\n" for row in self.rows)
            self._write(RESULTS, lines.encode())
            made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
            self._write(INDEX, index_page(self.rows, self._notice, made).encode("utf-8", "replace"))
            self._move()
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
            self._write(files[region.value], encoded(attention_picture(assessment, region), "PNG"))
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
        negative = [
            name for name in names if name not in (INDEX, RESULTS, HEATMAPS, FIGURES) and not _PAGE.fullmatch(name)
        ]
        return not names or ({INDEX, RESULTS} <= names and not negative)

    def _move(self) -> None:
        assert self._work is not None
        if not self.folder.exists():
            self._work.rename(self.folder)
            return
        older = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}.", dir=self._work.parent)) / "older"
        try:
            self.folder.rename(older)
            try:
                self._work.rename(self.folder)
            except OSError:
                older.rename(self.folder)
                raise
        finally:
            shutil.rmtree(older.parent, ignore_errors=True)

    def _cannot(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self.folder}: the report cannot be written ({error.strerror or error}). "
            "Free some space or name a folder that you may write to with --report."
        )


def _plain(file: str) -> str:
    """A file name that every file system and web server takes."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(file).stem).strip(".-")
    return escape(stem[:60]) or "radiograph"
