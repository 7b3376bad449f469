"""Checks of a labels table's cells, and the one error that names all breaches."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pectl.core.labels.names import INDETERMINATE, NEGATIVE, RV_LV
from pectl.errors import LabelsError

_EXAMPLES = 3


def missing_uids(table: pd.DataFrame, columns: tuple[str, ...]) -> dict[str, dict[int, str]]:
    """Return the rows without a UID, and how to call them (as an editor counts, the header being 1)."""
    return {
        f"{column} is empty": {int(row): f"row {row + 2}" for row in np.flatnonzero(table[column].isna())}
        for column in columns
    }


def wrong_values(table: pd.DataFrame, columns: Sequence[str]) -> dict[str, dict[int, str]]:
    """Return the rows with values other than 0 and 1 of each label; these become 0, and text that is 1 becomes 1."""
    found: dict[str, dict[int, str]] = {}
    for column in columns:
        numbers = pd.to_numeric(table[column], errors="coerce").to_numpy()
        wrong = np.flatnonzero((numbers != 0) & (numbers != 1))
        found[f"{column} isn't 0 or 1"] = {int(row): f"row {row + 2}: {table[column].iloc[row]}" for row in wrong}
        table[column] = (numbers == 1).astype(np.int8)
    return found


def may_repeat(texts: NDArray[np.object_]) -> bool:
    """Return whether two of (n,) texts can be the same: their hashes are, which takes a third of the time to find."""
    hashes = np.sort(np.fromiter(map(hash, texts), np.int64, len(texts)))
    return bool((hashes[1:] == hashes[:-1]).any())


def without_undefined(exam: pd.DataFrame) -> pd.DataFrame:
    """Blank RV/LV where it isn't defined: in studies without PE."""
    positive = (exam[NEGATIVE] == 0) & (exam[INDETERMINATE] == 0)
    exam.loc[~positive, list(RV_LV)] = np.nan
    return exam


def raise_breaches(where: object, found: dict[str, list[str]]) -> None:
    """Raise one error for all that was found, with up to three examples of each.

    Args:
        where: the table, or tables.
        found: what is broken -> where it is.

    Raises:
        LabelsError: there is anything.
    """
    broken = {rule: examples for rule, examples in found.items() if examples}
    if broken:
        listed = "; ".join(
            f"{rule}: {len(examples)} times (e.g. {', '.join(examples[:_EXAMPLES])})"
            for rule, examples in broken.items()
        )
        raise LabelsError(
            where=where,
            expected="labels that obey the rules",
            found=f"{len(broken)} broken: {listed}",
            fix="correct the table; docs/reference/codes.md lists the rules",
        )
