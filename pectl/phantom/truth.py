"""The truth of one study: masks and measures that no reader of the images is told."""

import json
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from pectl.core.labels.names import IMAGE, IMAGE_LABEL, SERIES, STUDY
from pectl.core.storage.files import atomic_path
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.phantom.dicom import Header
from pectl.phantom.emboli import Embolus
from pectl.phantom.labels import CSV_COLUMNS, exam_labels
from pectl.phantom.study import Phantom

Masks = dict[str, np.ndarray]
Rows = list[list[object]]


def write_truth(path: Path, study: Phantom, header: Header, masks: Masks, present: np.ndarray, made_with: str) -> None:
    """Write `path`, a compressed .npz, whole or not at all.

    It holds the masks embolus, chronic (emboli of a chronic kind), artery, lung (with air), collapse (lung without
    air), mass and ventricle (both of the heart), each (D, H, W) bool in canonical orientation, `affine` (4, 4) from
    (d, h, w, 1) to LPS mm, `spacing_mm` (3,), `sop_instance_uid` (D,), `present` (D,) bool, and `geometry`:
    JSON.
    """
    arrays: dict[str, np.ndarray] = masks | {
        "affine": study.grid.affine,
        "spacing_mm": np.array(study.grid.spacing_mm),
        "sop_instance_uid": np.array(header.sop_uids),
        "present": present,
        "geometry": np.array(json.dumps(_geometry(study, header, made_with))),
    }
    with atomic_path(path) as temporary, ZipFile(temporary, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():  # as numpy.savez_compressed does it, in a third of the time
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def read_geometry(path: Path) -> dict[str, Any]:
    """Return the measures and labels of a truth file."""
    with np.load(path) as data:
        geometry: dict[str, Any] = json.loads(str(data["geometry"]))
    return geometry


def read_rows(path: Path) -> Rows:
    """Return a study's rows of train.csv from its truth file, bottom slice first."""
    with np.load(path) as data:
        geometry = json.loads(str(data["geometry"]))
        images = list(zip(data["sop_instance_uid"].tolist(), data["present"].tolist(), strict=True))
    exam = {STUDY: path.stem, SERIES: geometry["series_uid"]} | geometry["labels"]
    rows: Rows = []
    for sop_uid, present in images:
        values = exam | {IMAGE: sop_uid, IMAGE_LABEL: int(present)}
        rows.append([values[column] for column in CSV_COLUMNS])
    return rows


def _geometry(study: Phantom, header: Header, made_with: str) -> dict[str, Any]:
    heart, findings = study.anatomy.heart, study.findings
    centres = np.array([heart.right_ventricle.centre, heart.left_ventricle.centre])
    right, left = study.grid.to_lps(centres).round(3).tolist()
    return {
        "use": RESEARCH_USE,
        "made_with": made_with,
        "series_uid": header.series_uid,
        "labels": exam_labels(findings),
        "artery_hu": round(study.contrast.artery, 1),
        "rv_diameter_mm": round(heart.rv_diameter_mm, 3),
        "lv_diameter_mm": round(heart.lv_diameter_mm, 3),
        "rv_centre_lps_mm": right,
        "lv_centre_lps_mm": left,
        "rv_lv_ratio": round(findings.rv_lv_ratio, 6),
        "trunk_radius_mm": round(study.arteries.branches[0].radius_mm, 3),
        "emboli": [_embolus(study, embolus) for embolus in findings.emboli],
        "nodes": len(findings.confounders.nodes),
        "mucus_plugs": findings.confounders.mucus_plugs,
        "effusion_mm": [round(mm, 1) for mm in study.anatomy.effusion_mm],
        "arms_down": study.surroundings.arms is not None,
        "deep_table": study.surroundings.deep_table,
    } | _opacities(study)


def _opacities(study: Phantom) -> dict[str, Any]:
    mass, collapse = study.opacities.mass, study.opacities.collapse
    return {
        "mass_diameter_mm": None if mass is None else round(2.0 * max(mass.shape.radii), 1),
        "collapse": None if collapse is None else f"{collapse.side} {collapse.part}",
    }


def _embolus(study: Phantom, embolus: Embolus) -> dict[str, Any]:
    middle = embolus.path[len(embolus.path) // 2]
    return {
        "centre_lps_mm": study.grid.to_lps(middle)[0].round(2).tolist(),
        "kind": embolus.kind,
        "sides": sorted(study.findings.sides(embolus)),
        "length_mm": round(embolus.length_mm, 2),
        "vessel_radius_mm": round(float(embolus.radii_mm.mean()), 2),
        "lumen_share": round(embolus.share, 3),
        "hu": round(embolus.hu, 1),
    }
