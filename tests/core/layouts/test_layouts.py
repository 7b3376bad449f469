"""What each layout makes of a fake of its set: names, labels, masks, and what it says that it met."""

import numpy as np
import pytest

from pectl.core.labels.names import PE_LABELS
from pectl.core.layouts.known import LAYOUTS, choose_layout, read_set
from pectl.core.places.source import PlacesSource
from pectl.errors import ConfigError, InputMissingError, LabelsError
from tests.apple_doubles import add_apple_doubles
from tests.core.layouts import sets


@pytest.fixture
def fakes(tmp_path, write_series):
    """Write a fake of each set that can be recognised."""
    made = {
        "inspect": sets.fake_inspect,
        "radfusion": sets.fake_radfusion,
        "cad-pe": sets.fake_cad_pe,
        "fumpe": lambda root: sets.fake_fumpe(root, write_series),
        "read": lambda root: sets.fake_read(root, write_series),
        "rspect": sets.fake_rspect,
        "augmented-rspect": sets.fake_augmented_rspect,
        "parse": sets.fake_parse,
        "hipas": sets.fake_hipas,
        "phantom": sets.fake_phantom,
    }

    def write(name):
        root = tmp_path / name
        root.mkdir()
        return made[name](root)

    write.names = tuple(made)
    return write


def contents(fakes, name):
    return LAYOUTS[name].read(fakes(name))


def met(found):
    return {one.code: (one.times, one.examples) for one in found.met}


def known(found, study):
    """The labels of a study that are known."""
    row = found.exam.loc[study]
    return {name: int(value) for name, value in row.items() if not np.isnan(value)}


WITH_PE, NO_PE = {"negative_exam_for_pe": 0, "indeterminate": 0}, {"negative_exam_for_pe": 1, "indeterminate": 0}


def test_each_is_recognised_by_its_own_files_and_no_other(fakes):
    roots = {name: fakes(name) for name in fakes.names}
    for name, root in roots.items():
        chosen, reason = choose_layout("auto", root)
        assert (chosen.name, bool(reason)) == (name, True)
    assert set(LAYOUTS) - set(roots) == {"aida"}


def test_what_cannot_be_recognised_is_said(fakes, tmp_path):
    with pytest.raises(
        ConfigError, match="expected files of one set, found no files that only one set has; give its top"
    ):
        choose_layout("auto", tmp_path)
    two = sets.fake_hipas(fakes("parse"))
    with pytest.raises(ConfigError, match=r"found parse \(train/PA.*, hipas \(ct_scan"):
        choose_layout("auto", two)
    with pytest.raises(ConfigError, match=r"--layout: expected one of inspect, radfusion.*, auto, found kaggle"):
        choose_layout("kaggle", tmp_path)
    with pytest.raises(InputMissingError, match="expected the folder of a set, found none"):
        choose_layout("auto", tmp_path / "gone")


def test_boxes_beside_the_labels_of_rspect(fakes):
    root = sets.fake_augmented_rspect(fakes("rspect"))
    chosen, _ = choose_layout("auto", root)
    found = chosen.read(root)
    assert chosen.name == "augmented-rspect"
    assert (found.labels, found.exam, found.images) == (root / "train.csv", None, (root / "train",))


def test_inspect(fakes):
    found = contents(fakes, "inspect")
    assert [path.name[:9] for path in found.images] == [name for name in sets.INSPECT if name != "PE000005a"]
    expected = {
        "PE000001a": NO_PE | dict.fromkeys(PE_LABELS, 0),
        "PE000002a": WITH_PE | {"chronic_pe": 0},
        "PE000003a": WITH_PE | {"chronic_pe": 0},
        "PE000004a": WITH_PE | {"chronic_pe": 1, "acute_and_chronic_pe": 0},
        "PE000005a": WITH_PE,
        "PE000006a": {},
        "PE000007a": {},
        "PE000008a": {},
        "PE000009a": NO_PE | dict.fromkeys(PE_LABELS, 0),
    }
    assert {study: known(found, study) for study in found.exam.index} == expected
    assert found.patients["PE000002a"] == "12"
    assert found.patients["PE000003a"] == found.patients["PE000004a"] == "13"
    columns = found.columns
    assert columns["released_split"].tolist() == ["train", "val", "train", "train", *["test"] * 5]
    assert columns["subgroup"].to_dict() == dict.fromkeys(sets.INSPECT, "") | {
        "PE000002a": "larger PE",
        "PE000003a": "subsegmental PE alone",
        "PE000004a": "larger PE",
        "PE000005a": "subsegmental PE alone",
    }
    assert set(columns["manufacturer"]) == {"GE MEDICAL"}
    assert columns.loc["PE000003a", "provenance"] == "rsna"
    assert met(found) == {
        "repeated_labels": (2, ("1", "8")),
        "differing_labels": (1, ("8",)),
        "missing_image": (1, ("PE000005a",)),
        "contradictory_flags": (2, ("PE000006a", "PE000007a")),
        "from_rsna": (1, ("PE000003a",)),
        "from_radfusion": (1, ("PE000004a",)),
    }


