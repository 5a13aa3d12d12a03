"""Linear probes for carpal and tubular bone age, fitted on the age network's features of *train*.

A head is a ridge regression with separate weights for each sex. Its penalty is chosen on *validation*, where the usual
difference of the two ages is measured, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from boneage.ages import FIRST_MONTH, LAST_MONTH, Sex
from boneage.atomic import write_atomically
from boneage.errors import ModelError, UsageError
from boneage.evaluation.bootstrap import figure
from boneage.model.by_age import ByAge, UsualDifference
from boneage.model.document import TrainingData
from boneage.model.folder import Model
from boneage.model.network import FEATURES
from boneage.model.regional_heads import (
    ERASED_VIEWS,
    REGIONAL_HEADS_FILE,
    Head,
    by_view,
    erased_features,
    regional_heads_bytes,
)
from boneage.model.writing import rewrite_model
from boneage.pipeline.localization import cut_views
from boneage.training.age.calibration import AT_MONTHS, shrunken_mean, similar_weights, weighted_quantile
from boneage.training.heads.similar_cases import (
    FEWEST_TO_COMPARE,
    CaseFeatures,
    FeatureExtractor,
    Views,
    correlation,
    extract_of_dataset,
)
from boneage.views import View

if TYPE_CHECKING:
    from boneage.datasets import Dataset
    from boneage.radiograph import Radiograph
    from boneage.training.age.model_parts import ModelParts
    from boneage.training.data.training_set import TrainingSet
    from boneage.training.data.views_data import Labelled
    from boneage.training.localization.regions_table import RegionsTable
    from boneage.training.run.training_run import TrainingRun

PENALTIES: Final = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
"""Of the squared weights, for each case, with features whose mean square is 1."""
FEWEST_OF_A_SEX: Final = 5
"""Heads need at least so many cases of *train* of either sex."""
UNRELIABLE_RATIO: Final = 1.5
"""Ratio of the carpal age's error to the tubular age's above which answers get a remark."""
USUAL: Final = 0.95
"""Share of cases whose difference is within the usual range."""
_SEX_SCALE: Final = 3.0
"""Scale of the input for the sex alone; larger is penalised less."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FittedHead:
    """A head, its penalty, and its ages of *validation*, float64 [n]."""

    head: Head
    penalty: float
    months: Values


@dataclass(frozen=True)
class FittedRegionalHeads:
    """Regional heads, to be added to a model.

    Attributes:
        data: the content of `regional_heads.npz`.
        entry: `regional_heads` of model.json.
        figures: `regional` of metrics.json, measured on *validation*.
    """

    data: bytes
    entry: Mapping[str, Any]
    figures: Mapping[str, Any]

    def summary(self) -> str:
        """The figures in one line, for people."""
        seen = self.figures
        if not seen["cases"]:
            return f"fitted on {seen['train_cases']:,} cases; no validation cases to measure on"
        whole, carpal, tubular = (seen[f"{name}_mae_months"]["value"] for name in ("whole", "carpal", "tubular"))
        together = "" if seen["error_correlation"] is None else f"; errors correlate, {seen['error_correlation']:.2f}"
        return (
            f"fitted on {seen['train_cases']:,} cases; mean absolute error on validation (n = {seen['cases']}): "
            f"carpal {carpal:.2f} months, tubular {tubular:.2f}, whole hand {whole:.2f}{together}"
        )

    def add_to(self, parts: ModelParts) -> None:
        """Add them to what a training has made."""
        parts.settings["regional_heads"] = dict(self.entry)
        parts.metrics["regional"] = dict(self.figures)
        parts.others[REGIONAL_HEADS_FILE] = self.data

    def write(self, model: Model, target: Path) -> Path:
        """Write the model with these heads (in the place of former ones) to a folder, which may hold a model.

        Raises:
            OutputError: it cannot be written.
        """
        return rewrite_model(
            model,
            target,
            {"regional_heads": dict(self.entry)},
            metrics={"regional": dict(self.figures)},
            others={REGIONAL_HEADS_FILE: self.data},
        )


