"""Rows of finished work in a file that grows, and that an interrupted run takes up again.

A row is appended only after the data that it describes is on disk. So whatever a kill or a full disk cuts off at the
end of a journal is work that will be done again, never a wrong row.

The first line of the file is the key of the run: what has to be the same for its rows to hold. Every further line is
one JSON object.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from boneage.errors import OutputError, UsageError

Row = dict[str, Any]
"""What JSON can hold."""
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
    return _read(Path(file), key, holds)[0]


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
        self.file = Path(file)
        try:
            self.rows, sound = _read(self.file, key, holds)
        except UsageError:
            if not replace_other:
                raise
            self.rows, sound = [], 0
        with self._writing():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._stream: BinaryIO = self.file.open("ab")
            self._stream.truncate(sound)
            if sound == 0:
                self._write([{_KEY: dict(key)}])

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows and wait until they are on disk. Call it after the data that they describe is there.

        Raises:
            OutputError: the disk is full, or may not be written to (code `cannot_write`).
        """
        added = [dict(row) for row in rows]
        with self._writing():
            self._write(added)
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

    def _write(self, rows: Iterable[Row]) -> None:
        self._stream.write(b"".join(json.dumps(row, ensure_ascii=True).encode() + b"\n" for row in rows))
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


def flush_to_disk(stream: BinaryIO) -> None:
    """Wait until everything that was written to a stream is on disk."""
    stream.flush()
    os.fsync(stream.fileno())


def _read(file: Path, key: Mapping[str, Any], holds: Callable[[Row], bool]) -> tuple[list[Row], int]:
    """The sound rows of a journal, and the length in bytes of the file up to the last of them."""
    try:
        lines = file.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise OutputError(
            f"{file}: could not be read ({error.strerror or error}). Check its permissions.", code="cannot_read"
        ) from error
    if not lines or (len(lines) == 1 and not lines[0].endswith(b"\n")):
        return [], 0
    # Compared as JSON: a tuple in the key is a list in the file.
    expected = json.loads(json.dumps(dict(key)))
    header = (_parse(lines[0]) or {}).get(_KEY)
    if header != expected:
        found = header if isinstance(header, dict) else {}
        names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        raise UsageError(
            f"{file}: belongs to another run (different: {', '.join(names)}). Repeat the command of that run, or name "
            "a new folder.",
            code="journal_of_another_run",
        )
    rows: list[Row] = []
    sound = len(lines[0])
    for line in lines[1:]:
        row = _parse(line)
        if row is None or not holds(row):
            break
        rows.append(row)
        sound += len(line)
    return rows, sound


def _parse(line: bytes) -> Row | None:
    """The JSON object on a line; None where the line is cut off or damaged."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
