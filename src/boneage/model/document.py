"""`model.json`, format 2: what a model says about itself.

Reading ignores fields that this version does not know; writing refuses them. `python -m boneage.model.document` prints
the JSON schema (docs/reference/model.schema.json).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from boneage.ages import FIRST_MONTH, LAST_MONTH, Sex
from boneage.errors import ModelError
from boneage.model.by_age import Correction, Entry, Month, UsualDifference
from boneage.model.network import Network
from boneage.regions import Components, Region
from boneage.views import View

FORMAT: Final = 2
NETWORK_OF_AGES: Final = "regressor"

Layout = Literal["letterbox", "squash"]
InputView = Literal["O", "H", "E", "HE"]


def _check_file_name(name: str) -> str:
    if "/" in name or "\\" in name or name in ("", ".", ".."):
        raise ValueError(f"should be the name of a file inside the model folder, not {name!r}")
    return name


def _check_axis(months: tuple[int, int]) -> tuple[int, int]:
    if months != (FIRST_MONTH, LAST_MONTH):
        raise ValueError(f"should be [{FIRST_MONTH}, {LAST_MONTH}], the age axis of this version")
    return months


def _find_network(name: object, info: ValidationInfo) -> Network:
    networks: Mapping[str, Network] = (info.context or {}).get("networks", {})
    if not isinstance(name, str) or name not in networks:
        raise ValueError(f"should be one of {', '.join(networks)}, not {name!r}")
    return networks[name]


FileName = Annotated[str, AfterValidator(_check_file_name)]
NamedNetwork = Annotated[
    Network,
    PlainValidator(_find_network, json_schema_input_type=str),
    PlainSerializer(lambda network: network.name, return_type=str),
]


class NetworkFile(Entry):
    """A network's file in the model folder, its checksum, and the side of its square input in pixels."""

    file: FileName
    sha256: str
    input_size: int = Field(ge=8, le=4096)


@dataclass(frozen=True)
class Localizer:
    """One step of phase I: a network's output, what it sees, and how its map becomes a box.

    Attributes:
        region: what it finds.
        network: one network may serve several regions by different outputs; model.json holds its name.
        input_view: "O" the whole image, "H" the hand box, "E" the image with region 1 erased, "HE" its hand box.
        tau: fraction of the map's maximum (the paper's Eq. 4).
        margin: the box grows by this fraction of its own size.
        smallest: no side is shorter than this fraction of the long side of the input box.
        output: name of the network's output, float32 [n, m, m].
        average_mirror: mean of the maps of the view and of its mirror image.
        components: which components of the thresholded map the box spans (`boneage.regions.box_of_map`).
    """

    region: Region
    network: NamedNetwork
    input_view: InputView
    tau: Annotated[float, Field(ge=1e-6, le=1.0)]
    margin: Annotated[float, Field(ge=-0.9, le=10.0)] = 0.0
    smallest: Annotated[float, Field(ge=1e-3, le=1.0)] = 0.05
    output: str = "attention"
    average_mirror: bool = True
    components: Components = "largest"


class Calibration(Entry):
    """How answers become honest.

    Attributes:
        tail: probability outside the 90 % interval at each end, used where `correction` is None.
        coverage, cases, split: the share that the intervals covered, of how many cases, and of which split.
        correction: of bias and interval, by sex and age; None: the network's answers stand as they are.
        constant_half_width_months: half the width of an interval that is the same for every case and covers as many.
    """

    tail: float = Field(ge=1e-6, le=0.499)
    coverage: float | None = None
    cases: int | None = None
    split: str | None = None
    correction: Correction | None = None
    constant_half_width_months: float | None = Field(default=None, ge=0.0)


class GateSettings(Entry):
    """The gate (`boneage.pipeline.gate.Gate`): its network, and when it refuses or rotates a radiograph.

    Attributes:
        network: its name.
        min_hand_probability: radiographs whose probability of a readable hand is smaller are refused.
        max_ood_score: radiographs whose out-of-distribution score is larger are refused.
        tilt_degrees: a hand that is rotated by less is assessed as it is.
    """

    network: str
    min_hand_probability: float = Field(ge=0.0, le=1.0)
    max_ood_score: float = Field(ge=0.0, le=1e9)
    tilt_degrees: float = Field(ge=0.0, le=180.0)


class TrainingData(Entry):
    """The data set that a model, or a part of it, has learned from.

    Attributes:
        name, cases, terms: of the data set; `cases` are those that were learned from.
        split, split_rule: which split they are, and how splits are made.
        phantom: phantoms are among them.
    """

    name: str
    cases: int | None = None
    terms: Annotated[str, AfterValidator(lambda terms: terms or "not stated")] = "not stated"
    split: str = "train"
    split_rule: str = ""
    phantom: bool = False


class RegionalHeadsSettings(Entry):
    """Carpal and tubular bone age (`boneage.model.regional_heads`).

    Attributes:
        file, sha256: the heads in the model folder.
        usual_difference: how far the two usually differ; None where it was not measured.
        carpal_until_months: by sex, the bone age from which on the carpal age is not reliable; None where it was not
            measured.
        data: what the heads were fitted on.
    """

    file: FileName
    sha256: str
    usual_difference: UsualDifference | None = None
    carpal_until_months: Annotated[dict[Sex, Month], Field(min_length=len(Sex))] | None = None
    data: TrainingData | None = None


