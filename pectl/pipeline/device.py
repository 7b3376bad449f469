"""Which device and precision a command runs with."""

from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from pectl.errors import DeviceError

DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]


def make_fabric(device: DeviceName, precision: Precision = "fp32") -> Fabric:
    """Return Lightning Fabric on one device.

    Raises:
        DeviceError: no GPU where one was asked for, or bf16 on a CPU, whose Conv3d gradients are wrong.
    """
    accelerator = choose_device(device)
    if accelerator == "cpu" and precision == "bf16":
        raise DeviceError(
            where="precision = bf16", expected="a GPU",
            found="a CPU, whose bf16 gradients of 3-D convolutions are wrong",
            fix="use precision = auto or fp32 (docs/design.md, traps)",
        )  # fmt: skip
    half = accelerator == "cuda" and precision != "fp32" and torch.cuda.is_bf16_supported()
    return Fabric(
        accelerator=accelerator, devices=1, precision="bf16-mixed" if half else "32-true",
        plugins=LightningEnvironment(),  # one process: a SLURM on the machine or around the job has no say
    )  # fmt: skip


def choose_device(device: DeviceName) -> Literal["cpu", "cuda"]:
    """Return `cuda` where there is one and it isn't declined.

    Raises:
        DeviceError: `cuda` was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise DeviceError(
            where="--device cuda", expected="a CUDA device that torch can use", found="none",
            fix="use --device cpu, or check the driver with nvidia-smi",
        )  # fmt: skip
    return "cuda" if available and device != "cpu" else "cpu"
