"""What a recipe may say: every knob of a training, as plain frozen data classes.

A recipe is one `Recipe`; `--set hand.size=160` replaces one field of one of these (see `recipes.replaced`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from boneage.regions import Components, Region
from boneage.views import View

Pooling = Literal["gap", "gmp"]
ViewName = Literal["O", "H", "R1", "R2", "E", "HE", "R2E"]
LocalizerInput = Literal["O", "H", "E", "HE"]


def needed_regions(view: ViewName | LocalizerInput) -> frozenset[Region]:
    """Which regions must be known before a view can be cut."""
    return View(view).needs


@dataclass(frozen=True)
class Backbone:
    """The convolutional network below a head.

    Attributes:
        name: timm's name.
        pretrained: "timm", "hf-hub:<repository>", a local .safetensors or .pth file, "none" (random start),
            or None: as the recipe's own `pretrained` says.
        output_stride: pixels of the view for one cell of the map (timm's dilation), None for the network's own.
        stages: keep this many stages only (small receptive field), None for all of them. For MobileNetV2 and its
            kin a stage is one entry of `blocks`; for other networks one entry of timm's `feature_info`.
        border: what convolutions see beyond the view's edge: "zero", or "reflect" so that edges do not light up.
        drop_path: stochastic depth, where the network knows it.
    """

    name: str = "mobilenetv2_100"
    pretrained: str | None = None
    output_stride: int | None = None
    stages: int | None = None
    border: Literal["zero", "reflect"] = "zero"
    drop_path: float = 0.0


@dataclass(frozen=True)
class Augmentation:
    """How far a training view may differ from the view that an assessment cuts; all zero: not at all.

    Attributes:
        degrees: rotation within +- degrees.
        zoom: factor within exp(+- zoom).
        shift: within +- this fraction of the view's side.
        mirror: every second view is mirrored.
        gamma: gray values to the power exp(+- gamma).
        brightness: gray values times 1 +- brightness.
        degrade: chance that the image is degraded before views are cut (`augmentation.degrade_image`).
        jpeg: chance that a degraded image is also saved as a JPEG.
    """

    degrees: float = 20.0
    zoom: float = 0.2
    shift: float = 0.06
    mirror: bool = True
    gamma: float = 0.35
    brightness: float = 0.15
    degrade: float = 0.0
    jpeg: float = 0.4


NO_AUGMENTATION = Augmentation(0.0, 0.0, 0.0, False, 0.0, 0.0)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network learns.

    Attributes:
        epochs: passes over all training cases.
        batch: views a step.
        learning_rate: the highest.
        shape: "onecycle" (cosine up over `warmup` of all steps, cosine down to nearly 0) or "steps".
        steps: for "steps": (first epoch, learning rate) pairs after the start, e.g. ((50, 1e-4),).
        optimizer: "adamw" or "adam".
        average: decay of the exponential average of the weights; 0 switches it off. The average is what is exported.
        gradient_clip: norm at which gradients are clipped; 0 switches it off.
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


@dataclass(frozen=True)
class LocalizerSettings:
    """One localizer of phase I.

    Attributes:
        looks_at: "O" the film, "H" the hand's box, "E" the film with region 1 erased, "HE" the hand's box of that.
        size: side of the view in pixels.
        pooling: global average or global maximum of the features (METHOD: GAP for H, GMP for R1 and R2).
        channels: 1x1 convolution to so many channels before the pooling; 0: none.
        loss: "l1" between linear scores and the soft label, or "cross_entropy" with the normalised soft label.
        label_width: l of Eq. 5, months.
        every_place: weight of a second loss, in which each cell of the map has to answer by itself (through a head of
            its own). It keeps features alive all over the hand, where the pooled loss would be content with a few
            joints: for a localizer that is to find the whole hand.
        class_average: the map averages W over classes within so many months of the predicted one; 0: Eq. 2 as it is.
        average_mirror: at assessment the map is the mean over the view and its mirror image.
        tau: fraction of the map's maximum; None: searched on *validation* without boxes.
        margin: the box grows by this fraction of itself.
        smallest: no side under this fraction of the looked-at box's long side.
        components: which components of the thresholded map the box spans (`boneage.regions.box_of_map`).
        prior: the map is blurred and weighed with where the population looks in this region's band (`prior.py`);
            for region_1 and region_2, found on the hand.
        shares: take the trained network of region_1 instead of training one of its own.
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


@dataclass(frozen=True)
class RegressorSettings:
    """The age network of phase II.

    Attributes:
        views: in input order, any combination of O, H, R1, R2, E, HE, R2E.
        fusion: "stacked": views are input channels; "shared": one backbone sees each view by itself.
        merge: for "shared": features are concatenated ("concat") or averaged ("mean").
        head: "gap" (average pool, dropout) or "paper" (conv 3x3 to 256, max pool 3x3, flatten).
        sex: widths of the sex embedding, () for none: Table III has (16,), (32,), (64,), (64, 32).
        scalar: plain L1 on one number instead of the distribution.
        kl_weight: lambda of Eq. 12.
        kl_direction: "target_first" is KL(G || p), the formula of Eq. 10; "prediction_first" its title, KL(p || G).
        label_sd: delta of Eq. 11, months.
    """

    views: tuple[ViewName, ...] = ("H", "R1", "R2")
    size: int = 192
    backbone: Backbone = field(default_factory=Backbone)
    fusion: Literal["stacked", "shared"] = "stacked"
    merge: Literal["concat", "mean"] = "concat"
    head: Literal["gap", "paper"] = "gap"
    dropout: float = 0.2
    sex: tuple[int, ...] = (32,)
    scalar: bool = False
    kl_weight: float = 0.5
    kl_direction: Literal["target_first", "prediction_first"] = "target_first"
    label_sd: float = 15.0
    average_mirror: bool = True
    augmentation: Augmentation = field(default_factory=Augmentation)
    schedule: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True)
