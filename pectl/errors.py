"""Every failure that a user can fix, each with the built-in exception it is a case of.

An error says what was expected, what was found, where, and what to do; the command line prints it as one line.
"""

from functools import partial
from typing import Self


class PectlError(Exception):
    """A failure the user can fix; ends a command with exit code 1."""

    exit_code = 1

    def __init__(self, *, where: object, expected: str, found: str, fix: str) -> None:
        """Keep the four parts; the message joins them into one line."""
        self.where, self.expected, self.found, self.fix = str(where), expected, found, fix
        super().__init__(" ".join(f"{where}: expected {expected}, found {found}; {fix}".split()))

    def __reduce__(self) -> tuple[partial[Self], tuple[()]]:
        """Travel whole from a worker process; exceptions are otherwise made again from their message alone."""
        return partial(type(self), **self._parts()), ()

    def _parts(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in ("where", "expected", "found", "fix")}


class ConfigError(PectlError, ValueError):
    """A configuration file or an override that doesn't fit the models in `config.py`."""


class InputMissingError(PectlError, FileNotFoundError):
    """A file or folder that a command was given isn't there, or holds nothing it can use."""

    __str__ = Exception.__str__  # OSError would print its own errno form


class OutputExistsError(PectlError, FileExistsError):
    """A result is already there and would be overwritten by a different one."""

    __str__ = Exception.__str__


class LabelsError(PectlError, ValueError):
    """A labels table that lacks a column or breaks a label rule."""


class SplitError(PectlError, ValueError):
    """A split that leaks between its parts, or can't be made."""


class StudyRefusedError(PectlError, ValueError):
    """A study that can't be used; `code` is one of the stable codes of `docs/reference/codes.md`."""

    def __init__(self, code: str, *, where: object, expected: str, found: str, fix: str) -> None:
        """Keep the code beside the message."""
        self.code = code
        super().__init__(where=where, expected=expected, found=found, fix=fix)

    def _parts(self) -> dict[str, str]:
        return super()._parts() | {"code": self.code}


class StoreError(PectlError, OSError):
    """A store or run folder that can't be read: wrong format, other version, damaged file."""

    __str__ = Exception.__str__


class HeldError(PectlError, RuntimeError):
    """Another command is at work in the folder of the result."""


class LineageError(PectlError, ValueError):
    """Two artefacts that weren't made from each other; the message holds both digests."""


class WeightsError(PectlError, ValueError):
    """Model weights that can't be found or don't fit the model."""


class DeviceError(PectlError, RuntimeError):
    """A device that was asked for and isn't there."""


class TrainingError(PectlError, RuntimeError):
    """Training that can't go on: a non-finite loss, an empty split, a run of another config."""


class PredictionsError(PectlError, ValueError):
    """A predictions table that can't be evaluated: ids, probabilities, duplicates."""


class DicomOutputError(PectlError, ValueError):
    """A result that can't be written as DICOM objects beside its study, or the extra that writes them is missing."""


class PacsError(PectlError, ConnectionError):
    """A DICOM node that can't be set up, can't be reached, or doesn't hold what it was sent."""

    __str__ = Exception.__str__


class WorkerError(PectlError, RuntimeError):
    """A process of several that was killed from outside; what was done before stays done."""


class Interrupted(PectlError):  # noqa: N818 - not an error: work stopped on request, to be requeued
    """A signal stopped the work after a checkpoint was written; ends a command with exit code 75."""

    exit_code = 75
