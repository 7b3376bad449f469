"""How numbers and labels are written in reports."""

from collections.abc import Mapping, Sequence

from pectl.core.labels.names import ACUTE_AND_CHRONIC, CENTRAL, CHRONIC, LEFT, NEGATIVE, RIGHT, RV_LV_GTE_1, RV_LV_LT_1

LABEL_TITLES: Mapping[str, str] = {
    "pe_present": "PE present",
    "pe_present_as_negative": "PE present, indeterminate as negative",
    "pe_present_excluded": "PE present, indeterminate left out",
    NEGATIVE: "Negative exam",
    "indeterminate": "Indeterminate",
    CHRONIC: "Chronic",
    ACUTE_AND_CHRONIC: "Acute and chronic",
    CENTRAL: "Central",
    LEFT: "Left-sided",
    RIGHT: "Right-sided",
    RV_LV_GTE_1: "RV/LV ≥ 1",
    RV_LV_LT_1: "RV/LV < 1",
    "rv_lv_ratio_gte_1_all_studies": "RV/LV ≥ 1, absent without PE",
    "rv_lv_ratio_lt_1_all_studies": "RV/LV < 1, absent without PE",
}
METHOD_TITLES: Mapping[str, str] = {
    "delong": "DeLong 1988",
    "clustered-delong": "clustered DeLong, Obuchowski 1997",
    "newcombe": "Newcombe 2006, as the classes are separated",
    "wilson": "Wilson 1927",
    "study-cluster-bootstrap": "bootstrap over studies",
}
_TO = "\N{EN DASH}"
UNDEFINED = _TO
_SMALLEST_P = 1e-4


def label_title(label: str) -> str:
    """Return how a label that can be explained is written."""
    return "PE in the window (stage 1 alone)" if label == "pe_window" else LABEL_TITLES[label]


def number(value: float | None, digits: int = 3) -> str:
    """Write a number; a dash where it isn't defined."""
    return UNDEFINED if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # no -0.00


def interval(bounds: Sequence[float] | None, digits: int = 3) -> str:
    """Write `0.85–0.91`, or `-0.02 to 0.01` with a minus sign; a dash where it isn't defined."""
    if bounds is None:
        return UNDEFINED
    to = " to " if bounds[0] < 0 else _TO
    return f"{bounds[0]:.{digits}f}{to}{bounds[1]:.{digits}f}"


def estimate(value: float | None, bounds: Sequence[float] | None, digits: int = 3) -> str:
    """Write `0.88 (0.85–0.91)`."""
    return number(value, digits) + (f" ({interval(bounds, digits)})" if bounds else "")


def p_value(value: float | None) -> str:
    """Write a p value with four digits, or that it is smaller."""
    return "< 0.0001" if value is not None and value < _SMALLEST_P else number(value, 4)


def percent(value: float | None) -> str:
    """Write a share as a whole percentage."""
    return UNDEFINED if value is None else f"{100 * value:.0f} %"


def share(value: float) -> str:
    """Write a bound or a small share as a percentage with up to three digits: `5 %`, `7.47 %`."""
    return f"{100 * value:.3g} %"
