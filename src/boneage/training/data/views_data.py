"""What a training step sees: jittered views of films, in an order that only depends on seed and epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from boneage.ages import Sex
from boneage.pipeline.localization import Localization
from boneage.regions import Box, Region
from boneage.training.data.augmentation import degraded, draw_jitter, draw_mirror, relit
from boneage.training.recipes.settings import JitterRange, LooksAt
from boneage.views import FilmArray, View, cut, whole


class Films(Protocol):
    """Where films come from: a `FilmCache`, or anything that has a uint8 [h, w] array for an id."""

    def film(self, case_id: str, /) -> FilmArray: ...


@dataclass(frozen=True)
class Labelled:
    """One case to learn from."""

    id: str
    age_months: float
    sex: Sex


class Key(NamedTuple):
    """What a sampler asks for: which case, in which epoch (it seeds the jitter), at which size."""

    epoch: int
    case: int
    size: int


class Example(NamedTuple):
    """A case as the networks learn from it; a batch of them has one more dimension in front.

    Attributes:
        views: uint8 [v, S, S].
        age_months: float32 [].
        sex: float32 [1], +1 or -1.
        targets: float32 [...]: what a subclass adds (masks); otherwise empty.
    """

    views: Tensor
    age_months: Tensor
    sex: Tensor
    targets: Tensor


RegionsOf = Callable[[str, "np.random.Generator | None"], Localization]
"""The regions of a case, in film pixels; with a generator (in training) they may be drawn at random."""

Source = Callable[[FilmArray, Localization], tuple[FilmArray, Box]]
"""What one input channel is cut from: a picture, and the box in its pixels."""


@dataclass(frozen=True)
class FromTable:
    """Regions as they stand in a regions table."""

    table: Mapping[str, Localization]

    def __call__(self, case_id: str, rng: np.random.Generator | None) -> Localization:
        return self.table[case_id]


@dataclass(frozen=True)
class NoRegions:
    """For networks that look at whole films."""

    def __call__(self, case_id: str, rng: np.random.Generator | None) -> Localization:
        return Localization()


@dataclass(frozen=True)
class ViewSource:
    """Cuts a view exactly as an assessment does."""

    view: View

    def __call__(self, film: FilmArray, found: Localization) -> tuple[FilmArray, Box]:
        return found.place(self.view, film)


@dataclass(frozen=True)
class LookSource:
    """Cuts what a localizer looks at: O, H, E, or HE (the hand's box of the film with region 1 erased)."""

    looks_at: LooksAt

    def __call__(self, film: FilmArray, found: Localization) -> tuple[FilmArray, Box]:
        picture = found.erase_region_1(film) if self.looks_at in ("E", "HE") else film
        return picture, found.boxes[Region.HAND] if self.looks_at in ("H", "HE") else whole(film)


class ViewsData(Dataset[Example]):
    """Views of cases, for one network.

    Args:
        films: the decoded films.
        cases: whom to learn from.
        sources: one for each input channel.
        regions_of: the cases' regions.
        size: side of a view where a `Key` does not say another.
        squash: ignore the aspect ratio.
        jitter: how far a look may differ in training; None for measuring: nothing is drawn at random.
        seed: of all randomness here, together with epoch and index.
        blank: chance with which each view but one is blanked (all zero).
    """

    def __init__(
        self,
        films: Films,
        cases: Sequence[Labelled],
        sources: Sequence[Source],
        regions_of: RegionsOf,
        size: int,
        *,
        squash: bool = False,
        jitter: JitterRange | None = None,
        seed: int = 0,
        blank: float = 0.0,
    ) -> None:
        self.films = films
        self.cases = list(cases)
        self.sources = list(sources)
        self.regions_of = regions_of
        self.size = size
        self.squash = squash
        self.jitter = jitter
        self.seed = seed
        self.blank = blank

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, key: Key | int) -> Example:
        epoch, index, size = key if isinstance(key, tuple) else (0, key, self.size)
        case = self.cases[index]
        rng = None if self.jitter is None else np.random.default_rng([self.seed, epoch, index])
        film = self.films.film(case.id)
        found = self.regions_of(case.id, rng)
        views, targets = self.looks(film, found, size, rng)
        return Example(
            torch.from_numpy(views),
            torch.tensor(case.age_months, dtype=torch.float32),
            torch.tensor([case.sex.sign], dtype=torch.float32),
            torch.from_numpy(targets),
        )

    def looks(
        self, film: FilmArray, found: Localization, size: int, rng: np.random.Generator | None
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """The views uint8 [v, size, size] of one film, and what else a loss wants to know about them."""
        views = np.zeros((len(self.sources), size, size), dtype=np.uint8)
        nothing = np.empty(0, dtype=np.float32)
        if rng is None or self.jitter is None:
            for channel, source in enumerate(self.sources):
                picture, box = source(film, found)
                views[channel] = cut(picture, box, size, squash=self.squash)
            return views, nothing
        mirror = draw_mirror(rng, self.jitter)
        if self.jitter.degrade and rng.random() < self.jitter.degrade:
            film = degraded(film, rng, self.jitter.jpeg)
        for channel, source in enumerate(self.sources):
            picture, box = source(film, found)
            look = draw_jitter(rng, self.jitter, mirror=mirror)
            views[channel] = relit(cut(picture, box, size, squash=self.squash, jitter=look), rng, self.jitter)
        if self.blank and len(views) > 1:
            gone = rng.random(len(views)) < self.blank
            gone[rng.integers(len(views))] = False
            views[gone] = 0
        return views, nothing


class EpochOrder(Sampler[list[Key]]):
    """Batches of keys: a fresh permutation an epoch, drawn from (seed, epoch) alone.

    Whole batches only (batch norm dislikes a rest of one), unless there are fewer cases than a batch holds.

    Args:
        count: number of cases.
        batch: cases a batch on one device.
        seed: of the order.
        cases_per_epoch: draw so many cases an epoch (None: all). They run through one permutation after another,
            so that every case is seen equally often.
        sizes: (first epoch, view side) pairs in rising order, at least one.
        rank, world: which of how many devices this is; each gets its own part of every batch.
    """

    def __init__(
        self,
        count: int,
        batch: int,
        seed: int,
        *,
        cases_per_epoch: int | None = None,
        sizes: Sequence[tuple[int, int]],
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.count = count
        self.per_epoch = cases_per_epoch or count
        self.batch = min(batch, max(1, self.per_epoch // world))
        self.seed = seed
        self.sizes = list(sizes)
        self.rank, self.world = rank, world
        self.epoch = 0

    @property
    def sampler(self) -> EpochOrder:
        """Lightning sets the epoch of a batch sampler's `sampler`, not of the batch sampler itself."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.per_epoch // (self.batch * self.world)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = self.epoch
        size = [side for first, side in self.sizes if first <= epoch][-1]
        start, stop = epoch * self.per_epoch, (epoch + 1) * self.per_epoch
        rounds = range(start // self.count, (stop - 1) // self.count + 1)
        order = np.concatenate([np.random.default_rng([self.seed, 1, k]).permutation(self.count) for k in rounds])
        order = order[start - rounds[0] * self.count :][: self.per_epoch]
        for step in range(len(self)):
            first = (step * self.world + self.rank) * self.batch
            yield [Key(epoch, int(index), size) for index in order[first : first + self.batch]]
