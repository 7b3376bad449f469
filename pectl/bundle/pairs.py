"""A finished stage 1 and a finished stage 2 that belong together, as a bundle takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pectl.core.models.checkpoint import WEIGHTS, weights_digest
from pectl.core.storage.stamp import Stamp, check_lineage
from pectl.core.stores.runs import best_model, read_run
from pectl.core.stores.tables import read_run_splits
from pectl.errors import LineageError, StoreError
from pectl.inference.instrument import Instrument, Member, instrument_of_runs


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two runs of which the second was trained on features of the first.

    Attributes:
        instrument: what the two make by themselves.
        run2: stage 2's stamp.
        splits: of stage 2's studies.
    """

    stage1: Path
    stage2: Path
    instrument: Instrument
    run2: Stamp
    splits: "pd.Series[str]"

    @property
    def member(self) -> Member:
        """Return the networks and their decisions."""
        return self.instrument.members[0]


def open_pair(stage1: Path, stage2: Path) -> Pair:
    """Read two finished runs.

    Raises:
        StoreError: a folder isn't a finished run, or a file of it is damaged.
        LineageError: the runs don't belong to each other, or their weights aren't those they ended with.
    """
    instrument = instrument_of_runs(stage1, stage2)
    for folder, stage in ((stage1, "stage1"), (stage2, "stage2")):
        check_weights(folder, read_run(folder, stage=stage)[0])
    run2, _ = read_run(stage2, stage="stage2")
    return Pair(stage1=stage1, stage2=stage2, instrument=instrument, run2=run2, splits=read_run_splits(stage2))


def check_weights(run: Path, stamp: Stamp) -> None:
    """Check that a run's best weights are those it ended with.

    Raises:
        StoreError: there are none.
        LineageError: they are others.
    """
    path = best_model(run) / WEIGHTS
    try:
        found = weights_digest(path.parent)
    except OSError as error:
        raise StoreError(
            where=path, expected="the weights of the run", found=error.strerror or str(error), fix="train the run again"
        ) from error
    check_lineage(where=path, expected=stamp.digest, found=found, what="weights of the digest")


def check_alike(pairs: Sequence[Pair]) -> None:
    """Check that all pairs read the same input, in the same precision.

    Raises:
        LineageError: they differ in preprocessing, windows or input; the message names the keys.
    """
    first = _input(pairs[0].instrument)
    for pair in pairs[1:]:
        other = _input(pair.instrument)
        if changed := [key for key in first | other if first.get(key) != other.get(key)]:
            raise LineageError(
                where=pair.stage1,
                expected="the input of the first stage 1, " + ", ".join(f"{key} = {first.get(key)}" for key in changed),
                found=", ".join(f"{key} = {other.get(key)}" for key in changed),
                fix="bundle runs of the same preprocessing, windows, input_px and extract_precision",
            )


def _input(instrument: Instrument) -> dict[str, Any]:
    sections = {"preprocess": instrument.preprocess, "windows": instrument.windows}
    keys = {f"{name}.{key}": value for name, part in sections.items() for key, value in part.model_dump().items()}
    return keys | {"stage1.input_px": instrument.input_px, "stage1.extract_precision": instrument.precision}
