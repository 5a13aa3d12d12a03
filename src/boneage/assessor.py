"""The whole story: radiograph -> regions -> views -> age distribution -> Assessment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from boneage.ages import FIRST_MONTH, LAST_MONTH, MONTHS, Sex, central_interval_months, expectation_months, parse_sex
from boneage.assessment import NOTICE, Assessment, SexAnswer, remarks_of
from boneage.errors import ModelError
from boneage.model.folder import SETTINGS_FILE, Model, find_model, load_model
from boneage.model.regional_heads import ERASED_VIEWS, Features, by_view, erased_features
from boneage.pipeline.gate import Gate, InverseTransform, Orientation
from boneage.pipeline.localization import Cascade, Localization, cut_views
from boneage.pipeline.similar_cases import SimilarCasesIndex, read_index
from boneage.radiograph import Radiograph
from boneage.remarks import Remark
from boneage.views import ImageArray, View

PHANTOM_NOTICE: Final = (
    "This model was trained on phantom hands, never on a child's radiograph: its ages mean nothing for a child."
)

_PHANTOM: Final = Remark.of("phantom", "This is a phantom, not a radiograph: its bone age is not a child's.")

ViewArrays = Mapping[View, npt.NDArray[np.uint8]]


class Admitted(NamedTuple):
    """A radiograph that the gate has let through.

    Attributes:
        radiograph: fingers up, bones bright.
        film: of that, as the networks look at it: uint8 [h, w].
        back: the way back to what was given.
        remarks: what a reader should know.
    """

    radiograph: Radiograph
    image: ImageArray
    back: InverseTransform
    remarks: tuple[Remark, ...]


class Assessor:
    """Assesses radiographs with one model.

    Args:
        model: the model; its networks start on the first assessment.
        cascade: phase I; made from the model where none is given.
        refuse: refuse what the model's gate takes for unreadable; if not (and for phantoms), it is assessed with a
            warning.
        index: the model's training cases; with it every answer names the closest of them.

    Raises:
        ModelError: the index belongs to another model.
    """

    def __init__(
        self,
        model: Model,
        cascade: Cascade | None = None,
        *,
        refuse: bool = True,
        index: SimilarCasesIndex | None = None,
    ) -> None:
        model = model if index is None else index.for_model(model)
        self.model = model if model.regional_heads is None else model.giving(model.regional_heads.settings.tensor)
        self.index = index
        self.cascade = cascade or Cascade(model.localizers, model.image_short_side, model.layout)
        gate = model.settings.gate
        self.gate = Gate(model.networks[gate.network], gate) if gate else None
        self.refuse = refuse

    def for_many(self) -> Assessor:
        """The same for callers that assess several radiographs at the same time, one thread each: more in an hour.

        Its cascade is the model's own.
        """
        return Assessor(self.model.one_thread(), refuse=self.refuse, index=self.index)

    def plain(self) -> Assessor:
        """The same for the whole hand's answer alone, without parts and closest cases, which cost time."""
        return Assessor(replace(self.model, regional_heads=None), self.cascade, refuse=self.refuse)

    @property
    def notice(self) -> str:
        return f"{PHANTOM_NOTICE} {NOTICE}" if self.model.settings.phantom_trained else NOTICE

    def assess(self, radiograph: Radiograph | str | Path, sex: Sex | str | None = None) -> Assessment:
        """Assess one radiograph.

        Args:
            radiograph: a `Radiograph`, or the path of a file to read.
            sex: wins over the header's. None (or an empty word): the header's, and unknown where there is none.
                "unknown": both sexes are assessed, whatever the header says.

        Returns:
            The bone age for that sex, or for both where it is unknown; boxes in pixels of the radiograph.

        Raises:
            UsageError: the sex word is none.
            UnreadableRadiograph, UnsuitableRadiograph: the file cannot be read or must not be assessed.
            ModelError: a network does not give what its model promises.
        """
        started = time.perf_counter()
        radiograph = radiograph if isinstance(radiograph, Radiograph) else _read(radiograph)
        asked, contradictions = _settle_sex(radiograph, sex)
        upright, image, back, remarks = self.admitted(radiograph)
        found = self.cascade.regions(image)
        views = cut_views(
            image, found, self.needed_views(found), self.model.regressor.input_size, squash=self.cascade.squash
        )
        # Whatever the sex, the views without region 1 look the same.
        erased = self.erased(views)
        answers = {sex: self.answer(views, sex, erased) for sex in ([asked] if asked else list(Sex))}
        shown = found.scaled(upright.width / image.shape[1], upright.height / image.shape[0])
        return Assessment(
            radiograph,
            asked,
            answers,
            {region: back.box(box) for region, box in shown.boxes.items()},
            {region: back.attention(seen) for region, seen in shown.attention.items()},
            views,
            self.model.name,
            self.model.sha256,
            time.perf_counter() - started,
            (
                *((_PHANTOM,) if radiograph.phantom else ()),
                *radiograph.remarks,
                *contradictions,
                *remarks,
                *found.remarks,
                *remarks_of(answers),
            ),
            self.notice,
            back.turn.turned_degrees,
            back.turn.inverted,
        )

    def admitted(self, radiograph: Radiograph) -> Admitted:
        """The radiograph as it is assessed.

        Raises:
            UnsuitableRadiograph: the gate refuses it.
        """
        image = self.cascade.image(radiograph)
        if self.gate is None:
            upright, back = Orientation().upright(radiograph)
            return Admitted(upright, image, back, ())
        look = self.gate.look(image)
        turn = self.gate.turn(look)
        upright, back = turn.upright(radiograph)
        if turn:
            image = self.cascade.image(upright)
        refusal = self.gate.refusal(look, radiograph.file)
        if refusal is not None and turn:
            # A hand upside down is odder than one that stands: the second look is at the film as it is assessed.
            refusal = self.gate.refusal(self.gate.look(image), radiograph.file)
        if refusal is not None and self.refuse and not radiograph.phantom:
            raise refusal
        overruled: tuple[Remark, ...] = ()
        if refusal is not None:
            overruled = (Remark.of(refusal.code, f"Do not rely on this answer: {refusal.reason}."),)
        return Admitted(upright, image, back, (*overruled, *turn.remarks))

    def needed_views(self, found: Localization) -> tuple[View, ...]:
        """What is cut from a film: the age network's views, and those of its parts where every region was found."""
        apart = self.model.regional_heads is not None and not found.missing
        return tuple(dict.fromkeys((*self.model.views, *(ERASED_VIEWS if apart else ()))))

    def erased(self, views: ViewArrays) -> Features | None:
        """The features float32 [2 C] that the tubular age is read from; None where it is not told."""
        settings, heads = self.model.settings, self.model.regional_heads
        if heads is None or not set(ERASED_VIEWS) <= views.keys():
            return None
        return erased_features(
            self.model.regressor, heads.settings.tensor, views, len(settings.views), sex_input=settings.sex_input
        )

    def outputs(self, views: ViewArrays, sex: Sex) -> dict[str, npt.NDArray[np.float32]]:
        """All that the age network says of views uint8 [size, size] each: outputs float32 [n, ...] by name, n = 2 where
        the model looks at the mirror image as well."""
        settings = self.model.settings
        stack = np.stack([views[view] for view in self.model.views])
        batch = np.stack([stack, stack[..., ::-1]]) if settings.average_mirror else stack[None]
        feeds: dict[str, npt.NDArray[np.generic]] = {"views": np.ascontiguousarray(batch)}
        if settings.sex_input:
            feeds["sex"] = np.full((len(batch), 1), sex.sign, dtype=np.float32)
        return self.model.regressor.run(feeds)

    def answer(self, views: ViewArrays, sex: Sex, erased: Features | None = None) -> SexAnswer:
        """Bone age, interval and distribution for one sex, from views uint8 [size, size] each.

        Args:
            views: the age network's.
            sex: of the child.
            erased: see `erased`; with it the parts are told.
        """
        settings, regressor = self.model.settings, self.model.regressor
        outputs = self.outputs(views, sex)
        said = regressor.output(outputs, "months" if settings.scalar else "distribution")
        output: npt.NDArray[np.float64] = said.astype(np.float64)
        if not np.isfinite(output).all():
            raise ModelError(
                f"{self.model.regressor.path}: the network answered with values that are no numbers. "
                "Verify the model with `boneage models verify`."
            )
        if settings.scalar:
            months = float(np.clip(output.mean(), FIRST_MONTH, LAST_MONTH))
            distribution = np.exp(-0.5 * ((MONTHS - months) / settings.scalar_sd_months) ** 2)
            distribution /= distribution.sum()
        else:
            distribution = _mean_distribution(output, self.model.regressor.path)
            months = float(expectation_months(distribution))
        correction = settings.calibration.correction
        if correction is None:
            interval = central_interval_months(distribution, settings.calibration.tail)
        else:
            distribution = correction.corrected(distribution, sex)
            months = float(expectation_months(distribution))
            interval = correction.interval_months(distribution, sex)
        told = None
        if self.model.regional_heads is not None and erased is not None:
            tensor = regressor.output(outputs, self.model.regional_heads.settings.tensor)
            carpal = by_view(tensor, len(self.model.views))[self.model.views.index(View.R1)]
            told = self.model.regional_heads.ages(carpal, erased, sex, months)
        similar_cases = None
        if self.index is not None:
            features = regressor.output(outputs, self.index.tensor).mean(axis=0)
            similar_cases = self.index.nearest(features, sex, months)
        remarks = () if correction is None else correction.remarks(months, sex)
        return SexAnswer(months, interval, distribution.astype(np.float32), similar_cases, told, remarks)


