"""The chain of commands on a tiny phantom cohort, run in this process as the program runs it."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pectl.cli.app import main
from pectl.phantom.cohort import make_cohort
from tests.conftest import MadeOnce
from tests.tiny import tiny_config, tiny_phantom


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def pectl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program with these arguments; the exit code, stdout and stderr are what a shell would see."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer replaces it
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # main sets it

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["pectl", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        text = capsys.readouterr()
        return Result(int(ended.value.code or 0), text.out, text.err)

    return run


@dataclass(frozen=True)
class Chain:
    """Folders of a chain that has been run."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def dicom(self) -> Path:
        return self.root / "cohort" / "train"

    @property
    def labels(self) -> Path:
        return self.root / "cohort" / "train.csv"

    def __getattr__(self, name: str) -> Path:
        return self.root / name


def run_ok(*arguments: object) -> None:
    """Run the program where no fixture of a single test is at hand; it must end well."""
    before, hook = sys.argv, sys.excepthook
    sys.argv = ["pectl", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv, sys.excepthook = before, hook
    assert not ended.value.code


@pytest.fixture(scope="session")
def chain(made_once: MadeOnce) -> Chain:
    """Run preprocess, train-stage1, extract-features and train-stage2 (both models) once."""
    return Chain(made_once("chain", _run_chain))


def _run_chain(root: Path) -> None:
    made = Chain(root)
    made.pid.write_text(str(os.getpid()))
    made.config.write_text(tiny_config())
    make_cohort(made.root / "cohort", tiny_phantom(), seed=0)
    shared = ("--config", made.config, "--quiet")
    run_ok("preprocess", made.dicom, "--labels", made.labels, "--out", made.store, *shared)
    run_ok("train-stage1", made.store, "--out", made.stage1, *shared)
    run_ok("extract-features", made.store, "--stage1", made.stage1, "--out", made.features, *shared)
    for model in ("tcn", "gru"):
        run_ok("train-stage2", made.features, "--out", root / model, "--set", f"stage2.model={model}", *shared)


@pytest.fixture(scope="session")
def evaluated(chain: Chain, made_once: MadeOnce) -> Chain:
    """Evaluate both stage-2 models of the chain, beside its other folders."""

    def evaluate(_: Path) -> None:
        shared = ("--config", chain.config, "--quiet")
        for model in ("tcn", "gru"):
            out = chain.root / f"evaluation-{model}"
            run_ok("evaluate", chain.features, "--stage2", chain.root / model, "--out", out, *shared)

    made_once("evaluated", evaluate)
    return chain
