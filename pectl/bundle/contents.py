"""The members of a bundle, by their names."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pectl.bundle.evidence import Evidence
from pectl.bundle.names import (
    CARD,
    CONFIG,
    DECISIONS,
    FINGERPRINTS,
    HEAT_SCALE,
    METRICS,
    OUT_OF_DISTRIBUTION,
    SEEN,
    made_from_name,
    model_name,
)
from pectl.bundle.pairs import Pair
from pectl.core.models.checkpoint import DESCRIPTION, WEIGHTS
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.core.stores.runs import best_model
from pectl.inference.instrument import Instrument, seen_tokens


def contents(pairs: Sequence[Pair], evidence: Evidence, card: str) -> dict[str, bytes]:
    """Return all members of a bundle but the manifest. No StudyInstanceUID is in any of them."""
    distance, metrics = evidence.distance, evidence.metrics
    seen = sorted(frozenset().union(*(pair.instrument.seen for pair in pairs)))
    members = {CARD: card.encode(), CONFIG: _json(_config(pairs[0].instrument)), SEEN: _json({"studies": seen})}
    members[DECISIONS] = _json({"use": RESEARCH_USE, "members": [_decisions(pair) for pair in pairs]})
    scales = [pair.member.heat_scale.to_json() for pair in pairs]
    if any(scales):
        members[HEAT_SCALE] = _json({"members": scales})
    if distance is not None:
        members[OUT_OF_DISTRIBUTION] = _json(distance.to_json(), indent=None)
    if metrics is not None:
        members[METRICS] = _json(metrics)
    if evidence.fingerprints:
        members[FINGERPRINTS] = _json({"studies": sorted(evidence.fingerprints)})
    for number, pair in enumerate(pairs, 1):
        for stage, run in (("stage1", pair.stage1), ("stage2", pair.stage2)):
            for part in (DESCRIPTION, WEIGHTS):
                members[model_name(stage, number, part)] = (best_model(run) / part).read_bytes()
    return members


def made_from(pairs: Sequence[Pair]) -> dict[str, str]:
    """Return the digests of what a bundle was made from; those of a second pair end in `/2`, and so on."""
    found: dict[str, str] = {}
    for number, pair in enumerate(pairs, 1):
        found |= {made_from_name(name, number): digest for name, digest in pair.instrument.lineage.items()}
    return found


def _config(instrument: Instrument) -> dict[str, Any]:
    sections = {"preprocess": instrument.preprocess, "windows": instrument.windows}
    numbers = {name: getattr(instrument, name) for name in ("input_px", "batch_size", "precision")}
    return {name: section.model_dump(mode="json") for name, section in sections.items()} | numbers


def _decisions(pair: Pair) -> dict[str, Any]:
    """Return the decisions with tokens in the place of the studies they were fitted on."""
    decisions = pair.member.decisions
    return replace(decisions, studies=tuple(sorted(seen_tokens(decisions.studies)))).to_json()


def _json(data: Mapping[str, Any], indent: int | None = 2) -> bytes:
    return (json.dumps(data, indent=indent, allow_nan=False) + "\n").encode()
