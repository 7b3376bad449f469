"""The lung box on drawn chests: both lungs inside, whatever happened to them; other anatomy refused."""

import sys
import types
import warnings

import numpy as np
import pytest
from scipy import ndimage

from pectl.config import PreprocessConfig
from pectl.core.intake.lungmask_model import check_available
from pectl.core.intake.lungs import find_lungs
from pectl.errors import StudyRefusedError, WeightsError

STEP_MM, PIXEL_MM = 4.0, 3.0
CONFIG = PreprocessConfig(margin_mm=0.0)
LUNG_D, LUNG_H, LUNG_W = (15, 65), (30, 80), ((18, 52), (68, 102))
"""Extent of the drawn lungs in voxels: slices, rows, columns of the right and of the left one."""


def chest(shape=(80, 110, 120)):
    """A body with two lungs, a heart full of contrast, a trachea that leads upwards, a spine, bowel gas, on a table."""
    d, h, w = np.ogrid[tuple(slice(size) for size in shape)]
    hu = np.full(shape, -1000.0)
    hu[np.broadcast_to(((h - 55) / 38) ** 2 + ((w - 60) / 54) ** 2 < 1, shape)] = 40
    for w0, w1 in LUNG_W:
        hu[ellipsoid(d, h, w, (LUNG_D, LUNG_H, (w0, w1)))] = -850
    hu[ellipsoid(d, h, w, ((15, 55), (34, 60), (50, 70)))] = 300
    hu[:, 84:90, 55:65] = 400
    hu[40:, 50:56, 57:63] = -1000
    hu[:, 96:98, 10:110] = 100
    hu[2:8, 45:60, 70:90] = -1000
    return hu


def ellipsoid(d, h, w, ranges):
    inside = 0.0
    for axis, (start, stop) in zip((d, h, w), ranges, strict=True):
        inside = inside + ((axis - (start + stop - 1) / 2) / ((stop - start) / 2)) ** 2
    return inside < 1


@pytest.fixture
def find(make_volume):
    def find(hu, config=CONFIG):
        return find_lungs(make_volume(hu, step_mm=STEP_MM, pixel_spacing_mm=(PIXEL_MM, PIXEL_MM)), config)[:2]

    return find


def slack(box):
    """How far the box reaches beyond the drawn lungs on each side, in mm."""
    wanted = LUNG_D, LUNG_H, (LUNG_W[0][0], LUNG_W[1][1])
    steps = STEP_MM, PIXEL_MM, PIXEL_MM
    return [
        (sign * (found - true)) * step
        for pair, true_pair, step in zip((box.d, box.h, box.w), wanted, steps, strict=True)
        for sign, found, true in zip((-1, 1), pair, true_pair, strict=True)
    ]


def test_the_box_fits_both_lungs(find):
    box, findings = find(chest())
    assert findings == []
    assert min(slack(box)) >= -4.0
    assert max(slack(box)) <= 12.0


def test_the_margin_is_in_mm_and_ends_at_the_volume(find):
    tight, _ = find(chest())
    box, _ = find(chest(), PreprocessConfig(margin_mm=12.0))
    assert (box.d[0], box.d[1]) == (tight.d[0] - 3, tight.d[1] + 3)
    assert (box.h[0], box.w[1]) == (tight.h[0] - 4, tight.w[1] + 4)
    box, _ = find(chest(), PreprocessConfig(margin_mm=100.0))
    assert (box.d, box.h, box.w) == ((0, 80), (0, 110), (0, 120))


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("lost", ["all", "outer half", "lower half"])
def test_a_side_lost_to_effusion_or_mass_stays_inside(find, side, lost):
    hu = chest()
    w0, w1 = LUNG_W[side]
    part = {
        "all": np.s_[:, :, w0:w1],
        "outer half": np.s_[:, :, w0 : w0 + 17] if side == 0 else np.s_[:, :, w1 - 17 : w1],
        "lower half": np.s_[:40, :, w0:w1],
    }[lost]
    hu[part] = np.where(hu[part] == -850, 20, hu[part])
    assert min(slack(find(hu)[0])) >= -6.0


def test_thin_recesses_beside_the_diaphragm_are_inside(find):
    hu = chest()
    dome = np.stack([ndimage.binary_erosion(plane, iterations=3) for plane in hu == -850])
    dome[36:] = False
    hu[dome] = 60
    box, _ = find(hu)
    assert min(slack(box)) >= -6.0


def test_a_wide_patient_and_arms_beside_the_body(find):
    hu = np.full((80, 110, 160), -1000.0)
    hu[:, :, 20:140] = chest()
    hu[:, 50:75, 3:18] = 40
    hu[:, 50:75, 142:157] = 40
    box, _ = find(hu)
    assert box.w[0] <= 20 + LUNG_W[0][0] + 1
    assert box.w[1] >= 20 + LUNG_W[1][1] - 1


def test_emphysema_is_lung_and_bowel_gas_is_not(find):
    hu = chest()
    hu[hu == -850] = -945
    hu[2:10, 40:70, 25:95] = -1000  # a colon of a litre below the lungs
    box, _ = find(hu)
    assert min(slack(box)) >= -4.0
    assert max(slack(box)) <= 12.0


