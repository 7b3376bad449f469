import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pectl.core.batches.windows import window_places
from pectl.core.labels.names import EXAM_LABELS
from pectl.core.models.stage1 import Feature, Stage1Spec, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier
from pectl.explanation.gradcam import (
    LABELS,
    Pull,
    SeenWindows,
    WindowHeat,
    context_share,
    enlarge,
    join,
    label_logit,
    merge,
    pull_of,
    window_heat,
)
from tests.stage2_specs import stage2_spec


class Pick(nn.Module):
    """Every second place of some axes: what a convolution of stride 2 centres on."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, ::2, ::2, ::2]


def tiny_encoder(*, slice_supervision: bool) -> WindowEncoder:
    """Layer2 is the input at every second place, layer4 at every fourth; two channels, weights +1 and -2."""
    encoder = WindowEncoder(Stage1Spec(backbone="slim_16", in_channels=2, slice_supervision=slice_supervision))
    encoder.backbone = nn.Module()
    for name in ("stem", "layer1", "layer3"):
        encoder.backbone.add_module(name, nn.Identity())
    for name in ("layer2", "layer4"):
        encoder.backbone.add_module(name, Pick())
    encoder.head = linear([1.0, -2.0], bias=-3.0)
    encoder.slice_head = linear([4.0, 0.0], bias=1.0) if slice_supervision else None
    return encoder.eval()


def found_in(encoder: WindowEncoder, x: Tensor, pull: Pull | None = None, method: str = "grad-cam") -> WindowHeat:
    """What speaks in each window; without a pull, for stage 1's window logit."""
    with torch.no_grad():
        feature = encoder.forward_features(x)
    alone = Pull(torch.zeros_like(feature.pooled), torch.ones(len(x)))
    return window_heat(encoder, feature, x.shape[2:], pull or alone, method=method)


def heat_of(*arguments: object, **options: object) -> Tensor:
    """(B, T, H, W): the maps added."""
    return found_in(*arguments, **options).maps.sum(dim=0)


def linear(weight: list[float], *, bias: float) -> nn.Linear:
    layer = nn.Linear(len(weight), 1)
    layer.weight.data = torch.tensor([weight])
    layer.bias.data = torch.tensor([bias])
    return layer


def test_without_slice_head_heat_is_the_weighted_layer4_map() -> None:
    x = torch.zeros(2, 2, 4, 8, 8)
    x[0, 0, 0, 4, 4] = 5.0  # for PE
    x[1, 1, 0, 4, 4] = 5.0  # against PE
    heat = heat_of(tiny_encoder(slice_supervision=False), x)
    assert heat.shape == (2, 4, 8, 8)
    assert heat[0, 0, 4, 4] == 5.0
    assert heat[0, 0, 4, 2] == 2.5  # half-way to the next place of layer4
    assert heat[0, 3, 4, 4] == 5.0  # layer4 has one place in T: flat
    assert heat[0, :, :1].sum() == 0
    assert not heat[1].any()


def test_layer2_is_seen_through_the_slice_head_only() -> None:
    x = torch.zeros(1, 2, 4, 8, 8)
    x[0, 0, 2, 6, 2] = 3.0  # at a place of layer2 that layer4 doesn't see
    heat = heat_of(tiny_encoder(slice_supervision=True), x)
    assert heat[0, 2, 6, 2] == 12.0
    assert heat[0, 1, 6, 2] == 6.0
    assert heat[0, 0].sum() == 0
    assert not heat_of(tiny_encoder(slice_supervision=False), x).any()


def test_both_maps_add() -> None:
    x = torch.zeros(1, 2, 4, 8, 8)
    x[0, 0, 0, 4, 4] = 1.0
    heat = heat_of(tiny_encoder(slice_supervision=True), x)
    assert heat[0, 0, 4, 4] == 1.0 + 4.0


def test_layer_cam_keeps_the_place_a_maximum_picks() -> None:
    x = torch.zeros(1, 2, 4, 8, 8)
    x[0, 0, 2, 6, 2] = 3.0
    x[0, 0, 2, 2, 6] = 2.0  # the runner-up
    encoder = tiny_encoder(slice_supervision=True)
    assert heat_of(encoder, x)[0, 2, 2, 6] == 8.0
    heat = heat_of(encoder, x, method="layer-cam")
    assert heat[0, 2, 6, 2] == 12.0
    assert heat[0, 2, 2, 6] == 0.0


