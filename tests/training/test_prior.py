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
    assert np.unravel_index(prior.argmax(), prior.shape)[0] == row
    others = {5, 13, 22} - {row}
    assert all(prior[other].max() < 0.01 for other in others)


def test_every_film_counts_the_same_however_strong_its_map() -> None:
    weak, strong = hand(5, 13, 22), hand(5, 13, 22, column=20, height=1000.0)
    mean = Population.of([weak, strong]).mean
    # Symmetric: the spot of column 20 is seen at column 7 as well, and neither side is halved by the other.
    assert mean[13, 14] == pytest.approx(mean[13].max())
    assert mean[13, 20] == pytest.approx(mean[13, 7])
    assert mean[13, 20] == pytest.approx(mean[13, 14], abs=0.01)


def test_a_stored_mean_gives_the_same_population() -> None:
    population = Population.of([hand(5, 13, 22), hand(6, 13, 21, column=17)])
    again = Population.from_mean(population.mean)
    assert again.valleys == population.valleys
    assert np.array_equal(again.prior(Region.REGION_1), population.prior(Region.REGION_1))


def test_right_hands_fit_as_well() -> None:
    mean = Population.of([hand(5, 13, 22, column=20)]).mean
    assert np.allclose(mean, mean[:, ::-1])


def test_films_without_attention_do_not_count() -> None:
    assert np.allclose(
        Population.of([hand(5, 13, 22), np.zeros((SIDE, SIDE))]).mean, Population.of([hand(5, 13, 22)]).mean
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
