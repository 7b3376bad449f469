"""How stage 1 draws its windows, and reads them."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from pectl.config import Config, Stage1Config
from pectl.core.data.h5 import VOXEL_FILTER, create_h5
from pectl.core.data.share import Share
from pectl.core.data.windows import WindowIndex, WindowReader
from pectl.pipeline.device import make_fabric
from pectl.pipeline.loader import Key, Loader
from pectl.pipeline.train_stage1 import Stage1Task, WindowSource, new_encoder


@pytest.fixture
def index() -> WindowIndex:
    """Forty windows of four studies, one in ten with PE."""
    labels = {f"s{i}": np.zeros(40, np.int8) for i in range(4)}
    for slices in labels.values():
        slices[12] = 1
    return WindowIndex.build(labels, length=4, stride=4)


def task(index: WindowIndex, sampling: str) -> Stage1Task:
    config = Config(stage1=Stage1Config(backbone="slim_16", batch_size=6, sampling=sampling))
    source = WindowSource(WindowReader(Path, length=4), {"train": index, "val": index})
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
    source = WindowSource(WindowReader(tmp_path.joinpath, length=4), {"train": index, "val": index})
    rows = np.array([3, 25, 0, 39, 13])
    (batch,) = Loader(source, workers=workers).read([Key("train", rows, Share(1, 3, 5))], [])
    hu, labels = batch
    assert str(hu.dtype) == "torch.int16"
    for got, label, row in zip(hu.numpy(), labels.numpy(), rows[1:4], strict=True):
        start = index.start[row]
        np.testing.assert_array_equal(got, volumes[index.uids[index.study[row]]][start : start + 4])
        np.testing.assert_array_equal(label, index.slice_labels[row])
    pickle.loads(pickle.dumps(source))(Key("val", rows, Share(0, 1, 5)))  # noqa: S301 - as it goes to a worker


def test_runs_of_slices_are_those_of_the_model(index: WindowIndex) -> None:
    import torch

    for backbone, runs in (("slim_16", 10), ("r3d_18", 5), ("mc3_18", 10), ("r2plus1d_18", 5)):
        config = Config(stage1=Stage1Config(backbone=backbone, slice_loss_weight=1.0))
        model = new_encoder(config).eval()
        assert model.slice_runs(10) == runs
        with torch.no_grad():
            assert model(torch.zeros(1, 3, 10, 16, 16)).slices.shape == (1, runs)
