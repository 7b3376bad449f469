"""Two processes that train together on the CPU, started as torchrun starts them."""

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pectl.errors import PectlError


def _be_one_of_two(rank: int, port: int, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Run the target, its stderr in the folder that is its first argument; exit as a command does."""
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "test",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # a fork server that a loader started blocks the stop signals
    torch.set_num_threads(1)
    with Path(arguments[0], f"stderr-{rank}").open("w") as sys.stderr:
        try:
            target(*arguments)
        except PectlError as error:
            sys.stderr.write(str(error))
            sys.stderr.flush()
            os._exit(error.exit_code)


def start_two(target: Callable[..., None], *arguments: object) -> list[multiprocessing.process.BaseProcess]:
    """Start two processes that run the target together; its first argument is a folder."""
    context = multiprocessing.get_context("forkserver")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [context.Process(target=_be_one_of_two, args=(rank, port, target, arguments)) for rank in (0, 1)]
    for process in processes:
        process.start()
    return processes


def end(processes: list[multiprocessing.process.BaseProcess], *, within: float = 60.0) -> list[int | None]:
    """Wait for both and return their exit codes; None for one that hangs."""
    deadline = time.monotonic() + within
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes
