"""What all orchestrators have in common: words for a study, and the list of them."""

from typing import get_args

import pytest

from pectl.cli.commands.predict_for import Name
from pectl.core.intake.findings import Finding
from pectl.core.labels.names import EXAM_LABELS, PE_PRESENT
from pectl.inference.prediction import Answer, Model, Prediction
from pectl.orchestrators.contract import needs_a_look, sentence
from pectl.orchestrators.known import ORCHESTRATORS

MODEL = Model(name="m", version="1", digest="d")


def prediction(state: str, *called: str, code: str = "accepted", detail: str = "", **more) -> Prediction:
    answers = {
        name: Answer(score=0.5, probability=0.934, consistent=0.5, called=name in called)
        for name in (PE_PRESENT, *EXAM_LABELS)
    }
    answers = {} if state == "refused" else answers
    findings = (Finding(code, detail),)
    return Prediction(study="1", series="1.1", state=state, findings=findings, model=MODEL, answers=answers, **more)


@pytest.mark.parametrize(
    ("study", "words", "look"),
    [
        (prediction("flagged", PE_PRESENT), "PE flagged, probability 0.93", True),
        (
            prediction("flagged", PE_PRESENT, "central_pe", "rv_lv_ratio_gte_1"),
            "PE flagged, probability 0.93, central, RV/LV 1 or more",
            True,
        ),
        (prediction("undecided"), "PE undecided, probability 0.93", True),
        (prediction("negative"), "no PE, probability 0.93", False),
        (prediction("negative", unlike=("far",)), "no PE, probability 0.93, unlike the training (far)", True),
        (prediction("negative", seen=True), "no PE, probability 0.93, the model was made with this study", False),
        (prediction("refused", code="not_chest", detail="no lungs"), "not read: not_chest (no lungs)", True),
        (prediction("refused", code="reader_killed"), "not read: reader_killed", True),
    ],
)
def test_a_sentence_for_each_state(study, words, look):
    assert sentence(study) == words
    assert needs_a_look(study) is look


def test_the_command_takes_those_that_are_known():
    assert list(get_args(Name)) == list(ORCHESTRATORS)
