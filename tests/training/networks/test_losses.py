from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from boneage.ages import MONTHS, expectation_months
from boneage.training.networks.losses import (
    distribution_loss,
    divergence,
    expectation,
    localizer_loss,
    log_gaussian_label,
    soft_label,
)

AGES = torch.tensor([1.0, 12.5, 120.0, 240.0])


def test_soft_label_is_equation_5() -> None:
    label = soft_label(AGES, 50.0).numpy()
    for row, age in zip(label, AGES.numpy(), strict=True):
        expected = [max(0.0, 1 - abs(month - age) / 50) for month in range(1, 241)]
        np.testing.assert_allclose(row, expected, atol=1e-6)
    assert label[2].argmax() == 119  # 120 months is the 120th class, counted from 1


def test_gaussian_label_is_normalised_on_the_axis() -> None:
    label = log_gaussian_label(AGES, 15.0).exp().double().numpy()
    np.testing.assert_allclose(label.sum(axis=1), 1.0, atol=1e-6)
    ratio = label[2][119] / label[2][119 + 15]
    assert ratio == pytest.approx(np.exp(0.5), rel=1e-5)


def test_divergence_is_the_formula_and_not_the_title() -> None:
    logits = torch.randn(4, 240)
    p, g = torch.softmax(logits, 1).double().numpy(), log_gaussian_label(AGES).exp().double().numpy().clip(1e-300)
    np.testing.assert_allclose(divergence(logits, AGES).numpy(), (g * np.log(g / p)).sum(1), rtol=1e-4)
    log_g = torch.log_softmax(-0.5 * ((torch.tensor(MONTHS)[None] - AGES[:, None]) / 15.0) ** 2, 1).double().numpy()
    expected = (p * (np.log(p) - log_g)).sum(1)
    np.testing.assert_allclose(divergence(logits, AGES, direction="prediction_first").numpy(), expected, rtol=1e-4)


def test_the_best_answer_has_no_divergence() -> None:
    logits = log_gaussian_label(AGES).clamp(min=-80)
    np.testing.assert_allclose(divergence(logits, AGES).numpy(), 0.0, atol=1e-4)
    middle = torch.tensor([120.0])
    assert float(distribution_loss(log_gaussian_label(middle), middle)) == pytest.approx(0.0, abs=1e-3)


def test_expectation_is_the_one_of_the_nouns() -> None:
    logits = torch.randn(3, 240)
    expected = expectation_months(torch.softmax(logits, 1).numpy())
    np.testing.assert_allclose(expectation(logits).numpy(), expected, rtol=1e-5)


def test_losses_of_the_localizer() -> None:
    label = soft_label(AGES)
    assert float(localizer_loss(label, AGES, "l1")) == 0.0
    assert float(localizer_loss(label + 0.25, AGES, "l1")) == pytest.approx(0.25)
    right = (label / label.sum(1, keepdim=True)).clamp(min=1e-12).log()
    assert localizer_loss(right, AGES, "cross_entropy") < localizer_loss(label, AGES, "cross_entropy")


@pytest.mark.parametrize("months", [150.3, 200.4])
def test_ages_are_not_rounded_to_months_under_autocast(months: float) -> None:
    """bfloat16 has steps of one month from 128 on."""
    logits = torch.full((1, 240), -50.0)
    low = int(months)
    logits[0, low - 1], logits[0, low] = math.log(low + 1 - months), math.log(months - low)
    with torch.autocast("cpu", torch.bfloat16):
        assert float(expectation(logits)) == pytest.approx(months, abs=1e-3)
