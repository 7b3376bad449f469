"""A Slurm of the test's own, a phantom cohort, and the chain run by hand and by SLURM."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pectl.phantom.cohort import make_cohort
from tests.tiny import tiny_config, tiny_phantom

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("pectl")
CPUS = 4
"""Of the node, whatever the machine has: tasks of an array run beside each other."""
COMMANDS = ("slurmctld", "slurmd", "munged")
SEARCH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Cluster:
    """A running Slurm."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment in which Slurm's commands find it; one thread, as by hand."""
        return os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf"), "OMP_NUM_THREADS": "1"}

    def run(self, *command: object, cwd: Path | None = None) -> str:
        """Run a command that must succeed; return what it prints."""
        done = subprocess.run(
            [str(part) for part in command], env=self.environment, cwd=cwd, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def states(self) -> dict[str, str]:
        """Return the state of every job and array task so far."""
        lines = self.run("squeue", "-h", "-a", "-r", "-t", "all", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def wait(self, *, seconds: float) -> dict[str, str]:
        """Wait until no job is left to run; return their states."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            states = self.states()
            if not set(states.values()) & {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "SUSPENDED"}:
                return states
            time.sleep(0.5)
        raise TimeoutError(f"after {seconds} s: {self.run('squeue', '-a', '-r')}")

    def wait_for(self, text: str, log: Path, *, seconds: float = 60) -> str:
        """Wait until a log holds a text; return the log."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if log.exists() and text in log.read_text():
                return log.read_text()
            time.sleep(0.1)
        raise TimeoutError(f"{text!r} not in {log} after {seconds} s: {log.exists() and log.read_text()}")


def start_cluster(folder: Path) -> "subprocess.Popen[str]":
    """Start a Slurm that ends with the returned process's standard input."""
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("cluster.py"), folder, str(CPUS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n", (folder / "slurmctld.out").read_text()
    return process


@pytest.fixture
def cluster_folder() -> Iterator[Path]:
    """A folder that a cluster can use: other users, as munge's clients are in general, may look into it."""
    yield from _cluster_folder()


def _cluster_folder() -> Iterator[Path]:
    missing = [name for name in COMMANDS if not shutil.which(name, path=SEARCH)]
    assert not missing, f"{', '.join(missing)} not installed: run make test-slurm"
    folder = Path(tempfile.mkdtemp(prefix="pectl-slurm-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running Slurm; after the tests nothing of it is left."""
    for folder in _cluster_folder():
        process = start_cluster(folder)
        try:
            yield Cluster(folder)
        finally:
            process.communicate(timeout=60)  # ends its standard input
            assert process.returncode == 0
            assert living_processes(folder) == {}


def living_processes(folder: Path) -> dict[int, str]:
    """Return the processes of a cluster, found by their environment: daemons, jobs, and what these started."""
    mark, found = f"SLURM_CONF={folder}/slurm.conf".encode(), {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # ended meanwhile, or another user's
            continue
    return found


@dataclass(frozen=True)
class Chain:
    """Folders of a chain that has been run in `root`, and its configuration."""

    root: Path
    config: Path
    dicom: Path
    labels: Path

    def files(self, *names: str) -> dict[str, bytes]:
        """Return the bytes of files of the chain."""
        return {name: (self.root / name).read_bytes() for name in names}


@pytest.fixture(scope="session")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Run the chain command by command, with so many epochs that stage 1 takes longer than a SLURM time limit."""
    root = tmp_path_factory.mktemp("by hand")
    chain = Chain(root, root / "config.toml", root / "cohort" / "train", root / "cohort" / "train.csv")
    make_cohort(root / "cohort", tiny_phantom(), seed=0)
    chain.config.write_text(tiny_config())
    pectl(chain, "preprocess", chain.dicom, "--labels", chain.labels, "--out", root / "store")
    chain.config.write_text(tiny_config(epochs=_epochs(chain, seconds=80)))
    pectl(chain, "train-stage1", root / "store", "--out", root / "stage1", "--device", "cpu")
    stages = ("--stage1", root / "stage1", "--stage2", root / "stage2", "--device", "cpu")
    pectl(chain, "extract-features", root / "store", *stages[:2], "--out", root / "features")
    pectl(chain, "train-stage2", root / "features", "--out", root / "stage2", "--device", "cpu")
    pectl(chain, "explain", root / "store", *stages, "--split", "test", "--out", root / "explanations")
    pectl(
        chain,
        "evaluate",
        root / "features",
        *stages[2:],
        "--explanations",
        root / "explanations",
        "--out",
        root / "evaluation",
    )
    return chain


def _epochs(chain: Chain, *, seconds: float) -> int:
    """Return how many epochs of stage 1 take about so long on this machine."""
    took = []
    for epochs in (1, 21):
        begun = time.monotonic()
        out = chain.root / f"measured-{epochs}"
        more = ("--set", f"stage1.epochs={epochs}", "--device", "cpu")
        pectl(chain, "train-stage1", chain.root / "store", "--out", out, *more)
        took.append(time.monotonic() - begun)
    return max(21, round(20 * seconds / max(took[1] - took[0], 0.1)))


def pectl(chain: Chain, *arguments: object) -> None:
    """Run the program with the chain's configuration and one thread; it must succeed."""
    command = [PROGRAM, *map(str, arguments), "--config", chain.config, "--quiet"]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Submitted:
    """A chain that went through SLURM, and what submit.sh said."""

    chain: Chain
    jobs: Path
    """Folder of the batch files and logs."""
    said: str

    def job(self, step: str) -> str:
        """Return the number of a step's job."""
        return self.said.split(f"{step}: job ")[1].split()[0]

    def log(self, step: str) -> str:
        """Return the log of a step; of an array all its tasks' logs."""
        return "".join(path.read_text() for path in sorted(self.jobs.glob(f"pectl-{step}-{self.job(step)}*.log")))


@pytest.fixture(scope="session")
def submitted(cluster: Cluster, by_hand: Chain, tmp_path_factory: pytest.TempPathFactory) -> Submitted:
    """Write batch files with `pectl slurm`, submit them all, and wait until the last job has ended."""
    root = tmp_path_factory.mktemp("by slurm")  # with a space
    chain = Chain(root, by_hand.config, by_hand.dicom, by_hand.labels)
    jobs = write_small_jobs(cluster, chain, root / "jobs", "--resource", "train-stage1.time=5")
    said = cluster.run("bash", jobs / "submit.sh", cwd=root)
    states = cluster.wait(seconds=3600)
    logs = [f"{path.name}: {path.read_text()}" for path in sorted(jobs.glob("*.log"))]
    assert set(states.values()) == {"COMPLETED"}, "\n".join([str(states), *logs])
    return Submitted(chain, jobs, said)


def write_small_jobs(cluster: Cluster, chain: Chain, out: Path, *more: str) -> Path:
    """Write batch files for the test's small node, with a warning that suits a time limit of a minute."""
    small = [f"{step}.cpus=1" for step in ("preprocess", "extract-features", "train-stage1", "train-stage2")]
    small += [f"{step}.cpus=1" for step in ("explain", "evaluate")]
    small += ["preprocess.tasks=7", "preprocess.at_once=3", "extract-features.tasks=3", "preprocess.time=5"]
    arguments = [part for value in small for part in ("--resource", value)]
    cluster.run(
        PROGRAM,
        "slurm",
        chain.config,
        "--out",
        out,
        "--dicom",
        chain.dicom,
        "--labels",
        chain.labels,
        "--work",
        chain.root / "work",
        "--device",
        "cpu",
        *arguments,
        *more,
    )
    batch = out / "train-stage1.sbatch"
    short = batch.read_text().replace("--signal=USR1@120", "--signal=USR1@10")
    batch.write_text(short.replace("--time=5\n", "--time=1\n"))  # shorter than pectl slurm lets one ask for
    return out


@pytest.fixture
def living() -> Callable[[Path], dict[int, str]]:
    """Return `living_processes`."""
    return living_processes


@pytest.fixture
def write_jobs() -> Callable[..., Path]:
    """Return `write_small_jobs`."""
    return write_small_jobs


@pytest.fixture
def run_by_hand() -> Callable[..., None]:
    """Return `pectl`."""
    return pectl
