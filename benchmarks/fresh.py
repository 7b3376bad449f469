"""What a work costs in a fresh process: processor time and peak memory, its children's included."""

import os
import subprocess
import sys
from typing import NamedTuple


class Cost(NamedTuple):
    """Processor time in seconds, and the most memory that was held at once by any one process, in MB."""

    seconds: float
    peak_mb: float


def measure(module: str, *arguments: object) -> Cost:
    """Run `python -m MODULE ARGUMENTS`; other work on the machine costs its figures little."""
    process = subprocess.Popen([sys.executable, "-m", module, *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)
