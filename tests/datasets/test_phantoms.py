from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from boneage.datasets import Dataset, has_phantoms, read_dataset
from boneage.radiograph import PHANTOM_MARK


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Three images, none of them marked as a phantom."""
    (tmp_path / "labels.csv").write_text("id,boneage,male\n1,30,True\n2,60,False\n3,90,True\n")
    for number in (1, 2, 3):
        Image.fromarray(np.full((80, 70), 20 * number, np.uint8)).save(tmp_path / f"{number}.png")
    return read_dataset(tmp_path)


def test_radiographs_are_not_phantoms(dataset: Dataset) -> None:
    assert not has_phantoms(dataset)


def test_one_marked_image_is_enough(dataset: Dataset) -> None:
    mark = PngInfo()
    mark.add_text("Software", PHANTOM_MARK)
    Image.fromarray(np.full((80, 70), 9, np.uint8)).save(dataset.cases[2].image, pnginfo=mark)
    assert has_phantoms(dataset)


def test_unreadable_files_are_not_phantoms(dataset: Dataset) -> None:
    dataset.cases[0].image.write_bytes(b"not an image")
    dataset.cases[1].image.unlink()
    assert not has_phantoms(dataset)
