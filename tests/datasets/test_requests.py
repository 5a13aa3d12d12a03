"""Tables and folders of `boneage assess` -> what is to be assessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from boneage.ages import Sex
from boneage.datasets.requests import Request, gather_requests
from boneage.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path, hand_pixels: Any) -> Path:
    """A folder with `hands/1.png` to `hands/4.png`."""
    (tmp_path / "hands").mkdir()
    for number in range(1, 5):
        Image.fromarray(hand_pixels(120, 150 + number)).save(tmp_path / "hands" / f"{number}.png")
    return tmp_path


def rows_of(folder: Path, text: str, sex: str | None = None) -> tuple[list[Request], list[str]]:
    (folder / "t.csv").write_text(text)
    return gather_requests([], sex, folder / "t.csv")


@pytest.mark.parametrize(
    "text",
    [
        "file,sex\nhands\\1.png,male\nhands\\2.png,F\n",
        "file,sex\nC:\\data\\hands\\1.png,male\n/mnt/hands/2.png,F\n",
        "File Name;Gender;chronological age\nhands/1.png;M;126,5\nhands/2.png;F;126,5\n",
        "file,male\nhands/1.png,TRUE\nhands/2.png,FALSE\n",
        "id,boneage,male\n1,55,True\n2,56,False\n",
        "dir,image,sex\nhands,1.png,boy\nhands,2.jpg,girl\n",
    ],
)
def test_tables_as_people_have_them(folder: Path, text: str) -> None:
    requests, notes = rows_of(folder, text)
    assert [request.path.resolve() for request in requests] == [folder / "hands" / f"{n}.png" for n in (1, 2)]
    assert [request.known_sex for request in requests] == [Sex.MALE, Sex.FEMALE]
    assert notes == []
    ages = {request.chronological_age_months for request in requests}
    assert ages == ({126.5} if "126" in text else {None})


def test_the_radiograph_of_another_folder_is_not_taken_for_a_missing_one(folder: Path) -> None:
    (request,), _ = rows_of(folder, "file,sex\npatient2/1.png,male\n")
    assert request.path == folder / "patient2" / "1.png"


def test_a_name_that_several_files_have_is_a_failure_of_its_row(folder: Path, hand_pixels: Any) -> None:
    (folder / "others").mkdir()
    Image.fromarray(hand_pixels(130)).save(folder / "others" / "1.png")
    (one, two), _ = rows_of(folder, "id,sex\n1,male\n2,male\n")
    assert one.problem is not None
    assert (one.problem.code, two.problem) == ("several_files", None)


def test_rows_that_repeat_a_file_are_one_request_and_must_agree(folder: Path) -> None:
    text = (
        "file,sex,chronological_age_months\nhands/1.png,male,\nhands/2.png,female,\nhands/1.png,M,100\n"
        "hands/2.png,male,\nhands/3.png,male,50\n./hands/3.png,male,51\nhands/4.png,,\n"
    )
    requests, notes = rows_of(folder, text, "female")
    assert [request.file for request in requests] == [f"hands/{number}.png" for number in range(1, 5)]
    codes = [request.problem and request.problem.code for request in requests]
    assert codes == [None, "contradicting_rows", "contradicting_rows", None]
    assert (requests[0].known_sex, requests[0].chronological_age_months) == (Sex.MALE, 100)
    assert requests[3].sex == "female"
    assert "rows 3, 5" in str(requests[1].problem)
    assert len(notes) == 1
    assert "3 of its rows" in notes[0]


@pytest.mark.parametrize("word", ["nan", "NaN", "", "n/a", "<NA>", "-"])
def test_a_missing_sex_leaves_the_choice_to_the_option_and_the_header(folder: Path, word: str) -> None:
    (request,), _ = rows_of(folder, f"file,sex\nhands/1.png,{word}\n")
    assert request.sex is None
    (request,), _ = rows_of(folder, f"file,sex\nhands/1.png,{word}\n", "female")
    assert request.sex == "female"


def test_a_thousand_bad_rows_are_told_in_a_few_lines(folder: Path) -> None:
    text = "file,sex\n" + "".join(f"{number}.png,1\n" for number in range(1000))
    with pytest.raises(UsageError) as raised:
        rows_of(folder, text)
    lines = str(raised.value).splitlines()
    assert raised.value.code == "unknown_sex"
    assert ["row 2" in lines[0], "row 3" in lines[1], "row 4" in lines[2]] == [True] * 3
    assert lines[3] == "And 997 more (997 unknown_sex)."
    assert len(lines) == 4


def test_files_of_a_folder_that_are_left_out_are_told(folder: Path) -> None:
    for name in ("a.bmp", "b.bmp", "c.gif"):
        (folder / "hands" / name).touch()
    requests, notes = gather_requests([str(folder / "hands")], None, None)
    assert len(requests) == 4
    assert notes == [f"{folder / 'hands'}: 3 files were left out: 2 .bmp, 1 .gif."]


def test_packed_files_are_to_be_unpacked(tmp_path: Path, hand_file: Path, refuses: Any) -> None:
    packed = tmp_path / "packed" / "images.zip"
    packed.parent.mkdir()
    packed.write_bytes(b"PK\x03\x04")
    for argument in (packed, packed.parent):
        with refuses(UsageError, "packed_files"):
            gather_requests([str(argument)], None, None)
    requests, _ = gather_requests([str(packed), str(hand_file)], None, None)
    assert [request.problem and request.problem.code for request in requests] == ["packed_files", None]
