"""An explained study, and all that its folder is made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from pectl.core.decisions.decisions import Decisions
from pectl.core.labels.names import EXAM_LABELS, INDETERMINATE, NEGATIVE, PE_PRESENT
from pectl.core.stores.study_store import Study
from pectl.explanation.explainer import Explanation
from pectl.explanation.froc.summary import StudyMarks
from pectl.explanation.score import Measures


class Answer(NamedTuple):
    """What the model says for one exam label.

    `score` is stage 2's, `probability` calibrated on validation studies; at `threshold` or above the call is
    positive. `known` is the label: 0, 1 or None. The two RV/LV answers are given PE, and sum to one.
    """

    score: float
    probability: float
    threshold: float
    known: int | None

    @property
    def called(self) -> bool:
        """Whether the call is positive."""
        return self.probability >= self.threshold


@dataclass(frozen=True, kw_only=True)
class Case:
    """An explained study.

    Attributes:
        study: of the study store.
        explanation: of `study`.
        measures: how well the heat points, as far as is known.
        measured_against: digests of what the heat was judged by: `labels`, and `masks` of emboli.
        decisions: calibrators and thresholds of stage 2.
        lineage: digests of store, stage 1, features, stage 2 by name.
        seen_as: the split that the study was in when the model was trained; None if it wasn't there.
        marks: what the heat's peaks hit of its emboli; None where there are no masks, or other heat was asked for.
    """

    study: Study
    explanation: Explanation
    measures: Measures
    measured_against: Mapping[str, str]
    decisions: Decisions
    lineage: dict[str, str]
    seen_as: str | None
    marks: StudyMarks | None = None

    def answers(self) -> dict[str, Answer]:
        """Return the answer for `pe_present` and the nine exam labels."""
        score = self.explanation.exam_score
        exam = pd.DataFrame([score])
        probability = self.decisions.calibrated(exam, "given-pe").iloc[0]
        return {
            name: Answer(
                score[name],
                float(probability[name]),
                self.decisions.thresholds[name].value,
                known_label(self.study, name),
            )
            for name in (PE_PRESENT, *EXAM_LABELS)
        }


def known_label(study: Study, name: str) -> int | None:
    """Return the label of a study, also for `pe_present`: 0, 1 or None."""
    if name != PE_PRESENT:
        return study.exam_labels[name]
    negative, indeterminate = study.exam_labels[NEGATIVE], study.exam_labels[INDETERMINATE]
    return None if negative is None or indeterminate is None else int(negative + indeterminate == 0)
