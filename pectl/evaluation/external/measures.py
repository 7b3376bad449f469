"""One site by itself: the flow of its studies, and what the frozen model's answers are worth there."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from pectl.config import EvaluateConfig
from pectl.core.labels.names import PE_PRESENT
from pectl.core.labels.predictions import pe_truth
from pectl.core.statistics.delong import auc_covariance
from pectl.core.statistics.intervals import wilson
from pectl.core.statistics.recalibration import recalibration
from pectl.evaluation.exam_level import JudgedExams, exam_level
from pectl.evaluation.external.local import local_calibration
from pectl.evaluation.external.sites import ANALYSED, OUTCOMES, OVERLAPS, SiteData
from pectl.evaluation.measure import Json, Units, jsonable
from pectl.evaluation.subgroups import Attribute, attributes, subgroups

_LIKE, _UNLIKE = "like training", "unlike training"


def measure_site(site: SiteData, config: EvaluateConfig, *, seed: int) -> Json:
    """Measure a site: everything is frozen but `local`, which says so.

    Studies that the model may have been made with are left out; `with_overlap` has PE present with them too.
    """
    exams = site.judged([ANALYSED], config, seed)
    units = exams.units(PE_PRESENT, pe_truth(exams.truth, config.indeterminate))
    blocks = exam_level(exams, site.decisions, config)
    return {
        "flow": flow(site.studies, config),
        "kind": _kind(units),
        "prevalence": _prevalence(units, config.confidence),
        "patients": int(exams.studies["patient_group"].nunique()),
        "intervals_by": "study" if exams.patients is None else "patient",
        "exam": blocks,
        "logit_auroc": _logit_auroc(units),
        "calibration": _calibration(units, config.confidence),
        "subgroups": _subgroups(exams, units, site, config),
        "local": local_calibration(exams, config, seed=seed),
        "with_overlap": _with_overlap(site, config, seed),
        "reference": _reference(site.studies),
    }


def flow(studies: pd.DataFrame, config: EvaluateConfig) -> Json:
    """Count what became of every study of a site, and of those analysed how the model took them."""
    count = Counter(studies["outcome"])
    analysed = studies[studies["outcome"] == ANALYSED]
    truth = pe_truth(analysed, config.indeterminate)
    refused = studies[studies["outcome"].isin(["unreadable", "excluded"])]
    return {
        "eligible": len(studies),
        "predicted": len(studies) - len(refused),
        **{name: count[name] for name in OUTCOMES},
        "codes": {str(code): int(n) for code, n in refused["code"].value_counts().sort_index().items()},
        "with_pe": int((truth == 1).sum()),
        "without_pe": int((truth == 0).sum()),
        "abstained": int((analysed["state"] == "undecided").sum()),
        "out_of_distribution": int((analysed["unlike"] != "").sum()),
    }


def _kind(units: Units) -> str:
    n_positive = int(units.label.sum())
    if units.label.size == 0:
        return "nothing to analyse"
    return {0: "no PE", units.label.size: "PE alone"}.get(n_positive, "both classes")


def _prevalence(units: Units, confidence: float) -> Json:
    n, n_positive = units.label.size, int(units.label.sum())
    return {
        "value": n_positive / n if n else None,
        "ci": jsonable(wilson(n_positive, n, confidence)),
        "n": n,
        "n_positive": n_positive,
    }


def _logit_auroc(units: Units) -> Json:
    """Return the site's contribution to a summary: logit AUROC and its variance, or why there is none."""
    n_positive = int(units.label.sum())
    if n_positive in (0, units.label.size):
        return {"value": None, "variance": None, "reason": f"{n_positive} of {units.label.size} studies have PE"}
    found = auc_covariance(units.label, units.score[None], units.study)
    auc, variance = float(found.auc[0]), float(found.covariance[0, 0])
    if auc in (0.0, 1.0):
        return {"value": None, "variance": None, "reason": "the classes are separated: its logit is infinite"}
    if not variance > 0:
        return {"value": None, "variance": None, "reason": "the AUROC has no variance"}
    slope = 1 / (auc * (1 - auc))
    return {"value": float(np.log(auc / (1 - auc))), "variance": variance * slope**2, "reason": None}


def _calibration(units: Units, confidence: float) -> Json:
    found = recalibration(units.label, units.probability, confidence, units.study)
    return {
        "in_the_large": jsonable(found.in_the_large),
        "in_the_large_ci": jsonable(found.in_the_large_interval),
        "slope": jsonable(found.slope),
        "slope_ci": jsonable(found.slope_interval),
        "expected": float(units.probability.sum()),
        "observed": int(units.label.sum()),
    }


def _subgroups(exams: JudgedExams, units: Units, site: SiteData, config: EvaluateConfig) -> list[Json]:
    threshold = site.decisions.thresholds[PE_PRESENT].value
    return subgroups(units, _attributes(exams.studies), threshold=threshold, confidence=config.confidence)


def _attributes(studies: pd.DataFrame) -> Mapping[str, Attribute]:
    """Return the properties that `evaluate` knows, and those that only a frozen model at a site has."""
    flags = studies["flags"].str.split(",")
    contrast = flags.map(lambda codes: "no" if "no_contrast" in codes else "yes")
    unlike = studies["unlike"].map(lambda why: _UNLIKE if why else _LIKE)
    return attributes(studies) | {"contrast seen": Attribute(contrast), "distance": Attribute(unlike)}


def _with_overlap(site: SiteData, config: EvaluateConfig, seed: int) -> Json | None:
    """Return PE present with the studies that the model may have been made with; None where there is none."""
    if not site.studies["outcome"].isin(OVERLAPS).any():
        return None
    known = pe_truth(site.studies, config.indeterminate).notna() & ~site.studies["refused"]
    wider = site.studies.assign(outcome=site.studies["outcome"].where(~known, ANALYSED))
    exams = SiteData(site.name, wider, site.score, site.probability, site.decisions).judged([ANALYSED], config, seed)
    blocks = exam_level(exams, site.decisions, config)
    return None if blocks is None else dict(blocks[PE_PRESENT])


def _reference(studies: pd.DataFrame) -> Json:
    """Return where the studies come from, where the store says it."""
    found = studies["provenance"].replace("", np.nan).dropna() if "provenance" in studies else pd.Series(dtype=object)
    return {str(name): int(n) for name, n in found.value_counts().sort_index().items()}
