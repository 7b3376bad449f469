"""An explanation as plain JSON values."""

from dataclasses import asdict
from typing import Any

import numpy as np

from pectl.core.decisions.heat_scale import HeatReference
from pectl.core.labels.names import EXAM_LABELS, IMAGE, IMAGE_LABEL, PE_PRESENT, UNKNOWN
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.core.stores.study_store import Study
from pectl.explanation.explainer import Explanation
from pectl.explanation.summary import measures_to_json
from pectl.report.explanation.case import Case
from pectl.report.text import label_title

FORMAT, VERSION = "pectl-explanation", 3

Json = dict[str, Any]


def describe(case: Case) -> Json:
    """Return an explanation as plain JSON values; what isn't defined is null."""
    explanation, study = case.explanation, case.study
    return {
        "format": FORMAT,
        "version": VERSION,
        "use": RESEARCH_USE,
        "study": explanation.uid,
        "label": explanation.label,
        "method": explanation.method,
        "lineage": case.lineage,
        "seen_in_training_as": case.seen_as,
        "seconds": round(explanation.seconds, 3),
        "exam": {name: answer._asdict() | {"called": answer.called} for name, answer in case.answers().items()},
        "decisions": {"fitted_on": case.decisions.split, "n_studies": case.decisions.n_studies},
        "peak": asdict(explanation.peak) if explanation.peak else None,
        "left_share": explanation.left_share,
        "headline": headline(case),
        "measured_against": dict(case.measured_against),
        "measures": measures_to_json(case.measures),
        "froc": None if case.marks is None else case.marks.to_json(),
        "windows": _windows(explanation),
        "attention": {name: row.tolist() for name, row in zip(EXAM_LABELS, explanation.attention, strict=True)},
        "slices": _slices(explanation, study),
        "heat": {
            "file": "heat.h5",
            "dataset": "heat",
            "shape": list(explanation.heat.shape),
            "nifti": "heat.nii.gz",
        },
        "heat_scale": heat_scale(explanation.reference),
        "full_scale": {"value": explanation.full_scale, "meaning": explanation.scale_meaning},
    }


def heat_scale(reference: HeatReference | None) -> Json | None:
    """Return the reference that heat is a share of; None where that is each study's own peak."""
    return None if reference is None else asdict(reference)


def headline(case: Case) -> str:
    """Say in one line what the chain thinks and where the heat peaks."""
    probability = f"P(PE) {case.answers()[PE_PRESENT].probability:.2f}"
    peak = case.explanation.peak
    if peak is None:
        return f"{probability}; nothing in the scan spoke for {label_title(case.explanation.label)}"
    label = {1: "in a slice with PE", 0: "in a slice without PE"}.get(peak.slice_label, "label unknown")
    return f"{probability}; peak {label}"


def _windows(explanation: Explanation) -> list[Json]:
    columns = (explanation.window_start, explanation.window_logit, explanation.refined_logit)
    return [
        {
            "first_slice": int(start),
            "slices": explanation.length,
            "stage1_logit": float(first),
            "refined_logit": float(refined),
        }
        for start, first, refined in zip(*columns, strict=True)
    ]


def _slices(explanation: Explanation, study: Study) -> list[Json]:
    """Return every original slice: heat null outside the grid, label null where unknown."""
    source = study.source
    columns = (
        source.sop_instance_uid,
        source.position_mm,
        source.grid_index,
        explanation.source_heat,
        source.label,
    )
    return [
        {
            IMAGE: str(uid),
            "position_mm": float(position),
            "grid_index": int(index) if index >= 0 else None,
            "heat": None if np.isnan(heat) else float(heat),
            IMAGE_LABEL: int(label) if label != UNKNOWN else None,
        }
        for uid, position, index, heat, label in zip(*columns, strict=True)
    ]
