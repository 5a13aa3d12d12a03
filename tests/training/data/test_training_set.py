from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from boneage.datasets import read_dataset
from boneage.training.data.training_set import Material, SparingFilms, decoded
from boneage.training.recipes import find_recipe


@pytest.fixture(scope="module")
def material(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Material:
    films = tmp_path_factory.mktemp("films")
    return decoded(
        find_recipe("tiny"),
        read_dataset(phantoms),
        films,
        films.parent / "dropped.csv",
        terms="synthetic",
        progress=False,
    )


def test_nothing_of_report_is_decoded(material: Material) -> None:
    assert len(material.train) + len(material.select) < 30
    assert material.phantom
    assert material.terms == "synthetic"


def test_films_stay_the_same_when_the_map_is_dropped(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    films = material.films
    assert isinstance(films, SparingFilms)
    first = {case_id: films.film(case_id).copy() for case_id in material.ids}
    monkeypatch.setattr(SparingFilms, "_READS", 2)
    held = films.film(material.ids[0])
    for case_id in (*material.ids, *reversed(material.ids)):
        np.testing.assert_array_equal(films.film(case_id), first[case_id])
    np.testing.assert_array_equal(held, first[material.ids[0]])
    sent = pickle.loads(pickle.dumps(films))
    np.testing.assert_array_equal(sent.film(material.ids[1]), first[material.ids[1]])
