"""The stages of the population prior: it is counted on the training images, and localizers are weighed with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file

from boneage.pipeline.localization import Localization
from boneage.regions import Region
from boneage.training.localization.chain import LocalizerChain, make_step
from boneage.training.localization.prior import BLEND, SMOOTHING, PopulationPrior, PriorLocalizer, on_hand
from boneage.training.localization.regions_table import MAPS_FILE, read_maps, write_maps
from boneage.training.networks.export import export_localizer
from boneage.training.networks.localizer import Localizer
from boneage.training.run.stage import sha256_of
from boneage.training.run.training_run import NETWORK_FILE, WEIGHTS_FILE, TrainingRun


def weigh_with_prior(run: TrainingRun, region: Region, network: Path, chain: LocalizerChain) -> Path:
    """Weigh the attention map of a localizer with the population prior; returns the exported network."""
    settings = run.settings(region)
    trained = run.settings(Region(settings.shares)) if settings.shares else settings
    stage = run.stage(
        f"prior-{region.value}", sha256_of(network), settings.input_view, chain.key, SMOOTHING, BLEND, trained
    )
    file = stage.folder / NETWORK_FILE
    if not stage.complete:
        stage.begin()
        localizer = Localizer(trained)
        localizer.load_state_dict(load_file(network.with_name(WEIGHTS_FILE)))
        population = _count_attention(run, region, network=network, chain=chain)
        export_localizer(
            PriorLocalizer(localizer.eval(), population.prior(region)),
            file,
            settings.size,
            half=run.recipe.fp16_weights,
        )
        stage.finish(valleys=list(population.valleys))
    return file


def _count_attention(run: TrainingRun, region: Region, network: Path, chain: LocalizerChain) -> PopulationPrior:
    """The attention of the training hands, counted once for regions that share a network."""
    hand = next(step for step in chain.steps if step.region is Region.HAND)
    frame = (sha256_of(hand.network.path), dataclasses.replace(run.settings(Region.HAND), tau=hand.tau))
    stage = run.stage("population", sha256_of(network), run.settings(region).input_view, *frame)
    file = stage.folder / MAPS_FILE
    if not stage.complete:
        stage.begin()
        steps = [*chain.steps, make_step(region, network, run.settings(region), tau=0.5)]
        ids = [case.id for case in run.training_set.train]

        def kept(found: Localization) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
            seen = found.attention[region]
            return seen.map, on_hand(found.attention[Region.HAND], hand.tau, frame=seen.box, side=len(seen.map))

        images = run.finder.each(steps, ids, known=chain.maps, kept=kept, what="population")
        write_maps(file, {"population": PopulationPrior.of(images.values()).share})
        stage.finish(images=len(images))
    return PopulationPrior.from_share(read_maps(file)["population"])
