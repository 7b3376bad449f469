"""A small task for the loop: eight studies of two windows in four batches an epoch, with dropout."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pectl.config import Config, Stage2Config
from pectl.core.batches.share import Share
from pectl.core.batches.windows import Empty, empty_hu
from pectl.core.models.layers import see_share
from pectl.core.models.stage2 import SequenceClassifier, Stage2Spec
from pectl.training.device import make_fabric
from pectl.training.loader import Batch, Key, Rows
from pectl.training.loop import Trainer
from pectl.training.losses import EXAM_MEANS, StudyTruth, exam_sums, exam_weights
from pectl.training.run import RunFolder
from pectl.training.task import Outputs, ValidationBatch
from tests.stage2_specs import stage2_spec

SPEC = stage2_spec(dropout=0.3)
CONFIG = Stage2Config(
    epochs=3, batch_size=2, learning_rate=0.01, schedule="one-cycle", clip_norm=1.0, weight_decay=0.01
)
SPLITS = pd.Series({"1.2": "train", "1.3": "val"}, name="split")


class StubTask:
    """Hooks let a test act in a step, while a batch is read, and in validation."""

    means = EXAM_MEANS

    def __init__(self, studies: int = 8, size: int = 2, spec: Stage2Spec = SPEC) -> None:
        torch.manual_seed(0)
        self.model = SequenceClassifier(spec)
        self.size = size
        self.features, self.targets = torch.randn(studies, 2, 3), torch.randint(0, 2, (studies, 9)).float()
        self.on_step: Callable[[int], None] = lambda step: None
        self.on_load: Callable[[Key], None] = lambda key: None
        self.on_judge: Callable[[int], None] = lambda batch: None
        self.steps = self.judged = 0

    def batches(self, epoch: int) -> list[Rows]:
        order = torch.randperm(len(self.features), generator=torch.Generator().manual_seed(epoch))
        return [rows.numpy() for rows in order.split(self.size)]

    def val_batches(self) -> list[Rows]:
        return np.array_split(np.arange(len(self.features)), 3)

    def load(self, key: Key, _: Empty = empty_hu, /) -> Batch:
        self.on_load(key)
        rows = key.rows[key.share.rows]
        return self.features[rows], self.targets[rows]

    def weights(self, batch: Batch) -> Tensor:
        return exam_weights(_truth(batch[1]))

    def _out(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        features, targets = batch
        size = len(features)
        out = model(features, torch.zeros(size, 2), torch.zeros(size, 2, 2), torch.ones(size, 2, dtype=torch.bool))
        return exam_sums(out.exam, out.window, _truth(targets), window_weight=0.5), out.exam

    def sums(self, model: nn.Module, batch: Batch, share: Share) -> Tensor:
        self.steps += 1
        self.on_step(self.steps)
        see_share(self.model, share)
        return self._out(model, batch)[0]

    def judge(self, model: nn.Module, batch: Batch) -> ValidationBatch:
        self.judged += 1
        self.on_judge(self.judged)
        sums, exam = self._out(model, batch)
        return ValidationBatch(sums, self.weights(batch), (exam.numpy(),))

    def metrics(self, outputs: Sequence[Outputs]) -> dict[str, float]:
        exam = np.concatenate([scores for (scores,) in outputs])
        assert len(exam) == len(self.features)
        return {"val_first": float(exam[0, 0]), "val_last": float(exam[-1, -1])}

    def studies(self, rows: Rows) -> list[str]:
        return [f"study-{i}" for i in rows.tolist()]


def _truth(targets: Tensor) -> StudyTruth:
    return StudyTruth(targets, torch.zeros(len(targets), 2), torch.ones(len(targets)))


def train(
    path: Path,
    prepare: Callable[[StubTask], None] = lambda task: None,
    config: Stage2Config = CONFIG,
    *,
    fabric: Fabric | None = None,
    studies: int = 8,
    compiled: bool = False,
    spec: Stage2Spec = SPEC,
) -> StubTask:
    """Train, or go on with, the run in `path`."""
    task = StubTask(studies, config.batch_size, spec)
    prepare(task)
    run = RunFolder(path)
    run.begin(Config(), {"config": "d1"}, SPLITS, resume=True)
    trainer = Trainer(task, run, config, fabric=fabric or make_fabric("cpu"), seed=7, compiled=compiled)
    trainer.fit(lambda done, total: None)
    return task


def result(path: Path) -> dict[str, bytes]:
    files = ("metrics.csv", "checkpoints/last/model.safetensors", "checkpoints/best/model.safetensors")
    return {name: (path / name).read_bytes() for name in files}
