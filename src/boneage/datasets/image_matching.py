"""What lies in a folder, and which file is the radiograph of which row."""

from __future__ import annotations

import filecmp
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from boneage.datasets.columns import IMAGE_SUFFIXES, TABLE_SUFFIXES, Row, stem_of
from boneage.datasets.table import Split

_DEEPEST_TABLE: Final = 3
"""Folders below the root in which tables are looked for."""


def walk(root: Path) -> tuple[list[Path], list[Path]]:
    """Tables and pictures below a folder, sorted; links are followed, hidden files are not seen."""
    tables: list[Path] = []
    pictures: list[Path] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(files):
            path = Path(place, name)
            suffix = path.suffix.lower()
            if name.startswith((".", "~$")):
                continue
            if suffix in TABLE_SUFFIXES:
                if len(path.relative_to(root).parts) <= _DEEPEST_TABLE + 1:
                    tables.append(path)
            elif suffix in IMAGE_SUFFIXES or ((not suffix or suffix[1:].isdigit()) and _is_dicom(path)):
                pictures.append(path)
    return tables, pictures


def _is_dicom(path: Path) -> bool:
    if path.name.upper() == "DICOMDIR":
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def part_of_words(text: str) -> Split | None:
    """The part that a name speaks of; None where it speaks of none, or of several."""
    words = re.split(r"[^a-z]+", text.casefold())
    parts: set[Split] = set()
    for word in words:
        if word.startswith("train"):
            parts.add("train")
        elif word.startswith("valid") or word == "val":
            parts.add("validation")
        elif word.startswith("test"):
            parts.add("test")
    return parts.pop() if len(parts) == 1 else None


def part_of_folder(path: Path, root: Path) -> Split | None:
    folders = path.relative_to(root).parts[:-1]
    return next((part for name in reversed(folders) if (part := part_of_words(name)) is not None), None)


class Pictures:
    """The radiographs below a folder, found by name.

    Args:
        paths: every file.
        parts: for each the part (training, validation, test) that its folders speak of.
    """

    def __init__(self, paths: Iterable[Path], parts: Mapping[Path, Split | None]) -> None:
        self.unused = dict.fromkeys(paths)
        self._parts = parts
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_number: dict[str, list[Path]] = defaultdict(list)
        for path in self.unused:
            name = stem_of(path.name).casefold()
            self._by_name[name].append(path)
            if name.isdecimal():
                self._by_number[name.lstrip("0")].append(path)

    def match(self, rows: Iterable[tuple[Row, Split | None]]) -> list[tuple[Path | None, str]]:
        """For each row (with the part its table is official for) its file, or None and why several will not do.

        A file in the folder of another part is taken only when no row of that part needs it: in sets that number
        each part from 1, a missing training film must not be replaced by the test film of the same number.
        """
        asked = list(rows)
        found = [self._find(row, part, others=False) for row, part in asked]
        taken = {path for path, _ in found if path is not None}
        for place, (row, part) in enumerate(asked):
            if found[place] == (None, ""):
                path, why = self._find(row, part, others=True)
                if path not in taken:
                    found[place] = (path, why)
        for path, _ in found:
            if path is not None:
                self.unused.pop(path, None)
        return found

    def _find(self, row: Row, part: Split | None, *, others: bool) -> tuple[Path | None, str]:
        name = stem_of(row.name).casefold()
        paths = self._by_name.get(name, [])
        if name.isdecimal():
            paths = list(dict.fromkeys([*paths, *self._by_number.get(name.lstrip("0"), [])]))
        if not others and part is not None:
            paths = [path for path in paths if self._parts[path] in (part, None)]
        written = tuple(piece.casefold() for piece in Path(row.name.replace("\\", "/")).parts)
        folder = Path(row.folder.replace("\\", "/")).name.casefold()
        tests: list[Callable[[Path], bool]] = [
            lambda path: _ends_with(path, written) and len(written) > 1,
            lambda path: bool(folder) and folder in (piece.casefold() for piece in path.parts[:-1]),
            lambda path: part is not None and self._parts[path] == part,
            lambda path: stem_of(path.name).casefold() == name,
            lambda path: _ends_with(path, written[-1:]),
        ]
        for test in tests:
            if len(paths) > 1:
                paths = [path for path in paths if test(path)] or paths
        if len(paths) > 1 and not all(_same_content(paths[0], other) for other in paths[1:]):
            return None, f"{', '.join(map(str, paths))}: name the folder with the radiographs"
        for copy in paths[1:]:
            self.unused.pop(copy, None)
        return (paths[0], "") if paths else (None, "")


def _ends_with(path: Path, pieces: tuple[str, ...]) -> bool:
    return bool(pieces) and tuple(piece.casefold() for piece in path.parts[-len(pieces) :]) == pieces


def _same_content(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False
