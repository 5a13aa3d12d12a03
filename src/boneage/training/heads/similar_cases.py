"""The index of a model's training cases: their features, and how well the ages of similar cases agree with labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from boneage.ages import Sex
from boneage.assessor import Assessor
from boneage.errors import RadiographError, UnsuitableRadiograph, UsageError
from boneage.evaluation.bootstrap import figure
from boneage.model.document import TrainingData
from boneage.model.folder import Model, available_cores, load_model
from boneage.model.network import FEATURES
from boneage.pipeline.localization import cut_views
from boneage.pipeline.similar_cases import SimilarCasesIndex, write_index
from boneage.progress import track
from boneage.views import View

if TYPE_CHECKING:
    from boneage.datasets import Case, Dataset, Dropped
    from boneage.radiograph import Radiograph
    from boneage.training.data.views_data import Labelled
    from boneage.training.localization.regions_table import RegionsTable
    from boneage.training.run.training_run import TrainingRun

INDEX_FILE: Final = "index.npz"
SIMILAR_CASES: Final = 20
"""An answer names so many; docs/decisions says how the number was chosen."""
COMPONENTS: Final = 64
"""Principal components that are kept, at most."""
_SMALLEST_VARIANCE: Final = 1e-10
"""Of the largest."""
FEWEST_TO_COMPARE: Final = 20
"""The usual difference is measured on at least so many cases of *validation*."""
USUAL: Final = 0.95

Views = dict[View, npt.NDArray[np.uint8]]
C = TypeVar("C", "Case", "Labelled")


@dataclasses.dataclass(frozen=True, eq=False)
class CaseFeatures:
    """Cases and their features.

    Attributes:
        ids: n names.
        ages: float64 [n], the labels in months.
        sexes: n.
        features: float32 [n, C].
        months: float64 [n], the model's bone ages; NaN where they were not computed.
    """

    ids: tuple[str, ...]
    ages: npt.NDArray[np.float64]
    sexes: tuple[Sex, ...]
    features: npt.NDArray[np.float32]
    months: npt.NDArray[np.float64]


class FeatureExtractor:
    """Runs the age network of a model over many radiographs, as assessing does, and keeps their features."""

    def __init__(self, model: Model, *, progress: bool = True) -> None:
        self.assessor = Assessor(model.one_thread())
        self.progress = progress

    def extract(
        self, cases: Sequence[C], views_of: Callable[[C], Views | None], *, answers: bool = False
    ) -> CaseFeatures:
        """The features of the cases that have views, in their order.

        Args:
            cases: with age and sex.
            views_of: the views of a case, or None to leave it out.
            answers: compute the model's bone ages as well.
        """
        kept: list[C] = []
        features: list[npt.NDArray[np.float32]] = []
        months: list[float] = []
        with ThreadPoolExecutor(available_cores()) as pool:
            found = pool.map(lambda case: self._one(case, views_of, answers), cases)
            for case, seen in track(found, "Computing features", len(cases), quiet=not self.progress):
                if seen is not None:
                    kept.append(case)
                    features.append(seen[0])
                    months.append(seen[1])
        return CaseFeatures(
            ids=tuple(case.id for case in kept),
            ages=np.array([case.age_months for case in kept], dtype=np.float64),
            sexes=tuple(case.sex for case in kept if case.sex is not None),
            features=np.stack(features) if features else np.zeros((0, 0), np.float32),
            months=np.array(months),
        )

    def features(self, views: Views, sex: Sex) -> npt.NDArray[np.float32]:
        """The features float32 [C] of one radiograph."""
        features = self.assessor.model.regressor.output(self.assessor.age_network.run(views, sex), FEATURES)
        mean: npt.NDArray[np.float32] = features.mean(axis=0)
        return mean

    def views_from(
        self,
        read: Callable[[Path], Radiograph],
        views: Sequence[View],
        unreadable: list[Dropped],
        *,
        all_regions: bool = False,
    ) -> Callable[[Case], Views | None]:
        """A function that cuts the views of a case from its file, as an assessment does.

        Args:
            read: file -> radiograph.
            views: which.
            unreadable: gets the cases whose files could not be read or were refused; they have no views.
            all_regions: leave out radiographs on which a region was not found.
        """
        from boneage.datasets import Dropped

        localizer, size = self.assessor.localizer, self.assessor.model.regressor.input_size

        def views_of(case: Case) -> Views | None:
            try:
                image = self.assessor.gate.admit(read(case.image)).image
            except (RadiographError, OSError) as error:
                reason = "refused" if isinstance(error, UnsuitableRadiograph) else "unreadable file"
                unreadable.append(Dropped(id=case.id, file=str(case.image), reason=reason, detail=str(error)))
                return None
            found = localizer.locate(image)
            if all_regions and found.missing:
                return None
            return cut_views(image, found, views=views, size=size, squash=localizer.squash)

        return views_of

    def _one(
        self, case: C, views_of: Callable[[C], Views | None], answers: bool
    ) -> tuple[C, tuple[npt.NDArray[np.float32], float] | None]:
        views = views_of(case)
        if views is None or case.sex is None:
            return case, None
        features = self.features(views, case.sex)
        months = self.assessor.age_network.answer(views, case.sex).bone_age_months if answers else np.nan
        return case, (features, months)


def build_index(
    model: Model, train: CaseFeatures, validation: CaseFeatures, file: Path, data: TrainingData
) -> SimilarCasesIndex:
    """An index in memory.

    Args:
        model: whose features they are.
        train: the cases to hold.
        validation: other cases, with the model's answers, to measure how the similar cases' age compares with these.
        file: where it will be written.
        data: what is written about the data set.
    """
    mean, components = principal_components(train.features)
    index = SimilarCasesIndex(
        file=file,
        model=model.name,
        model_sha256=model.sha256,
        count=SIMILAR_CASES,
        usual_difference_months=None,
        data=data.model_dump(mode="json", exclude={"split_rule"}),
        mean=mean,
        components=components,
        # Rounded as in the file, so that the figures are those of later answers.
        scores=((train.features - mean) @ components.T).astype(np.float16).astype(np.float32),
        ages=train.ages.astype(np.float32),
        males=np.array([sex is Sex.MALE for sex in train.sexes]),
        ids=train.ids,
    )
    return _measure(index, validation)


def principal_components(features: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """PCA of features float32 [n, C]: their mean float32 [C] and components float32 [d, C], d <= `COMPONENTS`.

    The components share one scale, with which two cases are at the distance 1 (root mean square over all pairs).
    """
    mean = features.mean(axis=0, dtype=np.float64)
    centred = features - mean
    cases, channels = centred.shape
    count = max(1, min(COMPONENTS, channels, cases - 1))
    # Both matrices have the same eigenvalues; the smaller one is taken.
    by_channel = channels <= cases
    square = centred.T @ centred if by_channel else centred @ centred.T
    values, vectors = eigh(square, subset_by_index=[len(square) - count, len(square) - 1])
    # Components without variance would be rounding errors.
    kept = values >= max(float(values[-1]), 0.0) * _SMALLEST_VARIANCE
    components = vectors.T[kept] if by_channel else vectors.T[kept] @ centred
    norms = np.linalg.norm(components, axis=1, keepdims=True)
    components = components / np.where(norms > 0, norms, 1.0)
    distance = np.sqrt(2.0 * float(values[kept].clip(0).sum()) / cases)
    return mean.astype(np.float32), (components[::-1] / (distance or 1.0)).astype(np.float32)


def _measure(index: SimilarCasesIndex, validation: CaseFeatures) -> SimilarCasesIndex:
    """The index with its figures on *validation*."""
    similar_cases = [
        index.nearest(features, sex, months)
        for features, sex, months in zip(validation.features, validation.sexes, validation.months, strict=True)
    ]
    has_cases = np.array([found is not None for found in similar_cases], dtype=bool)
    if not has_cases.any():
        return index
    ages = np.array([found.age_months for found in similar_cases if found is not None])
    of_model, labels = validation.months[has_cases], validation.ages[has_cases]
    difference = np.abs(ages - of_model)
    figures = {
        "validation": {
            "cases": int(has_cases.sum()),
            "model_mae_months": figure(np.abs(of_model - labels)).as_dict(),
            "similar_cases_mae_months": figure(np.abs(ages - labels)).as_dict(),
            "difference_months": figure(difference).as_dict(),
            "error_correlation": correlation(ages - labels, of_model - labels),
        }
    }
    usual = round(float(np.quantile(difference, USUAL)), 2) if has_cases.sum() >= FEWEST_TO_COMPARE else None
    return dataclasses.replace(index, usual_difference_months=usual, figures=figures)


def correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float | None:
    """Pearson's correlation; None where one does not vary."""
    if len(one) < 2 or not one.std() or not other.std():
        return None
    return round(float(np.corrcoef(one, other)[0, 1]), 4)


