"""Radiographs -> images for the cache, in this process or in several."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Final

from boneage.datasets.image_store import Entry
from boneage.errors import RadiographError
from boneage.radiograph import Radiograph

CHUNK: Final = 32
"""Images that a worker decodes at a time; an interruption costs each worker at most so many."""

Read = Callable[[Path], Radiograph]
Decoded = list[tuple[Entry, bytes]]
"""Entries with their pixels; an entry with an error has none."""


def decode_images(
    todo: Sequence[tuple[Path, Entry]], *, short_side: int | None, workers: int | None, read: Read | None
) -> Generator[Decoded, None, None]:
    """Decode radiographs in chunks, in order. At most two chunks a worker are in memory.

    Args:
        todo: files, each with an entry that names its source.
        short_side: see `Radiograph.image`.
        workers: processes; None for one on each core that this process may use.
        read: file -> radiograph; None for `boneage.formats.read_radiograph`. Several workers need one that can be
            pickled.

    Yields:
        The entries of a chunk with the pixels of their images. An error of a radiograph is in its entry.
    """
    workers = workers or _available_cores()
    chunks = [todo[start : start + CHUNK] for start in range(0, len(todo), CHUNK)]
    if workers == 1 or len(chunks) == 1:
        for chunk in chunks:
            decoded: Decoded = []
            try:
                for path, entry in chunk:
                    decoded.append(_decode(path, entry, short_side=short_side, read=read))
            except BaseException:
                yield decoded  # so that the caller stores it before the error is raised again
                raise
            yield decoded
        return
    # Not fork: this process may hold threads (torch, a decoder) that a copy of it would wait for forever.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context) as pool:
        waiting: deque[Future[Decoded]] = deque()
        try:
            for chunk in chunks:
                waiting.append(pool.submit(_decode_chunk, chunk, short_side, read))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _decode_chunk(chunk: Sequence[tuple[Path, Entry]], short_side: int | None, read: Read | None) -> Decoded:
    return [_decode(path, entry, short_side=short_side, read=read) for path, entry in chunk]


def _decode(path: Path, entry: Entry, short_side: int | None, read: Read | None) -> tuple[Entry, bytes]:
    if read is None:
        from boneage.formats import read_radiograph  # readers of a finished cache do without the decoders

        read = read_radiograph
    file, size, mtime_ns = entry.source
    try:
        radiograph = read(path)
    except RadiographError as error:
        message = " ".join(part.rstrip(".") + "." for part in (error.reason, error.remedy) if part)
        if _is_transient(error):
            return Entry(id=entry.id, file="", size=size, mtime_ns=mtime_ns, error=message), b""
        return Entry(id=entry.id, file=file, size=size, mtime_ns=mtime_ns, error=message or "unreadable"), b""
    except OSError as error:
        return Entry(id=entry.id, file="", size=size, mtime_ns=mtime_ns, error=error.strerror or str(error)), b""
    image = radiograph.image(short_side)
    height, width = image.shape
    pixels = image.tobytes()
    content = hashlib.sha256(pixels).hexdigest()[:16]
    decoded = Entry(
        id=entry.id, file=file, size=size, mtime_ns=mtime_ns, offset=0, height=height, width=width, content=content
    )
    return decoded, pixels


def _is_transient(error: BaseException) -> bool:
    """Whether the system is the cause (permissions, descriptors, a failing disk, memory), not the file's content.

    Decoders raise OSError about damaged files as well, but without the system's error number.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno is not None):
            return True
        cause = cause.__cause__
    return False


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
