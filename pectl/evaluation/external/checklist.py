"""The items of two reporting guidelines, filled with what this run knows; the rest is for the authors to write.

CLAIM 2024: Tejani et al., Radiology: Artificial Intelligence 6(4):e240300. TRIPOD+AI: Collins et al., BMJ 385:e078378.
The topics are named in our words; the guidelines themselves say what an item asks for.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from pectl.core.labels.names import PE_PRESENT
from pectl.core.storage.stamp import RESEARCH_USE

COLUMNS = ("guideline", "item", "topic", "found_in_this_run")
BY_AUTHORS = "to be written by the authors"
CLAIM, TRIPOD = "CLAIM 2024", "TRIPOD+AI"

_CLAIM = {
    "1": ("title says that it is about AI, and which kind", ""),
    "2": ("structured summary", ""),
    "3": ("background, and role of the method", "use"),
    "4": ("aims and hypotheses", ""),
    "5": ("prospective or retrospective", ""),
    "6": ("goal of the study", "goal"),
    "7": ("sources of the data", "sources"),
    "8": ("who was eligible and who was left out", "eligibility"),
    "9": ("preparation of the images", "preparation"),
    "10": ("choice of parts of the data", "parts"),
    "11": ("de-identification", "identity"),
    "12": ("missing data", "missing"),
    "13": ("how images were acquired", "acquisition"),
    "14": ("reference standard", "reference"),
    "15": ("why this reference standard", ""),
    "16": ("where its annotations come from", ""),
    "17": ("annotation of the test set", ""),
    "18": ("agreement within and between readers", ""),
    "19": ("how data were divided", "division"),
    "20": ("at which level the parts are disjoint", "disjoint"),
    "21": ("intended sample size", ""),
    "22": ("the model", "model"),
    "23": ("software", "software"),
    "24": ("first values of the parameters", ""),
    "25": ("training", "training"),
    "26": ("choice of the final model", "training"),
    "27": ("ensembles", "ensemble"),
    "28": ("metrics of performance", "metrics"),
    "29": ("uncertainty and significance", "uncertainty"),
    "30": ("robustness, sensitivity analyses", "robustness"),
    "31": ("explanations", "explanations"),
    "32": ("performance on internal data", ""),
    "33": ("performance on external data", "auroc"),
    "34": ("registration of a clinical trial", ""),
    "35": ("numbers included and excluded", "flow"),
    "36": ("characteristics of the patients in each part", "case_mix"),
    "37": ("performance with uncertainty in all parts", "auroc"),
    "38": ("diagnostic accuracy and its precision", "accuracy"),
    "39": ("analysis of failures", "failures"),
    "40": ("limitations", "limits"),
    "41": ("what it means for practice", ""),
    "42": ("where the protocol is", ""),
    "43": ("availability of software, model and data", "software"),
    "44": ("funding", ""),
}
_TRIPOD = {
    "1": ("title", ""),
    "2": ("abstract", ""),
    "3a": ("health-care context", ""),
    "3b": ("target population, place in the care, users", ""),
    "3c": ("known inequalities between groups", ""),
    "4": ("objectives", "goal"),
    "5a": ("sources of the data", "sources"),
    "5b": ("dates of the data", ""),
    "6a": ("setting, number and place of centres", "sources"),
    "6b": ("eligibility", "eligibility"),
    "6c": ("treatments", ""),
    "7": ("preparation of the data", "preparation"),
    "8a": ("outcome and how it was assessed", "reference"),
    "8b": ("who assessed the outcome", ""),
    "8c": ("blinding of the assessment", ""),
    "9a": ("choice of predictors", "model"),
    "9b": ("definition of predictors", "preparation"),
    "9c": ("who assessed predictors", "automatic"),
    "10": ("sample size", "flow"),
    "11": ("missing data", "missing"),
    "12a": ("how the data were used", "division"),
    "12b": ("form of the predictors in the analysis", "preparation"),
    "12c": ("type of model, building, internal validation", "training"),
    "12d": ("heterogeneity between clusters", "heterogeneity"),
    "12e": ("measures of performance", "metrics"),
    "12f": ("updating of the model", "updating"),
    "12g": ("how predictions were computed", "software"),
    "13": ("class imbalance", "prevalence"),
    "14": ("fairness", ""),
    "15": ("output of the model, and thresholds", "output"),
    "16": ("differences to the data of development", "difference"),
    "17": ("ethical approval", ""),
    "18a": ("funding", ""),
    "18b": ("conflicts of interest", ""),
    "18c": ("protocol", ""),
    "18d": ("registration", ""),
    "18e": ("sharing of data", ""),
    "18f": ("sharing of code", "software"),
    "19": ("involvement of patients and the public", ""),
    "20a": ("flow of participants", "flow"),
    "20b": ("characteristics, by site", "case_mix"),
    "20c": ("comparison with the data of development", "difference"),
    "21": ("numbers of participants and outcomes in each analysis", "prevalence"),
    "22": ("the full model", "model"),
    "23a": ("performance with intervals, also in subgroups", "auroc"),
    "23b": ("heterogeneity of performance", "heterogeneity"),
    "24": ("results of updating", "updating"),
    "25": ("interpretation", ""),
    "26": ("limitations", "limits"),
    "27a": ("poor or missing input", "missing"),
    "27b": ("what users have to do", ""),
    "27c": ("next steps of research", ""),
}
_ITEMS = {CLAIM: _CLAIM, TRIPOD: _TRIPOD}


def checklist(result: Mapping[str, Any]) -> pd.DataFrame:
    """Return the items of both guidelines with what `external.json` says of each."""
    known = _known(result)
    rows = [
        (guideline, item, topic, known.get(key) or BY_AUTHORS)
        for guideline, items in _ITEMS.items()
        for item, (topic, key) in items.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _known(result: Mapping[str, Any]) -> dict[str, str]:
    return _fixed(result) | _of_model(result) | _of_sites(result)


def _fixed(result: Mapping[str, Any]) -> dict[str, str]:
    percent = f"{100 * result['confidence']:g} %"
    return {
        "use": RESEARCH_USE,
        "goal": "external validation of a frozen model; nothing was fitted on these studies but the local calibration "
        "that is reported beside",
        "identity": "no patient name, id, date or free text is in any result; studies are named by StudyInstanceUID",
        "missing": f"studies without a label of PE are counted and left out; indeterminate ones: "
        f"{result['indeterminate']}; studies that can't be read are counted by code",
        "automatic": "computed by the model from the images alone",
        "metrics": "AUROC, sensitivity, specificity, PPV, NPV at thresholds frozen before, prevalence, calibration in "
        "the large and slope, by site",
        "uncertainty": f"{percent} intervals: DeLong for AUROC, Wilson for shares; over patients (clustered DeLong, "
        f"bootstrap of {result['bootstrap_replicates']} draws) where a patient has several studies",
        "explanations": "pectl explain, not part of this run",
        "limits": "classes of one site alone are never pooled; overlap by volume is known only where the bundle has "
        "fingerprints",
    }


def _of_model(result: Mapping[str, Any]) -> dict[str, str]:
    model = result["model"]
    digests = ", ".join(f"{name} {digest[:16]}" for name, digest in model["made_from"].items())
    return {
        "model": f"two stages: 3-D CNN on windows of slices, sequence model over them; bundle {model['name']}, digest "
        f"{model['digest']}; its MODEL_CARD.md has both",
        "software": f"pectl, bundle by version {model['package_version']}, digest {model['digest']}",
        "training": f"before this run; made from {digests}",
        "ensemble": f"{model['members']} members, calibrated probabilities averaged"
        if model["members"] > 1
        else "none",
        "preparation": "lung box resampled by the bundle's own preprocessing, the digest of which every store has",
        "difference": "studies unlike those of training are counted by site; model card of the bundle for the training",
    }


def _of_sites(result: Mapping[str, Any]) -> dict[str, str]:
    sites = result["sites"]

    def each(tell: Callable[[Mapping[str, Any]], str]) -> str:
        return "; ".join(f"{name}: {tell(block)}" for name, block in sites.items())

    summary = result["summary"]
    pooled = summary["reason"] or (
        f"random effects over {', '.join(summary['sites'])}: AUROC {summary['auroc']:.3f} {_bounds(summary['ci'])}, "
        f"tau2 {summary['tau2']:.3f}, I2 {summary['i2']:.2f}, prediction interval {_bounds(summary['prediction'])}"
    )
    return {
        "sources": each(lambda site: f"store {site['store'][:16]}, labels {site['labels'][:16]}"),
        "eligibility": each(_excluded),
        "parts": each(lambda site: f"{site['flow']['analysed']} of {site['flow']['eligible']}"),
        "acquisition": each(lambda site: _groups(site, ("kernel", "manufacturer", "slice step"))),
        "reference": each(lambda site: f"labels table {site['labels'][:16]}"),
        "division": "all studies of the sites are test; the model was made with others",
        "disjoint": each(_overlap),
        "robustness": each(lambda site: f"{len(site['subgroups'])} subgroups"),
        "auroc": f"{each(lambda site: _figure(site, 'auroc'))}; {pooled}",
        "accuracy": each(lambda site: ", ".join(_figure(site, name) for name in ("sensitivity", "specificity"))),
        "flow": each(_flow),
        "case_mix": each(
            lambda site: f"{site['patients']} patients, {_groups(site, ('slice step', 'embolus volume'))}"
        ),
        "failures": each(_failures),
        "prevalence": each(lambda site: f"{site['flow']['with_pe']} with PE of {site['flow']['analysed']}"),
        "heterogeneity": pooled,
        "output": each(_threshold),
        "updating": each(_local),
    }


def _pe(site: Mapping[str, Any]) -> Mapping[str, Any]:
    return {} if site["exam"] is None else dict(site["exam"][PE_PRESENT])


def _figure(site: Mapping[str, Any], name: str) -> str:
    value = _pe(site).get(name)
    return f"{name} not defined" if value is None else f"{name} {value:.3f} {_bounds(_pe(site).get(f'{name}_ci'))}"


def _bounds(bounds: list[float] | None) -> str:
    return "(no interval)" if bounds is None else f"({bounds[0]:.3f} to {bounds[1]:.3f})"


def _flow(site: Mapping[str, Any]) -> str:
    told = {name: n for name, n in site["flow"].items() if isinstance(n, int) and n}
    return ", ".join(f"{name} {n}" for name, n in told.items()).replace("_", " ")


def _excluded(site: Mapping[str, Any]) -> str:
    codes = ", ".join(f"{code} {n}" for code, n in site["flow"]["codes"].items())
    return codes or "none excluded by the intake"


def _overlap(site: Mapping[str, Any]) -> str:
    overlap = site["overlap"]
    told = ", ".join(f"{why.replace('_', ' ')} {len(studies)}" for why, studies in overlap["studies"].items())
    return f"overlap with training: {told}; volumes compared: {overlap['compared']}"


def _groups(site: Mapping[str, Any], names: tuple[str, ...]) -> str:
    found = [f"{row['attribute']} {row['value']} {row['n']}" for row in site["subgroups"] if row["attribute"] in names]
    return ", ".join(found) or "not known, or one value only"


def _failures(site: Mapping[str, Any]) -> str:
    counts = _pe(site).get("confusion")
    return "none measured" if counts is None else f"missed {counts['fn']}, false alarms {counts['fp']}; studies.csv"


def _threshold(site: Mapping[str, Any]) -> str:
    block = _pe(site)
    if not block:
        return "nothing analysed"
    return f"calibrated probability of PE, called from {block['threshold']:.4g} ({block['threshold_rule']})"


def _local(site: Mapping[str, Any]) -> str:
    local = site["local"]
    if local["reason"]:
        return f"not tried: {local['reason']}"
    return f"local calibration, {local['folds']} folds: sensitivity {local['sensitivity']:.3f}, specificity " + (
        f"{local['specificity']:.3f}; in no main figure"
    )
