"""Decoded, downscaled films of a data set, once, in one flat memory-mapped file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import mmap
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from boneage.datasets.journal import Entry, Writer, load
from boneage.datasets.table import Case, Dataset, Dropped
from boneage.errors import DatasetError, OutputError, RadiographError, UsageError
from boneage.radiograph import Radiograph

FORMAT: Final = 2
"""Goes up with every change in how a film is made or stored; older files are then left alone and made again."""
CHUNK: Final = 32
"""Films that a worker decodes at a time, and the most that an interruption costs each of them."""
_FORGET_BYTES: Final = 2**28
"""After so many bytes handed out the pages of the memory map are given back."""

Read = Callable[[Path], Radiograph]


class ImageCache:
    """The films of a data set, opened; `build` makes one.

    A cache is small in memory (an index of some hundred bytes a case), may be pickled, and maps the flat file only when
    the first film is asked for: each worker process maps it for itself and the pages are shared.

    Attributes:
        folder: where it is stored. Caches of several short sides may lie in one folder.
        short_side: of the films, or None for the resolution of the radiographs.
        dropped: the cases whose files are unreadable, unsuitable, or gone.
    """

    def __init__(
        self, folder: Path, short_side: int | None, entries: Mapping[str, Entry], dropped: Sequence[Dropped]
    ) -> None:
        self.folder = folder
        self.short_side = short_side
        self.dropped = tuple(dropped)
        self._entries = dict(entries)
        self._flat: npt.NDArray[np.uint8] | None = None
        self._touched = 0

    @classmethod
    def build(
        cls,
        dataset: Dataset,
        folder: str | Path,
        *,
        short_side: int | None,
        workers: int | None = None,
        progress: bool = True,
        read: Read | None = None,
    ) -> ImageCache:
        """Decode what is not yet in the cache, and open it.

        An interrupted build goes on where it stopped. Files whose path, size or time of change is another than
        when they were read are read again; unreadable ones are remembered. Several builds of one cache wait for each
        other. With several workers new processes are started (spawn), so a script needs `if __name__ == "__main__":`.

        Args:
            dataset: its cases are cached, whatever their labels.
            folder: is made where there is none.
            short_side: see `Radiograph.image`.
            workers: processes; None for one on each core that this process may use.
            progress: a bar on a terminal, a line for every tenth otherwise (standard error).
            read: file -> radiograph, `boneage.formats.read_radiograph` if left out; picklable for several workers.

        Raises:
            UsageError: `short_side` or `workers` is under 1.
            OutputError: the folder cannot be written to, or the disk is full. What was decoded stays.
            DatasetError: a worker died, most likely for want of memory. What was decoded stays.
        """
        if (short_side is not None and short_side < 1) or (workers is not None and workers < 1):
            raise UsageError(f"short_side={short_side}, workers={workers}: both must be 1 or more.")
        place = Path(folder)
        journal, images = _paths(place, short_side)
        fresh = _Freshness(dataset)
        try:
            entries, _ = load(journal, images)
            if fresh.missing_from(entries):
                place.mkdir(parents=True, exist_ok=True)
                with _locked(place / "lock", progress):
                    # Another build may have done it all while this one waited.
                    entries, _ = load(journal, images)
                    todo = fresh.missing_from(entries)
                    if todo:
                        steps = _decode(todo, short_side, workers or _cores(), read)
                        with Writer(journal, images) as writer, contextlib.closing(steps):
                            for chunk in _shown(steps, len(todo), progress):
                                fresh.note_transient(chunk)
                                lasting = [pair for pair in chunk if pair[0].file]
                                entries |= {entry.id: entry for entry in writer.append(lasting)}
        except OSError as error:
            raise OutputError(
                f"{place}: the cache could not be read or written ({error.strerror or error}). Name a folder with free "
                "space that you may write to; what was decoded is kept."
            ) from error
        except BrokenProcessPool as error:
            raise DatasetError(
                f"{place}: a process that decoded radiographs died, most likely for want of memory. Free "
                "some and start again; what was decoded is kept."
            ) from error
        return cls(place, short_side, *fresh.split(entries))

    @property
    def ids(self) -> tuple[str, ...]:
        """The cases that have a film, in the data set's order."""
        return tuple(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._entries

    def image(self, case_id: str) -> npt.NDArray[np.uint8]:
        """The film of a case as `Radiograph.film(short_side)` made it.

        Returns:
            uint8 [h, w], a read-only view of the file; copy it before you change it.

        Raises:
            DatasetError: the cache has no film of that case.
        """
        entry = self._entry(case_id)
        if self._flat is None:
            images = _paths(self.folder, self.short_side)[1]
            try:
                self._flat = np.memmap(images, dtype=np.uint8, mode="r")
            except (OSError, ValueError) as error:
                raise DatasetError(f"{images}: cannot be opened ({error}). Build the cache again.") from error
        self._touched += entry.end - entry.offset
        if self._touched > _FORGET_BYTES:
            self._forget()
        return np.asarray(self._flat[entry.offset : entry.end]).reshape(entry.height, entry.width)

    def _forget(self) -> None:
        """Unmap the pages that were read. They stay in the system's cache and come back when they are read again,
        but no longer count as this process's memory."""
        self._touched = 0
        mapped = getattr(self._flat, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)

    def full_size(self, case_id: str) -> tuple[int, int]:
        """(height, width) of the radiograph itself, in pixels; DatasetError where the case has no film."""
        entry = self._entry(case_id)
        return entry.full_height, entry.full_width

    @property
    def digest(self) -> str:
        """sha256 (hex) over short side, and id, shape and pixels of every film, sorted by id.

        Neither folder nor time of the files counts: a training goes on with a copy of its data on another machine.
        """
        lines = [
            (entry.id, entry.height, entry.width, entry.content)
            for entry in sorted(self._entries.values(), key=lambda entry: entry.id)
        ]
        return hashlib.sha256(json.dumps([FORMAT, self.short_side, lines]).encode()).hexdigest()

    def _entry(self, case_id: str) -> Entry:
        try:
            return self._entries[case_id]
        except KeyError:
            raise DatasetError(f"{self.folder}: there is no film of case {case_id}. Build the cache for it.") from None

    def __getstate__(self) -> dict[str, Any]:
        # The map would be pickled as its whole content.
        return {**self.__dict__, "_flat": None}


def _paths(folder: Path, short_side: int | None) -> tuple[Path, Path]:
    stem = f"films-{short_side or 'full'}-v{FORMAT}"
    return folder / f"{stem}.jsonl", folder / f"{stem}.u8"


class _Freshness:
    """What the sources look like now, against what the index says of them."""

    def __init__(self, dataset: Dataset) -> None:
        self._now: dict[str, tuple[Case, Entry]] = {}
        self._gone: dict[str, Dropped] = {}
        for case in dataset.cases:
            try:
                status = case.image.stat()
            except OSError as error:
                self._gone[case.id] = Dropped(case.id, str(case.image), "missing file", error.strerror or str(error))
                continue
            inside = case.image.is_relative_to(dataset.root)
            file = (case.image.relative_to(dataset.root) if inside else case.image).as_posix()
            self._now[case.id] = case, Entry(case.id, file, status.st_size, status.st_mtime_ns)

    def missing_from(self, entries: Mapping[str, Entry]) -> list[tuple[Path, Entry]]:
        return [
            (case.image, now)
            for case, now in self._now.values()
            if case.id not in entries or entries[case.id].source != now.source
        ]

    def note_transient(self, chunk: Sequence[tuple[Entry, bytes]]) -> None:
        """Files that the disk would not give: dropped now, tried again by the next build (an entry without a file)."""
        for entry, _ in chunk:
            if not entry.file:
                case, _ = self._now.pop(entry.id)
                self._gone[entry.id] = Dropped(entry.id, str(case.image), "unreadable file", entry.error)

    def split(self, entries: Mapping[str, Entry]) -> tuple[dict[str, Entry], list[Dropped]]:
        images = {name: entries[name] for name in self._now if not entries[name].error}
        unreadable = [
            Dropped(case.id, str(case.image), "unreadable file", entries[case.id].error)
            for case, _ in self._now.values()
            if entries[case.id].error
        ]
        return images, [*self._gone.values(), *unreadable]


def _decode(
    todo: Sequence[tuple[Path, Entry]], short_side: int | None, workers: int, read: Read | None
) -> Generator[list[tuple[Entry, bytes]], None, None]:
    """Decode in chunks, in order; no more than two chunks a worker are in memory."""
    chunks = [todo[start : start + CHUNK] for start in range(0, len(todo), CHUNK)]
    if workers == 1 or len(chunks) == 1:
        for chunk in chunks:
            made: list[tuple[Entry, bytes]] = []
            try:
                for path, entry in chunk:
                    made.append(_image(path, entry, short_side, read))
            except BaseException:
                yield made  # is kept
                raise
            yield made
        return
    # Not fork: the calling process may hold threads (torch, a decoder) that a copy of it would wait for for ever.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context) as pool:
        waiting: deque[Future[list[tuple[Entry, bytes]]]] = deque()
        try:
            for chunk in chunks:
                waiting.append(pool.submit(_images, chunk, short_side, read))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _images(
    chunk: Sequence[tuple[Path, Entry]], short_side: int | None, read: Read | None
) -> list[tuple[Entry, bytes]]:
    return [_image(path, entry, short_side, read) for path, entry in chunk]


def _image(path: Path, entry: Entry, short_side: int | None, read: Read | None) -> tuple[Entry, bytes]:
    if read is None:
        from boneage.formats import read_radiograph  # decoders are needed by whoever decodes, not by readers of a cache

        read = read_radiograph
    file, size, mtime_ns = entry.source
    try:
        radiograph = read(path)
    except RadiographError as error:
        said = " ".join(part.rstrip(".") + "." for part in (error.reason, error.remedy) if part)
        if _may_pass(error):
            return Entry(entry.id, "", size, mtime_ns, error=said), b""
        return Entry(entry.id, file, size, mtime_ns, error=said or "unreadable"), b""
    except OSError as error:
        return Entry(entry.id, "", size, mtime_ns, error=error.strerror or str(error)), b""
    image = radiograph.image(short_side)
    height, width = image.shape
    pixels = image.tobytes()
    content = hashlib.sha256(pixels).hexdigest()[:16]
    made = Entry(entry.id, file, size, mtime_ns, 0, height, width, radiograph.height, radiograph.width, content)
    return made, pixels


def _may_pass(error: BaseException) -> bool:
    """Whether the system would not give the file (rights, descriptors, a failing disk, memory): no fault of its own.

    Decoders raise OSError as well about damaged pictures, but without a number of the system's.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno is not None):
            return True
        cause = cause.__cause__
    return False


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _locked(path: Path, say: bool) -> Iterator[None]:
    """Hold the folder's lock; the system lets go of it when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows: two builds at once are the user's to avoid
        yield
        return
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if say:
                print(f"{path.parent}: another process is building this cache, waiting for it", file=sys.stderr)
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            print(f"{path.parent}: locks do not work there; let no two builds run at once", file=sys.stderr)
        yield


def _shown(
    steps: Iterator[list[tuple[Entry, bytes]]], total: int, progress: bool
) -> Iterator[list[tuple[Entry, bytes]]]:
    if progress and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = ("Decoding radiographs", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=total)
            for chunk in steps:
                yield chunk
                bar.advance(task, len(chunk))
        return
    done = 0
    for chunk in steps:
        yield chunk
        before, done = done, done + len(chunk)
        if progress and (done == total or done * 10 // total > before * 10 // total):
            print(f"decoded {done:,} of {total:,} radiographs", file=sys.stderr, flush=True)