def test_a_newer_date_stamp_and_a_table_that_is_missing(fakes):
    root = fakes("inspect")
    newer = next(root.glob("labels_*.tsv")).read_text().replace("1\t0\t0\t0", "1\t1\t1\t0")
    (root / "labels_20260101.tsv").write_text(newer)
    assert known(LAYOUTS["inspect"].read(root), "PE000001a")["negative_exam_for_pe"] == 0
    next(root.glob("splits_*.tsv")).unlink()
    with pytest.raises(InputMissingError, match=r"expected splits_DATE\.tsv, found none; copy all tables"):
        LAYOUTS["inspect"].read(root)


def test_a_table_with_commas_is_refused(fakes):
    root = fakes("inspect")
    labels = next(root.glob("labels_*.tsv"))
    labels.write_text(labels.read_text().replace("\t", ","))
    with pytest.raises(LabelsError, match="found fields parted by commas; save it with tabs"):
        LAYOUTS["inspect"].read(root)


def add_rows(root, stem, *rows):
    table = next(root.glob(f"{stem}_*.tsv"))
    table.write_text("\n".join([table.read_text().rstrip("\n"), *rows]) + "\n")


def test_an_image_that_several_rows_name_is_known_in_what_they_agree_on(fakes):
    root = fakes("inspect")
    add_rows(root, "study_mapping", "99\tPE000001a\t11\trsna\t", "2\tPE000002a\t12\tINSPECT\t")
    found = LAYOUTS["inspect"].read(root)
    assert known(found, "PE000001a") == {}
    assert found.columns.loc["PE000001a", ["released_split", "provenance"]].tolist() == ["", "rsna"]
    assert found.patients["PE000001a"] == "11"
    assert met(found)["differing_rows"] == (1, ("PE000001a",))
    assert met(found)["from_rsna"] == (2, ("PE000001a", "PE000003a"))
    assert known(found, "PE000002a") == WITH_PE | {"chronic_pe": 0}


def test_a_study_in_several_splits_or_none_is_in_none(fakes):
    root = fakes("inspect")
    add_rows(root, "splits", "1\t11\ttest", "2\t12\tvalid", "6\t15\tholdout")
    found = LAYOUTS["inspect"].read(root)
    assert found.columns["released_split"].tolist()[:2] == ["", "val"]
    assert found.columns.loc["PE000006a", "released_split"] == ""
    assert met(found)["differing_splits"] == (2, ("1", "6"))
    assert met(found)["without_split"] == (2, ("PE000001a", "PE000006a"))


def test_a_study_that_the_labels_table_lacks_and_flags_in_words_are_unknown(fakes):
    root = fakes("inspect")
    labels = next(root.glob("labels_*.tsv"))
    text = labels.read_text().replace("3\t1\t1\t1\tTRUE\tCensored\n", "").replace("4\t1\t0\t0", "4\tTRUE\t0\t0")
    labels.write_text(text)
    found = LAYOUTS["inspect"].read(root)
    assert known(found, "PE000003a") == known(found, "PE000004a") == {}
    assert met(found)["without_labels"] == (1, ("PE000003a",))
    assert met(found)["odd_flag"] == (1, ("4",))


def test_radfusion(fakes):
    found = contents(fakes, "radfusion")
    assert {study: known(found, study) for study in found.exam.index} == {
        "10": WITH_PE | {"central_pe": 1},
        "11": NO_PE | dict.fromkeys(PE_LABELS, 0),
        "12": WITH_PE | {"central_pe": 0},
        "13": WITH_PE,
        "14": {},
    }
    assert found.columns["subgroup"].tolist() == ["central PE", "", "subsegmental PE", "", ""]
    assert found.columns["released_split"].tolist() == ["train", "val", "test", "train", "train"]
    assert found.stated.spacing_mm is None
    assert met(found) == {
        "missing_image": (1, ("13",)),
        "image_without_row": (1, ("99",)),
        "differing_labels": (1, ("14",)),
        "type_of_negative": (1, ("11",)),
        "pickle": (1, ("series_list.pkl",)),
    }


