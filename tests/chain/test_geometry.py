"""A marker keeps its place: DICOM, preprocess, windows, heat, and back to the original slices and to NIfTI."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from torch import nn

from pectl.config import Config, WindowsConfig
from pectl.core.intake.tasks import Sources
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.stores.study_store import Study, StudyStore
from pectl.explanation.explainer import Explainer
from pectl.explanation.heat_geometry import grid_to_lps, heat_on_source
from pectl.report.explanation.nifti import write_nifti
from pectl.steps.preprocess import preprocess
from tests.chests import body_with_lungs_hu
from tests.stage2_specs import stage2_spec

MARKER_MM = np.array([64.0, -21.0, 33.0])
SIGMA_MM = 9.0
STEP_MM = 3.0
CASES: dict[str, dict] = {
    "HFS": {},
    "FFS": {"orientation": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0), "position": "FFS"},
    "prone": {"orientation": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0), "position": "HFP"},
    "odd spacing": {"size": (120, 84), "pixel_spacing_mm": (3.3, 4.7), "step_mm": 4.3, "n_slices": 56},
    "thin slices": {"step_mm": 1.7, "n_slices": 140},
    "a repaired gap at the marker": {"missing": (51, 52)},
}


def seeing_encoder() -> WindowEncoder:
    """Heat is the brightness itself, seen by two convolutions of stride 2 in plane as a ResNet has them."""
    encoder = WindowEncoder(Stage1Spec(backbone="slim_16", in_channels=1, slice_supervision=False))
    encoder.backbone = nn.Module()
    for name in ("stem", "layer1", "layer2"):
        encoder.backbone.add_module(name, nn.Identity())
    for name in ("layer3", "layer4"):
        blur = nn.Conv3d(1, 1, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        blur.weight.data = torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0])).view(1, 1, 1, 3, 3) / 16
        encoder.backbone.add_module(name, blur)
    encoder.head = nn.Linear(1, 1)
    encoder.head.weight.data, encoder.head.bias.data = torch.ones(1, 1), torch.zeros(1)
    return encoder


def explainer() -> Explainer:
    windows = WindowsConfig(hu_ranges={"bright": (600.0, 3000.0)}, length=10, stride=5)
    spec = stage2_spec(feature_size=1)
    return Explainer(
        encoder=seeing_encoder(),
        classifier=SequenceClassifier(spec),
        windows=windows,
        input_px=88,
        label="pe_window",
        method="grad-cam",
    )


@pytest.fixture
def chest_with_marker() -> Callable[[np.ndarray], np.ndarray]:
    """HU at LPS points: two lungs in a body, and a bright blob in the left lung."""

    def hu(points: np.ndarray) -> np.ndarray:
        distance = np.linalg.norm(points - MARKER_MM, axis=-1)
        return body_with_lungs_hu(points) + 3800 * np.exp(-0.5 * (distance / SIGMA_MM) ** 2)

    return hu


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_marker_keeps_its_place_within_1_mm(
    case: dict, write_series: Callable, chest_with_marker: Callable, tmp_path: Path
) -> None:
    study = _preprocessed(dict(case), write_series, chest_with_marker, tmp_path)
    found = explainer().explain(study)
    assert np.linalg.norm(_centre(found.heat, study) - MARKER_MM) < 1.0
    _check_original_slice(study, found.heat, tmp_path / "dicom", found.peak.sop_instance_uid)
    write_nifti(tmp_path / "heat.nii.gz", found.heat, study.affine, "note")
    assert np.linalg.norm(_centre_of_nifti(tmp_path / "heat.nii.gz") - MARKER_MM) < 1.0


def _preprocessed(case: dict, write_series: Callable, hu: Callable, folder: Path) -> Study:
    missing, position = case.pop("missing", ()), case.pop("position", "HFS")

    def edit(dataset: pydicom.Dataset, place: int) -> bool:
        dataset.PatientPosition = position
        return place not in missing

    series = {"n_slices": 80, "step_mm": STEP_MM} | case
    write_series(folder / "dicom", hu=hu, edit=edit, **series)
    changes = {"slice_spacing_mm": STEP_MM, "in_plane_px": 96, "max_gap_mm": 10.0}
    config = Config()
    config = config.model_copy(update={"preprocess": config.preprocess.model_copy(update=changes)})
    preprocess(Sources((folder / "dicom",)), folder / "store", config)
    store = StudyStore.open(folder / "store")
    study = store.read_study(store.uids()[0])
    assert ("missing_slices" in study.flags) is bool(missing)
    return study


def _centre(heat: np.ndarray, study: Study) -> np.ndarray:
    index = np.moveaxis(np.indices(heat.shape, np.float64), 0, -1)
    return (grid_to_lps(study.affine, index) * heat[..., None]).sum((0, 1, 2)) / heat.sum()


def _check_original_slice(study: Study, heat: np.ndarray, dicom: Path, uid: str) -> None:
    """The peak's original slice is the one nearest to the marker, and its heat lies on the marker there."""
    files = {data.SOPInstanceUID: data for data in map(pydicom.dcmread, dicom.iterdir())}
    nearest = min(files.values(), key=lambda data: abs(data.ImagePositionPatient[2] - MARKER_MM[2]))
    shown = files[uid]
    assert abs(shown.ImagePositionPatient[2] - nearest.ImagePositionPatient[2]) <= STEP_MM
    place = list(study.source.sop_instance_uid).index(uid)
    on_slice = heat_on_source(study, heat, place)
    assert on_slice.shape == (shown.Rows, shown.Columns)
    row, column = ((on_slice * axis).sum() / on_slice.sum() for axis in np.indices(on_slice.shape))
    along_row, along_column = np.reshape(shown.ImageOrientationPatient, (2, 3)).astype(float)
    row_mm, column_mm = map(float, shown.PixelSpacing)
    point = np.array(shown.ImagePositionPatient, float) + column * column_mm * along_row + row * row_mm * along_column
    assert np.linalg.norm((point - MARKER_MM)[:2]) < 1.0


def _centre_of_nifti(path: Path) -> np.ndarray:
    """Read the volume by the format's definition; RAS becomes LPS."""
    data = gzip.decompress(path.read_bytes())
    shape = struct.unpack_from("<8h", data, 40)[1:4]
    sform = np.array(struct.unpack_from("<12f", data, 280)).reshape(3, 4)
    volume = np.frombuffer(data, "<f4", offset=352).reshape(shape, order="F")
    index = np.stack([*np.indices(shape, np.float64), np.ones(shape)])
    ras = np.tensordot(sform, index, axes=1)
    return (ras * volume).sum((1, 2, 3)) / volume.sum() * [-1, -1, 1]
