"""The torch networks as they were trained and `boneage.assess` give the same ages, whatever the file."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import boneage
from boneage.ages import Sex, expectation_months
from boneage.formats import read_radiograph
from boneage.model.folder import load_model
from boneage.model.network import Network
from boneage.model.writing import write_model
from boneage.phantom import phantom
from boneage.pipeline.localization import RegionLocalizer, cut_views
from boneage.regions import Region
from boneage.training.localization.student import OUTPUTS, Student
from boneage.training.networks.age_network import AgeRegressor
from boneage.training.networks.backbone import round_to_half
from boneage.training.networks.export import export_regressor, export_student
from boneage.training.recipes.settings import Backbone, RegressorSettings, StudentSettings
from boneage.views import View

SMALL = Backbone("mobilenetv2_050")
SIZES = ((70, 700), (700, 70), (64, 64), (300, 390), (640, 480), (100, 1400), (1100, 900))
"""Width and height: two strips, the smallest, ordinary ones, a strip again, and one that is shrunk."""


def picture(**options: Any) -> Callable[[np.ndarray, Path], None]:
    """Written by Pillow."""

    def write(gray: np.ndarray, file: Path) -> None:
        image = Image.fromarray(gray)
        image = image.convert(options["mode"]) if "mode" in options else image
        image.save(file, format=options["format"], quality=90)

    return write


def png_16(gray: np.ndarray, file: Path) -> None:
    Image.fromarray(gray.astype(np.uint16) * 257).save(file, format="PNG")


def tiff_16(gray: np.ndarray, file: Path) -> None:
    tifffile.imwrite(file, gray.astype(np.uint16) * 16 + 100)


def tiff_float(gray: np.ndarray, file: Path) -> None:
    tifffile.imwrite(file, gray.astype(np.float32) / 255 - 3)


def dicom(monochrome: int) -> Callable[[np.ndarray, Path], None]:
    def write(gray: np.ndarray, file: Path) -> None:
        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = ComputedRadiographyImageStorage
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
        image.Modality, image.BodyPartExamined = "CR", "HAND"
        image.PhotometricInterpretation = f"MONOCHROME{monochrome}"
        image.Rows, image.Columns = gray.shape
        image.SamplesPerPixel, image.PixelRepresentation = 1, 0
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        values = gray.astype(np.uint16) * 16
        image.PixelData = (4095 - values if monochrome == 1 else values).tobytes()
        image.save_as(file, enforce_file_format=True)

    return write


FORMATS: dict[str, Callable[[np.ndarray, Path], None]] = {
    "gray.png": picture(format="PNG"),
    "palette.png": picture(format="PNG", mode="P"),
    "rgba.png": picture(format="PNG", mode="RGBA"),
    "16.png": png_16,
    "gray.jpg": picture(format="JPEG"),
    "gray.webp": picture(format="WEBP", mode="RGB"),
    "16.tif": tiff_16,
    "float.tif": tiff_float,
    "1.dcm": dicom(1),
    "2.dcm": dicom(2),
}


def gray_of(width: int, height: int, seed: int) -> np.ndarray:
    image = phantom(20 + 7 * seed, "female", seed, 240).pixels
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def files(folder: Path) -> Iterator[Path]:
    for number, (width, height) in enumerate(SIZES):
        for name, write in FORMATS.items():
            file = folder / f"{width}x{height}-{name}"
            write(gray_of(width, height, number), file)
            yield file


class TorchNetwork(Network):
    """A localizer that torch runs."""

    module: torch.nn.Module

    def run(self, feeds: Any) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            maps = self.module(torch.from_numpy(feeds["view"]))
        return {name: values.numpy() for name, values in zip(OUTPUTS, maps, strict=True)}


def untrained(network: torch.nn.Module) -> Any:
    """Random weights that answer differently to different pictures, rounded as the export rounds them."""
    for name, value in network.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            value.normal_(0.0, 0.1)
    for name, parameter in network.named_parameters():
        if name.startswith(("answer", "tail.3")):
            parameter.data.mul_(20.0)
    round_to_half(network.eval())
    return network


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Student, AgeRegressor]:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("same")
    student = untrained(Student(StudentSettings(size=96, backbone=SMALL, channels=16)))
    settings = RegressorSettings(views=("H", "R1", "R2"), size=64, backbone=SMALL)
    regressor = untrained(AgeRegressor(settings))
    export_student(student, folder / "s.onnx", 96, OUTPUTS)
    export_regressor(regressor, folder / "r.onnx", settings.views, 64)
    steps = [
        {"region": region.value, "network": "localizer", "output": output, "input_view": "O", "tau": 0.5, "margin": 0.1,
         "average_mirror": True, "smallest": 0.1}
        for region, output in zip(Region, OUTPUTS, strict=True)
    ]  # fmt: skip
    document = {
        "name": "same", "version": "0", "recipe": "none", "image_short_side": 300, "layout": "letterbox",
        "networks": {"localizer": {"input_size": 96}, "regressor": {"input_size": 64}},
        "localizers": steps, "views": list(settings.views), "average_mirror": True, "sex_input": True,
        "calibration": {"tail": 0.05}, "phantom_trained": False,
        "training_data": {"name": "none", "cases": 0, "terms": "none", "split_rule": "none"},
    }  # fmt: skip
    networks = {"localizer": folder / "s.onnx", "regressor": folder / "r.onnx"}
    return write_model(folder / "model", document, networks), student, regressor


def test_torch_and_assess_agree_on_every_format_and_shape(
    trained: tuple[Path, Student, AgeRegressor], tmp_path: Path
) -> None:
    folder, student, regressor = trained
    network = TorchNetwork("localizer", Path("torch"), 96)
    object.__setattr__(network, "module", student)
    region_localizer = RegionLocalizer([replace(step, network=network) for step in load_model(folder).localizers])
    ages = []
    for number, file in enumerate(files(tmp_path)):
        sex = list(Sex)[number % 2]
        image = read_radiograph(file).image(300)
        views = cut_views(image, region_localizer.locate(image), (View.H, View.R1, View.R2), 64)
        stack = np.stack(list(views.values()))
        batch = torch.from_numpy(np.ascontiguousarray(np.stack([stack, stack[..., ::-1]])))
        with torch.inference_mode():
            logits = regressor(batch, torch.full((2, 1), sex.sign))
        expected = float(expectation_months(torch.softmax(logits.double(), dim=1).mean(dim=0).numpy()))
        found = boneage.assess(file, sex=sex, model=folder).bone_age_months
        assert found == pytest.approx(expected, abs=0.01), file.name
        ages.append(found)
    assert len(ages) >= 50
    assert np.ptp(ages) > 1.0, "the networks answer the same to everything: this test would prove nothing"


def test_the_files_are_what_their_names_say(tmp_path: Path) -> None:
    for file in files(tmp_path):
        width, height = map(int, file.name.split("-")[0].split("x"))
        radiograph = read_radiograph(file)
        assert (radiograph.width, radiograph.height) == (width, height)
    assert Image.open(io.BytesIO((tmp_path / "64x64-palette.png").read_bytes())).mode == "P"
