"""The processes of a command that torchrun or srun started several times: which this is, and how many there are.

Read from the environment alone, so that it costs no import of torch.
"""

import os
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Processes:
    """This process' place among those that do a command together.

    Attributes:
        launcher: who started them; "none" for a process by itself.
        rank: from 0; process 0 writes.
        world: how many there are.
        nodes: machines they run on, each with as many.
        local_rank: from 0 on this machine; which of its GPUs is this process' own.
    """

    launcher: Literal["none", "torchrun", "srun"] = "none"
    rank: int = 0
    world: int = 1
    nodes: int = 1
    local_rank: int = 0

    @property
    def per_node(self) -> int:
        """Return the processes of a machine."""
        return self.world // self.nodes


def find_processes() -> Processes:
    """Find this process' place from torchrun's variables, or from those of an srun step.

    A batch script's own SLURM variables say nothing: what it starts without srun is one process.
    """
    names = os.environ
    if "TORCHELASTIC_RUN_ID" in names and int(names["WORLD_SIZE"]) > 1:
        world = int(names["WORLD_SIZE"])
        return Processes(
            "torchrun", int(names["RANK"]), world, world // int(names["LOCAL_WORLD_SIZE"]), int(names["LOCAL_RANK"])
        )
    if int(names.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        world, nodes = int(names["SLURM_STEP_NUM_TASKS"]), int(names.get("SLURM_STEP_NUM_NODES", "1"))
        return Processes("srun", int(names["SLURM_PROCID"]), world, nodes, int(names["SLURM_LOCALID"]))
    return Processes()
