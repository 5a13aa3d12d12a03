"""An index of training cases: who is closest, what is refused, what an assessment says."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boneage.ages import Sex
from boneage.assessment import remarks_of
from boneage.assessor import Assessor, load
from boneage.errors import ModelError, OutputError
from boneage.model.folder import load_model
from boneage.pipeline.similar_cases import SimilarCasesIndex, read_index, write_index
from boneage.radiograph import Radiograph
from boneage.reports import AssessmentRecord
from boneage.similar import SimilarCase


def line(file: Path, **changes: Any) -> SimilarCasesIndex:
    """Boys at 0, 1, 3 and 10 of a line, girls at 1 and 2; of two features the first counts."""
    index = SimilarCasesIndex(
        file=file,
        model="a",
        model_sha256="1" * 64,
        count=3,
        usual_difference_months=12.0,
        data={"name": "toys", "split": "train", "cases": 6, "terms": "free", "phantom": False},
        mean=np.array([5, 0], np.float32),
        components=np.array([[0.5, 0]], np.float32),
        scores=np.array([[0], [1], [3], [10], [1], [2]], np.float32),
        ages=np.array([60, 72, 100, 200, 80, 90], np.float32),
        males=np.array([1, 1, 1, 1, 0, 0], bool),
        ids=("b0", "b1", "b3", "b10", "g1", "ä2"),
        figures={},
    )
    return replace(index, **changes)


def image_at(place: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array([5 + 2 * place, 77], np.float32)


def test_the_closest_cases_are_of_the_same_sex_and_the_closest_come_first(tmp_path: Path) -> None:
    found = line(tmp_path / "i").nearest(image_at(1.25), Sex.MALE, 75.0)
    assert found is not None
    assert found.cases == (SimilarCase("b1", 72, 0.25), SimilarCase("b0", 60, 1.25), SimilarCase("b3", 100, 1.75))
    assert found.age_months == 72  # the median of 72, 60 and 100
    assert (found.data, found.usual_difference_months, found.remarks) == ("toys", 12, ())
    girls = line(tmp_path / "i").nearest(image_at(1.25), Sex.FEMALE, 75.0)
    assert girls is not None
    assert [case.id for case in girls.cases] == ["g1", "ä2"]  # there are no more than two
    assert girls.age_months == 85


def test_a_sex_without_cases_has_no_closest(tmp_path: Path) -> None:
    boys = line(tmp_path / "i", males=np.ones(6, bool))
    assert boys.nearest(image_at(0), Sex.FEMALE, 75.0) is None
    found = replace(boys, count=100).nearest(image_at(0), Sex.MALE, 75.0)
    assert found is not None
    assert len(found.cases) == 6


@pytest.mark.parametrize(
    ("place", "months", "changes", "says"),
    [
        (1.25, 83.9, {}, []),
        (1.25, 84.1, {}, ["similar_cases_differ"]),
        (1.25, 59.9, {}, ["similar_cases_differ"]),
        (1.25, 240.0, {"usual_difference_months": None}, []),
        (1.0, 200.0, {}, ["radiograph_in_index"]),
        (1.25, 72.0, {"data": {"name": "toys", "phantom": True}}, ["similar_cases_from_phantoms"]),
    ],
)
def test_what_a_reader_should_know(
    tmp_path: Path, place: float, months: float, changes: dict[str, Any], says: list[str]
) -> None:
    found = line(tmp_path / "i", **changes).nearest(image_at(place), Sex.MALE, months)
    assert found is not None
    assert [remark.code for remark in found.remarks] == says


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    index = line(tmp_path / "new" / "cases.npz")
    read = read_index(write_index(index))
    for name in ("mean", "components", "scores", "ages", "males"):
        np.testing.assert_array_equal(getattr(read, name), getattr(index, name))
        assert getattr(read, name).dtype == getattr(index, name).dtype
    same = ("file", "ids", "model", "model_sha256", "count", "usual_difference_months", "data")
    assert all(getattr(read, name) == getattr(index, name) for name in same)
    assert write_index(replace(index, file=tmp_path / "again.npz")).read_bytes() == index.file.read_bytes()
    assert [path.name for path in index.file.parent.iterdir()] == ["cases.npz"]


def test_nothing_is_left_of_an_index_that_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        write_index(line(tmp_path / "file" / "cases.npz"))


def test_no_changed_byte_changes_a_case(tmp_path: Path) -> None:
    """Whatever byte is damaged: it is refused with the file's name, or nothing of what is in it has changed."""
    file = write_index(line(tmp_path / "cases.npz"))
    good, whole = read_index(file), file.read_bytes()
    refused = 0
    for at in range(0, len(whole), 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x15]) + whole[at + 1 :])
        try:
            read = read_index(file)
        except ModelError as error:
            assert str(file) in str(error)  # noqa: PT017
            refused += 1
        else:
            np.testing.assert_array_equal(read.scores, good.scores)
            assert (read.ids, read.ages.tolist(), read.data) == (good.ids, good.ages.tolist(), good.data)
    assert refused > len(whole) / 7 / 2


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"PK\x03\x04"])
def test_a_file_that_is_no_index(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cases.npz").write_bytes(content)
    with pytest.raises(ModelError, match=r"cases\.npz.*models index"):
        read_index(tmp_path / "cases.npz")


def test_a_missing_index_and_half_of_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.npz: there is no such index"):
        read_index(tmp_path / "gone.npz")
    file = write_index(line(tmp_path / "cases.npz"))
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ModelError, match=r"cases\.npz"):
        read_index(file)


