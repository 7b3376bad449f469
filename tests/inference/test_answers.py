"""From scores to answers that obey the rules, whatever the scores."""

import numpy as np
import pandas as pd
import pytest

from pectl.core.decisions.conformal import AbstainBand
from pectl.core.decisions.consistency import project, violations
from pectl.core.decisions.decisions import Decisions
from pectl.core.decisions.image_fusion import ImageFusion
from pectl.core.labels.names import EXAM_LABELS, PE_PRESENT, RV_LV
from pectl.inference.answers import answer_study
from pectl.inference.sequences import StudyScores

FUSION = ImageFusion("logistic", slice_weight=1.0, context_weight=0.5)
BAND = Decisions(split="val", band=AbstainBand(0.3, 0.7), image_fusion=FUSION)


def scores(rng: np.random.Generator, pe: float) -> StudyScores:
    exam = rng.random(9)
    exam[8] = 1 - exam[7]
    return StudyScores(exam, pe, rng.random(4), rng.normal(scale=2.0, size=(12, 2)))


@pytest.mark.parametrize(("pe", "state"), [(0.1, "negative"), (0.5, "undecided"), (0.9, "flagged")])
def test_answers_obey_the_rules_and_calls_agree_with_the_state(pe, state):
    rng = np.random.default_rng(0)
    for _ in range(50):
        found = answer_study([scores(rng, pe)], [BAND])
        assert found.state == state
        row = pd.DataFrame([{name: found.labels[name].consistent for name in EXAM_LABELS}], index=["1"])
        image = pd.DataFrame({"StudyInstanceUID": "1", "score": found.image_consistent})
        assert not violations(row, image).any()
        called = {name: float(bool(found.labels[name].called)) for name in EXAM_LABELS}
        assert not violations(pd.DataFrame([called], index=["1"])).any()
        positive = not (called["negative_exam_for_pe"] or called["indeterminate"])
        wanted = {"negative": False, "undecided": positive, "flagged": True}[state]
        assert positive == wanted
        assert found.labels[PE_PRESENT].called == {"negative": False, "undecided": None, "flagged": True}[state]
        ratio = [found.labels[name] for name in RV_LV]
        assert sum(one.score for one in ratio) == pytest.approx(1.0, abs=1e-12)
        assert sum(one.probability for one in ratio) == pytest.approx(1.0, abs=1e-12)
        assert sum(one.consistent for one in ratio) == found.labels[PE_PRESENT].consistent
        assert [one.called for one in ratio] == [positive and one.probability > 0.5 for one in ratio]


def test_a_studys_projection_has_the_bits_of_many_studies_together():
    rng = np.random.default_rng(1)
    many = [scores(rng, pe) for pe in rng.random(64)]
    found = [answer_study([one], [BAND]) for one in many]
    uids = [f"1.{place}" for place in range(64)]
    exam = pd.DataFrame([one.exam for one in many], index=uids, columns=list(EXAM_LABELS))
    exam = BAND.calibrated(exam.assign(**{PE_PRESENT: [one.pe for one in many]}), "given-pe")
    exam = exam.assign(**{name: exam[name] * exam[PE_PRESENT] for name in RV_LV})
    image = pd.DataFrame(
        {
            "StudyInstanceUID": np.repeat(uids, 12),
            "score": np.concatenate([FUSION.apply(one.image_logits) for one in many]),
        }
    )
    together = project(exam, image, one_ratio=True)
    alone = [[one.labels[name].consistent for name in EXAM_LABELS] for one in found]
    assert np.array_equal(together.exam[list(EXAM_LABELS)].to_numpy(), np.array(alone))
    assert np.array_equal(together.image["score"], np.concatenate([one.image_consistent for one in found]))
