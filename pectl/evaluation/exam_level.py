"""Measures of whole studies: the nine exam labels, PE present, and PE present in subgroups."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pectl.config import EvaluateConfig
from pectl.core.decisions.conformal import AbstainBand
from pectl.core.decisions.decisions import Decisions, aligned_truth
from pectl.core.labels.names import ALL_STUDIES, EXAM_LABELS, PE_PRESENT
from pectl.core.labels.predictions import (
    Indeterminate,
    Predictions,
    RvLv,
    as_competition,
    competition_truth,
    pe_score,
    pe_truth,
)
from pectl.core.statistics.bootstrap import IntArray, Weights
from pectl.core.statistics.metrics import Confusion
from pectl.evaluation.measure import Json, Units, jsonable, measure_decided
from pectl.evaluation.subgroups import attributes, subgroups

_OTHER_WAY: Mapping[str, tuple[Indeterminate, str]] = {
    "exclude": ("as-negative", "pe_present_as_negative"),
    "as-negative": ("exclude", "pe_present_excluded"),
}


@dataclass(frozen=True)
class Patients:
    """Whose studies exams are: `of_study` (n,) is a row of the `weights` (C, R) of a bootstrap over patients."""

    of_study: IntArray
    weights: Weights


@dataclass(frozen=True)
class JudgedExams:
    """Exam predictions beside their truth; every table has the index StudyInstanceUID in the same order.

    Attributes:
        raw: the nine labels and `pe_present`, as the model gives them.
        calibrated: the same, calibrated.
        truth: the nine labels, 0, 1 or NaN.
        rv_lv: what the RV/LV columns of `raw` and `calibrated` mean.
        studies: all that is known of the studies: QA labels, scanner and so on.
        patients: whose they are, where a patient has several; None where each stands for itself.
    """

    raw: pd.DataFrame
    calibrated: pd.DataFrame
    truth: pd.DataFrame
    studies: pd.DataFrame
    rv_lv: RvLv
    patients: Patients | None = None

    @property
    def answers(self) -> pd.DataFrame:
        """The calibrated labels as the competition means them."""
        return as_competition(self.calibrated, self.rv_lv)

    @property
    def one_ratio(self) -> bool:
        """Whether the two RV/LV labels are one answer given PE, so that those of `answers` sum to P(PE)."""
        return self.rv_lv == "given-pe"

    def units_of_all_studies(self, name: str) -> Units:
        """Return an RV/LV label in all studies, absent where there is no PE."""
        meant = replace(self, raw=as_competition(self.raw, self.rv_lv), calibrated=self.answers)
        return meant.units(name, competition_truth(self.truth)[name])

    def units(self, name: str, truth: pd.Series) -> Units:
        """Return the studies whose `truth` is known, with the scores of the label `name`."""
        known = truth.notna().to_numpy()
        columns = (truth, self.raw[name], self.calibrated[name])
        label, raw, calibrated = (column.to_numpy(np.float64)[known] for column in columns)
        if self.patients is None:
            return Units(label == 1, raw, calibrated)
        return Units(label == 1, raw, calibrated, self.patients.of_study[known], self.patients.weights)


def judged_exams(predictions: Predictions, truth: pd.DataFrame, decisions: Decisions) -> JudgedExams:
    """Put calibrated predictions beside their truth.

    Raises:
        PredictionsError: a predicted study has no row in `truth`.
    """
    exam = predictions.exam
    return JudgedExams(
        raw=exam.assign(**{PE_PRESENT: pe_score(exam)}),
        calibrated=decisions.calibrated(exam, predictions.rv_lv),
        truth=aligned_truth(exam, truth),
        studies=truth.loc[exam.index],
        rv_lv=predictions.rv_lv,
    )


def exam_level(exams: JudgedExams, decisions: Decisions, config: EvaluateConfig) -> Json | None:
    """Measure the nine labels and PE present, the latter both ways of counting indeterminate studies.

    RV/LV labels are measured where they are defined, in studies with PE, and under `_all_studies` in all.
    """
    if exams.raw.empty:
        return None
    other_way, other_name = _OTHER_WAY[config.indeterminate]
    columns = {name: (name, exams.truth[name]) for name in EXAM_LABELS}
    columns[PE_PRESENT] = (PE_PRESENT, pe_truth(exams.truth, config.indeterminate))
    columns[other_name] = (PE_PRESENT, pe_truth(exams.truth, other_way))
    units = {key: (name, exams.units(name, truth)) for key, (name, truth) in columns.items()}
    units |= {key: (key, exams.units_of_all_studies(name)) for key, name in ALL_STUDIES.items()}
    blocks = {key: measure_decided(found, decisions, name, config) for key, (name, found) in units.items()}
    for key in (PE_PRESENT, other_name):
        blocks[key] |= _at_prevalence(blocks[key], config.prevalence)
        blocks[key] |= {"band": None if decisions.split is None else _banded(units[key][1], decisions.band)}
    return blocks


def exam_subgroups(
    exams: JudgedExams, image: pd.DataFrame | None, decisions: Decisions, config: EvaluateConfig
) -> list[Json]:
    """Measure PE present in subgroups of the studies."""
    truth = pe_truth(exams.truth, config.indeterminate)
    known = attributes(exams.studies[truth.notna()], image)
    threshold = decisions.thresholds[PE_PRESENT].value
    units = exams.units(PE_PRESENT, truth)
    return subgroups(units, known, threshold=threshold, confidence=config.confidence)


def _at_prevalence(block: Json, prevalence: float | None) -> Json:
    """Return PPV and NPV at the prevalence that the configuration asks for, if any."""
    if prevalence is None:
        return {}
    ppv, npv = Confusion(**block["confusion"]).predictive_values_at(prevalence)
    return {
        "prevalence": prevalence,
        "ppv_at_prevalence": jsonable(ppv),
        "npv_at_prevalence": jsonable(npv),
    }


def _banded(units: Units, band: AbstainBand) -> Json:
    """Count what the frozen abstain band makes of the studies: ruled out, no answer, ruled in."""
    out, called = band.called_negative(units.probability), band.called_positive(units.probability)
    groups = {"with_pe": units.label, "without_pe": ~units.label}
    return {
        "rule_out": band.rule_out,
        "rule_in": band.rule_in,
        "miss_rate_bound": band.miss_rate,
        "false_alarm_rate_bound": band.false_alarm_rate,
        "miss_rate_sure": band.miss_rate_sure,
        "false_alarm_rate_sure": band.false_alarm_rate_sure,
    } | {
        name: {
            "ruled_out": int((out & of).sum()),
            "no_answer": int((~out & ~called & of).sum()),
            "ruled_in": int((called & of).sum()),
        }
        for name, of in groups.items()
    }
