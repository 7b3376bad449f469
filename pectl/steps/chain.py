"""Both finished runs as one explainer, and the studies it is asked about: of a study store, or straight from DICOM."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pectl.config import Config, WindowsConfig, load_config
from pectl.core.decisions.decisions import Decisions
from pectl.core.intake.tasks import Sources
from pectl.core.labels.splits import refuse_trained_on
from pectl.core.models.checkpoint import load_stage2
from pectl.core.storage.files import read_json
from pectl.core.storage.stamp import check_lineage
from pectl.core.stores.feature_store import feature_digest
from pectl.core.stores.study_store import StudyStore, store_digest
from pectl.core.stores.tables import read_run_splits
from pectl.errors import InputMissingError, StudyRefusedError
from pectl.explanation.explainer import Explainer
from pectl.explanation.gradcam import Method
from pectl.steps.preprocess import preprocess
from pectl.training.device import DeviceName
from pectl.training.networks import extraction_fabric, load_encoder
from pectl.training.run import RunFolder, read_run


@dataclass(frozen=True)
class Chain:
    """Two runs that belong together.

    Attributes:
        stage1: folder of the run.
        explainer: both stages.
        decisions: calibrators and thresholds that stage 2 was left with.
        splits: who was in which split when the model was trained, by StudyInstanceUID.
        lineage: digests of what it was made from, by name.
    """

    stage1: Path
    stage2: Path
    explainer: Explainer
    decisions: Decisions
    splits: "pd.Series[str]"
    lineage: dict[str, str]


def load_chain(stage1: Path, stage2: Path, *, label: str, method: Method, config: Config, device: DeviceName) -> Chain:
    """Load both stages and check that the second was trained on features of the first.

    Args:
        stage1: a finished run of train-stage1.
        stage2: a finished run of train-stage2 on its features.
        label: what to explain.
        method: of the heat.
        config: `stage1.extract_precision` is used: stage 1 sees a study as extract-features lets it.
        device: where to compute.

    Raises:
        StoreError: a folder isn't a finished run.
        LineageError: the runs don't belong to each other.
        ConfigError: no such label.
    """
    run1, described = read_run(stage1, stage="stage1")
    run2, _ = read_run(stage2, stage="stage2")
    windows = WindowsConfig.model_validate(described["windows"])
    features = feature_digest(store=run1.made_from["study_store"], stage1=run1.digest, windows=windows.digest())
    check_lineage(where=stage2, expected=features, found=run2.made_from["features"], what=f"features of {stage1}:")
    encoder, px = load_encoder(stage1), described["input_px"]
    fabric = extraction_fabric(device, config, encoder, length=windows.length, px=px)
    explainer = Explainer(
        encoder=encoder.to(fabric.device),
        classifier=load_stage2(RunFolder(stage2).best),
        windows=windows,
        input_px=px,
        label=label,
        method=method,
        device=fabric.device,
        autocast=fabric.autocast,
    )
    lineage = {**run1.made_from, "stage1": run1.digest, "features": features, "stage2": run2.digest}
    decisions = Decisions.from_json(read_json(stage2 / "decisions.json", made_by="pectl train-stage2"))
    return Chain(stage1, stage2, explainer, decisions, read_run_splits(stage2), lineage)


@contextmanager
def open_source(source: Path, chain: Chain) -> Iterator[StudyStore]:
    """Open a study store; a folder of DICOM files is first made one, for as long as the block lasts.

    Raises:
        LineageError: the store has other preprocessing than the one stage 1 was trained on.
        StudyRefusedError: no study of a DICOM folder can be used.
    """
    if (source / "store.json").exists():
        store = StudyStore.open(source)
        made_from = chain.lineage["study_store"]
        check_lineage(where=chain.stage1, expected=store.stamp.digest, found=made_from, what=f"study store {source}:")
        yield store
        return
    with tempfile.TemporaryDirectory() as folder:
        yield _store_of_dicom(source, chain, Path(folder) / "store")


def choose_study(store: StudyStore, uid: str | None) -> str:
    """Return the study that is asked for, or the only one.

    Raises:
        InputMissingError: no such study, or none named among several.
    """
    uids = store.uids()
    chosen = uids[0] if uid is None and len(uids) == 1 else uid
    if chosen not in uids:
        raise InputMissingError(
            where=store.path,
            expected="--study with one of the studies there",
            found=str(uid),
            fix=f"choose one of {len(uids)}: {', '.join(uids[:5])}{' ...' if len(uids) > 5 else ''}",
        )
    return chosen


def choose_split(store: StudyStore, split: str, chain: Chain) -> list[str]:
    """Return the studies of a split; those of `test` must be new to the model.

    Raises:
        InputMissingError: there are none.
        SplitError: the model was trained on some of them.
    """
    uids = store.uids(split)
    if not uids:
        raise InputMissingError(
            where=store.path, expected=f"studies in the split {split!r}", found="none", fix="choose another --split"
        )
    if split == "test":
        refuse_trained_on(chain.splits, uids, where=chain.stage2, trained=("train", "val"))
    return uids


def _store_of_dicom(source: Path, chain: Chain, folder: Path) -> StudyStore:
    """Preprocess a DICOM folder with the configuration that stage 1's store was made with."""
    trained: Config = load_config(chain.stage1 / "config.toml", [])
    check_lineage(
        where=chain.stage1 / "config.toml",
        expected=chain.lineage["study_store"],
        found=store_digest(trained.preprocess),
        what="the [preprocess] section of study store",
    )
    plain = trained.model_copy(update={"split": type(trained.split)()})
    summary = preprocess(Sources((source,)), folder, plain)
    for verdict in summary.refused[:1] if summary.n_done == 0 else ():
        raise StudyRefusedError(
            verdict.outcome.code,
            where=source,
            expected="a CT of the chest",
            found=verdict.outcome.detail,
            fix="choose another series",
        )
    return StudyStore.open(folder)