def index_run(run: TrainingRun, regions: RegionsTable, folder: Path) -> Path:
    """Write the index beside the model folder of a training, from the images and regions that it was trained on.

    Raises:
        OutputError: it cannot be written.
    """
    model, training_set, file = load_model(folder), run.training_set, folder.with_name(INDEX_FILE)
    stage = run.stage("index", model.sha256, training_set.key, training_set.terms, SIMILAR_CASES, COMPONENTS)
    if stage.complete and file.is_file():
        return file
    stage.begin()
    extractor = FeatureExtractor(model, progress=run.machine.progress)

    def views_of(case: Labelled) -> Views:
        image = training_set.images.image(case.id)
        return cut_views(image, regions[case.id], views=model.views, size=model.regressor.input_size, squash=run.squash)

    data = TrainingData(
        name=training_set.name,
        cases=len(training_set.train),
        terms=training_set.terms,
        phantom=training_set.phantom,
    )
    index = build_index(
        model,
        train=extractor.extract(training_set.train, views_of),
        validation=extractor.extract(training_set.validation, views_of, answers=True),
        file=file,
        data=data,
    )
    write_index(index)
    stage.finish(figures=dict(index.figures), usual_difference_months=index.usual_difference_months)
    return file


def index_dataset(
    model: Model,
    dataset: Dataset,
    read: Callable[[Path], Radiograph],
    *,
    file: Path = Path(INDEX_FILE),
    terms: str = "",
    progress: bool = True,
) -> tuple[SimilarCasesIndex, Dataset]:
    """An index of a finished model from a data set's radiographs, in memory.

    Args:
        model: one whose age network gives features.
        dataset: its *train* cases are indexed, on its *validation* cases the index is measured; *test* is not read.
        read: file -> radiograph.
        file: where the index will be written.
        terms: of the data set.

    Returns:
        The index, and the data set, whose `dropped` names what could not be read.

    Raises:
        DatasetError: more than 5 % of the data set had to be dropped.
        UsageError: nothing is left to index.
        ModelError: the age network does not give features.
    """
    from boneage.datasets import has_phantoms

    train, validation, used = extract_of_dataset(
        FeatureExtractor(model, progress=progress), dataset, read=read, views=model.views
    )
    data = TrainingData(name=dataset.name, cases=len(train.ids), terms=terms, phantom=has_phantoms(used))
    return build_index(model, train, validation, file=file, data=data), used


