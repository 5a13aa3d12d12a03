"""Writing a result so that nobody ever meets half of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from boneage.errors import OutputError


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write next to `path` and move into place: the old file or the new one stands there, never a part of one.

    Texts are written as UTF-8; bytes of a file name that are none (lone surrogates) are spelt out (`\\udcff`).

    Raises:
        OutputError: the folder cannot be written to; what stood at `path` is untouched.
    """
    target = Path(path)
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    waiting: str | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, waiting = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(waiting, 0o666 & ~_umask())
        os.replace(waiting, target)
    except OSError as error:
        if waiting is not None:
            Path(waiting).unlink(missing_ok=True)
        raise OutputError(
            f"{target}: could not be written ({error.strerror or error}). Name a folder with free space that you may "
            "write to."
        ) from error


def _umask() -> int:
    """mkstemp makes private files; results get the permissions that any other new file would."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
