"""Which studies of a site the model may have been made with: by study, by where they come from, by their volume."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from pectl.core.stores.fingerprint import NEAR, near_pairs, nearest
from pectl.evaluation.external.sites import OVERLAPS
from pectl.evaluation.measure import Json


def with_overlap(
    studies: pd.DataFrame, prints: Mapping[str, str], training: Sequence[str], trained_on: Collection[str]
) -> pd.DataFrame:
    """Add `declared`, `near`, and `distance`, the share of bits in which the nearest training volume differs.

    Args:
        studies: by StudyInstanceUID; `provenance` says where they come from, if the store knows it.
        prints: fingerprint of each study that has one.
        training: fingerprints of the training studies; empty where the bundle has none.
        trained_on: sets that the model was made with, as `provenance` names them.
    """
    sets = {name.lower() for name in trained_on}
    provenance = studies.get("provenance", pd.Series("", index=studies.index)).astype(str)
    distance = pd.Series(np.nan, index=studies.index)
    mine = [uid for uid in studies.index if uid in prints]
    if mine and training:
        distance[mine] = nearest([prints[uid] for uid in mine], training)[0]
    return studies.assign(declared=provenance.str.lower().isin(sets), distance=distance, near=distance <= NEAR)


def overlap_of(studies: pd.DataFrame, *, fingerprints: int, trained_on: Collection[str]) -> Json:
    """Name the studies of a site that were left out as the model may have been made with them.

    Args:
        studies: with `outcome`, and the columns of `with_overlap`.
        fingerprints: how many the bundle has.
        trained_on: as in `with_overlap`.
    """
    named = {why: sorted(map(str, studies.index[studies["outcome"] == why])) for why in OVERLAPS}
    known = studies["distance"].dropna()
    return {
        "studies": named,
        "training_fingerprints": fingerprints,
        "compared": len(known),
        "nearest": float(known.min()) if len(known) else None,
        "declared_sets": sorted(trained_on),
    }


def repeated(prints: Mapping[str, Mapping[str, str]]) -> list[Json]:
    """Name the pairs of studies, within and between sites, whose volumes are nearly the same.

    Args:
        prints: fingerprint by study, by site.
    """
    owners = [(site, uid) for site, found in prints.items() for uid in found]
    pairs = near_pairs([prints[site][uid] for site, uid in owners])
    return [
        {
            "site": owners[first][0],
            "study": owners[first][1],
            "other_site": owners[second][0],
            "other_study": owners[second][1],
            "distance": share,
        }
        for first, second, share in pairs
    ]
