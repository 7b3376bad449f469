"""Mutated series: whatever is done to the files ends in a store or in a refusal with a known code.

Hypothesis draws what is done, and shrinks what breaks. No other exception, no file outside the output, no change of the
input, no memory beyond what a study of this size needs, no case that takes ten seconds.
"""

import io
import resource
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from pectl.config import Config, PreprocessConfig
from pectl.core.intake.findings import CODES
from pectl.core.intake.tasks import Sources
from pectl.core.stores.study_store import StudyStore
from pectl.errors import InputMissingError
from pectl.steps.preprocess import preprocess
from pectl.steps.validate import validate

CONFIG = Config(preprocess=PreprocessConfig(in_plane_px=32, slice_spacing_mm=8.0, min_slices=8, max_gap_mm=60.0))
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGLSLossless,
    JPEG2000Lossless,
    RLELossless,
)
MEMORY_BYTES = 700 << 20
LONGEST_SECONDS = 10.0
ABSURD = (
    "",
    "0",
    "-1",
    "1e308",
    "NaN",
    "inf",
    "1\\2\\3\\4\\5\\6\\7",
    "../../../../tmp/x",
    "\x00\x00",
    "A" * 300,
    "é\r\n\t",
    "1.2.3",
    "65535",
)
KEYWORDS = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelPaddingValue",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "Modality",
    "ImageType",
    "PatientID",
    "AcquisitionNumber",
    "ConvolutionKernel",
    "TransferSyntaxUID",
    "PixelData",
)
Files = dict[str, bytes]
places = st.floats(0.0, 1.0, exclude_max=True)


@pytest.fixture(scope="session")
def series(tmp_path_factory: pytest.TempPathFactory, write_series: Callable[..., list[str]]) -> dict[str, Files]:
    """A chest of 16 slices in each transfer syntax, in memory."""
    folder = tmp_path_factory.mktemp("series")
    write_series(folder, n_slices=16, step_mm=15.0, size=(48, 48), pixel_spacing_mm=(8.0, 8.0))
    made = {}
    for syntax in SYNTAXES:
        made[syntax] = {path.name: encoded(path, syntax) for path in sorted(folder.iterdir())}
    return made


def encoded(path: Path, syntax: str) -> bytes:
    dataset = pydicom.dcmread(path)
    dataset.walk(lambda owner, element: None)  # decodes all values, to be encoded anew
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        dataset.compress(syntax, generate_instance_uid=False)
    else:
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
    return saved(dataset)


def saved(dataset: pydicom.Dataset) -> bytes:
    file = io.BytesIO()
    syntax = dataset.file_meta.TransferSyntaxUID
    pydicom.dcmwrite(
        file,
        dataset,
        enforce_file_format=False,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        force_encoding=True,
    )
    return file.getvalue()


def flip(data: bytes, at: float, mask: int) -> bytes:
    where = int(at * len(data))
    return data[:where] + bytes([data[where] ^ mask]) + data[where + 1 :] if data else data


def overwrite(data: bytes, at: float, value: bytes) -> bytes:
    """Write over what is there; in a header often a tag, a VR or a length."""
    where = int(at * len(data))
    return data[:where] + value + data[where + len(value) :]


def insert(data: bytes, at: float, value: bytes) -> bytes:
    where = int(at * len(data))
    return data[:where] + value + data[where:]


def delete(data: bytes, at: float, count: int) -> bytes:
    where = int(at * len(data))
    return data[:where] + data[where + count :]


def truncate(data: bytes, at: float) -> bytes:
    return data[: int(at * len(data))]


def swap(data: bytes, first: float, second: float) -> bytes:
    """Exchange two pieces of 16 bytes: tags in the wrong order, values under other tags."""
    low, high = sorted((int(first * len(data)), int(second * len(data))))
    if high - low < 16:
        return data
    return data[:low] + data[high : high + 16] + data[low + 16 : high] + data[low : low + 16] + data[high + 16 :]


def set_value(data: bytes, keyword: str, value: str) -> bytes:
    """Give an attribute an absurd value, in the file's own encoding."""
    with suppress(Exception), warnings.catch_warnings():  # earlier mutations may have left nothing that pydicom reads
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        place = dataset.file_meta if keyword == "TransferSyntaxUID" else dataset
        element = place[keyword]
        raw = value.encode("utf-8")
        raw += b" " * (len(raw) % 2)
        syntax = dataset.file_meta.TransferSyntaxUID
        place[element.tag] = RawDataElement(
            Tag(element.tag),
            element.VR,
            len(raw),
            raw,
            0,
            syntax == ImplicitVRLittleEndian,
            syntax != ExplicitVRBigEndian,
        )
        return saved(dataset)
    return data


