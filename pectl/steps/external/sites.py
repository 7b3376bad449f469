"""The sites of an external validation: study stores with labels, each under a name, and no study in two of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pectl.config import PreprocessConfig
from pectl.core.labels.names import EXAM_LABELS, STUDY
from pectl.core.labels.predictions import pe_truth
from pectl.core.places.truth import embolus_volumes_ml
from pectl.core.storage.files import read_json
from pectl.core.stores.study_store import StudyStore
from pectl.core.stores.tables import MADE_BY
from pectl.errors import ConfigError, InputMissingError, LabelsError, PectlError, StoreError
from pectl.inference.reading import check_stores

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")
UNREADABLE = (
    "unreadable_file",
    "unreadable_folder",
    "damaged_header",
    "damaged_archive",
    "damaged_volume",
    "truncated_pixel_data",
    "undecodable_pixel_data",
    "damaged_store_file",
    "reader_killed",
    "studies_without_images",
)
"""Codes of studies whose files can't be read, or aren't there; other errors of the intake exclude what was read."""


@dataclass(frozen=True)
class Site:
    """A site.

    Attributes:
        name: of the site.
        store: its studies.
        met: codes of the outcome by StudyInstanceUID, of every study that `preprocess` met or its labels name.
        sizes: folder of the masks of its emboli, if there are any.
    """

    name: str
    store: StudyStore
    met: "pd.Series[str]"
    sizes: Path | None = None

    def table(self) -> pd.DataFrame:
        """Return a row for each study that the site met, with labels and properties where its store has them.

        Raises:
            InputMissingError: a study has no masks.
        """
        studies = self.store.studies.drop(columns="series_uid")
        if self.sizes is not None:
            studies = studies.assign(embolus_volume_ml=embolus_volumes_ml(self.sizes, studies.index))
        texts = studies.select_dtypes(["object", "string"]).columns
        table = studies.reindex(self.met.index)
        table[texts] = table[texts].fillna("")
        return table.assign(code=self.met)


def named_paths(texts: Sequence[str], *, option: str) -> dict[str, Path]:
    """Return paths by name, of `NAME=PATH`, or `PATH`, whose name is that of its folder.

    Raises:
        ConfigError: a name that can't be one of a folder, or one name twice.
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        path = Path(rest if equals else text)
        name = name if equals else path.resolve().name
        if not _NAME.fullmatch(name):
            raise _bad_name(option, "a name of letters, digits, dots, _ and -", repr(name), f"NAME={path}")
        if name in found:
            raise _bad_name(option, "each name once", f"{name} for {found[name]} and {path}", f"OTHER={path}")
        found[name] = path
    return found


def _bad_name(where: str, expected: str, found: str, instead: str) -> ConfigError:
    return ConfigError(where=where, expected=expected, found=found, fix=f"write {instead}")


def open_sites(
    stores: Mapping[str, Path], preprocess: PreprocessConfig, *, model: str, sizes: Mapping[str, Path]
) -> list[Site]:
    """Open the stores, and check that each can be a site beside the others.

    Args:
        stores: by name.
        preprocess: of the model.
        model: its name, for an error.
        sizes: folders of masks by the name of their site.

    Raises:
        StoreError: not a study store of this version, not finished, or damaged.
        LineageError: a store of other preprocessing than the model's.
        InputMissingError: a store without studies.
        LabelsError: a store without labels of PE.
        ConfigError: one store or study in two sites, or masks of a site that isn't there.
    """
    if unknown := sorted(set(sizes) - set(stores)):
        raise ConfigError(
            where="--truth", expected=f"a site: {', '.join(stores)}", found=", ".join(unknown), fix="write SITE=FOLDER"
        )
    _check_once(stores)
    sites = []
    for name, path in stores.items():
        store = StudyStore.open(path)
        check_stores([path], preprocess, model=model)
        sites.append(Site(name, store, _met(path), sizes.get(name)))
        _check_labels(sites[-1])
    _check_disjoint(sites)
    return sites


def _check_once(stores: Mapping[str, Path]) -> None:
    places: dict[Path, str] = {}
    for name, path in stores.items():
        other = places.setdefault(path.resolve(), name)
        if other != name:
            raise ConfigError(
                where=path,
                expected="a store for each site",
                found=f"one store as {other} and {name}",
                fix="give each store once",
            )


def _met(path: Path) -> "pd.Series[str]":
    """Read which studies a store met, with the code of each one's outcome."""
    content = read_json(path / "verdicts.json", made_by=MADE_BY)
    try:
        codes = {str(one["study"]): str(one["findings"][0]["code"]) for one in content["studies"]}
    except (KeyError, TypeError, IndexError) as error:
        raise StoreError(
            where=path / "verdicts.json",
            expected="the verdicts on a store's studies",
            found=f"another JSON ({error!r})",
            fix=f"run {MADE_BY} again",
        ) from error
    return pd.Series(codes, dtype=object).rename_axis(STUDY)


def _check_labels(site: Site) -> None:
    studies, path = site.store.studies, site.store.path
    if studies.empty:
        raise InputMissingError(
            where=path,
            expected="studies that the model can read",
            found=f"none of {len(site.met)}",
            fix=f"see refused.csv there, and run {MADE_BY} on other files",
        )
    if pe_truth(studies[list(EXAM_LABELS)], "as-negative").isna().all():
        raise LabelsError(
            where=path,
            expected="labels of PE, which a validation compares with",
            found=f"none for any of {len(studies)} studies",
            fix=f"run {MADE_BY} with --labels into another store, or use pectl predict",
        )


def _check_disjoint(sites: Sequence[Site]) -> None:
    seen: dict[str, str] = {}
    for site in sites:
        if shared := [uid for uid in site.met.index if uid in seen]:
            raise _shared(site, seen[shared[0]], shared)
        seen |= dict.fromkeys(site.met.index, site.name)


def _shared(site: Site, other: str, shared: Sequence[str]) -> PectlError:
    return ConfigError(
        where=site.store.path,
        expected="each study at one site",
        found=f"{len(shared)} of {site.name} that {other} has too, such as {shared[0]}",
        fix="leave one of the stores out, or preprocess the studies of one site alone",
    )
