from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import boneage.model.folder
from boneage.assessor import Assessor
from boneage.errors import ModelError, OutputError
from boneage.model.folder import (
    METRICS_FILE,
    SETTINGS_FILE,
    check_files,
    default_model,
    find_model,
    load_model,
    replaced_model,
    settings_sha256,
    shipped_models,
)
from boneage.model.writing import draft_model, write_model
from boneage.radiograph import Radiograph
from boneage.regions import Region
from boneage.views import View

GATE = {"network": "hand", "min_hand_probability": 0.5, "max_ood_score": 1.0, "tilt_degrees": 12.0}


@pytest.fixture
def folder(standin_model: Path, tmp_path: Path) -> Path:
    """A copy of the stand-in model that a test may damage."""
    return Path(shutil.copytree(standin_model, tmp_path / "standin"))


def _resign(folder: Path, **changes: Any) -> None:
    """Change settings and sign them again, as a program that writes nonsense would."""
    document = json.loads((folder / SETTINGS_FILE).read_text())
    document |= changes
    document = {key: value for key, value in document.items() if value is not ...}
    document["settings_sha256"] = settings_sha256(document)
    (folder / SETTINGS_FILE).write_text(json.dumps(document))


def test_a_written_model_is_read_back(standin_model: Path) -> None:
    model = load_model(standin_model)
    assert (model.name, model.version, model.image_short_side, model.layout) == ("standin", "0.0.1", 96, "letterbox")
    assert model.views == (View.H, View.R1, View.R2)
    assert [localizer.region for localizer in model.localizers] == list(Region)
    assert model.regressor.input_size == 64
    assert len({id(step.network) for step in model.localizers}) == 2  # one network serves two regions
    assert model.calibration.tail == 0.05


def test_the_identity_is_that_of_all_that_answers_depend_on(standin_model: Path, folder: Path) -> None:
    known = load_model(standin_model)
    _resign(folder, name="another name", created="2001-01-01", training_data=None, a_field_of_tomorrow=3)
    assert load_model(folder).sha256 == known.sha256
    document = known.settings.model_dump(mode="json")
    first, *others = document["localizers"]
    changes: list[dict[str, Any]] = [
        {"localizers": [first | {"tau": 0.9}, *others]},
        {"calibration": document["calibration"] | {"tail": 0.2}},
        {"average_mirror": False},
    ]
    identities = {known.sha256}
    for change in changes:
        _resign(folder, **{key: document[key] for key in ("localizers", "calibration", "average_mirror")} | change)
        identities.add(load_model(folder).sha256)
    assert len(identities) == 1 + len(changes)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_flipped_bit_is_noticed(data: st.DataObject, standin_model: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in standin_model.iterdir())
    name = data.draw(st.sampled_from(names))
    damaged = tmp_path / "damaged"
    shutil.rmtree(damaged, ignore_errors=True)
    shutil.copytree(standin_model, damaged)
    content = bytearray((damaged / name).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (damaged / name).write_bytes(content)
    before = json.loads((standin_model / SETTINGS_FILE).read_text())
    try:
        same = json.loads((damaged / SETTINGS_FILE).read_bytes().decode()) == before
    except ValueError:
        same = False
    if name == SETTINGS_FILE and same:
        return
    with pytest.raises(ModelError, match=name if name.endswith(".onnx") else SETTINGS_FILE) as caught:
        load_model(damaged)
    assert str(damaged) in str(caught.value)
    assert str(caught.value).count(".") > 1, "what was wrong, and what to do"


def test_a_network_that_is_missing(folder: Path, refuses: Any) -> None:
    (folder / "bones.onnx").unlink()
    with refuses(ModelError, "unreadable_model"):
        load_model(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": 2}'])
def test_broken_settings(folder: Path, content: bytes) -> None:
    (folder / SETTINGS_FILE).write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.json"):
        load_model(folder)


@pytest.mark.parametrize("version", [0, 1, 3, "2", None, 1.5])
def test_a_format_of_another_version(folder: Path, version: object, refuses: Any) -> None:
    _resign(folder, format=version)
    with refuses(ModelError, "other_model_format"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"months": [0, 239]}, "months"),
        ({"months": ...}, "months"),
        ({"name": ...}, "name"),
        ({"name": 7}, "name"),
        ({"layout": "stretched"}, "layout"),
        ({"views": []}, "views"),
        ({"views": ["H", "X"]}, "views.1"),
        ({"sex_input": "yes"}, "sex_input"),
        ({"calibration": {"tail": 0.7}}, "calibration.tail"),
        ({"calibration": {"tail": True}}, "calibration.tail"),
        ({"calibration": ...}, "calibration"),
        ({"image_short_side": "large"}, "image_short_side"),
        ({"localizers": []}, "views: H needs a localizer for hand"),
        ({"networks": {}}, "networks"),
        ({"gate": {**GATE, "network": "nobody"}}, "gate.network"),
        ({"gate": {**GATE, "tilt_degrees": -1}}, "gate.tilt_degrees"),
        ({"view_features": 1}, "view_features"),
    ],
)
def test_settings_that_are_not_valid(folder: Path, changes: dict[str, Any], field: str) -> None:
    _resign(folder, **changes)
    with pytest.raises(ModelError, match=re.escape(field)) as caught:
        load_model(folder)
    assert str(folder / SETTINGS_FILE) in str(caught.value)
    assert caught.value.code == "invalid_model_json"


