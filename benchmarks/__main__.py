"""Measure the rows of the speed table that need no GPU, and print them as a Markdown table."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from benchmarks.evaluation import evaluation_rows
from benchmarks.timing import Row, shortest
from pectl.config import Config
from pectl.core.data.dicom import find_files, read_header
from pectl.core.data.study_store import StudyStore
from pectl.core.data.volume import read_volume
from pectl.core.data.windows import WindowReader
from pectl.pipeline.preprocess import preprocess
from pectl.pipeline.study_intake import Sources

SLICES, SIDE = 300, 512


def main() -> None:
    """Run all and print the table."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root, store = Path(folder) / "dicom", Path(folder) / "store"
        _write_series(root)
        rows.append(_reading(root))
        seconds = shortest(lambda: preprocess(Sources((root,)), store, Config()), repeats=1)
        rows.append(("preprocess 300x512x512, one core, first run", f"{seconds:.2f} s", "", ""))
        rows.append(_random_windows(store))
        rows += evaluation_rows(Path(folder))
    command = [sys.executable, "-m", "pectl", "--help"]
    python = shortest(lambda: subprocess.run([sys.executable, "-c", ""], check=True))
    seconds = shortest(lambda: subprocess.run(command, check=True, capture_output=True))
    rows.append(("pectl --help", f"{seconds:.2f} s", f"python itself {python:.2f} s", f"{seconds / python:.1f}"))
    print("| path | pectl | baseline | ratio |\n|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def _write_series(root: Path) -> None:
    """Write a chest-like series: a body of water with two lungs of air."""
    root.mkdir()
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    hu = np.where((x / 0.9) ** 2 + (y / 0.65) ** 2 < 1, 40, -1000)
    for side in (-1, 1):
        hu[((x - side * 0.42) / 0.3) ** 2 + (y / 0.45) ** 2 < 1] = -850
    study, series = generate_uid(), generate_uid()
    for i in range(SLICES):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        ds = FileDataset(str(root / f"{i}.dcm"), {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = study, series, "CT"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.Rows = ds.Columns = SIDE
        ds.PixelSpacing, ds.SliceThickness = [0.7, 0.7], 1.0
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [-179.0, -179.0, float(i)], [1, 0, 0, 0, 1, 0]
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        stored = np.clip(hu + rng.normal(0, 15, hu.shape) + 1024, 0, 4095).astype("<u2")
        ds.PixelData = stored.tobytes()
        ds.save_as(root / f"{i}.dcm")


def _reading(root: Path) -> Row:
    """Compare our reading with pydicom as commonly used."""

    def ours() -> None:
        headers = [header for path in find_files(root) if (header := read_header(path)) is not None]
        read_volume(tuple(headers), min_slices=16, max_gap_mm=10.0)

    def common() -> None:
        slices = [pydicom.dcmread(path) for path in root.iterdir()]
        slices.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
        np.stack([ds.pixel_array * ds.RescaleSlope + ds.RescaleIntercept for ds in slices]).astype(np.int16)

    mine, theirs = shortest(ours), shortest(common)
    return ("read + HU 300x512x512", f"{mine:.3f} s", f"pydicom {theirs:.3f} s", f"{theirs / mine:.1f}")


def _random_windows(path: Path) -> Row:
    store = StudyStore.open(path)
    uid = store.uids()[0]
    depth = int(store.studies.loc[uid, "n_slices"])
    reader = WindowReader(store.study_path, length=10)
    starts = np.random.default_rng(0).integers(0, depth - 10, 512)
    batches = starts.reshape(-1, 16).tolist()
    seconds = shortest(lambda: [reader.read([uid] * 16, batch) for batch in batches])
    return ("random windows 10x224x224, one process", f"{512 / seconds:.0f}/s", "", "")


if __name__ == "__main__":
    main()
