"""Which device and processes a command runs with, in the precision that was chosen (`precision.py`)."""

import os
import warnings

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from pectl.core.storage.processes import Processes, find_processes
from pectl.errors import DeviceError
from pectl.inference.device import Chosen, DeviceName, choose_device, precision_mode

ONE_PROCESS = Processes()


def make_fabric(device: DeviceName, precision: Chosen = "fp32", processes: Processes = ONE_PROCESS) -> Fabric:
    """Return Lightning Fabric, launched: on one device, or on one for each of the processes of a training.

    Args:
        device: where to compute.
        precision: of the network; weights stay in fp32.
        processes: those that torchrun or srun started, for a training; else one.

    Raises:
        DeviceError: no GPU where one was asked for, fewer than processes, or one that lacks the precision; fp16 on a
            CPU.
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
        return _srun_environment(processes)
    return LightningEnvironment()


def _srun_environment(processes: Processes) -> SLURMEnvironment:
    """Return Fabric's view of an srun step. It looks at variables that the step leaves as they are for the whole job.

    It also takes a step for none where its program is called bash, as a wrapper that loads modules is, and warns.
    """
    os.environ["SLURM_NTASKS_PER_NODE"] = str(processes.per_node)
    os.environ["SLURM_NNODES"] = str(processes.nodes)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The `srun` command is available")
        return SLURMEnvironment()


def _strategy(accelerator: str) -> DDPStrategy:
    """Return gradients averaged over processes."""
    return DDPStrategy(process_group_backend="nccl" if accelerator == "cuda" else "gloo")
