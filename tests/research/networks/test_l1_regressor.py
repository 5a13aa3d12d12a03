"""The age network with L1: months, loss and error, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from boneage.research.networks.l1_regressor import L1Learner, L1Regressor, predict_l1_months
from boneage.training.data.views_data import Example
from boneage.training.recipes.settings import Backbone, RegressorSettings

SETTINGS = RegressorSettings(views=("O",), size=32, backbone=Backbone("test_resnet"), sex=(8,))


def examples(count: int = 3) -> Example:
    views = torch.randint(0, 255, (count, 1, 32, 32)).byte()
    return Example(views, torch.linspace(60.0, 180.0, count), torch.ones(count, 1), torch.empty(count, 0))


def network(settings: RegressorSettings = SETTINGS) -> L1Regressor:
    return L1Regressor(settings).eval()


def test_it_starts_near_the_mean_age_and_gives_one_number_a_case() -> None:
    batch = examples()
    months = network()(batch.views, batch.sex)
    assert months.shape == (3,)
    assert ((months > 60) & (months < 200)).all()


def test_a_last_layer_of_zeros_answers_127_months_and_its_loss_is_the_mean_distance() -> None:
    net, batch = network(), examples()
    torch.nn.init.zeros_(net.answer.weight)
    learner = L1Learner(net, SETTINGS, seed=0, steps_per_epoch=1)
    assert torch.allclose(net(batch.views, batch.sex), torch.full((3,), 127.0))
    # Ages 60, 120, 180: distances 67, 7, 53.
    assert learner.loss(net, batch).item() == pytest.approx(127 / 3, abs=1e-4)
    assert learner.error(net, batch).tolist() == pytest.approx([67.0, 7.0, 53.0])


def test_months_may_be_averaged_over_mirror_images() -> None:
    net, batch = network(), examples()
    plain, mirrored = net(batch.views, batch.sex), net(batch.views.flip(3), batch.sex)
    assert torch.allclose(predict_l1_months(net, batch, mirror=True), (plain + mirrored) / 2)
    assert torch.equal(predict_l1_months(net, batch, mirror=False), plain)
