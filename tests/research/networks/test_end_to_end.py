"""One network end to end: differentiable cuts, gradients to the boxes, boxes on the image, learning."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from boneage.errors import UsageError
from boneage.regions import Box, Region
from boneage.research.networks.cuts import box_to_affine, crop, enclose_in_square, warp
from boneage.research.networks.end_to_end import (
    EndToEnd,
    EndToEndLearner,
    EndToEndOutput,
    EndToEndSettings,
    attention_loss,
    boxes_on_image,
    separation_loss,
)
from boneage.training.data.views_data import Example, NoRegions, ViewsData, ViewSource
from boneage.training.networks.losses import distribution_loss, expectation
from boneage.training.recipes.settings import Augmentation, Backbone, Schedule
from boneage.views import View, cut

SMALL = EndToEndSettings(
    Backbone("test_resnet"),
    view_size=64,
    size=32,
    channels=16,
    dropout=0.0,
    sex=(8,),
    schedule=Schedule(epochs=2, batch=8, learning_rate=2e-3, average=0.9),
)


def network(settings: EndToEndSettings = SMALL) -> EndToEnd:
    torch.manual_seed(3)
    return EndToEnd(settings)


def batch(toy: ModuleType, count: int = 8) -> Example:
    training_set = toy.toy_training_set(count, 1)
    data = ViewsData(training_set.images, training_set.train, [ViewSource(View.O)], NoRegions(), SMALL.view_size)
    return Example(*(torch.stack(parts) for parts in zip(*(data[k] for k in range(count)), strict=True)))


# Cuts


def test_a_cut_of_a_quarter_is_that_quarter() -> None:
    view = torch.arange(64, dtype=torch.float32).reshape(1, 1, 8, 8)
    boxes = torch.tensor([[[0.5, 0.0, 1.0, 0.5], [0.25, 0.25, 0.75, 0.75]]])
    assert torch.allclose(crop(view, boxes, 4)[0, 0], view[0, 0, :4, 4:], atol=1e-4)
    assert torch.allclose(crop(view, boxes, 4)[0, 1], view[0, 0, 2:6, 2:6], atol=1e-4)


def test_a_finer_cut_is_the_mean_of_the_pixels_in_it() -> None:
    view = torch.rand(1, 1, 8, 8)
    whole = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
    assert torch.allclose(crop(view, whole, 4, finer=2)[:, 0], torch.nn.functional.avg_pool2d(view, 2)[:, 0], atol=1e-5)


def test_a_turned_frame_turns_the_picture_and_black_is_outside() -> None:
    view = torch.rand(1, 1, 6, 6)
    quarter = torch.tensor([[[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]]])
    # x' = -y, y' = x: what is at the upper right of the cut comes from the lower right of the view.
    assert torch.allclose(warp(view, quarter, 6)[0, 0], torch.rot90(view[0, 0]), atol=1e-5)
    beside = torch.tensor([[[1.5, 0.0, 2.5, 1.0]]])
    assert torch.equal(crop(view, beside, 6), torch.zeros(1, 1, 6, 6))


def test_a_cut_is_that_of_a_view() -> None:
    """The same box by `boneage.views.cut`, up to its rounding to whole gray values."""
    image = (np.add.outer(np.arange(60), 2 * np.arange(60)) % 200).astype(np.uint8)
    box = Box(12.5, 7.25, 42.5, 37.25)
    ours = crop(torch.from_numpy(image)[None, None].float(), torch.tensor([[box.as_list()]]) / 60, 30)[0, 0]
    assert np.abs(ours.numpy() - cut(image, box, 30).astype(np.float32)).mean() < 1.5


def test_the_frame_of_a_box_and_its_enclose_in_square() -> None:
    box = torch.tensor([0.5, 0.25, 1.0, 0.5])
    assert torch.allclose(box_to_affine(box), torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.25, -0.25]]))
    assert torch.allclose(enclose_in_square(box), torch.tensor([0.5, 0.125, 1.0, 0.625]))


# The network


def test_shapes_types_and_ranges(toy: ModuleType) -> None:
    views, _, sex, _ = batch(toy, 3)
    found = network().eval().locate(views, sex)
    assert found.logits.shape == (3, 240)
    assert found.boxes.shape == found.crops.shape == (3, 3, 4)
    assert found.attention.shape == (3, 3, 8, 8)
    assert found.cell_scores.shape == (3, 240, 8, 8)
    assert {part.dtype for part in found} == {torch.float32}
    assert torch.allclose(found.attention.sum((2, 3)), torch.ones(3, 3), atol=1e-4)


def test_regions_lie_within_the_hands_cut_whatever_the_scores() -> None:
    net = network()
    for seed in range(5):
        scores = 6.0 * torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
        _, boxes, crops = net._find_boxes(scores)
        assert (crops[:, 1:, :2] >= crops[:, :1, :2] - 1e-5).all()
        assert (crops[:, 1:, 2:] <= crops[:, :1, 2:] + 1e-5).all()
        side = (crops[..., 2] - crops[..., 0]) / (crops[:, :1, 2] - crops[:, :1, 0])
        assert (side[:, 1:] >= SMALL.smallest - 1e-5).all()
        assert (side[:, 1:] <= SMALL.largest + 1e-5).all()
        assert (boxes[..., 2:] > boxes[..., :2]).all()


def test_a_box_spans_evenly_spread_attention() -> None:
    """Attention spread evenly over cells 2..5 of 8 gives a box a little wider than those four cells' spread."""
    scores = torch.full((1, 3, 8, 8), -30.0)
    scores[:, :, 2:6, 1:7] = 0.0
    _, boxes, _ = network()._find_boxes(scores)
    assert torch.allclose(boxes[0, 0], torch.tensor([1 / 8, 2 / 8, 7 / 8, 6 / 8]), atol=0.02)


