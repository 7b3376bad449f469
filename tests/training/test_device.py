import pytest
import torch

from pectl.core.storage.processes import Processes
from pectl.errors import DeviceError
from pectl.inference.device import choose_device
from pectl.training.device import make_fabric


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_auto_is_the_cpu_where_there_is_no_gpu() -> None:
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    fabric = make_fabric("auto")
    assert fabric.device.type == "cpu"
    with fabric.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_cpu_is_obeyed_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == choose_device("cuda") == "cuda"


@pytest.mark.usefixtures("no_gpu")
def test_missing_gpu() -> None:
    with pytest.raises(DeviceError, match="--device cuda: expected a CUDA device that torch can use, found none; use"):
        choose_device("cuda")


@pytest.mark.usefixtures("no_gpu")
def test_fp16_on_a_cpu_is_refused_and_bf16_is_not() -> None:
    with pytest.raises(
        DeviceError, match="precision = fp16: expected a GPU, found a CPU; use precision = auto or fp32"
    ):
        make_fabric("cpu", "fp16")
    with make_fabric("cpu", "bf16").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match="process 1 of 4: expected 2 GPUs on each machine, found 1 that this process"):
        make_fabric("cuda", processes=Processes("srun", 1, 4, 2))


def test_bf16_on_a_gpu_without_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Old GPU")
    with pytest.raises(DeviceError, match="precision = bf16: expected a GPU with bf16 arithmetic, found Old GPU; use"):
        make_fabric("cuda", "bf16")
