"""Apply a trained stage 2 to a split of a feature store: probabilities of studies, windows and images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from pectl.core.batches.sequences import BATCH, collate
from pectl.core.labels.names import EXAM_LABELS, IMAGE, PE_PRESENT, STUDY
from pectl.core.labels.predictions import Predictions
from pectl.core.labels.splits import refuse_trained_on
from pectl.core.models.checkpoint import load_stage2
from pectl.core.storage.stamp import check_lineage
from pectl.core.stores.feature_store import FeatureStore, StudySequence
from pectl.core.stores.tables import read_run_splits
from pectl.errors import SplitError
from pectl.training.device import DeviceName, choose_device
from pectl.training.run import RunFolder, read_run


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
    model = load_stage2(RunFolder(stage2).best).to(choose_device(device))
    return predict(model, [features.read(uid) for uid in uids], split, features.split_fingerprint)


@torch.inference_mode()
def predict(model: nn.Module, sequences: Sequence[StudySequence], split: str, fingerprint: str) -> Predictions:
    """Apply a sequence classifier to studies.

    RV/LV scores are probabilities given PE: the model learns them from positive studies alone.
    """
    device = next(model.parameters()).device
    model.eval()
    exam, pe, window = [], [], []
    for first in range(0, len(sequences), BATCH):
        batch = collate(sequences[first : first + BATCH])
        out = model(*(part.to(device) for part in batch.inputs()))
        exam.append(out.exam.sigmoid().cpu().numpy())
        pe.append(out.pe.sigmoid().cpu().numpy())
        window += [row[real].sigmoid().cpu().numpy() for row, real in zip(out.window, batch.mask, strict=True)]
    uids = pd.Index([s.uid for s in sequences], name=STUDY)
    return Predictions(
        split=split,
        exam=_exam_table(uids, np.concatenate(exam), np.concatenate(pe)),
        window=pd.concat([_window_table(s, p) for s, p in zip(sequences, window, strict=True)], ignore_index=True),
        image=pd.concat([_image_table(s, p) for s, p in zip(sequences, window, strict=True)], ignore_index=True),
        window_features=np.concatenate([s.features for s in sequences]).astype(np.float32),
        split_fingerprint=fingerprint,
        rv_lv="given-pe",
    )


def _exam_table(uids: pd.Index, exam: NDArray[np.float32], pe: NDArray[np.float32]) -> pd.DataFrame:
    table = pd.DataFrame(exam.astype(np.float64), index=uids, columns=list(EXAM_LABELS))
    return table.assign(**{PE_PRESENT: pe.astype(np.float64)})


def _window_table(sequence: StudySequence, score: NDArray[np.float32]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            STUDY: sequence.uid,
            "window_start": sequence.window_start,
            "score": score.astype(np.float64),
            "stage1_score": 1 / (1 + np.exp(-sequence.window_logit.astype(np.float64))),
            "label": sequence.window_label,
        }
    )


def _image_table(sequence: StudySequence, score: NDArray[np.float32]) -> pd.DataFrame:
    """Score each source slice by the least of the windows over its grid slice; 0 outside the lung box.

    A window shows PE if any of its slices does, so no slice is likelier to than the least likely window over it.
    """
    least = np.ones(int(sequence.window_start[-1]) + sequence.window_length)
    for start, value in zip(sequence.window_start, score, strict=True):
        over = slice(start, start + sequence.window_length)
        least[over] = np.minimum(least[over], value)
    index = sequence.source.grid_index
    return pd.DataFrame(
        {
            STUDY: sequence.uid,
            IMAGE: sequence.source.sop_instance_uid,
            "score": np.where(index >= 0, least[np.maximum(index, 0)], 0.0),
            "label": sequence.source.label,
        }
    )
