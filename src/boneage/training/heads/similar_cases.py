"""The index of a model's training cases: their features, and how far their second opinion is to be believed."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from boneage.ages import Sex
from boneage.assessor import Assessor
from boneage.errors import ModelError, RadiographError, UnsuitableRadiograph, UsageError
from boneage.evaluation.bootstrap import figure
from boneage.model.folder import Model, available_cores, load_model
from boneage.pipeline.localization import cut_views
from boneage.pipeline.similar_cases import SimilarCasesIndex, write_index
from boneage.views import View

if TYPE_CHECKING:
    from boneage.datasets import Case, Dataset, Dropped
    from boneage.radiograph import Radiograph
    from boneage.training.data.views_data import Labelled
    from boneage.training.localization.regions_table import RegionsTable
    from boneage.training.run.training_run import TrainingRun

INDEX_FILE: Final = "index.npz"
SIMILAR_CASES: Final = 20
"""Cases whose ages are taken together; docs/decisions.md says how the number was chosen."""
AXES: Final = 64
"""Principal components that are kept, at most."""
_NOTHING: Final = 1e-10
"""Of the largest variance."""
FEWEST_TO_COMPARE: Final = 20
"""Cases of *validation* from which on it is said how far the two opinions usually lie apart."""
USUAL: Final = 0.95

Views = dict[View, npt.NDArray[np.uint8]]
C = TypeVar("C", "Case", "Labelled")


@dataclasses.dataclass(frozen=True, eq=False)
class CaseFeatures:
    """Cases, what is known of them, and how the age network describes their films.

    Attributes:
        ids: n names.
        ages: float64 [n], the labels in months.
        sexes: n.
        features: float32 [n, C].
        months: float64 [n], the model's bone ages; NaN where they were not asked for.
    """

    ids: tuple[str, ...]
    ages: npt.NDArray[np.float64]
    sexes: tuple[Sex, ...]
    features: npt.NDArray[np.float32]
    months: npt.NDArray[np.float64]


class FeatureExtractor:
    """Runs the age network of a model over many films, as assessing does, and keeps their features."""

    def __init__(self, model: Model, *, progress: bool = True) -> None:
        self.tensor = features_tensor(model.regressor.path)
        self.assessor = Assessor(model.one_thread().giving(self.tensor))
        self.progress = progress

    def described(
        self, cases: Sequence[C], views_of: Callable[[C], Views | None], *, answers: bool = False
    ) -> CaseFeatures:
        """The cases that have views, in their order.

        Args:
            cases: with age and sex.
            views_of: the views of a case, or None to leave it out.
            answers: ask for the model's bone ages as well.
        """
        kept: list[C] = []
        features: list[npt.NDArray[np.float32]] = []
        months: list[float] = []
        began = said = time.monotonic()
        with ThreadPoolExecutor(available_cores()) as pool:
            for count, (case, seen) in enumerate(pool.map(lambda case: self._one(case, views_of, answers), cases), 1):
                if seen is not None:
                    kept.append(case)
                    features.append(seen[0])
                    months.append(seen[1])
                now = time.monotonic()
                if self.progress and now - said > 20:
                    said, rate = now, count / (now - began)
                    print(f"features: {count}/{len(cases)} films, {rate:.1f} films/s", file=sys.stderr, flush=True)
        return CaseFeatures(
            tuple(case.id for case in kept),
            np.array([case.age_months for case in kept], dtype=np.float64),
            tuple(case.sex for case in kept if case.sex is not None),
            np.stack(features) if features else np.zeros((0, 0), np.float32),
            np.array(months),
        )

    def features(self, views: Views, sex: Sex) -> npt.NDArray[np.float32]:
        """float32 [C] of one film."""
        found = self.assessor.model.regressor.output(self.assessor.age_network.run(views, sex), self.tensor)
        mean: npt.NDArray[np.float32] = found.mean(axis=0)
        return mean

    def views_from(
        self,
        read: Callable[[Path], Radiograph],
        views: Sequence[View],
        unreadable: list[Dropped],
        *,
        all_regions: bool = False,
    ) -> Callable[[Case], Views | None]:
        """Cuts the views of a case from its file, as an assessment does.

        Args:
            read: file -> radiograph.
            views: which.
            unreadable: gets the cases whose files could not be read or were refused; they have no views.
            all_regions: leave out films on which a region was not found.
        """
        from boneage.datasets import Dropped

        region_localizer, size = self.assessor.localizer, self.assessor.model.regressor.input_size

        def views_of(case: Case) -> Views | None:
            try:
                image = self.assessor.gate.admit(read(case.image)).image
            except (RadiographError, OSError) as error:
                reason = "refused" if isinstance(error, UnsuitableRadiograph) else "unreadable file"
                unreadable.append(Dropped(case.id, str(case.image), reason, str(error)))
                return None
            found = region_localizer.locate(image)
            if all_regions and found.missing:
                return None
            return cut_views(image, found, views, size, squash=region_localizer.squash)

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


def features_tensor(network: Path) -> str:
    """The tensor of an exported age network that holds a film's features, float32 [n, C].

    It is what the answer layer takes; where that is joined with what the network was told about the sex, without it.

    Args:
        network: the .onnx file, as `boneage.training.networks.export.export_regressor` writes it.

    Raises:
        ModelError: the network has no such layer.
    """
    import onnx

    graph = onnx.load(network).graph
    maker = {output: node for node in graph.node for output in node.output}

    def comes_of(tensor: str, source: str) -> bool:
        before, seen = [tensor], set()
        while before:
            name = before.pop()
            if name == source:
                return True
            if name in maker and name not in seen:
                seen.add(name)
                before.extend(maker[name].input)
        return False

    for node in graph.node:
        if node.op_type in ("Gemm", "MatMul") and node.input[1] == "network.answer.weight":
            taken = node.input[0]
            if not comes_of(taken, "sex"):
                return str(taken)
            joined = maker[taken]
            apart = [name for name in joined.input if not comes_of(name, "sex")]
            if joined.op_type == "Concat" and len(apart) == 1:
                return str(apart[0])
    raise ModelError(
        f"{network}: has no answer layer whose features could be taken. Train the model again with this version of "
        "boneage, and make its index then."
    )


def made(model: Model, train: CaseFeatures, validation: CaseFeatures) -> SimilarCasesIndex:
    """An index in memory.

    Args:
        model: whose features they are.
        train: the cases to hold.
        select: other cases, with the model's answers, to say how the closest cases' age compares with these.
    """
    mean, components = principal_components(train.features)
    index = SimilarCasesIndex(
        file=Path(INDEX_FILE),
        model=model.name,
        model_sha256=model.sha256,
        tensor=features_tensor(model.regressor.path),
        count=SIMILAR_CASES,
        usual_difference_months=None,
        data={},
        mean=mean,
        components=components,
        # As the file will hold them, so that what is measured is what will answer.
        scores=((train.features - mean) @ components.T).astype(np.float16).astype(np.float32),
        ages=train.ages.astype(np.float32),
        males=np.array([sex is Sex.MALE for sex in train.sexes]),
        ids=train.ids,
    )
    return _measured(index, validation)


def principal_components(features: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The mean float32 [C] of features float32 [n, C] and their principal components float32 [d, C], d <= `AXES`.

    The components have one length in common, by which the cases' scores lie 1 apart (root mean square over all pairs).
    """
    mean = features.mean(axis=0, dtype=np.float64)
    centred = features - mean
    cases, channels = centred.shape
    count = max(1, min(AXES, channels, cases - 1))
    # Of the two matrices with the same eigenvalues, the smaller.
    by_channel = channels <= cases
    square = centred.T @ centred if by_channel else centred @ centred.T
    values, vectors = eigh(square, subset_by_index=[len(square) - count, len(square) - 1])
    # Axes along which nothing varies would come out of rounding alone.
    kept = values >= max(float(values[-1]), 0.0) * _NOTHING
    components = vectors.T[kept] if by_channel else vectors.T[kept] @ centred
    norms = np.linalg.norm(components, axis=1, keepdims=True)
    components = components / np.where(norms > 0, norms, 1.0)
    apart = np.sqrt(2.0 * float(values[kept].clip(0).sum()) / cases)
    return mean.astype(np.float32), (components[::-1] / (apart or 1.0)).astype(np.float32)


