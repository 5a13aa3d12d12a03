"""A trained model on disk: networks, settings, checksums, provenance.

A model folder holds `model.json` (see `boneage.model.document`), one `.onnx` file for each network, and further files:
`metrics.json`, the model card, the regional heads. The preprocessing is inside the networks, which take 8-bit views as
`boneage.views.cut` makes them. A network is used only after its checksum was verified.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from boneage.errors import ModelError
from boneage.model.document import FORMAT, NETWORK_OF_AGES, Calibration, Layout, Localizer, Settings, read_settings
from boneage.model.network import Network, available_cores
from boneage.model.regional_heads import RegionalHeads, read_regional_heads
from boneage.views import View

__all__ = [
    "METRICS_FILE",
    "MODELS_FOLDER",
    "SETTINGS_FILE",
    "Localizer",
    "Model",
    "Network",
    "available_cores",
    "check_files",
    "default_model",
    "find_model",
    "identity_sha256",
    "load_model",
    "replaced_model",
    "settings_sha256",
    "shipped_models",
    "try_out",
    "written_settings",
]

SETTINGS_FILE: Final = "model.json"
METRICS_FILE: Final = "metrics.json"
MODELS_FOLDER: Final = Path(__file__).parents[1] / "models"
"""The models that are shipped with the package, one folder each; the text file DEFAULT names the one to use."""

_ANSWERS_DEPEND_ON: Final = {
    *("months", "image_short_side", "layout", "networks", "localizers", "views", "average_mirror", "sex_input"),
    *("view_features", "calibration", "gate", "regional_heads"),
}
_RESTORE: Final = "Copy the model folder again, or install the package again"


@dataclass(frozen=True, eq=False)
class Model:
    """A model whose settings were validated and whose files were verified.

    Attributes:
        folder: where it is.
        settings: what `model.json` says.
        networks: by name.
        localizers: in the order in which they run.
        regional_heads: for carpal and tubular bone age; None where the model does not have them.
    """

    folder: Path
    settings: Settings
    networks: Mapping[str, Network]
    localizers: tuple[Localizer, ...]
    regional_heads: RegionalHeads | None = None

    def one_thread(self) -> Model:
        """The same with networks that take one thread each: for several radiographs at the same time."""
        networks = {name: replace(network, threads=1) for name, network in self.networks.items()}
        steps = (replace(step, network=networks[step.network.name]) for step in self.localizers)
        return replace(self, networks=networks, localizers=tuple(steps))

    @cached_property
    def sha256(self) -> str:
        """The model's identity in every output: over all that an answer depends on."""
        return identity_sha256(self.settings)

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
    def metrics(self) -> dict[str, Any]:
        """The figures in `metrics.json`; empty where the model has none.

        Raises:
            ModelError: the file is missing or damaged.
        """
        if METRICS_FILE not in self.settings.files:
            return {}
        _verify(self.folder / METRICS_FILE, self.settings.files[METRICS_FILE])
        figures: dict[str, Any] = json.loads((self.folder / METRICS_FILE).read_bytes())
        return figures

    @property
    def bytes_on_disk(self) -> int:
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())


def identity_sha256(settings: Settings) -> str:
    """SHA-256 over what an answer depends on: networks, thresholds, views, calibration; not name, dates or metrics.

    The same networks with another tau, or with another calibration, give other answers and are another model. On which
    cases the calibration and the regional heads were fitted counts as well.
    """
    return _sha256_of_json(settings.model_dump(mode="json", include=_ANSWERS_DEPEND_ON, exclude_none=True))


