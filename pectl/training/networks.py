"""Networks built from a configuration, or loaded from a run."""

from dataclasses import fields
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from pectl.config import Config
from pectl.core.models.checkpoint import load_stage1
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.models.stage2 import Stage2Spec
from pectl.training.device import DeviceName, make_fabric
from pectl.training.precision import Trial, choose_precision
from pectl.training.run import RunFolder


def encoder_spec(config: Config) -> Stage1Spec:
    """Return the spec of the encoder that the configuration describes."""
    return Stage1Spec(
        backbone=config.stage1.backbone,
        in_channels=len(config.windows.hu_ranges),
        slice_supervision=config.stage1.slice_loss_weight > 0,
        multitask=config.stage1.multitask_loss_weight > 0,
        norm=config.stage1.norm,
        slice_pooling=config.stage1.slice_pooling,
    )


def new_encoder(config: Config) -> WindowEncoder:
    """Build the encoder that the configuration describes, with random weights."""
    model = WindowEncoder(encoder_spec(config))
    return model.to(memory_format=torch.channels_last_3d) if config.stage1.channels_last else model


def load_encoder(run: Path) -> WindowEncoder:
    """Load a run's best encoder, ready to infer."""
    return load_stage1(RunFolder(run).best).to(memory_format=torch.channels_last_3d)


def extraction_fabric(device: DeviceName, config: Config, encoder: WindowEncoder, *, length: int, px: int) -> Fabric:
    """Return where and how an encoder infers: by `stage1.extract_precision`, for windows of `length` slices.

    Raises:
        DeviceError: no GPU where one is asked for.
    """

    def window() -> tuple[Tensor]:
        return (torch.rand(1, encoder.spec.in_channels, length, px, px).to(memory_format=torch.channels_last_3d),)

    trial = Trial(encoder, window, trains=False)
    asked = config.stage1.extract_precision
    return make_fabric(device, choose_precision(device, asked, key="stage1.extract_precision", trial=trial))


def classifier_spec(config: Config, feature_size: int) -> Stage2Spec:
    """Return the spec of the classifier that the configuration describes."""
    wanted = {field.name for field in fields(Stage2Spec)} - {"feature_size"}
    return Stage2Spec(feature_size=feature_size, **config.stage2.model_dump(include=wanted))
