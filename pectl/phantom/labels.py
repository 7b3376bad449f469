"""The labels of a study, derived from its geometry by the rules of RSPECT.

Central means trunk or main arteries. A main artery counts for its own side too; the trunk for neither.
"""

from dataclasses import dataclass
from typing import Literal

from pectl.core.labels.names import (
    ACUTE_AND_CHRONIC,
    CENTRAL,
    CHRONIC,
    IMAGE,
    IMAGE_LABEL,
    LEFT,
    NEGATIVE,
    RIGHT,
    RV_LV_GTE_1,
    RV_LV_LT_1,
    SERIES,
    STUDY,
)
from pectl.phantom.body.vessels import Tree
from pectl.phantom.confounders import Confounders
from pectl.phantom.emboli import Embolus

ExamType = Literal["negative", "positive", "indeterminate"]

CSV_COLUMNS = (
    STUDY,
    SERIES,
    IMAGE,
    IMAGE_LABEL,
    NEGATIVE,
    "qa_motion",
    "qa_contrast",
    "flow_artifact",
    RV_LV_GTE_1,
    RV_LV_LT_1,
    LEFT,
    CHRONIC,
    "true_filling_defect_not_pe",
    RIGHT,
    ACUTE_AND_CHRONIC,
    CENTRAL,
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
        NEGATIVE: not positive and not indeterminate,
        "indeterminate": indeterminate,
        CHRONIC: chronic == {True},
        ACUTE_AND_CHRONIC: chronic == {True, False},
        CENTRAL: "central" in sides,
        LEFT: "left" in sides,
        RIGHT: "right" in sides,
        RV_LV_GTE_1: positive and findings.rv_lv_ratio >= 1.0,
        RV_LV_LT_1: positive and findings.rv_lv_ratio < 1.0,
        "qa_motion": findings.motion,
        "qa_contrast": findings.poor_contrast,
        "flow_artifact": bool(findings.confounders.unmixed),
        "true_filling_defect_not_pe": bool(findings.confounders.clots),
    }
    return {name: int(value) for name, value in truths.items()}
