"""Train stage 2, the sequence classifier, on a feature store; then fit the decisions on its validation split."""

from pathlib import Path

import numpy as np
import torch

from pectl.config import Config
from pectl.core.batches.sequences import collate
from pectl.core.decisions.decisions import fit_decisions
from pectl.core.models.checkpoint import load_stage2
from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.storage.estimate import Expect
from pectl.core.storage.files import write_json
from pectl.core.storage.processes import find_processes
from pectl.core.storage.stamp import digest_of
from pectl.core.stores.feature_store import FeatureStore
from pectl.inference.device import DeviceName
from pectl.inference.precision import Trial, check_bf16, choose_precision
from pectl.report.learning_curves import draw_learning_curves
from pectl.steps.predict_split import predict
from pectl.training.device import make_fabric
from pectl.training.estimate_networks import estimate_stage2
from pectl.training.loop import Progress
from pectl.training.networks import classifier_spec
from pectl.training.run import Resume, RunFolder
from pectl.training.stage2 import SplitStudies, Stage2Task
from pectl.training.train import Plan, train


def train_stage2(  # noqa: PLR0913 - what from, where to, how, and who watches
    features_path: Path,
    out: Path,
    config: Config,
    *,
    device: DeviceName,
    resume: Resume,
    progress: Progress,
    expect: Expect = lambda estimate: None,
) -> dict[str, float]:
    """Train the sequence classifier on the `train` split, keep the best on `val`, and fit the decisions on `val`.

    Args:
        features_path: a finished feature store; its sequences are held in memory (80 KB a study).
        out: the run folder; `decisions.json` holds calibrators and thresholds.
        config: the experiment; `stage2`, `evaluate` and `seed` are used.
        device: where to train.
        resume: go on with the run in `out`; "changed" though its configuration was another.
        progress: called with (steps done, steps of all epochs).
        expect: called with what the training will need, before it begins.

    Returns:
        The metrics of the best epoch.
    """
    store = FeatureStore.open(features_path)
    known = SplitStudies.of(store, "train"), SplitStudies.of(store, "val")
    torch.manual_seed(config.seed)
    model = _new_classifier(config, known[0], store.age_at)
    sequences = [sequence for studies in known for sequence in studies.sequences]
    precision = choose_precision(device, config.stage2.precision, key="stage2.precision")
    fabric = make_fabric(device, precision, find_processes())
    if precision == "bf16" and fabric.device.type == "cpu":
        check_bf16(Trial(model, lambda: collate(sequences[:2]).inputs(), trains=True), key="stage2.precision")
    plan = Plan(
        stage="stage2",
        task=Stage2Task(model, *known, config, fabric),
        optimizer=config.stage2,
        made_from={"features": store.stamp.digest, "split": store.split_fingerprint},
        config_digest=digest_of(config.stage2.digest(), config.evaluate.digest(), config.seed),
        splits=store.splits,
        estimate=estimate_stage2(
            config,
            model,
            studies=len(sequences),
            windows=sum(len(s.features) for s in sequences),
            gpu=fabric.device.type == "cuda",
        ),
    )
    run = RunFolder(out)

    def complete() -> None:
        _write_decisions(run, store, known[1], config)
        draw_learning_curves(out)

    return train(plan, run, config, fabric=fabric, resume=resume, progress=progress, expect=expect, complete=complete)


def _new_classifier(config: Config, train: SplitStudies, age_at: int | None) -> SequenceClassifier:
    features = torch.from_numpy(np.concatenate([s.features for s in train.sequences]))
    model = SequenceClassifier(classifier_spec(config, features.shape[1], age_at))
    model.standardise(features)
    return model


def _write_decisions(run: RunFolder, store: FeatureStore, val: SplitStudies, config: Config) -> None:
    predictions = predict(load_stage2(run.best), val.sequences, "val", store.split_fingerprint)
    truth = store.studies.loc[predictions.exam.index]
    write_json(run.path / "decisions.json", fit_decisions(predictions, truth, config.evaluate).to_json())
