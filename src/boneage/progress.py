"""Progress of long work on standard error: a bar on a terminal, a plain line every tenth of the way otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")


class Advance(Protocol):
    """Reports that `count` more items are done."""

    def __call__(self, count: int = 1) -> None: ...


@contextmanager
def progress(doing: str, total: int, *, quiet: bool = False) -> Iterator[Advance]:
    """Show how much of some work is done; the block calls what it gets after each item or chunk of items.

    Nothing is shown if `quiet`, nor for fewer than two items.

    Args:
        doing: what is going on, such as "Assessing" or "Decoding radiographs".
        total: number of items.
        quiet: show nothing.
    """
    if quiet or total < 2:
        yield _ignore
    elif sys.stderr is not None and sys.stderr.isatty():
        # Here, not above: most calls show nothing, and rich takes its time to load.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
            task = bar.add_task(doing, total=total)
            yield lambda count=1: bar.advance(task, count)
    else:
        yield _Lines(doing, total)


def track(items: Iterable[T], doing: str, total: int, *, quiet: bool = False) -> Iterator[T]:
    """The items, with their progress (see `progress`); one is done when the next is asked for."""
    with progress(doing, total, quiet=quiet) as advance:
        for item in items:
            yield item
            advance()


def say(text: str, *, quiet: bool = False) -> None:
    """One line on standard error, at once; nothing if `quiet`."""
    # Without standard error (a service, `2>&-`) print would choose standard output, among the results.
    if not quiet and sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)


def _ignore(count: int = 1) -> None:
    pass


class _Lines:
    """ "Assessing: 1,088 of 10,869 (12.3 a second)": a line for every tenth of the way, and one at the end."""

    def __init__(self, doing: str, total: int) -> None:
        self.doing, self.total, self.done = doing, total, 0
        self.started = time.monotonic()

    def __call__(self, count: int = 1) -> None:
        before, self.done = self.done, self.done + count
        if self.done >= self.total or self.done * 10 // self.total > before * 10 // self.total:
            rate = self.done / max(time.monotonic() - self.started, 1e-3)
            say(f"{self.doing}: {self.done:,} of {self.total:,} ({rate:.3g} a second)")
