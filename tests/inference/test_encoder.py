"""Stage 1 on a study: how its windows are cut into batches, and what comes of each slice."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pectl.config import WindowsConfig
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.stores.study_store import Study
from pectl.errors import ConfigError, StoreError
from pectl.inference.device import Chosen, make_engine
from pectl.inference.encoder import StudyEncoder, window_batches

WINDOWS = WindowsConfig(length=6, stride=2, hu_ranges={"pe": (-250.0, 450.0)})


def encoder(
    *,
    slices: bool = True,
    batch_size: int = 4,
    norm: str = "batch",
    px: int = 24,
    precision: Chosen = "fp32",
    context: bool = False,
) -> StudyEncoder:
    torch.manual_seed(0)
    spec = Stage1Spec(
        backbone="slim_16", in_channels=1, slice_supervision=slices, norm=norm, multitask=context, context=context
    )
    engine = make_engine("cpu", precision)
    return StudyEncoder(model=WindowEncoder(spec), windows=WINDOWS, input_px=px, batch_size=batch_size, engine=engine)


@pytest.mark.parametrize(
    ("n", "size", "wanted"),
    [
        (1, 32, [1]),
        (2, 1, [2]),
        (3, 2, [3]),
        (5, 2, [2, 3]),
        (32, 32, [32]),
        (33, 32, [16, 17]),
        (65, 32, [21, 22, 22]),
    ],
)
def test_no_batch_of_one_window_and_none_larger_than_asked(n, size, wanted) -> None:
    batches = window_batches(n, size)
    assert [part.stop - part.start for part in batches] == wanted
    assert [i for part in batches for i in range(n)[part]] == list(range(n))


def test_a_window_has_the_same_bits_whatever_batch_it_is_in(make_study) -> None:
    study = make_study()
    small, large = (encoder(batch_size=size).encode(study) for size in (2, 32))
    assert np.array_equal(small.features, large.features)
    assert np.array_equal(small.window_logit, large.window_logit)
    assert np.array_equal(small.slice_logit, large.slice_logit)


def test_a_study_of_one_window_has_the_bits_of_that_window_among_others(make_study) -> None:
    study = make_study(shape=(8, 24, 24))
    short = make_study(shape=(6, 24, 24))
    short.hu[:] = study.hu[2:]
    assert len(encoder().encode(short).features) == 1
    assert np.array_equal(encoder().encode(short).features[0], encoder().encode(study).features[1])


def slices_in_the_stem(made: StudyEncoder, study: Study) -> list[tuple[int, int]]:
    """Return (B, T) of each batch that the first layer sees."""
    seen: list[tuple[int, int]] = []
    stem = made.model.backbone.get_submodule("stem")
    hook = stem.register_forward_pre_hook(lambda _, x: seen.append((x[0].shape[0], x[0].shape[2])))
    made.encode(study)
    hook.remove()
    return seen


def test_a_slice_of_several_windows_goes_through_the_early_layers_once_and_never_by_itself(make_study) -> None:
    study = make_study(shape=(17, 24, 24))
    assert encoder().starts(study).tolist() == [0, 2, 4, 6, 8, 10, 11]
    assert slices_in_the_stem(encoder(batch_size=32), study) == [(17, 1)]
    assert slices_in_the_stem(encoder(batch_size=16), study) == [(8, 1), (9, 1)]
    # windows at 0, 2, 4 have slices 0 to 9, those at 6, 8, 10, 11 have 6 to 16
    assert slices_in_the_stem(encoder(batch_size=4), study) == [(3, 1), (3, 1), (4, 1), (3, 1), (4, 1), (4, 1)]


def test_where_the_norm_joins_the_slices_of_a_window_each_window_is_computed_by_itself(make_study) -> None:
    study = make_study(shape=(17, 24, 24))
    assert slices_in_the_stem(encoder(batch_size=32, norm="group"), study) == [(7, 6)]


@pytest.mark.parametrize("px", [24, 16])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-6), ("bf16", 1e-3)])
def test_slices_shared_by_windows_give_what_each_window_gives_by_itself(make_study, px, precision, tolerance) -> None:
    study = make_study(shape=(17, 24, 24))
    shared, apart = (encoder(px=px, precision=precision) for _ in range(2))
    apart.model.slices_apart = False
    assert slices_in_the_stem(apart, study) == [(3, 6), (4, 6)]
    found, wanted = shared.encode(study), apart.encode(study)
    for name in ("features", "window_logit", "slice_logit"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=0, atol=tolerance)
    assert np.ptp(wanted.features, axis=0).max() > 2 * tolerance  # windows of another order would be seen


def test_layer2_of_a_window_has_its_channels_last(make_study) -> None:
    study, made = make_study(), encoder()
    for seen in made.passes(study, made.starts(study)):
        assert seen.feature.layer2.is_contiguous(memory_format=torch.channels_last_3d)


def test_a_slice_has_the_largest_logit_of_the_windows_over_it(make_study) -> None:
    study, made = make_study(shape=(10, 24, 24)), encoder()
    starts = made.starts(study)
    assert starts.tolist() == [0, 2, 4]
    (seen,) = made.passes(study, starts)
    assert seen.slice_logit.shape == (3, 6)
    by_window = seen.slice_logit.numpy()
    wanted = [max(by_window[w, d - s] for w, s in enumerate(starts) if 0 <= d - s < 6) for d in range(10)]
    assert made.encode(study).slice_logit.tolist() == wanted


def test_without_slice_supervision_a_slice_has_the_logit_of_its_best_window(make_study) -> None:
    study, made = make_study(shape=(10, 24, 24)), encoder(slices=False)
    found = made.encode(study)
    logits = found.window_logit
    assert found.slice_logit[0] == logits[0]
    assert found.slice_logit[5] == logits.max()


def test_a_study_of_faint_contrast_is_seen_as_if_it_were_bright(make_study) -> None:
    bright = replace(make_study(), vessel_hu=400.0)
    hu = bright.hu.astype(float)
    hu[hu > 80] = 80 + 2 * np.round((hu[hu > 80] - 80) / 2)  # even, so that half of it is whole
    bright = replace(bright, hu=hu.astype(np.int16))
    faint = replace(bright, hu=np.where(hu > 80, (hu + 80) / 2, hu).astype(np.int16), vessel_hu=240.0)
    found, wanted = encoder().encode(faint), encoder().encode(bright)
    np.testing.assert_allclose(found.features, wanted.features, rtol=0, atol=1e-6)
    assert np.abs(encoder().encode(replace(faint, vessel_hu=np.nan)).features - wanted.features).max() > 1e-3


def test_a_study_of_a_store_too_old_to_tell_its_contrast_is_not_guessed(make_study) -> None:
    old = replace(make_study(), vessel_hu=None)
    with pytest.raises(StoreError, match=rf"study {old.uid}: expected the HU of its great vessels.*preprocess again"):
        encoder().encode(old)
    as_before = replace(encoder(), windows=WINDOWS.model_copy(update={"vessels_to_hu": 0.0}))
    assert np.array_equal(as_before.encode(old).features, encoder().encode(replace(old, vessel_hu=np.nan)).features)


def test_a_study_shorter_than_a_window_is_named(make_study) -> None:
    with pytest.raises(ConfigError, match=r"windows.length = 6: expected at most as many slices .* found a study of 5"):
        encoder().encode(make_study(shape=(5, 24, 24)))


def test_the_context_network_sees_each_slice_once_too(make_study) -> None:
    study = make_study()
    made = encoder(context=True)
    seen = []
    made.model.context.stem.register_forward_hook(lambda _m, inputs, _o: seen.append(len(inputs[0])))
    shared = made.encode(study)
    assert sum(seen) < len(shared.features) * WINDOWS.length
    made.model.slices_apart = False
    apart = made.encode(study)
    np.testing.assert_allclose(shared.features, apart.features, atol=1e-6, rtol=0)
    assert shared.features.shape[1] == 128 + 128
