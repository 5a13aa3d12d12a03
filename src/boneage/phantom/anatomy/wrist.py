"""The carpal bones, and the ends of radius and ulna."""

from __future__ import annotations

import math

import numpy as np

from boneage.phantom.anatomy.development import smooth_step
from boneage.phantom.anatomy.growth_plates import add_line, clip_to_cortex, grow_epiphysis, joined_share
from boneage.phantom.anatomy.outlines import Points, clip_to_side, resample, ripen, round_corners
from boneage.phantom.anatomy.pieces import Build, Piece, Shaft, Skeleton
from boneage.phantom.anatomy.skeleton_plan import CARPAL_PLAN, FOREARM_END, HOOK_OF_HAMATE, ForearmBone


def add_carpals(hand: Skeleton, build: Build) -> None:
    """Add the carpal bones that have appeared, and the key points of all."""
    stout = 1.0 + 0.35 * (build.stout - 1.0)
    for name, plan in CARPAL_PLAN.items():
        corners = np.asarray(plan.corners)
        own = build.rng.normal(0.0, 0.35, corners.shape)
        shift = build.rng.normal(0.0, 0.35, 2)
        hand.key_points[name] = plan.start
        state = hand.states[name]
        if not state.appeared:
            continue
        # Rounding makes the body smaller: the factor compensates.
        mature = resample(round_corners(corners + own), 72)
        middle = mature.mean(axis=0)
        mature = middle + (mature - middle) * (1.07, 1.09) + shift
        size = (0.15 + 0.85 * state.maturity) * (stout if state.maturity < 0.9 else 1.0)
        shape = smooth_step((state.maturity - 0.35) / 0.55)
        outline = ripen(mature, plan.start, size=size, shape=shape)
        depth = plan.half_depth * (0.25 + 0.75 * size)
        hand.pieces.append(Piece(name, "body", outline, depth=depth, edge=3.4 * size + 0.3, cortex=0.24, marrow=0.265))
        if name == "hamate" and state.maturity > 0.9:
            hook = smooth_step((state.maturity - 0.9) / 0.1)
            outline = resample(round_corners(HOOK_OF_HAMATE), 40)
            hand.pieces.append(
                Piece(name, "hook", outline, depth=3.6, edge=1.0, cortex=0.8, marrow=0.06, weight=hook * 0.55)
            )


def add_forearm_bone(hand: Skeleton, build: Build, name: str, plan: ForearmBone, wrist_degrees: float) -> None:
    """Add radius or ulna, rotated at the wrist by `wrist_degrees`, and the adult outline of its end."""
    state = hand.states[name]
    stout = 1.0 + 0.45 * (build.stout - 1.0)
    pivot = np.array([-4.0, -18.0])
    turn = math.radians(wrist_degrees)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])

    def posed(points: Points) -> Points:
        return np.asarray((points - pivot) @ matrix + pivot)

    corners = np.asarray(plan.corners)
    corners = corners + build.rng.normal(0.0, 0.3, corners.shape) * (corners[:, 1:] > -60)
    axis = float(corners[corners[:, 1] > -60][:, 0].mean())
    corners[:, 0] = axis + (corners[:, 0] - axis) * stout
    mature = resample(round_corners(corners, 2), 260)
    normal = np.asarray(plan.normal)
    ripe = min(1.0, state.maturity / 0.6) if state.appeared else 0.0
    gap = plan.gap * (1.0 + 0.7 * (1.0 - ripe)) * (1.0 - 0.5 * state.fused)
    at = np.arange(0.0, -FOREARM_END + 2.0, 2.0)
    y = FOREARM_END + at
    half, aside = _widths(mature, y, axis)
    end = np.clip((y + 75.0) / 45.0, 0.0, 1.0)
    depth_of_shaft = np.minimum(half, plan.half_depth) * 0.95
    base = posed(np.array([[axis, FOREARM_END]]))[0]
    shaft = Shaft(
        base=(float(base[0]), float(base[1])),
        degrees=wrist_degrees,
        at=at,
        half=half,
        aside=aside,
        depth=depth_of_shaft,
        cortex=2.4 * (1 - end) + 0.5 * end,
        marrow=0.08 + 0.16 * end,
    )
    joined = joined_share(state)
    if joined > 0:
        hand.pieces.append(Piece(name, "whole", posed(mature), edge=1.8, shaft=shaft, weight=joined))
    if joined < 1:
        below = np.asarray(plan.plate) - normal * gap / 2
        body = clip_to_side(mature, (float(below[0]), float(below[1])), (-plan.normal[0], -plan.normal[1]))
        hand.pieces.append(Piece(name, "shaft", posed(body), edge=1.3, shaft=shaft, weight=1.0 - joined))
        if state.appeared:
            full = clip_to_side(mature, plan.plate, plan.normal)
            across = np.array([normal[1], -normal[0]])
            local = np.stack([(full - plan.plate) @ across, (full - plan.plate) @ normal], axis=1)
            grown = grow_epiphysis(state, local, gap / 2, caps=True)
            outline = np.asarray(plan.plate) + grown[:, :1] * across + grown[:, 1:] * normal
            depth = plan.half_depth * (0.35 + 0.65 * min(1.0, state.maturity / 0.6))
            hand.pieces.append(
                Piece(name, "epiphysis", posed(outline), depth=depth, edge=1.6, marrow=0.25, weight=1.0 - joined)
            )
    low, high = np.asarray(plan.plate) - 0.6 * normal, np.asarray(plan.plate) + 0.6 * normal
    band = clip_to_side(clip_to_side(mature, tuple(low), plan.normal), tuple(high), (-plan.normal[0], -plan.normal[1]))
    add_line(hand, build, centre=name, band=posed(clip_to_cortex(band)))
    hand.ends[name] = posed(mature[mature[:, 1] > plan.plate[1] - 9.0])
    for point, place in ((name, plan.plate), (f"{name}_shaft", (axis, -90.0))):
        x, y = posed(np.array([place]))[0]
        hand.key_points[point] = (float(x), float(y))


def _widths(outline: Points, y: Points, axis: float) -> tuple[Points, Points]:
    """Half width, and offset of the middle from `axis`, at each height y of an outline."""
    start, end = outline, np.roll(outline, -1, axis=0)
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    crosses = (y[:, None] >= low) & (y[:, None] <= high) & (high > low)
    rise = np.where(high > low, end[:, 1] - start[:, 1], 1.0)
    x = start[:, 0] + (y[:, None] - start[:, 1]) / rise * (end[:, 0] - start[:, 0])
    left, right = np.where(crosses, x, np.inf).min(axis=1), np.where(crosses, x, -np.inf).max(axis=1)
    known = np.isfinite(left)
    left, right = (np.interp(y, y[known], side[known]) for side in (left, right))
    # Near the joint the outline narrows, but not the bone's depth.
    top = y > -28.0
    half = np.where(top, max(((right - left) / 2)[(y > -34) & (y < -28)]), (right - left) / 2)
    return np.asarray(half), np.asarray((right + left) / 2 - axis)
