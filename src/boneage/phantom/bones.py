"""A child's bones in one posture: pieces with an outline and what is inside, in millimetres of an adult hand."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from boneage.phantom.development import SESAMOID, CentreState, Child, smooth_step
from boneage.phantom.outlines import PLATES, Place, Points, clipped, disc, half_width, resampled, ripened, rounded
from boneage.phantom.skeleton_plan import (
    BASES,
    CARPAL_PLAN,
    FOREARM_END,
    FOREARM_PLAN,
    HOOK_OF_HAMATE,
    JOINT,
    RAYS,
    ForearmBone,
    LongBone,
)

_STEPS: Final = 48
_SUBCHONDRAL_MM: Final = 0.42
"""Thickness of the thin plate of dense bone at the ends and around small bones."""


@dataclass(frozen=True)
class Shaft:
    """What lies along a long bone, each float64 [n] over `at` millimetres from `base` in direction `degrees`.

    Attributes:
        half, aside: half width, and how far the middle lies to the thumb's side of the axis.
        depth: half of the bone's depth towards the tube.
        cortex: thickness of the dense wall.
        marrow: share of bone in the marrow space, 0 to 1.
    """

    base: Place
    degrees: float
    at: Points
    half: Points
    aside: Points
    depth: Points
    cortex: Points
    marrow: Points


@dataclass(frozen=True)
class Piece:
    """One ossified piece as the film sees it.

    Attributes:
        centre: the name of its ossification centre.
        part: "shaft", "epiphysis", "whole" (fused), "body" (carpal bones, sesamoid) or "line" (where a plate was).
        outline: closed polygon, float64 [n, 2].
        depth: half of the greatest depth, for pieces without a shaft.
        edge: over how many millimetres from the outline the depth rises.
        cortex, marrow: as in `Shaft`.
        shaft: what lies along it, for long bones.
        weight: 1, or less while a plate closes and the open and the fused bone are both partly there.
    """

    centre: str
    part: str
    outline: Points
    depth: float = 5.0
    edge: float = 2.0
    cortex: float = _SUBCHONDRAL_MM
    marrow: float = 0.26
    shaft: Shaft | None = None
    weight: float = 1.0


@dataclass
class Skeleton:
    """All pieces of a hand, the states of its centres, and its key points (names -> places)."""

    pieces: list[Piece] = field(default_factory=list)
    states: dict[str, CentreState] = field(default_factory=dict)
    key_points: dict[str, Place] = field(default_factory=dict)
    ends: dict[str, Points] = field(default_factory=dict)
    """Adult outline of the distal end of radius and ulna, where it will be."""


@dataclass(frozen=True)
class Posture:
    """How the hand lies: `spread` stretches the angles between the fingers, degrees are towards the thumb."""

    spread: float
    thumb_degrees: float
    wrist_degrees: float
    wobble: Points
    """float64 [5, 4]: degrees added at each joint."""

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Posture:
        return cls(
            spread=float(np.clip(rng.normal(1.45, 0.6), 0.2, 2.8)),
            thumb_degrees=float(np.clip(rng.normal(-1.0, 8.0), -16, 15)),
            wrist_degrees=float(np.clip(rng.normal(0.0, 7.0), -16, 16)),
            wobble=np.clip(rng.normal(0.0, (1.0, 1.6, 2.2, 2.2), (5, 4)), -5.0, 5.0),
        )


@dataclass(frozen=True)
class Build:
    """What shapes every bone of one child at one age: how grown, how stout, and its own random numbers."""

    child: Child
    age_months: float
    growth: float
    stout: float
    rng: np.random.Generator

    @property
    def flare(self) -> float:
        return 0.90 + 0.10 * smooth_step((self.growth - 0.45) / 0.5)

    @property
    def cartilage(self) -> float:
        """Share of an end without epiphysis that has not ossified yet."""
        return max(0.0, 1.0 - (self.growth - 0.3) / 0.6)


def build_skeleton(child: Child, age_months: float, posture: Posture, rng: np.random.Generator) -> Skeleton:
    """Every piece of bone of a child's hand at a bone age."""
    growth = child.growth(age_months)
    stout = (1.0 + 0.5 * max(0.0, 0.52 - growth)) * float(np.clip(rng.normal(1.0, 0.04), 0.9, 1.1))
    build = Build(child, age_months, growth, stout, rng)
    hand = Skeleton(states={name: child.centre(name, age_months) for name in child.appears_months})
    # Metacarpals lie before the carpals: what overlaps adds up, so the order does not matter to the film.
    for number in range(1, len(RAYS) + 1):
        _add_ray(hand, build, number, posture)
    _add_carpals(hand, build)
    for name, plan in FOREARM_PLAN.items():
        _add_forearm_bone(hand, build, name, plan, posture.wrist_degrees)
    return hand


