from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneage.datasets import Case, Dataset, ImageCache, decoding, image_store, with_dropped
from boneage.datasets import cache as cache_module
from boneage.errors import DatasetError, OutputError, UnreadableRadiograph, UsageError
from boneage.radiograph import Radiograph


def read_png(path: Path) -> Radiograph:
    """A reader that worker processes can import."""
    return Radiograph.from_values(np.asarray(Image.open(path)))


class Reader:
    """Counts its calls. Stops after `stop_after` of them, and fails on `unreadable` and `lost` files."""

    def __init__(
        self, stop_after: int | None = None, unreadable: tuple[str, ...] = (), lost: tuple[str, ...] = ()
    ) -> None:
        self.calls: list[str] = []
        self.stop_after, self.unreadable, self.lost = stop_after, unreadable, lost

    def __call__(self, path: Path) -> Radiograph:
        if self.stop_after is not None and len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        self.calls.append(path.stem)
        if path.stem in self.unreadable:
            raise UnreadableRadiograph("damaged_file", "it is damaged", "Export it again", path)
        if path.stem in self.lost:
            raise OSError(5, "Input/output error")
        return read_png(path)


@pytest.fixture
def dataset(tmp_path: Path, pictures) -> Dataset:
    paths = pictures(tmp_path / "set", range(10))
    return Dataset("set", tmp_path / "set", tuple(Case(path.stem, path, None, None, "train") for path in paths))


def build(dataset: Dataset, folder: Path, reader: Reader | None = None, short_side: int | None = 65) -> ImageCache:
    return ImageCache.build(dataset, folder, short_side=short_side, workers=1, progress=False, read=reader or Reader())


def test_cached_images_are_those_of_the_radiographs(dataset: Dataset, tmp_path: Path) -> None:
    for short_side in (65, None):
        cache = build(dataset, tmp_path / "cache", short_side=short_side)
        assert cache.ids == tuple(str(number) for number in range(10))
        assert len(cache) == 10
        assert "3" in cache
        for case in dataset.cases:
            radiograph = read_png(case.image)
            image = cache.image(case.id)
            np.testing.assert_array_equal(image, radiograph.image(short_side))
            assert image.dtype == np.uint8


def test_cached_images_are_read_only(dataset: Dataset, tmp_path: Path) -> None:
    image = build(dataset, tmp_path / "cache").image("0")
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0] = 1


def test_a_complete_cache_is_only_opened(dataset: Dataset, tmp_path: Path) -> None:
    first = build(dataset, tmp_path / "cache")
    reader = Reader()
    again = build(dataset, tmp_path / "cache", reader)
    assert not reader.calls
    assert again.digest == first.digest
    assert build(dataset.of("validation"), tmp_path / "cache", reader).ids == ()


def test_the_digest_depends_on_the_images_and_not_on_paths_or_times(dataset: Dataset, tmp_path: Path) -> None:
    digest = build(dataset, tmp_path / "cache").digest
    os.utime(dataset.cases[0].image, (1, 1))
    assert build(dataset, tmp_path / "cache").digest == digest
    elsewhere = tmp_path / "moved"
    shutil.copytree(dataset.root, elsewhere)
    cases = tuple(replace(case, image=elsewhere / case.image.name) for case in dataset.cases)
    assert build(replace(dataset, root=elsewhere, cases=cases), tmp_path / "other").digest == digest
    picture = np.array(Image.open(cases[3].image))
    picture[0, 0] ^= 255
    Image.fromarray(picture).save(cases[3].image)
    assert build(replace(dataset, root=elsewhere, cases=cases), tmp_path / "other").digest != digest


