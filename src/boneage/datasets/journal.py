"""The index of a film cache: one JSON line a film, appended only after the film itself is on disk.

A line speaks of bytes that were flushed before it was written, so whatever is cut off at the end, by a kill or a full
disk, is a film that will be decoded again, and never a wrong one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self


@dataclass(frozen=True)
class Entry:
    """One line.

    Attributes:
        id: the case.
        file: the source, relative to the data set's root where it lies below it.
        size, mtime_ns: of the source when it was read; another value means that it changed.
        offset: first byte of the film in the flat file.
        height, width: of the film (0 where unreadable).
        full_height, full_width: of the radiograph.
        content: first 16 hex digits of the sha256 of the film's pixels.
        error: why it could not be read, or "".
    """

    id: str
    file: str
    size: int
    mtime_ns: int
    offset: int = 0
    height: int = 0
    width: int = 0
    full_height: int = 0
    full_width: int = 0
    content: str = ""
    error: str = ""

    @property
    def source(self) -> tuple[str, int, int]:
        return self.file, self.size, self.mtime_ns

    @property
    def end(self) -> int:
        return self.offset + self.height * self.width

    @classmethod
    def parse(cls, line: bytes) -> Entry | None:
        try:
            fields: Any = json.loads(line)
            if not isinstance(fields, Mapping):
                return None
            entry = cls(**fields)
        except (ValueError, TypeError):
            return None
        # Strings where numbers are due would come up much later.
        numbers = (entry.size, entry.mtime_ns, entry.offset, entry.height, entry.width)
        return entry if all(isinstance(number, int) and number >= 0 for number in numbers) else None


def load(journal: Path, images: Path) -> tuple[dict[str, Entry], int]:
    """The last entry of each case, and the length of the journal that is sound.

    A line that is cut off or damaged ends the sound part; so does one whose film is not wholly in the flat file.
    """
    try:
        content = journal.read_bytes()
        stored = images.stat().st_size if images.exists() else 0
    except FileNotFoundError:
        return {}, 0
    entries: dict[str, Entry] = {}
    sound = 0
    for line in content.splitlines(keepends=True):
        entry = Entry.parse(line) if line.endswith(b"\n") else None
        if entry is None or entry.end > stored:
            break
        entries[entry.id] = entry
        sound += len(line)
    return entries, sound


class Writer:
    """Appends films; opening one cuts off what an interrupted build left behind. Hold the lock while it is open."""

    def __init__(self, journal: Path, images: Path) -> None:
        _, sound = load(journal, images)
        lines = journal.read_bytes()[:sound].splitlines() if sound else []
        # Replaced films count as well: their bytes stay where they are.
        self._end = max((entry.end for line in lines if (entry := Entry.parse(line))), default=0)
        self._images: BinaryIO = images.open("ab")
        self._journal: BinaryIO = journal.open("ab")
        self._images.truncate(self._end)
        self._journal.truncate(sound)

    def append(self, images: Iterable[tuple[Entry, bytes]]) -> list[Entry]:
        """Write the films, then their lines; the entries come back with their offsets."""
        placed: list[Entry] = []
        for entry, content in images:
            placed.append(Entry(**{**asdict(entry), "offset": self._end}))
            self._images.write(content)
            self._end += len(content)
        _settle(self._images)
        for entry in placed:
            self._journal.write(json.dumps(asdict(entry), ensure_ascii=True).encode() + b"\n")
        _settle(self._journal)
        return placed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._images.close()
        finally:
            self._journal.close()


def _settle(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())
