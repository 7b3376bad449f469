"""What a public set is, and what reading its folder yields."""

from __future__ import annotations  # pandas is imported by who reads tables

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pectl.core.labels.names import STUDY
from pectl.core.places.source import PlacesSource
from pectl.core.storage.stamp import digest_of
from pectl.core.volumes.stated import Stated

if TYPE_CHECKING:
    import pandas as pd

_EXAMPLES = 3


class Met(NamedTuple):
    """Something that was met in a set: its code, what it means, how often, and some of it by name."""

    code: str
    meaning: str
    times: int
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it as a line."""
        named = f": {', '.join(self.examples)}{' ...' if self.times > len(self.examples) else ''}"
        return f"{self.times} {self.meaning}{named if self.examples else ''}"


def met(code: str, meaning: str, found: Iterable[object]) -> list[Met]:
    """Return what was met as a list of one; of none where nothing was."""
    names = sorted(map(str, found))
    return [Met(code, meaning, len(names), tuple(names[:_EXAMPLES]))] if names else []


@dataclass(frozen=True, kw_only=True)
class SetContents:
    """What a folder of a set holds.

    Attributes:
        images: files and folders of the images; masks aren't among them.
        labels: a table in the layout of RSPECT's `train.csv`; None where the set has another or none.
        exam: STUDY_LABELS by study as 0.0, 1.0 or NaN (unknown, undefined); None where the set gives none.
        columns: more columns of `studies.csv` by study, text; a study that isn't there has none.
        places: masks or boxes by study.
        patients: whose a study is, where files don't say it.
        stated: what holds for the set's volume files.
        dicom_alone: volume files in the folders of `images` are no images.
        met: what was met.
    """

    images: tuple[Path, ...]
    labels: Path | None = None
    exam: pd.DataFrame | None = None
    columns: pd.DataFrame | None = None
    places: Mapping[str, PlacesSource] = field(default_factory=dict)
    patients: Mapping[str, str] = field(default_factory=dict)
    stated: Stated = field(default_factory=Stated)
    dicom_alone: bool = False
    met: tuple[Met, ...] = ()

    @property
    def digest(self) -> str:
        """Return the identity of what the set says of its studies beside `labels` and `places`."""
        tables = [None if table is None else table.sort_index().to_csv() for table in (self.exam, self.columns)]
        return digest_of("set", *tables, sorted(self.patients.items()))


class Layout(NamedTuple):
    """A public set.

    `recognise` returns by which files a folder is this set, empty where it isn't; `read` reads the folder.
    """

    name: str
    title: str
    source: str
    licence: str
    gives: str
    traps: tuple[str, ...]
    recognise: Callable[[Path], str]
    read: Callable[[Path], SetContents]

    def to_json(self) -> dict[str, str | list[str]]:
        """Return what a user must know of it."""
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "licence": self.licence,
            "gives": self.gives,
            "traps": list(self.traps),
        }


def table_of(rows: Mapping[str, Mapping[str, object]], columns: Iterable[str]) -> pd.DataFrame:
    """Return rows by study as a table, sorted by study."""
    import pandas as pd

    index = pd.Index(sorted(rows), name=STUDY)
    return pd.DataFrame([rows[study] for study in index], index=index, columns=list(columns))
