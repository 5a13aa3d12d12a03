"""Data sets in the layouts that people have on disk are read without editing."""

from __future__ import annotations

from pathlib import Path

import pytest
from openpyxl import Workbook

from boneage.ages import Sex
from boneage.datasets import Columns, Dataset, read_dataset, split_of
from boneage.errors import DatasetError, UsageError


def facts(dataset: Dataset) -> dict[str, tuple[Sex | None, float | None]]:
    return {case.id: (case.sex, case.age_months) for case in dataset.cases}


def splits(dataset: Dataset) -> dict[str, str]:
    return {case.id: case.split for case in dataset.cases}


def drops(dataset: Dataset) -> dict[str, str]:
    return {item.id: item.reason for item in dataset.dropped}


def write_xlsx(path: Path, rows: list[list[object]]) -> None:
    book = Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


@pytest.mark.parametrize("nested", ["", "boneage-training-dataset"])
@pytest.mark.parametrize("suffix", [".png", ".JPG", ".webp", ".tiff"])
def test_kaggle_training(tmp_path: Path, pictures, nested: str, suffix: str) -> None:
    (tmp_path / "boneage-training-dataset.csv").write_text(
        "id,boneage,male\n1377,180,False\n1381,12,True\n1395,94,true\n"
    )
    pictures(tmp_path / "boneage-training-dataset" / nested, [1377, 1381, 1395], suffix)
    dataset = read_dataset(tmp_path)
    assert facts(dataset) == {"1377": (Sex.FEMALE, 180), "1381": (Sex.MALE, 12), "1395": (Sex.MALE, 94)}
    assert splits(dataset) == {"1377": "train", "1381": "validation", "1395": "test"}
    assert not dataset.dropped
    assert all(case.image.is_file() for case in dataset.cases)


def test_predictions_beside_the_set_are_not_labels(tmp_path: Path, pictures) -> None:
    (tmp_path / "train.csv").write_text("id,boneage,male\n1377,180,False\n1381,12,True\n1395,94,true\n")
    pictures(tmp_path / "train", [1377, 1381, 1395], ".png")
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "predictions.csv").write_text(
        "id,sex,age_months,predicted_months\n1377,female,180,170\n1381,male,12,20\n"
    )
    dataset = read_dataset(tmp_path)
    assert facts(dataset) == {"1377": (Sex.FEMALE, 180), "1381": (Sex.MALE, 12), "1395": (Sex.MALE, 94)}
    assert not dataset.dropped


def test_kaggle_with_its_unlabelled_test_set(tmp_path: Path, pictures) -> None:
    (tmp_path / "boneage-training-dataset.csv").write_text(
        "id,boneage,male\n1377,180,False\n1381,12,True\n1395,94,True\n"
    )
    (tmp_path / "boneage-test-dataset.csv").write_text("Case ID,Sex\n4360,M\n4361,F\n")
    pictures(tmp_path / "boneage-training-dataset" / "boneage-training-dataset", [1377, 1381, 1395])
    pictures(tmp_path / "boneage-test-dataset" / "boneage-test-dataset", [4360, 4361])
    dataset = read_dataset(tmp_path)
    assert facts(dataset)["4360"] == (Sex.MALE, None)
    # A test set without ages cannot be measured, so the hash still chooses test cases from the training table.
    assert splits(dataset) == {
        "1377": "train",
        "1381": "validation",
        "1395": "test",
        "4360": "test",
        "4361": "test",
    }
    ready = dataset.check_for_training()
    assert len(ready) == 3
    assert "2 cases of tables without ages" in ready.report()


