"""Stage 2 on one study at a time."""

import dataclasses

import numpy as np
import pytest
import torch

from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.stores.feature_store import StudySequence
from pectl.core.stores.source import SourceSlices
from pectl.inference.sequences import score_studies
from tests.stage2_specs import stage2_spec


def sequence(uid: str, n: int) -> StudySequence:
    rng = np.random.default_rng(n)
    source = SourceSlices(
        sop_instance_uid=np.array([f"{uid}.{i}" for i in range(n)], object),
        position_mm=np.arange(float(n)),
        label=np.zeros(n, np.int8),
        grid_index=np.arange(n, dtype=np.int32),
        image_position_patient=np.zeros((n, 3)),
    )
    return StudySequence(
        uid=uid,
        features=rng.random((n, 3)).astype(np.float32),
        window_start=np.arange(n),
        window_logit=rng.random(n).astype(np.float32),
        window_label=np.zeros(n, np.int8),
        slice_logit=rng.random(n).astype(np.float32),
        window_length=1,
        source=source,
    )


@pytest.mark.parametrize("model", ["tcn", "gru"])
def test_a_studys_bits_do_not_depend_on_its_neighbours(model) -> None:
    torch.manual_seed(0)
    classifier = SequenceClassifier(dataclasses.replace(stage2_spec(), model=model, hidden=16, levels=2))
    studies = [sequence("1.1", 5), sequence("1.2", 40), sequence("1.3", 1)]
    together = list(score_studies(classifier, studies))
    for study, found in zip(studies, together, strict=True):
        (alone,) = score_studies(classifier, [study])
        assert all(np.array_equal(one, other) for one, other in zip(alone, found, strict=True))
        assert found.window.shape == (len(study.features),)
