"""Where the population looks: attention counted over all hands, and the bands in which its regions lie.

One film's map is noisy: whichever joint is brightest wins, and the largest component may be a finger, the carpus or
nothing in particular. Counted over thousands of hands, each in the frame of its own hand box and where its hand's own
attention lies, it is not: it shows the finger joints, the metacarpal heads, and the carpus with the growth plates of
radius and ulna as separate bands. A region's evidence is then the film's own attention and the population's, where
both agree with the band. Ages alone teach all of this; no box is drawn, and none is looked at.
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
from boneage.training.networks.networks import Localizer

SMOOTHING: Final = 0.04
"""Blur of one film's map before it meets the prior: sd as a fraction of the map's side (about one joint)."""
BLEND: Final = 0.5
"""How much of a region's evidence is the population's, so that a bone that one film's map passes over is not lost."""
_PROFILE_SMOOTHING: Final = 0.025
_BANDS_FROM_BELOW: Final = {Region.REGION_1: 0, Region.REGION_2: 1}
"""The fingers point up on a film as it is hung: the carpus is the lowest band, the metacarpal heads the next."""


@dataclass(frozen=True, eq=False)
class PopulationPrior:
    """How many hands show attention at each place: float32 [m, m] in [0, 1], 1 where most do.

    Films are counted, not brightness: one marker may outshine every joint of its own film, but markers lie
    everywhere, and joints do not. What lies beside the hand counts for nothing: there a network may answer anything,
    as it does to flat ground, for it never needs that. Symmetric, so that right hands fit as well: of a place and its
    mirror image the larger share counts, since a mean of the two would halve the thumb, which only one side has.

    Attributes:
        share: of films whose hand is there and whose map is above its own mean over the hand, as a fraction of the
            largest share.
        valleys: the rows between fingers and metacarpal heads, and between those and the carpus.
    """

    share: npt.NDArray[np.float32]
    valleys: tuple[int, int]

    @classmethod
    def of(cls, images: Iterable[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]) -> PopulationPrior:
        """Count over films.

        Args:
            films: (attention map [m, m], where the hand lies [m, m]) of each, both in the frame of the hand's box.

        Raises:
            TrainingError: no map shows anything, or see `from_share`.
        """
        input_box = [
            on_hand & (attention > attention[on_hand].mean())
            for attention, on_hand in images
            if on_hand.any() and attention.max() > attention.min()
        ]
        if not input_box:
            raise TrainingError("No film has any attention: train the localizer for longer.")
        share = np.mean(input_box, axis=0)
        share = np.maximum(share, share[:, ::-1])
        return cls.from_share((share / share.max()).astype(np.float32))

    @classmethod
    def from_share(cls, share: npt.NDArray[np.float32]) -> PopulationPrior:
        """Find the two deepest valleys of the shares' profile along the hand.

        Where the fingers are no band of their own, so that there is one valley only, the band of the metacarpal heads
        reaches as far up from its peak as down to the valley.

        Raises:
            TrainingError: the population's attention shows neither three bands nor two.
        """
        profile = gaussian_filter1d(share.sum(axis=1), max(0.5, _PROFILE_SMOOTHING * len(share)))
        rows, found = find_peaks(-profile / profile.max(), prominence=1e-3)
        if not len(rows):
            raise TrainingError(
                "The population's attention shows 1 band along the hand, not fingers, metacarpal heads and carpus. "
                "Train region_1 for longer, or set region_1.prior and region_2.prior to false."
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
        """Where the population looks more than elsewhere in the band of a region.

        What lies all over the band is the haze of markers and borders of many films: no place of a hand.

        Returns:
            float32 [m, m] in [0, 1]; zero outside the band, and where the band is not above its own mean.
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
        frame: in the same pixels as `hand.box`; it may reach beyond it, where there is no hand.
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
    """A localizer whose Eq. 2 map is weighed with where the population looks.

    With A the map, m its mean over all places (a place like any other is no evidence), P the prior and b = `BLEND`,
    `attention` is sqrt(((1 - b) E + b P) P), where E is blur(max(A - m, 0) in the band) over its maximum:
    uint8 [n, 1, S, S] -> float32 [n, m, m]. The band is cut before the blur, so that a bright neighbour outside does
    not leak in. A film without any evidence in the band gets none from the population either: all zero.
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
