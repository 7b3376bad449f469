"""The SR as other programs read it."""

from pathlib import Path

import highdicom
import pydicom
import pytest
from pydicom.sr.codedict import codes as dictionary

from pectl.dicom_output.result import Answer, Call, Kind
from pectl.dicom_output.write import write_dicom
from tests.dicom_output.conftest import ANSWERS, DIGEST, N_SLICES, slice_uid


@pytest.fixture
def write_report(original, make_result, tmp_path):
    def write(**changes) -> Path:
        return write_dicom(make_result(**changes), original, tmp_path / "out", [Kind.SR]).files[0]

    return write


def groups_of(path: Path):
    report = highdicom.sr.srread(path)
    return {group.tracking_identifier: group for group in report.content.get_image_measurement_groups()}


def code(item) -> str:
    return f"{item.value} {item.scheme_designator}"


def evaluations(group) -> list[str]:
    found = [f"{item.name.value} = {item.value.value}" for item in group.get_qualitative_evaluations()]
    return [item for item in found if item != "111000 = 123110"]  # highdicom takes Algorithm Family for one


def test_probabilities_and_decisions(written) -> None:
    groups = groups_of(written["sr.dcm"])
    assert set(groups) == {*ANSWERS, "image_quality", "out_of_distribution"}
    for label, answer in ANSWERS.items():
        [certainty] = groups[label].get_measurements(dictionary.DCM.CertaintyOfFinding)
        assert certainty.value == pytest.approx(100 * answer.probability, abs=0.005)
        assert (certainty.unit.value, certainty.unit.scheme_designator) == ("%", "UCUM")
        decided = {"present": "52101004", "absent": "272519000", "undetermined": "373068000"}[answer.call]
        assert f"121052 = {decided}" in evaluations(groups[label])


def test_findings_sites_and_sides(written) -> None:
    groups = groups_of(written["sr.dcm"])
    found = {label: code(group.finding_type) for label, group in groups.items()}
    assert found["pe_present"] == found["leftsided_pe"] == found["chronic_pe"] == "59282003 SCT"
    assert found["negative_exam_for_pe"] == "NEGATIVEEXAM 99PECTL"
    assert found["indeterminate"] == "RID14 RADLEX"
    assert found["rv_lv_ratio_gte_1"] == "RVLVGTE1 99PECTL"
    side = {label: [site.laterality for site in group.finding_sites] for label, group in groups.items()}
    assert [item.value for item in side["leftsided_pe"]] == ["7771000"]
    assert [item.value for item in side["rightsided_pe"]] == ["24028007"]
    assert side["pe_present"] == [None]
    [central] = groups["central_pe"].finding_sites
    assert (central.value.value, central.topographical_modifier.value) == ("81040000", "26216008")
    assert [site.value.value for site in groups["rv_lv_ratio_lt_1"].finding_sites] == ["53085002", "87878005"]
    assert "112023 = 90734009" in evaluations(groups["chronic_pe"])
    assert {"112023 = 90734009", "112023 = 385315009"} <= set(evaluations(groups["acute_and_chronic_pe"]))


def test_a_label_that_is_not_defined_is_left_out(write_report) -> None:
    answers = {"pe_present": Answer(0.1, Call.ABSENT)}
    assert set(groups_of(write_report(answers=answers))) == {"pe_present", "image_quality", "out_of_distribution"}


@pytest.mark.parametrize(
    ("flags", "indeterminate", "expected"),
    [
        ((), Call.ABSENT, ["130549 = RID12"]),
        (("padding",), Call.ABSENT, ["130549 = RID12"]),
        (("no_contrast",), Call.ABSENT, ["130549 = RID13", "111052 = 130580"]),
        (("lungs_cut_off", "thick_slices"), Call.ABSENT, ["130549 = RID13", "111052 = 130576", "111052 = THICKSLICES"]),
        ((), Call.PRESENT, ["130549 = RID14"]),
    ],
)
def test_image_quality(write_report, flags, indeterminate, expected) -> None:
    path = write_report(flags=flags, answers=ANSWERS | {"indeterminate": Answer(0.5, indeterminate)})
    assert evaluations(groups_of(path)["image_quality"]) == expected


def test_out_of_distribution(write_report) -> None:
    group = groups_of(write_report(out_of_distribution="distance 4.2, above 3.1"))["out_of_distribution"]
    assert evaluations(group) == ["121052 = 52101004"]
    assert group[0].ContentSequence[-1].TextValue == "distance 4.2, above 3.1"
    assert code(group.finding_type) == "OUTOFDISTR 99PECTL"


@pytest.mark.parametrize("reason", ["", "distance 4.2, above 3.1"])
def test_a_study_that_the_model_was_made_with(write_report, judge, reason) -> None:
    path = write_report(out_of_distribution=reason, seen="the model was made with this study")
    group = groups_of(path)["out_of_distribution"]
    comments = [item.TextValue for item in group[0].ContentSequence if item.ValueType == "TEXT"][-2:]
    assert comments[-1] == "the model was made with this study"
    assert not reason or comments[0] == reason
    assert judge(path) == []


def test_in_distribution(written) -> None:
    assert evaluations(groups_of(written["sr.dcm"])["out_of_distribution"]) == ["121052 = 272519000"]


def test_who_answered(written) -> None:
    path = written["sr.dcm"]
    algorithm = [item for item in groups_of(path)["pe_present"][0].ContentSequence if item.ValueType == "TEXT"]
    told = {item.ConceptNameCodeSequence[0].CodeMeaning: item.TextValue for item in algorithm[:3]}
    assert told == {"Tracking Identifier": "pe_present", "Algorithm Name": "demo", "Algorithm Version": "1.2"}
    parameters = [item.TextValue for item in algorithm[3:]]
    assert parameters == [f"SHA-256 of the bundle: {DIGEST}", "research use only, not for diagnosis"]
    [observer] = highdicom.sr.srread(path).content.get_observer_contexts()
    assert observer.observer_identifying_attributes.serial_number == DIGEST


def test_the_document(written, judge) -> None:
    path = written["sr.dcm"]
    assert judge(path) == []
    report = pydicom.dcmread(path)
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert (report.Modality, report.CompletionFlag, report.PreliminaryFlag) == ("SR", "COMPLETE", "PRELIMINARY")
    assert report.VerificationFlag == "UNVERIFIED"
    assert report.SeriesDescription == "pectl report, research use only, not for diagnosis"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert report.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99PECTL"
    assert "PredecessorDocumentsSequence" not in report


def test_every_slice_is_evidence_and_the_key_slices_are_the_source(written) -> None:
    path = written["sr.dcm"]
    [study] = pydicom.dcmread(path).CurrentRequestedProcedureEvidenceSequence
    [series] = study.ReferencedSeriesSequence
    evidence = {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence}
    assert evidence == {slice_uid(place) for place in range(N_SLICES)}
    sources = groups_of(path)["pe_present"].source_images
    assert [item.referenced_sop_instance_uid for item in sources] == [slice_uid(5), slice_uid(6)]
    assert groups_of(path)["chronic_pe"].source_images == []
