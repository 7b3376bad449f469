import pytest
import torch

from pectl.errors import DeviceError
from pectl.pipeline.device import choose_device, make_fabric


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_auto_is_the_cpu_where_there_is_no_gpu() -> None:
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    fabric = make_fabric("auto", "auto")
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
def test_bf16_on_a_cpu_is_refused() -> None:
    with pytest.raises(DeviceError, match="precision = bf16: expected a GPU, found a CPU, whose bf16 gradients"):
        make_fabric("cpu", "bf16")
