"""A model as it is used: both stages, frozen decisions, and how a study is prepared for them."""

import csv
import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pectl.config import PreprocessConfig, WindowsConfig, load_config
from pectl.core.decisions.decisions import Decisions
from pectl.core.decisions.heat_scale import NAME as HEAT_SCALE
from pectl.core.decisions.heat_scale import HeatScale
from pectl.core.decisions.out_of_distribution import unusual_findings
from pectl.core.intake.verdicts import Verdict
from pectl.core.labels.names import STUDY
from pectl.core.models.checkpoint import load_stage1, load_stage2
from pectl.core.models.stage1 import WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.storage.files import read_json, write_json
from pectl.core.storage.stamp import RESEARCH_USE, check_lineage, digest_of
from pectl.core.stores.feature_store import StudySequence, feature_digest
from pectl.core.stores.runs import best_model, read_run
from pectl.core.stores.study_store import Study, store_digest
from pectl.core.volumes.stated import Given, Stated
from pectl.errors import StoreError
from pectl.inference.answers import answer_study
from pectl.inference.device import DeviceName, Engine
from pectl.inference.encoder import StudyEncoder
from pectl.inference.precision import Asked, encoder_engine
from pectl.inference.prediction import ImageAnswer, Model, Prediction, State
from pectl.inference.sequences import score_study

HEAT_SCALE_BY = "pectl explain --split"
TRAINED = ("train", "val")
"""Splits whose studies a model was made with: it learnt from the one, and was chosen and calibrated on the other."""
_SEEN_SALT, _SEEN_ROUNDS, _SEEN_BYTES = b"pectl seen study", 500, 16
"""About 0.2 ms a study: a second for the cohort of RSPECT."""


class OutOfDistribution(Protocol):
    """Tells studies that are unlike those that the model was made with."""

    def flag(self, features: NDArray[np.float32], /) -> bool:
        """Tell whether a study is, given the features of its windows (N, F)."""

    def findings(self, flags: Collection[str], slice_step_mm: float, /) -> tuple[str, ...]:
        """Return those of a study's findings that set it apart, given the step between its original slices."""


class Answered(NamedTuple):
    """A study's prediction, and its hottest slice in HU (S, S); no slice where it is refused."""

    prediction: Prediction
    slice_hu: NDArray[np.int16] | None


