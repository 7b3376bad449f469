"""Finished runs and the feature store between them, without a training: random weights, small numbers, seconds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pectl.config import Config, load_config, write_config
from pectl.core.decisions.calibration import Calibrator
from pectl.core.decisions.decisions import EXAM_NAMES, Decisions
from pectl.core.decisions.image_fusion import ImageFusion
from pectl.core.labels.names import STUDY_LABELS
from pectl.core.labels.splits import split_fingerprint
from pectl.core.models.checkpoint import save_model
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.storage.files import write_json
from pectl.core.storage.stamp import Stamp, write_stamp
from pectl.core.stores import feature_store, runs
from pectl.core.stores.feature_store import StudySequence, feature_digest, write_sequence
from pectl.core.stores.paths import study_path
from pectl.core.stores.source import SourceSlices
from pectl.core.stores.study_store import store_digest
from tests.stage2_specs import stage2_spec
from tests.tiny import tiny_config

FEATURES = 128
SPLITS = pd.Series(
    {f"1.2.826.7{k:02d}": split for k, split in enumerate(["train"] * 12 + ["val"] * 5 + ["test"] * 4)}, name="split"
)


@dataclass(frozen=True)
class TinyRuns:
    """Folders of a finished chain."""

    root: Path

    @property
    def stage1(self) -> Path:
        return self.root / "stage1"

    @property
    def stage2(self) -> Path:
        return self.root / "stage2"

    @property
    def features(self) -> Path:
        return self.root / "features"

    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation"

    @property
    def pair(self) -> tuple[Path, Path]:
        return self.stage1, self.stage2


def make_tiny_runs(root: Path, *, seed: int = 0, changes: tuple[str, ...] = ()) -> TinyRuns:
    """Make both runs, the features and an evaluation; another seed makes other weights."""
    made = TinyRuns(root)
    root.mkdir(parents=True)
    (root / "config.toml").write_text(tiny_config())
    config = load_config(root / "config.toml", list(changes))
    torch.manual_seed(seed)
    encoder = WindowEncoder(Stage1Spec(backbone="slim_16", in_channels=1, slice_supervision=True))
    split = split_fingerprint(SPLITS)
    stage1 = {"study_store": store_digest(config.preprocess), "split": split}
    more = {"windows": config.windows.model_dump(mode="json"), "input_px": config.stage1.input_px}
    digest = _finish(made.stage1, "stage1", encoder, config, stage1, **more)
    features = feature_digest(store=stage1["study_store"], stage1=digest, windows=config.windows.digest())
    _write_features(made.features, features, stage1 | {"stage1": digest}, seed)
    classifier = SequenceClassifier(stage2_spec(feature_size=FEATURES))
    stage2 = _finish(made.stage2, "stage2", classifier, config, {"features": features, "split": split})
    write_json(made.stage2 / "decisions.json", decisions().to_json())
    _write_evaluation(made.evaluation, stage2)
    return made


def decisions() -> Decisions:
    """Return decisions that were fitted on the validation studies."""
    calibrators = dict.fromkeys(EXAM_NAMES, Calibrator(kind="temperature", temperature=2.0))
    fusion = ImageFusion("logistic", slice_weight=1.5, context_weight=0.25, intercept=-0.5)
    studies = tuple(SPLITS.index[SPLITS == "val"])
    return Decisions(split="val", studies=studies, calibrators=calibrators, image_fusion=fusion)


def _finish(
    run: Path,
    stage: str,
    model: WindowEncoder | SequenceClassifier,
    config: Config,
    made_from: dict[str, str],
    **more: object,
) -> str:
    digest = save_model(model, runs.best_model(run))
    write_config(config, run / "config.toml")
    SPLITS.rename_axis("StudyInstanceUID").to_csv(run / "splits.csv")
    stamp = Stamp(
        format=runs.FORMAT, version=runs.VERSION, digest=digest, made_from=made_from, config_digest=config.digest()
    )
    write_stamp(run / "run.json", stamp, stage=stage, best={"epoch": 1, "val_loss": 0.5}, **more)
    return digest


def _write_features(out: Path, digest: str, made_from: dict[str, str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    for uid in SPLITS.index:
        write_sequence(study_path(out, uid), sequence(uid, rng))
    SPLITS.rename_axis("StudyInstanceUID").to_csv(out / "splits.csv")
    columns = {"series_uid": "1.3", "spacing": "1x1x1", "flags": "", "kernel": "B|30f", "manufacturer": "<Maker>"}
    table = pd.DataFrame(columns | dict.fromkeys(STUDY_LABELS, 0.0), index=SPLITS.index)
    table["slice_step_mm"], table["patient_group"] = np.linspace(0.625, 1.25, len(table)), table.index
    table.rename_axis("StudyInstanceUID").to_csv(out / "studies.csv")
    stamp = Stamp(
        format=feature_store.FORMAT,
        version=feature_store.VERSION,
        digest=digest,
        made_from=made_from,
        config_digest="none",
    )
    write_stamp(out / "features.json", stamp)


def sequence(uid: str, rng: np.random.Generator) -> StudySequence:
    """Return a study of six windows with random features."""
    return StudySequence(
        uid=uid,
        features=rng.normal(size=(6, FEATURES)).astype(np.float32),
        window_start=np.arange(6) * 3,
        window_logit=rng.normal(size=6).astype(np.float32),
        window_label=np.zeros(6, np.int8),
        slice_logit=rng.normal(size=21).astype(np.float32),
        window_length=6,
        source=SourceSlices(
            sop_instance_uid=np.array([f"{uid}.{k}" for k in range(4)], object),
            position_mm=np.arange(4.0),
            label=np.zeros(4, np.int8),
            grid_index=np.arange(4, dtype=np.int32),
            image_position_patient=np.zeros((4, 3)),
        ),
    )


def _write_evaluation(out: Path, stage2: str) -> None:
    """Write the parts of an evaluation that a bundle and `info` read."""
    block = {"n": 4, "n_positive": 2, "auroc": 0.75, "auroc_ci": [0.5, 0.95], "sensitivity": 0.5, "specificity": None}
    block |= {"sensitivity_ci": [0.1, 0.9], "specificity_ci": None}
    metrics = {
        "split": "test",
        "n_studies": 4,
        "confidence": 0.95,
        "decisions": "thresholds and calibration fitted on the split 'val' of 5 other studies",
        "exam": {"pe_present": block},
        "window": {"pe_present": block},
        "image": None,
        "subgroups": [{"attribute": "kernel", "value": "B|30f", "warning": "only 2 in the smaller class", **block}],
        "lineage": {"stage2": stage2},
    }
    out.mkdir()
    write_json(out / "metrics.json", metrics)
    write_json(out / "decisions.json", decisions().to_json())