def along(start: Place, degrees: float, length: float, aside: float = 0.0) -> Place:
    """The place `length` millimetres from `start`; 0 degrees points to the fingertips, 90 to the thumb."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return start[0] + length * sine + aside * cosine, start[1] + length * cosine - aside * sine


def placed(local: Points, base: Place, degrees: float) -> Points:
    """(u across, t along) of a bone -> the hand's millimetres."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    u, t = local.T
    return np.stack([base[0] + t * sine + u * cosine, base[1] + t * cosine - u * sine], axis=1)


def _add_ray(hand: Skeleton, build: Build, number: int, posture: Posture) -> None:
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
        _add_long_bone(hand, build, bone, start, degrees, length, oblique=number == 1)
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
        """Points from one side of an end to the other: a joint's surface, or the wavy side of a growth plate."""
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
        """Millimetres `first` to `last` along the bone; its free end, if cut short, keeps the shape of an end."""
        t = np.linspace(first, last, _STEPS)
        shape = t / length
        if stretch_to is not None and distal:
            shape = shape + (1 - np.clip((t - first) / (0.3 * length), 0, 1)) * ((stretch_to - first) / length)
        elif stretch_to is not None:
            shape = shape + np.clip((t - last + 0.3 * length) / (0.3 * length), 0, 1) * ((stretch_to - last) / length)
        width = half * half_width(bone.kind, shape, build.flare)
        if bone.centre in BASES:
            # The cartilage of a child's metacarpal base hides its corners.
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
        cortex=_SUBCHONDRAL_MM + (wall - _SUBCHONDRAL_MM) * middle_share,
        marrow=0.27 - 0.19 * middle_share,
    )

    def piece(part: str, local: Points, weight: float) -> Piece:
        return Piece(bone.centre, part, placed(local, base, degrees), edge=1.0, shaft=shaft, weight=weight)

    joined = _joined(state)
    if joined > 0:
        first, last = (spare, length) if distal else (0.0, length - spare)
        hand.pieces.append(piece("whole", outline(first, last), joined))
    if joined < 1:
        ripe = min(1.0, state.maturity / 0.6) if state.appeared else 0.0
        gap = (0.75 + 0.9 * (1.0 - ripe)) * (1.0 - 0.55 * state.fused)
        if distal:
            body = outline(spare, plate - gap / 2, stretch_to=0.0)
        else:
            body = outline(plate + gap / 2, length - spare, stretch_to=length)
        hand.pieces.append(piece("shaft", body, 1.0 - joined))
        if state.appeared:
            full = outline(plate, length) if distal else outline(0.0, plate)
            local = full * (1, 1) - (0, plate) if distal else full * (1, -1) + (0, plate)
            grown = _epiphysis(state, local, gap / 2, caps=bone.kind != "metacarpal")
            local = grown + np.array((0, plate)) if distal else grown * (1, -1) + (0, plate)
            hand.pieces.append(
                replace(
                    piece("epiphysis", local, 1.0 - joined),
                    shaft=None,
                    depth=0.74 * float(np.ptp(grown[:, 0])) / 2,
                    edge=1.3 if distal else 0.9,
                    cortex=0.32,
                    marrow=0.31,
                )
            )
    _add_line(hand, build, bone.centre, placed(_band(outline(plate - 0.5, plate + 0.5)), base, degrees))


