"""`boneage evaluate` with an assessor that answers without a network."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner, Result

from boneage.ages import Sex
from boneage.assessment import NOTICE, Assessment, Attention, SexAnswer
from boneage.cli import app
from boneage.datasets import Case, Dataset, split_of
from boneage.errors import BoneAgeError, DatasetError, ModelError, UnsuitableRadiograph
from boneage.evaluation import read_predictions
from boneage.evaluation import run as assess_all
from boneage.evaluation.folder import OWN_FILES
from boneage.radiograph import PHANTOM_MARK, Radiograph
from boneage.regions import Box, Region

FLAT = np.full(240, 1 / 240, dtype=np.float32)
IDS = [str(i) for i in range(1, 61)]
TEST = [case for case in IDS if split_of(case) == "test"]


class Always:
    """Answers 100 months and the middle of the image; it was calibrated beside an interval of +-15 months."""

    model = SimpleNamespace(
        name="always", sha256="f" * 64, calibration=SimpleNamespace(constant_half_width_months=15.0)
    )
    notice = NOTICE

    def for_many(self) -> Always:
        return self

    def assess(self, radiograph: Radiograph, sex: Sex | None) -> Assessment:
        w, h = radiograph.width, radiograph.height
        if w > 90:
            raise UnsuitableRadiograph("wide", "too wide")
        box = Box(w / 4, h / 4, 3 * w / 4, 3 * h / 4)
        attention = Attention(np.eye(4, dtype=np.float32), Box(0, 0, w, h))
        answers = {one: SexAnswer(100.0, (80.0, 120.0), FLAT) for one in ([sex] if sex else Sex)}
        return Assessment(
            radiograph,
            sex,
            answers,
            dict.fromkeys(Region, box),
            dict.fromkeys(Region, attention),
            {},
            "always",
            "f" * 64,
            0.0,
        )


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("boneage.load", lambda model: Always())
    monkeypatch.setattr("boneage.model.folder.find_model", lambda model: model)
    folder = tmp_path / "data"
    (folder / "boneage-training-dataset").mkdir(parents=True)
    lines = ["id,boneage,male"]
    gray = np.tile(np.arange(80, dtype=np.uint8) * 3, (100, 1))
    for i, case in enumerate(IDS):
        Image.fromarray(gray).save(folder / "boneage-training-dataset" / f"{case}.png")
        lines.append(f"{case},{90 + i % 20},{i % 2 == 0}")
    (folder / "boneage-training-dataset.csv").write_text("\n".join(lines) + "\n")
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def code_of(result: Result) -> str:
    """The code of the error behind an exit status."""
    error = result.exception
    while error is not None and not isinstance(error, BoneAgeError):
        error = error.__cause__ or error.__context__
    assert error is not None
    return error.code


def test_only_the_test_split_is_scored(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("--data", data, "--out", out)
    assert result.exit_code == 0, result.output
    rows = read_predictions(out / "predictions.csv")
    assert [row.id for row in rows] == TEST
    assert {row.split for row in rows} == {"test"}
    assert rows[0].file == f"boneage-training-dataset/{TEST[0]}.png"
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["accuracy"]["overall"]["n"] == len(TEST)
    assert metrics["constant_width_interval"]["half_width_months"] == 15.0
    assert "30.0" in (out / "report.html").read_text()
    assert metrics["model"] == "always"
    assert "Research use only" in result.output
    assert {path.name for path in out.iterdir()} <= set(OWN_FILES)


def test_all_with_boxes_and_a_contact_sheet(data: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxed = IDS[:20]
    with boxes.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "reader", "label", "x0", "y0", "x1", "y1"])
        writer.writerows([case, "me", "hand", 0.25, 0.25, 0.75, 0.75] for case in boxed)
    out = tmp_path / "out"
    result = run("--data", data, "--out", out, "--boxes", boxes, "--contact-sheet", 3)
    assert result.exit_code == 0, result.output
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["accuracy"]["overall"]["n"] == len(TEST)
    assert metrics["localization"]["hand"]["all"]["n"] == len(boxed)
    assert metrics["localization"]["hand"]["outside_train"]["n"] == sum(split_of(case) != "train" for case in boxed)
    assert metrics["localization"]["hand"]["all"]["miou"]["value"] == 1.0
    assert {row.id for row in read_predictions(out / "localized.csv")} == set(boxed) - set(TEST)
    assert (out / "contact_sheet.png").stat().st_size > 1000
    # Without boxes, by force: what belongs to the earlier figures goes, other files stay.
    (out / "notes.txt").write_text("mine")
    assert run("--data", data, "--out", out, "--force", "--split", "all").exit_code == 0
    assert not (out / "localized.csv").exists()
    assert not (out / "contact_sheet.png").exists()
    assert (out / "notes.txt").read_text() == "mine"
    assert len(read_predictions(out / "predictions.csv")) == len(IDS)


def test_bad_files_are_listed_and_the_rest_assessed(data: Path, tmp_path: Path) -> None:
    pictures = data / "boneage-training-dataset"
    (pictures / "1.png").write_bytes(b"")
    Image.fromarray(np.tile(np.arange(100, dtype=np.uint8), (100, 1))).save(pictures / "2.png")
    out = tmp_path / "out"
    result = run("--data", data, "--out", out, "--split", "all", "--workers", 1)
    assert result.exit_code == 1, result.output
    rows = {row.id: row for row in read_predictions(out / "predictions.csv")}
    assert len(rows) == len(IDS)
    assert rows["1"].status == "failed"
    assert (rows["2"].status, rows["2"].reason) == ("rejected", "too wide")
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["accuracy"]["counts"]["scored"] == len(IDS) - 2
    assert {case["id"]: case["codes"] for case in metrics["not_assessed"]} == {"1": ["empty_file"], "2": ["wide"]}
    assert "too wide" in (out / "report.html").read_text()


def test_earlier_results_are_refused(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "metrics.json").write_text("precious")
    result = run("--data", data, "--out", out)
    assert result.exit_code == 2
    assert code_of(result) == "results_exist"
    assert (out / "metrics.json").read_text() == "precious"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--column", "years=Age"], "unknown_meaning"),
        (["--column", "age_unit=weeks"], "unknown_age_unit"),
        (["--column", "id=a", "--column", "id=b"], "duplicate_meaning"),
        (["--stress-count", "5"], "option_needs_another"),
    ],
)
def test_wrong_calls(data: Path, tmp_path: Path, words: list[str], code: str) -> None:
    out = tmp_path / "out"
    result = run("--data", data, "--out", out, *words)
    assert result.exit_code == 2
    assert code_of(result) == code
    assert words[0] in result.output
    assert not out.exists()


@pytest.mark.parametrize("option", ["--data", "--table", "--images", "--boxes", "--against"])
def test_a_path_that_is_not_there_is_wrong_usage(data: Path, tmp_path: Path, option: str) -> None:
    absent = tmp_path / "absent.csv"
    words = {"--data": data} | {option: absent}
    result = run(*(word for pair in words.items() for word in pair), "--out", tmp_path / "deep" / "out")
    assert result.exit_code == 2
    assert f"{absent}: there is no such" in result.output
    assert not (tmp_path / "deep").exists()


def test_an_error_leaves_a_folder_of_others_alone(data: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    result = run("--data", tmp_path / "absent", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert list((tmp_path / "out").iterdir()) == []


def test_out_that_is_a_file(data: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    result = run("--data", data, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert code_of(result) == "not_a_folder"


def test_empty_split_is_named(data: Path, tmp_path: Path) -> None:
    train = next(case for case in IDS if split_of(case) == "train")
    (data / "boneage-training-dataset.csv").write_text(f"id,boneage,male\n{train},100,True\n")
    result = run("--data", data, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert code_of(result) == "empty_split"
    assert "'test' (train: 1)" in result.output
    assert not (tmp_path / "out").exists()


def test_comparison(data: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run("--data", data, "--out", first).exit_code == 0
    assert run("--data", data, "--out", second, "--against", first / "predictions.csv").exit_code == 0
    metrics = json.loads((second / "metrics.json").read_text())
    assert metrics["comparison"]["difference"]["value"] == 0.0


def test_model_that_does_not_work_stops(hand_file: Path, tmp_path: Path) -> None:
    class Broken:
        def assess(self, radiograph: Radiograph, sex: Sex | None) -> Assessment:
            raise ModelError("the model is damaged")

    dataset = Dataset("one", tmp_path, (Case("1", hand_file, None, None, "train"),))
    with pytest.raises(ModelError, match="damaged"):
        assess_all(Broken(), dataset, quiet=True)


def test_anything_that_assesses_gives_predictions(
    hand_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Two:
        def assess(self, radiograph: Radiograph, sex: Sex | None) -> Assessment:
            answer = SexAnswer(24.0, (12.0, 36.0), FLAT)
            return Assessment(radiograph, Sex.MALE, {Sex.MALE: answer}, {}, {}, {}, "two", "", 0.0)

    cases = (Case("1", hand_file, Sex.MALE, 20.0, "train"), Case("2", tmp_path / "absent.png", None, 9.0, "train"))
    seen: list[str] = []
    dataset = Dataset("both", tmp_path, cases)
    rows = assess_all(Two(), dataset, split="train", quiet=True, each=lambda row, outcome: seen.append(row.id))
    assert [(row.id, row.status, row.error_months) for row in rows] == [("1", "assessed", 4.0), ("2", "failed", None)]
    assert rows[0].file == hand_file.name
    assert seen == ["1", "2"]
    assert capsys.readouterr() == ("", "")
    with pytest.raises(DatasetError) as caught:
        assess_all(Two(), dataset, split="test")
    assert caught.value.code == "empty_split"


def test_measured_on_phantoms_says_so(data: Path, tmp_path: Path) -> None:
    picture = next(data.glob("boneage-training-dataset/*.png"))
    mark = PngInfo()
    mark.add_text("Software", PHANTOM_MARK)
    with Image.open(picture) as image:
        image.save(picture, pnginfo=mark)
    run("--data", data, "--out", tmp_path / "out", "--split", "all")
    assert "not on radiographs" in json.loads((tmp_path / "out" / "metrics.json").read_text())["notice"]
    assert "not on radiographs" in (tmp_path / "out" / "report.html").read_text()


def test_a_full_disk_leaves_whole_files(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    write = Path.write_bytes

    def nearly_full(self: Path, content: bytes) -> int:
        if "report.html" in self.name:
            raise OSError(28, "No space left on device")
        return write(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", nearly_full)
        result = run("--data", data, "--out", out)
    assert result.exit_code == 1
    assert f"{out / 'report.html'}: could not be written (No space left on device)" in result.output
    assert "--force" in result.output
    assert len(read_predictions(out / "predictions.csv")) == len(TEST)
    assert {path.name for path in out.iterdir()} <= set(OWN_FILES) - {"report.html", "metrics.json"}
    assert run("--data", data, "--out", out, "--force").exit_code == 0


def test_a_table_of_which_no_row_can_be_used(data: Path, tmp_path: Path) -> None:
    (data / "boneage-training-dataset.csv").write_text("id,boneage,male\n1,12y,True\n")
    result = run("--data", data, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "'12y'" in result.output
    assert code_of(result) == "no_usable_rows"
    assert not (tmp_path / "out").exists()
