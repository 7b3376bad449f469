"""A Slurm of one node on the loopback: `python cluster.py FOLDER [CPUS]`.

Everything it needs and writes is in FOLDER, nothing in /etc or /var. It prints `ready`, serves until its standard
input ends, however the other side ended, and then stops its daemons and all they started.
"""

import contextlib
import ctypes
import getpass
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

CONF = """
ClusterName=pectl
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
InactiveLimit=0
KillWait=10
MinJobAge=3600
NodeName={host} NodeAddr=127.0.0.1 Port={node_port} CPUs={cpus} RealMemory=64000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
# cred_expire is also how long Slurm holds a requeued job back (120 s by default)

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


def main() -> None:
    """Serve until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the end of standard input is the one way out
    ctypes.CDLL(None).prctl(SUBREAPER, 1)  # what daemons and jobs leave behind comes here, to be ended
    folder, cpus = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 4
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    try:
        _start(folder, cpus, environment)
        _wait_until_idle(environment)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        stop(folder)


def _start(folder: Path, cpus: int, environment: dict[str, str]) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    ports = _free_ports(2)
    text = CONF.format(
        host=socket.gethostname().partition(".")[0],
        user=getpass.getuser(),
        folder=folder,
        cpus=cpus,
        ctld_port=ports[0],
        node_port=ports[1],
    )
    (folder / "slurm.conf").write_text(text)
    munged = [
        "munged",
        "--foreground",
        "--force",
        f"--key-file={key}",
        f"--socket={folder}/munge.socket",
        f"--pid-file={folder}/munged.pid",
        f"--log-file={folder}/munged.log",
        f"--seed-file={folder}/munged.seed",
        "--num-threads=2",
    ]
    for command in (munged, ["slurmctld", "-D", "-i"], ["slurmd", "-D"]):
        with (folder / f"{command[0]}.out").open("wb") as output:
            subprocess.Popen(
                command,
                env=environment | _PATHS,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        time.sleep(0.5)


_PATHS = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_until_idle(environment: dict[str, str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        shown = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False
        )
        if shown.stdout.strip() == "idle":
            return
        time.sleep(0.25)
    raise TimeoutError(f"no idle node after {seconds} s: sinfo says {shown.stdout!r} {shown.stderr!r}")


def processes_of(folder: Path) -> dict[int, str]:
    """Return the command line of each process, but this one, whose environment names the cluster in `folder`."""
    mark, found = f"SLURM_CONF={folder}/slurm.conf".encode(), {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0") and int(process.name) != os.getpid():
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # ended meanwhile, or another user's
            continue
    return found


def stop(folder: Path, seconds: float = 20) -> None:
    """End all processes of the cluster: jobs' first, then daemons; what doesn't end when asked is killed."""
    deadline = time.monotonic() + seconds
    while left := processes_of(folder):
        number = signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL
        for pid in left:
            _send(pid, number)
        _reap()
        time.sleep(0.3)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _reap() -> None:
    """Collect daemons that have ended; as zombies they would look alive."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue


if __name__ == "__main__":
    main()
