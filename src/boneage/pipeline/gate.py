"""The gate before the assessment: is this a hand that can be read, which way up is it, are its bones dark?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from boneage.assessment import Attention
from boneage.errors import ModelError, UnsuitableRadiograph
from boneage.model.document import GateSettings
from boneage.model.network import Network
from boneage.radiograph import SMALLEST_SIDE, Radiograph
from boneage.regions import Box
from boneage.remarks import Remark
from boneage.views import ImageArray, cut, whole

HAND: Final = "hand"
KINDS: Final = (HAND, "not_a_hand", "two_hands", "carpus_cut_off", "exposure")
"""What a picture can be, in the order of the network's output `kinds`."""

_REASONS: Final = {
    "not_a_hand": ("this does not look like a radiograph of a hand", "Give one frontal radiograph of a hand"),
    "two_hands": (
        "the film seems to show two hands",
        "Cut it into one picture for each hand; the left one is read by convention",
    ),
    "carpus_cut_off": (
        "most of the carpus seems to be cut off",
        "Give the film with the whole hand and the ends of radius and ulna",
    ),
    "exposure": (
        "the exposure does not let the bones be told from the rest",
        "Export the film again with another window, or take it again",
    ),
}
_SNAP_DEGREES: Final = 12.0
"""A turn this near to a multiple of 90 degrees is undone by whole quarters: nothing is resampled."""
_FINE: Final = 512
"""Side of a map while it is turned."""
_EMPTY: Final = 0.02
"""Gray value up to which rows and columns at the edge of a turned film are taken for the ground that turning adds."""


@dataclass(frozen=True)
class GateOutput:
    """What the gate sees in a film.

    Attributes:
        degrees: how far the hand is turned from fingers-up, counter-clockwise as seen, in (-180, 180].
        inverted: probability that bones are dark.
        kinds: probabilities of `KINDS`, in that order.
        oddness: mean squared distance from hands in the network's own features (1 for an average hand).
    """

    degrees: float
    inverted: float
    kinds: tuple[float, ...]
    ood_score: float


class Gate:
    """Refuses what cannot be read, and says how a film has to be turned.

    Args:
        network: `view` uint8 [n, 1, S, S] -> `kinds` float32 [n, 5], `pose` float32 [n, 2] (cosine and sine of the
            turn), `inverted` float32 [n], `ood_score` float32 [n].
        settings: thresholds.
    """

    def __init__(self, network: Network, settings: GateSettings) -> None:
        self.network, self.settings = network, settings

    def look(self, image: ImageArray) -> GateOutput:
        """Look at a film, uint8 [h, w], and at its mirror image, whose turn is the opposite."""
        view = cut(image, whole(image), self.network.input_size)
        said = self.network.run({"view": np.ascontiguousarray(np.stack([view, view[:, ::-1]])[:, None])})
        kinds, pose, inverted, ood_score = (
            self.network.output(said, name).astype(np.float64) for name in ("kinds", "pose", "inverted", "ood_score")
        )
        shapes = (kinds.shape, pose.shape, inverted.shape, ood_score.shape)
        finite = all(np.isfinite(values).all() for values in (kinds, pose, inverted, ood_score))
        if shapes != ((2, len(KINDS)), (2, 2), (2,), (2,)) or not finite:
            raise ModelError(f"{self.network.path}: this network is no gate. Export it again with this version.")
        turn = math.degrees(math.atan2(pose[0, 1] - pose[1, 1], pose[0, 0] + pose[1, 0]))
        return GateOutput(turn, float(inverted.mean()), tuple(kinds.mean(axis=0).tolist()), float(ood_score.mean()))

    def refusal(self, look: GateOutput, file: str | None = None) -> UnsuitableRadiograph | None:
        """Why a film must not be assessed, or None."""
        hand = look.kinds[KINDS.index(HAND)]
        if hand >= self.settings.min_hand_probability and look.ood_score <= self.settings.max_ood_score:
            return None
        likely = max(range(len(KINDS)), key=lambda k: look.kinds[k])
        code = KINDS[likely] if KINDS[likely] != HAND else "not_a_hand"
        return UnsuitableRadiograph(code, *_REASONS[code], file)

    def turn(self, look: GateOutput) -> Orientation:
        """How the film has to be turned and whether it has to be inverted; small tilts are left as they are."""
        quarters = round(look.degrees / 90.0)
        rest = look.degrees - 90.0 * quarters
        inverted = look.inverted > 0.5
        if abs(look.degrees) <= self.settings.tilt_degrees:
            return Orientation(0, 0.0, inverted)
        if quarters and abs(rest) <= _SNAP_DEGREES:
            return Orientation(quarters % 4, 0.0, inverted)
        return Orientation(0, look.degrees, inverted)


