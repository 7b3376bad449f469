"""A site of an external validation: every study it met, what became of it, and what the frozen model says of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pectl.config import EvaluateConfig
from pectl.core.decisions.decisions import Decisions
from pectl.core.decisions.thresholds import Threshold
from pectl.core.labels.names import EXAM_LABELS, INDETERMINATE
from pectl.core.labels.predictions import pe_truth
from pectl.core.statistics.bootstrap import study_weights
from pectl.evaluation.exam_level import JudgedExams, Patients

ANALYSED = "analysed"
OVERLAPS = ("trained_on", "declared_overlap", "near_identical")
"""Outcomes of studies that the model may have been made with."""
OUTCOMES = ("unreadable", "excluded", *OVERLAPS, "unlabelled", INDETERMINATE, ANALYSED)
"""What can become of a study; of several the first is said."""


@dataclass(frozen=True)
class SiteData:
    """A site as it is judged.

    Attributes:
        name: of the site.
        studies: a row for every study that the site's store met, by StudyInstanceUID: `outcome` (of `OUTCOMES`),
            `code` of the intake, `state` and `unlike` of the prediction, `patient_group`, `flags`, the nine labels
            (0, 1 or NaN), and properties that `attributes` knows.
        score: the nine labels and `pe_present` of the predicted studies, as the model gives them.
        probability: the same, calibrated.
        decisions: frozen thresholds and abstain band.
    """

    name: str
    studies: pd.DataFrame
    score: pd.DataFrame
    probability: pd.DataFrame
    decisions: Decisions

    def judged(self, outcomes: Sequence[str], config: EvaluateConfig, seed: int) -> JudgedExams:
        """Return the studies of these outcomes; a bootstrap over patients stands ready where one has several."""
        chosen = self.studies[self.studies["outcome"].isin(outcomes)]
        return JudgedExams(
            raw=self.score.loc[chosen.index],
            calibrated=self.probability.loc[chosen.index],
            truth=chosen[list(EXAM_LABELS)].astype(np.float64),
            studies=chosen,
            rv_lv="given-pe",
            patients=_patients(chosen["patient_group"], config, seed),
        )


def _patients(group: "pd.Series[str]", config: EvaluateConfig, seed: int) -> Patients | None:
    """Return whose the studies are; None where each is of another patient."""
    patient, names = pd.factorize(group)
    if len(names) == len(group):
        return None
    return Patients(patient, study_weights(len(names), replicates=config.bootstrap_replicates, seed=seed))


def outcomes(studies: pd.DataFrame, config: EvaluateConfig) -> "pd.Series[str]":
    """Say what becomes of each study.

    Args:
        studies: by StudyInstanceUID, with bool columns `unreadable`, `refused`, `seen` (the model was made with it),
            `declared` (it comes from a set that the model was made with) and `near` (its volume is nearly that of a
            training study), and the nine labels.
        config: how indeterminate studies count.
    """
    truth = pe_truth(studies[list(EXAM_LABELS)], config.indeterminate)
    left_out = (studies[INDETERMINATE] == 1) & truth.isna()
    conditions = {
        "unreadable": studies["unreadable"],
        "excluded": studies["refused"],
        "trained_on": studies["seen"],
        "declared_overlap": studies["declared"],
        "near_identical": studies["near"],
        INDETERMINATE: left_out,
        "unlabelled": truth.isna(),
    }
    found = np.select([one.to_numpy(np.bool_) for one in conditions.values()], list(conditions), default=ANALYSED)
    return pd.Series(found, index=studies.index, name="outcome", dtype=object)


def frozen(members: Sequence[Decisions]) -> Decisions:
    """Return what decides on the mean answers of an instrument's members: the mean of their thresholds and bands.

    Calibrators aren't used: the answers are calibrated, each member's by its own.
    """
    first, *others = members
    if not others:
        return first
    means = {
        name: Threshold(
            float(np.mean([one.thresholds[name].value for one in members])), f"mean of {len(members)}: {threshold.rule}"
        )
        for name, threshold in first.thresholds.items()
    }
    rule_out, rule_in = (
        float(np.mean([getattr(one.band, side) for one in members])) for side in ("rule_out", "rule_in")
    )
    return replace(first, thresholds=means, band=replace(first.band, rule_out=rule_out, rule_in=rule_in))
