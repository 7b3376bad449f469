"""Nothing that identifies a patient leaves a DICOM file: marks in all of it, and none in any byte of any output.

What may leave by design: StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, ConvolutionKernel and Manufacturer. The
paths that a user gives are echoed in errors. Names of files and folders found below them are shown on a terminal only.
"""

import base64
import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.config import disable_value_validation

from tests.cli.conftest import run_ok
from tests.cli.markers import DATE, MARK, UID, mark_file, marked_outputs, marks_in


def _refuse_modality(dataset):
    dataset.Modality = MARK


def _refuse_image_type(dataset):
    dataset.ImageType = ["DERIVED", "SECONDARY", "LOCALIZER", MARK]


def _derive(dataset):
    dataset.ImageType = ["DERIVED", "SECONDARY", f"{MARK} OF", MARK]
    dataset.AcquisitionNumber = None


def _refuse_photometric(dataset):
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = MARK, 3


def _refuse_rescale(dataset):
    dataset.RescaleSlope = None


def _refuse_pixels(dataset):
    dataset.PixelData = dataset.PixelData[:100]


def _refuse_stream(dataset):
    dataset.PixelData = pydicom.encaps.encapsulate([MARK.encode() * 40])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1


REFUSALS = (
    _refuse_modality,
    _refuse_image_type,
    _refuse_photometric,
    _refuse_rescale,
    _refuse_pixels,
    _refuse_stream,
)


@pytest.fixture(scope="session")
def marked(chain, made_once) -> Path:
    """The cohort of the chain with marks in attributes, pixels' surroundings, and names of files and folders."""
    return made_once("marked", lambda folder: _mark(chain, folder / "dicom")) / "dicom"


def _mark(chain, root: Path) -> None:
    for number, study in enumerate(sorted(chain.dicom.iterdir())):
        for place, source in enumerate(sorted(study.rglob("*.dcm"))):
            target = root / f"{MARK}^NAME {DATE}" / f"{number}" / f"{MARK} {place}.dcm"
            mark_file(source, target, patient=str(number), everything=place == 0 and number < 3)
    sources = sorted(next(iter(sorted(chain.dicom.iterdir()))).rglob("*.dcm"))
    for number, refuse in enumerate(REFUSALS):
        for place, source in enumerate(sources):
            target = root / f"{MARK} refused {number}" / f"{MARK}{place}"
            mark_file(source, target, patient=f"refused {number}", everything=False)
            _edit(target, f"1.2.3.{number}", refuse)
    (root / f"{MARK} damaged.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x08\x00\x05\x00" + MARK.encode() * 9)
    _pack(root.parent / "packed" / f"{MARK} export.zip", sources)


def _edit(path: Path, study: str, change: Callable[[pydicom.Dataset], None]) -> None:
    """Make a file one of another study, and change it."""
    with disable_value_validation():
        dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID = dataset.SeriesInstanceUID = study
        change(dataset)
        dataset.save_as(path)


def _pack(path: Path, sources: list[Path]) -> None:
    path.parent.mkdir()
    one = path.parent.parent / "x"
    with zipfile.ZipFile(path, "w") as archive:
        for place, source in enumerate(sources):
            mark_file(source, one, patient="packed", everything=False)
            _edit(one, "1.2.3.99", _derive)
            archive.write(one, f"{MARK}/{MARK} {place}.dcm")
        archive.writestr(f"{MARK} broken.dcm", b"\0" * 128 + b"DICM" + b"\x08\x00\x05\x00junk")


@pytest.fixture(scope="session")
def outputs(chain, marked, made_once) -> tuple[Path, str]:
    """Run the program as a user does; return the folder of all outputs, and all that was printed."""
    made = made_once("outputs", lambda folder: _run_all(chain, marked, folder))
    return made / "out", (made / "printed").read_text()