def test_the_age_loss_moves_the_boxes(toy: ModuleType) -> None:
    """The distribution loss alone reaches attention, locator and the size of the boxes, through the cuts."""
    views, ages, sex, _ = batch(toy)
    net = network()
    torch.nn.init.normal_(net.attention.weight, 0.0, 0.05)
    distribution_loss(net(views, sex), ages).backward()
    for parameter in (net.attention.weight, net.log_gain, next(net.locator.parameters())):
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().sum() > 0
    assert net.ages.weight.grad is None  # phase I's scores are the auxiliary loss's alone


def test_attention_goes_to_the_cell_that_knows_the_age() -> None:
    """One cell knows the age, the others nothing: the energy falls as attention moves there, less so when heated."""
    scores = torch.zeros(1, 240, 2, 2)
    scores[0, 99, 0, 0] = 5.0
    even, there = torch.full((1, 3, 2, 2), 0.25), torch.zeros(1, 3, 2, 2)
    there[..., 0, 0] = 1.0
    empty = torch.zeros(1, 3, 4)

    def energy(attention: torch.Tensor, heat: float) -> float:
        found = EndToEndOutput(torch.zeros(1, 240), empty, empty, attention, scores)
        return float(attention_loss(found, torch.tensor([100.0]), (heat,) * 3, width=1.0))

    assert energy(there, 0.01) < energy(even, 0.01)
    assert energy(there, 10.0) > energy(even, 10.0)


def test_regions_are_kept_apart_with_region_1_below() -> None:
    hand = [0.0, 0.0, 1.0, 1.0]
    below, above = [0.4, 0.6, 0.6, 0.8], [0.4, 0.3, 0.6, 0.5]
    assert separation_loss(torch.tensor([[hand, below, above]])) == 0.0
    assert separation_loss(torch.tensor([[hand, above, below]])) == pytest.approx(0.7 + 1.5)
    assert separation_loss(torch.tensor([[hand, below, below]])) == pytest.approx(0.7)


def test_boxes_on_the_image_invert_the_view() -> None:
    image = np.zeros((400, 200), dtype=np.uint8)  # its view is padded by 100 columns on either side
    boxes = torch.tensor([[0.25, 0.0, 0.75, 1.0], [0.5, 0.5, 0.75, 0.75], [0.0, 0.0, 0.2, 0.2]])
    found = boxes_on_image(boxes, image)
    assert found[Region.HAND] == Box(0.0, 0.0, 200.0, 400.0)
    assert found[Region.REGION_1] == Box(100.0, 200.0, 200.0, 300.0)
    assert found[Region.REGION_2] == Box(0.0, 0.0, 200.0, 400.0)  # beside the image: all of it
    assert boxes_on_image(boxes, image, squash=True)[Region.REGION_1] == Box(100.0, 200.0, 150.0, 300.0)


def test_the_error_is_that_of_the_mean_over_both_mirror_images(toy: ModuleType) -> None:
    examples = batch(toy, 4)
    net = network().eval()
    learner = EndToEndLearner(net, SMALL, seed=0, steps_per_epoch=1)
    with torch.no_grad():
        error = learner.error(net, examples)
        both = [expectation(net(views, examples.sex)) for views in (examples.views, examples.views.flip(3))]
    assert torch.allclose(error, (sum(both) / 2 - examples.age_months).abs(), atol=1e-3)


def _losses(toy: ModuleType, steps: int) -> list[float]:
    examples = batch(toy)
    net = network()
    learner = EndToEndLearner(net, SMALL, seed=0, steps_per_epoch=1)
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = learner.loss(net, examples)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_it_learns_and_the_same_seed_gives_the_same_numbers(toy: ModuleType) -> None:
    losses = _losses(toy, 25)
    assert losses[-1] < 0.9 * losses[0]
    assert _losses(toy, 3) == losses[:3]


def test_augmented_images_train_it(toy: ModuleType) -> None:
    training_set = toy.toy_training_set(4, 1)
    data = ViewsData(
        training_set.images,
        training_set.train,
        [ViewSource(View.O)],
        NoRegions(),
        SMALL.view_size,
        augmentation=Augmentation(),
    )
    examples = Example(*(torch.stack(parts) for parts in zip(*(data[k] for k in range(4)), strict=True)))
    assert torch.isfinite(EndToEndLearner(network(), SMALL, seed=0, steps_per_epoch=1).loss(network(), examples))


@pytest.mark.parametrize("change", [{"view_size": 100}, {"temperature": (0.1, 0.0, 0.1)}])
def test_settings_that_cannot_be_built_are_refused(change: dict[str, object], refuses: Any) -> None:
    with refuses(UsageError, "setting_out_of_range"):
        EndToEnd(dataclasses.replace(SMALL, **change))  # type: ignore[arg-type]
