"""An image's score from two logits: stage 1's of its slice, and stage 2's of the windows over it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from pectl.core.statistics.logistic import BoolArray, FloatArray, fit_logistic, sigmoid, smoothed_targets

Kind = Literal["mean", "logistic"]
_MOST = float(np.exp(4.0))
"""Of a weight: the reciprocal of a calibrator's least temperature. More would make much of a logit's last bits."""


@dataclass(frozen=True)
class ImageFusion:
    """A frozen map from the two logits of an image to the probability that it shows PE.

    sigmoid(slice_weight * slice logit + context_weight * context logit + intercept). `logistic`: fitted; neither weight
    is negative, so no logit lowers a score by being higher. `mean`: the mean of both logits, where nothing could be
    fitted; `reason` says why.
    """

    kind: Kind = "mean"
    slice_weight: float = 0.5
    context_weight: float = 0.5
    intercept: float = 0.0
    reason: str | None = None

    def apply(self, logits: FloatArray) -> FloatArray:
        """Map (n, 2) logits of slice and context to probabilities (n,); -inf, outside the lung box, to 0.

        Example:
            >>> ImageFusion("logistic", 1.0, 0.5, -1.0).apply(np.array([[2.0, -2.0], [-np.inf, -np.inf]]))
            array([0.5, 0. ])
        """
        seen = within_box(logits)
        slices, context = logits[seen].T
        score = np.zeros(len(logits))
        score[seen] = sigmoid(self.slice_weight * slices + self.context_weight * context + self.intercept)
        return score

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "ImageFusion":
        """Read what `to_json` wrote; an unknown key is a TypeError."""
        return cls(**data)


def within_box(logits: FloatArray) -> BoolArray:
    """Return which images (n,) lie in the lung box, given their logits (n, 2)."""
    return np.asarray(~np.isneginf(logits[:, 0]), np.bool_)


def fit_image_fusion(label: BoolArray, logits: FloatArray) -> ImageFusion:
    """Fit the logistic regression of images of validation.

    Args:
        label: (n,) whether each shows PE.
        logits: (n, 2) of slice and context, all finite.

    Returns:
        The fusion; the mean of both logits, with the reason, if there is one class only, or neither logit is higher in
        positive images.
    """
    n_positive = int(label.sum())
    if n_positive in (0, label.size):
        return ImageFusion(reason=f"not fitted: {n_positive} of {label.size} validation images are positive")
    weights, intercept = fit_logistic(logits.T, smoothed_targets(label), least=0.0, most=_MOST)
    slices, context = (round(float(weight), 6) for weight in weights)
    if slices == context == 0:
        return ImageFusion(reason="not fitted: neither logit is higher in positive images")
    return ImageFusion("logistic", slices, context, round(intercept, 6))
