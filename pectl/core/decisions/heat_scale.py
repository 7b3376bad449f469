"""How hot is hot: the heat of validation studies that a model flags, beside which the heat of any study is drawn.

Scaled to its own peak, a study that the model clears glows like one that it flags. So heat is divided by a reference of
the model: the median peak of the validation studies that it flags. The median is what a flagged study is like; one
study of extreme heat doesn't move it, as it would a maximum, and no study has to be drawn dim because of that one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from pectl.errors import StoreError

NAME = "heat_scale.json"
LEAST_FLAGGED = 5
"""Of fewer studies a median says little: heat stays scaled to each study's own peak."""
_DIGITS = 7


@dataclass(frozen=True)
class HeatReference:
    """What is drawn as 1.

    Attributes:
        value: the median peak of the flagged validation studies, > 0, in the method's unit times a probability.
        n_flagged: of how many.
        n_studies: validation studies that were looked at.
    """

    value: float
    n_flagged: int
    n_studies: int

    @classmethod
    def fit(cls, peaks: Sequence[float], flagged: Sequence[bool]) -> "HeatReference | None":
        """Return the reference, given each validation study's peak and whether the model flags it.

        None where fewer than `LEAST_FLAGGED` are flagged, or half of them have no heat.
        """
        chosen = [peak for peak, flag in zip(peaks, flagged, strict=True) if flag]
        median = float(np.median(chosen)) if len(chosen) >= LEAST_FLAGGED else 0.0
        return cls(float(f"{median:.{_DIGITS}g}"), len(chosen), len(peaks)) if median > 0 else None


@dataclass(frozen=True)
class HeatScale:
    """The references of a model by method, then by label; those that weren't measured are left out."""

    references: Mapping[str, Mapping[str, HeatReference]] = field(default_factory=dict)

    def reference(self, method: str, label: str) -> HeatReference | None:
        """Return the reference for the heat of a label; None where there is none."""
        return self.references.get(method, {}).get(label)

    def with_reference(self, method: str, label: str, reference: HeatReference) -> "HeatScale":
        """Return the scale with one reference more."""
        labels = {**self.references.get(method, {}), label: reference}
        return replace(self, references={**self.references, method: labels})

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            method: {label: asdict(one) for label, one in labels.items()} for method, labels in self.references.items()
        }

    @classmethod
    def from_json(cls, data: object) -> "HeatScale":
        """Read what `to_json` wrote.

        Raises:
            StoreError: keys are missing or unknown, or a reference isn't a number above 0.
        """
        try:
            if not isinstance(data, Mapping):
                raise TypeError("no references")
            found = {
                method: {label: HeatReference(**one) for label, one in labels.items()}
                for method, labels in data.items()
            }
            if not all(0 < one.value < math.inf for labels in found.values() for one in labels.values()):
                raise ValueError("a reference that isn't a number above 0")
        except (AttributeError, TypeError, ValueError) as error:
            raise StoreError(
                where=NAME,
                expected="references of heat as pectl writes them",
                found=repr(error),
                fix="delete it, and measure them again with pectl explain --split test",
            ) from error
        return cls(found)
