"""The frozen decisions of a model: calibrators and thresholds, fitted on validation and stored as JSON."""

from __future__ import annotations  # pandas is imported by who has tables

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pectl.config import EvaluateConfig
from pectl.core.decisions.calibration import Calibrator, fit_calibrator
from pectl.core.decisions.conformal import AbstainBand, fit_band
from pectl.core.decisions.image_fusion import ImageFusion, fit_image_fusion, within_box
from pectl.core.decisions.thresholds import Threshold, fit_threshold
from pectl.core.labels.names import ALL_STUDIES, EXAM_LABELS, IMAGE, PE_PRESENT, RV_LV_GTE_1, RV_LV_LT_1, STUDY, UNKNOWN
from pectl.core.labels.predictions import (
    EXTERNAL,
    Predictions,
    RvLv,
    as_competition,
    competition_truth,
    pe_score,
    pe_truth,
)
from pectl.core.statistics.logistic import FloatArray
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.errors import LineageError, PredictionsError, StoreError

if TYPE_CHECKING:
    import pandas as pd

EXAM_NAMES = (*EXAM_LABELS, PE_PRESENT)
WINDOW_SCORE, STAGE1_SCORE, IMAGE_SCORE = "window", "window_stage1", "image"
_ALL_NAMES = (*EXAM_NAMES, *ALL_STUDIES, WINDOW_SCORE, STAGE1_SCORE, IMAGE_SCORE)
_ONE_RATIO = f"not fitted: given PE it is 1 - {RV_LV_GTE_1}"
T = TypeVar("T")


def _same_for(names: tuple[str, ...], value: T) -> dict[str, T]:
    return dict.fromkeys(names, value)


