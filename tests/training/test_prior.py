"""Where the population looks: bands, priors, and the weighed map."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from boneage.errors import TrainingError  # noqa: E402
from boneage.regions import Region, box_of_map  # noqa: E402
from boneage.training.networks import Localizer  # noqa: E402
from boneage.training.prior import Population, PriorLocalizer  # noqa: E402
from boneage.training.settings import Backbone, LocalizerSettings  # noqa: E402

SIDE = 28


def hand(*rows: int, column: int = 14, height: float = 1.0) -> np.ndarray:
    """A map with one spot a row."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    spots = [np.exp(-((y - row) ** 2 + (x - column) ** 2) / 4) for row in rows]
    return np.asarray(height * np.sum(spots, axis=0), dtype=np.float32)


def test_the_valleys_lie_between_fingers_metacarpal_heads_and_carpus() -> None:
    population = Population.of([hand(5, 13, 22)] * 3)
    upper, lower = population.valleys
    assert 8 <= upper <= 10
    assert 16 <= lower <= 18


@pytest.mark.parametrize(("region", "row"), [(Region.REGION_1, 22), (Region.REGION_2, 13)])
def test_a_prior_holds_its_own_band_only(region: Region, row: int) -> None:
    prior = Population.of([hand(5, 13, 22)]).prior(region)
    assert prior.max() == pytest.approx(1.0)
    assert prior[row, 14] == pytest.approx(1.0)
    others = {5, 13, 22} - {row}
    assert all(prior[other].max() == 0.0 for other in others)


def test_films_are_counted_not_their_brightness() -> None:
    marker = 1000.0 * hand(24, column=2)
    share = Population.of([hand(5, 13, 22)] * 3 + [hand(5, 13, 22) + marker]).share
    assert share[22, 14] == pytest.approx(1.0)
    assert share[24, 2] == pytest.approx(1 / 3, abs=0.1)  # one film of four against three: there the marker is all


def test_what_lies_all_over_a_band_is_no_place() -> None:
    haze = np.ones((SIDE, SIDE), dtype=np.float32)
    haze[:, 20:] = 0.0
    prior = Population.of([hand(5, 13, 22)] * 4 + [haze]).prior(Region.REGION_1)
    assert prior[22, 14] == pytest.approx(1.0)
    assert prior[25, 2] == 0.0


def test_every_film_counts_the_same_however_strong_its_map() -> None:
    weak, strong = hand(5, 13, 22), hand(5, 13, 22, column=20, height=1000.0)
    share = Population.of([weak, strong]).share
    # Symmetric: the spot of column 20 is seen at column 7 as well, and neither side is halved by the other.
    assert share[13, 7] == share[13, 14] == share[13, 20] > 0.4


def test_stored_shares_give_the_same_population() -> None:
    population = Population.of([hand(5, 13, 22), hand(6, 13, 21, column=17)])
    again = Population.from_share(population.share)
    assert again.valleys == population.valleys
    assert np.array_equal(again.prior(Region.REGION_1), population.prior(Region.REGION_1))


def test_right_hands_fit_as_well() -> None:
    mean = Population.of([hand(5, 13, 22, column=20)]).share
    assert np.allclose(mean, mean[:, ::-1])


def test_films_without_attention_do_not_count() -> None:
    assert np.allclose(
        Population.of([hand(5, 13, 22), np.zeros((SIDE, SIDE))]).share, Population.of([hand(5, 13, 22)]).share
    )


@pytest.mark.parametrize("maps", [[], [np.zeros((SIDE, SIDE), np.float32)]])
def test_no_attention_at_all_is_an_error(maps: list[np.ndarray]) -> None:
    with pytest.raises(TrainingError, match="train the localizer for longer"):
        Population.of(maps)


def test_a_population_with_two_bands_is_an_error() -> None:
    with pytest.raises(TrainingError, match=r"shows 2 band\(s\).*prior to false"):
        Population.of([hand(5, 20)])


def test_the_weighed_map_is_found_in_its_band_though_another_place_is_brighter() -> None:
    torch.manual_seed(0)
    settings = LocalizerSettings(
        size=224, backbone=Backbone("mobilenetv2_050", pretrained="none", stages=3), prior=True
    )
    localizer = Localizer(settings).eval()
    evidence = torch.from_numpy(hand(5, height=5.0) + hand(13) + hand(22, column=10))[None]
    localizer.attention = lambda view: evidence  # type: ignore[method-assign]
    weighed = PriorLocalizer(localizer, Population.of([hand(5, 13, 22)]).prior(Region.REGION_1))
    found = weighed.attention(torch.zeros(1, 1, 224, 224, dtype=torch.uint8))[0].numpy()
    assert found.min() >= 0.0
    box = box_of_map(found, 0.5)
    assert box is not None
    x, y = box.center
    assert abs(y - 22.5) < 2
    assert 9 < x < 14  # between the film's own spot and where the population looks
