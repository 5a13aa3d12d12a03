"""Age networks: every sex embedding, fusion and head of the recipes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from boneage.errors import UsageError
from boneage.training.networks.age_network import AgeRegressor
from boneage.training.recipes.settings import Backbone, RegressorSettings

SMALL = Backbone("mobilenetv2_050")


def views(count: int, channels: int, size: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8)


@pytest.mark.parametrize("sex", [(), (16,), (32,), (64,), (64, 32)])
@pytest.mark.parametrize("fusion", ["stacked", "shared"])
def test_regressors_with_every_sex_embedding_of_table_3(sex: tuple[int, ...], fusion: Any) -> None:
    settings = RegressorSettings(views=("O", "E"), size=32, backbone=SMALL, sex=sex, fusion=fusion)
    network = AgeRegressor(settings).eval()
    picture, signs = views(2, 2, 32), torch.tensor([[1.0], [-1.0]])
    answer = network(picture, signs)
    assert answer.shape == (2, 240)
    assert torch.equal(answer, network(picture, -signs)) is (not sex)


def test_other_heads_and_fusions() -> None:
    mean = RegressorSettings(views=("H", "R1", "R2"), size=32, backbone=SMALL, fusion="shared", merge="mean")
    assert AgeRegressor(mean).eval()(views(2, 3, 32), torch.ones(2, 1)).shape == (2, 240)
    paper = RegressorSettings(views=("H",), size=96, backbone=Backbone("mobilenetv2_050", stages=4), head="paper")
    assert AgeRegressor(paper).eval()(views(2, 1, 96), torch.ones(2, 1)).shape == (2, 240)


def test_the_papers_head_needs_a_feature_map_of_five_cells(refuses: Any) -> None:
    with refuses(UsageError, "view_too_small"):
        AgeRegressor(RegressorSettings(views=("H",), size=32, backbone=SMALL, head="paper"))


def test_a_network_with_a_sex_input_needs_the_sex(refuses: Any) -> None:
    network = AgeRegressor(RegressorSettings(views=("O",), size=32, backbone=SMALL)).eval()
    with refuses(UsageError, "sex_needed"):
        network(views(1, 1, 32))


@pytest.mark.parametrize(("fusion", "merge"), [("stacked", "concat"), ("shared", "concat"), ("shared", "mean")])
def test_the_answer_follows_from_the_penultimate_activations(fusion: Any, merge: Any) -> None:
    settings = RegressorSettings(views=("H", "R1"), size=32, backbone=SMALL, fusion=fusion, merge=merge)
    network = AgeRegressor(settings).eval()
    picture, sex = views(2, 2, 32), torch.ones(2, 1)
    with torch.no_grad():
        features = network.penultimate(picture)
        assert features.shape == (2, (1 if fusion == "stacked" else 2) * network.features.out_channels)
        torch.testing.assert_close(network.answer_of(features, sex), network(picture, sex))
