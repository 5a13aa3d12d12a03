"""A whole training as one object, and the rules that its settings have to meet together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from boneage.errors import UsageError
from boneage.regions import Region
from boneage.training.recipes.settings import (
    Backbone,
    GateSettings,
    LocalizerSettings,
    RegressorSettings,
    StudentSettings,
    TauSettings,
    check_start,
    needed_regions,
)


@dataclass(frozen=True)
class Recipe:
    """A whole training.

    Attributes:
        image_short_side: images are reduced to this short side first (None: the radiographs' own resolution).
        layout: "letterbox", or "squash" as the paper does.
        pretrained: starting weights of every backbone that does not name its own.
        regressor_seed: another seed for phase II alone, so that two regressors have the same regions; None: `seed`.
        regions: the regions that are found; () for a network that only sees whole images.
        localizers: folder of a model whose localizers are taken over, and its gate where it has one; phase I is not
            trained then.
        regressor_start: name or folder of a model whose age network, of the same shape, is where the regressor starts
            (longer training, or fine-tuning on other radiographs); None: `pretrained`.
        phase_1_cases: train phase I on so many training images only (drawn by `seed`), None for all of them.
        student: replace the three localizers by one network trained on their boxes.
        gate: the gate in front of the assessment (of a gate that is taken over with `localizers`, only `tilt_degrees`
            is set here); None: every radiograph is assessed as it is.
        regional_heads: separate carpal and tubular bone ages, by heads on the finished age network
            (`boneage.model.regional_heads`). They need R1, and a network that sees each view by itself.
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

    def localizer(self, region: Region) -> LocalizerSettings:
        """The settings of a region's localizer."""
        settings: LocalizerSettings = getattr(self, region.value)
        return settings

    @property
    def found_regions(self) -> frozenset[Region]:
        """The regions that are known when the regressor is trained."""
        return frozenset(Region) if self.localizers else frozenset(Region(name) for name in self.regions)

    def check(self) -> None:
        """Check the rules that concern several settings.

        Raises:
            UsageError: a view needs a region that is not found before it, or settings contradict each other.
            TrainingError: starting weights do not exist.
        """
        self._check_numbers()
        self._check_starting_weights()
        self._check_localizers()
        self._check_regressor()
        self._check_what_follows()

    def _check_numbers(self) -> None:
        least = {"image_short_side": 32, "seed": 0, "regressor_seed": 0, "phase_1_cases": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise UsageError(f"{name}={value}: give {smallest} or more.", code="setting_out_of_range")

    def _check_starting_weights(self) -> None:
        gate = [self.gate.backbone] if self.gate else []
        groups = (self.hand, self.region_1, self.region_2, self.tau.regressor, self.student_network, self.regressor)
        backbones: list[Backbone] = [*(group.backbone for group in groups), *gate]
        for start in (self.pretrained, *(backbone.pretrained for backbone in backbones)):
            if start is not None:
                check_start(start)

    def _check_localizers(self) -> None:
        known: set[Region] = set(Region) if self.localizers else set()
        for region in Region:
            if region.value not in self.regions:
                continue
            settings = self.localizer(region)
            missing = needed_regions(settings.input_view) - known
            if missing:
                raise UsageError(
                    f"{region.value}.input_view={settings.input_view}: needs {' and '.join(sorted(missing))}, which is "
                    "not found before. Choose another input_view, or add to regions.",
                    code="region_not_found",
                )
            if settings.prior and (settings.input_view != "H" or region is Region.HAND):
                raise UsageError(
                    f"{region.value}.prior=true: only region_1 and region_2 can have a prior, with input_view=H.",
                    code="prior_needs_hand",
                )
            known.add(region)
        if self.region_2.shares and self.region_2.size != self.region_1.size:
            raise UsageError(
                f"region_2.size={self.region_2.size}: region_2.shares=region_1 makes it one network, whose size is "
                f"region_1.size={self.region_1.size}. Set both alike.",
                code="shared_network_size",
            )
        for region in (Region.HAND, Region.REGION_1):
            if self.localizer(region).shares:
                raise UsageError(
                    f"{region.value}.shares: only region_2 can share a network. Set it to none.",
                    code="shared_network_region",
                )

    def _check_regressor(self) -> None:
        for view in self.regressor.views:
            if not needed_regions(view) <= self.found_regions:
                raise UsageError(
                    f"regressor.views: {view} needs a region that is not found (regions="
                    f"{','.join(self.regions) or 'none'}). Leave it out, or add to regions.",
                    code="region_not_found",
                )

    def _check_what_follows(self) -> None:
        if self.student and len(self.found_regions) < len(Region):
            raise UsageError(
                "student=true: needs all three regions. Set regions=hand,region_1,region_2.", code="region_not_found"
            )
        if self.gate and Region.REGION_1 not in self.found_regions:
            raise UsageError(
                "gate: its training cuts images off at region_1, which is not found. Add it to regions, or set "
                "gate=none.",
                code="region_not_found",
            )
        sees = self.regressor
        if self.regional_heads and (
            sees.fusion != "shared"
            or sees.merge != "concat"
            or "R1" not in sees.views
            or len(self.found_regions) < len(Region)
        ):
            raise UsageError(
                "regional_heads=true: needs all three regions, R1 among regressor.views, regressor.fusion=shared and "
                "regressor.merge=concat, so that the age network sees region 1 by itself. Set regional_heads=false.",
                code="regional_heads_need_region_1",
            )
