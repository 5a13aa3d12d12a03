"""The population prior: attention counted over all hands, and the bands in which the regions lie.

The map of one image is noisy: the brightest joint wins, and the largest component may be a finger or the carpus. The
count over thousands of hands, each in the frame of its own hand box, is not: finger joints, metacarpal heads, and the
carpus with the growth plates of radius and ulna are separate bands. The evidence for a region combines the image's own
attention with the population's, inside the region's band. All of this comes from ages alone; no box is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d, map_coordinates
from scipy.signal import find_peaks
from torch import Tensor, nn

from boneage.assessment import Attention
from boneage.errors import TrainingError
from boneage.regions import Box, Region
from boneage.training.networks.localizer import Localizer

SMOOTHING: Final = 0.04
"""Blur of one image's map before it is weighed: sd as a fraction of the map's side (about one joint)."""
BLEND: Final = 0.5
"""Share of the population in a region's evidence, so that a bone without attention in one image is not lost."""
_PROFILE_SMOOTHING: Final = 0.025
_BANDS_FROM_BELOW: Final = {Region.REGION_1: 0, Region.REGION_2: 1}
"""The fingers point up: the carpus is the lowest band, the metacarpal heads the next."""


@dataclass(frozen=True, eq=False)
class PopulationPrior:
    """How many hands show attention at each place: float32 [m, m] in [0, 1], 1 where most do.

    Images are counted, not brightness: a marker may outshine every joint of its image, but markers lie anywhere.
    Attention beside the hand does not count, because training never teaches a network what to answer there. The share
    is symmetric, so that it fits left and right hands: of a place and its mirror image the larger share counts. (Their
    mean would halve the thumb, which only one side has.)

    Attributes:
        share: of images whose hand is there and whose map is above its own mean over the hand, as a fraction of the
            largest share.
        valleys: the rows between fingers and metacarpal heads, and between those and the carpus.
    """

    share: npt.NDArray[np.float32]
    valleys: tuple[int, int]

    @classmethod
    def of(cls, images: Iterable[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]) -> PopulationPrior:
        """Count over images.

        Args:
            images: (attention map [m, m], where the hand lies [m, m]) of each, both in the frame of the hand's box.

        Raises:
            TrainingError: no map shows anything, or see `from_share`.
        """
        input_box = [
            on_hand & (attention > attention[on_hand].mean())
            for attention, on_hand in images
            if on_hand.any() and attention.max() > attention.min()
        ]
        if not input_box:
            raise TrainingError("No image has any attention: train the localizer for longer.", code="no_attention")
        share = np.mean(input_box, axis=0)
        share = np.maximum(share, share[:, ::-1])
        return cls.from_share((share / share.max()).astype(np.float32))

    @classmethod
    def from_share(cls, share: npt.NDArray[np.float32]) -> PopulationPrior:
        """Find the two deepest valleys of the shares' profile along the hand.

        Two bands have one valley only: the band of the metacarpal heads then reaches as far up from its peak as down to
        the valley.

        Raises:
            TrainingError: the population's attention shows a single band.
        """
        profile = gaussian_filter1d(share.sum(axis=1), max(0.5, _PROFILE_SMOOTHING * len(share)))
        rows, found = find_peaks(-profile / profile.max(), prominence=1e-3)
        if not len(rows):
            raise TrainingError(
                "The population's attention shows 1 band along the hand, not fingers, metacarpal heads and carpus. "
                "Train region_1 for longer, or set region_1.prior and region_2.prior to false.",
                code="no_bands",
            )
        if len(rows) == 1:
            valley = int(rows[0])
            peak = int(profile[:valley].argmax())
            return cls(share, (max(0, 2 * peak - valley), valley))
        upper, lower = sorted(rows[np.argsort(found["prominences"])[-2:]])
        return cls(share, (int(upper), int(lower)))

    def band(self, region: Region) -> slice:
        """The rows of a region's band."""
        upper, lower = self.valleys
        return slice(lower, None) if _BANDS_FROM_BELOW[region] == 0 else slice(upper, lower)

    def prior(self, region: Region) -> npt.NDArray[np.float32]:
        """Where the population's attention is above the mean of a region's band.

        The mean is the haze of markers and borders of many images, and does not belong to the hand.

        Returns:
            float32 [m, m] in [0, 1]; zero outside the band and below its mean.
        """
        rows = self.band(region)
        above = np.clip(self.share[rows] - self.share[rows].mean(), 0.0, None)
        prior = np.zeros_like(self.share)
        if above.size and above.max() > 0:
            prior[rows] = above / above.max()
        return prior


def on_hand(hand: Attention, tau: float, frame: Box, side: int) -> npt.NDArray[np.bool_]:
    """Where the hand's attention is at least `tau` of its maximum, in another frame.

    Args:
        hand: the hand's map.
        frame: in the same pixels as `hand.box`. Outside of that box nothing belongs to the hand.
        side: cells of the result.

    Returns:
        bool [side, side].
    """
    cells, at = len(hand.map), (np.arange(side) + 0.5) / side
    rows = (frame.y0 + at * frame.height - hand.box.y0) / hand.box.height * cells
    columns = (frame.x0 + at * frame.width - hand.box.x0) / hand.box.width * cells
    inside = np.outer((rows >= 0) & (rows <= cells), (columns >= 0) & (columns <= cells))
    seen = map_coordinates(hand.map, np.meshgrid(rows - 0.5, columns - 0.5, indexing="ij"), order=1, mode="nearest")
    return np.asarray(inside & (seen > 0) & (seen >= tau * hand.map.max()))


class PriorLocalizer(nn.Module):
    """A localizer whose Eq. 2 map is weighed with the population prior.

    `attention`: uint8 [n, 1, S, S] -> float32 [n, m, m] = sqrt(((1 - b) E + b P) P), with the prior P and b = `BLEND`.
    E is blur(max(A - mean A, 0) in the band) over its maximum, with the map A. The band is cut before the blur, so that
    a bright neighbour outside does not leak in. An image without evidence in the band has an attention of zero.
    """

    def __init__(self, localizer: Localizer, prior: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self.localizer = localizer
        sd = SMOOTHING * len(prior)
        reach = int(np.ceil(2.5 * sd))
        bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sd) ** 2)
        self.kernel: Tensor
        self.prior: Tensor
        self.band: Tensor
        self.register_buffer("kernel", (bell[:, None] * bell[None] / bell.sum() ** 2)[None, None])
        self.register_buffer("prior", torch.from_numpy(prior)[None])
        self.register_buffer("band", torch.from_numpy((prior.max(axis=1) > 0).astype(np.float32))[None, :, None])

    def attention(self, view: Tensor) -> Tensor:
        evidence = self.localizer.attention(view).clamp(min=0.0)
        evidence = (evidence - evidence.mean(dim=(1, 2), keepdim=True)).clamp(min=0.0) * self.band
        blurred = F.conv2d(evidence[:, None], self.kernel, padding=self.kernel.shape[-1] // 2)[:, 0]
        most = blurred.amax(dim=(1, 2), keepdim=True)
        own = blurred / most.clamp(min=1e-6)
        return torch.sqrt(((1.0 - BLEND) * own + BLEND * self.prior) * self.prior) * (most > 1e-6)
