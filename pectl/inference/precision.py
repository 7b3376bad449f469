"""Which precision a network computes in: the one that is asked for, or the fastest that is right on this device."""

import logging
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pectl.core.models.bf16_gradients import check_bf16_gradients
from pectl.core.models.stage1 import WindowEncoder
from pectl.core.storage.processes import find_processes
from pectl.errors import DeviceError
from pectl.inference.device import Chosen, DeviceName, Engine, choose_device, make_engine

Asked = Literal["auto", "fp32", "bf16", "fp16"]

_TRIAL_PX = 64
"""Side of the windows that are timed."""
_WINDOW_AXES = 5
"""(B, C, T, px, px)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """A network on which a CPU shows how it does in bf16.

    Attributes:
        model: in fp32, on the CPU; it isn't changed.
        inputs: makes the model's inputs for a small batch.
        trains: whether its gradients are needed.
    """

    model: nn.Module
    inputs: Callable[[], tuple[Tensor, ...]]
    trains: bool


def choose_precision(device: DeviceName, asked: Asked, *, key: str, trial: Trial | None = None) -> Chosen:
    """Return the precision to compute in, and say in the log which it is.

    `auto` is bf16 where the device has such arithmetic and computes the gradients that are needed right, else fp32.

    Args:
        device: where to compute.
        asked: as configured.
        key: of the configuration, for the log.
        trial: on a CPU; without one `auto` is fp32 there, and who asks for bf16 calls `check_bf16` himself.

    Raises:
        DeviceError: no GPU where one is asked for, or a CPU that computes gradients in bf16 wrong where that is asked.
    """
    accelerator = choose_device(device)
    if asked != "auto":
        if asked == "bf16" and accelerator == "cpu" and trial:
            check_bf16(trial, key=key)
        _log.info("%s: %s, as configured", key, asked)
        return asked
    chosen, why = _of_gpu() if accelerator == "cuda" else _of_cpu(trial)
    _log.info("%s = auto: %s, as %s", key, chosen, why)
    return chosen


def encoder_engine(
    device: DeviceName, asked: Asked, encoder: WindowEncoder, *, length: int, px: int, local_rank: int = 0
) -> Engine:
    """Return where and how precisely an encoder infers.

    Args:
        device: where to compute.
        asked: `stage1.extract_precision`.
        encoder: in fp32.
        length: slices of a window.
        px: side of the windows that it sees.
        local_rank: which of a machine's processes this is; each takes its own GPU.

    Raises:
        DeviceError: no GPU where one is asked for, or one that lacks the precision; fp16 on a CPU.
    """

    def window() -> tuple[Tensor]:
        return (torch.rand(1, encoder.spec.in_channels, length, px, px).to(memory_format=torch.channels_last_3d),)

    trial = Trial(encoder, window, trains=False)
    chosen = choose_precision(device, asked, key="stage1.extract_precision", trial=trial)
    return make_engine(device, chosen, local_rank=local_rank)


def _of_gpu() -> tuple[Chosen, str]:
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16", "this GPU has bf16 arithmetic"
    return "fp32", "this GPU has no bf16 arithmetic"


def _of_cpu(trial: Trial | None) -> tuple[Chosen, str]:
    if not cpu_has_bf16():
        return "fp32", "this CPU has no bf16 arithmetic"
    if trial is None:
        return "fp32", "so small a network gains nothing from bf16 on a CPU"
    if trial.trains:
        try:
            check_bf16_gradients(trial.model, *trial.inputs())
        except DeviceError:
            return "fp32", "this CPU computes gradients in bf16 wrong"
    return "bf16", "this CPU has bf16 arithmetic"


def cpu_has_bf16() -> bool:
    """Whether this CPU computes in bf16 by itself; torch offers it also where it must be imitated, many times slower.

    On x86 that is AVX512_BF16 or AMX; of other processors oneDNN answers for their instructions.
    """
    if not torch._C._has_mkldnn or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if platform.machine() not in {"x86_64", "AMD64"}:
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def check_bf16(trial: Trial, *, key: str) -> None:
    """Check bf16 on a CPU where it is asked for: gradients must be right, and a slow one gets a warning.

    Raises:
        DeviceError: gradients are needed, and this CPU computes them wrong.
    """
    if trial.trains:
        check_bf16_gradients(trial.model, *trial.inputs())
    if cpu_has_bf16() or find_processes().rank > 0:  # one of several says it
        return
    inputs = tuple(_cut(part) for part in trial.inputs())
    _seconds(trial.model, inputs, bf16=False)  # the first pass also prepares
    exact, rounded = (_seconds(trial.model, inputs, bf16=bf16) for bf16 in (False, True))
    _log.warning(
        "%s = bf16: this CPU has no bf16 arithmetic: a trial took %.1f times as long as in fp32; 'auto' takes what is "
        "fastest",
        key,
        rounded / exact,
    )


def _cut(part: Tensor) -> Tensor:
    """Return the first of a batch, and of a window no more than its corner: a whole one can take minutes."""
    return part[:1, ..., :_TRIAL_PX, :_TRIAL_PX] if part.ndim == _WINDOW_AXES else part[:1]


def _seconds(model: nn.Module, inputs: tuple[Tensor, ...], *, bf16: bool) -> float:
    """Time one pass forward, without dropout or running statistics."""
    training = model.training
    begun = time.perf_counter()
    try:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            model.eval()(*inputs)
    finally:
        model.train(training)
    return time.perf_counter() - begun
