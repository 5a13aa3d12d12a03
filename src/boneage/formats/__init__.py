"""Files -> `Radiograph`: PNG, JPEG, TIFF, WebP and DICOM, told apart by what is in them, not by their names."""

from __future__ import annotations

import os
import stat
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from boneage.errors import RadiographError, UnreadableRadiograph, UsageError
from boneage.formats.dicom import MAGIC, MAGIC_OFFSET, dicom_says_phantom, looks_like_dicom, read_dicom
from boneage.formats.raster import kind_of_picture, picture_says_phantom, read_picture
from boneage.radiograph import Radiograph

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["EXTENSIONS", "find_radiographs", "is_phantom", "read_radiograph"]

EXTENSIONS: Final = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".dcm", ".dicom"})

_SAVE_AGAIN: Final = "Give a PNG, JPEG, TIFF, WebP or DICOM file"
_COPY_AGAIN: Final = "Copy or export the file again from where it came from"


class _Quiet:
    """Keeps the decoders' warnings off the terminal.

    `warnings.catch_warnings` alone would leave the wrong filters behind when several threads read at once,
    so the first reader in sets the filter and the last one out takes it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._caught: warnings.catch_warnings[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._caught = warnings.catch_warnings(record=False)
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._readers += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0 and self._caught is not None:
                self._caught.__exit__(kind, error, trace)
                self._caught = None


_quiet = _Quiet()


def read_radiograph(path: str | Path) -> Radiograph:
    """Read one radiograph from a PNG, JPEG, TIFF, WebP or DICOM file.

    Args:
        path: the file; its kind is found from its content, its extension does not matter.

    Returns:
        The radiograph in canonical form (bones bright, EXIF rotation applied); `file` is `path` as given.

    Raises:
        UnreadableRadiograph: no such file, a folder, empty, cut off, damaged, or no picture that is known here.
        UnsuitableRadiograph: read, but not to be assessed: a colour photograph, too small or too large, of one
            gray value, not finite, or a DICOM of another body part or modality.
    """
    file = str(path)
    try:
        with _quiet:
            return _read(Path(path), file)
    except RadiographError as error:
        if error.file is not None:
            raise
        raise type(error)(error.code, error.reason, error.remedy, file) from error
    except MemoryError as error:
        raise UnreadableRadiograph(
            "out_of_memory", "the memory does not suffice to read it", "Give a smaller picture", file
        ) from error
    except Exception as error:
        raise UnreadableRadiograph(
            "damaged_file", f"it could not be decoded ({_short(error)})", _COPY_AGAIN, file
        ) from error


def is_phantom(path: str | Path) -> bool:
    """Whether a PNG or DICOM file says that it is synthetic, with `boneage.radiograph.PHANTOM_MARK`.

    Only its head is read; what cannot be read says nothing.
    """
    try:
        with _quiet, Path(path).open("rb") as stream:
            head = stream.read(MAGIC_OFFSET + len(MAGIC))
            stream.seek(0)
            if head[MAGIC_OFFSET:] == MAGIC:
                return dicom_says_phantom(stream)
            return kind_of_picture(head) == "PNG" and picture_says_phantom(stream)
    except Exception:
        # Any decoder may raise anything about a damaged file; whoever reads it in earnest is told.
        return False


def find_radiographs(folder: str | Path) -> list[Path]:
    """Find the radiographs below a folder.

    Taken are files with one of `EXTENSIONS` (in any case), and files without an extension, or with a number for
    one as in `1.2.840.113619`, that are DICOM by their content. Hidden files and folders and DICOMDIR are not. Links
    to folders are followed, each folder is searched once.

    Returns:
        The paths, each beginning with `folder` as given, sorted.

    Raises:
        UsageError: no such folder, a folder that may not be listed, or one without a radiograph.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"{folder}: there is no such folder. Check the path.")

    def refuse(error: OSError) -> None:
        raise UsageError(f"{error.filename}: the folder cannot be listed ({error.strerror}). Check its permissions.")

    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found.extend(Path(place, name) for name in names if _is_wanted(Path(place, name)))
    if not found:
        raise UsageError(
            f"{folder}: the folder holds no radiograph. Give one with PNG, JPEG, TIFF, WebP or DICOM files in it."
        )
    return sorted(found)


def _is_wanted(path: Path) -> bool:
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return False
    extension = path.suffix.lower()
    if extension in EXTENSIONS:
        return True
    if extension and not extension[1:].isdigit():
        return False
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(MAGIC_OFFSET + len(MAGIC))[MAGIC_OFFSET:] == MAGIC
    except OSError:
        return False


def _read(path: Path, file: str) -> Radiograph:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableRadiograph("is_a_folder", "this is a folder, not a file", "Give a file")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableRadiograph("not_a_file", "this is a device or a pipe, not a file", _SAVE_AGAIN)
        stream: BinaryIO = path.open("rb")
    except FileNotFoundError as error:
        raise UnreadableRadiograph("no_such_file", "there is no such file", "Check the path") from error
    except OSError as error:
        raise UnreadableRadiograph(
            "cannot_open", f"it cannot be opened ({_short(error)})", "Check its permissions"
        ) from error
    with stream:
        if status.st_size == 0:
            raise UnreadableRadiograph("empty_file", "the file is empty (0 bytes)", _COPY_AGAIN)
        head = stream.read(MAGIC_OFFSET + len(MAGIC))
        stream.seek(0)
        kind = kind_of_picture(head)
        # DICOM comes first: its 128 free bytes may hold the head of a TIFF.
        if head[MAGIC_OFFSET:] == MAGIC or (kind is None and looks_like_dicom(head)):
            return read_dicom(stream, file)
        if kind is None:
            raise UnreadableRadiograph("unknown_format", "this is not a picture in a known format", _SAVE_AGAIN)
        return read_picture(stream, kind, file)


def _short(error: BaseException) -> str:
    """What a library said, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= 160 else f"{said[:157]}..."
