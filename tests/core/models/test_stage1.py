import math

import pytest
import torch

from pectl.core.labels.names import MULTITASK_LABELS
from pectl.core.models.stage1 import BACKBONES, SLICE_POOLING, Stage1Spec, WindowEncoder
from pectl.errors import WeightsError


def encoder(backbone: str = "slim_16", *, channels: int = 3, slices: bool = True) -> WindowEncoder:
    torch.manual_seed(0)
    spec = Stage1Spec(backbone=backbone, in_channels=channels, slice_supervision=slices)
    return WindowEncoder(spec).eval()


@pytest.mark.parametrize("backbone", BACKBONES)
@torch.inference_mode()
def test_shapes_and_forward_is_head_of_features(backbone: str) -> None:
    model = encoder(backbone)
    x = torch.rand(1, 3, 10, 32, 32)
    feature = model.forward_features(x)
    known = BACKBONES[backbone]
    assert feature.pooled.shape == (1, known.layer4_channels) == (1, model.feature_size)
    assert feature.layer2.shape[:2] == (1, known.layer2_channels)
    logits, again = model(x), model.forward_head(feature)
    assert logits.window.shape == (1,)
    assert logits.slices.shape == (1, feature.layer2.shape[2])
    assert torch.equal(logits.window, again.window)
    assert torch.equal(logits.slices, again.slices)


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("backbone", BACKBONES)
@torch.inference_mode()
def test_slices_apart_says_whether_layer2_of_a_slice_is_that_of_any_window(backbone: str, norm: str) -> None:
    torch.manual_seed(0)
    model = WindowEncoder(Stage1Spec(backbone=backbone, in_channels=1, slice_supervision=False, norm=norm)).eval()
    window = torch.rand(1, 1, 4, 32, 32)
    layer2, _ = model.forward_layer2(window)
    each = model.forward_layer2(window.transpose(0, 2))[0].transpose(
        0, 2
    )  # four windows of a slice: (1, C2, 4, H2, W2)
    same = layer2.shape == each.shape and torch.allclose(layer2, each, rtol=0, atol=1e-5)
    assert model.slices_apart == same


def test_feature_of_r3d_18_is_the_512_of_the_paper() -> None:
    assert encoder("r3d_18").feature_size == 512


@torch.inference_mode()
def test_window_logit_is_the_head_plus_the_largest_slice_logit() -> None:
    model = encoder()
    feature = model.forward_features(torch.rand(2, 3, 10, 32, 32))
    logits = model.forward_head(feature)
    torch.testing.assert_close(logits.window, model.head(feature.pooled)[:, 0] + logits.slices.amax(1))


@pytest.mark.parametrize("pooling", SLICE_POOLING)
def test_slice_logits_are_pooled_from_the_places_that_the_slice_head_judges(pooling: str) -> None:
    torch.manual_seed(0)
    spec = Stage1Spec(backbone="slim_16", in_channels=3, slice_supervision=True, slice_pooling=pooling)
    model = WindowEncoder(spec).eval()
    feature = model.forward_features(torch.rand(2, 3, 10, 32, 32))
    weight, bias = model.slice_head.weight[0], model.slice_head.bias
    places = torch.einsum("bcthw,c->bthw", feature.layer2, weight) + bias  # (2, 10, 8, 8)
    wanted = places.amax((2, 3)) if pooling == "max" else places.exp().mean((2, 3)).log()
    torch.testing.assert_close(model.forward_head(feature).slices, wanted)


