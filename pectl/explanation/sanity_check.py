"""The sanity check of Adebayo et al. 2018: heat of a model whose weights are randomised must change.

Weights are replaced by those of a new network, from the answer down to the input, one part after the other, and stay
random ("cascading"). Heat that stays alike shows the image, or the architecture, but not what was learnt.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata
from torch import Tensor

from pectl.core.models.stage1 import WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.stores.study_store import Study
from pectl.explanation.explainer import Explainer
from pectl.explanation.gradcam import PE_WINDOW

INTACT = "trained"
"""Names the heat that all others are compared with."""
_MEMBER = re.compile(r"^members\.\d+\.")
"""How the names of stage 2's weights begin: a part of it is randomised in all members."""
_STAGE2_PARTS: Mapping[str, tuple[str, ...]] = {
    "stage 2 exam head": ("exam_head", "attention"),
    "stage 2 sequence": ("encoder", "window_head"),
}
_STAGE1_PARTS: Mapping[str, tuple[str, ...]] = {
    "stage 1 heads": ("head", "slice_head"),
    "layer4": ("backbone.layer4", "context.layer4"),
    "layer3": ("backbone.layer3", "context.layer3"),
    "layer2": ("backbone.layer2", "context.layer2"),
    "layer1": ("backbone.layer1", "context.layer1"),
    "stem": ("backbone.stem", "context.stem"),
}
_SIGMA, _K1, _K2 = 1.5, 0.01, 0.03
"""Of SSIM (Wang et al. 2004); the range is 1, as heat is scaled to its peak."""

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Randomised:
    """Heat after a step of the cascade, beside that of the trained model.

    Attributes:
        part: the part that was randomised last; `INTACT` before any.
        rank_correlation: Spearman's, over the voxels of the grid; 0 where there is no heat any more.
        ssim: structural similarity, the mean over the slices; 1 is equal.
        heat: (D, S, S) in [0, 1] of its own peak.
    """

    part: str
    rank_correlation: float
    ssim: float
    heat: FloatArray


def parts_of(explainer: Explainer) -> list[str]:
    """Return the parts in the order they are randomised, from the answer to the input."""
    stage2 = [] if explainer.label == PE_WINDOW else [*_STAGE2_PARTS]
    return [*stage2, *_STAGE1_PARTS]


def cascade(explainer: Explainer, study: Study, *, seed: int) -> list[Randomised]:
    """Explain a study by the trained model, then with one more part randomised each time.

    Args:
        explainer: of the trained model; it stays as it is.
        study: to explain.
        seed: of the random weights.
    """
    intact = _relative(explainer.explain(study).heat)
    steps = [Randomised(part=INTACT, rank_correlation=1.0, ssim=1.0, heat=intact)]
    for part, broken in _randomised(explainer, seed):
        heat = _relative(broken.explain(study).heat)
        likeness = rank_correlation(intact, heat), ssim(intact, heat)
        steps.append(Randomised(part=part, rank_correlation=likeness[0], ssim=likeness[1], heat=heat))
    return steps


def rank_correlation(first: FloatArray, second: FloatArray) -> float:
    """Return Spearman's rank correlation of two volumes; 0 where one is the same everywhere."""
    ranks = [rankdata(volume.ravel()) for volume in (first, second)]
    if min(rank.std() for rank in ranks) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def ssim(first: FloatArray, second: FloatArray) -> float:
    """Return the structural similarity of two (D, H, W) volumes in [0, 1], the mean over slices (Wang et al. 2004)."""
    spread = (0.0, _SIGMA, _SIGMA)

    def mean(volume: FloatArray) -> FloatArray:
        return np.asarray(gaussian_filter(volume.astype(np.float64), spread, truncate=3.5))

    mean1, mean2 = mean(first), mean(second)
    variance1, variance2 = mean(first**2) - mean1**2, mean(second**2) - mean2**2
    covariance = mean(first * second) - mean1 * mean2
    light = (2 * mean1 * mean2 + _K1**2) / (mean1**2 + mean2**2 + _K1**2)
    structure = (2 * covariance + _K2**2) / (variance1 + variance2 + _K2**2)
    return float((light * structure).mean())


def _randomised(explainer: Explainer, seed: int) -> Iterator[tuple[str, Explainer]]:
    """Yield the parts, and the explainer with this one and all before at the weights of a new network."""
    encoder, classifier = copy.deepcopy(explainer.encoder), copy.deepcopy(explainer.classifier)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new = WindowEncoder(encoder.spec), SequenceClassifier(classifier.spec)
    for part in parts_of(explainer):
        if part in _STAGE2_PARTS:
            _replace(classifier, new[1].state_dict(), _STAGE2_PARTS[part])
        else:
            _replace(encoder, new[0].state_dict(), _STAGE1_PARTS[part])
        yield part, replace(explainer, encoder=encoder, classifier=classifier)


def _replace(model: torch.nn.Module, new: Mapping[str, Tensor], prefixes: Sequence[str]) -> None:
    chosen = {
        name: value
        for name, value in new.items()
        if any(_MEMBER.sub("", name).startswith(f"{prefix}.") for prefix in prefixes)
    }
    model.load_state_dict(chosen, strict=False)


def _relative(heat: FloatArray) -> FloatArray:
    return heat / (heat.max() or 1.0)
