"""`pectl bundle` and `pectl info` as a shell sees them."""

import json
from pathlib import Path

import pytest

from pectl.bundle.load import load_bundle
from tests.cli.conftest import Chain, Run


@pytest.fixture(scope="module")
def bundled(evaluated: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.cli.conftest import run_ok

    path = tmp_path_factory.mktemp("bundle") / "model.pectl"
    chain = ("--stage1", evaluated.stage1, "--stage2", evaluated.tcn, "--features", evaluated.features)
    run_ok("bundle", *chain, "--evaluation", evaluated.root / "evaluation-tcn", "--out", path)
    return path


def test_bundle_then_info(pectl: Run, evaluated: Chain, bundled: Path) -> None:
    shown = pectl("info", bundled)
    assert shown.code == 0
    for text in ("bundle:", "whole", "slices 6 mm apart at 32 px", "research use only", "flagged above"):
        assert text in shown.out
    told = json.loads(pectl("info", bundled, "--json").out)
    assert (told["kind"], told["state"]) == ("bundle", "whole")
    assert told["facts"]["digest"] == load_bundle(bundled).digest
    assert told["made_from"]["stage2"] == json.loads((evaluated.tcn / "run.json").read_text())["digest"]


def test_the_same_runs_make_the_same_file(pectl: Run, evaluated: Chain, bundled: Path, tmp_path: Path) -> None:
    chain = ("--stage1", evaluated.stage1, "--stage2", evaluated.tcn, "--features", evaluated.features)
    made = pectl("bundle", *chain, "--evaluation", evaluated.root / "evaluation-tcn", "--out", tmp_path / "x.pectl")
    assert made.code == 0
    assert f"what is in it: pectl info {tmp_path / 'x.pectl'}" in made.out
    assert (tmp_path / "x.pectl").read_bytes() == bundled.read_bytes()


def test_no_study_is_named_in_it(evaluated: Chain, bundled: Path) -> None:
    uids = [path.stem for path in (evaluated.store / "studies").iterdir()]
    assert len(uids) == 12
    assert not [uid for uid in uids if uid.encode() in bundled.read_bytes()]


def test_several_pairs(pectl: Run, chain: Chain, tmp_path: Path) -> None:
    pairs = [part for stage2 in (chain.tcn, chain.gru) for part in ("--stage1", chain.stage1, "--stage2", stage2)]
    assert pectl("bundle", *pairs, "--out", tmp_path / "x.pectl").code == 0
    assert [one.classifier.spec.model for one in load_bundle(tmp_path / "x.pectl").members] == ["tcn", "gru"]


def test_pairs_that_are_none(pectl: Run, chain: Chain, tmp_path: Path) -> None:
    ended = pectl(
        "bundle", "--stage1", chain.stage1, "--stage2", chain.tcn, "--stage2", chain.gru, "--out", tmp_path / "x"
    )
    assert ended.code == 2
    assert "expected as many --stage2 as --stage1, found 2 and 1" in " ".join(ended.err.split())


def test_info_on_every_part_of_a_chain(pectl: Run, evaluated: Chain) -> None:
    kinds = {
        evaluated.store: "study store",
        evaluated.stage1: "training run of stage 1",
        evaluated.features: "feature store",
        evaluated.gru: "training run of stage 2",
        evaluated.root / "evaluation-gru": "evaluation",
        evaluated.root / "cohort": "phantom cohort",
    }
    for path, kind in kinds.items():
        told = pectl("info", path, "--json")
        assert told.code == 0, path
        assert (json.loads(told.out)["kind"], json.loads(told.out)["state"]) == (kind, "whole")
        shown = pectl("info", path).out
        assert kind in shown
        assert len(shown.splitlines()) < 24, "one screen"


def test_info_on_what_is_not_whole(pectl: Run, bundled: Path, tmp_path: Path) -> None:
    (tmp_path / "x.pectl").write_bytes(bundled.read_bytes()[:-1])
    ended = pectl("info", tmp_path / "x.pectl")
    assert ended.code == 1
    assert "damaged" in ended.out
    assert "expected a whole bundle, found a damaged one" in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert pectl("info", tmp_path / "none").code == 1
