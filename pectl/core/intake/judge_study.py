"""One study judged, in whichever process: read, examined, its verdict kept. OpenCV and scipy come with this module."""

from pathlib import Path

from pectl.core.intake.examine import Examined, examine
from pectl.core.intake.previews import write_preview
from pectl.core.intake.tasks import IntakeTask, lacks_preview, preview_path, verdict_path
from pectl.core.intake.verdicts import JUDGED_BY, Verdict, read_verdict, write_verdict
from pectl.core.storage.stamp import digest_of
from pectl.errors import StoreError


def judge_study(task: IntakeTask) -> tuple[Verdict, bool]:
    """Return the verdict on a study, and whether it is an earlier one of the same files, labels and choices."""
    path = verdict_path(task.out, task.study.uid)
    source = digest_of(
        task.study.digest, task.config.digest(), task.labels.image, task.labels.exam, task.series, task.places_digest
    )
    earlier = _earlier(path)
    if earlier and earlier.source == source and not (task.previews and lacks_preview(task.out, earlier)):
        return earlier, True
    verdict = examine_task(task).verdict.made_from(source)
    write_verdict(path, verdict)
    return verdict, False


def _earlier(path: Path) -> Verdict | None:
    try:
        return read_verdict(path, made_by=JUDGED_BY)
    except StoreError:
        return None


def examine_task(task: IntakeTask) -> Examined:
    """Judge a study, and draw its lung box if so asked."""
    study = task.study
    examined = examine(study.uid, study.headers, task.config, labels=task.labels, known=study.notes, series=task.series)
    if task.places is not None:
        area = task.marking.min_area_mm2
        examined = examined.with_marks(task.places, study.headers, task.labels, min_area_mm2=area)
    if task.previews and examined.usable is not None:
        write_preview(preview_path(task.out, study.uid), examined.usable.volume, examined.usable.box)
    return examined
