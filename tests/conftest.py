"""Data that tests of several layers make."""

import fcntl
import multiprocessing
import os
import shutil
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch: the workers of pytest-xdist share the cores
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # before torch: "auto" is fp32 then, on a CPU with bf16 too

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from pectl.core.decisions.consistency import PATTERNS
from pectl.core.labels.names import EXAM_LABELS, STUDY_LABELS
from pectl.core.labels.predictions import Predictions
from pectl.core.stores.source import SourceSlices
from pectl.core.stores.study_store import Study
from tests.chests import NODULE_LPS_MM, chest_hu

Cohort = tuple[Predictions, pd.DataFrame]
MadeOnce = Callable[[str, Callable[[Path], None]], Path]
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


FORKED = ("test_several_processes", "test_killed", "test_loader")
"""Modules of tests/training that start processes."""


@pytest.fixture(scope="session", autouse=True)
def fork_server(request: pytest.FixtureRequest) -> None:
    """Start the server that all processes are forked from with what those of tests/training need.

    There is one for all tests, started by the first that needs it. From one without torch each process of a training
    would import it, which takes longer than what it does.
    """
    items = request.session.items
    if any(item.path.stem in FORKED and item.path.parent.name == "training" for item in items):
        multiprocessing.set_forkserver_preload([f"tests.training.{name}" for name in FORKED])
        forkserver.ensure_running()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """A factory of folders that the whole run shares: the worker of pytest-xdist that needs one first fills it.

    The others wait for it. No test may change what is in such a folder.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def once(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # another worker may have failed at it
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture
def make_cohort() -> Callable[..., Cohort]:
    """A factory of predictions of a model of some skill, and the truth they are judged by."""
    return _make_cohort


def _make_cohort(
    n: int = 200,
    *,
    seed: int = 0,
    split: str = "test",
    skill: float = 1.0,
    slices: int = 12,
    images: bool = True,
) -> Cohort:
    rng = np.random.default_rng(seed)
    weights = np.array([0.58, 0.07] + [0.35 / 42] * 42)
    labels = PATTERNS[rng.choice(44, size=n, p=weights)].astype(float)
    uids = pd.Index([f"{split}{seed}-{k:04d}" for k in range(n)], name="StudyInstanceUID")
    truth = pd.DataFrame(labels, index=uids, columns=list(EXAM_LABELS))
    pe = (truth["negative_exam_for_pe"] == 0) & (truth["indeterminate"] == 0)
    truth.loc[~pe, ["rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1"]] = np.nan
    exam = pd.DataFrame(_scores(rng, labels, skill), index=uids, columns=list(EXAM_LABELS))
    positive = (rng.random((n, slices)) < 0.3) & pe.to_numpy()[:, None]
    positive[pe, 0] = True
    image = _units(uids, positive, rng, skill).rename(columns={"position": "SOPInstanceUID"})
    image["SOPInstanceUID"] = [f"{uid}.{k}" for uid in uids for k in range(slices)]
    windows = positive.reshape(n, slices // 4, 4).any(axis=2)
    window = _units(uids, windows, rng, skill).rename(columns={"position": "window_start"})
    window.insert(3, "stage1_score", _scores(rng, windows.ravel().astype(float), 0.7 * skill))
    fingerprint = f"fingerprint-{seed // 100}"
    return Predictions(split, exam, window, image if images else None, fingerprint), truth


def _scores(rng: np.random.Generator, labels: np.ndarray, skill: float) -> np.ndarray:
    return 1 / (1 + np.exp(-(skill * (2 * labels - 1.4) + rng.normal(size=labels.shape))))


def _units(uids: pd.Index, positive: np.ndarray, rng: np.random.Generator, skill: float) -> pd.DataFrame:
    n, length = positive.shape
    return pd.DataFrame(
        {
            "StudyInstanceUID": np.repeat(uids.to_numpy(), length),
            "position": np.tile(np.arange(length), n),
            "score": _scores(rng, positive.ravel().astype(float), skill),
            "label": positive.ravel().astype(np.int8),
        }
    )


@pytest.fixture
def real_data() -> Path:
    """The folder of real files; the test skips where there is none."""
    folder = Path(os.environ.get("PECTL_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "ct").is_dir():
        pytest.skip(f"no real files in {folder}; set PECTL_REAL_DATA")
    return folder


@pytest.fixture
def nodule_lps_mm() -> np.ndarray:
    """Where the nodule of `write_series` is."""
    return np.array(NODULE_LPS_MM)


@pytest.fixture(scope="session")
def write_series() -> Callable[..., list[str]]:
    """A factory that writes a small CT series of a chest; see `_write_series`."""
    return _write_series


def _write_series(
    folder: Path,
    *,
    study: str = "1.2.3",
    series: str = "1",
    n_slices: int = 40,
    step_mm: float = 6.0,
    size: tuple[int, int] = (96, 96),
    pixel_spacing_mm: tuple[float, float] = (4.0, 4.0),
    orientation: tuple[float, ...] = AXIAL,
    intercept: float = -1024.0,
    signed: bool = False,
    hu: Callable[[np.ndarray], np.ndarray] | None = None,
    edit: Callable[[Dataset, int], bool | None] = lambda dataset, place: None,
) -> list[str]:
    """Write a file per slice, named in another order than theirs; return SOPInstanceUIDs in z order.

    Args:
        folder: made if it isn't there.
        study: StudyInstanceUID; SeriesInstanceUID and SOPInstanceUIDs are made from it and from `series`.
        series: last part of SeriesInstanceUID.
        n_slices: slices along the normal, centred on the chest.
        step_mm: between slices.
        size: (rows, columns).
        pixel_spacing_mm: (row step, column step).
        orientation: ImageOrientationPatient; the anatomy stays where it is in the patient.
        intercept: RescaleIntercept; the slope is 1.
        signed: PixelRepresentation.
        hu: HU at LPS points (..., 3) in mm; default a chest with a nodule at `NODULE_LPS_MM`.
        edit: changes the dataset of slice `place` (in z order) before it is written; False leaves it out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    normal *= np.sign(normal[np.abs(normal).argmax()])
    names = np.random.default_rng(n_slices).permutation(n_slices)
    uids = []
    for place in range(n_slices):
        centre = normal * step_mm * (place - (n_slices - 1) / 2)
        half_mm = pixel_spacing_mm[0] * (size[0] - 1) / 2, pixel_spacing_mm[1] * (size[1] - 1) / 2
        corner = centre - row * half_mm[1] - column * half_mm[0]
        down, right = np.meshgrid(np.arange(size[0]), np.arange(size[1]), indexing="ij")
        points = corner + down[..., None] * pixel_spacing_mm[0] * column + right[..., None] * pixel_spacing_mm[1] * row
        stored = np.rint((hu or chest_hu)(points) - intercept).astype(np.int16 if signed else np.uint16)
        dataset = _slice(f"{study}.{series}.{place}", stored, signed=signed)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study}.{series}"
        dataset.ImagePositionPatient = [round(float(value), 6) for value in corner]
        dataset.ImageOrientationPatient = [round(float(value), 8) for value in orientation]
        dataset.PixelSpacing, dataset.SliceThickness = list(pixel_spacing_mm), step_mm
        dataset.RescaleIntercept, dataset.RescaleSlope = intercept, 1
        if edit(dataset, place) is not False:
            dataset.save_as(folder / f"{names[place]:04d}.dcm", enforce_file_format=True)
            uids.append(str(dataset.SOPInstanceUID))
    return uids


