from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from pectl.core.places.truth import PlacesTruth, read_truth
from pectl.core.stores.study_store import Study
from pectl.errors import InputMissingError
from pectl.explanation.masks import score_truth
from tests.explained import explanation_of

StudyFactory = Callable[..., Study]


@pytest.fixture
def study(make_study: StudyFactory) -> Study:
    made = make_study()
    made.hu[:] = 0
    return made


@pytest.fixture
def truth(study: Study) -> PlacesTruth:
    """On the study's own grid of 3 x 4 x 4 mm: a clot of one voxel in an artery of three."""
    embolus, artery = np.zeros(study.hu.shape, bool), np.zeros(study.hu.shape, bool)
    embolus[5, 10, 10] = True
    artery[5, 10, 9:12] = True
    lung = np.zeros(study.hu.shape, bool)
    lung[5, 10:12, :] = True
    return PlacesTruth(
        embolus=embolus, artery=artery, lung=lung, affine=study.affine, spacing_mm=np.array(study.spacing_mm)
    )


def heat_at(study: Study, *voxels: tuple[int, int, int]) -> np.ndarray:
    heat = np.zeros(study.hu.shape, np.float32)
    for voxel in voxels:
        heat[voxel] = 1.0
    return heat


@pytest.mark.parametrize(
    ("voxel", "hit"),
    [((5, 10, 10), True), ((5, 10, 11), True), ((6, 10, 11), True), ((5, 11, 11), False), ((7, 10, 10), False)],
)
def test_peak_within_5_mm_of_a_clot_is_a_hit(
    study: Study, truth: PlacesTruth, voxel: tuple[int, int, int], hit: bool
) -> None:
    assert score_truth(study, explanation_of(study, heat_at(study, voxel)), truth)["pointing_game"].heat == hit


def test_shares_and_baselines(study: Study, truth: PlacesTruth) -> None:
    study.hu[4:6, 10, 10] = 300  # brightness is the mean over 2 slices here
    heat = heat_at(study, (5, 10, 10), (5, 10, 9), (2, 2, 2), (2, 2, 3))
    found = score_truth(study, explanation_of(study, heat), truth)
    assert found["heat_in_arteries"] == (0.5, 3 / 48, 0.5)  # 48 voxels of lung, the artery among them
    assert found["heat_in_emboli"] == (0.25, 1 / 48, 0.5)  # half of the brightness lies in the slices beside
    assert found["pointing_game"].random_lung == 4 / 48  # the clot, and its neighbours left, right and behind
    assert found["pointing_game"].brightest_vessel == 1.0


def test_truth_on_another_grid_is_looked_up_by_position(study: Study, truth: PlacesTruth) -> None:
    moved = truth.affine.copy()
    moved[:3, 3] += moved[:3, :3] @ [2, 0, 0]
    shifted = replace(truth, affine=moved)
    found = score_truth(study, explanation_of(study, heat_at(study, (7, 10, 10))), shifted)
    assert found["heat_in_emboli"].heat == 1.0


def test_no_heat_is_a_miss(study: Study, truth: PlacesTruth) -> None:
    found = score_truth(study, explanation_of(study, heat_at(study)), truth)
    assert found["pointing_game"].heat == 0.0
    assert found["heat_in_emboli"].heat == 0.0


def test_a_phantom_without_emboli_has_no_measures(study: Study, truth: PlacesTruth) -> None:
    healthy = replace(truth, embolus=np.zeros_like(truth.embolus))
    assert score_truth(study, explanation_of(study, heat_at(study, (5, 10, 10))), healthy) == {}


def test_truth_file_comes_back(truth: PlacesTruth, tmp_path: Path) -> None:
    np.savez_compressed(
        tmp_path / "a.npz", **{name: found for name, found in asdict(truth).items() if found is not None}
    )
    assert read_truth(tmp_path / "a.npz").embolus.sum() == 1


