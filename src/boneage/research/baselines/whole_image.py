"""Baselines that see the whole image, or the whole hand, at once."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from boneage.errors import UsageError
from boneage.regions import Region
from boneage.research.baselines.baseline import Baseline, Head, l2_months
from boneage.research.baselines.sources import MaskedSource, MaskKind
from boneage.training.data.views_data import ViewSource
from boneage.training.networks.age_network import AgeRegressor
from boneage.training.networks.backbone import Features
from boneage.training.recipes.settings import Backbone, RegressorSettings
from boneage.views import View


class DenseRegressor(nn.Module):
    """Backbone, global average, dense layers: views uint8 [n, 1, S, S], sex float32 [n, 1] -> months float32 [n]."""

    def __init__(self, backbone: Backbone, start: str, layers: tuple[int, ...], *, sex: int, dropout: float) -> None:
        super().__init__()
        self.features = Features(backbone, 1, start=start)
        self.head = Head(width=self.features.out_channels, layers=layers, sex=sex, dropout=dropout)

    def forward(self, views: Tensor, sex: Tensor | None = None) -> Tensor:
        months: Tensor = self.head(self.features(views).mean(dim=(2, 3)), sex)
        return months


def _build_winner(backbone: Backbone, size: int, start: str) -> nn.Module:
    return DenseRegressor(backbone, start, (1000, 1000), sex=32, dropout=0.0)


def _build_deeplasia(backbone: Backbone, size: int, start: str) -> nn.Module:
    return DenseRegressor(backbone, start, (1024, 512), sex=32, dropout=0.2)


def hard_label_loss(logits: Tensor, age_months: Tensor) -> Tensor:
    """Cross entropy of logits [n, 240] with the month of the rounded label: float32 []."""
    return F.cross_entropy(logits.float(), age_months.round().long().clamp(1, logits.shape[1]) - 1)


def _build_classifier(backbone: Backbone, size: int, start: str) -> nn.Module:
    return AgeRegressor(RegressorSettings(views=("O",), size=size, backbone=backbone), start=start)


class DeformationNetwork(nn.Module):
    """BoNet of Spampinato et al.: early layers, a spatial transformer over their map, further layers, one dense layer.

    `forward`: views uint8 [n, 1, S, S], sex (ignored) -> months float32 [n].
    """

    _HIDDEN, _WIDTH, _GRID = 2048, 128, 4

    def __init__(self, backbone: Backbone, size: int, start: str) -> None:
        super().__init__()
        early = dataclasses.replace(backbone, stages=min(backbone.stages or 3, 3), output_stride=None)
        self.early = Features(early, 1, start=start)
        width = self.early.out_channels
        self.before = nn.Sequential(nn.Conv2d(width, self._WIDTH, 3, padding=1), nn.ReLU())
        self.locate = nn.Sequential(
            nn.Conv2d(self._WIDTH, 32, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(self._GRID),
            nn.Flatten(),
            nn.Linear(32 * self._GRID**2, 32),
            nn.ReLU(),
        )
        self.affine = nn.Linear(32, 6)
        nn.init.zeros_(self.affine.weight)
        with torch.no_grad():
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
        self.after = nn.Sequential(
            nn.Conv2d(self._WIDTH, self._WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(self._WIDTH, self._WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(self._GRID),
            nn.Flatten(),
        )
        self.head = Head(self._WIDTH * self._GRID**2, (self._HIDDEN,), sex=0)
        with torch.no_grad():
            cells = self.early.eval()(torch.zeros(1, 1, size, size, dtype=torch.uint8)).shape[-1]
            self.early.train()
        if cells < 2 * self._GRID:
            raise UsageError(
                f"the deformation layer needs views of 64 pixels or more, not {size}: its map has {cells} cells.",
                code="view_too_small",
            )

    def forward(self, views: Tensor, sex: Tensor | None = None) -> Tensor:
        x = self.before(self.early(views)).float()
        affine = self.affine(self.locate(x)).float().reshape(-1, 2, 3)
        # Coordinates in half precision would be off by cells.
        with torch.autocast(x.device.type, enabled=False):
            grid = F.affine_grid(affine, list(x.shape), align_corners=False)
            x = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        months: Tensor = self.head(self.after(x), None)
        return months


def _build_deformation(backbone: Backbone, size: int, start: str) -> nn.Module:
    return DeformationNetwork(backbone, size, start)


def _make_deeplasia(name: str, kind: MaskKind, mask: str) -> Baseline:
    return Baseline(
        name=name,
        citation="Rassmann et al., Deeplasia: deep learning for bone age assessment validated on skeletal "
        "dysplasias, Pediatric "
        "Radiology 54 (2024) 82-95",
        differs=f"The hand mask is {mask}; theirs came from a segmentation network trained on drawn masks. One "
        "network of the "
        "given backbone instead of three EfficientNets at 512 to 1024 pixels. The number and widths of the dense "
        "layers (1024, 512 here) and the dropout are uncertain.",
        sources=(MaskedSource(kind),),
        build=_build_deeplasia,
        regions=frozenset({Region.HAND}),
        needs=frozenset({"mask"}) if kind == "truth" else frozenset(),
        corrected=True,
    )


WINNER_2017 = Baseline(
    name="winner-2017",
    citation="Cicero and Bilbily, 16 Bit: winner of the RSNA challenge of 2017; Halabi et al., The RSNA Pediatric "
    "Bone Age "
    "Machine Learning Challenge, Radiology 290 (2019) 498-503",
    differs="The given backbone instead of InceptionV3 at 500 pixels, one network instead of five, and one view "
    "instead of "
    "ten augmented ones. How they pooled the last map is uncertain: the global average here.",
    sources=(ViewSource(View.O),),
    build=_build_winner,
)

DEEPLASIA_BOX = _make_deeplasia("deeplasia-box", "box", "the hand box that phase I finds from ages alone")
DEEPLASIA_ATTENTION = _make_deeplasia(
    "deeplasia-attention", "attention", "phase I's attention map of the hand, cut at a tenth of its maximum"
)
DEEPLASIA_TRUE_MASK = _make_deeplasia("deeplasia-true-mask", "truth", "the true one of phantoms")

CLASSIFIER_240 = Baseline(
    name="classifier-240",
    citation="Lee et al., Fully automated deep learning system for bone age assessment, J. Digit. Imaging 30 (2017) "
    "427-441 "
    "(the idea of classes of age)",
    differs="240 classes of one month, the whole image with the sex; the answer is the expectation instead of the "
    "likeliest "
    "class.",
    sources=(ViewSource(View.O),),
    build=_build_classifier,
    loss=hard_label_loss,
)

SPAMPINATO_2017 = Baseline(
    name="spampinato-2017",
    citation="Spampinato et al., Deep learning for automated skeletal bone age assessment in X-ray images (BoNet), "
    "Medical "
    "Image Analysis 36 (2017) 41-51",
    differs="The first layers are the given backbone's first three stages instead of OverFeat's; three 3x3 layers "
    "around the "
    "deformation layer; no sex, as theirs. The loss (squared error here), the widths, and the place of the deformation "
    "layer among the last layers are uncertain. Theirs learned from the Digital Hand Atlas.",
    sources=(ViewSource(View.O),),
    build=_build_deformation,
    loss=l2_months,
)
