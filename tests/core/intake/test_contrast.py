"""Contrast in the great vessels, measured on phantoms and on real slices."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from pectl.config import PhantomConfig, PreprocessConfig
from pectl.core.dicom.headers import find_files, read_header
from pectl.core.dicom.pixels import read_hu
from pectl.core.intake.coarse import Coarse
from pectl.core.intake.contrast import LEAST_HU, contrast_findings, vessel_hu
from pectl.core.intake.lungs import find_lungs
from pectl.core.intake.volume import read_volume
from pectl.phantom.cohort import make_cohort
from pectl.phantom.truth import read_geometry

PIXEL_MM = 4.0


@pytest.fixture
def drawn():
    """A coarse chest: soft tissue of 50 HU between two lungs, a breast bone and a spine as bright as contrast."""
    hu = np.full((50, 60, 80), 50, np.int16)
    lungs = np.zeros(hu.shape, bool)
    lungs[5:45, 8:52, 6:30] = lungs[5:45, 8:52, 50:74] = True
    hu[lungs] = -850
    hu[:, 2:8, 34:46] = hu[:, 36:60, 34:46] = 400
    return Coarse(hu, np.arange(50), (1.0, 1.0), (PIXEL_MM, PIXEL_MM, PIXEL_MM)), lungs


def with_vessel(coarse, radius_px, hu, column=40):
    values = coarse.hu.copy()
    _, h, w = np.ogrid[:50, :60, :80]
    values[np.broadcast_to((h - 22) ** 2 + (w - column) ** 2 <= radius_px**2, values.shape)] = hu
    return replace(coarse, hu=values)


def test_bones_are_no_vessels(drawn):
    coarse, lungs = drawn
    bright = vessel_hu(coarse, lungs, width=(6, 74))
    assert bright == 50.0
    (finding,) = contrast_findings(bright)
    assert (finding.code, finding.level) == ("no_contrast", "warning")
    assert finding.detail == "50 HU in the great vessels between the lungs"


@pytest.mark.parametrize(("hu", "warns"), [(60, True), (LEAST_HU - 3, True), (LEAST_HU + 3, False), (350, False)])
def test_a_large_vessel_decides_by_its_hu(drawn, hu, warns):
    coarse, lungs = drawn
    bright = vessel_hu(with_vessel(coarse, 4, hu), lungs, width=(6, 74))
    assert bright == hu if hu > 50 else bright == 50.0
    assert bool(contrast_findings(bright)) is warns


def test_a_thin_vessel_of_undiluted_contrast_beside_it_decides_nothing(drawn):
    """A superior vena cava of 20 mm and 900 HU, a pulmonary trunk of 32 mm and 210 HU."""
    coarse, lungs = drawn
    both = with_vessel(with_vessel(coarse, 4, 210), 2.5, 900, column=48)
    assert vessel_hu(both, lungs, width=(6, 74)) == 210.0
    assert vessel_hu(with_vessel(coarse, 2.5, 900), lungs, width=(6, 74)) == 50.0


def test_a_speck_of_calcium_decides_nothing(drawn):
    coarse, lungs = drawn
    values = coarse.hu.copy()
    values[20:22, 22:24, 40:42] = 1500
    assert vessel_hu(replace(coarse, hu=values), lungs, width=(6, 74)) == 50.0


def test_too_little_mediastinum_says_nothing(drawn):
    coarse, lungs = drawn
    assert np.isnan(vessel_hu(replace(coarse, spacing_mm=(1.0, 1.0, 1.0)), lungs, width=(6, 74)))
    assert contrast_findings(np.nan) == []


@pytest.mark.parametrize(("hu", "warns"), [((25.0, 60.0), True), ((250.0, 260.0), False)])
def test_phantoms_with_and_without_contrast(tmp_path, hu, warns):
    config = PhantomConfig(
        studies=3,
        matrix_px=96,
        slices=48,
        contrast_hu=hu,
        indeterminate_fraction=0.0,
        mass_probability=0.5,
        collapse_probability=0.5,
        noise_hu=(15.0, 35.0),
    )
    make_cohort(tmp_path, config, seed=5)
    for folder in sorted((tmp_path / "train").iterdir()):
        headers = [header for path in find_files(folder) if (header := read_header(path))]
        volume = read_volume(tuple(headers), min_slices=16, max_gap_mm=10.0)
        _, findings, bright = find_lungs(volume, PreprocessConfig())
        blood = read_geometry(tmp_path / "truth" / f"{folder.name}.npz")["artery_hu"]
        assert bright == pytest.approx(blood, rel=0.08) or warns
        assert ("no_contrast" in [finding.code for finding in findings]) is warns


@pytest.mark.real
def test_single_slices_of_real_angiograms_have_contrast(real_data):
    """Each slice stands for a stack of itself."""
    paths = sorted((real_data / "ct" / "ctpa_single_slices").glob("*axial*.dcm"))
    assert len(paths) == 3
    for path in paths:
        header = read_header(path)
        hu = np.empty((header.rows, header.columns), np.int16)
        read_hu(header, hu)
        side = round(header.rows * header.pixel_spacing_mm[0] / PIXEL_MM)
        small = cv2.resize(hu, (side, side), interpolation=cv2.INTER_AREA)
        lungs = np.zeros(small.shape, bool)
        inner = np.s_[side // 6 : -side // 6, side // 6 : -side // 6]
        lungs[inner] = (small < -600)[inner]
        columns = np.flatnonzero(lungs.any(axis=0))
        stack = Coarse(np.repeat(small[None], 12, 0), np.arange(12), (1.0, 1.0), (PIXEL_MM,) * 3)
        bright = vessel_hu(stack, np.repeat(lungs[None], 12, 0), width=(int(columns[0]), int(columns[-1]) + 1))
        assert bright > 180.0
