"""Per embolus: what the marks of a study hit, and FROC over the studies of a split, by size class and place."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pectl.config import EvaluateConfig
from pectl.core.labels.names import IMAGE, PE_PRESENT, STUDY
from pectl.core.statistics.bootstrap import percentile_interval, study_weights
from pectl.core.statistics.froc import RATES, Detections, froc_curve, replicate_sensitivity, sensitivity_at
from pectl.core.statistics.intervals import wilson
from pectl.explanation.froc.emboli import CENTRAL, PERIPHERAL, Emboli
from pectl.explanation.froc.marks import APART_MM, LEAST_SHARE, Mark
from pectl.explanation.gradcam import PE_WINDOW

WITHIN_MM = (0.0, 2.0, 5.0)
"""A mark within so many mm of an embolus hits it, as in the CAD-PE challenge (Gonzalez et al. 2020)."""
SIZES_MM3 = ((0.0, 100.0), (100.0, 1000.0), (1000.0, np.inf))
"""Size classes of emboli: from the lower bound on, below the upper."""
ASKS_FOR_PE = (PE_PRESENT, PE_WINDOW)
"""Labels whose heat is to point at every embolus; that of a side or an age is not."""
_DIGITS = 4

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class StudyMarks:
    """The marks of one study beside its emboli, as `explain.json` keeps them.

    Attributes:
        marks: each with the `embolus` nearest to it, from 0, and `distance_mm` to it; null without emboli.
        emboli: each with `volume_mm3` and `place`.
    """

    marks: tuple[Json, ...]
    emboli: tuple[Json, ...]

    @classmethod
    def of(cls, marks: Sequence[Mark], emboli: Emboli) -> Self:
        """Measure how far each mark lies from the nearest embolus."""
        distance, owner = emboli.nearest([mark.point_mm for mark in marks])
        rows = zip(marks, distance.tolist(), owner.tolist(), strict=True)
        return cls(
            marks=tuple(
                asdict(mark)
                | {"embolus": nearest if nearest >= 0 else None, "distance_mm": away if nearest >= 0 else None}
                for mark, away, nearest in rows
            ),
            emboli=tuple(
                {"volume_mm3": float(volume), "place": place}
                for volume, place in zip(emboli.volume_mm3, emboli.place, strict=True)
            ),
        )

    def to_json(self) -> Json:
        """Return plain JSON values."""
        return {"marks": list(self.marks), "emboli": list(self.emboli)}

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Read what `to_json` returned."""
        return cls(marks=tuple(data["marks"]), emboli=tuple(data["emboli"]))


def detections(studies: Sequence[StudyMarks], within_mm: float, patient: NDArray[np.intp]) -> Detections:
    """Return what the marks of studies hit and what they don't.

    A mark hits the embolus nearest to it, if that is near enough, and no other. An embolus counts once, with its most
    confident mark; further marks on it are neither hits nor false.
    """
    false: list[tuple[float, int]] = []
    lesions: list[tuple[float, int]] = []
    for scan, study in enumerate(studies):
        best = np.full(len(study.emboli), -np.inf)
        for mark in study.marks:
            hits = mark["distance_mm"] is not None and mark["distance_mm"] <= within_mm
            if hits:
                best[mark["embolus"]] = max(best[mark["embolus"]], mark["confidence"])
            else:
                false.append((mark["confidence"], scan))
        lesions += [(value, scan) for value in best.tolist()]
    (false_mark, false_scan), (lesion, lesion_scan) = (_columns(rows) for rows in (false, lesions))
    return Detections(
        false_mark=false_mark, false_scan=false_scan, lesion=lesion, lesion_scan=lesion_scan, patient=patient
    )


