"""The bones of a drawn hand, each as far along as its child is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from boneage.phantom.anatomy import CARPALS, FIRST_METACARPAL, METACARPAL, PHALANX, RADIUS, ULNA, Maturity, Ray
from boneage.phantom.canvas import Canvas, Place, along, spindle
from boneage.regions import Box

_CORTEX, _MARROW, _FUSED = 0.62, 0.44, 0.5


def draw_bones(
    canvas: Canvas, maturity: Maturity, rays: Sequence[Ray], rng: np.random.Generator
) -> dict[str, list[Box]]:
    """All bones; returns the boxes of the joints that count as regions."""
    carpus = [_draw_carpal(canvas, maturity, rng, *bone) for bone in CARPALS.values()]
    knuckles = []
    for index, ray in enumerate(rays):
        thumb = index == 0
        start = ray.base
        for joint, (length, width) in enumerate(zip(ray.lengths, ray.widths, strict=True)):
            direction = ray.degrees + (ray.fan if joint else 0.0)
            last = joint == len(ray.lengths) - 1
            metacarpal = FIRST_METACARPAL if thumb else METACARPAL
            plate = PHALANX[2 if last else joint - 1] if joint else metacarpal
            _draw_long_bone(
                canvas, maturity, start, direction, length, width, plate, distal=joint == 0 and not thumb, tip=last
            )
            end = along(start, direction, length)
            if joint == 0:
                knuckles.append(canvas.box(along(end, direction, 0.5), 9.0))
            start = along(end, direction, 1.6)
    radius = _draw_forearm_bone(canvas, maturity, (9.0, -8.5), 4.0, (25.0, 14.0), RADIUS)
    ulna = _draw_forearm_bone(canvas, maturity, (-13.5, -10.5), -3.0, (13.5, 10.0), ULNA)
    return {"wrist": [around(carpus)], "radius": [radius], "ulna": [ulna], "mcp": knuckles}


def _draw_carpal(
    canvas: Canvas,
    maturity: Maturity,
    rng: np.random.Generator,
    centre: Place,
    half: tuple[float, float],
    appears: tuple[float, float],
) -> Box:
    """A carpal bone, from a dot to a facetted body; returns the box of the place it will fill."""
    wobble = rng.normal(0.0, 0.035, 4)
    since = maturity.since(appears)
    if since > 0:
        ripe = min(1.0, since / max(40.0, 168.0 * maturity.tempo - appears[maturity.column]))
        fraction = 0.22 + 0.78 * ripe**0.6
        # Young centres are round; old ones fill their place and take its shape.
        mean = math.sqrt(half[0] * half[1])
        a, b = (fraction * (mean + (side - mean) * ripe) for side in half)
        turn = np.linspace(0.0, 2 * np.pi, 48, endpoint=False)
        bumps = 1.0 + ripe * sum(w * np.cos((k + 2) * turn + 9.0 * w) for k, w in enumerate(wobble))
        square = 1.0 + 0.10 * ripe * np.abs(np.sin(2 * turn))
        outline = np.stack([a * np.cos(turn), b * np.sin(turn)], axis=1) * (bumps * square)[:, None] + centre
        canvas.bone(outline, _CORTEX * (0.8 + 0.2 * ripe), _MARROW * (0.8 + 0.2 * ripe), rim=0.9)
    return around(
        [canvas.box((centre[0] + sx * half[0], centre[1] + sy * half[1]), 0.5) for sx in (-1, 1) for sy in (-1, 1)]
    )


def _draw_long_bone(
    canvas: Canvas,
    maturity: Maturity,
    base: Place,
    degrees: float,
    length: float,
    width: float,
    plate: Sequence[tuple[float, float]],
    *,
    distal: bool,
    tip: bool,
) -> None:
    """A metacarpal or phalanx with its one growth plate, at the far end where `distal`."""
    appears, begins, closed = plate
    cap, fused = 0.075 * length + 1.6, maturity.share(begins, closed)
    slim = 0.86 + 0.14 * min(1.0, maturity.age_months / 150.0)

    def flare(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if tip:
            return 0.5 * width * (0.72 + 0.55 * (1 - t) ** 3 + 0.22 * np.exp(-(((t - 0.93) / 0.10) ** 2)))
        return 0.5 * width * slim * (0.80 + 0.62 * np.abs(2 * t - 1) ** 2.6)

    _draw_with_plate(canvas, maturity, base, degrees, length, cap, appears, fused, flare, distal=distal)


def _draw_forearm_bone(
    canvas: Canvas,
    maturity: Maturity,
    end: Place,
    degrees: float,
    widths: tuple[float, float],
    plate: Sequence[tuple[float, float]],
) -> Box:
    """Radius or ulna: it runs off the film; returns the box of its distal end."""
    appears, begins, closed = plate
    wide, shaft = widths
    length = 110.0
    base = along(end, degrees, -length)

    def flare(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return 0.5 * (shaft + (wide - shaft) * np.clip((t - 0.72) / 0.28, 0.0, 1.0) ** 1.7)

    _draw_with_plate(
        canvas, maturity, base, degrees, length, 6.5, appears, maturity.share(begins, closed), flare, distal=True
    )
    return canvas.box(along(end, degrees, -4.5), 0.5 * wide + 1.0)


def _draw_with_plate(
    canvas: Canvas,
    maturity: Maturity,
    base: Place,
    degrees: float,
    length: float,
    cap: float,
    appears: tuple[float, float],
    fused: float,
    flare: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    *,
    distal: bool,
) -> None:
    """A shaft that stops short of its growing end by the epiphysis and the plate, and the epiphysis in its place."""
    since = maturity.since(appears)
    gap = (0.9 + 1.3 * max(0.0, 1.0 - maturity.age_months / 170.0)) * (1.0 - fused)
    short = (cap + gap) / length
    low, high = (0.0, 1.0 - short) if distal else (short, 1.0)
    t = np.linspace(low, high, 40)
    canvas.bone(spindle(base, degrees, t * length, flare(t)), _CORTEX, _MARROW, rim=1.5)
    if since <= 0:
        return
    ripe = min(1.0, since / 100.0)
    at = np.linspace(1.0 - cap / length, 1.0, 16) if distal else np.linspace(0.0, cap / length, 16)
    middle, half = float(at.mean()), float(at[-1] - at[0]) / 2
    # An ellipse that starts as a dot and ends as a cap as wide as the metaphysis.
    x = np.linspace(-1.0, 1.0, 16)
    dome = (1.0 - np.abs(x) ** 2.6) ** 0.45
    reach = 0.35 + 0.65 * ripe**0.5
    edge = float(flare(np.array([1.0 - cap / length if distal else cap / length]))[0])
    outline = spindle(base, degrees, (middle + x * half * reach) * length, dome * edge * (0.25 + 0.77 * ripe))
    canvas.bone(outline, _CORTEX, _MARROW + 0.06, rim=0.8)
    if fused > 0:
        seam = (1.0 - short if distal else short) + np.array([-0.5, 0.5]) * (gap + 1.6) / length
        canvas.bone(spindle(base, degrees, seam * length, np.full(2, 0.96 * edge)), _FUSED * fused, _FUSED * fused)


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box around all of them."""
    return Box(
        min(box.x0 for box in boxes),
        min(box.y0 for box in boxes),
        max(box.x1 for box in boxes),
        max(box.y1 for box in boxes),
    )
