"""A trained model on disk: networks, settings, checksums, provenance.

A model folder holds `model.json` and one `.onnx` file a network. The preprocessing is inside the networks: they
take 8-bit views as `boneage.views.cut` makes them. Nothing is trusted before its checksum is verified.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from boneage.errors import ModelError
from boneage.model.document import (
    FORMAT,
    NETWORK_OF_AGES,
    Calibration,
    Layout,
    Settings,
    read_settings,
)
from boneage.model.network import Localizer, Network, available_cores
from boneage.model.regional_heads import RegionalHeads, read_regional_heads
from boneage.views import View

__all__ = [
    "MODELS_FOLDER",
    "SETTINGS_FILE",
    "Localizer",
    "Model",
    "Network",
    "available_cores",
    "check_files",
    "default_model",
    "find_model",
    "load_model",
    "networks_sha256",
    "settings_sha256",
    "shipped_models",
]

SETTINGS_FILE: Final = "model.json"
OTHER_FILES: Final = "files"
"""The field of model.json with the checksums of what lies in the folder besides it and the networks."""
MODELS_FOLDER: Final = Path(__file__).parents[1] / "models"
"""The models that are shipped with the package, one folder each; the text file DEFAULT names the one to use."""

_ANSWERS_DEPEND_ON: Final = (
    *("months", "image_short_side", "layout", "networks", "localizers", "views", "average_mirror", "sex_input"),
    *("scalar", "scalar_sd_months", "calibration"),
)
_AND_IF_THERE: Final = ("gate", "regional_heads")
_RESTORE: Final = "Copy the model folder again, or install the package again"


@dataclass(frozen=True, eq=False)
class Model:
    """A model folder that was read and verified.

    Attributes:
        folder: where it lies.
        sha256: over all that an answer depends on: the model's identity in every output.
        settings: what `model.json` says, checked.
        networks: by name.
        localizers: in the order in which they run.
        regional_heads: carpal and tubular bone age apart; None: the model does not tell them.
        document: the whole of `model.json` (provenance and metrics included).
    """

    folder: Path
    sha256: str
    settings: Settings
    networks: Mapping[str, Network]
    localizers: tuple[Localizer, ...]
    document: Mapping[str, Any] = field(repr=False)
    regional_heads: RegionalHeads | None = None

    def giving(self, tensor: str) -> Model:
        """The same with an age network that gives the inner tensor `tensor`, float32 [n, C], beside its answer."""
        also = dict.fromkeys((*self.regressor.also_gives, tensor))
        regressor = replace(self.regressor, also_gives=tuple(also))
        return replace(self, networks={**self.networks, NETWORK_OF_AGES: regressor})

    def one_thread(self) -> Model:
        """The same with networks that take one thread each: for several radiographs at the same time."""
        networks = {name: replace(network, threads=1) for name, network in self.networks.items()}
        steps = (replace(step, network=networks[step.network.name]) for step in self.localizers)
        return replace(self, networks=networks, localizers=tuple(steps))

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def version(self) -> str:
        return self.settings.version

    @property
    def regressor(self) -> Network:
        return self.networks[NETWORK_OF_AGES]

    @property
    def image_short_side(self) -> int | None:
        return self.settings.image_short_side

    @property
    def layout(self) -> Layout:
        return self.settings.layout

    @property
    def views(self) -> tuple[View, ...]:
        return self.settings.views

    @property
    def calibration(self) -> Calibration:
        return self.settings.calibration

    @property
    def bytes_on_disk(self) -> int:
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())


def networks_sha256(checksums: Mapping[str, str]) -> str:
    """SHA-256 over the networks' sorted checksums, one a line."""
    return hashlib.sha256("\n".join(sorted(checksums.values())).encode()).hexdigest()


def identity_sha256(document: Mapping[str, Any]) -> str:
    """SHA-256 over what an answer depends on: networks, thresholds, views, calibration; not name, dates or figures.

    The same networks with another tau, or with another calibration, give other answers and are another model. What
    stands beside these (on which cases a calibration or the heads of the parts were fitted) counts as well.
    """
    said = {key: document.get(key) for key in _ANSWERS_DEPEND_ON}
    return _sha256_of_json(said | {key: document[key] for key in _AND_IF_THERE if key in document})