def in_header(share: float) -> float:
    """Most of a header's damage is in its first kilobyte, of 5 in a file."""
    return share / 5.0


header_or_file = st.one_of(places.map(in_header), places)
few_bytes = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from([b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0" * 4, b"\xfe\xff\xdd\xe0", b"\xe0\x7f\x10\x00", b"SQ\0\0"]),
)
edits = st.one_of(
    st.tuples(st.just(flip), header_or_file, st.integers(1, 255)),
    st.tuples(st.just(overwrite), header_or_file, few_bytes),
    st.tuples(st.just(insert), header_or_file, few_bytes),
    st.tuples(st.just(delete), header_or_file, st.integers(1, 64)),
    st.tuples(st.just(truncate), places),
    st.tuples(st.just(swap), header_or_file, header_or_file),
    st.tuples(st.just(set_value), st.sampled_from(KEYWORDS), st.sampled_from(ABSURD)),
)
others = st.sampled_from([b"", b"PK\x03\x04junk", b"\x1f\x8bjunk", b"hello", b"\0" * 128 + b"DICM", b"\0" * 4096])
names = st.sampled_from(["x.dcm", "a b.DCM", "é.dcm", "x.zip", "x.tar", "DICOMDIR", "-rf", "deep/er/x"])


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, list[tuple[object, ...]]]:
    """Draw a transfer syntax and what is done to which file, or to all."""
    syntax = draw(st.sampled_from(SYNTAXES))
    which = st.one_of(st.just(-1), st.integers(0, 15))
    change = st.one_of(
        st.tuples(st.just("edit"), which, edits),
        st.tuples(st.just("edit"), which, edits),
        st.tuples(st.just("remove"), st.integers(0, 15)),
        st.tuples(st.just("copy"), st.integers(0, 15), names),
        st.tuples(st.just("replace"), st.integers(0, 15), others),
        st.tuples(st.just("rename"), st.integers(0, 15), names),
    )
    return syntax, draw(st.lists(change, min_size=1, max_size=5))


def mutated(files: Files, changes: list[tuple[object, ...]]) -> Files:
    files = dict(files)
    for kind, which, *arguments in changes:
        chosen = list(files) if which == -1 else sorted(files)[which % len(files) :][:1] if files else []
        for name in chosen:
            apply(files, name, kind, *arguments)
    return files


def apply(files: Files, name: str, kind: str, *arguments: object) -> None:
    if kind == "edit":
        edit, *values = arguments[0]
        files[name] = edit(files[name], *values)
    elif kind == "remove":
        del files[name]
    elif kind == "copy":
        files[arguments[0]] = files[name]
    elif kind == "replace":
        files[name] = arguments[0]
    else:
        files[arguments[0]] = files.pop(name)


@contextmanager
def bounded() -> Iterator[None]:
    """Let this process have so much more memory than now, and no more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.relative_to(folder).parts[0] not in ("store", "verdicts")
    }


def check(root: Path, files: Files) -> None:
    """Run the intake on the files and check all that must hold whatever they are."""
    shutil.rmtree(root, ignore_errors=True)
    for name, data in files.items():
        path = root / "dicom" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    before, begin = tree(root), time.monotonic()
    sources = Sources((root / "dicom",))
    try:
        with bounded():
            judged = validate(sources, root / "verdicts", CONFIG).verdicts
            made = preprocess(sources, root / "store", CONFIG, previews=True)
    except InputMissingError:  # nothing that looks like DICOM is left
        return
    finally:
        assert tree(root) == before
        assert time.monotonic() - begin < LONGEST_SECONDS
    assert made.verdicts == tuple(replace(verdict, source="") for verdict in judged)
    assert all(finding.code in CODES for verdict in judged for finding in verdict.findings)
    stored = StudyStore.open(root / "store").uids()
    assert sorted(stored) == sorted(verdict.study for verdict in judged if not verdict.refused)
    for uid in stored:
        hu = StudyStore.open(root / "store").read_study(uid).hu
        assert hu.dtype == np.int16
        assert hu.shape[1:] == (32, 32)
        assert hu.min() >= -1024


COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}


def test_the_series_itself_is_usable_in_each_syntax(series, tmp_path):
    for syntax, files in series.items():
        check(tmp_path, files)
        assert len(StudyStore.open(tmp_path / "store").uids()) == 1, syntax


@settings(max_examples=25, derandomize=True, **COMMON)
@given(what=mutations())
def test_mutated_series_end_in_a_store_or_a_known_code(series, tmp_path, what):
    check(tmp_path, mutated(series[what[0]], what[1]))


@pytest.mark.slow
@settings(max_examples=300, **COMMON)
@given(what=mutations())
def test_a_minute_of_mutated_series(series, tmp_path, what):
    check(tmp_path, mutated(series[what[0]], what[1]))
