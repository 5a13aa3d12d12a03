"""Heads for carpal and tubular bone age, fitted on the frozen age network's features of *train*.

A head is a ridge regression with weights of their own for each sex; its penalty is chosen on *validation*, where it is
also measured how far the two ages usually lie apart.
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
from boneage.model.folder import Model, identity_sha256, load_model
from boneage.model.regional_heads import (
    ERASED_VIEWS,
    REGIONAL_HEADS_FILE,
    Head,
    by_view,
    erased_features,
    regional_heads_bytes,
)
from boneage.model.writing import rewritten
from boneage.pipeline.localization import cut_views
from boneage.regional_ages import UsualDifference
from boneage.training.age.calibration import AT_MONTHS, drawn_mean, similar_weights, weighted_quantile
from boneage.training.heads.similar_cases import (
    FEWEST_TO_COMPARE,
    CaseFeatures,
    FeatureExtractor,
    Views,
    correlation,
    data_facts,
    extract_of_dataset,
)
from boneage.views import View

if TYPE_CHECKING:
    from boneage.datasets import Dataset
    from boneage.radiograph import Radiograph
    from boneage.training.data.training_set import TrainingSet
    from boneage.training.data.views_data import Labelled
    from boneage.training.localization.regions_table import RegionsTable
    from boneage.training.run.training_run import TrainingRun

PENALTIES: Final = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
"""Of the squared weights, a case, with features whose mean square is 1."""
FEWEST_OF_A_SEX: Final = 5
"""Cases of *train* of either sex from which on heads are fitted at all."""
LITTLE_TO_TELL: Final = 1.5
"""Ratio of the carpal age's error to the tubular age's from which on a reader is warned."""
USUAL: Final = 0.95
"""Share of cases whose two ages lie no further apart than what is called usual."""
_SEX_SCALE: Final = 3.0
"""How cheap a difference between the sexes alone is against one feature."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """A head, its penalty, and the ages float64 [n] that it gives on *validation*."""

    head: Head
    penalty: float
    months: Values


@dataclass(frozen=True)
class FittedRegionalHeads:
    """What is to be added to a model.

    Attributes:
        data: the content of `regional_heads.npz`.
        entry: `regional_heads` of model.json.
        figures: measured on *validation*.
    """

    data: bytes
    entry: Mapping[str, Any]
    figures: Mapping[str, Any]

    def summary(self) -> str:
        """What was measured, for people."""
        seen = self.figures
        if not seen["cases"]:
            return f"fitted on {seen['train_cases']:,} cases; no case of select to measure on"
        whole, carpal, tubular = (
            f"{name} {seen[f'{name}_mae_months']['value']:.2f}" for name in ("whole", "carpal", "tubular")
        )
        together = "" if seen["error_correlation"] is None else f"; errors correlate, {seen['error_correlation']:.2f}"
        return (
            f"fitted on {seen['train_cases']:,} cases; mean absolute error on select (n = {seen['cases']}): "
            f"{carpal} months, {tubular}, the whole hand's {whole.removeprefix('whole ')}{together}"
        )

    def added_to(self, model: Model, target: Path) -> Path:
        """Write the model with these parts (in the place of former ones) to a folder, in whose place a model may stand.

        Raises:
            OutputError: it cannot be written.
        """
        metrics = {**(model.document.get("metrics") or {}), "regional": dict(self.figures)}
        return rewritten(
            model, target, {"regional_heads": dict(self.entry), "metrics": metrics}, {REGIONAL_HEADS_FILE: self.data}
        )


class RegionalFeatureExtractor(FeatureExtractor):
    """Features float32 [3 C] of the views R1, HE and R2E of many films.

    Raises:
        ModelError: the age network does not look at each view by itself, or not at R1.
    """

    def __init__(self, model: Model, *, progress: bool = True) -> None:
        super().__init__(model, progress=progress)
        views = model.views
        if View.R1 not in views or not _looks_apart(model, self.tensor):
            raise ModelError(
                f"{model.regressor.path}: the age network does not look at region 1 by itself, so that carpal and "
                "tubular bone age cannot be told apart. Train it with regressor.fusion=shared, regressor.merge=concat "
                "and R1 among regressor.views."
            )

    def features(self, views: Views, sex: Sex) -> npt.NDArray[np.float32]:
        model = self.assessor.model
        seen = model.regressor.output(self.assessor.age_network.run(views, sex), self.tensor)
        carpal = by_view(seen, len(model.views))[model.views.index(View.R1)]
        erased = erased_features(
            model.regressor, self.tensor, views, len(model.views), sex_input=model.settings.sex_input
        )
        return np.concatenate([carpal, erased])


def _looks_apart(model: Model, tensor: str) -> bool:
    """Whether a look at R1 alone changes nothing but its own share of the features."""
    count, size = len(model.views), model.regressor.input_size
    views = np.zeros((2, count, size, size), dtype=np.uint8)
    views[1, model.views.index(View.R1)] = np.linspace(0, 255, size, dtype=np.uint8)
    feeds: dict[str, npt.NDArray[np.generic]] = {"views": views}
    if model.settings.sex_input:
        feeds["sex"] = np.ones((2, 1), dtype=np.float32)
    regressor = model.giving(tensor).regressor
    seen = regressor.output(regressor.run(feeds), tensor)
    if seen.shape[1] % count:
        return False
    moved = np.abs(np.diff(seen.reshape(2, count, -1), axis=0)[0]).max(axis=1)
    at = model.views.index(View.R1)
    return bool(moved[at] > 0 and np.delete(moved, at).max(initial=0.0) < 1e-3 * moved[at])


def ridge(train: CaseFeatures, validation: CaseFeatures, columns: slice) -> Fitted:
    """A head on some of the features, with the penalty whose answers are nearest to the labels on *validation*.

    Without cases of *validation* the largest penalty is taken.
    """
    learn, measure = train.features[:, columns], validation.features[:, columns]
    signs, others = (np.array([sex.sign for sex in cases.sexes]) for cases in (train, validation))
    center = learn.mean(axis=0, dtype=np.float64)
    scale = float(np.sqrt(np.mean((learn - center) ** 2))) or 1.0
    channels = learn.shape[1]

    def inputs(features: npt.NDArray[np.float32], sign: Values) -> Values:
        known = (features - center) / scale
        return np.concatenate([known, known * sign[:, None], _SEX_SCALE * sign[:, None]], axis=1)

    given, asked = inputs(learn, signs), inputs(measure, others)
    middle = given.mean(axis=0)
    given -= middle
    mean_age = float(train.ages.mean())
    weights = _solutions(given, train.ages - mean_age)
    answers = (asked - middle) @ weights + mean_age
    answers = answers.clip(FIRST_MONTH, LAST_MONTH)
    errors = np.abs(answers - validation.ages[:, None]).mean(axis=0) if len(validation.ages) else -np.array(PENALTIES)
    best = int(np.argmin(errors))
    chosen = weights[:, best]
    plain, by_sex, sex_alone = chosen[:channels] / scale, chosen[channels:-1] / scale, chosen[-1] * _SEX_SCALE
    of_sexes = np.stack([plain + sex.sign * by_sex for sex in (Sex.MALE, Sex.FEMALE)])
    start = mean_age - float(middle @ chosen)
    bias = np.array([start + sex.sign * sex_alone for sex in (Sex.MALE, Sex.FEMALE)]) - of_sexes @ center
    head = Head(of_sexes.astype(np.float32), bias.astype(np.float32))
    rows = zip(measure, validation.sexes, strict=True)
    return Fitted(head, PENALTIES[best], np.array([head.months(features, sex) for features, sex in rows]))


def _solutions(inputs: Values, wanted: Values) -> Values:
    """The ridge regression's weights for each of the penalties, float64 [inputs, penalties]."""
    cases, channels = inputs.shape
    # Of the two ways to the same weights, that with the smaller matrix.
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


