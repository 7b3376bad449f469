"""What a model says of one study, as it is handed on: typed, frozen, and JSON both ways."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any, Literal, Self

from pectl.core.intake.findings import CODES, Finding
from pectl.core.labels.names import PE_PRESENT
from pectl.core.storage.stamp import RESEARCH_USE

State = Literal["flagged", "undecided", "negative", "refused"]
"""PE; neither ruled in nor out; no PE; not read by the model."""
FORMAT, VERSION = "pectl-prediction", 1


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is said of one label.

    Attributes:
        score: of the model, in [0, 1], the mean of its members; of the two RV/LV labels given PE, so that
            they sum to one.
        probability: calibrated; of the two RV/LV labels given PE too.
        consistent: moved so that the labels of the study obey the rules of the competition; of the two RV/LV
            labels the probability of PE with that ratio, so that they sum to that of PE.
        called: whether the label is there, as the state of the study has it; None where that is undecided.
    """

    score: float
    probability: float
    consistent: float
    called: bool | None


@dataclass(frozen=True, kw_only=True)
class ImageAnswer:
    """PE on one original slice: the score, and the score that agrees with the labels of the study."""

    sop_instance_uid: str
    score: float
    consistent: float


@dataclass(frozen=True, kw_only=True)
class Model:
    """Which model answered."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A study's row of the worklist, and all that stands behind it.

    Attributes:
        study: StudyInstanceUID, or a name where there is no usable one.
        series: SeriesInstanceUID of the series that was read.
        state: what is to be made of it.
        findings: of the intake, the outcome first: `accepted`, or why the study is refused.
        model: who answered.
        answers: of `pe_present` and the nine exam labels; empty where the study is refused.
        images: of the original slices, from feet to head.
        hottest: SOPInstanceUID of the image with the highest score; empty where the study is refused.
        unlike: why the study is unlike those the model was made with; empty if it isn't.
        seen: the model was made with this study, so that its answers say nothing of new ones.
    """

    study: str
    series: str
    state: State
    findings: tuple[Finding, ...]
    model: Model
    answers: Mapping[str, Answer] = field(default_factory=dict)
    images: tuple[ImageAnswer, ...] = ()
    hottest: str = ""
    unlike: tuple[str, ...] = ()
    seen: bool = False

    @property
    def probability(self) -> float | None:
        """Return the calibrated probability of PE; None where the study is refused."""
        return self.answers[PE_PRESENT].probability if self.answers else None

    def called(self, label: str) -> bool:
        """Tell whether a label is called present."""
        return bool(self.answers and self.answers[label].called)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        head = {"format": FORMAT, "version": VERSION, "use": RESEARCH_USE}
        return head | asdict(self) | {"answers": {name: asdict(one) for name, one in self.answers.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned; a KeyError or TypeError where it is something else."""
        parts = {key: value for key, value in data.items() if key in cls.__dataclass_fields__}
        return cls(
            **parts
            | {
                "findings": tuple(Finding(**one) for one in parts["findings"]),
                "model": Model(**parts["model"]),
                "answers": {name: Answer(**one) for name, one in parts["answers"].items()},
                "images": tuple(ImageAnswer(**one) for one in parts["images"]),
                "unlike": tuple(parts["unlike"]),
            }
        )

    def _repr_html_(self) -> str:
        """Return a small table for a notebook."""
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{one.probability:.3f}</td><td>{_CALLS[one.called]}</td></tr>"
            for name, one in self.answers.items()
        )
        head = "<tr><th>label</th><th>probability</th><th>called</th></tr>" if rows else ""
        notes = "; ".join([*self.unlike, *([SEEN] if self.seen else ())])
        why = CODES[self.findings[0].code][1] if self.state == "refused" else notes
        return (
            f"<table><caption>study {escape(self.study)}: {self.state}{escape(f' ({why})' if why else '')}. "
            f"RV/LV labels hold if there is PE. {RESEARCH_USE.capitalize()}.</caption>{head}{rows}</table>"
        )


SEEN = "the model was made with this study"
_CALLS = {True: "yes", False: "no", None: "undecided"}
