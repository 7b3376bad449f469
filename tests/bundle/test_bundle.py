"""A bundle as a whole: written by `make_bundle`, read by `load_bundle`, and changed in every way between."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pectl.bundle import manifest
from pectl.bundle.archive import open_archive, write_archive
from pectl.bundle.load import load_bundle
from pectl.bundle.manifest import NAME, manifest_bytes
from pectl.core.models.checkpoint import load_stage1, load_stage2
from pectl.core.stores.feature_store import FeatureStore
from pectl.core.stores.runs import best_model
from pectl.errors import LineageError, PectlError, StoreError
from pectl.inference.instrument import seen_token
from pectl.steps.bundle import fit_distance, make_bundle
from tests.tiny_runs import SPLITS, TinyRuns, make_tiny_runs

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> TinyRuns:
    return make_tiny_runs(tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture(scope="module")
def bundle(runs: TinyRuns) -> Path:
    path = runs.root / "model.pectl"
    make_bundle([runs.pair], path, evaluation=runs.evaluation, features=runs.features)
    return path


def members_of(path: Path) -> Members:
    with open_archive(path) as opened:
        return {name: opened.read(name) for name in opened.entries}


def rewritten(bundle: Path, out: Path, change: Callable[[Members], None], *, anew: bool = True) -> Path:
    """Write a bundle's members again after a change, with a manifest made anew, or the old one."""
    members = members_of(bundle)
    old = json.loads(members.pop(NAME))
    change(members)
    if anew:
        members.setdefault(NAME, manifest_bytes(members, old["made_from"], old["n_members"]))
    else:
        members[NAME] = (json.dumps(old, indent=2) + "\n").encode()
    write_archive(out, members)
    return out


@contextmanager
def refused(kind: type[PectlError], path: Path, text: str) -> Iterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert str(caught.value).startswith(str(path))
    assert text in str(caught.value)


