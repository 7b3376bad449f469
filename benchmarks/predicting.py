"""`pectl predict` beside what it can't do without: the forward of the windows, and the imports of torch.

With an untrained model of the size of Ma et al. 2022. By itself: python -m benchmarks.predicting [one] [many] [memory]
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from benchmarks.explaining import write_untrained_runs
from benchmarks.series import write_series
from benchmarks.timing import Row
from pectl.bundle.load import load_bundle
from pectl.core.volumes.stated import Given
from pectl.inference.encoder import StudyEncoder
from pectl.inference.reading import read_one_study
from pectl.steps.bundle import make_bundle

ROUNDS = 3
"""Of which the median counts: forward and command in turns, so that both meet the same load of the machine."""
MANY = 20


def one_row(folder: Path) -> Row:
    """Compare the whole command on one study with torch's imports and the bare forward."""
    dicom, bundle = folder / "one", _bundle(folder)
    write_series(dicom, ExplicitVRLittleEndian)
    forward = _Forward(dicom, bundle)
    pairs = []
    for number in range(ROUNDS):
        bare = _seconds([sys.executable, "-c", "import torch"]) + forward.seconds()
        pairs.append((_seconds(_command([dicom], bundle, folder / f"out-{number}")), bare))
    ours, bare = sorted(pairs, key=lambda pair: pair[0] / pair[1])[ROUNDS // 2]
    return _row("predict a study of 300 slices, r3d_18, 192 px", ours, bare, "import torch, and the bare forward")


def many_row(folder: Path) -> Row:
    """Compare one command on many studies with the sum of their forwards."""
    bundle, dicom = _bundle(folder), folder / "many"
    write_series(dicom / "0", ExplicitVRLittleEndian)
    for number in range(1, MANY):
        _copy_as_another(dicom / "0", dicom / str(number))
    forward = _Forward(dicom / "0", bundle)
    before = forward.seconds()
    ours = _seconds(_command([dicom], bundle, folder / "out-many"))
    bare = MANY * (before + forward.seconds()) / 2
    return _row(f"predict {MANY} such studies in one command", ours, bare, "the bare forwards")


def memory_row(folder: Path) -> Row:
    """Compare the largest process of a command on few studies with that on ten times as many, of little volume."""
    bundle, dicom = _bundle(folder, small=True), folder / "small"
    write_series(dicom / "0", ExplicitVRLittleEndian, every=6)
    peaks = []
    for studies in (20, 200):
        for number in range(len(list(dicom.iterdir())), studies):
            _copy_as_another(dicom / "0", dicom / str(number))
        peaks.append(_peak_mb(_command([dicom], bundle, folder / f"out-{studies}")))
    few, many = peaks
    return ("predict 200 small studies, largest process", f"{many:.0f} MB", f"of 20: {few:.0f} MB", f"{many / few:.2f}")


class _Forward:
    """The forward of a study's windows by the bundle's stage 1, as prediction computes it, and nothing else."""

    def __init__(self, dicom: Path, bundle: Path) -> None:
        instrument = load_bundle(bundle)
        study = read_one_study(Given([dicom]), instrument.preprocess, model=instrument.name).study
        if study is None:
            raise ValueError(f"{dicom}: expected a study that can be used")
        encoder = StudyEncoder(
            model=instrument.members[0].encoder,
            windows=instrument.windows,
            input_px=instrument.input_px,
            engine=instrument.engine("cpu"),
        )
        self._passes = partial(encoder.passes, study, encoder.starts(study))

    def seconds(self) -> float:
        begin = time.perf_counter()
        for _ in self._passes():
            pass
        return time.perf_counter() - begin


def _bundle(folder: Path, *, small: bool = False) -> Path:
    path = folder / ("small.pectl" if small else "model.pectl")
    if not path.exists():
        runs = folder / path.stem
        write_untrained_runs(runs, stride=10, small=(64, 64) if small else None)
        make_bundle([(runs / "stage1", runs / "stage2")], path)
    return path


def _command(sources: list[Path], bundle: Path, out: Path) -> list[str]:
    command = [sys.executable, "-m", "pectl", "predict", *map(str, sources), "--model", str(bundle)]
    return [*command, "--out", str(out), "--device", "cpu", "--quiet"]


def _seconds(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begin


def _peak_mb(command: list[str]) -> float:
    """Return the memory of the largest process of a command."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(status, command)
    return used.ru_maxrss / 1000


def _copy_as_another(study: Path, copy: Path) -> None:
    """Copy a study's files as those of another."""
    copy.mkdir()
    study_uid, series_uid = generate_uid(), generate_uid()
    for path in study.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, series_uid
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.save_as(copy / path.name)


def _row(what: str, ours: float, bare: float, than: str) -> Row:
    return (what, f"{ours:.1f} s", f"{than}: {bare:.1f} s", f"{ours / bare:.2f}")


PARTS = {"one": one_row, "many": many_row, "memory": memory_row}


def predict_rows(folder: Path, parts: list[str] | None = None) -> Iterator[Row]:
    """Yield the rows of these parts, or of all."""
    for part in parts or PARTS:
        yield PARTS[part](folder)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for row in predict_rows(Path(scratch), sys.argv[1:]):
            print("| " + " | ".join(row) + " |", flush=True)
