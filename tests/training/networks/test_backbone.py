"""Backbones by timm's name, from any starting weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from boneage.errors import TrainingError, UsageError
from boneage.training.networks import backbone as backbones
from boneage.training.networks.backbone import Features
from boneage.training.recipes.settings import Backbone

SMALL = Backbone("mobilenetv2_050")


def views(count: int, channels: int, size: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("backbone", "channels", "cells"),
    [
        (SMALL, 1, 2),
        (Backbone("mobilenetv2_050", output_stride=16), 1, 4),
        (Backbone("mobilenetv2_050", stages=3), 2, 8),
        (Backbone("mobilenetv2_050", stages=4, border="reflect"), 5, 4),
        (Backbone("resnet10t", stages=2), 1, 16),
        (Backbone("resnet10t", output_stride=8), 3, 8),
    ],
)
def test_backbones_by_name_with_any_stride_stages_and_channels(backbone: Backbone, channels: int, cells: int) -> None:
    features = Features(backbone, channels).eval()
    with torch.no_grad():
        assert features(views(2, channels, 64)).shape == (2, features.out_channels, cells, cells)


def test_the_papers_backbones_can_be_built() -> None:
    assert Features(Backbone("inception_v3"), 1).out_channels == 2048
    assert Features(Backbone("legacy_xception"), 3).out_channels == 2048
    assert Features(Backbone("inception_v3", stages=4), 1).out_channels == 768


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("half", [False, True])
def test_local_weights_into_any_number_of_channels(tmp_path: Path, suffix: str, half: bool) -> None:
    source = timm.create_model("mobilenetv2_050", num_classes=7)
    state = {
        key: value.half() if half and value.is_floating_point() else value for key, value in source.state_dict().items()
    }
    file = tmp_path / f"weights{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    stem = state["conv_stem.weight"].float()
    for channels, expected in ((3, stem), (4, torch.cat([stem, stem[:, :1]], 1) * 3 / 4)):
        loaded: Any = Features(SMALL, channels, start=str(file)).body
        torch.testing.assert_close(loaded.network.conv_stem.weight.data, expected)
        torch.testing.assert_close(
            loaded.network.blocks[3][0].conv_pw.weight.data, state["blocks.3.0.conv_pw.weight"].float()
        )
    # One gray channel is shown three times, which is the same as summing the stem's channels.
    gray = Features(SMALL, 1, start=str(file)).eval()
    three = Features(SMALL, 3, start=str(file)).eval()
    picture = views(1, 1, 64)
    torch.testing.assert_close(gray(picture), three(picture.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (Backbone("mobilenetv2_050", stages=9), "no_such_stage"),
        (Backbone("resnet10t", stages=9), "no_such_stage"),
        (Backbone("no_such_network"), "unknown_backbone"),
        (Backbone("inception_v3", output_stride=16), "unknown_backbone"),
    ],
)
def test_networks_that_timm_cannot_build(settings: Backbone, code: str, refuses: Any) -> None:
    with refuses(UsageError, code):
        Features(settings, 1)


def test_weights_that_are_missing_damaged_or_of_another_network(tmp_path: Path, refuses: Any) -> None:
    with refuses(TrainingError, "no_starting_weights"):
        Features(SMALL, 1, start=str(tmp_path / "gone.safetensors"))
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with refuses(TrainingError, "unreadable_starting_weights"):
        Features(SMALL, 1, start=str(tmp_path / "bad.safetensors"))
    save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "other.safetensors")
    with refuses(TrainingError, "starting_weights_of_another_network"):
        Features(SMALL, 1, start=str(tmp_path / "other.safetensors"))


def test_timm_and_hubs_are_asked_for_their_weights(monkeypatch: pytest.MonkeyPatch, refuses: Any) -> None:
    asked: list[tuple[str, bool]] = []
    create = timm.create_model

    def recorded(name: str, *, pretrained: bool, **options: Any) -> Any:
        asked.append((name, pretrained))
        if pretrained and name.startswith("hf-hub:"):
            raise OSError("no network here")
        return create("mobilenetv2_050", pretrained=False, **options)

    monkeypatch.setattr(backbones.timm, "create_model", recorded)
    Features(SMALL, 1, start="timm")
    Features(Backbone("mobilenetv2_050", pretrained="none"), 1, start="timm")
    with refuses(TrainingError, "starting_weights_not_fetched"):
        Features(SMALL, 1, start="hf-hub:someone/something")
    assert asked == [("mobilenetv2_050", True), ("mobilenetv2_050", False), ("hf-hub:someone/something", True)]
