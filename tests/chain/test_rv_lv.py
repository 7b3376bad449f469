"""RV/LV is one question: what the two labels of a study sum to, wherever a command shows them."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch

from pectl.config import Config, EvaluateConfig, SplitConfig
from pectl.core.intake.tasks import Sources
from pectl.core.labels.names import PE_PRESENT, RV_LV, STUDY_LABELS
from pectl.core.stores.feature_store import FeatureStore
from pectl.dicom_output.result import Kind
from pectl.evaluation.evaluate import evaluate
from pectl.inference.instrument import Member, instrument_of_runs
from pectl.steps.explain import Question, explain
from pectl.steps.extract_features import extract_features
from pectl.steps.predict_split import predict_split
from pectl.steps.predict_studies import Wish, predict_studies
from pectl.steps.preprocess import preprocess
from tests.tiny_instrument import PREPROCESS, tiny_decisions, tiny_member, write_runs

STUDY = "1.1"
DECISIONS = tiny_decisions(rule_in=0.1, rule_out=0.05)
"""PE is called, so that the report has RV/LV; each label has a temperature of its own."""


def complete(dataset, place):
    dataset.FrameOfReferenceUID, dataset.InstanceNumber = "1.9.9", place + 1


@pytest.fixture(scope="module")
def shown(tmp_path_factory, write_series) -> Path:
    """One study, through predict, explain and evaluate with the same two runs."""
    root = tmp_path_factory.mktemp("shown")
    files = root / "dicom" / STUDY
    small = {"n_slices": 34, "size": (64, 64), "pixel_spacing_mm": (6.0, 6.0)}
    uids = write_series(files, study=STUDY, edit=complete, **small)
    labels = dict.fromkeys(STUDY_LABELS, 0) | {"rv_lv_ratio_lt_1": 1, "leftsided_pe": 1}
    images = {"StudyInstanceUID": STUDY, "SOPInstanceUID": uids, "pe_present_on_image": [1] + [0] * 33}
    pd.DataFrame(images | labels).to_csv(root / "train.csv", index=False)
    pd.DataFrame({"StudyInstanceUID": [STUDY], "split": "test"}).to_csv(root / "splits.csv", index=False)
    split = SplitConfig(method="csv", csv=root / "splits.csv")
    config = Config(preprocess=PREPROCESS, split=split, evaluate=EvaluateConfig(bootstrap_replicates=100))
    preprocess(Sources((root / "dicom",), root / "train.csv"), root / "store", config)
    runs = write_runs(two_minds(), root, trained={"9.9": "train", "9.8": "val"})
    predict_studies([root / "dicom"], instrument_of_runs(*runs), root / "predicted", Wish(kinds=(Kind.SR,)))
    explain(question(root, *runs), root / "explained", config=config, device="cpu", progress=lambda *_: None)
    quiet = {"device": "cpu", "shard": None, "progress": lambda *_: None}
    extract_features(root / "store", runs[0], root / "features", config, **quiet)
    features = FeatureStore.open(root / "features")
    predictions = predict_split(features, runs[1], "test", device="cpu")
    evaluate(predictions, features.studies, DECISIONS, config.evaluate, out=root / "evaluation", lineage={}, seed=0)
    return root


def two_minds() -> Member:
    """Return a model whose RV/LV labels, each by itself, would both be likely: about 0.77 and 0.62."""
    member = tiny_member(0, DECISIONS)
    member.classifier.members[0].exam_head.label.bias.data[7:] = torch.tensor([1.2, 0.5])
    return member


def question(root: Path, stage1: Path, stage2: Path) -> Question:
    source = {"source": root / "dicom" / STUDY, "uid": None, "split": None, "truth": None}
    return Question(stage1=stage1, stage2=stage2, label=RV_LV[0], method="layer-cam", **source)


def test_the_pair_is_one_answer_wherever_it_is_shown(shown):
    answers = json.loads((shown / "predicted" / "studies" / f"{STUDY}.json").read_text())["answers"]
    score, probability, consistent = (
        np.array([answers[name][kind] for name in RV_LV]) for kind in ("score", "probability", "consistent")
    )
    assert [score.sum(), probability.sum()] == pytest.approx([1.0, 1.0], abs=1e-6)
    assert consistent.sum() == pytest.approx(answers[PE_PRESENT]["consistent"], abs=1e-6)
    assert [answers[name]["called"] for name in RV_LV] == (probability > 0.5).tolist()
    assert score[0] == pytest.approx(1 / (1 + np.exp(-(1.2 - 0.5) / 2)), abs=0.03)

    listed = pd.read_csv(shown / "predicted" / "worklist.csv").iloc[0]
    assert listed[list(RV_LV)].tolist() == pytest.approx(probability, abs=1e-6)
    assert listed[list(RV_LV)].sum() == pytest.approx(1.0, abs=1e-6)

    explained = json.loads((shown / "explained" / STUDY / "explain.json").read_text())["exam"]
    assert [explained[name]["score"] for name in RV_LV] == pytest.approx(score, abs=1e-6)
    assert [explained[name]["probability"] for name in RV_LV] == pytest.approx(probability, abs=1e-6)
    assert sum(explained[name]["probability"] for name in RV_LV) == pytest.approx(1.0, abs=1e-6)

    exam = pd.read_csv(shown / "evaluation" / "exam.csv").iloc[0]
    for version, values in {"raw": score, "calibrated": probability, "consistent": consistent}.items():
        assert exam[[f"{name}_{version}" for name in RV_LV]].tolist() == pytest.approx(values, abs=1e-6)
    assert exam[[f"{name}_consistent" for name in RV_LV]].sum() == pytest.approx(
        exam["pe_present_consistent"], abs=1e-6
    )

    judged_again = pd.read_csv(shown / "evaluation" / "predictions.csv").iloc[0]
    assert judged_again[list(RV_LV)].sum() == pytest.approx(exam["pe_present_calibrated"], abs=1e-6)
    submitted = pd.read_csv(shown / "evaluation" / "submission.csv", index_col="id")["label"]
    assert [submitted[f"{STUDY}_{name}"] for name in RV_LV] == pytest.approx(consistent, abs=1e-6)


def test_the_page_and_the_dicom_report_have_the_same_numbers_rounded(shown):
    answers = json.loads((shown / "predicted" / "studies" / f"{STUDY}.json").read_text())["answers"]
    page = (shown / "explained" / STUDY / "index.html").read_text()
    rows = dict(re.findall(r'<th scope="row">(RV/LV[^<]*)</th>.*?</span>([\d.]+)</td>', page))
    report = str(pydicom.dcmread(shown / "predicted" / "dicom" / STUDY / "sr.dcm"))
    for name, row in zip(RV_LV, rows.values(), strict=True):
        probability = answers[name]["probability"]
        assert row == f"{probability:.2f}"
        assert f"{round(100 * probability, 2):g}" in report
