"""What the model says of one study, as far as it is written as DICOM."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pectl.core.labels.names import EXAM_LABELS, PE_PRESENT
from pectl.core.storage.stamp import digest_of
from pectl.errors import DicomOutputError

STEPS = 65535
"""Heat is stored in so many steps (Bits Allocated is 16 in a Parametric Map, PS3.3 C.8.32.2)."""
LONGEST = {"name": 40, "version": 40, "digest": 64}
"""Characters of what names a model: with what stands beside it, it has to fit a Long String (PS3.5, 6.2)."""


class Kind(StrEnum):
    """What can be written; each is a series of its own."""

    SR = "sr"
    KEY_IMAGES = "key-images"
    KOS = "kos"
    HEAT = "heat"
    SEG = "seg"


HEATED = frozenset({Kind.KEY_IMAGES, Kind.HEAT, Kind.SEG})
"""What shows heat."""


class Call(StrEnum):
    """The decision on a label; undetermined inside the abstain band."""

    PRESENT = "present"
    ABSENT = "absent"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True)
class Answer:
    """What the model says of one label: calibrated probability in [0, 1], and the decision."""

    probability: float
    call: Call

    @property
    def percent(self) -> float:
        """Return the probability in percent as it is written, to two digits."""
        return round(100 * self.probability, 2)


@dataclass(frozen=True)
class ModelIdentity:
    """The bundle that answered: its name and version, and the SHA-256 of its file in 64 hex digits."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """A model's result on one study.

    Attributes:
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID of the series that was judged.
        answers: of `pe_present`, and of those of the nine exam labels that are defined for the study.
        model: who answered.
        flags: codes of the intake; those that tell of image quality are written, see `codes.QUALITY`.
        out_of_distribution: why the study is unlike those the model learnt from; empty if it isn't.
        seen: what to say of a study that the model was made with; empty if it wasn't.
        key_images: SOPInstanceUIDs of the original slices to show, the most telling first.
        heat: of original slices by SOPInstanceUID, (rows, columns) in [0, 1] of `heat_scale`; slices that are not there
            have none.
        heat_scale: what heat is a share of, in a few words.
        heat_method: `layer-cam` or `grad-cam`.

    Raises:
        DicomOutputError: no answer for `pe_present`, a label that isn't one, a value outside [0, 1], a name of the
            model that is empty or too long.
    """

    study_uid: str
    series_uid: str
    answers: Mapping[str, Answer]
    model: ModelIdentity
    flags: tuple[str, ...] = ()
    out_of_distribution: str = ""
    seen: str = ""
    key_images: tuple[str, ...] = ()
    heat: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    heat_method: str = "layer-cam"
    heat_scale: str = "the study's peak"

    def __post_init__(self) -> None:
        """Check labels and ranges."""
        unknown = sorted(set(self.answers) - {*EXAM_LABELS, PE_PRESENT})
        if unknown or PE_PRESENT not in self.answers:
            found = f"also {', '.join(unknown)}" if unknown else f"no {PE_PRESENT}"
            raise self._wrong("answers", f"{PE_PRESENT}, and of {', '.join(EXAM_LABELS)}", found)
        for name, longest in LONGEST.items():
            if not 1 <= len(getattr(self.model, name)) <= longest:
                found = str(len(getattr(self.model, name)))
                raise self._wrong(f"model.{name}", f"1 to {longest} characters", found)
        for label, answer in self.answers.items():
            if not 0 <= answer.probability <= 1:
                raise self._wrong(f"answers[{label}]", "a probability in [0, 1]", str(answer.probability))
        for uid, heat in self.heat.items():
            if not (heat.size and heat.min() >= 0 and heat.max() <= 1):
                raise self._wrong(f"heat[{uid}]", "values in [0, 1]", "others")

    def _wrong(self, name: str, expected: str, found: str) -> DicomOutputError:
        where = f"study {self.study_uid}, {name}"
        return DicomOutputError(where=where, expected=expected, found=found, fix="give the model's own result")

    def heat_steps(self, sop_instance_uid: str) -> NDArray[np.uint16]:
        """Return the heat of a slice as it is stored: (rows, columns), 65535 is all of `heat_scale`."""
        return np.rint(self.heat[sop_instance_uid] * STEPS).astype(np.uint16)

    @cached_property
    def said_digest(self) -> str:
        """Return the SHA-256 of all that is written of it but heat: two results of one digest make the same report."""
        answers = {label: [answer.percent, answer.call] for label, answer in self.answers.items()}
        told = [self.series_uid, self.model.name, self.model.version, list(self.flags)]
        return digest_of(answers, told, [self.out_of_distribution, self.seen], list(self.key_images))

    @cached_property
    def content_digest(self) -> str:
        """Return the SHA-256 of what is written of it: two results of one digest make the same objects."""
        heat = {uid: hashlib.sha256(self.heat_steps(uid).tobytes()).hexdigest() for uid in self.heat}
        return digest_of(self.said_digest, heat, self.heat_method, self.heat_scale)
