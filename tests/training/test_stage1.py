"""How stage 1 draws its windows, and reads them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pectl.config import AugmentConfig, Config, Stage1Config, WindowsConfig
from pectl.core.batches.places import AS_BOX, AS_MASK, NOT_MARKED
from pectl.core.batches.share import Share, whole
from pectl.core.batches.windows import WindowIndex, WindowReader
from pectl.core.storage.h5 import VOXEL_FILTER, create_h5
from pectl.training.device import make_fabric
from pectl.training.loader import Key, Loader
from pectl.training.networks import new_encoder
from pectl.training.place_loss import PLACE_MEANS
from pectl.training.stage1 import Stage1Task, WindowSource

NAN = np.nan
LABELS = np.array([[1, 0, 0, 1, 0, 1], [0, 1, 0, 0, 0, 0], [NAN] * 6, [1, 1, NAN, 0, 0, 0]], np.float32)
"""Of the four studies: left, right, central, chronic, acute and chronic, RV/LV >= 1; the third has no PE."""

GAINS = np.array([1.0, 2.0, 0.5, 1.5], np.float32)
"""Of the contrast of the four."""
ONE = torch.ones(1)


@pytest.fixture
def index() -> WindowIndex:
    """Forty windows of four studies, one in ten with PE."""
    labels = {f"s{i}": np.zeros(40, np.int8) for i in range(4)}
    for slices in labels.values():
        slices[12] = 1
    return WindowIndex.build(labels, length=4, stride=4)


def source_of(index: WindowIndex, reader: WindowReader) -> WindowSource:
    return WindowSource(
        reader, {"train": index, "val": index}, {"train": LABELS, "val": LABELS}, {"train": GAINS, "val": GAINS}
    )


def task(index: WindowIndex, sampling: str) -> Stage1Task:
    config = Config(stage1=Stage1Config(backbone="slim_16", batch_size=6, sampling=sampling))
    source = source_of(index, WindowReader(Path, length=4))
    return Stage1Task(new_encoder(config), source, config, make_fabric("cpu"))


def test_natural_sampling_shows_each_window_once_an_epoch_in_another_order(index: WindowIndex) -> None:
    drawn = task(index, "natural")
    epochs = [np.concatenate(drawn.batches(epoch)) for epoch in (0, 1, 0)]
    assert [len(rows) for rows in drawn.batches(0)] == [6] * 6
    for rows in epochs:
        assert len(np.unique(rows)) == 36  # whole batches: four of forty wait for another epoch
    assert not np.array_equal(epochs[0], epochs[1])
    assert np.array_equal(epochs[0], epochs[2])


def test_balanced_sampling_draws_both_classes_equally_often_and_in_every_share(index: WindowIndex) -> None:
    batches = task(index, "balanced").batches(0)
    assert index.label.mean() == 0.1
    for rows in batches:
        assert index.label[rows].sum() == 3
        assert index.label[rows[:2]].sum() == 1
    negatives = np.concatenate(batches)[index.label[np.concatenate(batches)] == 0]
    assert len(np.unique(negatives)) >= 10  # 18 drawn of 36


@pytest.mark.parametrize("workers", [0, 1])
def test_a_share_of_a_batch_is_read_as_int16_with_its_labels(index: WindowIndex, tmp_path: Path, workers: int) -> None:
    rng = np.random.default_rng(0)
    volumes = {uid: rng.integers(-1024, 2000, (40, 8, 8), np.int16) for uid in index.uids}
    for uid, hu in volumes.items():
        with create_h5(tmp_path / uid) as file:
            file.create_dataset("hu", data=hu, chunks=(1, 8, 8), **VOXEL_FILTER)
    reader = WindowReader(tmp_path.joinpath, length=4)
    source = source_of(index, reader)
    rows = np.array([3, 25, 0, 39, 13])
    (batch,) = Loader(source, workers=workers).read([Key("train", rows, Share(1, 3, 5))], [])
    hu, gain, labels, study = batch
    assert gain.tolist() == [GAINS[index.study[row]] for row in rows[1:4]]
    assert str(hu.dtype) == "torch.int16"
    for got, label, row in zip(hu.numpy(), labels.numpy(), rows[1:4], strict=True):
        start = index.start[row]
        np.testing.assert_array_equal(got, volumes[index.uids[index.study[row]]][start : start + 4])
        np.testing.assert_array_equal(label, index.slice_labels[row])
    np.testing.assert_array_equal(study, [[NAN] * 6, [NAN] * 5 + [1], [NAN] * 5 + [0]])  # rows 25, 0, 39: none shows PE
    with_pe = source(Key("val", np.array([3, 13, 23, 33, 32]), Share(0, 5, 5)))[3]
    np.testing.assert_array_equal(with_pe, [*LABELS, [NAN] * 5 + [0]])
    assert not np.isnan(LABELS[0]).any()  # what is read is a copy
    pickle.loads(pickle.dumps(source))(Key("val", rows, Share(0, 1, 5)))  # noqa: S301 - as it goes to a worker


def test_runs_of_slices_are_those_of_the_model(index: WindowIndex) -> None:
    for backbone, runs in (("slim_16", 10), ("r3d_18", 5), ("mc3_18", 10), ("r2plus1d_18", 5)):
        config = Config(stage1=Stage1Config(backbone=backbone, slice_loss_weight=1.0))
        model = new_encoder(config).eval()
        assert model.slice_runs(10) == runs
        with torch.no_grad():
            assert model(torch.zeros(1, 3, 10, 16, 16)).slices.shape == (1, runs)


def multitask(index: WindowIndex, **stage1: object) -> Stage1Task:
    config = Config(
        windows=WindowsConfig(length=4, stride=4, hu_ranges={"pe": (-250.0, 450.0)}),
        stage1=Stage1Config(backbone="slim_16", batch_size=6, input_px=16, multitask_loss_weight=1.0, **stage1),
    )
    source = source_of(index, WindowReader(Path, length=4))
    torch.manual_seed(0)
    return Stage1Task(new_encoder(config), source, config, make_fabric("cpu"))


def test_metrics_hold_each_label_that_has_both_classes_among_windows_it_is_defined_for(index: WindowIndex) -> None:
    window, study = np.zeros(40), np.zeros((40, 6))
    with_pe = np.flatnonzero(index.label == 1)
    assert len(with_pe) == 4
    study[with_pe, 0] = [0.9, 0.1, 5.0, -1.0]  # left of the studies is 1, 0, unknown, 1: one pair of two is right
    study[with_pe, 3] = [0.5, 0.1, -5.0, 0.2]  # chronic is 1, 0, unknown, 0
    study[:10, 5], study[30:, 5] = 1.0, [2.0] * 5 + [0.0] * 5  # RV/LV of ten windows each: 1, 0, none, 0
    outputs = [(window[:32], study[:32]), (window[32:], study[32:])]
    assert multitask(index).metrics(outputs) == {
        "val_window_auroc": 0.5,
        "val_leftsided_pe_auroc": 0.5,
        "val_rightsided_pe_auroc": 0.5,
        "val_chronic_pe_auroc": 1.0,
        "val_rv_lv_ratio_gte_1_auroc": 0.75,
    }  # central is 0 or unknown, acute and chronic 0


def test_a_mirrored_window_is_told_that_its_pe_is_on_the_other_side(index: WindowIndex) -> None:
    hu = torch.zeros(1, 4, 16, 16, dtype=torch.int16)
    labels = torch.tensor([[0, 1, 0, 0]], dtype=torch.int8)
    left, right = (torch.tensor([side + [NAN] * 4]) for side in ([1.0, 0.0], [0.0, 1.0]))
    still = {"rotation_deg": 0.0, "zoom": (1.0, 1.0), "shift": 0.0, "offset_hu": 0.0, "noise_hu": 0.0}
    losses = {}
    for flip in (0.0, 1.0):
        task = multitask(index, augment=AugmentConfig(flip_left_right=flip, **still))
        task.model.eval()
        for name, study in (("left", left), ("right", right)):
            losses[flip, name] = task.sums(task.model, (hu, ONE, labels, study), whole(1))[2].item()
    assert losses[0.0, "left"] == pytest.approx(losses[1.0, "right"])  # the empty image is its own mirror image
    assert losses[0.0, "right"] == pytest.approx(losses[1.0, "left"])
    assert abs(losses[0.0, "left"] - losses[0.0, "right"]) > 1e-3


def test_the_sums_of_shares_of_a_batch_are_those_of_the_batch(index: WindowIndex) -> None:
    task = multitask(index, slice_loss_weight=1.0, place_loss_weight=0.5)
    task.model.eval()  # batch norm would see other statistics
    torch.manual_seed(1)
    hu = torch.randint(-1000, 500, (4, 4, 16, 16), dtype=torch.int16)
    labels = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, -1], [0, 0, 0, 1]], dtype=torch.int8)
    embolus = torch.zeros(4, 4, 16, 16, dtype=torch.bool)
    embolus[0, 1, 4:12, 4:12] = embolus[2, :2, 6:10, 6:10] = True
    how = torch.tensor([AS_MASK, AS_MASK, AS_BOX, NOT_MARKED], dtype=torch.int8)
    batch = (hu, torch.from_numpy(GAINS), labels, torch.from_numpy(LABELS), embolus, how)
    assert task.weights(batch)[-PLACE_MEANS:].tolist() == [2, 3]  # the box's window has a slice without PE
    sums = []
    for parts in (1, 2, 4):
        total = torch.zeros(task.means)
        for share in whole(4).split(parts):
            torch.manual_seed(5)
            total += task.sums(task.model, tuple(part[share.rows] for part in batch), share).detach()
        sums.append(total)
    assert (sums[0] > 0).all()
    torch.testing.assert_close(sums[1], sums[0])
    torch.testing.assert_close(sums[2], sums[0])


def test_a_flip_of_a_window_flips_its_places(index: WindowIndex) -> None:
    hu, labels = torch.zeros(1, 4, 16, 16, dtype=torch.int16), torch.tensor([[0, 1, 1, 0]], dtype=torch.int8)
    unknown, how = torch.full((1, 6), NAN), torch.tensor([AS_MASK], dtype=torch.int8)
    embolus = torch.zeros(1, 4, 16, 16, dtype=torch.bool)
    embolus[0, 1:3, 2:5, 1:4] = True
    still = {"rotation_deg": 0.0, "zoom": (1.0, 1.0), "shift": 0.0, "offset_hu": 0.0, "noise_hu": 0.0}
    hu[embolus] = 300
    losses = []
    for flip, there in ((0.0, embolus), (1.0, embolus.flip(-1))):
        config = AugmentConfig(flip_left_right=flip, **still)
        task = multitask(index, slice_loss_weight=1.0, place_loss_weight=1.0, augment=config)
        task.model.eval()
        image = hu if flip == 0.0 else hu.flip(-1)
        losses.append(task.sums(task.model, (image, ONE, labels, unknown, there, how), whole(1))[-PLACE_MEANS:])
    torch.testing.assert_close(losses[1], losses[0], atol=1e-4, rtol=1e-4)  # mirrored back, places and all
    wrong = task.sums(task.model, (image, ONE, labels, unknown, embolus, how), whole(1))[-PLACE_MEANS:]
    assert (wrong - losses[0]).abs().max() > 1e-3
