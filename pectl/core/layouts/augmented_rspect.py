"""Augmented RSPECT: boxes around emboli on slices of 445 studies of RSPECT."""

from pathlib import Path

from pectl.core.labels.names import STUDY
from pectl.core.layouts.answers import exam_table, with_pe
from pectl.core.layouts.layout import Layout, SetContents
from pectl.core.layouts.rspect import IMAGES, LABELS, is_rspect
from pectl.core.places.boxes import read_boxes
from pectl.core.places.source import PlacesSource

_BOXES = "augmented_rspect.csv"


def _recognise(folder: Path) -> str:
    return _BOXES if (folder / _BOXES).is_file() else ""


def _read(folder: Path) -> SetContents:
    boxes = folder / _BOXES
    studies = sorted(set(read_boxes(boxes)[STUDY]))
    with_labels = is_rspect(folder)
    return SetContents(
        images=(folder / IMAGES if (folder / IMAGES).is_dir() else folder,),
        dicom_alone=True,
        labels=folder / LABELS if with_labels else None,
        exam=None if with_labels else exam_table({uid: with_pe() for uid in studies}),
        places={uid: PlacesSource("boxes", boxes, complete=False) for uid in studies},
    )


LAYOUT = Layout(
    name="augmented-rspect",
    title="Augmented RSPECT",
    source="Radiology: Artificial Intelligence 2023, e230001; the images are RSPECT's",
    licence="as RSNA states it",
    gives="boxes around emboli; all 445 studies have PE. With RSPECT's train.csv beside it, its labels too",
    traps=(
        "a slice has several boxes: all are kept",
        "what isn't boxed isn't known to be free of emboli: no image label is 0 by it",
        "what the column Artery holds isn't described: no side and no place follows from it",
    ),
    recognise=_recognise,
    read=_read,
)
