"""Open a bundle as an instrument: no pickle, no network, no temporary file, and every byte of it checked."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from safetensors.torch import load as load_tensors
from torch import Tensor

from pectl.bundle.archive import refused
from pectl.bundle.manifest import Bundle, open_bundle
from pectl.bundle.names import (
    CONFIG,
    DECISIONS,
    FINGERPRINTS,
    HEAT_SCALE,
    OUT_OF_DISTRIBUTION,
    SEEN,
    made_from_name,
    model_name,
)
from pectl.bundle.unloaded import identity, read_preprocess
from pectl.config import WindowsConfig
from pectl.core.decisions.decisions import Decisions
from pectl.core.decisions.heat_scale import HeatScale
from pectl.core.decisions.out_of_distribution import OutOfDistribution
from pectl.core.models.checkpoint import DESCRIPTION, WEIGHTS, StoredModel, build_stage1, build_stage2
from pectl.core.storage.stamp import check_lineage
from pectl.core.stores.fingerprint import BITS, is_fingerprint
from pectl.inference.instrument import Instrument, Member
from pectl.inference.precision import Asked

_PRECISION: TypeAdapter[Asked] = TypeAdapter(Asked)


def load_bundle(path: Path) -> Instrument:
    """Load a bundle, ready to infer on the CPU.

    Raises:
        StoreError: it isn't a bundle, is of another version, or a byte of it was changed; the message names the member.
        LineageError: its configuration isn't that of the study store it says it was made from.
    """
    with open_bundle(path) as bundle:
        instrument = Instrument(
            members=tuple(_member(bundle, number) for number in range(1, bundle.manifest.n_members + 1)),
            out_of_distribution=read_out_of_distribution(bundle),
            seen=_read_seen(bundle),
            **asdict(identity(bundle)),
            lineage=bundle.manifest.made_from,
            **read_config(bundle),
        )
        bundle.check()  # what wasn't read for the instrument
    return instrument


def read_config(bundle: Bundle) -> dict[str, Any]:
    """Return how a bundle's input is made: the fields of `Instrument` from `preprocess` to `precision`.

    Raises:
        StoreError: they aren't such.
        LineageError: the preprocessing isn't that of the study store.
    """
    preprocess, content = read_preprocess(bundle), bundle.read_json(CONFIG)
    try:
        return {
            "preprocess": preprocess,
            "windows": WindowsConfig.of_run(content["windows"]),
            "input_px": int(content["input_px"]),
            "batch_size": int(content["batch_size"]),
            "precision": _PRECISION.validate_python(content["precision"]),
        }
    except (KeyError, TypeError, ValueError) as error:
        found = str(error).splitlines()[0]
        raise refused(bundle.path, f"preprocessing, windows and precision in {CONFIG}", found) from error


def read_out_of_distribution(bundle: Bundle) -> OutOfDistribution | None:
    """Return the distance from training, if the bundle has one."""
    if OUT_OF_DISTRIBUTION not in bundle.manifest.members:
        return None
    return OutOfDistribution.from_json(bundle.read_json(OUT_OF_DISTRIBUTION))


def read_fingerprints(bundle: Bundle) -> list[str]:
    """Return the fingerprints of the volumes that a member was made with; none where the bundle has no such part."""
    if FINGERPRINTS not in bundle.manifest.members:
        return []
    found = bundle.read_json(FINGERPRINTS).get("studies")
    if not isinstance(found, list) or not all(map(is_fingerprint, found)):
        raise refused(bundle.path, f"fingerprints of {BITS} bits in {FINGERPRINTS}", "others")
    return found


def read_decisions(bundle: Bundle) -> list[Decisions]:
    """Return the decisions of each member; their studies are marks."""
    found = bundle.read_json(DECISIONS).get("members")
    if not isinstance(found, list) or len(found) != bundle.manifest.n_members:
        raise refused(bundle.path, f"decisions of {bundle.manifest.n_members} members in {DECISIONS}", "others")
    return [Decisions.from_json(one) for one in found]


def read_heat_scales(bundle: Bundle) -> list[HeatScale]:
    """Return the scale of heat of each member; empty ones where the bundle has no such part."""
    n = bundle.manifest.n_members
    if HEAT_SCALE not in bundle.manifest.members:
        return [HeatScale()] * n
    found = bundle.read_json(HEAT_SCALE).get("members")
    if not isinstance(found, list) or len(found) != n:
        raise refused(bundle.path, f"scales of heat of {n} members in {HEAT_SCALE}", "others")
    return [HeatScale.from_json(one) for one in found]


def _member(bundle: Bundle, number: int) -> Member:
    return Member(
        encoder=build_stage1(_stored(bundle, "stage1", number)),
        classifier=build_stage2(_stored(bundle, "stage2", number)),
        decisions=read_decisions(bundle)[number - 1],
        heat_scale=read_heat_scales(bundle)[number - 1],
    )


def _read_seen(bundle: Bundle) -> frozenset[str]:
    """Return the tokens of the studies that a member was made with."""
    found = bundle.read_json(SEEN).get("studies")
    if not isinstance(found, list):
        raise refused(bundle.path, f"a list of studies in {SEEN}", type(found).__name__)
    return frozenset(map(str, found))


def _stored(bundle: Bundle, stage: str, number: int) -> StoredModel:
    name = model_name(stage, number, WEIGHTS)
    listed = bundle.manifest.members.get(name, (0, "none"))[1]
    made_from = bundle.manifest.made_from.get(made_from_name(stage, number), "none")
    check_lineage(where=bundle.path, expected=made_from, found=listed, what=f"{name} of the digest")
    description: dict[str, Any] = bundle.read_json(model_name(stage, number, DESCRIPTION))

    def weights() -> dict[str, Tensor]:
        return load_tensors(bundle.read(name))

    return StoredModel(f"{bundle.path}/{stage}/{number}", description, weights)
