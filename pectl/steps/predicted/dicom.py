"""The DICOM objects of a study that was predicted: from what the model answered to what is written beside the study."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pectl.core.dicom.archives import unpacked
from pectl.core.intake.cohort import PackedStudy
from pectl.core.labels.names import RV_LV
from pectl.core.stores.study_store import Study
from pectl.core.volumes.slices import is_volume
from pectl.dicom_output.original import read_original
from pectl.dicom_output.result import HEATED, LONGEST, Answer, Call, Kind, ModelIdentity, StudyResult
from pectl.dicom_output.write import write_dicom
from pectl.errors import DicomOutputError, PectlError, StoreError
from pectl.explanation.explainer import Explanation
from pectl.explanation.heat_geometry import heat_on_source
from pectl.explanation.painting import SMALLEST_SHARE
from pectl.inference.prediction import SEEN, Prediction
from pectl.inference.studies import Ticket
from pectl.steps.predicted.folder import WRITTEN

STORED = "no DICOM files: the study came from a study store"
VOLUME = "no DICOM files: the study came from a volume file"
MOST_KEY_IMAGES = 3
"""Of a study that is to be looked at; one without PE has its hottest slice alone."""
APART_MM = 10.0
"""Between two key images, so that they show different places."""
_CALLS = {True: Call.PRESENT, False: Call.ABSENT, None: Call.UNDETERMINED}
Heat = Callable[[], Explanation]


class Outcome(NamedTuple):
    """What became of each kind: `written`, or why it isn't.

    `error` says why the study has no objects at all; `again` that another run may do better.
    """

    kinds: dict[str, str]
    error: str = ""
    again: bool = False


def write_predicted(
    prediction: Prediction, study: Study, ticket: Ticket, out: Path, kinds: Sequence[Kind], heat: Heat | None
) -> Outcome:
    """Write DICOM objects of a prediction into `out/<StudyInstanceUID>/`.

    Args:
        prediction: of the study; it isn't refused.
        study: as it was shown to the model.
        ticket: its files.
        out: holds a folder for each study.
        kinds: what to write.
        heat: explains the study; None for one in which no heat is to be shown.

    Raises:
        StoreError: the disk is full, or an object that is there is damaged.
    """
    if ticket.store is not None:
        return _none(kinds, STORED)
    if any(map(is_volume, PackedStudy(ticket.uid, ticket.headers, ticket.notes).headers)):
        return _none(kinds, VOLUME)
    try:
        with _files(prediction, ticket) as files:
            result = study_result(prediction, study)
            if heat is not None and HEATED & set(kinds):
                read_original(files, result)  # costs little, and says whether heat, which costs much, has a use
                found = heat()
                shown = _original_heat(study, found, result.key_images)
                result = replace(result, heat=shown, heat_scale=found.scale_name)
            written = write_dicom(result, files, out, kinds)
    except DicomOutputError as error:
        return _none(kinds, _reason(error))
    except StoreError:
        raise
    except PectlError as error:
        return _none(kinds, _reason(error), again=True)
    except OSError as error:
        return _none(kinds, f"a file can't be read: {error.strerror}", again=True)
    skipped = {skip.kind.value: f"{skip.code}: {skip.reason}" for skip in written.skipped}
    return Outcome(dict.fromkeys((kind.value for kind in kinds), WRITTEN) | skipped)


def study_result(prediction: Prediction, study: Study) -> StudyResult:
    """Return what a prediction says as far as it is written as DICOM, without heat.

    The RV/LV labels are answers to a question that only a study with PE has.
    """
    defined = [name for name in prediction.answers if prediction.state == "flagged" or name not in RV_LV]
    answers = {name: prediction.answers[name] for name in defined}
    model = prediction.model
    return StudyResult(
        study_uid=prediction.study,
        series_uid=prediction.series,
        answers={name: Answer(one.probability, _CALLS[one.called]) for name, one in answers.items()},
        model=ModelIdentity(model.name[: LONGEST["name"]], model.version[: LONGEST["version"]], model.digest),
        flags=tuple(dict.fromkeys(one.code for one in prediction.findings[1:])),
        out_of_distribution="; ".join(prediction.unlike),
        seen=SEEN if prediction.seen else "",
        key_images=key_images(prediction, study),
    )


def key_images(prediction: Prediction, study: Study) -> tuple[str, ...]:
    """Return the slices to show: the hottest, then by falling score of the image, apart from each other.

    They follow from the prediction alone, so that they are the same whether or not heat is asked for.
    """
    place = dict(zip(map(str, study.source.sop_instance_uid), study.source.position_mm.tolist(), strict=True))
    ranked = sorted(prediction.images, key=lambda image: -image.score)
    chosen = [prediction.hottest]
    most = 1 if prediction.state == "negative" else MOST_KEY_IMAGES
    for uid in [image.sop_instance_uid for image in ranked]:
        if len(chosen) < most and all(abs(place[uid] - place[other]) >= APART_MM for other in chosen):
            chosen.append(uid)
    return tuple(chosen)


def _original_heat(study: Study, found: Explanation, shown: Sequence[str]) -> Mapping[str, NDArray[np.float32]]:
    """Return the heat of slices that are painted or shown, by SOPInstanceUID, in [0, 1] of the scale of heat."""
    if found.peak is None:
        return {}
    near = _largest_of_three(found.slice_heat)
    heat = {}
    for place, (uid, index) in enumerate(zip(study.source.sop_instance_uid, study.source.grid_index, strict=True)):
        if str(uid) in shown or (index >= 0 and near[index] >= SMALLEST_SHARE):
            share = np.clip(heat_on_source(study, found.heat, place), 0, 1)
            if str(uid) in shown or share.max() >= SMALLEST_SHARE:
                heat[str(uid)] = share
    return heat


def _largest_of_three(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(D,) -> (D,): of each and its neighbours, between which an original slice lies."""
    padded = np.pad(values, 1)
    return np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])


@contextmanager
def _files(prediction: Prediction, ticket: Ticket) -> Iterator[tuple[Path, ...]]:
    """Yield a plain file of each slice that was judged; those of archives are unpacked meanwhile."""
    judged = {image.sop_instance_uid for image in prediction.images}
    headers = PackedStudy(ticket.uid, ticket.headers, ticket.notes).headers
    slices = {one.image_uid: one for one in headers if one.series_uid == prediction.series and one.image_uid in judged}
    with unpacked(tuple(slices.values())) as plain:
        yield tuple(header.path for header in plain)


def _none(kinds: Sequence[Kind], reason: str, *, again: bool = False) -> Outcome:
    return Outcome({kind.value: reason for kind in kinds}, reason, again)


def _reason(error: PectlError) -> str:
    """Say what is wrong without saying where: a path may name a patient."""
    return f"expected {error.expected}, found {error.found}; {error.fix}"
