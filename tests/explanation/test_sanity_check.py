from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from pectl.config import EvaluateConfig, WindowsConfig
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.stores.study_store import Study
from pectl.explanation.explainer import Explainer
from pectl.explanation.sanity_check import INTACT, Randomised, cascade, parts_of, rank_correlation, ssim
from pectl.explanation.sanity_summary import summarise_sanity
from tests.stage2_specs import stage2_spec

StudyFactory = Callable[..., Study]
PARTS = [
    "stage 2 exam head",
    "stage 2 sequence",
    "stage 1 heads",
    "layer4",
    "layer3",
    "layer2",
    "layer1",
    "stem",
]


@pytest.fixture
def explainer() -> Explainer:
    torch.manual_seed(0)
    encoder = WindowEncoder(Stage1Spec(backbone="slim_16", in_channels=1, slice_supervision=True))
    windows = WindowsConfig(hu_ranges={"pe": (-250.0, 450.0)}, length=6, stride=5)
    spec = stage2_spec(feature_size=128, head="hierarchical", position=True, ensemble=2)
    return Explainer(
        encoder=encoder,
        classifier=SequenceClassifier(spec),
        windows=windows,
        input_px=24,
        label="central_pe",
        method="layer-cam",
    )


def test_parts_turn_random_from_the_answer_to_the_input_and_stay_so(
    explainer: Explainer, make_study: StudyFactory
) -> None:
    before = {name: value.clone() for name, value in explainer.encoder.state_dict().items()}
    steps = cascade(explainer, make_study(), seed=1)
    assert [step.part for step in steps] == [INTACT, *PARTS]
    assert steps[0].rank_correlation == steps[0].ssim == 1.0
    assert all(step.rank_correlation < 0.999 for step in steps[1:])
    assert all(value.equal(before[name]) for name, value in explainer.encoder.state_dict().items())


def test_the_last_step_is_a_new_network(explainer: Explainer, make_study: StudyFactory) -> None:
    study = make_study()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        new = WindowEncoder(explainer.encoder.spec), SequenceClassifier(explainer.classifier.spec)
    last = cascade(explainer, study, seed=1)[-1]
    heat = replace(explainer, encoder=new[0], classifier=new[1]).explain(study).heat
    np.testing.assert_allclose(last.heat, heat / heat.max(), rtol=1e-4, atol=1e-6)


def test_seed_decides_the_random_weights_and_leaves_torchs_own_state(
    explainer: Explainer, make_study: StudyFactory
) -> None:
    study, state = make_study(), torch.get_rng_state()
    once, again, other = (cascade(explainer, study, seed=seed)[-1].rank_correlation for seed in (1, 1, 2))
    assert once == again != other
    assert torch.get_rng_state().equal(state)


def test_stage_1_alone_has_no_parts_of_stage_2(explainer: Explainer) -> None:
    assert parts_of(replace(explainer, label="pe_window")) == PARTS[2:]


def test_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 3, 5, 5)).round(1).astype(np.float32)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first.ravel(), second.ravel()).statistic)
    assert rank_correlation(first, np.zeros_like(first)) == 0.0


def test_ssim_of_equal_inverted_and_constant_volumes() -> None:
    first = np.random.default_rng(0).random((2, 20, 20)).astype(np.float32)
    assert ssim(first, first) == pytest.approx(1.0)
    assert ssim(first, 1 - first) < 0
    dark, light = np.zeros_like(first), np.ones_like(first)
    assert ssim(dark, light) == pytest.approx(1e-4 / (1 + 1e-4))  # structure is equal, light is K1^2 / (1 + K1^2)


def cascade_of(*likeness: float) -> list[Randomised]:
    heat = np.zeros((1, 1, 1), np.float32)
    return [
        Randomised(part=part, rank_correlation=value, ssim=value / 2, heat=heat)
        for part, value in zip((INTACT, "layer4", "stem"), likeness, strict=True)
    ]


@pytest.mark.parametrize(("end", "passed"), [(0.1, True), (0.6, False)])
def test_summary_judges_the_wholly_random_model(end: float, passed: bool) -> None:
    cascades = {"a": cascade_of(1.0, 0.8, end), "b": cascade_of(1.0, 0.4, end + 0.1)}
    found = summarise_sanity(
        cascades, method="layer-cam", label="pe_present", config=EvaluateConfig(bootstrap_replicates=100), seed=0
    )
    assert found["passed"] is passed
    assert f"is {'passed' if passed else 'failed'}" in found["statement"]
    assert f"{end + 0.05:.2f} with the trained model's over 2 studies" in found["statement"]
    row = found["parts"][1]
    assert row["part"] == "layer4"
    assert row["rank_correlation"] == {"mean": 0.6, "ci": [0.4, 0.8], "studies": [0.8, 0.4]}
    assert row["ssim"]["mean"] == 0.3


def test_one_study_has_no_interval() -> None:
    config = EvaluateConfig(bootstrap_replicates=100)
    found = summarise_sanity(
        {"a": cascade_of(1.0, 0.5, 0.2)}, method="grad-cam", label="central_pe", config=config, seed=0
    )
    assert found["parts"][2]["rank_correlation"]["ci"] is None
    assert "Grad-CAM's heat" in found["statement"]
    assert "over 1 study:" in found["statement"]
