"""What `validate` and `preprocess` do alike: the index of the files, the labels of each study, the verdicts kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pectl.config import Config, PlacesConfig, PreprocessConfig
from pectl.core.intake.choice.named_series import NamedSeries
from pectl.core.intake.cohort import Cohort, PackedStudy, in_shard
from pectl.core.intake.findings import Finding
from pectl.core.intake.study_labels import StudyLabels
from pectl.core.intake.verdicts import Verdict
from pectl.core.labels.names import STUDY_LABELS
from pectl.core.layouts.layout import SetContents
from pectl.core.places.digest import places_digest
from pectl.core.places.source import PlacesSource
from pectl.core.storage.estimate import Expect
from pectl.core.storage.files import file_digest
from pectl.core.storage.stamp import digest_of
from pectl.core.volumes.stated import Given, Stated

if TYPE_CHECKING:  # pandas comes with it
    import pandas as pd

    from pectl.core.labels.table import Breach, Labels

Progress = Callable[[int, int], None]
NO_LABELS = "none"
"""Identity of labels where there are none."""


@dataclass(frozen=True)
class Sources:
    """What is read: files, and how they are shared out.

    Attributes:
        paths: folders, files, archives, or a DICOMDIR.
        labels: a table like RSPECT's `train.csv`, or None: all labels are unknown.
        index: folder that keeps the headers; None chooses one inside the output.
        workers: processes; 1 works in this one.
        shard: (index from 0, count): only this share of the studies.
        series: those that the user names.
        stated: of volumes that aren't DICOM.
        places: masks or boxes of emboli by study id.
        said: what a public set says of its studies; it brings no `labels` where a table was given.
    """

    paths: Sequence[Path]
    labels: Path | None = None
    index: Path | None = None
    workers: int = 1
    shard: tuple[int, int] | None = None
    series: NamedSeries = field(default_factory=NamedSeries)
    stated: Stated = field(default_factory=Stated)
    places: Mapping[str, PlacesSource] = field(default_factory=dict)
    said: SetContents | None = None

    @classmethod
    def of_set(cls, contents: SetContents, stated: Stated, **more: Any) -> "Sources":  # noqa: ANN401 - other attributes
        """Return the sources that a set's folder holds; what the user states goes before what the set does."""
        values = stated.values or contents.stated.values
        spacing = stated.spacing_mm or contents.stated.spacing_mm
        more = {"labels": contents.labels, "places": contents.places} | more
        return cls(contents.images, stated=Stated(spacing, values), said=contents, **more)

    @property
    def given(self) -> Given:
        """Return what the user gave."""
        return Given(self.paths, self.stated, dicom_alone=self.said is not None and self.said.dicom_alone)

    @property
    def labels_digest(self) -> str:
        """Return the identity of the labels table, and of what a set says of its studies."""
        table = NO_LABELS if self.labels is None else file_digest(self.labels)
        return table if self.said is None else digest_of("labels", table, self.said.digest)

    def index_in(self, out: Path) -> Path:
        """Return the folder of the index."""
        return self.index or out / "dicom_index"


@dataclass(frozen=True)
class IntakeWatch:
    """Who is told how far the work is: files of the index, then studies, each as (done, total); and what it needs."""

    files: Progress = field(default=lambda done, total: None)
    studies: Progress = field(default=lambda done, total: None)
    expect: Expect = field(default=lambda estimate: None)


@dataclass(frozen=True)
class IntakeTask:
    """One study: its files, its labels, where the verdict and a picture go.

    Attributes:
        study: its files.
        labels: of the table.
        config: the preprocessing.
        out: where the verdict and a picture go.
        previews: whether its lung box is drawn.
        series: the one that the user names, if any.
        places: its masks or boxes.
        marking: how labels come from them.
    """

    study: PackedStudy
    labels: StudyLabels
    config: PreprocessConfig
    out: Path
    previews: bool
    series: str
    places: PlacesSource | None
    marking: PlacesConfig

    def __str__(self) -> str:
        return f"study {self.study.uid}"

    @property
    def places_digest(self) -> str:
        """Return the identity of the masks or boxes."""
        return places_digest({} if self.places is None else {self.study.uid: self.places}, self.marking)