@dataclass(frozen=True)
class Orientation:
    """A change of a radiograph before it is assessed, and the way back for what was found on it.

    Attributes:
        quarters: quarter turns clockwise, 0..3.
        degrees: or any turn clockwise, about the centre; 0 for none.
        inverted: gray values are turned round.
    """

    quarters: int = 0
    degrees: float = 0.0
    inverted: bool = False

    def __bool__(self) -> bool:
        return bool(self.quarters or self.degrees or self.inverted)

    @property
    def turned_degrees(self) -> float:
        """Clockwise, in (-180, 180]."""
        angle = 90.0 * self.quarters if self.quarters else self.degrees
        return angle - 360.0 if angle > 180.0 else angle

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What a reader has to be told."""
        made = []
        if self.quarters or self.degrees:
            way = "clockwise" if self.turned_degrees > 0 else "counter-clockwise"
            degrees = abs(self.turned_degrees)
            made.append(Remark.of("rotated", f"The radiograph was rotated by {degrees:.0f} degrees {way} first."))
        if self.inverted:
            made.append(Remark.of("inverted", "Bones are dark on this radiograph; it was inverted first."))
        return tuple(made)

    def upright(self, radiograph: Radiograph) -> tuple[Radiograph, InverseTransform]:
        """The radiograph as it is assessed, and the way back to the one that was given."""
        pixels = np.float32(1.0) - radiograph.pixels if self.inverted else radiograph.pixels
        shape = (radiograph.width, radiograph.height)
        if not self.degrees:
            turned = np.ascontiguousarray(np.rot90(pixels, -self.quarters))
            return replace(radiograph, pixels=turned), InverseTransform(
                self, shape, (turned.shape[1], turned.shape[0]), (0, 0)
            )
        image = Image.fromarray(pixels).rotate(-self.degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=0.0)
        turned = np.clip(np.asarray(image, dtype=np.float32), 0.0, 1.0, dtype=np.float32)
        rows, columns = (np.flatnonzero((turned > _EMPTY).any(axis=axis)) for axis in (1, 0))
        top, bottom, left, right = 0, turned.shape[0], 0, turned.shape[1]
        if min(np.ptp(rows) if rows.size else 0, np.ptp(columns) if columns.size else 0) >= SMALLEST_SIDE:
            top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        trimmed = np.ascontiguousarray(turned[top:bottom, left:right])
        back = InverseTransform(self, shape, (image.width, image.height), (int(left), int(top)))
        return replace(radiograph, pixels=trimmed), back


@dataclass(frozen=True)
class InverseTransform:
    """From pixels of the upright radiograph to pixels of the one that was given.

    Attributes:
        turn: what was done.
        given, turned: (width, height) before, and after the turn.
        corner: (x, y) in the turned picture at which the upright radiograph begins.
    """

    turn: Orientation
    given: tuple[int, int]
    turned: tuple[int, int]
    corner: tuple[int, int]

    def points(self, places: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """float64 [n, 2] of (x, y), measured at pixel edges."""
        angle = math.radians(90.0 * self.turn.quarters + self.turn.degrees)
        cos, sin = math.cos(angle), math.sin(angle)
        from_centre = np.asarray(places, dtype=np.float64) + self.corner - np.array(self.turned) / 2
        # Clockwise as seen, with y pointing down, is (x, y) -> (cos x - sin y, sin x + cos y); this is its inverse.
        return np.asarray(from_centre @ np.array([[cos, -sin], [sin, cos]]) + np.array(self.given) / 2)

    def box(self, box: Box) -> Box:
        """The box around the ellipse in a box, within the radiograph; exact after quarter turns.

        What a box holds seldom reaches its corners: the box around those would be far too large.
        """
        angle = math.radians(90.0 * self.turn.quarters + self.turn.degrees)
        cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
        ((x, y),) = self.points([box.center]).tolist()
        half_width = math.hypot(box.width * cos, box.height * sin) / 2
        half_height = math.hypot(box.width * sin, box.height * cos) / 2
        around = Box(x - half_width, y - half_height, x + half_width, y + half_height)
        inside = around.within(*self.given)
        if inside is not None:
            return inside
        # Found on the ground that turning added: the nearest pixel of the radiograph.
        left, top = min(max(x, 0.0), self.given[0] - 1.0), min(max(y, 0.0), self.given[1] - 1.0)
        return Box(left, top, left + 1.0, top + 1.0)

    def attention(self, attention: Attention) -> Attention:
        """The same map, turned back over the square around its place."""
        box = attention.box
        corners = self.points([(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)])
        around = Box(*(float(value) for value in (*corners.min(axis=0), *corners.max(axis=0))))
        if not self.turn.degrees:
            return Attention(np.ascontiguousarray(np.rot90(attention.map, self.turn.quarters)), around)
        cells = attention.map.shape[0]
        # Turned large: Pillow rounds the turned picture's size up to whole cells.
        image = Image.fromarray(attention.map.astype(np.float32)).resize((_FINE, _FINE), Image.Resampling.BILINEAR)
        turned = image.rotate(self.turn.degrees, Image.Resampling.BILINEAR, expand=True, fillcolor=0.0)
        return Attention(np.asarray(turned.resize((cells, cells), Image.Resampling.BILINEAR)).clip(0.0, 1.0), around)


__all__ = ["HAND", "KINDS", "Gate", "GateOutput", "InverseTransform", "Orientation"]