def test_a_scan_that_ends_inside_the_lungs_is_flagged(find):
    box, findings = find(chest()[30:])
    assert [finding.code for finding in findings] == ["lungs_cut_off"]
    assert "cm2 of lung in the lower slice" in findings[0].detail
    assert box.d[0] == 0


@pytest.mark.parametrize("part", [np.s_[50:], np.s_[:30]], ids=["neck", "abdomen"])
def test_a_short_piece_of_the_lungs_is_refused(find, part):
    with pytest.raises(
        StudyRefusedError, match=r"expected 120 mm of lung or more, found \d+ mm, \d+ cm2 of lung in the"
    ) as caught:
        find(chest()[part])
    assert caught.value.code == "lungs_incomplete"


def test_a_body_without_lungs_is_refused(find):
    hu = chest()
    hu[hu == -850] = 40
    with pytest.raises(StudyRefusedError, match="lungs: expected 300 ml of aerated lung or more, found 0 ml") as caught:
        find(hu)
    assert caught.value.code == "not_chest"


@pytest.mark.parametrize("value", [-1000, -1024])
def test_lungs_at_the_value_of_air_are_called_clipped_and_not_another_body_part(find, value):
    hu = chest()
    hu[hu <= -850] = value
    message = rf"expected lung and air of different HU, found \d+ ml in the body at the {value} HU of the air around it"
    with pytest.raises(StudyRefusedError, match=f"{message}; export the series again with all its values") as caught:
        find(hu)
    assert caught.value.code == "clipped_hu"


def test_bowel_gas_with_noise_is_not_called_clipped(find):
    hu = chest()
    hu[hu == -850] = 40
    hu[2:10, 40:70, 25:95] = -1000
    hu += np.random.default_rng(0).normal(0, 15, hu.shape)
    with pytest.raises(StudyRefusedError, match="lungs: expected 300 ml of aerated lung") as caught:
        find(hu)
    assert caught.value.code == "not_chest"


def test_a_field_of_view_inside_the_body_is_flagged(find):
    box, findings = find(chest()[:, 25:85, 25:95])
    assert [finding.code for finding in findings] == ["lungs_cut_off"]
    assert findings[0].detail == "field of view inside the body"
    assert box.w == (0, 70)


def test_an_implausible_box_falls_back_to_the_body(find):
    """What is left of both lungs is one narrow strip beside the midline."""
    hu = chest()
    hu[:, :, :45] = np.where(hu[:, :, :45] == -850, 40, hu[:, :, :45])
    hu[:, :, 75:] = np.where(hu[:, :, 75:] == -850, 40, hu[:, :, 75:])
    box, findings = find(hu)
    assert [finding.code for finding in findings] == ["lung_box_fallback"]
    assert box.w[0] <= 8
    assert box.w[1] >= 112
    assert box.d == (0, 80)


def test_lungmask_is_used_where_it_is_installed(find, monkeypatch, tmp_path):
    calls = []

    class LMInferer:
        def __init__(self, **options):
            calls.append(options)

        def apply(self, hu):
            return (hu == -850).astype(np.uint8) * 2

    weights = tmp_path / "r231.pth"
    weights.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "lungmask", types.SimpleNamespace(LMInferer=LMInferer))
    config = PreprocessConfig(margin_mm=0.0, lungs="lungmask", lungmask_weights=weights)
    check_available(config)
    box, _ = find(chest(), config)
    assert min(slack(box)) >= -4.0
    assert max(slack(box)) <= 12.0
    assert calls[0] == {"modelname": "R231", "modelpath": str(weights), "tqdm_disable": True}


def test_lungmask_silences_no_warning_of_the_process(monkeypatch, tmp_path):
    """The package's import does what this stand-in does."""
    (tmp_path / "lungmask.py").write_text(
        "import warnings\nwarnings.filterwarnings('ignore', category=UserWarning)\n"
        "warnings.simplefilter('ignore')\nclass LMInferer:\n    def __init__(self, **options): pass\n"
    )
    monkeypatch.delitem(sys.modules, "lungmask", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    weights = tmp_path / "r231.pth"
    weights.write_bytes(b"")
    before = warnings.filters[:]
    check_available(PreprocessConfig(lungs="lungmask", lungmask_weights=weights))
    monkeypatch.delitem(sys.modules, "lungmask")
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", UserWarning, stacklevel=1)


def test_lungmask_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "lungmask", None)
    with pytest.raises(WeightsError, match=r"found not installed; pip install 'pectl\[lungmask\]'"):
        check_available(PreprocessConfig(lungs="lungmask"))


@pytest.mark.parametrize("weights", [None, "nowhere.pth"])
def test_lungmask_without_weights(monkeypatch, weights):
    monkeypatch.setitem(sys.modules, "lungmask", types.SimpleNamespace())
    config = PreprocessConfig(lungs="lungmask", lungmask_weights=weights)
    found = "none set" if weights is None else "no file nowhere.pth"
    with pytest.raises(WeightsError, match=f"found {found}; fetch it from .* set preprocess.lungmask_weights"):
        check_available(config)


def test_the_threshold_method_needs_nothing():
    check_available(PreprocessConfig())
