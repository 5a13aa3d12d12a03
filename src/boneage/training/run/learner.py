"""What all networks have in common when they learn: schedule, averaged weights, measurement on *validation*."""

from __future__ import annotations

import copy
import math
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from boneage.training.data.views_data import Example
from boneage.training.recipes.settings import Schedule


def learning_rate_factor(schedule: Schedule, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step as a fraction of `schedule.learning_rate`; a function of the step alone."""
    if schedule.shape == "steps":
        epoch = step // max(1, steps_per_epoch)
        rates = [schedule.learning_rate] + [rate for first, rate in schedule.steps if first <= epoch]
        return rates[-1] / schedule.learning_rate
    total = max(1, schedule.epochs * steps_per_epoch)
    rise = max(1.0, schedule.warmup * total)
    if step < rise:
        return 0.04 + 0.96 * (1.0 - math.cos(math.pi * step / rise)) / 2
    fall = min(1.0, (step - rise) / max(1.0, total - rise))
    return 1e-5 + (1.0 - 1e-5) * (1.0 + math.cos(math.pi * fall)) / 2


class Learner(lightning.LightningModule):
    """A network that learns, and the exponential average of its weights, which becomes the trained network.

    Subclasses define the loss of a batch and the error that is measured. The average is a part of this module, so
    that checkpoints hold it.
    """

    def __init__(self, network: nn.Module, schedule: Schedule, *, seed: int, steps_per_epoch: int) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.schedule = schedule
        self.seed = seed
        self.steps_per_epoch = steps_per_epoch

    def loss(self, network: nn.Module, batch: Example) -> Tensor:
        """The mean loss of a batch: float32 []."""
        raise NotImplementedError

    def error(self, network: nn.Module, batch: Example) -> Tensor:
        """The measure on *validation*, of each case: float32 [n]; smaller is better."""
        raise NotImplementedError

    def on_train_epoch_start(self) -> None:
        self.average.eval()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Dropout then depends on seed, epoch and step alone. Other draws, as by the loader, come at another moment in a
        # resumed training.
        drawn = np.random.SeedSequence([self.seed, self.current_epoch, batch_idx, self.global_rank]).generate_state(1)
        torch.manual_seed(int(drawn[0]))

    def training_step(self, batch: Example, index: int) -> Tensor:
        loss = self.loss(self.network, batch)
        self.log("loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(batch.views))
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = self.global_step
        # A young average forgets faster, or it would keep the random start.
        keep = min(self.schedule.average, (1 + step) / (10 + step)) if self.schedule.average else 0.0
        own, other = list(self.average.state_dict().values()), list(self.network.state_dict().values())
        real = [index for index, value in enumerate(own) if value.is_floating_point()]
        torch._foreach_lerp_([own[k] for k in real], [other[k] for k in real], 1.0 - keep)
        for mine, theirs in zip(own, other, strict=True):
            if not mine.is_floating_point():
                mine.copy_(theirs)

    def validation_step(self, batch: Example, index: int) -> None:
        error = self.error(self.average, batch)
        self.log("validation", error.mean(), on_epoch=True, batch_size=len(error), sync_dist=True)

    def configure_optimizers(self) -> Any:
        decayed = [p for p in self.network.parameters() if p.ndim >= 2]
        plain = [p for p in self.network.parameters() if p.ndim < 2]
        groups = [
            {"params": decayed, "weight_decay": self.schedule.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        kind = torch.optim.AdamW if self.schedule.optimizer == "adamw" else torch.optim.Adam
        # Fused steps cannot be clipped under mixed precision, which is what GPUs use.
        fused = all(p.device.type == "cpu" for p in decayed) and not str(self.trainer.precision).endswith("mixed")
        optimizer = kind(groups, lr=self.schedule.learning_rate, fused=fused)
        factor = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(self.schedule, step, self.steps_per_epoch)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": factor, "interval": "step"}}
