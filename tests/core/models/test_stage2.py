import dataclasses

import pytest
import torch

from pectl.config import Stage2Config
from pectl.core.models.stage2 import SequenceClassifier, Stage2Spec, neighbour_differences

KINDS = [("tcn", False), ("tcn", True), ("gru", False), ("gru", True)]
SPEC = Stage2Spec(model="tcn", feature_size=6, hidden=8, levels=2, kernel_size=3, causal=False, dropout=0.2)


def classifier(model: str, causal: bool) -> SequenceClassifier:
    torch.manual_seed(0)
    made = SequenceClassifier(dataclasses.replace(SPEC, model=model, causal=causal))
    made.standardise(torch.randn(50, 6) * 3 + 1)
    with torch.no_grad():  # whatever the start, as after training
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        for name, buffer in made.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn_like(buffer))
    return made.eval()


def padded(lengths: tuple[int, ...], total: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.arange(total) < torch.tensor(lengths)[:, None]
    return torch.randn(len(lengths), total, 6), torch.randn(len(lengths), total), mask


@pytest.mark.parametrize(("model", "causal"), KINDS)
@torch.inference_mode()
def test_padding_never_changes_an_answer(model: str, causal: bool) -> None:
    made = classifier(model, causal)
    lengths = (9, 1, 4)
    features, logit, mask = padded(lengths, 12)
    features[~mask], logit[~mask] = 1e3, -1e3  # padding is not even read
    together = made(features, logit, mask)
    for row, n in enumerate(lengths):
        alone = made(features[row : row + 1, :n], logit[row : row + 1, :n], mask[row : row + 1, :n])
        torch.testing.assert_close(together.exam[row], alone.exam[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(together.window[row, :n], alone.window[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(together.attention[row, :, :n], alone.attention[0], rtol=1e-5, atol=1e-5)
        assert (together.window[row, n:] == 0).all()
        assert (together.attention[row, :, n:] == 0).all()
    torch.testing.assert_close(together.attention.sum(-1), torch.ones(3, 9))


@pytest.mark.parametrize(("model", "causal"), KINDS)
@torch.inference_mode()
def test_causal_looks_back_only_and_the_default_both_ways(model: str, causal: bool) -> None:
    made = classifier(model, causal)
    features, logit, mask = padded((16,), 16)
    later = logit.clone()
    later[0, 8] += 5.0
    moved = (made(features, later, mask).window != made(features, logit, mask).window)[0]
    assert moved[8:].any()
    assert moved[:8].any() == (not causal)


@pytest.mark.parametrize("model", ["tcn", "gru"])
@torch.inference_mode()
def test_causal_window_scores_do_not_see_later_features(model: str) -> None:
    made = classifier(model, causal=True)
    features, logit, mask = padded((16,), 16)
    later = features.clone()
    later[0, 8] += 5.0
    moved = (made(later, logit, mask).window != made(features, logit, mask).window)[0]
    assert moved.nonzero().flatten().tolist()[0] == 8


def test_default_is_not_causal() -> None:
    assert Stage2Config().causal is False


def test_neighbour_differences_by_hand() -> None:
    x = torch.tensor([[[1.0], [4.0], [9.0]], [[2.0], [5.0], [99.0]]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    expected = [[[0, -3], [3, -5], [5, 0]], [[0, -3], [3, 0], [0, 0]]]
    assert neighbour_differences(x, mask).tolist() == expected


@pytest.mark.parametrize("model", ["tcn", "gru"])
def test_gradients_are_finite_with_padding(model: str) -> None:
    made = classifier(model, causal=False).train()
    out = made(*padded((9, 1, 4), 12))
    (out.exam.sum() + out.window.sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())
