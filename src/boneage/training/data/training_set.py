"""What a training learns from: decoded images and their labels."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from boneage.atomic import write_atomically
from boneage.progress import say
from boneage.training.data.views_data import Images, Labelled
from boneage.training.recipes.recipe import Recipe
from boneage.training.run.stage import key_of
from boneage.views import ImageArray

if TYPE_CHECKING:
    from boneage.datasets import Dataset, ImageCache, Split


@dataclass(frozen=True)
class TrainingSet:
    """Images and labels of the training and the validation split. The *test* split is not among them.

    Attributes:
        images: decoded images by case id, as `Radiograph.image(recipe.image_short_side)` makes them.
        train: the cases from which networks learn.
        validation: the cases on which everything is chosen and calibrated.
        name, terms: of the data set, for the model's provenance.
        phantom: some images are phantoms, not radiographs; every output of the model says so.
        images_key: changes when the images do.
    """

    images: Images
    train: tuple[Labelled, ...]
    validation: tuple[Labelled, ...]
    name: str
    terms: str = ""
    phantom: bool = False
    images_key: str = ""

    @property
    def key(self) -> str:
        """Changes when images, labels or splits do, and not with the name of their folder."""
        rows = [(case.id, case.age_months, case.sex.value) for case in (*self.train, *self.validation)]
        return key_of(self.images_key, len(self.train), hashlib.sha256(repr(rows).encode()).hexdigest())

    @property
    def ids(self) -> list[str]:
        """All cases, training cases first."""
        return [case.id for case in (*self.train, *self.validation)]

    def thin(self, cases: int | None, seed: int) -> TrainingSet:
        """The same with so many training cases, drawn by `seed`; all of them for None."""
        if cases is None or cases >= len(self.train):
            return self
        drawn = np.sort(np.random.default_rng([seed, 3]).permutation(len(self.train))[:cases])
        return dataclasses.replace(self, train=tuple(self.train[int(k)] for k in drawn))


class SparingImages:
    """The images of a cache, of which only a few hundred stay in this process's memory at a time.

    Pages of a mapped file stay resident once they have been read: after an epoch that would be the whole cache. This
    class drops the map now and then; the system's page cache serves what is read again.
    """

    _READS = 512

    def __init__(self, cache: ImageCache) -> None:
        self._cache = cache
        self._reads = 0

    def image(self, case_id: str, /) -> ImageArray:
        self._reads += 1
        if self._reads % self._READS == 0:
            # A copy of a cache maps its file anew; the old map goes with the last image that came from it.
            self._cache = copy.copy(self._cache)
        return self._cache.image(case_id)


def decode(
    recipe: Recipe, dataset: Dataset, folder: Path, report: Path, *, terms: str = "", progress: bool = True
) -> TrainingSet:
    """Decode the training and validation radiographs once into `folder`; write what was dropped, and why, to `report`.

    Raises:
        DatasetError: more than 5 % of the data set had to be dropped, unreadable files included.
    """
    from boneage.datasets import ImageCache, dropped_table, has_phantoms, with_dropped

    used = dataset.check_for_training().of("train", "validation")
    cache = ImageCache.build(used, folder, short_side=recipe.image_short_side, progress=progress)
    used = with_dropped(used, cache.dropped).check_for_training()
    if used.dropped:
        write_atomically(report, dropped_table(used.dropped))
        if len(used.dropped) > len(dataset.dropped):
            say(f"For training: {used.report()}\n  all dropped cases: {report}")

    return TrainingSet(
        images=SparingImages(cache),
        train=collect_labelled(used, "train"),
        validation=collect_labelled(used, "validation"),
        name=dataset.name,
        terms=terms,
        phantom=has_phantoms(used),
        images_key=cache.digest,
    )


def collect_labelled(dataset: Dataset, split: Split) -> tuple[Labelled, ...]:
    """Collect the cases of a split that have an age and a sex."""
    return tuple(
        Labelled(case.id, case.age_months, case.sex)
        for case in dataset.cases
        if case.split == split and case.age_months is not None and case.sex is not None
    )
