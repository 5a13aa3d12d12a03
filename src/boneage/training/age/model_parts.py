"""What a training has made, collected until the model folder is written, once, at its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from boneage.model.by_age import PLAIN_TAIL
from boneage.model.document import GateSettings, TrainingData
from boneage.model.folder import Model, Network, load_model
from boneage.model.writing import draft_model, write_model
from boneage.training.localization.chain import LocalizerChain, origin_of
from boneage.training.run.training_run import TrainingRun

MODEL_FOLDER: Final = "model"
SPLIT_RULE: Final = "int(sha256(id), 16) % 100: test < 10, validation 10..14, train the rest; an official split wins"


@dataclass
class ModelParts:
    """The parts of a model.

    Attributes:
        settings: `model.json`, as `write_model` takes it.
        networks: the exported networks by name.
        metrics: `metrics.json`.
        others: further files by name.
    """

    settings: dict[str, Any]
    networks: dict[str, Path]
    metrics: dict[str, Any] = field(default_factory=dict)
    others: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of_run(
        cls, run: TrainingRun, chain: LocalizerChain, regressor: Path, gate: tuple[Network, GateSettings] | None = None
    ) -> ModelParts:
        """The networks of a training and their settings, without calibration and regional heads."""
        networks = {step.network.name: step.network for step in chain.steps}
        settings = _settings(run, chain)
        if gate is not None:
            network, thresholds = gate
            networks[network.name] = network
            settings["gate"] = thresholds.model_dump(mode="json")
        sizes = {name: network.input_size for name, network in networks.items()}
        sizes["regressor"] = run.recipe.regressor.size
        settings["networks"] = {name: {"input_size": size} for name, size in sizes.items()}
        return cls(settings, {**{name: network.path for name, network in networks.items()}, "regressor": regressor})

    def add_calibration(self, entry: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
        """Add `calibration` of model.json, and the figures of *validation*."""
        self.settings["calibration"] = dict(entry)
        self.metrics["validation"] = dict(figures)

    def draft(self) -> Model:
        """The model so far, in memory."""
        return draft_model(self.settings, self.networks)

    def write(self, folder: Path) -> Path:
        """Write the model folder, in the place of a former one; one that holds just this stays as it is.

        Raises:
            ModelError, OutputError: see `boneage.model.writing.write_model`.
        """
        return write_model(folder, self.settings, self.networks, metrics=self.metrics, others=self.others, replace=True)


def _settings(run: TrainingRun, chain: LocalizerChain) -> dict[str, Any]:
    recipe, regressor, training_set = run.recipe, run.recipe.regressor, run.training_set
    start = origin_of(load_model(recipe.regressor_start)) if recipe.regressor_start else None
    origins = [origin for origin in (chain.origin, start) if origin is not None]
    phantom = training_set.phantom or any(origin.phantom_trained for origin in origins)
    data = TrainingData(
        name=training_set.name,
        cases=len(training_set.train),
        terms=training_set.terms,
        split_rule=SPLIT_RULE,
        phantom=training_set.phantom,
    )
    return {
        "name": recipe.name,
        "version": recipe.version,
        "recipe": recipe.name,
        "image_short_side": recipe.image_short_side,
        "layout": recipe.layout,
        "localizers": [
            {**{key.name: getattr(step, key.name) for key in dataclasses.fields(step)}, "network": step.network.name}
            for step in chain.steps
        ],
        "views": list(regressor.views),
        "average_mirror": regressor.average_mirror,
        "sex_input": bool(regressor.sex),
        "view_features": regressor.fusion == "shared",
        "calibration": {"tail": PLAIN_TAIL},
        "phantom_trained": phantom,
        "training_data": data.model_dump(mode="json"),
        "recipe_settings": _without_paths(dataclasses.asdict(recipe)),
        "localizers_of": None if chain.origin is None else chain.origin.model_dump(mode="json"),
        "regressor_of": None if start is None else start.model_dump(mode="json"),
    }


def _without_paths(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings for provenance; of a local file the name is kept, not the folder."""
    return {
        key: _without_paths(value)
        if isinstance(value, dict)
        else Path(value).name
        if key in ("pretrained", "localizers", "regressor_start") and value and not value.startswith("hf-hub:")
        else value
        for key, value in settings.items()
    }


__all__ = ["MODEL_FOLDER", "ModelParts"]
