"""Extract the features of every window of a study store with a trained stage 1; no augmentation, for any split."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from pectl.config import Config, WindowsConfig, write_config
from pectl.core.data.feature_store import FORMAT, VERSION, Sequence, feature_digest, write_sequence
from pectl.core.data.files import atomic_path
from pectl.core.data.intensity import prepare
from pectl.core.data.splits import read_run_splits, refuse_trained_on
from pectl.core.data.stamp import Stamp, check_lineage, read_stamp, write_stamp
from pectl.core.data.study_store import StudyStore, read_study, study_path
from pectl.core.data.windows import window_labels, window_starts
from pectl.core.models.stage1 import WindowEncoder
from pectl.pipeline.device import DeviceName, make_fabric
from pectl.pipeline.run import read_run
from pectl.pipeline.train_stage1 import load_encoder

Progress = Callable[[int, int], None]


def extract_features(
    store_path: Path, stage1: Path, out: Path, config: Config, *, device: DeviceName,
    shard: tuple[int, int] | None, progress: Progress,
) -> int:  # fmt: skip
    """Make or complete the feature store `out`; studies that are there stay as they are.

    Args:
        store_path: a finished study store.
        stage1: a finished run of train-stage1; its windows and HU ranges are used, not the configuration's.
        out: the feature store.
        config: the experiment; `stage1.extract_batch_size` is used.
        device: where to run; bf16 on a GPU that has it.
        shard: (index from 0, count): only this share of the studies; who finishes last writes the index.
        progress: called with (studies done, studies of this run).

    Returns:
        The number of studies extracted by this call.

    Raises:
        LineageError: stage 1 was trained on a store of other preprocessing, or `out` holds other features.
        SplitError: stage 1 was trained on a study that this store has in `val` or `test`.
    """
    fabric = make_fabric(device, "auto")
    store = StudyStore.open(store_path)
    run, described = read_run(stage1, stage="stage1")
    check_lineage(where=stage1, expected=store.stamp.digest, found=run.made_from["study_store"], what=f"study store {store_path}:")
    refuse_trained_on(read_run_splits(stage1), [*store.uids("val"), *store.uids("test")], where=stage1, trained=("train",))
    windows = WindowsConfig.model_validate(described["windows"])
    stamp = _begin(out, store, run, windows)
    write_config(config, out / "config.toml")
    encoder = fabric.setup_module(load_encoder(stage1, str(fabric.device)))
    mine = store.uids()[shard[0] :: shard[1]] if shard else store.uids()
    missing = [uid for uid in mine if not study_path(out, uid).exists()]
    for done, uid in enumerate(missing, 1):
        sequence = _extract(store, uid, encoder, windows, described["input_px"], config.stage1.extract_batch_size, fabric)
        write_sequence(study_path(out, uid), sequence)
        progress(done, len(missing))
    _finish(out, store, stamp)
    return len(missing)


def _begin(out: Path, store: StudyStore, run: Stamp, windows: WindowsConfig) -> Stamp:
    """Claim the folder for these features, or check that it holds them."""
    digest = feature_digest(store=store.stamp.digest, stage1=run.digest, windows=windows.digest())
    made_from = {"study_store": store.stamp.digest, "stage1": run.digest, "split": store.split_fingerprint}
    stamp = Stamp(format=FORMAT, version=VERSION, digest=digest, made_from=made_from, config_digest=windows.digest())
    marker = out / "begun.json"
    if marker.exists():
        old = read_stamp(marker, format=FORMAT, version=VERSION, made_by="pectl extract-features")
        check_lineage(where=out, expected=old.digest, found=digest, what="features of the digest")
    out.mkdir(parents=True, exist_ok=True)
    write_stamp(marker, stamp)
    return stamp


def _finish(out: Path, store: StudyStore, stamp: Stamp) -> None:
    """Write the index once every study is there; the stamp comes last, so a store that opens is whole."""
    if not all(study_path(out, uid).exists() for uid in store.uids()):
        return
    for name in ("studies.csv", "splits.csv"):
        with atomic_path(out / name) as temporary:
            shutil.copyfile(store.path / name, temporary)
    write_stamp(out / "features.json", stamp)


@torch.inference_mode()
def _extract(
    store: StudyStore, uid: str, encoder: WindowEncoder, windows: WindowsConfig, input_px: int, batch: int, fabric: Fabric
) -> Sequence:
    study = read_study(store.study_path(uid))
    starts = window_starts(len(study.hu), length=windows.length, stride=windows.stride)
    features, logits = [], []
    for first in range(0, len(starts), batch):
        spans = starts[first : first + batch, None] + np.arange(windows.length)
        hu = torch.from_numpy(study.hu[spans]).to(fabric.device)  # (B, T, S, S)
        feature = encoder.forward_features(prepare(hu, list(windows.hu_ranges.values()), input_px))
        features.append(feature.pooled.float().cpu().numpy())
        logits.append(encoder.forward_head(feature).window.float().cpu().numpy())
    return Sequence(
        uid=uid, features=np.concatenate(features), window_start=starts, window_logit=np.concatenate(logits),
        window_label=window_labels(study.slice_label, starts, length=windows.length),
        window_length=windows.length, source=study.source,
    )  # fmt: skip
