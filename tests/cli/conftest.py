"""The chain of commands on a tiny phantom cohort, run in this process as the program runs it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pectl.cli.app import main
from pectl.config import PhantomConfig
from pectl.phantom.cohort import make_cohort
from tests.tiny import tiny_config


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
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Run preprocess, train-stage1, extract-features and train-stage2 (both models) once."""
    made = Chain(tmp_path_factory.mktemp("chain"))
    made.config.write_text(tiny_config())
    phantom = PhantomConfig(
        studies=12, matrix_px=64, slices=30, prevalence=0.5, indeterminate_fraction=0.0, compressed_fraction=0.0
    )
    make_cohort(made.root / "cohort", phantom, seed=0)
    shared = ("--config", made.config, "--quiet")
    run_ok("preprocess", made.dicom, "--labels", made.labels, "--out", made.store, *shared)
    run_ok("train-stage1", made.store, "--out", made.stage1, *shared)
    run_ok("extract-features", made.store, "--stage1", made.stage1, "--out", made.features, *shared)
    for model in ("tcn", "gru"):
        out = made.root / model
        run_ok("train-stage2", made.features, "--out", out, "--set", f"stage2.model={model}", *shared)
    return made


@pytest.fixture(scope="session")
def evaluated(chain: Chain) -> Chain:
    """Evaluate both stage-2 models of the chain."""
    for model in ("tcn", "gru"):
        evaluation = chain.root / f"evaluation-{model}"
        run = chain.root / model
        run_ok("evaluate", chain.features, "--stage2", run, "--out", evaluation, "--config", chain.config, "--quiet")
    return chain