def test_rsna_in_three_tables_keeps_the_official_split(tmp_path: Path, pictures) -> None:
    (tmp_path / "train.csv").write_text("id,boneage,male\n1377,180,False\n1381,12,True\n1395,94,True\n")
    (tmp_path / "Validation Dataset.csv").write_text("Image ID,male,Bone Age (months)\n1386,TRUE,30\n1392,false,61\n")
    pictures(tmp_path / "boneage-training-dataset", [1377, 1381, 1395])
    pictures(tmp_path / "boneage-validation-dataset-1", [1386])
    pictures(tmp_path / "boneage-validation-dataset-2", [1392])
    write_xlsx(
        tmp_path / "Bone age ground truth.xlsx",
        [["Case ID", "Sex", "Ground truth bone age (months)"], [4360, "M", 168.93], [4361.0, "F", 64.2]],
    )
    pictures(tmp_path / "boneage-test-dataset", [4360, 4361])
    dataset = read_dataset(tmp_path)
    assert facts(dataset)["1386"] == (Sex.MALE, 30)
    assert facts(dataset)["1392"] == (Sex.FEMALE, 61)
    assert facts(dataset)["4360"] == (Sex.MALE, 168.93)
    assert splits(dataset) == {
        **dict.fromkeys(("1377", "1381", "1395"), "train"),
        **dict.fromkeys(("1386", "1392"), "validation"),
        **dict.fromkeys(("4360", "4361"), "test"),
    }
    assert not dataset.dropped


def test_without_a_test_table_the_hash_chooses_test_cases(tmp_path: Path, pictures) -> None:
    (tmp_path / "train.csv").write_text("id,boneage,male\n1377,180,False\n1381,12,True\n1395,94,True\n")
    (tmp_path / "val.csv").write_text("Image ID,male,Bone Age (months)\n1386,TRUE,30\n")
    pictures(tmp_path, [1377, 1381, 1395, 1386])
    assert splits(read_dataset(tmp_path)) == {"1377": "train", "1381": "train", "1395": "test", "1386": "validation"}


@pytest.mark.parametrize("name", ["Validation Dataset.csv", "boneage-test-dataset.csv", "test/labels.csv"])
def test_a_single_validation_or_test_table_is_all_test(tmp_path: Path, pictures, name: str) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / name).write_text("Image ID,male,Bone Age (months)\n1377,TRUE,30\n1381,TRUE,30\n")
    pictures(tmp_path / "pictures", [1377, 1381])
    assert splits(read_dataset(tmp_path)) == {"1377": "test", "1381": "test"}


def test_a_case_in_two_splits_stays_out_of_training(tmp_path: Path, pictures) -> None:
    (tmp_path / "train.csv").write_text("id,boneage,male\n1377,180,False\n1378,12,True\n")
    (tmp_path / "test.csv").write_text("id,boneage,male\n1378,12,True\n")
    pictures(tmp_path, [1377, 1378])
    dataset = read_dataset(tmp_path)
    assert splits(dataset) == {"1377": "train", "1378": "test"}
    assert drops(dataset) == {"1378": "duplicate id"}


def test_splits_that_are_numbered_from_one_find_their_own_folders(tmp_path: Path, pictures) -> None:
    for split, ids in {"train": ("a1", "a2"), "test": ("a1", "a3")}.items():
        (tmp_path / f"{split}.csv").write_text("id,boneage,male\n" + "".join(f"{name},100,True\n" for name in ids))
    pictures(tmp_path / "train", ["a2"])
    pictures(tmp_path / "test", ["a1", "a3"])
    dataset = read_dataset(tmp_path)
    assert {case.id: case.image.parent.name for case in dataset.cases} == {"a1": "test", "a2": "train", "a3": "test"}
    # The image of the training row a1 is missing; the test image of that name must not replace it.
    assert [(item.id, item.reason) for item in dataset.dropped] == [("a1", "missing file")]


def test_all_pictures_in_the_training_folder(tmp_path: Path, pictures) -> None:
    (tmp_path / "train.csv").write_text("id,boneage,male\n1377,180,False\n")
    (tmp_path / "valid.csv").write_text("id,boneage,male\n1386,180,False\n")
    pictures(tmp_path / "train", [1377, 1386])
    assert splits(read_dataset(tmp_path)) == {"1377": "train", "1386": "validation"}


def test_derived_with_patients_and_folders(tmp_path: Path, pictures) -> None:
    (tmp_path / "labels.csv").write_text(
        "image_ID,dir,patient_ID,sex,bone_age\n1377.png,left,7,F,180\n1378.png,right,8,m,12.5\n"
    )
    pictures(tmp_path / "left", [1377, 1378])
    pictures(tmp_path / "right", [1377, 1378])
    dataset = read_dataset(tmp_path)
    assert facts(dataset) == {"1377": (Sex.FEMALE, 180), "1378": (Sex.MALE, 12.5)}
    assert [case.image.parent.name for case in dataset.cases] == ["left", "right"]
    assert dataset.images_without_row == 2


