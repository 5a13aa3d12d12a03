"""One phantom: bone age, sex and a seed -> a radiograph with its truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from boneage.ages import FIRST_MONTH, LAST_MONTH, Sex
from boneage.errors import UsageError
from boneage.phantom.anatomy.development import Child
from boneage.phantom.anatomy.pieces import Posture, Skeleton
from boneage.phantom.anatomy.skeleton import build_skeleton
from boneage.phantom.imaging.exposure import Exposure, add_borders, add_markers, expose
from boneage.phantom.imaging.projection import Placement, draw_bone
from boneage.phantom.imaging.soft_tissue import render_soft_tissue
from boneage.phantom.imaging.texture import Grain
from boneage.phantom.truth import Truth, describe_hand
from boneage.radiograph import SMALLEST_SIDE, Laterality

LARGEST_SIZE: Final = 4096
BIT_DEPTHS: Final = range(8, 17)

_TIP_MM: Final = 6.0
"""Soft tissue beyond the last bone, millimetres of an adult hand."""


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic radiograph and its truth.

    Attributes:
        pixels: uint8 [height, width] for 8 bits, else uint16, 0 to 2^bits - 1; bones bright unless inverted.
        truth: ages, regions, bones and key points.
        bits: in use of each pixel.
    """

    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    truth: Truth
    bits: int = 8


def phantom(
    age_months: float,
    sex: Sex | str,
    seed: int,
    size: int = 512,
    *,
    hands: int = 1,
    partial: bool = False,
    inverted: bool = False,
    laterality: Laterality | None = None,
    rotation_degrees: float | None = None,
    bits: int = 8,
) -> Phantom:
    """Make a radiograph of a hand with a given bone age; the same arguments give the same pixels.

    Tempo changes the chronological age, not the image: at one bone age only the individual part of each ossification
    centre varies. The same seed at another age is the same child, with the same posture and exposure.

    Args:
        age_months: bone age, 1 to 240.
        sex: male or female.
        seed: of child, posture and exposure; 0 or more.
        size: the image's shorter side in pixels, 64 to 4096.
        hands: 1, or 2 for both hands in one image.
        partial: a part of the hand lies outside the image.
        inverted: bones dark, as with a wrong photometric interpretation.
        laterality: of a single hand; drawn where None (4 % right).
        rotation_degrees: of the hand, clockwise; drawn where None.
        bits: 8 to 16 of a pixel.

    Returns:
        The phantom; its coordinates are pixels, measured at pixel edges.

    Raises:
        UsageError: an argument is out of its range (codes `invalid_age`, `unknown_sex`, `invalid_size`,
            `invalid_number`).
    """
    child_sex = _check(age_months, sex, seed, size, hands, bits)
    of_child, of_posture, of_picture, of_bones = (np.random.default_rng([seed, part]) for part in range(4))
    child = Child.drawn(child_sex, of_child)
    chubby = float(np.clip(of_child.normal(1.0, 0.06), 0.86, 1.2)) * (1.0 + 0.30 * (1.0 - child.growth(age_months)))
    aspect = float(np.clip(of_picture.normal(1.26, 0.10), 1.0, 1.55))
    height, width = (size, round(size * 1.25)) if hands == 2 else (round(size * aspect), size)
    sides: list[Laterality] = ["left", "right"] if hands == 2 else [laterality or _side(of_picture)]
    if laterality is not None and hands == 1:
        of_picture.random()
    attenuation = np.zeros((height, width), dtype=np.float32)
    everything = np.zeros((height, width), dtype=bool)
    grain = Grain.drawn(of_picture, strength=float(of_picture.uniform(0.10, 0.30)))
    found = []
    placement = None
    for index, side in enumerate(sides):
        posture = Posture.drawn(of_posture)
        skeleton = build_skeleton(child, age_months, posture=posture, rng=of_bones)
        slot = (index * width / len(sides), (index + 1) * width / len(sides))
        placement = _place(
            skeleton,
            child,
            age_months=age_months,
            shape=(height, width),
            slot=slot,
            side=side,
            rotation_degrees=rotation_degrees,
            rng=of_posture,
        )
        if partial:
            placement = _shift(placement, skeleton, shape=(height, width), rng=of_posture)
        tissue = render_soft_tissue(skeleton, placement, shape=(height, width), chubby=chubby, rng=of_posture)
        bones = np.zeros_like(attenuation)
        for piece in skeleton.pieces:
            draw_bone(bones, piece, placement=placement, grain=grain)
        # A small hand is thinner; the exposure compensates for most of it.
        thin = np.float32(child.growth(age_months) ** 0.25)
        attenuation += thin * (tissue.attenuation + bones)
        everything |= tissue.outline
        found.append(describe_hand(skeleton, placement, outline=tissue.outline, laterality=side))
    assert placement is not None
    pixels_per_mm = placement.pixels_per_mm / child.length_scale(age_months)
    image = expose(attenuation, pixels_per_mm, exposure=Exposure.drawn(of_picture), rng=of_picture)
    add_borders(image, of_picture)
    for hand in found:
        add_markers(image, everything, side=hand.laterality[0].upper(), rng=of_picture)
    truth = Truth(
        bone_age_months=float(age_months),
        chronological_age_months=child.chronological_age_months(age_months),
        sex=child_sex,
        tempo=child.tempo,
        seed=seed,
        width=width,
        height=height,
        spacing_mm=1.0 / pixels_per_mm,
        inverted=inverted,
        hands=tuple(found),
    )
    top = 2**bits - 1
    values = np.rint(np.clip(image, 0.0, 1.0) * np.float32(top))
    if inverted:
        values = top - values
    return Phantom(values.astype(np.uint8 if bits == 8 else np.uint16), truth, bits)


