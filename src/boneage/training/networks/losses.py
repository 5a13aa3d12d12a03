"""Labels and losses of both phases, on the age axis 1..240 months."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from boneage.ages import FIRST_MONTH, LAST_MONTH


def months(device: torch.device | None = None) -> Tensor:
    """The age axis, float32 [240]."""
    return torch.arange(FIRST_MONTH, LAST_MONTH + 1, dtype=torch.float32, device=device)


def soft_label(age_months: Tensor, width: float = 50.0) -> Tensor:
    """y_i = max(0, 1 - |i - t| / l) (Eq. 5).

    Args:
        age_months: float [n].
        width: l, months.

    Returns:
        float32 [n, 240] in [0, 1].
    """
    distance = (months(age_months.device)[None] - age_months.float()[:, None]).abs()
    return (1.0 - distance / width).clamp(min=0.0)


def log_gaussian_label(age_months: Tensor, sd: float = 15.0) -> Tensor:
    """ln G of Eq. 11, G normalised over 1..240 (the paper's is not): float32 [n, 240], exp of a row sums to 1."""
    z = (months(age_months.device)[None] - age_months.float()[:, None]) / sd
    return F.log_softmax(-0.5 * z.square(), dim=1)


def localizer_loss(
    scores: Tensor, age_months: Tensor, kind: Literal["l1", "cross_entropy"] = "l1", width: float = 50.0
) -> Tensor:
    """Phase I: mean absolute error of the linear scores [n, 240], or cross entropy with the normalised label."""
    label = soft_label(age_months, width)
    scores = scores.float()
    if kind == "l1":
        return (scores - label).abs().mean()
    label = label / label.sum(dim=1, keepdim=True)
    return -(label * F.log_softmax(scores, dim=1)).sum(dim=1).mean()


def expectation(logits: Tensor) -> Tensor:
    """Bone age in months (Eq. 8) of logits [n, 240]: float32 [n]."""
    # Not a matrix product: autocast would round it to bfloat16, whose steps are a month from 128 on.
    return (torch.softmax(logits.float(), dim=1) * months(logits.device)).sum(dim=1)


def divergence(
    logits: Tensor,
    age_months: Tensor,
    sd: float = 15.0,
    direction: Literal["target_first", "prediction_first"] = "target_first",
) -> Tensor:
    """KL(G || p), the formula of Eq. 10 ("target_first"), or KL(p || G), its title: float32 [n], nats."""
    log_p = F.log_softmax(logits.float(), dim=1)
    log_g = log_gaussian_label(age_months, sd)
    if direction == "target_first":
        return (log_g.exp() * (log_g - log_p)).sum(dim=1)
    return (log_p.exp() * (log_p - log_g)).sum(dim=1)


def distribution_loss(
    logits: Tensor,
    age_months: Tensor,
    kl_weight: float = 0.5,
    sd: float = 15.0,
    direction: Literal["target_first", "prediction_first"] = "target_first",
) -> Tensor:
    """Phase II: |y - expectation| + lambda * KL (Eq. 9-12), mean over the batch."""
    error = (expectation(logits) - age_months.float()).abs()
    if kl_weight == 0.0:
        return error.mean()
    return (error + kl_weight * divergence(logits, age_months, sd=sd, direction=direction)).mean()
