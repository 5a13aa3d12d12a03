"""Names of truths, groups of cases and families of transforms, for the page and the plots."""

from __future__ import annotations

from typing import Final

TRUTH_NAMES: Final = {
    "hand_mask": "Hand (tight, with forearm)",
    "hand": "Hand (loose box)",
    "region_1": "Region 1 (wrist, radius, ulna)",
    "wrist": "Region 1 against wrist alone",
    "region_2": "Region 2 (all MCP joints)",
}
GROUP_NAMES: Final = {"all": "all boxed cases", "outside_train": "outside training"}
FAMILY_NAMES: Final = {
    "rotation": "Rotation",
    "flip": "Mirror image",
    "inversion": "Inversion",
    "brightness": "Brightness",
    "contrast": "Contrast",
    "gamma": "Gamma",
    "marker": "Burnt-in marker",
    "resolution": "Lower resolution",
    "noise": "Noise",
    "jpeg": "JPEG",
    "border": "Border",
    "translation": "Translation",
    "light plate": "Light plates",
    "dark plate": "Dark plates",
    "text": "Burnt-in text",
    "ruler": "Ruler",
    "collimation": "Collimation",
    "padding": "Padding",
    "small hand": "Small hand",
    "forearm": "Long forearm",
    "mask": "Mask",
}