def test_radfusion_with_numbers_that_went_through_floats_and_words_that_are_none(fakes):
    root = fakes("radfusion")
    rows = [",idx,label,pe_type,split", "0,10.0,1.0, Central,train", "1,11,0.0,,val", "2,12,yes,,holdout"]
    (root / "Labels.csv").write_text("\n".join(rows) + "\n")
    found = LAYOUTS["radfusion"].read(root)
    assert known(found, "10") == WITH_PE | {"central_pe": 1}
    assert known(found, "11") == NO_PE | dict.fromkeys(PE_LABELS, 0)
    assert known(found, "12") == {}
    assert found.columns["subgroup"].tolist() == ["central PE", "", ""]
    assert met(found)["odd_label"] == met(found)["without_split"] == (1, ("12",))


@pytest.mark.parametrize("name", ["cad-pe", "fumpe", "read", "parse", "hipas"])
def test_a_folder_without_images_of_the_set_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=rf"expected images as {LAYOUTS[name].title} has them, found none; give its"):
        read_set(LAYOUTS[name], tmp_path)


def test_cad_pe(fakes):
    found = contents(fakes, "cad-pe")
    assert {study: source.path.name for study, source in found.places.items()} == {
        "001": "0001RefStd.nrrd",
        "002": "002RefStd.nrrd",
        "e0032": "e0032RefStd.nrrd",
    }
    kinds = {(source.kind, source.numbered, source.complete) for source in found.places.values()}
    assert kinds == {("volume", True, True)}
    assert len(found.images) == 5
    assert found.exam is None
    assert met(found) == {
        "image_without_mask": (2, ("003", "e0109")),
        "mask_without_image": (1, ("e0445RefStd.nrrd",)),
        "without_split": (2, ("e0032", "e0109")),
    }


def test_the_challenge_of_cad_pe_trained_on_20_and_tested_on_20(fakes):
    root = fakes("cad-pe")
    sets.touch(*(root / "images" / f"{name}.nrrd" for name in ("020", "021", "040", "041")))
    splits = LAYOUTS["cad-pe"].read(root).columns["released_split"].to_dict()
    assert splits == dict.fromkeys(("001", "002", "003", "020"), "train") | dict.fromkeys(("021", "040"), "test") | {
        "041": "",
        "e0032": "",
        "e0109": "",
    }


def test_cad_pe_with_two_masks_of_a_study_uses_the_one_as_released_and_names_the_other(fakes):
    root = fakes("cad-pe")
    sets.touch(root / "rs" / "001RefStd.nrrd", root / "images" / "0004.nrrd", root / "rs" / "0004RefStd.nrrd")
    found = LAYOUTS["cad-pe"].read(root)
    assert {found.places[name].path.name for name in ("001", "0004")} == {"0001RefStd.nrrd", "0004RefStd.nrrd"}
    assert met(found)["second_mask"] == (1, ("001RefStd.nrrd",))
    assert met(found)["mask_without_image"] == (1, ("e0445RefStd.nrrd",))


@pytest.mark.parametrize(
    ("name", "used", "other", "code"),
    [
        ("inspect", "CTPA/PE000002a.nii.gz", "CTPA/PE000002a.nii", "second_image"),
        ("parse", "train/PA000005/image/PA000005.nii.gz", "train/PA000005/image/PA000005.nii", "second_image"),
        ("radfusion", "2/10.npy", "3/10.npy", "second_image"),
        ("read", "{masks}/GE (NiFTI files)/01GE.nii.gz", "{masks}/GE (NiFTI files)/01GE.nii", "second_mask"),
    ],
)
def test_of_several_files_of_a_study_one_is_used_and_the_others_are_named(fakes, name, used, other, code):
    root = fakes(name)
    used, other = (path.format(masks="Ground truth (pixel level segmentation - NiFTI files)") for path in (used, other))
    before = LAYOUTS[name].read(root)
    sets.touch(root / other)
    found = LAYOUTS[name].read(root)
    taken = {*found.images, *(source.path for source in found.places.values())}
    assert (root / used in taken, root / other in taken) == (True, False)
    assert met(found) == met(before) | {code: (1, (other,))}
    assert found.images == before.images
    assert dict(found.places) == dict(before.places)


