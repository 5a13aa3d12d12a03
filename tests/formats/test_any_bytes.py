"""Any content of a file gives a radiograph, or an error that names the file and the remedy."""

from __future__ import annotations

import os
import threading
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from boneage.errors import RadiographError, UnreadableRadiograph, UnsuitableRadiograph, UsageError
from boneage.formats import find_radiographs, read_radiograph
from boneage.radiograph import Radiograph

PIXELS = np.random.default_rng(0).integers(0, 255, (66, 70), dtype=np.uint8)


def _picture(kind: str, mode: str = "L", **options: Any) -> bytes:
    stream = BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def _tiff(**options: Any) -> bytes:
    stream = BytesIO()
    tifffile.imwrite(stream, PIXELS.astype(np.uint16), **options)
    return stream.getvalue()


def _dicom(syntax: UID) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = UID("1.2.840.10008.5.1.4.1.1.1"), UID("1.2.3")
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "CR", "MONOCHROME1", 1
    dataset.Rows, dataset.Columns = PIXELS.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.WindowCenter, dataset.WindowWidth, dataset.PixelSpacing = 128, 200, [0.1, 0.1]
    dataset.PixelData = PIXELS.tobytes()
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if syntax != ExplicitVRLittleEndian:
        dataset.compress(syntax, generate_instance_uid=False)
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


SEEDS = {
    "png": _picture("PNG"),
    "palette": _picture("PNG", "P"),
    "jpeg": _picture("JPEG", "RGB"),
    "webp": _picture("WEBP", "RGB"),
    "tiff": _tiff(),
    "deflated tiff": _tiff(compression="zlib", tile=(32, 32)),
    "lzw tiff": _picture("TIFF", "RGB", compression="tiff_lzw"),
    "dicom": _dicom(ExplicitVRLittleEndian),
    "rle": _dicom(RLELossless),
    "jpeg 2000": _dicom(JPEG2000Lossless),
}


def read_or_refuse(path: Path) -> None:
    refusal: RadiographError | None = None
    try:
        radiograph = read_radiograph(path)
    except RadiographError as error:
        refusal = error
    if refusal is not None:
        assert refusal.file == str(path)
        assert refusal.reason
        assert refusal.remedy
        assert str(refusal).startswith(str(path))
    else:
        assert isinstance(radiograph, Radiograph)
        assert radiograph.pixels.dtype == np.float32
        assert radiograph.pixels.min() >= 0.0
        assert radiograph.pixels.max() <= 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds_are_good(tmp_path: Path, seed: str) -> None:
    (tmp_path / "a").write_bytes(SEEDS[seed])
    assert read_radiograph(tmp_path / "a").pixels.shape == PIXELS.shape


@pytest.mark.parametrize("seed", SEEDS)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files(tmp_path: Path, seed: str, data: st.DataObject) -> None:
    content = bytearray(SEEDS[seed])
    # More damage in the header, which holds the structure.
    places = st.one_of(st.integers(0, min(600, len(content) - 1)), st.integers(0, len(content) - 1))
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        content[place] = value
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    (tmp_path / "a").write_bytes(content[:end])
    read_or_refuse(tmp_path / "a")


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"RIFF", bytes(128) + b"DICM"]
    ),
    rest=st.binary(max_size=300),
)
def test_any_bytes(tmp_path: Path, head: bytes, rest: bytes) -> None:
    (tmp_path / "a").write_bytes(head + rest)
    read_or_refuse(tmp_path / "a")


