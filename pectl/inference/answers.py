"""From the scores of an instrument's members to answers: calibrated, averaged, consistent, and a decision on PE."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pectl.core.decisions.consistency import ImageScores, consistent_pe, project_scores
from pectl.core.decisions.decisions import EXAM_NAMES, Decisions
from pectl.core.labels.names import EXAM_LABELS, PE_PRESENT, RV_LV
from pectl.inference.prediction import Answer, State
from pectl.inference.sequences import StudyScores

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """When a study is flagged, and when it is clear: by the calibrated probability of PE.

    Attributes:
        flag: from here on PE is called.
        clear: below, no PE is called.
    """

    flag: float
    clear: float

    @classmethod
    def of(cls, members: Sequence[Decisions]) -> "Rule":
        """Return the mean of the members' rules."""
        rules = [_rule(decisions) for decisions in members]
        return cls(float(np.mean([one.flag for one in rules])), float(np.mean([one.clear for one in rules])))

    def state(self, probability: float) -> State:
        """Return what is to be made of a study."""
        if probability >= self.flag:
            return "flagged"
        return "negative" if probability < self.clear else "undecided"


def _rule(decisions: Decisions) -> Rule:
    """Take the abstain band; where too few studies without PE were seen for its upper end, the threshold.

    Where too few with PE were seen for the lower end nothing is clear. With nothing fitted at all the threshold of 0.5
    decides both ways.
    """
    threshold, band = decisions.thresholds[PE_PRESENT].value, decisions.band
    if decisions.split is None:
        return Rule(threshold, threshold)
    return Rule(band.rule_in if band.rule_in <= 1 else max(threshold, band.rule_out), band.rule_out)


@dataclass(frozen=True)
class StudyAnswers:
    """The answers on one study, and its n images: score and consistent score."""

    state: State
    labels: dict[str, Answer]
    image_score: FloatArray
    image_consistent: FloatArray


def answer_study(scores: Sequence[StudyScores], decisions: Sequence[Decisions]) -> StudyAnswers:
    """Turn the scores of each member on one study into answers.

    With one member, scores, calibrated probabilities and consistent ones are those of `evaluate`. An image's score is
    the mean of what the members' decisions make of its logits.
    """
    raw = _mean([dict(zip(EXAM_NAMES, [*one.exam, one.pe], strict=True)) for one in scores])
    calibrated = _mean([_calibrated(one, by) for one, by in zip(scores, decisions, strict=True)])
    fused = [by.image_fusion.apply(one.image_logits) for one, by in zip(scores, decisions, strict=True)]
    image = np.mean(fused, axis=0)
    state = Rule.of(decisions).state(calibrated[PE_PRESENT])
    of_competition = calibrated | {name: calibrated[name] * calibrated[PE_PRESENT] for name in RV_LV}
    row = np.array([[of_competition[name] for name in EXAM_LABELS]])  # (1, 9)
    images = ImageScores(np.zeros(len(image), np.intp), image)
    free = project_scores(row, images, one_ratio=True)
    pe = None if state == "undecided" else np.array([state == "flagged"])
    settled = free if pe is None else project_scores(row, images, pe=pe, one_ratio=True)
    consistent = dict(zip(EXAM_LABELS, free.exam[0].tolist(), strict=True))
    consistent[PE_PRESENT] = float(consistent_pe(free.exam, one_ratio=True)[0])
    called: dict[str, bool | None] = dict(zip(EXAM_LABELS, (settled.exam[0] > 0.5).tolist(), strict=True))
    called[PE_PRESENT] = None if state == "undecided" else state == "flagged"
    labels = {
        name: Answer(score=raw[name], probability=calibrated[name], consistent=consistent[name], called=called[name])
        for name in (PE_PRESENT, *EXAM_LABELS)
    }
    return StudyAnswers(state, labels, image, image if free.image is None else free.image)


def _calibrated(score: StudyScores, decisions: Decisions) -> dict[str, float]:
    columns = {name: np.array([value]) for name, value in zip(EXAM_NAMES, [*score.exam, score.pe], strict=True)}
    return {name: float(value[0]) for name, value in decisions.probabilities(columns, "given-pe").items()}


def _mean(members: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in members])) for name in EXAM_NAMES}
