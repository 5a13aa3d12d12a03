"""The student: one small network for all three regions, trained on the boxes of the attention maps.

No box of a human reader is used: the targets are the boxes that the localizers found on the training images, as masks
on the student's grid. The student evens out their misses, and needs one run of a network instead of six.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from boneage.pipeline.localization import Localization
from boneage.regions import Region
from boneage.training.data.augmentation import augment_photometry, degrade_image, draw_geometric
from boneage.training.data.surroundings import augment_surroundings
from boneage.training.data.views_data import Example, ViewsData
from boneage.training.networks.backbone import Features
from boneage.training.recipes.settings import StudentSettings
from boneage.training.run.learner import Learner
from boneage.views import ImageArray, cut, whole

OUTPUTS = [f"attention_{region.value}" for region in Region]
_UNKNOWN = -1.0
"""Target where the teacher found nothing: no loss there."""


class Student(nn.Module):
    """`forward`: uint8 [n, 1, S, S] -> three maps float32 [n, m, m] in (0, 1): hand, region 1, region 2."""

    def __init__(self, settings: StudentSettings, *, start: str = "none") -> None:
        super().__init__()
        self.features = Features(settings.backbone, 1, start=start)
        self.tail = nn.Sequential(
            nn.Conv2d(self.features.out_channels, settings.channels, 1, bias=False),
            nn.BatchNorm2d(settings.channels),
            nn.ReLU(),
            nn.Conv2d(settings.channels, len(OUTPUTS), 1),
        )

    def logits(self, view: Tensor) -> Tensor:
        """float32 [n, 3, m, m]."""
        logits: Tensor = self.tail(self.features(view))
        return logits

    def forward(self, view: Tensor) -> tuple[Tensor, ...]:
        maps = torch.sigmoid(self.logits(view))
        return tuple(maps[:, k] for k in range(len(OUTPUTS)))


class StudentData(ViewsData):
    """Whole images with the masks of their boxes: `targets` float32 [3, size / stride, size / stride]."""

    stride: int = 16

    def make_views(
        self, image: ImageArray, found: Localization, size: int, rng: np.random.Generator | None
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        if rng is not None and self.augmentation is not None:
            image, found = augment_surroundings(image, found, rng, self.augmentation)
            if rng.random() < self.augmentation.degrade:
                image = degrade_image(image, rng, self.augmentation.jpeg)
        box = whole(image)
        geometric = (
            draw_geometric(rng, self.augmentation) if rng is not None and self.augmentation is not None else None
        )
        view = cut(image, box, size, squash=self.squash, augmentation=geometric)
        if rng is not None and self.augmentation is not None:
            view = augment_photometry(view, rng, self.augmentation)
        cells = -(-size // self.stride)
        targets = np.full((len(OUTPUTS), cells, cells), _UNKNOWN, dtype=np.float32)
        for channel, region in enumerate(Region):
            if region in found.boxes and region not in found.missing:
                mask = np.zeros_like(image)
                x0, y0, x1, y1 = (max(0, round(at)) for at in found.boxes[region].as_list())
                mask[y0:y1, x0:x1] = 255
                targets[channel] = cut(mask, box, cells, squash=self.squash, augmentation=geometric) / np.float32(255)
        return view[None].copy(), targets


class StudentLearner(Learner):
    """Loss: binary cross entropy with the masks. Measured: the mean absolute difference from them, in percent."""

    def __init__(self, network: Student, settings: StudentSettings, *, seed: int, steps_per_epoch: int) -> None:
        super().__init__(network, settings.schedule, seed=seed, steps_per_epoch=steps_per_epoch)

    def loss(self, network: nn.Module, batch: Example) -> Tensor:
        logits = network.logits(batch.views).float()  # type: ignore[operator]
        known = (batch.targets != _UNKNOWN).float()
        loss = F.binary_cross_entropy_with_logits(logits, batch.targets.clamp(min=0.0), weight=known, reduction="sum")
        return loss / known.sum().clamp(min=1.0)

    def error(self, network: nn.Module, batch: Example) -> Tensor:
        maps = torch.stack(network(batch.views), dim=1).float()
        known = (batch.targets != _UNKNOWN).float()
        wrong = (maps - batch.targets).abs() * known
        return 100.0 * wrong.sum(dim=(1, 2, 3)) / known.sum(dim=(1, 2, 3)).clamp(min=1.0)


def stride_of(network: Student, size: int) -> int:
    """Pixels of the view for one cell of the student's maps."""
    with torch.no_grad():
        cells = network.eval().logits(torch.zeros(1, 1, size, size, dtype=torch.uint8)).shape[-1]
    network.train()
    return -(-size // int(cells))