def test_log_mean_exp_lets_every_place_learn_and_is_safe_at_extremes() -> None:
    pooled = SLICE_POOLING["log-mean-exp"](torch.tensor([[[0.0, 0.0, 0.0, 400.0]]]))
    assert pooled.item() == pytest.approx(400 - math.log(4))
    even = torch.zeros(1, 1, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(SLICE_POOLING["log-mean-exp"](even).sum(), even)
    torch.testing.assert_close(gradient, torch.full((1, 1, 4), 0.25))


@torch.inference_mode()
def test_without_slice_supervision_there_are_no_slice_logits() -> None:
    model = encoder(slices=False)
    feature = model.forward_features(torch.rand(2, 3, 10, 32, 32))
    logits = model.forward_head(feature)
    assert logits.slices is None
    torch.testing.assert_close(logits.window, model.head(feature.pooled)[:, 0])


@pytest.mark.parametrize("backbone", ["slim_16", "r2plus1d_18"])
@torch.inference_mode()
def test_stem_takes_one_channel_with_the_mean_weights(backbone: str) -> None:
    three, one = encoder(backbone), encoder(backbone, channels=1)
    stem = one.backbone.stem[0]
    assert stem.in_channels == 1
    assert stem.stride == three.backbone.stem[0].stride
    assert stem.padding == three.backbone.stem[0].padding
    assert one(torch.rand(1, 1, 10, 32, 32)).window.shape == (1,)


def test_unknown_backbone_lists_the_known() -> None:
    with pytest.raises(WeightsError) as error:
        encoder("resnet50")
    assert str(error.value) == (
        "stage1.backbone: expected one of r3d_18, mc3_18, r2plus1d_18, r3d_10, slim_16, slim_32, found resnet50; "
        "choose one of these"
    )


@pytest.mark.parametrize("slices", [True, False])
@torch.inference_mode()
def test_multitask_heads_look_at_the_feature_and_leave_the_other_logits_alone(slices: bool) -> None:
    spec = Stage1Spec(backbone="slim_16", in_channels=3, slice_supervision=slices, multitask=True)
    model, plain = WindowEncoder(spec).eval(), encoder(slices=slices)
    plain.load_state_dict({name: model.state_dict()[name] for name in plain.state_dict()})
    feature = model.forward_features(torch.rand(2, 3, 10, 32, 32))
    logits, without = model.forward_head(feature), plain.forward_head(feature)
    torch.testing.assert_close(logits.study, model.multitask_head(feature.pooled))
    assert logits.study.shape == (2, len(MULTITASK_LABELS)) == (2, 6)
    assert torch.equal(logits.window, without.window)
    assert without.study is None


@torch.inference_mode()
def test_a_context_network_is_what_the_multitask_heads_see_and_nothing_else_does() -> None:
    spec = Stage1Spec(backbone="r3d_10", in_channels=1, slice_supervision=True, multitask=True, context=True)
    model = WindowEncoder(spec).eval()
    x = torch.rand(2, 1, 10, 32, 32)
    feature = model.forward_features(x)
    assert (feature.pooled.shape, feature.context.shape) == ((2, 512 + 128), (2, 32, 10, 4, 4))
    assert model.feature_size == 640
    assert model.forward_head(feature).study.shape == (2, 6)
    half = x.unflatten(4, (16, 2)).unflatten(3, (16, 2)).mean(dim=(4, 6))  # 2 x 2 pixels are one
    net, logits = model.context, model(x)
    seen = net.layer4(net.layer3(net.layer2(net.layer1(net.stem(half))))).mean(dim=(2, 3, 4))
    torch.testing.assert_close(feature.pooled[:, 512:], seen)
    net.stem[0].weight.zero_()
    blind = model(x)
    assert torch.equal(blind.window, logits.window)
    assert torch.equal(blind.places, logits.places)
    assert not torch.allclose(blind.study, logits.study)


@torch.inference_mode()
def test_age_is_read_off_layer2_where_the_clots_are() -> None:
    spec = Stage1Spec(
        backbone="r3d_10", in_channels=1, slice_supervision=True, multitask=True, context=True, at_clots=True
    )
    model = WindowEncoder(spec).eval()
    feature = model.forward_features(torch.rand(2, 1, 10, 32, 32))
    assert model.feature_size == feature.pooled.shape[1] == 512 + 2 + 128
    assert model.age_at == 512
    logits = model.forward_head(feature)
    weight = logits.places.exp()  # (2, 5, 4, 4)
    wanted = (feature.layer2 * weight[:, None]).sum(dim=(2, 3, 4)) / weight.sum(dim=(1, 2, 3))[:, None]
    assert MULTITASK_LABELS[3:5] == ("chronic_pe", "acute_and_chronic_pe")
    torch.testing.assert_close(logits.study[:, 3:5], model.age_head(wanted))
    assert torch.equal(feature.pooled[:, 512:514], logits.study[:, 3:5])
    others = model.multitask_head(feature.pooled[:, 514:])
    torch.testing.assert_close(logits.study[:, [0, 1, 2, 5]], others)
    model.slice_head.weight.zero_()  # nowhere more of a clot than elsewhere
    average = model.forward_features(torch.rand(2, 1, 10, 32, 32))
    torch.testing.assert_close(average.pooled[:, 512:514], model.age_head(average.layer2.mean(dim=(2, 3, 4))))


def test_what_is_learnt_of_age_does_not_move_where_clots_are_seen() -> None:
    spec = Stage1Spec(backbone="slim_16", in_channels=1, slice_supervision=True, multitask=True, at_clots=True)
    model = WindowEncoder(spec)
    model(torch.rand(2, 1, 10, 32, 32)).study[:, 3:5].sum().backward()
    assert model.slice_head.weight.grad is None
    assert next(model.backbone.layer2.parameters()).grad.abs().max() > 0


def test_r3d_10_is_r3d_18_with_one_block_a_layer() -> None:
    with torch.device("meta"):
        small, large = (encoder(name).backbone for name in ("r3d_10", "r3d_18"))
    names = {name: part.shape for name, part in small.named_parameters()}
    assert names == {name: part.shape for name, part in large.named_parameters() if ".1.conv" not in name[6:]}
