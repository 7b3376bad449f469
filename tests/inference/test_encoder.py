"""Stage 1 on a study: how its windows are cut into batches, and what comes of each slice."""

import numpy as np
import pytest
import torch

from pectl.config import WindowsConfig
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.errors import ConfigError
from pectl.inference.encoder import StudyEncoder, window_batches

WINDOWS = WindowsConfig(length=6, stride=2, hu_ranges={"pe": (-250.0, 450.0)})


def encoder(*, slices: bool = True, batch_size: int = 4) -> StudyEncoder:
    torch.manual_seed(0)
    spec = Stage1Spec(backbone="slim_16", in_channels=1, slice_supervision=slices)
    return StudyEncoder(model=WindowEncoder(spec), windows=WINDOWS, input_px=24, batch_size=batch_size)


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


def test_a_study_shorter_than_a_window_is_named(make_study) -> None:
    with pytest.raises(ConfigError, match=r"windows.length = 6: expected at most as many slices .* found a study of 5"):
        encoder().encode(make_study(shape=(5, 24, 24)))
