"""Train stage 1, the window encoder, on the windows of a study store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from pectl.config import Config
from pectl.core.data.augment import augment
from pectl.core.data.h5 import open_h5
from pectl.core.data.intensity import prepare, to_channels
from pectl.core.data.stamp import digest_of
from pectl.core.data.study_store import MADE_BY, StudyStore
from pectl.core.data.windows import WindowIndex, WindowReader
from pectl.core.models.checkpoint import load_stage1, weights_digest
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.models.weights import load_pretrained
from pectl.core.ranking import auroc
from pectl.errors import TrainingError
from pectl.pipeline.device import DeviceName, make_fabric
from pectl.pipeline.loop import Progress, Trainer
from pectl.pipeline.losses import window_loss
from pectl.pipeline.run import Resume, RunFolder

STAGE = "stage1"


def train_stage1(
    store_path: Path, out: Path, config: Config, *, device: DeviceName, resume: Resume, progress: Progress
) -> dict[str, float]:
    """Train the window encoder on the store's `train` split and keep the best on `val`.

    Args:
        store_path: a finished study store.
        out: the run folder.
        config: the experiment; `windows`, `stage1` and `seed` are used.
        device: where to train.
        resume: go on with the run in `out`; "changed" though its configuration was another.
        progress: called with (steps done, steps of all epochs).

    Returns:
        The metrics of the best epoch.
    """
    fabric = make_fabric(device, config.stage1.precision)
    store = StudyStore.open(store_path)
    made_from = {"study_store": store.stamp.digest, "split": store.split_fingerprint}
    config_digest = digest_of(config.windows.digest(), config.stage1.digest(), config.seed)
    train, val = _known_windows(store, "train", config), _known_windows(store, "val", config)
    torch.manual_seed(config.seed)
    model = new_encoder(config)
    run = RunFolder(out)
    run.begin(config, made_from | {"config": config_digest}, resume=resume)
    run.write_splits(store.splits)
    trainer = Trainer(
        _Stage1Task(model, store, train, val, config, fabric),
        run,
        config.stage1,
        fabric=fabric,
        seed=config.seed,
    )
    trainer.fit(progress)
    best = min(trainer.position.rows, key=lambda row: row["val_loss"])
    digest = weights_digest(run.best)
    run.finish(
        digest=digest, made_from=made_from, config_digest=config_digest,
        stage=STAGE, windows=config.windows.model_dump(mode="json"), input_px=config.stage1.input_px, best=best,
    )  # fmt: skip
    run.heartbeat(state="done", best=best)
    return best


def encoder_spec(config: Config) -> Stage1Spec:
    """Return the spec of the encoder that the configuration describes."""
    return Stage1Spec(
        backbone=config.stage1.backbone,
        in_channels=len(config.windows.hu_ranges),
        slice_supervision=config.stage1.slice_loss_weight > 0,
    )


def new_encoder(config: Config) -> WindowEncoder:
    """Build the encoder that the configuration describes, with its pretrained weights."""
    model = WindowEncoder(encoder_spec(config))
    load_pretrained(model, config.stage1.weights)
    return model.to(memory_format=torch.channels_last_3d)  # half the time of the default on a CPU


def load_encoder(run: Path, device: str) -> WindowEncoder:
    """Load a run's best encoder onto a device, ready to infer."""
    return load_stage1(RunFolder(run).best).to(device).to(memory_format=torch.channels_last_3d)


def index_windows(store: StudyStore, uids: Sequence[str], config: Config) -> WindowIndex:
    """Index the windows of studies; only their slice labels are read."""
    labels: dict[str, NDArray[np.int8]] = {}
    for uid in uids:
        with open_h5(store.study_path(uid), made_by=MADE_BY) as file:
            labels[uid] = file["slice_label"][:]
    return WindowIndex.build(labels, length=config.windows.length, stride=config.windows.stride)


def _known_windows(store: StudyStore, split: str, config: Config) -> WindowIndex:
    """Index the windows of a split whose label is known.

    Raises:
        TrainingError: there are none, or not both classes.
    """
    uids = store.uids(split)
    index = index_windows(store, uids, config).known() if uids else None
    classes = set() if index is None else set(index.label.tolist())
    if index is None or classes != {0, 1}:
        raise TrainingError(
            where=f"{store.path}, split {split}", expected="windows with PE and windows without",
            found=f"{len(uids)} studies with labels of the classes {sorted(classes)}",
            fix="preprocess with --labels, or change [split] so that each part has both",
        )  # fmt: skip
    return index


@dataclass
class _Stage1Task:
    """Windows of the store as a task for the loop; a batch is int16 HU and slice labels."""

    model: WindowEncoder
    store: StudyStore
    train: WindowIndex
    val: WindowIndex
    config: Config
    fabric: Fabric

    def __post_init__(self) -> None:
        self.reader = WindowReader(self.store.study_path, length=self.config.windows.length)
        self.hu_ranges = list(self.config.windows.hu_ranges.values())

    def batches(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return window positions, (B,) each; an epoch sees as many windows as there are, in whole batches."""
        rng = np.random.default_rng([self.config.seed, epoch])
        size = min(self.config.stage1.batch_size, len(self.train))
        count = len(self.train) // size
        if self.config.stage1.sampling == "natural":
            return np.split(rng.permutation(len(self.train))[: count * size], count)
        classes = [np.flatnonzero(self.train.label == label) for label in (0, 1)]
        halves = [rng.choice(classes[i % 2], count) for i in range(size)]
        return list(np.stack(halves, axis=1))

    def load(self, key: object) -> tuple[Tensor, Tensor]:
        """Return (B, T, S, S) int16 HU and (B, T) int8 slice labels."""
        return self._read(self.train, np.asarray(key))

    def _read(self, index: WindowIndex, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        hu = self.reader.read([index.uids[i] for i in index.study[rows]], index.start[rows].tolist())
        return torch.from_numpy(hu), torch.from_numpy(index.slice_labels[rows])

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Augment on the device, and return the loss of the windows."""
        hu, labels = (part.to(self.fabric.device) for part in batch)
        changed, _ = augment(hu, self.config.stage1.input_px, self.config.stage1.augment)
        x = to_channels(changed, self.hu_ranges).contiguous(memory_format=torch.channels_last_3d)
        return window_loss(model(x), labels, slice_weight=self.config.stage1.slice_loss_weight)

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return loss and AUROC over the validation windows."""
        losses, scores = [], []
        size = self.config.stage1.extract_batch_size
        for rows in np.split(np.arange(len(self.val)), range(size, len(self.val), size)):
            hu, labels = (part.to(self.fabric.device) for part in self._read(self.val, rows))
            logits = model(prepare(hu, self.hu_ranges, self.config.stage1.input_px))
            loss = window_loss(logits, labels, slice_weight=self.config.stage1.slice_loss_weight)
            losses.append(loss.item() * len(rows))
            scores.append(logits.window.float().cpu().numpy())
        return {
            "val_loss": sum(losses) / len(self.val),
            "val_window_auroc": auroc(self.val.label == 1, np.concatenate(scores)),
        }

    def studies(self, key: object) -> list[str]:
        """Return the studies of a batch."""
        return sorted({self.train.uids[i] for i in self.train.study[np.asarray(key)]})
