"""Files and folders that appear whole: a reader meets the old one or the new one, never a part of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from boneage.errors import OutputError


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write a file next to `path`, then move it into place.

    Args:
        path: the file; its folder is made where there is none.
        content: text is written as UTF-8. Bytes of a file name that are not valid UTF-8 (lone surrogates) are written
            as an escape such as `\\udcff`.

    Raises:
        OutputError: the folder cannot be written to (code `cannot_write`). The file at `path` is unchanged.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with replacing(path) as waiting:
        waiting.write_bytes(data)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give an empty file beside `path` for the block to write; move it to `path` when the block ends without an error.

    For writers that need a file (weights, images, arrays). `write_atomically` takes content in memory.

    Raises:
        OutputError: the folder cannot be written to (code `cannot_write`). The file at `path` is unchanged.
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
            "write to.",
            code="cannot_write",
        ) from error
    finally:
        if waiting is not None:
            waiting.unlink(missing_ok=True)


def replace_folder(work: str | Path, target: str | Path, *, aside: str | Path | None = None) -> None:
    """Move a finished folder to `target`, in place of an older one.

    The older folder moves aside first, and is deleted when the new one is in place. It comes back when the second move
    fails. A kill between the two moves leaves it at `aside`. The next call deletes it once the new folder is in place,
    and brings it back when that fails.

    Args:
        work: the finished folder, on the same file system as `target`.
        target: where it goes; may exist.
        aside: where the older folder waits, beside `target`; `.NAME.older` where None.

    Raises:
        OSError: a move failed; `work` still exists, and `target` is as it was.
    """
    work, target = Path(work), Path(target).absolute()
    older = target.with_name(f".{target.name}.older") if aside is None else Path(aside)
    try:
        if target.exists():
            shutil.rmtree(older, ignore_errors=True)
            target.rename(older)
        work.rename(target)
        shutil.rmtree(older, ignore_errors=True)
    except BaseException:
        # Also when the process is asked to end in between.
        if older.exists() and not target.exists():
            older.rename(target)
        elif not work.exists():
            shutil.rmtree(older, ignore_errors=True)
        raise


@contextmanager
def removed_if_empty(folder: str | Path) -> Iterator[None]:
    """Remove `folder` and its parents when the block fails, as far as the block made them and they are empty."""
    missing = [place for place in (Path(folder), *Path(folder).parents) if not place.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for place in missing:
                place.rmdir()
        raise


def _umask() -> int:
    """The permissions that new files do not get; mkstemp makes private files, and results must not stay private."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