@pytest.mark.parametrize("text", ["ID,BoneAge,Male\n1377,180,False\n", "ID,Male,Boneage\n1377,False,180\n"])
def test_derived_with_other_column_names(tmp_path: Path, pictures, text: str) -> None:
    (tmp_path / "all.csv").write_text(text)
    pictures(tmp_path, [1377], ".jpeg")
    assert facts(read_dataset(tmp_path)) == {"1377": (Sex.FEMALE, 180)}


@pytest.mark.parametrize("written", ["00001", "1"])
def test_rhpe_ids_keep_their_zeros_whatever_a_spreadsheet_did(tmp_path: Path, pictures, written: str) -> None:
    (tmp_path / "rhpe_train.csv").write_text(f"ID,Male,Boneage,Chronological\n{written},True,110,108\n")
    pictures(tmp_path / "RHPE_train", ["00001", "00010"])
    (case,) = read_dataset(tmp_path).cases
    assert (case.id, case.image.name, case.split) == ("00001", "00001.png", split_of("00001"))
    assert case.chronological_age_months == 108


def test_too_many_zeros_in_the_table(tmp_path: Path, pictures) -> None:
    (tmp_path / "t.csv").write_text("id,boneage,male\n01377,180,False\n")
    pictures(tmp_path, [1377])
    assert facts(read_dataset(tmp_path)).keys() == {"1377"}


def test_exact_spelling_beats_other_zeros(tmp_path: Path, pictures) -> None:
    (tmp_path / "t.csv").write_text("id,boneage,male\n1,180,False\n01,90,True\n001,90,True\n")
    pictures(tmp_path, ["1", "01"])
    dataset = read_dataset(tmp_path)
    assert {case.id: case.image.name for case in dataset.cases} == {"1": "1.png", "01": "01.png"}
    assert drops(dataset) == {"001": "several files"}


def test_digital_hand_atlas_by_path(tmp_path: Path, pictures) -> None:
    pictures(tmp_path / "JPEGimages" / "ASIF" / "ASIF05", ["3120"], ".jpg")
    pictures(tmp_path / "JPEGimages" / "HISM" / "HISM00", ["4001"], ".jpg")
    pictures(tmp_path / "docs", ["logo"])
    (tmp_path / "meta.csv").write_text("3120,ASI,F,1,2,3,4,5,6,5.5,6.5,x\n4001,HIS,M,1,2,3,4,5,6,0.5,0.25,x\n")
    dataset = read_dataset(tmp_path)
    assert {case.id: (case.sex, case.chronological_age_months) for case in dataset.cases} == {
        "3120": (Sex.FEMALE, 66),
        "4001": (Sex.MALE, 6),
    }
    assert facts(dataset)["3120"][1] is None
    assert dataset.images_without_row == 1
    with pytest.raises(DatasetError, match="name the table and its columns") as raised:
        dataset.check_for_training()
    assert raised.value.code == "no_training_case"


def test_digital_hand_atlas_readings_from_numbered_columns(tmp_path: Path, pictures) -> None:
    pictures(tmp_path / "JPEGimages" / "ASIF" / "ASIF05", ["3120"], ".jpg")
    (tmp_path / "meta.csv").write_text("3120,ASI,F,1,2,3,4,5,6,5.5,6.5,x\n")
    (case,) = read_dataset(tmp_path, columns=Columns(id=1, age=(10, 11), age_unit="years")).cases
    assert (case.sex, case.age_months, case.chronological_age_months) == (Sex.FEMALE, 72, 66)
    (case,) = read_dataset(
        tmp_path, table=tmp_path / "meta.csv", columns=Columns(id="1", age="10", age_unit="years")
    ).cases
    assert case.age_months == 66


def test_any_table_by_naming_the_columns(tmp_path: Path, pictures) -> None:
    home = tmp_path / "tables"
    home.mkdir()
    (home / "studie.csv").write_text("Plate;Befund Ü;Group\nimg/A7.png;12,5;third\nB8;90;f\n", "cp1252")
    pictures(tmp_path / "img", ["a7", "B8"])
    named = Columns(file="plate", age="BEFUND Ü", sex="Group")
    dataset = read_dataset(home, table="studie.csv", columns=named, images=tmp_path / "img")
    assert facts(dataset) == {"B8": (Sex.FEMALE, 90)}
    assert drops(dataset) == {"A7": "unknown sex"}
    assert facts(read_dataset(home / "studie.csv", columns=named, images=tmp_path / "img")).keys() == {"B8"}


