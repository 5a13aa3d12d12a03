"""What the command needs from its process: the three standard streams, any encoding, and an end on request."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Final

_STREAMS: Final = 3
_ENDING: Final = ("SIGTERM", "SIGHUP")


def prepare_process() -> None:
    """Prepare the streams and signals of this process; the entry point calls it once.

    A stream that is closed (a service, `pythonw`, `2>&-`) becomes the null device: no file that is opened later may
    take its number, because libraries write to these numbers. `sys.stdout` stays None, because results would be lost.
    A character that the encoding of a stream lacks is written as an escape such as `\\u624b`. A request to end
    (`SIGTERM`, `SIGHUP`) unwinds the program, so that no half-written folder stays behind; the exit status is 128 plus
    the number of the signal, as in a shell.
    """
    _open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    owner = os.getpid()

    def end(number: int, _frame: FrameType | None) -> None:
        if os.getpid() != owner:
            # A forked worker has nothing to clean up.
            os._exit(128 + number)
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for name in _ENDING:
        number = getattr(signal, name, None)
        # `nohup` ignores SIGHUP on purpose.
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def _open_missing_streams() -> None:
    number = os.open(os.devnull, os.O_RDWR)
    while number < _STREAMS:
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
