"""The order in which studies are to be looked at. Whatever was found, a study stays on the list."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from pectl.core.labels.names import CENTRAL, RV_LV_GTE_1
from pectl.inference.prediction import Prediction


@dataclass(frozen=True, kw_only=True)
class Row:
    """A study on the worklist.

    Attributes:
        name: of its files.
        prediction: what is said of it, without its images.
        arrived: when its last file was written, in seconds since 1970.
    """

    name: str
    prediction: Prediction
    arrived: float

    def waits(self, now: float, limit_seconds: float | None) -> bool:
        """Tell whether the study has waited for longer than the limit."""
        return limit_seconds is not None and now - self.arrived > limit_seconds

    def _rank(self) -> tuple[int, bool, bool, float]:
        said = self.prediction
        if said.state == "flagged":
            return 0, not said.called(RV_LV_GTE_1), not said.called(CENTRAL), -(said.probability or 0.0)
        return (2 if said.state == "negative" and not said.unlike else 1), False, False, 0.0

    @classmethod
    def ordered(cls, rows: Iterable[Self], *, now: float, limit_seconds: float | None = None) -> list[Self]:
        """Sort a list.

        First studies with PE: with strain of the right ventricle before those without, central before others, then by
        probability. Then what a human has to decide: studies that are undecided, refused, or unlike those the model was
        made with. Then those without PE. Of equals the one that arrived first. Those that wait for too long come before
        all others, in the same order among themselves.

        Args:
            rows: the list.
            now: the time, in seconds since 1970.
            limit_seconds: longest time to wait; None for no limit.
        """

        def key(row: Self) -> tuple[object, ...]:
            return not row.waits(now, limit_seconds), row._rank(), row.arrived, row.prediction.study

        return sorted(rows, key=key)
