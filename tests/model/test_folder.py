from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import boneage.model.folder
from boneage.errors import ModelError, OutputError
from boneage.model.folder import (
    SETTINGS_FILE,
    check_files,
    default_model,
    find_model,
    load_model,
    networks_sha256,
    replaced_model,
    settings_sha256,
    shipped_models,
)
from boneage.model.writing import write_model
from boneage.regions import Region
from boneage.views import View


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
    assert model.document["networks_sha256"] == networks_sha256(
        {name: network.sha256 for name, network in model.networks.items()}
    )
    assert model.calibration.tail == 0.05


def test_the_identity_is_that_of_all_that_answers_depend_on(standin_model: Path, folder: Path) -> None:
    known = load_model(standin_model)
    _resign(folder, name="another name", created="2001-01-01", metrics={"select": {}})
    assert load_model(folder).sha256 == known.sha256
    first, *others = known.document["localizers"]
    changes: list[dict[str, Any]] = [
        {"localizers": [first | {"tau": 0.9}, *others]},
        {"calibration": known.document["calibration"] | {"tail": 0.2}},
        {"average_mirror": False},
    ]
    identities = {known.sha256}
    for change in changes:
        _resign(
            folder, **{key: known.document[key] for key in ("localizers", "calibration", "average_mirror")} | change
        )
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


def test_a_network_that_is_missing(folder: Path) -> None:
    (folder / "bones.onnx").unlink()
    with pytest.raises(ModelError, match=r"bones\.onnx: cannot be read"):
        load_model(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": 1}'])
def test_broken_settings(folder: Path, content: bytes) -> None:
    (folder / SETTINGS_FILE).write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.json"):
        load_model(folder)


@pytest.mark.parametrize("version", [0, 2, "1", None, 1.5])
def test_a_format_of_another_version(folder: Path, version: object) -> None:
    _resign(folder, format=version)
    with pytest.raises(ModelError, match=r"reads format 1.*Install the version"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"months": [0, 239]}, "months"),
        ({"months": ...}, "months"),
        ({"name": ...}, "'name' is missing"),
        ({"name": 7}, "'name' should be a text"),
        ({"layout": "stretched"}, "layout.*letterbox, squash"),
        ({"views": []}, "views"),
        ({"views": ["H", "X"]}, "views"),
        ({"sex_input": "yes"}, "sex_input.*true or false"),
        ({"calibration": {"tail": 0.7}}, "calibration.tail"),
        ({"calibration": ...}, "calibration"),
        ({"scalar": True}, "scalar_sd_months"),
        ({"image_short_side": "large"}, "image_short_side"),
        ({"localizers": []}, "views.*needs a localizer for hand"),
        ({"networks": {}}, "networks.regressor.*missing"),
    ],
)
def test_settings_that_cannot_be(folder: Path, changes: dict[str, Any], words: str) -> None:
    _resign(folder, **changes)
    with pytest.raises(ModelError, match=words) as caught:
        load_model(folder)
    assert SETTINGS_FILE in str(caught.value)


@pytest.mark.parametrize(
    ("at", "changes", "words"),
    [
        (0, {"input_view": "H"}, "needs hand to be found before"),
        (1, {"input_view": "E"}, "needs region_1 to be found before"),
        (1, {"region": "hand"}, "a second time"),
        (1, {"region": "thumb"}, "should be one of hand, region_1, region_2"),
        (1, {"network": "nobody"}, "network"),
        (1, {"tau": 0}, "tau"),
        (1, {"tau": True}, "tau"),
        (1, {"tau": float("nan")}, "tau"),
        (1, {"margin": -1}, "margin"),
        (1, {"smallest": 2}, "smallest"),
        (1, {"components": "two"}, "should be one of largest, all"),
    ],
)
def test_localizers_that_cannot_be(folder: Path, at: int, changes: dict[str, Any], words: str) -> None:
    localizers = copy.deepcopy(json.loads((folder / SETTINGS_FILE).read_text())["localizers"])
    localizers[at] |= changes
    _resign(folder, localizers=localizers)
    with pytest.raises(ModelError, match=words):
        load_model(folder)


def test_a_network_file_outside_the_folder_is_refused(folder: Path) -> None:
    networks = json.loads((folder / SETTINGS_FILE).read_text())["networks"]
    networks["hand"]["file"] = "../hand.onnx"
    _resign(folder, networks=networks)
    with pytest.raises(ModelError, match="inside the model folder"):
        load_model(folder)


