"""Estimates from sizes alone, and what a disk that is too small leads to."""

import shutil
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import nn

from pectl.config import Config, Stage1Config
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.storage import estimate as module
from pectl.core.storage.estimate import Estimate, check_disk
from pectl.errors import StoreError
from pectl.training.estimate_networks import estimate_stage1, peak_bytes, saved_bytes


class Usage(NamedTuple):
    """As shutil's."""

    total: int
    used: int
    free: int


def test_a_larger_batch_takes_more_memory() -> None:
    spec = Stage1Spec(backbone="slim_16", in_channels=3, slice_supervision=True)
    small, large = (
        estimate_stage1(Config(stage1=Stage1Config(batch_size=size)), spec, gpu=True).gpu_memory for size in (4, 8)
    )
    weights = 4 * sum(part.numel() * part.element_size() for part in WindowEncoder(spec).state_dict().values())
    assert large - weights == pytest.approx(2 * (small - weights), rel=0.01)


def test_what_a_pass_keeps_and_its_widest_layer() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(10, 30), nn.ReLU(), nn.Linear(30, 5))
        x = torch.zeros(2, 10)
    assert saved_bytes(model, x) == 4 * (2 * 10 + 2 * 30)  # the inputs of both; the ReLU keeps what the second has
    assert peak_bytes(model, partial(model, x)) == 4 * (2 * 30 + 2 * 30)


def test_sizes_are_told_in_words() -> None:
    assert str(Estimate(memory=1_234_000_000, disk=5_000_000)) == "1.2 GB of memory, 5.0 MB of disk"
    told = str(Estimate(memory=99_000_000, gpu_memory=2_000_000_000, disk=3 * 10**9))
    assert told == "99.0 MB of memory, 2.0 GB of GPU memory, 3.0 GB of disk"


def test_a_disk_that_cannot_hold_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: asked.append(path) or Usage(0, 0, 4 * 10**9))
    with pytest.raises(
        StoreError, match=r"new/store: expected about 9\.0 GB of free disk, found 4\.0 GB; free space or choose another"
    ):
        check_disk(Estimate(memory=0, disk=9 * 10**9), tmp_path / "new" / "store")
    assert asked == [tmp_path]
    assert not (tmp_path / "new").exists()


def test_a_disk_that_might_not_hold_it_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 4 * 10**9))
    check_disk(Estimate(memory=0, disk=5 * 10**9), tmp_path)
    assert "about 5.0 GB of disk needed, 4.0 GB free" in caplog.text
    caplog.clear()
    check_disk(Estimate(memory=0, disk=3 * 10**9), tmp_path)
    assert not caplog.text
