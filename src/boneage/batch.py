"""Many radiographs in order, several at the same time, with progress."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import typer

from boneage.ages import Sex
from boneage.assessment import Assessment
from boneage.errors import ModelError
from boneage.radiograph import Radiograph

if TYPE_CHECKING:
    from boneage.datasets import Case

_AHEAD: Final = 2
"""Cases that are begun or wait done for each thread: keeps memory small whatever the data set's size."""

T = TypeVar("T")


class Assessing(Protocol):
    """What an evaluation needs of an assessor."""

    def assess(self, radiograph: Radiograph, sex: Sex | None) -> Assessment: ...


def in_order(cases: Sequence[Case], work: Callable[[Case], T], *, workers: int = 1) -> Iterator[tuple[Case, T]]:
    """The cases in order, each with what `work` makes of it, in `workers` threads; what it raises is raised here."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        ahead = iter(cases)
        try:
            for case in cases:
                while len(waiting) < workers * _AHEAD and (coming := next(ahead, None)) is not None:
                    waiting.append(pool.submit(work, coming))
                yield case, waiting.popleft().result()
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