def test_an_interrupted_build_goes_on(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "CHUNK", 3)
    first = Reader(stop_after=4)
    with pytest.raises(KeyboardInterrupt):
        build(dataset, tmp_path / "cache", first)
    second = Reader()
    cache = build(dataset, tmp_path / "cache", second)
    assert (first.calls, second.calls) == (["0", "1", "2", "3"], ["4", "5", "6", "7", "8", "9"])
    assert cache.digest == build(dataset, tmp_path / "other").digest
    for case in dataset.cases:
        np.testing.assert_array_equal(cache.image(case.id), read_png(case.image).image(65))


@pytest.mark.parametrize("torn", ["line", "newline", "pixels", "rubbish", "header", "more pixels"])
def test_a_torn_tail_is_made_again(dataset: Dataset, tmp_path: Path, torn: str) -> None:
    whole = build(dataset, tmp_path / "cache")
    (journal,) = (tmp_path / "cache").glob("*.jsonl")
    (images,) = (tmp_path / "cache").glob("*.u8")
    if torn == "pixels":
        os.truncate(images, images.stat().st_size - 1)
    elif torn == "more pixels":
        with images.open("ab") as stream:
            stream.write(bytes(1000))
    elif torn == "rubbish":
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join([*lines[:-1], b'{"id": 7}\n']))
    elif torn == "header":
        journal.write_bytes(b"x" + journal.read_bytes())
    else:
        os.truncate(journal, journal.stat().st_size - (1 if torn == "newline" else 40))
    reader = Reader()
    cache = build(dataset, tmp_path / "cache", reader)
    again = {"more pixels": [], "header": [str(number) for number in range(10)]}
    assert reader.calls == again.get(torn, ["9"])
    assert cache.digest == whole.digest
    for case in dataset.cases:
        np.testing.assert_array_equal(cache.image(case.id), read_png(case.image).image(65))


def test_a_changed_source_is_made_again(dataset: Dataset, tmp_path: Path) -> None:
    before = build(dataset, tmp_path / "cache")
    old = before.image("3").copy()
    path = dataset.cases[3].image
    Image.fromarray(np.arange(80 * 90, dtype=np.uint16).reshape(80, 90).astype(np.uint8)).save(path)
    os.utime(dataset.cases[5].image, ns=(1, 1))
    reader = Reader()
    after = build(dataset, tmp_path / "cache", reader)
    assert reader.calls == ["3", "5"]
    assert after.digest != before.digest
    np.testing.assert_array_equal(after.image("3"), read_png(path).image(65))
    # A cache that was opened before still gives the old image.
    np.testing.assert_array_equal(before.image("3"), old)


def test_another_short_side_is_another_cache(dataset: Dataset, tmp_path: Path) -> None:
    small = build(dataset, tmp_path / "cache", short_side=65)
    reader = Reader()
    large = build(dataset, tmp_path / "cache", reader, short_side=66)
    assert len(reader.calls) == 10
    assert small.digest != large.digest
    assert min(small.image("0").shape) == 65
    assert min(large.image("0").shape) == 66


