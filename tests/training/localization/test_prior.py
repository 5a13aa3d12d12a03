"""Where the population looks: bands, priors, and the weighed map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from boneage.assessment import Attention  # noqa: E402
from boneage.errors import TrainingError  # noqa: E402
from boneage.regions import Box, Region, box_of_map  # noqa: E402
from boneage.training.localization.prior import PopulationPrior, PriorLocalizer, on_hand  # noqa: E402
from boneage.training.networks.localizer import Localizer  # noqa: E402
from boneage.training.recipes.settings import Backbone, LocalizerSettings  # noqa: E402

SIDE = 28


def hand(*rows: int, column: int = 14, height: float = 1.0) -> np.ndarray:
    """A map with one spot a row."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    spots = [np.exp(-((y - row) ** 2 + (x - column) ** 2) / 4) for row in rows]
    return np.asarray(height * np.sum(spots, axis=0), dtype=np.float32)


ALL = np.ones((SIDE, SIDE), dtype=bool)


def population_of(*maps: np.ndarray) -> PopulationPrior:
    return PopulationPrior.of([(found, ALL) for found in maps])


def test_the_valleys_lie_between_fingers_metacarpal_heads_and_carpus() -> None:
    population = population_of(*[hand(5, 13, 22)] * 3)
    upper, lower = population.valleys
    assert 8 <= upper <= 10
    assert 16 <= lower <= 18


@pytest.mark.parametrize(("region", "row"), [(Region.REGION_1, 22), (Region.REGION_2, 13)])
def test_a_prior_holds_its_own_band_only(region: Region, row: int) -> None:
    prior = population_of(hand(5, 13, 22)).prior(region)
    assert prior.max() == pytest.approx(1.0)
    assert prior[row, 14] == pytest.approx(1.0)
    others = {5, 13, 22} - {row}
    assert all(prior[other].max() == 0.0 for other in others)


def test_images_are_counted_not_their_brightness() -> None:
    marker = 1000.0 * hand(24, column=2)
    share = population_of(*[hand(5, 13, 22)] * 3, hand(5, 13, 22) + marker).share
    assert share[22, 14] == pytest.approx(1.0)
    assert share[24, 2] == pytest.approx(1 / 3, abs=0.1)  # one image of four against three: there the marker is all


def test_attention_all_over_a_band_does_not_count() -> None:
    haze = np.ones((SIDE, SIDE), dtype=np.float32)
    haze[:, 20:] = 0.0
    prior = population_of(*[hand(5, 13, 22)] * 4, haze).prior(Region.REGION_1)
    assert prior[22, 14] == pytest.approx(1.0)
    assert prior[25, 2] == 0.0


def test_every_image_counts_the_same_however_strong_its_map() -> None:
    weak, strong = hand(5, 13, 22), hand(5, 13, 22, column=20, height=1000.0)
    share = population_of(weak, strong).share
    # Symmetric: the spot of column 20 is seen at column 7 as well, and neither side is halved by the other.
    assert share[13, 7] == share[13, 14] == share[13, 20] > 0.4


def test_stored_shares_give_the_same_population() -> None:
    population = population_of(hand(5, 13, 22), hand(6, 13, 21, column=17))
    again = PopulationPrior.from_share(population.share)
    assert again.valleys == population.valleys
    assert np.array_equal(again.prior(Region.REGION_1), population.prior(Region.REGION_1))


def test_right_hands_fit_as_well() -> None:
    mean = population_of(hand(5, 13, 22, column=20)).share
    assert np.allclose(mean, mean[:, ::-1])


def test_images_without_attention_do_not_count() -> None:
    assert np.allclose(
        population_of(hand(5, 13, 22), np.zeros((SIDE, SIDE))).share, population_of(hand(5, 13, 22)).share
    )


@pytest.mark.parametrize("maps", [[], [np.zeros((SIDE, SIDE), np.float32)]])
def test_no_attention_at_all_is_an_error(maps: list[np.ndarray], refuses: Any) -> None:
    with refuses(TrainingError, "no_attention"):
        population_of(*maps)


def test_with_two_bands_the_upper_one_reaches_as_far_up_as_down() -> None:
    upper, lower = population_of(*[hand(13, 22)] * 3).valleys
    assert 16 <= lower <= 18
    assert upper == 2 * 13 - lower


def test_a_population_with_one_band_is_an_error(refuses: Any) -> None:
    with refuses(TrainingError, "no_bands"):
        population_of(hand(20))


def test_the_weighed_map_is_found_in_its_band_though_another_place_is_brighter() -> None:
    found = weighed(
        hand(5, height=5.0) + hand(13) + hand(22, column=10), population_of(hand(5, 13, 22)).prior(Region.REGION_1)
    )
    assert found.min() >= 0.0
    box = box_of_map(found, 0.5)
    assert box is not None
    x, y = box.center
    assert abs(y - 22.5) < 2
    assert 9 < x < 14.5  # between the image's own spot and that of the population


def test_attention_beside_the_hand_does_not_count() -> None:
    ground = hand(5, 13, 22)
    ground[:, 22:] = 5.0  # brighter than any joint, in every image
    share = PopulationPrior.of([(ground, np.arange(SIDE)[None] < np.full((SIDE, 1), 22))]).share
    assert share[22, 14] == pytest.approx(1.0)
    assert share[:, 24:].max() == 0.0


def test_where_the_hand_lies_is_carried_into_another_frame() -> None:
    # The hand fills the right half of an image of 100 x 100; the frame is the upper 50 x 50 of that half.
    seen = Attention(np.repeat([[0.0, 0.0, 1.0, 1.0]], 4, axis=0).astype(np.float32), Box(0, 0, 100, 100))
    assert on_hand(seen, 0.5, Box(50, 0, 100, 50), 4).all()
    assert not on_hand(seen, 0.5, Box(0, 0, 40, 40), 4).any()
    beyond = on_hand(seen, 0.5, Box(75, 25, 175, 125), 4)
    assert beyond[0, 0]
    assert not beyond[:, 2:].any()


def weighed(evidence: np.ndarray, prior: np.ndarray) -> np.ndarray:
    settings = LocalizerSettings(
        size=224, backbone=Backbone("mobilenetv2_050", pretrained="none", stages=3), prior=True
    )
    localizer = Localizer(settings).eval()
    localizer.attention = lambda view: torch.from_numpy(evidence)[None]  # type: ignore[method-assign]
    return PriorLocalizer(localizer, prior).attention(torch.zeros(1, 1, 224, 224, dtype=torch.uint8))[0].numpy()


def test_a_bone_without_attention_in_one_image_is_not_lost() -> None:
    prior = population_of(hand(5, 13, 22) + hand(22, column=20)).prior(Region.REGION_1)
    found = weighed(hand(5, 13, 22), prior)
    # Half of the evidence is the population's: sqrt(0.5) at its maximum, where the image has no evidence.
    assert found[22, 20] == pytest.approx(np.sqrt(0.5) * prior[22, 20], abs=0.02)
    assert found[22, 14] > found[22, 20]


def test_an_image_without_evidence_in_the_band_gets_none_from_the_population() -> None:
    prior = population_of(hand(5, 13, 22)).prior(Region.REGION_1)
    assert weighed(hand(5), prior).max() == 0.0
