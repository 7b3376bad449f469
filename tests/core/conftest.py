"""Headers and volumes that the tests of the intake make without files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pectl.core.dicom.headers import SliceHeader
from pectl.core.intake.stack import Stack, build_stack
from pectl.core.intake.volume import Volume

_CT: dict[str, Any] = {
    "path": Path("none"),
    "transfer_syntax": "1.2.840.10008.1.2.1",
    "pixel_offset": 0,
    "pixel_length": 0,
    "study_uid": "1",
    "series_uid": "1.1",
    "patient_id": "P",
    "modality": "CT",
    "image_type": ("ORIGINAL", "PRIMARY", "AXIAL"),
    "orientation": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "pixel_spacing_mm": (2.0, 2.0),
    "slice_thickness_mm": None,
    "rows": 64,
    "columns": 64,
    "samples": 1,
    "frames": 1,
    "bits_allocated": 16,
    "bits_stored": 12,
    "signed": False,
    "padding": None,
    "slope": 1.0,
    "intercept": -1024.0,
    "acquisition": "1",
    "contrast": False,
    "kernel": "B30f",
    "manufacturer": "ACME",
}

MakeHeader = Callable[..., SliceHeader]


@pytest.fixture
def make_header() -> MakeHeader:
    """A factory of the header of an axial CT slice at height `z`."""
    return _make_header


def _make_header(z: float = 0.0, **changes: Any) -> SliceHeader:
    return SliceHeader(**(_CT | {"position": (0.0, 0.0, z), "sop_uid": f"1.1.{z:g}"} | changes))


@pytest.fixture
def make_stack() -> Callable[..., Stack]:
    """A factory of the stack of slices at given heights."""

    def make(heights: list[float], max_gap_mm: float = 10.0, **changes: Any) -> Stack:
        return build_stack(tuple(_make_header(z, **changes) for z in heights), max_gap_mm=max_gap_mm)

    return make


@pytest.fixture
def make_volume(make_stack: Callable[..., Stack]) -> Callable[..., Volume]:
    """A factory of a volume of given HU at a regular step."""

    def make(hu: np.ndarray, step_mm: float = 2.0, heights: list[float] | None = None, **changes: Any) -> Volume:
        heights = heights or [step_mm * place for place in range(len(hu))]
        stack = make_stack(heights, rows=hu.shape[1], columns=hu.shape[2], **changes)
        return Volume(np.asarray(hu, np.int16), stack, ())

    return make