def test_a_network_that_is_no_network(standin_parts: Any, tmp_path: Path) -> None:
    described, networks = standin_parts
    networks["regressor"] = b"no network"
    model = load_model(write_model(tmp_path / "m", described, networks))
    with pytest.raises(ModelError, match=r"regressor\.onnx.*cannot open"):
        _ = model.regressor.session


def test_a_network_without_the_output(standin_model: Path) -> None:
    import numpy as np

    network = load_model(standin_model).networks["hand"]
    with pytest.raises(ModelError, match=r"hand\.onnx.*attention.*not 'evidence'"):
        network.output(network.run({"view": np.zeros((1, 1, 64, 64), np.uint8)}), "evidence")


def test_an_existing_folder_is_never_overwritten_silently(standin_parts: Any, tmp_path: Path) -> None:
    target = write_model(tmp_path / "m", *standin_parts)
    before = (target / SETTINGS_FILE).read_bytes()
    with pytest.raises(ModelError, match="exists already"):
        write_model(target, *standin_parts)
    assert (target / SETTINGS_FILE).read_bytes() == before
    described, networks = standin_parts
    write_model(target, {**described, "name": "second"}, networks, replace=True)
    assert load_model(target).name == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_replace_never_takes_the_place_of_other_files(standin_parts: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="is no model folder"):
        write_model(tmp_path, *standin_parts, replace=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_what_a_user_keeps_beside_a_model_stays_when_it_is_replaced(standin_parts: Any, tmp_path: Path) -> None:
    settings, networks = standin_parts
    folder = write_model(tmp_path / "model", settings, networks, others={"card.md": b"old"})
    (folder / "notes.txt").write_text("mine")
    (folder / "films").mkdir()
    (folder / "films" / "a.txt").write_text("also mine")
    write_model(folder, settings, networks, replace=True)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "films" / "a.txt").read_text() == "also mine"
    assert not (folder / "card.md").exists()  # the model's own file, which the new one has not
    assert sorted(check_files(load_model(folder))) == ["films", "notes.txt"]


def test_what_a_user_keeps_survives_a_kill_between_the_two_renames(standin_parts: Any, tmp_path: Path) -> None:
    settings, networks = standin_parts
    folder = write_model(tmp_path / "model", settings, networks)
    (folder / "notes.txt").write_text("mine")
    (folder / "films").symlink_to(tmp_path)
    folder.rename(replaced_model(folder))
    write_model(folder, settings, networks, replace=True)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "films").is_symlink()


def test_a_file_is_no_place_for_a_model(standin_parts: Any, tmp_path: Path) -> None:
    settings, networks = standin_parts
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ModelError, match="is a file, not a folder"):
        write_model(tmp_path / "file", settings, networks, replace=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_incomplete_settings_leave_nothing_behind(standin_parts: Any, tmp_path: Path) -> None:
    described, networks = standin_parts
    del described["views"]
    with pytest.raises(ModelError, match="views"):
        write_model(tmp_path / "m", described, networks)
    with pytest.raises(ModelError, match="the networks are"):
        write_model(tmp_path / "m", standin_parts[0], {})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_behind(standin_parts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
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
        write_model(target, *standin_parts, replace=True)
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
    standin_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boneage.model.folder, "MODELS_FOLDER", tmp_path)
    with pytest.raises(ModelError, match="No model came with"):
        default_model()
    shutil.copytree(standin_model, tmp_path / "first")
    assert default_model() == "first"
    assert find_model() == find_model("first") == tmp_path / "first"
    shutil.copytree(standin_model, tmp_path / "second")
    assert shipped_models() == ["first", "second"]
    with pytest.raises(ModelError, match="first, second"):
        default_model()
    (tmp_path / "DEFAULT").write_text("second\n")
    assert load_model().folder == tmp_path / "second"
    (tmp_path / "DEFAULT").write_text("third\n")
    with pytest.raises(ModelError, match="third"):
        default_model()
    with pytest.raises(ModelError, match="nowhere: neither a model folder nor a shipped model"):
        find_model("nowhere")
    with pytest.raises(ModelError, match=r"holds no model\.json"):
        find_model(tmp_path)
