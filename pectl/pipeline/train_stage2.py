"""Train stage 2, the sequence classifier, on a feature store; then fit the decisions on its validation split."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from pectl.config import Config
from pectl.core.data.feature_store import FeatureStore, Sequence
from pectl.core.data.files import write_json
from pectl.core.data.labels import UNKNOWN
from pectl.core.data.predictions import Predictions, pe_score, pe_truth
from pectl.core.data.sequences import SequenceBatch, collate
from pectl.core.data.stamp import digest_of
from pectl.core.decisions.decisions import fit_decisions
from pectl.core.models.checkpoint import load_stage2, weights_digest
from pectl.core.models.stage2 import SequenceClassifier, Stage2Spec
from pectl.core.ranking import auroc
from pectl.errors import TrainingError
from pectl.pipeline.device import DeviceName, make_fabric
from pectl.pipeline.loop import Progress, Trainer
from pectl.pipeline.losses import exam_loss, masked_cross_entropy
from pectl.pipeline.predict import predict
from pectl.pipeline.run import Resume, RunFolder

STAGE = "stage2"


def train_stage2(
    features_path: Path, out: Path, config: Config, *, device: DeviceName, resume: Resume, progress: Progress
) -> dict[str, float]:
    """Train the sequence classifier on the `train` split, keep the best on `val`, and fit the decisions on `val`.

    Args:
        features_path: a finished feature store; its sequences are held in memory (80 KB a study).
        out: the run folder; `decisions.json` holds calibrators and thresholds.
        config: the experiment; `stage2`, `evaluate` and `seed` are used.
        device: where to train.
        resume: go on with the run in `out`; "changed" though its configuration was another.
        progress: called with (steps done, steps of all epochs).

    Returns:
        The metrics of the best epoch.
    """
    fabric = make_fabric(device, config.stage2.precision)
    store = FeatureStore.open(features_path)
    made_from = {"features": store.stamp.digest, "split": store.split_fingerprint}
    config_digest = digest_of(config.stage2.digest(), config.evaluate.digest(), config.seed)
    train, val = _Studies.of(store, "train"), _Studies.of(store, "val")
    torch.manual_seed(config.seed)
    model = _new_classifier(config, train)
    run = RunFolder(out)
    run.begin(config, made_from | {"config": config_digest}, resume=resume)
    run.write_splits(store.splits)
    task = _Stage2Task(model, train, val, config, fabric, store.split_fingerprint)
    trainer = Trainer(task, run, config.stage2, fabric=fabric, seed=config.seed)
    trainer.fit(progress)
    best = min(trainer.position.rows, key=lambda row: row["val_loss"])
    _write_decisions(run, store, val, config)
    digest = weights_digest(run.best)
    run.finish(digest=digest, made_from=made_from, config_digest=config_digest, stage=STAGE, best=best)
    run.heartbeat(state="done", best=best)
    return best


@dataclass(frozen=True)
class _Studies:
    """The sequences of a split, and their exam labels (n, 9) with NaN where unknown or undefined."""

    sequences: list[Sequence]
    targets: NDArray[np.float32]

    @classmethod
    def of(cls, store: FeatureStore, split: str) -> "_Studies":
        uids = store.uids(split)
        targets = store.exam_targets(uids)
        if not np.isfinite(targets).any():
            raise TrainingError(
                where=f"{store.path}, split {split}", expected="studies with known exam labels", found="none",
                fix="preprocess with --labels, or change [split]",
            )  # fmt: skip
        return cls([store.read(uid) for uid in uids], targets)


def classifier_spec(config: Config, feature_size: int) -> Stage2Spec:
    """Return the spec of the classifier that the configuration describes."""
    wanted = {"model", "hidden", "levels", "kernel_size", "causal", "dropout"}
    return Stage2Spec(feature_size=feature_size, **config.stage2.model_dump(include=wanted))


def _new_classifier(config: Config, train: _Studies) -> SequenceClassifier:
    features = torch.from_numpy(np.concatenate([s.features for s in train.sequences]))
    model = SequenceClassifier(classifier_spec(config, features.shape[1]))
    model.standardise(features)
    return model


def _write_decisions(run: RunFolder, store: FeatureStore, val: _Studies, config: Config) -> None:
    predictions = predict(load_stage2(run.best), val.sequences, "val", store.split_fingerprint)
    truth = store.studies.loc[predictions.exam.index]
    write_json(run.path / "decisions.json", fit_decisions(predictions, truth, config.evaluate).to_json())


@dataclass
class _Stage2Task:
    """Studies of the feature store as a task for the loop."""

    model: SequenceClassifier
    train: _Studies
    val: _Studies
    config: Config
    fabric: Fabric
    fingerprint: str

    def batches(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return study positions; every study once an epoch, in batches of about equal size."""
        order = np.random.default_rng([self.config.seed, epoch]).permutation(len(self.train.sequences))
        return np.array_split(order, max(1, round(len(order) / self.config.stage2.batch_size)))

    def load(self, key: object) -> tuple[SequenceBatch, Tensor]:
        """Return the padded sequences and their (B, 9) targets."""
        rows = np.asarray(key)
        return collate([self.train.sequences[i] for i in rows]), torch.from_numpy(self.train.targets[rows])

    def loss(self, model: nn.Module, batch: tuple[SequenceBatch, Tensor]) -> Tensor:
        """Return the exam loss plus the window loss, over positive and negative studies alike."""
        sequences, targets = batch
        device = self.fabric.device
        labels = sequences.window_label.to(device)
        out = model(sequences.features.to(device), sequences.window_logit.to(device), sequences.mask.to(device))
        window = masked_cross_entropy(out.window, labels)
        return exam_loss(out.exam, targets.to(device)) + self.config.stage2.window_loss_weight * window

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return loss and AUROCs over the validation studies."""
        loss = self.loss(model, (collate(self.val.sequences), torch.from_numpy(self.val.targets)))
        predictions = predict(self.model, self.val.sequences, "val", self.fingerprint)
        return {"val_loss": loss.item()} | self._aurocs(predictions)

    def _aurocs(self, predictions: Predictions) -> dict[str, float]:
        columns = dict(zip(predictions.exam.columns, self.val.targets.T, strict=True))
        present = pe_truth(predictions.exam.assign(**columns), "exclude")
        window = predictions.window
        if window is None:
            return {}
        known = (window["label"] != UNKNOWN).to_numpy()
        judged = present.notna()
        return {
            "val_exam_auroc": auroc((present == 1)[judged].to_numpy(), pe_score(predictions.exam)[judged].to_numpy()),
            "val_window_auroc": auroc((window["label"] == 1).to_numpy()[known], window["score"].to_numpy()[known]),
        }

    def studies(self, key: object) -> list[str]:
        """Return the studies of a batch."""
        return [self.train.sequences[i].uid for i in np.asarray(key)]
