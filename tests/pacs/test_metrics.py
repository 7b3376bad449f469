"""Numbers of a node."""

import json

from pectl.pacs.metrics import BOUNDS_SECONDS, Metrics


def test_json_and_prometheus_say_the_same(tmp_path):
    metrics = Metrics()
    metrics.count("objects_received", 3)
    metrics.count("studies_sent")
    for seconds in (20.0, 45.5, 100000.0):
        metrics.answered(seconds)
    metrics.write(tmp_path, {"sent": 1, "failed": 0})
    told = json.loads((tmp_path / "metrics.json").read_text())
    assert told["studies"] == {"sent": 1, "failed": 0}
    assert (told["counts"]["objects_received"], told["counts"]["studies_failed"]) == (3, 0)
    assert told["seconds_to_answer"] == {"n": 3, "mean": 100065.5 / 3, "longest": 100000.0}
    lines = (tmp_path / "metrics.prom").read_text().splitlines()
    for line in ('pectl_studies{state="sent"} 1', "pectl_objects_received_total 3", "pectl_studies_sent_total 1"):
        assert line in lines
    assert 'pectl_seconds_to_answer_bucket{le="30"} 1' in lines
    assert 'pectl_seconds_to_answer_bucket{le="60"} 2' in lines
    assert f'pectl_seconds_to_answer_bucket{{le="{BOUNDS_SECONDS[-1]}"}} 2' in lines
    assert 'pectl_seconds_to_answer_bucket{le="+Inf"} 3' in lines
    assert "pectl_seconds_to_answer_sum 100065.500" in lines
    names = [line.split()[0].split("{")[0] for line in lines if not line.startswith("#")]
    declared = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in names} == declared


def test_nothing_yet():
    told = Metrics().to_json({})
    assert told["seconds_to_answer"] == {"n": 0, "mean": None, "longest": None}
