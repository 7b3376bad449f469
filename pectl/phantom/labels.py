"""The labels of a study, derived from its geometry by the rules of RSPECT.

Central means trunk or main arteries. A main artery counts for its own side too; the trunk for neither.
"""

from dataclasses import dataclass
from typing import Literal

from pectl.phantom.confounders import Confounders
from pectl.phantom.emboli import Embolus
from pectl.phantom.vessels import Tree

ExamType = Literal["negative", "positive", "indeterminate"]

CSV_COLUMNS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "pe_present_on_image",
    "negative_exam_for_pe",
    "qa_motion",
    "qa_contrast",
    "flow_artifact",
    "rv_lv_ratio_gte_1",
    "rv_lv_ratio_lt_1",
    "leftsided_pe",
    "chronic_pe",
    "true_filling_defect_not_pe",
    "rightsided_pe",
    "acute_and_chronic_pe",
    "central_pe",
    "indeterminate",
)
"""Columns of RSPECT's train.csv, in its order."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a study shows: the source of its exam labels."""

    tree: Tree
    emboli: tuple[Embolus, ...]
    rv_lv_ratio: float
    motion: bool
    poor_contrast: bool
    confounders: Confounders

    def sides(self, embolus: Embolus) -> set[str]:
        """Return which of left, right and central an embolus is."""
        touched = [self.tree.branches[index] for index in embolus.branches]
        sides: set[str] = {branch.side for branch in touched if branch.side != "middle"}
        central = any(branch.level in ("trunk", "main") for branch in touched)
        return sides | {"central"} if central else sides


def exam_labels(findings: Findings) -> dict[str, int]:
    """Return the exam and quality labels of a study, 0 or 1 each."""
    positive = bool(findings.emboli)
    indeterminate = findings.motion or findings.poor_contrast
    sides = {side for embolus in findings.emboli for side in findings.sides(embolus)}
    chronic = {embolus.chronic for embolus in findings.emboli}
    truths = {
        "negative_exam_for_pe": not positive and not indeterminate,
        "indeterminate": indeterminate,
        "chronic_pe": chronic == {True},
        "acute_and_chronic_pe": chronic == {True, False},
        "central_pe": "central" in sides,
        "leftsided_pe": "left" in sides,
        "rightsided_pe": "right" in sides,
        "rv_lv_ratio_gte_1": positive and findings.rv_lv_ratio >= 1.0,
        "rv_lv_ratio_lt_1": positive and findings.rv_lv_ratio < 1.0,
        "qa_motion": findings.motion,
        "qa_contrast": findings.poor_contrast,
        "flow_artifact": bool(findings.confounders.unmixed),
        "true_filling_defect_not_pe": bool(findings.confounders.clots),
    }
    return {name: int(value) for name, value in truths.items()}
