"""A prediction as DICOM objects of its own study."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pectl.core.labels.names import RV_LV
from pectl.core.stores.study_store import Study
from pectl.dicom_output.result import Answer, Call, Kind, ModelIdentity, StudyResult
from pectl.dicom_output.write import write_dicom
from pectl.errors import DicomOutputError, StudyRefusedError
from pectl.explanation.explainer import Explanation
from pectl.explanation.heat_geometry import heat_on_source
from pectl.inference.prediction import Prediction

NOT_WRITTEN = "not_written"
_CALLS = {True: Call.PRESENT, False: Call.ABSENT, None: Call.UNDETERMINED}
_KEY_SLICES = 3
_APART = 5
"""Grid slices between two key slices at least."""


def write_predicted(
    prediction: Prediction,
    study: Study,
    files: Sequence[Path],
    out: Path,
    *,
    kinds: Sequence[Kind],
    explanation: Explanation | None,
) -> list[dict[str, str]]:
    """Write objects of a prediction into `out/<StudyInstanceUID>/`.

    Args:
        prediction: of the study.
        study: that was predicted.
        files: of its series, one slice each.
        out: holds a folder for each study.
        kinds: what to write.
        explanation: its heat, if it was drawn.

    Returns:
        What couldn't be written: kind, code and reason. It is one study's matter, and the others go on.
    """
    try:
        if not files:
            raise DicomOutputError(
                where=f"study {prediction.study}",
                expected="a file for each slice",
                found="an archive, a study store, or several frames in a file",
                fix="give the study as single files",
            )
        written = write_dicom(_result(prediction, study, explanation), files, out, kinds)
    except (DicomOutputError, StudyRefusedError) as error:
        return [{"kind": kind, "code": NOT_WRITTEN, "reason": str(error)} for kind in kinds]
    return [{"kind": one.kind, "code": one.code, "reason": one.reason} for one in written.skipped]


def _result(prediction: Prediction, study: Study, explanation: Explanation | None) -> StudyResult:
    """Return what is written; RV/LV isn't defined where PE is ruled out."""
    defined = {
        name: Answer(one.probability, _CALLS[one.called])
        for name, one in prediction.answers.items()
        if not (name in RV_LV and prediction.state == "negative")
    }
    return StudyResult(
        study_uid=prediction.study,
        series_uid=prediction.series,
        answers=defined,
        model=ModelIdentity(prediction.model.name, prediction.model.version, prediction.model.digest),
        flags=study.flags,
        out_of_distribution="; ".join(prediction.unlike),
        key_images=_key_images(prediction, study, explanation),
        heat={} if explanation is None else _heat(study, explanation),
    )


def _key_images(prediction: Prediction, study: Study, explanation: Explanation | None) -> tuple[str, ...]:
    """Return the slices to look at: none where PE is ruled out, the hottest by heat where it was drawn."""
    if prediction.state == "negative":
        return ()
    hot = [] if explanation is None else explanation.hottest(_KEY_SLICES, apart=_APART)
    nearest = [int(np.abs(study.source.position_mm - study.slice_position_mm[place]).argmin()) for place in hot]
    found = tuple(dict.fromkeys(str(study.source.sop_instance_uid[place]) for place in nearest))
    return found or (prediction.hottest,)


def _heat(study: Study, explanation: Explanation) -> dict[str, NDArray[np.float32]]:
    """Return the heat of each original slice that has any: (rows, columns), in [0, 1] of the study's peak."""
    peak = float(explanation.heat.max())
    if peak <= 0:
        return {}
    places = np.flatnonzero(np.nan_to_num(explanation.source_heat) > 0)
    drawn = {str(study.source.sop_instance_uid[at]): heat_on_source(study, explanation.heat, int(at)) for at in places}
    return {uid: np.clip(heat / peak, 0.0, 1.0) for uid, heat in drawn.items()}
