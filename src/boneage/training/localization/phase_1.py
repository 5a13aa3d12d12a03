"""Phase I: one localizer after the other, each trained from ages alone."""

from __future__ import annotations

from boneage.regions import Region
from boneage.training.localization.chain import LocalizerChain
from boneage.training.localization.localizer import train_network
from boneage.training.localization.locate import compute_maps
from boneage.training.localization.population import weigh_with_prior
from boneage.training.localization.tau import choose_tau
from boneage.training.run.training_run import TrainingRun


def train_localizer(run: TrainingRun, region: Region, chain: LocalizerChain) -> LocalizerChain:
    """Train the localizer of a region, where the recipe names that region.

    Returns:
        The chain with the new localizer at its end.
    """
    if region not in run.regions:
        return chain
    network = train_network(run, region, chain)
    if run.settings(region).prior:
        network = weigh_with_prior(run, region, network=network, chain=chain)
    maps = compute_maps(run, region, network=network, chain=chain)
    tau = choose_tau(run, region, network=network, maps=maps, chain=chain)
    return chain.extend(run, region, network=network, maps=maps, tau=tau)
