"""Whether a study looks like those that the model was trained on: by its features, and by what the intake found.

The distance is Mahalanobis' (Lee et al. 2018 use it on features of networks) of a study's statistics, mean and
deviation of each feature over its windows. Their covariance is shrunk as Ledoit and Wolf (2004) do, for there are more
statistics than studies in a small cohort. The threshold comes from studies that neither training nor the fit has seen.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pectl.errors import StoreError, TrainingError

FloatArray = NDArray[np.float64]

UNUSUAL_FINDINGS = ("no_contrast", "lungs_cut_off", "lung_box_fallback", "thick_slices", "oblique")
"""Findings of the intake on studies that it accepts, though a model may never have seen their kind."""
USUAL_SHARE = 0.05
"""A finding that so many of the training studies have is usual for the model."""
FLAG_RATE = 0.05
"""Share of studies like those of training that the threshold lets be flagged."""
STEP_TOLERANCE = 1.05
"""Steps between slices vary by so much without being others."""
MAX_AXES = 64
_DIGITS = 7
_LEAST = 1e-6


def unusual_findings(flags: Collection[str], usual: Collection[str] = ()) -> tuple[str, ...]:
    """Return those of a study's findings that set it apart from what a model was trained on."""
    return tuple(code for code in UNUSUAL_FINDINGS if code in flags and code not in usual)


def usual_findings(flags: Sequence[Collection[str]]) -> tuple[str, ...]:
    """Return the findings that many of the training studies have, given those of each."""
    shares = {code: sum(code in found for found in flags) / max(len(flags), 1) for code in UNUSUAL_FINDINGS}
    return tuple(code for code, share in shares.items() if share >= USUAL_SHARE)


@dataclass(frozen=True, kw_only=True)
class OutOfDistribution:
    """A fitted distance; P statistics of a study, K principal axes.

    Attributes:
        center: (P,) mean of the training studies' statistics.
        scale: (P,) their deviation.
        axes: (K, P) of most variance among the scaled statistics, orthonormal.
        variance: (K,) along the axes, shrunk.
        rest: variance along any other direction.
        threshold: of the distance; a study is flagged above it.
        flag_rate: expected share of flagged studies among those like the training's, by the number of `n_threshold`.
        n_fit: studies that the distance was fitted on.
        n_threshold: studies that the threshold was fitted on.
        usual: findings of the intake that many training studies have.
        largest_step_mm: between the original slices of a training study; infinite where it isn't known.
    """

    center: FloatArray
    scale: FloatArray
    axes: FloatArray
    variance: FloatArray
    rest: float
    threshold: float
    flag_rate: float
    n_fit: int
    n_threshold: int
    usual: tuple[str, ...]
    largest_step_mm: float

    @classmethod
    def fit(
        cls,
        train: Sequence[NDArray[np.float32]],
        val: Sequence[NDArray[np.float32]],
        flags: Sequence[Collection[str]] = (),
        *,
        largest_step_mm: float = math.inf,
    ) -> "OutOfDistribution":
        """Fit the distance on training studies and its threshold on validation studies.

        Args:
            train: (N, F) features of each study.
            val: the same of others.
            flags: findings of the intake on each training study.
            largest_step_mm: between the original slices of a training study.

        Raises:
            TrainingError: fewer than two studies to train, or none to validate.
        """
        if len(train) < 2 or not val:
            raise TrainingError(
                where="the distance from training",
                expected="features of two training studies and one of validation",
                found=f"{len(train)} and {len(val)}",
                fix="give features of the whole split, or bundle without --features",
            )
        with threadpool_limits(1):  # another number of threads would add in another order
            shape = _shape(np.stack([study_statistics(features) for features in train]))
        open_ended = cls(
            **shape,
            threshold=math.inf,
            flag_rate=0.0,
            n_fit=len(train),
            n_threshold=len(val),
            usual=usual_findings(flags),
            largest_step_mm=_rounded(largest_step_mm),
        )
        threshold, rate = _quantile([open_ended.score(features) for features in val])
        return replace(open_ended, threshold=threshold, flag_rate=rate)

    def score(self, features: NDArray[np.float32]) -> float:
        """Return the distance of a study from training, given its features (N, F)."""
        z = (study_statistics(features) - self.center) / self.scale  # (P,)
        along = self.axes @ z  # (K,)
        beside = max(float(z @ z - along @ along), 0.0)
        return math.sqrt(float(np.sum(along**2 / self.variance)) + beside / self.rest)

    def flag(self, features: NDArray[np.float32]) -> bool:
        """Tell whether a study lies further from training than validation studies do."""
        return self.score(features) > self.threshold

    def findings(self, flags: Collection[str], slice_step_mm: float = 0.0) -> tuple[str, ...]:
        """Return the findings of the intake on a study that training studies seldom have.

        Thick slices are one wherever they lie further apart than those of any training study: once the volume is
        resampled, features tell little of it.

        Args:
            flags: the study's findings.
            slice_step_mm: between its original slices.
        """
        thicker = slice_step_mm > self.largest_step_mm * STEP_TOLERANCE
        usual = set(self.usual) - {"thick_slices"} if thicker else self.usual
        return unusual_findings(flags, usual)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        parts = {
            name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in _as_dict(self).items()
        }
        return parts | {"largest_step_mm": None if math.isinf(self.largest_step_mm) else self.largest_step_mm}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "OutOfDistribution":
        """Read what `to_json` wrote.

        Raises:
            StoreError: keys are missing or unknown, or the numbers don't fit together.
        """
        try:
            arrays = {name: np.array(data[name], np.float64) for name in ("center", "scale", "axes", "variance")}
            step = math.inf if data["largest_step_mm"] is None else float(data["largest_step_mm"])
            made = cls(**{**data, **arrays, "usual": tuple(data["usual"]), "largest_step_mm": step})
            made.axes @ made.center + made.variance, made.center / made.scale
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                where="ood.json",
                expected="a distance from training as pectl writes it",
                found=repr(error),
                fix="make the bundle again with this version of pectl",
            ) from error
        return made