def _columns(rows: Sequence[tuple[float, int]]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    return np.array([row[0] for row in rows], np.float64), np.array([row[1] for row in rows], np.intp)


def froc_summary(
    studies: Sequence[StudyMarks], patients: Sequence[str], config: EvaluateConfig, *, seed: int
) -> Json | None:
    """Return FROC of studies: by distance of a hit, and at the largest by size class and place; None without emboli.

    Args:
        studies: all of a split, also those without emboli: their marks are false.
        patients: of each study; the bootstrap draws these.
        config: confidence and bootstrap replicates.
        seed: of the bootstrap.
    """
    emboli = [embolus for study in studies for embolus in study.emboli]
    if not emboli:
        return None
    patient, names = pd.factorize(np.array(patients, object))
    weights = study_weights(len(names), replicates=config.bootstrap_replicates, seed=seed)
    volume = np.array([one["volume_mm3"] for one in emboli])
    place = np.array([one["place"] for one in emboli])
    found = {mm: detections(studies, mm, patient) for mm in WITHIN_MM}
    widest = found[WITHIN_MM[-1]]
    groups = {size_title(low, high): (volume >= low) & (volume < high) for low, high in SIZES_MM3}
    groups |= {name: place == name for name in (CENTRAL, PERIPHERAL)}
    curve = froc_curve(widest)
    return {
        "n_scans": len(studies),
        "n_patients": len(names),
        "n_emboli": len(emboli),
        "n_marks": sum(len(study.marks) for study in studies),
        "rule": {"least_share_of_peak": LEAST_SHARE, "apart_mm": APART_MM},
        "rates": list(RATES),
        "within": {f"{mm:g}": _block(one, weights, config.confidence) for mm, one in found.items()},
        "groups": {
            name: _block(widest.of_lesions(chosen), weights, config.confidence)
            for name, chosen in groups.items()
            if chosen.any()
        },
        "curve": {
            "within_mm": WITHIN_MM[-1],
            "threshold": curve.threshold.round(6).tolist(),
            "false_per_scan": curve.false_per_scan.round(6).tolist(),
            "sensitivity": curve.sensitivity.round(6).tolist(),
        },
    }


def size_title(low: float, high: float) -> str:
    """Name a size class."""
    if low == 0:
        return f"below {high:g} mm3"
    return f"{low:g} mm3 or more" if np.isinf(high) else f"{low:g} to {high:g} mm3"


def _block(found: Detections, weights: NDArray[np.float32], confidence: float) -> Json:
    """Return sensitivity at each rate, and their average, with intervals by patient."""
    value, replicates = sensitivity_at(found), replicate_sensitivity(found, weights)
    patients = np.unique(found.patient[found.lesion_scan]).size
    mean = float(value.mean())
    return {
        "n_emboli": int(found.lesion.size),
        "n_hit": int(np.isfinite(found.lesion).sum()),
        "false_marks": int(found.false_mark.size),
        "sensitivity": [_short(one) for one in value],
        "sensitivity_ci": [
            _interval(float(one), row, patients, confidence) for one, row in zip(value, replicates, strict=True)
        ],
        "average": _short(mean),
        "average_ci": _interval(mean, replicates.mean(axis=0), patients, confidence),
    }


def _interval(value: float, replicates: NDArray[np.float64], patients: int, confidence: float) -> list[float] | None:
    """Return the percentile interval; Wilson's over patients where all emboli are hit or none, and all draws agree."""
    if value in (0.0, 1.0):
        return [_short(bound) for bound in wilson(round(value) * patients, patients, confidence)]
    bounds = percentile_interval(replicates, confidence)
    return None if patients < 2 or np.isnan(bounds).any() else [_short(bound) for bound in bounds]


def _short(value: float) -> float:
    return round(float(value), _DIGITS)


def marks_table(studies: Sequence[tuple[str, StudyMarks]]) -> pd.DataFrame:
    """Return a row for each mark of each study, by falling confidence within it; `embolus` from 1."""
    rows = [
        {
            STUDY: uid,
            "mark": number,
            **dict(zip(("x_mm", "y_mm", "z_mm"), mark["point_mm"], strict=True)),
            "slice": mark["source_index"] + 1,
            IMAGE: mark["sop_instance_uid"],
            "share_of_peak": mark["share"],
            "confidence": mark["confidence"],
            "nearest_embolus": None if mark["embolus"] is None else mark["embolus"] + 1,
            "distance_mm": mark["distance_mm"],
        }
        for uid, study in studies
        for number, mark in enumerate(study.marks, 1)
    ]
    columns = [STUDY, "mark", "x_mm", "y_mm", "z_mm", "slice", IMAGE, "share_of_peak", "confidence"]
    return pd.DataFrame(rows, columns=[*columns, "nearest_embolus", "distance_mm"]).astype({"nearest_embolus": "Int64"})
