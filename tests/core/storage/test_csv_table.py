"""Tables that somebody else wrote: every fault of the file is one line, whoever reads it."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pectl.config import SplitConfig
from pectl.core.labels.names import EXAM_LABELS, STUDY_LABELS
from pectl.core.labels.predictions_csv import read_predictions
from pectl.core.labels.splits import make_splits
from pectl.core.labels.table import read_labels
from pectl.core.labels.truth import read_truth
from pectl.core.storage.csv_table import read_csv
from pectl.core.stores.tables import read_run_splits, read_splits, read_studies
from pectl.errors import InputMissingError, LabelsError, PectlError, StoreError

READERS: dict[str, tuple[str, Callable[[Path], object], list[str]]] = {
    "labels": (
        "train.csv",
        read_labels,
        ["StudyInstanceUID", "SOPInstanceUID", "pe_present_on_image", *STUDY_LABELS],
    ),
    "truth": ("labels.csv", lambda path: read_truth([path]), ["StudyInstanceUID", *EXAM_LABELS]),
    "predictions": ("exams.csv", lambda path: read_predictions([path]), ["StudyInstanceUID", *EXAM_LABELS]),
    "split": (
        "split.csv",
        lambda path: make_splits(pd.DataFrame(), SplitConfig(method="csv", csv=path), seed=0),
        ["StudyInstanceUID", "split"],
    ),
    "studies of a store": ("studies.csv", lambda path: read_studies(path.parent), ["StudyInstanceUID", *EXAM_LABELS]),
    "splits of a store": ("splits.csv", lambda path: read_splits(path.parent), ["StudyInstanceUID", "split"]),
    "splits of a run": ("splits.csv", lambda path: read_run_splits(path.parent), ["StudyInstanceUID", "split"]),
}


def rows(columns: list[str], delimiter: str = ",") -> str:
    lines = [columns, *([f"1.2.{k}", *("0" * (len(columns) - 1))] for k in range(3))]
    return "\n".join(delimiter.join(line) for line in lines) + "\n"


def insert(columns: list[str], line: str) -> str:
    lines = rows(columns).splitlines()
    return "\n".join([*lines[:2], line, *lines[2:]]) + "\n"


FAULTS: dict[str, tuple[Callable[[list[str]], bytes], str]] = {
    "empty": (lambda columns: b"", "found an empty file; "),
    "blank": (lambda columns: b" \r\n\r\n", "found an empty file; "),
    "semicolons": (lambda columns: rows(columns, ";").encode(), "found fields parted by semicolons; "),
    "tabs": (lambda columns: rows(columns, "\t").encode(), "found fields parted by tabs; "),
    "latin1 header": (lambda columns: rows([*columns, "Gr\xf6\xdfe"]).encode("latin-1"), r"encoding \(line 1\); "),
    "latin1 below": (
        lambda columns: insert(columns, ",".join(["M\xfcller"] * len(columns))).encode("latin-1"),
        r"found another encoding \(line 3\); ",
    ),
    "utf-16": (lambda columns: rows(columns).encode("utf-16"), r"found another encoding \(line 1\); "),
    "short row": (
        lambda columns: insert(columns, "1.2.9").encode(),
        r"found 1 fields in line 3, \d+ in the header; ",
    ),
    "long row": (
        lambda columns: insert(columns, ",".join("1" * (len(columns) + 2))).encode(),
        r"fields in line 3, \d+ in the header; ",
    ),
    "long quoted row": (
        lambda columns: insert(columns, '"1,5",' + ",".join("1" * len(columns))).encode(),
        r"fields in line 3, \d+ in the header; ",
    ),
    "repeated column": (
        lambda columns: rows([*columns, columns[-1]]).encode(),
        "found the column .* more than once; ",
    ),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_one_line_of_every_reader(tmp_path: Path, reader: str, fault: str) -> None:
    name, read, columns = READERS[reader]
    write, message = FAULTS[fault]
    (tmp_path / name).write_bytes(write(columns))
    with pytest.raises(PectlError, match=rf"{name}: expected .*\(CSV\), .*{message}") as raised:
        read(tmp_path / name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("reader", READERS)
def test_a_folder_and_no_file(tmp_path: Path, reader: str) -> None:
    name, read, _ = READERS[reader]
    kind = StoreError if reader.startswith(("studies", "splits")) else InputMissingError
    with pytest.raises(kind, match=rf"{name}: expected .*, found no such file; "):
        read(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(kind, match=rf"{name}: expected .*, found a folder; "):
        read(tmp_path / name)


def test_a_mark_of_byte_order_windows_line_ends_blank_lines_and_quotes_are_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfid,text\r\n1,"a, ""b"""\r\n\r\n2,"c\nd"\r\n')
    table = read_csv(path, what="a table", error=LabelsError)
    assert table.to_dict("list") == {"id": [1, 2], "text": ['a, "b"', "c\nd"]}


def test_a_last_line_without_an_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,2\n3,4")
    assert len(read_csv(path, what="a table", error=LabelsError)) == 2
    path.write_bytes(b"a,b\n1,2\n3")
    with pytest.raises(LabelsError, match="found 1 fields in line 3, 2 in the header; give every row all fields"):
        read_csv(path, what="a table", error=LabelsError)


def test_a_quote_without_end_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,b\n1,"2\n3,4\n')
    with pytest.raises(LabelsError, match=r"a\.csv: expected a table \(CSV\), found a damaged one .*; write it anew"):
        read_csv(path, what="a table", error=LabelsError)


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(LabelsError, match=r"found a file that can't be read \(Permission denied\); check who may read"):
        read_csv(tmp_path / "a.csv", what="a table", error=LabelsError)
