"""What `validate` and `preprocess` do alike: the index of the files, the labels of each study, the verdicts kept."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pectl.config import PreprocessConfig
from pectl.core.intake.choice.named_series import NamedSeries
from pectl.core.intake.cohort import Cohort, PackedStudy, in_shard
from pectl.core.intake.examine import Examined, StudyLabels, examine
from pectl.core.intake.findings import Finding
from pectl.core.intake.previews import preview_path, write_preview
from pectl.core.intake.verdicts import Verdict
from pectl.core.labels.names import STUDY_LABELS
from pectl.core.storage.estimate import Expect
from pectl.core.volumes.stated import Given, Stated

if TYPE_CHECKING:  # pandas comes with it
    from pectl.core.labels.table import Breach, Labels

Progress = Callable[[int, int], None]


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
    """

    paths: Sequence[Path]
    labels: Path | None = None
    index: Path | None = None
    workers: int = 1
    shard: tuple[int, int] | None = None
    series: NamedSeries = field(default_factory=NamedSeries)
    stated: Stated = field(default_factory=Stated)

    @property
    def given(self) -> Given:
        """Return what the user gave."""
        return Given(self.paths, self.stated)

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
    """One study: its files, its labels, the named series if there is one, where the verdict and a picture go."""

    study: PackedStudy
    labels: StudyLabels
    config: PreprocessConfig
    out: Path
    previews: bool
    series: str

    def __str__(self) -> str:
        return f"study {self.study.uid}"

    def examine(self) -> Examined:
        """Judge the study, and draw its lung box if so asked."""
        study = self.study
        examined = examine(
            study.uid, study.headers, self.config, labels=self.labels, known=study.notes, series=self.series
        )
        if self.previews and examined.usable is not None:
            write_preview(preview_path(self.out, study.uid), examined.usable.volume, examined.usable.box)
        return examined


def verdict_path(out: Path, uid: str) -> Path:
    """Return where the verdict on a study is kept."""
    return out / "verdicts" / f"{uid}.json"


def lacks_preview(out: Path, verdict: Verdict) -> bool:
    """Tell whether a study that can be used has no picture yet."""
    return not verdict.refused and not preview_path(out, verdict.study).exists()


def intake_tasks(
    cohort: Cohort,
    table: "Labels | None",
    config: PreprocessConfig,
    out: Path,
    *,
    previews: bool,
    series: NamedSeries,
) -> list[IntakeTask]:
    """Return the studies to be done, sorted."""
    return [
        IntakeTask(cohort.task(uid), _labels_of(table, uid), config, out, previews, series.of(uid))
        for uid in cohort.todo
    ]


def _labels_of(table: "Labels | None", uid: str) -> StudyLabels:
    if table is None:
        return StudyLabels()
    if uid not in table.exam.index:
        return StudyLabels(image={})
    values = table.exam.loc[uid, list(STUDY_LABELS)].to_numpy(np.float64)
    exam = {name: None if np.isnan(value) else int(value) for name, value in zip(STUDY_LABELS, values, strict=True)}
    return StudyLabels(table.of_images(uid), exam)


def note_breaches(cohort: Cohort, breaches: "dict[str, list[Breach]]") -> None:
    """Add the breaches of the rules of the labels to what is known of the studies."""
    for rule, broken in breaches.items():
        examples: dict[str, list[str]] = {}
        for breach in broken:
            examples.setdefault(breach.study, []).append(breach.example)
        for uid, found in examples.items():
            where = "" if found == [uid] else f": {', '.join(found[:3])}{' ...' if len(found) > 3 else ''}"
            cohort.notes.setdefault(uid, []).append(Finding("label_breach", f"{rule}{where}"))


def without_images(cohort: Cohort, table: "Labels | None", shard: tuple[int, int] | None = None) -> Iterator[Verdict]:
    """Yield a verdict on every study of the labels table of which there is no image."""
    if table is None:
        return
    for uid in table.exam.index.difference(list(cohort.patient)):
        if in_shard(uid, shard):
            finding = Finding("studies_without_images", f"{len(table.of_images(uid))} labels")
            notes = cohort.notes.get(uid, [])
            yield Verdict(study=uid, series="", choice="", findings=(*notes, finding))
