"""Which files of a folder are radiographs, whatever their names, and what is told about the others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneage.formats.folder_search import count_in_words, find_radiographs_and_others


def _save(path: Path, kind: str = "PNG") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path, kind)


def _touch(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"something")


def test_radiographs_are_found_by_extension_or_by_content(tmp_path: Path) -> None:
    for name, kind in (("a.JPG", "JPEG"), ("b.jfif", "JPEG"), ("c.jpe", "JPEG"), ("deep/d", "TIFF"), ("e", "PNG")):
        _save(tmp_path / name, kind)
    (tmp_path / "f.ima").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "1.2.840").write_bytes(bytes(128) + b"DICM")
    _touch(tmp_path, ["notes", "1.bmp", "2.BMP", "3.gif", "table.csv"])
    found = find_radiographs_and_others(tmp_path)
    names = ["1.2.840", "a.JPG", "b.jfif", "c.jpe", "deep/d", "e", "f.ima"]
    assert [path.relative_to(tmp_path).as_posix() for path in found.files] == names
    assert found.left_out == {"": 1, ".bmp": 2, ".gif": 1, ".csv": 1}


def test_what_systems_leave_behind_is_neither_taken_nor_counted(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    for folder in ("__MACOSX", "$RECYCLE.BIN", "@eaDir", ".hidden"):
        _save(tmp_path / folder / "a.png")
    _touch(tmp_path, ["._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", "~$t.xlsx", "DICOMDIR"])
    found = find_radiographs_and_others(tmp_path)
    assert found.files == (tmp_path / "a.png",)
    assert found.left_out == {}


@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        ({}, ""),
        ({".bmp": 1}, "1 file was left out: 1 .bmp"),
        ({".gif": 2, ".bmp": 3}, "5 files were left out: 3 .bmp, 2 .gif"),
        ({"": 1200}, "1,200 files were left out: 1,200 without an extension"),
        (dict.fromkeys("abcdefg", 1), "7 files were left out: 1 a, 1 b, 1 c, 1 d, 1 e, 2 of other kinds"),
    ],
)
def test_the_others_are_counted_by_kind(left_out: dict[str, int], words: str) -> None:
    assert count_in_words(left_out) == words
