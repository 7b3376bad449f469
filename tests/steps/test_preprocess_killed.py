"""A run that is killed or finds the disk full leaves nothing half-written, and goes on."""

import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from pectl.config import Config, PreprocessConfig
from pectl.core.intake.tasks import IntakeWatch, Sources, verdict_path
from pectl.core.stores.study_store import read_study
from pectl.errors import PectlError
from pectl.steps.preprocess import preprocess
from pectl.steps.validate import validate

CONFIG = Config(preprocess=PreprocessConfig(in_plane_px=32, slice_spacing_mm=6.0))
SMALL = {"n_slices": 36, "size": (64, 64), "pixel_spacing_mm": (6, 6)}
STUDIES = tuple(f"1.{number}" for number in range(1, 8))


@pytest.fixture(scope="module")
def root(tmp_path_factory, write_series):
    folder = tmp_path_factory.mktemp("cohort")
    for study in STUDIES:
        write_series(folder / study, study=study, edit=partial(_of_own_patient, study), **SMALL)
    return folder


def _of_own_patient(study: str, dataset: Dataset, _: int) -> None:
    """Give each study a patient of its own: no split could be made of one."""
    dataset.PatientID = study


def run(root: Path, out: Path) -> None:
    preprocess(Sources((root,)), out, CONFIG)


def run_on_a_full_disk(root: Path, out: Path, most_bytes: int, said: Path) -> None:
    """No file may grow beyond `most_bytes`: what a full disk is to a writer."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
    try:
        run(root, out)
    except PectlError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        said.write_text(str(error))


def files_of(store: Path) -> dict[str, bytes]:
    paths = [path for path in sorted(store.rglob("*")) if path.is_file() and "dicom_index" not in path.parts]
    return {str(path.relative_to(store)): path.read_bytes() for path in paths if not path.name.endswith(".tmp")}


def context():
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["pectl.steps.preprocess", "pectl.steps.validate", "pectl.core.intake.store_study"])
    return made


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_again_and_again(root, tmp_path, kills):
    run(root, tmp_path / "whole")
    rng, killed = random.Random(0), 0
    while killed < kills:
        process = context().Process(target=run, args=(root, tmp_path / "killed"))
        process.start()
        time.sleep(rng.uniform(0.05, 0.5))
        process.kill()
        process.join()
        killed += 1
        for path in (tmp_path / "killed" / "studies").glob("[0-9]*.h5"):
            read_study(path)  # whole, if it is there
    run(root, tmp_path / "killed")
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_killed_with_all_its_processes(root, tmp_path):
    """As a batch system does it: the group at once, then the same command again."""
    config = ["--set", "preprocess.in_plane_px=32", "--set", "preprocess.slice_spacing_mm=6", "--workers", "2"]
    command = [sys.executable, "-m", "pectl", "preprocess", str(root), "--out", str(tmp_path / "store"), *config]
    process = subprocess.Popen([*command, "--quiet"], start_new_session=True, stdout=subprocess.DEVNULL)
    begun = time.monotonic()
    while not list((tmp_path / "store").glob("studies/[0-9]*.h5")) and time.monotonic() - begun < 60:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    n_before = len(list((tmp_path / "store").glob("verdicts/*.json")))
    summary = preprocess(Sources((root,), workers=2), tmp_path / "store", CONFIG)
    assert (summary.n_skipped, summary.complete) == (n_before, True)
    assert summary.n_done == len(STUDIES) - n_before >= 0


@pytest.mark.parametrize(("most_bytes", "where"), [(25_000, "studies/1."), (400, "dicom_index/")])
def test_a_full_disk_is_a_clear_error_and_leaves_nothing_half_written(root, tmp_path, most_bytes, where):
    store = tmp_path / "store"
    process = context().Process(target=run_on_a_full_disk, args=(root, store, most_bytes, tmp_path / "said"))
    process.start()
    process.join()
    assert process.exitcode == 0
    said = (tmp_path / "said").read_text()
    assert said.startswith(str(store / where))
    assert "expected to write the file, found File too large; free space or choose another folder" in said
    assert not list(store.rglob("*.tmp"))
    assert not list(store.rglob("*.h5"))
    assert not verdict_path(store, "1.1").exists()
    assert preprocess(Sources((root,)), store, CONFIG).n_done == len(STUDIES)


def test_a_validate_that_was_stopped_goes_on(root, tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate(Sources((root,)), tmp_path / "out", CONFIG, watch=IntakeWatch(studies=stop))
    assert not (tmp_path / "out" / "verdicts.csv").exists()
    assert validate(Sources((root,)), tmp_path / "out", CONFIG).n_reused == 3
    validate(Sources((root,)), tmp_path / "whole", CONFIG)
    content = (tmp_path / "whole" / "verdicts.csv").read_bytes()
    assert (tmp_path / "out" / "verdicts.csv").read_bytes() == content
