"""One study into the store, in whichever process: its volume, its places, its verdict. h5py comes with this module."""

from pectl.core.intake.examine import make_study
from pectl.core.intake.judge_study import examine_task
from pectl.core.intake.marked import on_store_grid
from pectl.core.intake.tasks import IntakeTask, verdict_path
from pectl.core.intake.verdicts import Verdict, write_verdict
from pectl.core.places.kept import places_path, write_places
from pectl.core.stores.paths import study_path
from pectl.core.stores.study_store import write_study


def store_study(task: IntakeTask) -> Verdict:
    """Write one study and its verdict, or the verdict alone where it is refused."""
    examined, places = examine_task(task), places_path(task.out, task.study.uid)
    places.unlink(missing_ok=True)  # of another series
    if examined.usable is not None:
        marked, labels = examined.marked, task.labels
        study = make_study(
            examined.usable, examined.verdict, task.config, labels if marked is None else labels.completed_by(marked)
        )
        if marked is not None:
            write_places(places, on_store_grid(marked, examined.usable.volume, study))
        write_study(study_path(task.out, task.study.uid), study)
    else:
        study_path(task.out, task.study.uid).unlink(missing_ok=True)  # of another series
    write_verdict(verdict_path(task.out, task.study.uid), examined.verdict)
    return examined.verdict
