"""What baselines see and learn from: images without their background, and the truth of phantoms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from boneage.assessment import Attention
from boneage.errors import TrainingError
from boneage.pipeline.localization import Localization
from boneage.regions import Box, Region, normalised_map
from boneage.training.data.augmentation import augment_photometry, degrade_image, draw_geometric
from boneage.training.data.views_data import Images, ViewsData
from boneage.views import Frame, ImageArray, cut, points_in_view, whole

KEY_POINTS: Final = (
    "DP3_head", "capitate", "DP1_head",
    "MC1_head", "MC2_head", "MC3_head", "MC4_head", "MC5_head",
    "PP1_head", "PP2_head", "PP3_head", "PP4_head", "PP5_head",
    "MP2_head", "MP3_head", "MP4_head", "MP5_head",
    "distal_radius", "distal_ulna",
)  # fmt: skip
"""Key points that baselines learn: the three by which Iglovikov et al. register a hand, then joints and wrist."""
_MASK_STRIDE: Final = 4

Mask = npt.NDArray[np.bool_]


class HandTruth(Protocol):
    """The truth of a phantom's hand, in pixels of the file (`boneage.phantom.truth_folder.KnownHand`)."""

    @property
    def mask(self) -> Mask: ...
    @property
    def boxes(self) -> Mapping[Region, Box]: ...
    @property
    def key_points(self) -> Mapping[str, tuple[float, float]]: ...


@dataclass(frozen=True, eq=False)
class TrueRegions(Localization):
    """True regions with mask and key points, in pixels of the image.

    Attributes:
        mask: the hand, bool [h, w].
        key_points: (x, y) in the order of `KEY_POINTS`, float64 [19, 2].
    """

    mask: Mask | None = None
    key_points: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class FromTruth:
    """The truth of phantoms as regions (a `RegionsOf`), scaled from pixels of the file to pixels of the image.

    Attributes:
        truth: case id -> the truth of its hand.
        images: the images that the views are cut from.
    """

    truth: Callable[[str], HandTruth]
    images: Images

    def __call__(self, case_id: str, rng: np.random.Generator | None) -> TrueRegions:
        hand = self.truth(case_id)
        absent = [name for name in KEY_POINTS if name not in hand.key_points]
        if absent:
            raise TrainingError(
                f"case '{case_id}': its truth lacks the key points {', '.join(absent)}. Write the phantoms anew with "
                "`boneage phantom`.",
                code="key_points_missing",
            )
        height, width = self.images.image(case_id).shape
        mask = np.asarray(Image.fromarray(hand.mask).resize((width, height), Image.Resampling.NEAREST), dtype=bool)
        x, y = width / hand.mask.shape[1], height / hand.mask.shape[0]
        points = np.array([hand.key_points[name] for name in KEY_POINTS], dtype=np.float64) * (x, y)
        return TrueRegions(
            {region: box.scaled(x, y) for region, box in hand.boxes.items()}, mask=mask, key_points=points
        )


@dataclass(frozen=True)
class WithHandMaps:
    """Regions of a table with the hand's attention maps, which tables leave out (a `RegionsOf`).

    Attributes:
        table: as phase I wrote it.
        maps: case id -> attention of the hand's localizer on the whole image, float32 [m, m]
            (`boneage.training.localization.regions_table.read_maps`).
        images: the images that the views are cut from.
        squash: whether the localizer's input ignored the aspect ratio.
    """

    table: Mapping[str, Localization]
    maps: Mapping[str, npt.NDArray[np.float32]]
    images: Images
    squash: bool = False

    def __call__(self, case_id: str, rng: np.random.Generator | None) -> Localization:
        frame = Frame.around(whole(self.images.image(case_id)), 1, squash=self.squash)
        attention = Attention(self.maps[case_id], frame.to_image(Box(0.0, 0.0, 1.0, 1.0)))
        regions = self.table[case_id]
        return replace(regions, attention={**regions.attention, Region.HAND: attention})


MaskKind = Literal["box", "attention", "truth"]


@dataclass(frozen=True)
class MaskedSource:
    """The hand's box, cut from an image on which everything outside the hand is black.

    Attributes:
        kind: what counts as the hand. "box": the hand box of phase I, a rectangle that keeps the background between
            the fingers. "attention": the largest component where phase I's attention map of the hand is at least `tau`
            of its maximum, a blob around the hand. "truth": a phantom's true mask.
        tau: for "attention", in (0, 1].
    """

    kind: MaskKind = "box"
    tau: float = 0.1

    def __call__(self, image: ImageArray, regions: Localization) -> tuple[ImageArray, Box]:
        mask = self.mask(image, regions)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            return image, whole(image)
        box = Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        return np.where(mask, image, np.uint8(0)), box

    def mask(self, image: ImageArray, regions: Localization) -> Mask:
        """The hand on an image, bool [h, w]; all False for a map without evidence.

        Raises:
            TrainingError: the regions lack the true mask (`true_mask_missing`), the attention map
                (`attention_map_missing`) or the hand's box (`hand_box_missing`) that `kind` needs.
        """
        if self.kind == "truth":
            mask = regions.mask if isinstance(regions, TrueRegions) else None
            if mask is None:
                raise TrainingError(
                    "only phantoms have a true mask of the hand. Give the regions by FromTruth, or take the mask from "
                    "phase I (kind 'attention' or 'box').",
                    code="true_mask_missing",
                )
            return mask
        if self.kind == "attention":
            if Region.HAND not in regions.attention:
                raise TrainingError(
                    "these regions have no attention maps (tables keep boxes only). Give them by WithHandMaps, or take "
                    "the mask from the hand's box (kind 'box').",
                    code="attention_map_missing",
                )
            return threshold_attention(regions.attention[Region.HAND], image.shape, self.tau)
        if Region.HAND not in regions.boxes:
            raise TrainingError(
                "these regions have no box of the hand. Give regions that phase I has found.", code="hand_box_missing"
            )
        mask = np.zeros(image.shape, dtype=bool)
        x0, y0, x1, y1 = (max(0, round(at)) for at in regions.boxes[Region.HAND].as_list())
        mask[y0:y1, x0:x1] = True
        return mask


