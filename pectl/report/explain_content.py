"""An explanation as plain JSON values."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np

from pectl.analysis.explain import Explanation
from pectl.analysis.explain_score import score_study
from pectl.core.data.labels import EXAM_LABELS, UNKNOWN
from pectl.core.data.stamp import RESEARCH_USE
from pectl.core.data.study_store import Study

FORMAT, VERSION = "pectl-explanation", 1

Json = dict[str, Any]
T = TypeVar("T")


def describe(explanation: Explanation, study: Study, lineage: Mapping[str, str]) -> Json:
    """Return an explanation as plain JSON values; what isn't defined is null."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "use": RESEARCH_USE,
        "study": explanation.uid,
        "label": explanation.label,
        "method": explanation.method,
        "lineage": dict(lineage),
        "seconds": round(explanation.seconds, 3),
        "exam_probability": explanation.exam_probability,
        "exam_labels": study.exam_labels,
        "peak": asdict(explanation.peak) if explanation.peak else None,
        "left_share": explanation.left_share,
        "scores": _scores(explanation, study),
        "windows": _windows(explanation),
        "attention": {name: row.tolist() for name, row in zip(EXAM_LABELS, explanation.attention, strict=True)},
        "slices": _slices(explanation, study),
        "heat": {
            "file": "heat.h5",
            "dataset": "heat",
            "shape": list(explanation.heat.shape),
            "nifti": "heat.nii.gz",
        },
    }


def _scores(explanation: Explanation, study: Study) -> Json | None:
    """Return how the heat agrees with the labels; None where no slice is labelled."""
    if (study.source.label == UNKNOWN).all():
        return None
    return {name: _defined(value) for name, value in asdict(score_study(study, explanation)).items() if name != "uid"}


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
            "SOPInstanceUID": str(uid),
            "position_mm": float(position),
            "grid_index": int(index) if index >= 0 else None,
            "heat": _defined(float(heat)),
            "pe_present_on_image": int(label) if label != UNKNOWN else None,
        }
        for uid, position, index, heat, label in zip(*columns, strict=True)
    ]


def _defined(value: T) -> T | None:
    """Return None for NaN, which JSON hasn't."""
    return None if isinstance(value, float) and np.isnan(value) else value
