"""Many radiographs in order, several at a time, with bounded memory; errors are values."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from boneage.ages import Sex
from boneage.assessment import Assessment
from boneage.errors import BoneAgeError, UnreadableRadiograph
from boneage.radiograph import Radiograph

if TYPE_CHECKING:
    from boneage.assessor import Assessor
    from boneage.datasets.requests import Request

AHEAD: Final = 2
"""Items of each thread that are at work or wait for their turn: memory stays small whatever the number of items."""

T = TypeVar("T")
R = TypeVar("R")
Outcome = Assessment | BoneAgeError


class Assessing(Protocol):
    """Anything that assesses radiographs; the sex may be a word, such as "unknown"."""

    def assess(self, radiograph: Radiograph, sex: Sex | str | None) -> Assessment: ...


def assess_many(
    items: Iterable[T],
    assessor: Assessing,
    *,
    radiograph: Callable[[T], Radiograph | str | Path],
    sex: Callable[[T], Sex | str | None],
    workers: int = 1,
) -> Iterator[tuple[T, Outcome]]:
    """Read and assess radiographs, in order. One that fails yields its error and never stops the others.

    Args:
        items: whatever stands for the radiographs.
        assessor: must be safe to call from `workers` threads (`Assessor.for_many` is, and is fastest).
        radiograph: an item's radiograph, or the file to read.
        sex: an item's sex, or a word for it; None for the header's.
        workers: radiographs that are read and assessed at the same time.

    Yields:
        Each item with its assessment (`seconds` include reading) or its error.
    """

    def assess_one(item: T) -> Outcome:
        return attempt(assessor, lambda: radiograph(item), sex(item))

    return map_in_order(assess_one, items, workers=workers)


def assess_requests(
    requests: Sequence[Request], assessor: Assessor, *, workers: int = 1
) -> Iterator[tuple[Request, Outcome]]:
    """Read and assess what a user asked for, in order; see `assess_many`."""
    workers = max(1, min(workers, len(requests)))
    chosen = assessor.for_many() if workers > 1 else assessor
    return assess_many(
        requests,
        chosen,
        radiograph=lambda request: request.read(refuse=assessor.refuse),
        sex=lambda request: request.sex,
        workers=workers,
    )


def attempt(assessor: Assessing, radiograph: Callable[[], Radiograph | str | Path], sex: Sex | str | None) -> Outcome:
    """Make or read one radiograph and assess it; the error, where there is one, is returned."""
    started = time.perf_counter()
    file: str | Path | None = None
    try:
        source = radiograph()
        if not isinstance(source, Radiograph):
            from boneage.formats import read_radiograph

            file = source
            # Whoever overrules the gate overrules the refusals of the readers, too.
            source = read_radiograph(source, refuse=getattr(assessor, "refuse", True))
        assessment = assessor.assess(source, sex)
    except Exception as error:
        return as_error(error, file)
    return replace(assessment, seconds=time.perf_counter() - started)


def as_error(error: Exception, file: str | Path | None = None) -> BoneAgeError:
    """Errors of this package unchanged; any other error (decoders may raise anything) as a failure of that file."""
    if isinstance(error, BoneAgeError):
        return error
    if isinstance(error, MemoryError):
        code, reason, remedy = "out_of_memory", "the radiograph needs more memory than there is", "Export it smaller"
    elif isinstance(error, OSError):
        code, reason = "cannot_open", f"the file cannot be read ({error.strerror or error})"
        remedy = "Check the path and your rights to it"
    else:
        code, reason = "unexpected_error", f"an unexpected error ({type(error).__name__}: {error})"
        remedy = "Please report it with this message"
    return UnreadableRadiograph(code, reason, remedy, file)


def map_in_order(work: Callable[[T], R], items: Iterable[T], *, workers: int = 1) -> Iterator[tuple[T, R]]:
    """The items in order, each with its result, in `workers` threads.

    At most `AHEAD` items a thread are begun before the first of them is taken. What `work` raises is raised here.
    """
    waiting: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) >= workers * AHEAD:
                    first, result = waiting.popleft()
                    yield first, result.result()
            while waiting:
                first, result = waiting.popleft()
                yield first, result.result()
        finally:
            for _, result in waiting:
                result.cancel()
