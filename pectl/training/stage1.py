"""What stage 1 learns: windows of a study store as a task for the loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from pectl.config import Config
from pectl.core.batches.augment import augment, move, swap_sides
from pectl.core.batches.contrast import contrast_gain
from pectl.core.batches.intensity import prepare, to_channels
from pectl.core.batches.places import PlacesReader
from pectl.core.batches.share import Share
from pectl.core.batches.windows import Empty, WindowIndex, WindowReader, empty_hu
from pectl.core.labels.names import EXAM_LABELS, MULTITASK_LABELS, PE_LABELS
from pectl.core.models.stage1 import WindowEncoder, WindowLogits
from pectl.core.statistics.ranking import auroc
from pectl.core.stores.paths import study_path
from pectl.core.stores.slice_labels import read_slice_labels
from pectl.core.stores.study_store import StudyStore, no_vessel_hu
from pectl.errors import TrainingError
from pectl.training.loader import Batch, Key, Rows
from pectl.training.losses import WINDOW_MEANS, window_sums, window_weights
from pectl.training.place_loss import PLACE_MEANS, place_sums, place_weights
from pectl.training.task import Outputs, ValidationBatch


def index_windows(store: StudyStore, uids: Sequence[str], config: Config) -> WindowIndex:
    """Index the windows of studies; only their slice labels are read.

    Raises:
        StoreError: a study file is missing or can't be read.
    """
    labels = read_slice_labels(store.path, uids)
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
            where=f"{store.path}, split {split}",
            expected="windows with PE and windows without",
            found=f"{len(uids)} studies with labels of the classes {sorted(classes)}",
            fix="preprocess with --labels, or change [split] so that each part has both",
        )
    return index


@dataclass(frozen=True)
class WindowSource:
    """Reads batches of the windows of a store whose label is known.

    A batch is int16 HU (B, T, S, S), the gain of their contrast (B,), slice labels (B, T), and MULTITASK_LABELS of the
    windows' studies (B, 6), NaN where they are not defined: those of PE for a window without PE, RV/LV for a study
    without. Where places are learnt, what is marked on the windows follows: (B, T, S, S) bool, and how, (B,).

    Attributes:
        reader: of the store.
        splits: the windows of `train` and `val`.
        labels: (n, 6) MULTITASK_LABELS of their studies, NaN unknown or undefined.
        gains: (n,) of the contrast of their studies.
        places: of the store; None where places aren't learnt.
    """

    reader: WindowReader
    splits: dict[str, WindowIndex]
    labels: dict[str, NDArray[np.float32]]
    gains: dict[str, NDArray[np.float32]]
    places: PlacesReader | None = None

    @classmethod
    def of(cls, store: StudyStore, config: Config) -> "WindowSource":
        """Index the splits `train` and `val`.

        Raises:
            TrainingError: one of them lacks windows with PE, or without; or places are to be learnt, and nothing is
                marked in any study to train on.
            StoreError: contrast is to be scaled, and the store is too old to tell how bright it is.
        """
        reader = WindowReader(partial(study_path, store.path), length=config.windows.length)
        splits = {split: _known_windows(store, split, config) for split in ("train", "val")}
        columns = [EXAM_LABELS.index(name) for name in MULTITASK_LABELS]
        labels = {split: store.exam_targets(index.uids)[:, columns] for split, index in splits.items()}
        gains = {
            split: contrast_gain(_vessel_hu(store, index.uids, config), config.windows)
            for split, index in splits.items()
        }
        return cls(reader, splits, labels, gains, _places(store, splits["train"], config))

    def __call__(self, key: Key, empty: Empty = empty_hu, /) -> Batch:
        """Read the windows of a share."""
        index, rows = self.splits[key.split], key.rows[key.share.rows]
        uids, starts = [index.uids[i] for i in index.study[rows]], index.start[rows].tolist()
        hu = self.reader.read(uids, starts, empty)
        gain = self.gains[key.split][index.study[rows]]
        read = [hu, gain, index.slice_labels[rows], self.labels_of(key.split, rows)]
        if self.places is not None:
            read += self.places.read(uids, starts, hu.shape[2:])
        return tuple(map(torch.from_numpy, read))

    def labels_of(self, split: str, rows: Rows) -> NDArray[np.float32]:
        """Return (B, 6) MULTITASK_LABELS of windows, NaN where unknown, and PE_LABELS where the window shows no PE."""
        index = self.splits[split]
        labels = self.labels[split][index.study[rows]]
        labels[index.label[rows] != 1, : len(PE_LABELS)] = np.nan
        return labels


def _vessel_hu(store: StudyStore, uids: Sequence[str], config: Config) -> NDArray[np.float32]:
    if "vessel_hu" in store.studies:
        return store.studies.loc[list(uids), "vessel_hu"].to_numpy(np.float32)
    if config.windows.vessels_to_hu:
        raise no_vessel_hu(store.path)
    return np.full(len(uids), np.nan, np.float32)


def _places(store: StudyStore, train: WindowIndex, config: Config) -> PlacesReader | None:
    if not config.stage1.place_loss_weight:
        return None
    places = PlacesReader(store.path, length=config.windows.length)
    if not places.studies.intersection(train.uids):
        raise TrainingError(
            where=f"{store.path}, stage1.place_loss_weight = {config.stage1.place_loss_weight:g}",
            expected="studies to train on whose emboli are marked, in places/",
            found=f"none of {len(train.uids)}",
            fix="preprocess a set with masks or boxes by --layout, or set it to 0",
        )
    return places


class Stage1Task:
    """Windows of the store as a task for the loop."""

    means = WINDOW_MEANS + PLACE_MEANS

    def __init__(self, model: WindowEncoder, source: WindowSource, config: Config, fabric: Fabric) -> None:
        self.model, self.load, self.config, self.fabric = model, source, config, fabric
        self.train, self.val = source.splits["train"], source.splits["val"]

    def batches(self, epoch: int) -> list[Rows]:
        """Return window positions, (B,) each; an epoch sees as many windows as there are, in whole batches."""
        rng = np.random.default_rng([self.config.seed, epoch])
        size = min(self.config.stage1.batch_size, len(self.train))
        count = len(self.train) // size
        if self.config.stage1.sampling == "natural":
            return np.split(rng.permutation(len(self.train))[: count * size], count)
        classes = [np.flatnonzero(self.train.label == label) for label in (0, 1)]
        halves = [rng.choice(classes[i % 2], count) for i in range(size)]
        return list(np.stack(halves, axis=1))

    def val_batches(self) -> list[Rows]:
        """Return window positions in the order of the index."""
        size = self.config.stage1.extract_batch_size
        return np.split(np.arange(len(self.val)), range(size, len(self.val), size))

    def weights(self, batch: Batch) -> Tensor:
        """Return the weights of the loss: windows, and what is known of slices, labels of PE, RV/LV, places."""
        _, _, slices, study, *marked = batch
        runs = self.model.slice_runs(self.config.windows.length)
        return torch.cat([window_weights(slices, study, runs=runs), place_weights(slices, *marked, runs=runs)])

    def sums(self, model: nn.Module, batch: Batch, share: Share) -> Tensor:
        """Augment on the device, and return the sums of the loss."""
        hu, gain, slices, study, *marked = (part.to(self.fabric.device) for part in batch)
        changed, mirrored, grid = augment(hu, gain, self.config.stage1.input_px, self.config.stage1.augment, share)
        logits = model(_laid_out(self.config, to_channels(changed, self.config.windows)))
        if marked:
            marked[0] = move(marked[0], grid)
        return self._loss(logits, slices, swap_sides(study, mirrored), *marked)

    def _loss(self, logits: WindowLogits, slices: Tensor, study: Tensor, *marked: Tensor) -> Tensor:
        stage = self.config.stage1
        sums = window_sums(
            logits, slices, study, slice_weight=stage.slice_loss_weight, multitask_weight=stage.multitask_loss_weight
        )
        return torch.cat([sums, stage.place_loss_weight * place_sums(logits.places, slices, *marked)])

    def judge(self, model: nn.Module, batch: Batch) -> ValidationBatch:
        """Return the loss and the scores of validation windows."""
        hu, gain, slices, study, *marked = (part.to(self.fabric.device) for part in batch)
        logits = model(_laid_out(self.config, prepare(hu, gain, self.config.windows, self.config.stage1.input_px)))
        scores = (logits.window,) if logits.study is None else (logits.window, logits.study)
        outputs = tuple(part.float().cpu().numpy() for part in scores)
        return ValidationBatch(self._loss(logits, slices, study, *marked), self.weights(batch), outputs)

    def metrics(self, outputs: Sequence[Outputs]) -> dict[str, float]:
        """Return the AUROC over the validation windows, and of each multitask head over those whose label is defined.

        A label that no window has, or all have, is left out, in every epoch alike.
        """
        window, *study = (np.concatenate(part) for part in zip(*outputs, strict=True))
        found = {"val_window_auroc": auroc(self.val.label == 1, window)}
        if not study:
            return found
        truth = self.load.labels_of("val", np.arange(len(self.val)))  # (M, 6)
        for name, label, score in zip(MULTITASK_LABELS, truth.T, study[0].T, strict=True):
            if {0.0, 1.0} <= set(label.tolist()):
                known = ~np.isnan(label)
                found[f"val_{name}_auroc"] = auroc(label[known] == 1, score[known])
        return found

    def studies(self, rows: Rows) -> list[str]:
        """Return the studies of training windows."""
        return sorted({self.train.uids[i] for i in self.train.study[rows]})


def example_windows(config: Config) -> tuple[Tensor]:
    """Return two windows of noise, (2, C, T, px, px), in the layout of training."""
    px = config.stage1.input_px
    return (_laid_out(config, torch.rand(2, len(config.windows.hu_ranges), config.windows.length, px, px)),)


def _laid_out(config: Config, x: Tensor) -> Tensor:
    last = config.stage1.channels_last
    return x.contiguous(memory_format=torch.channels_last_3d if last else torch.contiguous_format)
