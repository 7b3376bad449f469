"""DICOM files and volumes to study store.

Every study is done, or refused with a code and a reason; a rerun does what is missing. The worker processes import
this module, so what needs pandas is imported where it is used.
"""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pectl.config import Config
from pectl.core.dicom.headers import SliceHeader
from pectl.core.dicom.patients import patient_groups
from pectl.core.intake.choice.named_series import NamedSeries
from pectl.core.intake.cohort import Cohort, PackedStudy
from pectl.core.intake.estimate import estimate_preprocess
from pectl.core.intake.findings import Fault, Finding
from pectl.core.intake.index import index_files
from pectl.core.intake.lungmask_model import check_available
from pectl.core.intake.tasks import (
    IntakeWatch,
    Sources,
    intake_tasks,
    lacks_preview,
    note_unused_places,
    take_patients,
    verdict_path,
    without_images,
)
from pectl.core.intake.verdicts import Verdict, read_verdict
from pectl.core.labels.names import RELEASED_SPLIT
from pectl.core.places.digest import places_digest
from pectl.core.storage.estimate import Estimate, check_disk
from pectl.core.storage.files import nothing_left
from pectl.core.storage.workers import run_in_processes
from pectl.core.stores.paths import study_path
from pectl.core.stores.tables import MADE_BY
from pectl.core.volumes.slices import expand
from pectl.errors import InputMissingError, StudyRefusedError

if TYPE_CHECKING:
    from pectl.core.labels.table import Labels

ESTIMATE_STUDIES = 64
"""At most about so many studies are looked at for an estimate."""


@dataclass(frozen=True)
class PreprocessSummary:
    """What a run of `preprocess` did.

    Attributes:
        verdicts: on the studies of this run, sorted.
        n_skipped: studies that were already there, done or refused.
        unlabelled: studies that the labels table doesn't hold, sorted.
        faults: files that can't be used.
        complete: whether the store is finished, so all studies are done or refused.
        absent: studies of which a series was named, and that aren't among the files.
        remarks: what is said once, of all studies together.
    """

    verdicts: tuple[Verdict, ...]
    n_skipped: int
    unlabelled: tuple[str, ...]
    faults: tuple[Fault, ...]
    complete: bool
    absent: tuple[str, ...] = ()
    remarks: tuple[Finding, ...] = ()

    @property
    def refused(self) -> tuple[Verdict, ...]:
        """Return the studies that this run refused."""
        return tuple(verdict for verdict in self.verdicts if verdict.refused)

    @property
    def n_refused(self) -> int:
        """Return how many studies this run refused."""
        return len(self.refused)

    @property
    def n_done(self) -> int:
        """Return how many studies this run wrote."""
        return len(self.verdicts) - self.n_refused


