"""RadFusion (Stanford): NumPy arrays without spacing, and `Labels.csv`."""

from pathlib import Path

import pandas as pd

from pectl.core.labels.names import RELEASED_SPLIT, SUBGROUP
from pectl.core.layouts.answers import Exam, exam_table, unknown, with_central_pe, with_pe, without_pe
from pectl.core.layouts.layout import Layout, SetContents, met, table_of
from pectl.core.layouts.listing import find_volumes, listed
from pectl.core.layouts.words import FLAGS, plain_numbers
from pectl.core.storage.csv_table import read_csv
from pectl.errors import LabelsError

_LABELS, _COLUMNS = "Labels.csv", ("idx", "label", "pe_type", "split")
_SPLITS = {"train": "train", "val": "val", "valid": "val", "test": "test"}
_TYPES = ("central", "segmental", "subsegmental")


def _recognise(folder: Path) -> str:
    arrays = listed(folder, "[0-7]/*.npy")
    return f"{_LABELS} beside 0/ to 7/ with .npy files" if arrays and (folder / _LABELS).is_file() else ""


def _table(path: Path) -> pd.DataFrame:
    """Return the rows, ids and labels as they are elsewhere, kinds and splits in lower case."""
    table = read_csv(path, what="the labels of RadFusion", error=LabelsError, dtype=str).fillna("")
    if missing := [name for name in _COLUMNS if name not in table]:
        raise LabelsError(
            where=path, expected=f"the columns {', '.join(_COLUMNS)}", found=f"no {', '.join(missing)}", fix="check it"
        )
    return table.assign(
        idx=plain_numbers(table["idx"]),
        label=plain_numbers(table["label"]),
        pe_type=table["pe_type"].str.strip().str.lower(),
        split=table["split"].str.strip().str.lower(),
    )


def _read(folder: Path) -> SetContents:
    table = _table(folder / _LABELS)
    images, second = find_volumes(folder, "[0-7]/*.npy", what="image")
    rows = table.drop_duplicates("idx").set_index("idx")
    differing = {idx for idx, found in table.groupby("idx") if len(found[list(_COLUMNS)].drop_duplicates()) > 1}
    exams = {
        idx: unknown() if idx in differing else _exam(row["label"], row["pe_type"]) for idx, row in rows.iterrows()
    }
    words = table.groupby("idx")["split"].agg(set)
    splits = {idx: _SPLITS.get(min(words[idx]), "") if len(words[idx]) == 1 else "" for idx in rows.index}
    types = {idx: "" if idx in differing or row["label"] != "1" else row["pe_type"] for idx, row in rows.iterrows()}
    return SetContents(
        images=tuple(images.values()),
        exam=exam_table({str(idx): exam for idx, exam in exams.items()}),
        columns=table_of(
            {
                str(idx): {RELEASED_SPLIT: splits[idx], SUBGROUP: f"{types[idx]} PE" if types[idx] else ""}
                for idx in rows.index
            },
            (RELEASED_SPLIT, SUBGROUP),
        ),
        met=(
            *second,
            *met("missing_image", "studies of Labels.csv without an array", set(rows.index) - set(images)),
            *met("image_without_row", "arrays that Labels.csv doesn't name", set(images) - set(rows.index)),
            *met("differing_labels", "studies with several rows that differ; labels unknown", differing),
            *met("odd_label", "studies with a label that is neither 0 nor 1; labels unknown", _odd(rows)),
            *met("without_split", "studies without train, val or test", [idx for idx in splits if not splits[idx]]),
            *met("type_of_negative", "studies without PE that have a pe_type, which says nothing", _typed(rows)),
            *met("pickle", "pickles, which aren't read: they can run any program", _pickles(folder)),
        ),
    )


def _odd(rows: pd.DataFrame) -> list[str]:
    return rows.index[~rows["label"].isin([word for word in FLAGS if word])].tolist()


def _typed(rows: pd.DataFrame) -> list[str]:
    return rows.index[(rows["label"] == "0") & (rows["pe_type"] != "")].tolist()


def _pickles(folder: Path) -> list[str]:
    return [path.name for path in listed(folder, "*.pkl")]


def _exam(label: str, kind: str) -> Exam:
    if label == "0":
        return without_pe()
    if label != "1":
        return unknown()
    return with_central_pe(float(kind == "central")) if kind in _TYPES else with_pe()


LAYOUT = Layout(
    name="radfusion",
    title="RadFusion",
    source="Stanford AIMI, multimodal pulmonary embolism dataset",
    licence="data use agreement",
    gives="PE by study, central or not, its own split",
    traps=(
        "arrays have no spacing: state it with `--spacing`; slices are nominally 1.25 mm apart",
        "which end of an array is the head isn't known: look at `--previews`",
        "studies without PE have a `pe_type` too",
        "1,837 studies are of 1,794 patients, and no table that is read says which: a split of ours can part them",
        "PENet's `series_list.pkl` isn't read",
        "RSPECT has studies of Stanford too: look for overlap with `pectl validate-external`",
    ),
    recognise=_recognise,
    read=_read,
)
