"""Who comes first, and that nobody is lost."""

import itertools

import pytest

from pectl.core.decisions.conformal import AbstainBand
from pectl.core.decisions.decisions import Decisions
from pectl.core.decisions.thresholds import Threshold
from pectl.core.intake.findings import Finding
from pectl.core.labels.names import EXAM_LABELS, PE_PRESENT
from pectl.inference.answers import Rule
from pectl.inference.prediction import Answer, Model, Prediction
from pectl.inference.worklist import Row

MODEL = Model(name="tiny", version="1", digest="d")


def row(name, state, probability=0.5, *, strain=False, central=False, unlike=(), arrived=0.0):
    called = dict.fromkeys((PE_PRESENT, *EXAM_LABELS), False)
    called |= {"rv_lv_ratio_gte_1": strain, "central_pe": central}
    answers = {
        key: Answer(score=0.5, probability=probability, consistent=0.5, called=value) for key, value in called.items()
    }
    prediction = Prediction(
        study=name,
        series="1",
        state=state,
        findings=(Finding("accepted", ""),),
        model=MODEL,
        answers={} if state == "refused" else answers,
        unlike=unlike,
    )
    return Row(name=name, prediction=prediction, arrived=arrived)


LIST = [
    row("strain", "flagged", 0.7, strain=True, arrived=9.0),
    row("central", "flagged", 0.8, central=True, arrived=9.0),
    row("likely", "flagged", 0.99, arrived=9.0),
    row("less likely", "flagged", 0.9, unlike=("far",), arrived=1.0),
    row("refused", "refused", arrived=2.0),
    row("unlike", "negative", 0.01, unlike=("far",), arrived=3.0),
    row("undecided", "undecided", 0.4, arrived=4.0),
    row("early", "negative", 0.1, arrived=0.0),
    row("a late", "negative", 0.001, arrived=5.0),
    row("b late", "negative", 0.2, arrived=5.0),
]


def test_the_order():
    for shuffled in itertools.islice(itertools.permutations(LIST), 0, 3628800, 400009):
        assert [one.name for one in Row.ordered(shuffled, now=10.0)] == [one.name for one in LIST]


def test_what_waits_too_long_comes_first_in_the_same_order():
    names = [one.name for one in Row.ordered(LIST, now=10.0, limit_seconds=6.5)]
    assert names[:4] == ["less likely", "refused", "unlike", "early"]
    assert names[4:] == ["strain", "central", "likely", "undecided", "a late", "b late"]


@pytest.mark.parametrize(
    ("decisions", "states"),
    [
        (Decisions(split="val", band=AbstainBand(0.2, 0.6)), ["negative", "undecided", "undecided", "flagged"]),
        (Decisions(), ["negative", "negative", "flagged", "flagged"]),
        # too few with PE for a lower end: nothing is clear
        (Decisions(split="val", band=AbstainBand(0.0, 0.6)), ["undecided", "undecided", "undecided", "flagged"]),
        # too few without PE for an upper end: the threshold flags, never below what is clear
        (
            Decisions(split="val", band=AbstainBand(0.2, 1.0000001), thresholds={PE_PRESENT: Threshold(0.1)}),
            ["negative", "flagged", "flagged", "flagged"],
        ),
    ],
)
def test_states_follow_from_the_band(decisions, states):
    rule = Rule.of([decisions])
    assert [rule.state(probability) for probability in (0.19, 0.4, 0.55, 0.6)] == states


def test_the_rules_of_members_are_averaged():
    bands = [AbstainBand(0.2, 0.6), AbstainBand(0.4, 0.9)]
    rule = Rule.of([Decisions(split="val", band=band) for band in bands])
    assert (rule.flag, rule.clear) == (pytest.approx(0.75), pytest.approx(0.3))
