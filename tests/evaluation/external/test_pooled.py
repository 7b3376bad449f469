"""Sites of one class are never pooled, and what a heap of them would have shown is why."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pectl.config import EvaluateConfig
from pectl.core.decisions.conformal import AbstainBand
from pectl.core.decisions.decisions import EXAM_NAMES, Decisions
from pectl.core.decisions.thresholds import Threshold
from pectl.core.labels.names import EXAM_LABELS, INDETERMINATE, NEGATIVE
from pectl.core.statistics.delong import auc_covariance
from pectl.core.statistics.random_effects import random_effects
from pectl.core.statistics.ranking import auroc
from pectl.evaluation.external.measures import measure_site
from pectl.evaluation.external.pooled import summarise_sites
from pectl.evaluation.external.sites import SiteData, frozen, outcomes

CONFIG = EvaluateConfig(bootstrap_replicates=100)


def site(name: str, label: list[int], score: list[float], **columns: object) -> SiteData:
    """A site of studies with these labels and scores of PE, all of them analysed unless columns say otherwise."""
    index = pd.Index([f"{name}.{k}" for k in range(len(label))], name="StudyInstanceUID")
    labels = pd.DataFrame(0.0, index=index, columns=list(EXAM_LABELS))
    labels[NEGATIVE] = 1.0 - np.array(label)
    flags = dict.fromkeys(("unreadable", "refused", "seen", "declared", "near"), False)
    texts = {"code": "accepted", "state": "flagged", "unlike": "", "flags": "", "patient_group": index}
    studies = labels.assign(**flags | texts | {"distance": np.nan} | columns)
    table = pd.DataFrame(np.tile(np.array(score)[:, None], (1, 10)), index=index, columns=list(EXAM_NAMES))
    return SiteData(name, studies.assign(outcome=outcomes(studies, CONFIG)), table, table, Decisions())


def measured(*sites: SiteData) -> dict:
    return {one.name: measure_site(one, CONFIG, seed=0) for one in sites}


def test_a_heap_of_two_sites_of_one_class_would_flatter_and_is_refused():
    """At neither site can the model tell PE: its scores follow the scanner, and all negatives lie at one of them."""
    rng = np.random.default_rng(0)
    low, high = rng.uniform(0.05, 0.45, 40), rng.uniform(0.4, 0.9, 40)
    negatives, positives = site("A", [0] * 40, low.tolist()), site("B", [1] * 40, high.tolist())
    heap = auroc(np.repeat([False, True], 40), np.concatenate([low, high]))
    assert heap > 0.97
    found = measured(negatives, positives)
    summary = summarise_sites(found, 0.95)
    assert summary["auroc"] is None
    assert summary["sites"] == []
    assert summary["reason"] == "0 of 2 sites can be summarised, and a summary needs two"
    why = "with other sites in one heap the site would give the answer away, so it is never pooled"
    assert summary["refused"] == {"A": f"no PE: {why}", "B": f"PE alone: {why}"}
    assert [found[name]["exam"]["pe_present"]["auroc"] for name in "AB"] == [None, None]
    assert found["A"]["exam"]["pe_present"]["specificity"] == pytest.approx(np.mean(low < 0.5))
    assert found["B"]["exam"]["pe_present"]["sensitivity"] == pytest.approx(np.mean(high >= 0.5))


def test_the_summary_is_that_of_logits_with_delongs_variances():
    rng = np.random.default_rng(1)
    sites, effects, variances = [], [], []
    for number, skill in enumerate((0.3, 0.5, 0.8)):
        label = rng.random(60) < 0.4
        score = 1 / (1 + np.exp(-(skill * (2 * label - 1) + rng.normal(size=60))))
        sites.append(site(str(number), label.astype(int).tolist(), score.tolist()))
        found = auc_covariance(label, score[None])
        auc, variance = found.auc[0], found.covariance[0, 0]
        effects.append(np.log(auc / (1 - auc)))
        variances.append(variance / (auc * (1 - auc)) ** 2)
    sites.append(site("alone", [1] * 5, [0.9] * 5))
    sites.append(site("apart", [1, 1, 0, 0], [0.9, 0.8, 0.2, 0.1]))
    summary = summarise_sites(measured(*sites), 0.95)
    expected = random_effects(effects, variances, 0.95)
    assert summary["sites"] == ["0", "1", "2"]
    assert summary["auroc"] == pytest.approx(1 / (1 + np.exp(-expected.mean)))
    assert summary["ci"] == pytest.approx([1 / (1 + np.exp(-bound)) for bound in expected.interval])
    assert summary["prediction"] == pytest.approx([1 / (1 + np.exp(-bound)) for bound in expected.prediction])
    assert (summary["tau2"], summary["i2"]) == (expected.tau2, expected.i2)
    assert summary["refused"]["apart"] == "the classes are separated: its logit is infinite"


def test_the_flow_says_of_each_study_the_first_reason():
    columns = {
        "unreadable": [True, False, False, False, False, False, False, False, False],
        "refused": [True, True, False, False, False, False, False, False, False],
        "seen": [True, True, True, False, False, False, False, False, False],
        "declared": [True, True, True, True, False, False, False, False, False],
        "near": [False, False, True, True, True, False, False, False, False],
        "code": ["truncated_pixel_data", "not_chest", *["accepted"] * 7],
        "state": ["refused", "refused", "flagged", "flagged", "flagged", "flagged", "flagged", "undecided", "negative"],
        "unlike": ["", "", "", "", "", "", "", "thick_slices", ""],
        NEGATIVE: [1, 1, 1, 1, 1, np.nan, 0, 0, 1],
        INDETERMINATE: [0, 0, 0, 0, 0, np.nan, 1, 0, 0],
    }
    found = measure_site(site("A", [0] * 9, [0.1] * 7 + [0.9, 0.2], **columns), CONFIG, seed=0)
    assert found["flow"] == {
        **{"eligible": 9, "predicted": 7},
        **dict.fromkeys(("unreadable", "excluded", "trained_on", "declared_overlap", "near_identical"), 1),
        **{"unlabelled": 1, "indeterminate": 1, "analysed": 2},
        "codes": {"not_chest": 1, "truncated_pixel_data": 1},
        **{"with_pe": 1, "without_pe": 1, "abstained": 1, "out_of_distribution": 1},
    }
    assert found["prevalence"]["value"] == 0.5
    assert found["exam"]["pe_present"]["n"] == 2
    assert found["with_overlap"]["n"] == 5


def test_members_decide_by_the_mean_of_their_thresholds_and_bands():
    thresholds = [replace(one, value=value) for one in [Threshold()] for value in (0.2, 0.6)]
    first, second = (
        Decisions(split="val", thresholds=dict.fromkeys(Decisions().thresholds, one), band=AbstainBand(low, high))
        for one, low, high in zip(thresholds, (0.1, 0.3), (0.7, 0.8), strict=True)
    )
    both = frozen([first, second])
    assert both.thresholds["pe_present"].value == pytest.approx(0.4)
    assert both.thresholds["pe_present"].rule == "mean of 2: fixed"
    assert (both.band.rule_out, both.band.rule_in) == pytest.approx((0.2, 0.75))
    assert frozen([first]) is first


def test_intervals_are_by_patient_where_one_has_several_studies():
    rng = np.random.default_rng(2)
    label = np.repeat(rng.random(30) < 0.5, 2)
    score = np.clip(np.repeat(rng.normal(0.5, 0.2, 30), 2) + 0.15 * label, 0, 1)
    apart = site("A", label.astype(int).tolist(), score.tolist())
    of_two = site(
        "A", label.astype(int).tolist(), score.tolist(), patient_group=np.repeat(np.arange(30).astype(str), 2)
    )
    alone, together = (measure_site(one, CONFIG, seed=0) for one in (apart, of_two))
    assert (alone["intervals_by"], alone["patients"]) == ("study", 60)
    assert (together["intervals_by"], together["patients"]) == ("patient", 30)
    first, second = (one["exam"]["pe_present"] for one in (alone, together))
    assert first["auroc"] == second["auroc"]
    assert (first["ci_method"], second["ci_method"]) == ("delong", "clustered-delong")
    assert np.ptp(second["auroc_ci"]) > 1.2 * np.ptp(first["auroc_ci"])
    assert second["proportion_ci_method"] == "study-cluster-bootstrap"


def test_a_site_without_any_study_to_analyse():
    found = measure_site(site("A", [0, 1], [0.1, 0.9], seen=True), CONFIG, seed=0)
    assert (found["kind"], found["exam"], found["prevalence"]["value"]) == ("nothing to analyse", None, None)
    assert found["with_overlap"]["auroc"] == 1.0
    summary = summarise_sites({"A": found}, 0.95)
    assert summary["refused"] == {"A": "no study is left to analyse"}


def test_a_local_calibration_is_cross_fitted_and_keeps_patients_together():
    rng = np.random.default_rng(3)
    label = rng.random(80) < 0.4
    score = 1 / (1 + np.exp(-(1.5 * label - 2.5 + rng.normal(size=80))))  # too low throughout
    found = measure_site(site("A", label.astype(int).tolist(), score.tolist()), CONFIG, seed=0)
    local, frozen = found["local"], found["exam"]["pe_present"]
    assert local["folds"] == len(local["thresholds"]) == 5
    assert local["sensitivity"] > frozen["sensitivity"]
    assert sum(local["confusion"].values()) == 80
    few = measure_site(site("B", [1, 0, 0, 0], [0.5, 0.4, 0.3, 0.2]), CONFIG, seed=0)
    assert few["local"] == {"folds": 0, "reason": "fewer than two patients of either class"}