def _measured(index: SimilarCasesIndex, validation: CaseFeatures) -> SimilarCasesIndex:
    """The index with what it says of other cases than its own."""
    similar_cases = [
        index.nearest(features, sex, months)
        for features, sex, months in zip(validation.features, validation.sexes, validation.months, strict=True)
    ]
    told = np.array([found is not None for found in similar_cases], dtype=bool)
    if not told.any():
        return index
    ages = np.array([found.age_months for found in similar_cases if found is not None])
    of_model, labelled = validation.months[told], validation.ages[told]
    apart = np.abs(ages - of_model)
    figures = {
        "validation": {
            "cases": int(told.sum()),
            "model_mae_months": figure(np.abs(of_model - labelled)).as_dict(),
            "similar_cases_mae_months": figure(np.abs(ages - labelled)).as_dict(),
            "difference_months": figure(apart).as_dict(),
            "error_correlation": correlation(ages - labelled, of_model - labelled),
        }
    }
    usual = round(float(np.quantile(apart, USUAL)), 2) if told.sum() >= FEWEST_TO_COMPARE else None
    return dataclasses.replace(index, usual_difference_months=usual, figures=figures)


def correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float | None:
    """Pearson's, where both vary."""
    if len(one) < 2 or not one.std() or not other.std():
        return None
    return round(float(np.corrcoef(one, other)[0, 1]), 4)


