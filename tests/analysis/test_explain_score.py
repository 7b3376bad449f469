import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pectl.analysis.explain import Explanation, find_peak
from pectl.analysis.explain_score import (
    StudyScore,
    explain_split,
    score_explanations,
    score_study,
    vessel_brightness,
)
from pectl.analysis.heat_geometry import left_share, source_heat
from pectl.analysis.intervals import wilson
from pectl.core.data.study_store import Study

StudyFactory = Callable[..., Study]


def explanation_of(study: Study, heat: np.ndarray) -> Explanation:
    slice_heat = heat.max(axis=(1, 2))
    none = np.zeros(1, np.float32)
    return Explanation(
        uid=study.uid, label="pe_present", method="grad-cam", heat=heat, slice_heat=slice_heat,
        source_heat=source_heat(study, slice_heat), length=10, window_start=np.zeros(1, np.int64),
        window_logit=none, refined_logit=none, attention=np.ones((9, 1), np.float32), exam_probability={},
        peak=find_peak(study, heat), left_share=left_share(study, heat), seconds=0.0,
    )  # fmt: skip


def heat_at(study: Study, *voxels: tuple[int, int, int]) -> np.ndarray:
    heat = np.zeros(study.hu.shape, np.float32)
    for rank, voxel in enumerate(voxels):
        heat[voxel] = len(voxels) - rank
    return heat


def test_peak_in_a_slice_with_pe_is_a_hit(make_study: StudyFactory) -> None:
    study = make_study(positive=slice(4, 7))
    score = score_study(study, explanation_of(study, heat_at(study, (5, 3, 20))))
    assert score.positive
    assert score.hit
    assert score.side_agrees
    assert score.random_hit == 3 / 16


def test_peak_elsewhere_is_a_miss_and_the_side_is_wrong(make_study: StudyFactory) -> None:
    study = make_study(positive=slice(4, 7), side="right")
    score = score_study(study, explanation_of(study, heat_at(study, (9, 3, 20), (5, 3, 3))))
    assert not score.hit
    assert score.side_agrees is False


def test_no_heat_is_a_miss_without_a_side(make_study: StudyFactory) -> None:
    study = make_study()
    score = score_study(study, explanation_of(study, heat_at(study)))
    assert not score.hit
    assert score.side_agrees is None
    assert score.auroc == 0.5


def test_both_sides_have_no_side_to_agree_with(make_study: StudyFactory) -> None:
    study = make_study(side="both")
    assert score_study(study, explanation_of(study, heat_at(study, (5, 3, 20)))).side_agrees is None


def test_slice_auroc_is_over_labelled_original_slices_inside_the_grid(make_study: StudyFactory) -> None:
    study = make_study()
    heat = np.random.default_rng(1).random(study.hu.shape).astype(np.float32)
    study.source.label[0] = -1
    study.source.grid_index[5] = -1
    kept = [k for k in range(16) if k not in (0, 5)]
    score = score_study(study, explanation_of(study, heat))
    truth, slices = study.source.label[kept] == 1, heat.max(axis=(1, 2))[kept]
    assert score.auroc == pytest.approx(roc_auc_score(truth, slices))


def test_brightest_vessel_is_no_bone(make_study: StudyFactory) -> None:
    study = make_study(positive=slice(4, 7))
    study.hu[:] = 0
    study.hu[10:14, 5:12, 5:12] = 1200
    study.hu[4:7, 12:15, 12:15] = 400
    bright = vessel_brightness(study)
    assert bright.argmax() == np.ravel_multi_index((5, 13, 13), bright.shape) or bright[5, 13, 13] == bright.max()
    assert bright[12, 8, 8] == 0
    assert score_study(study, explanation_of(study, heat_at(study))).brightest_hit


def score(**changes: object) -> StudyScore:
    plain = StudyScore(
        uid="a",
        positive=True,
        hit=True,
        random_hit=0.25,
        brightest_hit=False,
        auroc=0.9,
        brightest_auroc=0.6,
        side_agrees=True,
    )
    return replace(plain, **changes)


def test_summary_counts_positive_studies_only() -> None:
    missed = score(hit=False, side_agrees=None, auroc=math.nan)
    scores = [score(), score(auroc=0.7), missed, score(positive=False, hit=False)]
    summary = score_explanations(scores)
    low, high = wilson(2, 3, 0.95)
    assert summary["statement"] == (
        "Grad-CAM's peak lies in a slice with PE in 2 of 3 positive test studies (95 % CI 21 to 94 %)."
    )
    assert (round(100 * low), round(100 * high)) == (21, 94)
    assert summary["n_studies"] == 4
    assert summary["n_positive"] == 3
    assert summary["peak_in_pe_slice_share"] == 0.6667
    assert summary["slice_auroc_median"] == 0.8
    assert summary["random_slice_share"] == 0.25
    assert summary["brightest_vessel_share"] == 0.0
    assert summary["side_agreement_share"] == 1.0
    assert summary["n_one_sided"] == 2
    assert summary["use"] == "research use only, not for diagnosis"


def test_summary_without_positive_studies_says_so() -> None:
    summary = score_explanations([score(positive=False)], split="val")
    assert summary["statement"] == "No val study has a slice labelled PE, so Grad-CAM's peak can't be scored."
    assert summary["peak_in_pe_slice_share"] is None
    assert summary["slice_auroc_median"] is None


class Always:
    """An explainer whose heat lies in slice 5."""

    method = "layer-cam"

    def explain(self, study: Study) -> Explanation:
        return explanation_of(study, heat_at(study, (5, 3, 20)))


def test_split_is_explained_one_study_at_a_time(make_study: StudyFactory) -> None:
    seen = []

    def show(study: Study, explanation: Explanation) -> dict[str, str]:
        seen.append((study.uid, explanation.peak.grid_index))
        return {"image": f"{study.uid}/slice_1.png"}

    studies = (make_study(uid=uid, positive=span) for uid, span in (("a", slice(4, 7)), ("b", slice(9, 12))))
    summary = explain_split(studies, Always(), show=show)
    assert seen == [("a", (5, 3, 20)), ("b", (5, 3, 20))]
    assert summary["peak_in_pe_slice"] == 1
    assert summary["statement"].startswith("Layer-CAM's peak lies in a slice with PE in 1 of 2 positive")
    assert summary["studies"] == {"a": {"image": "a/slice_1.png"}, "b": {"image": "b/slice_1.png"}}
    assert explain_split([make_study()], Always())["studies"] == {}
