"""The tables beside `metrics.json`: what was predicted, for every exam, window and image."""

from pathlib import Path

import numpy as np
import pandas as pd

from pectl.core.decisions.consistency import Projection, consistent_pe
from pectl.core.labels.names import EXAM_LABELS, IMAGE, PE_PRESENT, STUDY
from pectl.core.labels.predictions import Predictions, pe_truth
from pectl.core.storage.csv_writing import write_csv
from pectl.evaluation.exam_level import JudgedExams

SUBMISSION_NAME = "submission.csv"


def exam_table(exams: JudgedExams, projection: Projection) -> pd.DataFrame:
    """Return, for each label and `pe_present`, the columns `_truth`, `_raw`, `_calibrated` and `_consistent`.

    `pe_present_truth` is empty in indeterminate studies. The two RV/LV labels of our models sum to one in the first
    two, which are given PE, and to `pe_present_consistent` in the last.
    """
    consistent = projection.exam[list(EXAM_LABELS)]
    pe = consistent_pe(consistent.to_numpy(np.float64), one_ratio=exams.one_ratio)
    versions = {
        "truth": exams.truth.assign(**{PE_PRESENT: pe_truth(exams.truth, "exclude")}),
        "raw": exams.raw,
        "calibrated": exams.calibrated,
        "consistent": consistent.assign(**{PE_PRESENT: pe}),
    }
    columns = {
        f"{name}_{version}": table[name] for name in (*EXAM_LABELS, PE_PRESENT) for version, table in versions.items()
    }
    return pd.DataFrame(columns, index=exams.raw.index).rename_axis(STUDY)


def write_tables(
    out: Path, predictions: Predictions, exams: JudgedExams, projection: Projection, places: pd.DataFrame | None
) -> None:
    """Write exam.csv, and predictions.csv, window.csv, image.csv and feature_map.csv where there is such a part.

    predictions.csv holds the calibrated labels, RV/LV as PE with that ratio, as `evaluate --predictions`
    reads them: those of several folds can be judged together.

    Tables that an earlier evaluation left there and this one doesn't write are deleted.
    """
    image = predictions.image
    if image is not None and projection.image is not None:
        image = image.assign(consistent=projection.image["score"])
    answers = exams.answers[list(EXAM_LABELS)].rename_axis(STUDY).reset_index()
    parts = {
        "exam": exam_table(exams, projection).reset_index(),
        "predictions": None if answers.empty else answers,
        "window": predictions.window,
        "image": image,
        "feature_map": places,
    }
    (out / SUBMISSION_NAME).unlink(missing_ok=True)
    for name, table in parts.items():
        if table is None:
            (out / f"{name}.csv").unlink(missing_ok=True)
        else:
            write_csv(out / f"{name}.csv", table)


def write_submission(out: Path, projection: Projection) -> None:
    """Write submission.csv, the consistent predictions as the competition takes them."""
    write_csv(out / SUBMISSION_NAME, submission(projection))


def submission(projection: Projection) -> pd.DataFrame:
    """Return the competition's table: `id` (`<StudyInstanceUID>_<label>` or SOPInstanceUID) and `label`."""
    long = projection.exam[list(EXAM_LABELS)].rename_axis("study").reset_index().melt(id_vars="study")
    exams = pd.DataFrame({"id": long["study"] + "_" + long["variable"], "label": long["value"]})
    if projection.image is None:
        return exams
    images = pd.DataFrame({"id": projection.image[IMAGE], "label": projection.image["score"]})
    return pd.concat([exams, images], ignore_index=True)