class TauSettings:
    """The search for tau without boxes (the paper's Figure 5a).

    Taken is the tau with the smallest error.

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


@dataclass(frozen=True)
class StudentSettings:
    """One small network that learns the boxes of the attention maps and answers for all three regions at once.

    Attributes:
        looks_at: what it sees.
        tau: where its soft masks are cut; None: for each region where its boxes agree best with its teachers' on
            *validation*.
    """

    size: int = 192
    backbone: Backbone = field(default_factory=lambda: Backbone("mobilenetv2_100", output_stride=16))
    channels: int = 128
    tau: float | None = None
    average_mirror: bool = True
    augmentation: Augmentation = field(default_factory=Augmentation)
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=4))


@dataclass(frozen=True)
class GateSettings:
    """The gate in front of the assessment (`boneage.pipeline.gate`): what is refused, what is turned.

    Attributes:
        refused: share of the plain films of *validation* that the thresholds may refuse.
        tilt_degrees: a hand that is turned by less is assessed as it is.
    """

    size: int = 128
    backbone: Backbone = field(default_factory=lambda: Backbone("mobilenetv2_100", stages=6))
    refused: float = 0.004
    tilt_degrees: float = 12.0
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=4, batch=32, validate_every=4))


@dataclass(frozen=True)
class Recipe:
    """A whole training.

    Attributes:
        image_short_side: films are shrunk to this short side first (None: the radiographs' own resolution).
        layout: "letterbox", or "squash" as the paper does.
        pretrained: where the networks start, for every backbone that does not say it itself.
        regressor_seed: another seed for phase II alone, so that two regressors share their regions; None: `seed`.
        regions: which regions are found at all; () for a network that only sees whole films.
        localizers: folder of a model whose localizers are taken over, and its gate where it has one; phase I is not
            trained then.
        regressor_start: name or folder of a model whose age network, of the same shape, is where the regressor starts
            (longer training, or fine-tuning on one's own films); None: `pretrained`.
        phase_1_cases: learn phase I from so many training films only (drawn by `seed`), None for all of them.
        student: replace the three localizers by one network trained on their boxes.
        gate: the gate in front of the assessment (where one is taken over with `localizers`, only its `tilt_degrees`
            counts); None: every film is assessed as it is.
        regional_heads: tell carpal and tubular bone age apart, by heads on the finished age network
            (`boneage.model.regional_heads`); it has to see R1, each view by itself.
        fp16_weights: store large weights of the exported networks in half precision.
    """

    name: str
    version: str = "0.1.0"
    image_short_side: int | None = 300
    layout: Literal["letterbox", "squash"] = "letterbox"
    pretrained: str = "timm"
    seed: int = 0
    regressor_seed: int | None = None
    regions: tuple[Literal["hand", "region_1", "region_2"], ...] = ("hand", "region_1", "region_2")
    hand: LocalizerSettings = field(default_factory=LocalizerSettings)
    region_1: LocalizerSettings = field(default_factory=lambda: LocalizerSettings(pooling="gmp"))
    region_2: LocalizerSettings = field(default_factory=lambda: LocalizerSettings(input_view="E", pooling="gmp"))
    tau: TauSettings = field(default_factory=TauSettings)
    localizers: str | None = None
    regressor_start: str | None = None
    phase_1_cases: int | None = None
    student: bool = False
    student_network: StudentSettings = field(default_factory=StudentSettings)
    regressor: RegressorSettings = field(default_factory=RegressorSettings)
    gate: GateSettings | None = None
    regional_heads: bool = False
    fp16_weights: bool = True
