import torch
from torch.testing import assert_close

from pectl.config import AugmentConfig
from pectl.core.batches.augment import Augmented, augment, move, swap_sides
from pectl.core.batches.contrast import UNENHANCED_HU
from pectl.core.batches.share import Share, whole
from pectl.core.labels.names import MULTITASK_LABELS
from pectl.core.storage.hounsfield import AIR_HU

STILL = AugmentConfig(flip_left_right=0.0, rotation_deg=0.0, zoom=(1.0, 1.0), shift=0.0, offset_hu=0.0, noise_hu=0.0)


def changed(hu: torch.Tensor, px: int, config: AugmentConfig, share: Share | None = None) -> Augmented:
    """Augment windows whose contrast is as it should be."""
    return augment(hu, torch.ones(len(hu)), px, config, share)


def image(batch: int = 2, side: int = 24) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(-1024, 2000, (batch, 3, side, side), dtype=torch.int16)


def test_no_change_gives_the_image() -> None:
    hu = image()
    out, mirrored, _ = changed(hu, 24, STILL)
    assert_close(out, hu.float(), atol=0.05, rtol=0.0)
    assert not mirrored.any()


def test_flip_mirrors_left_right_only() -> None:
    hu = image()
    out, mirrored, _ = changed(hu, 24, STILL.model_copy(update={"flip_left_right": 1.0}))
    assert mirrored.all()
    assert_close(out, hu.float().flip(-1), atol=0.05, rtol=0.0)


def test_each_window_is_mirrored_by_itself_and_says_so() -> None:
    hu = image(batch=16)
    torch.manual_seed(1)
    out, mirrored, _ = changed(hu, 24, STILL.model_copy(update={"flip_left_right": 0.5}))
    assert 0 < mirrored.sum() < 16
    assert_close(out[mirrored], hu[mirrored].float().flip(-1), atol=0.05, rtol=0.0)
    assert_close(out[~mirrored], hu[~mirrored].float(), atol=0.05, rtol=0.0)


def test_seed_fixes_the_result() -> None:
    hu, outs = image(), []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        outs.append(changed(hu, 20, AugmentConfig())[0])
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])
    assert outs[0].shape == (2, 3, 20, 20)


def test_slices_of_a_window_move_together() -> None:
    hu = image()[:, :1].expand(-1, 3, -1, -1)
    out, *_ = changed(hu, 24, AugmentConfig(noise_hu=0.0))
    assert torch.equal(out[:, 0], out[:, 2])


def test_zoom_of_28_by_24_is_the_central_crop_and_shift_moves_it_to_the_corners() -> None:
    hu = image(side=28)
    crop = STILL.model_copy(update={"zoom": (28 / 24, 28 / 24)})
    assert_close(changed(hu, 24, crop)[0], hu[:, :, 2:26, 2:26].float(), atol=0.05, rtol=0.0)
    torch.manual_seed(0)
    lowest = highest = 0.0
    ramp = torch.arange(28, dtype=torch.int16).expand(64, 1, 28, 28)
    out, *_ = changed(ramp, 24, crop.model_copy(update={"shift": 1 / 14}))
    lowest, highest = out.min().item(), out.max().item()
    assert -0.01 <= lowest < 0.3  # within the image: no air comes in
    assert 26.7 < highest <= 27.01


def test_outside_the_image_is_air() -> None:
    out, *_ = changed(torch.zeros(1, 1, 20, 20, dtype=torch.int16), 20, STILL.model_copy(update={"zoom": (0.5, 0.5)}))
    assert (out[..., :4, :] == AIR_HU).all()
    assert_close(out[..., 8:12, 8:12], torch.zeros(1, 1, 4, 4), atol=0.01, rtol=0.0)


def test_offset_is_one_number_a_window_within_its_bounds() -> None:
    hu = torch.zeros(64, 2, 8, 8, dtype=torch.int16)
    out, *_ = changed(hu, 8, STILL.model_copy(update={"offset_hu": 20.0}))
    assert out.amax(dim=(1, 2, 3)).sub(out.amin(dim=(1, 2, 3))).max() < 0.01
    assert 15 < out.abs().max() <= 20.01


def test_noise_has_at_most_the_level_asked_for() -> None:
    hu = torch.zeros(32, 2, 24, 24, dtype=torch.int16)
    out, *_ = changed(hu, 24, STILL.model_copy(update={"noise_hu": 10.0}))
    deviation = out.std(dim=(1, 2, 3))
    assert deviation.max() < 10.6
    assert deviation.min() < 5 < deviation.max()


def test_a_window_changes_alike_in_whatever_share_of_its_batch_it_is() -> None:
    hu = image(batch=7)
    torch.manual_seed(3)
    together = changed(hu, 20, AugmentConfig())
    for share in whole(7).split(3):
        torch.manual_seed(3)
        out, mirrored, _ = changed(hu[share.rows], 20, AugmentConfig(), share)
        assert_close(out, together[0][share.rows])
        assert torch.equal(mirrored, together[1][share.rows])