def _slice(uid: str, stored: np.ndarray, *, signed: bool) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = EXPLICIT_LITTLE
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = pydicom.uid.CTImageStorage, uid
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = pydicom.uid.CTImageStorage, uid, "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientID, dataset.PatientName = "P1", "Doe^Jane"
    dataset.Manufacturer, dataset.ConvolutionKernel = "ACME", "B30f"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = stored.tobytes()
    return dataset


@pytest.fixture
def make_study() -> Callable[..., Study]:
    """A factory of small studies of a store whose geometry and labels are chosen."""
    return _make_study


def _make_study(
    *,
    shape: tuple[int, int, int] = (16, 24, 24),
    spacing_mm: tuple[float, float, float] = (3.0, 4.0, 4.0),
    origin_mm: tuple[float, float, float] = (-50.0, -60.0, -200.0),
    positive: slice | None = slice(4, 7),
    side: str = "left",
    orientation: tuple[float, ...] = AXIAL,
    source_spacing_mm: tuple[float, float] = (2.0, 2.0),
    uid: str = "0123456789ab",
) -> Study:
    """One original slice per grid slice, 24 rows and 20 columns around the grid; PE in some slices."""
    rng = np.random.default_rng(0)
    depth, height, width = shape
    affine = np.eye(4)
    affine[:3, :3] = np.fliplr(np.diag(spacing_mm[::-1]))
    affine[:3, 3] = origin_mm
    position = origin_mm[2] + spacing_mm[0] * np.arange(depth)
    centre = affine @ [(depth - 1) / 2, (height - 1) / 2, (width - 1) / 2, 1]
    corner = centre[:3] - (
        9.5 * source_spacing_mm[1] * np.array(orientation[:3]) + 11.5 * source_spacing_mm[0] * np.array(orientation[3:])
    )
    label = np.zeros(depth, np.int8)
    if positive is not None:
        label[positive] = 1
    source = SourceSlices(
        sop_instance_uid=np.array([f"{uid}.{k}" for k in range(depth)], object),
        position_mm=position.copy(),
        label=label.copy(),
        grid_index=np.arange(depth, dtype=np.int32),
        image_position_patient=np.stack([np.full(depth, corner[0]), np.full(depth, corner[1]), position], -1),
    )
    sides = {"leftsided_pe": int(side == "left"), "rightsided_pe": int(side == "right")}
    negative = {"negative_exam_for_pe": int(positive is None), "indeterminate": 0}
    return Study(
        uid=uid,
        series_uid="0",
        hu=rng.integers(-1000, 500, shape).astype(np.int16),
        slice_position_mm=position,
        slice_label=label,
        spacing_mm=spacing_mm,
        affine=affine,
        source=source,
        source_shape=(24, 20),
        source_pixel_spacing_mm=source_spacing_mm,
        source_orientation=orientation,
        exam_labels=dict.fromkeys(STUDY_LABELS) | sides | negative,
    )
