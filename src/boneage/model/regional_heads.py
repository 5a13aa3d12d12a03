"""Carpal and tubular bone age: linear heads on the age network's features of single views.

One head gives the carpal bone age from the features of region 1. The other gives the tubular bone age from those of the
hand and of region 2 on the image with region 1 erased. The age network is not changed. The heads are in the model
folder as `regional_heads.npz`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from boneage.ages import FIRST_MONTH, LAST_MONTH, Sex
from boneage.errors import ModelError
from boneage.model.document import RegionalHeadsSettings
from boneage.model.network import FEATURES, Network
from boneage.regional_ages import RegionalAges
from boneage.remarks import Remark
from boneage.views import View

REGIONAL_HEADS_FILE: Final = "regional_heads.npz"
ERASED_VIEWS: Final = (View.HE, View.R2E)
"""The views of the tubular age. The carpal age comes from R1, which the age network sees anyway."""
_ROWS: Final = (Sex.MALE, Sex.FEMALE)
_SHAPES: Final = {"carpal_weights": 2, "carpal_bias": 1, "tubular_weights": 2, "tubular_bias": 1}
_PHANTOM: Final = Remark.of(
    "regional_ages_from_phantoms",
    "Carpal and tubular bone age were learned from phantoms, not only from radiographs.",
)
_UNRELIABLE: Final = Remark.of(
    "carpal_age_unreliable",
    "From about this bone age on, the carpal bone age is much less exact than the tubular one. Do not use the carpal "
    "bone age.",
)
_AGAIN: Final = "Copy the model folder again, or fit them again with `boneage models regional-heads`"

Features = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Head:
    """A linear head: by sex (male, female), weights float32 [2, C] and bias float32 [2] in months."""

    weights: npt.NDArray[np.float32] = field(repr=False)
    bias: npt.NDArray[np.float32]

    def months(self, features: Features, sex: Sex) -> float:
        """The age of features float32 [C], in [1, 240]."""
        row = _ROWS.index(sex)
        months = float(self.weights[row].astype(np.float64) @ features + self.bias[row])
        return float(np.clip(months, FIRST_MONTH, LAST_MONTH))


@dataclass(frozen=True, eq=False)
class RegionalHeads:
    """The two heads of a model.

    Attributes:
        file: where they are (or will be).
        settings: the usual difference, and from where on the carpal age says little.
        carpal: on features [C] of view R1.
        tubular: on features [2 C] of `ERASED_VIEWS`.
    """

    file: Path
    settings: RegionalHeadsSettings
    carpal: Head
    tubular: Head

    def ages(self, carpal: Features, tubular: Features, *, sex: Sex, months: float) -> RegionalAges:
        """Both ages, and remarks about them.

        Args:
            carpal: float32 [C].
            tubular: float32 [2 C].
            sex: of the child.
            months: the bone age of the whole hand; the usual difference depends on it.

        Raises:
            ModelError: the network gives features of another number, or non-finite values.
        """
        if not (np.isfinite(carpal).all() and np.isfinite(tubular).all()):
            raise ModelError(
                f"{self.file}: the age network gives non-finite values (NaN or infinity). Verify the model with "
                "`boneage models verify`.",
                code="non_finite_output",
            )
        for head, given in ((self.carpal, carpal), (self.tubular, tubular)):
            if given.shape != head.weights.shape[1:]:
                raise ModelError(
                    f"{self.file}: was made for {head.weights.shape[1]} features, the age network gives {given.size}. "
                    f"{_AGAIN}.",
                    code="features_of_another_size",
                )
        usual = self.settings.usual_difference
        ages = RegionalAges(
            carpal_months=self.carpal.months(carpal, sex),
            tubular_months=self.tubular.months(tubular, sex),
            usual_difference_months=None if usual is None else usual.ends(sex, months),
        )
        data = self.settings.data
        remarks = (
            *((_PHANTOM,) if data is not None and data.phantom else ()),
            *((_UNRELIABLE,) if self._is_unreliable(sex, months) else ()),
            *((_remark(ages),) if ages.unusual else ()),
        )
        return replace(ages, remarks=remarks)

    def _is_unreliable(self, sex: Sex, months: float) -> bool:
        until = self.settings.carpal_until_months
        return until is not None and until[sex] <= months < LAST_MONTH


def _remark(ages: RegionalAges) -> Remark:
    low, high = ages.usual_difference_months or (0.0, 0.0)
    return Remark.of(
        "regional_ages_differ",
        f"Carpal and tubular bone age differ by {ages.difference_months:+.0f} months (usual range {low:+.0f} to "
        f"{high:+.0f}). Possible reasons: region 1 misplaced, poor image quality, true dissociation. Review the image.",
    )


def by_view(features: Features, views: int) -> npt.NDArray[np.float32]:
    """Features float32 [n, views * C], of the views and of their mirror images -> their mean, float32 [views, C]."""
    mean: npt.NDArray[np.float32] = features.mean(axis=0).reshape(views, -1)
    return mean


def erased_features(
    network: Network, views: Mapping[View, npt.NDArray[np.uint8]], channels: int, *, sex_input: bool
) -> Features:
    """The age network's features of the views without region 1.

    It sees the hand, its mirror image, and region 2, so that a network of three views runs once.

    Args:
        network: gives `features` float32 [n, channels * C] beside its answer.
        views: uint8 [size, size] each, `ERASED_VIEWS` among them.
        channels: views that the network takes at a time.
        sex_input: the network takes the sex; the features do not depend on it.

    Returns:
        float32 [2 C].
    """
    hand, region_2 = (views[view] for view in ERASED_VIEWS)
    images = [hand, hand[:, ::-1], region_2]
    images += [np.zeros_like(hand)] * (-len(images) % channels)
    batch = np.stack(images).reshape(-1, channels, *hand.shape)
    feeds: dict[str, npt.NDArray[np.generic]] = {"views": batch}
    if sex_input:
        feeds["sex"] = np.ones((len(batch), 1), dtype=np.float32)
    features = network.output(network.run(feeds), FEATURES).reshape(len(images), -1)
    return np.concatenate([features[:2].mean(axis=0), features[2]]).astype(np.float32)


def regional_heads_bytes(carpal: Head, tubular: Head) -> bytes:
    """The content of `regional_heads.npz`."""
    stream = io.BytesIO()
    np.savez(
        stream,
        carpal_weights=np.asarray(carpal.weights, dtype=np.float32),
        carpal_bias=np.asarray(carpal.bias, dtype=np.float32),
        tubular_weights=np.asarray(tubular.weights, dtype=np.float32),
        tubular_bias=np.asarray(tubular.bias, dtype=np.float32),
    )
    return stream.getvalue()


def read_regional_heads(file: Path, settings: RegionalHeadsSettings) -> RegionalHeads:
    """Read and verify the heads of a model.

    Raises:
        ModelError: the file is missing or damaged, or its checksum is not that of `settings`; the message names it.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror}). {_AGAIN}.", code="unreadable_model") from error
    found = hashlib.sha256(data).hexdigest()
    if found != settings.sha256:
        raise ModelError(
            f"{file}: the checksum differs from model.json (SHA-256 {found[:12]}... instead of "
            f"{settings.sha256[:12]}...): the file is damaged or is another one. {_AGAIN}.",
            code="checksum_differs",
        )
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _SHAPES}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ModelError(
            f"{file}: cannot be read as heads for regional bone ages ({error}). {_AGAIN}.",
            code="invalid_regional_heads",
        ) from error
    right = all(
        array.ndim == _SHAPES[name] and len(array) == len(_ROWS) and np.isfinite(array).all()
        for name, array in arrays.items()
    )
    if not right or arrays["tubular_weights"].shape[1] != 2 * arrays["carpal_weights"].shape[1]:
        raise ModelError(f"{file}: its arrays do not fit each other. {_AGAIN}.", code="invalid_regional_heads")
    return RegionalHeads(
        file=file,
        settings=settings,
        carpal=Head(arrays["carpal_weights"], arrays["carpal_bias"]),
        tubular=Head(arrays["tubular_weights"], arrays["tubular_bias"]),
    )
