"""The decoded, downscaled images of a data set: made once, kept in one flat memory-mapped file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from boneage.datasets.decoding import Decoded, Read, decode_images
from boneage.datasets.image_store import Entry, ImageFiles
from boneage.datasets.table import Case, Dataset, Dropped
from boneage.errors import DatasetError, OutputError, UsageError
from boneage.progress import progress as show_progress
from boneage.progress import say

_PIXELS: Final = 2
"""Raised with every change in how an image is made: digests then differ."""
_FORGET_BYTES: Final = 2**28
"""After so many bytes the pages of the memory map are given back."""


class ImageCache:
    """The images of a data set. `ImageCache.build` makes and opens one.

    A cache takes little memory (an index of some hundred bytes a case) and can be pickled. It maps the flat file when
    the first image is asked for. Each worker process maps it for itself; the pages are shared.

    Attributes:
        folder: where the cache is stored. It may hold the images of several short sides.
        short_side: of the images in pixels, or None for the resolution of the radiographs.
        dropped: the cases whose radiographs are unreadable, unsuitable or missing.
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
        """Decode the radiographs whose images are not in the cache yet, and open it.

        An interrupted build goes on where it stopped. A radiograph is read again when its path, size or modification
        time has changed. Unreadable radiographs are remembered. Several builds of one cache wait for each other. With
        several workers new processes are started (spawn), so a script needs `if __name__ == "__main__":`.

        Args:
            dataset: its cases are cached, whatever their labels.
            folder: made where there is none.
            short_side: see `Radiograph.image`.
            workers: processes; None for one on each core that this process may use.
            progress: show a bar on a terminal, else a line for every tenth (standard error).
            read: file -> radiograph; None for `boneage.formats.read_radiograph`. Several workers need one that can be
                pickled.

        Raises:
            UsageError: `short_side` or `workers` is under 1 (code `invalid_number`).
            OutputError: the folder cannot be read or written, or the disk is full. Decoded images are kept (codes
                `cannot_read`, `cannot_write`).
            DatasetError: a worker died, most likely for lack of memory. Decoded images are kept (code `worker_died`).
        """
        if (short_side is not None and short_side < 1) or (workers is not None and workers < 1):
            raise UsageError(
                f"short_side={short_side}, workers={workers}: both must be 1 or more.", code="invalid_number"
            )
        place = Path(folder)
        files = ImageFiles(place, short_side)
        sources = _Sources(dataset)
        try:
            entries = files.read()
            if sources.missing_from(entries):
                place.mkdir(parents=True, exist_ok=True)
                with _locked(place / "lock", progress):
                    # Another build may have decoded everything while this one waited.
                    entries = files.read()
                    todo = sources.missing_from(entries)
                    if todo:
                        chunks = decode_images(todo, short_side=short_side, workers=workers, read=read)
                        with (
                            show_progress("Decoding radiographs", len(todo), quiet=not progress) as advance,
                            files.append() as appender,
                            contextlib.closing(chunks),
                        ):
                            for chunk in chunks:
                                sources.drop_transient(chunk)
                                lasting = [pair for pair in chunk if pair[0].file]
                                entries |= {entry.id: entry for entry in appender.append(lasting)}
                                advance(len(chunk))
        except OSError as error:
            raise OutputError(
                f"{place}: the cache could not be written ({error.strerror or error}). Name a folder with free space "
                "that you may write to. Decoded images are kept.",
                code="cannot_write",
            ) from error
        except BrokenProcessPool as error:
            raise DatasetError(
                f"{place}: a process that decoded radiographs died, most likely for lack of memory. Free some memory "
                "and start again. Decoded images are kept.",
                code="worker_died",
            ) from error
        return cls(place, short_side, *sources.sort_out(entries))

    @property
    def ids(self) -> tuple[str, ...]:
        """The cases that have an image, in the data set's order."""
        return tuple(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._entries

    def image(self, case_id: str) -> npt.NDArray[np.uint8]:
        """The image of a case, as `Radiograph.image(short_side)` made it.

        Returns:
            uint8 [h, w], a read-only view of the file; copy it before you change it.

        Raises:
            DatasetError: the cache has no image of that case (code `not_in_cache`), or its file cannot be opened (code
                `damaged_cache`).
        """
        entry = self._entry(case_id)
        if self._flat is None:
            pixels = ImageFiles(self.folder, self.short_side).pixels
            try:
                self._flat = np.memmap(pixels, dtype=np.uint8, mode="r")
            except (OSError, ValueError) as error:
                raise DatasetError(
                    f"{pixels}: cannot be opened ({error}). Build the cache again.", code="damaged_cache"
                ) from error
        self._touched += entry.end - entry.offset
        if self._touched > _FORGET_BYTES:
            self._release_pages()
        return np.asarray(self._flat[entry.offset : entry.end]).reshape(entry.height, entry.width)

    def _release_pages(self) -> None:
        """Give back the mapped pages that were read.

        They no longer count as this process's memory. The system keeps them cached and maps them again when needed.
        """
        self._touched = 0
        mapped = getattr(self._flat, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)

    @property
    def digest(self) -> str:
        """sha256 (hex) over the short side, and id, shape and pixels of every image, sorted by id.

        Paths and modification times do not count, so a training goes on with a copy of its data on another machine.
        """
        lines = [
            (entry.id, entry.height, entry.width, entry.content)
            for entry in sorted(self._entries.values(), key=lambda entry: entry.id)
        ]
        return hashlib.sha256(json.dumps([_PIXELS, self.short_side, lines]).encode()).hexdigest()

    def _entry(self, case_id: str) -> Entry:
        try:
            return self._entries[case_id]
        except KeyError:
            raise DatasetError(
                f"{self.folder}: the cache has no image of case {case_id}. Build the cache with that case.",
                code="not_in_cache",
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        # The map would be pickled as its whole content.
        return {**self.__dict__, "_flat": None}


class _Sources:
    """The radiographs of a data set as they are on disk now, to compare with the entries of a cache."""

    def __init__(self, dataset: Dataset) -> None:
        self._now: dict[str, tuple[Case, Entry]] = {}
        self._dropped: dict[str, Dropped] = {}
        for case in dataset.cases:
            try:
                status = case.image.stat()
            except OSError as error:
                reason = error.strerror or str(error)
                self._dropped[case.id] = Dropped(id=case.id, file=str(case.image), reason="missing file", detail=reason)
                continue
            inside = case.image.is_relative_to(dataset.root)
            file = (case.image.relative_to(dataset.root) if inside else case.image).as_posix()
            self._now[case.id] = case, Entry(id=case.id, file=file, size=status.st_size, mtime_ns=status.st_mtime_ns)

    def missing_from(self, entries: Mapping[str, Entry]) -> list[tuple[Path, Entry]]:
        """The radiographs without an entry, or with one of an older state."""
        return [
            (case.image, now)
            for case, now in self._now.values()
            if case.id not in entries or entries[case.id].source != now.source
        ]

    def drop_transient(self, chunk: Decoded) -> None:
        """Drop the cases whose radiographs could not be opened this time; the next build tries them again."""
        for entry, _ in chunk:
            if not entry.file:
                case, _ = self._now.pop(entry.id)
                self._dropped[entry.id] = Dropped(
                    id=entry.id, file=str(case.image), reason="unreadable file", detail=entry.error
                )

    def sort_out(self, entries: Mapping[str, Entry]) -> tuple[dict[str, Entry], list[Dropped]]:
        """The entries with an image, and the dropped cases."""
        images = {name: entries[name] for name in self._now if not entries[name].error}
        unreadable = [
            Dropped(id=case.id, file=str(case.image), reason="unreadable file", detail=entries[case.id].error)
            for case, _ in self._now.values()
            if entries[case.id].error
        ]
        return images, [*self._dropped.values(), *unreadable]


@contextlib.contextmanager
def _locked(path: Path, progress: bool) -> Iterator[None]:
    """Hold the folder's lock; the system releases it when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock: users must not run two builds at once
        yield
        return
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{path.parent}: waiting for another process that is building this cache", quiet=not progress)
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            say(f"{path.parent}: locks do not work in this folder. Do not run two builds at once.")
        yield
