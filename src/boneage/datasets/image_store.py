"""The files of an image cache: all pixels in one flat file, and a journal with the place of each image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from boneage.errors import UsageError
from boneage.journal import Journal, flush_to_disk, read_journal

FORMAT: Final = 3
"""Raised with every change of the files; caches of an older format are left alone and built again."""


@dataclass(frozen=True)
class Entry:
    """One row of the journal: an image, or why a case has none.

    Attributes:
        id: the case.
        file: the radiograph, relative to the data set's root where it lies below it. "" marks a file that could not
            be opened this time; such an entry is not stored.
        size, mtime_ns: of the radiograph when it was read; a different value means that it has changed.
        offset: first byte of the image in the flat file.
        height, width: of the image in pixels (0 where the radiograph could not be read).
        content: first 16 hex digits of the sha256 of the image's pixels.
        error: why the radiograph could not be read, or "".
    """

    id: str
    file: str
    size: int
    mtime_ns: int
    offset: int = 0
    height: int = 0
    width: int = 0
    content: str = ""
    error: str = ""

    @property
    def source(self) -> tuple[str, int, int]:
        """What the radiograph is recognised by."""
        return self.file, self.size, self.mtime_ns

    @property
    def end(self) -> int:
        """The byte behind the image in the flat file."""
        return self.offset + self.height * self.width

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Entry | None:
        """The entry of a row of the journal; None where the row is not a valid entry."""
        try:
            entry = cls(**row)
        except TypeError:
            return None
        # A string in place of a number would raise an error much later.
        numbers = (entry.size, entry.mtime_ns, entry.offset, entry.height, entry.width)
        return entry if all(isinstance(number, int) and number >= 0 for number in numbers) else None


class ImageFiles:
    """The two files of the cache for one short side.

    Args:
        folder: of the cache; holds the files of several short sides.
        short_side: pixels, or None for the radiographs' own resolution.
    """

    def __init__(self, folder: Path, short_side: int | None) -> None:
        stem = f"images-{short_side or 'full'}-v{FORMAT}"
        self.journal = folder / f"{stem}.jsonl"
        self.pixels = folder / f"{stem}.u8"
        self._key = {"format": FORMAT, "short_side": short_side}

    def read(self) -> dict[str, Entry]:
        """The last entry of each case whose image is wholly on disk, by id.

        Raises:
            OutputError: the journal cannot be read.
        """
        try:
            rows = read_journal(self.journal, self._key, holds=self._is_stored)
        except UsageError:  # the first line is damaged
            return {}
        return {row["id"]: Entry(**row) for row in rows}

    def append(self) -> ImageAppender:
        """Open both files to append images; an interrupted build's unfinished end is cut off. Hold the lock.

        Raises:
            OutputError: the files cannot be written.
        """
        journal = Journal(self.journal, self._key, holds=self._is_stored, replace_other=True)
        return ImageAppender(journal, self.pixels)

    def _is_stored(self, row: Mapping[str, Any]) -> bool:
        entry = Entry.from_row(row)
        stored = self.pixels.stat().st_size if self.pixels.exists() else 0
        return entry is not None and entry.end <= stored


class ImageAppender:
    """Appends images to the flat file, then their entries to the journal."""

    def __init__(self, journal: Journal, pixels: Path) -> None:
        self._journal = journal
        # Replaced images count as well: their bytes stay where they are.
        self._end = max((Entry(**row).end for row in journal.rows), default=0)
        self._pixels: BinaryIO = pixels.open("ab")
        self._pixels.truncate(self._end)

    def append(self, images: Iterable[tuple[Entry, bytes]]) -> list[Entry]:
        """Write images and their entries.

        Args:
            images: entries without an offset, each with its pixels (height * width bytes).

        Returns:
            The entries with their offsets.

        Raises:
            OSError, OutputError: the files cannot be written.
        """
        placed: list[Entry] = []
        for entry, content in images:
            placed.append(Entry(**{**asdict(entry), "offset": self._end}))
            self._pixels.write(content)
            self._end += len(content)
        flush_to_disk(self._pixels)
        self._journal.append(asdict(entry) for entry in placed)
        return placed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._pixels.close()
        finally:
            self._journal.__exit__(kind, error, trace)
