"""Put finished runs into one file that can be handed on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pectl.bundle.archive import write_archive
from pectl.bundle.contents import contents, made_from
from pectl.bundle.evidence import Evidence
from pectl.bundle.manifest import NAME, manifest_bytes
from pectl.bundle.model_card import model_card
from pectl.bundle.pairs import Pair, check_alike, open_pair
from pectl.core.decisions.out_of_distribution import OutOfDistribution
from pectl.core.storage.files import read_json
from pectl.core.storage.stamp import check_lineage
from pectl.core.storage.workers import run_in_processes
from pectl.core.stores.feature_store import FeatureStore
from pectl.core.stores.fingerprint import fingerprint_file
from pectl.core.stores.study_store import StudyStore
from pectl.errors import InputMissingError, LineageError
from pectl.inference.instrument import made_with

RunFolders = tuple[Path, Path]


@dataclass(frozen=True, kw_only=True)
class Bundled:
    """A bundle that was written.

    Attributes:
        n_members: pairs of runs in it.
        n_bytes: size of the file.
        distance: from training, if features were given.
        evaluated: whether it holds figures.
        n_fingerprints: of volumes that the runs were made with.
    """

    n_members: int
    n_bytes: int
    distance: OutOfDistribution | None
    evaluated: bool
    n_fingerprints: int


@dataclass(frozen=True, kw_only=True)
class StoreVolumes:
    """The study store that the runs were made with, whose volumes get fingerprints.

    Attributes:
        path: of the store.
        workers: processes that read it.
        progress: called with (studies done, studies).
    """

    path: Path
    workers: int = 1
    progress: Callable[[int, int], None] = field(default=lambda done, total: None)


def make_bundle(
    runs: Sequence[RunFolders],
    out: Path,
    *,
    evaluation: Path | None = None,
    features: Path | None = None,
    store: StoreVolumes | None = None,
) -> Bundled:
    """Write a bundle; the same runs make the same bytes.

    Args:
        runs: (stage 1, stage 2) of each member; several are averaged.
        out: the file.
        evaluation: folder of pectl evaluate for one of the stage 2 runs; its figures go into the model card.
        features: the feature store that the first stage 2 was trained on: its studies give the distance from training.
        store: gives the fingerprints by which validate-external finds training studies in other containers.

    Raises:
        StoreError: a folder isn't finished or whole, or the file can't be written.
        LineageError: runs, evaluation or features don't belong together, or the members read different input.
    """
    pairs = [open_pair(stage1, stage2) for stage1, stage2 in runs]
    check_alike(pairs)
    trained = None if features is None else _open_features(features, pairs[0])
    metrics, evaluated = (None, 1) if evaluation is None else _read_metrics(evaluation, pairs)
    evidence = Evidence(
        studies=None if trained is None else trained.studies.loc[trained.uids("train")],
        distance=None if trained is None else fit_distance(trained),
        metrics=metrics,
        evaluated=evaluated,
        fingerprints=() if store is None else _fingerprints(store, pairs),
    )
    members = contents(pairs, evidence, model_card(pairs, evidence))
    write_archive(out, members | {NAME: manifest_bytes(members, made_from(pairs), len(pairs))})
    return Bundled(
        n_members=len(pairs),
        n_bytes=out.stat().st_size,
        distance=evidence.distance,
        evaluated=metrics is not None,
        n_fingerprints=len(evidence.fingerprints),
    )


def fit_distance(store: FeatureStore) -> OutOfDistribution:
    """Fit the distance from training on the `train` split of a feature store, its threshold on `val`."""
    train, val = ([store.read(uid).features for uid in store.uids(split)] for split in ("train", "val"))
    studies = store.studies.loc[store.uids("train")]
    flags = [flags.split(",") for flags in studies["flags"]]
    return OutOfDistribution.fit(train, val, flags, largest_step_mm=float(studies["slice_step_mm"].max()))


def _fingerprints(store: StoreVolumes, pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return the fingerprints of the studies that the pairs were trained and chosen on.

    Raises:
        LineageError: a store of other preprocessing than the pairs'.
        StoreError: it isn't whole.
        InputMissingError: it holds none of these studies.
    """
    opened = StudyStore.open(store.path)
    for pair in pairs:
        wanted = pair.instrument.lineage["study_store"]
        check_lineage(where=store.path, expected=wanted, found=opened.stamp.digest, what=f"the store of {pair.stage1}:")
    trained = frozenset().union(*(made_with(run) for pair in pairs for run in (pair.stage1, pair.stage2)))
    files = [opened.study_path(uid) for uid in opened.uids() if uid in trained]
    if not files:
        raise InputMissingError(
            where=store.path,
            expected="studies that the runs were made with",
            found=f"none of {len(trained)}",
            fix="give the store that the runs were trained on, or leave out --store",
        )
    found = []
    for bits in run_in_processes(fingerprint_file, files, workers=store.workers, preload=fingerprint_file.__module__):
        found.append(bits)
        store.progress(len(found), len(files))
    return tuple(found)


def _open_features(path: Path, pair: Pair) -> FeatureStore:
    """Open the feature store that a stage 2 was trained on; the same digest and the same split make it that."""
    store = FeatureStore.open(path)
    found = {"features": store.stamp.digest, "split": store.split_fingerprint}
    for name, digest in found.items():
        wanted = pair.run2.made_from[name]
        check_lineage(where=path, expected=wanted, found=digest, what=f"the {name} of {pair.stage2}:")
    return store


def _read_metrics(evaluation: Path, pairs: Sequence[Pair]) -> tuple[dict[str, Any], int]:
    """Return the figures, and the number of the pair that they are of."""
    path = evaluation / "metrics.json"
    metrics = read_json(path, made_by="pectl evaluate")
    found = (metrics.get("lineage") or {}).get("stage2")
    digests = [pair.run2.digest for pair in pairs]
    if found not in digests:
        raise LineageError(
            where=path,
            expected=f"an evaluation of the stage 2 run {' or '.join(digests)}",
            found=str(found or "one of a table"),
            fix="give the folder of pectl evaluate FEATURES --stage2 for a run of the bundle",
        )
    return metrics, digests.index(found) + 1
