"""Baselines: one interface, what they see, what they learn from, and that each learns."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from boneage.assessment import Attention
from boneage.errors import DatasetError, TrainingError, UsageError
from boneage.phantom.dataset import Settings, write_phantoms
from boneage.phantom.dataset_tables import FIRST_ID
from boneage.phantom.truth_folder import KnownHand, TruthFolder
from boneage.pipeline.localization import Localization
from boneage.regions import Box, Region
from boneage.research.baselines import (
    BASELINES,
    Baseline,
    FromTruth,
    LinearCorrection,
    MaskedSource,
    WithHandMaps,
    decode_months,
    predict_months,
)
from boneage.research.baselines.baseline import l1_months, l2_months
from boneage.research.baselines.escobar_2019 import points_to_crop
from boneage.research.baselines.iglovikov_2018 import dice_loss, register_hand
from boneage.research.baselines.map_networks import SmallUNet, draw_heat_maps
from boneage.research.baselines.sources import KEY_POINTS, TrueRegions, TruthData, TruthTargets, threshold_attention
from boneage.research.baselines.whole_image import DeformationNetwork, hard_label_loss
from boneage.training.data.views_data import Example, FromTable, NoRegions, ViewSource
from boneage.training.recipes.settings import NO_AUGMENTATION, Augmentation, Backbone, Schedule
from boneage.views import GeometricAugmentation, View, cut, points_in_view, whole

BACKBONE, SIZE = Backbone("test_resnet"), 64
SCHEDULE = Schedule(epochs=4, batch=4, learning_rate=1e-3, average=0.9)
NAMES = sorted(BASELINES)
KNOWING = sorted(name for name, baseline in BASELINES.items() if baseline.data is TruthData)


def network(baseline: Baseline, size: int = SIZE) -> torch.nn.Module:
    torch.manual_seed(1)
    return baseline.network(BACKBONE, size)


class ToyTruth:
    """A truth for toy images: the hand is the left half, the key points lie on a diagonal."""

    def __init__(self, images: dict[str, np.ndarray], enlarged: int = 1) -> None:
        self.images, self.enlarged = images, enlarged

    def __call__(self, case_id: str) -> KnownHand:
        height, width = (self.enlarged * side for side in self.images[case_id].shape)
        mask = np.zeros((height, width), dtype=bool)
        mask[:, : width // 2] = True
        at = np.linspace(0.1, 0.9, len(KEY_POINTS))
        points = {name: (a * width, a * height) for name, a in zip(KEY_POINTS, at, strict=True)}
        return KnownHand(mask, {Region.HAND: Box(0, 0, width / 2, height)}, points)


def batch(
    baseline: Baseline, toy: ModuleType, count: int = 4, augmentation: Augmentation | None = NO_AUGMENTATION
) -> Example:
    training_set = toy.toy_training_set(count, 1)
    truth = FromTruth(ToyTruth(training_set.images.pictures), training_set.images)
    attention = Attention(np.eye(4, dtype=np.float32), Box(0, 0, 64, 64))
    found = Localization({Region.HAND: Box(8, 8, 56, 60)}, {Region.HAND: attention})
    regions_of = truth if baseline.needs else FromTable(dict.fromkeys(training_set.ids, found))
    data = baseline.views(training_set.images, training_set.train, regions_of, SIZE, augmentation=augmentation)
    return Example(*(torch.stack(parts) for parts in zip(*(data[k] for k in range(count)), strict=True)))


# One interface


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_predicts_months_and_names_its_publication(name: str, toy: ModuleType) -> None:
    baseline = BASELINES[name]
    views, ages, sex, _ = batch(baseline, toy)
    assert views.dtype == torch.uint8
    assert views.shape[2] == SIZE * baseline.scale
    with torch.no_grad():
        answer = network(baseline).eval()(views, sex)
    assert answer.dtype == torch.float32
    assert answer.shape in [(4,), (4, 240)]
    months = decode_months(answer)
    assert months.shape == (4,)
    assert ((months > 60) & (months < 190)).all()
    assert torch.isfinite(baseline.loss(answer, ages))
    assert baseline.name == name
    assert baseline.citation
    assert baseline.differs


@pytest.mark.parametrize("name", NAMES)
def test_every_baselines_loss_falls_and_the_same_seed_gives_the_same_numbers(name: str, toy: ModuleType) -> None:
    baseline = BASELINES[name]
    examples = batch(baseline, toy)

    def losses(steps: int) -> list[float]:
        net = network(baseline)
        for module in net.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        learner = baseline.learner(net, SCHEDULE, seed=0, steps_per_epoch=1)
        optimizer = torch.optim.Adam(net.parameters(), 1e-3)
        values = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = learner.loss(net, examples)
            loss.backward()
            optimizer.step()
            values.append(loss.item())
        return values

    fallen = losses(15)
    assert fallen[-1] < 0.9 * fallen[0]
    assert losses(2) == fallen[:2]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"spampinato-2017"}))
def test_the_sex_is_an_input_and_its_absence_is_refused(name: str, toy: ModuleType, refuses: Any) -> None:
    net = network(BASELINES[name]).eval()
    views, _, sex, _ = batch(BASELINES[name], toy, 2)
    with torch.no_grad():
        assert not torch.allclose(net(views, torch.ones_like(sex)), net(views, -torch.ones_like(sex)))
    with refuses(UsageError, "sex_needed"):
        net(views, None)


def test_the_error_is_in_months_and_may_be_averaged_over_mirror_images(toy: ModuleType) -> None:
    baseline = BASELINES["winner-2017"]
    examples = batch(baseline, toy)
    net = network(baseline).eval()
    learner = baseline.learner(net, SCHEDULE, seed=0, steps_per_epoch=1, average_mirror=True)
    with torch.no_grad():
        months = (net(examples.views, examples.sex) + net(examples.views.flip(3), examples.sex)) / 2
        assert torch.allclose(predict_months(net, examples.views, examples.sex, mirror=True), months)
        assert torch.allclose(learner.error(net, examples), (months - examples.age_months).abs())


# Losses, worked out by hand


def test_losses_by_hand() -> None:
    months, ages = torch.tensor([100.0, 60.0]), torch.tensor([90.0, 100.0])
    assert l1_months(months, ages) == 25.0
    assert l2_months(months, ages) == pytest.approx((10.0**2 + 40.0**2) / 2 / 40.0**2)
    logits = torch.zeros(1, 240)
    assert hard_label_loss(logits, torch.tensor([12.4])) == pytest.approx(np.log(240), rel=1e-5)
    logits[0, 11] = 30.0  # month 12
    assert hard_label_loss(logits, torch.tensor([12.4])) < 1e-5
    assert hard_label_loss(logits, torch.tensor([13.0])) > 20
    empty, full = torch.full((1, 1, 2, 2), -20.0), torch.full((1, 1, 2, 2), 20.0)
    assert dice_loss(full, torch.ones(1, 1, 2, 2)) == pytest.approx(0.0, abs=1e-4)
    assert dice_loss(empty, torch.ones(1, 1, 2, 2)) == pytest.approx(1 - 1 / 5, abs=1e-4)


# The linear correction


def test_the_correction_is_the_least_squares_line() -> None:
    # Means 20 and 26; sum of products 400, of squares 200: slope 2, intercept 26 - 2 * 20.
    correction = LinearCorrection.fit([10, 20, 30], [6, 26, 46])
    assert (correction.intercept, correction.slope) == (pytest.approx(-14.0), pytest.approx(2.0))
    assert correction([20.0, 200.0]).tolist() == [pytest.approx(26.0), 240.0]
    assert LinearCorrection()([5.5]).tolist() == [5.5]
    # Means 2 and 7/3; products 3, squares 2.
    uneven = LinearCorrection.fit([1, 2, 3], [1, 2, 4])
    assert (uneven.slope, uneven.intercept) == (pytest.approx(1.5), pytest.approx(7 / 3 - 3))


@pytest.mark.parametrize(
    ("predicted", "ages", "code"),
    [
        ([1], [1], "unpaired_predictions"),
        ([1, 2], [1], "unpaired_predictions"),
        ([5, 5], [1, 2], "no_linear_correction"),
    ],
)
def test_points_without_a_line_are_refused(predicted: list[float], ages: list[float], code: str, refuses: Any) -> None:
    with refuses(UsageError, code):
        LinearCorrection.fit(predicted, ages)


# Masks


IMAGE = np.full((40, 30), 100, dtype=np.uint8)


def test_the_box_mask_blackens_everything_outside_the_box() -> None:
    found = Localization({Region.HAND: Box(5, 10, 25, 30)})
    picture, box = MaskedSource("box")(IMAGE, found)
    assert box == Box(5, 10, 25, 30)
    assert (picture[10:30, 5:25] == 100).all()
    assert int((picture > 0).sum()) == 20 * 20
    assert (IMAGE == 100).all()


def test_the_true_mask_blackens_everything_outside_the_hand() -> None:
    mask = np.zeros(IMAGE.shape, dtype=bool)
    mask[3:20, 4:9] = mask[15:20, 4:20] = True
    picture, box = MaskedSource("truth")(IMAGE, TrueRegions({}, mask=mask))
    assert box == Box(4, 3, 20, 20)
    assert np.array_equal(picture > 0, mask)


def test_the_attention_mask_is_the_largest_component_over_tau_on_the_image() -> None:
    evidence = np.zeros((4, 4), dtype=np.float32)
    evidence[1:4, 1:3] = 1.0
    evidence[0, 3] = 0.6
    # The map covers a square that reaches 5 pixels beyond the image on both sides; a cell is 10 pixels of the image.
    attention = Attention(evidence, Box(-5, 0, 35, 40))
    mask = threshold_attention(attention, IMAGE.shape, 0.5)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (10, 39, 5, 24)
    picture, box = MaskedSource("attention", 0.5)(IMAGE, Localization({}, {Region.HAND: attention}))
    assert np.array_equal(picture > 0, mask)
    assert box == Box(5, 10, 25, 40)


def test_hand_maps_are_added_to_the_regions_of_a_table(toy: ModuleType) -> None:
    images = toy.ToyImages(1)  # 72 x 64: the localizer's square reaches 4 pixels beyond it on either side
    evidence = np.zeros((9, 9), dtype=np.float32)
    evidence[3:5, 2:5] = 1.0
    found = WithHandMaps({"c0": Localization({Region.HAND: Box(1, 2, 3, 4)})}, {"c0": evidence}, images)("c0", None)
    assert found.boxes[Region.HAND] == Box(1, 2, 3, 4)
    _, box = MaskedSource("attention", 0.5)(images.image("c0"), found)
    assert box == Box(12, 24, 36, 40)


def test_a_map_without_evidence_leaves_the_image_as_it_is() -> None:
    attention = Attention(np.zeros((4, 4), dtype=np.float32), Box(0, 0, 40, 40))
    picture, box = MaskedSource("attention")(IMAGE, Localization({}, {Region.HAND: attention}))
    assert picture is IMAGE
    assert box == whole(IMAGE)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("truth", "true_mask_missing"), ("attention", "attention_map_missing"), ("box", "hand_box_missing")],
)
def test_a_mask_without_its_source_is_refused(kind: str, code: str, refuses: Any) -> None:
    with refuses(TrainingError, code):
        MaskedSource(kind)(IMAGE, Localization())  # type: ignore[arg-type]


# The truth


def test_the_truth_of_phantoms_is_read_back(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "set", 1, Settings(seed=3, size=200))
    hand = TruthFolder(tmp_path / "set")(str(FIRST_ID))
    record = json.loads((tmp_path / "set" / "truth" / f"{FIRST_ID}.json").read_text())["truth"]
    assert hand.mask.shape == (record["height"], record["width"])
    rows = np.flatnonzero(hand.mask.any(axis=1))
    assert (hand.boxes[Region.HAND].y0, hand.boxes[Region.HAND].y1) == (rows[0], rows[-1] + 1)
    assert list(hand.key_points["capitate"]) == record["hands"][0]["key_points"]["capitate"]
    assert set(KEY_POINTS) <= set(hand.key_points)


def test_a_folder_without_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="phantoms only"):
        TruthFolder(tmp_path)
    (tmp_path / "truth").mkdir()
    with pytest.raises(DatasetError, match="case '7' cannot be read"):
        TruthFolder(tmp_path)("7")
    (tmp_path / "truth" / "8.json").write_text('{"truth": {"hands": []}}')
    with pytest.raises(DatasetError, match="case '8' cannot be read"):
        TruthFolder(tmp_path)("8")


def test_the_truth_is_scaled_to_the_image(toy: ModuleType) -> None:
    images = toy.ToyImages(1)
    known = FromTruth(ToyTruth(images.pictures, enlarged=3), images)("c0", None)
    plain = FromTruth(ToyTruth(images.pictures), images)("c0", None)
    assert known.mask is not None
    assert plain.mask is not None
    assert np.array_equal(known.mask, plain.mask)
    assert known.boxes == plain.boxes
    assert np.allclose(known.key_points, plain.key_points)  # type: ignore[arg-type]


def test_a_missing_key_point_is_refused(toy: ModuleType, refuses: Any) -> None:
    images = toy.ToyImages(1)

    def truth(case_id: str) -> KnownHand:
        hand = ToyTruth(images.pictures)(case_id)
        return KnownHand(hand.mask, hand.boxes, {k: v for k, v in hand.key_points.items() if k != "capitate"})

    with refuses(TrainingError, "key_points_missing"):
        FromTruth(truth, images)("c0", None)


@pytest.mark.parametrize(
    "geometry",
    [
        GeometricAugmentation(),
        GeometricAugmentation(25.0, 1.2, 0.05, -0.03),
        GeometricAugmentation(-15.0, 0.9, mirror=True),
    ],
    ids=["plain", "turned", "mirror"],
)
@pytest.mark.parametrize("squash", [False, True])
def test_points_follow_the_view(geometry: GeometricAugmentation, squash: bool) -> None:
    image = np.zeros((120, 90), dtype=np.uint8)
    image[66:69, 30:33] = 255
    box = Box(5, 10, 85, 115)
    (place,) = points_in_view([(31.5, 67.5)], box, 64, squash=squash, augmentation=geometry)
    view = cut(image, box, 64, squash=squash, augmentation=geometry).astype(float)
    y, x = np.mgrid[:64, :64] + 0.5
    assert np.allclose(place, [(view * x).sum() / view.sum(), (view * y).sum() / view.sum()], atol=0.35)


def test_targets_lie_where_the_view_shows_them(toy: ModuleType) -> None:
    views, _, _, targets = batch(BASELINES["iglovikov-2018"], toy, 2)
    truth = TruthTargets.unpack(targets)
    side = views.shape[2]
    assert truth.mask.shape == (2, 1, side // 4, side // 4)
    # 72 x 64 images letterboxed to a square: 4 of 72 are padding on either side; the hand is the left half.
    assert torch.allclose(truth.box[0], torch.tensor([4 / 72, 0.0, 0.5, 1.0]), atol=0.02)
    assert torch.allclose(truth.points[0, 0], torch.tensor([(4 + 6.4) / 72, 0.1]), atol=1e-4)
    assert truth.mask[0, 0, 10, 8] == 1.0
    assert truth.mask[0, 0, 10, 20] == 0.0


@pytest.mark.parametrize("name", KNOWING)
def test_baselines_that_need_a_truth_refuse_to_learn_without_it(name: str, toy: ModuleType, refuses: Any) -> None:
    baseline = BASELINES[name]
    training_set = toy.toy_training_set(2, 1)
    with refuses(TrainingError, "truth_missing"):
        baseline.views(training_set.images, training_set.train, NoRegions(), SIZE, augmentation=NO_AUGMENTATION)[0]
    # Measuring needs no truth. Learning from the same batches is refused.
    plain = baseline.views(training_set.images, training_set.train, NoRegions(), SIZE)
    examples = Example(*(torch.stack(parts) for parts in zip(plain[0], plain[1], strict=True)))
    net = network(baseline).eval()
    learner = baseline.learner(net, SCHEDULE, seed=0, steps_per_epoch=1)
    with torch.no_grad():
        assert learner.error(net, examples).shape == (2,)
    with refuses(TrainingError, "truth_missing"):
        learner.loss(net, examples)


# Registration, heat maps, deformation


def test_registration_puts_capitate_and_fingertip_in_place_and_thumbs_to_the_right() -> None:
    def where(affine: torch.Tensor, point: list[float]) -> torch.Tensor:
        """Where a frame's cut shows a point of the view, -1 to 1."""
        return torch.linalg.solve(affine[:, :2], 2 * torch.tensor(point) - 1 - affine[:, 2])

    tip, capitate, thumb = [0.5, 0.1], [0.5, 0.7], [0.8, 0.4]
    hand = register_hand(torch.tensor([[tip, capitate, thumb]]))[0, 0]
    assert torch.allclose(where(hand, capitate), torch.tensor([0.0, 0.45 / 0.7]), atol=1e-5)
    assert torch.allclose(where(hand, tip), torch.tensor([0.0, -0.55 / 0.7]), atol=1e-5)
    assert where(hand, thumb)[0] > 0
    mirrored = register_hand(torch.tensor([[tip, capitate, [0.2, 0.4]]]))[0, 0]
    assert torch.allclose(where(mirrored, [0.2, 0.4]), where(hand, thumb), atol=1e-5)
    # Turned by 90 degrees about the middle of the view, the hand is registered to the same place.
    turned = register_hand(torch.tensor([[[0.9, 0.5], [0.3, 0.5], [0.6, 0.8]]]))[0, 0]
    assert torch.allclose(where(turned, [0.6, 0.8]), where(hand, thumb), atol=1e-5)
    together = register_hand(torch.full((1, 3, 2), 0.5))
    assert torch.isfinite(together).all()
    assert torch.linalg.det(together[0, :, :, :2]).abs().min() > 0


def test_heat_maps_by_hand() -> None:
    heat = draw_heat_maps(torch.tensor([[[0.25, 0.75]]]), 2, 0.5)
    assert heat[0, 0, 1, 0] == 1.0
    assert heat[0, 0, 1, 1] == pytest.approx(np.exp(-0.5))
    assert heat[0, 0, 0, 1] == pytest.approx(np.exp(-1.0))
    crop = torch.tensor([[0.25, 0.5, 0.75, 1.0]])
    assert torch.allclose(points_to_crop(torch.tensor([[[0.5, 0.75]]]), crop), torch.tensor([[[0.5, 0.5]]]))


def test_the_mask_network_answers_at_its_inputs_size() -> None:
    assert SmallUNet()(torch.zeros(2, 1, 16, 16)).shape == (2, 1, 16, 16)


def test_the_deformation_starts_as_the_identity_and_learns(refuses: Any) -> None:
    net = DeformationNetwork(BACKBONE, SIZE, "none")
    views = torch.randint(0, 255, (2, 1, SIZE, SIZE)).byte()
    assert torch.allclose(net.affine(torch.randn(2, 32)), torch.tensor([1.0, 0, 0, 0, 1, 0]).expand(2, 6))
    net(views).sum().backward()
    assert net.affine.weight.grad is not None
    assert net.affine.weight.grad.abs().sum() > 0
    with refuses(UsageError, "view_too_small"):
        DeformationNetwork(BACKBONE, 32, "none")


@pytest.mark.parametrize("name", KNOWING)
def test_sizes_that_do_not_fit_are_refused(name: str, refuses: Any) -> None:
    with refuses(UsageError, "setting_out_of_range"):
        BASELINES[name].network(BACKBONE, 36)


def test_whole_image_baselines_see_the_whole_image() -> None:
    assert BASELINES["winner-2017"].sources == (ViewSource(View.O),)
    assert not BASELINES["winner-2017"].needs
    assert BASELINES["deeplasia-box"].regions == {Region.HAND}
    assert BASELINES["deeplasia-box"].corrected
    assert BASELINES["deeplasia-true-mask"].needs == {"mask"}
    assert [name for name in NAMES if BASELINES[name].answers_from_truth] == ["deeplasia-true-mask"]
