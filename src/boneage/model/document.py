"""What `model.json` says, checked field by field (format 1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, TypeVar, cast

import numpy as np
import numpy.typing as npt

from boneage.ages import FIRST_MONTH, LAST_MONTH, Sex
from boneage.errors import ModelError
from boneage.model.by_age import Correction
from boneage.regional_ages import UsualDifference
from boneage.regions import Components, Region
from boneage.views import View

FORMAT: Final = 1
NETWORK_OF_AGES: Final = "regressor"

Layout = Literal["letterbox", "squash"]
T = TypeVar("T")

_NEEDS: Final[dict[str, tuple[Region, ...]]] = {
    "O": (),
    "H": (Region.HAND,),
    "R1": (Region.REGION_1,),
    "R2": (Region.REGION_2,),
    "E": (Region.REGION_1,),
    "HE": (Region.HAND, Region.REGION_1),
    "R2E": (Region.REGION_1, Region.REGION_2),
}
"""Which regions must be known before a view can be cut."""


@dataclass(frozen=True)
class NetworkSettings:
    """A network's file in the model folder, its checksum, and the side of its square input in pixels."""

    file: str
    sha256: str
    input_size: int


@dataclass(frozen=True)
class LocalizerSettings:
    """One step of phase I; see `boneage.model.folder.Localizer`."""

    region: Region
    network: str
    output: str
    input_view: str
    tau: float
    margin: float
    average_mirror: bool
    smallest: float
    components: Components


@dataclass(frozen=True)
class Calibration:
    """How answers become honest.

    Attributes:
        tail: mass outside the 90 % interval at each end, where there is no correction.
        coverage, cases, split: the share that the intervals covered, of how many cases, and of which.
        correction: of bias and of width, by sex and age; None: the network's answers stand as they are.
        constant_half_width_months: half the width of an interval that is the same for every case and covers as many.
    """

    tail: float
    coverage: float | None
    cases: int | None
    split: str | None
    correction: Correction | None = None
    constant_half_width_months: float | None = None


@dataclass(frozen=True)
class GateSettings:
    """The gate (`boneage.pipeline.gate.Gate`): its network, and when it refuses a film or turns it.

    Attributes:
        least_hand: probability of a readable hand under which a film is refused.
        most_oddness: distance from hands over which a film is refused.
        tilt_degrees: a hand that is turned by less is assessed as it is.
    """

    network: str
    min_hand_probability: float
    max_ood_score: float
    tilt_degrees: float


@dataclass(frozen=True)
class RegionalHeadsSettings:
    """Carpal and tubular bone age (`boneage.model.regional_heads`).

    Attributes:
        file, sha256: the heads in the model folder.
        tensor: name inside the age network of the views' features, float32 [n, views * C].
        usual: how far apart the two usually lie; None where that is not known.
        carpal_until_months: by sex, the bone age from which on the carpal age says little; None where that is not
            known.
        phantom: some of the films that the heads were fitted on are phantoms.
    """

    file: str
    sha256: str
    tensor: str
    usual: UsualDifference | None = None
    carpal_until_months: Mapping[Sex, float] | None = None
    phantom: bool = False


@dataclass(frozen=True)
class Settings:
    """The settings of a model, format 1.

    Attributes:
        image_short_side: pixels of the film's shorter side before anything else; None for original resolution.
        layout: how a box becomes a square view.
        views: input order of the regressor.
        average_mirror: the mean of the distributions of the views and of their mirror images.
        scalar: a plain L1 network; the distribution is a Gaussian with a standard deviation of `scalar_sd_months`.
    """

    name: str
    version: str
    recipe: str
    created: str
    code_version: str
    image_short_side: int | None
    layout: Layout
    networks: Mapping[str, NetworkSettings]
    localizers: tuple[LocalizerSettings, ...]
    views: tuple[View, ...]
    average_mirror: bool
    sex_input: bool
    scalar: bool
    scalar_sd_months: float
    calibration: Calibration
    phantom_trained: bool
    gate: GateSettings | None = None
    regional_heads: RegionalHeadsSettings | None = None


