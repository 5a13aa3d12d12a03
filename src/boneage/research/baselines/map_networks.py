"""Maps over an image: a small U-Net for masks, and heat maps of key points."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SmallUNet(nn.Module):
    """A U-Net of three levels (Ronneberger et al., MICCAI 2015, its widths cut).

    `forward`: float32 [n, channels, m, m], m a multiple of 4 -> logits float32 [n, 1, m, m].
    """

    def __init__(self, channels: int = 1, width: int = 16) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [
                _double_convolution(channels, width),
                _double_convolution(width, 2 * width),
                _double_convolution(2 * width, 4 * width),
            ],
        )
        self.up = nn.ModuleList([_double_convolution(6 * width, 2 * width), _double_convolution(3 * width, width)])
        self.answer = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        levels: list[Tensor] = []
        for level in self.down:
            x = level(F.max_pool2d(x, 2) if levels else x)
            levels.append(x)
        for level, before in zip(self.up, levels[-2::-1], strict=True):
            x = level(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), before], dim=1))
        logits: Tensor = self.answer(x)
        return logits


def _double_convolution(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
    )  # fmt: skip


def draw_heat_maps(points: Tensor, side: int, sd: float) -> Tensor:
    """Draw heat maps of points: exp(-d^2 / 2 sd^2), where d is the distance of a cell's centre from the point.

    Args:
        points: float32 [n, p, 2], (x, y) as fractions of the map's side. Of a point outside 0 to 1 the map shows the
            tail.
        side: of the map, cells.
        sd: fraction of the map's side.

    Returns:
        float32 [n, p, side, side].
    """
    at = (torch.arange(side, device=points.device, dtype=torch.float32) + 0.5) / side
    across = torch.exp(-0.5 * ((at - points[..., :1]) / sd).square())
    down = torch.exp(-0.5 * ((at - points[..., 1:]) / sd).square())
    return down[..., :, None] * across[..., None, :]