@pytest.mark.parametrize("name", ["split", " Fold "])
def test_a_split_column_wins(tmp_path: Path, pictures, name: str) -> None:
    words = ["train", "Val", "validation", "select", "TEST", "report", "maybe"]
    rows = "".join(f"{number},100,True,{word}\n" for number, word in enumerate(words, start=1377))
    (tmp_path / "train.csv").write_text(f"id,boneage,male,{name}\n{rows}")
    pictures(tmp_path, range(1377, 1384))
    dataset = read_dataset(tmp_path)
    assert list(splits(dataset).values()) == ["train", "validation", "validation", "validation", "test", "test"]
    assert drops(dataset) == {"1383": "unknown split"}


@pytest.mark.parametrize("name", ["select", "report"])
def test_the_old_names_of_splits_do_not_count_in_folders_and_files(tmp_path: Path, pictures, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{name}.csv").write_text("id,boneage,male\n1377,100,True\n1381,90,True\n1395,90,True\n")
    pictures(tmp_path / name, [1377, 1381, 1395])
    assert splits(read_dataset(tmp_path)) == {"1377": "train", "1381": "validation", "1395": "test"}


def test_numbered_folds_are_not_splits(tmp_path: Path, pictures) -> None:
    (tmp_path / "train.csv").write_text("id,boneage,male,fold\n1381,100,True,0\n1395,90,True,1\n")
    pictures(tmp_path, [1381, 1395])
    dataset = read_dataset(tmp_path)
    assert splits(dataset) == {"1381": "validation", "1395": "test"}
    assert "column 'fold'" in dataset.report()


def test_everything_dropped_is_reported(tmp_path: Path, pictures) -> None:
    rows = [
        "1,100,True",
        "2,100,True",
        "1,50,False",
        "3,0.5,True",
        "4,241,True",
        "5,12y,True",
        "6,100,perhaps",
        ",100,True",
    ]
    rows += ["7,100,True,extra", "8,,", "9,nan,unknown", "10,100,M,", ""]
    (tmp_path / "t.csv").write_text("id,boneage,male\n" + "\n".join(rows))
    pictures(tmp_path, [1, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    dataset = read_dataset(tmp_path)
    assert facts(dataset) == {"1": (Sex.MALE, 100), "8": (None, None), "9": (None, None), "10": (Sex.MALE, 100)}
    assert sorted((item.id, item.reason) for item in dataset.dropped) == [
        ("", "unreadable row"),
        ("1", "duplicate id"),
        ("2", "missing file"),
        ("3", "age outside 1..240"),
        ("4", "age outside 1..240"),
        ("5", "unreadable age"),
        ("6", "unknown sex"),
        ("7", "unreadable row"),
    ]
    assert all("line" in item.file for item in dataset.dropped)
    assert "'12y'" in dataset.report()
    # The images of the dropped rows 3 to 7, and 11, which no row names.
    assert dataset.images_without_row == 6


def test_a_folder_without_a_table_of_cases_is_refused(tmp_path: Path, pictures) -> None:
    pictures(tmp_path, [1, 2])
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(
        DatasetError, match=r"2 images, but no table of cases(?s:.)*id,boneage,male(?s:.)*Digital Hand Atlas"
    ) as raised:
        read_dataset(tmp_path)
    assert raised.value.code == "no_table"
    assert "notes.csv was not used" in str(raised.value)


def test_wrong_calls_are_refused(tmp_path: Path, pictures, refuses) -> None:
    (tmp_path / "t.csv").write_text("name,boneage,male\n1,100,True\n")
    (tmp_path / "t.txt").write_text("id")
    (tmp_path / "broken.xlsx").write_bytes(b"PK no")
    pictures(tmp_path, [1])
    with refuses(UsageError, "no_such_folder"):
        read_dataset(tmp_path / "nowhere")
    with refuses(UsageError, "no_such_folder"):
        read_dataset(tmp_path, images=tmp_path / "nowhere")
    with refuses(UsageError, "no_such_file"):
        read_dataset(tmp_path, table=tmp_path / "u.csv")
    with refuses(UsageError, "unknown_format"):
        read_dataset(tmp_path, table="t.txt")
    with refuses(DatasetError, "damaged_table"):
        read_dataset(tmp_path, table="broken.xlsx")
    with pytest.raises(UsageError, match="no column for the id among: name, boneage, male") as raised:
        read_dataset(tmp_path, table="t.csv")
    assert raised.value.code == "missing_column"
    with refuses(UsageError, "unknown_column"):
        read_dataset(tmp_path, columns=Columns(id="name", age="months"))
    with refuses(UsageError, "unknown_age_unit"):
        Columns(age_unit="weeks")  # type: ignore[arg-type]
    assert facts(read_dataset(tmp_path, columns=Columns(id="name"))) == {"1": (Sex.MALE, 100)}


def test_two_tables_of_the_same_cases(tmp_path: Path, pictures) -> None:
    pictures(tmp_path / "test", [4360])
    (tmp_path / "test-integers.csv").write_text("Case ID,Sex,boneage\n4360,M,169\n")
    (tmp_path / "boneage-test-dataset.csv").write_text("Case ID,Sex\n4360,M\n")
    (tmp_path / "test copy.csv").write_text("id,male,boneage\n4360,True,169.0\n")
    dataset = read_dataset(tmp_path)
    assert facts(dataset) == {"4360": (Sex.MALE, 169)}
    assert "has no ages" in dataset.report()
    assert "repeats" in dataset.report()
    (tmp_path / "test-decimals.csv").write_text("Case ID,Sex,boneage\n4360,M,168.93\n")
    with pytest.raises(DatasetError, match=r"test-decimals\.csv|test-integers\.csv") as raised:
        read_dataset(tmp_path)
    assert raised.value.code == "conflicting_tables"
    assert facts(read_dataset(tmp_path, table="test-decimals.csv")) == {"4360": (Sex.MALE, 168.93)}


def test_several_files_of_one_name(tmp_path: Path, pictures) -> None:
    (tmp_path / "t.csv").write_text("id,boneage,male\n1377,180,False\n1378,12,True\n")
    pictures(tmp_path / "images", [1377, 1378])
    pictures(tmp_path / "masks", [1377])
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "1378.png").write_bytes((tmp_path / "images" / "1378.png").read_bytes())
    dataset = read_dataset(tmp_path)
    assert facts(dataset).keys() == {"1378"}
    assert drops(dataset) == {"1377": "several files"}
    assert facts(read_dataset(tmp_path, images=tmp_path / "images")).keys() == {"1377", "1378"}


def test_one_file_is_one_case(tmp_path: Path, pictures) -> None:
    (tmp_path / "t.csv").write_text("id,file,boneage,male\na,x.png,180,False\nb,images/x.png,12,True\n")
    pictures(tmp_path / "images", ["x"])
    dataset = read_dataset(tmp_path)
    assert facts(dataset).keys() == {"a"}
    assert drops(dataset) == {"b": "duplicate file"}


def test_a_sex_column_of_numbers_is_refused(tmp_path: Path, pictures) -> None:
    (tmp_path / "t.csv").write_text("id,boneage,gender\n1377,180,1\n")
    pictures(tmp_path, [1377])
    assert drops(read_dataset(tmp_path)) == {"1377": "unknown sex"}
    assert facts(read_dataset(tmp_path, columns=Columns(male="gender"))) == {"1377": (Sex.MALE, 180)}


def test_xlsx_with_numbers_and_booleans(tmp_path: Path, pictures) -> None:
    write_xlsx(tmp_path / "set.xlsx", [[], ["ID", " bone age ", "Male"], [1377, 180, False], [1378.0, 12.5, True]])
    pictures(tmp_path, [1377, 1378])
    assert facts(read_dataset(tmp_path)) == {"1377": (Sex.FEMALE, 180), "1378": (Sex.MALE, 12.5)}


def test_dicom_without_extension_and_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,boneage,male\n1.2.840.7,180,False\nplain,12,True\n")
    (tmp_path / "1.2.840.7").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "plain").write_text("not a radiograph")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "plain.png").write_text("")
    (tmp_path / "._plain.png").write_text("")
    dataset = read_dataset(tmp_path)
    assert facts(dataset).keys() == {"1.2.840.7"}
    assert drops(dataset) == {"plain": "missing file"}


