"""Many studies, one model: each by itself, in a list that loses nobody."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from pectl.config import Config
from pectl.core.intake.tasks import Sources
from pectl.core.storage.files import write_json
from pectl.core.volumes.stated import Given
from pectl.errors import InputMissingError, Interrupted, LineageError, StoreError
from pectl.inference import reading
from pectl.steps.predict_studies import Wish, predict_studies, read_list
from pectl.steps.predicted import folder
from pectl.steps.preprocess import preprocess
from tests.tiny_instrument import PREPROCESS, tiny_decisions, tiny_instrument, tiny_member

DAY = 1_700_000_000


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, write_series):
    """Two studies, one without lungs and one that is damaged; the first arrived last."""
    root = tmp_path_factory.mktemp("cohort")
    for place, study in enumerate(("1.1", "1.2", "1.3", "1.4")):
        shape = {"hu": no_lungs} if study == "1.3" else {}
        write_series(root / study, study=study, n_slices=34, size=(64, 64), pixel_spacing_mm=(6.0, 6.0), **shape)
        for path in (root / study).iterdir():
            os.utime(path, (DAY - 60 * place, DAY - 60 * place))
    path = sorted((root / "1.4").iterdir())[3]
    path.write_bytes(path.read_bytes()[:-1000])
    os.utime(path, (DAY - 180, DAY - 180))
    return root


def no_lungs(points):
    return 40.0 - 1040.0 * ((points[..., :2] ** 2).sum(axis=-1) > 40**2)


def load(digest: str = "d1", *, rule_in: float = 0.6):
    member = tiny_member(0, tiny_decisions(rule_in=rule_in))
    return tiny_instrument(member, digest=digest, seen=("1.2",))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_broken_study_is_a_row_and_the_others_go_on(cohort, tmp_path):
    out, seen = tmp_path / "out", []
    summary = predict_studies([cohort], load(), out, Wish(progress=lambda *numbers: seen.append(numbers)))
    assert (summary.n_done, summary.n_skipped, len(summary.refused)) == (4, 0, 2)
    assert seen == [(number, 4) for number in range(1, 5)]
    rows = table(out / "worklist.csv")
    assert [(row["place"], row["StudyInstanceUID"], row["state"], row["code"]) for row in rows] == [
        ("1", "1.4", "refused", "truncated_pixel_data"),
        ("2", "1.3", "refused", "not_chest"),
        ("3", "1.2", "undecided", "accepted"),
        ("4", "1.1", "undecided", "accepted"),
    ]
    assert [row["seen_in_training"] for row in rows] == ["0", "0", "1", "0"]
    assert rows[3]["arrived"] == "2023-11-14T22:13:20+00:00"
    assert rows[0]["pe_present"] == rows[0]["hottest_image"] == ""
    alone = load().predict(cohort / "1.1")
    assert rows[3]["pe_present"] == f"{alone.probability:.9g}"
    assert rows[3]["hottest_image"] == alone.hottest
    assert rows[3]["pe_present_called"] == ""
    kept = json.loads((out / "studies" / "1.1.json").read_text())
    assert kept["answers"] == alone.to_dict()["answers"]
    assert kept["use"] == "research use only, not for diagnosis"
    images = table(out / "images.csv")
    assert [(row["SOPInstanceUID"], row["score"]) for row in images if row["StudyInstanceUID"] == "1.1"] == [
        (one.sop_instance_uid, f"{one.score:.9g}") for one in alone.images
    ]
    assert {row["StudyInstanceUID"] for row in images} == {"1.1", "1.2"}
    assert (out / "studies" / "1.1.jpg").read_bytes()[:2] == b"\xff\xd8"
    page = (out / "worklist.html").read_text()
    assert page.index("1.4") < page.index("no lungs of plausible size") < page.index("studies/1.1.json")


def test_what_is_done_is_skipped_what_has_changed_is_not_and_nobody_leaves(cohort, tmp_path):
    root, out = shutil.copytree(cohort, tmp_path / "copy"), tmp_path / "out"
    shutil.rmtree(root / "1.4")
    predict_studies([root], load(), out)
    before = {path.name: path.stat().st_mtime_ns for path in (out / "studies").iterdir()}
    os.utime(next((root / "1.2").iterdir()), (DAY + 600, DAY + 600))
    shutil.rmtree(root / "1.1")
    summary = predict_studies([root], load(), out, Wish(waiting_minutes=0))
    assert (summary.n_done, summary.n_skipped) == (1, 1)
    assert [row.prediction.study for row in summary.rows] == ["1.3", "1.1", "1.2"]
    assert [row["waits_too_long"] for row in table(out / "worklist.csv")] == ["1", "1", "1"]
    after = {path.name: path.stat().st_mtime_ns for path in (out / "studies").iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"1.2.json", "1.2.jpg"}
    with pytest.raises(
        LineageError, match=r"out: expected predictions of the model other, found some of d1; choose an"
    ):
        predict_studies([root], load("other"), out)


def test_shares_make_the_list_of_all(cohort, tmp_path):
    for index in (1, 0, 2):
        predict_studies([cohort], load(), tmp_path / "shares", Wish(shard=(index, 3)))
    predict_studies([cohort], load(), tmp_path / "one")
    for name in ("worklist.csv", "images.csv"):
        assert (tmp_path / "shares" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_a_store_and_files_beside_it(cohort, tmp_path):
    preprocess(Sources((cohort / "1.1", cohort / "1.3")), tmp_path / "store", Config(preprocess=PREPROCESS))
    out = tmp_path / "out"
    predict_studies([tmp_path / "store", cohort / "1.2"], load(), out)
    rows = {row["StudyInstanceUID"]: row for row in table(out / "worklist.csv")}
    assert rows.keys() == {"1.1", "1.2", "1.3"}
    assert rows["1.3"]["code"] == "not_chest"
    assert rows["1.1"]["pe_present"] == f"{load().predict(cohort / '1.1').probability:.9g}"
    (tmp_path / "store" / "studies" / "1.1.h5").write_bytes(b"damaged")
    summary = predict_studies([tmp_path / "store"], load(), tmp_path / "again")
    assert {row.prediction.findings[0].code for row in summary.refused} == {"damaged_store_file", "not_chest"}


def test_a_store_of_other_preprocessing_is_one_line_with_both_digests_and_leaves_nothing(cohort, tmp_path):
    other = PREPROCESS.model_copy(update={"in_plane_px": 40})
    preprocess(Sources((cohort / "1.1",)), tmp_path / "store", Config(preprocess=other))
    with pytest.raises(LineageError, match=r"preprocessed as for the model tiny: [0-9a-f]{64}, found [0-9a-f]{64}"):
        predict_studies([tmp_path / "store"], load(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_study_at_all_is_named_and_leaves_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputMissingError, match="expected DICOM files or volumes, found none among 0 files"):
        predict_studies([tmp_path / "empty"], load(), tmp_path / "out")
    (tmp_path / "store").mkdir()
    write_json(tmp_path / "store" / "store.json", {})
    with pytest.raises(InputMissingError, match="store: expected studies, found none; check the path"):
        reading.find_studies(Given([tmp_path / "store"]), index=tmp_path / "index")
    assert not (tmp_path / "out").exists()


def test_a_study_whose_reader_was_killed_is_a_row_and_is_done_again_next_time(cohort, tmp_path, monkeypatch):
    marker = tmp_path / "marker"
    marker.touch()
    monkeypatch.setattr("pectl.steps.predict_studies.read_ticket", partial(read_or_die, marker=marker))
    out = tmp_path / "out"
    summary = predict_studies([cohort / "1.1", cohort / "1.2"], load(), out)
    assert [row.prediction.findings[0].code for row in summary.refused] == ["reader_killed"]
    assert [row.prediction.study for row in summary.rows] == ["1.2", "1.1"]
    marker.unlink()
    again = predict_studies([cohort / "1.1", cohort / "1.2"], load(), out)
    assert (again.n_done, len(again.refused)) == (1, 0)


def read_or_die(ticket, config, *, marker):
    if marker.exists() and ticket.uid == "1.2":
        os.kill(os.getpid(), signal.SIGKILL)
    return reading.read(ticket, config)


def test_a_full_disk_ends_the_run_and_a_stop_leaves_the_list_of_what_is_done(cohort, tmp_path, monkeypatch):
    def stop(done, total):
        raise Interrupted(where="out", expected="to do all studies", found="a stop signal", fix="run again")

    with pytest.raises(Interrupted, match="a stop signal"):
        predict_studies([cohort], load(), tmp_path / "out", Wish(progress=stop))
    assert [row["StudyInstanceUID"] for row in table(tmp_path / "out" / "worklist.csv")] == ["1.4"]

    def full(path, data):
        raise StoreError(where=path, expected="to write the file", found="No space left on device", fix="free space")

    monkeypatch.setattr(folder, "write_json", full)
    with pytest.raises(StoreError, match=r"1\.3\.json: expected to write the file, found No space left on device"):
        predict_studies([cohort], load(), tmp_path / "out")


def test_a_killed_run_is_resumed_to_the_same_list(cohort, tmp_path):
    script = (
        "from pathlib import Path; import sys, time\n"
        "from tests.steps.test_predict_studies import load\n"
        "from pectl.steps.predict_studies import Wish, predict_studies\n"
        "def slow(done, total):\n    print(done, flush=True); time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    predict_studies([Path(sys.argv[1])], load(), Path(sys.argv[2]), Wish(progress=slow))\n"
    )
    (tmp_path / "run.py").write_text(script)
    out, root = tmp_path / "out", Path(__file__).parents[2]
    command = [sys.executable, tmp_path / "run.py", cohort, out]
    environment = os.environ | {"PYTHONPATH": str(root)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        process.kill()
    time.sleep(0.1)
    assert [path.name for path in (out / "studies").glob("*.json")] == ["1.4.json"]
    summary = predict_studies([cohort], load(), out)
    assert (summary.n_done, summary.n_skipped) == (3, 1)
    predict_studies([cohort], load(), tmp_path / "whole")
    assert (out / "worklist.csv").read_bytes() == (tmp_path / "whole" / "worklist.csv").read_bytes()


def test_an_explanation_for_each_study_that_is_to_be_looked_at(cohort, tmp_path):
    out = tmp_path / "out"
    predict_studies([cohort / "1.1", cohort / "1.3"], load(), out, Wish(explain=True))
    assert [path.name for path in (out / "explanations").iterdir()] == ["1.1"]
    assert 'href="explanations/1.1/index.html"' in (out / "worklist.html").read_text()
    told = json.loads((out / "explanations" / "1.1" / "explain.json").read_text())
    kept = json.loads((out / "studies" / "1.1.json").read_text())
    assert told["exam"]["pe_present"]["probability"] == pytest.approx(kept["answers"]["pe_present"]["probability"])


def test_a_list_of_sources(tmp_path):
    (tmp_path / "list.txt").write_text("one\n\n  two words \n")
    assert read_list(tmp_path / "list.txt") == [Path("one"), Path("two words")]
    with pytest.raises(InputMissingError, match=r"none.txt: expected a text file with a folder or file on each line"):
        read_list(tmp_path / "none.txt")


def test_a_damaged_row_is_named(cohort, tmp_path):
    predict_studies([cohort / "1.1"], load(), tmp_path / "out")
    (tmp_path / "out" / "studies" / "1.9.json").write_text("{}")
    with pytest.raises(StoreError, match=r"1\.9\.json: expected what is said of a study, found another JSON"):
        predict_studies([cohort / "1.1"], load(), tmp_path / "out")
