"""The lung box against the truth of phantoms with what makes lungs hard to find."""

from pathlib import Path

import numpy as np
import pytest

from pectl.config import PhantomConfig, PreprocessConfig
from pectl.core.dicom.headers import find_files, read_header
from pectl.core.intake.lungs import find_lungs
from pectl.core.intake.volume import read_volume
from pectl.phantom.cohort import make_cohort

HARD = {
    "matrix_px": 128,
    "slices": 64,
    "effusion_probability": 0.5,
    "effusion_mm": (15.0, 95.0),
    "mass_probability": 0.5,
    "collapse_probability": 0.5,
    "arms_down_probability": 0.5,
    "deep_table_probability": 0.5,
    "field_of_view_mm": (330.0, 500.0),
    "noise_hu": (10.0, 30.0),
    "indeterminate_fraction": 0.1,
}


def losses(folder: Path) -> list[tuple[float, float, list[str]]]:
    """Of each study: the largest share of voxels lost outside the box, with air and without; codes."""
    found = []
    for path in sorted((folder / "truth").glob("*.npz")):
        headers = [header for file in find_files(folder / "train" / path.stem) if (header := read_header(file))]
        volume = read_volume(tuple(headers), min_slices=16, max_gap_mm=10.0)
        box, findings, _ = find_lungs(volume, PreprocessConfig())
        inside = tuple(slice(*edge) for edge in (box.d, box.h, box.w))
        with np.load(path) as truth:
            aerated, airless = truth["lung"], truth["collapse"] | truth["mass"]
        lost = [1.0 - mask[inside].sum() / max(mask.sum(), 1) for mask in (aerated, aerated | airless)]
        found.append((*lost, [finding.code for finding in findings]))
    return found


@pytest.mark.parametrize("seed", [3, 4])
def test_the_hardest_lungs_stay_inside(tmp_path, seed):
    """All at once, in each of three studies: fluid on both sides, tumour, collapse, arms down, a deep table."""
    everything = {name: 1.0 for name in HARD if name.endswith("_probability")}
    size = {"studies": 3, "matrix_px": 96, "slices": 48}
    make_cohort(tmp_path, PhantomConfig(**(HARD | everything | size)), seed=seed)
    found = losses(tmp_path)
    assert len(found) == 3
    assert max(aerated for aerated, _, _ in found) <= 0.001
    assert max(whole for _, whole, _ in found) <= 0.01
    assert {code for *_, codes in found for code in codes} <= {"lungs_cut_off"}


def test_motion_does_not_open_the_chest(tmp_path):
    """A wall that motion blurs is thin on the coarse grid: the lungs must not leak out of the body."""
    size = {"studies": 3, "matrix_px": 96, "slices": 48, "indeterminate_fraction": 1.0, "prevalence": 0.0}
    make_cohort(tmp_path, PhantomConfig(**(HARD | size)), seed=1)
    assert max(whole for _, whole, _ in losses(tmp_path)) <= 0.01


@pytest.mark.slow
def test_no_lung_is_lost_in_a_hundred_varied_phantoms(tmp_path):
    """At the default margin no more than 1 % of the lungs, with air or without, lies outside."""
    make_cohort(tmp_path, PhantomConfig(studies=100, **HARD), seed=1, workers=2)
    found = losses(tmp_path)
    assert len(found) == 100
    assert max(aerated for aerated, _, _ in found) <= 0.001
    assert max(whole for _, whole, _ in found) <= 0.01
    assert not [codes for *_, codes in found if "lung_box_fallback" in codes]
