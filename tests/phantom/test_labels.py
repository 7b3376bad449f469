import numpy as np
import pytest

from pectl.config import PhantomConfig
from pectl.phantom.emboli import image_area_mm2
from pectl.phantom.labels import exam_labels
from pectl.phantom.study import draw_phantom

HARD = PhantomConfig(
    matrix_px=64,
    slices=48,
    emboli=(1, 4),
    min_artery_radius_mm=2.0,
    embolus_length_mm=(10.0, 50.0),
    central_share=0.2,
    lumen_share=(0.3, 0.9),
    chronic_share=0.3,
    acute_and_chronic_share=0.3,
    present_area_mm2=10.0,
    flow_probability=0.3,
    other_defect_probability=0.3,
)
POSITIVE_LABELS = (
    "chronic_pe",
    "acute_and_chronic_pe",
    "central_pe",
    "leftsided_pe",
    "rightsided_pe",
    "rv_lv_ratio_gte_1",
    "rv_lv_ratio_lt_1",
)


def images_with_pe(study, config):
    slab, mask = study.grid.whole(), np.zeros(study.grid.shape, dtype=bool)
    for embolus in study.findings.emboli:
        box, share = embolus.fill(slab)
        mask[box] |= share > 0.5
    return image_area_mm2(mask, study.grid.spacing_mm) >= config.present_area_mm2


@pytest.mark.parametrize("exam", ["negative", "positive", "indeterminate"])
def test_labels_obey_the_rules_of_rspect(exam):
    seen = set()
    for seed in range(24 if exam == "positive" else 6):
        study = draw_phantom(np.random.default_rng([seed, 1]), HARD, exam)
        labels = exam_labels(study.findings)
        positive = images_with_pe(study, HARD).any()
        assert positive == (exam == "positive")
        assert positive + labels["negative_exam_for_pe"] + labels["indeterminate"] == 1
        assert labels["rv_lv_ratio_gte_1"] + labels["rv_lv_ratio_lt_1"] == positive
        assert labels["indeterminate"] == (labels["qa_motion"] or labels["qa_contrast"])
        assert labels["chronic_pe"] + labels["acute_and_chronic_pe"] <= 1
        if positive:
            assert labels["central_pe"] or labels["leftsided_pe"] or labels["rightsided_pe"]
            assert labels["rv_lv_ratio_gte_1"] == (
                study.anatomy.heart.rv_diameter_mm >= study.anatomy.heart.lv_diameter_mm
            )
        else:
            assert not any(labels[name] for name in POSITIVE_LABELS)
        seen |= {name for name, value in labels.items() if value}
    if exam == "positive":
        assert seen >= set(POSITIVE_LABELS) | {"flow_artifact", "true_filling_defect_not_pe"}


def test_sides_come_from_the_arteries_that_hold_the_emboli():
    for seed in range(12):
        findings = draw_phantom(np.random.default_rng([seed, 2]), HARD, "positive").findings
        for embolus in findings.emboli:
            touched = [findings.tree.branches[index] for index in embolus.branches]
            sides = findings.sides(embolus)
            assert ("central" in sides) == any(branch.level in ("trunk", "main") for branch in touched)
            x = embolus.path[:, 0]
            if "left" not in sides:
                assert x.max() < 20.0
            if "right" not in sides:
                assert x.min() > 10.0