def index_run(run: TrainingRun, regions: RegionsTable, folder: Path) -> Path:
    """The index beside the model folder of a training, from the films and regions that it was trained on.

    Raises:
        OutputError: it cannot be written.
    """
    model, training_set, file = load_model(folder), run.training_set, folder.with_name(INDEX_FILE)
    stage = run.stage("index", model.sha256, training_set.key, training_set.terms, SIMILAR_CASES, AXES)
    if stage.complete and file.is_file():
        return file
    stage.begin()
    describer = FeatureExtractor(model, progress=run.machine.progress)

    def views_of(case: Labelled) -> Views:
        image = training_set.images.image(case.id)
        return cut_views(image, regions[case.id], model.views, model.regressor.input_size, squash=run.squash)

    train = describer.described(training_set.train, views_of)
    index = made(model, train, describer.described(training_set.validation, views_of, answers=True))
    data = data_facts(training_set.name, len(training_set.train), training_set.terms, phantom=training_set.phantom)
    write_index(dataclasses.replace(index, file=file, data=data))
    stage.finish(figures=dict(index.figures), usual_difference_months=index.usual_difference_months)
    return file


def index_dataset(
    model: Model, dataset: Dataset, read: Callable[[Path], Radiograph], *, terms: str = "", progress: bool = True
) -> tuple[SimilarCasesIndex, Dataset]:
    """An index of a finished model from a data set's radiographs, in memory.

    Args:
        model: any, however long ago it was trained.
        dataset: its *train* cases are indexed, on its *validation* cases the index is measured; *test* is not read.
        read: file -> radiograph.
        terms: of the data set.

    Returns:
        The index (its `file` is not set yet), and the data set with what could not be read among what was dropped.

    Raises:
        DatasetError: more than 5 % of the data set had to be dropped.
        UsageError: nothing is left to index.
        ModelError: the age network has no features that could be taken.
    """
    from boneage.datasets import has_phantoms

    train, validation, used = extract_of_dataset(FeatureExtractor(model, progress=progress), dataset, read, model.views)
    data = data_facts(dataset.name, len(train.ids), terms, phantom=has_phantoms(used))
    return dataclasses.replace(made(model, train, validation), data=data), used


def extract_of_dataset(
    describer: FeatureExtractor,
    dataset: Dataset,
    read: Callable[[Path], Radiograph],
    views: Sequence[View],
    *,
    all_regions: bool = False,
) -> tuple[CaseFeatures, CaseFeatures, Dataset]:
    """The cases of *train*, those of *validation* with the model's answers, and the data set with what could not
    be read.

    Args:
        describer: runs the network.
        dataset: its *test* cases are not read.
        read: file -> radiograph.
        views: see `Describer.views_from`, as `all_regions`.

    Raises:
        DatasetError: more than 5 % of the data set had to be dropped.
        UsageError: nothing of *train* is left.
    """
    from boneage.datasets import with_dropped

    used = dataset.check_for_training().of("train", "validation")
    unreadable: list[Dropped] = []
    views_of = describer.views_from(read, views, unreadable, all_regions=all_regions)
    train = describer.described(used.of("train").cases, views_of)
    validation = describer.described(used.of("validation").cases, views_of, answers=True)
    used = with_dropped(used, sorted(unreadable, key=lambda item: item.id)).check_for_training()
    if not train.ids:
        found = "on no film of train all three regions were found" if all_regions else "no film of train is left"
        raise UsageError(f"{dataset.root}: {found}: nothing to learn from.")
    return train, validation, used


def data_facts(name: str, cases: int, terms: str, *, phantom: bool) -> dict[str, Any]:
    """What an index says of the data set that it is of."""
    return {"name": name, "split": "train", "cases": cases, "terms": terms or "not stated", "phantom": phantom}
