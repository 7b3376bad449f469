"""Fakes of public sets, with every trap that their descriptions tell of. No set could be had."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import Dataset
from scipy.io import savemat

INSPECT = {  # image: impression, person, provenance, flags, split
    "PE000001a": ("1", "11", "INSPECT", "0 0 0", "train"),
    "PE000002a": ("2.0", "12.0", "INSPECT", "1 1 0", "valid"),
    "PE000003a": ("3", "13", "rsna", "1 1 1", "train"),
    "PE000004a": ("4", "13", "radfusion", "1 0 0", "train"),
    "PE000005a": ("5", "14", "INSPECT", "1 0 1", "test"),
    "PE000006a": ("6", "15", "INSPECT", "0 0 1", "test"),
    "PE000007a": ("7", "16", "INSPECT", "0 1 0", "test"),
    "PE000008a": ("8", "17", "INSPECT", "1 1 0", "test"),
    "PE000009a": ("9", "18", "INSPECT", "0  ", "test"),
}
"""8 has rows that differ, 1 has the same row twice; 5 has no file."""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def touch(*paths: Path) -> None:
    for path in paths:
        write(path, "")


def fake_inspect(root: Path, image: Callable[[Path], object] = touch) -> Path:
    mapping = ["impression_id\timage_id\tperson_id\tprovenance\tprocedure_DATETIME"]
    mapping += [f"{key}\t{name}.nii.gz\t{person}\t{of}\t" for name, (key, person, of, *_) in INSPECT.items()]
    labels = ["impression_id\tpe_positive\tpe_acute\tpe_subsegmentalonly\tpe_positive_nlp\t1_month_mortality"]
    for key, _, _, flags, _ in INSPECT.values():
        row = "\t".join((key, *flags.split(" "), "TRUE", "Censored"))
        labels += [row, row] if key == "1" else [row]
        labels += ["8\t0\t0\t0\tFALSE\tCensored"] if key == "8" else []
    splits = ["impression_id\tperson_id\tsplit"]
    splits += [f"{key}\t{who}\t{part}" for key, who, _, _, part in INSPECT.values()]
    scouts = ["image_id\tnum_slices\tSliceThickness\tManufacturer\tPixelSpacing_0"]
    for name in INSPECT:
        scouts += [f"{name}\t1\t5\tSCOUT\t1", f"{name}\t300\t2.5\tTHICK\t1", f"{name}\t300\t1.25\tGE  MEDICAL\t1"]
    tables = {"study_mapping": mapping, "labels": labels, "splits": splits, "series_metadata": scouts}
    for stem, lines in tables.items():
        write(root / f"{stem}_20250611.tsv", "\n".join(lines) + "\n")
    (root / "CTPA").mkdir()
    for name in INSPECT:
        if name != "PE000005a":
            image(root / "CTPA" / f"{name}.nii.gz")
    return root


def fake_radfusion(root: Path) -> Path:
    rows = [",idx,label,pe_type,split", "0,10,1,central,train", "1,11,0,segmental,val", "2,12,1,subsegmental,test"]
    rows += ["3,13,1,,train", "4,14,1,segmental,train", "5,14,0,segmental,train"]
    write(root / "Labels.csv", "\n".join(rows) + "\n")
    touch(*(root / f"{k % 8}" / f"{k}.npy" for k in (10, 11, 12, 14, 99)), root / "series_list.pkl")
    return root


def fake_cad_pe(root: Path) -> Path:
    touch(*(root / "images" / f"{name}.nrrd" for name in ("001", "002", "003", "e0032", "e0109")))
    masks = ("0001RefStd", "002RefStd", "e0032RefStd", "e0445RefStd")
    touch(*(root / "rs" / f"{name}.nrrd" for name in masks))
    return root


def fake_fumpe(root: Path, write_series: Callable[..., list[str]]) -> Path:
    for number in (1, 2, 3):
        study = "1.2" if number == 3 else f"1.{number}"  # PAT003's files say that they are PAT002's
        write_series(root / "CT_scans" / f"PAT00{number}", study=study, n_slices=2, size=(8, 8))
    touch(root / "CT_scans" / "PAT004" / "readme.txt")
    (root / "GroundTruth").mkdir()
    for number in (1, 2, 3, 5):
        savemat(root / "GroundTruth" / f"PAT00{number}.mat", {"Mask": np.zeros((8, 8, 2), np.uint8)})
    return root


def fake_read(root: Path, write_series: Callable[..., list[str]]) -> Path:
    images, masks = root / "CT scans (DICOM files)", root / "Ground truth (pixel level segmentation - NiFTI files)"
    for vendor, name, study in (("GE", "01GE", "1.1"), ("TOSHIBA", "01TS", "1.2"), ("TOSHIBA", "02TS", "1.3")):
        write_series(images / f"{vendor} (DICOM files)" / name, study=study, n_slices=2, size=(8, 8))
    touch(masks / "GE (NiFTI files)" / "01GE.nii.gz", masks / "TOSHIBA (NiFTI files)" / "01TS.nii.gz")
    return root


def fake_aida(root: Path, write_series: Callable[..., list[str]], *, size: int = 8) -> Path:
    """Two exams of four series each, and an outline in a form of which nothing is known."""

    def reformatted(dataset: Dataset, _: int) -> None:
        dataset.ImageType = ["DERIVED", "SECONDARY", "REFORMATTED"]

    def projected(dataset: Dataset, _: int) -> None:
        dataset.ImageType = ["DERIVED", "SECONDARY", "MIP"]

    for number in (1, 2):
        folder = root / f"exam{number}"
        exam = {"study": f"1.{number}", "size": (size, size), "pixel_spacing_mm": (384 / size, 384 / size)}
        write_series(folder / "thick", series="1", n_slices=36, **exam)
        write_series(folder / "thin", series="2", n_slices=72, step_mm=3.0, **exam)
        write_series(folder / "coronal", series="3", orientation=(1, 0, 0, 0, 0, -1), edit=reformatted, **exam)
        write_series(folder / "mip", series="4", n_slices=36, edit=projected, **exam)
    touch(root / "exam1" / "outlines" / "lesion.nrrd")
    return root


def fake_rspect(root: Path) -> Path:
    touch(root / "train" / "1.1" / "1.1.1" / "a.dcm", root / "sample_submission.csv")
    write(root / "train.csv", "StudyInstanceUID\n")
    return root


def fake_phantom(root: Path) -> Path:
    touch(root / "train" / "a1" / "b1" / "1.dcm", root / "truth" / "a1.npz")
    write(root / "train.csv", "StudyInstanceUID\n")
    return root


def fake_augmented_rspect(root: Path) -> Path:
    head = "StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,Artery,x,y,width,height"
    rows = ["1.1,1.1.1,1.1.1.5,Left,10,20,5,6", "1.1,1.1.1,1.1.1.5,Right,40,20,5,6", "1.2,1.2.1,1.2.1.1,Main,1,2,3,4"]
    write(root / "augmented_rspect.csv", "\n".join([head, *rows]) + "\n")
    return root


def fake_parse(root: Path) -> Path:
    for name in ("PA000005", "PA000016"):
        touch(*(root / "train" / name / kind / f"{name}.nii.gz" for kind in ("image", "label")))
    return root


def fake_hipas(root: Path) -> Path:
    masks = root / "annotation"
    touch(root / "ct_scan" / "001.npz", masks / "artery" / "001.npz", masks / "vein" / "001.npz")
    return root