def test_layer_cam_keeps_its_maps_apart() -> None:
    x = torch.zeros(1, 2, 4, 8, 8)
    x[0, 0, 0, 4, 4] = 1.0
    found = found_in(tiny_encoder(slice_supervision=True), x, method="layer-cam")
    assert found.maps.shape == (2, 1, 4, 8, 8)
    assert found.stride == 2
    assert found_in(tiny_encoder(slice_supervision=False), x).stride == 4
    through_layer4 = found_in(tiny_encoder(slice_supervision=False), x, method="layer-cam")
    assert through_layer4.maps[1, 0, 0, 4, 4] > 0  # layer2's place is seen through layer4 as well


def test_merged_heat_is_where_both_maps_speak() -> None:
    maps = np.zeros((2, 5, 9, 9), np.float32)
    maps[0, 2, 4, 2:7], maps[1, 2, 4, 6] = 100.0, 1.0
    merged = merge(maps, (0.5, 1.0, 1.0))
    assert np.unravel_index(merged.argmax(), merged.shape) == (2, 4, 6)
    one_alone = merge(np.stack([maps[0], 0 * maps[0]]), (0.5, 1.0, 1.0))
    assert one_alone[2, 4, 4] == one_alone.max() > 0
    assert not merge(np.zeros((2, 3, 4, 4), np.float32), (1.0, 1.0, 1.0)).any()


def test_the_strength_of_merged_heat_is_the_geometric_mean_of_its_maps() -> None:
    flat = np.ones((2, 3, 5, 5), np.float32)  # smoothing leaves it
    flat[0], flat[1] = 4.0, 9.0
    spread = (0.5, 1.0, 1.0)
    np.testing.assert_allclose(merge(flat, spread), 6.0, rtol=1e-6)
    np.testing.assert_allclose(merge(flat[:1], spread), 4.0, rtol=1e-6)
    rng = np.random.default_rng(0)
    maps = rng.random((2, 3, 5, 5)).astype(np.float32)
    np.testing.assert_allclose(merge(3 * maps, spread), 3 * merge(maps, spread), rtol=1e-5)


def test_pull_scales_each_window_by_its_own_gradient() -> None:
    x = torch.zeros(2, 2, 4, 8, 8)
    x[:, 0, 0, 4, 4] = 1.0
    pull = Pull(torch.tensor([[10.0, 0.0], [0.0, 0.0]]), torch.tensor([0.0, 3.0]))
    heat = heat_of(tiny_encoder(slice_supervision=True), x, pull)
    assert heat[:, 0, 4, 4].tolist() == [10.0, 3.0 * 5.0]


def test_enlarge_puts_values_at_the_centres_of_strided_convolutions() -> None:
    cam = torch.zeros(1, 2, 3, 3)
    cam[0, 1, 1, 2] = 1.0
    large = enlarge(cam, (10, 12, 12))
    assert large.shape == (1, 10, 12, 12)
    assert torch.nonzero(large[0] == 1.0)[:, 1].unique().tolist() == [4]
    assert large[0, 9, 4].tolist() == [0, 0, 0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert large[0, 4, 4, 8] == 0.5


def test_enlarge_matches_where_a_real_backbone_looks() -> None:
    """The input place that most moves a place of layer4 is where `enlarge` puts its peak."""
    torch.manual_seed(0)
    encoder = WindowEncoder(Stage1Spec(backbone="slim_16", in_channels=1, slice_supervision=False)).eval()
    for module in encoder.backbone.modules():
        if isinstance(module, nn.Conv3d):
            module.weight.data.abs_()
    x = torch.full((1, 1, 10, 144, 144), 0.5, requires_grad=True)
    features = encoder.backbone
    layer4 = features.layer4(features.layer3(features.layer2(features.layer1(features.stem(x)))))
    slope = torch.autograd.grad(layer4[0, :, 1, 4, 5].sum(), x)[0][0, 0]
    grid = torch.meshgrid(*(torch.arange(n, dtype=torch.float) for n in slope.shape), indexing="ij")
    centre = [float((slope * axis).sum() / slope.sum()) for axis in grid]
    cam = torch.zeros(1, 2, 9, 9)
    cam[0, 1, 4, 5] = 1.0
    peak = torch.nonzero(enlarge(cam, (10, 144, 144))[0] == 1.0)[0].tolist()
    assert centre[1] == pytest.approx(peak[1], abs=1.5)
    assert centre[2] == pytest.approx(peak[2], abs=1.5)


def test_enlarge_refuses_a_map_that_no_stride_makes() -> None:
    with pytest.raises(ValueError, match="a map of 4 isn't made from 10 by strides of 2"):
        enlarge(torch.zeros(1, 4, 1, 1), (10, 1, 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "tcn"},
        {"model": "gru", "levels": 2},
        {"head": "hierarchical", "position": True, "ensemble": 3},
    ],
)
def test_pull_is_the_derivative_of_the_label(changes: dict[str, object]) -> None:
    torch.manual_seed(1)
    classifier = SequenceClassifier(stage2_spec(**changes)).eval().double()
    seen = windows(torch.randn(5, 3).double(), torch.randn(5).double())
    mask = torch.ones(1, 5, dtype=torch.bool)
    for label in ("rightsided_pe", "rv_lv_ratio_lt_1", "pe_present"):
        pull, answers = pull_of(classifier, seen, label)
        assert answers.attention.shape == (1, 9, 5)
        for tensor, slope, place in (
            (seen.feature, pull.feature, (2, 1)),
            (seen.window_logit, pull.window_logit, (3,)),
        ):
            values = []
            for step in (1e-6, -1e-6):
                tensor[place] += step
                values.append(label_logit(classifier(*(part[None] for part in seen), mask), label).item())
                tensor[place] -= step
            assert slope[place].item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4, abs=1e-9)
    assert label_logit(answers, "rv_lv_ratio_lt_1") == answers.exam[0, 8]


