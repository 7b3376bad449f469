from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pectl.core.stores.study_store import Study
from pectl.explanation.baselines import lung_positions, vessel_brightness
from pectl.explanation.explainer import Explanation, find_peak
from pectl.explanation.heat_geometry import left_share, source_heat
from pectl.explanation.score import score_labels

StudyFactory = Callable[..., Study]


def explanation_of(study: Study, heat: np.ndarray) -> Explanation:
    slice_heat = heat.max(axis=(1, 2))
    none = np.zeros(1, np.float32)
    return Explanation(
        uid=study.uid,
        label="pe_present",
        method="grad-cam",
        heat=heat,
        slice_heat=slice_heat,
        source_heat=source_heat(study, slice_heat),
        length=10,
        window_start=np.zeros(1, np.int64),
        window_logit=none,
        refined_logit=none,
        attention=np.ones((9, 1), np.float32),
        exam_score={},
        peak=find_peak(study, heat),
        left_share=left_share(study, heat),
        seconds=0.0,
    )


def heat_at(study: Study, *voxels: tuple[int, int, int]) -> np.ndarray:
    heat = np.zeros(study.hu.shape, np.float32)
    for rank, voxel in enumerate(voxels):
        heat[voxel] = len(voxels) - rank
    return heat


def test_peak_in_a_slice_with_pe_on_the_labelled_side(make_study: StudyFactory) -> None:
    study = make_study(positive=slice(4, 7))
    found = score_labels(study, explanation_of(study, heat_at(study, (5, 3, 20))))
    assert found["peak_in_pe_slice"].heat == 1.0
    assert found["peak_in_pe_slice"].random_lung == 3 / 16  # noise has no lungs: any place of the grid
    assert found["side_agreement"].heat == 1.0
    assert found["side_agreement"].random_lung == 0.5


def test_peak_elsewhere_is_a_miss_and_the_side_is_wrong(make_study: StudyFactory) -> None:
    study = make_study(positive=slice(4, 7), side="right")
    found = score_labels(study, explanation_of(study, heat_at(study, (9, 3, 20), (5, 3, 3))))
    assert found["peak_in_pe_slice"].heat == 0.0
    assert found["side_agreement"].heat == 0.0


def test_no_heat_is_a_miss_in_every_measure(make_study: StudyFactory) -> None:
    study = make_study()
    found = score_labels(study, explanation_of(study, heat_at(study)))
    assert found["peak_in_pe_slice"].heat == 0.0
    assert found["side_agreement"].heat == 0.0
    assert found["slice_auroc"].heat == 0.5


def test_what_labels_cannot_tell_is_left_out(make_study: StudyFactory) -> None:
    both = make_study(side="both")
    assert set(score_labels(both, explanation_of(both, heat_at(both)))) == {"peak_in_pe_slice", "slice_auroc"}
    unknown = make_study()
    unknown.source.label[:], unknown.slice_label[:] = -1, -1
    unknown.exam_labels.update(dict.fromkeys(unknown.exam_labels))
    assert score_labels(unknown, explanation_of(unknown, heat_at(unknown))) == {}


def test_slice_auroc_is_over_labelled_original_slices_inside_the_grid(make_study: StudyFactory) -> None:
    study = make_study()
    heat = np.random.default_rng(1).random(study.hu.shape).astype(np.float32)
    study.source.label[0] = -1
    study.source.grid_index[5] = -1
    kept = [k for k in range(16) if k not in (0, 5)]
    found = score_labels(study, explanation_of(study, heat))["slice_auroc"]
    truth, slices = study.source.label[kept] == 1, heat.max(axis=(1, 2))[kept]
    assert found.heat == pytest.approx(roc_auc_score(truth, slices))
    assert found.random_lung == 0.5


def test_brightest_vessel_is_no_bone(make_study: StudyFactory) -> None:
    study = make_study(positive=slice(4, 7))
    study.hu[:] = 0
    study.hu[10:14, 5:12, 5:12] = 1200
    study.hu[4:7, 12:15, 14:17] = 400
    bright = vessel_brightness(study)
    assert bright[5, 13, 15] == bright.max() == 400
    assert bright[12, 8, 8] == 0
    found = score_labels(study, explanation_of(study, heat_at(study)))
    assert found["peak_in_pe_slice"].brightest_vessel == 1.0
    assert found["side_agreement"].brightest_vessel == 1.0
    assert found["slice_auroc"].brightest_vessel > 0.5


def test_random_position_lies_in_the_aerated_lungs(make_study: StudyFactory) -> None:
    """Two ellipsoids of air in a block of tissue, the right one larger; outside room air."""
    study = make_study(shape=(60, 80, 90), spacing_mm=(3.0, 4.0, 4.0), positive=slice(0, 30))
    d, h, w = np.indices(study.hu.shape)
    study.hu[:] = 40
    study.hu[:, :4], study.hu[:, -4:], study.hu[:, :, :4], study.hu[:, :, -4:] = -1000, -1000, -1000, -1000
    right = ((d - 30) / 28) ** 2 + ((h - 40) / 25) ** 2 + ((w - 25) / 18) ** 2 < 1
    left = ((d - 40) / 15) ** 2 + ((h - 40) / 20) ** 2 + ((w - 65) / 16) ** 2 < 1
    study.hu[right | left] = -850
    positions = lung_positions(study)
    assert (right | left)[tuple(positions.T)].all()
    assert len(positions) == pytest.approx((right | left).sum(), rel=0.05)
    found = score_labels(study, explanation_of(study, heat_at(study)))
    share = (right | left)[:30].sum() / (right | left).sum()
    assert found["peak_in_pe_slice"].random_lung == pytest.approx(share, abs=0.01)
    assert found["side_agreement"].random_lung == pytest.approx(left.sum() / (right | left).sum(), abs=0.02)
