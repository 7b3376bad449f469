"""What a labels table says of one study."""

from __future__ import annotations  # what is marked brings scipy

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pectl.core.labels.names import STUDY_LABELS

if TYPE_CHECKING:
    from pectl.core.intake.marked import Marked


@dataclass(frozen=True)
class StudyLabels:
    """What a labels table says of one study.

    Attributes:
        image: PE on the image (0, 1) by SOPInstanceUID; empty for a study that the table doesn't hold,
            None where there is no table.
        exam: 0, 1 or None by label.
    """

    image: dict[str, int] | None = None
    exam: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(STUDY_LABELS))

    def completed_by(self, marked: Marked) -> StudyLabels:
        """Return these labels, and where one is unknown, what is marked says it."""
        exam = {name: marked.exam[name] if value is None else value for name, value in self.exam.items()}
        return StudyLabels(marked.image | (self.image or {}), exam)

    def contradictions(self, marked: Marked) -> int:
        """Count the labels that are known from both and differ."""
        image, exam = self.image or {}, self.exam
        images = [(label, image.get(uid)) for uid, label in marked.image.items()]
        exams = [(label, exam[name]) for name, label in marked.exam.items()]
        return sum(None not in pair and pair[0] != pair[1] for pair in (*images, *exams))
