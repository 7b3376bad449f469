"""The picture of a lung box: right planes, right way up, one scale, the box where it is."""

import cv2
import numpy as np
import pytest

from pectl.core.intake.lungs import Box
from pectl.core.intake.previews import draw_preview, write_preview
from pectl.core.intake.tasks import preview_path
from pectl.errors import StoreError

BOX = Box((10, 30), (20, 60), (30, 130))
ORANGE = (0, 159, 230)


@pytest.fixture
def volume(make_volume):
    """40 slices of 5 mm, 100 rows and 160 columns of 2 mm: 200 x 200 x 320 mm; bright at head, front, left."""
    hu = np.full((40, 100, 160), -1150, np.int16)
    hu[35:] = 350  # head
    hu[:, :10] = 350  # front
    hu[:, :, 150:] = 350  # left
    return make_volume(hu, step_mm=5.0, pixel_spacing_mm=(2.0, 2.0))


def panels(picture):
    """The three panels, cut at the black gaps: widths follow from 320, 320 and 200 mm at 256 px for 200 mm."""
    starts = np.cumsum([0, 410 + 6, 410 + 6])
    return [picture[:256, start : start + width] for start, width in zip(starts, (410, 410, 256), strict=True)]


def test_planes_share_one_scale_and_lie_as_radiologists_expect(volume):
    picture = draw_preview(volume, BOX)
    assert picture.shape == (256 + 18, 410 + 6 + 410 + 6 + 256, 3)
    axial, coronal, sagittal = (panel.astype(int).sum(axis=2) for panel in panels(picture))
    assert axial[2, 200] > 300 > axial[250, 200]  # front is up
    assert axial[200, 405] > 300 > axial[200, 40]  # patient's left on the right
    assert coronal[2, 200] > 300 > coronal[250, 200]  # head is up
    assert sagittal[128, 2] > 300 > sagittal[128, 250]  # front on the left


@pytest.mark.parametrize(
    ("panel", "rows_mm", "columns_mm"),
    [(0, (40, 120), (60, 260)), (1, (50, 150), (60, 260)), (2, (50, 150), (40, 120))],
    ids=["axial", "coronal", "sagittal"],
)
def test_the_outline_is_the_box_in_mm(volume, panel, rows_mm, columns_mm):
    """Coronal and sagittal rows count from the head: 40 slices less the box's 10 to 30."""
    outline = np.argwhere((panels(draw_preview(volume, BOX))[panel] == ORANGE).all(axis=2))
    px = 256 / 200
    (top, left), (bottom, right) = outline.min(axis=0), outline.max(axis=0)
    assert (top / px, (bottom + 1) / px) == pytest.approx(rows_mm, abs=1)
    assert (left / px, (right + 1) / px) == pytest.approx(columns_mm, abs=1)


def test_the_outside_is_dimmed(volume):
    axial = panels(draw_preview(volume, Box((0, 40), (0, 100), (0, 155))))[0]
    inside, outside = (int(axial[3, round(mm * 256 / 200)].max()) for mm in (100, 314))
    assert inside == 255
    assert outside == int(0.55 * 255)


def test_the_file_is_a_small_jpeg_written_whole(volume, tmp_path):
    path = preview_path(tmp_path, "1.2.3")
    write_preview(path, volume, BOX)
    assert path.relative_to(tmp_path).as_posix() == "previews/1.2.3.jpg"
    assert cv2.imread(str(path)).shape == (274, 1088, 3)
    assert path.stat().st_size < 60_000
    assert [other.name for other in path.parent.iterdir()] == ["1.2.3.jpg"]


def test_a_folder_that_cannot_be_written_is_said(volume, tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    with pytest.raises(StoreError, match="expected to write the file, found No space left on device; free space"):
        write_preview(preview_path(tmp_path, "1"), volume, BOX)
    assert not list(tmp_path.rglob("*.jpg"))
