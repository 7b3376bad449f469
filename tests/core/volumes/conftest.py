"""One drawn chest as DICOM, and as SimpleITK writes it in other formats and orientations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from pectl.config import PreprocessConfig
from pectl.core.intake.examine import Examined, examine
from pectl.core.intake.study_labels import StudyLabels
from pectl.core.volumes.slices import whole_file
from pectl.core.volumes.stated import Stated

Write = Callable[..., Path]
CONFIG = PreprocessConfig(slice_spacing_mm=3.0, in_plane_px=64)


@pytest.fixture(scope="session")
def chest_dicom(made_once: Callable[..., Path], write_series: Callable[..., list[str]]) -> Path:
    """A series of the chest: 50 slices of 80 rows and 90 columns, no two steps alike."""
    return made_once(
        "chest_dicom",
        lambda folder: write_series(
            folder, n_slices=50, step_mm=4.9, size=(80, 90), pixel_spacing_mm=(4.6, 4.3), hu=_noisy_chest
        ),
    )


def _noisy_chest(points: np.ndarray) -> np.ndarray:
    from tests.chests import chest_hu

    seed = int(abs(points[0, 0, 2]) * 10)
    return chest_hu(points) + np.random.default_rng(seed).normal(0.0, 4.0, points.shape[:-1])


@pytest.fixture(scope="session")
def chest_image(chest_dicom: Path) -> sitk.Image:
    """The series as SimpleITK reads it."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(chest_dicom)))
    return sitk.Cast(reader.Execute(), sitk.sitkInt16)


@pytest.fixture
def write_volume(chest_image: sitk.Image, tmp_path: Path) -> Write:
    """A factory that writes the chest with the axes that are named, such as `RAS`, into a file of any format."""

    def write(name: str, *, axes: str = "LPS", edit: Callable[[sitk.Image], sitk.Image] = lambda image: image) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(edit(sitk.DICOMOrient(chest_image, axes)), str(path), useCompression="raw" not in name)
        return path

    return write


@pytest.fixture
def examined() -> Callable[..., Examined]:
    """A function that judges one volume file."""

    def judge(path: Path, stated: Stated = Stated()) -> Examined:  # noqa: B008
        header = whole_file(path, stated)
        return examine(header.study_uid, [header], CONFIG, labels=StudyLabels())

    return judge
