"""RSPECT (RSNA STR 2020): DICOM by study and series, and `train.csv`."""

from pathlib import Path

from pectl.core.layouts.layout import Layout, SetContents

LABELS, IMAGES = "train.csv", "train"


def is_rspect(folder: Path) -> bool:
    """Tell whether a folder has RSPECT's images and labels."""
    return (folder / LABELS).is_file() and (folder / IMAGES).is_dir()


def _recognise(folder: Path) -> str:
    return "train.csv, sample_submission.csv and train/" if _is_release(folder) else ""


def _is_release(folder: Path) -> bool:
    return is_rspect(folder) and (folder / "sample_submission.csv").is_file()


def read_rspect(folder: Path) -> SetContents:
    """Return RSPECT's images and labels."""
    return SetContents(images=(folder / IMAGES,), dicom_alone=True, labels=folder / LABELS)


LAYOUT = Layout(
    name="rspect",
    title="RSPECT",
    source="RSNA STR Pulmonary Embolism Detection, Kaggle, and s3://pulmonary-embolism-detection",
    licence="terms of the competition",
    gives="all nine exam labels by study, PE by image",
    traps=(
        "157 studies are indeterminate: not negative, and not PE",
        "`test.csv` has ids alone: `test/` isn't read",
    ),
    recognise=_recognise,
    read=read_rspect,
)
