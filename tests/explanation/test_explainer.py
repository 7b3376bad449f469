from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pectl.config import WindowsConfig
from pectl.core.decisions.heat_scale import HeatReference
from pectl.core.models.stage1 import Feature, Stage1Spec, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.stores.study_store import Study
from pectl.errors import ConfigError
from pectl.explanation import explainer as module
from pectl.explanation.explainer import Explainer, find_peak
from pectl.explanation.gradcam import LABELS, WindowHeat, window_heat
from pectl.inference.device import make_engine
from tests.stage2_specs import stage2_spec

StudyFactory = Callable[..., Study]
CLOT = (9, 12, 8)


class Quarter(nn.Module):
    """Every fourth row and column: layer4 of an encoder that sees the HU as they are."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[..., ::4, ::4]


def seeing_encoder() -> WindowEncoder:
    """PE logit: -5 + mean of the first channel over a quarter of the places. Feature: that mean, twice."""
    encoder = WindowEncoder(Stage1Spec(backbone="slim_16", in_channels=2, slice_supervision=False))
    encoder.backbone = nn.Module()
    for name in ("stem", "layer1", "layer2", "layer3"):
        encoder.backbone.add_module(name, nn.Identity())
    encoder.backbone.add_module("layer4", Quarter())
    encoder.head = nn.Linear(2, 1)
    encoder.head.weight.data = torch.tensor([[1.0, 0.0]])
    encoder.head.bias.data = torch.tensor([-5.0])
    return encoder


def classifier() -> SequenceClassifier:
    torch.manual_seed(0)
    spec = stage2_spec(feature_size=2, dropout=0.2)
    return SequenceClassifier(spec)


def windows(stride: int, scaling: str = "fixed") -> WindowsConfig:
    ranges = {"bright": (0.0, 100.0), "dark": (-100.0, 0.0)}
    return WindowsConfig(hu_ranges=ranges, length=6, stride=stride, hu_scaling=scaling)


def explainer(**changes: object) -> Explainer:
    plain = Explainer(
        encoder=seeing_encoder(),
        classifier=classifier(),
        windows=windows(4),
        input_px=24,
        label="pe_window",
        batch_size=2,
    )
    return replace(plain, **changes)


@pytest.fixture
def study(make_study: StudyFactory) -> Study:
    """Nothing but a bright spot, in a slice that two windows cover."""
    made = make_study(positive=slice(9, 10))
    made.hu[:] = -1000
    made.hu[CLOT] = 100
    return made


def test_a_forward_pass_in_bf16_is_within_its_rounding_of_one_in_fp32(study: Study) -> None:
    torch.manual_seed(0)
    encoder = WindowEncoder(Stage1Spec(backbone="slim_16", in_channels=2, slice_supervision=True))
    judge = SequenceClassifier(stage2_spec(feature_size=encoder.feature_size))
    plain = explainer(encoder=encoder, classifier=judge, method="layer-cam")
    half = replace(plain, engine=make_engine("cpu", "bf16"))
    expected, found = plain.explain(study), half.explain(study)
    assert found.window_logit.tolist() == pytest.approx(expected.window_logit.tolist(), abs=0.05)
    assert found.window_logit.tolist() != expected.window_logit.tolist()
    assert found.heat.dtype == np.float32
    assert np.corrcoef(found.heat.ravel(), expected.heat.ravel())[0, 1] > 0.95


def test_heat_lies_on_what_stage_1_saw(study: Study) -> None:
    found = explainer().explain(study)
    assert found.window_start.tolist() == [0, 4, 8, 10]
    assert found.heat.shape == study.hu.shape
    assert found.heat[CLOT] == pytest.approx(1.0)
    assert found.slice_heat.argmax() == 9
    assert found.source_heat.tolist() == found.slice_heat.tolist()
    assert found.window_logit == pytest.approx([-5, -5 + 1 / 216, -5 + 1 / 216, -5])


def test_layer_cam_smooths_over_a_place_of_the_map_and_keeps_the_peak(study: Study) -> None:
    found = explainer(method="layer-cam").explain(study)
    assert found.method == "layer-cam"
    assert found.peak is not None
    assert np.abs(np.subtract(found.peak.grid_index, CLOT)).max() <= 1
    assert found.heat.max() == pytest.approx(1.0)
    row = found.heat[CLOT[0], CLOT[1]]
    assert row[CLOT[2]] > row[CLOT[2] + 2] > row[CLOT[2] + 4] > 0  # bell-shaped, where Grad-CAM's is a tent


@pytest.mark.parametrize("method", ["grad-cam", "layer-cam"])
def test_a_fainter_spot_is_dimmer_beside_a_reference_and_as_hot_as_any_without(study: Study, method: str) -> None:
    faint = replace(study, hu=study.hu.copy())
    faint.hu[CLOT] = 25  # a quarter of the range, so of the logit
    alone = [explainer(method=method).explain(one) for one in (study, faint)]
    assert [one.heat.max() for one in alone] == pytest.approx([1.0, 1.0])
    said = [float(torch.tensor(-5 + spot / 216).sigmoid()) for spot in (1.0, 0.25)]
    dimmer = 0.25 * said[1] / said[0]  # its heat, times what is said of it
    assert alone[1].full_scale == pytest.approx(dimmer * alone[0].full_scale, rel=1e-4)
    assert {one.reference for one in alone} == {None}
    reference = HeatReference(alone[0].full_scale / 2, n_flagged=5, n_studies=9)
    beside = [explainer(method=method, reference=reference).explain(one) for one in (study, faint)]
    assert [one.heat.max() for one in beside] == pytest.approx([2.0, 2 * dimmer], rel=1e-4)
    assert [one.shown.max() for one in beside] == pytest.approx([1.0, 2 * dimmer], rel=1e-4)
    for one, other in zip(alone, beside, strict=True):
        assert one.peak.grid_index == other.peak.grid_index
        assert one.left_share == pytest.approx(other.left_share, rel=1e-5)
        assert other.slice_heat.max() == other.peak.value == pytest.approx(other.heat.max())
        assert (other.full_scale, other.scale_name) == (reference.value, "the validation reference")


@pytest.mark.parametrize("label", ["pe_present", "central_pe", "rv_lv_ratio_lt_1"])
def test_the_less_likely_the_label_the_dimmer_its_heat(
    study: Study, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slopes of the same answer, said to be likely and unlikely."""
    found = []
    for said in (0.9, 0.3, 0.0):
        monkeypatch.setattr(module, "_scores", lambda answer, said=said: dict.fromkeys(LABELS, said))
        found.append(explainer(label=label, method="layer-cam").explain(study))
    assert [one.full_scale / found[0].full_scale for one in found] == pytest.approx([1.0, 1 / 3, 1e-6 / 0.9], rel=1e-5)
    assert len({one.peak.grid_index for one in found}) == 1
    np.testing.assert_allclose(found[1].heat, found[0].heat, rtol=1e-4)