@dataclass(frozen=True)
class Decisions:
    """Calibrators of the exam labels and `pe_present`, how images are scored, thresholds of all and of windows.

    Exam thresholds and the band of `pe_present` apply to calibrated probabilities, window and image
    thresholds to scores.
    `split` is None where nothing was fitted. `studies` are those that were fitted on. `made_from` says of which
    model's predictions, where that isn't plain from the run they lie in.
    """

    split: str | None = None
    split_fingerprint: str = ""
    studies: tuple[str, ...] = ()
    calibrators: Mapping[str, Calibrator] = field(default_factory=lambda: _same_for(EXAM_NAMES, Calibrator()))
    thresholds: Mapping[str, Threshold] = field(default_factory=lambda: _same_for(_ALL_NAMES, Threshold()))
    band: AbstainBand = field(default_factory=AbstainBand)
    image_fusion: ImageFusion = field(default_factory=ImageFusion)
    made_from: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_studies(self) -> int:
        """How many studies it was fitted on."""
        return len(self.studies)

    def calibrated(self, exam: pd.DataFrame, rv_lv: RvLv = "with-pe") -> pd.DataFrame:
        """Return the calibrated nine labels of `exam`, and `pe_present` (from the raw scores).

        Args:
            exam: the nine labels, and `pe_present` where the model says it itself.
            rv_lv: what its RV/LV columns mean; those given PE sum to one, before and after.
        """
        import pandas as pd

        raw = exam.assign(**{PE_PRESENT: pe_score(exam)})
        found = self.probabilities({name: raw[name].to_numpy(np.float64) for name in EXAM_NAMES}, rv_lv)
        return pd.DataFrame(found, index=exam.index)

    def probabilities(self, score: Mapping[str, FloatArray], rv_lv: RvLv) -> dict[str, FloatArray]:
        """Return the calibrated scores (n,) of the nine labels and `pe_present`, by name.

        The two RV/LV labels are one question. Given PE one of them holds, so one calibrator answers for both, and they
        sum to one.
        """
        found = {name: self.calibrators[name].apply(score[name]) for name in EXAM_NAMES}
        return found if rv_lv == "with-pe" else found | {RV_LV_LT_1: 1 - found[RV_LV_GTE_1]}

    def scored(self, predictions: Predictions) -> Predictions:
        """Return the predictions with the `score` of each image; a table of any model has brought its own."""
        image, logits = predictions.image, predictions.image_logits
        if image is None or logits is None:
            return predictions
        scored = image.assign(score=self.image_fusion.apply(logits))
        return replace(predictions, image=scored[[STUDY, IMAGE, "score", "label"]])

    def check_not_fitted_on(self, predictions: Predictions) -> None:
        """Refuse to judge a model on the data that its decisions were fitted on; another cohort may be judged.

        Raises:
            PredictionsError: the same split, or a study that was fitted on.
        """
        if self.split is None:
            return
        same_split = self.split == predictions.split != EXTERNAL
        seen = sorted(set(self.studies) & set(predictions.uids()))
        if same_split or seen:
            shared = f"; {len(seen)} of them are here, such as {', '.join(seen[:3])}" if seen else ""
            raise PredictionsError(
                where=f"split {predictions.split!r}",
                expected="studies that the decisions weren't fitted on",
                found=f"they were fitted on {self.n_studies} studies of {self.split!r}{shared}",
                fix="evaluate other studies, or fit the decisions on others",
            )

    def check_fitted_for(self, stage2: str | None) -> None:
        """Refuse to decide on the scores of one model by what was fitted on another's.

        Args:
            stage2: digest of the run whose predictions are judged; None for a table of any model.

        Raises:
            LineageError: fitted on another run, or on a table for a run, or the other way round.
        """
        fitted_on = self.made_from.get("stage2")
        if self.made_from and fitted_on != stage2:
            raise LineageError(
                where="decisions",
                expected=f"some that were fitted on predictions of {_model(stage2)}",
                found=f"{_model(fitted_on)} at their fitting",
                fix="run pectl calibrate with this model's predictions",
            )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "use": RESEARCH_USE,
            "split": self.split,
            "split_fingerprint": self.split_fingerprint,
            "studies": list(self.studies),
            "calibrators": {name: item.to_json() for name, item in self.calibrators.items()},
            "thresholds": {name: item.to_json() for name, item in self.thresholds.items()},
            "band": self.band.to_json(),
            "image_fusion": self.image_fusion.to_json(),
            "made_from": dict(self.made_from),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decisions:
        """Read what `to_json` wrote.

        Raises:
            StoreError: keys are missing, or unknown.
        """
        try:
            calibrators = {name: Calibrator.from_json(data["calibrators"][name]) for name in EXAM_NAMES}
            thresholds = {name: Threshold.from_json(data["thresholds"][name]) for name in _ALL_NAMES}
            band = AbstainBand.from_json(data["band"])
            fusion = ImageFusion.from_json(data["image_fusion"])
            parts = {key: value for key, value in data.items() if key != "use"}
            fitted = {"calibrators": calibrators, "thresholds": thresholds, "band": band, "image_fusion": fusion}
            return cls(**parts | fitted | {"studies": tuple(parts["studies"])})
        except (KeyError, TypeError) as error:
            raise StoreError(
                where="decisions",
                expected="calibrators and thresholds as pectl writes them",
                found=repr(error),
                fix="make them again with this version of pectl: a run's by extract-features, then train-stage2",
            ) from error


def fit_decisions(predictions: Predictions, truth: pd.DataFrame, config: EvaluateConfig) -> Decisions:
    """Fit calibrators, the scores of images and thresholds on validation predictions.

    Args:
        predictions: of the validation split; windows and images carry their labels.
        truth: exam labels, index StudyInstanceUID, the nine columns 0, 1 or NaN (unknown or not defined).
        config: calibration, threshold rule and target.

    RV/LV calibrators are fitted where the scores mean something: in studies with PE if they are probabilities
    given PE, else in all. Given PE, the calibrator of RV/LV >= 1 serves RV/LV < 1 too. A label with one class only
    keeps the identity and 0.5, with the reason.

    Raises:
        PredictionsError: a predicted study has no row in `truth`.
    """
    fusion = _fit_image_fusion(predictions)
    predictions = Decisions(image_fusion=fusion).scored(predictions)
    exam = predictions.exam
    truth = aligned_truth(exam, truth)
    raw = exam.assign(**{PE_PRESENT: pe_score(exam)})
    truth = truth.assign(**{PE_PRESENT: pe_truth(truth, config.indeterminate)})
    meant = competition_truth(truth) if predictions.rv_lv == "with-pe" else truth
    calibrators = {name: _fit_one_calibrator(meant[name], raw[name], config) for name in EXAM_NAMES}
    if predictions.rv_lv == "given-pe":
        calibrators[RV_LV_LT_1] = Calibrator(reason=_ONE_RATIO)
    calibrated = Decisions(calibrators=calibrators).calibrated(exam, predictions.rv_lv)
    thresholds = {name: _fit_one_threshold(truth[name], calibrated[name], config) for name in EXAM_NAMES}
    answers, everywhere = as_competition(calibrated, predictions.rv_lv), competition_truth(truth)
    thresholds |= {
        key: _fit_one_threshold(everywhere[name], answers[name], config) for key, name in ALL_STUDIES.items()
    }
    return Decisions(
        split=predictions.split,
        split_fingerprint=predictions.split_fingerprint,
        studies=tuple(predictions.uids()),
        calibrators=calibrators,
        thresholds=thresholds | _fit_unit_thresholds(predictions, config),
        band=_fit_band(truth[PE_PRESENT], calibrated[PE_PRESENT], config),
        image_fusion=fusion,
    )