def settings_sha256(document: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON (sorted keys, no spaces, ASCII) of `model.json` without this very field."""
    return _sha256_of_json({key: value for key, value in document.items() if key != "settings_sha256"})


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
        ModelError: no model is shipped, or none of several is named as the default.
    """
    shipped, note = shipped_models(), MODELS_FOLDER / "DEFAULT"
    if note.is_file():
        name = note.read_text(encoding="utf-8").strip()
        if name in shipped:
            return name
        raise ModelError(
            f"{note}: names the model '{name}', which is not there. Install the package again.", code="no_default_model"
        )
    if len(shipped) == 1:
        return shipped[0]
    if shipped:
        raise ModelError(
            f"{MODELS_FOLDER}: holds {', '.join(shipped)} and no file DEFAULT. Name one with --model.",
            code="no_default_model",
        )
    raise ModelError(
        "No model came with this installation of boneage. Train one with `boneage train` "
        "and give its folder (--model DIR), or install a release that has one.",
        code="no_default_model",
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
            f"{replaced_model(folder)}. Rename that folder to {folder.name}, or write the model again.",
            code="interrupted_model",
        )
    if folder.is_dir():
        raise ModelError(
            f"{asked}: this folder holds no {SETTINGS_FILE}. Give the folder that `boneage train` wrote.",
            code="not_a_model_folder",
        )
    known = ", ".join(shipped_models()) or "none"
    raise ModelError(
        f"{asked}: neither a model folder nor a shipped model ({known}). See `boneage models list`.",
        code="no_such_model",
    )


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
    content, document = _read_json(file)
    # The version comes first: another version may well compute its checksums in another way.
    if document.get("format", FORMAT) != FORMAT:
        raise ModelError(
            f"{file}: model format {document['format']!r}; this version of boneage reads format {FORMAT}. "
            "Install the version that wrote it, or train again.",
            code="other_model_format",
        )
    if document.get("settings_sha256") != settings_sha256(document):
        raise ModelError(
            f"{file}: the settings do not match their checksum (settings_sha256): the file was changed. {_RESTORE}.",
            code="checksum_differs",
        )
    settings, networks = read_settings(content, file)
    for network in networks.values():
        _verify(network.path, network.sha256)
    heads = settings.regional_heads
    regional_heads = None if heads is None else read_regional_heads(folder / heads.file, heads)
    return Model(
        folder=folder,
        settings=settings,
        networks=networks,
        localizers=settings.localizers,
        regional_heads=regional_heads,
    )


def _read_json(file: Path) -> tuple[bytes, dict[str, Any]]:
    try:
        content = file.read_bytes()
        document = json.loads(content.decode("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: cannot be read ({error}). {_RESTORE}.", code="unreadable_model") from error
    if not isinstance(document, dict):
        raise ModelError(f"{file}: should hold a JSON object. {_RESTORE}.", code="unreadable_model")
    return content, document


def _verify(path: Path, checksum: str) -> None:
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}). {_RESTORE}.", code="unreadable_model") from error
    if found != checksum:
        raise ModelError(
            f"{path}: the checksum differs from {SETTINGS_FILE} (SHA-256 {found[:12]}... instead of "
            f"{checksum[:12]}...): the file is damaged or is another one. {_RESTORE}.",
            code="checksum_differs",
        )


def try_out(model: Model) -> None:
    """Run every network of the model once.

    Raises:
        ModelError: a network cannot be opened or run.
    """
    for network in model.networks.values():
        network.try_out(len(model.views) if network is model.regressor else 1)


def check_files(model: Model) -> list[str]:
    """Check what loading does not: that model.json is byte for byte as it was written, and the files beside it.

    Returns:
        Names of files in the folder that have no checksum.

    Raises:
        ModelError: a file differs from its checksum or is missing; the message names it.
    """
    file = model.folder / SETTINGS_FILE
    content, document = _read_json(file)
    if content != written_settings(document):
        raise ModelError(
            f"{file}: has the content that its checksum covers, but not byte for byte as it was written: the file was "
            f"changed. {_RESTORE}.",
            code="checksum_differs",
        )
    for name, checksum in model.settings.files.items():
        _verify(model.folder / name, checksum)
    known = {SETTINGS_FILE, *model.settings.files, *(network.path.name for network in model.networks.values())}
    return sorted({path.name for path in model.folder.iterdir()} - known)


def written_settings(document: Mapping[str, Any]) -> bytes:
    """`model.json` as it is written."""
    return (json.dumps(dict(document), indent=2) + "\n").encode()


def replaced_model(target: Path) -> Path:
    """Where the former model waits while a new one takes its place."""
    return target.with_name(f".{target.name}.replaced")
