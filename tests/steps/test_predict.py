import numpy as np
import pytest
import torch

from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.stores.feature_store import StudySequence
from pectl.core.stores.source import SourceSlices
from pectl.steps.predict_split import predict
from tests.stage2_specs import stage2_spec

STARTS = np.array([0, 5, 10, 13])
GRID_INDEX = np.array([-1, 0, 4, 5, 9, 12, 14, 22, -1], np.int32)


def study() -> StudySequence:
    """Four overlapping windows of ten slices, and nine images, of which the first and the last lie outside the box."""
    rng = np.random.default_rng(0)
    return StudySequence(
        uid="1.2",
        features=rng.random((4, 3)).astype(np.float32),
        window_start=STARTS,
        window_logit=np.array([2.0, -1.0, 3.0, 0.5], np.float32),
        window_label=np.array([1, 0, 1, 1], np.int8),
        window_length=10,
        source=SourceSlices(
            sop_instance_uid=np.array([f"1.2.{i}" for i in range(9)], object),
            position_mm=np.arange(9.0),
            label=np.zeros(9, np.int8),
            grid_index=GRID_INDEX,
            image_position_patient=np.zeros((9, 3)),
        ),
    )


def test_an_image_scores_as_the_least_likely_window_over_it() -> None:
    torch.manual_seed(0)
    found = predict(SequenceClassifier(stage2_spec()), [study()], "test", "print")
    window = found.window["score"].to_numpy()
    assert len(set(window)) == 4
    over = [[], [0], [0], [0, 1], [0, 1], [1, 2], [1, 2, 3], [3], []]
    wanted = [min((window[i] for i in windows), default=0.0) for windows in over]
    assert found.image["score"].to_numpy() == pytest.approx(wanted)
    assert found.image["SOPInstanceUID"].tolist() == [f"1.2.{i}" for i in range(9)]
