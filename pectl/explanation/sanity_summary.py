"""What the sanity check says over studies: how alike heat stays as the model is randomised."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pectl.config import EvaluateConfig
from pectl.core.statistics.bootstrap import percentile_interval, replicate_ratio, study_weights
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.explanation.gradcam import METHOD_NAMES, Method
from pectl.explanation.sanity_check import Randomised

ALIKE = 0.5
"""Heat of the wholly random model passes while its rank correlation with the trained model's is below this."""
_DIGITS = 4
_LIKENESS = ("rank_correlation", "ssim")

Json = dict[str, Any]


def summarise_sanity(
    cascades: Mapping[str, Sequence[Randomised]], *, method: Method, label: str, config: EvaluateConfig, seed: int
) -> Json:
    """Summarise the cascades of studies.

    Args:
        cascades: StudyInstanceUID -> steps, the same parts in each.
        method: of the heat.
        label: what was explained.
        config: confidence and bootstrap replicates.
        seed: of the bootstrap.

    Returns:
        `statement`, `passed`, and `parts`: for each the mean `rank_correlation` and `ssim` over studies with a
        bootstrap interval (null for one study), and the values of each study.
    """
    parts = [step.part for step in next(iter(cascades.values()))]
    rows = [_row(part, [steps[k] for steps in cascades.values()], config, seed) for k, part in enumerate(parts)]
    last = rows[-1]["rank_correlation"]
    passed = last["mean"] < ALIKE
    return {
        "statement": (
            f"With all weights random, {METHOD_NAMES[method]}'s heat keeps a rank correlation of {last['mean']:.2f} "
            f"with the trained model's over {len(cascades)} {'study' if len(cascades) == 1 else 'studies'}: "
            f"the sanity check is {'passed' if passed else 'failed'} (below {ALIKE:g} passes)."
        ),
        "passed": passed,
        "label": label,
        "method": method,
        "studies": list(cascades),
        "confidence": config.confidence,
        "parts": rows,
        "use": RESEARCH_USE,
    }


def _row(part: str, steps: Sequence[Randomised], config: EvaluateConfig, seed: int) -> Json:
    found = {name: np.array([getattr(step, name) for step in steps], np.float64) for name in _LIKENESS}
    return {"part": part} | {name: _mean(values, config, seed) for name, values in found.items()}


def _mean(values: NDArray[np.float64], config: EvaluateConfig, seed: int) -> Json:
    n = len(values)
    weights = study_weights(n, replicates=config.bootstrap_replicates, seed=seed)
    low, high = percentile_interval(replicate_ratio(values, np.ones(n), np.arange(n), weights), config.confidence)
    return {
        "mean": round(float(values.mean()), _DIGITS),
        "ci": None if n == 1 else [round(low, _DIGITS), round(high, _DIGITS)],
        "studies": values.round(_DIGITS).tolist(),
    }
