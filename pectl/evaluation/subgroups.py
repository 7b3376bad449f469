"""PE present in parts of the studies: by scanner, slice step, image quality, and kind of embolus."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from pectl.core.labels.names import CENTRAL, PROVENANCE, STUDY, SUBGROUP, UNKNOWN
from pectl.core.statistics.ranking import BoolArray
from pectl.evaluation.measure import Json, Units, measure

SMALL = 10
"""With fewer positives or negatives than this, a subgroup's figures carry a warning."""
_MAX_VALUES = 8
_FLAGS = ("qa_motion", "qa_contrast", "flow_artifact", "true_filling_defect_not_pe")
_CATEGORIES = ("kernel", "manufacturer", PROVENANCE)
_SLICE_STEPS_MM = (0.0, 1.0, 1.5, 3.0, np.inf)
_POSITIVE_SLICES = (0, 10, 30, 60, np.inf)
_EMBOLUS_ML = (0.0, 0.5, 2.0, 8.0, 32.0, np.inf)
_KEPT = (
    "n",
    "n_positive",
    "auroc",
    "auroc_ci",
    "ci_method",
    "sensitivity",
    "sensitivity_ci",
    "specificity",
    "specificity_ci",
    "reason",
)


@dataclass(frozen=True)
class Attribute:
    """A property of studies: `values` (text, missing where unknown), one for each study.

    `of_positives`: it is a property of PE, so each value is judged against all studies without PE.
    """

    values: pd.Series
    of_positives: bool = False


def attributes(studies: pd.DataFrame, image: pd.DataFrame | None = None) -> dict[str, Attribute]:
    """Return what is known of the studies.

    Args:
        studies: index StudyInstanceUID; those are used that are there of kernel, manufacturer, provenance,
            slice_step_mm, subgroup, the QA labels, central_pe, n_pe_slices and embolus_volume_ml.
        image: columns StudyInstanceUID and label, to count the positive slices; where a study has none,
            n_pe_slices tells.
    """
    found = {name: Attribute(_common(studies[name])) for name in _CATEGORIES if name in studies}
    if "slice_step_mm" in studies:
        found["slice step"] = Attribute(_banded(studies["slice_step_mm"], _SLICE_STEPS_MM, "mm"))
    found |= {name: Attribute(_yes_no(studies[name])) for name in _FLAGS if name in studies}
    if CENTRAL in studies:
        found[CENTRAL] = Attribute(_yes_no(studies[CENTRAL]), of_positives=True)
    if SUBGROUP in studies:
        found["kind of PE"] = Attribute(_common(studies[SUBGROUP]), of_positives=True)
    if image is not None or "n_pe_slices" in studies:
        slices = _positive_slices(studies, image)
        found["positive slices"] = Attribute(_banded(slices, _POSITIVE_SLICES, ""), of_positives=True)
    if "embolus_volume_ml" in studies:
        volume = _banded(studies["embolus_volume_ml"], _EMBOLUS_ML, "ml")
        found["embolus volume"] = Attribute(volume, of_positives=True)
    return found


def _positive_slices(studies: pd.DataFrame, image: pd.DataFrame | None) -> pd.Series:
    told = studies.get("n_pe_slices", pd.Series(np.nan, index=studies.index))
    if image is None:
        return told
    counts = (image["label"] == 1).groupby(image[STUDY]).sum()
    known = (image["label"] != UNKNOWN).groupby(image[STUDY]).all()
    return counts[known].reindex(studies.index).astype(np.float64).where(lambda n: n.notna(), told)


def subgroups(units: Units, known: Mapping[str, Attribute], *, threshold: float, confidence: float) -> list[Json]:
    """Measure each value of each attribute that has two or more.

    Args:
        units: the studies, in the order of the attributes' values.
        known: of `attributes`.
        threshold: frozen.
        confidence: of the intervals.
    """
    rows = []
    for name, attribute in known.items():
        values = attribute.values.to_numpy(dtype=object, na_value="")
        eligible = values[units.label] if attribute.of_positives else values
        present = sorted(set(eligible) - {""}, key=_natural)
        for value in present if len(present) > 1 else []:
            chosen = values == value
            if attribute.of_positives:
                chosen = np.where(units.label, chosen, True)
            block = _measured(units, np.asarray(chosen, np.bool_), threshold, confidence)
            rows.append({"attribute": name, "value": value, **block})
    return rows


def _measured(units: Units, chosen: BoolArray, threshold: float, confidence: float) -> Json:
    block = measure(units.part(chosen), threshold=threshold, confidence=confidence)
    n_positive = block["n_positive"]
    fewest = min(n_positive, block["n"] - n_positive)
    few = f"only {fewest} in the smaller class" if fewest else "one class only"
    return {key: block[key] for key in _KEPT} | {"warning": few if fewest < SMALL else None}


def _common(column: pd.Series) -> pd.Series:
    """Keep the commonest values, call the rest `other`."""
    text = column.astype("string")
    text = text.mask(text == "")
    kept = text.value_counts().index[: _MAX_VALUES - 1]
    return pd.Series(text.where(text.isin(kept) | text.isna(), "other"))


def _yes_no(column: pd.Series) -> pd.Series:
    return column.map({0.0: "no", 1.0: "yes"})


def _banded(column: pd.Series, edges: tuple[float, ...], unit: str) -> pd.Series:
    """Cut numbers into bands `low-high`, of which each holds its upper edge."""
    names = [_band_name(low, high, unit) for low, high in pairwise(edges)]
    return pd.cut(column.astype(float), edges, labels=names).astype(object)


def _band_name(low: float, high: float, unit: str) -> str:
    text = f"more than {low:g}" if np.isinf(high) else f"up to {high:g}" if low == 0 else f"{low:g} to {high:g}"
    return f"{text} {unit}".strip()


def _natural(value: str) -> tuple[float, str]:
    """Sort bands by their first number, and `up to` before `more than`."""
    numbers = [float(word) for word in value.split() if word.replace(".", "", 1).isdigit()]
    first = 0.0 if value.startswith("up to") else (numbers[0] if numbers else 0.0)
    return first, value
