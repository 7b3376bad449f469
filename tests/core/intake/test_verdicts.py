"""Verdicts: rows, levels, and what comes back from a file."""

import csv
import json

import pytest

from pectl.core.intake.findings import Finding
from pectl.core.intake.verdicts import Verdict, count_codes, read_verdict, write_verdict, write_verdicts
from pectl.errors import StoreError

GOOD = Verdict(
    study="1.2",
    series="1.2.1",
    choice="the only one",
    source="d",
    findings=(Finding("accepted", "the only one"), Finding("padding", "3, 4\n5"), Finding("thick_slices", "6 mm")),
)
BAD = Verdict(study="1.1", series="", choice="", findings=(Finding("not_ct", '"MR"'),))


def test_the_gravest_level_is_the_studys():
    assert (GOOD.level, GOOD.refused, BAD.level, BAD.refused) == ("repair", False, "error", True)


def test_the_table_is_csv_whatever_the_details_hold(tmp_path):
    write_verdicts(tmp_path, [GOOD, BAD], ["a rule"])
    with (tmp_path / "verdicts.csv").open(newline="") as file:
        rows = [tuple(row) for row in csv.reader(file)]
    assert rows == [("study", "series", "code", "level", "detail"), *BAD.rows(), *GOOD.rows()]
    data = json.loads((tmp_path / "verdicts.json").read_text())
    assert (data["codes"], data["series_rules"]) == (
        {"accepted": 1, "not_ct": 1, "padding": 1, "thick_slices": 1},
        ["a rule"],
    )
    assert count_codes([GOOD, GOOD]) == {"accepted": 2, "padding": 2, "thick_slices": 2}


def test_a_verdict_comes_back(tmp_path):
    write_verdict(tmp_path / "a.json", GOOD)
    assert read_verdict(tmp_path / "a.json", made_by="x") == GOOD


@pytest.mark.parametrize(
    "change", [{"findings": [{"code": "nonsense", "detail": ""}]}, {"findings": 5}, {"choice": None}]
)
def test_another_json_is_refused(tmp_path, change):
    data = GOOD.as_json() | {"source": ""} | change
    if change == {"choice": None}:
        del data["choice"]
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(
        StoreError, match=r"a\.json: expected a verdict, found another JSON .*; delete it and run x again"
    ):
        read_verdict(tmp_path / "a.json", made_by="x")
