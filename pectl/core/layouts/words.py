"""How tables of sets write numbers and flags."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FLAGS: Mapping[str, int | None] = {"1": 1, "0": 0, "": None}
"""What a flag means, of `plain_numbers`; another word is none."""


def plain_numbers(values: "pd.Series[str]") -> "pd.Series[str]":
    """Return numbers as they are elsewhere: tables that went through floats have "123.0" for 123."""
    return values.str.strip().str.replace(r"\.0$", "", regex=True)
