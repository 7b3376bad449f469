"""Both finished runs as one explainer, and the studies it is asked about: of a study store, or straight from DICOM."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pectl.config import Config
from pectl.core.decisions.decisions import Decisions
from pectl.core.intake.tasks import Sources
from pectl.core.labels.splits import refuse_trained_on
from pectl.core.storage.processes import find_processes
from pectl.core.storage.stamp import check_lineage
from pectl.core.stores.study_store import StudyStore
from pectl.core.stores.tables import read_run_splits
from pectl.core.volumes.stated import Given, Stated
from pectl.errors import InputMissingError, StudyRefusedError
from pectl.explanation.explainer import Explainer
from pectl.explanation.gradcam import Method
from pectl.inference.device import DeviceName
from pectl.inference.instrument import Instrument, instrument_of_runs
from pectl.steps.preprocess import preprocess


@dataclass(frozen=True)
class Chain:
    """Two runs that belong together.

    Attributes:
        stage1: folder of the run.
        explainer: both stages.
        decisions: calibrators and thresholds that stage 2 was left with.
        splits: who was in which split when the model was trained, by StudyInstanceUID.
        instrument: the same model as predict uses it.
    """

    stage1: Path
    stage2: Path
    explainer: Explainer
    decisions: Decisions
    splits: "pd.Series[str]"
    instrument: Instrument

    @property
    def lineage(self) -> dict[str, str]:
        """Return the digests of what the model was made from, by name."""
        return self.instrument.lineage


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
    instrument = instrument_of_runs(stage1, stage2)
    (member,) = instrument.members
    asked, rank = config.stage1.extract_precision, find_processes().local_rank
    explainer = Explainer(
        encoder=member.encoder,
        classifier=member.classifier,
        windows=instrument.windows,
        input_px=instrument.input_px,
        label=label,
        method=method,
        engine=instrument.engine(device, asked, local_rank=rank),
        extract_batch_size=config.stage1.extract_batch_size,
        reference=member.heat_scale.reference(method, label),
    )
    return Chain(stage1, stage2, explainer, member.decisions, read_run_splits(stage2), instrument)


@contextmanager
def open_source(source: Path, chain: Chain, stated: Stated | None = None) -> Iterator[StudyStore]:
    """Open a study store; a folder of DICOM files, or a volume, is first made one, for as long as the block lasts.

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
        yield _made_store(Given((source,), stated or Stated()), chain, Path(folder) / "store")


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


def _made_store(given: Given, chain: Chain, folder: Path) -> StudyStore:
    """Preprocess what is given with the configuration that stage 1's store was made with."""
    plain = Config(preprocess=chain.instrument.preprocess)
    summary = preprocess(Sources(given.paths, stated=given.stated), folder, plain)
    for verdict in summary.refused[:1] if summary.n_done == 0 else ():
        raise StudyRefusedError(
            verdict.outcome.code,
            where=given.paths[0],
            expected="a CT of the chest",
            found=verdict.outcome.detail,
            fix="choose another series",
        )
    return StudyStore.open(folder)
