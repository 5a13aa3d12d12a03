"""The files below a folder, and which of them is the radiograph of which row."""

from __future__ import annotations

import filecmp
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from boneage.datasets.columns import IMAGE_SUFFIXES, TABLE_SUFFIXES, Row, stem_of
from boneage.datasets.table import Split
from boneage.formats.folder_search import ARCHIVE_SUFFIXES, has_radiograph_content, walk_files

_DEEPEST_TABLE: Final = 3
"""Folders below the root in which tables are searched."""


def find_files(root: Path) -> tuple[list[Path], list[Path]]:
    """Find tables and images below a folder; see `walk_files` for what is left out.

    Returns:
        (tables, images), each sorted.
    """
    tables: list[Path] = []
    images: list[Path] = []
    for path in walk_files(root):
        suffix = path.suffix.lower()
        if suffix in TABLE_SUFFIXES:
            if len(path.relative_to(root).parts) <= _DEEPEST_TABLE + 1:
                tables.append(path)
        elif suffix in IMAGE_SUFFIXES or has_radiograph_content(path):
            images.append(path)
    return tables, images


def find_archives(root: Path) -> list[Path]:
    """The packed files (zip and others) below a folder, in which nothing is searched."""
    return [path for path in walk_files(root) if path.suffix.lower() in ARCHIVE_SUFFIXES]


def split_in_name(name: str) -> Split | None:
    """The split that the name of a file or folder contains; None where it contains none, or several.

    The words select and report of older tables do not count here: a folder named report holds results.
    """
    splits: set[Split] = set()
    for word in re.split(r"[^a-z]+", name.casefold()):
        if word.startswith("train"):
            splits.add("train")
        elif word.startswith("valid") or word == "val":
            splits.add("validation")
        elif word.startswith("test"):
            splits.add("test")
    return splits.pop() if len(splits) == 1 else None


def split_in_folders(path: Path, root: Path) -> Split | None:
    """The split that the folders between `root` and a file name; the innermost one counts."""
    folders = path.relative_to(root).parts[:-1]
    return next((split for name in reversed(folders) if (split := split_in_name(name)) is not None), None)


@dataclass(frozen=True)
class Match:
    """The radiograph of a row.

    Attributes:
        path: the file; None where there is none, or several with different content.
        conflict: the several files, for people; "" otherwise.
    """

    path: Path | None
    conflict: str = ""


class ImageFinder:
    """Finds the radiographs of rows by name.

    Args:
        splits: every image file, with the split that its folders name.

    Attributes:
        unused: the files that no row has taken yet, as keys.
    """

    def __init__(self, splits: Mapping[Path, Split | None]) -> None:
        self.unused = dict.fromkeys(splits)
        self._splits = splits
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_number: dict[str, list[Path]] = defaultdict(list)
        for path in splits:
            name = stem_of(path.name).casefold()
            self._by_name[name].append(path)
            if name.isdecimal():
                self._by_number[name.lstrip("0")].append(path)

    def match(self, rows: Iterable[tuple[Row, Split | None]]) -> list[Match]:
        """Find the radiograph of each row.

        A file in the folder of another split is taken only when no row of that split needs it. In sets that number
        each split from 1, a missing training image must not be replaced by the test image of the same number.

        Args:
            rows: each with the split that its table is official for.

        Returns:
            One match for each row, in order.
        """
        wanted = list(rows)
        matches = [self._find(row, split, others=False) for row, split in wanted]
        taken = {match.path for match in matches if match.path is not None}
        for number, (row, split) in enumerate(wanted):
            if matches[number] == Match(None):
                match = self._find(row, split, others=True)
                if match.path not in taken:
                    matches[number] = match
        for match in matches:
            if match.path is not None:
                self.unused.pop(match.path, None)
        return matches

    def _find(self, row: Row, split: Split | None, *, others: bool) -> Match:
        name = stem_of(row.name).casefold()
        paths = self._by_name.get(name, [])
        if name.isdecimal():
            paths = list(dict.fromkeys([*paths, *self._by_number.get(name.lstrip("0"), [])]))
        if not others and split is not None:
            paths = [path for path in paths if self._splits[path] in (split, None)]
        written = tuple(piece.casefold() for piece in Path(row.name.replace("\\", "/")).parts)
        folder = Path(row.folder.replace("\\", "/")).name.casefold()
        # In this order, each preference narrows the candidates where any of them meets it.
        preferences: list[Callable[[Path], bool]] = [
            lambda path: _ends_with(path, written) and len(written) > 1,
            lambda path: bool(folder) and folder in (piece.casefold() for piece in path.parts[:-1]),
            lambda path: split is not None and self._splits[path] == split,
            lambda path: stem_of(path.name).casefold() == name,
            lambda path: _ends_with(path, written[-1:]),
        ]
        for is_preferred in preferences:
            if len(paths) > 1:
                paths = [path for path in paths if is_preferred(path)] or paths
        if len(paths) > 1 and not all(_have_same_content(paths[0], other) for other in paths[1:]):
            return Match(None, f"{', '.join(map(str, paths))}: name the folder with the radiographs")
        for copy in paths[1:]:
            self.unused.pop(copy, None)
        return Match(paths[0] if paths else None)


def _ends_with(path: Path, pieces: tuple[str, ...]) -> bool:
    return bool(pieces) and tuple(piece.casefold() for piece in path.parts[-len(pieces) :]) == pieces


def _have_same_content(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False