def test_contrast_gain_scales_what_lies_above_unenhanced_tissue_by_each_windows_own_factor() -> None:
    hu = torch.tensor([-1000, 40, 80, 180, 480], dtype=torch.int16).view(5, 1, 1, 1, 1).expand(5, 32, 2, 8, 8)
    config = STILL.model_copy(update={"contrast_gain": (0.8, 1.25)})
    outs = []
    for level in hu:
        torch.manual_seed(2)
        outs.append(changed(level, 8, config)[0])
    for same, out in zip((-1000.0, 40.0, 80.0), outs, strict=False):
        assert_close(out, torch.full_like(out, same), atol=0.02, rtol=0.0)
    gain = (outs[3] - UNENHANCED_HU) / 100.0
    assert_close((outs[4] - UNENHANCED_HU) / 400.0, gain, atol=1e-3, rtol=0.0)
    each = gain[:, 0, 0, 0]
    assert_close(gain, each.view(-1, 1, 1, 1).expand_as(gain), atol=1e-3, rtol=0.0)
    assert 0.799 < each.min() < 0.85
    assert 1.2 < each.max() < 1.251


def test_the_contrast_of_a_study_is_scaled_before_its_phase_is_changed() -> None:
    hu = torch.tensor([40, 180], dtype=torch.int16).view(2, 1, 1, 1).expand(2, 2, 8, 8)
    out, *_ = augment(hu, torch.tensor([2.0, 3.0]), 8, STILL)
    assert_close(out[:, 0, 0, 0], torch.tensor([40.0, 380.0]), atol=0.02, rtol=0.0)
    halved = STILL.model_copy(update={"contrast_gain": (0.5, 0.5)})
    out, *_ = augment(hu, torch.tensor([2.0, 3.0]), 8, halved)
    assert_close(out[:, 0, 0, 0], torch.tensor([40.0, 230.0]), atol=0.02, rtol=0.0)


def test_contrast_gain_leaves_all_other_changes_as_they_are() -> None:
    hu, outs = image() // 30, []
    for gain in ((1.0, 1.0), (0.5, 2.0)):
        torch.manual_seed(4)
        outs.append(changed(hu, 20, AugmentConfig(contrast_gain=gain, zoom=(1.0, 1.1))))
    assert hu.max() < UNENHANCED_HU
    assert torch.equal(outs[0][0], outs[1][0])
    assert torch.equal(outs[0][1], outs[1][1])


def test_a_windows_contrast_phase_is_alike_in_whatever_share_of_its_batch_it_is() -> None:
    hu, config = image(batch=5), AugmentConfig(contrast_gain=(0.7, 1.4))
    torch.manual_seed(3)
    together, *_ = changed(hu, 20, config)
    for share in whole(5).split(2):
        torch.manual_seed(3)
        assert_close(changed(hu[share.rows], 20, config, share)[0], together[share.rows])


def test_mirrored_windows_exchange_left_and_right_and_nothing_else() -> None:
    assert MULTITASK_LABELS[:2] == ("leftsided_pe", "rightsided_pe")
    nan = float("nan")
    targets = torch.tensor([[1.0, 0, 1, 0, 1, 0], [1, 0, 1, 0, 1, 0], [nan, 1, nan, 0, 0, 1], [nan] * 6])
    out = swap_sides(targets, torch.tensor([True, False, True, True]))
    wanted = torch.tensor([[0.0, 1, 1, 0, 1, 0], [1, 0, 1, 0, 1, 0], [1, nan, nan, 0, 0, 1], [nan] * 6])
    assert_close(out, wanted, equal_nan=True, atol=0, rtol=0)


def test_marks_move_with_their_slices() -> None:
    hu = torch.full((6, 2, 32, 32), -1000, dtype=torch.int16)
    marks = torch.zeros(hu.shape, dtype=torch.bool)
    for window in range(6):
        at = 8 + 2 * window
        marks[window, 1, at : at + 3, 20 - window : 23 - window] = True
    hu[marks] = 3000
    torch.manual_seed(0)
    config = AugmentConfig(flip_left_right=0.5, rotation_deg=30.0, shift=0.1, offset_hu=0.0, noise_hu=0.0)
    out, mirrored, grid = changed(hu, 32, config)
    assert 0 < mirrored.sum() < 6
    moved = move(marks, grid)
    assert_close(moved[:, 1] > 0.5, out[:, 1] > 1000.0)  # the embolus is where its mark is
    assert not moved[:, 0].any()
    assert (moved[:, 1].flatten(1).amax(1) > 0.5).all()


def test_marks_are_there_or_not_whatever_their_number() -> None:
    marks = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    marks[0, 0, 2, 3] = 7
    *_, grid = changed(torch.zeros(1, 1, 8, 8, dtype=torch.int16), 8, STILL)
    moved = move(marks, grid)
    assert_close(moved, (marks > 0).float(), atol=1e-5, rtol=0.0)
