"""Every choice of stage 2 at once goes through training, evaluation, decisions and explanation."""

import json

import numpy as np
import pandas as pd
import pytest

CHOICES = (
    "head=hierarchical",
    "position=true",
    "ensemble=2",
    "label_smoothing=0.05",
    "focal_gamma=1",
    "model=gru",
    "window_loss=positive-studies",
)


def test_answers_cohere_from_the_model_to_the_tables(chain, pectl, tmp_path) -> None:
    run, shared = tmp_path / "run", ("--config", chain.config, "--quiet")
    chosen = [word for choice in CHOICES for word in ("--set", f"stage2.{choice}")]
    assert pectl("train-stage2", chain.features, "--out", run, *chosen, *shared).code == 0
    spec = json.loads((run / "checkpoints" / "best" / "model.json").read_text())["spec"]
    assert (spec["head"], spec["position"], spec["ensemble"]) == ("hierarchical", True, 2)
    evaluation = tmp_path / "evaluation"
    assert pectl("evaluate", chain.features, "--stage2", run, "--out", evaluation, *shared).code == 0
    exam = pd.read_csv(evaluation / "exam.csv", dtype={"StudyInstanceUID": str})
    raw = {name.removesuffix("_raw"): exam[name] for name in exam if name.endswith("_raw")}
    total = raw["negative_exam_for_pe"] + raw["indeterminate"] + raw["pe_present"]
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    np.testing.assert_allclose(raw["rv_lv_ratio_gte_1"] + raw["rv_lv_ratio_lt_1"], 1, rtol=1e-5)
    assert (raw["leftsided_pe"] <= raw["pe_present"]).all()
    uid, out = exam["StudyInstanceUID"][0], tmp_path / "explained"
    both = ("--stage1", chain.stage1, "--stage2", run)
    assert pectl("explain", chain.store, *both, "--study", uid, "--out", out, *shared).code == 0
    said = json.loads(next(out.rglob("explain.json")).read_text())["exam"]
    for name, answer in said.items():
        assert answer["score"] == pytest.approx(raw[name][0], rel=1e-2, abs=1e-4)
