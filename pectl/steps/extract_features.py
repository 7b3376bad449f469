"""Extract the features of every window of a study store with a trained stage 1; no augmentation, for any split."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from pectl.config import Config, WindowsConfig, write_config
from pectl.core.labels.splits import refuse_trained_on
from pectl.core.models.checkpoint import load_stage1
from pectl.core.storage.estimate import Estimate, Expect, check_disk
from pectl.core.storage.files import atomic_path
from pectl.core.storage.processes import find_processes
from pectl.core.storage.stamp import Stamp, check_lineage, read_stamp, write_stamp
from pectl.core.stores.feature_store import FORMAT, VERSION, feature_digest, write_sequence
from pectl.core.stores.paths import study_path
from pectl.core.stores.runs import best_model, read_run
from pectl.core.stores.study_store import StudyStore
from pectl.core.stores.tables import read_run_splits
from pectl.inference.device import DeviceName, choose_device
from pectl.inference.encoder import StudyEncoder
from pectl.inference.precision import encoder_engine
from pectl.training.estimate_networks import estimate_extraction
from pectl.training.loader import read_ahead

Progress = Callable[[int, int], None]
_BEGUN = "begun.json"


def extract_features(  # noqa: PLR0913 - what from, with what, where to, how
    store_path: Path,
    stage1: Path,
    out: Path,
    config: Config,
    *,
    device: DeviceName,
    shard: tuple[int, int] | None,
    progress: Progress,
    expect: Expect = lambda estimate: None,
) -> int:
    """Make or complete the feature store `out`; studies that are there stay as they are.

    Args:
        store_path: a finished study store.
        stage1: a finished run of train-stage1; its windows and HU ranges are used, not the configuration's.
        out: the feature store.
        config: the experiment; `stage1.extract_batch_size` and `stage1.extract_precision` are used.
        device: where to run.
        shard: (index from 0, count): only this share of the studies; who finishes last writes the index.
        progress: called with (studies done, studies of this run).
        expect: called with what the extraction will need, before it begins.

    Returns:
        The number of studies extracted by this call.

    Raises:
        LineageError: stage 1 was trained on a store of other preprocessing, or `out` holds other features.
        SplitError: stage 1 was trained on a study that this store has in `val` or `test`.
        StoreError: the disk can't hold the features.
    """
    choose_device(device)
    store = StudyStore.open(store_path)
    run, described = read_run(stage1, stage="stage1")
    check_lineage(
        where=stage1,
        expected=store.stamp.digest,
        found=run.made_from["study_store"],
        what=f"study store {store_path}:",
    )
    refuse_trained_on(read_run_splits(stage1), store.uids("val"), where=stage1, trained=("train",))
    refuse_trained_on(read_run_splits(stage1), store.uids("test"), where=stage1, trained=("train", "val"))
    windows = WindowsConfig.of_run(described["windows"])
    stamp = _stamp(store, run, windows)
    _refuse_other_features(out, stamp)
    model, px = load_stage1(best_model(stage1)), described["input_px"]
    asked, rank = config.stage1.extract_precision, find_processes().local_rank
    encoder = StudyEncoder(
        model=model,
        windows=windows,
        input_px=px,
        batch_size=config.stage1.extract_batch_size,
        engine=encoder_engine(device, asked, model, length=windows.length, px=px, local_rank=rank),
    )
    mine = store.uids()[shard[0] :: shard[1]] if shard else store.uids()
    missing = [uid for uid in mine if not study_path(out, uid).exists()]
    estimate = _estimate(encoder, config, store.studies.loc[missing])
    check_disk(estimate, out)
    out.mkdir(parents=True, exist_ok=True)
    write_stamp(out / _BEGUN, stamp)
    write_config(config, out / "config.toml")
    expect(estimate)
    if missing:
        progress(0, len(missing))
    for done, study in enumerate(filter(None, read_ahead(map(store.read_study, missing), len(missing))), 1):
        write_sequence(study_path(out, study.uid), encoder.encode(study))
        progress(done, len(missing))
    _finish(out, store, stamp, model.age_at)
    return len(missing)


def _stamp(store: StudyStore, run: Stamp, windows: WindowsConfig) -> Stamp:
    digest = feature_digest(store=store.stamp.digest, stage1=run.digest, windows=windows.digest())
    made_from = {"study_store": store.stamp.digest, "stage1": run.digest, "split": store.split_fingerprint}
    return Stamp(format=FORMAT, version=VERSION, digest=digest, made_from=made_from, config_digest=windows.digest())


def _refuse_other_features(out: Path, stamp: Stamp) -> None:
    """Check that a folder that is there holds these features."""
    if (out / _BEGUN).exists():
        old, _ = read_stamp(out / _BEGUN, format=FORMAT, version=VERSION, made_by="pectl extract-features")
        check_lineage(where=out, expected=old.digest, found=stamp.digest, what="features of the digest")


def _finish(out: Path, store: StudyStore, stamp: Stamp, age_at: int | None) -> None:
    """Write the index once every study is there; the stamp comes last, so a store that opens is whole."""
    if not all(study_path(out, uid).exists() for uid in store.uids()):
        return
    for name in ("studies.csv", "splits.csv"):
        with atomic_path(out / name) as temporary:
            shutil.copyfile(store.path / name, temporary)
    write_stamp(out / "features.json", stamp, age_at=age_at)


def _estimate(encoder: StudyEncoder, config: Config, studies: pd.DataFrame) -> Estimate:
    """Estimate the extraction of studies, given their rows of `studies.csv`."""
    stage = config.stage1.model_copy(update={"input_px": encoder.input_px})
    return estimate_extraction(
        config.model_copy(update={"windows": encoder.windows, "stage1": stage}),
        encoder.model.spec,
        slices=studies["n_slices"].to_numpy(),
        source=int(studies["n_source_slices"].sum()),
        gpu=encoder.engine.device.type == "cuda",
    )
