"""What a site's own `calibrate` would change, cross-fitted: no study is judged by what was fitted on its patient."""

from dataclasses import replace

import numpy as np
import pandas as pd

from pectl.config import EvaluateConfig
from pectl.core.decisions.decisions import fit_decisions
from pectl.core.labels.names import PE_PRESENT
from pectl.core.labels.predictions import EXTERNAL, Predictions, pe_truth
from pectl.core.statistics.bootstrap import IntArray
from pectl.core.statistics.ranking import BoolArray
from pectl.core.statistics.recalibration import recalibration
from pectl.evaluation.exam_level import JudgedExams
from pectl.evaluation.measure import Json, jsonable, measure

FOLDS = 5
_SHARES = ("sensitivity", "specificity", "ppv", "npv")


def local_calibration(exams: JudgedExams, config: EvaluateConfig, *, seed: int) -> Json:
    """Judge PE present by thresholds and calibrators that were fitted at the site, on the other folds.

    Returns:
        Shares with intervals, calibration, the threshold of each fold, and `reason` where it can't be done. Fitted
        and judged on the same studies these figures would be optimistic; so are they as a promise for another site.
    """
    truth = pe_truth(exams.truth, config.indeterminate)
    folds = _folds(truth.to_numpy() == 1, pd.factorize(exams.studies["patient_group"])[0], seed)
    if folds is None:
        return {"folds": 0, "reason": "fewer than two patients of either class"}
    probability, called = np.zeros(len(truth)), np.zeros(len(truth))
    thresholds = []
    for fold in range(int(folds.max()) + 1):
        others, here = folds != fold, folds == fold
        fitted = fit_decisions(_predictions(exams, others), exams.truth[others], config)
        threshold = fitted.thresholds[PE_PRESENT].value
        probability[here] = fitted.calibrated(exams.raw[here], exams.rv_lv)[PE_PRESENT].to_numpy()
        called[here] = probability[here] >= threshold
        thresholds.append(threshold)
    units = exams.units(PE_PRESENT, truth)
    block = measure(replace(units, probability=called), threshold=0.5, confidence=config.confidence)
    fit = recalibration(units.label, probability, config.confidence, units.study)
    return {
        "folds": len(thresholds),
        "reason": None,
        "thresholds": thresholds,
        **{key: block[key] for name in _SHARES for key in (name, f"{name}_ci")},
        "confusion": block["confusion"],
        "in_the_large": jsonable(fit.in_the_large),
        "in_the_large_ci": jsonable(fit.in_the_large_interval),
        "slope": jsonable(fit.slope),
        "slope_ci": jsonable(fit.slope_interval),
    }


def _folds(label: BoolArray, patient: IntArray, seed: int) -> IntArray | None:
    """Return the fold of each study (n,): patients stay together, and each class is spread; None if it can't be."""
    from sklearn.model_selection import StratifiedGroupKFold  # seconds of imports

    fewest = min(len(np.unique(patient[label])), len(np.unique(patient[~label])))
    if fewest < 2:
        return None
    parts = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=seed).split(label, label, patient)
    folds = np.zeros(label.size, np.intp)
    for number, (_, here) in enumerate(parts):
        folds[here] = number
    return folds


def _predictions(exams: JudgedExams, chosen: BoolArray) -> Predictions:
    return Predictions(split=EXTERNAL, exam=exams.raw[chosen], rv_lv=exams.rv_lv)
