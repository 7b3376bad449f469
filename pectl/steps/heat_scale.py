"""Measure how hot the validation studies that a model flags are, and keep it in the run of stage 2.

Training can't do it: stage 2 sees features, and heat needs stage 1 and the volumes. `explain` has both at hand.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from pectl.core.decisions.heat_scale import HeatReference
from pectl.core.labels.names import PE_PRESENT, RV_LV
from pectl.core.stores.study_store import StudyStore
from pectl.errors import StoreError
from pectl.explanation.gradcam import PE_WINDOW
from pectl.inference.instrument import read_heat_scale, write_heat_scale
from pectl.report.explanation.case import Case
from pectl.steps.chain import Chain

_log = logging.getLogger(__name__)

MOST_STUDIES = 200
"""Validation studies that are looked at: more cost time, and the median hardly moves."""


def reference_studies(store: StudyStore, chain: Chain) -> list[str]:
    """Return the studies of the store to measure the chain's reference on; none where it is known.

    They are those that the model was validated on, in whichever split of the store they are now.
    """
    if chain.explainer.reference is not None:
        return []
    return [uid for uid in store.uids() if chain.splits.get(uid) == "val"][:MOST_STUDIES]


def with_reference(store: StudyStore, uids: Sequence[str], chain: Chain, progress: Callable[[int], None]) -> Chain:
    """Return the chain with the reference of its label and method, measured on validation studies.

    It is kept in the run, where later explanations and bundles find it; if the run can't be written, that is told, and
    this explanation goes on with it. Where too few of the studies are flagged, the chain stays as it is.

    Args:
        store: holds the studies.
        uids: of the studies.
        chain: without a reference, if there are studies.
        progress: called with the studies done.

    Raises:
        StoreError: what the run keeps of other labels is damaged.
    """
    peaks, flagged = [], []
    for done, uid in enumerate(uids, 1):
        case = _case(store, uid, chain)
        peaks.append(case.explanation.full_scale if case.explanation.peak else 0.0)
        flagged.append(is_flagged(case))
        progress(done)
    found = HeatReference.fit(peaks, flagged)
    if found is None:
        return chain
    explainer = chain.explainer
    kept = read_heat_scale(chain.stage2)  # once more: another command may have measured another label meanwhile
    try:
        write_heat_scale(chain.stage2, kept.with_reference(explainer.method, explainer.label, found))
    except StoreError as error:
        _log.warning("the reference of heat is used here, but not kept for later: %s", error)
    return replace(chain, explainer=replace(explainer, reference=found))


def is_flagged(case: Case) -> bool:
    """Tell whether the model calls the label that is explained; RV/LV only where it calls PE too.

    `pe_window` asks stage 1 about windows. Its studies are those in which PE is called.
    """
    answers, label = case.answers(), case.explanation.label
    called = answers[PE_PRESENT if label == PE_WINDOW else label].called
    return called and (label not in RV_LV or answers[PE_PRESENT].called)


def _case(store: StudyStore, uid: str, chain: Chain) -> Case:
    study = store.read_study(uid)
    return Case(
        study=study,
        explanation=chain.explainer.explain(study),
        measures={},
        measured_against={},
        decisions=chain.decisions,
        lineage=chain.lineage,
        seen_as="val",
    )