def _epiphysis(state: CentreState, full: Points, clearance: float, *, caps: bool) -> Points:
    """The epiphysis in (u, v away from the plate): a dot, a thin disc, as wide as the shaft, then its cap."""
    ripe = state.maturity
    width = 0.20 + 0.80 * min(1.0, ripe / 0.54) ** 0.58
    height = 0.32 + 0.68 * min(1.0, ripe / 1.0) ** 0.9 if caps else 0.24 + 0.76 * min(1.0, ripe / 0.7) ** 0.65
    shape = smooth_step((ripe - 0.12) / 0.6)
    grown = disc(
        resampled(full, 72),
        clearance,
        width * (0.97 if caps else 0.84 + 0.12 * smooth_step((ripe - 0.55) / 0.45)),
        height,
        shape,
    )
    cap = smooth_step((ripe - 0.72) / 0.28)
    if caps and cap > 0:
        # The rim of a mature epiphysis reaches over the edge of the shaft.
        reach = np.abs(grown[:, 0]) / np.abs(grown[:, 0]).max()
        low = grown[:, 1] < clearance + 0.5
        grown[:, 1] -= np.where(low, 1.0 * cap * np.clip((reach - 0.7) / 0.3, 0, 1), 0.0)
        grown[:, 0] *= 1.0 + 0.035 * cap
    return grown


def _joined(state: CentreState) -> float:
    """How much of the open plate the film hides: a ripe plate is never seen edge on throughout, then it closes."""
    hidden = 0.28 * smooth_step((state.maturity - 0.25) / 0.5) if state.appeared else 0.0
    return max(hidden, smooth_step((state.fused - 0.1) / 0.9))


def _band(outline: Points) -> Points:
    inner = outline.mean(axis=0)
    return np.asarray(inner + (outline - inner) * (0.93, 1.0))


def _add_line(hand: Skeleton, build: Build, centre: str, band: Points) -> None:
    """The dense line where a plate has closed; it fades within a few years."""
    begin, end = build.child.closes_months[centre]
    fused = hand.states[centre].fused
    left = fused if fused < 1 else math.exp(-(build.age_months - end) / 16.0)
    del begin
    if left > 0.04:
        hand.pieces.append(Piece(centre, "line", band, depth=1.1, edge=0.5, cortex=0.3, marrow=1.0, weight=0.55 * left))


def _add_sesamoid(hand: Skeleton, build: Build, place: Place) -> None:
    state = hand.states[SESAMOID]
    if state.appeared:
        size = 0.45 + 0.55 * state.maturity
        turn = np.linspace(0, 2 * math.pi, 28, endpoint=False)
        outline = np.stack([1.9 * size * np.cos(turn), 2.6 * size * np.sin(turn)], axis=1) + place
        hand.pieces.append(Piece(SESAMOID, "body", outline, depth=2.4 * size, edge=1.6, marrow=0.45))
    hand.key_points["sesamoid"] = place


def _add_carpals(hand: Skeleton, build: Build) -> None:
    stout = 1.0 + 0.35 * (build.stout - 1.0)
    for name, plan in CARPAL_PLAN.items():
        corners = np.asarray(plan.corners)
        own = build.rng.normal(0.0, 0.35, corners.shape)
        shift = build.rng.normal(0.0, 0.35, 2)
        hand.key_points[name] = plan.start
        state = hand.states[name]
        if not state.appeared:
            continue
        # Corners cut off make a smaller body: the factor gives back what rounding takes.
        mature = resampled(rounded(corners + own), 72)
        middle = mature.mean(axis=0)
        mature = middle + (mature - middle) * (1.03, 1.06) + shift
        size = (0.15 + 0.85 * state.maturity) * (stout if state.maturity < 0.9 else 1.0)
        shape = smooth_step((state.maturity - 0.35) / 0.55)
        outline = ripened(mature, plan.start, size, shape)
        depth = plan.half_depth * (0.25 + 0.75 * size)
        hand.pieces.append(Piece(name, "body", outline, depth=depth, edge=3.4 * size + 0.3, cortex=0.45, marrow=0.215))
        if name == "hamate" and state.maturity > 0.9:
            hook = smooth_step((state.maturity - 0.9) / 0.1)
            outline = resampled(rounded(HOOK_OF_HAMATE), 40)
            hand.pieces.append(
                Piece(name, "hook", outline, depth=3.6, edge=1.0, cortex=0.8, marrow=0.06, weight=hook * 0.55)
            )


