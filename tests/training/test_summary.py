import pytest
import torch
from torch import nn
from torchvision.models import video

from pectl.config import Config, Stage1Config, Stage2Config, WindowsConfig
from pectl.core.models.stage1 import BACKBONES, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier
from pectl.training.networks import classifier_spec, encoder_spec
from pectl.training.summary import WINDOWS, summarise_stage1, summarise_stage2

SMALL = Config(
    stage1=Stage1Config(backbone="slim_16", input_px=32, slice_loss_weight=1.0),
    stage2=Stage2Config(hidden=8),
    windows=WindowsConfig(length=6, stride=3, hu_ranges={"pe": (-250.0, 450.0)}),
)


def test_stage1_has_its_layers_shapes_parameters_and_flops() -> None:
    layers = {layer.name: layer for layer in summarise_stage1(SMALL)}
    head, whole = layers["head"], layers["WindowEncoder"]
    assert (head.kind, head.output, head.parameters, head.flops) == ("Linear", (1, 1), 129, 2 * 128)
    assert list(layers)[-1] == "WindowEncoder"
    parts = [layers[name] for name in layers if name != "WindowEncoder"]
    assert whole.parameters == sum(part.parameters for part in parts)
    assert whole.flops == sum(part.flops for part in parts) > 1e6
    assert {"backbone.stem", "backbone.layer4", "slice_head"} < set(layers)


@pytest.mark.parametrize("model", ["tcn", "gru"])
def test_stage2_has_its_layers(model: str) -> None:
    config = SMALL.model_copy(update={"stage2": Stage2Config(hidden=8, model=model)})
    layers = summarise_stage2(config)
    assert layers[-1].name == "SequenceClassifier"
    assert layers[-1].output == (1, 9)
    assert layers[-1].parameters > 0
    assert layers[-1].flops >= sum(layer.flops for layer in layers if layer.name.startswith("members.0.")) > 0


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_operations_are_those_that_torchvision_publishes(name: str) -> None:
    config = Config(
        stage1=Stage1Config(backbone=name, input_px=112),
        windows=WindowsConfig(length=16, stride=16),
    )
    weights = getattr(video, BACKBONES[name].kinetics400).KINETICS400_V1
    published = weights.meta["_ops"] * 1e9  # multiply-adds on 16 x 112 x 112
    assert summarise_stage1(config)[-1].flops == pytest.approx(2 * published, rel=2e-3)


@pytest.mark.parametrize("name", ["slim_16", "r2plus1d_18"])
def test_operations_are_those_counted_by_hand(name: str) -> None:
    config = SMALL.model_copy(update={"stage1": SMALL.stage1.model_copy(update={"backbone": name})})
    counted, hooks = [], []
    with torch.device("meta"):
        model = WindowEncoder(encoder_spec(config)).eval()
    for part in model.modules():
        if isinstance(part, nn.Conv3d | nn.Linear):
            each = part.weight[0].numel()  # multiply-adds of one number of the output
            hooks.append(
                part.register_forward_hook(lambda _p, _i, out, each=each: counted.append(2 * each * out.numel()))
            )
    model(torch.zeros(1, 1, 6, 32, 32, device="meta"))
    assert len(hooks) > 10
    assert summarise_stage1(config)[-1].flops == sum(counted)


@pytest.mark.parametrize("causal", [True, False])
def test_operations_of_a_gru(causal: bool) -> None:
    config = SMALL.model_copy(update={"stage2": Stage2Config(hidden=8, levels=2, model="gru", causal=causal)})
    encoder = next(layer for layer in summarise_stage2(config) if layer.name == "members.0.encoder")
    gru = SequenceClassifier(classifier_spec(config, 128, None)).members[0].encoder
    weights = sum(part.numel() for part in gru.parameters() if part.ndim == 2)  # each is used once for each window
    assert encoder.flops == 2 * WINDOWS * weights


def test_torchvision_backbone_has_its_known_size() -> None:
    config = SMALL.model_copy(update={"stage1": Stage1Config(backbone="r3d_18", input_px=32)})
    stem = 3 * 64 * 3 * 7 * 7
    layers = {layer.name: layer for layer in summarise_stage1(config)}
    assert layers["WindowEncoder"].parameters == 33_371_472 - 512 * 400 - 400 - stem + stem // 3 + 513


def test_heads_of_pe_and_group_norm_are_in_the_summary() -> None:
    choices = {"multitask_loss_weight": 0.3, "norm": "group"}
    config = SMALL.model_copy(update={"stage1": SMALL.stage1.model_copy(update=choices)})
    layers, plain = ({one.name: one for one in summarise_stage1(made)} for made in (config, SMALL))
    head = layers["multitask_head"]
    assert (head.output, head.parameters, head.flops) == ((1, 4), 4 * 129, 2 * 4 * 128)
    age = layers["age_head"]
    assert (age.output, age.parameters, age.flops) == ((1, 2), 2 * 33, 2 * 2 * 32)
    whole = layers["WindowEncoder"]
    parts = {
        name: sum(layer.parameters for at, layer in layers.items() if at.startswith(f"{name}."))
        for name in ("context", "backbone")
    }
    assert parts["context"] == parts["backbone"] > 0  # both are slim_16 here
    assert whole.parameters == plain["WindowEncoder"].parameters + parts["context"] + 4 * 129 + 2 * 33
