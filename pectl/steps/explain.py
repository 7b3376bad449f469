"""Explain studies with two finished runs: one, or all of a split and how well their heat points."""

import resource
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from pectl.config import Config, write_config
from pectl.core.places.truth import PlacesTruth, TruthFolder
from pectl.core.storage.files import atomic_path, write_json
from pectl.core.storage.stamp import digest_of
from pectl.core.stores.study_store import Study, StudyStore
from pectl.core.volumes.stated import Stated
from pectl.errors import InputMissingError
from pectl.explanation.baselines import Measured
from pectl.explanation.explainer import Explanation, scale_meaning
from pectl.explanation.froc.emboli import emboli_of, known_places
from pectl.explanation.froc.marks import find_marks
from pectl.explanation.froc.summary import ASKS_FOR_PE, StudyMarks, froc_summary, marks_table
from pectl.explanation.gradcam import Method
from pectl.explanation.masks import score_truth
from pectl.explanation.score import Measures, score_labels
from pectl.explanation.summary import StudyScore, summarise
from pectl.inference.device import DeviceName
from pectl.report.explanation.case import Case
from pectl.report.explanation.content import VERSION, heat_scale
from pectl.report.explanation.page import read_explanation, summary_row, write_explanation
from pectl.report.explanation.summary_page import write_summary_page
from pectl.steps.chain import Chain, choose_split, choose_study, load_chain, open_source
from pectl.steps.heat_scale import reference_studies, with_reference

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is to be explained, and by which model.

    Attributes:
        stage1: a finished run of train-stage1.
        stage2: a finished run of train-stage2 on its features.
        source: a study store; or a folder of DICOM files, or a volume, which is preprocessed as stage 1's store was.
        uid: the study; may be left out where the source has only one.
        split: instead, all studies of a split of a store.
        label: what to explain.
        method: of the heat.
        truth: a store with masks or boxes, or a phantom cohort: heat is also scored against its emboli.
        stated: of a volume that isn't DICOM.
    """

    stage1: Path
    stage2: Path
    source: Path
    uid: str | None
    split: str | None
    label: str
    method: Method
    truth: TruthFolder | None
    stated: Stated = field(default_factory=Stated)


def explain(question: Question, out: Path, *, config: Config, device: DeviceName, progress: Progress) -> dict[str, Any]:
    """Explain one study, or every study of a split, into one folder a study.

    Heat is a share of the reference that stage 2's run holds. Where it isn't there, explaining a split of the store
    measures it on the validation studies. Without one heat is a share of each study's own peak.

    For a split there are also `summary.json` and `index.html`: how well the heat points; studies that an earlier
    run left whole aren't explained again, if it was asked the same of the same model, labels and masks.

    Args:
        question: what to explain.
        out: the folder.
        config: `stage1.extract_precision`, `evaluate.confidence`, `evaluate.bootstrap_replicates` and `seed` are used.
        device: where to compute.
        progress: called with (studies done, studies).

    Returns:
        `statement`: what to say of it; for a split all of `summary.json`.

    Raises:
        LineageError: the runs don't belong to each other or to the store.
        InputMissingError: no such study, no such split, or a split of a DICOM folder.
    """
    begin = perf_counter()
    if question.split is not None and not (question.source / "store.json").exists():
        raise InputMissingError(
            where=question.source,
            expected="a study store, which has splits",
            found="a folder without store.json",
            fix="run pectl preprocess first, or leave out --split",
        )
    chain = load_chain(
        question.stage1, question.stage2, label=question.label, method=question.method, config=config, device=device
    )
    with open_source(question.source, chain, question.stated) as store:
        if question.split is None:
            result = _explain_one(store, question, chain, out, begin, progress)
        else:
            result = _explain_split(store, question, chain, out, config, progress)
    write_config(config, out / "config.toml")
    return result


def _explain_one(
    store: StudyStore, question: Question, chain: Chain, out: Path, begin: float, progress: Progress
) -> dict[str, Any]:
    uid = choose_study(store, question.uid)
    progress(0, 1)
    ready = perf_counter()
    case = explain_case(store, uid, chain, question.truth)
    write_explanation(out / uid, case)
    progress(1, 1)
    cost = _cost(begin, ready, case.explanation.seconds)
    return {"statement": f"explained {uid} {cost}: {out / uid / 'index.html'}"}


def explain_case(store: StudyStore, uid: str, chain: Chain, truth: TruthFolder | None) -> Case:
    """Explain one study of a store and score its heat."""
    study = store.read_study(uid)
    explanation = chain.explainer.explain(study)
    seen_as = chain.splits.get(uid)
    masks = None if truth is None else truth.read(uid)
    return Case(
        study=study,
        explanation=explanation,
        measures=_measures(study, explanation, masks),
        measured_against=_measured_against(store, uid, truth),
        decisions=chain.decisions,
        lineage=chain.lineage,
        seen_as=None if seen_as is None else str(seen_as),
        marks=None if truth is None or masks is None else _marks(study, explanation, masks, truth.file(uid)),
    )


def _measures(study: Study, explanation: Explanation, masks: PlacesTruth | None) -> Measures:
    measures = score_labels(study, explanation)
    return measures if masks is None else measures | score_truth(study, explanation, masks)


def _marks(study: Study, explanation: Explanation, masks: PlacesTruth, path: Path) -> StudyMarks | None:
    """Return the marks beside the emboli, where the heat is to point at every embolus."""
    if explanation.label not in ASKS_FOR_PE:
        return None
    return StudyMarks.of(find_marks(study, explanation), emboli_of(masks, known_places(path)))


def _measured_against(store: StudyStore, uid: str, truth: TruthFolder | None) -> dict[str, str]:
    """Return the digests of what the heat of a study is judged by."""
    labels = {"labels": digest_of(store.stamp.made_from)}
    return labels if truth is None else labels | {"masks": truth.digest(uid)}


def _explain_split(
    store: StudyStore, question: Question, chain: Chain, out: Path, config: Config, progress: Progress
) -> dict[str, Any]:
    """Explain what isn't there yet, and summarise all; the scale of heat is measured first where it isn't known."""
    split = str(question.split)
    uids = choose_split(store, split, chain)
    missing = reference_studies(store, chain)
    total = len(missing) + len(uids)
    progress(0, total)
    chain = with_reference(store, missing, chain, lambda done: progress(done, total))
    contents = {}
    for done, (uid, content) in enumerate(_explained(store, uids, question, chain, out), 1):
        contents[uid] = content
        progress(len(missing) + done, total)
    shown = {uid: summary_row(out / uid, contents[uid]) for uid in uids}
    marks = {uid: StudyMarks.from_json(found) for uid in uids if (found := contents[uid]["froc"]) is not None}
    explainer = chain.explainer
    summary = summarise(
        [_score(uid, row) for uid, row in shown.items()],
        method=explainer.method,
        label=explainer.label,
        split=split,
        config=config.evaluate,
        seed=config.seed,
    ) | {
        "heat_scale": heat_scale(explainer.reference),
        "scale_meaning": scale_meaning(explainer.reference),
        "studies": shown,
        "froc": _froc(store, marks, out, config),
    }
    write_json(out / "summary.json", summary)
    write_summary_page(out, summary)
    return summary


def _explained(
    store: StudyStore, uids: list[str], question: Question, chain: Chain, out: Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each study and what its `explain.json` holds; its files are written while the next one is computed."""
    written: deque[tuple[str, Future[dict[str, Any]]]] = deque()
    with ThreadPoolExecutor(1) as writer:
        for uid in uids:
            content = _finished(store, uid, question, chain, out / uid)
            if content is not None:
                yield uid, content
                continue
            case = explain_case(store, uid, chain, question.truth)
            if written:
                before, content_before = written.popleft()
                yield before, content_before.result()
            written.append((uid, writer.submit(write_explanation, out / uid, case)))
        for before, content_before in written:
            yield before, content_before.result()