class TestUnreadable:
    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableRadiograph) as raised:
            read_radiograph(str(tmp_path / "a.png"))
        assert (raised.value.code, raised.value.file) == ("no_such_file", str(tmp_path / "a.png"))

    def test_path_as_given(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UnreadableRadiograph) as raised:
            read_radiograph("a.png")
        assert raised.value.file == "a.png"

    def test_folder(self, tmp_path: Path, refuses) -> None:
        with refuses(UnreadableRadiograph, "is_a_folder"):
            read_radiograph(tmp_path)

    def test_pipe_does_not_block(self, tmp_path: Path, refuses) -> None:
        os.mkfifo(tmp_path / "a.png")
        with refuses(UnreadableRadiograph, "not_a_file"):
            read_radiograph(tmp_path / "a.png")

    @pytest.mark.parametrize("path", ["a\0.png", "a" * 5000])
    def test_impossible_path(self, path: str) -> None:
        with pytest.raises(UnreadableRadiograph):
            read_radiograph(path)

    def test_empty(self, tmp_path: Path, refuses) -> None:
        (tmp_path / "a.png").touch()
        with refuses(UnreadableRadiograph, "empty_file"):
            read_radiograph(tmp_path / "a.png")

    @pytest.mark.parametrize("content", [b"id,boneage,male\n1,12,True\n", b"GIF89a", b"%PDF-1.4", b"\0" * 300])
    def test_no_image(self, tmp_path: Path, content: bytes, refuses) -> None:
        (tmp_path / "a.png").write_bytes(content)
        with refuses(UnreadableRadiograph, "unknown_format"):
            read_radiograph(tmp_path / "a.png")

    def test_too_little_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses) -> None:
        def fail(*_: object, **__: object) -> Radiograph:
            raise MemoryError

        (tmp_path / "a.png").write_bytes(SEEDS["png"])
        monkeypatch.setattr(Radiograph, "from_values", fail)
        with refuses(UnreadableRadiograph, "out_of_memory"):
            read_radiograph(tmp_path / "a.png")


class TestWarningsOfLibraries:
    def test_none_escape_even_as_errors(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(_picture("PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read_radiograph(tmp_path / "a.png")
            with pytest.raises(UserWarning):
                warnings.warn("still an error", stacklevel=1)

    def test_filters_are_restored_after_many_threads(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(SEEDS["png"])
        before = list(warnings.filters)
        threads = [threading.Thread(target=read_radiograph, args=(tmp_path / "a.png",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before


class TestFind:
    def test_sorted_recursive_and_by_kind(self, tmp_path: Path) -> None:
        wanted = [
            "b/2.PNG",
            "a.jpg",
            "b/1.tiff",
            "c/d/x.webp",
            "z.DCM",
            "IM0001",
            "1.2.840.1",
            "y.dicom",
            "k.tif",
            "l.jpeg",
        ]
        unwanted = [".a.png", ".hidden/a.png", "ages.csv", "README", "DICOMDIR", "a.txt", "3.14"]
        for name in wanted + unwanted:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(SEEDS["dicom"] if path.name in ("IM0001", "1.2.840.1", "DICOMDIR") else b"text")
        assert find_radiographs(tmp_path) == sorted(tmp_path / name for name in wanted)
        assert find_radiographs(str(tmp_path / "b")) == [tmp_path / "b" / "1.tiff", tmp_path / "b" / "2.PNG"]

    def test_links_to_folders_are_followed_once(self, tmp_path: Path) -> None:
        (tmp_path / "hands").mkdir()
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "a.png").write_bytes(b"text")
        (tmp_path / "hands" / "link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "hands")
        assert find_radiographs(tmp_path / "hands") == [tmp_path / "hands" / "link" / "a.png"]

    def test_empty_folder_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "ages.csv").touch()
        with pytest.raises(UsageError) as raised:
            find_radiographs(tmp_path)
        assert raised.value.code == "no_radiograph"
        assert str(tmp_path) in str(raised.value)

    def test_no_folder(self, tmp_path: Path, refuses) -> None:
        with refuses(UsageError, "no_such_folder"):
            find_radiographs(tmp_path / "a")


def test_unreadable_and_unsuitable_are_different_errors(tmp_path: Path) -> None:
    """Status "failed" for what could not be read, "rejected" for what must not be assessed."""
    (tmp_path / "a").write_bytes(SEEDS["png"][:100])
    with pytest.raises(UnreadableRadiograph):
        read_radiograph(tmp_path / "a")
    Image.fromarray(PIXELS[:10, :10]).save(tmp_path / "b.png")
    with pytest.raises(UnsuitableRadiograph):
        read_radiograph(tmp_path / "b.png")
