"""What stage 2's task makes of its configuration: whose windows count, and what training and validation lose."""

import numpy as np
import pytest
import torch

from pectl.config import Config, Stage2Config
from pectl.core.batches.share import whole
from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.stores.feature_store import StudySequence
from pectl.core.stores.source import SourceSlices
from pectl.training.device import make_fabric
from pectl.training.loader import Key
from pectl.training.losses import exam_sums, mean_loss
from pectl.training.networks import classifier_spec
from pectl.training.stage2 import SplitStudies, Stage2Task, StudyBatch, _positive_share

IMAGES = ([1, 0, 0, 1], [0, 0, 0, 0], [1, -1, -1, 0])
SHARES = (0.5, 0.0, 0.5)


def sequence(uid: str, images: list[int]) -> StudySequence:
    rng = np.random.default_rng(len(uid) + sum(images))
    label = np.array(images, np.int8)
    source = SourceSlices(
        sop_instance_uid=np.array([f"{uid}.{k}" for k in range(4)], object),
        position_mm=np.arange(4.0),
        label=label,
        grid_index=np.arange(4, dtype=np.int32),
        image_position_patient=np.zeros((4, 3)),
    )
    return StudySequence(
        uid=uid,
        features=rng.standard_normal((3, 5)).astype(np.float32),
        window_start=np.arange(3),
        window_logit=rng.standard_normal(3).astype(np.float32),
        window_label=label[:3].clip(-1, 1),
        slice_logit=rng.standard_normal(4).astype(np.float32),
        window_length=2,
        source=source,
    )


def task(**changes: object) -> Stage2Task:
    config = Config(stage2=Stage2Config(hidden=4, dropout=0.0, **changes))
    sequences = [sequence(f"1.{place}", images) for place, images in enumerate(IMAGES)]
    studies = SplitStudies(
        sequences,
        np.random.default_rng(0).integers(0, 2, (3, 9)).astype(np.float32),
        np.array([_positive_share(one.source.label) for one in sequences], np.float32),
    )
    torch.manual_seed(0)
    model = SequenceClassifier(classifier_spec(config, 5, None))
    return Stage2Task(model, studies, studies, config, make_fabric("cpu"))


def batch_of(made: Stage2Task) -> tuple[torch.Tensor, ...]:
    return made.load(Key("train", np.arange(3), whole(3)))


def test_share_of_positive_images_is_of_the_known() -> None:
    assert tuple(_positive_share(np.array(images, np.int8)) for images in IMAGES) == SHARES
    assert _positive_share(np.full(3, -1, np.int8)) == 0.0


@pytest.mark.parametrize(("window_loss", "weights"), [("all", (1, 1, 1)), ("positive-studies", SHARES)])
def test_whose_windows_count(window_loss: str, weights: tuple[float, ...]) -> None:
    made = task(window_loss=window_loss)
    known = (3, 3, 1)  # windows
    expected = sum(weight * n for weight, n in zip(weights, known, strict=True))
    assert made.weights(batch_of(made))[1].item() == pytest.approx(expected)


def test_negative_studies_teach_the_windows_unless_left_out() -> None:
    for window_loss, teaches in (("all", True), ("positive-studies", False)):
        made = task(window_loss=window_loss)
        batch = made.load(Key("train", np.array([1]), whole(1)))
        made.sums(made.model.eval(), batch, whole(1))[1].backward()
        assert bool(made.model.members[0].window_head.weight.grad.any()) == teaches


@torch.inference_mode()
def test_members_lose_each_for_itself_and_are_judged_together() -> None:
    made = task(ensemble=2)
    batch, model = batch_of(made), made.model.eval()
    trained, judged = made.sums(model, batch, whole(3)), made.judge(model, batch).sums
    alone = []
    for member in model.members:
        one = task()
        one.model.load_state_dict({f"members.0.{k}": v for k, v in member.state_dict().items()}, strict=False)
        alone.append(one.sums(one.model.eval(), batch, whole(3)))
    torch.testing.assert_close(trained, torch.stack(alone).mean(0))
    weights = made.weights(batch)
    assert mean_loss(judged, weights) < mean_loss(trained, weights)  # log loss of a mean is below the mean log loss


@torch.inference_mode()
def test_rv_lv_is_judged_as_one_answer() -> None:
    made = task()
    batch, model = batch_of(made), made.model.eval()
    out = model(*StudyBatch.of(batch).sequences.inputs())
    assert out.exam[:, 8].equal(-out.exam[:, 7])
    judged = exam_sums(out.exam, out.window, StudyBatch.of(batch).truth(), window_weight=1.0)
    torch.testing.assert_close(made.judge(model, batch).sums, judged)
    assert not judged.allclose(made.sums(model, batch, whole(3)))


@torch.inference_mode()
def test_validation_is_without_smoothing_and_focus() -> None:
    """With the head that answers RV/LV once: what it learns is what it is judged by."""
    head = {"head": "hierarchical"}
    plain, shaped = task(**head), task(**head, label_smoothing=0.2, focal_gamma=2.0)
    batch = batch_of(plain)
    sums = [made.sums(made.model.eval(), batch, whole(3)) for made in (plain, shaped)]
    assert not sums[0].allclose(sums[1])
    torch.testing.assert_close(*(made.judge(made.model, batch).sums for made in (plain, shaped)))
    torch.testing.assert_close(plain.judge(plain.model, batch).sums, sums[0])
