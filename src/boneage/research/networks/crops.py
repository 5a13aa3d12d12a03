"""Differentiable cuts: what `boneage.views.cut` does to a film, done to a view, with gradients to where it is cut."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warped(views: Tensor, affine: Tensor, size: int, *, finer: int = 1) -> Tensor:
    """Views as seen through affine frames, bilinear, black outside (Jaderberg et al., Spatial Transformer Networks,
    NeurIPS 2015).

    Args:
        views: float32 [n, 1, S, S] of any range.
        affine: float32 [n, k, 2, 3]: a place (x, y, 1) of a cut is the place `affine @ (x, y, 1)` of the view; both run
            from -1 to 1 between the outer edges of the outermost pixels.
        size: side of a cut in pixels.
        finer: each pixel is the mean of so many a side, against aliasing where a cut shrinks.

    Returns:
        float32 [n, k, size, size], differentiable in both arguments.
    """
    count, frames = affine.shape[:2]
    side = size * finer
    # Places in half precision would be off by pixels.
    with torch.autocast(views.device.type, enabled=False):
        grid = F.affine_grid(affine.float().flatten(0, 1), [count * frames, 1, side, side], align_corners=False)
        # One long picture a view: the view is read once for all of its cuts.
        grid = grid.reshape(count, frames * side, side, 2)
        cuts = F.grid_sample(views.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    cuts = cuts.reshape(count, frames, side, side)
    return F.avg_pool2d(cuts, finer) if finer > 1 else cuts


def box_affine(boxes: Tensor) -> Tensor:
    """The frames of boxes without rotation.

    Args:
        boxes: float32 [..., 4], (x0, y0, x1, y1) as fractions of the view's side from its upper left edge.

    Returns:
        float32 [..., 2, 3] for `warped`.
    """
    x0, y0, x1, y1 = boxes.unbind(-1)
    zero = torch.zeros_like(x0)
    rows = [torch.stack([x1 - x0, zero, x0 + x1 - 1.0], -1), torch.stack([zero, y1 - y0, y0 + y1 - 1.0], -1)]
    return torch.stack(rows, -2)


def cropped(views: Tensor, boxes: Tensor, size: int, *, finer: int = 1) -> Tensor:
    """Boxes of views as square pictures: float32 [n, 1, S, S] and [n, k, 4] (see `box_affine`) -> [n, k, size, size].

    A box that is no square is squashed; give `square` ones where the aspect ratio counts.
    """
    return warped(views, box_affine(boxes), size, finer=finer)


def square(boxes: Tensor) -> Tensor:
    """The squares about the boxes' centres that show all of them, as a letterboxed view does: float32 [..., 4]."""
    low, high = boxes[..., :2], boxes[..., 2:]
    half = (high - low).amax(-1, keepdim=True) / 2
    center = (low + high) / 2
    return torch.cat([center - half, center + half], -1)
