"""The truth of written phantoms, read back: the masks, boxes and key points that some methods learn from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from boneage.errors import DatasetError, UsageError
from boneage.phantom.runs import from_runs
from boneage.regions import Box, Region


@dataclass(frozen=True, eq=False)
class KnownHand:
    """What is known of the first hand of a film, in pixels of the film as it was written.

    Attributes:
        mask: bool [h, w]: the hand with what is seen of the forearm.
        boxes: the true regions, tight; one that is off the film is left out.
        key_points: (x, y) by name (`boneage.phantom.truth.Hand.key_points`); some may lie off the film.
    """

    mask: npt.NDArray[np.bool_]
    boxes: Mapping[Region, Box]
    key_points: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class TruthFolder:
    """The truth of a data set of phantoms, read case by case when it is asked for.

    Attributes:
        root: the folder that `boneage phantom` wrote.
    """

    root: Path

    def __post_init__(self) -> None:
        if not (self.root / "truth").is_dir():
            raise DatasetError(
                f"{self.root}: has no folder 'truth'. Masks and key points are known of phantoms only: give a folder "
                "that `boneage phantom` wrote, or leave out what learns from them."
            )

    def __call__(self, case_id: str) -> KnownHand:
        """What is known of a case.

        Raises:
            DatasetError: its record is missing or cannot be read.
        """
        path = self.root / "truth" / f"{case_id}.json"
        try:
            hand = json.loads(path.read_text(encoding="utf-8"))["truth"]["hands"][0]
            return KnownHand(
                from_runs(hand["masks"][Region.HAND.value]),
                {Region(name): Box(*corners) for name, corners in hand["regions"].items() if corners},
                {name: (float(x), float(y)) for name, (x, y) in hand["key_points"].items()},
            )
        except (OSError, ValueError, KeyError, IndexError, TypeError, UsageError) as error:
            raise DatasetError(
                f"{path}: the truth of case '{case_id}' cannot be read ({type(error).__name__}: {error}). Write the "
                "phantoms anew, or leave out what learns from masks and key points."
            ) from error
