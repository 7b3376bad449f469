"""`--previews` of preprocess and validate: a picture per study that can be used, and a page."""

import re
from pathlib import Path

import pytest


def pictures(out: Path) -> set[str]:
    return {path.stem for path in (out / "previews").glob("*.jpg")}


def studies(chain) -> set[str]:
    return {path.name for path in chain.dicom.iterdir()}


def test_a_finished_store_gets_its_pictures_and_the_same_studies(chain, pectl, tmp_path: Path) -> None:
    shared = ("--config", chain.config, "--quiet", "--out", tmp_path / "store")
    assert pectl("preprocess", chain.dicom, *shared).code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "store" / "studies").iterdir()}
    assert pictures(tmp_path / "store") == set()
    done = pectl("preprocess", chain.dicom, *shared, "--previews", "--workers", "2")
    assert "12 studies done" in done.out, done.err
    assert f"lung boxes to skim: {tmp_path / 'store' / 'previews' / 'index.html'}" in done.out
    assert pictures(tmp_path / "store") == studies(chain)
    page = (tmp_path / "store" / "previews" / "index.html").read_text()
    assert set(re.findall(r"<code>(.*?)</code>", page)) == studies(chain)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "store" / "studies").iterdir()}
    again = pectl("preprocess", chain.dicom, *shared, "--previews")
    assert "0 studies done, 12 there already" in again.out


@pytest.mark.parametrize("first", [(), ("--previews",)])
def test_validate_draws_what_it_judges(chain, pectl, tmp_path: Path, first: tuple[str, ...]) -> None:
    shared = ("--config", chain.config, "--quiet", "--out", tmp_path / "out")
    one = sorted(chain.dicom.iterdir())[0]
    assert pectl("validate", one, *shared, *first).code == 0
    assert pictures(tmp_path / "out") == ({one.name} if first else set())
    done = pectl("validate", one, *shared, "--previews")
    assert done.code == 0
    assert ("1 unchanged since an earlier run" in done.out) is bool(first)
    assert pictures(tmp_path / "out") == {one.name}
    assert (tmp_path / "out" / "previews" / "index.html").exists()


def test_refused_studies_have_no_picture(pectl, chain, tmp_path: Path) -> None:
    override = ("--set", "preprocess.min_slices=500")
    done = pectl("validate", chain.dicom, "--previews", "--out", tmp_path / "out", "--quiet", *override)
    assert done.code == 0, done.err
    assert pictures(tmp_path / "out") == set()
    assert "No study has a picture." in (tmp_path / "out" / "previews" / "index.html").read_text()


def test_pictures_need_a_folder(pectl, tmp_path: Path) -> None:
    done = pectl("validate", tmp_path, "--previews")
    assert done.code == 2
    assert "give --out too" in done.err
