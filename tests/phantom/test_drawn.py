"""Drawn hands: the same each time, with true boxes, and with bones that tell the age."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy import ndimage

from boneage.datasets import read_boxes, read_dataset
from boneage.errors import UsageError
from boneage.phantom import drawn_hand, write_drawn_dataset
from boneage.radiograph import Radiograph
from boneage.regions import Box, Region

AGES = (2, 24, 60, 96, 144, 180, 228)


def _pixels(values: npt.NDArray[np.uint8], box: Box) -> npt.NDArray[np.float32]:
    return Radiograph.from_values(values).pixels[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]


def _carpal_share(age: float, sex: str, seeds: int) -> float:
    """Share of region 1 that is bone: brighter than half of the film's window."""
    drawn = [drawn_hand(age, sex, seed, size=160) for seed in range(seeds)]
    return float(np.mean([(_pixels(values, truth[Region.REGION_1]) > 0.5).mean() for values, truth in drawn]))


def test_the_same_arguments_give_the_same_bytes() -> None:
    first, boxes = drawn_hand(100, "male", 7, size=128)
    again, same_boxes = drawn_hand(100, "male", 7, size=128)
    other, _ = drawn_hand(100, "male", 8, size=128)
    assert first.tobytes() == again.tobytes()
    assert boxes == same_boxes
    assert first.tobytes() != other.tobytes()


def test_it_draws_without_touching_the_global_random_state() -> None:
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.get_state()[1].tobytes()  # type: ignore[index, union-attr] # noqa: NPY002
    drawn_hand(100, "male", 7, size=64)
    assert np.random.get_state()[1].tobytes() == expected  # type: ignore[index, union-attr] # noqa: NPY002


@pytest.mark.parametrize("sex", ["male", "female"])
@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("size", [64, 200])
def test_films_and_boxes_are_well_formed(age: int, sex: str, size: int) -> None:
    for seed in range(3):
        values, truth = drawn_hand(age, sex, seed, size=size)
        height, width = values.shape
        assert (values.dtype, width, height) == (np.uint8, size, round(1.3 * size))
        assert set(truth) == set(Region)
        for box in truth.values():
            assert box.within(width, height) == box
        hand, carpus, knuckles = (truth[region] for region in (Region.HAND, Region.REGION_1, Region.REGION_2))
        assert hand.x0 <= carpus.x0
        assert hand.x1 >= knuckles.x1
        assert knuckles.y1 < carpus.y1
        assert knuckles.center[1] < carpus.center[1]
        assert hand.area > 4 * carpus.area


def test_carpal_bones_grow_with_age() -> None:
    shares = [_carpal_share(age, "male", 4) for age in (6, 48, 96, 180)]
    assert np.all(np.diff(shares) > 0.02), shares


def test_girls_are_ahead() -> None:
    assert _carpal_share(55, "female", 6) > _carpal_share(55, "male", 6)


def test_growth_plates_close() -> None:
    """Epiphyses stand apart from their shafts until they fuse: then there are fewer bright pieces."""

    def pieces(age: int) -> float:
        drawn = [drawn_hand(age, "male", seed, size=320) for seed in range(3)]
        return float(np.mean([ndimage.label(_pixels(film, truth[Region.REGION_2]) > 0.6)[1] for film, truth in drawn]))

    assert pieces(120) > pieces(228)


@pytest.mark.parametrize(
    ("age", "sex", "size", "word"),
    [
        (0, "male", 100, "1 to 240"),
        (241, "male", 100, "1 to 240"),
        (50, "boyish", 100, "male or female"),
        (50, "male", 20, "64"),
    ],
)
def test_what_cannot_be_drawn_is_refused(age: float, sex: str, size: int, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        drawn_hand(age, sex, 0, size=size)


def test_a_data_set_in_the_challenge_s_layout(tmp_path: Path) -> None:
    root = write_drawn_dataset(tmp_path / "set", 6, seed=1, size=64)
    with (root / "boneage-training-dataset.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [set(row) for row in rows] == [{"id", "boneage", "male"}] * 6
    assert {row["male"] for row in rows} == {"True", "False"}
    assert (min(int(row["boneage"]) for row in rows), max(int(row["boneage"]) for row in rows)) == (6, 228)
    for row in rows:
        with Image.open(root / "boneage-training-dataset" / f"{row['id']}.png") as image:
            assert image.size == (64, 83)
    with (root / "annotations" / "boxes.csv").open(newline="", encoding="utf-8") as file:
        boxes = list(csv.DictReader(file))
    assert {row["label"] for row in boxes} == {"hand_mask", "wrist", "radius", "ulna", "mcp"}
    assert len(boxes) == 6 * (1 + 3 + 5)
    assert all(0 <= float(row[side]) <= 1 for row in boxes for side in ("x0", "y0", "x1", "y1"))


def test_the_same_seed_writes_the_same_data_set(tmp_path: Path) -> None:
    one, two = (write_drawn_dataset(tmp_path / name, 3, seed=5, size=64) for name in ("one", "two"))
    for path in sorted(one.rglob("*.*")):
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()


def test_the_data_set_is_read_and_has_every_split(tmp_path: Path) -> None:
    root = write_drawn_dataset(tmp_path, 5, size=64)
    dataset = read_dataset(root)
    assert len(dataset.labelled.cases) == 5
    assert not dataset.dropped
    assert {case.split for case in dataset.cases} == {"train", "select", "report"}
    truth = read_boxes(root / "annotations" / "boxes.csv")
    assert {"hand_mask", "region_1", "region_2", "wrist"} <= set(truth)