@dataclass(frozen=True, kw_only=True)
class Member:
    """One model of an instrument: both stages, the decisions that were fitted on its scores, and the scale of heat."""

    encoder: WindowEncoder
    classifier: SequenceClassifier
    decisions: Decisions
    heat_scale: HeatScale = field(default_factory=HeatScale)


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """All that predicts studies.

    Attributes:
        members: models of one input; their calibrated probabilities are averaged.
        preprocess: from a DICOM series to the lung box that they were trained on.
        windows: how the box is cut, and what its channels are.
        input_px: side of the windows that stage 1 sees.
        out_of_distribution: None where nothing was fitted.
        seen: `seen_token` of each study that the model was made with.
        name: of the model, for people.
        version: of the model, for people.
        digest: identity; two instruments of one digest give the same answers.
        lineage: digests of what it was made from, by name.
        batch_size: windows that stage 1 sees at once, about; a window's last bits can depend on it.
        precision: of stage 1.
    """

    members: tuple[Member, ...]
    preprocess: PreprocessConfig
    windows: WindowsConfig
    input_px: int
    out_of_distribution: OutOfDistribution | None
    seen: frozenset[str]
    name: str
    version: str
    digest: str
    lineage: dict[str, str]
    batch_size: int = 32
    precision: Asked = "auto"

    @property
    def model(self) -> Model:
        """Return who answers."""
        return Model(name=self.name, version=self.version, digest=self.digest)

    def load(self) -> Self:
        """Return the instrument, as a bundle that isn't loaded yet does: see `pectl.steps.predict_studies`."""
        return self

    def predict(
        self,
        source: Path | str,
        *,
        device: DeviceName = "auto",
        stated: Stated = Stated(),  # noqa: B008 - frozen
    ) -> Prediction:
        """Predict the one study in a folder, file, archive or study store; a study that can't be used is refused.

        Args:
            source: where the study is; `pectl.steps.predict_studies` takes several.
            device: where to compute.
            stated: spacing and values of a volume that isn't DICOM, where its file lacks them.

        Raises:
            InputMissingError: no such source, or not one study inside.
            LineageError: a study store of other preprocessing.
            StoreError: the disk is full.
        """
        from pectl.inference.reading import read_one_study

        read = read_one_study(Given((Path(source),), stated), self.preprocess, model=self.name)
        return self.answer(read.verdict, read.study, self.engine(device)).prediction

    def engine(self, device: DeviceName, asked: Asked | None = None, *, local_rank: int = 0) -> Engine:
        """Return where and how precisely stage 1 computes.

        Args:
            device: where to compute.
            asked: instead of the instrument's own precision.
            local_rank: which of a machine's processes this is; each takes its own GPU.

        Raises:
            DeviceError: no GPU where one is asked for, or one that lacks the precision.
        """
        length, px = self.windows.length, self.input_px
        encoder = self.members[0].encoder
        return encoder_engine(device, asked or self.precision, encoder, length=length, px=px, local_rank=local_rank)

    def answer(self, verdict: Verdict, study: Study | None, engine: Engine) -> Answered:
        """Predict a study as the intake has left it.

        Args:
            verdict: of the intake.
            study: None where it is refused.
            engine: where to compute.
        """
        if study is not None and len(study.hu) < self.windows.length:
            detail = f"{len(study.hu)} slices of {study.spacing_mm[0]:g} mm, windows of {self.windows.length}"
            verdict, study = verdict.refused_for("too_short", detail), None
        if study is None:
            return Answered(self._prediction(verdict, "refused"), None)
        encoded = [self._encoder(member, engine).encode(study) for member in self.members]
        scores = [score_study(one.classifier.to(engine.device), seen) for one, seen in self._with(encoded)]
        found = answer_study(scores, [member.decisions for member in self.members])
        images = zip(study.source.sop_instance_uid, found.image_score, found.image_consistent, strict=True)
        hottest = _hottest(study, found.image_score)
        prediction = replace(
            self._prediction(verdict, found.state),
            answers=found.labels,
            images=tuple(
                ImageAnswer(sop_instance_uid=str(uid), score=float(score), consistent=float(consistent))
                for uid, score, consistent in images
            ),
            hottest=str(study.source.sop_instance_uid[hottest]),
            unlike=self._unlike(study, encoded[0].features),
        )
        return Answered(prediction, study.hu[study.source.grid_index[hottest]])

    def _encoder(self, member: Member, engine: Engine) -> StudyEncoder:
        return StudyEncoder(
            model=member.encoder,
            windows=self.windows,
            input_px=self.input_px,
            batch_size=self.batch_size,
            engine=engine,
        )

    def _with(self, encoded: Sequence[StudySequence]) -> Iterator[tuple[Member, StudySequence]]:
        return zip(self.members, encoded, strict=True)

    def _prediction(self, verdict: Verdict, state: State) -> Prediction:
        return Prediction(
            study=verdict.study,
            series=verdict.series,
            state=state,
            findings=verdict.findings,
            model=self.model,
            seen=seen_token(verdict.study) in self.seen,
        )

    def _unlike(self, study: Study, features: NDArray[np.float32]) -> tuple[str, ...]:
        """Say why a study is unlike those the model was made with; the first member's features are looked at."""
        judge = self.out_of_distribution
        if judge is None:
            return unusual_findings(study.flags)
        far = ("features far from those of training",) if judge.flag(features) else ()
        return (*far, *judge.findings(study.flags, study.slice_step_mm))


def _hottest(study: Study, score: NDArray[np.float64]) -> int:
    """Return the original slice of the highest score, as place in `Study.source`; it lies in the lung box.

    Of equals, as several slices of one grid slice are, the last: the one that consistency takes for the study's PE.
    """
    inside = np.flatnonzero(study.source.grid_index >= 0)[::-1]
    return int(inside[score[inside].argmax()])


def seen_token(uid: str) -> str:
    """Return what stands for a study among those a model was made with: a digest of its StudyInstanceUID.

    A salted and slow one (PBKDF2), so that who has the model can't find the UIDs by trying those that could be.
    """
    return hashlib.pbkdf2_hmac("sha256", uid.encode(), _SEEN_SALT, _SEEN_ROUNDS, _SEEN_BYTES).hex()


