import pytest

from pectl.core.decisions.heat_scale import HeatReference, HeatScale
from pectl.errors import StoreError


def test_the_reference_is_the_median_peak_of_the_studies_that_are_flagged() -> None:
    peaks = [0.1, 3.0, 1.0, 2.0, 90.0, 2.5, 0.2]
    flagged = [False, True, True, True, True, True, False]
    assert HeatReference.fit(peaks, flagged) == HeatReference(2.5, n_flagged=5, n_studies=7)


def test_too_few_flagged_studies_or_no_heat_give_no_reference() -> None:
    assert HeatReference.fit([1.0] * 9, [True] * 4 + [False] * 5) is None
    assert HeatReference.fit([0.0, 0.0, 0.0, 1.0, 1.0], [True] * 5) is None
    assert HeatReference.fit([], []) is None


def test_references_are_by_method_and_label_and_come_back() -> None:
    first, second = HeatReference(0.5, 5, 9), HeatReference(7.0, 6, 9)
    scale = (
        HeatScale().with_reference("layer-cam", "pe_present", first).with_reference("grad-cam", "pe_present", second)
    )
    scale = scale.with_reference("layer-cam", "central_pe", second)
    assert scale.reference("layer-cam", "pe_present") == first
    assert scale.reference("layer-cam", "central_pe") == scale.reference("grad-cam", "pe_present") == second
    assert scale.reference("grad-cam", "central_pe") is HeatScale().reference("layer-cam", "pe_present") is None
    assert HeatScale.from_json(scale.to_json()) == scale


@pytest.mark.parametrize(
    "broken",
    [
        {"layer-cam": {"pe_present": {"value": 1.0}}},
        {"layer-cam": 3},
        {"a": {"b": {"value": 0, "n_flagged": 5, "n_studies": 5}}},
        {"a": {"b": {"value": float("inf"), "n_flagged": 5, "n_studies": 5}}},
    ],
)
def test_what_is_no_scale_is_refused(broken: dict) -> None:
    with pytest.raises(StoreError, match=r"heat_scale.json: expected references of heat .*; delete it, and measure"):
        HeatScale.from_json(broken)