class Origin(Entry):
    """A model from which localizers or weights were taken over, and what it had learned from."""

    name: str
    sha256: str
    phantom_trained: bool = False
    training_data: TrainingData | None = None
    recipe_settings: dict[str, Any] = Field(default_factory=dict)


class Settings(Entry):
    """All of `model.json`.

    Attributes:
        image_short_side: pixels of the shorter side to which radiographs are shrunk first; None: own resolution.
        layout: how a box becomes a square view.
        networks: by name; "regressor" is the age network.
        localizers: in the order in which they run.
        views: input order of the age network.
        average_mirror: the answer is the mean of the distributions of the views and of their mirror images.
        sex_input: the age network takes the sex.
        view_features: the age network sees each view by itself; its output `features` is float32 [n, views * C], one
            view after the other.
        recipe_settings: of the training.
        localizers_of, regressor_of: where parts were taken over from; None: trained here.
        files: checksums of the other files of the folder (metrics, model card, regional heads).
        settings_sha256: checksum of model.json without this field.
    """

    format: Literal[2]
    name: str
    version: str = ""
    recipe: str = ""
    created: str = ""
    code_version: str = ""
    months: Annotated[tuple[int, int], AfterValidator(_check_axis)]
    image_short_side: Annotated[int, Field(ge=16, le=10**5)] | None = None
    layout: Layout = "letterbox"
    networks: dict[str, NetworkFile]
    localizers: tuple[Localizer, ...] = ()
    views: tuple[View, ...] = Field(min_length=1)
    average_mirror: bool = False
    sex_input: bool
    view_features: bool = False
    calibration: Calibration
    gate: GateSettings | None = None
    regional_heads: RegionalHeadsSettings | None = None
    phantom_trained: bool = False
    training_data: TrainingData | None = None
    recipe_settings: dict[str, Any] = Field(default_factory=dict)
    localizers_of: Origin | None = None
    regressor_of: Origin | None = None
    files: dict[FileName, str] = Field(default_factory=dict)
    settings_sha256: str = ""

    @field_validator("networks")
    @classmethod
    def _check_networks(cls, networks: dict[str, NetworkFile]) -> dict[str, NetworkFile]:
        if NETWORK_OF_AGES not in networks:
            raise ValueError(f"lacks the age network, '{NETWORK_OF_AGES}'")
        return networks

    @field_validator("localizers")
    @classmethod
    def _check_order(cls, localizers: tuple[Localizer, ...]) -> tuple[Localizer, ...]:
        known: set[Region] = set()
        for at, localizer in enumerate(localizers):
            if localizer.region in known:
                raise ValueError(f"[{at}].region is {localizer.region} a second time")
            if missing := View(localizer.input_view).needs - known:
                raise ValueError(f"[{at}].input_view is {localizer.input_view}, which needs {_words(missing)} before")
            known.add(localizer.region)
        return localizers

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        found = {localizer.region for localizer in self.localizers}
        for view in self.views:
            if missing := view.needs - found:
                raise ValueError(f"views: {view} needs a localizer for {_words(missing)}")
        if self.gate is not None and self.gate.network not in self.networks:
            raise ValueError(f"gate.network should be one of {', '.join(self.networks)}, not {self.gate.network!r}")
        if self.regional_heads is not None and not (self.view_features and View.R1 in self.views):
            raise ValueError("regional_heads needs view_features, and R1 among views")
        return self


def _words(regions: frozenset[Region]) -> str:
    return " and ".join(sorted(regions))


def read_settings(
    content: bytes, file: Path, *, paths: Mapping[str, Path] | None = None, strict: bool = False
) -> tuple[Settings, dict[str, Network]]:
    """Validate `model.json`.

    Args:
        content: JSON.
        file: where it lies, for messages; the networks are beside it.
        paths: where the networks are instead, by name.
        strict: refuse unknown fields, as writing does.

    Returns:
        The settings, and the networks by name, which its localizers share.

    Raises:
        ModelError: `invalid_model_json`: the message names the file and the field.
    """
    extra: Literal["forbid", "ignore"] = "forbid" if strict else "ignore"
    try:
        files = _Networks.model_validate_json(content, strict=True, extra="ignore").networks
        networks = {
            name: Network(
                name=name,
                path=(paths or {}).get(name, file.parent / entry.file),
                input_size=entry.input_size,
                sha256=entry.sha256,
            )
            for name, entry in files.items()
        }
        settings = Settings.model_validate_json(content, strict=True, extra=extra, context={"networks": networks})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "model"
        raise ModelError(
            f"{file}: '{field}' is not valid: {first['msg'].removeprefix('Value error, ')}. Export the model again "
            "with this version of boneage.",
            code="invalid_model_json",
        ) from error
    return settings, networks


class _Networks(Entry):
    networks: dict[str, NetworkFile]


def json_schema() -> dict[str, Any]:
    """The JSON schema of `model.json`."""
    return Settings.model_json_schema()


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
