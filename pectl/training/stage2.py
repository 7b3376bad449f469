"""What stage 2 learns: studies of a feature store as a task for the loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from pectl.config import Config
from pectl.core.batches.sequences import BATCH, SequenceBatch, collate
from pectl.core.batches.share import Share
from pectl.core.batches.windows import Empty, empty_hu
from pectl.core.labels.names import EXAM_LABELS, UNKNOWN
from pectl.core.labels.predictions import pe_truth
from pectl.core.models.layers import see_share
from pectl.core.models.stage2 import SequenceClassifier, StudyLogits
from pectl.core.statistics.ranking import auroc
from pectl.core.stores.feature_store import FeatureStore, StudySequence
from pectl.errors import TrainingError
from pectl.training.loader import Batch, Key, Rows
from pectl.training.losses import EXAM_MEANS, StudyTruth, exam_sums, exam_weights
from pectl.training.penalty import PLAIN, Penalty
from pectl.training.task import Outputs, ValidationBatch


@dataclass(frozen=True)
class SplitStudies:
    """The sequences of a split.

    Attributes:
        sequences: n of them.
        targets: (n, 9) exam labels, NaN where unknown or undefined.
        positive_share: (n,) share of each study's images that show PE, of those whose label is known; else 0.
    """

    sequences: list[StudySequence]
    targets: NDArray[np.float32]
    positive_share: NDArray[np.float32]

    @classmethod
    def of(cls, store: FeatureStore, split: str) -> "SplitStudies":
        """Read the studies of a split.

        Raises:
            TrainingError: no exam label of theirs is known.
        """
        uids = store.uids(split)
        targets = store.exam_targets(uids)
        if not np.isfinite(targets).any():
            raise TrainingError(
                where=f"{store.path}, split {split}",
                expected="studies with known exam labels",
                found="none",
                fix="preprocess with --labels, or change [split]",
            )
        sequences = [store.read(uid) for uid in uids]
        return cls(sequences, targets, np.array([_positive_share(s.source.label) for s in sequences], np.float32))


def _positive_share(labels: NDArray[np.int8]) -> float:
    known = labels[labels != UNKNOWN]
    return float((known == 1).mean()) if known.size else 0.0


class StudyBatch(NamedTuple):
    """B studies of up to N windows with what they are taught by."""

    sequences: SequenceBatch
    targets: Tensor
    """(B, 9) exam labels, NaN where unknown or undefined."""
    window_weight: Tensor
    """(B,) what each window of the study weighs."""

    @classmethod
    def of(cls, batch: Batch) -> "StudyBatch":
        """Name the parts of a batch as the loader passes it."""
        *sequences, targets, window_weight = batch
        return cls(SequenceBatch(*sequences), targets, window_weight)

    def truth(self) -> StudyTruth:
        """Return what the loss compares with."""
        return StudyTruth(self.targets, self.sequences.window_label, self.window_weight)


class Stage2Task:
    """Studies of the feature store as a task for the loop."""

    means = EXAM_MEANS

    def __init__(
        self, model: SequenceClassifier, train: SplitStudies, val: SplitStudies, config: Config, fabric: Fabric
    ) -> None:
        self.model, self.train, self.val, self.config, self.fabric = model, train, val, config, fabric

    def batches(self, epoch: int) -> list[Rows]:
        """Return study positions; every study once an epoch, in batches of about equal size."""
        order = np.random.default_rng([self.config.seed, epoch]).permutation(len(self.train.sequences))
        return np.array_split(order, max(1, round(len(order) / self.config.stage2.batch_size)))

    def val_batches(self) -> list[Rows]:
        """Return study positions in the order of the split."""
        return np.split(np.arange(len(self.val.sequences)), range(BATCH, len(self.val.sequences), BATCH))

    def load(self, key: Key, _: Empty = empty_hu, /) -> Batch:
        """Return a share's sequences, padded to the longest of the whole batch, their targets and window weights."""
        studies = self.train if key.split == "train" else self.val
        rows, length = key.rows[key.share.rows], max(len(studies.sequences[i].features) for i in key.rows)
        batch = collate([studies.sequences[i] for i in rows], length=length)
        return (*batch, torch.from_numpy(studies.targets[rows]), torch.from_numpy(self._window_weight(studies)[rows]))

    def _window_weight(self, studies: SplitStudies) -> NDArray[np.float32]:
        """Return what each window of the studies weighs: (n,)."""
        share = studies.positive_share
        return share if self.config.stage2.window_loss == "positive-studies" else np.ones_like(share)

    def weights(self, batch: Batch) -> Tensor:
        """Return the weights of the loss: of known exam labels and known windows."""
        return exam_weights(StudyBatch.of(batch).truth())

    def sums(self, model: nn.Module, batch: Batch, share: Share) -> Tensor:
        """Return the sums of the exam loss and the window loss, the mean over what each member answers for itself."""
        see_share(self.model, share)
        out, truth = self._answers(model, batch, each=True)
        penalty = Penalty(smoothing=self.config.stage2.label_smoothing, gamma=self.config.stage2.focal_gamma)
        members = zip(out.exam, out.window, strict=True)
        return torch.stack([self._sums(exam, window, truth, penalty) for exam, window in members]).mean(0)

    def _sums(self, exam: Tensor, window: Tensor, truth: StudyTruth, penalty: Penalty) -> Tensor:
        return exam_sums(exam, window, truth, window_weight=self.config.stage2.window_loss_weight, penalty=penalty)

    def _answers(self, model: nn.Module, batch: Batch, *, each: bool) -> tuple[StudyLogits, StudyTruth]:
        studies = StudyBatch.of(tuple(part.to(self.fabric.device) for part in batch))
        return model(*studies.sequences.inputs(), each=each), studies.truth()

    def judge(self, model: nn.Module, batch: Batch) -> ValidationBatch:
        """Return the plain loss of what the members answer together, and the scores of studies and windows."""
        out, truth = self._answers(model, batch, each=False)
        pe, window = (logits.float().sigmoid().cpu().numpy() for logits in (out.pe, out.window))
        sums = self._sums(out.exam, out.window, truth, PLAIN)
        return ValidationBatch(sums, self.weights(batch), (pe, window[StudyBatch.of(batch).sequences.mask.numpy()]))

    def metrics(self, outputs: Sequence[Outputs]) -> dict[str, float]:
        """Return the AUROCs over the validation studies, and over their windows."""
        pe, score = (np.concatenate(part) for part in zip(*outputs, strict=True))
        present = pe_truth(pd.DataFrame(self.val.targets, columns=list(EXAM_LABELS)), "exclude")
        judged = present.notna()
        label = np.concatenate([sequence.window_label for sequence in self.val.sequences])
        known = label != UNKNOWN
        return {
            "val_exam_auroc": auroc((present == 1)[judged].to_numpy(), pe[judged]),
            "val_window_auroc": auroc(label[known] == 1, score[known]),
        }

    def studies(self, rows: Rows) -> list[str]:
        """Return the studies of training rows."""
        return [self.train.sequences[i].uid for i in rows]