def _mean_distribution(output: npt.NDArray[np.float64], path: Path) -> npt.NDArray[np.float64]:
    """The mean of distributions [n, 240], made to sum to 1 exactly (networks round)."""
    if output.ndim != 2 or output.shape[1] != MONTHS.size or not (output.clip(0).sum(axis=1) > 0).all():
        raise ModelError(f"{path}: gave {output.shape}, no distribution over {MONTHS.size} months. Export it again.")
    rows = output.clip(0)
    mean: npt.NDArray[np.float64] = (rows / rows.sum(axis=1, keepdims=True)).mean(axis=0)
    return mean


def _settle_sex(radiograph: Radiograph, sex: Sex | str | None) -> tuple[Sex | None, tuple[Remark, ...]]:
    """The sex to assess for, and a remark where it contradicts the header."""
    if sex is None or not sex.strip():
        return radiograph.sex, ()
    asked, header = parse_sex(sex), radiograph.sex
    if header is None or header is asked:
        return asked, ()
    word = "unknown" if asked is None else asked.value
    text = f"The header says {header.value}, but the sex that was asked for is {word}. Check which is right."
    return asked, (Remark.of("sex_contradicts_header", text),)


def _read(path: str | Path) -> Radiograph:
    # Here, not above: the readers load pydicom and Pillow's plug-ins.
    from boneage.formats import read_radiograph

    return read_radiograph(path)