def _run_all(chain, marked: Path, folder: Path) -> None:
    out = folder / "out"
    shared = ("--config", chain.config)
    intake = (marked, "--labels", chain.labels, "--workers", 2, "--previews", *shared)
    # the splits of the chain's models, whatever PatientID says
    split = ("--set", "split.method=csv", "--set", f"split.csv={chain.store / 'splits.csv'}")
    runs = ("--stage1", chain.stage1, "--stage2", chain.tcn, "--device", "cpu", *shared)
    study = min((marked / f"{MARK}^NAME {DATE}").iterdir())
    printed = [
        _in_a_shell("validate", marked.parent / "packed", *intake, "--out", out / "verdicts"),
        _in_a_shell("preprocess", *intake, *split, "--out", out / "store"),
        _here("extract-features", out / "store", "--stage1", chain.stage1, "--out", out / "features", *shared),
        _here("explain", out / "store", *runs, "--split", "test", "--out", out / "explanations"),
        _here("explain", study, *runs, "--out", out / "explained"),
        _here(
            "evaluate",
            out / "features",
            "--stage2",
            chain.tcn,
            "--explanations",
            out / "explanations",
            "--out",
            out / "evaluation",
            *shared,
        ),
    ]
    (folder / "printed").write_text("\n".join(printed))


