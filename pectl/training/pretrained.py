"""A training of stage 1 that goes on from another: its weights, and the studies that these have seen."""

import logging
from collections.abc import Mapping

import pandas as pd

from pectl.core.labels.splits import refuse_trained_on
from pectl.core.models.weights import Pretrained
from pectl.core.stores.study_store import StudyStore
from pectl.core.stores.tables import read_run_splits

_log = logging.getLogger(__name__)


def splits_with_seen(store: StudyStore, pretrained: Pretrained | None) -> "pd.Series[str]":
    """Return who is in which split, with the studies that the weights were trained on before.

    A run keeps them all in its `splits.csv`, so that whatever measures the model refuses these studies too.

    Raises:
        SplitError: the store has some of them in `val` or `test`.
    """
    if pretrained is None or pretrained.run is None:
        return store.splits
    before = read_run_splits(pretrained.run)
    refuse_trained_on(before, store.uids("val"), where=pretrained.run, trained=("train",))
    refuse_trained_on(before, store.uids("test"), where=pretrained.run, trained=("train", "val"))
    seen = before[before.isin(("train", "val")) & ~before.index.isin(store.splits.index)]
    return pd.concat([store.splits, seen])


def made_from_weights(pretrained: Pretrained | None) -> dict[str, str]:
    """Return the digest of the weights' file, if there is one, as a part of what a run is made from."""
    return {"weights": pretrained.digest} if pretrained and pretrained.digest else {}


def described(pretrained: Pretrained | None) -> Mapping[str, object] | None:
    """Return what `run.json` says of the weights that the training began with."""
    if pretrained is None:
        return None
    return {"weights": pretrained.weights, "begun_anew": pretrained.begun_anew, "left_out": pretrained.left_out}


def tell(pretrained: Pretrained | None) -> None:
    """Say in the log which heads don't go on from where another training left them."""
    if pretrained is None or pretrained.run is None:
        return
    for heads, fate in ((pretrained.begun_anew, "begins anew"), (pretrained.left_out, "of these weights is left out")):
        for head in heads:
            _log.warning("stage1.weights = %s: %s %s", pretrained.weights, head, fate)