class _Fields:
    """Typed access to one JSON object; every complaint names the file and the field."""

    def __init__(self, values: object, file: str, where: str) -> None:
        self.file, self.where = file, where
        if not isinstance(values, dict):
            self.complain("should be an object")
        self.values = cast(dict[str, Any], values)

    def complain(self, about: str, key: str = "") -> NoReturn:
        name = ".".join(part for part in (self.where, key) if part) or "the document"
        raise ModelError(f"{self.file}: '{name}' {about}. Export the model again with this version of boneage.")

    def _any(self, key: str, kinds: tuple[type, ...], words: str, default: T | None, required: bool) -> Any:
        if key not in self.values:
            if required:
                self.complain("is missing", key)
            return default
        value = self.values[key]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            self.complain(f"should be {words}, not {value!r}", key)
        return value

    def text(self, key: str, default: str | None = None) -> str:
        return str(self._any(key, (str,), "a text", default, default is None))

    def file_name(self, key: str) -> str:
        name = self.text(key)
        if "/" in name or "\\" in name or name in ("", ".", ".."):
            self.complain(f"should be a file name inside the model folder, not {name!r}", key)
        return name

    def flag(self, key: str, default: bool | None = None) -> bool:
        return bool(self._any(key, (bool,), "true or false", default, default is None))

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        value = float(self._any(key, (int, float), "a number", default, default is None))
        if not (math.isfinite(value) and low <= value <= high):
            self.complain(f"should lie between {low:g} and {high:g}, not {value:g}", key)
        return value

    def numbers(self, key: str, low: float, high: float, count: int | None = None) -> npt.NDArray[np.float64]:
        values = self._any(key, (list,), "a list of numbers", None, True)
        wrong = not values or any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values)
        if wrong or not all(low <= value <= high for value in values) or count not in (None, len(values)):
            many = "numbers" if count is None else f"{count} numbers"
            self.complain(f"should be a list of {many} between {low:g} and {high:g}", key)
        return np.array(values, dtype=np.float64)

    def whole(self, key: str, low: int, high: int) -> int:
        value = int(self._any(key, (int,), "a whole number", None, True))
        if not low <= value <= high:
            self.complain(f"should lie between {low} and {high}, not {value}", key)
        return value

    def one_of(self, key: str, words: tuple[str, ...], default: str | None = None) -> str:
        value = self.text(key, default)
        if value not in words:
            self.complain(f"should be one of {', '.join(words)}, not {value!r}", key)
        return value

    def rows(self, key: str) -> list[_Fields]:
        entries = self._any(key, (list,), "a list", None, True)
        return [_Fields(entry, self.file, f"{key}[{at}]") for at, entry in enumerate(entries)]


def read_settings(document: object, file: str) -> Settings:
    """Check the parsed `model.json` and return it typed.

    Args:
        document: the parsed JSON.
        file: its path, for messages.

    Raises:
        ModelError: a field is missing, of another type, or out of range; the message names file and field.
    """
    top = _Fields(document, file, "")
    if top.whole("format", 0, 10**9) != FORMAT:
        top.complain(f"should be {FORMAT}, the format that this version of boneage reads", "format")
    if top.values.get("months") != [FIRST_MONTH, LAST_MONTH]:
        top.complain(f"should be [{FIRST_MONTH}, {LAST_MONTH}], the age axis of this version", "months")
    networks = _networks(top)
    localizers = _localizers(top, networks)
    scalar = top.flag("scalar", False)
    return Settings(
        name=top.text("name"),
        version=top.text("version", ""),
        recipe=top.text("recipe", ""),
        created=top.text("created", ""),
        code_version=top.text("code_version", ""),
        image_short_side=None
        if top.values.get("image_short_side") is None
        else top.whole("image_short_side", 16, 10**5),
        layout=cast(Layout, top.one_of("layout", ("letterbox", "squash"), "letterbox")),
        networks=networks,
        localizers=localizers,
        views=_views(top, {entry.region for entry in localizers}),
        average_mirror=top.flag("average_mirror", False),
        sex_input=top.flag("sex_input"),
        scalar=scalar,
        scalar_sd_months=top.number("scalar_sd_months", 0.1, 120.0) if scalar else 0.0,
        calibration=_calibration(_Fields(top.values.get("calibration"), file, "calibration")),
        phantom_trained=top.flag("phantom_trained", False),
        gate=_gate(top, networks),
        regional_heads=_regional_heads(top),
    )


def _networks(top: _Fields) -> dict[str, NetworkSettings]:
    table = _Fields(top.values.get("networks"), top.file, "networks")
    networks = {}
    for name in table.values:
        entry = _Fields(table.values[name], top.file, f"networks.{name}")
        size = entry.whole("input_size", 8, 4096)
        networks[name] = NetworkSettings(entry.file_name("file"), entry.text("sha256"), size)
    if NETWORK_OF_AGES not in networks:
        table.complain("is missing", NETWORK_OF_AGES)
    return networks


