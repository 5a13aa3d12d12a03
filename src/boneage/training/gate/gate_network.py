"""The network of the gate and its training."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from boneage.pipeline.gate import KINDS
from boneage.training.data.views_data import Example, Key
from boneage.training.gate.examples import HAND, NEGATIVE, GateData
from boneage.training.networks.backbone import Features
from boneage.training.recipes.settings import GateSettings
from boneage.training.run.learner import Learner

_LEAST_HANDS: Final = 50
"""Examples, at least, to which the out-of-distribution score is fitted."""


class GateNetwork(nn.Module):
    """`forward`: uint8 [n, 1, S, S] -> (kinds logits [n, 5], pose [n, 2], inverted logit [n], features [n, C])."""

    def __init__(self, settings: GateSettings, *, start: str = "none") -> None:
        super().__init__()
        self.features = Features(settings.backbone, 1, start=start)
        width = self.features.out_channels
        self.answer = nn.Linear(width, len(KINDS) + 3)
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("whitening", torch.zeros(width, width))

    def forward(self, view: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        features = self.features(view).mean(dim=(2, 3))
        answer = self.answer(features)
        return answer[:, : len(KINDS)], answer[:, -3:-1], answer[:, -1], features

    def fit_ood_score(self, features: Tensor) -> None:
        """Fit `ood_score` to the features float32 [n, C] of many readable hands."""
        features = features.double()
        centre = features.mean(dim=0)
        values, vectors = torch.linalg.eigh(torch.cov(features.T))
        # Without a floor, directions in which hands hardly vary would dominate the score.
        scale = values.clamp(min=max(float(values.max()) * 1e-3, 1e-12)).rsqrt()
        self.centre.copy_(centre)  # type: ignore[operator]
        self.whitening.copy_(vectors * scale)  # type: ignore[operator]

    def ood_score(self, features: Tensor) -> Tensor:
        """Out-of-distribution score, the mean squared whitened distance from the centre of hands: float32 [n]."""
        whitened: Tensor = (features - self.centre) @ self.whitening  # type: ignore[operator]
        return whitened.square().mean(dim=1)


class GatePort(nn.Module):
    """The gate as it is exported: probabilities instead of logits; see `boneage.pipeline.gate.Gate`."""

    OUTPUTS = ("kinds", "pose", "inverted", "ood_score")

    def __init__(self, network: GateNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, view: Tensor) -> tuple[Tensor, ...]:
        kinds, pose, inverted, features = self.network(view)
        return torch.softmax(kinds, dim=1), pose, torch.sigmoid(inverted), self.network.ood_score(features)


class GateLearner(Learner):
    """Loss: cross entropy of the kind, squared error of the pose, binary cross entropy of the polarity.

    Measured: the share of wrong kinds in percent.
    """

    def __init__(self, network: GateNetwork, settings: GateSettings, *, seed: int, steps_per_epoch: int) -> None:
        super().__init__(network, settings.schedule, seed=seed, steps_per_epoch=steps_per_epoch)

    def loss(self, network: nn.Module, batch: Example) -> Tensor:
        kinds, pose, inverted, _ = network(batch.views)
        kind, turn = batch.targets[:, 0].long(), batch.targets[:, 1:3]
        known = (kind != NEGATIVE).float()
        of_turn = ((pose.float() - turn).square().sum(dim=1) * known).sum() / known.sum().clamp(min=1.0)
        of_polarity = F.binary_cross_entropy_with_logits(inverted.float(), batch.targets[:, 3], weight=known)
        loss: Tensor = F.cross_entropy(kinds.float(), kind) + 2.0 * of_turn + of_polarity
        return loss

    def error(self, network: nn.Module, batch: Example) -> Tensor:
        wrong: Tensor = network(batch.views)[0].argmax(dim=1) != batch.targets[:, 0].long()
        return 100.0 * wrong.float()


def fit_ood_score(network: GateNetwork, data: GateData, count: int = 4000) -> None:
    """Fit the network's out-of-distribution score to the readable hands among the first `count` training examples."""
    passes = max(1, -(-_LEAST_HANDS // len(data)))
    keys = [Key(epoch, case, data.size) for epoch in range(passes) for case in range(min(count, len(data)))]
    loader = DataLoader(data, batch_size=64, sampler=keys)
    features = []
    with torch.inference_mode():
        for batch in loader:
            hands = batch.targets[:, 0] == HAND
            features.append(network(batch.views)[3][hands])
    network.fit_ood_score(torch.cat(features))
