"""The stages that run finished localizers on every image of the training set."""

from __future__ import annotations

from pathlib import Path

from boneage.regions import Region
from boneage.training.localization.chain import LocalizerChain, make_step
from boneage.training.localization.regions_table import (
    MAPS_FILE,
    REGIONS_FILE,
    Maps,
    RegionsTable,
    read_maps,
    read_regions,
    write_maps,
    write_regions,
)
from boneage.training.run.stage import sha256_of
from boneage.training.run.training_run import TrainingRun


def compute_maps(run: TrainingRun, region: Region, network: Path, chain: LocalizerChain) -> Maps:
    """The attention maps of a localizer on every image."""
    settings = run.settings(region)
    parts = (sha256_of(network), settings.average_mirror, settings.input_view, chain.key)
    stage = run.stage(f"maps-{region.value}", *parts)
    if not stage.complete:
        stage.begin()
        steps = [*chain.steps, make_step(region, network, settings, tau=0.5)]
        write_maps(stage.folder / MAPS_FILE, run.finder.maps(steps, run.training_set.ids, chain.maps))
        stage.finish()
    return read_maps(stage.folder / MAPS_FILE)


def locate_all(run: TrainingRun, chain: LocalizerChain) -> RegionsTable:
    """The regions of every image, by the chain as the model will have it."""
    stage = run.stage("regions", chain.key)
    if not stage.complete:
        stage.begin()
        table = run.finder.regions(chain.steps, run.training_set.ids, chain.maps)
        shapes = {case_id: run.training_set.images.image(case_id).shape for case_id in table}
        sizes = {case_id: (width, height) for case_id, (height, width) in shapes.items()}
        write_regions(stage.folder / REGIONS_FILE, table, sizes)
        missing = {region.value: sum(region in found.missing for found in table.values()) for region in run.regions}
        stage.finish(images=len(table), missing=missing)
    return read_regions(stage.folder / REGIONS_FILE)
