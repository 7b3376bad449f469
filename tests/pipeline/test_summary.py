import pytest

from pectl.config import Config, Stage1Config, Stage2Config, WindowsConfig
from pectl.pipeline.summary import summarise_stage1, summarise_stage2

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


def test_torchvision_backbone_has_its_known_size() -> None:
    config = SMALL.model_copy(update={"stage1": Stage1Config(backbone="r3d_18", input_px=32)})
    stem = 3 * 64 * 3 * 7 * 7
    layers = {layer.name: layer for layer in summarise_stage1(config)}
    assert layers["WindowEncoder"].parameters == 33_371_472 - 512 * 400 - 400 - stem + stem // 3 + 513
