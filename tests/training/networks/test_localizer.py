"""Scores and class attention maps of localizers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from boneage.errors import UsageError
from boneage.training.networks.localizer import Localizer, average_over_classes
from boneage.training.recipes.settings import Backbone, LocalizerSettings


def views(count: int, channels: int, size: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8)


def test_a_score_is_the_mean_of_its_map_for_gap() -> None:
    """Eq. 3, and Eq. 2 is taken at the predicted class."""
    network = Localizer(LocalizerSettings(size=64, backbone=Backbone("mobilenetv2_050", output_stride=16))).eval()
    nn.init.normal_(network.classes.weight)
    view = views(3, 1, 64)
    with torch.no_grad():
        scores, maps = network(view), network.attention(view)
        predicted = scores.argmax(1)
        expected = scores[torch.arange(3), predicted] - network.classes.bias[predicted]
    torch.testing.assert_close(maps.mean(dim=(1, 2)), expected, rtol=1e-4, atol=1e-5)


def test_gmp_takes_the_maximum() -> None:
    network = Localizer(LocalizerSettings(backbone=Backbone("mobilenetv2_050", stages=4), channels=8, pooling="gmp"))
    network.eval()
    view = views(1, 1, 64)
    with torch.no_grad():
        features = network.tail(network.features(view))
        torch.testing.assert_close(network(view), network.classes(features.amax(dim=(2, 3))))


def test_class_average_is_clipped_at_the_ends() -> None:
    weight = torch.arange(12.0).reshape(6, 2)
    averaged = average_over_classes(weight, 2)
    torch.testing.assert_close(averaged[0], weight[:3].mean(0))
    torch.testing.assert_close(averaged[3], weight[1:6].mean(0))
    torch.testing.assert_close(averaged[5], weight[3:].mean(0))
    assert average_over_classes(weight, 0) is weight


def test_cells_answer_where_they_have_a_head(refuses: Any) -> None:
    settings = LocalizerSettings(backbone=Backbone("mobilenetv2_050", stages=3), channels=8, every_place=1.0)
    scores, cells = Localizer(settings).with_places(views(2, 1, 64))
    assert scores.shape == (2, 240)
    assert cells.shape == (2, 240, 8, 8)
    with refuses(UsageError, "no_cell_head"):
        Localizer(LocalizerSettings(backbone=settings.backbone)).with_places(views(1, 1, 64))
