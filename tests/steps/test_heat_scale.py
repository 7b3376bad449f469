"""The scale of heat: measured on validation studies, kept in the run, found by explanations and bundles."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pectl.bundle.load import load_bundle
from pectl.config import Config
from pectl.core.decisions.decisions import Decisions
from pectl.core.decisions.heat_scale import HeatReference
from pectl.core.labels.names import EXAM_LABELS
from pectl.core.storage.files import read_json, write_json
from pectl.core.stores.study_store import Study
from pectl.errors import StoreError
from pectl.explanation.explainer import Explanation
from pectl.inference.instrument import instrument_of_runs
from pectl.report.explanation.case import Case
from pectl.steps import heat_scale
from pectl.steps.bundle import make_bundle
from pectl.steps.chain import Chain, load_chain
from pectl.steps.heat_scale import is_flagged, reference_studies, with_reference
from tests.explained import explanation_of
from tests.tiny_runs import SPLITS, TinyRuns, make_tiny_runs

StudyFactory = Callable[..., Study]
VAL = [uid for uid, split in SPLITS.items() if split == "val"]
PEAKS = dict(zip(VAL, (0.5, 8.0, 2.0, 4.0, 6.0), strict=True))


@dataclass(frozen=True)
class PlannedExplainer:
    """Says of each study what was planned: its peak, and whether PE is called."""

    make_study: StudyFactory
    scores: dict[str, float]
    label: str = "pe_present"
    method: str = "layer-cam"
    reference: HeatReference | None = None

    def explain(self, study: Study) -> Explanation:
        peak, heat = PEAKS[study.uid], np.zeros(study.hu.shape, np.float32)
        full_scale = peak if self.reference is None else self.reference.value
        heat[5, 3, 2] = peak / full_scale
        scores = dict.fromkeys((*EXAM_LABELS, "pe_present"), self.scores[study.uid])
        return explanation_of(
            study, heat, label=self.label, exam_score=scores, full_scale=full_scale, reference=self.reference
        )


class PlannedStore:
    """A store of the validation studies, and of one that the model has never seen."""

    def __init__(self, make_study: StudyFactory) -> None:
        self._make = make_study

    def uids(self) -> list[str]:
        return ["1.new", *VAL]

    def read_study(self, uid: str) -> Study:
        return self._make(uid=uid)


@pytest.fixture
def runs(tmp_path: Path) -> TinyRuns:
    return make_tiny_runs(tmp_path / "runs")


@pytest.fixture
def store(make_study: StudyFactory) -> PlannedStore:
    return PlannedStore(make_study)


def chain_of(runs: TinyRuns, make_study: StudyFactory, scores: dict[str, float]) -> Chain:
    chain = load_chain(*runs.pair, label="pe_present", method="layer-cam", config=Config(), device="cpu")
    reference = chain.explainer.reference
    return replace(chain, decisions=Decisions(), explainer=PlannedExplainer(make_study, scores, reference=reference))


def measured(store: PlannedStore, chain: Chain) -> Chain:
    done: list[int] = []
    found = with_reference(store, reference_studies(store, chain), chain, done.append)
    assert done == [1, 2, 3, 4, 5]
    return found


def test_a_cleared_study_is_drawn_dimmer_than_a_flagged_one(
    runs: TinyRuns, store: PlannedStore, make_study: StudyFactory
) -> None:
    chain = chain_of(runs, make_study, dict.fromkeys(VAL, 0.9))
    assert reference_studies(store, chain) == VAL
    assert [chain.explainer.explain(store.read_study(uid)).shown.max() for uid in VAL] == [1.0] * 5
    chain = measured(store, chain)
    assert chain.explainer.reference == HeatReference(4.0, n_flagged=5, n_studies=5)
    explained = [chain.explainer.explain(store.read_study(uid)) for uid in VAL]
    assert [one.shown.max() for one in explained] == [0.125, 1.0, 0.5, 1.0, 1.0]
    assert [one.heat.max() for one in explained] == [0.125, 2.0, 0.5, 1.0, 1.5]
    assert reference_studies(store, chain) == []


def test_only_studies_that_the_model_flags_count(
    runs: TinyRuns, store: PlannedStore, make_study: StudyFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = dict(zip(VAL, (0.1, 0.9, 0.9, 0.9, 0.1), strict=True))
    few = measured(store, chain_of(runs, make_study, scores))
    assert few.explainer.reference is None
    assert not (runs.stage2 / "heat_scale.json").exists()
    monkeypatch.setattr("pectl.core.decisions.heat_scale.LEAST_FLAGGED", 3)
    found = measured(store, chain_of(runs, make_study, scores))
    assert found.explainer.reference == HeatReference(4.0, n_flagged=3, n_studies=5)  # of 8, 2 and 4


def test_the_run_keeps_it_for_explanations_and_bundles(
    runs: TinyRuns, store: PlannedStore, make_study: StudyFactory
) -> None:
    make_bundle([runs.pair], runs.root / "before.pectl")
    measured(store, chain_of(runs, make_study, dict.fromkeys(VAL, 0.9)))
    reference = HeatReference(4.0, n_flagged=5, n_studies=5)
    again = load_chain(*runs.pair, label="pe_present", method="layer-cam", config=Config(), device="cpu")
    assert again.explainer.reference == reference
    for label, method in (("central_pe", "layer-cam"), ("pe_present", "grad-cam")):
        other = load_chain(*runs.pair, label=label, method=method, config=Config(), device="cpu")
        assert other.explainer.reference is None
    make_bundle([runs.pair, runs.pair], runs.root / "after.pectl")
    before, after = (load_bundle(runs.root / f"{name}.pectl") for name in ("before", "after"))
    assert [one.heat_scale.reference("layer-cam", "pe_present") for one in after.members] == [reference] * 2
    assert [one.heat_scale.references for one in before.members] == [{}]


def test_labels_measured_at_the_same_time_are_both_kept(
    runs: TinyRuns, store: PlannedStore, make_study: StudyFactory
) -> None:
    first, second = (chain_of(runs, make_study, dict.fromkeys(VAL, 0.9)) for _ in range(2))
    measured(store, replace(first, explainer=replace(first.explainer, label="central_pe")))
    measured(store, second)  # loaded before the other was kept
    kept = instrument_of_runs(*runs.pair).members[0].heat_scale.references["layer-cam"]
    assert set(kept) == {"central_pe", "pe_present"}


def test_a_run_that_cannot_be_written_is_explained_all_the_same(
    runs: TinyRuns,
    store: PlannedStore,
    make_study: StudyFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(path: Path, content: object) -> None:
        raise StoreError(where=path, expected="to write it", found="Read-only file system", fix="choose another")

    monkeypatch.setattr("pectl.inference.instrument.write_json", refuse)
    found = measured(store, chain_of(runs, make_study, dict.fromkeys(VAL, 0.9)))
    assert found.explainer.reference == HeatReference(4.0, n_flagged=5, n_studies=5)
    (told,) = caplog.messages
    assert "used here, but not kept for later" in told
    assert "heat_scale.json" in told
    assert "Read-only file system" in told


def test_a_run_that_was_trained_anew_has_no_scale_of_the_one_before(
    runs: TinyRuns, store: PlannedStore, make_study: StudyFactory
) -> None:
    measured(store, chain_of(runs, make_study, dict.fromkeys(VAL, 0.9)))
    path = runs.stage2 / "heat_scale.json"
    content = read_json(path, made_by="")
    assert content["made_from"]["stage2"] == read_json(runs.stage2 / "run.json", made_by="")["digest"]
    write_json(path, content | {"made_from": content["made_from"] | {"stage2": "another"}})
    assert instrument_of_runs(*runs.pair).members[0].heat_scale.references == {}
    write_json(path, {name: content[name] for name in ("use", "made_from")})
    with pytest.raises(StoreError, match=r"heat_scale.json: expected references of heat"):
        instrument_of_runs(*runs.pair)


@pytest.mark.parametrize("broken", ["", "{", "[1, 2]"])
def test_a_damaged_scale_is_named_and_can_be_deleted(broken: str, runs: TinyRuns) -> None:
    path = runs.stage2 / "heat_scale.json"
    path.write_text(broken)
    with pytest.raises(StoreError, match=f"^{path}: expected references of heat .*; delete it, and measure them again"):
        instrument_of_runs(*runs.pair)
    path.unlink()
    assert instrument_of_runs(*runs.pair).members[0].heat_scale.references == {}


@pytest.mark.parametrize(
    ("label", "called", "flagged"),
    [
        ("pe_present", {"pe_present"}, True),
        ("pe_present", {"central_pe"}, False),
        ("pe_window", {"pe_present"}, True),
        ("central_pe", {"central_pe"}, True),
        ("central_pe", {"pe_present"}, False),
        ("rv_lv_ratio_gte_1", {"rv_lv_ratio_gte_1"}, False),
        ("rv_lv_ratio_gte_1", {"rv_lv_ratio_gte_1", "pe_present"}, True),
    ],
)
def test_flagged_is_what_is_called_and_rv_lv_with_pe_alone(
    make_study: StudyFactory, label: str, called: set[str], flagged: bool
) -> None:
    study = make_study(uid=VAL[0])
    explanation = PlannedExplainer(make_study, {VAL[0]: 0.1}, label=label).explain(study)
    scores = explanation.exam_score | dict.fromkeys(called, 0.9)
    case = Case(
        study=study,
        explanation=replace(explanation, exam_score=scores),
        measures={},
        measured_against={},
        decisions=Decisions(),
        lineage={},
        seen_as=None,
    )
    assert is_flagged(case) is flagged


def test_a_large_cohort_is_looked_at_in_part(
    runs: TinyRuns, store: PlannedStore, make_study: StudyFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = chain_of(runs, make_study, {})
    monkeypatch.setattr(heat_scale, "MOST_STUDIES", 2)
    assert reference_studies(store, chain) == VAL[:2]
    unknown = replace(chain, splits=pd.Series({"1.new": "test"}))
    assert reference_studies(store, unknown) == []
