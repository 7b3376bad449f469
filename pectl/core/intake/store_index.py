"""The index files of a study store.

They begin with the identity of the store and are finished when every study is done or refused.
"""

from pathlib import Path

import pandas as pd

from pectl.config import Config, write_config
from pectl.core.dicom.patients import patient_groups
from pectl.core.intake.choice.rules import describe_rules
from pectl.core.intake.cohort import Cohort
from pectl.core.intake.tasks import Sources, verdict_path
from pectl.core.intake.verdicts import Verdict, read_verdict, write_verdicts
from pectl.core.labels.names import STUDY, STUDY_LABELS
from pectl.core.labels.split_shares import check_filled
from pectl.core.labels.splits import make_splits
from pectl.core.layouts.layout import SetContents
from pectl.core.places.digest import NO_PLACES
from pectl.core.places.kept import emboli_table
from pectl.core.storage.files import atomic_path
from pectl.core.storage.stamp import Stamp, check_lineage, read_stamp, write_stamp
from pectl.core.stores.paths import study_path
from pectl.core.stores.slice_labels import write_slice_labels
from pectl.core.stores.study_store import FORMAT, ROW_COLUMNS, VERSION, store_digest, study_row
from pectl.core.stores.tables import MADE_BY

_BEGUN, _FINISHED = "begun.json", "store.json"


def begin_store(out: Path, config: Config, *, labels: str, places: str) -> None:
    """Mark the folder as a store of this preprocessing and these labels, or check that it is.

    Args:
        out: the store.
        config: the experiment.
        labels: identity of the labels, or `NO_LABELS`.
        places: identity of the masks and boxes, or `NO_PLACES`.

    Raises:
        LineageError: it holds studies of other preprocessing, labels, masks or boxes; both digests are named.
    """
    wanted = _stamp(config, labels, places)
    for name in (_FINISHED, _BEGUN):
        if (out / name).exists():
            found, _ = read_stamp(out / name, format=FORMAT, version=VERSION, made_by=MADE_BY)
            check_lineage(where=out, expected=wanted.digest, found=found.digest, what="preprocessing with digest")
            check_lineage(
                where=out,
                expected=wanted.made_from["labels"],
                found=found.made_from["labels"],
                what="labels with digest",
            )
            check_lineage(
                where=out,
                expected=places,
                found=found.made_from.get("places", NO_PLACES),
                what="masks or boxes, and their smallest area, with digest",
            )
            return
    with atomic_path(out / "config.toml") as temporary:
        write_config(config, temporary)
    write_stamp(out / _BEGUN, wanted, preprocess=config.preprocess.model_dump(mode="json"))  # last: nothing is left out


def finish_store(
    out: Path, cohort: Cohort, config: Config, sources: Sources, without_images: list[Verdict], *, places: str
) -> None:
    """Write the index files from what the studies' own files say: the same bytes whoever writes them.

    A cohort that was refused as a whole has empty tables.

    Args:
        out: the store.
        cohort: all studies, and their patients.
        config: the experiment.
        sources: what was read; a set brings more columns.
        without_images: verdicts on studies that the labels table alone holds.
        places: as in `begin_store`.

    Raises:
        SplitError: the studies can't be split as configured, or a part would be empty.
    """
    verdicts = [read_verdict(verdict_path(out, uid), made_by=MADE_BY) for uid in sorted(cohort.patient)]
    write_verdicts(out, [*verdicts, *without_images], describe_rules(config.preprocess), cohort.remarks)
    refused = [(one.study, one.outcome.code, one.outcome.detail) for one in verdicts if one.refused]
    _write_csv(out / "refused.csv", pd.DataFrame(refused, columns=["study", "code", "reason"]))
    studies = _with_columns(_studies(out, cohort.patient), sources.said)
    _write_csv(out / "studies.csv", studies)
    write_slice_labels(out, studies.index)
    if places != NO_PLACES:
        _write_csv(out / "emboli.csv", emboli_table(out, studies.index))
    if sources.said is not None:
        _write_met(out / "set.csv", sources.said)
    splits = make_splits(studies, config.split, seed=config.seed)
    check_filled(config.split, splits, studies["patient_group"])
    _write_csv(out / "splits.csv", splits)
    write_stamp(
        out / _FINISHED,
        _stamp(config, sources.labels_digest, places),
        preprocess=config.preprocess.model_dump(mode="json"),
    )
    (out / _BEGUN).unlink(missing_ok=True)


def _stamp(config: Config, labels: str, places: str) -> Stamp:
    return Stamp(
        format=FORMAT,
        version=VERSION,
        digest=store_digest(config.preprocess),
        made_from={"labels": labels} | ({} if places == NO_PLACES else {"places": places}),
        config_digest=config.digest(),
    )


def _studies(out: Path, patient_id: dict[str, str]) -> pd.DataFrame:
    rows = [study_row(path) for uid in sorted(patient_id) if (path := study_path(out, uid)).exists()]
    older = any(row["vessel_hu"] is None for row in rows)  # written before it was measured: a training must refuse them
    columns = [name for name in ROW_COLUMNS if name != "vessel_hu" or not older]
    studies = pd.DataFrame(rows, columns=columns).set_index(STUDY)
    studies[list(STUDY_LABELS)] = studies[list(STUDY_LABELS)].astype(float)
    groups = patient_groups(patient_id)
    studies["patient_group"] = pd.Series([groups[uid] for uid in studies.index], studies.index, dtype=str)
    return studies


def _with_columns(studies: pd.DataFrame, said: SetContents | None) -> pd.DataFrame:
    """Add a set's columns; where the files say something themselves, that stays."""
    if said is None or said.columns is None:
        return studies
    more = said.columns.reindex(studies.index).fillna("")
    both = [str(name) for name in more if name in studies]
    filled = {name: studies[name].where(studies[name] != "", more[name]) for name in both}
    return studies.assign(**filled).join(more.drop(columns=both))


def _write_met(path: Path, said: SetContents) -> None:
    rows = [(one.code, one.times, one.meaning, " ".join(one.examples)) for one in said.met]
    _write_csv(path, pd.DataFrame(rows, columns=["code", "times", "meaning", "examples"]))


def _write_csv(path: Path, table: "pd.DataFrame | pd.Series[str]") -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=table.index.name is not None)
