"""Explain studies with two finished runs: from a study store, or straight from DICOM."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pectl.analysis.explain import Explainer, Explanation
from pectl.analysis.explain_score import explain_split
from pectl.analysis.explain_truth import TruthScore, read_truth, score_truth, summarise_truth
from pectl.analysis.gradcam import Method
from pectl.config import Config, WindowsConfig, load_config
from pectl.core.data.feature_store import feature_digest
from pectl.core.data.files import write_json
from pectl.core.data.splits import read_run_splits, refuse_trained_on
from pectl.core.data.stamp import check_lineage
from pectl.core.data.study_store import Study, StudyStore, store_digest
from pectl.core.models.checkpoint import load_stage2
from pectl.errors import InputMissingError, StudyRefusedError
from pectl.pipeline.device import DeviceName, choose_device
from pectl.pipeline.preprocess import preprocess
from pectl.pipeline.run import RunFolder, read_run
from pectl.pipeline.study_intake import Sources
from pectl.pipeline.train_stage1 import load_encoder
from pectl.report.explain_report import write_explanation

Progress = Callable[[int, int], None]


def explain_run(  # noqa: PLR0913 - what is explained, by which runs, and where the result goes
    source: Path,
    stage1: Path,
    stage2: Path,
    out: Path,
    *,
    uid: str | None,
    split: str | None,
    label: str,
    method: Method,
    truth: Path | None,
    device: DeviceName,
    progress: Progress,
) -> str:
    """Explain one study, or every study of a split and how well the heat points; return what to say of it.

    Args:
        source: a study store, or a folder of DICOM files, which is preprocessed as stage 1's store was.
        stage1: a finished run of train-stage1.
        stage2: a finished run of train-stage2 on its features.
        out: a folder with one folder of pictures a study; for a split also `summary.json`.
        uid: the study; may be left out where the source has only one.
        split: explain all studies of it.
        label: what to explain.
        method: of the heat.
        truth: with `split`, the folder `truth/` of a phantom cohort: heat is also scored against its masks.
        device: where to compute.
        progress: called with (studies done, studies).

    Raises:
        LineageError: the runs don't belong to each other or to the store.
        InputMissingError: no such study.
    """
    chain = _load_chain(stage1, stage2, label, method, device)
    if not (source / "store.json").exists():
        with tempfile.TemporaryDirectory() as folder:
            store = _store_of_dicom(source, stage1, Path(folder) / "store", chain.lineage)
            return _explain_one(store, uid, chain, out, progress)
    store = StudyStore.open(source)
    check_lineage(
        where=stage1, expected=store.stamp.digest, found=chain.lineage["study_store"], what=f"study store {source}:"
    )
    if split is None:
        return _explain_one(store, uid, chain, out, progress)
    if split == "test":
        refuse_trained_on(read_run_splits(stage2), store.uids(split), where=stage2, trained=("train", "val"))
    return _explain_split(store, split, chain, out, truth, progress)


@dataclass(frozen=True)
class _Chain:
    """Both stages, and the digests of what they were made from."""

    explainer: Explainer
    lineage: dict[str, str]


def _load_chain(stage1: Path, stage2: Path, label: str, method: Method, device: DeviceName) -> _Chain:
    """Load both stages and check that the second was trained on features of the first."""
    run1, described = read_run(stage1, stage="stage1")
    run2, _ = read_run(stage2, stage="stage2")
    windows = WindowsConfig.model_validate(described["windows"])
    features = feature_digest(store=run1.made_from["study_store"], stage1=run1.digest, windows=windows.digest())
    check_lineage(where=stage2, expected=features, found=run2.made_from["features"], what=f"features of {stage1}:")
    place = choose_device(device)
    explainer = Explainer(
        encoder=load_encoder(stage1, place), classifier=load_stage2(RunFolder(stage2).best),
        hu_ranges=list(windows.hu_ranges.values()), length=windows.length, stride=windows.stride,
        input_px=described["input_px"], label=label, method=method, device=place,
    )  # fmt: skip
    made_from = {**run1.made_from, "stage1": run1.digest, "features": features, "stage2": run2.digest}
    return _Chain(explainer, made_from)


def _store_of_dicom(source: Path, stage1: Path, folder: Path, lineage: dict[str, str]) -> StudyStore:
    """Preprocess a DICOM folder with the configuration that stage 1's store was made with."""
    trained: Config = load_config(stage1 / "config.toml", [])
    check_lineage(
        where=stage1 / "config.toml", expected=lineage["study_store"], found=store_digest(trained.preprocess),
        what="the [preprocess] section of study store",
    )  # fmt: skip
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


def _explain_one(store: StudyStore, uid: str | None, chain: _Chain, out: Path, progress: Progress) -> str:
    uids = store.uids()
    chosen = uids[0] if uid is None and len(uids) == 1 else uid
    if chosen not in uids:
        raise InputMissingError(
            where=store.path, expected="--study with one of the studies there", found=str(uid),
            fix=f"choose one of {len(uids)}: {', '.join(uids[:5])}{' ...' if len(uids) > 5 else ''}",
        )  # fmt: skip
    study = store.read_study(chosen)
    explanation = chain.explainer.explain(study)
    write_explanation(out / chosen, explanation, study, lineage=chain.lineage)
    progress(1, 1)
    return f"explained {chosen} in {explanation.seconds:.1f} s: {out / chosen / 'index.html'}"


def _explain_split(
    store: StudyStore, split: str, chain: _Chain, out: Path, truth: Path | None, progress: Progress
) -> str:
    uids = store.uids(split)
    if not uids:
        raise InputMissingError(
            where=store.path,
            expected=f"studies in the split {split!r}",
            found="none",
            fix="choose another --split",
        )

    pointed: list[TruthScore] = []

    def show(study: Study, explanation: Explanation) -> dict[str, str]:
        if truth is not None:
            pointed.extend(_pointed(study, explanation, truth))
        return write_explanation(out / study.uid, explanation, study, lineage=chain.lineage)

    summary = explain_split(_counted(store, uids, progress), chain.explainer, show=show, split=split)
    if truth is not None:
        summary |= summarise_truth(pointed)
    write_json(out / "summary.json", summary)
    return str(summary["statement"])


def _pointed(study: Study, explanation: Explanation, folder: Path) -> list[TruthScore]:
    """Score a phantom that has emboli against its masks."""
    masks = read_truth(folder / f"{study.uid}.npz")
    return [score_truth(study, explanation, masks)] if masks.embolus.any() else []


def _counted(store: StudyStore, uids: Iterable[str], progress: Progress) -> Iterator[Study]:
    listed = list(uids)
    for done, uid in enumerate(listed, 1):
        yield store.read_study(uid)
        progress(done, len(listed))