def _add_forearm_bone(hand: Skeleton, build: Build, name: str, plan: ForearmBone, wrist_degrees: float) -> None:
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
    mature = resampled(rounded(corners, 2), 260)
    normal = np.asarray(plan.normal)
    ripe = min(1.0, state.maturity / 0.6) if state.appeared else 0.0
    gap = plan.gap * (1.0 + 0.7 * (1.0 - ripe)) * (1.0 - 0.5 * state.fused)
    at = np.linspace(0.0, -FOREARM_END + 2, 96)
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
    joined = _joined(state)
    if joined > 0:
        hand.pieces.append(Piece(name, "whole", posed(mature), edge=1.8, shaft=shaft, weight=joined))
    if joined < 1:
        below = np.asarray(plan.plate) - normal * gap / 2
        body = clipped(mature, (float(below[0]), float(below[1])), (-plan.normal[0], -plan.normal[1]))
        hand.pieces.append(Piece(name, "shaft", posed(body), edge=1.3, shaft=shaft, weight=1.0 - joined))
        if state.appeared:
            full = clipped(mature, plan.plate, plan.normal)
            across = np.array([normal[1], -normal[0]])
            local = np.stack([(full - plan.plate) @ across, (full - plan.plate) @ normal], axis=1)
            grown = _epiphysis(state, local, gap / 2, caps=True)
            outline = np.asarray(plan.plate) + grown[:, :1] * across + grown[:, 1:] * normal
            depth = plan.half_depth * (0.35 + 0.65 * min(1.0, state.maturity / 0.6))
            hand.pieces.append(
                Piece(name, "epiphysis", posed(outline), depth=depth, edge=1.6, marrow=0.25, weight=1.0 - joined)
            )
    low, high = np.asarray(plan.plate) - 0.6 * normal, np.asarray(plan.plate) + 0.6 * normal
    band = clipped(clipped(mature, tuple(low), plan.normal), tuple(high), (-plan.normal[0], -plan.normal[1]))
    _add_line(hand, build, name, posed(_band(band)))
    hand.ends[name] = posed(mature[mature[:, 1] > plan.plate[1] - 9.0])
    for point, place in ((name, plan.plate), (f"{name}_shaft", (axis, -90.0))):
        x, y = posed(np.array([place]))[0]
        hand.key_points[point] = (float(x), float(y))


def _widths(outline: Points, y: Points, axis: float) -> tuple[Points, Points]:
    """Half width and offset of the middle at each height of an upright outline."""
    start, end = outline, np.roll(outline, -1, axis=0)
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    crosses = (y[:, None] >= low) & (y[:, None] <= high) & (high > low)
    rise = np.where(high > low, end[:, 1] - start[:, 1], 1.0)
    x = start[:, 0] + (y[:, None] - start[:, 1]) / rise * (end[:, 0] - start[:, 0])
    left, right = np.where(crosses, x, np.inf).min(axis=1), np.where(crosses, x, -np.inf).max(axis=1)
    known = np.isfinite(left)
    left, right = (np.interp(y, y[known], side[known]) for side in (left, right))
    # Near the joint the outline narrows: the bone's depth does not.
    top = y > -28.0
    half = np.where(top, max(((right - left) / 2)[(y > -34) & (y < -28)]), (right - left) / 2)
    return np.asarray(half), np.asarray((right + left) / 2 - axis)