def test_another_format_is_another_cache(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(dataset, tmp_path / "cache")
    monkeypatch.setattr(image_store, "FORMAT", image_store.FORMAT + 1)
    reader = Reader()
    build(dataset, tmp_path / "cache", reader)
    assert len(reader.calls) == 10


def test_the_same_id_of_another_set_is_not_mixed_up(dataset: Dataset, tmp_path: Path, pictures) -> None:
    build(dataset, tmp_path / "cache")
    paths = pictures(tmp_path / "other" / "images", range(2))
    other = Dataset("other", tmp_path / "other", tuple(Case(path.stem, path, None, None, "train") for path in paths))
    cache = build(other, tmp_path / "cache")
    np.testing.assert_array_equal(cache.image("1"), read_png(paths[1]).image(65))


def test_unreadable_files_are_dropped_and_remembered(dataset: Dataset, tmp_path: Path, refuses) -> None:
    reader = Reader(unreadable=("2",), lost=("4",))
    dataset.cases[6].image.unlink()
    cache = build(dataset, tmp_path / "cache", reader)
    assert sorted((item.id, item.reason) for item in cache.dropped) == [
        ("2", "unreadable file"),
        ("4", "unreadable file"),
        ("6", "missing file"),
    ]
    assert "it is damaged. Export it again." in [item.detail for item in cache.dropped]
    assert len(cache) == 7
    with refuses(DatasetError, "not_in_cache"):
        cache.image("2")
    with refuses(DatasetError, "too_many_dropped"):
        with_dropped(
            replace(dataset, cases=tuple(replace(case, sex="male", age_months=9.0) for case in dataset.cases)),
            cache.dropped,
        ).check_for_training()
    # A damaged file stays damaged; what the disk would not give is tried again.
    reader = Reader(unreadable=("2",))
    assert len(build(dataset, tmp_path / "cache", reader)) == 8
    assert reader.calls == ["4"]


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_a_file_that_could_not_be_opened_is_tried_again(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    from boneage.formats import read_radiograph

    opened = Path.open

    def refused(self, *arguments, **options):  # type: ignore[no-untyped-def]
        if self.name == "3.png":
            raise error
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    cache = build(dataset, tmp_path / "cache", read_radiograph)  # type: ignore[arg-type]
    assert [item.id for item in cache.dropped] == ["3"]
    monkeypatch.setattr(Path, "open", opened)
    assert len(build(dataset, tmp_path / "cache", read_radiograph)) == 10  # type: ignore[arg-type]


def test_a_cache_travels_to_other_processes(dataset: Dataset, tmp_path: Path) -> None:
    cache = build(dataset, tmp_path / "cache")
    image = cache.image("1")
    sent = pickle.dumps(cache)
    assert len(sent) < image.size
    np.testing.assert_array_equal(pickle.loads(sent).image("1"), image)


def test_worker_processes(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "CHUNK", 3)
    cache = ImageCache.build(dataset, tmp_path / "two", short_side=65, workers=2, progress=False)
    assert cache.digest == build(dataset, tmp_path / "one").digest
    np.testing.assert_array_equal(cache.image("7"), read_png(dataset.cases[7].image).image(65))


def test_an_open_build_is_waited_for(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The other build finishes between the first look and the lock.
    inner: list[int] = []
    locked = cache_module._locked

    def locked_late(path: Path, say: bool):  # type: ignore[no-untyped-def]
        if not inner:
            inner.append(1)
            build(dataset, tmp_path / "cache")
        return locked(path, say)

    monkeypatch.setattr(cache_module, "_locked", locked_late)
    reader = Reader()
    assert len(build(dataset, tmp_path / "cache", reader)) == 10
    assert not reader.calls


def test_progress_is_shown_as_plain_lines_where_there_is_no_terminal(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    ImageCache.build(dataset, tmp_path / "cache", short_side=65, workers=1, read=read_png)
    assert "Decoding radiographs: 10 of 10" in capsys.readouterr().err


def test_a_folder_that_is_a_file_is_refused(dataset: Dataset, tmp_path: Path, refuses) -> None:
    (tmp_path / "file").write_text("")
    with refuses(OutputError, "cannot_write"):
        build(dataset, tmp_path / "file")


def test_a_full_disk_keeps_what_was_done(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses
) -> None:
    monkeypatch.setattr(decoding, "CHUNK", 3)
    flush, calls = image_store.flush_to_disk, []

    def full(stream):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        flush(stream)

    monkeypatch.setattr(image_store, "flush_to_disk", full)
    with refuses(OutputError, "cannot_write"):
        build(dataset, tmp_path / "cache")
    monkeypatch.setattr(image_store, "flush_to_disk", flush)
    reader = Reader()
    assert len(build(dataset, tmp_path / "cache", reader)) == 10
    assert reader.calls == ["6", "7", "8", "9"]


def test_a_short_side_of_zero_is_refused(dataset: Dataset, tmp_path: Path, refuses) -> None:
    with refuses(UsageError, "invalid_number"):
        build(dataset, tmp_path / "cache", short_side=0)
