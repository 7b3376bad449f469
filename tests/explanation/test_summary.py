import numpy as np
import pytest

from pectl.config import EvaluateConfig
from pectl.core.statistics.bootstrap import study_weights
from pectl.core.statistics.intervals import newcombe_paired, wilson
from pectl.explanation.baselines import Measured
from pectl.explanation.summary import StudyScore, measures_to_json, summarise

CONFIG = EvaluateConfig(bootstrap_replicates=500)


def summary_of(*scores: StudyScore, split: str = "test") -> dict:
    return summarise(scores, method="layer-cam", label="pe_present", split=split, config=CONFIG, seed=3)


def score(*, positive: bool = True, **measures: tuple[float, float, float]) -> StudyScore:
    found = {name: Measured(*values) for name, values in measures.items()}
    return StudyScore(uid="a", positive=positive, measures=found)


def test_yes_or_no_measures_are_counted_in_positive_studies() -> None:
    hits = [(1.0, 0.25, 0.0), (1.0, 0.35, 1.0), (0.0, 0.3, 1.0), (1.0, 0.3, 0.0)]
    found = summary_of(
        *(score(peak_in_pe_slice=hit) for hit in hits), score(positive=False, peak_in_pe_slice=(0, 0, 0))
    )
    block = found["measures"]["peak_in_pe_slice"]
    low, high = wilson(3, 4, 0.95)
    assert (found["n_studies"], found["n_positive"]) == (5, 4)
    assert (block["n"], block["hits"], block["value"]) == (4, 3, 0.75)
    assert block["ci"] == pytest.approx([low, high], abs=1e-4)
    chance = block["baselines"]["random_lung"]
    assert chance["value"] == 0.3
    assert chance["difference"] == 0.45
    assert chance["difference_ci"] == pytest.approx([low - 0.3, high - 0.3], abs=1e-4)
    bright = block["baselines"]["brightest_vessel"]
    assert bright["difference"] == 0.25
    assert bright["difference_ci"] == pytest.approx(newcombe_paired(1, 2, 1, 0, 0.95), abs=1e-4)
    assert not block["above_baselines"]


def test_other_measures_are_averaged_with_a_bootstrap_of_paired_differences() -> None:
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.uniform(0.5, 1, 20), np.full(20, 0.5), rng.uniform(0.2, 0.5, 20)])
    block = summary_of(*(score(slice_auroc=tuple(row)) for row in table))["measures"]["slice_auroc"]
    weights = study_weights(20, replicates=500, seed=3)
    replicates = (table[:, 0] - table[:, 2]) @ weights / 20
    assert block["value"] == pytest.approx(table[:, 0].mean(), abs=1e-4)
    expected = np.quantile(replicates, [0.025, 0.975])
    assert block["baselines"]["brightest_vessel"]["difference_ci"] == pytest.approx(expected, abs=1e-4)
    assert block["above_baselines"]


def test_one_study_has_no_bootstrap_interval() -> None:
    block = summary_of(score(heat_in_emboli=(0.5, 0.1, 0.2)))["measures"]["heat_in_emboli"]
    assert block["ci"] is None
    assert block["baselines"]["random_lung"] == {"value": 0.1, "difference": 0.4, "difference_ci": None}
    assert block["above_baselines"] is False


def test_statement_says_where_peaks_lie_beside_both_baselines() -> None:
    scores = [score(peak_in_pe_slice=(1, 0.3, 0), pointing_game=(hit, 0.02, 1)) for hit in (1, 0, 1)]
    assert summary_of(*scores)["statement"] == (
        "In positive test studies Layer-CAM's peak lies in a slice with PE in 3 of 3 (95 % CI 44 to 100 %; a random "
        "position in the lungs 30 %, the brightest vessel 0 %), and within 5 mm of an embolus in 2 of 3 (95 % CI 21 to "
        "94 %; a random position in the lungs 2 %, the brightest vessel 100 %)."
    )


def test_nothing_positive_is_said() -> None:
    found = summary_of(score(positive=False, peak_in_pe_slice=(0, 0, 0)), split="val")
    assert found["statement"] == "No val study has a slice labelled PE, so Layer-CAM's peak can't be scored."
    assert found["measures"] == {}


def test_measures_as_json() -> None:
    assert measures_to_json({"slice_auroc": Measured(np.float32(0.25), 0.5, 1 / 3)}) == {
        "slice_auroc": {"heat": 0.25, "random_lung": 0.5, "brightest_vessel": 0.3333}
    }
