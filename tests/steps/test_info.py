import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pectl.core.intake.findings import Finding
from pectl.core.stores.runs import best_model
from pectl.errors import InputMissingError, StoreError
from pectl.inference.prediction import Model, Prediction
from pectl.inference.studies import Ticket
from pectl.steps.bundle import make_bundle
from pectl.steps.info import UNKNOWN, Artefact, describe
from pectl.steps.predicted.folder import PredictionFolder
from tests.tiny_runs import TinyRuns, make_tiny_runs


@pytest.fixture
def runs(tmp_path: Path) -> TinyRuns:
    return make_tiny_runs(tmp_path / "runs")


def digest_in(run: Path) -> str:
    return str(json.loads((run / "run.json").read_text())["digest"])


def assert_damaged(found: Artefact, kind: str, text: str) -> None:
    assert (found.state, found.kind) == ("damaged", kind)
    assert text in found.problem
    with pytest.raises(StoreError, match=f"expected a whole {kind}, found a damaged one"):
        found.check_whole()


def test_a_bundle(runs: TinyRuns, tmp_path: Path) -> None:
    path = tmp_path / "model.pectl"
    make_bundle([runs.pair], path, features=runs.features, evaluation=runs.evaluation)
    found = describe(path)
    assert (found.kind, found.state, found.problem) == ("bundle", "whole", "")
    assert found.made_from["stage2"] == digest_in(runs.stage2)
    assert found.facts["members"] == 1
    assert found.facts["bytes"] == path.stat().st_size
    assert found.facts["input"] == "slices 6 mm apart at 32 px, windows of 6 slices every 3, stage 1 at 32 px"
    assert found.facts["figures"] == "metrics.json, MODEL_CARD.md"
    assert "(12 + 5 studies)" in found.facts["distance from training"]
    found.check_whole()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    assert_damaged(describe(path), "bundle", "a changed one")


def test_a_bundle_without_more(runs: TinyRuns, tmp_path: Path) -> None:
    make_bundle([runs.pair], tmp_path / "model.pectl")
    facts = describe(tmp_path / "model.pectl").facts
    assert (facts["distance from training"], facts["figures"]) == ("none", "none")


def test_runs(runs: TinyRuns) -> None:
    one, two = describe(runs.stage1), describe(runs.stage2)
    assert (one.kind, one.state, two.kind, two.state) == (
        "training run of stage 1",
        "whole",
        "training run of stage 2",
        "whole",
    )
    assert one.facts["digest"] == digest_in(runs.stage1)
    assert one.facts["splits"] == {"test": 4, "train": 12, "val": 5}
    assert two.facts["PE called from"] == 0.5
    assert two.made_from.keys() == {"features", "split"}


def test_a_run_whose_weights_were_changed(runs: TinyRuns) -> None:
    weights = best_model(runs.stage1) / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert_damaged(describe(runs.stage1), "training run", "expected weights of the digest")
    weights.unlink()
    assert_damaged(describe(runs.stage1), "training run", "the weights of the run, found No such file")


def test_a_run_without_decisions(runs: TinyRuns) -> None:
    (runs.stage2 / "decisions.json").unlink()
    assert_damaged(describe(runs.stage2), "training run", "decisions.json: expected a file that")


def test_an_unfinished_run(runs: TinyRuns) -> None:
    (runs.stage1 / "run.json").unlink()
    (runs.stage1 / "begun.json").write_text(json.dumps({"study_store": "a" * 64, "config": "b" * 64}))
    (runs.stage1 / "status.json").write_text(json.dumps({"state": "running", "step": 3, "total": 9, "pid": 1}))
    found = describe(runs.stage1)
    assert (found.kind, found.state) == ("training run", "unfinished")
    assert found.made_from == {"study_store": "a" * 64}
    assert found.facts == {"state": "running", "step": 3, "total": 9}
    with pytest.raises(StoreError, match="expected a whole training run, found an unfinished one"):
        found.check_whole()


def test_work_whose_marks_are_damaged(tmp_path: Path) -> None:
    (tmp_path / "begun.json").write_text("{")
    assert_damaged(describe(tmp_path), "begun work", "no valid JSON")


def test_features(runs: TinyRuns) -> None:
    found = describe(runs.features)
    assert (found.kind, found.state, found.facts["studies"]) == ("feature store", "whole", 21)
    assert found.made_from["stage1"] == digest_in(runs.stage1)
    files = sorted((runs.features / "studies").iterdir())
    files[0].write_bytes(b"")
    files[1].unlink()
    assert_damaged(describe(runs.features), "feature store", "2 studies can't be read, the first: ")
    (runs.features / "splits.csv").unlink()
    assert_damaged(describe(runs.features), "feature store", "splits.csv")


def test_an_unfinished_feature_store(runs: TinyRuns) -> None:
    (runs.features / "features.json").rename(runs.features / "begun.json")
    found = describe(runs.features)
    assert (found.kind, found.state) == ("feature store", "unfinished")
    assert found.made_from["stage1"] == digest_in(runs.stage1)


