"""The learning rate as a function of the step, so that a checkpoint needs no state of a schedule."""

import math

from pectl.config import OptimizerConfig


def rate_factor(step: int, config: OptimizerConfig, steps_per_epoch: int) -> float:
    """Return what the learning rate is multiplied by at a step."""
    if config.schedule == "step":
        return float(config.step_factor ** (step // steps_per_epoch // config.step_epochs))
    if config.schedule == "one-cycle":
        total = config.epochs * steps_per_epoch
        warmup = max(1, round(config.warmup_fraction * total))
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))
    return 1.0
