"""What the page's slice viewer needs: the slices, packed, and lists along the body."""

import base64
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pectl.core.statistics.logistic import sigmoid
from pectl.core.stores.study_store import Study
from pectl.explanation.explainer import Explanation
from pectl.explanation.heat_geometry import nearest_source_slice
from pectl.report.explanation.figures import hot_slices
from pectl.report.explanation.overview import slice_attention

LOWEST_HU, STEP_HU, LEVELS = -1024, 2, 1024
"""The page holds HU from -1024 to 1022 in steps of 2: finer than any HU range shows."""
_PNG_LEVEL = 4
"""Five times faster than 6, and 7 % larger: 300 slices of 224 px are 23 MB."""
VIEWER_RANGES = (("PE", 100, 700), ("Mediastinal", 40, 400), ("Lung", -600, 1500))
"""Name, level and width in HU."""

Json = dict[str, Any]


def viewer_data(explanation: Explanation, study: Study) -> Json:
    """Return what the page's script knows beside the slices: D-long lists, attention by label, the peak.

    Heat isn't clipped there, as it is in what is drawn: a text may say that it is above the reference.
    """
    n_slices = len(study.hu)
    sources = [nearest_source_slice(study, index) for index in range(n_slices)]
    attention = slice_attention(explanation, n_slices)
    return {
        "lowest": LOWEST_HU,
        "step": STEP_HU,
        "side": study.hu.shape[1],
        "sop": [str(study.source.sop_instance_uid[source]) for source in sources],
        "position": np.round(study.slice_position_mm, 2).tolist(),
        "label": study.slice_label.tolist(),
        "scale": explanation.scale_name,
        "heat": _short(explanation.slice_heat),
        "attention": [_short(row / row.max()) for row in attention],
        "score": _short(slice_score(explanation, n_slices)),
        "hot": hot_slices(explanation, study),
        "peak": None if explanation.peak is None else list(explanation.peak.grid_index),
    }


def slice_score(explanation: Explanation, n_slices: int) -> NDArray[np.float64]:
    """Return (D,): the highest refined PE score of the windows that cover each slice."""
    best = np.zeros(n_slices)
    for start, score in zip(
        explanation.window_start, sigmoid(explanation.refined_logit.astype(np.float64)), strict=True
    ):
        span = slice(int(start), int(start) + explanation.length)
        best[span] = np.maximum(best[span], score)
    return best


def packed_slice(hu: NDArray[np.int16], heat: NDArray[np.float32]) -> str:
    """Return a slice as a PNG in base64.

    Red holds the upper eight bits of the HU level, green the lower two, blue the heat in [0, 255].
    """
    level = np.clip((hu.astype(np.int32) - LOWEST_HU) // STEP_HU, 0, LEVELS - 1)
    packed = np.stack([np.round(heat * 255), level & 3, level >> 2], axis=-1).astype(np.uint8)  # BGR
    data: NDArray[np.uint8] = cv2.imencode(".png", packed, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])[1]
    return base64.b64encode(data.tobytes()).decode()


def _short(values: NDArray[Any]) -> list[float]:
    return [round(float(value), 4) for value in values]
