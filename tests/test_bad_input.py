"""Every bad input of the issue, end to end: the message, the exit status, the others assessed, nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid
from typer.testing import CliRunner

from boneage.ages import Sex
from boneage.cli import app
from boneage.datasets.requests import gather_requests
from boneage.errors import UsageError


def assess(*arguments: object, form: str = "json") -> Any:
    return CliRunner().invoke(app, ["assess", *map(str, arguments), "--format", form])


def _png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and has nearly no pixels: what a decompression bomb looks like."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def _dicom(path: Path, *, body_part: str = "HAND", pixels: bool = True) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    header = Dataset()
    header.file_meta = meta
    header.SOPClassUID, header.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    header.Modality, header.BodyPartExamined, header.PatientSex = "CR", body_part, "F"
    if pixels:
        values = np.add.outer(np.arange(100), np.arange(80)).astype(np.uint16) * 20
        header.Rows, header.Columns, header.SamplesPerPixel = 100, 80, 1
        header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
        header.PhotometricInterpretation = "MONOCHROME2"
        header.PixelData = values.tobytes()
    header.save_as(path, enforce_file_format=True)


def _truncated(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 150), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:4000])


def _colour(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 100, 3), dtype=np.uint8)).save(path)


def _nan(path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(100, 80)).astype(np.float32)
    values[3, 5] = np.nan
    tifffile.imwrite(path, values)


MakeFile = Callable[[Path], object]

BAD_FILES: list[tuple[str, MakeFile | None, str, str]] = [
    ("nobody.png", None, "failed", "no_such_file"),
    ("empty.png", lambda path: path.write_bytes(b""), "failed", "empty_file"),
    ("truncated.png", _truncated, "failed", "damaged_file"),
    ("letter.png", lambda path: path.write_text("Dear doctor, "), "failed", "unknown_format"),
    ("holiday.png", _colour, "rejected", "color_image"),
    ("black.png", lambda path: Image.new("L", (100, 120)).save(path), "rejected", "uniform_image"),
    ("stamp.png", lambda path: Image.new("L", (10, 10), 3).save(path), "rejected", "too_small"),
    ("huge.png", lambda path: path.write_bytes(_png_header(30000, 30000)), "rejected", "too_many_pixels"),
    ("nan.tif", _nan, "rejected", "non_finite_values"),
    ("text.dcm", lambda path: _dicom(path, pixels=False), "failed", "no_pixels"),
    ("chest.dcm", lambda path: _dicom(path, body_part="CHEST"), "rejected", "other_body_part"),
]


@pytest.mark.parametrize(("name", "make", "status", "code"), BAD_FILES, ids=[name for name, *_ in BAD_FILES])
def test_one_bad_file_among_good_ones(
    standin_model: Path, hand_file: Path, tmp_path: Path, name: str, make: MakeFile | None, status: str, code: str
) -> None:
    bad = tmp_path / name
    if make is not None:
        make(bad)
    result = assess(hand_file, bad, hand_file, "--model", standin_model, "--sex", "male")
    assert result.exit_code == 1
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["status"] for record in records] == ["assessed", status, "assessed"]
    assert records[1]["file"] == str(bad)
    assert records[1]["reason_code"] == code
    assert len(records[1]["reason"].split()) >= 5, "what was wrong, and what to do"
    assert records[1]["bone_age_months"] is None
    shown = assess(bad, "--model", standin_model, form="table")
    assert shown.exit_code == 1
    assert name in shown.stdout


def test_a_hand_as_dicom_is_assessed_for_the_sex_of_its_header(standin_model: Path, tmp_path: Path) -> None:
    _dicom(tmp_path / "hand.dcm")
    result = assess(tmp_path / "hand.dcm", "--model", standin_model)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["sex"] == "female"
    result = assess(tmp_path / "hand.dcm", "--model", standin_model, "--sex", "male")
    assert json.loads(result.stdout)["remarks"][-1]["code"] == "sex_contradicts_header"


def test_an_empty_folder(standin_model: Path, hand_file: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    result = assess(empty, "--model", standin_model)
    assert (result.exit_code, result.stdout) == (2, "")
    assert str(empty) in result.stderr
    result = assess(empty, hand_file, "--model", standin_model)
    assert result.exit_code == 1
    assert [json.loads(line)["status"] for line in result.stdout.splitlines()] == ["failed", "assessed"]


@pytest.mark.parametrize(
    ("table", "code", "words"),
    [
        ("file,sex\nhand.png,girlish\n", "unknown_sex", ["row 2", "girlish"]),
        ("file,sex\nhand.png,1\n", "unknown_sex", ["row 2"]),
        ("file,kind\nhand.png,male\n", "missing_column", ["'sex'", "file, kind", "--sex"]),
        ("picture,sex\nhand.png,male\n", "missing_column", ["'file'", "picture, sex"]),
        ("file,sex,chronological_age_months\nhand.png,male,12y\n", "unreadable_age", ["row 2", "12y", "126"]),
        ("file,sex,chronological_age_months\nhand.png,male,inf\n", "unreadable_age", ["row 2", "inf"]),
        ("file,sex,chronological_age_months\nhand.png,male,-3\n", "invalid_age", ["row 2", "-3"]),
        ("file,sex\n,male\n", "missing_file_name", ["row 2"]),
        ("file,sex\n", "empty_table", []),
        (f'file,sex\n"{"x" * 200_000}",male\n', "damaged_table", []),
        ("", "missing_column", ["'file'"]),
    ],
)
def test_tables_that_cannot_be_used(
    standin_model: Path, hand_file: Path, table: str, code: str, words: list[str], refuses: Any
) -> None:
    path = hand_file.with_name("children.csv")
    path.write_text(table)
    with refuses(UsageError, code):
        gather_requests([], None, path)
    result = assess("--table", path, "--model", standin_model)
    assert (result.exit_code, result.stdout) == (2, "")
    for word in ["children.csv", *words]:
        assert word in result.stderr


def test_a_table_with_the_columns_of_a_data_set(hand_file: Path) -> None:
    """An id without an extension stands for the image of that name, wherever it lies below the table."""
    table = hand_file.with_name("train.csv")
    (hand_file.parent / "images").mkdir()
    hand_file.rename(hand_file.parent / "images" / "1377.png")
    table.write_text("id,boneage,male\n1377,180,False\n")
    ((by_id,), _) = gather_requests([], None, table)
    table.write_text("id,boneage,male\nimages/1377.png,180,True\n")
    ((by_name,), _) = gather_requests([], None, table)
    assert (by_id.file, by_id.known_sex) == ("1377", Sex.FEMALE)
    assert (by_name.file, by_name.known_sex) == ("images/1377.png", Sex.MALE)
    assert by_id.path == by_name.path == hand_file.parent / "images" / "1377.png"
    assert by_id.read().file == "1377"


def test_a_table_that_is_not_text(standin_model: Path, hand_file: Path, refuses: Any) -> None:
    with refuses(UsageError, "damaged_table"):
        gather_requests([], None, hand_file)
    assert assess("--table", hand_file, "--model", standin_model).exit_code == 2


def test_an_unknown_sex_word(standin_model: Path, hand_file: Path) -> None:
    result = assess(hand_file, "--sex", "girlish", "--model", standin_model)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "girlish" in result.stderr
    assert "male, female or unknown" in result.stderr


def test_a_table_as_spreadsheets_write_it(standin_model: Path, hand_file: Path) -> None:
    table = hand_file.with_name("children.csv")
    table.write_text(f"File;Sex;Chronological age months\n{hand_file.name};male;126\n", encoding="utf-16")
    result = assess("--table", table, "--model", standin_model)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["sex"] == "male"


@pytest.mark.parametrize("name", ["children.csv", "children.xlsx"])
def test_a_damaged_workbook_as_table(standin_model: Path, hand_file: Path, name: str) -> None:
    table = hand_file.with_name(name)
    table.write_bytes(b"PK\x03\x04 no more of it")
    result = assess("--table", table, "--model", standin_model)
    assert (result.exit_code, result.stdout) == (2, "")
    assert str(table) in result.stderr
    assert "Save it again as CSV" in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_report_folder(standin_model: Path, hand_file: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for report in (locked, locked / "report"):
        result = assess(hand_file, "--model", standin_model, "--report", report)
        assert result.exit_code == 1
        assert json.loads(result.stdout)["status"] == "assessed"
        assert str(report) in result.stderr
        assert list(locked.iterdir()) == []


def test_a_report_folder_that_may_not_be_written(
    standin_model: Path, hand_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    result = assess(hand_file, "--model", standin_model, "--report", tmp_path / "report")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["status"] == "assessed"
    assert f"{tmp_path / 'report'}: the report cannot be written (Permission denied)" in result.stderr


def test_a_report_where_there_can_be_no_folder(standin_model: Path, hand_file: Path) -> None:
    report = hand_file / "report"
    result = assess(hand_file, "--model", standin_model, "--report", report)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["status"] == "assessed"
    assert f"{report}: the report cannot be written" in result.stderr
    assert "--report" in result.stderr


def test_a_report_over_other_files_is_wrong_usage(standin_model: Path, hand_file: Path) -> None:
    before = sorted(hand_file.parent.iterdir())
    result = assess(hand_file, "--model", standin_model, "--report", hand_file.parent)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sorted(hand_file.parent.iterdir()) == before


@pytest.mark.parametrize("room", [0, 1, 3])
def test_a_full_disk(
    standin_model: Path, hand_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    write = Path.write_bytes
    written: list[Path] = []

    def nearly_full(self: Path, data: bytes) -> int:
        if len(written) >= room:
            raise OSError(28, "No space left on device")
        written.append(self)
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", nearly_full)
    result = assess(hand_file, hand_file, "--model", standin_model, "--report", tmp_path / "report")
    assert result.exit_code == 1
    assert [json.loads(line)["status"] for line in result.stdout.splitlines()] == ["assessed"] * 2
    assert "No space left on device" in result.stderr
    assert str(tmp_path / "report") in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [hand_file.name]


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_closed_standard_output(standin_model: Path, hand_file: Path, form: str) -> None:
    command = [sys.executable, "-m", "boneage", "assess", hand_file, "--model", standin_model, "--format", form]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *map(str, command)], stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "Error: Standard output is closed. Send the results to a file.\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_standard_output_on_a_full_disk(standin_model: Path, hand_file: Path) -> None:
    command = [sys.executable, "-m", "boneage", "assess", str(hand_file), "--model", str(standin_model)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "standard output (No space left on device). Free some space" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["hand.onnx", "regressor.onnx", "model.json"])
def test_a_model_folder_with_one_flipped_byte(standin_model: Path, hand_file: Path, tmp_path: Path, name: str) -> None:
    damaged = Path(shutil.copytree(standin_model, tmp_path / "model"))
    content = bytearray((damaged / name).read_bytes())
    at = content.index(b'"tau": 0.2') + 9 if name == "model.json" else len(content) // 2
    content[at] ^= 1
    (damaged / name).write_bytes(content)
    result = assess(hand_file, "--model", damaged, "--report", tmp_path / "report")
    assert (result.exit_code, result.stdout) == (2, "")
    assert str(damaged / name) in result.stderr
    assert "again" in result.stderr
    assert not (tmp_path / "report").exists()


def test_what_nobody_foresaw_stops_one_file_only(
    standin_model: Path, hand_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boneage.formats

    read = boneage.formats.read_radiograph

    def surprising(path: Path, *, refuse: bool = True) -> Any:
        if path.name == "strange.png":
            raise ZeroDivisionError("division by zero")
        return read(path, refuse=refuse)

    monkeypatch.setattr(boneage.formats, "read_radiograph", surprising)
    result = assess(hand_file.with_name("strange.png"), hand_file, "--model", standin_model)
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["status"] for record in records] == ["failed", "assessed"]
    assert records[0]["reason_code"] == "unexpected_error"
    assert "ZeroDivisionError" in records[0]["reason"], "it names what happened"
