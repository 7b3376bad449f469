"""What a configuration's models are made of: layers, shapes, parameters and operations."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pectl.config import Config
from pectl.core.models.stage1 import WindowEncoder
from pectl.core.models.stage2 import PLACE_CHANNELS, SequenceClassifier
from pectl.training.networks import classifier_spec, encoder_spec

WINDOWS = 60
"""Windows of the study that stage 2 is shown; 300 slices at stride 5."""
STAGE1_DEPTH, STAGE2_DEPTH = 2, 3
"""How deep a part may lie in the model to have its own line: `backbone.layer1`, `members.0.encoder`."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One line of a summary; `flops` are floating-point operations of one forward pass, 2 for a multiply-add."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    flops: int


def summarise_stage1(config: Config) -> list[Layer]:
    """Describe the window encoder on one window; nothing is downloaded. The last line is the whole model."""
    px = config.stage1.input_px
    with torch.device("meta"):  # shapes alone: nothing is computed
        model = WindowEncoder(encoder_spec(config))
        return _summarise(
            model, torch.zeros(1, len(config.windows.hu_ranges), config.windows.length, px, px), depth=STAGE1_DEPTH
        )


def summarise_stage2(config: Config) -> list[Layer]:
    """Describe the sequence classifier on one study of `WINDOWS` windows. The last line is the whole model."""
    with torch.device("meta"):
        encoder = WindowEncoder(encoder_spec(config))
    feature_size = encoder.feature_size
    model = SequenceClassifier(classifier_spec(config, feature_size, encoder.age_at))
    mask = torch.ones(1, WINDOWS, dtype=torch.bool)
    place = torch.zeros(1, WINDOWS, PLACE_CHANNELS)
    seen = (torch.zeros(1, WINDOWS, feature_size), torch.zeros(1, WINDOWS), place, mask)
    return _summarise(model, *seen, depth=STAGE2_DEPTH)


def _summarise(model: nn.Module, *inputs: Tensor, depth: int) -> list[Layer]:
    """Run the model once and watch its parts."""
    outputs: dict[str, tuple[int, ...]] = {}
    parts = {name: part for name, part in model.named_modules() if name.count(".") < depth}
    hooks = [
        part.register_forward_hook(lambda _part, _input, output, name=name: outputs.update({name: _shape(output)}))
        for name, part in parts.items()
    ]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(*inputs)
    for hook in hooks:
        hook.remove()
    counts = counter.get_flop_counts()
    root = type(model).__name__
    return [
        Layer(
            name=name or root,
            kind=type(parts[name]).__name__,
            output=shape,
            parameters=sum(p.numel() for p in parts[name].parameters()),
            flops=sum(counts.get(f"{root}.{name}" if name else "Global", {}).values()),
        )
        for name, shape in outputs.items()
    ]


def _shape(output: Any) -> tuple[int, ...]:  # noqa: ANN401 - whatever a layer returns
    """Return the shape of an output, or of the first tensor in it."""
    while not isinstance(output, Tensor):
        output = output[0]
    return tuple(output.shape)
