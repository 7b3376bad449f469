"""The sanity check of heat as a command does it: cascades of some studies, a figure and JSON."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pectl.config import Config, write_config
from pectl.core.labels.names import NEGATIVE
from pectl.core.storage.files import write_json
from pectl.core.stores.study_store import StudyStore
from pectl.explanation.gradcam import Method
from pectl.explanation.sanity_check import cascade
from pectl.explanation.sanity_summary import summarise_sanity
from pectl.inference.device import DeviceName
from pectl.report.explanation.sanity_figure import draw_sanity
from pectl.steps.chain import Chain, choose_split, choose_study, load_chain, open_source

FIGURE_NAME, JSON_NAME = "sanity_check.png", "sanity_check.json"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class SanityQuestion:
    """Whose heat is checked.

    Attributes:
        stage1: a finished run of train-stage1.
        stage2: a finished run of train-stage2 on its features.
        source: a study store, or a folder of DICOM files.
        uid: one study; without it, the first `studies` positive studies of `split`.
        split: of the store.
        studies: how many.
        label: what is explained.
        method: of the heat.
    """

    stage1: Path
    stage2: Path
    source: Path
    uid: str | None
    split: str
    studies: int
    label: str
    method: Method


def check_sanity(
    question: SanityQuestion, out: Path, *, config: Config, device: DeviceName, progress: Progress
) -> dict[str, Any]:
    """Randomise the model layer by layer, and see whether its heat changes.

    Leaves `sanity_check.json`, and `sanity_check.png` with the pictures of the first study.

    Args:
        question: what to check.
        out: the folder.
        config: `stage1.extract_precision`, `evaluate.confidence`, `evaluate.bootstrap_replicates` and `seed` (of the
            random weights) are used.
        device: where to compute.
        progress: called with (studies done, studies).

    Returns:
        What `sanity_check.json` holds.

    Raises:
        LineageError: the runs don't belong to each other or to the store.
        InputMissingError: no such study or split.
    """
    chain = load_chain(
        question.stage1, question.stage2, label=question.label, method=question.method, config=config, device=device
    )
    with open_source(question.source, chain) as store:
        uids = _chosen(store, question, chain)
        cascades = {}
        progress(0, len(uids))
        for done, uid in enumerate(uids, 1):
            cascades[uid] = cascade(chain.explainer, store.read_study(uid), seed=config.seed)
            progress(done, len(uids))
        first = store.read_study(uids[0])
    summary = summarise_sanity(
        cascades, method=question.method, label=question.label, config=config.evaluate, seed=config.seed
    ) | {"lineage": chain.lineage}
    draw_sanity(out / FIGURE_NAME, summary, first, cascades[uids[0]])
    write_json(out / JSON_NAME, summary)
    write_config(config, out / "config.toml")
    return summary


def _chosen(store: StudyStore, question: SanityQuestion, chain: Chain) -> list[str]:
    """Return the study that is named, else the first positive ones of the split, or any if none is positive."""
    if question.uid is not None or len(store.uids()) == 1:
        return [choose_study(store, question.uid)]
    uids = choose_split(store, question.split, chain)
    negative = store.studies.loc[uids, NEGATIVE]
    positive = [uid for uid in uids if negative[uid] == 0]
    return (positive or uids)[: question.studies]
