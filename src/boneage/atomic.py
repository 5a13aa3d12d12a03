"""Writing a result so that nobody ever meets half of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from boneage.errors import OutputError


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write next to `path` and move into place: the old file or the new one stands there, never a part of one.

    Texts are written as UTF-8; bytes of a file name that are none (lone surrogates) are spelt out (`\\udcff`).

    Raises:
        OutputError: the folder cannot be written to; what stood at `path` is untouched.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with replacing(path) as waiting:
        waiting.write_bytes(data)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """An empty file beside `path`, to be written in the block; it takes the place of `path` when the block ends well.

    For writers that want a file (weights, pictures, arrays); else see `write_atomically`.

    Raises:
        OutputError: the folder cannot be written to; what stood at `path` is untouched.
    """
    target = Path(path)
    waiting: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        os.close(handle)
        waiting = Path(name)
        yield waiting
        with waiting.open("rb+") as stream:
            os.fsync(stream.fileno())
        waiting.chmod(0o666 & ~_umask())
        waiting.replace(target)
    except OSError as error:
        raise OutputError(
            f"{target}: could not be written ({error.strerror or error}). Name a folder with free space that you may "
            "write to."
        ) from error
    finally:
        if waiting is not None:
            waiting.unlink(missing_ok=True)


@contextmanager
def removed_if_empty(folder: str | Path) -> Iterator[None]:
    """When the block fails, what it made of `folder` and its parents goes again, as far as it is empty."""
    missing = [place for place in (Path(folder), *Path(folder).parents) if not place.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for place in missing:
                place.rmdir()
        raise


def _umask() -> int:
    """mkstemp makes private files; results get the permissions that any other new file would."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
