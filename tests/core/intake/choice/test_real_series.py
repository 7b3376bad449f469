"""The intake on real CT files: what becomes a study, what it knows, and what is refused for which reason."""

import re

import numpy as np
import pytest

from pectl.config import PreprocessConfig
from pectl.core.dicom.headers import find_files, read_header
from pectl.core.dicom.pixels import read_hu
from pectl.core.intake.choice.series import rank_series
from pectl.core.intake.examine import examine, make_study
from pectl.core.intake.lungs import find_lungs
from pectl.core.intake.study_labels import StudyLabels
from pectl.core.intake.volume import read_volume
from pectl.errors import StudyRefusedError

pytestmark = pytest.mark.real

CONFIG = PreprocessConfig()


def headers_below(folder):
    return [header for path in find_files(folder) if (header := read_header(path))]


def intake(folder):
    examined = judged(folder)
    return make_study(examined.usable, examined.verdict, CONFIG, StudyLabels())


def judged(folder):
    return examine("1", headers_below(folder), CONFIG, labels=StudyLabels())


def box_mm(study):
    return [size * step for size, step in zip(study.hu.shape, study.spacing_mm, strict=True)]


def air_share(study, part):
    """Share of voxels of lung in a part of the box."""
    values = study.hu[part]
    return float(((values < -600) & (values > -980)).mean())


def test_a_chest_with_a_large_mass_and_effusion(real_data):
    study = intake(real_data / "ct" / "chest_lidc_0314")
    assert len(study.source.position_mm) == 275
    assert study.slice_step_mm == pytest.approx(1.0, abs=1e-3)
    assert study.flags == ("no_contrast",)
    assert list(np.argsort(study.source.image_position_patient[:, 2])) == list(range(275))
    depth, height, width = box_mm(study)
    assert 240 < depth < 275
    assert 240 < height == pytest.approx(width)
    # both sides of the spine are inside: bone near the middle of the back, lung on either side, lower right one too
    third = study.hu.shape[2] // 3
    assert air_share(study, np.s_[:, :, :third]) > 0.1
    assert air_share(study, np.s_[:, :, -third:]) > 0.2
    spine = (study.hu[:, 120:, :] > 300).sum(axis=(0, 1)).argmax() / study.hu.shape[2]
    assert 0.4 < spine < 0.6


def test_the_right_chest_wall_of_that_chest_is_inside(real_data):
    """The ribs, not only what is left of the right lung: the box is symmetric about the body."""
    headers = headers_below(real_data / "ct" / "chest_lidc_0314")
    volume = read_volume(rank_series(headers, CONFIG)[0].headers, min_slices=16, max_gap_mm=10)
    box, findings, _ = find_lungs(volume, CONFIG)
    assert [finding.code for finding in findings] == ["no_contrast"]
    body = (volume.hu[box.d[0] : box.d[1] : 4, :, ::4] > -300).mean(axis=(0, 1))
    columns = np.flatnonzero(body > 0.05) * 4
    middle = (columns[0] + columns[-1]) / 2
    assert (box.w[0] + box.w[1]) / 2 == pytest.approx(middle, abs=20)


CHESTS = {
    "chest_planning_3mm_j2k": (98, 3.0, {"no_contrast"}),
    "chest_thick_8mm": (30, 8.0, {"thick_slices", "no_contrast"}),
    "cta_heart_pulmonary_artery_crop": (112, 1.5, {"derived_series", "lungs_cut_off"}),
}


@pytest.mark.parametrize("name", CHESTS)
def test_other_chests(real_data, name):
    n_slices, step_mm, flags = CHESTS[name]
    study = intake(real_data / "ct" / name)
    assert len(study.source.position_mm) == n_slices
    assert study.slice_step_mm == pytest.approx(step_mm, abs=1e-3)
    assert set(study.flags) == flags
    assert study.spacing_mm[0] == 1.0
    # upright: the spine is behind the middle, the lower end holds less lung than the middle
    bone = (study.hu > 600).any(axis=0) if flags else (study.hu > 300).any(axis=0)
    assert np.flatnonzero(bone.any(axis=1)).mean() > 0
    assert air_share(study, np.s_[len(study.hu) // 2]) > air_share(study, np.s_[0]) - 0.05


REFUSED = {
    "ct/neck_upper_chest_contrast_j2k": ("lungs_incomplete", "expected 120 mm of lung or more, found"),
    "ct/ctpa_single_slices": ("too_few_slices", "found 1 x not_axial"),
    "wrong_anatomy/head_ct_ge_tilt_variable_spacing": ("not_chest", "found 0 ml"),
    "wrong_anatomy/localizers_and_exam_summaries": ("localizer", "found 4 x localizer .*; 3 x screen_capture"),
    "wrong_anatomy/abdomen_contrast_totalseg": ("missing_uid", "UIDs of study, series and images"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_chest_is_refused_with_its_reason(real_data, name):
    code, message = REFUSED[name]
    outcome = judged(real_data / name).verdict.outcome
    assert outcome.code == code
    assert re.search(message, outcome.detail)


def test_an_abdomen_is_no_chest_even_with_uids(real_data):
    headers = headers_below(real_data / "wrong_anatomy" / "abdomen_contrast_totalseg")
    volume = read_volume(tuple(headers), min_slices=16, max_gap_mm=10)
    with pytest.raises(StudyRefusedError) as caught:
        find_lungs(volume, CONFIG)
    assert caught.value.code in ("not_chest", "lungs_incomplete")


def test_a_tilted_head_says_so(real_data):
    headers = headers_below(real_data / "wrong_anatomy" / "head_ct_ge_tilt_variable_spacing")
    volume = read_volume(tuple(headers), min_slices=16, max_gap_mm=10)
    assert {"gantry_tilt", "oblique", "missing_slices"} <= {finding.code for finding in volume.findings}


def test_every_syntax_decodes_to_one_image_or_is_named(real_data):
    """One CT slice in 15 transfer syntaxes: the lossless ones agree exactly, the lossy ones nearly."""
    headers = headers_below(real_data / "hostile" / "transfer_syntaxes_cornerstone")
    found, refused = {}, []
    for header in headers:
        if header.path.name.startswith("CTImage") and header.bits_allocated == 16:
            out = np.empty((header.rows, header.columns), np.int16)
            try:
                read_hu(header, out)
            except StudyRefusedError as error:
                refused.append((header.transfer_syntax, error.code))
            else:
                found[header.path.name] = out
    # lossy JPEG of 12 bits, and two processes that the standard retired: no plug-in of a free licence decodes them
    assert sorted(refused) == [(f"1.2.840.10008.1.2.4.{n}", "undecodable_pixel_data") for n in (51, 53, 55)]
    assert len(found) == 12
    reference = found["CTImage.dcm"]
    for name, out in found.items():
        lossy = any(word in name for word in ("Lossy", "JPEG2000Transfer"))
        assert np.abs(out.astype(int) - reference).max() <= (60 if lossy else 0), name