def changed(file: Path, **header: Any) -> None:
    """Write other words into the header, as somebody with an editor might."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    words = json.loads(np.load(io.BytesIO(members["header.npy"])).tobytes()) | header
    stream = io.BytesIO()
    np.save(stream, np.frombuffer(json.dumps(words).encode(), np.uint8))
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**members, "header.npy": stream.getvalue()}.items():
            archive.writestr(name, content)


def test_another_version_and_a_changed_header(tmp_path: Path) -> None:
    file = write_index(line(tmp_path / "cases.npz"))
    changed(file, format=1)
    with pytest.raises(ModelError, match=r"cases\.npz: index format 1; this version of boneage reads format 2"):
        read_index(file)
    changed(file, format=2, model_sha256="2" * 64)
    with pytest.raises(ModelError, match=r"cases\.npz: does not match its checksum"):
        read_index(file)


@pytest.mark.parametrize(
    "changes",
    [
        {"ages": np.full(6, 300, np.float32)},
        {"ages": np.full(5, 30, np.float32)},
        {"scores": np.full((6, 1), np.nan, np.float32)},
        {"mean": np.zeros(3, np.float32)},
        {"count": 0},
        {"ids": ()},
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, changes: dict[str, Any]) -> None:
    file = write_index(line(tmp_path / "cases.npz", **changes))
    with pytest.raises(ModelError, match=r"cases\.npz"):
        read_index(file)


@pytest.fixture
def toys(layered_model: Path, tmp_path: Path) -> Path:
    """An index of four made-up cases of the layered stand-in model: by the mean brightness of its three views."""
    model = load_model(layered_model)
    index = line(
        tmp_path / "toys.npz",
        model=model.name,
        model_sha256=model.sha256,
        mean=np.zeros(3, np.float32),
        components=np.eye(3, dtype=np.float32) / 100,
        scores=np.repeat(np.array([[0.5], [1.0], [2.0], [1.1]], np.float32), 3, axis=1),
        ages=np.array([60, 110, 200, 100], np.float32),
        males=np.array([1, 1, 1, 0], bool),
        ids=("dark", "gray", "bright", "girl"),
        count=2,
        usual_difference_months=None,
    )
    return write_index(index)


def test_an_assessment_names_the_closest_cases(layered_model: Path, toys: Path, hand: Radiograph) -> None:
    plain = load(layered_model).assess(hand, "male")
    found = load(layered_model, toys).assess(hand, "male")
    assert plain.similar_cases is None
    assert found.bone_age_months == plain.bone_age_months  # the index changes nothing of the answer
    np.testing.assert_array_equal(found.distribution, plain.distribution)
    assert found.model_sha256 == plain.model_sha256
    assert found.similar_cases is not None
    # The features are the means of the views, so distances can be worked out from what the network saw.
    brightness = np.array([found.views[view].mean() for view in found.views]) / 100
    expected = {name: np.linalg.norm(brightness - at) for name, at in (("dark", 0.5), ("gray", 1.0), ("bright", 2.0))}
    ranked = sorted(expected, key=lambda name: expected[name])[:2]
    assert [case.id for case in found.similar_cases.cases] == ranked
    for case in found.similar_cases.cases:
        assert case.distance == pytest.approx(expected[case.id], rel=1e-4)
    assert found.similar_cases.age_months == np.mean([case.bone_age_months for case in found.similar_cases.cases])


def test_with_unknown_sex_both_have_their_own(layered_model: Path, toys: Path, hand: Radiograph) -> None:
    found = load(layered_model, toys).assess(hand)
    assert found.similar_cases is None
    boys, girls = found.answers[Sex.MALE].similar_cases, found.answers[Sex.FEMALE].similar_cases
    assert boys is not None
    assert girls is not None
    assert [case.id for case in girls.cases] == ["girl"]
    assert "girl" not in [case.id for case in boys.cases]
    entry = AssessmentRecord.of(found).as_dict()
    assert entry["similar_cases"] is entry["similar_cases_age_months"] is None
    assert entry["by_sex"]["female"]["similar_cases_age_months"] == 100
    assert [case["id"] for case in entry["by_sex"]["female"]["similar_cases"]] == ["girl"]


def test_remarks_are_warnings_and_tell_the_sex_where_both_are_answered(
    layered_model: Path, toys: Path, hand: Radiograph
) -> None:
    index = replace(read_index(toys), usual_difference_months=0.01)
    alone = Assessor(load_model(layered_model), index=index).assess(hand, "female")
    assert [remark.code for remark in alone.remarks] == ["similar_cases_differ"]
    both = Assessor(load_model(layered_model), index=index).assess(hand)
    assert [remark.text[:10] for remark in both.remarks] == ["If male: T", "If female:"]
    phantoms = replace(read_index(toys), data={"name": "p", "phantom": True})
    (remark,) = remarks_of(Assessor(load_model(layered_model), index=phantoms).assess(hand).answers)
    assert remark.code == "similar_cases_from_phantoms"  # once, for both


def test_an_index_of_another_model_is_refused(standin_model: Path, toys: Path) -> None:
    with pytest.raises(ModelError, match=r"toys\.npz: belongs to the model layered .* not to standin"):
        load(standin_model, toys)


def test_features_of_another_number(layered_model: Path, toys: Path, hand: Radiograph) -> None:
    index = replace(read_index(toys), mean=np.zeros(4, np.float32), components=np.zeros((3, 4), np.float32))
    with pytest.raises(ModelError, match=r"toys\.npz: has 4 features"):
        Assessor(load_model(layered_model), index=index).assess(hand, "male")


def test_the_record_holds_the_closest_cases_only_with_an_index(
    layered_model: Path, toys: Path, hand: Radiograph
) -> None:
    without = AssessmentRecord.of(load(layered_model).assess(hand, "male")).as_dict()
    assert without["similar_cases"] is without["similar_cases_age_months"] is None
    entry = AssessmentRecord.of(load(layered_model, toys).assess(hand, "male")).as_dict()
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry
    assert entry["similar_cases_age_months"] is not None
    assert [set(case) for case in entry["similar_cases"]] == [{"id", "bone_age_months", "distance"}] * 2