def test_peak_is_named_in_grid_patient_and_original_slice(study: Study) -> None:
    peak = explainer().explain(study).peak
    assert peak is not None
    assert peak.grid_index == CLOT
    assert peak.sop_instance_uid == "0123456789ab.9"
    assert peak.point_mm == (-50 + 4 * 8, -60 + 4 * 12, -200 + 3 * 9)
    first = study.source.image_position_patient[9]
    assert peak.source_pixel == pytest.approx(((-12 - first[1]) / 2, (-18 - first[0]) / 2))
    assert peak.slice_label == 1


def test_overlapping_windows_are_averaged(study: Study) -> None:
    """With a pull of 1 and 3 on the two windows that see the spot, its heat is their mean."""
    made = explainer(label="central_pe")
    both = made.explain(study).heat[CLOT]
    single = [replace(made, windows=windows(6)).explain(study).heat[CLOT]]
    assert both >= 0
    assert single[0] >= 0
    ones = explainer(windows=windows(1)).explain(study)
    assert ones.heat[CLOT] == pytest.approx(1.0)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batches_do_not_matter(study: Study, batch_size: int) -> None:
    once = explainer(label="rightsided_pe").explain(study)
    again = explainer(label="rightsided_pe", batch_size=batch_size).explain(study)
    np.testing.assert_allclose(again.heat, once.heat, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(again.attention, once.attention, rtol=1e-5)


def test_answers_of_stage_2_come_along(study: Study) -> None:
    found = explainer(label="pe_present").explain(study)
    assert found.attention.shape == (9, 4)
    assert found.attention.sum(axis=1) == pytest.approx(np.ones(9), abs=1e-6)
    p = found.exam_score
    assert len(p) == 10
    assert p["pe_present"] == pytest.approx((1 - p["negative_exam_for_pe"]) * (1 - p["indeterminate"]))
    assert found.refined_logit.shape == (4,)
    assert found.seconds > 0


def test_heat_is_enlarged_to_the_grid(study: Study) -> None:
    study.hu[:] = 0
    study.hu[9, 8:12, 16:20] = 100  # pixels 4 and 5, 8 and 9 of 12, of which the encoder sees 4 and 8
    found = explainer(input_px=12).explain(study)
    assert found.heat.shape == (16, 24, 24)
    seen = (7 / 8) ** 2  # the antialiased resize takes an eighth from the voxel before
    said = float(torch.tensor(found.window_logit.max()).sigmoid())
    assert found.full_scale == pytest.approx(seen * 15 / 16 * said)  # row 8 lies a quarter pixel beside
    assert found.peak is not None
    assert found.peak.grid_index == (9, 8, 17)


def test_nothing_speaks_where_there_is_nothing(make_study: StudyFactory) -> None:
    study = make_study(positive=None)
    study.hu[:] = -1000
    found = explainer().explain(study)
    assert found.peak is None
    assert found.left_share is None
    assert found.hottest(3) == []


def test_hottest_slices_keep_their_distance(study: Study) -> None:
    found = replace(explainer().explain(study), slice_heat=np.array([0, 5, 4, 3, 2, 6, 0, 0], np.float32))
    assert found.hottest(3) == [5, 1, 2]
    assert found.hottest(3, apart=2) == [5, 1, 3]
    assert found.hottest(9) == [5, 1, 2, 3, 4]


def test_first_of_equal_peaks(study: Study) -> None:
    heat = np.zeros(study.hu.shape, np.float32)
    heat[[3, 7], 1, 1] = 2.0
    peak = find_peak(study, heat)
    assert peak is not None
    assert peak.grid_index == (3, 1, 1)


def test_unknown_label_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"label: expected one of pe_present, .* found clot; choose"):
        explainer(label="clot")