def _model(stage2: str | None) -> str:
    return "a table" if stage2 is None else f"the stage 2 run {stage2}"


def aligned_truth(exam: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Return the nine columns of `truth` in the order of the predicted studies.

    Raises:
        PredictionsError: a predicted study has no row in `truth`.
    """
    unlabelled = exam.index.difference(truth.index)
    if len(unlabelled):
        raise PredictionsError(
            where="labels",
            expected=f"a row for each of the {len(exam)} predicted studies",
            found=f"none for {len(unlabelled)}, such as {', '.join(unlabelled[:3])}",
            fix="give the labels of these studies, or leave out their predictions",
        )
    return truth.loc[exam.index, list(EXAM_LABELS)].astype(np.float64)


def _fit_image_fusion(predictions: Predictions) -> ImageFusion:
    """Fit on the images in the lung box whose label is known."""
    image, logits = predictions.image, predictions.image_logits
    if image is None or logits is None:
        return ImageFusion(reason="not fitted: no logits of images on validation")
    label = image["label"].to_numpy()
    known = within_box(logits) & (label != UNKNOWN)
    return fit_image_fusion(label[known] == 1, logits[known])


def _fit_one_calibrator(truth: pd.Series, score: pd.Series, config: EvaluateConfig) -> Calibrator:
    known = truth.notna().to_numpy()
    return fit_calibrator(_positive(truth, known), _scores(score, known), config.calibration)


def _fit_one_threshold(truth: pd.Series, score: pd.Series, config: EvaluateConfig) -> Threshold:
    known = truth.notna().to_numpy()
    label, values = _positive(truth, known), _scores(score, known)
    return fit_threshold(label, values, rule=config.threshold_rule, target=config.target)


def _fit_band(truth: pd.Series, score: pd.Series, config: EvaluateConfig) -> AbstainBand:
    known = truth.notna().to_numpy()
    label, values = _positive(truth, known), _scores(score, known)
    rates = {"miss_rate": config.miss_rate, "false_alarm_rate": config.false_alarm_rate}
    return fit_band(label, values, **rates)


def _fit_unit_thresholds(predictions: Predictions, config: EvaluateConfig) -> dict[str, Threshold]:
    """Fit the thresholds of windows (both stages) and images."""
    sources = {
        WINDOW_SCORE: (predictions.window, "score"),
        STAGE1_SCORE: (predictions.window, "stage1_score"),
        IMAGE_SCORE: (predictions.image, "score"),
    }
    return {name: _fit_unit_threshold(part, column, config) for name, (part, column) in sources.items()}


def _fit_unit_threshold(part: pd.DataFrame | None, column: str, config: EvaluateConfig) -> Threshold:
    if part is None:
        return Threshold(reason="not fitted: no such predictions on validation")
    truth = part["label"].astype(np.float64).replace(float(UNKNOWN), np.nan)
    return _fit_one_threshold(truth, part[column], config)


def _positive(truth: pd.Series, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(truth.to_numpy(np.float64)[known] == 1, np.bool_)


def _scores(score: pd.Series, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    return score.to_numpy(np.float64)[known]
