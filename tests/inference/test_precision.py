"""The precision that is chosen: by what the device has, and what is said of it."""

import logging
import re

import pytest
import torch
from torch import nn

from pectl.core.storage.processes import Processes
from pectl.errors import DeviceError
from pectl.inference import precision
from pectl.inference.precision import Trial, check_bf16, choose_precision, cpu_has_bf16


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def trial() -> Trial:
    return Trial(nn.Sequential(nn.Conv3d(1, 2, 3), nn.Dropout()), lambda: (torch.rand(2, 1, 4, 8, 8),), trains=True)


def with_bf16(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: has)


def test_auto_is_never_bf16_where_the_cpu_has_none(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_bf16(monkeypatch, False)
    with caplog.at_level(logging.INFO):
        assert choose_precision("auto", "auto", key="stage1.precision", trial=trial) == "fp32"
    assert caplog.messages == ["stage1.precision = auto: fp32, as this CPU has no bf16 arithmetic"]


@pytest.mark.parametrize("trains", [True, False])
def test_auto_is_bf16_where_the_cpu_has_it_and_is_right(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, trains: bool
) -> None:
    with_bf16(monkeypatch, True)
    shown = Trial(trial.model, trial.inputs, trains)
    with caplog.at_level(logging.INFO):
        assert choose_precision("auto", "auto", key="k", trial=shown) == "bf16"
        assert choose_precision("auto", "auto", key="k") == "fp32"
    assert caplog.messages == [
        "k = auto: bf16, as this CPU has bf16 arithmetic",
        "k = auto: fp32, as so small a network gains nothing from bf16 on a CPU",
    ]


def test_auto_is_fp32_where_the_gradients_would_be_wrong_and_bf16_is_refused(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_bf16(monkeypatch, True)
    with torch.no_grad():
        trial.model[0].weight.fill_(torch.nan)
    with caplog.at_level(logging.INFO):
        assert choose_precision("cpu", "auto", key="k", trial=trial) == "fp32"
    assert caplog.messages == ["k = auto: fp32, as this CPU computes gradients in bf16 wrong"]
    with pytest.raises(DeviceError, match="precision = bf16: expected gradients within 2% of those in fp32"):
        choose_precision("cpu", "bf16", key="k", trial=trial)
    only_forward = Trial(trial.model, trial.inputs, trains=False)
    assert choose_precision("cpu", "bf16", key="k", trial=only_forward) == "bf16"


def test_who_asks_for_bf16_without_such_a_cpu_is_told_what_it_costs(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_bf16(monkeypatch, False)
    seconds = {True: 3.0, False: 0.25}
    monkeypatch.setattr(precision, "_seconds", lambda model, inputs, *, bf16: seconds[bf16])
    assert choose_precision("cpu", "bf16", key="stage1.extract_precision", trial=trial) == "bf16"
    assert caplog.messages == [
        "stage1.extract_precision = bf16: this CPU has no bf16 arithmetic: a trial took 12.0 times as long as in fp32; "
        "'auto' takes what is fastest"
    ]
    caplog.clear()
    monkeypatch.setattr(precision, "find_processes", lambda: Processes("srun", 1, 2))
    choose_precision("cpu", "bf16", key="k", trial=trial)
    monkeypatch.setattr(precision, "find_processes", Processes)
    with_bf16(monkeypatch, True)
    choose_precision("cpu", "bf16", key="k", trial=trial)
    assert caplog.messages == []


def test_the_ratio_is_measured_and_the_network_left_as_it_was(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_bf16(monkeypatch, False)
    seen = []
    trial.model.register_forward_hook(lambda _, given, out: seen.append((tuple(given[0].shape), out.dtype)))
    check_bf16(Trial(trial.model, lambda: (torch.rand(2, 1, 4, 90, 80),), trains=False), key="k")
    one = (1, 1, 4, 64, 64)
    assert seen == [(one, torch.float32), (one, torch.float32), (one, torch.bfloat16)]
    assert trial.model.training
    assert re.search(r"a trial took \d+\.\d times as long as in fp32", caplog.text)


@pytest.mark.parametrize(
    ("gpu_has", "chosen", "said"),
    [
        (True, "bf16", "k = auto: bf16, as this GPU has bf16 arithmetic"),
        (False, "fp32", "k = auto: fp32, as this GPU has no bf16 arithmetic"),
    ],
)
def test_a_gpu_is_asked_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, gpu_has: bool, chosen: str, said: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: gpu_has)
    with caplog.at_level(logging.INFO):
        assert choose_precision("auto", "auto", key="k") == chosen
        assert choose_precision("auto", "fp16", key="k") == "fp16"
    assert caplog.messages == [said, "k: fp16, as configured"]


@pytest.mark.parametrize(
    ("machine", "onednn", "avx512_bf16", "amx", "has"),
    [
        ("x86_64", True, False, False, False),  # AVX-512 alone: oneDNN says yes, and imitates it
        ("x86_64", True, True, False, True),
        ("x86_64", True, False, True, True),
        ("x86_64", False, False, False, False),
        ("aarch64", True, False, False, True),
        ("aarch64", False, False, False, False),
    ],
)
def test_arithmetic_that_is_imitated_does_not_count(
    monkeypatch: pytest.MonkeyPatch, machine: str, onednn: bool, avx512_bf16: bool, amx: bool, has: bool
) -> None:
    monkeypatch.setattr(precision.platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert cpu_has_bf16() is has
