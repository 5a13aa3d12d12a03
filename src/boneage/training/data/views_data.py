"""The examples of a training: augmented views, in an order that depends on seed and epoch alone."""

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
from boneage.training.data.augmentation import augment_photometry, degrade_image, draw_geometric, draw_mirror
from boneage.training.data.surroundings import augment_surroundings
from boneage.training.recipes.settings import Augmentation, LocalizerInput
from boneage.views import ImageArray, View, cut, whole


class Images(Protocol):
    """A source of images: an `ImageCache`, or anything that gives a uint8 [h, w] array for a case id."""

    def image(self, case_id: str, /) -> ImageArray: ...


@dataclass(frozen=True)
class Labelled:
    """A case with the labels that training needs."""

    id: str
    age_months: float
    sex: Sex


class Key(NamedTuple):
    """The request of a sampler: which case, in which epoch (it seeds the augmentation), at which view size."""

    epoch: int
    case: int
    size: int


class Example(NamedTuple):
    """One example; a batch has one more dimension in front.

    Attributes:
        views: uint8 [v, S, S].
        age_months: float32 [].
        sex: float32 [1], +1 or -1.
        targets: float32 [...]: further targets of a subclass (masks); otherwise empty.
    """

    views: Tensor
    age_months: Tensor
    sex: Tensor
    targets: Tensor


RegionsOf = Callable[[str, "np.random.Generator | None"], Localization]
"""The regions of a case, in pixels of its image; with a generator (in training) they may be drawn at random."""

Source = Callable[[ImageArray, Localization], tuple[ImageArray, Box]]
"""The origin of one input channel: an image, and a box in its pixels."""


@dataclass(frozen=True)
class FromTable:
    """Regions from a regions table."""

    table: Mapping[str, Localization]

    def __call__(self, case_id: str, rng: np.random.Generator | None) -> Localization:
        return self.table[case_id]


@dataclass(frozen=True)
class NoRegions:
    """No regions, for networks that see whole images."""

    def __call__(self, case_id: str, rng: np.random.Generator | None) -> Localization:
        return Localization()


@dataclass(frozen=True)
class ViewSource:
    """Cuts a view exactly as an assessment does."""

    view: View

    def __call__(self, image: ImageArray, found: Localization) -> tuple[ImageArray, Box]:
        return found.place(self.view, image)


@dataclass(frozen=True)
class LocalizerSource:
    """Cuts the view of a localizer: O, H, E, or HE (the hand's box of the image with region 1 erased)."""

    input_view: LocalizerInput

    def __call__(self, image: ImageArray, found: Localization) -> tuple[ImageArray, Box]:
        picture = found.erase_region_1(image) if self.input_view in ("E", "HE") else image
        return picture, found.boxes[Region.HAND] if self.input_view in ("H", "HE") else whole(image)


class ViewsData(Dataset[Example]):
    """Views of cases, for one network.

    Args:
        images: the decoded images.
        cases: one example each.
        sources: one for each input channel.
        regions_of: the regions of a case.
        size: side of a view, unless a `Key` names another.
        squash: ignore the aspect ratio.
        augmentation: the ranges of random changes in training; None for measuring: nothing is drawn at random.
        seed: of all randomness here, together with epoch and index.
    """

    def __init__(
        self,
        images: Images,
        cases: Sequence[Labelled],
        sources: Sequence[Source],
        regions_of: RegionsOf,
        size: int,
        *,
        squash: bool = False,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.images = images
        self.cases = list(cases)
        self.sources = list(sources)
        self.regions_of = regions_of
        self.size = size
        self.squash = squash
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, key: Key | int) -> Example:
        epoch, index, size = key if isinstance(key, tuple) else (0, key, self.size)
        case = self.cases[index]
        rng = None if self.augmentation is None else np.random.default_rng([self.seed, epoch, index])
        image = self.images.image(case.id)
        found = self.regions_of(case.id, rng)
        views, targets = self.make_views(image, found, size, rng)
        return Example(
            views=torch.from_numpy(views),
            age_months=torch.tensor(case.age_months, dtype=torch.float32),
            sex=torch.tensor([case.sex.sign], dtype=torch.float32),
            targets=torch.from_numpy(targets),
        )

    def make_views(
        self, image: ImageArray, found: Localization, size: int, rng: np.random.Generator | None
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """Make the views uint8 [v, size, size] of one image, and the further targets of its loss."""
        views = np.zeros((len(self.sources), size, size), dtype=np.uint8)
        nothing = np.empty(0, dtype=np.float32)
        if rng is None or self.augmentation is None:
            for channel, source in enumerate(self.sources):
                picture, box = source(image, found)
                views[channel] = cut(picture, box, size, squash=self.squash)
            return views, nothing
        mirror = draw_mirror(rng, self.augmentation)
        image, found = augment_surroundings(image, found, rng, self.augmentation)
        if self.augmentation.degrade and rng.random() < self.augmentation.degrade:
            image = degrade_image(image, rng, self.augmentation.jpeg)
        for channel, source in enumerate(self.sources):
            picture, box = source(image, found)
            geometric = draw_geometric(rng, self.augmentation, mirror=mirror)
            views[channel] = augment_photometry(
                cut(picture, box, size, squash=self.squash, augmentation=geometric), rng, self.augmentation
            )
        return views, nothing


class EpochOrder(Sampler[list[Key]]):
    """Batches of keys: a fresh permutation an epoch, drawn from (seed, epoch) alone.

    Batches are whole, because batch norm fails on a rest of one case. With fewer cases than a batch, one batch has all.

    Args:
        count: number of cases.
        batch: cases a batch on one device.
        seed: of the order.
        sizes: (first epoch, view side) pairs in rising order, at least one.
        rank, world: number of this device and count of all devices; each gets its own part of every batch.
    """

    def __init__(
        self,
        count: int,
        batch: int,
        seed: int,
        *,
        sizes: Sequence[tuple[int, int]],
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.count = count
        self.batch = min(batch, max(1, count // world))
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
        return self.count // (self.batch * self.world)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = self.epoch
        size = [side for first, side in self.sizes if first <= epoch][-1]
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(self.count)
        for step in range(len(self)):
            first = (step * self.world + self.rank) * self.batch
            yield [Key(epoch, int(index), size) for index in order[first : first + self.batch]]
