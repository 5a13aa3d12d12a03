"""The experiments: one file each, named as on the command line (`boneage reproduce table3` runs `table3.py`).

Every file has a function `run(runner, report)`. Its docstring gives command, hours and what was found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXPERIMENTS: Final[Mapping[str, str]] = {
    # The paper's tables and figures
    "table1": "Table I: mIoU and AP50 of H, R1 and R2 over tau; GAP against GMP.",
    "table2": "Table II: backbones on the whole image, without the sex, from random weights and from ImageNet's.",
    "table3": "Table III: how the sex is embedded; whole image, L1.",
    "table4": "Table IV: input sizes; whole image, L1.",
    "table5": "Table V: nine combinations of views, each with L1 and with distribution + expectation.",
    "figure1": "Figure 1: four images with the attention for the hand, region 1 and region 2.",
    "figure3": "Figure 3: six images with attention and view at every step.",
    "figure4": "Figure 4: learned distributions of four cases for several lambda, with the Gaussian of the label.",
    "figure5": "Figure 5: MAE over tau and over lambda, from the hand alone and from region 1 alone.",
    # Beyond the paper: phase I
    "class-average": "Attention of the predicted class alone, or averaged over neighbouring classes.",
    "label-width": "The width l of phase I's soft label.",
    "localizer-loss": "Phase I's loss: L1 between linear scores and the soft label, against cross entropy.",
    "whole-or-hand": "Regions 1 and 2 found on the whole image, or on the hand that was found before.",
    # Beyond the paper: phase II
    "data-size": "The error over the number of training cases.",
    "delta": "The width delta of the Gaussian that the distribution is taught.",
    "fusion": "Views as channels of one picture, or one backbone that sees each view alone.",
    "kl-direction": "KL(G || p), the formula of Eq. 10, against KL(p || G), its title.",
    # Beyond the paper: other designs
    "baselines": "Other methods' designs with the same data, budget and backbone, against this project's two phases.",
    "end-to-end": "One network that learns regions and age together, against two phases with as many epochs.",
}
"""Name -> what it shows, in the order in which `boneage reproduce all` runs them."""
