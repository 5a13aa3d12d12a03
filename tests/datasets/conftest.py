"""Tiny folders in the layouts that people have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakePictures = Callable[..., list[Path]]


@pytest.fixture
def pictures() -> MakePictures:
    """Write small images, each with its own content; gives their paths."""

    def make(folder: Path, names: Iterable[object], suffix: str = ".png") -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name in names:
            path = folder / f"{name}{suffix}"
            seed = sum(str(path).encode())
            values = np.random.default_rng(seed).integers(0, 256, (70 + seed % 5, 66), dtype=np.uint8)
            Image.fromarray(values).save(path)
            paths.append(path)
        return paths

    return make
