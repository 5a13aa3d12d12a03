"""Phase II: views -> a distribution over months, its expectation, its interval, and what is read beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from boneage.ages import MONTHS, Sex, central_interval_months, expectation_months
from boneage.assessment import SexAnswer
from boneage.errors import ModelError
from boneage.model.folder import Model
from boneage.model.network import DISTRIBUTION, FEATURES
from boneage.model.regional_heads import ERASED_VIEWS, Features, by_view, erased_features
from boneage.pipeline.localization import Localization
from boneage.pipeline.similar_cases import SimilarCasesIndex
from boneage.regional_ages import RegionalAges
from boneage.similar import SimilarCases
from boneage.views import View

Views = Mapping[View, npt.NDArray[np.uint8]]


class AgeNetwork:
    """Answers with the age network of a model, its calibration, its regional heads and an index of similar cases.

    Args:
        model: the model.
        index: with it every answer names similar cases.
    """

    def __init__(self, model: Model, index: SimilarCasesIndex | None = None) -> None:
        self.model, self.index = model, index

    def needed_views(self, regions: Localization) -> tuple[View, ...]:
        """What is cut: the network's own views and, where every region was found, those of the regional heads."""
        regional = self.model.regional_heads is not None and not regions.missing
        return tuple(dict.fromkeys((*self.model.views, *(ERASED_VIEWS if regional else ()))))

    def answers(self, views: Views, sexes: Iterable[Sex]) -> dict[Sex, SexAnswer]:
        """One answer for each sex; see `answer`."""
        erased = self.erased_features(views)  # the same for both sexes
        return {sex: self.answer(views, sex, erased) for sex in sexes}

    def answer(self, views: Views, sex: Sex, erased: Features | None = None) -> SexAnswer:
        """Bone age, interval and distribution for one sex.

        Args:
            views: uint8 [size, size] each; those of `needed_views`.
            sex: of the child.
            erased: float32 [2 C] as `erased_features` gives them; with them the regional bone ages are answered.

        Raises:
            ModelError: the network does not give what the model promises.
        """
        outputs = self.run(views, sex)
        distribution = self._distribution(outputs)
        correction = self.model.calibration.correction
        if correction is None:
            interval = central_interval_months(distribution, self.model.calibration.tail)
        else:
            distribution = correction.corrected(distribution, sex)
            interval = correction.interval_months(distribution, sex)
        months = float(expectation_months(distribution))
        return SexAnswer(
            bone_age_months=months,
            interval_90_months=interval,
            distribution=distribution.astype(np.float32),
            similar_cases=self._similar_cases(outputs, sex, months),
            regional_ages=self._regional_ages(outputs, erased, sex=sex, months=months),
            interval_remarks=() if correction is None else correction.remarks(months, sex),
        )

    def run(self, views: Views, sex: Sex) -> dict[str, npt.NDArray[np.float32]]:
        """The network's outputs float32 [n, ...] by name; n = 2 where the mirror image is averaged, else 1."""
        settings = self.model.settings
        stack = np.stack([views[view] for view in self.model.views])
        batch = np.stack([stack, stack[..., ::-1]]) if settings.average_mirror else stack[None]
        feeds: dict[str, npt.NDArray[np.generic]] = {"views": np.ascontiguousarray(batch)}
        if settings.sex_input:
            feeds["sex"] = np.full((len(batch), 1), sex.sign, dtype=np.float32)
        return self.model.regressor.run(feeds)

    def erased_features(self, views: Views) -> Features | None:
        """The features float32 [2 C] of the views without region 1; None where the model or the views lack them."""
        settings, heads = self.model.settings, self.model.regional_heads
        if heads is None or not set(ERASED_VIEWS) <= views.keys():
            return None
        return erased_features(self.model.regressor, views, len(settings.views), sex_input=settings.sex_input)

    def _distribution(self, outputs: Mapping[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
        regressor = self.model.regressor
        output = regressor.output(outputs, DISTRIBUTION).astype(np.float64)
        if not np.isfinite(output).all():
            raise ModelError(
                f"{regressor.path}: the network answered with non-finite values (NaN or infinity). "
                "Verify the model with `boneage models verify`.",
                code="non_finite_output",
            )
        return _mean_distribution(output, regressor.path)

    def _regional_ages(
        self, outputs: Mapping[str, npt.NDArray[np.float32]], erased: Features | None, sex: Sex, months: float
    ) -> RegionalAges | None:
        heads = self.model.regional_heads
        if heads is None or erased is None:
            return None
        features = by_view(self.model.regressor.output(outputs, FEATURES), len(self.model.views))
        return heads.ages(features[self.model.views.index(View.R1)], erased, sex=sex, months=months)

    def _similar_cases(
        self, outputs: Mapping[str, npt.NDArray[np.float32]], sex: Sex, months: float
    ) -> SimilarCases | None:
        if self.index is None:
            return None
        features = self.model.regressor.output(outputs, FEATURES).mean(axis=0)
        return self.index.nearest(features, sex, months)


def _mean_distribution(output: npt.NDArray[np.float64], path: Path) -> npt.NDArray[np.float64]:
    """The mean of distributions [n, 240], normalised to sum to 1 exactly (networks round)."""
    if output.ndim != 2 or output.shape[1] != MONTHS.size or not (output.clip(0).sum(axis=1) > 0).all():
        raise ModelError(
            f"{path}: gave {output.shape}, not distributions over {MONTHS.size} months. Export it again.",
            code="wrong_network_output",
        )
    rows = output.clip(0)
    mean: npt.NDArray[np.float64] = (rows / rows.sum(axis=1, keepdims=True)).mean(axis=0)
    return mean
