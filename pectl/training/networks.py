"""Networks built from a configuration."""

from dataclasses import fields

import torch

from pectl.config import Config
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.models.stage2 import Stage2Spec


def encoder_spec(config: Config) -> Stage1Spec:
    """Return the spec of the encoder that the configuration describes."""
    return Stage1Spec(
        backbone=config.stage1.backbone,
        in_channels=len(config.windows.hu_ranges),
        slice_supervision=config.stage1.slice_loss_weight > 0,
        multitask=config.stage1.multitask_loss_weight > 0,
        norm=config.stage1.norm,
        slice_pooling=config.stage1.slice_pooling,
        context=config.stage1.multitask_loss_weight > 0,
        at_clots=config.stage1.multitask_loss_weight > 0 and config.stage1.slice_loss_weight > 0,
    )


def new_encoder(config: Config) -> WindowEncoder:
    """Build the encoder that the configuration describes, with random weights."""
    model = WindowEncoder(encoder_spec(config))
    return model.to(memory_format=torch.channels_last_3d) if config.stage1.channels_last else model


def classifier_spec(config: Config, feature_size: int, age_at: int | None) -> Stage2Spec:
    """Return the spec of the classifier that the configuration describes.

    Args:
        config: the experiment.
        feature_size: numbers of a feature.
        age_at: the first of them that is a logit of age; None where there are none.
    """
    wanted = {field.name for field in fields(Stage2Spec)} - {"feature_size", "age_at"}
    return Stage2Spec(feature_size=feature_size, age_at=age_at, **config.stage2.model_dump(include=wanted))