class RegionalFeatureExtractor(FeatureExtractor):
    """Extracts features float32 [3 C] of the views R1, HE and R2E.

    Raises:
        ModelError: `no_view_features`: the age network does not see each view by itself, or not R1.
    """

    def __init__(self, model: Model, *, progress: bool = True) -> None:
        super().__init__(model, progress=progress)
        if View.R1 not in model.views or not model.settings.view_features:
            raise ModelError(
                f"{model.name}: carpal and tubular bone age need the features of each view, R1 among them; the age "
                f"network sees {', '.join(model.views)} and does not give the features of each. Train it with "
                "regressor.fusion=shared and R1 among regressor.views.",
                code="no_view_features",
            )

    def features(self, views: Views, sex: Sex) -> npt.NDArray[np.float32]:
        model = self.assessor.model
        features = model.regressor.output(self.assessor.age_network.run(views, sex), FEATURES)
        carpal = by_view(features, len(model.views))[model.views.index(View.R1)]
        erased = erased_features(model.regressor, views, len(model.views), sex_input=model.settings.sex_input)
        return np.concatenate([carpal, erased])


def fit_head(train: CaseFeatures, validation: CaseFeatures, columns: slice) -> FittedHead:
    """A head on some of the features, with the penalty that has the smallest error on *validation*.

    Without cases of *validation* the largest penalty is taken.
    """
    features, others = train.features[:, columns], validation.features[:, columns]
    signs, other_signs = (np.array([sex.sign for sex in cases.sexes]) for cases in (train, validation))
    center = features.mean(axis=0, dtype=np.float64)
    scale = float(np.sqrt(np.mean((features - center) ** 2))) or 1.0
    channels = features.shape[1]

    def inputs(features: npt.NDArray[np.float32], sign: Values) -> Values:
        scaled = (features - center) / scale
        return np.concatenate([scaled, scaled * sign[:, None], _SEX_SCALE * sign[:, None]], axis=1)

    train_inputs, other_inputs = inputs(features, signs), inputs(others, other_signs)
    middle = train_inputs.mean(axis=0)
    train_inputs -= middle
    mean_age = float(train.ages.mean())
    weights = _solutions(train_inputs, train.ages - mean_age)
    answers = ((other_inputs - middle) @ weights + mean_age).clip(FIRST_MONTH, LAST_MONTH)
    errors = np.abs(answers - validation.ages[:, None]).mean(axis=0) if len(validation.ages) else -np.array(PENALTIES)
    best = int(np.argmin(errors))
    chosen = weights[:, best]
    plain, by_sex, sex_alone = chosen[:channels] / scale, chosen[channels:-1] / scale, chosen[-1] * _SEX_SCALE
    of_sexes = np.stack([plain + sex.sign * by_sex for sex in (Sex.MALE, Sex.FEMALE)])
    start = mean_age - float(middle @ chosen)
    bias = np.array([start + sex.sign * sex_alone for sex in (Sex.MALE, Sex.FEMALE)]) - of_sexes @ center
    head = Head(of_sexes.astype(np.float32), bias.astype(np.float32))
    rows = zip(others, validation.sexes, strict=True)
    return FittedHead(head, PENALTIES[best], np.array([head.months(row, sex) for row, sex in rows]))


def _solutions(inputs: Values, wanted: Values) -> Values:
    """The ridge regression's weights for each of the penalties, float64 [inputs, penalties]."""
    cases, channels = inputs.shape
    # Both ways lead to the same weights; the one with the smaller matrix is taken.
    by_channel = channels <= cases
    square = (inputs.T @ inputs if by_channel else inputs @ inputs.T) / cases
    product = (inputs.T @ wanted if by_channel else wanted) / cases
    solved = []
    for penalty in PENALTIES:
        penalised = square.copy()
        penalised[np.diag_indices_from(penalised)] += penalty
        solution = cho_solve(cho_factor(penalised, overwrite_a=True, check_finite=False), product)
        solved.append(solution if by_channel else inputs.T @ solution)
    return np.stack(solved, axis=1)