def test_the_same_runs_make_the_same_bytes(runs: TinyRuns, bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "another name.pectl"
    make_bundle([runs.pair], other, evaluation=runs.evaluation, features=runs.features)
    assert other.read_bytes() == bundle.read_bytes()


def test_it_holds_what_the_design_says(runs: TinyRuns, bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as file:
        names = file.namelist()
        content = json.loads(file.read(NAME))
        listed = {name: hashlib.sha256(file.read(name)).hexdigest() for name in names if name != NAME}
        sizes = {name: file.getinfo(name).file_size for name in listed}
    assert set(names) == {
        "MODEL_CARD.md",
        "config.json",
        "decisions.json",
        "manifest.json",
        "metrics.json",
        "ood.json",
        "seen.json",
        *(f"{stage}/1/{part}" for stage in ("stage1", "stage2") for part in ("model.json", "model.safetensors")),
    }
    assert {name: one["sha256"] for name, one in content["members"].items()} == listed
    assert {name: one["bytes"] for name, one in content["members"].items()} == sizes
    assert (content["format"], content["version"]) == ("pectl-bundle", 2)
    assert content["use"] == "research use only, not for diagnosis"
    stages = {
        stage: json.loads((runs.root / stage / "run.json").read_text())["digest"] for stage in ("stage1", "stage2")
    }
    assert {name: content["made_from"][name] for name in stages} == stages
    assert content["made_from"].keys() == {"study_store", "split", "stage1", "features", "stage2"}


def test_a_loaded_model_is_the_runs_to_the_bit(runs: TinyRuns, bundle: Path) -> None:
    loaded = load_bundle(bundle)
    (member,) = loaded.members
    for mine, theirs in (
        (member.encoder, load_stage1(best_model(runs.stage1))),
        (member.classifier, load_stage2(best_model(runs.stage2))),
    ):
        assert mine.spec == theirs.spec
        assert not mine.training
        assert mine.state_dict().keys() == theirs.state_dict().keys()
        for name, value in theirs.state_dict().items():
            assert torch.equal(mine.state_dict()[name], value), name
    assert member.decisions.calibrators["pe_present"].temperature == 2.0
    assert (loaded.windows.length, loaded.preprocess.in_plane_px, loaded.input_px) == (6, 32, 32)
    assert (loaded.name, loaded.version, len(loaded.digest)) == ("model", "0.1.0", 64)


def test_its_digest_is_that_of_the_manifest(bundle: Path) -> None:
    assert load_bundle(bundle).digest == hashlib.sha256(members_of(bundle)[NAME]).hexdigest()


def test_the_distance_comes_back_to_the_bit(runs: TinyRuns, bundle: Path) -> None:
    loaded = load_bundle(bundle).out_of_distribution
    assert loaded is not None
    store = FeatureStore.open(runs.features)
    fitted = fit_distance(store)
    for uid in store.uids("test"):
        features = store.read(uid).features
        assert loaded.score(features) == fitted.score(features)
    assert loaded.threshold == fitted.threshold
    assert (loaded.n_fit, loaded.n_threshold) == (12, 5)


def test_it_knows_studies_it_was_made_with_and_names_none(bundle: Path) -> None:
    loaded = load_bundle(bundle)
    for uid, split in SPLITS.items():
        assert (seen_token(str(uid)) in loaded.seen) == (split in ("train", "val")), uid
    whole = bundle.read_bytes()
    assert not [uid for uid in SPLITS.index if uid.encode() in whole]
    assert loaded.members[0].decisions.n_studies == 5


def test_without_features_and_evaluation(runs: TinyRuns, tmp_path: Path) -> None:
    made = make_bundle([runs.pair], tmp_path / "x.pectl")
    assert (made.n_members, made.distance, made.evaluated) == (1, None, False)
    assert made.n_bytes == (tmp_path / "x.pectl").stat().st_size
    assert load_bundle(tmp_path / "x.pectl").out_of_distribution is None
    assert {"ood.json", "metrics.json"}.isdisjoint(members_of(tmp_path / "x.pectl"))


def test_several_pairs_in_one(runs: TinyRuns, tmp_path: Path) -> None:
    other = make_tiny_runs(tmp_path / "two", seed=1)
    made = make_bundle([runs.pair, other.pair], tmp_path / "x.pectl", evaluation=other.evaluation)
    loaded = load_bundle(tmp_path / "x.pectl")
    assert made.n_members == len(loaded.members) == 2
    for member, folder in zip(loaded.members, (runs, other), strict=True):
        wanted = load_stage2(best_model(folder.stage2)).state_dict()
        assert all(torch.equal(value, wanted[name]) for name, value in member.classifier.state_dict().items())
    assert loaded.lineage["stage1/2"] == json.loads((other.stage1 / "run.json").read_text())["digest"]
    assert "by member 2 alone, not by the mean of all" in members_of(tmp_path / "x.pectl")["MODEL_CARD.md"].decode()


def test_the_file_follows_the_umask(runs: TinyRuns, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        make_bundle([runs.pair], tmp_path / "x.pectl")
    finally:
        os.umask(before)
    assert (tmp_path / "x.pectl").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.pectl"]


def test_a_full_disk_leaves_nothing(runs: TinyRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    out = tmp_path / "x.pectl"
    with refused(StoreError, out, "expected to write the file, found No space left on device; free space"):
        make_bundle([runs.pair], out)
    assert not list(tmp_path.iterdir())


def test_flipped_bits_of_a_whole_bundle_are_found(bundle: Path, tmp_path: Path) -> None:
    """Each header, the directory's last bytes, and some of each member; the archive's own test flips every bit."""
    whole, path = bundle.read_bytes(), tmp_path / "x.pectl"
    with open_archive(bundle) as opened:
        entries = list(opened.entries.values())
    places = {place for entry in entries for place in (entry.offset, entry.offset + 15, entry.begin, entry.end - 1)}
    places |= set(range(len(whole) - 200, len(whole), 7)) | {len(whole) - 1}
    rng = np.random.default_rng(0)
    for place in sorted(places):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        with refused(PectlError, path, ""):
            load_bundle(path)


@pytest.mark.parametrize("name", ["decisions.json", "MODEL_CARD.md", "stage1/1/model.safetensors"])
def test_a_changed_member_is_named(name: str, bundle: Path, tmp_path: Path) -> None:
    def change(members: Members) -> None:
        members[name] = members[name][:-3] + bytes(3)

    path = rewritten(bundle, tmp_path / "x.pectl", change, anew=False)
    with refused(StoreError, path, f"the member {name} with the SHA-256 of manifest.json, found a changed one"):
        load_bundle(path)


def test_an_unlisted_a_missing_and_a_longer_member_are_named(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.pectl"
    rewritten(bundle, path, lambda members: members.update({"more.txt": b""}), anew=False)
    with refused(StoreError, path, "the members that manifest.json lists, found an unlisted member: more.txt"):
        load_bundle(path)
    rewritten(bundle, path, lambda members: members.pop("seen.json") and None, anew=False)
    with refused(StoreError, path, "found no such member: seen.json"):
        load_bundle(path)
    size = len(members_of(bundle)["seen.json"])
    rewritten(bundle, path, lambda members: members.update({"seen.json": b"{}"}), anew=False)
    with refused(StoreError, path, f"seen.json of {size:,} bytes, found 2"):
        load_bundle(path)


def test_oversized_members_are_refused_unread(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "MAX_TEXT_BYTES", 10)
    with refused(StoreError, bundle, "MODEL_CARD.md of at most 10 bytes"):
        load_bundle(bundle)
    monkeypatch.setattr(manifest, "MAX_MANIFEST_BYTES", 10)
    with refused(StoreError, bundle, "manifest.json of at most 10 bytes, found one of"):
        load_bundle(bundle)


def with_manifest(bundle: Path, out: Path, **changes: Any) -> Path:
    def change(members: Members) -> None:
        content = json.loads(members_of(bundle)[NAME]) | changes
        kept = {key: value for key, value in content.items() if value is not None}
        members[NAME] = json.dumps(kept).encode()

    return rewritten(bundle, out, change)


MANIFESTS = {
    "another version": (
        {"version": 1},
        "expected pectl-bundle version 2, found pectl-bundle version 1; make the bundle",
    ),
    "another format": ({"format": "zip"}, "expected pectl-bundle version 2, found zip version 2"),
    "no lineage": ({"made_from": None}, "manifest.json as pectl writes it, found another one (KeyError('made_from'))"),
    "a list": ({"members": []}, "manifest.json as pectl writes it, found another one"),
    "more members": ({"n_members": 2}, "decisions of 2 members in decisions.json, found others"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_another_manifest_is_refused(name: str, bundle: Path, tmp_path: Path) -> None:
    changes, text = MANIFESTS[name]
    path = with_manifest(bundle, tmp_path / "x.pectl", **changes)
    with refused(StoreError, path, text):
        load_bundle(path)


def test_no_manifest_and_none_in_json(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.pectl"
    write_archive(path, {"a.txt": b""})
    with refused(StoreError, path, "manifest.json of at most 1,048,576 bytes, found none"):
        load_bundle(path)
    for data, text in (
        (b"{", "JSON in manifest.json, found something else"),
        (b"[]", "a JSON object in manifest.json"),
    ):
        write_archive(path, {NAME: data})
        with refused(StoreError, path, text):
            load_bundle(path)
    write_archive(path, {NAME: b"[" * 100_000})
    with refused(StoreError, path, "JSON in manifest.json, found something else"):
        load_bundle(path)


CONTENTS = {
    "config.json": (b'{"preprocess": {"slices": 1}}', "preprocessing, windows and precision in config.json"),
    "seen.json": (b"{}", "a list of studies in seen.json, found NoneType"),
    "decisions.json": (b"{}", "decisions of 1 members in decisions.json, found others"),
    "stage1/1/model.json": (b'{"kind": "stage2"}', "expected a stage1 model, found stage2"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_other_content_under_a_right_manifest_is_refused(name: str, bundle: Path, tmp_path: Path) -> None:
    data, text = CONTENTS[name]
    path = rewritten(bundle, tmp_path / "x.pectl", lambda members: members.update({name: data}))
    with refused(StoreError, path, text):
        load_bundle(path)


def test_a_member_that_the_instrument_needs(bundle: Path, tmp_path: Path) -> None:
    path = rewritten(bundle, tmp_path / "x.pectl", lambda members: members.pop("seen.json") and None)
    with refused(StoreError, path, "the member seen.json, found none"):
        load_bundle(path)


def test_weights_and_preprocessing_must_be_those_it_was_made_from(bundle: Path, tmp_path: Path) -> None:
    path, name = tmp_path / "x.pectl", "stage2/1/model.safetensors"
    rewritten(bundle, path, lambda members: members.update({name: b"other"}))
    with refused(LineageError, path, f"{name} of the digest"):
        load_bundle(path)

    def change(members: Members) -> None:
        config = json.loads(members["config.json"])
        config["preprocess"]["margin_mm"] = 6.0
        members["config.json"] = json.dumps(config).encode()

    rewritten(bundle, path, change)
    with refused(LineageError, path, "expected preprocessing of the study store"):
        load_bundle(path)


def test_pairs_of_other_input_are_refused_by_key(runs: TinyRuns, tmp_path: Path) -> None:
    other = make_tiny_runs(tmp_path / "two", changes=("windows.stride=2", "preprocess.margin_mm=9"))
    with refused(LineageError, other.stage1, "preprocess.margin_mm = 5.0, windows.stride = 3, found"):
        make_bundle([runs.pair, other.pair], tmp_path / "x.pectl")
    assert not (tmp_path / "x.pectl").exists()


def test_runs_that_do_not_belong_together(runs: TinyRuns, tmp_path: Path) -> None:
    other = make_tiny_runs(tmp_path / "two", seed=1)
    out = tmp_path / "x.pectl"
    with refused(LineageError, other.stage2, f"expected features of {runs.stage1}:"):
        make_bundle([(runs.stage1, other.stage2)], out)
    with refused(LineageError, other.features, f"the features of {runs.stage2}:"):
        make_bundle([runs.pair], out, features=other.features)
    with refused(LineageError, other.evaluation / "metrics.json", "expected an evaluation of the stage 2 run"):
        make_bundle([runs.pair], out, evaluation=other.evaluation)
    with refused(StoreError, runs.stage2, "found one of stage2"):
        make_bundle([(runs.stage2, runs.stage1)], out)


def test_features_of_another_split_are_refused(tmp_path: Path) -> None:
    runs = make_tiny_runs(tmp_path / "one")
    table = (runs.features / "splits.csv").read_text().replace("700,train", "700,test")
    (runs.features / "splits.csv").write_text(table)
    with refused(LineageError, runs.features, f"the split of {runs.stage2}:"):
        make_bundle([runs.pair], tmp_path / "x.pectl", features=runs.features)


def test_damaged_weights_of_a_run_are_refused(tmp_path: Path) -> None:
    runs = make_tiny_runs(tmp_path / "one")
    weights = best_model(runs.stage2) / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with refused(LineageError, weights, "expected weights of the digest"):
        make_bundle([runs.pair], tmp_path / "x.pectl")


def test_an_evaluation_of_a_table_is_refused(tmp_path: Path) -> None:
    runs = make_tiny_runs(tmp_path / "one")
    metrics = json.loads((runs.evaluation / "metrics.json").read_text()) | {"lineage": {"predictions": "a.csv"}}
    (runs.evaluation / "metrics.json").write_text(json.dumps(metrics))
    with refused(LineageError, runs.evaluation / "metrics.json", "found one of a table"):
        make_bundle([runs.pair], tmp_path / "x.pectl", evaluation=runs.evaluation)


def test_the_card_says_what_is_known(runs: TinyRuns, bundle: Path) -> None:
    card = members_of(bundle)["MODEL_CARD.md"].decode()
    for text in (
        "Research use only, not for diagnosis.",
        "| train | 12 |",
        "| val | 5 |",
        "| pe_present | 4 | 2 | 0.750 (0.500 to 0.950) | 0.500 (0.100 to 0.900) | - |",
        "| kernel | B/30f | 4 |",
        "Manufacturers: &lt;Maker&gt;",
        "Distance between slices: 0.625 to 0.969 mm",
        "slices 6.0 mm apart, the lungs' box at 32 px; windows of 6 slices",
        "PE is called from a calibrated probability of 0.500 (fixed). No abstain band was fitted. "
        "The score of an image has the logit 1.500 x logit of the slice + 0.250 x mean logit of its windows -0.500.",
        "Distance of a study's features from those of 12 training studies (Mahalanobis): flagged above",
        "(5 validation studies)",
        "no_contrast, lungs_cut_off",
    ):
        assert text in card, text
    assert asdict(load_bundle(bundle).members[0].classifier.spec)["model"] in card


def test_the_card_says_what_is_not_known(runs: TinyRuns, tmp_path: Path) -> None:
    make_bundle([runs.pair], tmp_path / "x.pectl")
    card = members_of(tmp_path / "x.pectl")["MODEL_CARD.md"].decode()
    assert "Nothing is known of how well this model does." in card
    assert "the bundle was made without `--features`" in card
