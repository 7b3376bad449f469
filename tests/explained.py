"""An explanation of one window, with whatever heat a test gives it."""

import numpy as np

from pectl.core.stores.study_store import Study
from pectl.explanation.explainer import Explanation, find_peak


def explanation_of(study: Study, heat: np.ndarray, **changes: object) -> Explanation:
    none = np.zeros(1, np.float32)
    told: dict[str, object] = {"label": "pe_present", "method": "layer-cam", "exam_score": {}}
    return Explanation(
        uid=study.uid,
        heat=heat,
        slice_heat=heat.max(axis=(1, 2)),
        source_heat=none,
        length=10,
        window_start=np.zeros(1, np.int64),
        window_logit=none,
        refined_logit=none,
        attention=np.ones((9, 1), np.float32),
        peak=find_peak(study, heat),
        left_share=None,
        seconds=0.0,
        **(told | changes),
    )