def measure_usual_difference(difference: Values, months: Values, sexes: Sequence[Sex]) -> UsualDifference:
    """How far the two ages usually differ.

    Args:
        difference: float64 [n], carpal minus tubular.
        months: float64 [n], bone ages of the whole hands.
        sexes: n.
    """
    signs = np.array([sex.sign for sex in sexes])

    def weights(sex: Sex, at: float) -> Values:
        return similar_weights(at, sex.sign, months=months, signs=signs)

    center = ByAge.of(AT_MONTHS, lambda sex, at: shrunken_mean(difference, weights(sex, at)))
    off = np.abs(difference - np.array([center(sex, at) for at, sex in zip(months, sexes, strict=True)]))
    reach = ByAge.of(AT_MONTHS, lambda sex, at: weighted_quantile(off, weights(sex, at), USUAL))
    return UsualDifference(center_months=center, reach_months=reach)


def carpal_until(
    carpal_errors: Values, tubular_errors: Values, months: Values, sexes: Sequence[Sex]
) -> dict[Sex, float]:
    """By sex, the bone age of the whole hand from which on the carpal age is not reliable; 240 where it always is.

    From there on its mean absolute error is more than `UNRELIABLE_RATIO` times that of the tubular age, at every age.

    Args:
        carpal_errors, tubular_errors: float64 [n], months.
        months: float64 [n], bone ages of the whole hands.
        sexes: n.
    """
    signs = np.array([sex.sign for sex in sexes])
    found = {}
    for sex in Sex:
        weights = np.stack([similar_weights(at, sex.sign, months=months, signs=signs) for at in AT_MONTHS])
        worse = weights @ np.abs(carpal_errors) > UNRELIABLE_RATIO * (weights @ np.abs(tubular_errors))
        good = np.flatnonzero(~worse)
        last = -1 if not len(good) else int(good[-1])
        found[sex] = float(AT_MONTHS[last + 1]) if last + 1 < len(AT_MONTHS) else float(LAST_MONTH)
    return found


def _too_few(name: str, count: int, sex: Sex) -> UsageError:
    return UsageError(
        f"{name}: {count} {sex.value} cases to learn from; regional heads need at least {FEWEST_OF_A_SEX} on which all "
        "three regions were found. Use a larger data set, or train with --set regional_heads=false.",
        code="too_few_cases_of_a_sex",
    )


def check_sexes(training_set: TrainingSet) -> None:
    """Raise UsageError where a sex has too few training cases for heads of its own."""
    for sex in Sex:
        count = sum(case.sex is sex for case in training_set.train)
        if count < FEWEST_OF_A_SEX:
            raise _too_few(training_set.name, count, sex)


def fit_regional_heads(train: CaseFeatures, validation: CaseFeatures, data: TrainingData) -> FittedRegionalHeads:
    """Fit both heads, and measure the usual difference.

    Args:
        train: features as `RegionalFeatureExtractor` extracts them.
        validation: the same, with the model's answers.
        data: what is written about the data set.

    Raises:
        UsageError: one sex has too few cases to learn from.
    """
    for sex in Sex:
        if train.sexes.count(sex) < FEWEST_OF_A_SEX:
            raise _too_few(data.name, train.sexes.count(sex), sex)
    if not validation.ids:
        validation = replace(validation, features=np.zeros((0, train.features.shape[1]), np.float32))
    channels = train.features.shape[1] // (1 + len(ERASED_VIEWS))
    carpal = fit_head(train, validation, slice(0, channels))
    tubular = fit_head(train, validation, slice(channels, None))
    difference = carpal.months - tubular.months
    enough = all(validation.sexes.count(sex) >= FEWEST_TO_COMPARE for sex in Sex)
    usual = measure_usual_difference(difference, validation.months, validation.sexes) if enough else None
    until = carpal_until(
        carpal.months - validation.ages,
        tubular.months - validation.ages,
        months=validation.months,
        sexes=validation.sexes,
    )
    content = regional_heads_bytes(carpal.head, tubular.head)
    entry = {
        "file": REGIONAL_HEADS_FILE,
        "sha256": hashlib.sha256(content).hexdigest(),
        "usual_difference": None if usual is None else usual.model_dump(mode="json"),
        "carpal_until_months": {sex.value: until[sex] for sex in Sex} if enough else None,
        "data": data.model_dump(mode="json"),
    }
    figures: dict[str, Any] = {
        "cases": len(difference),
        "split": "validation",
        "train_cases": len(train.ids),
        "penalties": {"carpal": carpal.penalty, "tubular": tubular.penalty},
    }
    if len(difference):
        errors = {"whole": validation.months, "carpal": carpal.months, "tubular": tubular.months}
        errors = {name: months - validation.ages for name, months in errors.items()}
        figures |= {f"{name}_mae_months": figure(np.abs(error)).as_dict() for name, error in errors.items()}
        figures["error_correlation"] = correlation(errors["carpal"], errors["tubular"])
        figures["difference_months"] = figure(difference).as_dict()
    if usual is not None:
        ends = [usual.ends(sex, months) for sex, months in zip(validation.sexes, validation.months, strict=True)]
        outside = [not low <= apart <= high for (low, high), apart in zip(ends, difference, strict=True)]
        figures["warned"] = round(float(np.mean(outside)), 4)
    return FittedRegionalHeads(content, entry, figures)