def test_what_macos_leaves_beside_every_file_changes_nothing(fakes):
    for name in fakes.names:
        root = fakes(name)
        before = LAYOUTS[name].read(root)
        add_apple_doubles(root)
        found = LAYOUTS[name].read(root)
        assert (name, found.images, dict(found.places)) == (name, before.images, dict(before.places))
        assert (name, found.met, found.digest) == (name, before.met, before.digest)


def test_what_macos_leaves_is_no_set(fakes):
    for name in fakes.names:
        root = fakes(name)
        add_apple_doubles(root)
        for path in root.rglob("*"):
            if path.is_file() and not path.name.startswith("._"):
                path.unlink()
        by_folders_alone = name == "read"
        assert (name, bool(LAYOUTS[name].recognise(root))) == (name, by_folders_alone)


def test_files_whose_names_only_begin_like_volumes_are_none(fakes):
    root = fakes("inspect")
    sets.touch(root / "CTPA" / "PE000001a.nii.gz.part", root / "CTPA" / "PE0000ffa.nii.json")
    found = LAYOUTS["inspect"].read(root)
    assert [path.name for path in found.images][:2] == ["PE000001a.nii.gz", "PE000002a.nii.gz"]
    assert "image_without_row" not in met(found)


def test_fumpe(fakes):
    found = contents(fakes, "fumpe")
    assert {study: (source.kind, source.path.name) for study, source in found.places.items()} == {
        "1.1": ("file-order", "PAT001.mat")
    }
    assert found.patients == {"1.1": "PAT001"}
    assert met(found) == {
        "folder_without_dicom": (1, ("PAT004",)),
        "shared_study_uid": (2, ("PAT002", "PAT003")),
        "image_without_mask": (1, ("PAT004",)),
        "mask_without_image": (1, ("PAT005",)),
    }


def test_read(fakes):
    found = contents(fakes, "read")
    assert {study: (source.kind, source.path.name) for study, source in found.places.items()} == {
        "1.1": ("slice-index", "01GE.nii.gz"),
        "1.2": ("slice-index", "01TS.nii.gz"),
    }
    assert [path.name for path in found.images] == ["01GE", "01TS", "02TS"]
    assert met(found) == {"image_without_mask": (1, ("02TS",))}


def test_augmented_rspect(fakes):
    found = contents(fakes, "augmented-rspect")
    assert {study: known(found, study) for study in found.exam.index} == {"1.1": WITH_PE, "1.2": WITH_PE}
    assert {source.kind for source in found.places.values()} == {"boxes"}
    assert not any(source.complete for source in found.places.values())


def test_aida_is_read_as_dicom_alone(tmp_path, write_series):
    root = sets.fake_aida(tmp_path, write_series)
    add_apple_doubles(root)
    found = LAYOUTS["aida"].read(root)
    assert (found.images, found.dicom_alone) == ((root,), True)
    assert met(found) == {"unread_volume": (1, ("exam1/outlines/lesion.nrrd",))}


def test_sets_without_labels(fakes, tmp_path):
    parse, hipas, aida = contents(fakes, "parse"), contents(fakes, "hipas"), LAYOUTS["aida"].read(tmp_path)
    assert [path.parent.name for path in parse.images] == ["image", "image"]
    assert met(parse) == {"vessel_masks": (2, ("PA000005", "PA000016"))}
    assert hipas.stated.values == (1600.0, -1000.0)
    assert [path.name for path in hipas.images] == ["001.npz"]
    assert [(one.exam, one.labels, dict(one.places)) for one in (parse, hipas, aida)] == [(None, None, {})] * 3


def test_what_a_set_says_is_its_identity(fakes):
    root = fakes("inspect")
    before = LAYOUTS["inspect"].read(root).digest
    assert LAYOUTS["inspect"].read(root).digest == before
    labels = next(root.glob("labels_*.tsv"))
    labels.write_text(labels.read_text().replace("2.0\t1\t1\t0", "2.0\t0\t0\t0"))
    assert LAYOUTS["inspect"].read(root).digest != before


def test_every_layout_says_what_a_user_must_know():
    for name, layout in LAYOUTS.items():
        assert layout.name == name
        assert all((layout.title, layout.source, layout.licence, layout.gives, *layout.traps))


def test_phantoms_have_their_labels_and_masks_that_add_none(fakes):
    root = fakes("phantom")
    found = LAYOUTS["phantom"].read(root)
    assert (found.images, found.labels) == ((root / "train",), root / "train.csv")
    assert found.places == {"a1": PlacesSource("phantom", root / "truth" / "a1.npz", labels=False)}
