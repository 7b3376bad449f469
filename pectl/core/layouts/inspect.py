"""INSPECT v2 (Stanford, June 2025): NIfTI volumes, and tables parted by tabs that are joined by impression_id."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pectl.core.labels.names import ACUTE_AND_CHRONIC, CHRONIC, PROVENANCE, RELEASED_SPLIT, SUBGROUP
from pectl.core.layouts.answers import Exam, exam_table, unknown, with_pe, without_pe
from pectl.core.layouts.layout import Layout, Met, SetContents, met, table_of
from pectl.core.layouts.listing import find_volumes, listed
from pectl.core.layouts.words import FLAGS, plain_numbers
from pectl.core.storage.csv_table import read_csv
from pectl.errors import InputMissingError, LabelsError

_FLAGS = ("pe_positive", "pe_acute", "pe_subsegmentalonly")
_SPLITS = {"train": "train", "valid": "val", "test": "test"}
_OTHER_SETS = ("rsna", "radfusion")
_MANUFACTURER = "Manufacturer"


def _recognise(folder: Path) -> str:
    tables = [name for name in ("labels", "study_mapping") if _newest(folder, name)]
    return f"{folder.name}/CTPA beside labels_*.tsv and study_mapping_*.tsv" if _is_set(folder, tables) else ""


def _is_set(folder: Path, tables: list[str]) -> bool:
    return len(tables) == 2 and (folder / "CTPA").is_dir()


def _newest(folder: Path, stem: str) -> Path | None:
    """Return a table whatever its date stamp is, the last of several."""
    return max(listed(folder, f"{stem}_[0-9]*.tsv"), default=None)


def _read_table(folder: Path, stem: str, columns: tuple[str, ...]) -> pd.DataFrame:
    path = _newest(folder, stem)
    if path is None:
        raise InputMissingError(
            where=folder, expected=f"{stem}_DATE.tsv", found="none", fix="copy all tables of the release beside CTPA/"
        )
    table = read_csv(path, what="a table of INSPECT", error=LabelsError, delimiter="\t", dtype=str).fillna("")
    if missing := [name for name in columns if name not in table]:
        raise LabelsError(
            where=path, expected="a table of INSPECT", found=f"no {', '.join(missing)}", fix="check the release"
        )
    return table


def _image_id(values: "pd.Series[str]") -> "pd.Series[str]":
    return values.str.strip().str.replace(r"\.nii(\.gz)?$", "", regex=True)


class _Study(NamedTuple):
    """A row of `study_mapping`."""

    key: str
    person: str
    provenance: str


def _studies(folder: Path) -> tuple[dict[str, _Study], list[Met]]:
    """Return the studies by image_id; of one that several rows name, what they agree on."""
    table = _read_table(folder, "study_mapping", ("impression_id", "image_id", "person_id", "provenance"))
    rows = zip(
        _image_id(table["image_id"]),
        plain_numbers(table["impression_id"]),
        plain_numbers(table["person_id"]),
        table["provenance"].str.strip(),
        strict=True,
    )
    named: dict[str, set[_Study]] = {}
    for image, *said in rows:
        named.setdefault(str(image), set()).add(_Study(*map(str, said)))
    differing = [image for image, found in named.items() if len(found) > 1]
    return {image: _agreed(found) for image, found in named.items()}, met(
        "differing_rows", "image_ids with several rows that differ; in what they do, nothing is known", differing
    )


def _agreed(found: set[_Study]) -> _Study:
    """Return what rows agree on; that one of them names another set is kept, for overlap."""
    same = _Study(*(values.pop() if len(values) == 1 else "" for values in map(set, zip(*found, strict=True))))
    others = sorted(study.provenance for study in found if study.provenance.lower() in _OTHER_SETS)
    return same._replace(provenance=others[0]) if others else same


def _read(folder: Path) -> SetContents:
    studies, found = _studies(folder)
    by_key, odd = _flags(folder)
    splits, unlike = _splits(folder)
    flags = {image: by_key.get(study.key) for image, study in studies.items()}
    images, second = find_volumes(folder, "CTPA/*.nii*", what="image")
    contradictory = [image for image, said in flags.items() if _contradicts(said)]
    found += [
        *odd,
        *unlike,
        *second,
        *met("without_labels", "studies that the labels table doesn't name", _without(studies, by_key)),
        *met("without_split", "studies without train, valid or test", _without(studies, splits)),
        *met("missing_image", "studies of the tables without a file in CTPA/", set(studies) - set(images)),
        *met("image_without_row", "files in CTPA/ that no table names", set(images) - set(studies)),
        *met("contradictory_flags", "studies whose flags contradict each other; labels unknown", contradictory),
    ]
    for name in _OTHER_SETS:
        from_there = [image for image, study in studies.items() if study.provenance.lower() == name]
        found += met(f"from_{name}", f"studies that come from {name}, as the set declares", from_there)
    return SetContents(
        images=tuple(images.values()),
        exam=exam_table({image: _exam(said) for image, said in flags.items()}),
        columns=_columns(studies, flags, splits, _scanners(folder)),
        patients={image: study.person for image, study in studies.items()},
        met=tuple(found),
    )


def _without(studies: Mapping[str, _Study], known: Iterable[str]) -> list[str]:
    keys = set(known)
    return [image for image, study in studies.items() if study.key not in keys]


_Flags = tuple[int | None, ...]


def _flags(folder: Path) -> tuple[dict[str, _Flags | None], list[Met]]:
    """Return the three flags by impression_id; None where two rows of it differ."""
    table = _read_table(folder, "labels", ("impression_id", *_FLAGS))
    table = table.assign(**{name: plain_numbers(table[name]) for name in ("impression_id", *_FLAGS)})
    flags: dict[str, _Flags | None] = {}
    twice, differing, odd = set(), set(), set()
    for key, *texts in table[["impression_id", *_FLAGS]].itertuples(index=False):
        read: _Flags = tuple(FLAGS.get(text) for text in texts)
        if any(text not in FLAGS for text in texts):
            odd.add(key)
        if key in flags:
            twice.add(key)
            if flags[key] != read:
                differing.add(key)
        flags[key] = read
    for key in differing:
        flags[key] = None
    return flags, [
        *met("repeated_labels", "impression_ids more than once in the labels table", twice),
        *met("differing_labels", "of these with other labels each time; labels unknown", differing),
        *met("odd_flag", "impression_ids with a flag that is neither 0 nor 1; it counts as empty", odd),
    ]


def _contradicts(flags: _Flags | None) -> bool:
    return flags is not None and flags[0] == 0 and 1 in flags[1:]


def _exam(flags: _Flags | None) -> Exam:
    """Return what follows from (positive, acute, subsegmental alone)."""
    if flags is None or flags[0] is None or _contradicts(flags):
        return unknown()
    positive, acute, subsegmental = flags
    if not positive:
        return without_pe()
    if acute:
        return with_pe(**{CHRONIC: 0.0})
    # neither acute nor chronic is said of "subsegmental alone"
    return with_pe(**{CHRONIC: 1.0, ACUTE_AND_CHRONIC: 0.0}) if acute == 0 and subsegmental == 0 else with_pe()


def _subgroup(flags: _Flags | None) -> str:
    if flags is None or flags[0] != 1 or flags[2] is None:
        return ""
    return "subsegmental PE alone" if flags[2] else "larger PE"


def _splits(folder: Path) -> tuple[dict[str, str], list[Met]]:
    """Return the split by impression_id; none where two rows of it differ."""
    table = _read_table(folder, "splits", ("impression_id", "split"))
    named: dict[str, set[str]] = {}
    for key, word in zip(plain_numbers(table["impression_id"]), table["split"].str.strip(), strict=True):
        named.setdefault(str(key), set()).add(str(word))
    differing = [key for key, words in named.items() if len(words) > 1]
    splits = {key: _SPLITS[min(words)] for key, words in named.items() if len(words) == 1 and words <= set(_SPLITS)}
    return splits, met("differing_splits", "impression_ids in several splits; none is taken", differing)


def _columns(
    studies: Mapping[str, _Study],
    flags: Mapping[str, _Flags | None],
    splits: Mapping[str, str],
    scanner: Mapping[str, str],
) -> pd.DataFrame:
    rows = {
        image: {
            PROVENANCE: study.provenance,
            RELEASED_SPLIT: splits.get(study.key, ""),
            SUBGROUP: _subgroup(flags[image]),
            "manufacturer": scanner.get(image, ""),
        }
        for image, study in studies.items()
    }
    return table_of(rows, (PROVENANCE, RELEASED_SPLIT, SUBGROUP, "manufacturer"))


def _scanners(folder: Path) -> dict[str, str]:
    """Return the manufacturer by image_id, of the series with most slices, the thinner at a tie: there are scouts."""
    if _newest(folder, "series_metadata") is None:
        return {}
    table = _read_table(folder, "series_metadata", ("image_id", "num_slices", "SliceThickness", _MANUFACTURER))
    table = table.assign(
        image_id=_image_id(table["image_id"]),
        slices=pd.to_numeric(table["num_slices"], errors="coerce"),
        thickness=pd.to_numeric(table["SliceThickness"], errors="coerce"),
    ).sort_values(["slices", "thickness"], ascending=[False, True], kind="stable")
    first = table.drop_duplicates("image_id")
    names = zip(first["image_id"], first[_MANUFACTURER], strict=True)
    return {str(image): " ".join(str(name).split()) for image, name in names}


LAYOUT = Layout(
    name="inspect",
    title="INSPECT v2",
    source="Stanford AIMI on Redivis; `full/` of the release of June 2025",
    licence="data use agreement",
    gives="PE, acute, subsegmental alone, by study, from reports; its own split; person",
    traps=(
        "twelve ids stand twice in the labels table; rows of the same labels count once",
        "flags that contradict each other (not positive, but acute or subsegmental) make labels unknown",
        "some files are missing, and some downloads are cut off: each file is read to its end",
        "a study can come from RSPECT or RadFusion (`provenance`), all in the training split",
        "not every study is a CT pulmonary angiogram: intake judges the contrast",
    ),
    recognise=_recognise,
    read=_read,
)
