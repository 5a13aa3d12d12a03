"""What a training learns from: decoded films and their labels."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from boneage.atomic import write_atomically
from boneage.training.data.views_data import Images, Labelled
from boneage.training.recipes.settings import Recipe
from boneage.training.run.stage import key_of
from boneage.views import ImageArray

if TYPE_CHECKING:
    from boneage.datasets import Dataset, ImageCache, Split


@dataclass(frozen=True)
class TrainingSet:
    """Films and labels; `train` to learn, `select` for every choice. The *test* split is not among them.

    Attributes:
        films: decoded films by case id, as `Radiograph.film(recipe.image_short_side)` makes them.
        name, terms: of the data set, for the model's provenance.
        phantom: some films are phantoms, not radiographs; the model will say so in every output.
        films_key: changes when the films do.
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
        """Changes when films, labels or splits do, and not with the name of their folder."""
        rows = [(case.id, case.age_months, case.sex.value) for case in (*self.train, *self.validation)]
        return key_of(self.images_key, len(self.train), hashlib.sha256(repr(rows).encode()).hexdigest())

    @property
    def ids(self) -> list[str]:
        """All cases, training cases first."""
        return [case.id for case in (*self.train, *self.validation)]

    def thinned(self, cases: int | None, seed: int) -> TrainingSet:
        """The same with so many training cases, drawn by `seed`; all of them for None."""
        if cases is None or cases >= len(self.train):
            return self
        drawn = np.sort(np.random.default_rng([seed, 3]).permutation(len(self.train))[:cases])
        return dataclasses.replace(self, train=tuple(self.train[int(k)] for k in drawn))


class SparingImages:
    """The films of a cache, of which only a few hundred count as this process's memory at a time.

    Pages of a mapped file stay resident once they have been read: after an epoch that would be the whole cache.
    The map is dropped now and then; what is read again comes from the system's own page cache.
    """

    _READS = 512

    def __init__(self, cache: ImageCache) -> None:
        self._cache = cache
        self._reads = 0

    def image(self, case_id: str, /) -> ImageArray:
        self._reads += 1
        if self._reads % self._READS == 0:
            # A copy of a cache maps its file anew; the old map goes with the last film that was cut from it.
            self._cache = copy.copy(self._cache)
        return self._cache.image(case_id)


def decoded(
    recipe: Recipe, dataset: Dataset, folder: Path, report: Path, *, terms: str = "", progress: bool = True
) -> TrainingSet:
    """Decode the training and selection films once into `folder`; what was dropped and why is written to `report`.

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
            print(f"To train on, {used.report()}\n  all that was dropped: {report}", file=sys.stderr, flush=True)

    return TrainingSet(
        SparingImages(cache),
        labelled(used, "train"),
        labelled(used, "validation"),
        dataset.name,
        terms,
        has_phantoms(used),
        cache.digest,
    )


def labelled(dataset: Dataset, split: Split) -> tuple[Labelled, ...]:
    """The cases of a split that have an age and a sex."""
    return tuple(
        Labelled(case.id, case.age_months, case.sex)
        for case in dataset.cases
        if case.split == split and case.age_months is not None and case.sex is not None
    )
