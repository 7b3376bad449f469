"""Predict what an orchestrator has laid out, and answer where and as it expects."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom

from pectl.core.storage.files import read_json, write_bytes, write_json
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.errors import InputMissingError
from pectl.orchestrators.contract import Item, Orchestrator
from pectl.steps.predict_studies import Loadable, PredictSummary, Progress, Wish, predict_studies
from pectl.steps.predicted.folder import MADE_BY

_LEFT_OUT = ("images", "arrived", "source")
"""Of a study's JSON: too long for a message, or of use to a worklist alone."""


def predict_for(
    orchestrator: Orchestrator,
    items: Sequence[Item],
    model: Loadable,
    wish: Wish,
    *,
    work: Path,
    progress: Progress = lambda done, total: None,
) -> list[PredictSummary]:
    """Predict each item by itself with one model, and write its answer.

    The JSON of an item is written last. Items without a study don't keep the others from being done.

    Args:
        orchestrator: says how objects are named, and what else the JSON holds.
        items: what to predict.
        model: is loaded once.
        wish: what is wanted beside predictions.
        work: folder for what nobody keeps.
        progress: called with (items done, items).

    Raises:
        InputMissingError: no study in an item; the first such is named, after all the others are done.
        DicomOutputError: DICOM objects are asked for, and the extra that writes them isn't installed.
        StoreError: the disk is full.
        Interrupted: a stop was asked for; items that were done have their answer.
    """
    model = model.load() if len(items) > 1 else model
    summaries, empty = [], []
    for number, item in enumerate(items):
        folder = work / str(number)
        try:
            summaries.append(predict_studies([item.source], model, folder, wish))
        except InputMissingError as error:
            empty.append(error)
        else:
            _answer(orchestrator, item, folder, summaries[-1])
        progress(number + 1, len(items))
    if empty:
        raise empty[0]
    return summaries


def find_bundle(path: Path) -> Path:
    """Return the bundle that is meant: the file itself, or the only one in a folder and those inside.

    Raises:
        InputMissingError: nothing there, or a folder with none or several.
    """
    found = sorted(path.rglob("*.pectl")) if path.is_dir() else [path] * path.exists()
    if len(found) != 1:
        raise InputMissingError(
            where=path,
            expected="one bundle (FILE.pectl), or a folder that holds one",
            found=f"{len(found)} bundles" if path.is_dir() else "nothing",
            fix="mount the file there, or name it by --model",
        )
    return found[0]


def _answer(orchestrator: Orchestrator, item: Item, folder: Path, summary: PredictSummary) -> None:
    for path in sorted((folder / "dicom").glob("*/*.dcm")):
        header = pydicom.dcmread(path, specific_tags=["SeriesInstanceUID", "SOPInstanceUID"], stop_before_pixels=True)
        name = orchestrator.file_name(series=str(header.SeriesInstanceUID), image=str(header.SOPInstanceUID))
        write_bytes(item.objects / name, path.read_bytes())
    studies = [_said(folder / "studies" / f"{row.name}.json") for row in summary.rows]
    without = {study for study, _ in summary.without_dicom}
    more = orchestrator.more([row.prediction for row in summary.rows], without)
    write_json(item.result, {"use": RESEARCH_USE, "studies": studies} | more)


def _said(path: Path) -> dict[str, Any]:
    """Return what is said of a study, without a line for each slice."""
    data = read_json(path, made_by=MADE_BY)
    return {name: value for name, value in data.items() if name not in _LEFT_OUT}
