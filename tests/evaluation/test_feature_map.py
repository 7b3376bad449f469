from dataclasses import replace

import numpy as np
import pytest

from pectl.evaluation.feature_map import MOST_OF_A_CLASS, feature_map


@pytest.fixture
def described(make_cohort):
    """Windows of two kinds of features, far apart: those with PE and those without."""
    predictions, _ = make_cohort(30, seed=1)
    label = predictions.window["label"].to_numpy()
    rng = np.random.default_rng(0)
    features = rng.normal(size=(label.size, 8)) + 12 * label[:, None]
    features[:, 3] = 1.0  # a feature that never changes
    return replace(predictions, window_features=features.astype(np.float32))


def test_windows_that_are_alike_lie_together_and_rows_keep_their_window(described):
    places = feature_map(described, seed=0)
    known = described.window[described.window["label"] >= 0]
    assert places["StudyInstanceUID"].tolist() == known["StudyInstanceUID"].tolist()
    place, label = places[["x", "y"]].to_numpy(), places["label"].to_numpy()
    distance = np.linalg.norm(place[:, None] - place[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert (label[distance.argmin(axis=1)] == label).mean() > 0.95


def test_the_same_seed_draws_the_same_map(described):
    first, again = feature_map(described, seed=3), feature_map(described, seed=3)
    np.testing.assert_array_equal(first["x"], again["x"])


def test_unknown_labels_are_left_out_and_classes_are_capped(described, monkeypatch):
    described.window.loc[:9, "label"] = -1
    monkeypatch.setattr("pectl.evaluation.feature_map.MOST_OF_A_CLASS", 15)
    places = feature_map(described, seed=0)
    assert places["label"].value_counts().to_dict() == {0: 15, 1: 15}
    assert places.index.min() > 9
    assert MOST_OF_A_CLASS == 750


def test_no_map_without_features_or_with_few_windows(described):
    assert feature_map(replace(described, window_features=None), seed=0) is None
    few = replace(described, window=described.window[:12], window_features=described.window_features[:12])
    assert feature_map(few, seed=0) is None
    assert feature_map(replace(described, window=None), seed=0) is None
