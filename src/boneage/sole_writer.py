"""One writer at a time for an output: a second process is told so instead of mixing its files with the first one's."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from boneage.errors import OutputError, UsageError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOCKED_BYTE: Final = 1 << 20
"""Windows locks bytes, not files: one behind the text, which stays readable."""


class SoleWriter:
    """Holds the right to write an output from when it is made until `release`, or until the process ends.

    The lock is the operating system's, on a file `.NAME.lock` beside the output that holds the process id. A process
    that was killed holds no lock, so its file is taken over. Where a lock cannot be made (some network drives, an
    output in a folder that may not be written to) none is held, and both writers go on.

        with SoleWriter("out"):
            ...

    Args:
        output: the file or folder to be written. The folder above it is made where there is none.

    Raises:
        UsageError: another process, or this one, is writing it (`output_in_use`).
        OutputError: the folder above cannot be written to (`cannot_write`).
    """

    def __init__(self, output: str | Path) -> None:
        # Two names of one folder have one lock.
        place = Path(output).resolve()
        self.file = place.with_name(f".{place.name}.lock")
        self._stream: IO[str] | None = None
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            while self._stream is None:
                self._stream = self._take(output)
        except OSError as error:
            if place.exists() and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                # The output can be written to, only nothing can be made beside it.
                return
            raise OutputError(
                f"{output}: cannot be written ({error.strerror or error}). Name a place that you may write to.",
                code="cannot_write",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the right back; once is enough."""
        stream, self._stream = self._stream, None
        if stream is not None:
            if sys.platform == "win32":
                stream.close()
            # While the lock is held: the next writer finds another file, or none.
            self.file.unlink(missing_ok=True)
            stream.close()

    def _take(self, output: str | Path) -> IO[str] | None:
        """The locked file; None where its last holder has just removed it."""
        stream = self.file.open("a+", encoding="utf-8")
        try:
            if not _lock(stream):
                stream.seek(0)
                holder = stream.read(40).strip() or "unknown"
                raise UsageError(
                    f"{output}: another run (process {holder}) is writing there. Wait for its end, or name another "
                    "place.",
                    code="output_in_use",
                )
            if not self.file.exists() or not os.path.samestat(os.fstat(stream.fileno()), self.file.stat()):
                stream.close()
                return None
            stream.truncate(0)
            stream.write(f"{os.getpid()}\n")
            stream.flush()
        except BaseException:
            stream.close()
            raise
        return stream


def _lock(stream: IO[str]) -> bool:
    """Lock a file; False where another holds the lock. True, without a lock, where the file system has none."""
    try:
        if sys.platform == "win32":
            stream.seek(_LOCKED_BYTE)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True