def test_linked_folders_are_followed_once(tmp_path: Path, pictures) -> None:
    pictures(tmp_path / "elsewhere", [1377])
    home = tmp_path / "home"
    home.mkdir()
    (home / "t.csv").write_text("id,boneage,male\n1377,180,False\n")
    (home / "images").symlink_to(tmp_path / "elsewhere")
    (home / "loop").symlink_to(home)
    assert len(read_dataset(home)) == 1


@pytest.mark.parametrize(
    ("ages", "months"),
    [
        (["4.58", "4.67", "8.67", "8.25"], [55, 56, 104, 99]),
        (["4.58", "4.6", "8.67", "8.25"], [4.58, 4.6, 8.67, 8.25]),
        (["3.5", "7", "12.5", "18"], [3.5, 7, 12.5, 18]),
        (["4.58", "4.67", "8.67", "99"], [4.58, 4.67, 8.67, 99]),
    ],
)
def test_ages_that_can_only_be_years_are_read_as_years(
    tmp_path: Path, pictures, ages: list[str], months: list[float]
) -> None:
    rows = "".join(f"{number},{age},True\n" for number, age in enumerate(ages))
    (tmp_path / "t.csv").write_text(f"id,boneage,male\n{rows}")
    pictures(tmp_path, range(4))
    dataset = read_dataset(tmp_path)
    assert [case.age_months for case in dataset.cases] == months
    assert bool(dataset.notes) is (max(months) <= 21 or months[0] == 55), "a unit that may be wrong is named"
    stated = read_dataset(tmp_path, columns=Columns(age_unit="months"))
    assert [case.age_months for case in stated.cases] == [float(age) for age in ages]
    assert stated.notes == ()