def usual_difference(difference: Values, months: Values, sexes: Sequence[Sex]) -> UsualDifference:
    """How far the two ages usually lie apart.

    Args:
        difference: float64 [n], carpal minus tubular.
        months: float64 [n], bone ages of the whole hands.
        sexes: n.
    """
    signs = np.array([sex.sign for sex in sexes])

    def by_age(sex: Sex, figure_of: Callable[[Values], float]) -> Values:
        # Rounded as model.json will hold them, so that what is measured is what will answer.
        return np.array([round(figure_of(similar_weights(at, sex.sign, months, signs)), 3) for at in AT_MONTHS])

    center = {sex: by_age(sex, lambda weights: drawn_mean(difference, weights)) for sex in Sex}
    expected = [float(np.interp(at, AT_MONTHS, center[sex])) for at, sex in zip(months, sexes, strict=True)]
    off = np.abs(difference - np.array(expected))
    reach = {sex: by_age(sex, lambda weights: weighted_quantile(off, weights, USUAL)) for sex in Sex}
    return UsualDifference(AT_MONTHS, center, reach)


def carpal_until(
    carpal_errors: Values, tubular_errors: Values, months: Values, sexes: Sequence[Sex]
) -> dict[Sex, float]:
    """From which bone age of the whole hand on the carpal age says little more, by sex; 240 where it never does so.

    That is where its mean absolute error exceeds the tubular one's by half, and does so at every later age.

    Args:
        carpal_errors, tubular_errors: float64 [n], months.
        months: float64 [n], bone ages of the whole hands.
        sexes: n.
    """
    signs = np.array([sex.sign for sex in sexes])
    found = {}
    for sex in Sex:
        weights = np.stack([similar_weights(at, sex.sign, months, signs) for at in AT_MONTHS])
        worse = weights @ np.abs(carpal_errors) > LITTLE_TO_TELL * (weights @ np.abs(tubular_errors))
        good = np.flatnonzero(~worse)
        last = -1 if not len(good) else int(good[-1])
        found[sex] = float(AT_MONTHS[last + 1]) if last + 1 < len(AT_MONTHS) else float(LAST_MONTH)
    return found