def study_statistics(features: NDArray[np.float32]) -> FloatArray:
    """(N, F) features of a study's windows -> (2F,): their mean, and their deviation."""
    wide = features.astype(np.float64)
    return np.concatenate([wide.mean(0), wide.std(0)])


def _shape(statistics: FloatArray) -> dict[str, Any]:
    """Return center, scale, axes, variance and rest of (n, P) statistics.

    The shrunk covariance is (1 - a) S + a m I, m the mean variance; where it has more axes than are kept, the others
    share their mean variance (Tipping and Bishop 1999).
    """
    center, deviation = statistics.mean(0), statistics.std(0)
    scale = np.where(deviation > _LEAST, deviation, 1.0)  # a feature that is always off
    z = (statistics - center) / scale
    n, p = z.shape
    shrinkage = _shrinkage(z)
    _, singular, axes = np.linalg.svd(z, full_matrices=False)
    variance, mean = singular**2 / n, float((z**2).mean())
    kept = min(MAX_AXES, n - 1, p)
    others = float(variance[kept:].sum()) / max(p - kept, 1)
    rest = (1 - shrinkage) * others + shrinkage * mean
    return {
        "center": _short(center),
        "scale": _short(scale),
        "axes": _short(axes[:kept] * np.sign(axes[:kept].sum(1, keepdims=True))),
        "variance": _short(np.maximum((1 - shrinkage) * variance[:kept] + shrinkage * mean, _LEAST)),
        "rest": max(_rounded(rest), _LEAST),
    }


def _shrinkage(z: FloatArray) -> float:
    """Return the share of the identity in the covariance of centred (n, p) rows: Ledoit and Wolf (2004), lemma 3.3.

    With S = z'z / n: of ||S||^2 the (n, n) products of the rows tell as much as the (p, p) ones.
    """
    n, p = z.shape
    length = (z**2).sum(1)  # (n,)
    mean = length.sum() / (n * p)
    norm = ((z @ z.T) ** 2).sum() / n**2
    spread = norm / p - mean**2
    error = ((length**2).sum() / n - norm) / (n * p)
    return float(min(error / spread, 1.0)) if spread > 0 else 1.0


def _quantile(scores: list[float]) -> tuple[float, float]:
    """Return the threshold, and the expected share above it of further such studies.

    Of n exchangeable scores, a further one exceeds the k-th lowest with the chance 1 - k / (n + 1) (Vovk 2005); with
    too few for `FLAG_RATE` the highest is taken.
    """
    n = len(scores)
    k = min(math.ceil((n + 1) * (1 - FLAG_RATE)), n)
    return sorted(scores)[k - 1], 1 - k / (n + 1)


def _short(values: FloatArray) -> FloatArray:
    """Return the values as they will be read again: with few digits, so that the JSON stays small."""
    return np.array([_rounded(value) for value in values.ravel()]).reshape(values.shape)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _as_dict(fitted: OutOfDistribution) -> dict[str, Any]:
    return {field.name: getattr(fitted, field.name) for field in fields(fitted)}
