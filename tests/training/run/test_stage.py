"""Stages on disk: complete for a key, begun for it, or of other settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from boneage.errors import TrainingError
from boneage.training.recipes.settings import Backbone
from boneage.training.run.stage import Stage, key_of


def stage(folder: Path, key: str) -> Stage:
    return Stage(folder, key, progress=False)


def test_a_stage_is_complete_for_its_own_key_alone(tmp_path: Path) -> None:
    first = stage(tmp_path / "s", "a")
    assert not first.complete
    first.begin()
    assert not first.complete
    first.finish(tau=0.25)
    assert stage(tmp_path / "s", "a").complete
    assert stage(tmp_path / "s", "a").facts == {"tau": 0.25}
    assert not stage(tmp_path / "s", "b").complete


def test_work_for_the_same_key_stays_and_work_for_another_goes(tmp_path: Path) -> None:
    begun = stage(tmp_path / "s", "a")
    begun.begin()
    (begun.folder / "half").mkdir()
    (begun.folder / "half" / "done.txt").write_text("x")
    stage(tmp_path / "s", "a").begin()
    assert (begun.folder / "half" / "done.txt").is_file()
    stage(tmp_path / "s", "b").begin()
    assert not (begun.folder / "half").exists()


def test_checkpoints_go_when_a_stage_is_complete(tmp_path: Path) -> None:
    done = stage(tmp_path / "s", "a")
    done.begin()
    for folder in ("checkpoints", "0.3/checkpoints"):
        (done.folder / folder).mkdir(parents=True)
        (done.folder / folder / "epoch-0001.ckpt").write_text("x")
    done.finish()
    assert not list(done.folder.glob("**/checkpoints"))


def test_files_of_others_are_never_removed(tmp_path: Path, refuses: Any) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "notes.txt").write_text("mine")
    with refuses(TrainingError, "folder_of_others"):
        stage(tmp_path / "s", "a").begin()
    assert (tmp_path / "s" / "notes.txt").read_text() == "mine"


def test_starting_weights_count_by_name_and_content_not_by_folder(tmp_path: Path) -> None:
    files = [tmp_path / name / "start.safetensors" for name in ("one", "two", "three")]
    for file, content in zip(files, (b"same", b"same", b"other"), strict=True):
        file.parent.mkdir()
        file.write_bytes(content)
    one, two, three = (key_of(replace(Backbone("resnet10t"), pretrained=str(file))) for file in files)
    assert one == two
    assert one != three
