"""The settings that a recipe consists of, as frozen data classes; each checks the ranges of its own fields.

`--set hand.size=160` replaces one field (see `boneage.training.recipes.replace_settings`). Rules that several groups
share stand in `boneage.training.recipes.recipe.Recipe.check`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

from boneage.errors import TrainingError, UsageError
from boneage.regions import Components, Region
from boneage.views import View

Pooling = Literal["gap", "gmp"]
ViewName = Literal["O", "H", "R1", "R2", "E", "HE", "R2E"]
LocalizerInput = Literal["O", "H", "E", "HE"]

_SMALLEST_VIEW, _LARGEST_VIEW = 16, 4096


def needed_regions(view: ViewName | LocalizerInput) -> frozenset[Region]:
    """Which regions must be known before a view can be cut."""
    return View(view).needs


def check_start(start: str) -> None:
    """Raise TrainingError where starting weights are a file that does not exist."""
    if start not in ("timm", "none") and not start.startswith("hf-hub:") and not Path(start).is_file():
        raise TrainingError(
            f"{start}: there is no such file to start from. Give the path of a .safetensors or .pth file, 'timm' for "
            "timm's own weights, or 'none' for a random start.",
            code="no_starting_weights",
        )


def _check(setting: str, value: object, is_within: bool, rule: str) -> None:
    if not is_within:
        raise UsageError(f"{setting}={value}: give {rule}.", code="setting_out_of_range")


def _check_size(size: int) -> None:
    _check("size", size, _SMALLEST_VIEW <= size <= _LARGEST_VIEW, f"{_SMALLEST_VIEW} to {_LARGEST_VIEW} pixels")


def _check_tau(tau: float | None) -> None:
    _check("tau", tau, tau is None or 0.0 < tau < 1.0, "a fraction between 0 and 1, or none to search it")


def _is_rising(epochs: Sequence[int]) -> bool:
    return all(before < after for before, after in pairwise(epochs))


@dataclass(frozen=True)
class Backbone:
    """The convolutional network below a head.

    Attributes:
        name: timm's name.
        pretrained: "timm", "hf-hub:<repository>", a local .safetensors or .pth file, "none" (random start), or None:
            the recipe's own `pretrained`.
        output_stride: pixels of the view for one cell of the map (timm's dilation); None: the network's own.
        stages: number of stages that are kept, for a small receptive field; None: all. A stage of MobileNetV2 and its
            family is one entry of `blocks`; of other networks one entry of timm's `feature_info`.
        border: what convolutions see beyond the view's edge: "zero", or "reflect", which keeps edges from lighting up.
        drop_path: stochastic depth, in networks that support it.
    """

    name: str = "mobilenetv2_100"
    pretrained: str | None = None
    output_stride: int | None = None
    stages: int | None = None
    border: Literal["zero", "reflect"] = "zero"
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        _check("backbone.output_stride", self.output_stride, self.output_stride in (None, 2, 4, 8, 16, 32), "2 to 32")
        _check("backbone.stages", self.stages, self.stages is None or self.stages >= 1, "1 or more")
        _check("backbone.drop_path", self.drop_path, 0.0 <= self.drop_path < 1.0, "from 0 to under 1")


@dataclass(frozen=True)
class Augmentation:
    """The range of random changes of a training view; all zero: training sees what an assessment cuts.

    Attributes:
        degrees: rotation within +- degrees.
        zoom: factor within exp(+- zoom).
        shift: within +- this fraction of the view's side.
        mirror: every second view is mirrored.
        gamma: gray values to the power exp(+- gamma).
        brightness: gray values times 1 +- brightness.
        degrade: chance that the image is degraded before views are cut (`augmentation.degrade_image`).
        jpeg: chance that a degraded image is also saved as a JPEG.
        overlays: chance that plates, text or rulers are drawn on the image before views are cut.
        fields: chance that the field around the hand is another one: collimated, padded, larger, with a border
            (for both `surroundings.augment_surroundings`).
    """

    degrees: float = 20.0
    zoom: float = 0.2
    shift: float = 0.06
    mirror: bool = True
    gamma: float = 0.35
    brightness: float = 0.15
    degrade: float = 0.0
    jpeg: float = 0.4
    overlays: float = 0.0
    fields: float = 0.0

    def __post_init__(self) -> None:
        _check("augmentation.degrees", self.degrees, 0.0 <= self.degrees <= 180.0, "from 0 to 180")
        _check("augmentation.zoom", self.zoom, self.zoom >= 0.0, "0 or more")
        _check("augmentation.shift", self.shift, 0.0 <= self.shift <= 1.0, "from 0 to 1")
        _check("augmentation.gamma", self.gamma, self.gamma >= 0.0, "0 or more")
        _check("augmentation.brightness", self.brightness, 0.0 <= self.brightness <= 1.0, "from 0 to 1")
        _check("augmentation.degrade", self.degrade, 0.0 <= self.degrade <= 1.0, "a chance from 0 to 1")
        _check("augmentation.jpeg", self.jpeg, 0.0 <= self.jpeg <= 1.0, "a chance from 0 to 1")
        _check("augmentation.overlays", self.overlays, 0.0 <= self.overlays <= 1.0, "a chance from 0 to 1")
        _check("augmentation.fields", self.fields, 0.0 <= self.fields <= 1.0, "a chance from 0 to 1")


NO_AUGMENTATION = Augmentation(degrees=0.0, zoom=0.0, shift=0.0, mirror=False, gamma=0.0, brightness=0.0)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network learns.

    Attributes:
        epochs: passes over all training cases.
        batch: cases a step.
        learning_rate: the highest.
        shape: "onecycle" (cosine up over the fraction `warmup` of all steps, cosine down to nearly 0) or "steps".
        steps: for "steps": (first epoch, learning rate) pairs after the start, e.g. ((50, 1e-4),).
        optimizer: "adamw" or "adam".
        gradient_clip: norm at which gradients are clipped; 0 switches it off.
        average: decay of the exponential average of the weights; 0 switches it off. The average is exported.
        size_schedule: progressive sizes: (first epoch, view side) pairs; empty: the final size throughout.
        validate_every: epochs between measurements on *validation*; 0: only after the last.
    """

    epochs: int = 8
    batch: int = 32
    learning_rate: float = 1e-3
    shape: Literal["onecycle", "steps"] = "onecycle"
    warmup: float = 0.15
    steps: tuple[tuple[int, float], ...] = ()
    optimizer: Literal["adamw", "adam"] = "adamw"
    weight_decay: float = 1e-4
    gradient_clip: float = 1.0
    average: float = 0.998
    size_schedule: tuple[tuple[int, int], ...] = ()
    validate_every: int = 1

    def __post_init__(self) -> None:
        _check("schedule.epochs", self.epochs, self.epochs >= 1, "1 or more")
        _check("schedule.batch", self.batch, self.batch >= 1, "1 or more")
        _check("schedule.learning_rate", self.learning_rate, self.learning_rate > 0.0, "more than 0")
        _check("schedule.warmup", self.warmup, 0.0 <= self.warmup <= 1.0, "from 0 to 1")
        rising = _is_rising([epoch for epoch, _ in self.steps]) and all(rate > 0.0 for _, rate in self.steps)
        _check("schedule.steps", self.steps, rising, "epochs in rising order with learning rates above 0")
        _check("schedule.weight_decay", self.weight_decay, self.weight_decay >= 0.0, "0 or more")
        _check("schedule.gradient_clip", self.gradient_clip, self.gradient_clip >= 0.0, "0 or more")
        _check("schedule.average", self.average, 0.0 <= self.average < 1.0, "from 0 to under 1")
        sides = [side for _, side in self.size_schedule]
        rising = _is_rising([epoch for epoch, _ in self.size_schedule]) and min(sides, default=99) >= _SMALLEST_VIEW
        _check("schedule.size_schedule", self.size_schedule, rising, "epochs in rising order with view sides")
        _check("schedule.validate_every", self.validate_every, self.validate_every >= 0, "0 or more")


@dataclass(frozen=True)
class LocalizerSettings:
    """One localizer of phase I.

    Attributes:
        input_view: "O" the image, "H" the hand's box, "E" the image with region 1 erased, "HE" the hand's box of that.
        size: side of the view in pixels.
        pooling: global average ("gap") or global maximum ("gmp") of the features; the paper: GAP for H, GMP for R1, R2.
        channels: 1x1 convolution to so many channels before the pooling; 0: none.
        loss: "l1" between linear scores and the soft label, or "cross_entropy" with the normalised soft label.
        label_width: l of Eq. 5, months.
        every_place: weight of a second loss, in which each cell of the map answers by itself through a head of its own;
            0: none. The pooled loss is content with a few joints; this one keeps features alive all over the hand.
        class_average: the map averages W over classes within so many months of the predicted one; 0: Eq. 2 as it is.
        average_mirror: at assessment the map is the mean over the view and its mirror image.
        tau: fraction of the map's maximum; None: searched on *validation* without boxes.
        margin: the box grows by this fraction of itself.
        smallest: least side of the box, as a fraction of the long side of the box that the view shows.
        components: which components of the thresholded map the box spans (`boneage.regions.box_of_map`).
        prior: the map is blurred and weighed with the population prior of this region's band (`prior.py`); for region_1
            and region_2, found on the hand.
        shares: use the trained network of region_1 instead of training another one.
    """

    input_view: LocalizerInput = "O"
    size: int = 224
    backbone: Backbone = field(default_factory=Backbone)
    pooling: Pooling = "gap"
    channels: int = 0
    loss: Literal["l1", "cross_entropy"] = "l1"
    label_width: float = 50.0
    every_place: float = 0.0
    class_average: int = 0
    average_mirror: bool = True
    tau: float | None = None
    margin: float = 0.0
    smallest: float = 0.1
    components: Components = "largest"
    prior: bool = False
    shares: Literal["region_1"] | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        _check_size(self.size)
        _check("channels", self.channels, self.channels >= 0, "0 or more")
        _check("label_width", self.label_width, self.label_width > 0.0, "more than 0")
        _check("every_place", self.every_place, self.every_place >= 0.0, "0 or more")
        _check("class_average", self.class_average, self.class_average >= 0, "0 or more")
        _check_tau(self.tau)
        _check("margin", self.margin, self.margin >= 0.0, "0 or more")
        _check("smallest", self.smallest, 0.001 <= self.smallest <= 1.0, "from 0.001 to 1")


@dataclass(frozen=True)
class RegressorSettings:
    """The age network of phase II.

    Attributes:
        views: in input order, any combination of O, H, R1, R2, E, HE, R2E.
        size: side of each view in pixels.
        fusion: "stacked": views are input channels; "shared": one backbone sees each view by itself.
        merge: for "shared": features are concatenated ("concat") or averaged ("mean").
        head: "gap" (average pool, dropout) or "paper" (conv 3x3 to 256, max pool 3x3, flatten).
        sex: widths of the sex embedding, () for none: Table III has (16,), (32,), (64,), (64, 32).
        kl_weight: lambda of Eq. 12.
        kl_direction: "target_first" is KL(G || p), the formula of Eq. 10; "prediction_first" its title, KL(p || G).
        label_sd: delta of Eq. 11, months.
        average_mirror: the answer is the mean over the views and their mirror images.
    """

    views: tuple[ViewName, ...] = ("H", "R1", "R2")
    size: int = 192
    backbone: Backbone = field(default_factory=Backbone)
    fusion: Literal["stacked", "shared"] = "stacked"
    merge: Literal["concat", "mean"] = "concat"
    head: Literal["gap", "paper"] = "gap"
    dropout: float = 0.2
    sex: tuple[int, ...] = (32,)
    kl_weight: float = 0.5
    kl_direction: Literal["target_first", "prediction_first"] = "target_first"
    label_sd: float = 15.0
    average_mirror: bool = True
    augmentation: Augmentation = field(default_factory=Augmentation)
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        if not self.views:
            raise UsageError("views is empty: name at least one of O, H, R1, R2, E, HE, R2E.", code="no_views")
        _check_size(self.size)
        _check("dropout", self.dropout, 0.0 <= self.dropout < 1.0, "from 0 to under 1")
        _check("sex", self.sex, all(width >= 1 for width in self.sex), "widths of 1 or more")
        _check("kl_weight", self.kl_weight, self.kl_weight >= 0.0, "0 or more")
        _check("label_sd", self.label_sd, self.label_sd > 0.0, "more than 0")


@dataclass(frozen=True)
class TauSettings:
    """The search for tau without boxes (the paper's Figure 5a): the tau with the smallest age error is taken.

    Attributes:
        grid: fractions of the map's maximum.
        mode: "one_network": one small regressor is trained on crops at a tau drawn at random for each case and epoch,
            then measured on *validation* at each tau; "one_each": a regressor for each tau (n times as long).
        cases: training cases used, None for all.
        regressor: the small network; its `views` are ignored.
    """

    grid: tuple[float, ...] = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)
    mode: Literal["one_network", "one_each"] = "one_network"
    cases: int | None = 3000
    regressor: RegressorSettings = field(
        default_factory=lambda: RegressorSettings(size=96, schedule=Schedule(epochs=4), average_mirror=False)
    )

    def __post_init__(self) -> None:
        within = bool(self.grid) and all(0.0 < tau < 1.0 for tau in self.grid)
        _check("tau.grid", self.grid, within, "fractions between 0 and 1, at least one")
        _check("tau.cases", self.cases, self.cases is None or self.cases >= 1, "1 or more, or none for all")


