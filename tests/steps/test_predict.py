import numpy as np
import pytest
import torch

from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.stores.feature_store import StudySequence
from pectl.core.stores.source import SourceSlices
from pectl.inference.sequences import image_logits
from pectl.steps.predict_split import predict
from tests.stage2_specs import stage2_spec

STARTS = np.array([0, 5, 10, 13])
GRID_INDEX = np.array([-1, 0, 4, 4, 5, 9, 12, 14, 22, -1], np.int32)
OVER = [[], [0], [0], [0], [0, 1], [0, 1], [1, 2], [1, 2, 3], [3], []]
"""The windows over each image."""


def study() -> StudySequence:
    """Four overlapping windows of ten slices, and ten images.

    The first and the last image lie outside the box, two others at one slice of the grid.
    """
    rng = np.random.default_rng(0)
    return StudySequence(
        uid="1.2",
        features=rng.random((4, 3)).astype(np.float32),
        window_start=STARTS,
        window_logit=np.array([2.0, -1.0, 3.0, 0.5], np.float32),
        window_label=np.array([1, 0, 1, 1], np.int8),
        slice_logit=np.arange(23, dtype=np.float32) / 4 - 3,
        window_length=10,
        source=SourceSlices(
            sop_instance_uid=np.array([f"1.2.{i}" for i in range(10)], object),
            position_mm=np.arange(10.0),
            label=np.zeros(10, np.int8),
            grid_index=GRID_INDEX,
            image_position_patient=np.zeros((10, 3)),
        ),
    )


def test_an_image_has_the_logit_of_its_slice_and_the_mean_of_the_windows_over_it() -> None:
    found = image_logits(study(), np.array([1.0, 2.0, 4.0, 9.0]))
    outside = [-np.inf, -np.inf]
    assert found.tolist() == [
        outside,
        [-3.0, 1.0],
        [-2.0, 1.0],
        [-2.0, 1.0],
        [-1.75, 1.5],
        [-0.75, 1.5],
        [0.0, 3.0],
        [0.5, 5.0],
        [2.5, 9.0],
        outside,
    ]


def test_images_of_a_prediction_have_the_logits_of_both_stages() -> None:
    torch.manual_seed(0)
    found = predict(SequenceClassifier(stage2_spec()), [study(), study()], "test", "print")
    window = found.window["score"].to_numpy()[:4]
    assert len(set(window)) == 4
    logit = np.log(window / (1 - window))
    inside = GRID_INDEX >= 0
    context = [np.mean(logit[over]) for over in OVER if over]
    assert found.image_logits[:10][inside, 1] == pytest.approx(context, abs=1e-6)
    assert found.image_logits[:10][inside, 0].tolist() == (GRID_INDEX[inside] / 4 - 3).tolist()
    assert np.array_equal(found.image_logits[10:], found.image_logits[:10])
    assert list(found.image) == ["StudyInstanceUID", "SOPInstanceUID", "label"]
    assert found.image["SOPInstanceUID"].tolist() == [f"1.2.{i}" for i in range(10)] * 2
