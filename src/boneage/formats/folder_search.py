"""Which files of a folder are radiographs, and what was left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from boneage.errors import UsageError
from boneage.formats.dicom import MAGIC, MAGIC_OFFSET
from boneage.formats.raster import picture_kind

ARCHIVE_SUFFIXES: Final = frozenset({".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz"})
EXTENSIONS: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".tif", ".tiff", ".webp", ".dcm", ".dicom"}
)
_OFTEN_DICOM: Final = frozenset({".dic", ".ima", ".img"})
_SYSTEM_FOLDERS: Final = frozenset({"__macosx", "$recycle.bin", "system volume information", "@eadir", "lost+found"})
_SYSTEM_FILES: Final = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "dicomdir"})
_KINDS_NAMED: Final = 5


@dataclass(frozen=True)
class FoundRadiographs:
    """The radiographs below a folder.

    Attributes:
        files: each begins with the folder as given; sorted.
        left_out: the other files by kind (extension in lower case, "" for none); what systems leave behind is not
            counted.
    """

    files: tuple[Path, ...]
    left_out: Mapping[str, int]


def find_radiographs_and_others(folder: Path) -> FoundRadiographs:
    """Find the radiographs below a folder, and count the other files.

    A radiograph is a file with an extension of PNG, JPEG, TIFF, WebP or DICOM (in any case), or one without an
    extension, or with a number as extension, whose content is one of these.

    Raises:
        UsageError: a folder that cannot be listed (code `cannot_open`).
    """

    def refuse(error: OSError) -> None:
        raise UsageError(
            f"{error.filename}: the folder cannot be listed ({error.strerror}). Check its permissions.",
            code="cannot_open",
        )

    files: list[Path] = []
    left_out: Counter[str] = Counter()
    for path in walk_files(folder, refuse):
        if path.suffix.lower() in EXTENSIONS or has_radiograph_content(path):
            files.append(path)
        else:
            left_out[path.suffix.lower()] += 1
    return FoundRadiographs(tuple(sorted(files)), left_out)


def count_in_words(left_out: Mapping[str, int]) -> str:
    """ "5 files were left out: 3 .bmp, 2 .gif"; "" where there is none."""
    total = sum(left_out.values())
    if not total:
        return ""
    kinds = sorted(left_out.items(), key=lambda pair: (-pair[1], pair[0]))
    named = [f"{count:,} {kind or 'without an extension'}" for kind, count in kinds[:_KINDS_NAMED]]
    rest = sum(count for _, count in kinds[_KINDS_NAMED:])
    named += [f"{rest:,} of other kinds"] if rest else []
    return f"{total:,} {'file was' if total == 1 else 'files were'} left out: {', '.join(named)}"


def walk_files(root: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Every file below a folder, but for hidden ones and what systems leave behind (`__MACOSX`, `Thumbs.db`, ...).

    Links are followed; each folder is searched once. In a folder, files come sorted.
    """
    seen: set[str] = set()
    for place, folders, files in os.walk(root, onerror=on_error, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if name[:1] != "." and name.casefold() not in _SYSTEM_FOLDERS)
        for name in sorted(files):
            if not name.startswith((".", "~$")) and name.casefold() not in _SYSTEM_FILES:
                yield Path(place, name)


def has_radiograph_content(path: Path) -> bool:
    """Whether a file without an extension that tells (none, a number, `.ima`) is a PNG, JPEG, TIFF, WebP or DICOM."""
    suffix = path.suffix.lower()
    if suffix and not suffix[1:].isdigit() and suffix not in _OFTEN_DICOM:
        return False
    try:
        # Not a pipe or a device: reading one may never end.
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            head = stream.read(MAGIC_OFFSET + len(MAGIC))
    except OSError:
        return False
    return head[MAGIC_OFFSET:] == MAGIC or picture_kind(head) is not None