@dataclass(frozen=True)
class StudentSettings:
    """One small network that learns the boxes of the attention maps and answers for all three regions at once.

    Attributes:
        size: side of its view of the whole image, in pixels.
        channels: of the 1x1 convolution before its three masks.
        tau: fraction of the maximum at which its soft masks are cut; None: for each region the one at which its boxes
            agree best with its teachers' on *validation*.
        average_mirror: at assessment the masks are the mean over the view and its mirror image.
    """

    size: int = 192
    backbone: Backbone = field(default_factory=lambda: Backbone("mobilenetv2_100", output_stride=16))
    channels: int = 128
    tau: float | None = None
    average_mirror: bool = True
    augmentation: Augmentation = field(default_factory=Augmentation)
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=4))

    def __post_init__(self) -> None:
        _check_size(self.size)
        _check("channels", self.channels, self.channels >= 1, "1 or more")
        _check_tau(self.tau)


@dataclass(frozen=True)
class GateSettings:
    """The gate in front of the assessment (`boneage.pipeline.gate`): what is refused, and what is rotated.

    Attributes:
        size: side of its view in pixels.
        refused: share of the plain images of *validation* that the thresholds may refuse.
        tilt_degrees: a hand that is tilted by less is assessed as it is.
        overlays, fields: chances as in `Augmentation`, for pictures of every kind: what surrounds a hand is no sign of
            one.
    """

    size: int = 128
    backbone: Backbone = field(default_factory=lambda: Backbone("mobilenetv2_100", stages=6))
    refused: float = 0.004
    tilt_degrees: float = 12.0
    overlays: float = 0.0
    fields: float = 0.0
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=4, batch=32, validate_every=4))

    def __post_init__(self) -> None:
        _check_size(self.size)
        _check("refused", self.refused, 0.0 <= self.refused < 1.0, "a share from 0 to under 1")
        _check("tilt_degrees", self.tilt_degrees, 0.0 <= self.tilt_degrees <= 180.0, "from 0 to 180")
        _check("overlays", self.overlays, 0.0 <= self.overlays <= 1.0, "a chance from 0 to 1")
        _check("fields", self.fields, 0.0 <= self.fields <= 1.0, "a chance from 0 to 1")
