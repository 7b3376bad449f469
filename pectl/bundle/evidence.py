"""What is known of a model besides its runs, as a bundle keeps and its card tells it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pectl.core.decisions.out_of_distribution import OutOfDistribution


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of the runs besides themselves.

    Attributes:
        studies: rows of `studies.csv` of the training split; None where no feature store was given.
        distance: from training.
        metrics: content of `metrics.json`.
        evaluated: the number of the pair that was evaluated, from 1.
        fingerprints: of the volumes that the runs were made with; empty where no study store was given.
    """

    studies: pd.DataFrame | None = None
    distance: OutOfDistribution | None = None
    metrics: Mapping[str, Any] | None = None
    evaluated: int = 1
    fingerprints: tuple[str, ...] = ()