def seen_tokens(uids: Iterable[str]) -> frozenset[str]:
    """Return the tokens of studies."""
    return frozenset(map(seen_token, uids))


def instrument_of_runs(stage1: Path, stage2: Path) -> Instrument:
    """Build an instrument of one finished run of each training.

    Args:
        stage1: a run of train-stage1; how it was configured to extract features is how it will see studies.
        stage2: a run of train-stage2 on its features.

    Raises:
        StoreError: a folder isn't a finished run, or a file of it is damaged.
        LineageError: the runs don't belong to each other.
    """
    run1, described = read_run(stage1, stage="stage1")
    run2, _ = read_run(stage2, stage="stage2")
    decisions = Decisions.from_json(read_json(stage2 / "decisions.json", made_by="pectl train-stage2"))
    windows = WindowsConfig.of_run(described["windows"])
    features = feature_digest(store=run1.made_from["study_store"], stage1=run1.digest, windows=windows.digest())
    check_lineage(where=stage2, expected=features, found=run2.made_from["features"], what=f"features of {stage1}:")
    trained = load_config(stage1 / "config.toml", [])
    lineage = {**run1.made_from, "stage1": run1.digest, "features": features, "stage2": run2.digest}
    member = Member(
        encoder=load_stage1(best_model(stage1)),
        classifier=load_stage2(best_model(stage2)),
        decisions=decisions,
        heat_scale=read_heat_scale(stage2),
    )
    return Instrument(
        members=(member,),
        preprocess=trained_preprocess(stage1, trained.preprocess, lineage["study_store"]),
        windows=windows,
        input_px=described["input_px"],
        out_of_distribution=None,
        seen=seen_tokens(made_with(stage1) | made_with(stage2)),
        name=stage2.resolve().name,
        version=run2.package_version,
        digest=digest_of("instrument", run1.digest, run2.digest),
        lineage=lineage,
        batch_size=trained.stage1.extract_batch_size,
        precision=trained.stage1.extract_precision,
    )


def read_heat_scale(stage2: Path) -> HeatScale:
    """Return the scale of heat that a run holds; an empty one where it has none, or was trained anew since.

    Raises:
        StoreError: the folder isn't a finished run, or what it holds isn't such.
    """
    path = stage2 / HEAT_SCALE
    if not path.exists():
        return HeatScale()
    weights = _weights(stage2)
    try:
        content = read_json(path, made_by=HEAT_SCALE_BY)
        return HeatScale.from_json(content.get("references")) if content.get("made_from") == weights else HeatScale()
    except StoreError as error:
        raise StoreError(
            where=path,
            expected="references of heat as pectl writes them",
            found=error.found,
            fix=f"delete it, and measure them again with {HEAT_SCALE_BY}",
        ) from error


def write_heat_scale(stage2: Path, scale: HeatScale) -> None:
    """Keep the scale of heat in a run, with the digest of the weights that it was measured with."""
    content = {"use": RESEARCH_USE, "made_from": _weights(stage2), "references": scale.to_json()}
    write_json(stage2 / HEAT_SCALE, content)


def _weights(stage2: Path) -> dict[str, str]:
    """Return the digests of a run and of the features it was trained on, which follow from stage 1's weights."""
    run, _ = read_run(stage2, stage="stage2")
    return {"features": run.made_from["features"], "stage2": run.digest}


def trained_preprocess(stage1: Path, section: PreprocessConfig, store: str) -> PreprocessConfig:
    """Return the preprocessing of a run, once it is sure that its store was made with it.

    Raises:
        LineageError: `config.toml` of the run says another one than its store was made with.
    """
    what = "the [preprocess] section of study store"
    check_lineage(where=stage1 / "config.toml", expected=store, found=store_digest(section), what=what)
    return section


def made_with(run: Path) -> frozenset[str]:
    """Return the studies that a run was made with, read from its `splits.csv`.

    Raises:
        StoreError: the run has no such table.
    """
    path = run / "splits.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return frozenset(row[STUDY] for row in csv.DictReader(file) if row["split"] in TRAINED)
    except (OSError, KeyError) as error:
        raise StoreError(
            where=path,
            expected="the splits that the run was trained with",
            found=f"no such table ({error})",
            fix="train the run again",
        ) from error