def _in_a_shell(*arguments: object, **environment: str) -> str:
    """Run the program in a process of its own: what decoders and workers print is seen too."""
    command = [sys.executable, "-m", "pectl", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def _here(*arguments: object) -> str:
    text = io.StringIO()
    with redirect_stdout(text), redirect_stderr(text):
        run_ok(*arguments)
    return text.getvalue()


def test_the_marks_are_in_the_files(marked):
    files = [path for path in marked.rglob("*.dcm") if path.name == f"{MARK} 0.dcm"]
    data = max((path.read_bytes() for path in files), key=len)
    assert data.count(MARK.encode()) > 1500
    assert data.count(DATE.encode()) > 100
    assert data.count(UID.encode()) > 80


def test_there_is_output_to_search(outputs):
    """As many studies, verdicts, pictures and explanations as there are to be."""
    out, printed = outputs
    verdicts = pd.read_csv(out / "verdicts" / "verdicts.csv", dtype=str).drop_duplicates("study")
    assert Counter(verdicts["level"]) == {"ok": 13, "error": len(REFUSALS) + 1}
    assert len(list((out / "store" / "studies").glob("*.h5"))) == 12
    assert len(list((out / "verdicts" / "previews").glob("*.jpg"))) == 13
    assert len(list((out / "store" / "previews").glob("*.jpg"))) == 12
    splits = pd.read_csv(out / "store" / "splits.csv", dtype=str)
    test = set(splits.loc[splits["split"] == "test", "StudyInstanceUID"])
    assert len(test) == 4
    assert {path.parent.name for path in (out / "explanations").rglob("explain.json")} == test
    assert len(list((out / "explained").rglob("explain.json"))) == 1
    assert (out / "evaluation" / "report.html").exists()
    assert "Research use only" in printed


def test_no_mark_is_in_any_output(outputs):
    out, _ = outputs
    assert marked_outputs(out) == {}


def test_no_mark_is_printed(outputs):
    _, printed = outputs
    assert [line for line in printed.splitlines() if marks_in(line.encode())] == []


@pytest.fixture(scope="session")
def predicted(chain, marked, tmp_path_factory) -> tuple[Path, str]:
    """Predict the marked studies without DICOM output, then two of them with it."""
    out = tmp_path_factory.mktemp("predicted")
    bundle = ("--stage1", chain.stage1, "--stage2", chain.tcn, "--out", out / "tiny.pectl")
    shared = ("--model", out / "tiny.pectl", "--out", out / "list", "--device", "cpu", "--explain")
    kinds = ("--dicom", "sr,key-images,kos,heat,seg")
    [two, packed] = [tmp_path_factory.mktemp("two"), marked.parent / "packed"]
    for number, path in enumerate(sorted(next(marked.glob(f"{MARK}^NAME*")).rglob("*.dcm"))[:60]):
        _as_a_pacs_has_it(path, two / f"{MARK} {number}.dcm")
    printed = [
        _here("bundle", *bundle),
        _in_a_shell("predict", marked, packed, *shared),
        _in_a_shell("predict", marked, packed, two, *shared, *kinds),
    ]
    return out, "".join(printed)


def _as_a_pacs_has_it(source: Path, target: Path) -> None:
    """Copy a file with UIDs of numbers and dots and CT's own SOP class, as DICOM output wants them."""
    with disable_value_validation():
        dataset = pydicom.dcmread(source)
        dataset.SOPClassUID = pydicom.uid.CTImageStorage
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(dataset, name, f"2.25.{int(dataset[name].value.encode().hex(), 16)}"[:64])
        dataset.save_as(target, enforce_file_format=False)


def test_predict_shows_marks_in_its_dicom_objects_alone(predicted):
    out, printed = predicted
    found = marked_outputs(out)
    assert [name for name in found if not name.startswith("list/dicom/")] == []
    assert {Path(name).name for name in found} >= {"sr.dcm", "key-images-1.dcm", "kos.dcm"}
    assert len(list((out / "list" / "studies").glob("*.json"))) > len(REFUSALS) + 12
    assert [line for line in printed.splitlines() if marks_in(line.encode())] == []
    assert "no DICOM objects of " in printed


def test_predict_for_shows_marks_in_its_dicom_objects_alone(predicted, marked, tmp_path):
    """mercure gives names in `task.json` and in tags too."""
    [sources] = marked.glob(f"{MARK}^NAME*")
    for number, path in enumerate(sorted(min(sources.iterdir()).rglob("*.dcm"))):
        target = tmp_path / "in" / f"series#{number}.dcm"
        target.parent.mkdir(exist_ok=True)
        _as_a_pacs_has_it(path, target)
        target.with_suffix(".tags").write_text(json.dumps({"PatientName": MARK}))
    process = {"module_name": "pectl", "settings": {}, "retain_input_images": False, "output": None}
    info = {"action": "both", "mrn": MARK, "acc": MARK, "patient_name": MARK, "applied_rule": "chest"}
    (tmp_path / "in" / "task.json").write_text(json.dumps({"id": "t1", "info": info, "process": process}))
    (tmp_path / "out").mkdir()
    folders = {"MERCURE_IN_DIR": str(tmp_path / "in"), "MERCURE_OUT_DIR": str(tmp_path / "out")}
    kinds = ("--dicom", "sr,key-images,kos")
    printed = _in_a_shell("predict-for", "mercure", "--model", predicted[0] / "tiny.pectl", *kinds, **folders)
    objects = sorted(path.name for path in (tmp_path / "out").glob("*.dcm"))
    assert len(objects) >= 3
    assert sorted(marked_outputs(tmp_path / "out")) == objects
    assert (tmp_path / "out" / "result.json").exists()
    assert [line for line in printed.splitlines() if marks_in(line.encode())] == []


def test_the_search_finds_what_is_packed(tmp_path):
    """A search that can't find would pass everything."""
    text = f"{MARK} {DATE}"
    (tmp_path / "a.json").write_text(text.lower())
    (tmp_path / "b.gz").write_bytes(gzip.compress(text.encode()))
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", text)
    picture = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
    chunk = b"tEXtAuthor\0" + text.encode()
    picture = picture[:33] + len(chunk[4:]).to_bytes(4, "big") + chunk + b"\0" * 4 + picture[33:]
    (tmp_path / "d.png").write_bytes(picture)
    (tmp_path / "e.html").write_text(f'<img src="data:image/png;base64,{base64.b64encode(picture).decode()}">')
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("numbers", data=np.frombuffer(text.encode() * 50, np.uint8), compression="gzip")
    with h5py.File(tmp_path / "g.h5", "w") as file:
        file.create_dataset("texts", data=[text], dtype=h5py.string_dtype())
    with h5py.File(tmp_path / "h.h5", "w") as file:
        file.create_group("inner").attrs["note"] = text
    (tmp_path / "i.bin").write_bytes(b"\xff" + text.encode("utf-16-le"))
    (tmp_path / f"{MARK}.txt").write_text("")
    (tmp_path / "clean.txt").write_text("nothing here")
    assert sorted(marked_outputs(tmp_path)) == [
        f"{MARK}.txt",
        "a.json",
        "b.gz",
        "c.zip",
        "d.png",
        "e.html",
        "f.h5",
        "g.h5",
        "h.h5",
        "i.bin",
    ]