def test_a_column_that_names_years(tmp_path: Path, pictures) -> None:
    (tmp_path / "t.csv").write_text("id,Bone age (years),male\n1,10.3,True\n")
    pictures(tmp_path, [1])
    (case,) = read_dataset(tmp_path).cases
    assert case.age_months == pytest.approx(123.6)


def test_packed_radiographs_are_to_be_unpacked(tmp_path: Path, pictures, refuses) -> None:
    packed = tmp_path / "set" / "boneage-training-dataset.zip"
    packed.parent.mkdir()
    packed.write_bytes(b"PK\x03\x04")
    (tmp_path / "set" / "train.csv").write_text("id,boneage,male\n1,55,True\n2,56,True\n")
    for place in (packed, packed.parent):
        with refuses(DatasetError, "packed_files"):
            read_dataset(place)
    pictures(packed.parent, [1])
    dataset = read_dataset(packed.parent)
    assert drops(dataset) == {"2": "missing file"}
    assert any(packed.name in note for note in dataset.notes)


def test_what_macos_and_windows_leave_behind_is_ignored(tmp_path: Path, pictures) -> None:
    (tmp_path / "t.csv").write_text("id,boneage,male\n1,55,True\n2,56,False\n")
    (tmp_path / "._t.csv").write_bytes(bytes(200))
    (tmp_path / "~$t.xlsx").write_bytes(bytes(200))
    pictures(tmp_path / "images", [1, 2])
    for folder in ("__MACOSX", "$RECYCLE.BIN", "@eaDir", "System Volume Information"):
        pictures(tmp_path / folder, [1, 2])
    for name in ("images/._1.png", "images/Thumbs.db", "images/desktop.ini", ".DS_Store"):
        (tmp_path / name).write_bytes(bytes(200))
    dataset = read_dataset(tmp_path)
    assert facts(dataset) == {"1": (Sex.MALE, 55), "2": (Sex.FEMALE, 56)}
    assert (dataset.dropped, dataset.images_without_row, dataset.notes) == ((), 0, ())


def test_pictures_without_an_extension_are_found_by_content(tmp_path: Path, pictures) -> None:
    (tmp_path / "t.csv").write_text("id,boneage,male\n1,55,True\n")
    (file,) = pictures(tmp_path, [1])
    file.rename(tmp_path / "1")
    assert [case.image for case in read_dataset(tmp_path).cases] == [tmp_path / "1"]
