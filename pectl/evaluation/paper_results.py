"""Published results, to be shown beside ours where the studies are the same (split method `ma2022`).

Ma, Ferguson, Jiang, Savitz, Shams: A multitask deep learning approach for pulmonary embolism detection and
identification. Scientific Reports 12:13087 (2022). AUROC with its 95 % interval (DeLong) on 1,000 held-out
studies.
"""

from collections.abc import Mapping
from typing import Any

from pectl.core.labels.names import (
    ACUTE_AND_CHRONIC,
    ALL_STUDIES,
    CENTRAL,
    CHRONIC,
    INDETERMINATE,
    LEFT,
    NEGATIVE,
    RIGHT,
    RV_LV_GTE_1,
    RV_LV_LT_1,
)

PAPER = "Ma et al. 2022"
PAPER_SPLIT_METHOD = "ma2022"
PAPER_COHORT = 7279
"""Studies that the paper split: all labelled ones. Of fewer, its method holds out other studies."""

PAPER_EXAM_AUROC: Mapping[str, tuple[float, float, float]] = {
    NEGATIVE: (0.894, 0.869, 0.918),
    INDETERMINATE: (0.862, 0.790, 0.934),
    CHRONIC: (0.687, 0.599, 0.774),
    ACUTE_AND_CHRONIC: (0.858, 0.801, 0.915),
    CENTRAL: (0.948, 0.926, 0.969),
    LEFT: (0.892, 0.862, 0.921),
    RIGHT: (0.923, 0.901, 0.946),
    RV_LV_GTE_1: (0.871, 0.835, 0.907),
    RV_LV_LT_1: (0.851, 0.818, 0.885),
}
"""The RV/LV labels count as absent in studies without PE, as in the competition."""
PAPER_WINDOW_AUROC = (0.926, 0.918, 0.933)
PAPER_WINDOW_SENSITIVITY, PAPER_WINDOW_SPECIFICITY = 0.86, 0.85
PAPER_STAGE1_AUROC = 0.913


def paper_block(lineage: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the paper's figures as `metrics.json` holds them; None unless the split is the paper's.

    Args:
        lineage: `split_method`, and `cohort`, how many studies were split.
    """
    if lineage.get("split_method") != PAPER_SPLIT_METHOD:
        return None
    window = {
        "auroc": PAPER_WINDOW_AUROC[0],
        "auroc_ci": list(PAPER_WINDOW_AUROC[1:]),
        "sensitivity": PAPER_WINDOW_SENSITIVITY,
        "specificity": PAPER_WINDOW_SPECIFICITY,
    }
    comparable = {name: key for key, name in ALL_STUDIES.items()}
    exam = {
        comparable.get(name, name): {"auroc": value, "auroc_ci": [low, high]}
        for name, (value, low, high) in PAPER_EXAM_AUROC.items()
    }
    stage1 = {"auroc": PAPER_STAGE1_AUROC}
    return {
        "source": PAPER,
        "same_studies": lineage.get("cohort") == PAPER_COHORT,
        "window": {"pe_present": window, "pe_present_stage1": stage1},
        "exam": exam,
    }