def _froc(store: StudyStore, marks: Mapping[str, StudyMarks], out: Path, config: Config) -> dict[str, Any] | None:
    """Write `marks.csv`, and return what the marks are worth; None without masks, or without any embolus in them."""
    path = out / "marks.csv"
    if not marks:
        path.unlink(missing_ok=True)
        return None
    with atomic_path(path) as temporary:
        marks_table(list(marks.items())).to_csv(temporary, index=False, float_format="%.6g")
    patients = store.studies.loc[list(marks), "patient_group"]
    return froc_summary(list(marks.values()), patients.tolist(), config.evaluate, seed=config.seed)


def _finished(store: StudyStore, uid: str, question: Question, chain: Chain, folder: Path) -> dict[str, Any] | None:
    """Return the explanation that an earlier run left, if model, question, labels and masks are the same."""
    content = read_explanation(folder)
    asked = {
        "version": VERSION,
        "label": question.label,
        "method": question.method,
        "lineage": chain.lineage,
        "heat_scale": heat_scale(chain.explainer.reference),
        "measured_against": _measured_against(store, uid, question.truth),
    }
    same = content is not None and all(content.get(name) == value for name, value in asked.items())
    return content if same else None


def _score(uid: str, row: dict[str, Any]) -> StudyScore:
    measures = {name: Measured(**values) for name, values in row["measures"].items()}
    return StudyScore(uid=uid, positive=row["positive"], measures=measures)


def _cost(begin: float, ready: float, explaining: float) -> str:
    """Say what it cost: seconds in all and by step, and the peak of the memory."""
    now = perf_counter()
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts KiB
    parts = f"loading {ready - begin:.1f}, both stages and heat {explaining:.1f}, files {now - ready - explaining:.1f}"
    return f"in {now - begin:.1f} s ({parts}; {gigabytes:.1f} GB of memory)"
