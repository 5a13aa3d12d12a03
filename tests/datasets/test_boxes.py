from __future__ import annotations

from pathlib import Path

import pytest

from boneage.datasets import read_boxes
from boneage.errors import DatasetError, UsageError

HEADER = "id,reader,label,x0,y0,x1,y1\n"
BONES = "7,k,wrist,.4,.6,.6,.7\n7,k,radius,.35,.65,.5,.8\n7,k,ulna,.5,.68,.62,.9\n"


def write(path: Path, rows: str, header: str = HEADER) -> Path:
    path.write_text(header + rows)
    return path


def test_regions_are_unions(tmp_path: Path) -> None:
    mcp = "".join(f"7,k,mcp,{x / 10},.3,{x / 10 + 0.05},.4\n" for x in range(2, 7))
    rows = BONES + mcp + "7,k,pip,0,0,.1,.1\n7.png,m,hand_mask,.1,.1,.9,1.0165\n8,l,hand,-.01,0,1,.5\n"
    assert read_boxes(write(tmp_path / "b.csv", rows)) == {
        "hand_mask": {"7": (0.1, 0.1, 0.9, 1.0)},
        "hand": {"8": (0.0, 0.0, 1.0, 0.5)},
        "region_1": {"7": (0.35, 0.6, 0.62, 0.9)},
        "wrist": {"7": (0.4, 0.6, 0.6, 0.7)},
        "region_2": {"7": (0.2, 0.3, 0.65, 0.4)},
    }


def test_incomplete_unions_are_left_out(tmp_path: Path) -> None:
    mcp = "".join(f"7,k,mcp,{x / 10},.3,{x / 10 + 0.05},.4\n" for x in range(2, 6))
    truths = read_boxes(write(tmp_path / "b.csv", BONES.replace("ulna", "pip") + mcp))
    assert not truths["region_1"]
    assert not truths["region_2"]
    assert set(truths["wrist"]) == {"7"}


def test_a_whole_region_is_taken_as_it_is(tmp_path: Path) -> None:
    truths = read_boxes(write(tmp_path / "b.csv", BONES + "7,k,region_1,.1,.2,.3,.4\n7,k,region_2,.5,.2,.7,.4\n"))
    assert truths["region_1"] == {"7": (0.1, 0.2, 0.3, 0.4)}
    assert truths["region_2"] == {"7": (0.5, 0.2, 0.7, 0.4)}
    assert truths["wrist"] == {"7": (0.4, 0.6, 0.6, 0.7)}


def test_the_reader_is_named_where_there_are_two(tmp_path: Path, refuses) -> None:
    path = write(tmp_path / "b.csv", BONES + "7,other,wrist,.1,.1,.2,.2\n")
    with refuses(UsageError, "several_readers"):
        read_boxes(path)
    assert read_boxes(path, reader="other")["wrist"] == {"7": (0.1, 0.1, 0.2, 0.2)}
    with pytest.raises(UsageError, match=r"no reader 'nobody'.*k, other") as raised:
        read_boxes(path, reader="nobody")
    assert raised.value.code == "unknown_reader"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("7,k,wrist,a,.1,.2,.2\n", "a, .1"),
        ("7,k,wrist,nan,.1,.2,.2\n", "not fractions"),
        ("7,k,wrist,10,10,200,300\n", "not fractions"),
        ("7,k,wrist,.5,.1,.2,.2\n", "not a valid box"),
        ("7,k,wrist,.5\n", "too short"),
    ],
)
def test_invalid_boxes_are_refused_with_their_line(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(DatasetError, match=rf"b\.csv, line 2.*{message}") as raised:
        read_boxes(write(tmp_path / "b.csv", row))
    assert raised.value.code == "invalid_box"


def test_missing_columns_and_files_are_refused(tmp_path: Path, refuses) -> None:
    with pytest.raises(UsageError, match="no column reader, y1") as raised:
        read_boxes(write(tmp_path / "b.csv", "", "id,label,x0,y0,x1\n"))
    assert raised.value.code == "missing_column"
    with refuses(UsageError, "no_such_file"):
        read_boxes(tmp_path / "none.csv")
