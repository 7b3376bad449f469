"""What the contracts of all orchestrators have in common."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pectl.core.labels.names import CENTRAL, RV_LV_GTE_1
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.errors import InputMissingError
from pectl.inference.prediction import Prediction

Environment = Mapping[str, str]


@dataclass(frozen=True)
class Item:
    """What is predicted by itself.

    Attributes:
        source: folder of its DICOM files.
        objects: folder that its DICOM objects go to, without folders inside.
        result: JSON file of what is said.
    """

    source: Path
    objects: Path
    result: Path


class Orchestrator:
    """The file contract of a program that calls pectl; each overrides what is its own."""

    def items(self, environment: Environment) -> list[Item]:
        """Return what is to be predicted.

        Raises:
            InputMissingError: a variable isn't set, or its folder isn't there.
        """
        raise NotImplementedError

    def kinds(self, environment: Environment) -> str | None:
        """Return the kinds of DICOM objects that the program's own settings ask for; None where they don't say.

        Raises:
            ConfigError: they say something else.
        """
        del environment
        return None

    def file_name(self, *, series: str, image: str) -> str:
        """Return the name of a DICOM object's file by its SeriesInstanceUID and SOPInstanceUID."""
        del series
        return f"{image}.dcm"

    def more(self, predictions: Sequence[Prediction], without_dicom: Collection[str]) -> dict[str, Any]:
        """Return what the JSON holds beside `use` and `studies`.

        Args:
            predictions: of the studies of an item.
            without_dicom: those of which no DICOM object could be written, by StudyInstanceUID.
        """
        del predictions, without_dicom
        return {}


def folder_of(environment: Environment, name: str) -> Path:
    """Return the folder that a variable names.

    Raises:
        InputMissingError: it isn't set, or there is no such folder.
    """
    value = environment.get(name, "")
    if not value or not Path(value).is_dir():
        raise InputMissingError(
            where=name,
            expected="a variable with the path of a folder",
            found=f"no folder {value}" if value else "nothing",
            fix="the orchestrator sets it; by hand, set it in the environment",
        )
    return Path(value)


def sentence(prediction: Prediction) -> str:
    """Say what is to be made of a study, without anything that tells whose it is."""
    if prediction.state == "refused":
        reason = prediction.findings[0]
        return f"not read: {reason.code}{f' ({reason.detail})' if reason.detail else ''}"
    said = [f"{_STATES[prediction.state]}, probability {prediction.probability:.2f}"]
    if prediction.state == "flagged":
        said += [words for label, words in _WORDS.items() if prediction.called(label)]
    if prediction.unlike:
        said.append(f"unlike the training ({'; '.join(prediction.unlike)})")
    if prediction.seen:
        said.append("the model was made with this study")
    return ", ".join(said)


def needs_a_look(prediction: Prediction) -> bool:
    """Tell whether a human is to be told of a study: all but those without PE that are like the training."""
    return prediction.state != "negative" or bool(prediction.unlike)


NOTE = f"{RESEARCH_USE.capitalize()}."
_STATES = {"flagged": "PE flagged", "undecided": "PE undecided", "negative": "no PE"}
_WORDS = {CENTRAL: "central", RV_LV_GTE_1: "RV/LV 1 or more"}
