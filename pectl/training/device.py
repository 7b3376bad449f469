"""Which device, precision and processes a command runs with."""

import os
from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from pectl.core.models.bf16_gradients import check_bf16_gradients
from pectl.errors import DeviceError
from pectl.inference.device import DeviceName, Precision, choose_device, precision_mode
from pectl.training.processes import Processes, find_processes

ONE_PROCESS = Processes()


def make_fabric(device: DeviceName, precision: Precision = "fp32", processes: Processes = ONE_PROCESS) -> Fabric:
    """Return Lightning Fabric, launched: on one device, or on one for each of the processes of a training.

    Args:
        device: where to compute.
        precision: of the network; weights stay in fp32.
        processes: those that torchrun or srun started, for a training; else one.

    Raises:
        DeviceError: no GPU where one was asked for, fewer than processes, or one that lacks the precision; fp16 on a
            CPU. Whether bf16 gradients are right on a CPU is for a training to check (`check_gradients`).
    """
    accelerator = choose_device(device)
    _check_devices(accelerator, processes)
    fabric = Fabric(
        accelerator=accelerator,
        devices=_devices(accelerator, processes),
        num_nodes=processes.nodes,
        precision=precision_mode(accelerator, precision),
        plugins=_environment(processes),
        strategy=_strategy(accelerator) if processes.world > 1 else "auto",
    )
    fabric.launch()
    return fabric


def check_gradients(
    fabric: Fabric, precision: Precision, model: nn.Module, example: Callable[[], tuple[Tensor, ...]]
) -> None:
    """Check, before a training in bf16 on a CPU, that this CPU computes the model's gradients right.

    Args:
        fabric: of the training.
        precision: as configured.
        model: in fp32.
        example: makes the model's inputs for a small batch.

    Raises:
        DeviceError: it doesn't; the layers are named.
    """
    if precision == "bf16" and fabric.device.type == "cpu":
        check_bf16_gradients(model, *example())


def _check_devices(accelerator: str, processes: Processes) -> None:
    """Refuse more processes than GPUs."""
    if accelerator == "cuda" and torch.cuda.device_count() < processes.per_node:
        raise DeviceError(
            where=f"process {processes.rank} of {processes.world}",
            expected=f"{processes.per_node} GPUs on each machine",
            found=f"{torch.cuda.device_count()} that this process sees",
            fix="start one process a GPU; with SLURM ask for --gpus-per-node, as --gpus-per-task hides the others",
        )


def _devices(accelerator: str, processes: Processes) -> int | list[int]:
    """Return how many devices of a machine a training has, or which one is of a process that works by itself."""
    if processes.world > 1 or accelerator == "cpu":
        return processes.per_node
    return [find_processes().local_rank % torch.cuda.device_count()]


def _environment(processes: Processes) -> ClusterEnvironment:
    """Return who started the processes. For one process a SLURM on the machine, or around the job, has no say."""
    if processes.launcher == "torchrun":
        return TorchElasticEnvironment()
    if processes.launcher == "srun":
        # Fabric insists on this variable, which srun -n leaves out
        os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(processes.per_node))
        return SLURMEnvironment()
    return LightningEnvironment()


def _strategy(accelerator: str) -> DDPStrategy:
    """Return gradients averaged over processes."""
    return DDPStrategy(process_group_backend="nccl" if accelerator == "cuda" else "gloo")