def verdict_path(out: Path, uid: str) -> Path:
    """Return where the verdict on a study is kept."""
    return out / "verdicts" / f"{uid}.json"


def preview_path(folder: Path, uid: str) -> Path:
    """Return where the picture of a study lies; the UID has been checked when it was read."""
    return folder / "previews" / f"{uid}.jpg"


def lacks_preview(out: Path, verdict: Verdict) -> bool:
    """Tell whether a study that can be used has no picture yet."""
    return not verdict.refused and not preview_path(out, verdict.study).exists()


def intake_tasks(
    cohort: Cohort,
    table: "Labels | None",
    config: Config,
    out: Path,
    *,
    previews: bool,
    sources: Sources,
) -> list[IntakeTask]:
    """Return the studies to be done, sorted."""
    return [
        IntakeTask(
            cohort.task(uid),
            _labels_of(table, sources.said, uid),
            config.preprocess,
            out,
            previews,
            sources.series.of(uid),
            sources.places.get(uid),
            config.places,
        )
        for uid in cohort.todo
    ]


def _labels_of(table: "Labels | None", said: SetContents | None, uid: str) -> StudyLabels:
    if table is None:
        known = None if said is None else said.exam
        return StudyLabels() if known is None or uid not in known.index else StudyLabels(exam=_exam_of(known, uid))
    if uid not in table.exam.index:
        return StudyLabels(image={})
    return StudyLabels(table.of_images(uid), _exam_of(table.exam, uid))


def _exam_of(table: "pd.DataFrame", uid: str) -> dict[str, int | None]:
    values = table.loc[uid, list(STUDY_LABELS)].to_numpy(np.float64)
    return {name: None if np.isnan(value) else int(value) for name, value in zip(STUDY_LABELS, values, strict=True)}


def take_patients(cohort: Cohort, said: SetContents | None) -> None:
    """Take whose a study is from the set, where it says so."""
    if said is not None:
        cohort.patient |= {uid: said.patients[uid] for uid in cohort.patient if uid in said.patients}


def note_breaches(cohort: Cohort, breaches: "dict[str, list[Breach]]") -> None:
    """Add the breaches of the rules of the labels to what is known of the studies."""
    for rule, broken in breaches.items():
        examples: dict[str, list[str]] = {}
        for breach in broken:
            examples.setdefault(breach.study, []).append(breach.example)
        for uid, found in examples.items():
            where = "" if found == [uid] else f": {', '.join(found[:3])}{' ...' if len(found) > 3 else ''}"
            cohort.notes.setdefault(uid, []).append(Finding("label_breach", f"{rule}{where}"))


def note_unused_places(cohort: Cohort, places: Mapping[str, PlacesSource]) -> None:
    """Say once, of all studies together, how many masks are of studies that aren't among the files."""
    if unused := sorted(set(places) - set(cohort.patient)):
        examples = f"{', '.join(unused[:3])}{' ...' if len(unused) > 3 else ''}"
        detail = f"{len(unused)} of {len(places)} studies with masks or boxes aren't among the files: {examples}"
        cohort.remarks.append(Finding("places_without_images", detail))


def without_images(cohort: Cohort, table: "Labels | None", shard: tuple[int, int] | None = None) -> Iterator[Verdict]:
    """Yield a verdict on every study of the labels table of which there is no image."""
    if table is None:
        return
    for uid in table.exam.index.difference(list(cohort.patient)):
        if in_shard(uid, shard):
            finding = Finding("studies_without_images", f"{len(table.of_images(uid))} labels")
            notes = cohort.notes.get(uid, [])
            yield Verdict(study=uid, series="", choice="", findings=(*notes, finding))
