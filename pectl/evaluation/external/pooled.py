"""Sites together: a random-effects summary of those that have both classes, never one heap of all studies.

Where one site gives the negatives and another the positives, a heap of both ranks sites, not patients: scanner and
protocol tell them apart, and the AUROC of the heap says nothing of PE.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pectl.core.statistics.logistic import sigmoid
from pectl.core.statistics.random_effects import random_effects
from pectl.evaluation.measure import Json, jsonable

ONE_CLASS = "{kind}: with other sites in one heap the site would give the answer away, so it is never pooled"


def summarise_sites(sites: Mapping[str, Mapping[str, Any]], confidence: float) -> Json:
    """Summarise the AUROC of the sites that have both classes, on the scale of logits.

    Args:
        sites: what `measure_site` found, by name.
        confidence: of the intervals.

    Returns:
        `sites`: those in the summary; `refused`: name -> why not; `auroc` with `ci`, `prediction`, `tau2`, `i2`, or
        null with a `reason` where fewer than two sites are left.
    """
    refused = {name: why for name, site in sites.items() if (why := _why_refused(site))}
    kept = [name for name in sites if name not in refused]
    head = {"sites": kept, "refused": refused, "confidence": confidence}
    if len(kept) < 2:
        reason = f"{len(kept)} of {len(sites)} sites can be summarised, and a summary needs two"
        return head | {"auroc": None, "ci": None, "prediction": None, "tau2": None, "i2": None, "reason": reason}
    parts = [sites[name]["logit_auroc"] for name in kept]
    found = random_effects([one["value"] for one in parts], [one["variance"] for one in parts], confidence)
    return head | {
        "auroc": float(sigmoid(np.array(found.mean))),
        "ci": _as_auroc(found.interval),
        "prediction": _as_auroc(found.prediction),
        "tau2": found.tau2,
        "i2": found.i2,
        "reason": None,
    }


def _why_refused(site: Mapping[str, Any]) -> str | None:
    if site["kind"] in ("no PE", "PE alone"):
        return ONE_CLASS.format(kind=site["kind"])
    if site["kind"] == "nothing to analyse":
        return "no study is left to analyse"
    reason = site["logit_auroc"]["reason"]
    return None if reason is None else str(reason)


def _as_auroc(bounds: tuple[float, float]) -> object:
    return jsonable(tuple(float(bound) for bound in sigmoid(np.array(bounds))))
