import numpy as np
import torch
from torch.testing import assert_close

from pectl.config import WindowsConfig
from pectl.core.batches.intensity import prepare, resize, to_channels

FIXED = WindowsConfig(hu_ranges={"lung": (-1350.0, 150.0), "pe": (-250.0, 450.0)})
PER_SLICE = FIXED.model_copy(update={"hu_scaling": "per-slice"})


def test_ranges_are_linear_and_clipped() -> None:
    hu = torch.tensor([-2000.0, -1350.0, -600.0, 150.0, 100.0, 450.0, 3000.0]).view(1, 1, 1, 7)
    channels = to_channels(hu, FIXED)
    assert channels.is_contiguous(memory_format=torch.channels_last_3d)
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
    out = prepare(hu, torch.ones(2), FIXED, 8)
    assert out.shape == (2, 2, 3, 8, 8)
    assert_close(out, to_channels(resize(hu, 8), FIXED))
    assert out.is_contiguous(memory_format=torch.channels_last_3d)


def test_prepare_scales_contrast_once_resized_and_leaves_what_it_was_given() -> None:
    hu = torch.tensor([-900, 60, 80, 240], dtype=torch.int16).view(1, 1, 2, 2).repeat(2, 1, 1, 1)
    before = hu.clone()
    out = prepare(hu, torch.tensor([1.0, 2.0]), WindowsConfig(hu_ranges={"all": (-1000.0, 1000.0)}), 2)
    assert_close(out.flatten(1) * 2000 - 1000, torch.tensor([[-900.0, 60, 80, 240], [-900, 60, 80, 400]]))
    assert torch.equal(hu, before)


def test_per_slice_is_what_the_program_of_the_paper_does() -> None:
    """Clip each slice to the range, then stretch it from its own minimum to its own maximum: here in numpy."""
    hu = np.random.default_rng(0).integers(-1200, 1200, (2, 3, 7, 9)).astype(np.float32)
    hu[1, 2] = np.clip(hu[1, 2], -100, 0)  # within one range, at the top of the other
    wanted = np.empty((2, 2, 3, 7, 9), np.float32)
    for channel, (lower, upper) in enumerate(PER_SLICE.hu_ranges.values()):
        for window in range(2):
            for place in range(3):
                clipped = np.clip(hu[window, place], lower, upper)
                wanted[window, channel, place] = (clipped - clipped.min()) / (clipped.max() - clipped.min())
    out = to_channels(torch.from_numpy(hu), PER_SLICE)
    assert_close(out, torch.from_numpy(wanted), atol=1e-6, rtol=0.0)
    assert out[1, 0, 2].max() == out[1, 1, 2].max() == 1.0
    assert not torch.allclose(out, to_channels(torch.from_numpy(hu), FIXED), atol=0.05)


def test_a_flat_slice_is_zero_per_slice() -> None:
    hu = torch.stack([torch.full((4, 4), value) for value in (-3000.0, 37.0, 3000.0)]).unsqueeze(0)
    assert torch.equal(to_channels(hu, PER_SLICE), torch.zeros(1, 2, 3, 4, 4))
