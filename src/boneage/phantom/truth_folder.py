"""Reads the truth of a data set of phantoms: masks, boxes and key points, from which some methods learn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from boneage.errors import DatasetError, UsageError
from boneage.phantom.run_lengths import decode_runs
from boneage.regions import Box, Region


@dataclass(frozen=True, eq=False)
class KnownHand:
    """The truth of the first hand of a phantom, in pixels of its image file.

    Attributes:
        mask: bool [h, w]: the hand with the visible forearm.
        boxes: the tight regions; a region outside the image is left out.
        key_points: (x, y) by name (`boneage.phantom.truth.Hand.key_points`); some may lie outside the image.
    """

    mask: npt.NDArray[np.bool_]
    boxes: Mapping[Region, Box]
    key_points: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class TruthFolder:
    """The truth of a data set of phantoms. Calling it with the id of a case reads that case.

    Attributes:
        root: the folder that `boneage phantom` wrote.

    Raises:
        DatasetError: the folder holds no truth (code `truth_missing`).
    """

    root: Path

    def __post_init__(self) -> None:
        if not (self.root / "truth").is_dir():
            raise DatasetError(
                f"{self.root}: has no folder 'truth'. Masks and key points are known of phantoms only: give a folder "
                "that `boneage phantom` wrote, or leave out the methods that learn from them.",
                code="truth_missing",
            )

    def __call__(self, case_id: str) -> KnownHand:
        """Read the truth of a case.

        Raises:
            DatasetError: its record is missing or damaged (code `damaged_truth`).
        """
        path = self.root / "truth" / f"{case_id}.json"
        try:
            hand = json.loads(path.read_text(encoding="utf-8"))["truth"]["hands"][0]
            return KnownHand(
                decode_runs(hand["masks"][Region.HAND.value]),
                {Region(name): Box(*corners) for name, corners in hand["regions"].items() if corners},
                {name: (float(x), float(y)) for name, (x, y) in hand["key_points"].items()},
            )
        except (OSError, ValueError, KeyError, IndexError, TypeError, UsageError) as error:
            raise DatasetError(
                f"{path}: the truth of case '{case_id}' cannot be read ({type(error).__name__}: {error}). Write the "
                "phantoms again, or leave out the methods that learn from masks and key points.",
                code="damaged_truth",
            ) from error