def _as_json(usual: UsualDifference) -> dict[str, Any]:
    return {
        "at_months": usual.at_months.tolist(),
        "center_months": {sex.value: usual.center_months[sex].tolist() for sex in Sex},
        "reach_months": {sex.value: usual.reach_months[sex].tolist() for sex in Sex},
    }


def _too_few(name: str, count: int, sex: Sex) -> str:
    return (
        f"{name}: {count} {sex.value} cases to learn from; at least {FEWEST_OF_A_SEX} with all three regions are "
        "needed to tell carpal and tubular bone age apart. Use a larger data set; a training goes without with --set "
        "regional_heads=false."
    )


def check_sexes(training_set: TrainingSet) -> None:
    """Raise UsageError where a sex has too few training cases for heads of its own."""
    for sex in Sex:
        count = sum(case.sex is sex for case in training_set.train)
        if count < FEWEST_OF_A_SEX:
            raise UsageError(_too_few(training_set.name, count, sex))


def fitted(tensor: str, train: CaseFeatures, validation: CaseFeatures, data: Mapping[str, Any]) -> FittedRegionalHeads:
    """Both heads, and how far apart they usually are.

    Args:
        tensor: see `Describer.tensor`.
        train: features as `RegionalFeatureExtractor` makes them.
        select: the same, with the model's answers.
        data: what is said of the data set.

    Raises:
        UsageError: one sex has too few cases to learn from.
    """
    for sex in Sex:
        if train.sexes.count(sex) < FEWEST_OF_A_SEX:
            raise UsageError(_too_few(data["name"], train.sexes.count(sex), sex))
    if not validation.ids:
        validation = replace(validation, features=np.zeros((0, train.features.shape[1]), np.float32))
    channels = train.features.shape[1] // (1 + len(ERASED_VIEWS))
    carpal = ridge(train, validation, slice(0, channels))
    tubular = ridge(train, validation, slice(channels, None))
    difference = carpal.months - tubular.months
    enough = all(validation.sexes.count(sex) >= FEWEST_TO_COMPARE for sex in Sex)
    usual = usual_difference(difference, validation.months, validation.sexes) if enough else None
    until = carpal_until(
        carpal.months - validation.ages, tubular.months - validation.ages, validation.months, validation.sexes
    )
    content = regional_heads_bytes(carpal.head, tubular.head)
    entry = {
        "file": REGIONAL_HEADS_FILE,
        "sha256": hashlib.sha256(content).hexdigest(),
        "tensor": tensor,
        "usual_difference": None if usual is None else _as_json(usual),
        "carpal_until_months": {sex.value: until[sex] for sex in Sex} if enough else None,
        "data": dict(data),
    }
    figures: dict[str, Any] = {
        "cases": len(difference),
        "split": "select",
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


def fit_regional_heads_of_run(run: TrainingRun, regions: RegionsTable, folder: Path) -> Path:
    """The model folder of a training with carpal and tubular bone age, from the films and regions it was trained on.

    Raises:
        OutputError: it cannot be written.
    """
    model, training_set = load_model(folder), run.training_set
    without = identity_sha256({key: value for key, value in model.document.items() if key != "regional_heads"})
    stage = run.stage("regional-heads", without, training_set.key, training_set.terms, list(PENALTIES))
    file = stage.folder / REGIONAL_HEADS_FILE
    if not stage.complete or not file.is_file():
        stage.begin()
        describer = RegionalFeatureExtractor(model, progress=run.machine.progress)

        def views_of(case: Labelled) -> Views | None:
            found = regions[case.id]
            if found.missing:
                return None
            image, views = training_set.images.image(case.id), (*model.views, *ERASED_VIEWS)
            return cut_views(image, found, views, model.regressor.input_size, squash=run.squash)

        train = describer.described(training_set.train, views_of)
        validation = describer.described(training_set.validation, views_of, answers=True)
        data = data_facts(training_set.name, len(train.ids), training_set.terms, phantom=training_set.phantom)
        made = fitted(describer.tensor, train, validation, data)
        write_atomically(file, made.data)
        stage.finish(entry=dict(made.entry), figures=dict(made.figures))
    made = FittedRegionalHeads(file.read_bytes(), stage.facts["entry"], stage.facts["figures"])
    if model.document.get("regional_heads") != made.entry:
        made.added_to(model, folder)
    return folder


def fit_regional_heads_on_dataset(
    model: Model, dataset: Dataset, read: Callable[[Path], Radiograph], *, terms: str = "", progress: bool = True
) -> tuple[FittedRegionalHeads, Dataset]:
    """Heads for a finished model from a data set's radiographs.

    Args:
        model: any whose age network looks at each view by itself.
        dataset: heads are fitted on its *train* cases, everything else on its *validation* cases; *test* is not read.
        read: file -> radiograph.
        terms: of the data set.

    Returns:
        What is to be added, and the data set with what could not be read among what was dropped.

    Raises:
        DatasetError: more than 5 % of the data set had to be dropped.
        UsageError: nothing is left to learn from, or too few cases of a sex.
        ModelError: the model's parts cannot be told apart.
    """
    from boneage.datasets import has_phantoms

    describer = RegionalFeatureExtractor(model, progress=progress)
    views = (*model.views, *ERASED_VIEWS)
    train, validation, used = extract_of_dataset(describer, dataset, read, views, all_regions=True)
    data = data_facts(dataset.name, len(train.ids), terms, phantom=has_phantoms(used))
    return fitted(describer.tensor, train, validation, data), used