@pytest.mark.parametrize(
    ("at", "changes", "field"),
    [
        (0, {"input_view": "H"}, "[0].input_view is H, which needs hand before"),
        (1, {"input_view": "E"}, "[1].input_view is E, which needs region_1 before"),
        (1, {"region": "hand"}, "[1].region is hand a second time"),
        (1, {"region": "thumb"}, "localizers.1.region"),
        (1, {"network": "nobody"}, "localizers.1.network"),
        (1, {"tau": 0}, "localizers.1.tau"),
        (1, {"tau": True}, "localizers.1.tau"),
        (1, {"tau": float("nan")}, "localizers.1.tau"),
        (1, {"margin": -1}, "localizers.1.margin"),
        (1, {"smallest": 2}, "localizers.1.smallest"),
        (1, {"components": "two"}, "localizers.1.components"),
    ],
)
def test_localizers_that_are_not_valid(folder: Path, at: int, changes: dict[str, Any], field: str) -> None:
    localizers = json.loads((folder / SETTINGS_FILE).read_text())["localizers"]
    localizers[at] |= changes
    _resign(folder, localizers=localizers)
    with pytest.raises(ModelError, match=re.escape(field)) as caught:
        load_model(folder)
    assert caught.value.code == "invalid_model_json"


def test_a_network_file_outside_the_folder_is_refused(folder: Path, refuses: Any) -> None:
    networks = json.loads((folder / SETTINGS_FILE).read_text())["networks"]
    networks["hand"]["file"] = "../hand.onnx"
    _resign(folder, networks=networks)
    with refuses(ModelError, "invalid_model_json"):
        load_model(folder)


def test_unknown_fields_are_ignored_when_read_and_refused_when_written(
    folder: Path, standin_parts: Any, tmp_path: Path, refuses: Any
) -> None:
    _resign(folder, a_field_of_tomorrow=[1, 2])
    assert load_model(folder).name == "standin"
    settings, networks = standin_parts
    settings["localizers"][1]["taus"] = 0.3
    with refuses(ModelError, "invalid_model_json"):
        write_model(tmp_path / "m", settings, networks)


def test_a_file_that_is_not_a_network(standin_parts: Any, tmp_path: Path, refuses: Any) -> None:
    described, networks = standin_parts
    networks["regressor"] = b"not a network"
    model = load_model(write_model(tmp_path / "m", described, networks))
    with refuses(ModelError, "network_does_not_open"):
        _ = model.regressor.session


def test_a_network_without_the_output(standin_model: Path, refuses: Any) -> None:
    network = load_model(standin_model).networks["hand"]
    with refuses(ModelError, "network_lacks_output"):
        network.output(network.run({"view": np.zeros((1, 1, 64, 64), np.uint8)}), "evidence")