def test_study_shorter_than_a_window(make_study: StudyFactory) -> None:
    with pytest.raises(ValueError, match=r"windows.length = 6: .* found a study of 5"):
        explainer().explain(make_study(shape=(5, 24, 24)))


@pytest.mark.parametrize("method", ["grad-cam", "layer-cam"])
def test_a_context_network_is_shown_for_rv_lv_alone(study: Study, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = Stage1Spec(backbone="slim_16", in_channels=2, slice_supervision=True, multitask=True, context=True)
    torch.manual_seed(5)
    encoder, judge = WindowEncoder(spec), SequenceClassifier(stage2_spec(feature_size=256))
    shown = []

    def seen(encoder: WindowEncoder, feature: Feature, *given: object, **more: object) -> WindowHeat:
        shown.append(feature.context is not None)
        return window_heat(encoder, feature, *given, **more)

    monkeypatch.setattr(module, "window_heat", seen)
    for label, wanted in (("rv_lv_ratio_gte_1", True), ("rv_lv_ratio_lt_1", True), ("pe_present", False)):
        shown.clear()
        heat = explainer(encoder=encoder, classifier=judge, method=method, label=label).explain(study).heat
        assert set(shown) == {wanted}
        assert (heat.shape, bool(np.isfinite(heat).all())) == (study.hu.shape, True)
