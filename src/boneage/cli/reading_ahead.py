"""Many radiographs, one after the other: threads read ahead while a model works, and progress is shown."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import typer

from boneage.ages import Sex
from boneage.assessment import Assessment
from boneage.errors import ModelError
from boneage.radiograph import Radiograph

if TYPE_CHECKING:
    from boneage.datasets import Case

_READ_AHEAD: Final = 2
"""Radiographs that wait decoded for each reading thread: keeps memory small whatever the data set's size."""

T = TypeVar("T")


class Assessing(Protocol):
    """What an evaluation needs of an assessor."""

    def assess(self, radiograph: Radiograph, sex: Sex | None) -> Assessment: ...


def read_ahead(
    cases: Sequence[Case], read: Callable[[Path], Radiograph], *, workers: int = 1
) -> Iterator[tuple[Case, Future[Radiograph]]]:
    """The cases in order, each with its radiograph or with what went wrong while it was read."""
    waiting: deque[Future[Radiograph]] = deque()
    with ThreadPoolExecutor(workers) as readers:
        ahead = iter(cases)
        try:
            for case in cases:
                while len(waiting) < workers * _READ_AHEAD and (coming := next(ahead, None)) is not None:
                    waiting.append(readers.submit(read, coming.image))
                yield case, waiting.popleft()
        finally:
            for future in waiting:
                future.cancel()


def outcome(radiograph: Callable[[], Radiograph], sex: Sex | None, assessor: Assessing) -> Assessment | Exception:
    """The assessment, or whatever was raised on the way to it.

    Raises:
        ModelError: the model itself does not work.
    """
    try:
        return assessor.assess(radiograph(), sex)
    except ModelError:
        raise
    except Exception as error:
        # Any decoder of any file format may raise anything; the case is listed as failed with these words.
        return error


def with_progress(items: Iterator[T], total: int, *, doing: str = "Assessing", done: str = "assessed") -> Iterator[T]:
    """A bar on a terminal, a plain line every tenth of the way otherwise; both on standard error."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        yield from track(items, doing, total=total, console=Console(stderr=True))
        return
    for count, item in enumerate(items, start=1):
        yield item
        if count == total or count * 10 // total > (count - 1) * 10 // total:
            typer.echo(f"{done} {count} of {total}", err=True)
