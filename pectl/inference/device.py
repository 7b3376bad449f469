"""Where a trained model computes, and in which precision; imports torch alone, so that a command starts fast."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch

from pectl.errors import DeviceError

DeviceName = Literal["auto", "cpu", "cuda"]
Chosen = Literal["fp32", "bf16", "fp16"]
Mode = Literal["32-true", "bf16-mixed", "16-mixed"]
"""A precision as Lightning Fabric names it; weights stay in fp32."""


@dataclass(frozen=True)
class Engine:
    """A device, and a context in which the network computes in its precision.

    Attributes:
        device: where to compute.
        autocast: makes that context.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext


def make_engine(device: DeviceName, precision: Chosen = "fp32", *, local_rank: int = 0) -> Engine:
    """Return an engine.

    Args:
        device: where to compute.
        precision: of the network.
        local_rank: which of a machine's processes this is; each takes its own GPU.

    Raises:
        DeviceError: no GPU where one was asked for, or one that lacks the precision; fp16 on a CPU.
    """
    accelerator = choose_device(device)
    mode = precision_mode(accelerator, precision)
    if accelerator == "cpu":
        place = torch.device("cpu")
    else:
        place = torch.device("cuda", local_rank % torch.cuda.device_count())
    if mode == "32-true":
        return Engine(place)
    kind = torch.bfloat16 if mode == "bf16-mixed" else torch.float16
    return Engine(place, partial(torch.autocast, accelerator, dtype=kind))


def choose_device(device: DeviceName) -> Literal["cpu", "cuda"]:
    """Return `cuda` where there is one and it isn't declined.

    Raises:
        DeviceError: `cuda` was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise DeviceError(
            where="--device cuda",
            expected="a CUDA device that torch can use",
            found="none",
            fix="use --device cpu, or check the driver with nvidia-smi",
        )
    return "cuda" if available and device != "cpu" else "cpu"


def precision_mode(accelerator: str, precision: Chosen) -> Mode:
    """Return how a device computes in a precision.

    Raises:
        DeviceError: the device lacks it.
    """
    if precision == "fp32":
        return "32-true"
    if precision == "fp16":
        if accelerator == "cpu":
            raise DeviceError(
                where="precision = fp16", expected="a GPU", found="a CPU", fix="use precision = auto or fp32"
            )
        return "16-mixed"
    if accelerator == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise DeviceError(
            where="precision = bf16",
            expected="a GPU with bf16 arithmetic",
            found=torch.cuda.get_device_name(),
            fix="use precision = fp16 or fp32",
        )
    return "bf16-mixed"
