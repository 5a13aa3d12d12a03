"""The networks of both phases: backbones by timm's name, localizer and age regressor, preprocessing inside.

Every network takes views as `boneage.views.cut` makes them: uint8 [n, channels, S, S].
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import timm
import torch
from timm.models import FeatureListNet, adapt_input_conv
from torch import Tensor, nn

from boneage.ages import LAST_MONTH
from boneage.errors import TrainingError, UsageError
from boneage.training.recipes.settings import Backbone, LocalizerSettings, RegressorSettings

CLASSES = LAST_MONTH


class Features(nn.Module):
    """A backbone up to its last kept feature map, with the normalisation that its weights expect.

    uint8 [n, channels, S, S] -> float32 [n, C, S / stride, S / stride], where C is `out_channels`. One channel is
    shown to an RGB backbone three times; any other number of channels changes the first convolution, keeping its
    pretrained weights (timm's rule).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, settings: Backbone, channels: int, *, start: str = "none") -> None:
        super().__init__()
        self.repeat = 3 if channels == 1 else 1
        pretrained = settings.pretrained or start
        network = _timm_network(settings, channels * self.repeat, pretrained)
        config = network.pretrained_cfg
        self.register_buffer("mean", torch.tensor(255.0 * sum(config["mean"]) / 3), persistent=False)
        self.register_buffer("deviation", torch.tensor(255.0 * sum(config["std"]) / 3), persistent=False)
        self.body = _truncated(network, settings)
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
            # Twice as fast on a CPU and with tensor cores, and harmless elsewhere.
            x = x.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.body(x)
        return features


class Localizer(nn.Module):
    """Phase I: an age classifier whose class weights, spread over its features, show where it looked.

    It never sees the sex. `forward`: uint8 [n, 1, S, S] -> linear scores float32 [n, 240].
    """

    def __init__(self, settings: LocalizerSettings, *, start: str = "none") -> None:
        super().__init__()
        self.features = Features(settings.backbone, 1, start=start)
        width = self.features.out_channels
        self.tail: nn.Module = nn.Identity()
        if settings.channels:
            self.tail = nn.Sequential(
                nn.Conv2d(width, settings.channels, 1, bias=False), nn.BatchNorm2d(settings.channels), nn.ReLU()
            )
            width = settings.channels
        self.pooling = settings.pooling
        self.class_average = settings.class_average
        self.centred = settings.loss == "cross_entropy"
        self.classes = nn.Linear(width, CLASSES)
        nn.init.normal_(self.classes.weight, 0.0, 0.01)
        nn.init.zeros_(self.classes.bias)
        self.places = nn.Conv2d(width, CLASSES, 1) if settings.every_place else None

    def forward(self, view: Tensor) -> Tensor:
        scores: Tensor = self._scores(self._feature_map(view))
        return scores

    def with_places(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """The scores float32 [n, 240], and those of each cell float32 [n, 240, m, m] (`every_place` only)."""
        features = self._feature_map(view)
        if self.places is None:
            raise UsageError("this localizer was built with every_place=0.")
        return self._scores(features), self.places(features)

    def attention(self, view: Tensor) -> Tensor:
        """A_t = sum_k W_kt F_k of the *predicted* class t (Eq. 2): float32 [n, m, m], negatives not clipped.

        Cross entropy leaves the scores free up to a constant; W is centred over the classes then, so that a place
        that speaks for every age alike counts as none.
        """
        features = self._feature_map(view)
        predicted = self._scores(features).argmax(dim=1)
        weights = averaged_over_classes(self.classes.weight, self.class_average)
        if self.centred:
            weights = weights - weights.mean(dim=0, keepdim=True)
        weights = weights[predicted]
        return (features * weights[:, :, None, None]).sum(dim=1)

    def _feature_map(self, view: Tensor) -> Tensor:
        features: Tensor = self.tail(self.features(view))
        return features

    def _scores(self, features: Tensor) -> Tensor:
        pooled = features.mean(dim=(2, 3)) if self.pooling == "gap" else features.amax(dim=(2, 3))
        scores: Tensor = self.classes(pooled)
        return scores


def averaged_over_classes(weight: Tensor, reach: int) -> Tensor:
    """Each class's weights averaged over the classes within `reach` of it; at the ends over those that exist.

    Args:
        weight: float [classes, C].
        reach: classes on either side; 0 gives `weight` itself.
    """
    if reach == 0:
        return weight
    count = weight.shape[0]
    index = torch.arange(count, device=weight.device)
    near = ((index[:, None] - index[None]).abs() <= reach).to(weight.dtype)
    return (near / near.sum(dim=1, keepdim=True)) @ weight


class AgeRegressor(nn.Module):
    """Phase II: views and sex -> age.

    `forward`: views uint8 [n, v, S, S], sex float32 [n, 1] (+1 male, -1 female; None without a sex embedding)
    -> logits float32 [n, 240], or months float32 [n] for a scalar network.
    """

    ANSWERS: ClassVar[int] = CLASSES
    """Width of the last layer."""
    _CENTER_MONTHS, _SCALE_MONTHS = 127.0, 40.0

    def __init__(self, settings: RegressorSettings, *, start: str = "none") -> None:
        super().__init__()
        self.shared = settings.fusion == "shared"
        self.merge = settings.merge
        self.scalar = settings.scalar
        self.views = views = len(settings.views)
        self.features = Features(settings.backbone, 1 if self.shared else views, start=start)
        width = self.features.out_channels
        self.head: nn.Module
        if settings.head == "paper":
            self.head = nn.Sequential(nn.Conv2d(width, 256, 3), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten())
            with torch.no_grad():
                self.features.eval()
                side = self.features(torch.zeros(1, 1 if self.shared else views, *2 * (settings.size,)).byte())
                if min(side.shape[2:]) < 5:
                    raise UsageError(
                        f"regressor.head=paper needs a feature map of 5 cells or more, not {side.shape[2]}: "
                        "raise regressor.size or take regressor.head=gap."
                    )
                width = int(self.head(side).shape[1])
                self.features.train()
        else:
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        if self.shared and self.merge == "concat":
            width *= views
        self.dropout = nn.Dropout(settings.dropout)
        self.sex: nn.Module | None = None
        if settings.sex:
            layers: list[nn.Module] = []
            for before, after in zip((1, *settings.sex[:-1]), settings.sex, strict=True):
                layers += [nn.Linear(before, after), nn.ReLU()]
            self.sex = nn.Sequential(*layers)
            width += settings.sex[-1]
        self.answer = nn.Linear(width, 1 if self.scalar else self.ANSWERS)
        if self.scalar:
            nn.init.normal_(self.answer.weight, 0.0, 0.01)
            nn.init.zeros_(self.answer.bias)

    def forward(self, views: Tensor, sex: Tensor | None = None) -> Tensor:
        return self.answer_of(self.penultimate(views), sex)

    def penultimate(self, views: Tensor) -> Tensor:
        """The penultimate activations, without the sex: float32 [n, v * C], one view after the other; with
        fusion="stacked" float32 [n, C] of all views together."""
        if not self.shared:
            together: Tensor = self.head(self.features(views))
            return together
        x: Tensor = self.head(self.features(views.reshape(-1, 1, *views.shape[2:])))
        return x.reshape(-1, views.shape[1], x.shape[1]).flatten(1)

    def answer_of(self, features: Tensor, sex: Tensor | None = None) -> Tensor:
        """What `forward` answers, from what `penultimate` gives."""
        if self.shared and self.merge == "mean":
            features = features.reshape(-1, self.views, features.shape[1] // self.views).mean(dim=1)
        x = self.dropout(features)
        if self.sex is not None:
            if sex is None:
                raise UsageError("this network was built with a sex input; give float32 [n, 1], +1 or -1.")
            x = torch.cat([x, self.sex(sex.to(x.dtype))], dim=1)
        answer: Tensor = self.answer(x)
        return self._CENTER_MONTHS + self._SCALE_MONTHS * answer[:, 0] if self.scalar else answer


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
    """A timm feature list, of which only the last map is asked."""

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


def _truncated(network: Any, settings: Backbone) -> nn.Module:
    if settings.stages is None:
        return _Whole(network)
    if hasattr(network, "conv_stem") and hasattr(network, "blocks"):
        if not 1 <= settings.stages <= len(network.blocks):
            raise UsageError(f"{settings.name} has stages 1 to {len(network.blocks)}, not {settings.stages}.")
        return _MobileStages(network, settings.stages)
    levels = len(network.feature_info)
    if not 1 <= settings.stages <= levels:
        raise UsageError(f"{settings.name} has stages 1 to {levels}, not {settings.stages}.")
    return _LastOf(FeatureListNet(network, out_indices=(settings.stages - 1,), flatten_sequential=False))


def _timm_network(settings: Backbone, channels: int, pretrained: str) -> Any:
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
        raise UsageError(f"timm cannot build '{name}' with {options}: {error}") from error
    except Exception as error:  # whatever the hub's client raises when it finds no network, no file, no cache
        raise TrainingError(
            f"The ImageNet weights of '{name}' could not be fetched ({type(error).__name__}: {error}). "
            "Connect once so that they are cached, give a local file with --set pretrained=FILE, "
            "or start from random weights with --set pretrained=none."
        ) from error
    if hasattr(network, "pre_logits"):
        # VGG's dense layers: six times its convolutions, and nothing here asks them.
        network.pre_logits = nn.Identity()
    if not fetched and pretrained != "none":
        _load_local(network, settings.name, Path(pretrained), channels)
    return network


def check_start(start: str) -> None:
    """Raise TrainingError where starting weights are a file that is not there."""
    if start not in ("timm", "none") and not start.startswith("hf-hub:") and not Path(start).is_file():
        raise TrainingError(
            f"{start}: there is no such file to start from. Give the path of a .safetensors or .pth file, 'timm' for "
            "timm's own weights, or 'none' for a random start."
        )


def _load_local(network: Any, name: str, file: Path, channels: int) -> None:
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
            f"{file}: cannot be read as weights ({error}). Give a .safetensors or .pth file."
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
            f"{file}: these are no weights of '{name}' ({len(missing)} missing, {len(wrong)} of another shape, "
            f"first: {(missing + wrong)[0]}). Give the file of the same network."
        )
    network.load_state_dict({key: value for key, value in state.items() if key in own}, strict=False)


def dropped_to_half(network: nn.Module) -> None:
    """Round in place the weights that an export stores in half precision (matrices and kernels, not vectors)."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim >= 2:
                parameter.copy_(parameter.half().float())


__all__ = ["CLASSES", "AgeRegressor", "Features", "Localizer", "averaged_over_classes", "dropped_to_half"]
