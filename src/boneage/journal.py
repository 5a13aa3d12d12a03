"""Rows of finished work in a file that grows, and that an interrupted run takes up again.

A row is appended only after the data that it describes is on disk. So whatever a kill or a full disk cuts off at the
end of a journal is work that will be done again, never a wrong row.

The first line of a `Journal` is the key of the run: what has to be the same for its rows to hold. Every further line is
one JSON object. A `CsvJournal` is a table that people read: its first line names the columns.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Protocol, Self

from boneage.errors import OutputError, UsageError

Row = dict[str, Any]
"""What JSON can hold; text in each cell of a table."""
_KEY: Final = "journal_of"


def _always(row: Row) -> bool:
    return True


def read_journal(file: str | Path, key: Mapping[str, Any], *, holds: Callable[[Row], bool] = _always) -> list[Row]:
    """The rows of a journal, as far as they are sound, without opening it for writing.

    Args:
        file: the journal.
        key: see `Journal`.
        holds: see `Journal`.

    Returns:
        The rows in the order in which they were appended; empty where the file does not exist.

    Raises:
        UsageError: the journal belongs to another run (code `journal_of_another_run`).
        OutputError: the file cannot be read (code `cannot_read`).
    """
    return _read(Path(file), _JsonLines(key), holds)[0]


class Journal:
    """A journal that is open for appending.

    Opening it cuts off what an interrupted run left unfinished at the end. Two processes must not open one journal at
    the same time: the caller holds a lock where that can happen.

    Example:
        with Journal(folder / "crops.jsonl", {"model_sha256": model.sha256}, holds=crop_exists) as journal:
            for file in files[len(journal.rows) :]:
                write_crop(file)
                journal.append([{"file": str(file)}])

    Attributes:
        file: the journal.
        rows: every row, those of earlier runs first.

    Args:
        file: the journal; it and its folder are made where there is none.
        key: what has to be the same for the rows to hold, such as the model and the format of the rows.
        holds: whether the data that a row describes is still on disk. The first row for which it is not, and every
            later one, is cut off.
        replace_other: begin a new journal where the file belongs to another run, instead of refusing.

    Raises:
        UsageError: the file belongs to another run and `replace_other` is false (code `journal_of_another_run`).
        OutputError: the file cannot be read or written (codes `cannot_read`, `cannot_write`).
    """

    def __init__(
        self,
        file: str | Path,
        key: Mapping[str, Any],
        *,
        holds: Callable[[Row], bool] = _always,
        replace_other: bool = False,
    ) -> None:
        self._open(Path(file), _JsonLines(key), holds, replace_other=replace_other)

    def _open(self, file: Path, form: _Form, holds: Callable[[Row], bool], *, replace_other: bool) -> None:
        self.file, self._form = file, form
        try:
            self.rows, sound = _read(file, form, holds)
        except UsageError:
            if not replace_other:
                raise
            self.rows, sound = [], 0
        with self._writing():
            file.parent.mkdir(parents=True, exist_ok=True)
            self._stream: BinaryIO = file.open("ab")
            self._stream.truncate(sound)
            if sound == 0:
                self._write(form.first_line)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows and wait until they are on disk. Call it after the data that they describe is there.

        Raises:
            OutputError: the disk is full, or may not be written to (code `cannot_write`).
        """
        added = [dict(row) for row in rows]
        with self._writing():
            self._write(b"".join(map(self._form.encode, added)))
        self.rows += added

    def remove(self) -> None:
        """Close and delete the file: the work is done, and its result is stored elsewhere."""
        self._stream.close()
        with self._writing():
            self.file.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def _write(self, content: bytes) -> None:
        self._stream.write(content)
        flush_to_disk(self._stream)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.file}: could not be written ({error.strerror or error}). Free some space, or name a folder "
                "that you may write to. The work that is done is kept.",
                code="cannot_write",
            ) from error


