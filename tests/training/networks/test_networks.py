from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from boneage.errors import TrainingError, UsageError
from boneage.training.networks import networks
from boneage.training.networks.networks import AgeRegressor, Features, Localizer, averaged_over_classes
from boneage.training.recipes.settings import Backbone, LocalizerSettings, RegressorSettings

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
    averaged = averaged_over_classes(weight, 2)
    torch.testing.assert_close(averaged[0], weight[:3].mean(0))
    torch.testing.assert_close(averaged[3], weight[1:6].mean(0))
    torch.testing.assert_close(averaged[5], weight[3:].mean(0))
    assert averaged_over_classes(weight, 0) is weight


@pytest.mark.parametrize("sex", [(), (16,), (32,), (64,), (64, 32)])
@pytest.mark.parametrize("fusion", ["stacked", "shared"])
def test_regressors_with_every_sex_embedding_of_table_3(sex: tuple[int, ...], fusion: Any) -> None:
    settings = RegressorSettings(views=("O", "E"), size=32, backbone=SMALL, sex=sex, fusion=fusion)
    network = AgeRegressor(settings).eval()
    picture, signs = views(2, 2, 32), torch.tensor([[1.0], [-1.0]])
    answer = network(picture, signs)
    assert answer.shape == (2, 240)
    assert torch.equal(answer, network(picture, -signs)) is (not sex)


def test_other_heads_and_fusions() -> None:
    mean = RegressorSettings(views=("H", "R1", "R2"), size=32, backbone=SMALL, fusion="shared", merge="mean")
    assert AgeRegressor(mean).eval()(views(2, 3, 32), torch.ones(2, 1)).shape == (2, 240)
    paper = RegressorSettings(views=("H",), size=96, backbone=Backbone("mobilenetv2_050", stages=4), head="paper")
    assert AgeRegressor(paper).eval()(views(2, 1, 96), torch.ones(2, 1)).shape == (2, 240)
    scalar = RegressorSettings(views=("O",), size=32, backbone=SMALL, scalar=True)
    months = AgeRegressor(scalar).eval()(views(2, 1, 32), torch.ones(2, 1))
    assert months.shape == (2,)
    assert ((months > 60) & (months < 200)).all()


def test_wrong_settings_say_so() -> None:
    with pytest.raises(UsageError, match="stages 1 to 7"):
        Features(Backbone("mobilenetv2_050", stages=9), 1)
    with pytest.raises(UsageError, match="timm cannot build"):
        Features(Backbone("no_such_network"), 1)
    with pytest.raises(UsageError, match="timm cannot build"):
        Features(Backbone("inception_v3", output_stride=16), 1)
    with pytest.raises(UsageError, match=r"regressor\.size"):
        AgeRegressor(RegressorSettings(views=("H",), size=32, backbone=SMALL, head="paper"))
    with pytest.raises(UsageError, match="sex input"):
        AgeRegressor(RegressorSettings(views=("O",), size=32, backbone=SMALL)).eval()(views(1, 1, 32))


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


def test_weights_that_are_missing_damaged_or_of_another_network(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no such file"):
        Features(SMALL, 1, start=str(tmp_path / "gone.safetensors"))
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="cannot be read as weights"):
        Features(SMALL, 1, start=str(tmp_path / "bad.safetensors"))
    save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(TrainingError, match="no weights of 'mobilenetv2_050'"):
        Features(SMALL, 1, start=str(tmp_path / "other.safetensors"))


def test_timm_and_hubs_are_asked_for_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool]] = []
    create = timm.create_model

    def recorded(name: str, *, pretrained: bool, **options: Any) -> Any:
        asked.append((name, pretrained))
        if pretrained and name.startswith("hf-hub:"):
            raise OSError("no network here")
        return create("mobilenetv2_050", pretrained=False, **options)

    monkeypatch.setattr(networks.timm, "create_model", recorded)
    Features(SMALL, 1, start="timm")
    Features(Backbone("mobilenetv2_050", pretrained="none"), 1, start="timm")
    with pytest.raises(TrainingError, match=r"(?s)no network here.*--set pretrained=none"):
        Features(SMALL, 1, start="hf-hub:someone/something")
    assert asked == [("mobilenetv2_050", True), ("mobilenetv2_050", False), ("hf-hub:someone/something", True)]