def _calibration(entry: _Fields) -> Calibration:
    correction = None
    if {"at_months", "shift_months", "width"} & entry.values.keys():
        at = entry.numbers("at_months", FIRST_MONTH, LAST_MONTH)
        if (np.diff(at) <= 0).any():
            entry.complain("should rise", "at_months")
        shift, width = (
            _Fields(entry.values.get(key), entry.file, f"calibration.{key}") for key in ("shift_months", "width")
        )
        near = _Fields(entry.values["near"], entry.file, "calibration.near") if "near" in entry.values else None
        correction = Correction(
            at,
            {sex: shift.numbers(sex.value, -LAST_MONTH, LAST_MONTH, len(at)) for sex in Sex},
            {sex: width.numbers(sex.value, 0.0, 1e3, len(at)) for sex in Sex},
            None if near is None else {sex: near.numbers(sex.value, 0.0, 1e9, len(at)) for sex in Sex},
        )
    constant = (
        entry.number("constant_half_width_months", 0.0, 1e3, -1.0)
        if "constant_half_width_months" in entry.values
        else None
    )
    return Calibration(
        tail=entry.number("tail", 1e-6, 0.499),
        coverage=entry.values.get("coverage"),
        cases=entry.values.get("cases"),
        split=entry.values.get("split"),
        correction=correction,
        constant_half_width_months=constant,
    )


def _gate(top: _Fields, networks: Mapping[str, NetworkSettings]) -> GateSettings | None:
    if top.values.get("gate") is None:
        return None
    entry = _Fields(top.values["gate"], top.file, "gate")
    return GateSettings(
        network=entry.one_of("network", tuple(networks)),
        min_hand_probability=entry.number("min_hand_probability", 0.0, 1.0),
        max_ood_score=entry.number("max_ood_score", 0.0, 1e9),
        tilt_degrees=entry.number("tilt_degrees", 0.0, 180.0),
    )


def _regional_heads(top: _Fields) -> RegionalHeadsSettings | None:
    if top.values.get("regional_heads") is None:
        return None
    entry = _Fields(top.values["regional_heads"], top.file, "regional_heads")
    if View.R1.value not in top.values["views"]:
        entry.complain("needs R1 among 'views'")
    usual = None
    if entry.values.get("usual_difference") is not None:
        table = _Fields(entry.values["usual_difference"], top.file, "regional_heads.usual_difference")
        at = table.numbers("at_months", FIRST_MONTH, LAST_MONTH)
        if (np.diff(at) <= 0).any():
            table.complain("should rise", "at_months")
        center, reach = (
            _Fields(table.values.get(key), top.file, f"regional_heads.usual_difference.{key}")
            for key in ("center_months", "reach_months")
        )
        usual = UsualDifference(
            at,
            {sex: center.numbers(sex.value, -LAST_MONTH, LAST_MONTH, len(at)) for sex in Sex},
            {sex: reach.numbers(sex.value, 0.0, LAST_MONTH, len(at)) for sex in Sex},
        )
    until = None
    if entry.values.get("carpal_until_months") is not None:
        ends = _Fields(entry.values["carpal_until_months"], top.file, "regional_heads.carpal_until_months")
        until = {sex: ends.number(sex.value, FIRST_MONTH, LAST_MONTH) for sex in Sex}
    data = _Fields(entry.values.get("data") or {}, top.file, "regional_heads.data")
    return RegionalHeadsSettings(
        file=entry.file_name("file"),
        sha256=entry.text("sha256"),
        tensor=entry.text("tensor"),
        usual=usual,
        carpal_until_months=until,
        phantom=data.flag("phantom", False),
    )


def _localizers(top: _Fields, networks: Mapping[str, NetworkSettings]) -> tuple[LocalizerSettings, ...]:
    localizers: list[LocalizerSettings] = []
    for entry in top.rows("localizers"):
        region = Region(entry.one_of("region", tuple(region.value for region in Region)))
        known = {done.region for done in localizers}
        if region in known:
            entry.complain(f"is {region.value} a second time", "region")
        input_view = entry.one_of("input_view", ("O", "H", "E", "HE"))
        missing = [needed.value for needed in _NEEDS[input_view] if needed not in known]
        if missing:
            entry.complain(f"is {input_view}, which needs {' and '.join(missing)} to be found before", "input_view")
        localizers.append(
            LocalizerSettings(
                region=region,
                network=entry.one_of("network", tuple(networks)),
                output=entry.text("output", "attention"),
                input_view=input_view,
                tau=entry.number("tau", 1e-6, 1.0),
                margin=entry.number("margin", -0.9, 10.0, 0.0),
                average_mirror=entry.flag("average_mirror", False),
                smallest=entry.number("smallest", 1e-3, 1.0, 0.05),
                components=cast(Components, entry.one_of("components", ("largest", "all"), "largest")),
            )
        )
    return tuple(localizers)


def _views(top: _Fields, found: set[Region]) -> tuple[View, ...]:
    views = top.values.get("views")
    names = [view.value for view in View]
    if not isinstance(views, list) or not views or any(view not in names for view in views):
        top.complain(f"should be a list out of {', '.join(names)}, not {views!r}", "views")
    for view in views:
        missing = [needed.value for needed in _NEEDS[view] if needed not in found]
        if missing:
            top.complain(f"holds {view}, which needs a localizer for {' and '.join(missing)}", "views")
    return tuple(View(view) for view in views)
