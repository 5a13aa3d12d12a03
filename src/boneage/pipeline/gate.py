"""The gate: whether a picture is a radiograph of one hand that can be assessed, its orientation, its polarity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from boneage.errors import ModelError, UnsuitableRadiograph
from boneage.model.document import GateSettings
from boneage.model.network import Network
from boneage.pipeline.orientation import InverseTransform, Orientation
from boneage.radiograph import Radiograph
from boneage.remarks import Remark
from boneage.views import ImageArray, cut, whole

HAND: Final = "hand"
KINDS: Final = (HAND, "not_a_hand", "two_hands", "carpus_cut_off", "exposure")
"""What a picture can be, in the order of the network's output `kinds`. All but the first are codes of refusals."""

_REASONS: Final = {
    "not_a_hand": ("this does not look like a radiograph of a hand", "Give one frontal radiograph of a hand"),
    "two_hands": (
        "the radiograph seems to show two hands",
        "Crop it to one hand; the left one is read by convention",
    ),
    "carpus_cut_off": (
        "most of the carpus seems to be cut off",
        "Give a radiograph with the whole hand and the ends of radius and ulna",
    ),
    "exposure": (
        "bones cannot be distinguished from the rest at this exposure",
        "Export the radiograph with another window, or repeat the exposure",
    ),
}
_SNAP_DEGREES: Final = 12.0
"""A rotation this near to a multiple of 90 degrees is undone by whole quarters: nothing is resampled."""


@dataclass(frozen=True)
class GateOutput:
    """What the gate's network answers.

    Attributes:
        degrees: rotation of the hand from fingers-up, counter-clockwise as seen, in (-180, 180].
        inverted: probability that bones are dark.
        kinds: probabilities of `KINDS`, in that order.
        ood_score: out-of-distribution score: mean squared Mahalanobis distance from hands in the network's own
            features (1 for an average hand).
    """

    degrees: float
    inverted: float
    kinds: tuple[float, ...]
    ood_score: float


class Admitted(NamedTuple):
    """A radiograph that may be assessed.

    Attributes:
        radiograph: in canonical orientation: fingers up, bones bright.
        image: what the networks see of it: uint8 [h, w].
        inverse: the transform back to the radiograph as given.
        remarks: what a reader should know.
    """

    radiograph: Radiograph
    image: ImageArray
    inverse: InverseTransform
    remarks: tuple[Remark, ...]


class Gate:
    """Refuses what cannot be assessed, and brings the rest to canonical orientation.

    Args:
        network: `view` uint8 [n, 1, S, S] -> `kinds` float32 [n, 5], `pose` float32 [n, 2] (cosine and sine of the
            rotation), `inverted` float32 [n], `ood_score` float32 [n]. None: every radiograph is admitted as it is.
        settings: thresholds; None without a network.
        image_short_side: short side in pixels of the image that networks see; None for the radiograph's own.
        refuse: raise what the network refuses; if not, it is admitted with a remark.
    """

    def __init__(
        self,
        network: Network | None,
        settings: GateSettings | None,
        *,
        image_short_side: int | None = None,
        refuse: bool = True,
    ) -> None:
        self.network, self.settings = network, settings
        self.image_short_side, self.refuse = image_short_side, refuse

    def admit(self, radiograph: Radiograph) -> Admitted:
        """The radiograph in canonical orientation. A phantom is never refused.

        Raises:
            UnsuitableRadiograph: it must not be assessed; its code is one of `KINDS`.
            ModelError: the network is not a gate.
        """
        image = radiograph.image(self.image_short_side)
        if self.network is None:
            canonical, inverse = Orientation().apply(radiograph)
            return Admitted(radiograph=canonical, image=image, inverse=inverse, remarks=())
        output = self.examine(image)
        orientation = self.orientation(output)
        canonical, inverse = orientation.apply(radiograph)
        if orientation:
            image = canonical.image(self.image_short_side)
        refusal = self.refusal(output, radiograph.file)
        if refusal is not None and orientation:
            # A hand upside down scores worse than one that stands: what counts is the image as it is assessed.
            refusal = self.refusal(self.examine(image), radiograph.file)
        overruled: tuple[Remark, ...] = ()
        if refusal is not None:
            if self.refuse and not radiograph.phantom:
                raise refusal
            overruled = (Remark.of(refusal.code, f"Do not rely on this answer: {refusal.reason}."),)
        return Admitted(radiograph=canonical, image=image, inverse=inverse, remarks=(*overruled, *orientation.remarks))

    def examine(self, image: ImageArray) -> GateOutput:
        """Run the network on an image, uint8 [h, w], and on its mirror image, whose rotation is the opposite."""
        assert self.network is not None
        view = cut(image, whole(image), self.network.input_size)
        outputs = self.network.run({"view": np.ascontiguousarray(np.stack([view, view[:, ::-1]])[:, None])})
        kinds, pose, inverted, ood_score = (
            self.network.output(outputs, name).astype(np.float64) for name in ("kinds", "pose", "inverted", "ood_score")
        )
        shapes = (kinds.shape, pose.shape, inverted.shape, ood_score.shape)
        finite = all(np.isfinite(values).all() for values in (kinds, pose, inverted, ood_score))
        if shapes != ((2, len(KINDS)), (2, 2), (2,), (2,)) or not finite:
            raise ModelError(
                f"{self.network.path}: this network is not a gate. Export it again with this version.",
                code="wrong_network_output",
            )
        degrees = math.degrees(math.atan2(pose[0, 1] - pose[1, 1], pose[0, 0] + pose[1, 0]))
        return GateOutput(
            degrees=degrees,
            inverted=float(inverted.mean()),
            kinds=tuple(kinds.mean(axis=0).tolist()),
            ood_score=float(ood_score.mean()),
        )

    def refusal(self, output: GateOutput, file: str | None = None) -> UnsuitableRadiograph | None:
        """Why a picture must not be assessed, or None."""
        assert self.settings is not None
        hand = output.kinds[KINDS.index(HAND)]
        if hand >= self.settings.min_hand_probability and output.ood_score <= self.settings.max_ood_score:
            return None
        likely = KINDS[max(range(len(KINDS)), key=lambda k: output.kinds[k])]
        code = likely if likely != HAND else "not_a_hand"
        return UnsuitableRadiograph(code, *_REASONS[code], file)

    def orientation(self, output: GateOutput) -> Orientation:
        """How the radiograph is brought to canonical orientation; a small tilt is left as it is."""
        assert self.settings is not None
        quarters = round(output.degrees / 90.0)
        rest = output.degrees - 90.0 * quarters
        inverted = output.inverted > 0.5
        if abs(output.degrees) <= self.settings.tilt_degrees:
            return Orientation(0, 0.0, inverted)
        if quarters and abs(rest) <= _SNAP_DEGREES:
            return Orientation(quarters % 4, 0.0, inverted)
        return Orientation(0, output.degrees, inverted)
