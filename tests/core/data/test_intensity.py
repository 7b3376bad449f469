import torch
from torch.testing import assert_close

from pectl.core.data.intensity import prepare, resize, to_channels

RANGES = [(-1350.0, 150.0), (-250.0, 450.0)]


def test_ranges_are_linear_and_clipped() -> None:
    hu = torch.tensor([-2000.0, -1350.0, -600.0, 150.0, 100.0, 450.0, 3000.0]).view(1, 1, 1, 7)
    channels = to_channels(hu, RANGES)
    assert channels.shape == (1, 2, 1, 1, 7)
    assert channels[0, 0].flatten().tolist()[:4] == [0.0, 0.0, 0.5, 1.0]
    assert channels[0, 0].flatten().tolist()[6] == 1.0
    assert_close(channels[0, 1].flatten(), torch.tensor([0.0, 0.0, 0.0, 400 / 700, 0.5, 1.0, 1.0]))


def test_resize_to_the_same_size_changes_nothing() -> None:
    hu = torch.randint(-1024, 3000, (2, 3, 16, 16), dtype=torch.int16)
    assert torch.equal(resize(hu, 16), hu.float())


def test_resize_down_is_antialiased_and_keeps_the_mean() -> None:
    stripes = torch.tensor([0, 1000], dtype=torch.int16).repeat(16).expand(1, 1, 32, 32)
    out = resize(stripes, 8)
    assert out.shape == (1, 1, 8, 8)
    assert_close(out[..., 1:-1], torch.full((1, 1, 8, 6), 500.0), atol=30.0, rtol=0.0)


def test_prepare_resizes_then_maps() -> None:
    hu = torch.randint(-1024, 3000, (2, 3, 16, 16), dtype=torch.int16)
    out = prepare(hu, RANGES, 8)
    assert out.shape == (2, 2, 3, 8, 8)
    assert_close(out, to_channels(resize(hu, 8), RANGES))
    assert out.is_contiguous(memory_format=torch.channels_last_3d)