@lru_cache(maxsize=4)
def _cached(folder: Path, _changed_ns: int) -> Assessor:
    return Assessor(load_model(folder))


def load(model: str | Path | None = None, index: str | Path | None = None, *, refuse: bool = True) -> Assessor:
    """An assessor for a shipped model (by name), for a model folder, or for the default model.

    The model is kept: asking for it again costs nothing until its `model.json` changes. With an index it is read anew.

    Args:
        model: a shipped name or a model folder; None for the default.
        index: the file of an index of the model's training cases; each answer then names the closest of them.
        refuse: see `Assessor`.

    Raises:
        ModelError: the model or the index is missing, damaged, or of another version, or they do not belong together.
    """
    folder = find_model(model)
    if index is not None or not refuse:
        return Assessor(load_model(folder), refuse=refuse, index=None if index is None else read_index(index))
    return _cached(folder.resolve(), (folder / SETTINGS_FILE).stat().st_mtime_ns)


def assess(path: str | Path, sex: Sex | str | None = None, model: str | Path | None = None) -> Assessment:
    """Assess one radiograph from a file; see `Assessor.assess`.

    Args:
        path: PNG, JPEG, TIFF, WebP or DICOM.
        sex: "male", "female", "unknown", or None for what the header says.
        model: a shipped name or a model folder; None for the default.

    Raises:
        UsageError, UnreadableRadiograph, UnsuitableRadiograph, ModelError: see `boneage.errors`.
    """
    return load(model).assess(path, sex)