def _check(age_months: float, sex: Sex | str, seed: int, size: int, hands: int, bits: int) -> Sex:
    if not FIRST_MONTH <= age_months <= LAST_MONTH:
        raise UsageError(
            f"a phantom cannot have a bone age of {age_months} months. Give {FIRST_MONTH} to {LAST_MONTH}.",
            code="invalid_age",
        )
    if not SMALLEST_SIDE <= size <= LARGEST_SIZE:
        raise UsageError(
            f"a phantom cannot be {size} pixels wide. Give {SMALLEST_SIDE} to {LARGEST_SIZE}.", code="invalid_size"
        )
    if hands not in (1, 2):
        raise UsageError(f"a phantom with {hands} hands cannot be made. Give 1 or 2.", code="invalid_number")
    if bits not in BIT_DEPTHS:
        raise UsageError(
            f"pixels of {bits} bits cannot be made. Give {BIT_DEPTHS[0]} to {BIT_DEPTHS[-1]}.", code="invalid_number"
        )
    if seed < 0:
        raise UsageError(f"the seed {seed} is negative. Give 0 or more.", code="invalid_number")
    try:
        return Sex(sex)
    except ValueError:
        raise UsageError(f"a phantom cannot be '{sex}'. Write male or female.", code="unknown_sex") from None


def _side(rng: np.random.Generator) -> Laterality:
    return "right" if rng.random() < 0.04 else "left"


def _place(
    skeleton: Skeleton,
    child: Child,
    age_months: float,
    shape: tuple[int, int],
    slot: tuple[float, float],
    side: Laterality,
    rotation_degrees: float | None,
    rng: np.random.Generator,
) -> Placement:
    """Place the hand with the fingers up so that it fills most of the image; the forearm ends at the lower border."""
    height, _ = shape
    drawn = float(rng.normal(0.0, 5.0 if rng.random() < 0.75 else 14.0))
    degrees = drawn if rotation_degrees is None else rotation_degrees
    growth = child.growth(age_months)
    forearm = float(rng.uniform(28.0, 100.0)) + 20.0 * (1.0 - growth)
    top = float(abs(rng.normal(0.0, 0.045))) + 0.02
    fill = min(0.985, 0.84 + 0.20 * growth - float(abs(rng.normal(0.0, 0.06))))
    angle = math.radians(degrees)
    mirror = -1.0 if side == "right" else 1.0
    turn = np.array([[math.cos(angle), math.sin(angle)], [math.sin(angle), -math.cos(angle)]])
    matrix = turn @ np.array([[mirror, 0.0], [0.0, 1.0]])
    points = skeleton.key_points
    tips = np.array([points[f"DP{number}_head"] for number in range(1, 6)])
    knuckles = np.array([points[name] for name in ("MC1_base", "MC5_head", "MC2_head")])
    carpus = np.array([(-36.0, 0.0), (30.0, -5.0), (-38.0, -25.0), (28.0, -25.0)])
    hand = np.concatenate([tips, knuckles, carpus]) @ matrix.T
    reach = _TIP_MM + 5.0
    left, right = hand[:, 0].min() - reach, hand[:, 0].max() + reach
    upper, lower = hand[:, 1].min() - _TIP_MM, hand[:, 1].max() + forearm
    scale = fill * height * (1 - top) / (lower - upper)
    room = slot[1] - slot[0]
    scale = min(scale, 0.97 * room / (right - left))
    spare = room - scale * (right - left)
    x = slot[0] + spare * float(np.clip(0.5 + rng.normal(0.0, 0.14), 0.03, 0.97)) - scale * left
    # Free space lies above the hand: the forearm continues to the lower border.
    over = height - scale * (lower - upper)
    y = min(max(over, top * height), 0.25 * height) - scale * upper
    return Placement(matrix * scale, np.array([x, y]))


def _shift(placement: Placement, skeleton: Skeleton, shape: tuple[int, int], rng: np.random.Generator) -> Placement:
    """Move the hand until a sixth to a third of it lies outside one side of the image."""
    height, width = shape
    share, side = float(rng.uniform(0.16, 0.34)), int(rng.integers(4))
    points = np.array([place for name, place in skeleton.key_points.items() if not name.endswith("shaft")])
    (left, top), (right, bottom) = (reach(placement.to_pixels(points), axis=0) for reach in (np.min, np.max))
    move = [
        (-left - share * (right - left), 0.0),
        (width - right + share * (right - left), 0.0),
        (0.0, -top - share * (bottom - top)),
        (0.0, height - bottom + share * (bottom - top)),
    ]
    return Placement(placement.matrix, placement.origin + np.asarray(move[side]))