class CsvJournal(Journal):
    """A table of comma-separated values that grows like a journal: people can read it while it does.

    Args:
        file: the table; it and its folder are made where there is none.
        columns: names of the columns, the first line of the table. A row may lack some of them.
        holds: see `Journal`. It gets text in every cell.

    Raises:
        UsageError: the file has other columns (code `other_columns`), or what `holds` raises.
        OutputError: the file cannot be read or written (codes `cannot_read`, `cannot_write`).
    """

    def __init__(self, file: str | Path, columns: Sequence[str], *, holds: Callable[[Row], bool] = _always) -> None:
        self._open(Path(file), _CsvLines(columns), holds, replace_other=False)


def flush_to_disk(stream: BinaryIO) -> None:
    """Wait until everything that was written to a stream is on disk."""
    stream.flush()
    os.fsync(stream.fileno())


def _read(file: Path, form: _Form, holds: Callable[[Row], bool]) -> tuple[list[Row], int]:
    """The sound rows of a journal, and the length in bytes of the file up to the last of them."""
    try:
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return [], 0
    except OSError as error:
        raise OutputError(
            f"{file}: could not be read ({error.strerror or error}). Check its permissions.", code="cannot_read"
        ) from error
    sound = form.check_first_line(content, file)
    rows: list[Row] = []
    for row, end in form.decode(content, sound):
        if not holds(row):
            break
        rows.append(row)
        sound = end
    return rows, sound


class _Form(Protocol):
    """How a journal is written."""

    @property
    def first_line(self) -> bytes: ...

    def check_first_line(self, content: bytes, file: Path) -> int:
        """The length of the first line, or 0 where it was cut off.

        Raises:
            UsageError: it is the first line of another file.
        """

    def encode(self, row: Row) -> bytes: ...

    def decode(self, content: bytes, start: int) -> Iterator[tuple[Row, int]]:
        """The rows from `start` on, each with the place where it ends, up to the first that is cut off or damaged."""


class _JsonLines:
    def __init__(self, key: Mapping[str, Any]) -> None:
        # Compared as JSON: a tuple in the key is a list in the file.
        self._key: Row = json.loads(json.dumps(dict(key)))
        self.first_line: Final = self.encode({_KEY: self._key})

    def check_first_line(self, content: bytes, file: Path) -> int:
        line, end, _ = content.partition(b"\n")
        if not end:
            return 0
        header = (_parse_object(line) or {}).get(_KEY)
        if header != self._key:
            found = header if isinstance(header, dict) else {}
            names = sorted(name for name in {*found, *self._key} if found.get(name) != self._key.get(name))
            raise UsageError(
                f"{file}: belongs to another run (different: {', '.join(names)}). Repeat the command of that run, or "
                "name a new folder.",
                code="journal_of_another_run",
            )
        return len(line) + 1

    def encode(self, row: Row) -> bytes:
        return json.dumps(row, ensure_ascii=True).encode() + b"\n"

    def decode(self, content: bytes, start: int) -> Iterator[tuple[Row, int]]:
        while (end := content.find(b"\n", start) + 1) > 0:
            row = _parse_object(content[start:end])
            if row is None:
                return
            yield row, end
            start = end


class _CsvLines:
    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self.first_line: Final = self.encode(dict(zip(columns, columns, strict=True)))

    def check_first_line(self, content: bytes, file: Path) -> int:
        if content.startswith(self.first_line):
            return len(self.first_line)
        if self.first_line.startswith(content):
            return 0
        message = f"{file}: has other columns than this version writes. Name a new folder."
        raise UsageError(message, code="other_columns")

    def encode(self, row: Row) -> bytes:
        stream = io.StringIO()
        csv.DictWriter(stream, self._columns, restval="", lineterminator="\n").writerow(row)
        return stream.getvalue().encode("utf-8", "backslashreplace")

    def decode(self, content: bytes, start: int) -> Iterator[tuple[Row, int]]:
        end = start
        while (end := content.find(b"\n", end) + 1) > 0:
            piece = content[start:end]
            # A cell may hold a line break. It is then between quotation marks, so a complete row has an even number.
            if piece.count(b'"') % 2:
                continue
            try:
                cells = next(csv.reader(io.StringIO(piece.decode("utf-8", "replace"), newline="")), [])
            except csv.Error:
                return
            if len(cells) != len(self._columns):
                return
            yield dict(zip(self._columns, cells, strict=True)), end
            start = end


def _parse_object(line: bytes) -> Row | None:
    """The JSON object on a line; None where the line is damaged."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