def preprocess(
    sources: Sources, out: Path, config: Config, *, previews: bool = False, watch: IntakeWatch | None = None
) -> PreprocessSummary:
    """Make or complete the study store `out` from every study among the files.

    Args:
        sources: the files, the labels table, and masks or boxes of emboli.
        out: the store; studies it holds already are left as they are, unless another series is named now. The
            shard that finishes last writes its index.
        config: the experiment; `preprocess`, `split` and `seed` are used.
        previews: draw the lung box of each study too; a study of the store without a picture is done again.
        watch: is told how far the work is.

    Raises:
        InputMissingError: no such source, no DICOM inside, no labels table, or no file of masks or boxes; nothing has
            been written.
        LabelsError: the labels table can't be used; nothing has been written.
        LineageError: `out` was made with other preprocessing, labels, masks or boxes.
        WeightsError: `lungs = "lungmask"` without the package or its weights.
        SplitError: the studies can't be split as configured.
        StoreError: a file can't be written, or the disk can't hold the store.
        WorkerError: a process was killed; the studies it may have had are named.
    """
    watch = watch or IntakeWatch()
    check_available(config.preprocess)
    table, places = _labels(sources.labels), places_digest(sources.places, config.places)
    is_finished = partial(_is_finished, out, sources.series, previews=previews)
    with nothing_left(out, InputMissingError):
        cohort = index_files(
            sources.given,
            folder=sources.index_in(out),
            workers=sources.workers,
            shard=sources.shard,
            known=is_finished,
            progress=watch.files,
        )
        absent = sources.series.absent(cohort.patient)
    take_patients(cohort, sources.said)
    note_unused_places(cohort, sources.places)
    _check_split(config, cohort, sources)
    tasks = intake_tasks(cohort, table, config, out, previews=previews, sources=sources)
    estimate = _estimate(config, [task.study for task in tasks], sources.workers)
    check_disk(estimate, out)
    from pectl.core.intake.store_index import begin_store, finish_store  # pandas comes with it

    begin_store(out, config, labels=sources.labels_digest, places=places)
    watch.expect(estimate)
    from pectl.core.intake.store_study import store_study  # OpenCV, scipy and h5py come with it

    verdicts: list[Verdict] = []
    if tasks:
        watch.studies(0, len(tasks))
    with closing(run_in_processes(store_study, tasks, workers=sources.workers, preload=store_study.__module__)) as done:
        for verdict in done:
            verdicts.append(verdict)
            watch.studies(len(verdicts), len(tasks))
    complete = all(map(is_finished, cohort.patient))
    if complete:
        finish_store(out, cohort, config, sources, list(without_images(cohort, table)), places=places)
    return PreprocessSummary(
        verdicts=tuple(sorted(verdicts, key=lambda verdict: verdict.study)),
        n_skipped=cohort.n_known,
        unlabelled=() if table is None else tuple(sorted(set(cohort.patient) - set(table.exam.index))),
        faults=tuple(cohort.faults),
        complete=complete,
        absent=absent,
        remarks=tuple(cohort.remarks),
    )


def _labels(path: Path | None) -> "Labels | None":
    if path is None:
        return None
    from pectl.core.labels.table import read_labels  # pandas comes with it

    return read_labels(path)


def _check_split(config: Config, cohort: Cohort, sources: Sources) -> None:
    """Check before hours of work that the studies can be split as configured."""
    from pectl.core.labels.split_shares import check_patients  # pandas comes with it
    from pectl.core.labels.splits import check_method

    columns = None if sources.said is None else sources.said.columns
    released = None if columns is None else columns.get(RELEASED_SPLIT)
    check_method(config.split, cohort.patient, released=released)
    check_patients(config.split, patient_groups(cohort.patient))


def _estimate(config: Config, studies: list[PackedStudy], workers: int) -> Estimate:
    """Estimate from studies spread over all of them, whose headers are quickly looked at."""
    sample = studies[:: 1 + len(studies) // ESTIMATE_STUDIES]
    return estimate_preprocess(config, [_extent(study.headers) for study in sample], len(studies), workers)


def _extent(files: list[SliceHeader]) -> tuple[int, float]:
    """Return the bytes as int16, and the height in mm, of the series with the most images; none of a damaged volume."""
    try:
        headers = expand(files).headers
    except (StudyRefusedError, OSError):
        return 0, 0.0
    counts = Counter(header.series_uid for header in headers)
    images = [header for header in headers if header.series_uid == max(counts, key=counts.__getitem__)]
    heights = [header.position[2] for header in images if header.position]
    return sum(2 * header.rows * header.columns for header in images), max(heights, default=0) - min(heights, default=0)


def _is_finished(out: Path, series: NamedSeries, uid: str, *, previews: bool) -> bool:
    """Tell whether a study is in the store, from the series and with the picture that is wanted, or was refused."""
    path, named = verdict_path(out, uid), series.of(uid)
    there = study_path(out, uid).exists()
    if not path.exists() or (there and not previews and not named):
        return path.exists()
    verdict = read_verdict(path, made_by=MADE_BY)
    if named not in ("", verdict.series):
        return False
    return verdict.refused or (there and not (previews and lacks_preview(out, verdict)))
