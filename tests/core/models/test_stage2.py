import dataclasses
import math

import pytest
import torch

from pectl.config import Stage2Config
from pectl.core.labels.names import EXAM_LABELS
from pectl.core.models.stage2 import (
    PLACE_CHANNELS,
    SequenceClassifier,
    StudyLogits,
    mean_of,
    neighbour_differences,
)
from tests.stage2_specs import stage2_spec

KINDS = [("tcn", False), ("tcn", True), ("gru", False), ("gru", True)]
SPEC = stage2_spec(feature_size=6, hidden=8, levels=2, dropout=0.2)
EVERYTHING = {"head": "hierarchical", "position": True, "ensemble": 3}


def classifier(**changes: object) -> SequenceClassifier:
    torch.manual_seed(0)
    made = SequenceClassifier(dataclasses.replace(SPEC, **changes))
    made.standardise(torch.randn(50, 6) * 3 + 1)
    with torch.no_grad():  # whatever the start, as after training
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        for name, buffer in made.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn_like(buffer))
    return made.eval()


def padded(lengths: tuple[int, ...], total: int) -> list[torch.Tensor]:
    """Features, window logits, places and mask."""
    torch.manual_seed(1)
    mask = torch.arange(total) < torch.tensor(lengths)[:, None]
    size = (len(lengths), total)
    return [torch.randn(*size, 6), torch.randn(size), torch.randn(*size, PLACE_CHANNELS), mask]