def test_missing_or_incomplete_truth(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match=r"a.npz: expected the truth of a study, found .*No such file"):
        read_truth(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", lung=np.zeros(1))
    with pytest.raises(InputMissingError, match="'embolus"):
        read_truth(tmp_path / "b.npz")


def with_heart(study: Study, truth: PlacesTruth) -> PlacesTruth:
    """Ventricles of two voxels in slice 8, where the lung has four."""
    ventricle, lung = np.zeros(study.hu.shape, bool), truth.lung.copy()
    ventricle[8, 4, 4:6] = True
    lung[8, 20, :4] = True
    return replace(truth, ventricle=ventricle, lung=lung)


@pytest.mark.parametrize(
    ("voxel", "hit"),
    [((8, 4, 4), True), ((8, 6, 5), True), ((11, 4, 4), True), ((8, 4, 8), False), ((12, 4, 4), False)],
)
def test_rv_lv_peaks_within_10_mm_of_a_ventricle(
    study: Study, truth: PlacesTruth, voxel: tuple[int, int, int], hit: bool
) -> None:
    explanation = replace(explanation_of(study, heat_at(study, voxel)), label="rv_lv_ratio_gte_1")
    assert score_truth(study, explanation, with_heart(study, truth))["peak_near_ventricle"].heat == hit


def test_rv_lv_shares_and_baselines(study: Study, truth: PlacesTruth) -> None:
    study.hu[8:10, 4, 4] = 300  # brightness is the mean over 2 slices here: 150, 300, 150 in slices 8 to 10
    heat = heat_at(study, (8, 4, 4), (8, 4, 5), (8, 4, 7), (5, 10, 10))
    explanation = replace(explanation_of(study, heat), label="rv_lv_ratio_lt_1")
    found = score_truth(study, explanation, with_heart(study, truth))
    assert found["heat_in_ventricles"] == (0.5, 2 / 6, 0.25)  # 4 voxels of lung and 2 of ventricle in slice 8
    assert found["peak_near_ventricle"] == (0.0, 2 / 6, 1.0)  # the first of equal peaks is that in slice 5
    assert found["pointing_game"].heat == 1.0
    assert "pointing_chronic" not in found


def test_only_heat_of_rv_lv_is_judged_by_the_heart_and_only_where_it_is_marked(
    study: Study, truth: PlacesTruth
) -> None:
    explanation = explanation_of(study, heat_at(study, (8, 4, 4)))
    pe = {"pointing_game", "heat_in_arteries", "heat_in_emboli"}
    assert set(score_truth(study, explanation, with_heart(study, truth))) == pe
    of_ratio = replace(explanation, label="rv_lv_ratio_gte_1")
    assert set(score_truth(study, of_ratio, truth)) == pe
    outside = replace(truth, ventricle=np.zeros(study.hu.shape, bool))
    assert set(score_truth(study, of_ratio, outside)) == pe


def test_chronic_pe_peaks_at_a_chronic_embolus(study: Study, truth: PlacesTruth) -> None:
    both, chronic = truth.embolus.copy(), np.zeros(study.hu.shape, bool)
    both[5, 10, 20] = chronic[5, 10, 20] = True
    known = replace(truth, embolus=both, chronic=chronic)
    for column, pointing, of_chronic in ((10, 1.0, 0.0), (20, 1.0, 1.0), (21, 1.0, 1.0), (15, 0.0, 0.0)):
        explanation = replace(explanation_of(study, heat_at(study, (5, 10, column))), label="chronic_pe")
        found = score_truth(study, explanation, known)
        assert (found["pointing_game"].heat, found["pointing_chronic"].heat) == (pointing, of_chronic), column
        assert found["pointing_chronic"].random_lung == 4 / 48  # the clot, and its neighbours left, right and behind
    assert "pointing_chronic" not in score_truth(study, explanation_of(study, heat_at(study)), known)
    acute = replace(known, chronic=np.zeros(study.hu.shape, bool))
    assert "pointing_chronic" not in score_truth(study, explanation, acute)