def fit_regional_heads_of_run(run: TrainingRun, regions: RegionsTable, draft: Model) -> FittedRegionalHeads:
    """The heads of a training, from the images and regions of its age network.

    Args:
        draft: the calibrated model without heads.

    Raises:
        OutputError: the stage's folder cannot be written.
    """
    training_set = run.training_set
    stage = run.stage("regional-heads", draft.sha256, training_set.key, training_set.terms, list(PENALTIES))
    file = stage.folder / REGIONAL_HEADS_FILE
    if not stage.complete or not file.is_file():
        stage.begin()
        extractor = RegionalFeatureExtractor(draft, progress=run.machine.progress)

        def views_of(case: Labelled) -> Views | None:
            found = regions[case.id]
            if found.missing:
                return None
            image, views = training_set.images.image(case.id), (*draft.views, *ERASED_VIEWS)
            return cut_views(image, found, views=views, size=draft.regressor.input_size, squash=run.squash)

        train = extractor.extract(training_set.train, views_of)
        validation = extractor.extract(training_set.validation, views_of, answers=True)
        data = TrainingData(
            name=training_set.name,
            cases=len(train.ids),
            terms=training_set.terms,
            phantom=training_set.phantom,
        )
        heads = fit_regional_heads(train, validation, data)
        write_atomically(file, heads.data)
        stage.finish(entry=dict(heads.entry), figures=dict(heads.figures))
    return FittedRegionalHeads(file.read_bytes(), stage.facts["entry"], stage.facts["figures"])


def fit_regional_heads_on_dataset(
    model: Model, dataset: Dataset, read: Callable[[Path], Radiograph], *, terms: str = "", progress: bool = True
) -> tuple[FittedRegionalHeads, Dataset]:
    """Heads for a finished model from a data set's radiographs.

    Args:
        model: one whose age network sees each view by itself.
        dataset: heads are fitted on its *train* cases, everything else on its *validation* cases; *test* is not read.
        read: file -> radiograph.
        terms: of the data set.

    Returns:
        The heads, and the data set, whose `dropped` names what could not be read.

    Raises:
        DatasetError: more than 5 % of the data set had to be dropped.
        UsageError: nothing is left to learn from, or too few cases of a sex.
        ModelError: the age network does not give the features of each view.
    """
    from boneage.datasets import has_phantoms

    extractor = RegionalFeatureExtractor(model, progress=progress)
    views = (*model.views, *ERASED_VIEWS)
    train, validation, used = extract_of_dataset(extractor, dataset, read=read, views=views, all_regions=True)
    data = TrainingData(name=dataset.name, cases=len(train.ids), terms=terms, phantom=has_phantoms(used))
    return fit_regional_heads(train, validation, data), used
