"""Phase I at assessment: image -> attention maps -> regions -> views.

Training locates regions and cuts views with the same code, so that networks are asked about what they learned from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from boneage.assessment import Attention
from boneage.errors import ModelError
from boneage.model.document import Layout
from boneage.model.folder import Localizer
from boneage.regions import MAP_SIDE, Box, Region, box_of_map, normalised_map
from boneage.remarks import Remark
from boneage.views import Frame, ImageArray, View, cut, erase, whole

Answers = dict[tuple[int, str, bool], dict[str, npt.NDArray[np.float32]]]
"""Outputs of the networks for one radiograph, by network, its input view, and whether the mirror image is averaged."""

_WORDS: Final = {
    Region.HAND: "The hand",
    Region.REGION_1: "Region 1 (carpal bones)",
    Region.REGION_2: "Region 2 (metacarpal bones)",
}
_CUT_FROM: Final = {
    View.H: Region.HAND,
    View.R1: Region.REGION_1,
    View.R2: Region.REGION_2,
    View.HE: Region.HAND,
    View.R2E: Region.REGION_2,
}


@dataclass(frozen=True, eq=False)
class Localization:
    """Where the regions are.

    Attributes:
        boxes: in pixels of the image (or of what it was `scaled` to), always inside it.
        attention: the map behind each region, over the square that its network saw; that square may reach beyond the
            image.
        missing: regions that were not found; their boxes are stand-ins (see `RegionLocalizer.locate`).
        remarks: one for each missing region.
    """

    boxes: Mapping[Region, Box] = field(default_factory=dict)
    attention: Mapping[Region, Attention] = field(default_factory=dict)
    missing: frozenset[Region] = frozenset()
    remarks: tuple[Remark, ...] = ()

    def scaled(self, horizontally: float, vertically: float) -> Localization:
        """The same regions in an image that is wider and higher by these factors."""
        return Localization(
            boxes={region: box.scaled(horizontally, vertically) for region, box in self.boxes.items()},
            attention={
                region: Attention(seen.map, seen.box.scaled(horizontally, vertically))
                for region, seen in self.attention.items()
            },
            missing=self.missing,
            remarks=self.remarks,
        )

    def erase_region_1(self, image: ImageArray) -> ImageArray:
        """The image of view E. If region 1 was not found nothing is erased: its box would be the whole hand."""
        if Region.REGION_1 in self.missing or Region.REGION_1 not in self.boxes:
            return image
        return erase(image, self.boxes[Region.REGION_1])

    def place(self, view: View, image: ImageArray) -> tuple[ImageArray, Box]:
        """What a view is cut from: an image, and the box in its pixels."""
        if view is View.O:
            return image, whole(image)
        picture = self.erase_region_1(image) if view in (View.E, View.HE, View.R2E) else image
        if view is View.E:
            return picture, whole(image)
        return picture, self.boxes[_CUT_FROM[view]]


class RegionLocalizer:
    """Finds the regions of an image with a chain of localizers.

    Args:
        localizers: in the order in which they run.
        layout: how a box becomes a square view.
    """

    def __init__(self, localizers: Sequence[Localizer], layout: Layout = "letterbox") -> None:
        self.localizers = tuple(localizers)
        self.layout = layout

    @property
    def squash(self) -> bool:
        return self.layout == "squash"

    def locate(self, image: ImageArray) -> Localization:
        """Find every region.

        If a map holds no evidence (empty, all negative, or of one value), the whole image stands in for the hand, the
        hand box for regions 1 and 2, with a remark.

        Args:
            image: uint8 [h, w] in canonical orientation, as `Radiograph.image` makes it.

        Returns:
            Boxes in pixels of the image.

        Raises:
            ModelError: a network does not give what `model.json` promises.
        """
        found = Localization()
        memo: Answers = {}
        for localizer in self.localizers:
            source, input_box = self._source(localizer, image, found)
            attention = self.attention(localizer, source, input_box, memo)
            box = self._box(localizer, attention, image=source, input_box=input_box)
            remarks, missing = found.remarks, found.missing
            if box is None:
                stand_in = Region.HAND in found.boxes and localizer.region is not Region.HAND
                box = found.boxes[Region.HAND] if stand_in else whole(image)
                place = "the hand box" if stand_in else "the whole image"
                text = f"{_WORDS[localizer.region]} was not found; {place} is used instead."
                remarks += (Remark.of("region_not_found", text),)
                missing |= {localizer.region}
            found = Localization(
                boxes={**found.boxes, localizer.region: box},
                attention={**found.attention, localizer.region: attention},
                missing=missing,
                remarks=remarks,
            )
        return found

    def attention(self, localizer: Localizer, image: ImageArray, box: Box, memo: Answers | None = None) -> Attention:
        """The attention map of one localizer.

        Args:
            image: uint8 [h, w].
            box: what the localizer sees of it, in pixels of the image.
            memo: answers for this radiograph so far, so that a network that serves several regions runs once.

        Returns:
            float32 [m, m] in [0, 1] over the square around `box`; cells whose centre is off the image are 0; a
            map of one value on the image is 0 throughout.
        """
        size = localizer.network.input_size
        memo = {} if memo is None else memo
        asked = (id(localizer.network), localizer.input_view, localizer.average_mirror)
        if asked not in memo:
            view = cut(image, box, size, squash=self.squash)
            batch = np.stack([view, view[:, ::-1]]) if localizer.average_mirror else view[None]
            memo[asked] = localizer.network.run({"view": np.ascontiguousarray(batch[:, None])})
        maps = localizer.network.output(memo[asked], localizer.output)
        views = 2 if localizer.average_mirror else 1
        if maps.ndim != 3 or maps.shape[0] != views or maps.shape[1] != maps.shape[2]:
            raise ModelError(
                f"{localizer.network.path}: the output '{localizer.output}' has the shape {maps.shape}, "
                f"not {views} x m x m. Export the network again.",
                code="wrong_network_output",
            )
        evidence = normalised_map(maps[0])
        if localizer.average_mirror:
            evidence = (evidence + normalised_map(maps[1])[:, ::-1]) * np.float32(0.5)
        frame = Frame.around(box, size, squash=self.squash)
        shown = frame.shows_image(evidence.shape[0], image.shape[1], image.shape[0])
        on_image = evidence[shown]
        # A flat map is no evidence; zeroed padding would otherwise give it an edge, and so a box.
        if on_image.size == 0 or float(on_image.min()) == float(on_image.max()):
            evidence = np.zeros_like(evidence)
        seen = frame.to_image(Box(0.0, 0.0, float(size), float(size)))
        return Attention(normalised_map(np.where(shown, evidence, 0.0)), seen)

    def _source(self, localizer: Localizer, image: ImageArray, found: Localization) -> tuple[ImageArray, Box]:
        picture = found.erase_region_1(image) if localizer.input_view in ("E", "HE") else image
        return picture, found.boxes[Region.HAND] if localizer.input_view in ("H", "HE") else whole(image)

    def _box(self, localizer: Localizer, attention: Attention, image: ImageArray, input_box: Box) -> Box | None:
        box = box_of_map(enlarged(attention.map), localizer.tau, localizer.components)
        if box is None:
            return None
        frame = Frame.around(input_box, localizer.network.input_size, squash=self.squash)
        smallest = localizer.smallest * max(input_box.width, input_box.height)
        on_image = frame.to_image(box, MAP_SIDE).grown(localizer.margin).at_least(smallest)
        return on_image.within(float(image.shape[1]), float(image.shape[0]))


def enlarged(attention: npt.NDArray[np.float32], side: int = MAP_SIDE) -> npt.NDArray[np.float32]:
    """A coarse map, enlarged bilinearly: float32 [m, m] -> float32 [side, side]."""
    image = Image.fromarray(np.ascontiguousarray(attention, dtype=np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), dtype=np.float32)


def cut_views(
    image: ImageArray, found: Localization, views: Iterable[View], size: int, *, squash: bool = False
) -> dict[View, npt.NDArray[np.uint8]]:
    """The views of an image, uint8 [size, size] each."""
    cuts = {}
    for view in views:
        picture, box = found.place(view, image)
        cuts[view] = cut(picture, box, size, squash=squash)
    return cuts