def threshold_attention(attention: Attention, shape: tuple[int, ...], tau: float) -> Mask:
    """The largest connected component where an attention map is at least `tau` of its maximum, with holes filled.

    Args:
        attention: float [m, m] over its box in pixels of the image.
        shape: (h, w) of the image.
        tau: in (0, 1].

    Returns:
        bool [h, w]; all False for a map without evidence.
    """
    height, width = shape
    box, side = attention.box, attention.map.shape[0]
    evidence = Image.fromarray(normalised_map(attention.map))
    step_x, step_y = side / box.width, side / box.height
    matrix = (step_x, 0.0, -box.x0 * step_x, 0.0, step_y, -box.y0 * step_y)
    on_image = evidence.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    labels, count = ndimage.label(np.asarray(on_image) >= tau)
    if not count:
        return np.zeros((height, width), dtype=bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(labels == sizes.argmax()), dtype=bool)


class TruthTargets(NamedTuple):
    """The truth of a batch of views, in fractions of the view's side.

    Attributes:
        box: around the hand as far as the view shows it, float32 [n, 4].
        points: in the order of `KEY_POINTS`, float32 [n, 19, 2]; some may lie outside 0 to 1.
        mask: the hand's share of each cell of 4 x 4 pixels, float32 [n, 1, m, m] in [0, 1].
    """

    box: Tensor
    points: Tensor
    mask: Tensor

    @classmethod
    def unpack(cls, targets: Tensor) -> TruthTargets:
        """Unpack the `targets` float32 [n, ...] of a batch of `TruthData`.

        Raises:
            TrainingError: they hold no truth (`truth_missing`).
        """
        ends = 4 + 2 * len(KEY_POINTS)
        cells = targets.shape[1] - ends
        side = int(max(cells, 0) ** 0.5)
        if cells <= 0 or side * side != cells:
            raise TrainingError(
                "this baseline learns from masks and key points, and its batches have none. Make its data with "
                "TruthData and FromTruth on phantoms, or leave the baseline out.",
                code="truth_missing",
            )
        box, points, mask = torch.split(targets, [4, ends - 4, cells], dim=1)
        return cls(box, points.reshape(-1, len(KEY_POINTS), 2), mask.reshape(-1, 1, side, side))


class TruthData(ViewsData):
    """Views with the truth as `targets` (see `TruthTargets`); `regions_of` is a `FromTruth`.

    Only the first source is cut. View and truth are augmented alike. With `augmentation` None (for measuring) there
    are no targets; `NO_AUGMENTATION` gives plain views with targets.
    """

    def make_views(
        self, image: ImageArray, regions: Localization, size: int, rng: np.random.Generator | None
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        if rng is None or self.augmentation is None:
            return super().make_views(image, regions, size, rng)
        if not isinstance(regions, TrueRegions) or regions.mask is None or regions.key_points is None:
            raise TrainingError(
                "this baseline learns from masks and key points, which only phantoms have. Give the regions by "
                "FromTruth, or leave the baseline out.",
                code="truth_missing",
            )
        if rng.random() < self.augmentation.degrade:
            image = degrade_image(image, rng, self.augmentation.jpeg)
        picture, box = self.sources[0](image, regions)
        geometry = draw_geometric(rng, self.augmentation)
        view = augment_photometry(
            cut(picture, box, size, squash=self.squash, augmentation=geometry), rng, self.augmentation
        )
        mask = cut(regions.mask.astype(np.uint8) * np.uint8(255), box, size, squash=self.squash, augmentation=geometry)
        points = points_in_view(regions.key_points, box, size, squash=self.squash, augmentation=geometry) / size
        rows, columns = np.flatnonzero((mask > 127).any(axis=1)), np.flatnonzero((mask > 127).any(axis=0))
        corners = np.array([0, 0, size, size])
        if rows.size:
            corners = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        cells = size // _MASK_STRIDE
        share = mask[: cells * _MASK_STRIDE, : cells * _MASK_STRIDE].reshape(cells, _MASK_STRIDE, cells, _MASK_STRIDE)
        targets = [corners / size, points.ravel(), share.mean(axis=(1, 3)).ravel() / 255.0]
        return view[None].copy(), np.concatenate(targets).astype(np.float32)