def test_window_label_asks_stage_1_only() -> None:
    pull, _ = pull_of(SequenceClassifier(stage2_spec()).eval(), windows(torch.zeros(4, 3), torch.zeros(4)), "pe_window")
    assert not pull.feature.any()
    assert pull.window_logit.tolist() == [1, 1, 1, 1]


def test_heat_through_both_stages_is_the_gradient_of_the_exam_logit() -> None:
    """Sums of the chain's own gradient at layer2 and layer4, against one backward pass through everything."""
    torch.manual_seed(2)
    encoder = WindowEncoder(Stage1Spec(backbone="slim_16", in_channels=1, slice_supervision=True)).eval()
    spec = stage2_spec(feature_size=128, hidden=8)
    classifier = SequenceClassifier(spec).eval()
    x = torch.rand(3, 1, 10, 32, 32)
    kept = []
    encoder.backbone.layer4.register_forward_hook(lambda _m, _i, out: kept.append(out))
    feature = encoder.forward_features(x)
    kept[0].retain_grad()
    window = encoder.forward_head(feature).window
    seen = windows(feature.pooled, window)
    classifier(*(part[None] for part in seen), torch.ones(1, 3, dtype=torch.bool)).exam[0, 4].backward()
    pull, _ = pull_of(classifier, seen, EXAM_LABELS[4])
    weight = pull.feature + pull.window_logit[:, None] * encoder.head.weight
    torch.testing.assert_close(kept[0].grad.sum(dim=(2, 3, 4)), weight, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("supervised", [True, False])
def test_layer_cam_through_both_stages_is_one_backward_pass_through_everything(supervised: bool) -> None:
    """Against the definition: ReLU(sum over channels of positive gradient times activation), of the exam logit."""
    torch.manual_seed(3)
    encoder = WindowEncoder(Stage1Spec(backbone="slim_16", in_channels=1, slice_supervision=supervised)).eval()
    spec = stage2_spec(model="gru", feature_size=128, hidden=8)
    classifier = SequenceClassifier(spec).eval()
    x = torch.rand(4, 1, 10, 32, 32)
    layer2 = encoder.forward_features(x).layer2.detach().requires_grad_()
    layer4, _ = encoder.forward_layer4(layer2)
    feature = Feature(layer4.mean(dim=(2, 3, 4)), layer2)
    logit = encoder.forward_head(feature).window
    seen = windows(feature.pooled, logit)
    exam = classifier(*(part[None] for part in seen), torch.ones(1, 4, dtype=torch.bool)).exam[0, 6]
    slopes = torch.autograd.grad(exam, (layer4, layer2))
    pull, _ = pull_of(classifier, seen, EXAM_LABELS[6])
    maps = found_in(encoder, x, pull, method="layer-cam").maps
    for found, activation, slope in zip(maps, (layer4, layer2), slopes, strict=True):
        cam = (slope.clamp_min(0) * activation).sum(dim=1)
        torch.testing.assert_close(found, enlarge(cam.detach(), x.shape[2:]).relu(), rtol=1e-3, atol=1e-8)
        assert found.max() > 0


def test_heat_leaves_no_gradients_behind() -> None:
    encoder = tiny_encoder(slice_supervision=True)
    heat_of(encoder, torch.rand(1, 2, 4, 8, 8))
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_labels_start_with_the_two_that_ask_for_pe() -> None:
    assert ("pe_present", "pe_window", *EXAM_LABELS) == LABELS


def windows(feature: torch.Tensor, logit: torch.Tensor) -> SeenWindows:
    """Windows of 10 slices that lie end to end."""
    place = window_places(np.arange(len(logit)) * 10, length=10)
    return SeenWindows(feature, logit, torch.from_numpy(place).to(feature))


@pytest.mark.parametrize("method", ["grad-cam", "layer-cam"])
def test_heat_of_a_context_network_is_its_part_of_one_backward_pass(method: str) -> None:
    torch.manual_seed(4)
    spec = Stage1Spec(backbone="slim_16", in_channels=1, slice_supervision=True, multitask=True, context=True)
    encoder = WindowEncoder(spec).eval()
    x, slope = torch.rand(2, 1, 10, 32, 32), torch.randn(2, 256)
    alone = slope.clone()
    alone[:, :128] = 0.0  # the answer comes by the context network alone
    found = found_in(encoder, x, Pull(alone, torch.zeros(2)), method=method)
    context = encoder.forward_layer2(x)[1].detach().requires_grad_()
    far = encoder.context.layer4(encoder.context.layer3(context))
    far.retain_grad()
    (alone[:, 128:] * far.mean(dim=(2, 3, 4))).sum().backward()
    if method == "grad-cam":
        cam = (far.grad.sum(dim=(2, 3, 4), keepdim=True) * far.detach()).sum(dim=1)
        torch.testing.assert_close(found.maps[0], enlarge(cam, x.shape[2:]).relu(), rtol=1e-3, atol=1e-7)
        assert found.context is None
        return
    cam = (context.grad.clamp_min(0) * context.detach()).sum(dim=1)
    torch.testing.assert_close(found.context, enlarge(cam, x.shape[2:]).relu(), rtol=1e-3, atol=1e-8)
    assert found.maps.shape == (2, 2, 10, 32, 32)
    assert not found.maps.any()
    assert found.context.max() > 0
    with torch.no_grad():
        feature = encoder.forward_features(x)
    pull = Pull(slope, torch.zeros(2))
    hidden = window_heat(encoder, feature._replace(context=None), x.shape[2:], pull, method="layer-cam")
    assert hidden.context is None
    torch.testing.assert_close(hidden.maps, found_in(encoder, x, pull, method="layer-cam").maps)


def test_the_share_of_the_context_network_is_that_of_the_change_along_the_study() -> None:
    feature = torch.tensor([[1.0, 5.0, 2.0], [3.0, 5.0, 6.0]])  # 2 of the backbone, 1 of the context network
    seen = SeenWindows(feature, torch.tensor([0.0, 4.0]), torch.zeros(2, 2))
    pull = Pull(torch.tensor([[1.0, 9.0, 0.5]] * 2), torch.tensor([0.5, 0.5]))
    # own: 1 x (-1, 1) + 9 x 0 + 0.5 x (-2, 2), context: 0.5 x (-2, 2)
    assert context_share(pull, seen, 2) == pytest.approx(2 / (4 + 2))
    assert context_share(Pull(torch.zeros(2, 3), torch.ones(2)), seen, 2) == 0.0
    own, context = np.array([[[4.0, 0.0, 2.0]]], np.float32), np.array([[[0.0, 8.0, 4.0]]], np.float32)
    strength = 4.0**0.75 * 8.0**0.25
    expected = strength * np.array([[[0.75, 0.25, 0.375 + 0.125]]])
    np.testing.assert_allclose(join(own, context, 0.25), expected, rtol=1e-6)
    np.testing.assert_allclose(join(own * 0, context, 0.25), [[[0.0, 8 * 0.25, 8 * 0.125]]], rtol=1e-6)
    np.testing.assert_allclose(join(own, context * 0, 0.25), [[[4 * 0.75, 0.0, 2 * 0.75]]], rtol=1e-6)
    assert not join(own * 0, context * 0, 0.25).any()
