"""Apply a trained stage 2 to a split of a feature store: probabilities of studies and windows, logits of images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from pectl.core.labels.names import EXAM_LABELS, IMAGE, PE_PRESENT, STUDY
from pectl.core.labels.predictions import Predictions
from pectl.core.labels.splits import refuse_trained_on
from pectl.core.models.checkpoint import load_stage2
from pectl.core.storage.stamp import check_lineage
from pectl.core.stores.feature_store import FeatureStore, StudySequence
from pectl.core.stores.runs import best_model, read_run
from pectl.core.stores.tables import read_run_splits
from pectl.errors import SplitError
from pectl.inference.device import DeviceName, choose_device
from pectl.inference.sequences import FloatArray, StudyScores, score_studies


def predict_split(features: FeatureStore, stage2: Path, split: str, *, device: DeviceName) -> Predictions:
    """Predict a split with a finished run of train-stage2.

    Raises:
        LineageError: stage 2 was trained on features of another stage 1 or another store.
        SplitError: the split is empty, or stage 2 was trained on one of its studies.
    """
    run, _ = read_run(stage2, stage="stage2")
    check_lineage(
        where=stage2,
        expected=features.stamp.digest,
        found=run.made_from["features"],
        what=f"features {features.path}:",
    )
    uids = features.uids(split)
    if not uids:
        raise SplitError(
            where=features.path,
            expected=f"studies in the split {split!r}",
            found="none",
            fix="choose another --split, or change [split] and preprocess again",
        )
    trained = ("train",) if split == "val" else ("train", "val")
    refuse_trained_on(read_run_splits(stage2), uids, where=stage2, trained=trained)
    model = load_stage2(best_model(stage2)).to(choose_device(device))
    return predict(model, [features.read(uid) for uid in uids], split, features.split_fingerprint)


def predict(model: nn.Module, sequences: Sequence[StudySequence], split: str, fingerprint: str) -> Predictions:
    """Apply a sequence classifier to studies, each by itself.

    RV/LV scores are probabilities given PE: the model learns them from positive studies alone. Images have logits;
    decisions make scores of them.
    """
    scores = list(score_studies(model, sequences))
    scored = list(zip(sequences, scores, strict=True))
    return Predictions(
        split=split,
        exam=_exam_table(scored),
        window=pd.concat([_window_table(s, score.window) for s, score in scored], ignore_index=True),
        image=pd.concat(map(_image_table, sequences), ignore_index=True),
        window_features=np.concatenate([s.features for s in sequences]).astype(np.float32),
        image_logits=np.concatenate([score.image_logits for score in scores]),
        split_fingerprint=fingerprint,
        rv_lv="given-pe",
    )


def _exam_table(scored: Sequence[tuple[StudySequence, StudyScores]]) -> pd.DataFrame:
    uids = pd.Index([sequence.uid for sequence, _ in scored], name=STUDY)
    table = pd.DataFrame([score.exam for _, score in scored], index=uids, columns=list(EXAM_LABELS))
    return table.assign(**{PE_PRESENT: [score.pe for _, score in scored]})


def _window_table(sequence: StudySequence, score: FloatArray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            STUDY: sequence.uid,
            "window_start": sequence.window_start,
            "score": score,
            "stage1_score": 1 / (1 + np.exp(-sequence.window_logit.astype(np.float64))),
            "label": sequence.window_label,
        }
    )


def _image_table(sequence: StudySequence) -> pd.DataFrame:
    return pd.DataFrame(
        {
            STUDY: sequence.uid,
            IMAGE: sequence.source.sop_instance_uid,
            "label": sequence.source.label,
        }
    )
