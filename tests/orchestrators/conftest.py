"""Folders as each orchestrator lays them, a bundle to ask, and the program run as its container runs it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from pectl.steps.bundle import make_bundle
from tests.cli.conftest import Run, pectl  # noqa: F401 - the fixture
from tests.tiny_instrument import tiny_decisions, tiny_member, write_runs

SMALL = {"n_slices": 34, "size": (64, 64), "pixel_spacing_mm": (6.0, 6.0)}
SECRETS = ("Doe", "Jane", "MRN-77", "19500102", "ACC-5", "Who^Doctor")
"""What names the patient of every study here."""


def identify(dataset: Dataset, place: int) -> None:
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Doe^Jane", "MRN-77", "19500102"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "ACC-5", "Who^Doctor"
    dataset.InstanceNumber, dataset.StudyDate = place + 1, "20200304"


@pytest.fixture(scope="session")
def write_study(write_series) -> Callable[..., None]:
    """Write a study that has all that names its patient."""

    def write(folder: Path, study: str, **more) -> None:
        write_series(folder, study=study, edit=identify, **SMALL | more)

    return write


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    """A model that finds PE in every study; one of its studies is 9.9."""
    return _bundle(tmp_path_factory.mktemp("flagging"), rule_out=0.01, rule_in=0.02)


@pytest.fixture(scope="session")
def calm_bundle(tmp_path_factory) -> Path:
    """A model that finds PE in no study."""
    return _bundle(tmp_path_factory.mktemp("calm"), rule_out=0.98, rule_in=0.99)


def _bundle(folder: Path, **bounds: float) -> Path:
    runs = write_runs(tiny_member(0, tiny_decisions(**bounds)), folder, trained={"9.9": "train"})
    make_bundle([runs], folder / "model.pectl")
    return folder / "model.pectl"


@pytest.fixture
def run_for(pectl: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # noqa: F811 - the fixture
    """Run `predict-for` with these variables and no other of an orchestrator."""

    def run(name: str, **environment: object):
        for key, value in environment.items():
            monkeypatch.setenv(key, str(value))
        monkeypatch.setenv("PECTL_DEVICE", "cpu")
        return pectl("predict-for", name)

    return run
