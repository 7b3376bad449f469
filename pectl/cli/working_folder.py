"""Folders of the working folder are data, never packages that a library asks for."""

import os
import sys
from pathlib import Path

import pectl


def leave_out_working_folder() -> None:
    """Take the working folder out of where modules are looked for, here and in the processes that are started.

    `python -m` puts it first, `python -c`, which starts worker processes, likewise. Any folder in it then stands for
    the package of its name that isn't installed: with a folder `brotli` or `bottleneck`, libraries that ask for these
    fail. Where the program itself is run from its source, the folder stays.
    """
    here = Path.cwd()
    if Path(pectl.__file__).parents[1] == here:
        return
    os.environ["PYTHONSAFEPATH"] = "1"
    if sys.path and Path(sys.path[0]) == here:
        del sys.path[0]
