"""Files -> `Radiograph`: PNG, JPEG, TIFF, WebP and DICOM, recognised by content, not by name."""

from __future__ import annotations

import os
import stat
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from boneage.errors import RadiographError, UnreadableRadiograph, UsageError
from boneage.formats.dicom import MAGIC, MAGIC_OFFSET, is_phantom_dicom, looks_like_dicom, read_dicom
from boneage.formats.folder_search import EXTENSIONS, find_radiographs_and_others
from boneage.formats.raster import is_phantom_picture, picture_kind, read_picture
from boneage.radiograph import Radiograph

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["EXTENSIONS", "find_radiographs", "is_phantom", "read_radiograph"]

_GIVE_KNOWN_FORMAT: Final = "Give a PNG, JPEG, TIFF, WebP or DICOM file"
_COPY_AGAIN: Final = "Copy or export the file again from its source"


class _SilentWarnings:
    """Keeps the decoders' warnings off the terminal.

    With `warnings.catch_warnings` alone, several threads that read at once would leave the wrong filters behind. Here
    the first reader sets the filter and the last one restores it.
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


_silent_warnings = _SilentWarnings()


def read_radiograph(path: str | Path, *, refuse: bool = True) -> Radiograph:
    """Read one radiograph from a PNG, JPEG, TIFF, WebP or DICOM file.

    Args:
        path: the file; its extension does not matter.
        refuse: raise UnsuitableRadiograph for colours (code `color_image`), another modality (`other_modality`) or
            another body part (`other_body_part`); if not, such a file is read with a remark of that code.

    Returns:
        The radiograph in canonical form (bones bright, EXIF rotation applied); `file` is `path` as given.

    Raises:
        UsageError: not a path (code `not_a_path`): an array, bytes, an image or an open file.
        UnreadableRadiograph: the file is missing, a folder, empty, cut off, damaged, or of an unknown format.
        UnsuitableRadiograph: the file was read, but must not be assessed: a colour photograph, too small or too large,
            uniform, with non-finite values, or a DICOM of another body part or modality.
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(
            f"An object of type {type(path).__name__} is not the path of a file. Give a path, or make a"
            " radiograph of gray values with boneage.Radiograph.from_values(array).",
            code="not_a_path",
        )
    file = str(path)
    try:
        with _silent_warnings:
            return _read(Path(path), file, refuse=refuse)
    except RadiographError as error:
        if error.file is not None:
            raise
        raise type(error)(error.code, error.reason, error.remedy, file) from error
    except MemoryError as error:
        raise UnreadableRadiograph(
            "out_of_memory", "there is not enough memory to read it", "Give a smaller image", file
        ) from error
    except Exception as error:
        raise UnreadableRadiograph(
            "damaged_file", f"it could not be decoded ({_one_line(error)})", _COPY_AGAIN, file
        ) from error


def is_phantom(path: str | Path) -> bool:
    """Whether a PNG or DICOM file is marked as a phantom (`boneage.radiograph.PHANTOM_MARK`).

    Reads only the header. False for files that cannot be read.
    """
    try:
        with _silent_warnings, Path(path).open("rb") as stream:
            head = stream.read(MAGIC_OFFSET + len(MAGIC))
            stream.seek(0)
            if head[MAGIC_OFFSET:] == MAGIC:
                return is_phantom_dicom(stream)
            return picture_kind(head) == "PNG" and is_phantom_picture(stream)
    except Exception:
        # Decoders raise errors of many kinds about damaged files; `read_radiograph` reports them.
        return False


def find_radiographs(folder: str | Path) -> list[Path]:
    """Find the radiographs below a folder.

    These are files with one of `EXTENSIONS` (in any case), and files without an extension, or with a number as one,
    whose content is a known format. Hidden files, and what systems leave behind, are left out. Links to folders are
    followed; each folder is searched once.

    Returns:
        The paths, each beginning with `folder` as given, sorted.

    Raises:
        UsageError: no such folder (code `no_such_folder`), a folder that cannot be listed (`cannot_open`), or no
            radiograph in it (`no_radiograph`).
    """
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"{folder}: there is no such folder. Check the path.", code="no_such_folder")
    files = find_radiographs_and_others(root).files
    if not files:
        raise UsageError(
            f"{folder}: the folder holds no radiograph. Give one with PNG, JPEG, TIFF, WebP or DICOM files in it.",
            code="no_radiograph",
        )
    return list(files)


def _read(path: Path, file: str, *, refuse: bool) -> Radiograph:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableRadiograph("is_a_folder", "it is a folder, not a file", "Give a file")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableRadiograph("not_a_file", "it is a device or a pipe, not a file", _GIVE_KNOWN_FORMAT)
        stream: BinaryIO = path.open("rb")
    except FileNotFoundError as error:
        raise UnreadableRadiograph("no_such_file", "there is no such file", "Check the path") from error
    except OSError as error:
        raise UnreadableRadiograph(
            "cannot_open", f"it cannot be opened ({_one_line(error)})", "Check its permissions"
        ) from error
    with stream:
        if status.st_size == 0:
            raise UnreadableRadiograph("empty_file", "the file is empty (0 bytes)", _COPY_AGAIN)
        head = stream.read(MAGIC_OFFSET + len(MAGIC))
        stream.seek(0)
        kind = picture_kind(head)
        # DICOM first: the 128 free bytes before its magic word may hold the header of a TIFF.
        if head[MAGIC_OFFSET:] == MAGIC or (kind is None and looks_like_dicom(head)):
            return read_dicom(stream, file, refuse=refuse)
        if kind is None:
            raise UnreadableRadiograph(
                "unknown_format", "the file is not an image in a known format", _GIVE_KNOWN_FORMAT
            )
        return read_picture(stream, kind, file, refuse=refuse)


def _one_line(error: BaseException) -> str:
    """The message of an error, in one line of at most 160 characters."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