def extract_of_dataset(
    extractor: FeatureExtractor,
    dataset: Dataset,
    read: Callable[[Path], Radiograph],
    views: Sequence[View],
    *,
    all_regions: bool = False,
) -> tuple[CaseFeatures, CaseFeatures, Dataset]:
    """The features of *train* and of *validation* (with the model's answers), and the data set, whose `dropped` names
    what could not be read.

    Args:
        extractor: runs the network.
        dataset: its *test* cases are not read.
        read: file -> radiograph.
        views, all_regions: see `FeatureExtractor.views_from`.

    Raises:
        DatasetError: more than 5 % of the data set had to be dropped.
        UsageError: nothing of *train* is left.
    """
    from boneage.datasets import with_dropped

    used = dataset.check_for_training().of("train", "validation")
    unreadable: list[Dropped] = []
    views_of = extractor.views_from(read, views, unreadable, all_regions=all_regions)
    train = extractor.extract(used.of("train").cases, views_of)
    validation = extractor.extract(used.of("validation").cases, views_of, answers=True)
    used = with_dropped(used, sorted(unreadable, key=lambda item: item.id)).check_for_training()
    if not train.ids:
        found = "has all three regions" if all_regions else "could be read"
        raise UsageError(
            f"{dataset.root}: no case of train {found}. Check the data set and the model.", code="nothing_to_learn_from"
        )
    return train, validation, used