def test_an_existing_folder_is_never_overwritten_silently(standin_parts: Any, tmp_path: Path, refuses: Any) -> None:
    target = write_model(tmp_path / "m", *standin_parts)
    before = (target / SETTINGS_FILE).read_bytes()
    with refuses(ModelError, "model_exists"):
        write_model(target, *standin_parts)
    assert (target / SETTINGS_FILE).read_bytes() == before
    described, networks = standin_parts
    write_model(target, {**described, "name": "second"}, networks, replace=True)
    assert load_model(target).name == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_replace_never_takes_the_place_of_other_files(standin_parts: Any, tmp_path: Path, refuses: Any) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with refuses(ModelError, "not_a_model_folder"):
        write_model(tmp_path, *standin_parts, replace=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_holds_just_this_model_stays_as_it_is(standin_parts: Any, tmp_path: Path) -> None:
    settings, networks = standin_parts
    folder = write_model(tmp_path / "m", {**settings, "created": "2001-01-01"}, networks, metrics={"cases": 1})
    before = {path: path.stat().st_mtime_ns for path in (folder, *folder.iterdir())}
    write_model(folder, settings, networks, metrics={"cases": 1}, replace=True)
    assert {path: path.stat().st_mtime_ns for path in (folder, *folder.iterdir())} == before
    write_model(folder, settings, networks, metrics={"cases": 2}, replace=True)
    assert load_model(folder).metrics == {"cases": 2}
    (folder / "hand.onnx").write_bytes(b"damaged")
    write_model(folder, settings, networks, metrics={"cases": 2}, replace=True)
    assert check_files(load_model(folder)) == []


def test_metrics_have_a_checksum_and_are_not_part_of_the_identity(
    standin_parts: Any, tmp_path: Path, refuses: Any
) -> None:
    bare = load_model(write_model(tmp_path / "bare", *standin_parts))
    model = load_model(write_model(tmp_path / "m", *standin_parts, metrics={"validation": {"mae_months": 7.0}}))
    assert bare.metrics == {}
    assert model.metrics == {"validation": {"mae_months": 7.0}}
    assert model.sha256 == bare.sha256
    (model.folder / METRICS_FILE).write_text("{}")
    with refuses(ModelError, "checksum_differs"):
        check_files(model)


def test_a_draft_answers_as_the_written_model(standin_parts: Any, standin_model: Path, hand: Radiograph) -> None:
    settings, _ = standin_parts
    draft = draft_model(settings, {name: standin_model / f"{name}.onnx" for name in settings["networks"]})
    written = load_model(standin_model)
    assert draft.sha256 == written.sha256
    ages = [Assessor(model).assess(hand, "male").bone_age_months for model in (draft, written)]
    assert ages[0] == ages[1]


def test_what_a_user_keeps_beside_a_model_stays_when_it_is_replaced(standin_parts: Any, tmp_path: Path) -> None:
    settings, networks = standin_parts
    folder = write_model(tmp_path / "model", settings, networks, others={"card.md": b"old"})
    (folder / "notes.txt").write_text("mine")
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_text("also mine")
    write_model(folder, settings, networks, replace=True)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "notes" / "a.txt").read_text() == "also mine"
    assert not (folder / "card.md").exists()  # the model's own file, which the new one has not
    assert sorted(check_files(load_model(folder))) == ["notes", "notes.txt"]


def test_what_a_user_keeps_survives_a_kill_between_the_two_renames(standin_parts: Any, tmp_path: Path) -> None:
    settings, networks = standin_parts
    folder = write_model(tmp_path / "model", settings, networks)
    (folder / "notes.txt").write_text("mine")
    (folder / "notes").symlink_to(tmp_path)
    folder.rename(replaced_model(folder))
    write_model(folder, settings, networks, replace=True)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "notes").is_symlink()


def test_a_file_stays_where_a_model_should_go(standin_parts: Any, tmp_path: Path, refuses: Any) -> None:
    settings, networks = standin_parts
    (tmp_path / "file").write_text("mine")
    with refuses(ModelError, "not_a_model_folder"):
        write_model(tmp_path / "file", settings, networks, replace=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_incomplete_settings_leave_nothing_behind(standin_parts: Any, tmp_path: Path, refuses: Any) -> None:
    described, networks = standin_parts
    del described["views"]
    with refuses(ModelError, "invalid_model_json"):
        write_model(tmp_path / "m", described, networks)
    with refuses(ModelError, "invalid_model_json"):
        write_model(tmp_path / "m", standin_parts[0], {})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_behind(
    standin_parts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: Any
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with refuses(OutputError, "cannot_write"):
        write_model(tmp_path / "m", *standin_parts)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_replacement_brings_the_old_model_back(
    standin_parts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write_model(tmp_path / "m", *standin_parts)
    rename, calls = Path.rename, []

    def failing(self: Path, to: Path) -> Path:
        calls.append(to)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError):
        write_model(target, {**standin_parts[0], "name": "new"}, standin_parts[1], replace=True)
    assert load_model(target).name == "standin"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_killed_between_the_two_renames_the_old_model_is_found_again(
    standin_parts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write_model(tmp_path / "m", *standin_parts)
    target.rename(tmp_path / ".m.replaced")  # all that a process killed there leaves of either model
    with pytest.raises(ModelError, match=r"\.m\.replaced\. Rename that folder to m"):
        find_model(target)
    write_model(target, *standin_parts, replace=True)
    assert load_model(target).name == "standin"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_names_are_looked_up_among_the_shipped_models(
    standin_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: Any
) -> None:
    monkeypatch.setattr(boneage.model.folder, "MODELS_FOLDER", tmp_path)
    with refuses(ModelError, "no_default_model"):
        default_model()
    shutil.copytree(standin_model, tmp_path / "first")
    assert default_model() == "first"
    assert find_model() == find_model("first") == tmp_path / "first"
    shutil.copytree(standin_model, tmp_path / "second")
    assert shipped_models() == ["first", "second"]
    with refuses(ModelError, "no_default_model"):
        default_model()
    (tmp_path / "DEFAULT").write_text("second\n")
    assert load_model().folder == tmp_path / "second"
    (tmp_path / "DEFAULT").write_text("third\n")
    with refuses(ModelError, "no_default_model"):
        default_model()
    with refuses(ModelError, "no_such_model"):
        find_model("nowhere")
    with refuses(ModelError, "not_a_model_folder"):
        find_model(tmp_path)
