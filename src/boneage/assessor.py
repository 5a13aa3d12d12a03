"""The whole story: radiograph -> canonical orientation -> regions -> views -> age distribution -> Assessment."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from boneage.ages import Sex, parse_sex
from boneage.assessment import NOTICE, Assessment, remarks_of
from boneage.model.folder import SETTINGS_FILE, Model, find_model, load_model
from boneage.pipeline.age_network import AgeNetwork
from boneage.pipeline.gate import Gate
from boneage.pipeline.localization import RegionLocalizer, cut_views
from boneage.pipeline.similar_cases import SimilarCasesIndex, read_index
from boneage.radiograph import Radiograph
from boneage.remarks import Remark, Severity

PHANTOM_NOTICE: Final = (
    "This model was trained on phantom hands, never on a child's radiograph: its ages mean nothing for a child."
)
_PHANTOM: Final = Remark.of("phantom", "This is a phantom, not a radiograph: its bone age is not a child's.")


class Assessor:
    """Assesses radiographs with one model.

    Args:
        model: the model; its networks start on the first assessment.
        localizer: finds the regions; made from the model if None.
        refuse: raise what the model's gate and the file's reader refuse (colours, another modality or body part); if
            not, it is assessed with a remark. The gate never refuses phantoms.
        index: the model's training cases; with it every answer names similar cases.

    Raises:
        ModelError: the index belongs to another model.
    """

    def __init__(
        self,
        model: Model,
        localizer: RegionLocalizer | None = None,
        *,
        refuse: bool = True,
        index: SimilarCasesIndex | None = None,
    ) -> None:
        if index is not None:
            index.check_model(model)
        self.model, self.refuse, self.index = model, refuse, index
        settings = model.settings.gate
        self.gate = Gate(
            model.networks[settings.network] if settings else None,
            settings,
            image_short_side=model.image_short_side,
            refuse=refuse,
        )
        self.localizer = localizer or RegionLocalizer(model.localizers, model.layout)
        self.age_network = AgeNetwork(model, index)

    def assess(self, radiograph: Radiograph | str | Path, sex: Sex | str | None = None) -> Assessment:
        """Assess one radiograph.

        Args:
            radiograph: a `Radiograph`, or the path of a file to read.
            sex: wins over the header's. None (NaN, an empty word): the header's, and unknown where there is none.
                "unknown": both sexes are assessed, whatever the header says.

        Returns:
            The bone age for that sex, or for both where it is unknown; boxes in pixels of the radiograph.

        Raises:
            UsageError: the sex word is not known (code `unknown_sex`), or the radiograph is not a path (`not_a_path`).
            UnreadableRadiograph, UnsuitableRadiograph: the file cannot be read or must not be assessed.
            ModelError: a network does not give what its model promises.
        """
        started = time.perf_counter()
        radiograph = radiograph if isinstance(radiograph, Radiograph) else _read(radiograph, refuse=self.refuse)
        asked, contradictions = _settle_sex(radiograph, sex)
        admitted = self.gate.admit(radiograph)
        regions = self.localizer.locate(admitted.image)
        views = cut_views(
            admitted.image,
            regions,
            views=self.age_network.needed_views(regions),
            size=self.model.regressor.input_size,
            squash=self.localizer.squash,
        )
        answers = self.age_network.answers(views, [asked] if asked else list(Sex))
        height, width = admitted.image.shape
        shown = regions.scaled(admitted.radiograph.width / width, admitted.radiograph.height / height)
        return Assessment(
            radiograph=radiograph,
            sex=asked,
            answers=answers,
            regions={region: admitted.inverse.box(box) for region, box in shown.boxes.items()},
            attention={region: admitted.inverse.attention(map_) for region, map_ in shown.attention.items()},
            views=views,
            model=self.model.name,
            model_sha256=self.model.sha256,
            seconds=time.perf_counter() - started,
            remarks=_weigh(
                radiograph,
                (
                    *radiograph.remarks,
                    *contradictions,
                    *admitted.remarks,
                    *regions.remarks,
                    *remarks_of(answers),
                ),
            ),
            notice=self.notice,
            turned_degrees=admitted.inverse.orientation.turned_degrees,
            inverted=admitted.inverse.orientation.inverted,
        )

    @property
    def notice(self) -> str:
        return f"{PHANTOM_NOTICE} {NOTICE}" if self.model.settings.phantom_trained else NOTICE

    def for_many(self) -> Assessor:
        """The same for callers that assess several radiographs at the same time, one thread each: more in an hour."""
        return Assessor(self.model.one_thread(), refuse=self.refuse, index=self.index)

    def plain(self) -> Assessor:
        """The same for the whole hand's answer alone, without regional ages and similar cases, which cost time."""
        return Assessor(replace(self.model, regional_heads=None), self.localizer, refuse=self.refuse)


def _weigh(radiograph: Radiograph, remarks: tuple[Remark, ...]) -> tuple[Remark, ...]:
    """A phantom's remarks ask for no caution: they tell how a model that never saw one reads it."""
    if not radiograph.phantom:
        return remarks
    quiet = (replace(said, severity=Severity.INFO) if said.severity is Severity.CAUTION else said for said in remarks)
    return (_PHANTOM, *quiet)


def _settle_sex(radiograph: Radiograph, sex: Sex | str | None) -> tuple[Sex | None, tuple[Remark, ...]]:
    """The sex to assess for, and a remark where it contradicts the header."""
    if sex is None or sex != sex or (isinstance(sex, str) and not sex.strip()):  # NaN is not itself
        return radiograph.sex, ()
    asked, header = parse_sex(sex), radiograph.sex
    if header is None or header is asked:
        return asked, ()
    word = "unknown" if asked is None else asked.value
    text = f"The header says {header.value}, but the sex that was asked for is {word}. Check which is right."
    return asked, (Remark.of("sex_contradicts_header", text),)


def _read(path: str | Path, *, refuse: bool) -> Radiograph:
    # Here, not above: the readers load pydicom and Pillow's plug-ins.
    from boneage.formats import read_radiograph

    return read_radiograph(path, refuse=refuse)


@lru_cache(maxsize=4)
def _cached(folder: Path, _changed_ns: int) -> Assessor:
    return Assessor(load_model(folder))


def load(model: str | Path | None = None, index: str | Path | None = None, *, refuse: bool = True) -> Assessor:
    """An assessor for a shipped model (by name), for a model folder, or for the default model.

    The model is kept: asking for it again costs nothing until its `model.json` changes. With an index it is read anew.

    Args:
        model: a shipped name or a model folder; None for the default.
        index: the file of an index of the model's training cases; each answer then names similar ones.
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
