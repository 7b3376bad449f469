import numpy as np
import pytest

from pectl.dicom_output.result import Answer, Call
from pectl.dicom_output.uids import derived_uid, heat_uid, is_valid_uid
from pectl.errors import DicomOutputError


def test_a_label_that_is_none_is_refused(make_result) -> None:
    answers = {"pe_present": Answer(0.5, Call.ABSENT), "rv_strain": Answer(0.5, Call.ABSENT)}
    with pytest.raises(DicomOutputError, match=r"study 1\.2\.3, answers: .*found also rv_strain; give the model's own"):
        make_result(answers=answers)


def test_no_answer_for_pe_is_refused(make_result) -> None:
    with pytest.raises(DicomOutputError, match="found no pe_present"):
        make_result(answers={})


@pytest.mark.parametrize("probability", [-0.01, 1.01, float("nan")])
def test_a_probability_outside_0_to_1_is_refused(make_result, probability) -> None:
    with pytest.raises(DicomOutputError, match=r"answers\[pe_present\]: expected a probability in \[0, 1\], found"):
        make_result(answers={"pe_present": Answer(probability, Call.ABSENT)})


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_heat_outside_0_to_1_is_refused(make_result, value) -> None:
    with pytest.raises(DicomOutputError, match=r"heat\[1\.2\.3\.1\.5\]: expected values in \[0, 1\]"):
        make_result(heat={"1.2.3.1.5": np.full((48, 64), value, np.float32)})


def test_a_name_too_long_for_its_attribute_is_refused(make_result) -> None:
    model = make_result().model
    with pytest.raises(DicomOutputError, match=r"model\.name: expected 1 to 40 characters, found 41"):
        make_result(model=type(model)("n" * 41, "1", model.digest))


def test_uids_follow_from_study_bundle_content_and_role(make_result) -> None:
    result = make_result()
    model = result.model
    others = [
        make_result(study_uid="1.2.4"),
        make_result(model=type(model)(model.name, model.version, "f" * 64)),
        make_result(flags=()),
        make_result(answers=result.answers | {"pe_present": Answer(0.9314, Call.PRESENT)}),
        make_result(answers=result.answers | {"pe_present": Answer(0.93124, Call.UNDETERMINED)}),
        make_result(key_images=result.key_images[::-1]),
        make_result(out_of_distribution="far"),
        make_result(seen="made with it"),
    ]
    uids = [derived_uid(item, "sr 1") for item in (result, *others)] + [derived_uid(result, "sr 2")]
    assert len(set(uids)) == len(uids)
    assert derived_uid(make_result(), "sr 1") == uids[0] == "2.25.25463755706015272427412475963137365294"
    assert all(uid.startswith("2.25.") and is_valid_uid(uid) and int(uid[5:]) < 2**128 for uid in uids)


def test_heat_makes_another_heat_map_and_the_same_report(make_result) -> None:
    results = [make_result(), make_result(heat={uid: heat / 2 for uid, heat in make_result().heat.items()})]
    assert len({derived_uid(result, "sr 1") for result in results}) == 1
    assert len({heat_uid(result, "heat 1") for result in results}) == 2


def test_what_is_written_alike_has_one_uid(make_result) -> None:
    result = make_result()
    alike = make_result(answers=dict(reversed(result.answers.items())) | {"pe_present": Answer(0.93123, Call.PRESENT)})
    assert derived_uid(alike, "sr 1") == derived_uid(result, "sr 1")


@pytest.mark.parametrize(("uid", "valid"), [("1.2.840", True), ("2.25.0", True), ("1.02", False), ("0123abc", False)])
def test_valid_uids(uid, valid) -> None:
    assert is_valid_uid(uid) is valid
    assert not is_valid_uid("1." + "2" * 63)