def test_an_evaluation(runs: TinyRuns) -> None:
    found = describe(runs.evaluation)
    assert (found.kind, found.state) == ("evaluation", "whole")
    assert found.facts == {"split": "test", "studies": 4, "PE present, AUROC": 0.75, "interval": [0.5, 0.95]}
    assert found.made_from == {"stage2": digest_in(runs.stage2)}
    (runs.evaluation / "metrics.json").write_text("{}")
    assert_damaged(describe(runs.evaluation), "evaluation", "the keys split, n_studies, exam, lineage, found no split")


def write(folder: Path, name: str, content: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))
    return folder


EXPLAINED = {
    "study": "1.2",
    "label": "pe_present",
    "method": "layer-cam",
    "headline": "P(PE) 0.9",
    "lineage": {"a": "b"},
}


def explanation(folder: Path) -> Path:
    write(folder, "explain.json", EXPLAINED)
    (folder / "index.html").touch()
    return folder


def explanations(folder: Path) -> Path:
    explanation(folder / "1.2")
    return write(folder, "summary.json", {"statement": "Points well.", "studies": {"1.2": {}}})


def verdicts(folder: Path) -> Path:
    content = {"format": "pectl-verdicts", "n_studies": 2, "n_refused": 1, "codes": {"not_ct": 1}}
    return write(folder, "verdicts.json", content)


def cohort(folder: Path) -> Path:
    for uid in ("a", "b"):
        (folder / "train" / uid).mkdir(parents=True)
        (folder / "truth").mkdir(exist_ok=True)
        (folder / "truth" / f"{uid}.npz").touch()
    (folder / "train.csv").touch()
    return folder


OTHERS: dict[str, Callable[[Path], Path]] = {
    "explanation of a study": explanation,
    "explanations of a split": explanations,
    "verdicts": verdicts,
    "phantom cohort": cohort,
    "comparison": lambda folder: write(folder, "comparison.json", {"first": "a", "second": "b", "rows": []}),
    "external validation": lambda folder: write(
        folder, "external.json", {"model": {"digest": "a"}, "sites": {}, "summary": {"auroc": None}}
    ),
    "sanity check": lambda folder: write(
        folder, "sanity_check.json", {"statement": "Passed.", "passed": True, "lineage": {"a": "b"}}
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_results(kind: str, tmp_path: Path) -> None:
    found = describe(OTHERS[kind](tmp_path / "x"))
    assert (found.kind, found.state) == (kind, "whole")
    assert found.facts
    json.dumps(found.to_json(), allow_nan=False)


def test_other_results_that_lack_a_part(tmp_path: Path) -> None:
    folder = explanations(tmp_path / "x")
    (folder / "1.2" / "index.html").unlink()
    assert_damaged(describe(folder), "explanations of a split", "expected a finished explanation, found none")
    folder = cohort(tmp_path / "y")
    (folder / "truth" / "b.npz").unlink()
    assert_damaged(describe(folder), "phantom cohort", "no truth of 1 studies, such as b")
    folder = verdicts(tmp_path / "z")
    write(folder, "verdicts.json", json.loads((folder / "verdicts.json").read_text()) | {"format": "other"})
    assert_damaged(describe(folder), "verdicts", "expected the format pectl-verdicts, found other")


def worklist(folder: Path) -> Path:
    """Write what predict leaves of one refused study."""
    model = Model(name="m", version="1", digest="c" * 64)
    made = PredictionFolder(folder)
    made.begin(model)
    finding = Finding("not_ct", "Modality MR")
    prediction = Prediction(study="1.2", series="1.3", state="refused", findings=(finding,), model=model)
    made.write(Ticket(uid="1.2", digest="d", arrived=0.0), prediction)
    made.write_table([(row, False) for row in made.rows()])
    return folder


def test_a_worklist(tmp_path: Path) -> None:
    folder = worklist(tmp_path / "x")
    found = describe(folder)
    assert (found.kind, found.state, found.made_from) == ("worklist", "whole", {"model": "c" * 64})
    assert found.facts == {"model": "m", "studies": 1, "refused": 1}
    (folder / "worklist.csv").unlink()
    assert_damaged(describe(folder), "worklist", "no worklist.csv: predict hasn't ended")
    (folder / "studies" / "1.2.json").write_text("{}")
    assert_damaged(describe(folder), "worklist", "expected what is said of a study")


def test_a_cohort_without_truth_is_not_a_phantoms(tmp_path: Path) -> None:
    folder = cohort(tmp_path / "x")
    for path in (folder / "truth").iterdir():
        path.unlink()
    assert describe(folder).kind == "cohort in RSPECT's layout"


def test_a_folder_of_artefacts_says_what_it_holds(runs: TinyRuns) -> None:
    make_bundle([runs.pair], runs.root / "model.pectl")
    found = describe(runs.root)
    assert (found.kind, found.state) == (UNKNOWN, "unknown")
    assert found.holds == {
        "evaluation": "evaluation",
        "features": "feature store",
        "stage1": "training run",
        "stage2": "training run",
        "model.pectl": "bundle",
    }
    found.check_whole()


def test_what_pectl_did_not_write(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    for path in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(InputMissingError, match="expected an artefact of pectl, found nothing that pectl writes"):
            describe(path).check_whole()
    with pytest.raises(InputMissingError, match="expected a file or folder, found no such path"):
        describe(tmp_path / "none")


def test_another_zip_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\5\6" + bytes(18))
    assert_damaged(describe(tmp_path / "x.zip"), "bundle", "expected 1 to 999 members, found 0")
