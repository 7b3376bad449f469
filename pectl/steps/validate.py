"""DICOM files to verdicts: the intake of `preprocess` as far as it judges, and nothing else."""

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pectl.config import Config, write_config
from pectl.core.intake.choice.rules import describe_rules
from pectl.core.intake.findings import Fault, Finding
from pectl.core.intake.index import index_files
from pectl.core.intake.lungmask_model import check_available
from pectl.core.intake.tasks import (
    IntakeWatch,
    Sources,
    intake_tasks,
    note_breaches,
    note_unused_places,
    verdict_path,
    without_images,
)
from pectl.core.intake.verdicts import JUDGED_BY, Verdict, read_verdict, write_verdicts
from pectl.core.storage.files import atomic_path
from pectl.core.storage.workers import run_in_processes

if TYPE_CHECKING:
    from pectl.core.labels.table import Breach, Labels


@dataclass(frozen=True)
class ValidateSummary:
    """What a run of `validate` found.

    Attributes:
        verdicts: on the studies of this run, sorted.
        n_reused: studies whose files, labels and configuration are those of an earlier verdict.
        faults: files that can't be used.
        complete: whether every study has a verdict, so that the table of all is written.
        absent: studies of which a series was named, and that aren't among the files.
        remarks: what is said once, of all studies together.
    """

    verdicts: tuple[Verdict, ...]
    n_reused: int
    faults: tuple[Fault, ...]
    complete: bool
    absent: tuple[str, ...] = ()
    remarks: tuple[Finding, ...] = ()


def validate(
    sources: Sources, out: Path, config: Config, *, previews: bool = False, watch: IntakeWatch | None = None
) -> ValidateSummary:
    """Judge every study among the files, and write what is said of them into the folder `out`.

    Args:
        sources: the files, and the labels table.
        out: gets a JSON for each study as it is done, at last `verdicts.csv` and `verdicts.json` of all.
        config: `preprocess` is used.
        previews: draw the lung box of each study too.
        watch: is told how far the work is.

    Raises:
        InputMissingError: no such source, no DICOM inside, no labels table, or one named series for several studies.
        LabelsError: the labels table lacks columns or rows.
        WeightsError: `lungs = "lungmask"` without the package or its weights.
        StoreError: a file can't be written.
    """
    watch = watch or IntakeWatch()
    check_available(config.preprocess)
    table, breaches = _inspected(sources.labels)
    cohort = index_files(
        sources.given,
        folder=sources.index_in(out),
        workers=sources.workers,
        shard=sources.shard,
        known=lambda uid: False,
        progress=watch.files,
    )
    absent = sources.series.absent(cohort.patient)
    note_unused_places(cohort, sources.places)
    note_breaches(cohort, breaches)
    with atomic_path(out / "config.toml") as temporary:
        write_config(config, temporary)
    tasks = intake_tasks(cohort, table, config, out, previews=previews, sources=sources)
    from pectl.core.intake.judge_study import judge_study  # OpenCV and scipy come with it

    done: list[tuple[Verdict, bool]] = []
    if tasks:
        watch.studies(0, len(tasks))
    results = run_in_processes(judge_study, tasks, workers=sources.workers, preload=judge_study.__module__)
    with closing(results):
        for judged in results:
            done.append(judged)
            watch.studies(len(done), len(tasks))
    missing = partial(without_images, cohort, table)
    complete = all(verdict_path(out, uid).exists() for uid in cohort.patient)
    if complete:
        kept = [read_verdict(verdict_path(out, uid), made_by=JUDGED_BY) for uid in cohort.patient]
        write_verdicts(out, [*kept, *missing()], describe_rules(config.preprocess), cohort.remarks)
    verdicts = [*(verdict for verdict, _ in done), *missing(sources.shard)]
    return ValidateSummary(
        verdicts=tuple(sorted(verdicts, key=lambda verdict: verdict.study)),
        n_reused=sum(reused for _, reused in done),
        faults=tuple(cohort.faults),
        complete=complete,
        absent=absent,
        remarks=tuple(cohort.remarks),
    )


def _inspected(path: Path | None) -> "tuple[Labels | None, dict[str, list[Breach]]]":
    if path is None:
        return None, {}
    from pectl.core.labels.table import inspect_labels  # pandas comes with it

    return inspect_labels(path)
