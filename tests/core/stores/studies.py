"""A small study of a store, with something in every part."""

import dataclasses

import numpy as np

from pectl.core.labels.names import STUDY_LABELS
from pectl.core.stores.source import SourceSlices
from pectl.core.stores.study_store import Study

RNG = np.random.default_rng(0)


def make_study(uid="1.2.3", **changes):
    source = SourceSlices(
        sop_instance_uid=np.array(["1.1", "1.2", "1.3"], object),
        position_mm=np.array([0.0, 1.5, 3.0]),
        label=np.array([0, 1, -1], np.int8),
        grid_index=np.array([-1, 0, 2], np.int32),
        image_position_patient=RNG.normal(size=(3, 3)),
    )
    labels = dict.fromkeys(STUDY_LABELS, 0) | {"central_pe": 1, "rv_lv_ratio_lt_1": None}
    study = Study(
        uid=uid,
        series_uid="1.2.3.4",
        hu=RNG.integers(-1024, 3000, (4, 32, 32), np.int16),
        slice_position_mm=np.arange(4.0),
        slice_label=np.array([0, 1, 1, -1], np.int8),
        spacing_mm=(1.0, 0.75, 0.5),
        affine=RNG.normal(size=(4, 4)),
        source=source,
        source_shape=(512, 500),
        source_pixel_spacing_mm=(0.7, 0.8),
        source_orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        flags=("padding", "oblique"),
        exam_labels=labels,
        kernel="B30f",
        manufacturer="ACME",
        slice_step_mm=1.5,
        vessel_hu=351.0,
    )
    return dataclasses.replace(study, **changes)
