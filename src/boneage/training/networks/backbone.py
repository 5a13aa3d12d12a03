"""A convolutional network by timm's name, from starting weights, cut to its last feature map, preprocessing inside."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import FeatureListNet, adapt_input_conv
from torch import Tensor, nn

from boneage.errors import TrainingError, UsageError
from boneage.training.recipes.settings import Backbone, check_start


class Features(nn.Module):
    """A backbone up to its last kept feature map, with the normalisation that its weights expect.

    uint8 [n, channels, S, S], views as `boneage.views.cut` makes them -> float32 [n, C, S / stride, S / stride], where
    C is `out_channels`. A single channel is repeated three times for an RGB backbone. With any other number of channels
    timm adapts the pretrained weights of the first convolution.

    Raises:
        UsageError: timm cannot build the network as the settings ask.
        TrainingError: the starting weights cannot be fetched or read, or belong to another network.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, settings: Backbone, channels: int, *, start: str = "none") -> None:
        super().__init__()
        self.repeat = 3 if channels == 1 else 1
        pretrained = settings.pretrained or start
        network = _make_timm_network(settings, channels * self.repeat, pretrained)
        config = network.pretrained_cfg
        self.register_buffer("mean", torch.tensor(255.0 * sum(config["mean"]) / 3), persistent=False)
        self.register_buffer("deviation", torch.tensor(255.0 * sum(config["std"]) / 3), persistent=False)
        self.body = _truncate(network, settings)
        if settings.border == "reflect":
            for module in self.body.modules():
                if isinstance(module, nn.Conv2d) and module.padding != (0, 0):
                    module.padding_mode = "reflect"
        with torch.no_grad():
            was = self.body.training
            self.body.eval()
            self.out_channels = int(self(torch.zeros(1, channels, 128, 128, dtype=torch.uint8)).shape[1])
            self.body.train(was)

    def forward(self, views: Tensor) -> Tensor:
        x = (views.float() - self.mean) / self.deviation
        if self.repeat > 1:
            x = x.expand(-1, self.repeat, -1, -1)
        if not torch.onnx.is_in_onnx_export():
            # Twice as fast on a CPU and with tensor cores; no cost elsewhere.
            x = x.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.body(x)
        return features


class _MobileStages(nn.Module):
    """The stem and the first stages of a MobileNet or EfficientNet of timm's."""

    def __init__(self, network: Any, stages: int) -> None:
        super().__init__()
        self.conv_stem, self.bn1 = network.conv_stem, network.bn1
        self.blocks = nn.Sequential(*list(network.blocks)[:stages])

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.blocks(self.bn1(self.conv_stem(x)))
        return features


class _LastOf(nn.Module):
    """The last feature map of a timm feature list."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        last: Tensor = self.features(x)[-1]
        return last


class _Whole(nn.Module):
    """A timm network without its pooling and classifier."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.network.forward_features(x)
        return features


def _truncate(network: Any, settings: Backbone) -> nn.Module:
    if settings.stages is None:
        return _Whole(network)
    if hasattr(network, "conv_stem") and hasattr(network, "blocks"):
        if not 1 <= settings.stages <= len(network.blocks):
            raise _no_such_stage(settings, len(network.blocks))
        return _MobileStages(network, settings.stages)
    levels = len(network.feature_info)
    if not 1 <= settings.stages <= levels:
        raise _no_such_stage(settings, levels)
    return _LastOf(FeatureListNet(network, out_indices=(settings.stages - 1,), flatten_sequential=False))


def _no_such_stage(settings: Backbone, stages: int) -> UsageError:
    return UsageError(
        f"backbone.stages={settings.stages}: {settings.name} has stages 1 to {stages}.", code="no_such_stage"
    )


def _make_timm_network(settings: Backbone, channels: int, pretrained: str) -> Any:
    options: dict[str, Any] = {"num_classes": 0, "in_chans": channels}
    if settings.output_stride is not None:
        options["output_stride"] = settings.output_stride
    if settings.drop_path:
        options["drop_path_rate"] = settings.drop_path
    if settings.name.startswith("inception_v3"):
        options["aux_logits"] = False
    name = pretrained if pretrained.startswith("hf-hub:") else settings.name
    fetched = pretrained == "timm" or name != settings.name
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mapping deprecated model name", UserWarning)
            network: Any = timm.create_model(name, pretrained=fetched, **options)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError, ValueError) as error:
        raise UsageError(
            f"backbone.name={name}: timm cannot build it with {options} ({error}). See timm.list_models().",
            code="unknown_backbone",
        ) from error
    except Exception as error:  # the hub's client has many kinds of errors
        raise TrainingError(
            f"The ImageNet weights of '{name}' could not be fetched ({type(error).__name__}: {error}). "
            "Connect once so that they are cached, give a local file with --set pretrained=FILE, "
            "or start from random weights with --set pretrained=none.",
            code="starting_weights_not_fetched",
        ) from error
    if hasattr(network, "pre_logits"):
        # VGG's dense layers are six times as large as its convolutions, and nothing here uses them.
        network.pre_logits = nn.Identity()
    if not fetched and pretrained != "none":
        _load_weights(network, settings.name, file=Path(pretrained), channels=channels)
    return network


def _load_weights(network: Any, name: str, file: Path, channels: int) -> None:
    """Weights from a .safetensors or .pth file; classifiers are left out, the first convolution is adapted."""
    check_start(str(file))
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: dict[str, Tensor] = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(
            f"{file}: cannot be read as weights ({error}). Give a .safetensors or .pth file.",
            code="unreadable_starting_weights",
        ) from error
    state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    first = f"{network.pretrained_cfg['first_conv']}.weight"
    if first in state and state[first].shape[1] == 3 != channels:
        state[first] = adapt_input_conv(channels, state[first])
    own = network.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    wrong = [key for key in own if key in state and own[key].shape != state[key].shape]
    if missing or wrong:
        raise TrainingError(
            f"{file}: holds the weights of another network than '{name}' ({len(missing)} missing, {len(wrong)} of "
            f"another shape, first: {(missing + wrong)[0]}). Give a file of {name}.",
            code="starting_weights_of_another_network",
        )
    network.load_state_dict({key: value for key, value in state.items() if key in own}, strict=False)


def round_to_half(network: nn.Module) -> None:
    """Round in place the weights that an export stores in half precision (matrices and kernels, not vectors)."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim >= 2:
                parameter.copy_(parameter.half().float())