@pytest.mark.parametrize("changes", [{}, EVERYTHING])
@pytest.mark.parametrize(("model", "causal"), KINDS)
@torch.inference_mode()
def test_padding_never_changes_an_answer(model: str, causal: bool, changes: dict[str, object]) -> None:
    made = classifier(model=model, causal=causal, **changes)
    lengths = (9, 1, 4)
    inputs = padded(lengths, 12)
    mask = inputs[-1]
    for part in inputs[:3]:
        part[~mask] = 1e3  # padding is not even read
    together = made(*inputs)
    for row, n in enumerate(lengths):
        alone = made(*(part[row : row + 1, :n] for part in inputs))
        torch.testing.assert_close(together.exam[row], alone.exam[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(together.pe[row], alone.pe[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(together.window[row, :n], alone.window[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(together.attention[row, :, :n], alone.attention[0], rtol=1e-5, atol=1e-5)
        assert (together.window[row, n:] == 0).all()
        assert (together.attention[row, :, n:] == 0).all()
    torch.testing.assert_close(together.attention.sum(-1), torch.ones(3, 9))


@pytest.mark.parametrize("model", ["tcn", "gru"])
def test_padding_has_no_say_in_training(model: str) -> None:
    """Nor in the statistics of batch norm, nor in any gradient."""
    results = []
    for filling in (0.0, 1e3):
        made = classifier(model=model, dropout=0.0, **EVERYTHING).train()
        inputs = padded((9, 1, 4), 12)
        for part in inputs[:3]:
            part[~inputs[-1]] = filling
        out = made(*inputs, each=True)
        (out.exam.sum() + out.window.sum()).backward()
        results.append([part.grad for part in made.parameters()] + [*made.buffers()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("model", "causal"), KINDS)
@torch.inference_mode()
def test_causal_looks_back_only_and_the_default_both_ways(model: str, causal: bool) -> None:
    made = classifier(model=model, causal=causal)
    features, logit, place, mask = padded((16,), 16)
    later = logit.clone()
    later[0, 8] += 5.0
    moved = (made(features, later, place, mask).window != made(features, logit, place, mask).window)[0]
    assert moved[8:].any()
    assert moved[:8].any() == (not causal)


@pytest.mark.parametrize("model", ["tcn", "gru"])
@torch.inference_mode()
def test_causal_window_scores_do_not_see_later_features(model: str) -> None:
    made = classifier(model=model, causal=True)
    features, logit, place, mask = padded((16,), 16)
    later = features.clone()
    later[0, 8] += 5.0
    moved = (made(later, logit, place, mask).window != made(features, logit, place, mask).window)[0]
    assert moved.nonzero().flatten().tolist()[0] == 8


@pytest.mark.parametrize("changes", [{}, EVERYTHING])
@torch.inference_mode()
def test_age_is_what_stage_1_says_of_the_windows_with_pe_and_nothing_else(changes: dict[str, object]) -> None:
    made = classifier(age_at=2, **changes)
    features, window_logit, place, mask = padded((5, 3), 5)
    out = made(features, window_logit, place, mask, each=True)
    assert EXAM_LABELS[2:4] == ("chronic_pe", "acute_and_chronic_pe")
    shares = (out.window.exp() * mask) / (out.window.exp() * mask).sum(2, keepdim=True)  # (members, B, N)
    torch.testing.assert_close(out.attention[:, :, 2], shares)
    torch.testing.assert_close(out.attention[:, :, 3], shares)
    for place_in, member in enumerate(made.members):
        means = (shares[place_in].unsqueeze(-1) * features[..., 2:4]).sum(1)
        energy = means * member.age.scale + member.age.bias
        pe, exam = out.pe[place_in].sigmoid(), out.exam[place_in].sigmoid()
        shared = torch.cat([torch.zeros(2, 1), energy], 1).softmax(1)[:, 1:]  # acute, chronic and both share out PE
        given = shared if "head" in changes else energy.sigmoid()
        torch.testing.assert_close(exam[:, 2:4], pe.unsqueeze(1) * given, atol=1e-5, rtol=1e-4)


def test_what_is_learnt_of_age_is_not_learnt_of_pe() -> None:
    made = classifier(age_at=2)
    inputs = padded((5, 3), 5)
    made(*inputs, each=True).exam[..., 2:4].sum().backward()
    learnt = {name for name, part in made.named_parameters() if part.grad is not None and part.grad.abs().max() > 0}
    assert learnt == {"members.0.age.scale", "members.0.age.bias"}


def test_default_is_not_causal() -> None:
    assert Stage2Config().causal is False


def test_neighbour_differences_by_hand() -> None:
    x = torch.tensor([[[1.0], [4.0], [9.0]], [[2.0], [5.0], [99.0]]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    expected = [[[0, -3], [3, -5], [5, 0]], [[0, -3], [3, 0], [0, 0]]]
    assert neighbour_differences(x, mask).tolist() == expected


@pytest.mark.parametrize("model", ["tcn", "gru"])
def test_gradients_are_finite_with_padding(model: str) -> None:
    made = classifier(model=model, **EVERYTHING).train()
    out = made(*padded((9, 1, 4), 12), each=True)
    (out.exam.sum() + out.window.sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())


@torch.inference_mode()
def test_place_is_seen_with_position_alone() -> None:
    features, logit, place, mask = padded((8,), 8)
    moved = place.clone()
    moved[0, 3] += 1.0
    for position in (True, False):
        made = classifier(position=position)
        one, other = (made(features, logit, each, mask) for each in (place, moved))
        assert one.exam.equal(other.exam) == one.window.equal(other.window) == (not position)


@torch.inference_mode()
def test_an_ensemble_is_the_mean_of_its_members() -> None:
    made, inputs = classifier(**EVERYTHING), padded((9, 4), 9)
    each, mean = made(*inputs, each=True), made(*inputs)
    for members, together in zip(each[:3], mean[:3], strict=True):
        torch.testing.assert_close(together.sigmoid(), members.sigmoid().mean(0))
    torch.testing.assert_close(mean.attention, each.attention.mean(0))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (each.exam[one] - each.exam[other]).abs().min() > 0
        assert not each.attention[one].equal(each.attention[other])


@pytest.mark.parametrize("changes", [{}, {"ensemble": 3}])
@torch.inference_mode()
def test_rv_lv_is_learnt_as_two_labels_and_answered_as_one(changes: dict[str, object]) -> None:
    made, inputs = classifier(**changes), padded((9, 4), 9)
    learnt, answered = made(*inputs, each=True).exam, made(*inputs).exam
    assert (learnt[..., 7] + learnt[..., 8]).abs().min() > 1e-3
    logit = learnt.sigmoid().mean(0).logit()
    torch.testing.assert_close(answered[:, 7], (logit[:, 7] - logit[:, 8]) / 2)
    assert answered[:, 8].equal(-answered[:, 7])


@torch.inference_mode()
def test_the_mean_of_coherent_answers_coheres() -> None:
    out = classifier(**EVERYTHING)(*padded((9, 1, 4), 12))
    p, pe = out.exam.sigmoid(), out.pe.sigmoid()
    torch.testing.assert_close(p[:, 0] + p[:, 1] + pe, torch.ones(3))
    assert (p[:, 2:7] <= pe[:, None] + 1e-6).all()


def test_members_begin_apart_and_alone_is_a_member() -> None:
    torch.manual_seed(3)
    alone = SequenceClassifier(SPEC)
    torch.manual_seed(3)
    two = SequenceClassifier(dataclasses.replace(SPEC, ensemble=2))
    weights = [made.exam_head.label.weight for made in (alone.members[0], *two.members)]
    assert weights[0].equal(weights[1])
    assert not weights[1].equal(weights[2])
    inputs = padded((5,), 5)
    one, each = alone.eval()(*inputs), alone(*inputs, each=True)
    assert one.exam[:, :7].equal(each.exam[0, :, :7])
    assert all(mean.equal(member[0]) for mean, member in zip(one[1:], each[1:], strict=True))


def test_a_mean_of_probabilities_beyond_float32_by_hand() -> None:
    logits = [torch.tensor([value]) for value in (-200.0, -100.0)]
    mean = mean_of([StudyLogits(value, value, value, value) for value in logits])
    assert mean.exam.item() == pytest.approx(-100.0 - math.log(2))
    mean = mean_of([StudyLogits(-value, -value, -value, value) for value in logits])
    assert mean.pe.item() == pytest.approx(100.0 + math.log(2))
