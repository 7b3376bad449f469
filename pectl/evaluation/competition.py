"""The exact metric of the RSNA STR PE Detection competition (2020): weighted binary log loss."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pectl.core.labels.names import COMPETITION_WEIGHTS, EXAM_LABELS, IMAGE_WEIGHT, STUDY, UNKNOWN
from pectl.core.labels.predictions import competition_truth
from pectl.core.statistics.metrics import log_losses


@dataclass(frozen=True)
class CompetitionLoss:
    """The loss over exams and images together, and over each alone; NaN where a part has no weight."""

    total: float
    exam: float
    image: float


@dataclass(frozen=True)
class _Part:
    loss: float
    weight: float

    @property
    def mean(self) -> float:
        return self.loss / self.weight if self.weight > 0 else np.nan


def competition_loss(truth: pd.DataFrame, exam: pd.DataFrame, image: pd.DataFrame | None = None) -> CompetitionLoss:
    """Return sum(weight * loss) / sum(weight).

    Args:
        truth: nine label columns, 0, 1 or NaN, rows as in `exam`. The competition counts an RV/LV label of a
            study without PE as 0; other unknown labels weigh nothing.
        exam: nine label columns of probabilities.
        image: columns StudyInstanceUID, score, label; an image weighs IMAGE_WEIGHT times its study's share of
            positive images, so images of studies without any weigh nothing.
    """
    exams, images = _exam_part(truth, exam), _image_part(image)
    together = _Part(exams.loss + images.loss, exams.weight + images.weight)
    return CompetitionLoss(together.mean, exams.mean, images.mean)


def _exam_part(truth: pd.DataFrame, exam: pd.DataFrame) -> _Part:
    names = list(EXAM_LABELS)
    label = competition_truth(truth)[names].to_numpy(np.float64)
    loss = log_losses(label, exam[names].to_numpy(np.float64))
    weight = np.array([COMPETITION_WEIGHTS[name] for name in names]) * ~np.isnan(loss)
    return _Part(float(np.nansum(loss * weight)), float(weight.sum()))


def _image_part(image: pd.DataFrame | None) -> _Part:
    if image is None:
        return _Part(0.0, 0.0)
    known = image.loc[image["label"] != UNKNOWN, [STUDY, "label", "score"]]
    label = known["label"].to_numpy(np.float64)
    study, _ = pd.factorize(known[STUDY])
    share = np.bincount(study, weights=label) / np.bincount(study) if len(study) else label
    weight = IMAGE_WEIGHT * share[study]
    counted = weight > 0  # most images are of studies without PE
    loss = np.zeros_like(weight)
    loss[counted] = log_losses(label[counted], known["score"].to_numpy(np.float64)[counted])
    return _Part(float(np.sum(weight * loss)), float(weight.sum()))
