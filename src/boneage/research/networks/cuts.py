"""Differentiable cuts: crops of views, as `boneage.views.cut` makes them of images, with gradients to their boxes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(views: Tensor, affine: Tensor, size: int, *, finer: int = 1) -> Tensor:
    """Cut affine frames out of views: bilinear, black outside (Jaderberg et al., Spatial Transformer Networks,
    NeurIPS 2015).

    Args:
        views: float32 [n, 1, S, S] of any range.
        affine: float32 [n, k, 2, 3]; maps (x, y, 1) of the cut to (x, y) of the view. Both run from -1 to 1 between the
            outer edges of the outermost pixels.
        size: side of a cut in pixels.
        finer: supersampling: each pixel is the mean of `finer` x `finer` samples, against aliasing where a cut shrinks.

    Returns:
        float32 [n, k, size, size], differentiable in both arguments.
    """
    count, frames = affine.shape[:2]
    side = size * finer
    # Coordinates in half precision would be off by pixels.
    with torch.autocast(views.device.type, enabled=False):
        grid = F.affine_grid(affine.float().flatten(0, 1), [count * frames, 1, side, side], align_corners=False)
        # The cuts of a view lie below each other in one long picture, so that the view is read once.
        grid = grid.reshape(count, frames * side, side, 2)
        cuts = F.grid_sample(views.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    cuts = cuts.reshape(count, frames, side, side)
    return F.avg_pool2d(cuts, finer) if finer > 1 else cuts


def box_to_affine(boxes: Tensor) -> Tensor:
    """The affine frames of boxes, without rotation.

    Args:
        boxes: float32 [..., 4], (x0, y0, x1, y1) as fractions of the view's side from its upper left edge.

    Returns:
        float32 [..., 2, 3] for `warp`.
    """
    x0, y0, x1, y1 = boxes.unbind(-1)
    zero = torch.zeros_like(x0)
    rows = [torch.stack([x1 - x0, zero, x0 + x1 - 1.0], -1), torch.stack([zero, y1 - y0, y0 + y1 - 1.0], -1)]
    return torch.stack(rows, -2)


def crop(views: Tensor, boxes: Tensor, size: int, *, finer: int = 1) -> Tensor:
    """Cut boxes out of views.

    Args:
        views: float32 [n, 1, S, S] of any range.
        boxes: float32 [n, k, 4], as for `box_to_affine`. A box that is not square is squashed; `enclose_in_square`
            keeps the aspect ratio.
        size, finer: as for `warp`.

    Returns:
        float32 [n, k, size, size].
    """
    return warp(views, box_to_affine(boxes), size, finer=finer)


def enclose_in_square(boxes: Tensor) -> Tensor:
    """The smallest squares around boxes [..., 4] with the same centres, as a letterboxed view: float32 [..., 4]."""
    low, high = boxes[..., :2], boxes[..., 2:]
    half = (high - low).amax(-1, keepdim=True) / 2
    center = (low + high) / 2
    return torch.cat([center - half, center + half], -1)
