"""Metacarpals, phalanges and the sesamoid of the thumb, from the wrist to the fingertips."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from boneage.phantom.anatomy.development import SESAMOID, smooth_step
from boneage.phantom.anatomy.growth_plates import add_line, clip_to_cortex, grow_epiphysis, joined_share
from boneage.phantom.anatomy.outlines import PLATES, Place, Points, half_width
from boneage.phantom.anatomy.pieces import SUBCHONDRAL_MM, Build, Piece, Posture, Shaft, Skeleton, along, place_on_hand
from boneage.phantom.anatomy.skeleton_plan import BASES, JOINT, RAYS, LongBone

_STEPS: Final = 48


def add_ray(hand: Skeleton, build: Build, number: int, posture: Posture) -> None:
    """Add the bones of one finger (1 the thumb) to a hand, and the key points of its joints."""
    ray = RAYS[number - 1]
    degrees = ray.degrees + 0.35 * posture.wobble[number - 1, 0]
    if number == 1:
        degrees += posture.thumb_degrees
    else:
        degrees += (posture.spread - 1.0) * (3 - number) * 1.6
    start = ray.base
    for index, bone in enumerate(ray.bones):
        if index:
            degrees += ray.fan[index - 1] + float(posture.wobble[number - 1, index])
            if index == 1 and number > 1:
                degrees += (posture.spread - 1.0) * (3 - number) * 4.5
        length = bone.length * float(np.clip(build.rng.normal(1.0, 0.018), 0.95, 1.05))
        _add_long_bone(hand, build, bone=bone, base=start, degrees=degrees, length=length, oblique=number == 1)
        end = along(start, degrees, length)
        hand.key_points[f"{bone.centre}_base"] = start
        hand.key_points[f"{bone.centre}_head"] = end
        if number == 1 and index == 0:
            _add_sesamoid(hand, build, along(end, degrees, -1.5, aside=-6.5))
        start = along(end, degrees, JOINT)


def _add_long_bone(
    hand: Skeleton, build: Build, bone: LongBone, base: Place, degrees: float, length: float, *, oblique: bool
) -> None:
    state = hand.states[bone.centre]
    distal = bone.kind == "metacarpal"
    slim = 0.84 + 0.16 * smooth_step((build.growth - 0.5) / 0.45) if "metacarpal" in bone.kind else 1.0
    half = bone.half * slim * build.stout * float(np.clip(build.rng.normal(1.0, 0.03), 0.93, 1.07))
    plate = PLATES[bone.kind] * length
    spare = build.cartilage * (3.2 if "metacarpal" in bone.kind else 1.3)
    bow = (0.7 if oblique else 0.0) + build.rng.normal(0.0, 0.12)
    skew = (0.08 if oblique else 0.0) + build.rng.normal(0.0, 0.02)
    waves = build.rng.uniform(0.0, 2 * math.pi, 2)

    def end(after: Points, before: Points, at: float) -> Points:
        """Points across an end of the bone: the surface of a joint, or the wavy side of a growth plate."""
        across = np.linspace(before[0], after[0], 9)[1:-1]
        share = across / half
        if abs(at - plate) < 0.2 * length and (at > plate - 1.5 if distal else at < plate + 1.5) and at > 1.0:
            t = at + 0.22 * np.sin(2.1 * share + waves[0]) + 0.16 * np.sin(4.7 * share + waves[1])
        elif at < length / 2 and bone.centre in BASES:
            surface = np.interp(share / 1.45, np.linspace(-1, 1, 5), BASES[bone.centre])
            t = at + surface * smooth_step((build.growth - 0.5) / 0.4) - 0.5 * spare * (1 - (share / 1.45) ** 2)
        elif at < length / 2:
            t = at + 0.5 * np.clip(1 - np.abs(share), 0, 1)
        elif bone.kind in ("proximal_phalanx", "middle_phalanx"):
            t = at - 0.55 * np.clip(1 - (share / 0.6) ** 2, 0, 1) + 0.1
        else:
            t = at + 0.4 * np.clip(1 - np.abs(share), 0, 1)
        return np.stack([across, t], axis=1)

    def outline(first: float, last: float, stretch_to: float | None = None) -> Points:
        """The outline from `first` to `last` millimetres along the bone; a shortened end keeps the shape of an end."""
        t = np.linspace(first, last, _STEPS)
        shape = t / length
        if stretch_to is not None and distal:
            shape = shape + (1 - np.clip((t - first) / (0.3 * length), 0, 1)) * ((stretch_to - first) / length)
        elif stretch_to is not None:
            shape = shape + np.clip((t - last + 0.3 * length) / (0.3 * length), 0, 1) * ((stretch_to - last) / length)
        width = half * half_width(bone.kind, shape, build.flare)
        if bone.centre in BASES:
            # The corners of a child's metacarpal base are cartilage.
            width = width * (1.0 - 0.3 * build.cartilage * np.clip(1.0 - (t - first) / (0.16 * length), 0.0, 1.0))
        middle = bow * 4 * shape * (1 - shape)
        right = np.stack([middle + width * (1 + skew), t], axis=1)
        left = np.stack([middle - width * (1 - skew), t], axis=1)[::-1]
        return np.concatenate([right, end(left[0], right[-1], last), left, end(right[0], left[-1], first)])

    at = np.linspace(0.0, length, _STEPS)
    t = at / length
    profile = half * half_width(bone.kind, t, build.flare)
    middle_share = np.exp(-(((t - 0.52) / 0.26) ** 4))
    wall = (0.42 if "metacarpal" in bone.kind else 0.40) * half * (0.72 + 0.28 * smooth_step(build.growth))
    if bone.kind == "distal_phalanx":
        wall *= 0.9
    shaft = Shaft(
        base=base,
        degrees=degrees,
        at=at,
        half=profile,
        aside=bow * 4 * t * (1 - t) + skew * profile,
        depth=profile * (0.9 if "metacarpal" in bone.kind else 0.8),
        cortex=SUBCHONDRAL_MM + (wall - SUBCHONDRAL_MM) * middle_share,
        marrow=0.27 - 0.19 * middle_share,
    )

    def piece(part: str, local: Points, weight: float) -> Piece:
        return Piece(bone.centre, part, place_on_hand(local, base, degrees), edge=1.0, shaft=shaft, weight=weight)

    joined = joined_share(state)
    if joined > 0:
        first, last = (spare, length) if distal else (0.0, length - spare)
        hand.pieces.append(piece("whole", outline(first, last), joined))
    if joined < 1:
        ripe = min(1.0, state.maturity / 0.6) if state.appeared else 0.0
        gap = (0.7 + 0.9 * (1.0 - ripe)) * (1.0 - 0.55 * state.fused)
        if distal:
            body = outline(spare, plate - gap / 2, stretch_to=0.0)
        else:
            body = outline(plate + gap / 2, length - spare, stretch_to=length)
        hand.pieces.append(piece("shaft", body, 1.0 - joined))
        if state.appeared:
            full = outline(plate, length) if distal else outline(0.0, plate)
            local = full * (1, 1) - (0, plate) if distal else full * (1, -1) + (0, plate)
            grown = grow_epiphysis(state, local, gap / 2, caps=bone.kind != "metacarpal")
            local = grown + np.array((0, plate)) if distal else grown * (1, -1) + (0, plate)
            hand.pieces.append(
                replace(
                    piece("epiphysis", local, 1.0 - joined),
                    shaft=None,
                    depth=0.74 * float(np.ptp(grown[:, 0])) / 2,
                    edge=1.3 if distal else 0.9,
                    cortex=0.26,
                    marrow=0.31,
                )
            )
    add_line(
        hand,
        build,
        centre=bone.centre,
        band=place_on_hand(clip_to_cortex(outline(plate - 0.5, plate + 0.5)), base, degrees),
    )


def _add_sesamoid(hand: Skeleton, build: Build, place: Place) -> None:
    state = hand.states[SESAMOID]
    if state.appeared:
        size = 0.45 + 0.55 * state.maturity
        turn = np.linspace(0, 2 * math.pi, 28, endpoint=False)
        outline = np.stack([1.9 * size * np.cos(turn), 2.6 * size * np.sin(turn)], axis=1) + place
        hand.pieces.append(Piece(SESAMOID, "body", outline, depth=2.4 * size, edge=1.6, marrow=0.45))
    hand.key_points["sesamoid"] = place