def settings_sha256(document: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON (sorted keys, no spaces, ASCII) of `model.json` without this very field."""
    rest = {key: value for key, value in document.items() if key != "settings_sha256"}
    return _sha256_of_json(rest)


def _sha256_of_json(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def shipped_models() -> list[str]:
    """Names of the models that came with the package, sorted."""
    if not MODELS_FOLDER.is_dir():
        return []
    return sorted(path.name for path in MODELS_FOLDER.iterdir() if (path / SETTINGS_FILE).is_file())


def default_model() -> str:
    """The name of the model that is used where none is asked for.

    Raises:
        ModelError: no model is shipped, or it is not said which of several is the default.
    """
    shipped, note = shipped_models(), MODELS_FOLDER / "DEFAULT"
    if note.is_file():
        name = note.read_text(encoding="utf-8").strip()
        if name in shipped:
            return name
        raise ModelError(f"{note}: names the model '{name}', which is not there. Install the package again.")
    if len(shipped) == 1:
        return shipped[0]
    if shipped:
        raise ModelError(f"{MODELS_FOLDER}: holds {', '.join(shipped)} and no file DEFAULT. Name one with --model.")
    raise ModelError(
        "No model came with this installation of boneage. Train one with `boneage train` "
        "and give its folder (--model DIR), or install a release that has one."
    )


def find_model(name_or_dir: str | Path | None = None) -> Path:
    """The folder of a model: a shipped name, a path to a folder, or None for the default.

    Raises:
        ModelError: there is no such model.
    """
    asked = default_model() if name_or_dir is None else name_or_dir
    if isinstance(asked, str) and asked in shipped_models():
        return MODELS_FOLDER / asked
    folder = Path(asked)
    if (folder / SETTINGS_FILE).is_file():
        return folder
    if not folder.exists() and (replaced_model(folder) / SETTINGS_FILE).is_file():
        raise ModelError(
            f"{asked}: was being replaced when the writing was interrupted; the former model is in "
            f"{replaced_model(folder)}. Rename that folder to {folder.name}, or write the model again."
        )
    if folder.is_dir():
        raise ModelError(f"{asked}: this folder holds no {SETTINGS_FILE}. Give the folder that `boneage train` wrote.")
    known = ", ".join(shipped_models()) or "none"
    raise ModelError(f"{asked}: neither a model folder nor a shipped model ({known}). See `boneage models list`.")


def load_model(name_or_dir: str | Path | None = None) -> Model:
    """Read and verify a model. Sessions start later, when a network is first used.

    Args:
        name_or_dir: a shipped name or a folder; None for the default.

    Raises:
        ModelError: missing, damaged (a checksum differs), or of a version that this code does not read;
            the message names the file.
    """
    folder = find_model(name_or_dir)
    file = folder / SETTINGS_FILE
    try:
        document = json.loads(file.read_bytes().decode("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: cannot be read ({error}). {_RESTORE}.") from error
    # The version comes first: another version may well compute its checksums in another way.
    if isinstance(document, dict) and "format" in document and document["format"] != FORMAT:
        raise ModelError(
            f"{file}: model format {document['format']!r}; this version of boneage reads format {FORMAT}. "
            "Install the version that wrote it, or train again."
        )
    if not isinstance(document, dict) or document.get("settings_sha256") != settings_sha256(document):
        raise ModelError(
            f"{file}: the settings do not match their checksum (settings_sha256): the file was changed. {_RESTORE}."
        )
    settings = read_settings(document, str(file))
    networks = {
        name: Network(name, folder / entry.file, entry.input_size, entry.sha256)
        for name, entry in settings.networks.items()
    }
    for network in networks.values():
        _verify(network.path, network.sha256)
    if document.get("networks_sha256") != networks_sha256({name: entry.sha256 for name, entry in networks.items()}):
        raise ModelError(f"{file}: networks_sha256 does not match the networks. {_RESTORE}.")
    localizers = tuple(Localizer.of(entry, networks[entry.network]) for entry in settings.localizers)
    regional_heads = (
        read_regional_heads(folder / settings.regional_heads.file, settings.regional_heads)
        if settings.regional_heads
        else None
    )
    return Model(folder, identity_sha256(document), settings, networks, localizers, document, regional_heads)


def _verify(path: Path, checksum: str) -> None:
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}). {_RESTORE}.") from error
    if found != checksum:
        raise ModelError(
            f"{path}: the checksum differs from {SETTINGS_FILE} (SHA-256 {found[:12]}... instead of "
            f"{checksum[:12]}...): the file is damaged or is another one. {_RESTORE}."
        )


def check_files(model: Model) -> list[str]:
    """Check what loading does not: that model.json is byte for byte as it was written, and the files beside it.

    Returns:
        Names of files in the folder that have no checksum.

    Raises:
        ModelError: a file differs from its checksum or is missing; the message names it.
    """
    settings = model.folder / SETTINGS_FILE
    if settings.read_bytes() != written_settings(model.document):
        raise ModelError(
            f"{settings}: says what its checksum covers, but not byte for byte as it was written: the file was "
            f"changed. {_RESTORE}."
        )
    others: Mapping[str, str] = model.document.get(OTHER_FILES) or {}
    for name, checksum in others.items():
        _verify(model.folder / name, checksum)
    known = {SETTINGS_FILE, *others, *(network.path.name for network in model.networks.values())}
    return sorted({path.name for path in model.folder.iterdir()} - known)


def written_settings(document: Mapping[str, Any]) -> bytes:
    """`model.json` as it is written."""
    return (json.dumps(dict(document), indent=2) + "\n").encode()


def replaced_model(target: Path) -> Path:
    """Where the former model waits while a new one takes its place."""
    return target.with_name(f".{target.name}.replaced")
