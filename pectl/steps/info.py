"""What an artefact of pectl is, from which inputs it was made, and whether it is whole."""

import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pectl.core.storage.files import read_json
from pectl.errors import InputMissingError, PectlError, StoreError
from pectl.steps.info_facts import (
    Facts,
    bundle_facts,
    cohort_facts,
    comparison_facts,
    evaluation_facts,
    explanation_facts,
    explanations_facts,
    external_facts,
    features_facts,
    run_facts,
    sanity_facts,
    store_facts,
    verdicts_facts,
    worklist_facts,
)

State = Literal["whole", "unfinished", "damaged", "unknown"]
UNKNOWN = "nothing that pectl writes"


@dataclass(frozen=True)
class Kind:
    """A kind of artefact: the file that says it is finished, and what tells of it."""

    name: str
    marker: str
    facts: Callable[[Path], Facts]


KINDS = (
    Kind("study store", "store.json", store_facts),
    Kind("feature store", "features.json", features_facts),
    Kind("training run", "run.json", run_facts),
    Kind("evaluation", "metrics.json", evaluation_facts),
    Kind("comparison", "comparison.json", comparison_facts),
    Kind("external validation", "external.json", external_facts),
    Kind("explanations of a split", "summary.json", explanations_facts),
    Kind("explanation of a study", "explain.json", explanation_facts),
    Kind("sanity check", "sanity_check.json", sanity_facts),
    Kind("verdicts", "verdicts.json", verdicts_facts),
    Kind("worklist", "predictions.json", worklist_facts),
    Kind("phantom cohort", "train.csv", cohort_facts),
)
"""In the order in which they are looked for: a study store holds verdicts too."""

_BEGUN = {"pectl-study-store": "study store", "pectl-feature-store": "feature store"}
"""Formats in `begun.json`; that of a training has none."""


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """What `pectl info` says.

    Attributes:
        path: as it was given.
        kind: a name of `KINDS`, or `bundle`; `nothing that pectl writes` for the rest.
        state: whole; unfinished: its work has begun and not ended; damaged: `problem` says what is wrong.
        made_from: digests of the inputs by name.
        facts: what else there is to say, in order.
        holds: kinds of artefacts in a folder that is none itself, by name.
    """

    path: str
    kind: str
    state: State
    problem: str = ""
    made_from: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    holds: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def check_whole(self) -> None:
        """Do nothing for a whole artefact, and for a folder of artefacts.

        Raises:
            StoreError: it isn't whole.
            InputMissingError: it isn't an artefact.
        """
        if self.state == "unknown" and not self.holds:
            raise InputMissingError(
                where=self.path, expected="an artefact of pectl", found=UNKNOWN, fix="give a file or folder it wrote"
            )
        if self.state in ("unfinished", "damaged"):
            raise StoreError(
                where=self.path,
                expected=f"a whole {self.kind}",
                found=f"{'an' if self.state == 'unfinished' else 'a'} {self.state} one",
                fix="run the command that made it again",
            )


def describe(path: Path) -> Artefact:
    """Say what a file or folder is. Everything that has a digest is checked against it.

    Raises:
        InputMissingError: there is no such path.
    """
    if not path.exists():
        raise InputMissingError(
            where=path, expected="a file or folder", found="no such path", fix="check how it is written"
        )
    if path.is_file():
        known = path.suffix == ".pectl" or zipfile.is_zipfile(path)
        return _described(path, Kind("bundle", "", bundle_facts)) if known else _unknown(path)
    for kind in KINDS:
        if (path / kind.marker).is_file():
            return _described(path, kind)
    begun = _begun(path)
    return _unknown(path) if begun is None else begun


def _described(path: Path, kind: Kind) -> Artefact:
    try:
        found = kind.facts(path)
    except PectlError as error:
        return Artefact(path=str(path), kind=kind.name, state="damaged", problem=str(error))
    kind_name, state = found.kind or kind.name, "damaged" if found.problem else "whole"
    return Artefact(
        path=str(path),
        kind=kind_name,
        state="damaged" if state == "damaged" else "whole",
        problem=found.problem,
        made_from=found.made_from,
        facts=found.facts,
    )


def _begun(path: Path) -> Artefact | None:
    """Return what a folder says whose work hasn't ended; None where none has begun."""
    names = [name for name in ("begun.json", "status.json") if (path / name).is_file()]
    if not names:
        return None
    try:
        parts = {name: read_json(path / name, made_by="pectl") for name in names}
    except StoreError as error:
        return Artefact(path=str(path), kind="begun work", state="damaged", problem=str(error))
    begun, status = parts.get("begun.json", {}), parts.get("status.json", {})
    kind = _BEGUN.get(str(begun.get("format")), "training run" if begun else "result of a long command")
    made_from = begun.get("made_from") or {name: value for name, value in begun.items() if name in _RUN_INPUTS}
    keys = ("state", "step", "total", "updated", "host", "error")
    facts = {name: status[name] for name in keys if name in status}
    return Artefact(path=str(path), kind=kind, state="unfinished", made_from=made_from, facts=facts)


_RUN_INPUTS = ("study_store", "split", "features", "weights")


def _unknown(path: Path) -> Artefact:
    """Return that a path is nothing of pectl's, and what lies in it by kind."""
    folders = sorted(one for one in path.iterdir() if one.is_dir()) if path.is_dir() else []
    holds = {one.name: kind.name for one in folders for kind in _kind_of(one)}
    bundles = sorted(path.glob("*.pectl")) if path.is_dir() else []
    return Artefact(path=str(path), kind=UNKNOWN, state="unknown", holds=holds | {b.name: "bundle" for b in bundles})


def _kind_of(folder: Path) -> list[Kind]:
    """Return the kind of a finished artefact, by its marker alone, or nothing."""
    return [kind for kind in KINDS if (folder / kind.marker).is_file()][:1]
